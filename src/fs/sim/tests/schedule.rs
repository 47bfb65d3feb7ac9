//! Schedules repeat, cover every interleaving, and end.

use super::{
    super::{
        super::Lock, Body, Controller, Disk, Listings, Process, Random, Report, Schedules, Verb, is_dead,
    },
    at, put,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Appends its letter `count` times to `/log`, which costs `count` verbs besides two to open and two to close.
fn appender(letter: &'static str, count: usize) -> Body<'static> {
    Box::new(move |process: Process| {
        let Ok(root) = process.open_root(at("/")) else { return };
        let Ok(log) = root.open(at("log"), super::super::super::Access::Append) else { return };
        for _ in 0..count {
            if log.write(letter.as_bytes()).is_err() {
                return;
            }
        }
    })
}

fn log_disk() -> Disk {
    let disk = Disk::new(1);
    disk.plant_file("/log", "");
    disk
}

fn log_text(disk: &Disk) -> String {
    String::from_utf8(disk.read_file("/log").unwrap()).unwrap()
}

fn run_two(choose: impl FnMut(&[usize]) -> usize) -> (String, Report) {
    let disk = log_disk();
    let report = Controller::new(&disk).run(vec![appender("a", 2), appender("b", 2)], choose);
    (log_text(&disk), report)
}

#[test]
fn the_same_choices_give_the_same_run() {
    for seed in 0..20 {
        let run = || {
            let mut random = Random::new(seed);
            run_two(move |runnable| random.below(runnable.len()))
        };
        assert_eq!(run(), run());
    }
    assert_eq!(run_two(|_| 0).0, "aabb");
    assert_eq!(run_two(|runnable| runnable.len() - 1).0, "bbaa");
}

#[test]
fn all_schedules_are_all_interleavings_each_once() {
    let mut schedules = Schedules::all();
    let (mut texts, mut turns) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let (text, report) = run_two(|runnable| schedules.choose(runnable));
        assert!(report.is_complete);
        texts.insert(text);
        assert!(turns.insert(report.turns), "a schedule came twice");
        if !schedules.advance() {
            break;
        }
    }
    // Two processes of six verbs each: 12! / (6! 6!).
    assert_eq!((turns.len(), schedules.finished()), (924, 924));
    assert_eq!(texts.len(), 6, "aabb abab abba baab baba bbaa");
}

#[test]
fn a_bound_on_preemptions_leaves_few_schedules() {
    let count = |max: usize| {
        let mut schedules = Schedules::with_preemptions(max);
        let mut texts = BTreeSet::new();
        loop {
            texts.insert(run_two(|runnable| schedules.choose(runnable)).0);
            if !schedules.advance() {
                return (schedules.finished(), texts.len());
            }
        }
    };
    assert_eq!(count(0), (2, 2));
    assert_eq!(count(1), (12, 4));
    assert_eq!(count(99), (924, 6));
}

#[test]
fn a_stopped_process_keeps_its_lock_is_never_chosen_again_and_others_end() {
    let disk = log_disk();
    let (refused, dead) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let holder: Body<'_> = Box::new(|process| {
        process.stop_after(3);
        let root = process.open_root(at("/")).unwrap();
        let log = root.open_or_create(at("log")).unwrap();
        assert!(log.try_lock(Lock::Exclusive).unwrap());
        dead.fetch_add(usize::from(is_dead(&log.write(b"x").unwrap_err())), Ordering::Relaxed);
    });
    let other: Body<'_> = Box::new(|process| {
        let root = process.open_root(at("/")).unwrap();
        let log = root.open_or_create(at("log")).unwrap();
        let end = process.now() + Duration::from_secs(1);
        while process.now() < end && !log.try_lock(Lock::Shared).unwrap() {
            refused.fetch_add(1, Ordering::Relaxed);
            process.pause(Duration::from_millis(100));
        }
    });
    let report = Controller::new(&disk).run(vec![holder, other], |_| 0);
    assert!(report.is_complete);
    assert_eq!((refused.load(Ordering::Relaxed), dead.load(Ordering::Relaxed)), (10, 1));
    assert_eq!(log_text(&disk), "");
}

#[test]
fn a_process_that_pauses_lets_others_go_first() {
    let disk = log_disk();
    let flag = |process: Process| {
        let root = process.open_root(at("/")).unwrap();
        while root.stat(at("flag")).is_err() {
            process.pause(Duration::from_millis(1));
        }
    };
    let maker = |process: Process| drop(put(&process.open_root(at("/")).unwrap(), "flag", b"1"));
    let report = Controller::new(&disk).steps_max(100).run(vec![Box::new(flag), Box::new(maker)], |_| 0);
    assert!(report.is_complete, "the first process was chosen for ever: {:?}", report.turns);
}

#[test]
fn a_loop_without_end_is_cut_off_by_the_limit_of_steps() {
    let disk = log_disk();
    let body = |process: Process| {
        let root = process.open_root(at("/")).unwrap();
        while root.stat(at("log")).is_ok() {}
    };
    let report = Controller::new(&disk).steps_max(50).run(vec![Box::new(body)], |_| 0);
    assert_eq!((report.is_complete, report.turns.len()), (false, 50));
}

