//! Scrubbing: what is wrong is found, what is damaged is set aside, and nothing becomes worse by it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use plugcache::{
    __sim, Added, Cursor, ManifestFault, ObjectDigest, Outputs, ScrubOptions, ScrubReport, Store,
};

use super::damage::{self, Manifest, Place, bytes, found, get, sources};

/// Plugins of a small store.
const COUNT: usize = 5;

fn scrub(store: &Store) -> ScrubReport {
    store.scrub(ScrubOptions::new()).unwrap()
}

fn digest(number: usize) -> ObjectDigest {
    ObjectDigest::of_bytes(&bytes(number))
}

/// Writes into an object as somebody else would.
fn spoil(place: &Place, number: usize) {
    let path = place.object(number);
    damage::chmod(&path, 0o644);
    fs::write(&path, b"rotten").unwrap();
}

fn quarantined(place: &Place) -> Vec<PathBuf> {
    fs::read_dir(place.v1("quarantine")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_store_in_order_is_clean_and_all_of_it_was_looked_at() {
    let place = Place::with(COUNT);
    let report = scrub(&place.open());
    assert!(report.is_clean(), "{report:?}");
    let len: usize = (0..COUNT).map(|number| bytes(number).len()).sum();
    assert_eq!((report.checked, report.bytes), (COUNT as u64, len as u64));
    // With what was counted.
    assert!(report.frames >= COUNT as u64, "{report:?}");
    assert_eq!((report.orphaned.count, report.cursor), (0, None));
    assert!(__sim::compact(&place.open()));
    let report = scrub(&place.open());
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.checked, COUNT as u64);
    // What was counted stands in the log.
    assert!(report.frames >= COUNT as u64, "{report:?}");
    assert_eq!(scrub(&Place::new().open()), ScrubReport::default(), "where there is no store");
}

#[test]
fn damaged_missing_and_orphaned_objects_are_told_apart_and_only_damaged_ones_are_set_aside() {
    let place = Place::with(COUNT);
    spoil(&place, 0);
    fs::remove_file(place.object(1)).unwrap();
    let orphan = ObjectDigest::of_bytes(b"nobody's");
    let name = orphan.to_string();
    let orphan_path = place.v1(&format!("objects/{}/{}", &name[..2], &name[2..]));
    fs::write(&orphan_path, b"nobody's").unwrap();
    let foreign = place.v1("objects/00/notes.txt");
    fs::write(&foreign, b"not ours").unwrap();
    let report = scrub(&place.open());
    assert_eq!(report.damaged.listed, [digest(0)]);
    assert_eq!(report.missing.listed, [digest(1)]);
    assert_eq!(report.orphaned.listed, [orphan]);
    assert_eq!((report.set_aside, report.checked), (1, COUNT as u64 - 1));
    assert!(!report.is_clean());
    let aside: Vec<_> = quarantined(&place).iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(aside, [b"rotten"]);
    assert!(!place.object(0).exists() && orphan_path.exists());
    assert_eq!(fs::read(foreign).unwrap(), b"not ours");
    // And it is as a find would have it: built anew, and then all is well.
    place.must_work(COUNT, "after a scrub");
    assert!(scrub(&place.open()).is_clean());
}

#[test]
fn a_read_only_scrub_says_the_same_and_writes_nothing() {
    let place = Place::with(COUNT);
    spoil(&place, 0);
    fs::remove_file(place.object(1)).unwrap();
    let before = place.state();
    let store = Store::open(place.config().readonly(true).build()).unwrap();
    let report = scrub(&store);
    assert_eq!((report.damaged.listed, report.missing.listed), (vec![digest(0)], vec![digest(1)]));
    assert_eq!(report.set_aside, 0);
    place.must_be_as(&before, "a read-only scrub");
}

#[test]
fn a_damaged_object_in_use_is_reported_and_stays() {
    let place = Place::with(COUNT);
    let store = place.open();
    let held = store.find(&sources(0)).unwrap();
    spoil(&place, 0);
    let report = scrub(&place.open());
    assert_eq!((report.damaged.listed, report.set_aside), (vec![digest(0)], 0));
    assert!(place.object(0).exists());
    drop(held);
    assert_eq!(scrub(&place.open()).set_aside, 1);
}

#[test]
fn what_is_no_file_is_set_aside_and_what_cannot_be_read_stays() {
    let place = Place::with(COUNT);
    damage::plant(damage::Thing::Dir, &place.object(0), &place.beside("aside"));
    let report = scrub(&place.open());
    assert_eq!((report.damaged.listed, report.set_aside), (vec![digest(0)], 1));
    // Closed to its owner: root reads it all the same.
    damage::chmod(&place.object(1), 0o000);
    let report = scrub(&place.open());
    let unreadable = if damage::is_root() { vec![] } else { vec![digest(1)] };
    assert_eq!((report.unreadable.listed, report.damaged.count), (unreadable, 0));
    assert_eq!(fs::metadata(place.object(1)).unwrap().permissions().mode() & 0o777, 0);
}

#[test]
fn a_scrub_that_stops_says_where_another_goes_on_and_together_they_look_at_everything_once() {
    let place = Place::with(40);
    let mut looked = 0;
    let mut cursor: Option<Cursor> = None;
    for slice in 0.. {
        assert!(slice <= 40);
        let mut options = ScrubOptions::new().bytes_max(100).threads(2);
        if let Some(cursor) = cursor {
            // As another process would read it.
            options = options.from(cursor.to_string().parse().unwrap());
        }
        let report = place.open().scrub(options).unwrap();
        assert!(report.is_clean() && report.checked < 40, "{report:?}");
        looked += report.checked;
        cursor = report.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let distinct: std::collections::BTreeSet<_> = (0..40).map(digest).collect();
    assert_eq!(looked, distinct.len() as u64);
    assert!("0123".parse::<Cursor>().is_err());
}

#[test]
fn progress_goes_from_nothing_to_all_and_its_last_cursor_is_a_place_to_go_on() {
    let place = Place::with(40);
    for threads in [1, 3] {
        let mut told = Vec::new();
        let mut tell = |at: &plugcache::ScrubProgress| told.push(at.clone());
        let report = place.open().scrub(ScrubOptions::new().threads(threads).progress(&mut tell)).unwrap();
        assert_eq!(told.len() as u64, report.checked);
        assert!(
            told.windows(2).all(|pair| {
                pair[0].fraction() <= pair[1].fraction() && pair[0].checked < pair[1].checked
            })
        );
        let last = told.last().unwrap();
        assert_eq!((last.checked, last.bytes), (report.checked, report.bytes));
        assert!(last.fraction() > 0.5, "{}", last.fraction());
        let rest = place.open().scrub(ScrubOptions::new().from(last.cursor.unwrap())).unwrap();
        assert_eq!(rest.checked, 0);
        let half = told[19].cursor.unwrap();
        let rest = place.open().scrub(ScrubOptions::new().from(half)).unwrap();
        // One slow thread holds the cursor back: then more is looked at again, and nothing is left out.
        let most = if threads == 1 { report.checked - 10 } else { report.checked };
        assert!((1..=most).contains(&rest.checked), "{}", rest.checked);
    }
}

#[test]
fn a_scrub_reads_no_faster_than_it_was_asked_to() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.add(&sources(0), Outputs::bytes("out", vec![7; 1 << 20])), Ok(Added::Stored));
    for threads in [1, 2] {
        let begin = Instant::now();
        let report = store.scrub(ScrubOptions::new().threads(threads).bytes_per_second(4 << 20)).unwrap();
        assert_eq!(report.checked, 1);
        assert!(begin.elapsed() >= Duration::from_millis(250), "{:?}", begin.elapsed());
    }
}

