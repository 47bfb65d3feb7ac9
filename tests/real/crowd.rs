//! Many at once: finds, adds, forgets, compactions and evictions of 64 processes over a thousand keys; and a
//! store that is renamed, copied and deleted under those who work with it.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use plugcache::{__sim, Added, Outputs, Store};

use crate::{
    bed::{Found, Oracle, Random, SHARED, Setup, add, body, find, sources, temp},
    harness::{self, Outcome},
    stream::Stream,
    tests, worker,
};

tests!["crowd":
    sixty_four_processes_lose_nothing_and_leak_nothing,
    a_handle_that_replaces_all_the_time_takes_no_more_memory_or_descriptors,
    sixty_four_processes_that_evict_keep_the_limit_and_find_nothing_wrong,
    a_store_that_is_renamed_copied_and_deleted_under_its_users_gives_no_wrong_bytes,
];

const PROCESSES: u64 = 64;
/// Keys of each process alone; the rest of the thousand is shared.
const OWN_KEYS: u64 = 8;
const SHARED_KEYS: u64 = 1000 - PROCESSES * OWN_KEYS;
const FIRST_OWN: u64 = 10_000;

/// The worker: `verbs` are its number, its count of operations, and whether others evict what is its own.
pub(crate) fn member(setup: &Setup, verbs: &[String]) {
    let number = |at: usize| verbs[at].parse::<u64>().unwrap();
    let (index, operations, evicting) = (number(0), number(1), number(2) != 0);
    let mut random = Random::new(index + 1);
    let store = setup.open();
    // What is stored under the own keys.
    let mut own: BTreeMap<u64, bool> = BTreeMap::new();
    let (mut errors, mut before) = (Vec::new(), (0, 0));
    for operation in 0..operations {
        if operation == operations / 2 {
            before = resources();
        }
        let is_own = random.below(2) == 0;
        let key = if is_own {
            FIRST_OWN + index * OWN_KEYS + random.below(OWN_KEYS)
        } else {
            random.below(SHARED_KEYS)
        };
        let told = match random.below(20) {
            0..7 => match add_some(&store, key, &mut random) {
                Added::Stored => (is_own && own.insert(key, true).is_some(), None).1,
                skipped => Some(format!("add of {key}: {skipped:?}")),
            },
            7..9 => store
                .forget(&sources(key).digest())
                .err()
                .map(|error| format!("forget of {key}: {error:?}"))
                .or_else(|| {
                    if is_own {
                        own.insert(key, false);
                    }
                    None
                }),
            9 if random.below(10) == 0 => (__sim::compact(&store), None).1,
            _ => match (find(&store, key), is_own.then(|| own.get(&key).copied().unwrap_or(false))) {
                (Found::Wrong, _) => Some(format!("wrong bytes under {key}")),
                (Found::Nothing, Some(true)) if !evicting => Some(format!("{key} was stored and is lost")),
                (Found::Right, Some(false)) => Some(format!("{key} was forgotten and is there")),
                _ => None,
            },
        };
        errors.extend(told);
    }
    let after = resources();
    errors.iter().for_each(|error| worker::say(&format!("! {error}")));
    let stored: Vec<String> =
        own.iter().filter(|(_, stored)| **stored).map(|(key, _)| key.to_string()).collect();
    worker::say(&format!("own {}", stored.join(" ")));
    worker::say(&format!("grown {} {}", after.0 - before.0, after.1 - before.1));
}

/// The worker: replaces a few entries `verbs[0]` times, each time by bytes that never were before, and finds them.
pub(crate) fn replace(setup: &Setup, verbs: &[String]) {
    let store = setup.open();
    let rounds: u64 = verbs[0].parse().unwrap();
    let mut before = (0, 0);
    for round in 0..rounds {
        let key = round % OWN_KEYS;
        assert_eq!(add(&store, key, round, 100), Added::Stored);
        assert_eq!(find(&store, key), Found::Right);
        if round == rounds / 2 {
            before = resources();
        }
    }
    let after = resources();
    worker::say(&format!("grown {} {}", after.0 - before.0, after.1 - before.1));
}

