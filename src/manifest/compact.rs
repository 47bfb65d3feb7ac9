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

use super::{
    Manifest, Out, Refused, View,
    build::{Builder, Counted, Unbuildable},
    view::{self, Live},
};
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
    /// Into a segment below this log.
    Yes(u64),
    /// Another process is at it.
    Elsewhere,
    /// Nothing to do, or a later version wrote parts of it and this one must keep away.
    Not,
}

/// Gives what is to stand before all that a reader sees, as older entries: from the listing, the log that was made, and
/// what a reader of all below that sees.
pub(super) type Also<'a> =
    &'a mut dyn FnMut(&Dir, &[ManifestName], u64, &mut View) -> Result<Vec<Arc<Put>>, Trouble>;

/// So much of a segment is written at once.
const WRITE_BYTES: usize = 1 << 20;

impl Manifest {
    /// Turns all that is closed now into one segment. Other threads of this handle go on meanwhile.
    pub(crate) fn compact(&self) -> Result<Compacted, Refused> {
        self.compact_with(&mut |_, _, _, _| Ok(Vec::new()))
    }

    /// As [`compact`](Manifest::compact), with what `also` gives.
    pub(super) fn compact_with(&self, also: Also<'_>) -> Result<Compacted, Refused> {
        self.refresh()?;
        if self.is_partly_unknown() || self.access == Access::Read {
            return Ok(Compacted::Not);
        }
        // A description of its own: the lock ends when it is closed, whoever else holds the directory.
        let own = self.dir.reopen().map_err(Trouble::of("open", ".".as_ref()))?;
        let early = planted::is(Bug::ListedBeforeLock).then(|| self.entries());
        if !own.try_lock(Lock::Exclusive).map_err(Trouble::of("lock", ".".as_ref()))? {
            return Ok(Compacted::Elsewhere);
        }
        let done = self.compact_locked(&own, early, also);
        self.reload(&mut self.state())?;
        done
    }

    /// `early`: for the planted bug alone.
    fn compact_locked(
        &self,
        own: &Dir,
        early: Option<Vec<Arc<Put>>>,
        also: Also<'_>,
    ) -> Result<Compacted, Refused> {
        let Some(highest) = view::names_in(own)?.iter().map(|name| name.last()).max() else {
            self.make_log(1)?;
            return Ok(Compacted::Not);
        };
        let next = highest + 1;
        self.make_log(next)?;
        self.seal_below(next)?;
        let Some((listed, mut inputs)) = inputs_below(own, next, self.access)? else {
            return Ok(Compacted::Not);
        };
        let before = also(own, &listed, next, &mut inputs)?;
        let (before, live) = early.map_or_else(|| (before, inputs.live()), |early| (early, Vec::new()));
        // Asked after the last frame was read.
        if inputs.is_partly_unknown() || inputs.current.is_some() {
            return Ok(Compacted::Not);
        }
        // Before the logs go, and saying for which of them it stands.
        if let Some(sum) = inputs.table.past.summed_up(next - 1) {
            let _ = self.append_unread(&self.state().view, &Record::Count(sum));
        }
        for touch in inputs.vouched_below(&live, self.year_ago()) {
            // What fails costs one hashing of an object of a layer.
            let _ = self.append_unread(&self.state().view, &Record::Touch(touch));
        }
        let first = inputs.segment.as_ref().map_or(1, |segment| segment.footer().first);
        let name = ManifestName::Segment { first, last: next - 1 };
        if planted::is(Bug::InputsUnlinkedEarly) {
            unlink_inputs(own, &listed, name)?;
        }
        let mut puts = Puts::of(&mut inputs, before, live);
        let published = self.publish(name, &mut |out| self.write_segment(out, name, &mut puts));
        if !published? {
            return Ok(Compacted::Not);
        }
        own.sync()
            .map_err(Trouble::of("sync", ".".as_ref()))
            .inspect_err(|_| self.leave_up_to(next, &mut self.state()))?;
        unlink_inputs(own, &listed, name)?;
        Ok(Compacted::Yes(next))
    }

