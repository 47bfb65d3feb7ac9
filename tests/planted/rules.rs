//! Rules of the protocols that need a certain moment, or more than two processes.

use super::{
    catches,
    turns::{Part, has_just, in_turns},
    world::{add, config, content, find, found, in_the_middle, object, open, open_as, sources, v1, with},
};
use plugcache::{
    __sim::{self, Bug, Disk, Listings, Process, Step, Verb},
    Added, Store,
};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

/// More verbs than an add or a find takes.
const VERBS: usize = 60;

fn store(process: &Process) -> Store {
    open_as(process.clone(), config().build())
}

/// A store that was made and has no log.
fn without_logs() -> Disk {
    let disk = with(&["old"]);
    disk.remove(v1("log.1"));
    disk
}

/// Adds these, each of which must be stored.
fn adder<'a>(keys: &'a [&'a str]) -> Part<'a> {
    Box::new(|process| {
        let store = store(process);
        keys.iter().for_each(|key| assert_eq!(add(&store, key, key), Added::Stored, "I13: {key}"));
    })
}

fn assert_found(disk: &Disk, keys: &[&str], when: &str) {
    for key in keys {
        assert_eq!(found(disk, key), Some(content(key)), "I7: `{key}` is stored and not found, {when}");
    }
}

/// A log that was compacted away comes back, empty, while somebody looks: by one who is late in making it.
#[test]
fn i7_what_is_added_to_a_log_that_was_compacted_away_and_made_again_is_found() {
    catches(Bug::LookNotRepeated, || {
        for looked in 1..30 {
            let disk = without_logs();
            let compactor: Part<'_> = Box::new(|process| {
                let store = store(process);
                assert_eq!(add(&store, "b", "b"), Added::Stored, "I13: b");
                __sim::compact(&store);
            });
            let (named, log) = (AtomicUsize::new(0), v1("log.1"));
            in_turns(
                &disk,
                vec![adder(&["late"]), compactor, adder(&["c"])],
                &[
                    // The header of its log is written, and not yet named.
                    (0, &|process| {
                        process.trace().iter().filter(|step| step.verb == Verb::Write).count() == 2
                    }),
                    (1, &|_| disk.exists(&log)),
                    (2, &|process| process.steps() >= looked),
                    (1, &|_| false),
                    (0, &|_| named.fetch_add(1, SeqCst) == 1),
                    (2, &|_| false),
                ],
            );
            assert_found(&disk, &["b", "c", "late"], &format!("looked after {looked}"));
        }
    });
}

/// As above, by the late one itself.
#[test]
fn i7_what_is_added_by_one_who_is_late_in_making_a_log_is_found() {
    catches(Bug::MadeLogTrusted, || {
        for steps in 1..VERBS {
            let disk = without_logs();
            let others: Part<'_> = Box::new(|process| {
                let store = store(process);
                assert_eq!(add(&store, "b", "b"), Added::Stored, "I13: b");
                __sim::compact(&store);
                assert_eq!(add(&store, "c", "c"), Added::Stored, "I13: c");
            });
            let parts = vec![adder(&["late"]), others];
            in_turns(&disk, parts, &[(0, &|process| process.steps() >= steps), (1, &|_| false)]);
            assert_found(&disk, &["b", "c", "late"], &format!("stopped after {steps}"));
        }
    });
}

/// A disk whose listings show no name that was made since they began.
fn slow_listings(disk: Disk) -> Disk {
    disk.set_listings(Listings::SinceOpening);
    disk
}

/// Killed after so many verbs of a kind on a path with this in it.
fn dies(process: &Process, after: usize, verb: Verb, part: &str) -> bool {
    let is_it = |step: &&Step| step.verb == verb && step.path.to_string_lossy().contains(part);
    let done = process.trace().iter().filter(is_it).count() >= after;
    if done {
        process.kill();
    }
    done
}

