//! One consistent look at the manifest: the newest right segment, the logs behind it, and which log is open.
//!
//! Found by listing, never by counting ahead: list, open all, list again; the look counts only if the names
//! did not change in between [m]. One listing need not be what was there at one moment: btrfs shows no name that
//! was made since the directory was opened, and none that is gone at the look. But what is missing in two equal
//! listings in a row was made during the first and removed during the second, and a compaction removes the lowest
//! log first: no name, or a gap in the numbers, is all that can remain to be seen, and both are looked at again.
//! A reader follows the lowest log in which it has read no SEAL; logs above it
//! hold nothing yet [m].

use std::io;

use super::{
    log::{self, Log, Read},
    segment::{self, Segment},
    size::{Size, Sizes},
    table::{Entered, Table},
};
use crate::{
    error::Trouble,
    format::record::{Put, PutId},
    fs::{Access, Dir},
    layout::ManifestName,
    planted::{self, Bug},
    sync::Arc,
};

/// How often a torn look is repeated. One repetition needs a rotation or a compaction in the few microseconds
/// between two listings.
const LOOKS_MAX: usize = 200;
/// After so many looks at the same names a gap in the numbers is damage, and no name at all a store that was never
/// used, and not a torn listing.
pub(super) const LOOKS_AT_A_GAP: usize = 4;

/// Why there is no view.
#[derive(Debug)]
pub(crate) enum NoView {
    Trouble(Trouble),
    /// A later version forbids this one to look (I18).
    Foreign,
}

impl From<Trouble> for NoView {
    fn from(trouble: Trouble) -> Self {
        NoView::Trouble(trouble)
    }
}

#[derive(Debug)]
pub(super) struct View {
    pub(super) segment: Option<Segment>,
    pub(super) table: Table,
    /// The lowest log in which no SEAL was read.
    pub(super) current: Option<Log>,
    /// The names of the listing, ascending.
    pub(super) names: Vec<ManifestName>,
    /// Something a later version wrote is among the logs.
    unknown: bool,
    pub(super) sizes: Sizes,
}

/// A live entry, and where its bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    pub(super) put_id: PutId,
    pub(super) day: u32,
    pub(super) order: u64,
    /// Of the segment's frame; `None`: in the logs.
    slot: Option<u32>,
}

/// The manifest's names in `v1`, ascending.
pub(super) fn names_in(dir: &Dir) -> Result<Vec<ManifestName>, Trouble> {
    let listed = dir.list().map_err(Trouble::of("list", ".".as_ref()))?;
    let mut names: Vec<_> = listed.iter().filter_map(|name| ManifestName::parse(name)).collect();
    names.sort_unstable();
    Ok(names)
}

impl View {
    pub(super) fn load(dir: &Dir, access: Access, window: &mut Vec<u8>) -> Result<View, NoView> {
        let mut names = names_in(dir)?;
        let mut gaps = 0;
        for _ in 0..LOOKS_MAX {
            let look = look(dir, &names, access, window, gaps >= LOOKS_AT_A_GAP)?;
            let now = names_in(dir)?;
            let stable = now == names || planted::is(Bug::LookNotRepeated);
            match look {
                Some(view) if stable => return Ok(view),
                None if stable => gaps += 1,
                _ => gaps = 0,
            }
            names = now;
        }
        let torn = io::Error::other("its names changed during every one of many looks");
        Err(NoView::Trouble(Trouble::of("list", ".".as_ref())(torn)))
    }

    /// The inputs of a compaction that makes log `limit`: only what lies below it.
    pub(super) fn load_below(
        dir: &Dir,
        names: &[ManifestName],
        limit: u64,
        gaps_are_damage: bool,
        access: Access,
        window: &mut Vec<u8>,
    ) -> Result<Option<View>, NoView> {
        let below: Vec<_> = names.iter().copied().filter(|name| name.last() < limit).collect();
        look(dir, &below, access, window, gaps_are_damage)
    }

    /// Entries under this source digest that count, newest first: under a mask nothing that was brought here does,
    /// whenever it came.
    pub(super) fn of_source(&mut self, source: &[u8; 32]) -> Vec<Arc<Put>> {
        let mut found = self.all_of_source(source);
        if found.iter().any(|put| put.is_mask()) && !planted::is(Bug::BroughtUnmasked) {
            found.retain(|put| !put.brought);
        }
        found
    }

    /// Entries under this source digest, newest first.
    pub(super) fn all_of_source(&mut self, source: &[u8; 32]) -> Vec<Arc<Put>> {
        let mut found = self.table.of_source(source);
        if let Some(segment) = &mut self.segment {
            let table = &mut self.table;
            found.extend(segment.probe(source).iter().filter_map(|put| table.over_segment(put)));
        }
        found
    }

