//! Stores in the wrong place: moved, copied, deleted, replaced, closed, open to others (I14, I17, I20, rule 8).

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::{Path, PathBuf},
    process::Command,
};

use plugcache::{How, OpenError, Skip, Status, Store};

use super::damage::{self, Job, Place, Thing, bytes, chmod, copy, found, get, plant, remove, sources};

pub(crate) const JOBS: &[Job] = &[
    ("one entry of another process", |dir| assert_eq!(get(&open(dir), 5).how, How::Built)),
    ("relative", relative),
    ("environment", environment),
];

fn open(dir: &Path) -> Store {
    Store::open(damage::given(dir).build()).unwrap()
}

#[test]
fn a_store_that_is_moved_under_an_open_handle_works_on_and_paths_lead_there() {
    let place = Place::on_disk().filled(2);
    let store = place.open();
    let (early, late) = (store.find(&sources(0)).unwrap(), store.find(&sources(1)).unwrap());
    let moved = place.beside("moved to");
    fs::rename(&place.dir, &moved).unwrap();
    for artifact in [early, late, store.find(&sources(0)).unwrap()] {
        assert!(artifact.path().starts_with(&moved), "{:?}", artifact.path());
        assert_eq!(fs::read(artifact.path()).unwrap(), artifact.primary().read().unwrap());
    }
    // A build in a program of its own gets a directory that is there.
    let got = store.get_or_build(&sources(2), |b| fs::write(b.output("out.so"), bytes(2))).unwrap();
    assert_eq!((got.how, fs::read(got.artifact.path()).unwrap()), (How::Built, bytes(2)));
    assert_eq!(get(&store, 3).how, How::Built);
    assert!(!place.dir.exists(), "nothing was made in the old place");
    assert_eq!(found(&open(&moved), 4), [0, 1, 2, 3]);
    // Another store in the old place has nothing to do with it.
    assert_eq!(get(&place.open(), 4).how, How::Built);
    assert_eq!(found(&store, 5), [0, 1, 2, 3]);
}

#[test]
fn both_copies_of_a_store_work_on_by_themselves() {
    for options in ["-r", "-a"] {
        let place = Place::on_disk().filled(3);
        let (store, copied) = (place.open(), place.beside("copy"));
        assert_eq!(found(&store, 3), [0, 1, 2]);
        copy(options, &place.dir, &copied);
        assert_eq!(get(&store, 3).how, How::Built);
        assert_eq!(get(&open(&copied), 4).how, How::Built);
        assert_eq!((found(&place.open(), 5), found(&open(&copied), 5)), (vec![0, 1, 2, 3], vec![0, 1, 2, 4]));
        fs::write(damaged_object(&copied), "x").unwrap();
        place.must_work(5, options);
        remove(&copied);
        assert_eq!(found(&store, 5), [0, 1, 2, 3, 4], "the other copy is gone");
    }
}

fn damaged_object(dir: &Path) -> PathBuf {
    let digest = plugcache::ObjectDigest::of_bytes(&bytes(0)).to_string();
    let path = dir.join(format!("v1/objects/{}/{}", &digest[..2], &digest[2..]));
    chmod(&path, 0o644);
    path
}

#[test]
fn a_store_that_is_deleted_under_an_open_handle_is_begun_anew() {
    let place = Place::on_disk().filled(2);
    let store = place.open();
    let held = store.find(&sources(0)).unwrap();
    for who in ["this", "another process"] {
        assert!(Command::new("rm").arg("-rf").arg(&place.dir).status().unwrap().success());
        assert_eq!(held.primary().read_verified().unwrap(), bytes(0), "open artifacts stay");
        assert_eq!(found(&store, 6), [0; 0]);
        if who == "another process" {
            damage::must_succeed(damage::child("one entry of another process", &place.dir));
            assert_eq!(found(&store, 6), [5]);
        }
        assert_eq!(get(&store, 0).how, How::Built, "deleted by {who}");
        place.must_work(3, who);
        assert_eq!(found(&store, 3), [0, 1, 2]);
        for part in ["log.1", "objects"] {
            remove(&place.v1(part));
            assert_eq!(get(&store, 0).how, if part == "log.1" { How::Hit } else { How::Built }, "{part}");
            place.must_work(3, part);
            assert_eq!(get(&store, 1).how, How::Hit, "{part}");
        }
    }
    remove(&place.dir);
    held.primary().copy_to(&place.beside("copy.so")).unwrap();
    assert_eq!(held.primary().sealed().unwrap().bytes(), bytes(0));
}

#[test]
fn something_else_in_the_place_of_the_root_is_a_typed_error_and_costs_no_load() {
    for thing in [Thing::Fifo, Thing::Socket, Thing::Loop, Thing::Symlink] {
        for below in ["", "v1"] {
            let place = Place::on_disk().filled(1);
            let path = if below.is_empty() { place.dir.clone() } else { place.v1("") };
            let path = path.components().collect::<PathBuf>();
            if thing == Thing::Symlink {
                remove(&path);
                fs::write(&path, "a file").unwrap();
            } else {
                plant(thing, &path, &path);
            }
            let opened = Store::open(place.config().build());
            match &opened {
                Err(OpenError::NotADirectory { path: found }) => assert_eq!(*found, path),
                Err(OpenError::Unreadable { .. }) if thing == Thing::Loop => {}
                other => panic!("{thing:?} as {path:?}: {other:?}"),
            }
            let store = Store::open_or_disabled(place.config().build());
            assert!(matches!(store.status(), Status::Disabled(_)));
            let got = get(&store, 0);
            assert!(matches!(got.how, How::Uncached(Skip::Disabled(_))), "{}", got.how);
            remove(&path);
            place.must_work(2, "removed");
        }
    }
    let place = Place::on_disk();
    fs::write(&place.dir, "").unwrap();
    let opened = Store::open(damage::given(&place.dir.join("below/it")).build());
    assert!(matches!(opened, Err(OpenError::NotADirectory { .. })), "{opened:?}");
}

