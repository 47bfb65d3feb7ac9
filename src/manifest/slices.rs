//! All entries, read in slices: between any two others get the lock. Who sweeps a store of a million entries keeps no find
//! and no add of its own handle waiting for longer than it takes to look at [`SLICE`] of them.
//!
//! What comes of it is as if it had been read at one moment, but for entries that are dropped meanwhile: those may be in
//! it or not. An entry that is replaced meanwhile is there as the old one or the new one, never as none.

use std::collections::HashSet;

use super::{Manifest, State, segment::Walk};
use crate::{
    format::record::{Put, PutId},
    sync::Arc,
};

/// So many are looked at under the lock at once: some 10 us, or 100 where they must be decoded.
const SLICE: u64 = 64;
/// How often it is begun again because somebody compacted meanwhile, before all is read at once.
const TRIES_MAX: usize = 4;

/// A point in what was read of the logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(super) look: u64,
    pub(super) order: u64,
    /// See [`Sizes`](super::size::Sizes).
    pub(super) gone: u64,
}

impl Mark {
    fn here(state: &mut State) -> Mark {
        let look = state.look;
        let (order, gone) = (state.view.table.next_order(), state.view.gone_bytes());
        Mark { look, order, gone }
    }
}

/// Somebody compacted: what was read so far is of another segment.
struct Torn;

impl Manifest {
    /// All entries as last read, in the order of adding.
    pub(crate) fn entries(&self) -> Vec<Arc<Put>> {
        self.entries_since().0
    }

    /// All entries that count, as last read, in the order of adding: without those that a mask hides.
    pub(crate) fn visible(&self) -> Vec<Arc<Put>> {
        let push = &mut |all: &mut Vec<Arc<Put>>, put: Arc<Put>| all.push(put);
        let (mut all, mark) = self.in_slices(push, &mut || {});
        let masked: HashSet<_> = all.iter().filter(|put| put.is_mask()).map(|put| put.source).collect();
        all.retain(|put| !put.is_mask() && (!put.brought || !masked.contains(&put.source)));
        in_order(&mut all, mark.order);
        all
    }

    /// As [`entries`](Manifest::entries), with the point at which the reading began.
    pub(crate) fn entries_since(&self) -> (Vec<Arc<Put>>, Mark) {
        let push = &mut |all: &mut Vec<Arc<Put>>, put: Arc<Put>| all.push(put);
        let (mut all, mark) = self.in_slices(push, &mut || {});
        all.retain(|put| !put.is_mask());
        in_order(&mut all, mark.order);
        (all, mark)
    }

    /// Which of these objects entries name, as last read, and from where on to ask [`is_named_since`].
    ///
    /// [`is_named_since`]: Manifest::is_named_since
    pub(crate) fn named_among(&self, objects: &HashSet<[u8; 32]>) -> (HashSet<[u8; 32]>, Mark) {
        let note = &mut |named: &mut HashSet<[u8; 32]>, put: Arc<Put>| {
            let all = put.outputs.iter().map(|output| output.object);
            named.extend(all.filter(|object| objects.contains(object)));
        };
        self.in_slices(note, &mut || {})
    }

    /// Gives every entry to `take`; `between` runs where others may have the lock.
    fn in_slices<T: Default>(
        &self,
        take: &mut dyn FnMut(&mut T, Arc<Put>),
        between: &mut dyn FnMut(),
    ) -> (T, Mark) {
        for _ in 0..TRIES_MAX {
            let mut all = T::default();
            let mark = Mark::here(&mut self.state());
            let mut take = |put| take(&mut all, put);
            let sliced = self.segment_slices(&mark, &mut take, between);
            if sliced.and_then(|()| self.log_slices(&mark, &mut take, between)).is_ok() {
                return (all, mark);
            }
        }
        let (mut all, mut state) = (T::default(), self.state());
        state.view.entries().into_iter().for_each(|put| take(&mut all, put));
        (all, Mark::here(&mut state))
    }

