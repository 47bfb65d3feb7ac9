//! Objects that are not what was published: changed, cut, gone, replaced, closed, held (I1, I2, I5, I12).
//!
//! Each is a miss and is built anew, or was right after all and is hashed once; never a wrong byte.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use plugcache::{Config, How, Outputs, Skip, Store, Verify};

use super::damage::{self, Job, Place, THINGS, Thing, bytes, found, get, plant, remove, sources};

pub(crate) const JOBS: &[Job] = &[("objects closed to their owner", closed)];

/// The plugin with the longest artifact.
const LONG: usize = 6;

/// Writes these bytes in place, and gives the file the time that all objects have: only ctime tells.
fn overwrite(path: &Path, bytes: &[u8]) {
    damage::chmod(path, 0o644);
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    fs::write(path, bytes).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    damage::chmod(path, 0o444);
}

/// Without what handles have counted.
fn log_len(place: &Place) -> u64 {
    let log = fs::read(place.v1("log.1")).unwrap();
    let frames = damage::frames(&log).into_iter().filter(|(_, kind, _)| *kind != damage::COUNT);
    frames.map(|(_, _, payload)| (16 + payload.len()).next_multiple_of(64) as u64).sum()
}

fn quarantined(place: &Place) -> usize {
    fs::read_dir(place.v1("quarantine")).unwrap().count()
}

/// Whoever looks first misses and says so; the next build stores it; then it hits again.
fn must_be_rebuilt(place: &Place, number: usize, case: &str) {
    let store = place.open();
    assert!(store.find(&sources(number)).is_none(), "{case}");
    assert_eq!((store.stats().misses, store.stats().misses_damaged), (1, 1), "{case}");
    assert_eq!(get(&store, number).how, How::Built, "{case}");
    for store in [store, place.open()] {
        assert_eq!(get(&store, number).how, How::Hit, "{case}");
    }
}

/// The inodes of store files that this process holds open.
fn held(place: &Place, number: usize) -> usize {
    let object = fs::metadata(place.object(number)).unwrap();
    let open =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::metadata(entry.unwrap().path()).ok());
    open.filter(|open| (open.dev(), open.ino()) == (object.dev(), object.ino())).count()
}

#[test]
fn artifacts_of_one_entry_share_a_lease_until_something_touches_the_object() {
    let place = Place::new().filled(2);
    let store = place.open();
    let first = store.find(&sources(1)).unwrap();
    let second = store.find(&sources(1)).unwrap();
    assert_eq!(held(&place, 1), 1);
    drop(first);
    assert_eq!(second.primary().read().unwrap(), bytes(1));
    // The second one holds it still, which lets nobody off: what was written to is not vouched any more.
    overwrite(&place.object(1), b"wrong");
    assert!(store.find(&sources(1)).is_none());
    assert_eq!(store.stats().misses_damaged, 1);
    drop(second);
    assert!(store.find(&sources(0)).is_some_and(|artifact| artifact.primary().read().unwrap() == bytes(0)));
    assert_eq!(held(&place, 0), 0);
}

#[test]
fn an_object_changed_at_any_byte_or_cut_anywhere_is_a_miss_and_is_set_aside() {
    let place = Place::new().filled(LONG + 1);
    let (path, right) = (place.object(LONG), bytes(LONG));
    for at in 0..right.len() {
        let mut flipped = right.clone();
        flipped[at] ^= 0x20;
        overwrite(&path, &flipped);
        must_be_rebuilt(&place, LONG, &format!("byte {at}"));
        overwrite(&path, &right[..at]);
        must_be_rebuilt(&place, LONG, &format!("cut to {at}"));
        // The damaged ones are kept for people, within bounds.
        assert_eq!(quarantined(&place), (2 * at + 2).min(16));
    }
    let cases = [
        ("extended", [&right[..], b"\0"].concat()),
        ("zeroed", vec![0; right.len()]),
        ("of another plugin", bytes(1)),
        ("empty", vec![]),
        ("huge", vec![7; 3 << 20]),
    ];
    for (case, bytes) in cases {
        overwrite(&path, &bytes);
        must_be_rebuilt(&place, LONG, case);
    }
    assert_eq!(found(&place.open(), LONG + 1).len(), LONG + 1);
}