fn add_some(store: &Store, key: u64, random: &mut Random) -> Added {
    let owner = if random.below(3) == 0 { SHARED } else { key };
    let bytes = body(owner, random.below(4), random.below(3000) as usize);
    store.add(&sources(key), Outputs::bytes("out", bytes)).unwrap()
}

/// Open descriptors, and resident memory in KiB.
fn resources() -> (i64, i64) {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count() as i64;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (descriptors, line.trim().trim_end_matches(" kB").parse().unwrap())
}

/// What all of them said.
struct Crowd {
    own: Vec<u64>,
    grown_kib_max: i64,
    operations: u64,
}

fn run(setup: &Setup, evicting: bool) -> Crowd {
    let operations: u64 = harness::count("PLUGCACHE_CROWD", 40);
    let members: Vec<_> = (0..PROCESSES)
        .map(|index| {
            let verbs = [index, operations, evicting.into()].map(|number| number.to_string());
            worker::start(&worker::command("member", setup, &verbs))
        })
        .collect();
    let mut crowd = Crowd { own: Vec::new(), grown_kib_max: 0, operations: operations * PROCESSES };
    let mut broken = Vec::new();
    for member in members {
        let output = member.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", output.status);
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            match fields[0] {
                "own" => crowd.own.extend(fields[1..].iter().filter_map(|key| key.parse::<u64>().ok())),
                "grown" => {
                    assert_eq!(fields[1], "0", "descriptors stayed open");
                    crowd.grown_kib_max = crowd.grown_kib_max.max(fields[2].parse().unwrap());
                }
                _ => broken.push(line.to_owned()),
            }
        }
    }
    assert!(broken.is_empty(), "{} of {}: {broken:#?}", broken.len(), crowd.operations);
    crowd
}

fn sixty_four_processes_lose_nothing_and_leak_nothing() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    let crowd = run(&setup, false);
    let store = setup.open();
    let lost: Vec<_> = crowd.own.iter().filter(|key| find(&store, **key) != Found::Right).collect();
    assert!(lost.is_empty(), "{lost:?} of {} were acknowledged and are lost", crowd.own.len());
    // In the second half all thousand keys are known to each, and nothing new is to be remembered.
    assert!(crowd.grown_kib_max < 8 << 10, "{} KiB more in the second half", crowd.grown_kib_max);
    Oracle::new(&setup).all_is_well("the crowd");
    Ok(format!(
        "{} operations, 0 errors, 0 wrong, {} keys of one process alone all there; descriptors +0, memory at most \
         +{} KiB in the second half",
        crowd.operations,
        crowd.own.len(),
        crowd.grown_kib_max
    ))
}

/// What a handle remembers of objects, uses and removals is bounded, however long it lives.
fn a_handle_that_replaces_all_the_time_takes_no_more_memory_or_descriptors() -> Outcome {
    let rounds: u64 = harness::count("PLUGCACHE_REPLACEMENTS", 36_000);
    // In memory where that can be had: the disk has nothing to do with it.
    let temp = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| temp());
    let setup = Setup::new(temp.path().join("store"));
    let member = worker::start(&worker::command("replace", &setup, &[rounds.to_string()]));
    let output = member.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let said = String::from_utf8(output.stdout).unwrap();
    let grown: Vec<i64> = said.trim().split(' ').skip(1).map(|number| number.parse().unwrap()).collect();
    assert_eq!(grown[0], 0, "descriptors stayed open");
    assert!(grown[1] < 1 << 10, "{} KiB more in the second half", grown[1]);
    Ok(format!("{rounds} replacements; descriptors +0, memory +{} KiB in the second half", grown[1]))
}

