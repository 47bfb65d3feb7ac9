//! kill -9 at every system call of every operation, one after the other.
//!
//! Each run starts a worker under strace, which kills it at the Nth call of one name, for each name and for
//! N = 1 .. until the worker gets to its end. Then an oracle opens the store: nothing acknowledged is lost
//! (I7), nothing wrong is found (I1, I5), adding works, and the litter goes (I3).

use std::{cell::Cell, fs, os::unix::fs::PermissionsExt, time::Instant};

use plugcache::{__sim, Added};

use crate::{
    bed::{Found, Oracle, SHARED, Setup, add, body, find, names, objects, rate, sources, temp},
    harness::{self, Outcome},
    strace::{self, CALLS, LOOKS, Run},
    tests, worker,
};

tests!["kills":
    no_system_call_of_a_store_is_missing_from_the_list,
    an_add_of_a_new_object_killed_anywhere_leaves_all_or_nothing,
    a_durable_add_killed_anywhere_leaves_all_or_nothing,
    an_add_of_an_existing_object_killed_anywhere_harms_nobody,
    a_replacement_killed_anywhere_leaves_the_old_or_the_new,
    an_eviction_killed_anywhere_loses_nothing_but_its_victims,
    a_forget_killed_anywhere_leaves_the_entry_or_nothing,
    a_compaction_killed_anywhere_changes_no_answer,
    a_build_killed_anywhere_frees_the_next_one_at_once,
    a_removal_to_quarantine_killed_anywhere_gives_no_wrong_bytes,
    a_sweep_killed_anywhere_is_finished_by_the_next_one,
    the_first_creation_killed_anywhere_is_completed_by_the_next_add,
    a_store_whose_making_ended_with_its_first_directory_is_completed_by_the_next_add,
];

/// Kills a worker with each `script(run number)` at each system call; `judge` looks at what is left. Only every
/// `stride`th call beyond the first 12 of a name, unless `PLUGCACHE_KILLS=1`.
fn everywhere(
    setup: &Setup,
    stride: usize,
    mut script: impl FnMut(u64) -> Vec<String>,
    mut judge: impl FnMut(u64, &str, &Run),
) -> Outcome {
    strace::need_strace()?;
    let all = harness::count("PLUGCACHE_KILLS", 0) != 0;
    let (stride, looks) = if all { (1, LOOKS) } else { (stride, &[][..]) };
    let (begin, mut kills) = (Instant::now(), 0);
    let mut number = 0;
    for call in CALLS.iter().chain(looks) {
        let mut n = 1;
        loop {
            number += 1;
            let verbs = script(number);
            let run = strace::kill_at(call, n, &worker::command("script", setup, &verbs));
            judge(number, &format!("{call} {n} of {verbs:?}, {:?}", run.lines), &run);
            if !run.killed {
                let refused: Vec<_> = run.lines.iter().filter(|line| line.starts_with('-')).collect();
                assert!(refused.is_empty() && run.lines.len() == verbs.len(), "{verbs:?}: {:?}", run.lines);
                break;
            }
            kills += 1;
            n += if n < 12 { 1 } else { stride };
        }
    }
    // No operation gets along with fewer: strace did not do what it was told.
    assert!(kills >= 15, "only {kills} kills");
    Ok(format!("{kills} kills, {}", rate(kills, begin)))
}

fn acknowledged(run: &Run, verb: &str) -> bool {
    run.lines.iter().any(|line| line.strip_prefix("+ ") == Some(verb))
}

/// A store with eight entries, which every test expects to find afterwards.
fn eight() -> (tempfile::TempDir, Setup, Oracle) {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    let oracle = Oracle::with_keys(&setup, 1..=8);
    (temp, setup, oracle)
}

/// Adds of keys of their own: what the worker said is all there.
fn adds(setup: &Setup, oracle: &mut Oracle, verb: impl Fn(u64) -> String) -> Outcome {
    everywhere(
        setup,
        1,
        |number| vec![verb(number)],
        |number, after, run| {
            let key = 1000 + number;
            oracle.unsure(key);
            if acknowledged(run, &verb(number)) {
                oracle.acknowledged(key);
            }
            oracle.all_is_well(after);
            // Kept small: each check looks at all known keys.
            setup.open().forget(&sources(key).digest()).unwrap();
            oracle.forgotten(key);
        },
    )
}

