//! The sweep as a chore: everything that a store may lose, in one go that holds nothing up. Each step takes a lock
//! for the length of one append or one removal, or none.

use std::collections::HashMap;

use super::{Sweep, Swept, litter::Reaping};
use crate::{
    error::Skip,
    format::record::{DropReason, Put, PutId},
    fs::Dir,
    manifest::Refused,
    objects::Pruning,
    sync::Arc,
};

/// Entries that were dropped, or would be, and by which rule.
pub(crate) type Victims = Vec<(DropReason, Vec<Arc<Put>>)>;

impl Sweep<'_> {
    /// Drops and removes everything over the limits, unused since before the day `idle_before`, without a name, or
    /// left behind.
    pub(crate) fn chore(&self, v1: &Dir, idle_before: Option<u32>) -> Result<(Victims, Swept), Skip> {
        self.manifest.uncover()?;
        let victims = self.victims(idle_before)?;
        let mut swept = Swept::default();
        for (reason, entries) in &victims {
            swept.add(self.drop_entries(entries, reason)?);
        }
        if self.manifest.has_leftovers() {
            // What fails is found again next time.
            let _ = self.manifest.compact();
        }
        swept.add(self.litter(v1));
        swept.quarantined = self.objects.prune_quarantine(Pruning::Remove);
        Ok((victims, swept))
    }

    /// What [`chore`](Sweep::chore) would drop and remove, and nothing of it done.
    pub(crate) fn dry_chore(&self, v1: &Dir, idle_before: Option<u32>) -> Result<(Victims, Swept), Skip> {
        self.manifest.refresh().map_err(Refused::from)?;
        let victims = self.victims(idle_before)?;
        let left_behind = self.reap(v1, Reaping::Count);
        let quarantined = self.objects.prune_quarantine(Pruning::Count);
        Ok((victims, Swept { left_behind, quarantined, ..Swept::default() }))
    }

    /// Drops what was not used since before this day, but never the entry `own`.
    pub(crate) fn drop_idle(&self, idle_before: u32, own: PutId) -> Result<Vec<Arc<Put>>, Skip> {
        if self.manifest.is_partly_unknown() {
            return Ok(Vec::new());
        }
        let mut idle = self.manifest.entries();
        idle.retain(|put| put.day < idle_before && put.put_id != own);
        if !idle.is_empty() {
            self.drop_entries(&idle, &DropReason::Idle)?;
        }
        Ok(idle)
    }

    fn victims(&self, idle_before: Option<u32>) -> Result<Victims, Skip> {
        if self.manifest.is_partly_unknown() {
            return Err(Skip::Newer);
        }
        let (all, mark) = self.manifest.entries_since();
        let is_idle = |put: &Arc<Put>| idle_before.is_some_and(|day| put.day < day);
        let (idle, used): (Vec<_>, Vec<_>) = all.into_iter().partition(is_idle);
        let over = self.over_the_limits(&used, &mark, u64::MAX, &HashMap::new());
        let all = [(DropReason::Idle, idle), over];
        Ok(all.into_iter().filter(|(_, entries)| !entries.is_empty()).collect())
    }
}