/// Somebody has the store open and looks for `b`, which has come since. In the middle of each of its two listings a
/// compaction runs, each killed after so many of its unlinks.
fn assert_found_while_two_compact(disk: &Disk, unlinks: [usize; 2]) {
    let (opened, result) = (AtomicUsize::new(0), Mutex::new(None));
    let finder: Part<'_> = Box::new(|process| {
        let store = store(process);
        opened.store(process.steps(), SeqCst);
        *result.lock().unwrap() = find(&store, "b");
    });
    // Closes the log that the finder follows.
    disk.set_size("LOG_BYTES_FULL", 100);
    let compactor = || -> Part<'_> {
        Box::new(|process| {
            __sim::compact(&store(process));
        })
    };
    let listings = |process: &Process| {
        let trace = process.trace();
        let opens_v1 = |step: &&Step| step.verb == Verb::OpenDir && step.path.ends_with("v1");
        trace.iter().skip(opened.load(SeqCst)).filter(opens_v1).count()
    };
    let log = v1("log.");
    in_turns(
        disk,
        vec![finder, adder(&["x", "b"]), compactor(), compactor()],
        &[
            (0, &|_| opened.load(SeqCst) > 0),
            (1, &|_| false),
            (0, &|process| listings(process) == 1),
            (2, &|process| dies(process, unlinks[0], Verb::Unlink, &log)),
            (0, &|process| listings(process) == 2),
            (3, &|process| dies(process, unlinks[1], Verb::Unlink, &log)),
            (0, &|_| false),
        ],
    );
    let found = result.into_inner().unwrap();
    assert_eq!(found, Some(content("b")), "I10: compactions killed after {unlinks:?} unlinks hide an entry");
}

const NEVER: usize = usize::MAX;

#[test]
fn i10_two_compactions_in_the_middle_of_a_look_make_no_empty_store() {
    catches(Bug::NothingBelieved, || {
        assert_found_while_two_compact(&slow_listings(with(&["a"])), [NEVER, NEVER]);
    });
}

#[test]
fn i10_of_the_inputs_of_a_compaction_no_part_passes_for_the_whole() {
    catches(Bug::UnlinkedHighestFirst, || {
        for unlinks in [[1, 1], [1, 2], [2, 1], [2, 2], [2, NEVER], [NEVER, 1]] {
            assert_found_while_two_compact(&slow_listings(with(&["a"])), unlinks);
        }
    });
}

#[test]
fn i10_what_a_killed_compaction_has_left_does_not_pass_for_the_whole() {
    catches(Bug::LeftoversStay, || {
        let disk = slow_listings(with(&["a"]));
        let killed: Part<'_> = Box::new(|process| {
            let opened = __sim::open(process.clone(), config().build());
            assert!(opened.is_ok_and(|store| !__sim::compact(&store)));
        });
        in_turns(&disk, vec![killed], &[(0, &|process| dies(process, 1, Verb::SyncDir, "v1"))]);
        assert!(disk.exists(v1("log.1")) && disk.exists(v1("seg.1-1")));
        assert_found_while_two_compact(&disk, [NEVER, NEVER]);
    });
}

/// Two logs are open after a rotation: who appends to the second closes the first.
#[test]
fn i9_what_is_added_behind_a_rotation_is_found() {
    catches(Bug::LowerLogsNotSealed, || {
        let disk = with(&["a"]);
        disk.set_size("LOG_BYTES_FULL", 600);
        let store = open(&disk);
        for key in ["b", "c", "d"] {
            assert_eq!(add(&store, key, key), Added::Stored, "I13: {key}");
            assert_eq!(found(&disk, key), Some(content(key)), "I9: stored in a log that nobody reads: {key}");
        }
        assert!(disk.exists(v1("log.2")), "no rotation");
    });
}

/// Two logs are open after a compaction that was killed: everybody follows the lower one.
#[test]
fn i9_of_two_open_logs_one_is_used() {
    catches(Bug::HighestLogFollowed, || {
        for steps in 1..VERBS {
            let disk = with(&["a"]);
            let early = open(&disk);
            let compactor = disk.process();
            compactor.kill_after(steps);
            if let Ok(store) = __sim::open(compactor, config().build()) {
                __sim::compact(&store);
            }
            let late = open(&disk);
            assert_eq!(find(&late, "a"), Some(content("a")), "I10: killed after {steps}");
            assert_eq!(add(&early, "b", "b"), Added::Stored, "I13: killed after {steps}");
            assert_eq!(find(&late, "b"), Some(content("b")), "I9: two logs are in use, killed after {steps}");
        }
    });
}