#[test]
fn a_kill_planned_inside_a_schedule_frees_the_lock_for_the_other() {
    let disk = log_disk();
    let holder: Body<'_> = Box::new(|process| {
        process.kill_after(3);
        let root = process.open_root(at("/")).unwrap();
        let log = root.open_or_create(at("log")).unwrap();
        assert!(is_dead(&log.try_lock(Lock::Exclusive).unwrap_err()));
    });
    let taker: Body<'_> = Box::new(|process| {
        let root = process.open_root(at("/")).unwrap();
        assert!(root.open_or_create(at("log")).unwrap().try_lock(Lock::Exclusive).unwrap());
    });
    assert!(Controller::new(&disk).run(vec![holder, taker], |_| 0).is_complete);
}

#[test]
fn closing_is_a_moment_at_which_others_can_go() {
    let disk = log_disk();
    let outcomes = Arc::new(Mutex::new(BTreeSet::new()));
    let mut schedules = Schedules::all();
    loop {
        let outcomes = outcomes.clone();
        let holder: Body<'_> = Box::new(|process| {
            let root = process.open_root(at("/")).unwrap();
            let log = root.open_or_create(at("log")).unwrap();
            log.try_lock(Lock::Exclusive).unwrap();
            assert_eq!(process.trace().last().unwrap().verb, Verb::LockFile);
        });
        let taker: Body<'_> = Box::new(move |process| {
            let root = process.open_root(at("/")).unwrap();
            let is_free = root.open_or_create(at("log")).unwrap().try_lock(Lock::Shared).unwrap();
            outcomes.lock().unwrap().insert(is_free);
        });
        Controller::new(&disk).run(vec![holder, taker], |runnable| schedules.choose(runnable));
        if !schedules.advance() {
            break;
        }
    }
    assert_eq!(outcomes.lock().unwrap().len(), 2, "refused in some schedules, granted in others");
}

#[test]
#[should_panic(expected = "a body's own assertion")]
fn a_panic_of_a_body_reaches_the_test() {
    let disk = log_disk();
    let body = |process: Process| {
        let _root = process.open_root(at("/")).unwrap();
        panic!("a body's own assertion");
    };
    Controller::new(&disk).run(vec![Box::new(body), appender("b", 1)], |_| 0);
}

#[test]
#[should_panic(expected = "no such choice")]
fn a_panic_of_the_choice_does_not_leave_threads_waiting() {
    run_two(|_| panic!("no such choice"));
}

#[test]
fn a_run_leaves_nothing_behind_in_memory() {
    let token = Arc::new(());
    for _ in 0..3 {
        let token = token.clone();
        let body = |process: Process| {
            process.stop_after(1);
            let _held = (token, process.open_root(at("/")));
        };
        Controller::new(&log_disk()).run(vec![Box::new(body), appender("b", 1)], |_| 0);
    }
    assert_eq!(Arc::strong_count(&token), 1);
    let disk = log_disk();
    Controller::new(&disk).run(vec![appender("a", 1), appender("b", 1)], |_| 0);
    assert_eq!(disk.handles(), 1, "a finished run still holds the disk");
}

/// What a listing shows in the middle of which `stays` stays, `old` goes and `new` comes.
fn torn_listing(listings: Listings, seed: u64) -> Vec<String> {
    let disk = Disk::new(seed);
    disk.set_listings(listings);
    disk.plant_file("/d/stays", "");
    disk.plant_file("/d/old", "");
    let listed = Mutex::new(Vec::new());
    let lister: Body<'_> = Box::new(|process: Process| {
        let dir = process.open_root(at("/d")).unwrap();
        *listed.lock().unwrap() =
            dir.list().unwrap().into_iter().map(|name| name.into_string().unwrap()).collect();
    });
    let mover: Body<'_> = Box::new(|process: Process| {
        process.open_root(at("/d")).unwrap().rename(at("old"), at("new")).unwrap()
    });
    let mut turn = 0;
    Controller::new(&disk).run(vec![lister, mover], |runnable| {
        turn += 1;
        // Opens the directory and begins to list it; then the other goes to its end.
        if turn <= 2 { 0 } else { runnable.len() - 1 }
    });
    let mut listed = listed.into_inner().unwrap();
    listed.sort_unstable();
    listed
}

#[test]
fn a_listing_shows_what_stays_and_of_what_comes_and_goes_what_its_file_system_shows() {
    assert_eq!(torn_listing(Listings::AtOnce, 0), ["old", "stays"], "it is one look, before the rename");
    assert_eq!(torn_listing(Listings::SinceOpening, 0), ["stays"]);
    let torn: BTreeSet<_> = (0..40).map(|seed| torn_listing(Listings::Torn, seed).join(" ")).collect();
    let expected = ["new old stays", "new stays", "old stays", "stays"];
    assert_eq!(torn, expected.map(str::to_owned).into());
}
