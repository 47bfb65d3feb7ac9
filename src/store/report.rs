//! What a store says of itself: entries, counters, status.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{
    add::{Committed, NotAdded},
    artifact::Artifact,
    find::Miss,
};
use crate::{
    digest::{ObjectDigest, SourceDigest},
    format::record::{Put, Recipe},
    fs,
    sources::Sources,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Whether a store works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It finds and adds.
    Ready,
    /// It finds, and adds nothing.
    ReadOnly,
    /// It is open, and the last operation met this trouble.
    Degraded(String),
    /// There is none, for this reason: finds miss, adds are skipped, builds run.
    Disabled(String),
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
        let recipe: &Recipe = &self.0.details.as_ref()?.recipe;
        Some(Sources::from_recipe(recipe.clone(), self.0.label.clone()))
    }

    /// What its build reported to have read beside the sources: where, and what it held then. Empty also where it
    /// was too long for the entry's frame.
    pub fn inputs(&self) -> Vec<(PathBuf, ObjectDigest)> {
        let discovered = self.0.details.iter().flat_map(|details| &details.discovered);
        discovered
            .map(|input| (fs::text_of(&input.path).into(), ObjectDigest::from_bytes(input.digest)))
            .collect()
    }
}

/// Counters of one handle since it was opened, and the size of its store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    misses_damaged: AtomicU64,
    misses_unusable: AtomicU64,
    adds: AtomicU64,
    skips: AtomicU64,
    evictions: AtomicU64,
    saved_ms: AtomicU64,
}

impl Counters {
    pub(super) fn found(&self, found: &Result<Artifact, Miss>) {
        let count = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        match found {
            Ok(artifact) => {
                count(&self.hits, 1);
                count(&self.saved_ms, u64::try_from(artifact.cost().as_millis()).unwrap_or(0));
            }
            Err(miss) => {
                count(&self.misses, 1);
                match miss {
                    Miss::ObjectDamaged(_) | Miss::ObjectMissing(_) => count(&self.misses_damaged, 1),
                    Miss::Disabled(_) | Miss::Unreadable(_) | Miss::ObjectUnreadable(_) => {
                        count(&self.misses_unusable, 1)
                    }
                    Miss::Absent | Miss::NeverSeen | Miss::OtherExec | Miss::InputChanged(_) => 0,
                };
            }
        }
    }

    pub(super) fn added(&self, added: &Result<Committed, NotAdded>) {
        let counter = if added.is_ok() { &self.adds } else { &self.skips };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn evicted(&self, entries: usize) {
        self.evictions.fetch_add(entries as u64, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, entries: &[Entry]) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let outputs = entries.iter().flat_map(|entry| &entry.0.outputs);
        let objects: HashMap<[u8; 32], u64> = outputs.map(|output| (output.object, output.len)).collect();
        Stats {
            entries: entries.len() as u64,
            bytes: objects.values().fold(0, |sum, len| len.saturating_add(sum)),
            hits: read(&self.hits),
            misses: read(&self.misses),
            misses_damaged: read(&self.misses_damaged),
            misses_unusable: read(&self.misses_unusable),
            adds: read(&self.adds),
            skips: read(&self.skips),
            evictions: read(&self.evictions),
            saved: Duration::from_millis(read(&self.saved_ms)),
        }
    }
}
