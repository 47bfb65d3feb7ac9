//! What the logs say of the past: what handles counted, and which entries were dropped last.
//!
//! Bounded, and no more than knowledge for people: no entry depends on it. It outlives a compaction as one COUNT
//! frame in the log that goes on, which stands for all logs up to the last one compacted; so whoever is killed
//! between writing that and removing those leaves nothing counted twice.

use std::collections::{BTreeMap, HashMap};

use super::table::Uniform;
use crate::{
    format::record::{Count, DayCount, DropNote, Dropped, KeyStart},
    planted::{self, Bug},
};

/// The last so many dropped entries are remembered across a compaction (17 KiB), at most twice as many before it.
pub(super) const DROPS_MAX: usize = 512;

/// Of so many days finds are remembered across a compaction: a year.
pub(super) const DAYS_MAX: usize = 366;

/// What was counted, by the number that says what.
pub(crate) type Counts = BTreeMap<u8, u64>;

/// What one log has counted, or all up to one.
#[derive(Debug, Default)]
struct Sums {
    counts: Counts,
    /// Hits and misses of days.
    days: BTreeMap<u32, (u64, u64)>,
}

impl Sums {
    fn add(&mut self, counts: impl IntoIterator<Item = (u8, u64)>, days: impl IntoIterator<Item = DayCount>) {
        for (what, number) in counts {
            let sum = self.counts.entry(what).or_default();
            *sum = sum.saturating_add(number);
        }
        for DayCount { day, hits, misses } in days {
            let sum = self.days.entry(day).or_default();
            *sum = (sum.0.saturating_add(hits), sum.1.saturating_add(misses));
            if self.days.len() > DAYS_MAX {
                self.days.pop_first();
            }
        }
    }

    /// The oldest first.
    fn days(&self) -> impl Iterator<Item = DayCount> + '_ {
        self.days.iter().map(|(&day, &(hits, misses))| DayCount { day, hits, misses })
    }
}

#[derive(Debug, Default)]
pub(super) struct Past {
    /// The log that is being read.
    log: u64,
    /// By the number of the log; a sum stands under the last log that it stands for.
    counts: BTreeMap<u64, Sums>,
    /// With the place in the order of dropping.
    dropped: HashMap<KeyStart, (u64, DropNote), Uniform>,
    drops: u64,
}

impl Past {
    /// What comes from here on was read from log `number`.
    pub(super) fn begin(&mut self, number: u64) {
        self.log = number;
    }

    pub(super) fn count(&mut self, count: Count) {
        let Count { upto, counts, dropped, days } = count;
        if upto >= self.log {
            // A sum of what is still to be read: not from any version of this.
            return;
        }
        let place = if upto == 0 {
            self.log
        } else {
            self.counts.retain(|log, _| *log > upto || planted::is(Bug::CountedTwice));
            upto
        };
        self.counts.entry(place).or_default().add(counts, days);
        dropped.into_iter().for_each(|note| self.note(note));
    }

    pub(super) fn dropped(&mut self, dropped: &Dropped) {
        let Dropped { key, when_ms, reason, .. } = dropped;
        self.note(DropNote { key: *key, when_ms: *when_ms, rule: reason.rule() });
    }

    fn note(&mut self, note: DropNote) {
        self.drops += 1;
        self.dropped.insert(note.key, (self.drops, note));
        if self.dropped.len() > 2 * DROPS_MAX {
            let kept = self.last_dropped();
            self.dropped = kept.into_iter().map(|(place, note)| (note.key, (place, note))).collect();
        }
    }

    /// The key was put again: that it was dropped explains nothing any more.
    pub(super) fn put(&mut self, source: &[u8; 32], exec: &[u8; 32]) {
        if !self.dropped.is_empty() {
            self.dropped.remove(&KeyStart::of(source, exec));
        }
    }

    /// The last that were dropped, the oldest first.
    fn last_dropped(&self) -> Vec<(u64, DropNote)> {
        let mut last: Vec<_> = self.dropped.values().copied().collect();
        last.sort_unstable_by_key(|(place, _)| *place);
        last.split_off(last.len().saturating_sub(DROPS_MAX))
    }