    fn segment_slices(
        &self,
        mark: &Mark,
        take: &mut dyn FnMut(Arc<Put>),
        between: &mut dyn FnMut(),
    ) -> Result<(), Torn> {
        let walk = self.state().view.segment.as_ref().map(|segment| (segment.walk(), segment.keeps_listed()));
        let Some((mut walk, is_kept)) = walk else { return Ok(()) };
        let places = walk.places();
        for slots in places.chunks(self.slice()) {
            let known = if is_kept { self.listed(slots) } else { vec![None; slots.len()] };
            let decode =
                |(slot, known): (&u32, Option<_>)| (*slot, known.unwrap_or_else(|| walk.put_at(*slot)));
            let decoded: Vec<_> = slots.iter().zip(known).map(decode).collect();
            self.over_segment(mark, &walk, &decoded)?.into_iter().for_each(&mut *take);
            between();
        }
        Ok(())
    }

    fn slice(&self) -> usize {
        self.fs.size("ENTRIES_SLICE", SLICE).max(1) as usize
    }

    fn listed(&self, slots: &[u32]) -> Vec<Option<Option<Arc<Put>>>> {
        let state = self.state();
        let segment = state.view.segment.as_ref();
        slots.iter().map(|slot| segment.and_then(|segment| segment.listed(*slot))).collect()
    }

    /// What the logs have left of these entries of the segment.
    fn over_segment(
        &self,
        mark: &Mark,
        walk: &Walk,
        decoded: &[(u32, Option<Arc<Put>>)],
    ) -> Result<Vec<Arc<Put>>, Torn> {
        let mut state = self.state_at(mark)?;
        let view = &mut state.view;
        if let Some(segment) = &mut view.segment {
            segment.note(walk, decoded);
        }
        let puts = decoded.iter().filter_map(|(_, put)| put.as_ref());
        Ok(puts.filter_map(|put| view.table.over_segment(put)).collect())
    }

    /// After the segment: what replaced one of its entries meanwhile is here.
    fn log_slices(
        &self,
        mark: &Mark,
        take: &mut dyn FnMut(Arc<Put>),
        between: &mut dyn FnMut(),
    ) -> Result<(), Torn> {
        let mut from = 0;
        loop {
            let (ids, next): (Vec<PutId>, u64) = {
                let state = self.state_at(mark)?;
                let table = &state.view.table;
                let since = table.live().filter(|(_, order, _)| *order >= from);
                (since.map(|(put_id, ..)| put_id).collect(), table.next_order())
            };
            if ids.is_empty() {
                return Ok(());
            }
            for ids in ids.chunks(self.slice()) {
                let puts: Vec<_> = {
                    let mut state = self.state_at(mark)?;
                    ids.iter().filter_map(|put_id| state.view.table.get(*put_id)).collect()
                };
                puts.into_iter().for_each(&mut *take);
                between();
            }
            from = next;
        }
    }

    fn state_at(&self, mark: &Mark) -> Result<crate::sync::MutexGuard<'_, State>, Torn> {
        let state = self.state();
        if state.look == mark.look { Ok(state) } else { Err(Torn) }
    }
}