#[test]
fn what_is_damaged_under_an_open_handle_is_a_miss_there_too() {
    let place = Place::on_disk().filled(2);
    let store = place.open();
    assert_eq!(found(&store, 2), [0, 1]);
    overwrite(&place.object(0), &bytes(1)[..bytes(0).len()]);
    assert_eq!(found(&store, 2), [1]);
    remove(&place.object(1));
    assert_eq!(found(&store, 2), [0; 0]);
    place.must_work(2, "under an open handle");
    assert_eq!(found(&store, 2), [0, 1]);
}

#[test]
fn an_object_that_is_gone_or_is_no_file_is_a_miss_and_no_link_is_followed() {
    for thing in THINGS {
        let place = Place::with(2);
        remove(&place.object(1));
        must_be_rebuilt(&place, 1, "gone");
        let aside = place.beside("aside");
        plant(thing, &place.object(0), &aside);
        assert!(place.open().find(&sources(0)).is_none() && quarantined(&place) == 1, "{thing:?}: set aside");
        must_be_rebuilt(&place, 0, &format!("{thing:?}"));
        if thing == Thing::Symlink {
            assert_eq!(fs::read(&aside).unwrap(), bytes(0), "the right bytes, but not ours");
        }
        place.must_work(2, &format!("{thing:?}"));
    }
}

#[test]
fn whatever_lies_under_an_objects_name_before_the_add_the_right_bytes_lie_there_after_it() {
    let wrong: [(&str, Vec<u8>); 4] = [
        ("empty", vec![]),
        ("same length", vec![b'x'; bytes(0).len()]),
        ("longer", vec![1; 5000]),
        ("right", bytes(0)),
    ];
    for (case, wrong) in wrong {
        let place = Place::with(2);
        assert_eq!(place.open().clear().unwrap(), 2);
        remove(&place.object(0));
        fs::write(place.object(0), wrong).unwrap();
        assert_eq!(get(&place.open(), 0).how, How::Built, "{case}");
        assert_eq!(fs::read(place.object(0)).unwrap(), bytes(0), "{case}");
        place.must_work(2, case);
    }
    for thing in THINGS {
        let place = Place::with(2);
        place.open().clear().unwrap();
        plant(thing, &place.object(0), &place.beside("aside"));
        let added = place.open().add(&sources(0), Outputs::bytes("out.so", bytes(0))).unwrap();
        assert_eq!(added, plugcache::Added::Stored, "{thing:?}");
        place.must_work(2, &format!("{thing:?}"));
    }
}

#[test]
fn an_object_that_was_touched_and_is_right_is_hashed_once_and_then_believed_again() {
    type Touch = fn(&Place);
    let touches: [(&str, Touch); 6] = [
        ("linked", |place| fs::hard_link(place.object(0), place.beside("link")).unwrap()),
        ("another mode", |place| damage::chmod(&place.object(0), 0o777)),
        ("another time", |place| File::open(place.object(0)).unwrap().set_modified(UNIX_EPOCH).unwrap()),
        ("written again", |place| overwrite(&place.object(0), &bytes(0))),
        ("another file", |place| {
            fs::rename(place.object(0), place.beside("old")).unwrap();
            fs::copy(place.beside("old"), place.object(0)).unwrap();
        }),
        ("renamed to and fro", |place| {
            fs::rename(place.object(0), place.beside("old")).unwrap();
            fs::rename(place.beside("old"), place.object(0)).unwrap();
        }),
    ];
    for (case, touch) in touches {
        let place = Place::with(2);
        let before = log_len(&place);
        assert_eq!(found(&place.open(), 2), [0, 1], "{case}");
        assert_eq!(log_len(&place), before, "{case}: vouched, so nothing to record");
        touch(&place);
        assert_eq!(found(&place.open(), 2), [0, 1], "{case}");
        let hashed = log_len(&place);
        assert!((before + 1..=before + 128).contains(&hashed), "{case}: one TOUCH: {before} to {hashed}");
        assert_eq!(found(&place.open(), 2), [0, 1], "{case}");
        assert_eq!(log_len(&place), hashed, "{case}: hashed once");
        place.must_work(2, case);
    }
}

