//! What a handle remembers of the entries that it has used: their order, what of them somebody still holds
//! (found again, it is shared), and which have packed bytes that were hashed.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::{
    Inner,
    artifact::{Artifact, Held},
    output::HeldOutput,
};
use crate::{
    format::record::{Put, PutId},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering},
};

/// Fewer than this are not worth looking through for those that nobody holds.
const LIVE_PRUNED_MIN: usize = 64;

/// A handle remembers the order of so many uses, four times as many as a store keeps entries by default (1 MiB at
/// most). Older ones count as if another process had made them.
const USES_MAX: usize = 16 * 1024;

/// By put id.
pub(super) type ByPut<V> = HashMap<PutId, V, BuildHasherDefault<Itself>>;

/// Hashes what is random already.
#[derive(Default)]
pub(super) struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The artifacts that a handle has handed out and that somebody still holds, by the entry.
#[derive(Debug, Default)]
pub(super) struct Live(Mutex<LiveMap>);

#[derive(Debug, Default)]
struct LiveMap {
    by_put: ByPut<Weak<Held>>,
    /// From so many on it is searched for what nobody holds any more.
    prune_at: usize,
}

impl Live {
    /// What is held of this entry already, if nothing has touched its files since they were proved right.
    pub(super) fn get(&self, put_id: PutId) -> Option<Artifact> {
        let held = self.map().by_put.get(&put_id)?.upgrade()?;
        held.outputs.iter().all(HeldOutput::is_untouched).then(|| Artifact::share(held))
    }

    /// Notes an artifact that was found or built.
    pub(super) fn note(&self, artifact: &Artifact) {
        let Some(put) = artifact.put() else { return };
        let mut map = self.map();
        if map.by_put.len() >= map.prune_at {
            map.by_put.retain(|_, held| held.strong_count() > 0);
            map.prune_at = (2 * map.by_put.len()).max(LIVE_PRUNED_MIN);
        }
        map.by_put.insert(put.put_id, Arc::downgrade(&artifact.held));
    }

    fn map(&self) -> MutexGuard<'_, LiveMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entries with packed outputs that this handle has hashed: not the same bytes read anew, but this very copy of
/// them in memory.
#[derive(Debug, Default)]
pub(super) struct Proved(Mutex<ProvedMap>);

#[derive(Debug, Default)]
struct ProvedMap {
    by_put: ByPut<Weak<Put>>,
    /// From so many on it is searched for what is in no memory any more.
    prune_at: usize,
}

impl Proved {
    pub(super) fn contains(&self, put: &Arc<Put>) -> bool {
        // The allocation lives as long as the weak pointer: no other entry can have got its address.
        self.map().by_put.get(&put.put_id).is_some_and(|known| known.as_ptr() == Arc::as_ptr(put))
    }

    pub(super) fn note(&self, put: &Arc<Put>) {
        let mut map = self.map();
        if map.by_put.len() >= map.prune_at {
            map.by_put.retain(|_, put| put.strong_count() > 0);
            map.prune_at = (2 * map.by_put.len()).max(LIVE_PRUNED_MIN);
        }
        map.by_put.insert(put.put_id, Arc::downgrade(put));
    }

    fn map(&self) -> MutexGuard<'_, ProvedMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn used(&self) -> MutexGuard<'_, ByPut<u64>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In which order this handle used which entries.
    pub(super) fn uses_by_entry(&self) -> HashMap<PutId, u64> {
        self.used().iter().map(|(put_id, number)| (*put_id, *number)).collect()
    }

    /// Notes that this handle used an entry just now.
    pub(super) fn note_use(&self, put_id: PutId) {
        let use_number = self.uses.fetch_add(1, Ordering::Relaxed) + 1;
        let mut used = self.used();
        used.insert(put_id, use_number);
        if used.len() > USES_MAX {
            let forgotten = use_number.saturating_sub(USES_MAX as u64 / 2);
            used.retain(|_, number| *number > forgotten);
        }
    }
}
