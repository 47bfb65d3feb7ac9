//! Kills, torn writes, failing verbs, traces.

use super::{
    super::{
        super::{Access, Lock},
        At, Failure, Fault, Process, Verb, is_dead, torn_lengths,
    },
    at, number, put, start,
};
use std::{path::Path, time::Duration};

/// Three changes and a sync, each a verb; errors end it.
fn workload(process: &Process) -> std::io::Result<()> {
    let root = process.open_root(Path::new("/"))?;
    let file = root.create(at("a"), 0o600)?;
    file.write(b"0123456789")?;
    root.rename(at("a"), at("b"))?;
    file.sync()
}

#[test]
fn a_killed_process_frees_its_locks_and_changes_nothing_any_more() {
    let (disk, process, root) = start();
    let file = put(&root, "f", b"1");
    assert!(file.try_lock(Lock::Exclusive).unwrap());
    let other = disk.process();
    let theirs = other.open_root(at("/")).unwrap().open(at("f"), Access::Append).unwrap();
    assert!(!theirs.try_lock(Lock::Shared).unwrap());
    let before = disk.fingerprint();
    process.kill();
    assert!(theirs.try_lock(Lock::Exclusive).unwrap());
    assert!(is_dead(&file.write(b"2").unwrap_err()));
    assert!(is_dead(&root.unlink(at("f")).unwrap_err()));
    assert!(is_dead(&root.create(at("g"), 0o600).unwrap_err()));
    assert!(is_dead(&process.open_root(at("/")).unwrap_err()));
    assert!(is_dead(&process.random(&mut [0]).unwrap_err()));
    drop((file, root));
    assert_eq!(disk.fingerprint(), before);
    assert!(theirs.try_lock(Lock::Exclusive).unwrap(), "a dead destructor took another's lock");
}

#[test]
fn the_waiting_loop_of_a_dead_process_ends_without_moving_the_clock_of_others() {
    let (disk, process, _) = start();
    let other = disk.process();
    let (start, others_start) = (process.now(), other.now());
    process.kill();
    for _ in 0..10 {
        process.pause(Duration::from_secs(60));
    }
    assert_eq!(process.now(), start + Duration::from_secs(600));
    assert_eq!(other.now(), others_start);
}

#[test]
fn a_kill_falls_on_the_verb_that_was_named() {
    let states = |plan: &dyn Fn(&Process)| {
        let disk = super::super::Disk::new(1);
        let process = disk.process();
        plan(&process);
        let ended = workload(&process);
        let names: Vec<_> = disk.list("/").into_iter().filter_map(|name| name.into_string().ok()).collect();
        let bytes = disk.read_file(format!("/{}", names.first().map_or("", |name| name))).unwrap_or_default();
        (names.join(" "), bytes.len(), ended.is_err(), process.last_disk().is_some())
    };
    let expect = |name: &str, len: usize| (name.to_owned(), len, true, true);
    assert_eq!(states(&|p| p.kill_before(2)), expect("", 0));
    assert_eq!(states(&|p| p.kill_after(2)), expect("a", 0));
    assert_eq!(states(&|p| p.kill_before(3)), expect("a", 0));
    assert_eq!(states(&|p| p.tear(3, 4)), expect("a", 4));
    assert_eq!(states(&|p| p.tear(4, 4)), expect("a", 10));
    assert_eq!(states(&|p| p.kill_after(3)), expect("a", 10));
    assert_eq!(states(&|p| p.freeze_after(4)), expect("b", 10));
    assert_eq!(states(&|p| p.kill_after(100)), ("b".to_owned(), 10, false, false));
}

#[test]
fn one_recording_holds_the_states_of_all_kills() {
    let disk = super::super::Disk::new(1);
    disk.record();
    workload(&disk.process()).unwrap();
    let moments = disk.recorded();
    let verbs: Vec<Verb> = moments.iter().map(|moment| moment.step.verb).collect();
    assert_eq!(verbs, [Verb::Create, Verb::Write, Verb::Rename, Verb::SyncFile]);
    for (n, moment) in moments.iter().enumerate() {
        let again = super::super::Disk::new(1);
        let process = again.process();
        process.kill_after(n + 2);
        workload(&process).unwrap_err();
        assert_eq!(again.fingerprint(), moment.disk.fingerprint());
        assert_eq!(process.last_disk().unwrap().fingerprint(), moment.disk.fingerprint());
    }
}

#[test]
fn the_trace_names_every_verb_its_path_and_its_end() {
    let disk = super::super::Disk::new(1);
    let process = disk.process();
    process.kill_after(4);
    workload(&process).unwrap_err();
    let trace: Vec<String> = process.trace().iter().map(ToString::to_string).collect();
    assert_eq!(trace, ["OpenRoot /", "Create /a", "Write /a 10 bytes", "Rename /a -> /b FAILED"]);
    let process = disk.process();
    workload(&process).unwrap_err();
    assert_eq!(process.steps(), 6, "two more verbs close what is open");
    assert_eq!(process.trace()[5].verb, Verb::Close);
    assert!(Verb::Rename.writes() && !Verb::LockFile.writes() && Verb::SyncFs.syncs());
}

#[test]
fn a_planned_error_has_no_effect_once_or_from_then_on() {
    let (disk, process, root) = start();
    let file = put(&root, "f", b"");
    process.fail(Fault { at: At::Verb(2), failure: Failure::Errno(28) });
    assert_eq!(file.write(b"1").unwrap(), 1);
    assert_eq!(number(file.write(b"2")), 28);
    assert_eq!(file.write(b"3").unwrap(), 1);
    process.fail(Fault { at: At::From(1), failure: Failure::Errno(5) });
    assert_eq!(number(file.write(b"4")), 5);
    assert_eq!(number(root.unlink(at("f"))), 5);
    process.heal();
    assert_eq!(file.write(b"5").unwrap(), 1);
    assert_eq!(disk.read_file("/f").unwrap(), b"135");
}

#[test]
fn short_reads_and_writes_move_as_many_bytes_as_planned() {
    let (disk, process, root) = start();
    let file = put(&root, "f", b"");
    process.fail(Fault { at: At::Verb(1), failure: Failure::ShortWrite(3) });
    process.fail(Fault { at: At::From(2), failure: Failure::ShortRead(2) });
    assert_eq!(file.write(b"12345").unwrap(), 3);
    assert_eq!(disk.read_file("/f").unwrap(), b"123");
    let mut buf = [0; 8];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 2);
    assert_eq!(file.read_at(&mut buf, 2).unwrap(), 1);
    assert_eq!(file.write(b"45").unwrap(), 2, "a short read is no short write");
}

#[test]
fn torn_lengths_are_within_the_write_and_stand_on_slots() {
    assert!(torn_lengths(0).is_empty());
    assert!(torn_lengths(1).is_empty());
    assert_eq!(torn_lengths(3), [1, 2]);
    assert_eq!(torn_lengths(192), [1, 64, 128, 191]);
    let long = torn_lengths(65_536);
    assert!(long.len() <= 40 && long.contains(&4096) && long.contains(&65_535));
}

#[test]
fn closing_is_a_step_and_cannot_fail() {
    let (disk, process, root) = start();
    let file = put(&root, "f", b"");
    assert!(file.try_lock(Lock::Exclusive).unwrap());
    process.fail(Fault { at: At::From(1), failure: Failure::Errno(5) });
    drop(file);
    let other = disk.process().open_root(at("/")).unwrap().open(at("f"), Access::Read).unwrap();
    assert!(other.try_lock(Lock::Exclusive).unwrap());
    assert_eq!(process.trace().last().unwrap().verb, Verb::Close);
}
