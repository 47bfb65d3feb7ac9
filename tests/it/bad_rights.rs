//! Stores that this user may not read or write, that others may write to, or that are opened for reading (I17).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use plugcache::{How, OpenError, Skip, Status, Store, StoreError, Trust};

use super::damage::{self, Job, Place, bytes, chmod, copy, found, get, sources};

pub(crate) const JOBS: &[Job] = &[
    ("no permission", no_permission),
    ("no permission to write", no_permission_to_write),
    ("a directory of somebody else", of_somebody_else),
    ("only reading", only_reading),
];

fn open(dir: &Path) -> Store {
    Store::open(damage::given(dir).build()).unwrap()
}

fn no_permission(dir: &Path) {
    // A closed store: loud where errors are asked for, and no load fails.
    let closed = dir.join("closed");
    let opened = Store::open(damage::given(&closed).build());
    assert!(matches!(opened, Err(OpenError::Unreadable { .. })), "{opened:?}");
    let got = get(&Store::open_or_disabled(damage::given(&closed).build()), 0);
    assert!(
        matches!(&got.how, How::Uncached(Skip::Disabled(why)) if why.contains("ermission")),
        "{}",
        got.how
    );
    // No store yet, and no right to make one.
    let store = open(&dir.join("new/store"));
    let got = get(&store, 0);
    assert!(matches!(&got.how, How::Uncached(Skip::NoPermission(_))), "{}", got.how);
    assert_eq!(fs::read(got.artifact.path()).unwrap(), bytes(0));
}

fn no_permission_to_write(dir: &Path) {
    let store = open(dir);
    assert_eq!((found(&store, 3), store.status()), (vec![0, 1, 2], Status::ReadOnly));
    let got = get(&store, 4);
    assert_eq!((got.how, got.artifact.is_stored()), (How::Uncached(Skip::ReadOnly), false));
    assert_eq!(fs::read(got.artifact.path()).unwrap(), bytes(4));
    assert!(matches!(store.forget(&sources(0).digest()), Err(StoreError::ReadOnly)));
}

#[test]
fn a_user_without_permission_gets_artifacts_and_the_reason_why_they_are_not_stored() {
    let place = Place::on_disk();
    chmod(place.beside("").as_path(), 0o755);
    fs::create_dir(&place.dir).unwrap();
    copy("-a", &Place::with(1).dir, &place.dir.join("closed"));
    damage::as_nobody("no permission", &place.dir);
    let readable = Place::with(3);
    chmod(readable.beside("").as_path(), 0o755);
    copy_mode("a+rX", &readable.dir);
    let before = readable.state();
    if damage::as_nobody("no permission to write", &readable.dir) {
        readable.must_be_as(&before, "read by somebody else");
    }
}

fn copy_mode(mode: &str, dir: &Path) {
    assert!(Command::new("chmod").args(["-R", mode]).arg(dir).status().unwrap().success());
}

#[test]
fn a_directory_that_others_may_write_to_is_refused_unless_they_are_trusted() {
    let opened = |place: &Place, trust: Trust| {
        Store::open(place.config().trust(trust).build()).map(|store| found(&store, 1))
    };
    type Where = fn(&Place) -> PathBuf;
    let places: [(&str, Where); 3] = [
        ("the parent", |place| place.beside("")),
        ("the root", |place| place.dir.clone()),
        ("v1", |place| place.v1("")),
    ];
    for (case, path) in places {
        for (mode, others) in
            [(0o777, Trust::Anyone), (0o775, Trust::Group), (0o757, Trust::Anyone), (0o1777, Trust::Anyone)]
        {
            let place = Place::on_disk().filled(1);
            let path = path(&place).components().collect::<PathBuf>();
            chmod(&path, mode);
            // Sticky protects a child that is ours from being exchanged; not the names made in v1.
            let is_protected = mode == 0o1777 && case != "v1";
            for trust in [Trust::OwnerOnly, Trust::Group, Trust::Anyone] {
                let enough = is_protected || trust == Trust::Anyone || trust == others;
                match opened(&place, trust) {
                    Ok(found) => assert!(enough && found == [0], "{case} {mode:o} with {trust:?}"),
                    Err(OpenError::Untrusted { path: said, mode: bits, owner: _ }) => {
                        assert!(
                            !enough && said == path && bits == mode,
                            "{case} {mode:o} with {trust:?}: {said:?} {bits:o}"
                        );
                    }
                    Err(other) => panic!("{case} {mode:o} with {trust:?}: {other}"),
                }
            }
            let got = get(&Store::open_or_disabled(place.config().build()), 1);
            assert_eq!(got.how == How::Built, is_protected, "{case} {mode:o}: {}", got.how);
        }
    }
}

#[test]
fn in_a_v1_that_others_may_enter_every_directory_is_judged_and_in_a_closed_one_none_need_be() {
    for name in ["objects", "the shard", "staging", "quarantine", "inflight", "log.1", "seg.1-1"] {
        for way in ["writable", "writable by the group", "another owner"] {
            let place = Place::on_disk().filled(1);
            if name.starts_with("seg") {
                assert!(plugcache::__sim::compact(&place.open()));
            }
            let path = match name {
                "the shard" => place.object(0).parent().unwrap().to_path_buf(),
                name => place.v1(name),
            };
            match way {
                "writable" => chmod(&path, 0o757),
                "writable by the group" => chmod(&path, 0o775),
                _ if !damage::is_root() => continue,
                _ => std::os::unix::fs::chown(&path, Some(65533), None).unwrap(),
            }
            let case = format!("{name}, {way}");
            assert_eq!(found(&place.open(), 1), [0], "{case}: nobody else comes there");
            for (mode, entered) in [(0o711, true), (0o710, true), (0o744, false)] {
                chmod(&place.v1(""), mode);
                for trust in [Trust::OwnerOnly, Trust::Group, Trust::Anyone] {
                    let refused = entered
                        && trust != Trust::Anyone
                        && !(trust == Trust::Group && way == "writable by the group");
                    match Store::open(place.config().trust(trust).build()) {
                        Ok(store) => {
                            assert!(!refused, "{case} {mode:o} {trust:?}");
                            assert_eq!(found(&store, 1), [0], "{case} {mode:o} {trust:?}");
                        }
                        Err(OpenError::Untrusted { path: said, .. }) => {
                            assert!(refused && said == path, "{case} {mode:o} {trust:?}: {said:?}");
                        }
                        Err(other) => panic!("{case} {mode:o} {trust:?}: {other}"),
                    }
                }
            }
        }
    }
}

