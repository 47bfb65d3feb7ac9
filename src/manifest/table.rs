//! What the logs say, in memory: the entries put since the segment, and what happened to the segment's own.
//!
//! Pure: records in, entries out. The order of the records is the order; no clock is in it (I19). A DROP or
//! TOUCH affects only the PUT that it names (I9).

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use super::{past::Past, size::Fresh};
use crate::{
    format::{
        put::Head,
        record::{Put, PutId, Record, Said, Touch, is_replaced},
        skim::Skimmed,
    },
    planted::{self, Bug},
    sync::Arc,
};

/// What an entry of few sources takes in a log.
const ENTRY_BYTES: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Table {
    /// Everything that the logs have put, by source digest, in the order of adding. What was dropped since stays:
    /// it hides the segment's entries.
    by_source: HashMap<[u8; 32], Vec<Logged>, Uniform>,
    /// The source digests of live entries.
    live: HashMap<PutId, [u8; 32], Uniform>,
    gone: HashSet<PutId, Uniform>,
    /// The last TOUCH of entries that are not in the logs, or not decoded.
    touched: HashMap<PutId, Touched, Uniform>,
    /// Payloads that nobody has asked for yet, one after the other.
    payloads: Vec<u8>,
    /// Sum of the lengths of the outputs of all live entries.
    bytes: u128,
    next_order: u64,
    /// What was counted and dropped.
    pub(super) past: Past,
    /// What may have hidden entries of the segment, and was not looked up yet.
    pub(super) fresh: Vec<Fresh>,
    /// Sum of the lengths of all that was dropped or replaced.
    pub(super) gone_bytes: u64,
}

#[derive(Debug)]
struct Touched {
    touch: Touch,
    /// The segment's entry as it is with it, once that was asked for.
    put: Option<Arc<Put>>,
}

/// One PUT of the logs.
#[derive(Debug)]
struct Logged {
    put_id: PutId,
    exec: [u8; 32],
    discovered_id: [u8; 16],
    brought: bool,
    order: u64,
    day: u32,
    outputs: usize,
    bytes: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Where its payload lies in `payloads`.
    Undecoded(std::ops::Range<usize>),
    Decoded(Arc<Put>),
    /// Dropped, or replaced.
    Gone,
}

impl Logged {
    /// Whether it is about the same exec id and discovered inputs (and source digest).
    fn is_of(&self, exec: &[u8; 32], discovered_id: &[u8; 16]) -> bool {
        self.exec == *exec && self.discovered_id == *discovered_id
    }
}

/// An entry of the segment, as far as it matters to whether the logs have dropped or replaced it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entered<'a> {
    put_id: PutId,
    source: &'a [u8; 32],
    exec: &'a [u8; 32],
    discovered_id: &'a [u8; 16],
    brought: bool,
}

impl<'a> Entered<'a> {
    pub(super) fn of_head(head: &'a Head<'_>) -> Entered<'a> {
        Entered {
            put_id: head.put_id,
            source: &head.source,
            exec: head.exec.unwrap_or(&[0; 32]),
            discovered_id: &head.discovered_id,
            brought: head.brought,
        }
    }

    fn of_put(put: &'a Put) -> Entered<'a> {
        Entered {
            put_id: put.put_id,
            source: &put.source,
            exec: &put.exec,
            discovered_id: &put.discovered_id,
            brought: put.brought,
        }
    }
}

impl Table {
    /// `entries`: how many the segment below holds; what the logs put comes after them in the order of adding.
    pub(super) fn over(entries: u64) -> Table {
        Table { next_order: entries + 1, ..Table::default() }
    }

    /// So many bytes of a log are to come: what holds their entries does not grow step by step.
    pub(super) fn expect(&mut self, bytes: usize) {
        let entries = bytes / ENTRY_BYTES;
        self.by_source.reserve(entries);
        self.live.reserve(entries);
        self.fresh.reserve(entries);
        self.payloads.reserve(bytes);
    }

    /// Takes in a frame; `payload` is what it carries.
    pub(super) fn apply(&mut self, said: Said, payload: &[u8]) {
        match said {
            Said::Put(put) if put.is_sound => self.put(&put, payload),
            Said::Record(Record::Touch(touch)) => self.touch(touch),
            Said::Record(Record::Drop(dropped)) => {
                self.past.dropped(&dropped);
                self.fresh.push(Fresh::Dropped(dropped.put_id, dropped.key));
                self.drop(dropped.put_id);
            }
            Said::Record(Record::Count(count)) => self.past.count(count),
            // A header inside a log says nothing; a SEAL never comes here.
            Said::Put(_) | Said::Record(_) => {}
        }
    }

