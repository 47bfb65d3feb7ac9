//! Rebuilding a manifest: all that is readable comes back, and nothing that could be found is lost.

use std::{fs, thread};

use plugcache::{__sim, RebuildReport, ScrubOptions, Store, StoreError};

use super::damage::{self, Manifest, Place, found, frames, get, sources};

const COUNT: usize = 3;
const ALL: [usize; COUNT] = [0, 1, 2];

fn compacted() -> Place {
    let place = Place::with(COUNT);
    assert!(__sim::compact(&place.open()));
    place
}

fn rebuild(place: &Place) -> RebuildReport {
    place.open().rebuild().unwrap()
}

/// The plugins whose frames are not touched.
fn survivors(file: &[u8], is_damaged: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    // A segment says so behind the first frame's prefix.
    let (frames, put, slot) = match file[16] {
        1 => (damage::segment_frames(file), damage::ENTRY, 8),
        _ => (frames(file), damage::PUT, 64),
    };
    let ends = frames
        .into_iter()
        .map(|(at, kind, payload)| (at, kind, at + (16 + payload.len()).next_multiple_of(slot)));
    let puts: Vec<_> = ends.filter(|(_, kind, _)| *kind == put).collect();
    assert_eq!(puts.len(), COUNT);
    (0..COUNT).filter(|number| !is_damaged(puts[*number].0, puts[*number].2)).collect()
}