fn relative(dir: &Path) {
    std::env::set_current_dir(dir).unwrap();
    let (store, later) = (open(Path::new("store")), open(Path::new("later/./store")));
    assert_eq!(found(&store, 2), [0, 1]);
    std::env::set_current_dir("/tmp").unwrap();
    assert_eq!((get(&store, 2).how, get(&later, 0).how), (How::Built, How::Built));
    assert!(dir.join("later/store/v1").is_dir());
    remove(&dir.join("store"));
    assert_eq!(get(&store, 0).how, How::Built);
    assert!(dir.join("store/v1").is_dir(), "made anew where it was");
}

#[test]
fn a_relative_directory_is_that_of_the_moment_of_opening() {
    let place = Place::on_disk().filled(2);
    damage::must_succeed(damage::child("relative", &place.beside("")));
}

#[test]
fn a_path_may_lead_through_links_hold_any_bytes_and_be_long() {
    let place = Place::on_disk();
    let real = place.beside("real");
    fs::create_dir(&real).unwrap();
    symlink("real", place.beside("link")).unwrap();
    let linked = place.beside("link/../link/store");
    assert_eq!(get(&open(&linked), 0).how, How::Built);
    assert_eq!(found(&open(&real.join("store")), 1), [0]);
    let odd = place.beside("").join(OsStr::from_bytes(b"\xFF\xFE new\nline"));
    assert_eq!(get(&open(&odd), 0).how, How::Built);
    let artifact = open(&odd).find(&sources(0)).unwrap();
    assert_eq!(fs::read(artifact.path()).unwrap(), bytes(0));
    // The longest path that leaves room for an object's, and longer ones.
    for (len, opens) in [
        (4_000, true),
        (4_017, true),
        (4_030, true),
        (4_060, true),
        (4_095, true),
        (4_096, false),
        (5_000, false),
    ] {
        let place = Place::on_disk();
        let mut long = place.dir.clone();
        while len - long.as_os_str().len() > 201 {
            long.push("d".repeat(200.min(len - long.as_os_str().len() - 2)));
        }
        long.push("e".repeat(len - long.as_os_str().len() - 1));
        assert_eq!(long.as_os_str().len(), len);
        let store = Store::open_or_disabled(damage::given(&long).build());
        for expected in ["built", "hit"] {
            let name = "n".repeat(200);
            let got = store.get_or_build(&sources(0), |b| fs::write(b.output(name), bytes(0))).unwrap();
            assert_eq!(got.artifact.primary().read().unwrap(), bytes(0));
            if len <= 4_017 {
                assert_eq!(
                    (got.how.to_string(), fs::read(got.artifact.path()).unwrap()),
                    (expected.into(), bytes(0))
                );
            }
            assert!(opens || matches!(got.how, How::Uncached(_)), "{len}: {}", got.how);
        }
    }
}

fn environment(dir: &Path) {
    let store = Store::for_app("damage-test");
    let expected = std::env::var("EXPECTED").unwrap();
    let how = get(&store, 0).how;
    match store.status() {
        Status::Disabled(why) => {
            assert!(why.contains(&expected) && matches!(how, How::Uncached(_)), "{why}: {how}")
        }
        status => {
            assert!(status == Status::Ready && dir.join(expected).join("v1").is_dir(), "{status:?}: {how}")
        }
    }
}

#[test]
fn the_environment_chooses_the_place_or_none_and_no_load_fails_for_it() {
    let place = Place::on_disk();
    let top = place.beside("");
    fs::write(place.beside("file"), "").unwrap();
    let path = |name: &str| place.beside(name).into_os_string();
    let cases = [
        (vec![], "XDG_CACHE_HOME"),
        (vec![("HOME", "".into())], "XDG_CACHE_HOME"),
        (vec![("HOME", "relative".into())], "XDG_CACHE_HOME"),
        (vec![("HOME", path("home"))], "home/.cache/damage-test/plugcache"),
        (vec![("HOME", path("home")), ("XDG_CACHE_HOME", path("xdg"))], "xdg/damage-test/plugcache"),
        (vec![("HOME", path("home")), ("PLUGCACHE_DIR", path("own"))], "own"),
        (vec![("HOME", path("other")), ("PLUGCACHE_DISABLE", "1".into())], "PLUGCACHE_DISABLE"),
        (
            vec![("HOME", path("zero")), ("PLUGCACHE_DISABLE", "0".into())],
            "zero/.cache/damage-test/plugcache",
        ),
        (vec![("HOME", path("file"))], "not a directory"),
        (vec![("PLUGCACHE_DIR", "/dev/null".into())], "not a directory"),
    ];
    for (variables, expected) in cases {
        let mut child = damage::child("environment", &top);
        for name in ["HOME", "XDG_CACHE_HOME", "PLUGCACHE_DIR", "PLUGCACHE_DISABLE"] {
            child.env_remove(name);
        }
        child.envs(variables).env("EXPECTED", expected);
        damage::must_succeed(child);
    }
    assert!(!place.beside("other").exists());
}