    fn put(&mut self, put: &Skimmed, payload: &[u8]) {
        if self.gone.contains(&put.put_id) || self.live.contains_key(&put.put_id) {
            return;
        }
        // Mostly there is one alone.
        let of_source = self.by_source.entry(put.source).or_insert_with(|| Vec::with_capacity(1));
        of_source.retain(|old| {
            let replaced = old.is_of(&put.exec, &put.discovered_id) && is_replaced(old.brought, put.brought);
            if replaced && self.live.remove(&old.put_id).is_some() {
                self.bytes -= u128::from(old.bytes);
                self.gone_bytes = self.gone_bytes.saturating_add(old.bytes);
            }
            !replaced
        });
        let at = self.payloads.len();
        self.payloads.extend(payload);
        of_source.push(Logged {
            put_id: put.put_id,
            exec: put.exec,
            discovered_id: put.discovered_id,
            brought: put.brought,
            order: self.next_order,
            day: put.day,
            outputs: put.outputs,
            bytes: put.bytes,
            state: State::Undecoded(at..self.payloads.len()),
        });
        self.next_order += 1;
        self.bytes += u128::from(put.bytes);
        self.live.insert(put.put_id, put.source);
        self.past.put(&put.source, &put.exec);
        self.fresh.push(Fresh::Put(put.source));
    }

    fn touch(&mut self, mut touch: Touch) {
        let source = self.live.get(&touch.put_id);
        let of_source = source.and_then(|source| self.by_source.get_mut(source));
        if let Some(logged) = of_source.into_iter().flatten().find(|logged| logged.put_id == touch.put_id) {
            logged.day = touch.day;
            if let State::Decoded(put) = &mut logged.state {
                *put = touched(put, &touch);
                return;
            }
            if touch.stamps.len() != logged.outputs {
                touch.stamps.clear();
            }
        }
        let stamps = self.touched.remove(&touch.put_id).map(|old| old.touch.stamps).unwrap_or_default();
        let stamps = if touch.stamps.is_empty() { stamps } else { touch.stamps };
        self.touched.insert(touch.put_id, Touched { touch: Touch { stamps, ..touch }, put: None });
    }

    fn drop(&mut self, put_id: PutId) {
        self.gone.insert(put_id);
        if let Some(source) = self.live.remove(&put_id)
            && let Some(of_source) = self.by_source.get_mut(&source)
            && let Some(logged) = of_source.iter_mut().find(|logged| logged.put_id == put_id)
        {
            self.bytes -= u128::from(logged.bytes);
            self.gone_bytes = self.gone_bytes.saturating_add(logged.bytes);
            logged.state = State::Gone;
        }
    }

    /// Live entries of the logs under this source digest, newest first.
    pub(super) fn of_source(&mut self, source: &[u8; 32]) -> Vec<Arc<Put>> {
        let of_source = self.by_source.get_mut(source).map(Vec::as_mut_slice).unwrap_or_default();
        let newest_first = of_source.iter_mut().rev();
        newest_first.filter_map(|logged| decoded(logged, &self.payloads, &mut self.touched)).collect()
    }

    /// Live entries of the logs, in no order.
    pub(super) fn entries(&mut self) -> Vec<Arc<Put>> {
        let all = self.by_source.values_mut().flatten();
        all.filter_map(|logged| decoded(logged, &self.payloads, &mut self.touched)).collect()
    }

    /// The first live entry of the logs under this source digest, newest first, that is the one.
    pub(super) fn find(
        &mut self,
        source: &[u8; 32],
        is_it: &mut dyn FnMut(&Arc<Put>) -> bool,
    ) -> Option<Arc<Put>> {
        let newest_first = self.by_source.get_mut(source)?.iter_mut().rev();
        let mut found = newest_first.filter_map(|logged| decoded(logged, &self.payloads, &mut self.touched));
        found.find(|put| is_it(put))
    }

    /// The place that the next PUT gets in the order of adding.
    pub(super) fn next_order(&self) -> u64 {
        self.next_order
    }