/// Sorts them, and takes out those that were replaced by what was put at or after `since`.
fn in_order(all: &mut Vec<Arc<Put>>, since: u64) {
    all.sort_by_key(|put| put.order);
    // A segment whose bytes were moved about may show a frame twice.
    all.dedup_by_key(|put| (put.order, put.put_id));
    let late = all.iter().rev().take_while(|put| put.order >= since).count();
    if late == 0 {
        return;
    }
    // From the newest on: what one that came late has replaced goes. What was brought here has replaced its like alone.
    let (mut added, mut brought) = (HashSet::new(), HashSet::new());
    let mut left = Vec::with_capacity(all.len());
    for (number, put) in all.drain(..).rev().enumerate() {
        let identity = put.identity();
        if added.contains(&identity) || (put.brought && brought.contains(&identity)) {
            continue;
        }
        if number < late {
            let seen = if put.brought { &mut brought } else { &mut added };
            seen.insert(identity);
        }
        left.push(put);
    }
    left.reverse();
    *all = left;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Durability,
        format::record::{DropReason, Dropped, KeyStart, Record, tests::put},
        fs::{Access, Fs, sim::Disk},
        manifest::Compacted,
    };

    fn keyed(number: u64) -> Put {
        let mut put = put(number as u8);
        put.put_id = number;
        put.source = [0; 32];
        put.source[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
        put
    }

    fn append(manifest: &Manifest, put: Put) {
        manifest.append(&Record::Put(Box::new(put))).unwrap();
    }

    fn drop_of(put: &Put) -> Record {
        let key = KeyStart::of(&put.source, &put.exec);
        Record::Drop(Dropped { put_id: put.put_id, key, when_ms: 0, reason: DropReason::MaxFiles })
    }

    /// 40 entries in a segment and 20 in the log, of which slices take five.
    fn manifest() -> (Disk, Manifest) {
        let disk = Disk::new(5);
        disk.plant_dir("/store/v1");
        disk.set_size("ENTRIES_SLICE", 5);
        let fs = Fs::Sim(disk.process());
        let dir = Arc::new(fs.open_root("/store/v1".as_ref()).unwrap());
        let manifest = Manifest::open(&fs, dir, Access::Append, Durability::Lazy).unwrap();
        (1..=40).for_each(|number| append(&manifest, keyed(number)));
        assert!(matches!(manifest.compact(), Ok(Compacted::Yes(_))));
        (41..=60).for_each(|number| append(&manifest, keyed(number)));
        (disk, manifest)
    }

    fn ids(entries: &[Arc<Put>]) -> Vec<PutId> {
        entries.iter().map(|put| put.put_id).collect()
    }

    /// All, with what happens between two slices.
    fn listed(manifest: &Manifest, between: &mut dyn FnMut()) -> Vec<PutId> {
        let push = &mut |all: &mut Vec<Arc<Put>>, put: Arc<Put>| all.push(put);
        let (mut all, mark) = manifest.in_slices(push, between);
        in_order(&mut all, mark.order);
        ids(&all)
    }

    #[test]
    fn between_any_two_slices_a_find_and_an_append_of_the_same_handle_get_through() {
        let (_disk, manifest) = manifest();
        let (mut rounds, mut next) = (0, 100);
        let all = listed(&manifest, &mut || {
            rounds += 1;
            let known = keyed(rounds % 60 + 1);
            assert!(manifest.newest(&known.source, &known.exec, false).is_some(), "{rounds}");
            if rounds < 30 {
                next += 1;
                append(&manifest, keyed(next));
            }
        });
        // Eight of the segment, four of the log; then what was appended meanwhile.
        assert!(rounds >= 12, "only {rounds} slices");
        assert_eq!(all, (1..=60).chain(101..=next).collect::<Vec<_>>());
        assert_eq!(ids(&manifest.entries()), all);
    }

    #[test]
    fn an_entry_that_is_replaced_at_any_slice_is_listed_once_as_the_old_or_the_new_one() {
        for at in 1..=13 {
            for replaced in [3, 38, 45] {
                let (_disk, manifest) = manifest();
                let (mut rounds, old) = (0, keyed(replaced));
                let all = listed(&manifest, &mut || {
                    rounds += 1;
                    if rounds == at {
                        append(&manifest, Put { put_id: 1000, ..old.clone() });
                    }
                });
                let shown = all.iter().filter(|put_id| [replaced, 1000].contains(put_id)).count();
                assert_eq!(shown, 1, "{replaced} at {at}: {all:?}");
                assert_eq!(all.len(), 60, "{replaced} at {at}");
            }
        }
    }

    #[test]
    fn a_compaction_or_a_drop_at_any_slice_loses_no_other_entry() {
        for at in 1..=13 {
            for is_drop in [false, true] {
                let (_disk, manifest) = manifest();
                let (mut rounds, gone) = (0, keyed(7));
                let all = listed(&manifest, &mut || {
                    rounds += 1;
                    if rounds == at && is_drop {
                        manifest.append(&drop_of(&gone)).unwrap();
                    } else if rounds == at {
                        assert!(matches!(manifest.compact(), Ok(Compacted::Yes(_))));
                    }
                });
                let others: Vec<_> = all.iter().filter(|put_id| **put_id != 7).collect();
                assert_eq!(others.len(), 59, "at {at}: {all:?}");
            }
        }
    }

    #[test]
    fn a_handle_under_which_others_compact_again_and_again_still_lists_all() {
        let (_disk, manifest) = manifest();
        let mut next = 100;
        let all = listed(&manifest, &mut || {
            next += 1;
            append(&manifest, keyed(next));
            manifest.compact().unwrap();
        });
        assert!((1..=60).all(|put_id| all.contains(&put_id)), "{all:?}");
    }

    /// Of what is dropped while all is read, as much may count as shared as is dropped, and no more.
    #[test]
    fn the_size_is_never_less_than_what_is_there_whatever_was_dropped_while_it_was_weighed() {
        let (_disk, manifest) = manifest();
        let (entries, mark) = manifest.entries_since();
        let named: u64 = entries.iter().map(|put| put.bytes()).sum();
        // Number 8 shares all its objects with another, as far as the sweep knows.
        let shared = entries.iter().find(|put| put.put_id == 8).unwrap().bytes();
        manifest.append(&drop_of(&keyed(8))).unwrap();
        manifest.note_shared(shared, &mark);
        assert_eq!(manifest.size().bytes, named - shared);
        assert_eq!(manifest.size().entries, 59);
    }

    /// How long a find of another thread waits at most while all entries are read: all at once, and in slices. Figures
    /// for docs/testing.md and no assertion, for they are the machine's:
    /// `PLUGCACHE_LONG=1000000 cargo test --release --lib -- --ignored --nocapture how_long_a_find_waits`.
    #[test]
    #[ignore = "a million entries take a minute to make"]
    fn how_long_a_find_waits_for_a_listing() {
        let count = std::env::var("PLUGCACHE_LONG").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
        let temp = tempfile::tempdir().unwrap();
        let dir = Arc::new(Fs::Os.open_root(temp.path()).unwrap());
        let open = || Manifest::open(&Fs::Os, dir.clone(), Access::Append, Durability::Lazy).unwrap();
        let made = open();
        for number in 1..=count {
            append(&made, keyed(number));
            if number % 50_000 == 0 {
                made.compact().unwrap();
            }
        }
        for (how, is_sliced) in [("at once", false), ("in slices", true)] {
            let (manifest, known) = (open(), keyed(77));
            let is_done = std::sync::atomic::AtomicBool::new(false);
            let (worst, finds, took) = std::thread::scope(|scope| {
                let finder = scope.spawn(|| {
                    let (mut worst, mut finds) = (std::time::Duration::ZERO, 0u64);
                    while !is_done.load(std::sync::atomic::Ordering::Acquire) {
                        let begin = std::time::Instant::now();
                        assert!(manifest.newest(&known.source, &known.exec, false).is_some());
                        (worst, finds) = (worst.max(begin.elapsed()), finds + 1);
                    }
                    (worst, finds)
                });
                let begin = std::time::Instant::now();
                let all = if is_sliced { manifest.entries() } else { manifest.state().view.entries() };
                let took = begin.elapsed();
                is_done.store(true, std::sync::atomic::Ordering::Release);
                assert_eq!(all.len() as u64, count);
                let (worst, finds) = finder.join().unwrap();
                (worst, finds, took)
            });
            println!("{count} entries {how}: {took:?}, {finds} finds meanwhile, the slowest {worst:?}");
        }
    }

    #[test]
    fn what_a_mask_hides_is_not_listed_and_goes_with_the_next_compaction() {
        let (_disk, manifest) = manifest();
        let hidden = Put { put_id: 1000, brought: true, ..keyed(3) };
        append(&manifest, Put::mask(hidden.source, 999, 0));
        append(&manifest, hidden.clone());
        append(&manifest, Put { put_id: 1001, brought: true, ..keyed(45) });
        let shown = |manifest: &Manifest| ids(&manifest.visible());
        let (all, own) = (ids(&manifest.entries()), shown(&manifest));
        assert!(all.contains(&1000) && !own.contains(&1000) && own.contains(&1001), "{own:?}");
        assert!(own.contains(&3) && own.contains(&45), "what was added stays beside it");
        assert_eq!(manifest.newest(&hidden.source, &hidden.exec, false).map(|put| put.put_id), Some(3));
        assert!(matches!(manifest.compact(), Ok(Compacted::Yes(_))));
        assert!(!ids(&manifest.entries()).contains(&1000));
        let mut after = shown(&manifest);
        after.sort_unstable();
        let mut before = own;
        before.sort_unstable();
        assert_eq!(after, before);
    }
}
