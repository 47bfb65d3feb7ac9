//! Stores that a later version wrote, and frames that are right and say absurd things (I18, I5).
//!
//! A later version is understood as far as it goes, and nothing of it is cleared away; where it says so, it is
//! not touched at all. No value of a right frame makes anything panic.

use std::fs;

use plugcache::{__sim, How, OpenError, Outputs, ScrubOptions, Skip, Status, Store, StoreError};

use super::damage::{
    ENTRY, EXEC, PUT, Place, SEAL, append, bytes, found, frame, frames, get, header, put, seed_of,
    segment_frame, segment_frames, sources,
};

const ALL: [usize; 3] = [0, 1, 2];

/// What makes a store of plugins 0 to 2 partly one of a later version, behind its entries or instead of its
/// header.
fn partly_newer() -> Vec<(&'static str, Place)> {
    let later = |case, change: fn(&mut Vec<u8>)| {
        let place = Place::with(3);
        let mut log = fs::read(place.v1("log.1")).unwrap();
        change(&mut log);
        fs::write(place.v1("log.1"), log).unwrap();
        (case, place)
    };
    let segment = Place::with(3);
    assert!(__sim::compact(&segment.open()));
    let mut seg = fs::read(segment.v1("seg.1-1")).unwrap();
    let header_ = header(1, seed_of(&seg), [0, 4, 0]);
    seg[..64].copy_from_slice(&header_);
    fs::write(segment.v1("seg.1-1"), seg).unwrap();
    vec![
        later("an unknown kind", |log| log.extend(frame(77, 0, b"later", seed_of(log)))),
        later("an unknown flag", |log| log.extend(frame(SEAL, 1, b"", seed_of(log)))),
        later("an unknown value", |log| log.extend(frame(4, 0, &[0, 0, 0, 0, 0, 0, 0, 0, 9], seed_of(log)))),
        later("a longer payload", |log| log.extend(frame(SEAL, 0, b"why", seed_of(log)))),
        later("an unknown ro-compat flag", |log| {
            let changed = header(0, seed_of(log), [1, 1 << 31, 0]);
            log[..64].copy_from_slice(&changed);
        }),
        ("an unknown ro-compat flag of the segment", segment),
    ]
}

#[test]
fn what_is_understood_of_a_later_version_is_read_and_nothing_of_it_is_evicted_or_compacted() {
    for (case, place) in partly_newer() {
        let names = || {
            fs::read_dir(place.v1("")).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
        };
        let (before, log) = (names(), fs::read(place.v1("log.1")).unwrap_or_default());
        assert_eq!(found(&place.open(), 3), ALL, "{case}");
        let store = Store::open(place.config().max_files(1).max_bytes(1000).build()).unwrap();
        for number in 3..8 {
            assert_eq!(get(&store, number).how, How::Built, "{case}");
        }
        assert!(!__sim::compact(&store), "{case}");
        __sim::sweep(&store);
        assert_eq!((found(&place.open(), 8).len(), store.stats().evictions), (8, 0), "{case}");
        assert_eq!(names(), before, "{case}");
        assert!(fs::read(place.v1("log.1")).unwrap_or_default().starts_with(&log), "{case}");
    }
}

#[test]
fn an_entry_of_a_later_version_in_a_segment_is_not_compacted_away_nor_its_object_swept() {
    let place = Place::with(3);
    assert!(__sim::compact(&place.open()));
    let path = place.v1("seg.1-1");
    let mut segment = fs::read(&path).unwrap();
    let (seed, first) = (seed_of(&segment), segment_frames(&segment)[0]);
    let (at, newer) = (first.0, segment_frame(ENTRY, 1, first.2, seed));
    segment[at..at + newer.len()].copy_from_slice(&newer);
    fs::write(&path, &segment).unwrap();
    assert_eq!(found(&place.open(), 3), [1, 2]);
    let store = Store::open(place.config().max_files(1).build()).unwrap();
    assert_eq!(get(&store, 5).how, How::Built);
    assert!(!__sim::compact(&place.open()));
    __sim::sweep(&store);
    assert_eq!(fs::read(&path).unwrap(), segment);
    assert_eq!(found(&place.open(), 6), [1, 2, 5]);
    assert!(place.object(0).exists());
}