    /// Whether an entry that was put at or after this place names an object.
    pub(super) fn names_since(&mut self, order: u64, object: &[u8; 32]) -> bool {
        let since = self.by_source.values_mut().flatten().filter(|logged| logged.order >= order);
        let mut puts = since.filter_map(|logged| decoded(logged, &self.payloads, &mut self.touched));
        puts.any(|put| put.outputs.iter().any(|output| output.object == *object))
    }

    /// The last TOUCH of a put id that the logs have not put.
    pub(super) fn touch_of(&self, put_id: PutId) -> Option<&Touch> {
        self.touched.get(&put_id).map(|touched| &touched.touch)
    }

    /// Every TOUCH with stamps, of this day or later, of a put id that the logs have neither put nor dropped.
    pub(super) fn vouched_elsewhere(&self, since: u32) -> HashMap<PutId, &Touch> {
        let touches = self.touched.values().map(|touched| &touched.touch);
        let recent = touches.filter(|touch| touch.day >= since && !touch.stamps.is_empty());
        let is_known = |put_id| self.live.contains_key(put_id) || self.gone.contains(put_id);
        recent.filter(|touch| !is_known(&touch.put_id)).map(|touch| (touch.put_id, touch)).collect()
    }

    /// A live entry of the logs.
    pub(super) fn get(&mut self, put_id: PutId) -> Option<Arc<Put>> {
        let source = *self.live.get(&put_id)?;
        self.find(&source, &mut |put| put.put_id == put_id)
    }

    /// Id, place in the order and day of the last use of all live entries of the logs, in no order.
    pub(super) fn live(&self) -> impl Iterator<Item = (PutId, u64, u32)> + '_ {
        let all = self.by_source.values().flatten();
        let live = all.filter(|logged| !matches!(logged.state, State::Gone));
        live.map(|logged| (logged.put_id, logged.order, logged.day))
    }

    /// The segment's entry as the logs leave it; `None` if they dropped or replaced it.
    pub(super) fn over_segment(&mut self, put: &Arc<Put>) -> Option<Arc<Put>> {
        if self.hides(&Entered::of_put(put)) {
            return None;
        }
        let Some(now) = self.touched.get_mut(&put.put_id) else {
            return Some(put.clone());
        };
        Some(now.put.get_or_insert_with(|| touched(put, &now.touch)).clone())
    }

    /// Whether the logs dropped or replaced this entry of the segment.
    pub(super) fn hides(&self, entry: &Entered<'_>) -> bool {
        let Entered { put_id, source, exec, discovered_id, brought } = *entry;
        let is_back = planted::is(Bug::TouchResurrects) && self.touched.contains_key(&put_id);
        let is_replaced =
            |logged: &Logged| logged.is_of(exec, discovered_id) && is_replaced(brought, logged.brought);
        (self.gone.contains(&put_id) && !is_back)
            || self.live.contains_key(&put_id)
            || self.by_source.get(source).is_some_and(|logged| logged.iter().any(is_replaced))
    }

    /// The day of the last use of an entry of the segment, if the logs know a later one.
    pub(super) fn day_of(&self, put_id: PutId) -> Option<u32> {
        self.touched.get(&put_id).map(|touched| touched.touch.day)
    }

    /// How many live entries the logs hold.
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Sum of the lengths of their outputs.
    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(u64::MAX)
    }
}

/// The entry, decoded when it is first asked for; `None` if it is gone.
fn decoded(
    logged: &mut Logged,
    payloads: &[u8],
    touches: &mut HashMap<PutId, Touched, Uniform>,
) -> Option<Arc<Put>> {
    if let State::Undecoded(range) = &logged.state {
        // What was skimmed decodes; else it would be as if it were gone.
        let put = Put::of_payload(payloads.get(range.clone())?).ok()?;
        let put = Arc::new(Put { order: logged.order, ..put });
        let touch = touches.remove(&logged.put_id);
        logged.state = State::Decoded(touch.map_or_else(|| put.clone(), |now| touched(&put, &now.touch)));
    }
    match &logged.state {
        State::Decoded(put) => Some(put.clone()),
        State::Undecoded(_) | State::Gone => None,
    }
}

fn touched(put: &Arc<Put>, touch: &Touch) -> Arc<Put> {
    let mut put = Put::clone(put);
    put.day = touch.day;
    if touch.stamps.len() == put.outputs.len() {
        for (output, stamp) in put.outputs.iter_mut().zip(&touch.stamps) {
            // What is packed has no file to be vouched for.
            if output.packed.is_none() {
                output.stamp = *stamp;
            }
        }
    }
    Arc::new(put)
}

