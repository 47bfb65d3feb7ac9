//! Directed interleavings for rules of the protocols that need a certain moment.

use super::{
    add, config, disk_with_store, find, open, sources_of,
    turns::{Part, has_just, in_turns},
    workload::{LAZY, Op, prepare},
};
use plugcache::{
    __sim::{Body, Controller, Process, Random, Verb},
    BuildError, Store,
};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

pub(super) fn store(process: &Process) -> Store {
    open(process, config(0, LAZY.durability).build_wait_max(Duration::from_millis(60))).unwrap()
}

/// **remove**: between opening an object and locking it, another removes it and a third publishes it again.
#[test]
fn a_remover_that_comes_late_leaves_the_object_that_another_published_since() {
    let c = (13, 0);
    let (start, _) = prepare(&disk_with_store(), &[Op::Add(c, 2), Op::Hours(1)]);
    for steps in 1..80 {
        let disk = start.snapshot();
        let forget = || {
            Box::new(|process: &Process| drop(store(process).forget(&sources_of(13).digest()))) as Part<'_>
        };
        let stored = AtomicUsize::new(0);
        let adder = |process: &Process| {
            let store = store(process);
            stored.store(usize::from(add(&store, (1, 0), 2) == Some(true)), SeqCst);
        };
        in_turns(
            &disk,
            vec![forget(), forget(), Box::new(adder)],
            &[
                (0, &|process| has_just(process, Verb::Open, "objects/")),
                (1, &|_| false),
                (2, &|process| process.steps() >= steps),
                (0, &|_| false),
            ],
        );
        let found = find(&store(&disk.process()), 1);
        assert_eq!((stored.load(SeqCst), found), (1, Ok(Some(2))), "the adder was stopped after {steps}");
    }
}

/// A late creator: between listing and naming its log, others make that log, fill it and compact it away.
#[test]
fn a_log_that_is_made_late_under_a_name_that_was_compacted_away_is_not_used() {
    let (start, _) = prepare(&disk_with_store(), &[Op::LoseLogs]);
    for steps in 1..80 {
        let disk = start.snapshot();
        let stored = AtomicUsize::new(0);
        let late = |process: &Process| {
            let store = store(process);
            stored.store(usize::from(add(&store, (1, 0), 2) == Some(true)), SeqCst);
        };
        let others = |process: &Process| {
            let store = store(process);
            assert_eq!(add(&store, (2, 0), 4), Some(true));
            plugcache::__sim::compact(&store);
            assert_eq!(add(&store, (13, 0), 6), Some(true));
        };
        in_turns(
            &disk,
            vec![Box::new(late), Box::new(others)],
            &[(0, &|process| process.steps() >= steps), (1, &|_| false)],
        );
        let store = store(&disk.process());
        let found = [1, 2, 13].map(|number| find(&store, number));
        assert_eq!(stored.load(SeqCst), 1);
        assert_eq!(found, [Ok(Some(2)), Ok(Some(4)), Ok(Some(6))], "the late one was stopped after {steps}");
    }
}

/// Two who follow different logs: a compactor that died between making a log and sealing the one below.
#[test]
fn with_two_logs_open_at_once_everybody_appends_where_everybody_reads() {
    let (start, _) = prepare(&disk_with_store(), &[Op::Add((13, 0), 6)]);
    for steps in 1..90 {
        let disk = start.snapshot();
        let old = disk.process();
        let old = store(&old);
        assert_eq!(find(&old, 13), Ok(Some(6)));
        let compactor = disk.process();
        compactor.kill_after(steps);
        if let Ok(store) = open(&compactor, config(0, LAZY.durability)) {
            plugcache::__sim::compact(&store);
        }
        let new = disk.process();
        let new = store(&new);
        for (turn, (writer, reader)) in [(&new, &old), (&old, &new), (&new, &old)].into_iter().enumerate() {
            let number = 2 + 2 * turn as u8;
            assert_eq!(add(writer, (number, 0), number), Some(true));
            let found = [number, 13].map(|number| find(reader, number));
            assert_eq!(found, [Ok(Some(number)), Ok(Some(6))], "compactor killed after {steps}, turn {turn}");
        }
    }
}

