//! What the floors above ask of a manifest beside its entries: how much there is, what is named, what is remembered.

use super::{Counts, Grown, Manifest, Mark, Refused, Size, view::View};
use crate::{
    format::record::{Count, DayCount, DropNote, KeyStart, Put, Record},
    sync::{Arc, atomic::Ordering},
};

impl Manifest {
    /// Entries that are worth comparing a description with, `2 * max` at most: those with this list of source
    /// names first, then the newest; in no order.
    pub(crate) fn alike(&self, names: u64, max: usize) -> Vec<Arc<Put>> {
        let mut found = self.state().view.alike(names, max);
        found.retain(|put| !put.is_mask());
        found
    }

    /// When and why the last entry of this key was dropped, as far back as is remembered. No system call.
    pub(crate) fn dropped(&self, source: &[u8; 32], exec: &[u8; 32]) -> Option<DropNote> {
        // A miss asks this, and most stores have dropped nothing of late: no lock for those.
        if !self.remembers.load(Ordering::Relaxed) {
            return None;
        }
        self.state().view.table.past.of_key(&KeyStart::of(source, exec))
    }

    /// What all handles have counted, as last read.
    pub(crate) fn counts(&self) -> Counts {
        self.state().view.table.past.sums()
    }

    /// The finds of the last days on which any were written down, as last read, the oldest first.
    pub(crate) fn days(&self) -> Vec<DayCount> {
        self.state().view.table.past.days()
    }

    /// Appends what a handle has counted, if that can be done by one write: it is not read back, for losing it
    /// costs only the knowledge.
    pub(crate) fn count(&self, counts: &Counts, finds: DayCount) -> Result<Grown, Refused> {
        let mut state = self.state();
        self.refresh_state(&mut state)?;
        let days = if finds.hits + finds.misses > 0 { vec![finds] } else { Vec::new() };
        let counts = counts.iter().map(|(what, n)| (*what, *n)).collect();
        let record = Count { counts, days, ..Count::default() };
        self.append_unread(&state.view, &Record::Count(record))
    }

    /// By one write to the open log, where it is the last one.
    pub(super) fn append_unread(&self, view: &View, record: &Record) -> Result<Grown, Refused> {
        let Some(log) = view.current.as_ref().filter(|log| Some(log.number) == view.highest_log()) else {
            return Ok(Grown::No);
        };
        log.append(record)?;
        Ok(self.grown(view))
    }

    /// How much there is, as last read.
    pub(crate) fn size(&self) -> Size {
        self.state().view.size()
    }

    /// Notes that so many bytes of [`size`](Manifest::size) counted more than once at this point, for whoever has looked
    /// at all entries. What has gone since then counts as if it had been of them: the sum may be too high, never too low.
    pub(crate) fn note_shared(&self, bytes: u64, at: &Mark) {
        let mut state = self.state();
        if state.look == at.look {
            state.view.sizes.note_shared(bytes, at.gone);
        }
    }

    /// Whether anything that was put since then names an object, as last read; also if that cannot be told without
    /// another look at all entries.
    pub(crate) fn is_named_since(&self, mark: &Mark, object: &[u8; 32]) -> bool {
        let mut state = self.state();
        state.look != mark.look || state.view.table.names_since(mark.order, object)
    }
}
