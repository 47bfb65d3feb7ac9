//! What a handle has handed out and somebody still holds: found again, it is shared.

use std::collections::HashMap;

use super::{
    artifact::{Artifact, Held},
    output::HeldOutput,
};
use crate::{
    format::record::PutId,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// Fewer artifacts than this are not worth looking through for those that nobody holds.
const LIVE_PRUNED_MIN: usize = 64;

/// The artifacts that a handle has handed out and that somebody still holds, by the entry.
#[derive(Debug, Default)]
pub(super) struct Live(Mutex<LiveMap>);

#[derive(Debug, Default)]
struct LiveMap {
    by_put: HashMap<PutId, Weak<Held>>,
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