#[test]
fn a_store_copied_without_its_times_hashes_each_object_once() {
    let place = Place::on_disk().filled(3);
    let copied = Place::on_disk();
    damage::copy("-r", &place.dir, &copied.dir);
    assert_ne!(fs::metadata(copied.object(0)).unwrap().mtime(), 1);
    let before = log_len(&copied);
    assert_eq!(found(&copied.open(), 3), [0, 1, 2]);
    let hashed = log_len(&copied);
    assert!(hashed > before);
    assert_eq!(fs::metadata(copied.object(0)).unwrap().mtime(), 1);
    assert_eq!(found(&copied.open(), 3), [0, 1, 2]);
    assert_eq!(log_len(&copied), hashed);
    copied.must_work(3, "copied");
}

#[test]
fn another_boot_believes_no_stamp_and_hashes_each_object_once() {
    let place = Place::new();
    let booted = |boot| Store::open(place.config().boot_id([boot; 16]).build()).unwrap();
    (0..3).for_each(|number| assert_eq!(get(&booted(1), number).how, How::Built));
    let before = log_len(&place);
    assert_eq!(found(&booted(1), 3), [0, 1, 2]);
    assert_eq!(log_len(&place), before);
    assert_eq!(found(&booted(2), 3), [0, 1, 2]);
    let hashed = log_len(&place);
    assert!(hashed >= before + 3 * 64, "three TOUCH: {before} to {hashed}");
    assert_eq!(found(&booted(2), 3), [0, 1, 2]);
    assert_eq!(log_len(&place), hashed);
    // What a power cut leaves: right length, other bytes, and a time that says nothing.
    overwrite(&place.object(2), &vec![0; bytes(2).len()]);
    assert_eq!(found(&booted(3), 3), [0, 1]);
}

#[test]
fn verify_always_sees_what_no_time_shows_and_writes_nothing_at_a_hit() {
    let place = Place::on_disk().filled(1);
    let always = || Store::open(place.config().verify(Verify::Always).build()).unwrap();
    let before = log_len(&place);
    let store = always();
    (0..5).for_each(|_| assert_eq!(found(&store, 1), [0]));
    assert_eq!(log_len(&place), before, "the stamps are what they were");
    // A store through a page that is dirty already moves no time.
    let path = place.object(0);
    damage::chmod(&path, 0o644);
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    #[expect(unsafe_code, reason = "this is the write that the file system does not show")]
    // SAFETY: nobody else has this file, and nothing shortens it while the map lives.
    let mut map = unsafe { memmap2::MmapMut::map_mut(&file).unwrap() };
    map[0] = bytes(0)[0];
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    assert_eq!(found(&store, 1), [0], "hashed and vouched");
    map[0] ^= 1;
    assert_eq!(found(&always(), 1), [0; 0]);
    drop(map);
    place.must_work(1, "changed through a map");
}

#[test]
fn directories_that_somebody_removed_are_made_again() {
    for name in ["objects", "staging", "inflight", "quarantine", "the shard", "all of them"] {
        for live in [false, true] {
            let place = Place::with(2);
            let open = place.open();
            assert_eq!(found(&open, 2), [0, 1]);
            let shard = place.object(0).parent().unwrap().to_path_buf();
            match name {
                "the shard" => remove(&shard),
                "all of them" => {
                    ["objects", "staging", "inflight", "quarantine"].iter().for_each(|n| remove(&place.v1(n)))
                }
                _ => remove(&place.v1(name)),
            }
            let store = if live { open } else { place.open() };
            for number in 0..4 {
                let how = get(&store, number).how;
                assert!(matches!(how, How::Hit | How::Built), "without {name}, live {live}: {how}");
            }
            overwrite(&place.object(1), b"damaged");
            place.must_work(4, name);
        }
    }
}

#[test]
fn a_request_to_change_a_store_without_its_staging_directory_is_carried_out() {
    let place = Place::with(2);
    assert!(plugcache::__sim::compact(&place.open()));
    remove(&place.v1("log.2"));
    remove(&place.v1("staging"));
    assert_eq!(place.open().forget(&sources(0).digest()).unwrap(), 1);
    assert_eq!(found(&place.open(), 2), [1]);
}