#[test]
fn any_flipped_byte_of_the_manifest_is_reported_and_says_where() {
    let place = Place::with(3);
    assert!(__sim::compact(&place.open()));
    let manifest = Manifest::of(&place);
    let (name, segment) = manifest.file("seg.");
    for at in 0..segment.len() {
        let mut bad = segment.to_vec();
        bad[at] ^= 0x41;
        manifest.put_back_with(name, &bad);
        let store = Store::open(place.config().readonly(true).build()).unwrap();
        let report = store.scrub(ScrubOptions::new().threads(1)).unwrap();
        let faults: Vec<_> = report.manifest.iter().map(|damage| &damage.fault).collect();
        let here = report.manifest.iter().all(|damage| damage.file.as_os_str() == name);
        assert!(here && !faults.is_empty(), "byte {at}: {faults:?}");
        if at < 64 || at >= segment.len() - 128 {
            assert_eq!(faults, [&ManifestFault::Unusable], "byte {at}");
        }
    }
    manifest.put_back_with(name, segment);
    assert!(scrub(&place.open()).is_clean());
}

#[test]
fn damage_in_a_log_and_gaps_between_logs_are_reported() {
    let place = Place::with(3);
    let manifest = Manifest::of(&place);
    let (name, log) = manifest.file("log.");
    let faults = |place: &Place| -> Vec<_> {
        scrub(&place.open()).manifest.into_iter().map(|damage| damage.fault).collect()
    };
    // In the header, and in a frame that another follows.
    for (at, fault) in [(3, ManifestFault::Unusable), (100, ManifestFault::Frames { bytes: 320 })] {
        let mut bad = log.to_vec();
        bad[at] ^= 0x41;
        manifest.put_back_with(name, &bad);
        let now = faults(&place);
        let matches = match (&now[..], &fault) {
            ([ManifestFault::Frames { bytes }], ManifestFault::Frames { .. }) => *bytes > 0,
            ([now], fault) => now == fault,
            _ => false,
        };
        assert!(matches, "byte {at}: {now:?}");
    }
    manifest.put_back_with(name, log);
    fs::rename(place.v1("log.1"), place.v1("log.3")).unwrap();
    let report = scrub(&place.open());
    let gaps: Vec<_> = report.manifest.iter().map(|damage| damage.file.to_str().unwrap()).collect();
    assert_eq!(gaps, ["log.1", "log.2"]);
    assert!(report.manifest.iter().all(|damage| damage.fault == ManifestFault::Gap));
}

