//! What a store says of itself: entries, counters, status.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::count::{Counts, Misses};
use crate::{
    digest::{ObjectDigest, SourceDigest},
    format::record::{Put, Recipe},
    fs,
    sources::Sources,
    sync::Arc,
};

/// Whether a store works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It finds and adds.
    Ready,
    /// It finds, and adds nothing.
    ReadOnly,
    /// It is open, and the last operation met this trouble; or it lies on a file system that cannot keep all promises.
    Degraded(String),
    /// There is none, for this reason: finds miss, adds are skipped, builds run.
    Disabled(String),
}

/// What a store lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct FileSystem {
    /// For people.
    pub name: String,
    /// Whether this kernel alone keeps it. Not on NFS, SMB, 9p, virtiofs, FUSE and their like: there nothing is mapped,
    /// every object is hashed at every use, and what processes promise each other rests on that system's appends, locks
    /// and renames; the [`Status`] says so. Wrong bytes are a miss there as everywhere.
    pub is_local: bool,
    /// Whether it is mounted `noexec`: `dlopen` of anything in it fails.
    pub is_noexec: bool,
}

impl FileSystem {
    pub(super) fn new(of: &fs::FileSystem) -> FileSystem {
        FileSystem { name: of.name.to_owned(), is_local: of.is_local, is_noexec: of.is_noexec }
    }
}

/// One entry of a store: what was made, from what, by whom.
#[derive(Clone, Debug)]
pub struct Entry(Arc<Put>);

/// A named object of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryOutput {
    /// As the build gave it.
    pub name: OsString,
    /// BLAKE3 of its bytes.
    pub digest: ObjectDigest,
    /// In bytes.
    pub len: u64,
}

impl Entry {
    pub(super) fn new(put: Arc<Put>) -> Entry {
        Entry(put)
    }

    pub(super) fn put(&self) -> &Arc<Put> {
        &self.0
    }

    /// The key.
    pub fn source_digest(&self) -> SourceDigest {
        SourceDigest::from_bytes(self.0.source)
    }

    /// Identifies the executable that made it; equal for equal executables.
    pub fn exec_id(&self) -> [u8; 32] {
        self.0.exec
    }

    /// The label given with the sources.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// Its objects, in the order in which the build named them.
    pub fn outputs(&self) -> Vec<EntryOutput> {
        let output = |record: &crate::format::record::OutputRecord| EntryOutput {
            name: fs::text_of(&record.name),
            digest: ObjectDigest::from_bytes(record.object),
            len: record.len,
        };
        self.0.visible().iter().map(output).collect()
    }

    /// Sum of the lengths of its objects.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// How long the build took.
    pub fn cost(&self) -> Duration {
        Duration::from_millis(self.0.cost_ms)
    }

    /// When it was added, by the wall clock of its maker; for people.
    pub fn made(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0.made_ms)
    }

    /// The day of its last use, at 00:00 UTC.
    pub fn last_used(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(self.0.day) * 24 * 60 * 60)
    }

    /// The sources as recorded; `None` where they were too long for the entry's frame.
    pub fn sources(&self) -> Option<Sources> {
        let recipe: &Recipe = &self.0.details()?.recipe;
        Some(Sources::from_recipe(recipe.clone(), self.0.label.clone()))
    }

    /// What its build reported to have read beside the sources: where, and what it held then. Empty also where it
    /// was too long for the entry's frame.
    pub fn inputs(&self) -> Vec<(PathBuf, ObjectDigest)> {
        let discovered = self.0.details().into_iter().flat_map(|details| &details.discovered);
        discovered
            .map(|input| (fs::text_of(&input.path).into(), ObjectDigest::from_bytes(input.digest)))
            .collect()
    }
}

/// What a machine reads of an entry.
#[cfg(feature = "serde")]
impl serde::Serialize for Entry {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        let outputs: Vec<_> = self
            .outputs()
            .into_iter()
            .map(|output| (output.name.to_string_lossy().into_owned(), output.digest, output.len))
            .collect();
        let mut entry = to.serialize_struct("Entry", 9)?;
        entry.serialize_field("source_digest", &self.source_digest())?;
        entry.serialize_field("exec_id", &crate::digest::to_hex(&self.exec_id()))?;
        entry.serialize_field("label", self.label())?;
        entry.serialize_field("outputs", &outputs)?;
        entry.serialize_field("bytes", &self.bytes())?;
        entry.serialize_field("cost", &self.cost())?;
        entry.serialize_field("made", &self.made())?;
        entry.serialize_field("last_used", &self.last_used())?;
        entry.serialize_field("kind", &self.0.details().map(|details| &details.recipe.kind))?;
        entry.end()
    }
}

/// Counters of one handle since it was opened, and the size of its store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Stats {
    /// Entries in the store.
    pub entries: u64,
    /// Bytes of the distinct objects that entries name.
    pub bytes: u64,
    /// Finds that gave an artifact.
    pub hits: u64,
    /// Finds that did not.
    pub misses: u64,
    /// Of these: an object was damaged and set aside, or gone.
    pub misses_damaged: u64,
    /// Of these: the store could not be used or read.
    pub misses_unusable: u64,
    /// Artifacts stored.
    pub adds: u64,
    /// Artifacts not stored.
    pub skips: u64,
    /// Entries that went because the store was over its limits.
    pub evictions: u64,
    /// Sum of the recorded build times of all hits.
    pub saved: Duration,
    /// All counters of this handle.
    pub handle: Counts,
    /// Those of all handles there ever were on this store, this one included, as far as they have written them
    /// down: when they were closed, or were dropped after they had stored something or counted several finds, or had
    /// counted some hundreds. What a killed process had not is lost.
    pub store: Counts,
    /// A later version wrote parts of the store: what is understood is used, and nothing is evicted, compacted or
    /// swept.
    pub is_partly_newer: bool,
    /// Directories of other format versions beside this one's. They share nothing with it, and their sizes are not
    /// in `bytes`.
    pub other_formats: Vec<u32>,
}

impl Stats {
    pub(super) fn of(entries: &[Entry], handle: Counts, store: Counts) -> Stats {
        let outputs = entries.iter().flat_map(|entry| &entry.0.outputs);
        let objects: HashMap<[u8; 32], u64> = outputs.map(|output| (output.object, output.len)).collect();
        let Misses { object_gone, object_damaged, object_unreadable, disabled, store_unreadable, .. } =
            handle.misses;
        Stats {
            entries: entries.len() as u64,
            bytes: objects.values().fold(0, |sum, len| len.saturating_add(sum)),
            hits: handle.hits,
            misses: handle.misses.sum(),
            misses_damaged: object_gone + object_damaged,
            misses_unusable: object_unreadable + disabled + store_unreadable,
            adds: handle.adds,
            skips: handle.skips.sum(),
            evictions: handle.evictions.sum(),
            saved: handle.saved,
            handle,
            store,
            ..Stats::default()
        }
    }
}