/// Hashes keys that are random already: digests and put ids.
pub(super) type Uniform = BuildHasherDefault<FirstBytes>;

#[derive(Default)]
pub(super) struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        let first = bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        self.0 ^= first;
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    /// The length that comes before the bytes of an array: the same for all keys.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        frame,
        record::{self, DropReason, tests::put},
    };

    /// Takes in a record as a log would give it.
    fn apply(table: &mut Table, record: Record) {
        let bytes = record.to_frame(7).unwrap();
        let frame = frame::decode(&bytes, 7).unwrap();
        table.apply(Record::skim(&frame).unwrap(), frame.payload);
    }

    fn dropped(put_id: PutId) -> Record {
        record::tests::dropped(put_id, DropReason::Forgotten)
    }

    fn ids(table: &mut Table, source: u8) -> Vec<PutId> {
        table.of_source(&[source; 32]).iter().map(|put| put.put_id).collect()
    }

    fn again(number: u8, put_id: PutId) -> Record {
        Record::Put(Box::new(Put { put_id, ..put(number) }))
    }

    #[test]
    fn a_later_put_of_the_same_identity_replaces_the_earlier_one() {
        let mut table = Table::over(0);
        apply(&mut table, again(1, 10));
        apply(&mut table, again(1, 11));
        assert_eq!((ids(&mut table, 1), table.len()), (vec![11], 1));
    }

    #[test]
    fn other_discovered_inputs_stand_beside_each_other_newest_first() {
        let mut table = Table::over(0);
        apply(&mut table, again(1, 10));
        apply(&mut table, Record::Put(Box::new(Put { put_id: 11, discovered_id: [5; 16], ..put(1) })));
        assert_eq!(ids(&mut table, 1), [11, 10]);
    }

    fn brought(number: u8, put_id: PutId) -> Put {
        Put { put_id, brought: true, ..put(number) }
    }

    #[test]
    fn what_was_brought_replaces_its_like_and_nothing_that_was_added() {
        let mut table = Table::over(0);
        let record = |put: Put| Record::Put(Box::new(put));
        apply(&mut table, again(1, 10));
        apply(&mut table, record(brought(1, 11)));
        assert_eq!(ids(&mut table, 1), [11, 10]);
        apply(&mut table, record(brought(1, 12)));
        assert_eq!(ids(&mut table, 1), [12, 10]);
        let of_segment = |put: Put| Arc::new(Put { put_id: 1, ..put });
        apply(&mut table, record(brought(2, 20)));
        assert!(table.over_segment(&of_segment(put(2))).is_some());
        assert!(table.over_segment(&of_segment(brought(2, 1))).is_none());
        apply(&mut table, again(1, 13));
        assert_eq!((ids(&mut table, 1), table.len()), (vec![13], 2));
    }

    #[test]
    fn a_drop_of_a_replaced_put_leaves_the_later_one() {
        let mut table = Table::over(0);
        for record in [again(1, 10), again(1, 11), dropped(10)] {
            apply(&mut table, record);
        }
        assert_eq!(ids(&mut table, 1), [11]);
    }

    #[test]
    fn a_put_that_is_read_twice_stays_dropped() {
        let mut table = Table::over(0);
        for record in [again(1, 10), dropped(10), again(1, 10)] {
            apply(&mut table, record);
        }
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_segments_entry_stays_hidden_when_what_replaced_it_is_dropped() {
        let mut table = Table::over(1);
        let old = Arc::new(put(1));
        assert!(table.over_segment(&old).is_some());
        apply(&mut table, again(1, 11));
        apply(&mut table, dropped(11));
        assert_eq!(table.over_segment(&old), None);
    }

    #[test]
    fn a_touch_without_stamps_keeps_those_of_the_touch_before() {
        let mut table = Table::over(1);
        let old = Arc::new(put(1));
        apply(&mut table, Record::Touch(Touch { put_id: old.put_id, day: 1, stamps: vec![[7; 16]] }));
        apply(&mut table, Record::Touch(Touch { put_id: old.put_id, day: 2, stamps: Vec::new() }));
        let now = table.over_segment(&old).unwrap();
        assert_eq!((now.day, now.outputs[0].stamp), (2, [7; 16]));
    }
}