    /// The newest entry of this exec id, else of any if others count.
    pub(super) fn newest(
        &mut self,
        source: &[u8; 32],
        exec: &[u8; 32],
        others_count: bool,
    ) -> Option<Arc<Put>> {
        let mut other = None;
        let mut is_own = |put: &Arc<Put>| {
            let is_own = put.exec == *exec;
            if !is_own && others_count && other.is_none() && !put.is_mask() {
                other = Some(put.clone());
            }
            is_own
        };
        let table = &mut self.table;
        let mut own = table.find(source, &mut is_own);
        if let (None, Some(segment)) = (&own, &mut self.segment) {
            let mut below = segment.probe(source).iter().filter_map(|put| table.over_segment(put));
            own = below.find(|put| is_own(put));
        }
        let found = own.or(other)?;
        if !found.brought {
            return Some(found);
        }
        // Seldom, so there is time to look for a mask.
        let mut counted = self.of_source(source);
        counted.retain(|put| put.exec == *exec || (others_count && !put.is_mask()));
        counted.sort_by_key(|put| put.exec != *exec);
        counted.into_iter().next()
    }

    /// All entries, in the order of adding.
    pub(super) fn entries(&mut self) -> Vec<Arc<Put>> {
        let mut all = self.table.entries();
        if let Some(segment) = &mut self.segment {
            let table = &mut self.table;
            segment.each(&mut |put| all.extend(table.over_segment(put)));
        }
        all.sort_by_key(|put| put.order);
        // A segment whose bytes were moved about may show a frame twice.
        all.dedup_by_key(|put| (put.order, put.put_id));
        all
    }

    /// All entries in the order of adding, without what they hold.
    pub(super) fn live(&mut self) -> Vec<Live> {
        let logged = self.table.live();
        let mut all: Vec<_> =
            logged.map(|(put_id, order, day)| Live { put_id, day, order, slot: None }).collect();
        if let Some(segment) = &mut self.segment {
            let table = &self.table;
            segment.heads(&mut |slot, head| {
                let put_id = head.put_id;
                if !table.hides(&Entered::of_head(head)) {
                    let day = table.day_of(put_id).unwrap_or(head.day);
                    all.push(Live { put_id, day, order: head.order, slot: Some(slot) });
                }
            });
        }
        all.sort_by_key(|live| live.order);
        all.dedup_by_key(|live| (live.order, live.put_id));
        all
    }

    /// What a live entry holds; `None` if that is damaged. It is not kept in memory.
    pub(super) fn put_of(&mut self, live: &Live) -> Option<Arc<Put>> {
        match (live.slot, &mut self.segment) {
            (Some(slot), Some(segment)) => {
                let put = segment.put_at(slot)?;
                let put = match self.table.day_of(put.put_id) {
                    None => Arc::new(put),
                    Some(_) => self.table.over_segment(&Arc::new(put))?,
                };
                // An entry whose details are damaged is none.
                (put.spilled().is_some() || put.details().is_some()).then_some(put)
            }
            _ => self.table.get(live.put_id),
        }
    }

    /// Entries that are worth comparing a description with, `max` at most from each of log and segment: those with
    /// this list of source names first, then the newest.
    pub(super) fn alike(&mut self, names: u64, max: usize) -> Vec<Arc<Put>> {
        let rank = |is_alike: bool, order: u64| std::cmp::Reverse((is_alike, order));
        let mut all = self.table.entries();
        all.sort_by_key(|put| rank(put.names == names, put.order));
        all.truncate(max);
        if let Some(segment) = &mut self.segment {
            let mut below = Vec::new();
            let table = &mut self.table;
            segment.heads(&mut |slot, head| {
                if !table.hides(&Entered::of_head(head)) {
                    below.push((rank(head.names() == names, head.order), slot));
                }
            });
            if below.len() > max {
                below.select_nth_unstable(max);
                below.truncate(max);
            }
            let puts = below.into_iter().filter_map(|(_, slot)| segment.put_at(slot));
            all.extend(puts.filter_map(|put| table.over_segment(&Arc::new(put))));
        }
        all
    }

    pub(super) fn size(&mut self) -> Size {
        self.sizes.size(self.segment.as_mut(), &mut self.table)
    }

    /// Sum of the lengths of all that the logs have dropped or replaced.
    pub(super) fn gone_bytes(&mut self) -> u64 {
        // Brings it up to what was read.
        self.size();
        self.sizes.gone(&self.table)
    }

    /// Whether logs that the segment replaces, or older segments, still lie there.
    pub(super) fn has_leftovers(&self) -> bool {
        let base = self.segment.as_ref().map_or(0, |segment| segment.footer().last);
        let old = self.names.iter().filter(|name| name.last() <= base);
        old.count() > usize::from(base > 0)
    }