fn sixty_four_processes_that_evict_keep_the_limit_and_find_nothing_wrong() -> Outcome {
    let temp = temp();
    let setup = Setup { max_files: 150, ..Setup::new(temp.path().join("store")) };
    let crowd = run(&setup, true);
    let store = setup.open();
    assert_eq!(add(&store, 1, 1, 100), Added::Stored);
    let entries = store.entries().count();
    assert!(entries <= 150, "{entries}");
    Oracle::new(&setup).all_is_well("the crowd");
    Ok(format!("{} operations, 0 errors, 0 wrong, {entries} entries of at most 150", crowd.operations))
}

fn a_store_that_is_renamed_copied_and_deleted_under_its_users_gives_no_wrong_bytes() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    let (aside, copied) = (temp.path().join("aside"), temp.path().join("copied"));
    let streams: Vec<_> =
        (1..=4).map(|number| Stream::start("stream", &setup, number << 20, number)).collect();
    let rounds = harness::count("PLUGCACHE_DELETIONS", 3);
    let mut found = 0;
    for _ in 0..rounds {
        streams.iter().for_each(|stream| stream.wait_for_lines(20));
        // Away and back; somebody may have made a new one meanwhile, which is deleted under its users then.
        fs::rename(&setup.dir, &aside).unwrap();
        thread::sleep(Duration::from_millis(10));
        delete(&setup.dir);
        let _ = fs::rename(&aside, &setup.dir);
        // A copy of what changes meanwhile holds what it holds, and all of it is right.
        let _ =
            Command::new("cp").arg("-r").args([&setup.dir, &copied]).stderr(Stdio::null()).status().unwrap();
        found += look_through(&Setup::new(&copied));
        delete(&copied);
        delete(&setup.dir);
        delete(&aside);
        streams.iter().for_each(|stream| refuse_broken(&stream.take_lines()));
    }
    // Whoever goes on after the last deletion works on the store that is there now.
    streams.iter().for_each(|stream| stream.wait_for_lines(30));
    streams.iter().for_each(|stream| refuse_broken(&stream.take_lines()));
    streams.iter().for_each(|stream| stream.wait_for_lines(30));
    let mut oracle = Oracle::new(&setup);
    for line in streams.into_iter().flat_map(Stream::kill) {
        let key = || line[2..].trim().parse::<u64>().unwrap();
        match line.split_at(1).0 {
            "?" | "~" => oracle.unsure(key()),
            "+" => oracle.acknowledged(key()),
            "s" => {}
            _ => panic!("{line}"),
        }
    }
    assert!(oracle.sure.len() > 10, "{}", oracle.sure.len());
    let sure = oracle.sure.len();
    oracle.all_is_well("the last deletion");
    Ok(format!(
        "{rounds} renamings, copies and deletions; {found} finds in copies; {sure} entries afterwards"
    ))
}

fn refuse_broken(lines: &[String]) {
    let broken: Vec<_> = lines.iter().filter(|line| line.starts_with('!')).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

/// As `rm -rf`, while others add to it.
fn delete(dir: &std::path::Path) {
    let begin = Instant::now();
    while fs::remove_dir_all(dir).is_err() && dir.exists() {
        assert!(begin.elapsed().as_secs() < 120, "{} cannot be deleted", dir.display());
    }
}

/// Finds all that a store lists; then uses it.
fn look_through(setup: &Setup) -> usize {
    let Ok(store) = Store::open(setup.config()) else { return 0 };
    let labels: Vec<String> = store.entries().map(|entry| entry.label().to_owned()).collect();
    let found = labels.iter().filter(|label| {
        let key = label.strip_suffix(".c").unwrap().parse().unwrap();
        let found = find(&store, key);
        assert_ne!(found, Found::Wrong, "{key} in a copy");
        found == Found::Right
    });
    let found = found.count();
    let mut oracle = Oracle::new(setup);
    oracle.add_works("copying");
    __sim::compact(&store);
    oracle.litter_goes("copying");
    found
}