    /// Seals every log below `limit`, each read back until its SEAL shows.
    fn seal_below(&self, limit: u64) -> Result<(), Refused> {
        let mut state = self.state();
        for _ in 0..super::APPENDS_MAX {
            self.reload(&mut state)?;
            match &state.view.current {
                Some(log) if log.number < limit => {
                    log.append(&Record::Seal)?;
                }
                _ => return Ok(()),
            }
        }
        Err(Refused::Busy)
    }

    /// Every entry is decoded twice, to be counted and to be written, and no two are in memory at once.
    fn write_segment(
        &self,
        out: &mut Out<'_>,
        name: ManifestName,
        puts: &mut Puts<'_>,
    ) -> Result<(), Refused> {
        let ManifestName::Segment { first, last } = name else {
            return Ok(());
        };
        let mut counted = Counted::default();
        puts.each(&mut |put| {
            counted.add(put);
            Ok(())
        })?;
        let mut builder = Builder::new((first, last), self.seed()?, counted)?;
        puts.each(&mut |put| {
            builder.add(put)?;
            if builder.waiting() >= WRITE_BYTES {
                out.write(&builder.take())?;
            }
            Ok(())
        })?;
        out.write(&builder.finish()?).map_err(Refused::from)
    }
}

impl From<Unbuildable> for Refused {
    fn from(_: Unbuildable) -> Self {
        Refused::TooLong
    }
}

/// What goes into a segment, in the order of last use, so that what is used together lies together.
struct Puts<'v> {
    inputs: &'v mut View,
    /// With their places in the order of adding, numbered anew.
    sorted: Vec<(Source, u64)>,
}

enum Source {
    Live(Live),
    Given(Arc<Put>),
}

impl Puts<'_> {
    /// `before` comes before all that is live.
    fn of(inputs: &mut View, before: Vec<Arc<Put>>, live: Vec<Live>) -> Puts<'_> {
        let before = before.into_iter().map(|put| (put.day, Source::Given(put)));
        let live = live.into_iter().map(|live| (live.day, Source::Live(live)));
        let mut sorted: Vec<_> =
            before.chain(live).zip(1u64..).map(|((day, source), order)| (day, (source, order))).collect();
        sorted.sort_unstable_by_key(|(day, (_, order))| (*day, *order));
        Puts { inputs, sorted: sorted.into_iter().map(|(_, sorted)| sorted).collect() }
    }

    fn each(&mut self, take: &mut dyn FnMut(&Put) -> Result<(), Refused>) -> Result<(), Refused> {
        for (source, order) in &self.sorted {
            let put = match source {
                Source::Given(put) => Some(put.clone()),
                // What is damaged is no entry, and goes.
                Source::Live(live) => self.inputs.put_of(live),
            };
            // What was brought here after its source digest was forgotten is seen by nobody.
            let put = put.filter(|put| !put.brought || !self.inputs.is_masked(&put.source));
            if let Some(put) = put {
                let mut put = Arc::unwrap_or_clone(put);
                put.order = *order;
                take(&put)?;
            }
        }
        Ok(())
    }
}

/// The listing that says what goes into the segment, and all of it read. The names must not have changed in
/// between, and a gap in the numbers counts as damage only after several looks [m].
fn inputs_below(dir: &Dir, limit: u64, access: Access) -> Result<Option<(Vec<ManifestName>, View)>, Refused> {
    let mut window = Vec::new();
    let mut listed = view::names_in(dir)?;
    for look in 0..=view::LOOKS_AT_A_GAP {
        let inputs =
            View::load_below(dir, &listed, limit, look == view::LOOKS_AT_A_GAP, access, &mut window)?;
        let now = view::names_in(dir)?;
        match inputs {
            Some(inputs) if now == listed => return Ok(Some((listed, inputs))),
            _ => listed = now,
        }
    }
    Ok(None)
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