    /// Whether something that a later version wrote is among what was read: neither compact, evict nor sweep.
    pub(super) fn is_partly_unknown(&self) -> bool {
        self.unknown || self.segment.as_ref().is_some_and(Segment::is_partly_unknown)
    }

    /// The highest number in any name: a new log gets the next one.
    pub(super) fn highest(&self) -> u64 {
        self.names.iter().map(|name| name.last()).max().unwrap_or(0)
    }

    /// The highest number of a log, if there is any above the segment.
    pub(super) fn highest_log(&self) -> Option<u64> {
        self.names.iter().rev().find_map(|name| match name {
            ManifestName::Log(number) => Some(*number),
            ManifestName::Segment { .. } => None,
        })
    }

    /// Takes in what was appended to the open log; `false` if it is sealed or there is none: look again.
    pub(super) fn follow(&mut self, window: &mut Vec<u8>) -> Result<bool, Trouble> {
        let Some(log) = &mut self.current else {
            return Ok(false);
        };
        let table = &mut self.table;
        log.read_to_end(window, &mut |read: Read<'_>| table.apply(read.said, read.frame.payload))?;
        self.unknown |= log.unknown;
        Ok(!log.is_sealed())
    }
}

/// Opens what `names` says; `None` if it was torn.
fn look(
    dir: &Dir,
    names: &[ManifestName],
    access: Access,
    window: &mut Vec<u8>,
    gaps_are_damage: bool,
) -> Result<Option<View>, NoView> {
    let Some((segment, base)) = base(dir, names, access)? else {
        return Ok(None);
    };
    let logs: Vec<u64> = names
        .iter()
        .filter_map(|name| match name {
            ManifestName::Log(number) if *number > base => Some(*number),
            _ => None,
        })
        .collect();
    let consecutive = logs.iter().zip(base + 1..).all(|(number, expected)| *number == expected);
    let is_believed = names.is_empty() && planted::is(Bug::NothingBelieved);
    let torn = !consecutive || (logs.is_empty() && !is_believed);
    if torn && !gaps_are_damage {
        return Ok(None);
    }
    let table = Table::over(segment.as_ref().map_or(0, |segment| segment.footer().entries));
    let sizes = Sizes::default();
    let mut view = View { segment, table, current: None, names: names.to_vec(), unknown: false, sizes };
    for number in logs {
        if view.take_log(dir, number, access, window)? == Taken::Torn {
            return Ok(None);
        }
        if view.current.is_some() && !planted::is(Bug::HighestLogFollowed) {
            break;
        }
    }
    Ok(Some(view))
}

#[derive(PartialEq, Eq)]
enum Taken {
    Whole,
    Torn,
}

impl View {
    fn take_log(
        &mut self,
        dir: &Dir,
        number: u64,
        access: Access,
        window: &mut Vec<u8>,
    ) -> Result<Taken, NoView> {
        let log = match Log::open(dir, number, access) {
            Ok(log::Opened::Log(log)) => log,
            Ok(log::Opened::BadHeader) => return Ok(Taken::Whole),
            Ok(log::Opened::Foreign) => return Err(NoView::Foreign),
            Err(trouble) if trouble.source.kind() == io::ErrorKind::NotFound => return Ok(Taken::Torn),
            Err(trouble) => return Err(trouble.into()),
        };
        self.table.expect(log.to_come());
        self.current = Some(log);
        self.table.past.begin(number);
        if !self.follow(window)? {
            self.current = None;
        }
        Ok(Taken::Whole)
    }
}

/// The newest right segment, and the number up to which logs are replaced; `None` if the listing was torn.
///
/// A damaged segment is passed over for an older one, or for none, only if the logs between them still lie
/// there, else it counts as an empty one: its entries are misses, and nothing that was dropped since comes back.
fn base(dir: &Dir, names: &[ManifestName], access: Access) -> Result<Option<(Option<Segment>, u64)>, NoView> {
    let mut segments: Vec<_> =
        names.iter().copied().filter(|name| matches!(name, ManifestName::Segment { .. })).collect();
    segments.sort_by_key(|name| std::cmp::Reverse(name.last()));
    let newest = segments.first().map_or(0, |name| name.last());
    let are_there = |first: u64| (first..=newest).all(|number| names.contains(&ManifestName::Log(number)));
    for name in segments {
        match Segment::open(dir, name, access) {
            Ok(segment::Opened::Segment(segment)) => {
                let whole = are_there(name.last() + 1);
                return Ok(Some(if whole { (Some(segment), name.last()) } else { (None, newest) }));
            }
            Ok(segment::Opened::Damaged) => {}
            Ok(segment::Opened::Foreign) => return Err(NoView::Foreign),
            Err(trouble) if trouble.source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(trouble) => return Err(trouble.into()),
        }
    }
    Ok(Some((None, if are_there(1) { 0 } else { newest })))
}
