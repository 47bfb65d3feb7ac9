//! What a scrub is told, and what it tells.

use std::{fmt, num::NonZero, str::FromStr, thread};

use crate::{
    digest::{ObjectDigest, ParseDigestError},
    manifest::ManifestDamage,
};

/// A report names so many objects of each sort, and counts the others.
const LISTED_MAX: usize = 1000;

/// How far a scrub has come: every object up to here was looked at. Its text can be kept, and read again by
/// another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Cursor(pub(super) ObjectDigest);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cursor {
    type Err = ParseDigestError;
    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        text.parse().map(Cursor)
    }
}

/// What a scrub is to do; see [`Store::scrub`](crate::Store::scrub).
#[must_use = "options do nothing before they are given to `Store::scrub`"]
pub struct ScrubOptions<'a> {
    pub(crate) threads: usize,
    pub(crate) bytes_per_second: u64,
    pub(crate) bytes_max: u64,
    pub(crate) from: Option<Cursor>,
    pub(crate) progress: Option<&'a mut dyn FnMut(&ScrubProgress)>,
}

impl fmt::Debug for ScrubOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, bytes_per_second, from) = (self.threads, self.bytes_per_second, self.from);
        f.debug_struct("ScrubOptions")
            .field("threads", &threads)
            .field("bytes_per_second", &bytes_per_second)
            .field("bytes_max", &self.bytes_max)
            .field("from", &from)
            .finish_non_exhaustive()
    }
}

impl Default for ScrubOptions<'_> {
    fn default() -> Self {
        ScrubOptions::new()
    }
}

impl<'a> ScrubOptions<'a> {
    /// All of the store, as fast as all cores can.
    pub fn new() -> ScrubOptions<'a> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        ScrubOptions { threads, bytes_per_second: 0, bytes_max: u64::MAX, from: None, progress: None }
    }

    /// How many threads hash. Default: one for each core.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Reads no more than so many bytes in a second, all threads together; 0: as fast as it goes, the default.
    pub fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.bytes_per_second = bytes;
        self
    }

    /// Stops after the object with which so many bytes have been read; the report says where to go on.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes.max(1);
        self
    }

    /// Goes on where an earlier scrub was: behind its report's cursor, or the last one that it told.
    pub fn from(mut self, cursor: Cursor) -> Self {
        self.from = Some(cursor);
        self
    }

    /// Called in the calling thread, after each object.
    pub fn progress(mut self, progress: &'a mut dyn FnMut(&ScrubProgress)) -> Self {
        self.progress = Some(progress);
        self
    }
}

/// Where a scrub is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubProgress {
    /// Objects that were hashed and are right.
    pub checked: u64,
    /// How many bytes these have.
    pub bytes: u64,
    /// Damaged objects so far.
    pub damaged: u64,
    /// Objects so far that could not be read.
    pub unreadable: u64,
    /// Where another scrub would go on; `None`: at the beginning.
    pub cursor: Option<Cursor>,
}

impl ScrubProgress {
    /// How much of the store is done, from 0 to 1. Names of objects are evenly spread, so a cursor tells.
    pub fn fraction(&self) -> f64 {
        let first = |cursor: &Cursor| cursor.0.as_bytes().first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
        self.cursor.as_ref().map_or(0.0, |cursor| f64::from(first(cursor)) / f64::from(u32::MAX))
    }
}

/// Some objects: how many, and the names of the first 1000.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ScrubObjects {
    /// All of them.
    pub count: u64,
    /// Not more than 1000.
    pub listed: Vec<ObjectDigest>,
}

impl ScrubObjects {
    pub(super) fn note(&mut self, digest: ObjectDigest) {
        self.count += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(digest);
        }
    }
}

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ScrubReport {
    /// Objects that were hashed and are right.
    pub checked: u64,
    /// How many bytes these have.
    pub bytes: u64,
    /// Objects with wrong bytes. Their entries are misses, and are built anew when they are next asked for.
    pub damaged: ScrubObjects,
    /// How many of the damaged ones were set aside. One in use stays until it is no longer.
    pub set_aside: u64,
    /// Objects that an entry names and that are not there: a miss, built anew when it is next asked for.
    pub missing: ScrubObjects,
    /// Objects that no entry names: in the making, or dropped within a quarter of an hour, or left behind by a
    /// process that was killed. A sweep takes them.
    pub orphaned: ScrubObjects,
    /// Objects that could not be read. Nothing is known of them, and nothing was done to them.
    pub unreadable: ScrubObjects,
    /// Directories of objects that could not be listed.
    pub unlisted: u64,
    /// Right frames of the manifest.
    pub frames: u64,
    /// What is wrong with the manifest.
    pub manifest: Vec<ManifestDamage>,
    /// Where to go on, if it was stopped by [`bytes_max`](ScrubOptions::bytes_max).
    pub cursor: Option<Cursor>,
}

impl ScrubReport {
    /// Whether everything that was looked at is right. Objects without an entry are no fault.
    pub fn is_clean(&self) -> bool {
        let counts = [&self.damaged, &self.missing, &self.unreadable].map(|objects| objects.count);
        counts == [0; 3] && self.unlisted == 0 && self.manifest.is_empty()
    }
}