fn no_system_call_of_a_store_is_missing_from_the_list() -> Outcome {
    /// What changes and shows nothing outside the process, or is made before `main` only.
    const HARMLESS: &[&str] = &[
        "access",
        "arch_prctl",
        "brk",
        "execve",
        "exit_group",
        "getrandom",
        "madvise",
        "mprotect",
        "munmap",
        "poll",
        "prlimit64",
        "read",
        "readlink",
        "rseq",
        "rt_sigaction",
        "rt_sigprocmask",
        "sched_getaffinity",
        "set_robust_list",
        "set_tid_address",
        "sigaltstack",
        "getcwd",
        "geteuid",
        "getpid",
        "fstatfs",
        "getuid",
        "stat",
        "lstat",
        "statx",
        "lseek",
        "gettid",
        "mremap",
        "futex",
        "clock_gettime",
        "clock_nanosleep",
        "fcntl",
        "rmdir",
        "rt_sigreturn",
    ];
    strace::need_strace()?;
    let (_temp, setup, _) = eight();
    let verbs =
        ["pair:100:1:300000", "share:101:1:10", "build:102:1:10", "find:1", "compact", "sweep", "sync"];
    let calls = strace::count_calls(&worker::command("script", &setup, &verbs.map(str::to_owned)));
    let unlisted: Vec<_> = calls
        .iter()
        .filter(|(name, _)| ![CALLS, LOOKS, HARMLESS].iter().any(|list| list.contains(&name.as_str())))
        .collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
    let made = calls.iter().filter(|(name, _)| CALLS.contains(&name.as_str())).count();
    assert!(made >= 10, "{calls:?}");
    Ok(format!("{made} names of system calls"))
}

fn an_add_of_a_new_object_killed_anywhere_leaves_all_or_nothing() -> Outcome {
    let (_temp, setup, mut oracle) = eight();
    adds(&setup, &mut oracle, |number| format!("pair:{}:1:3000", 1000 + number))
}

fn a_durable_add_killed_anywhere_leaves_all_or_nothing() -> Outcome {
    let (_temp, setup, mut oracle) = eight();
    let durable = Setup { sync: true, ..setup };
    adds(&durable, &mut oracle, |number| format!("add:{}:1:3000", 1000 + number))
}

fn an_add_of_an_existing_object_killed_anywhere_harms_nobody() -> Outcome {
    let (_temp, setup, mut oracle) = eight();
    let shared = plugcache::Outputs::bytes("out", body(SHARED, 7, 3000));
    assert_eq!(setup.open().add(&sources(9), shared).unwrap(), Added::Stored);
    oracle.acknowledged(9);
    adds(&setup, &mut oracle, |number| format!("share:{}:7:3000", 1000 + number))
}

fn a_replacement_killed_anywhere_leaves_the_old_or_the_new() -> Outcome {
    let (_temp, setup, mut oracle) = eight();
    let version = Cell::new(1);
    let version_of = |setup: &Setup| {
        let artifact = setup.open().find(&sources(3)).unwrap();
        u64::from_le_bytes(artifact.primary().read().unwrap()[8..16].try_into().unwrap())
    };
    everywhere(
        &setup,
        1,
        |number| vec![format!("add:3:{}:2500", number + 1)],
        |number, after, run| {
            let now = version_of(&setup);
            let new = number + 1;
            let expected = if run.lines.is_empty() { vec![version.get(), new] } else { vec![new] };
            assert!(expected.contains(&now), "{now} and not {expected:?} after {after}");
            version.set(now);
            oracle.all_is_well(after);
        },
    )
}

fn an_eviction_killed_anywhere_loses_nothing_but_its_victims() -> Outcome {
    let (_temp, setup, oracle) = eight();
    drop(oracle);
    let full = Setup { max_files: 8, ..setup.clone() };
    let mut oracle = Oracle::new(&setup);
    oracle.known.extend(1..=8);
    everywhere(
        &full,
        1,
        |number| vec![format!("add:{}:1:2000", 1000 + number)],
        |number, after, run| {
            let key = 1000 + number;
            oracle.known.insert(key);
            let store = setup.open();
            let there = store.entries().count();
            assert!((8..=9).contains(&there), "{there} entries after {after}");
            let found = oracle.known.iter().filter(|key| find(&store, **key) == Found::Right).count();
            assert_eq!(found, there, "an entry without its object after {after}");
            if acknowledged(run, &format!("add:{key}:1:2000")) {
                assert_eq!(find(&store, key), Found::Right, "evicted its own after {after}");
            }
            // Whoever adds next brings the store to its limit, and sweeps what is left.
            let store = full.open();
            assert_eq!(add(&store, 1_000_000 + number, 1, 100), Added::Stored);
            assert_eq!(store.entries().count(), 8, "over the limit after {after}");
            oracle.known.insert(1_000_000 + number);
            oracle.litter_goes(after);
            oracle.known.retain(|key| find(&store, *key) == Found::Right);
            assert_eq!(oracle.known.len(), 8, "{after}");
        },
    )
}

fn a_forget_killed_anywhere_leaves_the_entry_or_nothing() -> Outcome {
    let (_temp, setup, mut oracle) = eight();
    everywhere(
        &setup,
        1,
        |number| {
            assert_eq!(add(&setup.open(), 1000 + number, 1, 900), Added::Stored);
            vec![format!("forget:{}", 1000 + number)]
        },
        |number, after, run| {
            let key = 1000 + number;
            let found = find(&setup.open(), key);
            assert_ne!(found, Found::Wrong, "{after}");
            assert!(run.lines.is_empty() || found == Found::Nothing, "forgotten and found after {after}");
            setup.open().forget(&sources(key).digest()).unwrap();
            oracle.all_is_well(after);
        },
    )
}