#[test]
fn scrubs_at_once_beside_adds_sweeps_and_compactions_lose_nothing_and_set_nothing_right_aside() {
    let place = Place::with(30);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let store = place.open();
                while !done.load(Ordering::Relaxed) {
                    let report = store.scrub(ScrubOptions::new().threads(2)).unwrap();
                    assert_eq!((report.damaged.count, report.set_aside), (0, 0), "{report:?}");
                    assert_eq!(report.unreadable.count, 0, "{report:?}");
                }
            });
        }
        let store = place.open();
        for round in 0..20 {
            for number in 30..36 {
                get(&store, number);
                store.forget(&sources(number).digest()).unwrap();
            }
            get(&store, 40 + round);
            __sim::sweep(&store);
            __sim::compact(&store);
        }
        done.store(true, Ordering::Relaxed);
    });
    let expected: Vec<_> = (0..30).chain(40..60).collect();
    assert_eq!(found(&place.open(), 60), expected);
    assert!(scrub(&place.open()).is_clean());
}

#[test]
fn two_scrubs_that_meet_at_damage_set_it_aside_once() {
    for _ in 0..10 {
        let place = Place::with(COUNT);
        (0..COUNT).for_each(|number| spoil(&place, number));
        let aside = || place.open().scrub(ScrubOptions::new().threads(2)).unwrap().set_aside;
        let (one, two) = thread::scope(|scope| {
            let other = scope.spawn(aside);
            (aside(), other.join().unwrap())
        });
        assert_eq!(quarantined(&place).len() as u64, one + two);
        // What both held at the same moment each left to the other.
        scrub(&place.open());
        assert_eq!(quarantined(&place).len(), COUNT);
    }
}