#[test]
fn a_store_with_an_unknown_incompat_flag_is_a_typed_error_and_stays_untouched() {
    for (case, name) in [("log", "log.1"), ("segment", "seg.1-1"), ("log behind a segment", "log.2")] {
        let place = Place::with(3);
        if case != "log" {
            assert!(__sim::compact(&place.open()));
        }
        let mut file = fs::read(place.v1(name)).unwrap();
        let changed = header(u8::from(case == "segment"), seed_of(&file), [0, 0, 2]);
        file[..64].copy_from_slice(&changed);
        fs::write(place.v1(name), file).unwrap();
        let before = place.state();
        for readonly in [false, true] {
            let opened = Store::open(place.config().readonly(readonly).build());
            assert!(
                matches!(&opened, Err(OpenError::Newer { path }) if *path == place.dir.join("v1")),
                "{opened:?}"
            );
            let store = Store::open_or_disabled(place.config().readonly(readonly).build());
            assert!(matches!(store.status(), Status::Disabled(why) if why.contains("later version")));
            assert!(found(&store, 3).is_empty());
            assert!(matches!(get(&store, 0).how, How::Uncached(Skip::Disabled(_))));
        }
        place.must_be_as(&before, case);
    }
}

/// A store of plugins 0 to 2 that a handle has open, taken over by a later version: by a log, and by a segment, that say
/// so in their headers.
fn taken_over() -> Vec<(&'static str, Place, Store)> {
    /// What a later version does, and how that is called.
    type Case = (&'static str, fn(&Place));
    let cases: [Case; 3] = [
        ("a log", |place| fs::write(place.v1("log.2"), header(0, 1, [0, 0, 1])).unwrap()),
        ("a segment", |place| {
            fs::write(place.v1("seg.1-1"), header(1, 1, [0, 0, 1])).unwrap();
            fs::write(place.v1("log.2"), header(0, 2, [0, 0, 0])).unwrap();
            fs::remove_file(place.v1("log.1")).unwrap();
        }),
        ("a segment whose logs are still there", |place| {
            fs::write(place.v1("log.2"), header(0, 2, [0, 0, 0])).unwrap();
            fs::write(place.v1("seg.1-1"), header(1, 1, [0, 0, 1 << 31])).unwrap();
        }),
    ];
    let take_over = |(case, change): Case| {
        let place = Place::with(3);
        let store = place.open();
        assert_eq!(found(&store, 3), ALL, "{case}");
        let seed = seed_of(&fs::read(place.v1("log.1")).unwrap());
        append(&place.v1("log.1"), &frame(SEAL, 0, b"", seed));
        change(&place);
        (case, place, store)
    };
    cases.map(take_over).into()
}

#[test]
fn a_later_version_that_takes_a_store_over_under_an_open_handle_is_left_alone() {
    for (case, place, store) in taken_over() {
        let before = place.state();
        assert!(found(&store, 3).is_empty(), "{case}");
        let got = get(&store, 5);
        assert_eq!(got.how, How::Uncached(Skip::Newer), "{case}");
        drop(got);
        let added = store.add(&sources(5), Outputs::bytes("out.so", bytes(5))).unwrap();
        assert_eq!(added, plugcache::Added::Skipped(Skip::Newer), "{case}");
        assert!(matches!(store.forget(&sources(0).digest()), Err(StoreError::Newer { .. })), "{case}");
        assert!(!__sim::compact(&store), "{case}");
        __sim::sweep(&store);
        assert!(matches!(store.rebuild(), Err(StoreError::Newer { .. })), "{case}");
        assert!(matches!(store.scrub(ScrubOptions::new()), Err(StoreError::Newer { .. })), "{case}");
        place.must_be_as(&before, case);
    }
}

#[test]
fn a_store_that_only_a_later_version_reads_is_neither_a_layer_nor_imported_nor_imported_into() {
    for (case, newer, _) in taken_over() {
        let (before, own) = (newer.state(), Place::with(4));
        let layered = Store::open(own.config().layer(&newer.dir).build());
        assert!(matches!(layered, Err(OpenError::Newer { .. })), "{case}: {layered:?}");
        let store = own.open();
        assert!(store.import(&newer.dir).is_err(), "{case}");
        assert_eq!(found(&store, 4).len(), 4, "{case}");
        newer.must_be_as(&before, case);
    }
    for (case, newer, store) in taken_over() {
        let before = newer.state();
        assert!(matches!(store.import(&Place::with(4).dir), Err(StoreError::Newer { .. })), "{case}");
        newer.must_be_as(&before, case);
    }
}

/// Right PUT frames of plugin 0 with values that no writer writes; none may lead to bytes.
fn absurd(exec: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (object, len) = (*plugcache::ObjectDigest::of_bytes(&bytes(0)).as_bytes(), bytes(0).len() as u64);
    let right = || put(0, exec, &[(b"out.so", object, len)]);
    let with = |from: usize, value: &[u8]| {
        let mut put = right();
        put[from..from + value.len()].copy_from_slice(value);
        put
    };
    let without_details = || {
        let mut put = right();
        put.truncate(put.len() - 5);
        put
    };
    vec![
        ("lengths that overflow", put(0, exec, &[(b"a", [1; 32], u64::MAX), (b"b", [2; 32], u64::MAX)])),
        ("no output", put(0, exec, &[])),
        ("details as the only output", put(0, exec, &[(b"\0details", object, len)])),
        ("right details as the only output", put(0, exec, &[(b"\0details", no_details(), 4)])),
        ("no name", put(0, exec, &[(b"", [1; 32], len)])),
        ("a path for a name", put(0, exec, &[(b"../../etc/passwd", [1; 32], len)])),
        ("two outputs of one name", put(0, exec, &[(b"a", object, len), (b"a", [3; 32], len)])),
        ("another length", put(0, exec, &[(b"out.so", [4; 32], 0)])),
        ("no details", [without_details(), vec![0]].concat()),
        ("the last day and moment", with(96, &[0xFF; 20])),
        ("the last place in order", with(88, &[0xFF; 8])),
        ("a list longer than the frame", [&right()[..132], &[0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]].concat()),
        (
            "an input that is a directory",
            [without_details(), vec![1, 0, 0, 0, 1, 1, b'/'], vec![0; 32]].concat(),
        ),
        ("an input without a name", [without_details(), vec![1, 0, 0, 0, 1, 0], vec![0; 32]].concat()),
        (
            "an input that never ends",
            [without_details(), vec![1, 0, 0, 0, 1, 9], b"/dev/zero".to_vec(), vec![0; 32]].concat(),
        ),
    ]
}

/// The object that says that an entry was made of nothing.
fn no_details() -> [u8; 32] {
    *plugcache::ObjectDigest::of_bytes(&[0; 4]).as_bytes()
}

#[test]
fn no_value_in_a_right_frame_makes_anything_panic_or_gives_a_wrong_byte() {
    let place = Place::with(3);
    let log = fs::read(place.v1("log.1")).unwrap();
    let (seed, exec) = (seed_of(&log), frames(&log)[1].2[EXEC].to_vec());
    for (case, payload) in absurd(&exec) {
        let place = Place::with(3);
        fs::write(place.v1("log.1"), [&log[..], &frame(PUT, 0, &payload, seed)].concat()).unwrap();
        let digest = plugcache::ObjectDigest::from_bytes(no_details()).to_string();
        fs::write(place.v1(&format!("objects/{}/{}", &digest[..2], &digest[2..])), [0; 4]).unwrap();
        let store = Store::open(place.config().max_files(3).max_bytes(10_000).build()).unwrap();
        let _ = (found(&store, 3), store.lookup(&sources(0)), store.stats());
        for entry in store.entries() {
            let _ = (
                entry.bytes(),
                entry.made(),
                entry.last_used(),
                entry.outputs(),
                entry.sources(),
                entry.cost(),
            );
        }
        if let Some(artifact) = store.find(&sources(0)) {
            let _ = (artifact.made(), artifact.cost(), artifact.sources(), artifact.path());
            let to = tempfile::tempdir().unwrap();
            let _ = artifact.copy_all_to(&to.path().join("below"));
        }
        assert!(matches!(get(&store, 4).how, How::Built), "{case}");
        __sim::compact(&store);
        __sim::sweep(&store);
        place.must_work(5, case);
    }
}