#[test]
fn something_else_in_the_place_of_a_directory_costs_time_and_no_load() {
    for name in ["objects", "staging", "inflight", "quarantine", "the shard"] {
        for thing in [Thing::Fifo, Thing::Socket, Thing::Symlink, Thing::Loop] {
            let (place, case) = (Place::with(2), format!("{thing:?} as {name}"));
            let path = match name {
                "the shard" => place.object(0).parent().unwrap().to_path_buf(),
                _ => place.v1(name),
            };
            plant(thing, &path, &place.beside("aside"));
            let before = fs::read_dir(place.beside("aside")).map_or(0, Iterator::count);
            for number in 0..3 {
                // Right bytes in any case; stored where that can be.
                let how = get(&place.open(), number).how;
                assert!(!matches!(how, How::Waited), "{case}: {how}");
            }
            assert_eq!(
                fs::read_dir(place.beside("aside")).map_or(0, Iterator::count),
                before,
                "{case}: nothing behind a link"
            );
            remove(&path);
            place.must_work(3, &case);
        }
    }
}

#[test]
fn a_damaged_object_that_somebody_holds_open_is_rebuilt_and_stored_once_they_let_go() {
    let place = Place::with(1);
    let held = place.open().find(&sources(0)).unwrap();
    overwrite(&place.object(0), b"wrong");
    assert!(held.primary().read_verified().is_err() && held.primary().read().is_err());
    let got = get(&place.open(), 0);
    assert_eq!(got.how, How::Uncached(Skip::Busy));
    drop((held, got));
    place.must_work(1, "let go");
}

#[test]
fn objects_held_exclusively_by_a_stopped_process_are_handed_out_as_copies_that_stay() {
    for readonly in [false, true] {
        let place = Place::new();
        let store = Store::open(place.config().build()).unwrap();
        let outputs = Outputs::bytes("a", bytes(0)).and_bytes("b", bytes(1));
        assert_eq!(store.add(&sources(0), outputs).unwrap(), plugcache::Added::Stored);
        let held = [0, 1].map(|number| File::open(place.object(number)).unwrap());
        held.iter().for_each(|file| file.try_lock().unwrap());
        let before = place.state();
        let store = Store::open(place.config().readonly(readonly).build()).unwrap();
        let artifact = store.find(&sources(0)).unwrap();
        for (number, output) in artifact.outputs().enumerate() {
            assert_eq!(output.read_verified().unwrap(), bytes(number));
            assert_eq!(fs::read(output.path()).unwrap(), bytes(number), "its path leads to it");
        }
        if readonly {
            place.must_be_as(&before, "opened for reading");
        }
        let paths: Vec<_> = artifact.outputs().map(|output| output.path().to_owned()).collect();
        drop(artifact);
        assert!(paths.iter().all(|path| !path.exists()));
    }
}

fn closed(dir: &Path) {
    let open = || Store::open(damage::given(dir).build()).unwrap();
    let path = |number: usize| {
        let digest = plugcache::ObjectDigest::of_bytes(&bytes(number)).to_string();
        dir.join(format!("v1/objects/{}/{}", &digest[..2], &digest[2..]))
    };
    damage::chmod(&path(0), 0o000);
    assert_eq!(found(&open(), 2), [1]);
    assert_eq!(get(&open(), 0).how, How::Built);
    assert_eq!(found(&open(), 2), [0, 1]);
}

#[test]
fn an_object_that_its_owner_may_not_open_is_built_anew() {
    let place = Place::with(2);
    damage::give_to_nobody(&place);
    damage::as_nobody("objects closed to their owner", &place.dir);
}

#[test]
fn an_object_of_no_bytes_is_one_like_any_other() {
    let place = Place::new();
    let build = |store: &Store| store.get_or_build(&sources(0), |b| b.write("out", b"")).unwrap();
    assert_eq!(build(&place.open()).how, How::Built);
    let got = build(&Store::open(Config::clone(place.open().config())).unwrap());
    assert_eq!((got.how, got.artifact.primary().read().unwrap()), (How::Hit, vec![]));
    assert!(got.artifact.primary().sealed().is_ok(), "also in sealed memory");
}
