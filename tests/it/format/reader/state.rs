//! Chapter "The state": all entries of a store.

use super::{
    logs::frames_of_log,
    put::Put,
    records::{Record, record_of},
    segments::Segment,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

/// All entries of a store by their order, from its directory `v1`.
pub(crate) fn entries_of(v1: &Path) -> Vec<Put> {
    let (mut logs, mut segments) = (BTreeMap::new(), BTreeMap::new());
    for entry in fs::read_dir(v1).unwrap() {
        let (name, path) = entry.map(|entry| (entry.file_name(), entry.path())).unwrap();
        let name = name.to_str().unwrap();
        if let Some(number) = name.strip_prefix("log.") {
            logs.insert(number.parse::<u64>().unwrap(), fs::read(path).unwrap());
        } else if let Some((first, last)) = name.strip_prefix("seg.").and_then(|range| range.split_once('-'))
        {
            segments.insert(last.parse::<u64>().unwrap(), (first.parse().unwrap(), fs::read(path).unwrap()));
        }
    }
    let newest = segments.iter().next_back();
    let segment =
        newest.map(|(last, (first, bytes))| Segment::open(bytes, *first, *last).expect("a right segment"));
    let base = newest.map_or(0, |(last, _)| *last);
    let mut live: HashMap<u64, Put> =
        segment.iter().flat_map(Segment::puts).map(|put| (put.put_id, put)).collect();
    let mut order = segment.as_ref().map_or(0, |segment| segment.footer.entries);
    for (_, bytes) in logs.range(base + 1..) {
        let (frames, sealed) = frames_of_log(bytes);
        for (record, _) in frames.iter().filter_map(record_of) {
            apply(&mut live, &mut order, record);
        }
        if !sealed {
            break;
        }
    }
    // R10a and W6d.
    let is_mask = |put: &Put| put.exec == *b"plugcache: hides what lies below";
    let masked: HashSet<_> = live.values().filter(|put| is_mask(put)).map(|put| put.source).collect();
    live.retain(|_, put| !put.brought || !masked.contains(&put.source));
    let mut entries: Vec<_> = live.into_values().collect();
    entries.sort_by_key(|put| put.order);
    entries
}

/// Enough for logs in which every put id is put once.
fn apply(live: &mut HashMap<u64, Put>, order: &mut u64, record: Record) {
    match record {
        Record::Put(put) => {
            let identity = |put: &Put| (put.source, put.exec, put.discovered_id);
            live.retain(|_, old| identity(old) != identity(&put) || (put.brought && !old.brought));
            *order += 1;
            live.insert(put.put_id, Put { order: *order, ..*put });
        }
        Record::Touch(touch) => {
            if let Some(put) = live.get_mut(&touch.put_id) {
                put.day = touch.day;
                if touch.stamps.len() == put.outputs.len() {
                    put.outputs.iter_mut().zip(touch.stamps).for_each(|(output, stamp)| output.stamp = stamp);
                }
            }
        }
        Record::Drop { put_id, .. } => {
            live.remove(&put_id);
        }
        Record::Header(_) | Record::Seal | Record::Footer(_) | Record::Count { .. } => {}
        Record::Entry(_) | Record::Item(..) => unreachable!("they are unknown in a log"),
    }
}
