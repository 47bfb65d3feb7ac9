//! Clearing up a bucket whose engine does not: entries that nobody believes any more, and objects that no entry names.
//!
//! Only what is old goes, so that an upload in progress loses nothing: an object is put again by whoever publishes an entry
//! over it once it is seven days old, and is removed at 30 at the earliest. What this version would not have put there is
//! never touched. Any entry that can be read keeps its objects, whoever signed it: who may write to the bucket can keep
//! things in it, and can get nothing removed.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use plugcache::ObjectDigest;

use crate::{
    bucket::{Ask, BucketError, Head, Keeper, Limits},
    bundle,
    paths::{Place, Prefix},
    sign::{ENTRY_BYTES_MAX, LIFETIME, read_unproved},
};

/// How old an object must be at least to go.
pub const OBJECT_AGE_MIN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longer than any file that names objects.
const FILE_BYTES_MAX: usize = 8 << 20;

/// How a bucket is cleared up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectOptions {
    /// Nothing is removed; the report says what would be.
    pub dry_run: bool,
}

/// What a collection found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectReport {
    /// Entries and bundles that are kept.
    pub kept: u64,
    /// Entries and bundles that went: too old to be believed, or none at all and old.
    pub entries_removed: u64,
    /// Objects that are kept.
    pub objects_kept: u64,
    /// Objects that went.
    pub objects_removed: u64,
    /// .. and their bytes, as they lay there.
    pub bytes_removed: u64,
    /// Files that are none of this version's, and stay.
    pub foreign: u64,
}

/// Removes what is old and named by nothing. It lists the bucket: not for hosts, but for a job once a day.
///
/// # Errors
/// The engine gave no answer. If that was about anything that may name objects, no object was removed.
pub fn collect(
    bucket: &dyn Keeper,
    prefix: &Prefix,
    now: SystemTime,
    options: CollectOptions,
) -> Result<CollectReport, BucketError> {
    let mut listed = Vec::new();
    bucket.list(&prefix.root(), &mut |path, head| listed.push((path.to_owned(), head)))?;
    let mut collection = Collection { bucket, now, options, report: CollectReport::default() };
    // All of these first: what any of them names stays.
    let mut named = HashSet::new();
    for (path, head) in &listed {
        match prefix.place(path) {
            Some(Place::Entry(..) | Place::Bundle(..)) => collection.mark(path, *head, &mut named)?,
            Some(Place::Object(_)) => {}
            None => collection.report.foreign += 1,
        }
    }
    for (path, head) in &listed {
        if let Some(Place::Object(digest)) = prefix.place(path) {
            collection.sweep(path, *head, named.contains(&digest))?;
        }
    }
    Ok(collection.report)
}

struct Collection<'a> {
    bucket: &'a dyn Keeper,
    now: SystemTime,
    options: CollectOptions,
    report: CollectReport,
}

impl Collection<'_> {
    /// What a file names, or its end.
    fn mark(&mut self, path: &str, head: Head, named: &mut HashSet<ObjectDigest>) -> Result<(), BucketError> {
        if self.age(head) > LIFETIME && self.remove(path, LIFETIME)? {
            self.report.entries_removed += 1;
            return Ok(());
        }
        let mut bytes = Vec::new();
        let ask = Ask { from: 0, len_max: FILE_BYTES_MAX as u64, limits: LIMITS };
        match self.bucket.get(path, &ask, &mut bytes) {
            // It went between the listing and now; or it is none, and goes when it is old.
            Err(BucketError::NotFound | BucketError::TooLong) => return Ok(()),
            answer => answer?,
        };
        self.report.kept += 1;
        named.extend(objects_in(&bytes));
        Ok(())
    }

    fn sweep(&mut self, path: &str, head: Head, is_named: bool) -> Result<(), BucketError> {
        if !is_named && self.age(head) > OBJECT_AGE_MIN && self.remove(path, OBJECT_AGE_MIN)? {
            self.report.objects_removed += 1;
            self.report.bytes_removed += head.len;
        } else {
            self.report.objects_kept += 1;
        }
        Ok(())
    }

    fn age(&self, head: Head) -> Duration {
        self.now.duration_since(head.modified).unwrap_or_default()
    }

    /// Whether it went, or would: looked at again just before, for it may have been put anew since the listing.
    fn remove(&self, path: &str, age_min: Duration) -> Result<bool, BucketError> {
        match self.bucket.head(path, &LIMITS) {
            Err(BucketError::NotFound) => return Ok(false),
            Ok(head) if self.age(head) <= age_min => return Ok(false),
            answer => answer?,
        };
        if !self.options.dry_run {
            self.bucket.delete(path, &LIMITS)?;
        }
        Ok(true)
    }
}

/// Nobody waits for this one.
const LIMITS: Limits = Limits {
    first_byte: Duration::from_secs(30),
    stall: Duration::from_secs(30),
    total: Duration::from_secs(60),
};

fn objects_in(bytes: &[u8]) -> Vec<ObjectDigest> {
    let of_entry = |bytes: &[u8]| {
        let entry = (bytes.len() <= ENTRY_BYTES_MAX).then(|| read_unproved(bytes)).flatten();
        let objects = entry.map(|entry| entry.objects).unwrap_or_default();
        objects.into_iter().map(|stored| stored.object.digest).collect::<Vec<_>>()
    };
    match bundle::parse(bytes) {
        Some(bundle) => bundle.entries.into_iter().flat_map(of_entry).collect(),
        None => of_entry(bytes),
    }
}
