//! What the logs say, in memory: the entries put since the segment, and what happened to the segment's own.
//!
//! Pure: records in, entries out. The order of the records is the order; no clock is in it (I19). A DROP or
//! TOUCH affects only the PUT that it names (I9).

use crate::sync::Arc;
use std::collections::{HashMap, HashSet};

use crate::{
    format::record::{Dropped, Put, PutId, Record, Touch},
    planted::{self, Bug},
};

/// What a PUT replaces: the same source digest, exec id and discovered inputs.
type Identity = ([u8; 32], [u8; 32], [u8; 16]);

#[derive(Debug, Default)]
pub(super) struct Table {
    /// Live entries of the logs.
    live: HashMap<PutId, Arc<Put>>,
    /// Their ids by source digest, in the order of adding.
    by_source: HashMap<[u8; 32], Vec<PutId>>,
    /// Everything that the logs have put, also if it was dropped since: hides the segment's entries.
    identities: HashSet<Identity>,
    gone: HashSet<PutId>,
    /// The last TOUCH of entries that are not in the logs.
    touched: HashMap<PutId, Touch>,
    next_order: u64,
}

impl Table {
    /// `entries`: how many the segment below holds; what the logs put comes after them in the order of adding.
    pub(super) fn over(entries: u64) -> Table {
        Table { next_order: entries + 1, ..Table::default() }
    }

    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Put(put) if put.is_sound() => self.put(*put),
            Record::Touch(touch) => self.touch(touch),
            Record::Drop(Dropped { put_id, .. }) => self.drop(put_id),
            // A header inside a log says nothing; a SEAL never comes here.
            Record::Put(_) | Record::Header(_) | Record::Footer(_) | Record::Seal => {}
        }
    }

    fn put(&mut self, mut put: Put) {
        if self.gone.contains(&put.put_id) || self.live.contains_key(&put.put_id) {
            return;
        }
        put.order = self.next_order;
        self.next_order += 1;
        self.identities.insert(put.identity());
        let ids = self.by_source.entry(put.source).or_default();
        let live = &mut self.live;
        ids.retain(|id| {
            let replaced = live.get(id).is_some_and(|old| old.identity() == put.identity());
            if replaced {
                live.remove(id);
            }
            !replaced
        });
        ids.push(put.put_id);
        self.live.insert(put.put_id, Arc::new(put));
    }

    fn touch(&mut self, touch: Touch) {
        match self.live.get_mut(&touch.put_id) {
            Some(put) => *put = touched(put, &touch),
            None => {
                let stamps = self.touched.remove(&touch.put_id).map(|old| old.stamps).unwrap_or_default();
                let stamps = if touch.stamps.is_empty() { stamps } else { touch.stamps };
                self.touched.insert(touch.put_id, Touch { stamps, ..touch });
            }
        }
    }

    fn drop(&mut self, put_id: PutId) {
        self.gone.insert(put_id);
        if let Some(put) = self.live.remove(&put_id)
            && let Some(ids) = self.by_source.get_mut(&put.source)
        {
            ids.retain(|id| *id != put_id);
        }
    }

    /// Live entries of the logs under this source digest, newest first.
    pub(super) fn of_source(&self, source: &[u8; 32]) -> impl Iterator<Item = Arc<Put>> {
        let ids = self.by_source.get(source).map(Vec::as_slice).unwrap_or_default();
        ids.iter().rev().filter_map(|id| self.live.get(id).cloned())
    }

    /// The segment's entry as the logs leave it; `None` if they dropped or replaced it.
    pub(super) fn over_segment(&self, put: Arc<Put>) -> Option<Arc<Put>> {
        let is_back = planted::is(Bug::TouchResurrects) && self.touched.contains_key(&put.put_id);
        let hidden = (self.gone.contains(&put.put_id) && !is_back)
            || self.live.contains_key(&put.put_id)
            || self.identities.contains(&put.identity());
        if hidden {
            return None;
        }
        Some(self.touched.get(&put.put_id).map_or_else(|| put.clone(), |touch| touched(&put, touch)))
    }

    pub(super) fn is_gone(&self, put_id: PutId) -> bool {
        self.gone.contains(&put_id)
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Live entries of the logs, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Put>> {
        self.live.values()
    }
}

fn touched(put: &Arc<Put>, touch: &Touch) -> Arc<Put> {
    let mut put = Put::clone(put);
    put.day = touch.day;
    if touch.stamps.len() == put.outputs.len() {
        for (output, stamp) in put.outputs.iter_mut().zip(&touch.stamps) {
            output.stamp = *stamp;
        }
    }
    Arc::new(put)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::{DropReason, tests::put};

    fn dropped(put_id: PutId) -> Record {
        Record::Drop(Dropped { put_id, reason: DropReason::Forgotten })
    }

    fn ids(table: &Table, source: u8) -> Vec<PutId> {
        table.of_source(&[source; 32]).map(|put| put.put_id).collect()
    }

    fn again(number: u8, put_id: PutId) -> Record {
        Record::Put(Box::new(Put { put_id, ..put(number) }))
    }

    #[test]
    fn a_later_put_of_the_same_identity_replaces_the_earlier_one() {
        let mut table = Table::over(0);
        table.apply(again(1, 10));
        table.apply(again(1, 11));
        assert_eq!((ids(&table, 1), table.len()), (vec![11], 1));
    }

    #[test]
    fn other_discovered_inputs_stand_beside_each_other_newest_first() {
        let mut table = Table::over(0);
        table.apply(again(1, 10));
        table.apply(Record::Put(Box::new(Put { put_id: 11, discovered_id: [5; 16], ..put(1) })));
        assert_eq!(ids(&table, 1), [11, 10]);
    }

    #[test]
    fn a_drop_of_a_replaced_put_leaves_the_later_one() {
        let mut table = Table::over(0);
        for record in [again(1, 10), again(1, 11), dropped(10)] {
            table.apply(record);
        }
        assert_eq!(ids(&table, 1), [11]);
    }

    #[test]
    fn a_put_that_is_read_twice_stays_dropped() {
        let mut table = Table::over(0);
        for record in [again(1, 10), dropped(10), again(1, 10)] {
            table.apply(record);
        }
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_segments_entry_stays_hidden_when_what_replaced_it_is_dropped() {
        let mut table = Table::over(1);
        let old = Arc::new(put(1));
        assert!(table.over_segment(old.clone()).is_some());
        table.apply(again(1, 11));
        table.apply(dropped(11));
        assert_eq!(table.over_segment(old), None);
    }

    #[test]
    fn a_touch_without_stamps_keeps_those_of_the_touch_before() {
        let mut table = Table::over(1);
        let old = Arc::new(put(1));
        table.apply(Record::Touch(Touch { put_id: old.put_id, day: 1, stamps: vec![[7; 16]] }));
        table.apply(Record::Touch(Touch { put_id: old.put_id, day: 2, stamps: Vec::new() }));
        let now = table.over_segment(old).unwrap();
        assert_eq!((now.day, now.outputs[0].stamp), (2, [7; 16]));
    }
}
