//! Compaction: all closed logs and the segment below them become one segment (I10).
//!
//! Whoever gets the exclusive lock on `v1` does it; nobody waits for it. Its steps, and what a kill leaves:
//!
//! 1. make log G, one above the highest number in any name: an empty log more
//! 2. SEAL every lower log: writers go on in G
//! 3. list again; build seg.a-(G-1) in staging: litter
//! 4. fsync, rename, fsync `v1`: the segment counts, the logs below it are leftovers
//! 5. unlink the logs of that listing below G, lowest first, then older segments [m]: a reader that listed
//!    before sees a gap or a missing file, and looks again

use std::io;

use super::{Manifest, Refused, State, View, segment, view};
use crate::{
    error::Trouble,
    format::record::{Put, Record},
    fs::{self, Access, Dir, Lock},
    layout::ManifestName,
    planted::{self, Bug},
    sync::Arc,
};

/// What a compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compacted {
    Yes,
    /// Another process is at it.
    Elsewhere,
    /// Nothing to do, or a later version wrote parts of it and this one must keep away.
    Not,
}

/// Changes what a compaction writes: given the listing, the log that it made, and what a reader of all below that
/// sees, with its entries.
pub(super) type Also<'a> =
    &'a mut dyn FnMut(&Dir, &[ManifestName], u64, &View, &mut Vec<Arc<Put>>) -> Result<(), Trouble>;

impl Manifest {
    /// Turns all that is closed now into one segment.
    pub(crate) fn compact(&self) -> Result<Compacted, Refused> {
        self.compact_with(&mut |_, _, _, _, _| Ok(()))
    }

    /// As [`compact`](Manifest::compact), of what `also` makes of it.
    pub(super) fn compact_with(&self, also: Also<'_>) -> Result<Compacted, Refused> {
        let mut state = self.state();
        self.refresh_state(&mut state)?;
        if state.view.is_partly_unknown() || self.access == Access::Read {
            return Ok(Compacted::Not);
        }
        // A description of its own: the lock ends when it is closed, whoever else holds the directory.
        let own = self.dir.reopen().map_err(Trouble::of("open", ".".as_ref()))?;
        let early = planted::is(Bug::ListedBeforeLock).then(|| state.view.entries());
        if !own.try_lock(Lock::Exclusive).map_err(Trouble::of("lock", ".".as_ref()))? {
            return Ok(Compacted::Elsewhere);
        }
        let done = self.compact_locked(&own, &mut state, early, also);
        self.reload(&mut state)?;
        done
    }

    /// `early`: for the planted bug alone.
    fn compact_locked(
        &self,
        own: &Dir,
        state: &mut State,
        early: Option<Vec<Arc<Put>>>,
        also: Also<'_>,
    ) -> Result<Compacted, Refused> {
        let Some(highest) = view::names_in(own)?.iter().map(|name| name.last()).max() else {
            self.make_log(1)?;
            return Ok(Compacted::Not);
        };
        let next = highest + 1;
        self.make_log(next)?;
        self.seal_below(next, state)?;
        let Some((listed, mut inputs)) = inputs_below(own, next, self.access, &mut state.window)? else {
            return Ok(Compacted::Not);
        };
        let mut entries = inputs.entries();
        also(own, &listed, next, &inputs, &mut entries)?;
        // Asked after the last frame was read.
        if inputs.is_partly_unknown() || inputs.current.is_some() {
            return Ok(Compacted::Not);
        }
        // Before the logs go, and saying for which of them it stands.
        if let Some(sum) = inputs.table.past.summed_up(next - 1) {
            let _ = self.append_unread(&state.view, sum);
        }
        let first = inputs.segment.as_ref().map_or(1, |segment| segment.footer.first);
        let name = ManifestName::Segment { first, last: next - 1 };
        let puts = in_order_of_use(early.unwrap_or(entries));
        let bytes = segment::build((first, next - 1), self.seed()?, &puts).map_err(|_| Refused::TooLong)?;
        if planted::is(Bug::InputsUnlinkedEarly) {
            unlink_inputs(own, &listed, name)?;
        }
        if !self.publish(name, &bytes)? {
            return Ok(Compacted::Not);
        }
        own.sync()
            .map_err(Trouble::of("sync", ".".as_ref()))
            .inspect_err(|_| self.leave_up_to(next, state))?;
        unlink_inputs(own, &listed, name)?;
        Ok(Compacted::Yes)
    }

    /// Seals every log below `limit`, each read back until its SEAL shows.
    fn seal_below(&self, limit: u64, state: &mut State) -> Result<(), Refused> {
        for _ in 0..super::APPENDS_MAX {
            self.reload(state)?;
            match &state.view.current {
                Some(log) if log.number < limit => {
                    log.append(&Record::Seal)?;
                }
                _ => return Ok(()),
            }
        }
        Err(Refused::Busy)
    }
}

/// The listing that says what goes into the segment, and all of it read. The names must not have changed in
/// between, and a gap in the numbers counts as damage only after several looks [m].
fn inputs_below(
    dir: &Dir,
    limit: u64,
    access: Access,
    window: &mut Vec<u8>,
) -> Result<Option<(Vec<ManifestName>, View)>, Refused> {
    let mut listed = view::names_in(dir)?;
    for look in 0..=view::LOOKS_AT_A_GAP {
        let inputs = View::load_below(dir, &listed, limit, look == view::LOOKS_AT_A_GAP, access, window)?;
        let now = view::names_in(dir)?;
        match inputs {
            Some(inputs) if now == listed => return Ok(Some((listed, inputs))),
            _ => listed = now,
        }
    }
    Ok(None)
}

/// Frames stand in order of last use, so that what is used together lies together; places in the order of
/// adding are numbered anew.
fn in_order_of_use(entries: Vec<Arc<Put>>) -> Vec<Arc<Put>> {
    let numbered = entries.into_iter().zip(1u64..);
    let mut puts: Vec<_> = numbered.map(|(put, order)| Arc::new(Put { order, ..Put::clone(&put) })).collect();
    puts.sort_by_key(|put| (put.day, put.order));
    puts
}

fn unlink_inputs(dir: &Dir, listed: &[ManifestName], made: ManifestName) -> Result<(), Trouble> {
    // The names are ascending, logs before segments.
    let mut old: Vec<_> = listed.iter().filter(|name| name.last() <= made.last() && **name != made).collect();
    if planted::is(Bug::UnlinkedHighestFirst) {
        old.reverse();
    }
    if planted::is(Bug::LeftoversStay) {
        let is_segment = |name: &&&ManifestName| matches!(name, ManifestName::Segment { .. });
        let base = old.iter().filter(is_segment).map(|name| name.last()).max();
        old.retain(|name| is_segment(&name) || Some(name.last()) > base);
    }
    for path in old.into_iter().map(|name| name.path()) {
        match dir.unlink(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A directory holds what is not ours; below the segment nobody looks at it any more.
            Err(error) if fs::is_wrong_kind(&error) => {}
            unlinked => unlinked.map_err(Trouble::of("remove", &path))?,
        }
    }
    Ok(())
}
