//! A process stopped (SIGSTOP) at each system call of a chore in turn blocks nobody (I13): a sweep with much to evict,
//! to remove and to clear, a scrub that meets damage, a rebuild of a damaged manifest.

use std::{fs, path::PathBuf};

use plugcache::{__sim, Added, ObjectDigest, Outputs, Store};

use crate::{
    bed::{Found, SHARED, Setup, add, body, find, names, objects, sources, temp},
    harness::Outcome,
    stopped::{add_version, everywhere_and},
    tests,
};

tests!["chores":
    a_process_stopped_anywhere_in_a_sweep_holds_nobody_up,
    a_process_stopped_anywhere_in_a_scrub_that_sets_damage_aside_holds_nobody_up,
    a_process_stopped_anywhere_in_a_rebuild_of_a_damaged_manifest_holds_nobody_up,
];

/// What every test here keeps: keys 1 to 8 of 2000 bytes each, and the one that others add.
const MAX_FILES: u64 = 12;
/// What the versions are long: so much waits to be removed that young objects get no courtesy.
const VERSION_BYTES: usize = 20_000;
const ORPHAN_BYTES: usize = 60_000;
/// Over this are the objects of a full store; twice this are those that wait with those that stay.
const MAX_BYTES: u64 = 100_000;

fn a_process_stopped_anywhere_in_a_sweep_holds_nobody_up() -> Outcome {
    let temp = temp();
    let mut setup = Setup::new(temp.path().join("store"));
    (setup.max_files, setup.max_bytes) = (MAX_FILES, MAX_BYTES);
    let v1 = setup.dir.join("v1");
    let unlimited = Setup { max_files: 1 << 20, max_bytes: 1 << 40, ..setup.clone() };
    let fill = |_: &Setup| {
        let store = unlimited.open();
        for version in 0..MAX_FILES {
            assert_eq!(add_version(&store, version, VERSION_BYTES), Added::Stored);
        }
        leave_behind(&v1);
    };
    let done = |after: &str| {
        let entries = unlimited.open().entries().count() as u64;
        assert!(entries <= MAX_FILES, "{entries} entries after {after}");
        for dir in ["staging", "inflight"] {
            assert_eq!(names(&v1.join(dir)), [""; 0], "{dir} after {after}");
        }
        let there = objects(&v1);
        assert!(!there.contains_key(&orphan(0).0), "an object that nobody names stays after {after}");
        assert!(there.len() as u64 <= MAX_FILES, "{} objects after {after}", there.len());
    };
    everywhere_and(setup.clone(), fill, |_| vec!["tend".into()], done)
}

/// Bytes that no entry names, and the place where an object of them lies.
fn orphan(number: u64) -> (ObjectDigest, PathBuf, Vec<u8>) {
    let bytes = body(SHARED, 1_000 + number, ORPHAN_BYTES);
    let digest = ObjectDigest::of_bytes(&bytes);
    let digits = digest.to_string();
    (digest, ["objects", &digits[..2], &digits[2..]].iter().collect(), bytes)
}

/// What killed processes leave: objects without an entry, staged files, a build's directory and its lock file.
fn leave_behind(v1: &std::path::Path) {
    for number in 0..3 {
        let (_, path, bytes) = orphan(number);
        fs::create_dir_all(v1.join(&path).parent().unwrap()).unwrap();
        fs::write(v1.join(path), bytes).unwrap();
        fs::write(v1.join(format!("staging/{number:032x}")), "half a plugin").unwrap();
    }
    let build = v1.join(format!("staging/{:032x}.d", 7));
    fs::create_dir_all(build.join("deeper")).unwrap();
    fs::write(build.join("deeper/object.o"), "half an object").unwrap();
    fs::create_dir_all(v1.join("inflight")).unwrap();
    fs::write(v1.join(format!("inflight/{:064x}", 9)), "").unwrap();
}

/// A bit of the object under key 9 is another, and a directory lies where another object should.
fn damage_objects(setup: &Setup) {
    let store = setup.open();
    let v1 = setup.dir.join("v1");
    // Directories that were set aside are never cleared, and each costs the next look at the quarantine a call.
    let _ = fs::remove_dir_all(v1.join("quarantine"));
    let shared = Outputs::bytes("out", body(SHARED, 9, 2000));
    assert_eq!(store.add(&sources(9), shared).unwrap(), Added::Stored);
    assert_eq!(add_version(&store, 1, 900), Added::Stored);
    let flipped = &objects(&v1)[&ObjectDigest::of_bytes(&body(SHARED, 9, 2000))];
    let mut bytes = fs::read(flipped).unwrap();
    bytes[1500] ^= 1;
    fs::remove_file(flipped).unwrap();
    fs::write(flipped, &bytes).unwrap();
    let replaced = &objects(&v1)[&ObjectDigest::of_bytes(&body(SHARED, 101, 900))];
    fs::remove_file(replaced).unwrap();
    fs::create_dir(replaced).unwrap();
}

fn a_process_stopped_anywhere_in_a_scrub_that_sets_damage_aside_holds_nobody_up() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    let v1 = setup.dir.join("v1");
    let done = |after: &str| {
        let damaged = [body(SHARED, 9, 2000), body(SHARED, 101, 900)];
        let there = objects(&v1);
        for bytes in damaged {
            assert!(!there.contains_key(&ObjectDigest::of_bytes(&bytes)), "damage stays after {after}");
        }
    };
    everywhere_and(setup.clone(), damage_objects, |_| vec!["scrub".into()], done)
}

/// The header of the log that key 9 stands in is damaged: nobody finds it until the manifest is rebuilt.
fn damage_log(setup: &Setup) {
    let store = setup.open();
    store.forget(&sources(9).digest()).unwrap();
    // All else is in the segment: the log has what is added here alone.
    __sim::compact(&store);
    let shared = Outputs::bytes("out", body(SHARED, 9, 2000));
    assert_eq!(store.add(&sources(9), shared).unwrap(), Added::Stored);
    drop(store);
    let v1 = setup.dir.join("v1");
    let log = newest_log(&v1);
    let mut bytes = fs::read(&log).unwrap();
    bytes[3] ^= 0x40;
    fs::remove_file(&log).unwrap();
    fs::write(&log, bytes).unwrap();
    assert_eq!(find(&setup.open(), 9), Found::Nothing, "the damage hides nothing");
}

fn newest_log(v1: &std::path::Path) -> PathBuf {
    let number = |name: &std::ffi::OsString| name.to_str()?.strip_prefix("log.")?.parse::<u64>().ok();
    let newest = names(v1).iter().filter_map(number).max().unwrap();
    v1.join(format!("log.{newest}"))
}

fn a_process_stopped_anywhere_in_a_rebuild_of_a_damaged_manifest_holds_nobody_up() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    let reopened = setup.clone();
    let done = move |after: &str| {
        let store: Store = reopened.open();
        assert_eq!(find(&store, 9), Found::Right, "what the damage hid is not back after {after}");
        // Writing goes on where it was.
        assert_eq!(add(&store, 10, 1, 100), Added::Stored, "{after}");
    };
    everywhere_and(setup.clone(), damage_log, |_| vec!["rebuild".into()], done)
}