/// A build lock whose name was removed while another waited for it locks nothing.
#[test]
fn however_builders_meet_no_two_build_the_same_at_once() {
    let (start, _) = prepare(&disk_with_store(), &[Op::Add((13, 0), 6)]);
    for seed in 0..200 {
        let disk = start.snapshot();
        let (building, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let bodies = (0..3).map(|number| {
            let (building, most) = (&building, &most);
            Box::new(move |process: Process| {
                let store = open(&process, config(0, LAZY.durability)).unwrap();
                let got = store.get_or_build(&sources_of(1), |build| {
                    most.fetch_max(building.fetch_add(1, SeqCst) + 1, SeqCst);
                    let mut outputs = super::content(2).into_iter();
                    let written = outputs.try_for_each(|(name, bytes)| build.write(name, bytes));
                    building.fetch_sub(1, SeqCst);
                    if number == 2 { written } else { Err(std::io::Error::other("does not compile")) }
                });
                assert!(matches!(got, Ok(_) | Err(BuildError::Build(_))), "{got:?}");
            }) as Body<'_>
        });
        let mut random = Random::new(seed);
        let switch = 1 + random.below(6);
        let mut last = 0;
        let report = Controller::new(&disk).run(bodies.collect(), |can| {
            let stay = can.iter().position(|number| *number == last).filter(|_| random.below(switch) > 0);
            let position = stay.unwrap_or_else(|| random.below(can.len()));
            last = can[position];
            position
        });
        assert!(report.is_complete);
        assert_eq!(most.load(SeqCst), 1, "seed {seed}: {:?}", report.turns);
    }
}

/// An append behind a SEAL: the compactor has read the log already when a writer that knew of no SEAL writes.
#[test]
fn what_is_appended_behind_a_seal_is_appended_again_where_it_counts() {
    let (start, _) = prepare(&disk_with_store(), &[Op::Add((13, 0), 6)]);
    for steps in 1..80 {
        let disk = start.snapshot();
        let stored = AtomicUsize::new(0);
        let writer = |process: &Process| {
            let store = store(process);
            stored.store(usize::from(add(&store, (1, 0), 2) == Some(true)), SeqCst);
        };
        let compactor = |process: &Process| {
            plugcache::__sim::compact(&store(process));
        };
        in_turns(
            &disk,
            vec![Box::new(writer), Box::new(compactor)],
            &[
                (0, &|process| process.steps() >= steps),
                (1, &|process| has_just(process, Verb::SyncFile, "staging/")),
                (0, &|_| false),
                (1, &|_| false),
            ],
        );
        let store = store(&disk.process());
        let found = [1, 13].map(|number| find(&store, number));
        assert_eq!(stored.load(SeqCst), 1);
        assert_eq!(found, [Ok(Some(2)), Ok(Some(6))], "the writer was stopped after {steps}");
    }
}

/// Somebody is stopped while it holds an object exclusively that is right and named: a find hands out a copy.
#[test]
fn an_object_that_a_stopped_process_holds_exclusively_is_found_all_the_same() {
    let (start, _) = prepare(&disk_with_store(), &[Op::Add((13, 0), 2), Op::Hours(1)]);
    for stop in 1..60 {
        let disk = start.snapshot();
        let found = Mutex::new(None);
        let dropper = |process: &Process| {
            process.stop_after(stop);
            let opened = open(process, config(0, LAZY.durability));
            drop(opened.map(|store| store.forget(&sources_of(13).digest())));
        };
        let adder = |process: &Process| {
            add(&store(process), (1, 0), 2);
        };
        let finder = |process: &Process| *found.lock().unwrap() = Some(find(&store(process), 1));
        in_turns(
            &disk,
            vec![Box::new(dropper), Box::new(adder), Box::new(finder)],
            &[
                // The dropper has looked for names and found none; then the adder names the object.
                (0, &|process| has_just(process, Verb::Open, "objects/")),
                (1, &|_| false),
                (0, &|_| false),
                (2, &|_| false),
            ],
        );
        assert_eq!(*found.lock().unwrap(), Some(Ok(Some(2))), "the dropper was stopped after {stop}");
    }
}

/// A frame that lacks nothing but its last zeros when its writer dies.
#[test]
fn an_add_that_was_killed_does_not_come_to_light_after_its_key_was_forgotten() {
    let (start, _) = prepare(&disk_with_store(), &[]);
    let whole = start.snapshot();
    let process = whole.process();
    assert_eq!(add(&store(&process), (1, 0), 2), Some(true));
    let is_append =
        |step: &plugcache::__sim::Step| step.verb == Verb::Write && step.path.ends_with("v1/log.1");
    let (at, step) = (1..).zip(process.trace()).find(|(_, step)| is_append(step)).unwrap();
    for keep in 1..step.bytes {
        let disk = start.snapshot();
        let process = disk.process();
        process.tear(at, keep);
        assert_eq!(
            open(&process, config(0, LAZY.durability)).map(|store| add(&store, (1, 0), 2)).ok(),
            Some(Some(false))
        );
        let other = store(&disk.process());
        assert_eq!(other.forget(&sources_of(1).digest()).unwrap(), 0);
        assert_eq!(add(&other, (2, 0), 4), Some(true));
        let found = [1, 2].map(|number| find(&other, number));
        assert_eq!(found, [Ok(None), Ok(Some(4))], "{keep} bytes were written");
    }
}

/// On a coarse clock a foreign write need not show in `ctime`: the find that looks into it dies at each verb.
#[test]
fn an_object_written_to_within_the_tick_of_its_making_is_never_trusted_again() {
    let start = disk_with_store();
    start.set_clock_coarse(true);
    assert_eq!(add(&store(&start.process()), (1, 0), 2), Some(true));
    let made = super::check::files(&start).into_iter().find(|(_, bytes)| *bytes == super::content(2)[0].1);
    start.overwrite(made.unwrap().0, 1, [9]);
    for steps in 1..60 {
        let disk = start.snapshot();
        let process = disk.process();
        process.kill_after(steps);
        drop(open(&process, config(0, LAZY.durability)).map(|store| find(&store, 1)));
        assert_eq!(find(&store(&disk.process()), 1), Ok(None), "the find before was killed after {steps}");
    }
}