    /// Whether any dropped entry is remembered.
    pub(super) fn remembers(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Whether this key was dropped, as far back as is remembered.
    pub(super) fn of_key(&self, key: &KeyStart) -> Option<DropNote> {
        self.dropped.get(key).map(|(_, note)| *note)
    }

    /// All that was counted.
    pub(super) fn sums(&self) -> Counts {
        self.all().counts
    }

    /// The finds of the last days on which any were written down, the oldest first.
    pub(super) fn days(&self) -> Vec<DayCount> {
        self.all().days().collect()
    }

    fn all(&self) -> Sums {
        let mut all = Sums::default();
        for sums in self.counts.values() {
            all.add(sums.counts.iter().map(|(what, number)| (*what, *number)), sums.days());
        }
        all
    }

    /// All of it, to stand for the logs up to this one; `None` if there is nothing to say.
    pub(super) fn summed_up(&self, upto: u64) -> Option<Count> {
        let all = self.all();
        let days: Vec<_> = all.days().collect();
        let counts: Vec<_> = all.counts.into_iter().collect();
        let dropped: Vec<_> = self.last_dropped().into_iter().map(|(_, note)| note).collect();
        let is_empty = counts.is_empty() && dropped.is_empty() && days.is_empty();
        (!is_empty).then_some(Count { upto, counts, dropped, days })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        frame::FRAME_BYTES_MAX,
        record::{DropReason, DropRule, Record},
    };

    fn counted(upto: u64, number: u64) -> Count {
        Count { upto, counts: vec![(3, number)], ..Count::default() }
    }

    fn drop_of(number: u64) -> Dropped {
        let mut source = [0; 32];
        source[..8].copy_from_slice(&number.to_le_bytes());
        let key = KeyStart::of(&source, &[1; 32]);
        Dropped { put_id: number, key, when_ms: number, reason: DropReason::MaxFiles }
    }

    #[test]
    fn a_sum_replaces_what_it_stands_for_and_nothing_else() {
        let mut past = Past::default();
        past.begin(4);
        past.count(counted(0, 1));
        past.begin(5);
        past.count(counted(0, 10));
        past.count(counted(4, 1));
        past.count(counted(0, 100));
        assert_eq!(past.sums(), [(3, 111)].into());
        past.begin(7);
        past.count(counted(6, 111));
        assert_eq!(past.sums(), [(3, 111)].into());
    }

    #[test]
    fn days_add_up_across_logs_and_a_year_of_them_fits_a_frame_with_all_drops() {
        let day = |day, hits, misses| DayCount { day, hits, misses };
        let counted = |days: Vec<DayCount>| Count { days, ..Count::default() };
        let mut past = Past::default();
        past.begin(1);
        past.count(counted(vec![day(7, 1, 2), day(8, u64::MAX, 0)]));
        past.begin(2);
        past.count(counted(vec![day(8, 1, 1)]));
        assert_eq!(past.days(), [day(7, 1, 2), day(8, u64::MAX, 1)]);
        (0..5000).for_each(|number| past.dropped(&drop_of(number)));
        (0..1000).for_each(|number| past.count(counted(vec![day(number, u64::MAX, u64::MAX)])));
        let sum = past.summed_up(2).unwrap();
        assert_eq!((sum.days.len(), sum.days[0].day), (DAYS_MAX, 1000 - DAYS_MAX as u32));
        assert!(Record::Count(sum).to_frame(1).unwrap().len() <= FRAME_BYTES_MAX / 2);
    }

    #[test]
    fn a_sum_of_what_is_not_read_yet_says_nothing_and_none_wraps_round() {
        let mut past = Past::default();
        past.begin(2);
        past.count(counted(0, u64::MAX));
        past.count(counted(0, 7));
        past.count(counted(2, 1));
        past.count(counted(u64::MAX, 1));
        assert_eq!(past.sums(), [(3, u64::MAX)].into());
    }

    #[test]
    fn the_last_drops_are_remembered_their_sum_fits_a_frame_and_a_put_ends_one() {
        let mut past = Past::default();
        past.begin(1);
        (0..5000).for_each(|number| past.dropped(&drop_of(number)));
        assert!(past.dropped.len() <= 2 * DROPS_MAX);
        assert_eq!(past.of_key(&drop_of(0).key), None);
        let note = DropNote { key: drop_of(4999).key, when_ms: 4999, rule: DropRule::MaxFiles };
        assert_eq!(past.of_key(&note.key), Some(note));
        let sum = past.summed_up(1).unwrap();
        let numbers: Vec<_> = sum.dropped.iter().map(|note| note.when_ms).collect();
        assert_eq!(numbers, (5000 - DROPS_MAX as u64..5000).collect::<Vec<_>>());
        assert!(Record::Count(sum.clone()).to_frame(1).unwrap().len() <= FRAME_BYTES_MAX / 2);
        let mut later = Past::default();
        later.begin(2);
        later.count(sum);
        assert_eq!(later.of_key(&note.key), Some(note));
        let mut source = [0; 32];
        source[..8].copy_from_slice(&4999u64.to_le_bytes());
        later.put(&source, &[1; 32]);
        assert_eq!(later.of_key(&note.key), None);
    }
}