/// Afterwards the manifest is one segment and one log, and in order.
#[track_caller]
fn must_be_in_order(place: &Place, case: &str) {
    let names: Vec<_> = fs::read_dir(place.v1("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let count = |prefix: &str| names.iter().filter(|name| name.to_string_lossy().starts_with(prefix)).count();
    assert_eq!((count("seg."), count("log.")), (1, 1), "{case}: {names:?}");
    let report = place.open().scrub(ScrubOptions::new().threads(1)).unwrap();
    assert_eq!(report.manifest, [], "{case}");
}

/// Every damage, then what is found before and after a rebuild.
fn each_flip(place: &Place, prefix: &str, judge: impl Fn(usize, &[usize], &[usize], &RebuildReport)) {
    let manifest = Manifest::of(place);
    let (name, file) = manifest.file(prefix);
    for at in 0..file.len() {
        let mut bad = file.to_vec();
        bad[at] ^= 0x41;
        manifest.put_back_with(name, &bad);
        let before = found(&place.open(), COUNT);
        let report = rebuild(place);
        let after = found(&place.open(), COUNT);
        assert!(
            before.iter().all(|number| after.contains(number)),
            "byte {at} of {name}: {before:?}, {after:?}"
        );
        assert_eq!(report.entries as usize, after.len(), "byte {at} of {name}");
        judge(at, &before, &after, &report);
        if at % 16 == 0 {
            must_be_in_order(place, &format!("byte {at} of {name}"));
        }
    }
}

#[test]
fn of_a_segment_with_a_wrong_byte_anywhere_all_comes_back_but_the_entry_of_its_frame() {
    let place = compacted();
    let segment = fs::read(place.v1("seg.1-1")).unwrap();
    each_flip(&place, "seg.", |at, before, after, report| {
        let expected = survivors(&segment, |start, end| (start..end).contains(&at));
        assert_eq!(after, expected, "byte {at}");
        let is_unusable = at < 64 || at >= segment.len() - 128;
        assert_eq!(report.salvaged as usize, if is_unusable { COUNT } else { 0 }, "byte {at}");
        assert!(!report.damage.is_empty() && (before.is_empty() || !is_unusable), "byte {at}");
    });
}

#[test]
fn of_a_log_with_a_wrong_byte_anywhere_all_comes_back_but_the_entry_of_its_frame() {
    let place = Place::with(COUNT);
    let log = fs::read(place.v1("log.1")).unwrap();
    each_flip(&place, "log.", |at, _, after, report| {
        assert_eq!(after, survivors(&log, |start, end| (start..end).contains(&at)), "byte {at}");
        assert_eq!(report.salvaged as usize, if at < 64 { COUNT } else { 0 }, "byte {at}");
    });
}

#[test]
fn of_a_segment_that_is_cut_all_whole_frames_come_back() {
    let place = compacted();
    let manifest = Manifest::of(&place);
    let (name, segment) = manifest.file("seg.");
    for len in (0..segment.len()).step_by(7) {
        manifest.put_back_with(name, &segment[..len]);
        rebuild(&place);
        let expected = if len < 64 { vec![] } else { survivors(segment, |_, end| end > len) };
        assert_eq!(found(&place.open(), COUNT), expected, "cut to {len}");
    }
}

#[test]
fn a_header_of_which_only_the_seed_is_left_is_enough() {
    // So many that they share strings, which are found without the footer.
    let place = Place::with(6);
    assert!(plugcache::__sim::compact(&place.open()));
    let mut segment = fs::read(place.v1("seg.1-1")).unwrap();
    assert!(damage::segment_frames(&segment).iter().any(|(_, kind, _)| *kind == damage::ITEM));
    segment[..16].fill(0xEE);
    segment[25..64].fill(0xEE);
    let len = segment.len();
    segment[len - 128..].fill(0xEE);
    fs::write(place.v1("seg.1-1"), segment).unwrap();
    assert_eq!(rebuild(&place).salvaged, 6);
    assert_eq!(found(&place.open(), 6), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn across_a_gap_in_the_numbers_all_that_is_there_is_kept() {
    let place = Place::with(2);
    fs::rename(place.v1("log.1"), place.v1("log.7")).unwrap();
    get(&place.open(), 2);
    assert_eq!(rebuild(&place).entries as usize, COUNT);
    assert_eq!(found(&place.open(), COUNT), ALL);
    must_be_in_order(&place, "a gap");
}

#[test]
fn what_was_dropped_or_replaced_since_stays_so() {
    let place = compacted();
    let store = place.open();
    assert_eq!(store.forget(&sources(0).digest()).unwrap(), 1);
    drop(store);
    let mut segment = fs::read(place.v1("seg.1-1")).unwrap();
    let len = segment.len();
    segment[len - 60] ^= 1;
    fs::write(place.v1("seg.1-1"), segment).unwrap();
    assert_eq!(found(&place.open(), COUNT), [0; 0]);
    get(&place.open(), 1);
    let report = rebuild(&place);
    assert_eq!((report.entries, report.salvaged), (2, 1));
    assert_eq!(found(&place.open(), COUNT), [1, 2]);
    // And once it is rebuilt nothing more is hidden.
    assert_eq!(rebuild(&place).salvaged, 0);
    assert_eq!(found(&place.open(), COUNT), [1, 2]);
}

#[test]
fn a_drop_in_a_damaged_log_takes_nothing_that_a_reader_saw() {
    let place = compacted();
    place.open().forget(&sources(0).digest()).unwrap();
    let mut log = fs::read(place.v1("log.2")).unwrap();
    log[3] ^= 1;
    fs::write(place.v1("log.2"), log).unwrap();
    assert_eq!(found(&place.open(), COUNT), ALL, "the drop is hidden");
    rebuild(&place);
    assert_eq!(found(&place.open(), COUNT), ALL);
}

#[test]
fn only_a_store_that_may_be_written_to_is_rebuilt_and_one_that_is_not_there_is_none() {
    let place = Place::with(1);
    let before = place.state();
    let store = Store::open(place.config().readonly(true).build()).unwrap();
    assert!(matches!(store.rebuild(), Err(StoreError::ReadOnly)));
    place.must_be_as(&before, "a read-only store");
    assert_eq!(rebuild(&Place::new()), RebuildReport::default());
    assert!(matches!(Store::disabled("no").rebuild(), Err(StoreError::Disabled(_))));
}

#[test]
fn rebuilds_beside_adds_and_compactions_lose_nothing() {
    let place = Place::with(10);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let store = place.open();
            (0..10).for_each(|_| assert!(store.rebuild().unwrap().entries >= 10));
        });
        let store = place.open();
        for number in 10..40 {
            get(&store, number);
            __sim::compact(&store);
        }
        other.join().unwrap();
    });
    assert_eq!(found(&place.open(), 40).len(), 40);
}