/// Somebody has made a hard link of the object: it loses its name in the store and not its last one.
#[test]
fn i4_an_object_that_is_kept_still_has_its_name() {
    catches(Bug::KeptNotRechecked, || {
        in_the_middle(
            1..=VERBS,
            || {
                let disk = with(&["a"]);
                disk.plant_hard_link(object("a"), "/home/backup");
                disk.advance_clock(Duration::from_secs(86_400));
                disk
            },
            |process| add(&store(&process), "other", "a"),
            |process| store(&process).forget(&sources("a").digest()).unwrap(),
            |disk, added, _| {
                assert!(added == Added::Stored, "I13: {added:?}");
                assert_eq!(found(disk, "other"), Some(content("a")), "I4: an entry without its object");
            },
        );
    });
}

#[test]
fn i12_what_is_handed_out_has_its_name() {
    catches(Bug::UnlinkedLeased, || {
        in_the_middle(
            1..=VERBS,
            || {
                let disk = with(&["a"]);
                disk.advance_clock(Duration::from_secs(86_400));
                disk
            },
            |process| {
                let artifact = store(&process).find(&sources("a"))?;
                Some(process.disk().exists(artifact.path()))
            },
            |process| store(&process).forget(&sources("a").digest()).unwrap(),
            |_, is_there, _| assert!(is_there != Some(false), "I12: a leased object has lost its name"),
        );
    });
}

/// Whoever is stopped while it looks whether an object can go holds it exclusively.
#[test]
fn i13_an_object_that_a_stopped_process_holds_exclusively_is_found() {
    catches(Bug::BusyIsMissing, || {
        for stop in 1..VERBS {
            let disk = with(&["a"]);
            disk.advance_clock(Duration::from_secs(86_400));
            let result = Mutex::new(None);
            let dropper: Part<'_> = Box::new(|process| {
                process.stop_after(stop);
                let opened = __sim::open(process.clone(), config().build());
                drop(opened.map(|store| store.forget(&sources("a").digest())));
            });
            let finder: Part<'_> =
                Box::new(|process| *result.lock().unwrap() = find(&store(process), "other"));
            in_turns(
                &disk,
                vec![dropper, namer(), finder],
                &[
                    // It has found no entry that names the object; then there is one.
                    (0, &|process| has_just(process, Verb::Open, "objects/")),
                    (1, &|_| false),
                    (0, &|_| false),
                    (2, &|_| false),
                ],
            );
            assert_eq!(result.into_inner().unwrap(), Some(content("a")), "I13: stopped after {stop}");
        }
    });
}

/// Adds the bytes of `a` under another key.
fn namer<'a>() -> Part<'a> {
    Box::new(|process| assert_eq!(add(&store(process), "other", "a"), Added::Stored, "I13: other"))
}

#[test]
fn i3_a_sweep_takes_nothing_that_a_living_add_is_making() {
    catches(Bug::StagedNotRechecked, || {
        in_the_middle(
            1..=VERBS,
            || with(&["a"]),
            |process| add(&store(&process), "b", "b"),
            |process| __sim::sweep(&store(&process)),
            |disk, added, ()| {
                assert!(added == Added::Stored, "I3: {added:?}");
                assert_eq!(found(disk, "b"), Some(content("b")), "I3: swept while it was made");
            },
        );
    });
}

#[test]
fn i2_an_object_that_has_been_named_meanwhile_stays() {
    catches(Bug::ReasonNotRechecked, || {
        in_the_middle(
            1..=VERBS,
            || {
                let disk = with(&["a"]);
                disk.advance_clock(Duration::from_secs(86_400));
                disk
            },
            |process| store(&process).forget(&sources("a").digest()).unwrap(),
            |process| add(&store(&process), "other", "a"),
            |disk, _, added| {
                assert!(added == Added::Stored, "I13: {added:?}");
                assert_eq!(
                    found(disk, "other"),
                    Some(content("a")),
                    "I2: an object that an entry names has gone"
                );
            },
        );
    });
}