fn a_compaction_killed_anywhere_changes_no_answer() -> Outcome {
    let (_temp, setup, mut oracle) = eight();
    everywhere(
        &setup,
        1,
        |number| {
            let store = setup.open();
            // Each killed one leaves a log more, and so more calls for the next: this one begins afresh.
            assert!(__sim::compact(&store), "run {number}");
            assert_eq!(add(&store, 1000 + number, 1, 900), Added::Stored);
            if number > 3 {
                store.forget(&sources(1000 + number - 3).digest()).unwrap();
            }
            vec!["compact".into()]
        },
        |number, after, _| {
            oracle.acknowledged(1000 + number);
            if number > 3 {
                let gone = 1000 + number - 3;
                assert_eq!(find(&setup.open(), gone), Found::Nothing, "came back after {after}");
                oracle.forgotten(gone);
            }
            oracle.all_is_well(after);
        },
    )
}

fn a_build_killed_anywhere_frees_the_next_one_at_once() -> Outcome {
    let (_temp, setup, mut oracle) = eight();
    everywhere(
        &setup,
        1,
        |number| vec![format!("build:{}:1:1500", 1000 + number)],
        |number, after, run| {
            let key = 1000 + number;
            oracle.unsure(key);
            if !run.lines.is_empty() {
                oracle.acknowledged(key);
            }
            oracle.check(after);
            // Ten minutes is how long it would wait for a builder that lives.
            let begin = Instant::now();
            let got = setup
                .open()
                .get_or_build(&sources(key), |build| build.write("out", body(key, 2, 1500)))
                .unwrap();
            assert!(got.artifact.is_stored(), "{:?} after {after}", got.how);
            assert!(begin.elapsed().as_secs() < 60, "waited for the dead after {after}");
            oracle.all_is_well(after);
            setup.open().forget(&sources(key).digest()).unwrap();
            oracle.forgotten(key);
        },
    )
}

fn a_removal_to_quarantine_killed_anywhere_gives_no_wrong_bytes() -> Outcome {
    let (_temp, setup, mut oracle) = eight();
    let key = 9;
    oracle.known.insert(key);
    let damage = || {
        let digest = plugcache::ObjectDigest::of_bytes(&body(key, 1, 2000));
        let path = objects(&setup.dir.join("v1"))[&digest].clone();
        let mut bytes = fs::read(&path).unwrap();
        bytes[1500] ^= 1;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, &bytes).unwrap();
    };
    everywhere(
        &setup,
        1,
        |_| {
            // The first and the last verb must miss resp. hit; in between the object is put aside.
            assert_eq!(add(&setup.open(), key, 1, 2000), Added::Stored);
            damage();
            vec![format!("add:{key}:1:2000"), format!("find:{key}")]
        },
        |_, after, run| {
            oracle.all_is_well(after);
            // Who is killed before pruning leaves that to the next one.
            let quarantine = names(&setup.dir.join("v1/quarantine")).len();
            assert!(run.killed || quarantine <= 16, "{quarantine} in quarantine after {after}");
        },
    )
}

fn a_sweep_killed_anywhere_is_finished_by_the_next_one() -> Outcome {
    let (_temp, setup, mut oracle) = eight();
    let v1 = setup.dir.join("v1");
    let tight = Setup { max_bytes: 0, ..setup.clone() };
    everywhere(
        &tight,
        60,
        |number| {
            let build = v1.join(format!("staging/{number:032x}.d"));
            fs::create_dir_all(build.join("deep/er")).unwrap();
            fs::write(build.join("deep/er/file"), "x").unwrap();
            fs::write(v1.join(format!("staging/{number:032x}")), "x").unwrap();
            fs::write(v1.join(format!("inflight/{number:064x}")), "").unwrap();
            // Bytes that nothing names any more.
            let store = setup.open();
            assert_eq!(add(&store, 20, number, 200), Added::Stored);
            store.forget(&sources(20).digest()).unwrap();
            vec!["sweep".into()]
        },
        |_, after, _| oracle.all_is_well(after),
    )
}

fn a_store_whose_making_ended_with_its_first_directory_is_completed_by_the_next_add() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    fs::create_dir_all(setup.dir.join("v1")).unwrap();
    fs::set_permissions(&setup.dir, fs::Permissions::from_mode(0o700)).unwrap();
    Oracle::with_keys(&setup, 1..=3).all_is_well("an interrupted creation");
    Ok("3 keys".into())
}

fn the_first_creation_killed_anywhere_is_completed_by_the_next_add() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("new/store"));
    everywhere(
        &setup,
        60,
        |_| {
            let _ = fs::remove_dir_all(temp.path().join("new"));
            vec!["add:1:1:500".into()]
        },
        |_, after, run| {
            let mut oracle = Oracle::new(&setup);
            oracle.unsure(1);
            if !run.lines.is_empty() {
                oracle.acknowledged(1);
            }
            oracle.all_is_well(after);
        },
    )
}