fn of_somebody_else(dir: &Path) {
    let opened = Store::open(damage::given(dir).build());
    assert!(matches!(&opened, Err(OpenError::Untrusted { owner: 65533, .. })), "{opened:?}");
    assert!(Store::open(damage::given(dir).trust(Trust::Anyone).build()).is_ok());
}

#[test]
fn a_directory_that_another_user_owns_is_refused() {
    let place = Place::on_disk();
    chmod(place.beside("").as_path(), 0o755);
    fs::create_dir(&place.dir).unwrap();
    if damage::is_root() {
        std::os::unix::fs::chown(&place.dir, Some(65533), None).unwrap();
        of_somebody_else(&place.dir);
    }
    damage::as_nobody("a directory of somebody else", &place.dir);
}

#[test]
fn an_ancestor_or_a_v1_that_another_user_owns_is_refused() {
    if !damage::is_root() {
        println!("skipped: only root can give a directory away");
        return;
    }
    for (name, sticky) in [("grandparent", false), ("grandparent", true), ("parent", false), ("v1", false)] {
        let place = Place::on_disk();
        let store = place.beside("grandparent/parent/store");
        assert_eq!(get(&open(&store), 0).how, How::Built);
        let path = match name {
            "grandparent" => place.beside(name),
            "parent" => place.beside("grandparent/parent"),
            _ => store.join(name),
        };
        std::os::unix::fs::chown(&path, Some(65533), None).unwrap();
        // Its owner can exchange what lies in it, sticky or not.
        chmod(&path, if sticky { 0o1755 } else { 0o755 });
        match Store::open(damage::given(&store).build()) {
            Err(OpenError::Untrusted { path: said, owner: 65533, .. }) => assert_eq!(said, path),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(found(&Store::open(damage::given(&store).trust(Trust::Anyone).build()).unwrap(), 1), [0]);
    }
}

fn only_reading(dir: &Path) {
    let store = Store::open(damage::given(dir).readonly(true).boot_id([9; 16]).build()).unwrap();
    assert_eq!(found(&store, 4), [0, 2]);
    let got = get(&store, 6);
    assert_eq!(got.how, How::Uncached(Skip::ReadOnly));
    let artifact = store.find(&sources(0)).unwrap();
    assert_eq!(
        (fs::read(artifact.path()).unwrap(), artifact.primary().sealed().unwrap().bytes()),
        (bytes(0), &bytes(0)[..])
    );
    let _ = (store.entries().count(), store.stats(), store.lookup(&sources(0)), store.sync());
    assert!(store.forget(&sources(0).digest()).is_err() && !store.reject(&artifact, "a test"));
}

/// Calls that open for writing, or change a name, a time, a mode or bytes.
fn is_write(call: &str) -> bool {
    let name = call
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ')
        .split('(')
        .next()
        .unwrap_or_default();
    let starts =
        ["rename", "unlink", "mkdir", "rmdir", "write", "pwrite", "ftruncate", "truncate", "fchmod", "chmod"];
    let more = [
        "fchown",
        "chown",
        "lchown",
        "utime",
        "futimes",
        "link",
        "symlink",
        "mknod",
        "fallocate",
        "creat",
        "setxattr",
        "fsetxattr",
        "copy_file_range",
        "sendfile",
    ];
    starts.iter().chain(&more).any(|start| name.starts_with(start))
        || (name.starts_with("open")
            && ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| call.contains(flag)))
}

#[test]
fn a_store_opened_for_reading_makes_no_writing_system_call() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace");
        return;
    }
    let place = Place::on_disk().filled(4);
    fs::rename(place.object(1), place.beside("gone")).unwrap();
    chmod(&place.object(3), 0o644);
    fs::write(place.object(3), "damaged").unwrap();
    let (before, log) = (place.state(), place.beside("calls"));
    let child = damage::child_of(&std::env::current_exe().unwrap(), "only reading", &place.dir);
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-y", "-qq", "-s", "4096", "-e", "trace=%file,%desc", "-o"])
        .arg(&log)
        .arg(child.get_program())
        .args(child.get_args());
    traced.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    damage::must_succeed(traced);
    let calls = fs::read_to_string(&log).unwrap();
    let ours: Vec<_> = calls.lines().filter(|line| line.contains(place.dir.to_str().unwrap())).collect();
    assert!(ours.iter().any(|line| line.contains("log.1")) && ours.iter().any(|line| line.contains("flock")));
    let writes: Vec<_> = ours.iter().filter(|line| is_write(line)).collect();
    assert!(writes.is_empty(), "{writes:#?}");
    place.must_be_as(&before, "read only");
    assert!(
        is_write("12 openat(3, \"x\", O_RDWR|O_CREAT)")
            && is_write("7 renameat2(3)")
            && !is_write("openat(3, O_RDONLY)")
    );
}
