//! Rows of many processes at once: nine finds with the artifact open for each add of 4 KiB.

use crate::{
    bench::{Bench, Spread, Target},
    child,
    place::{Stored, artifact, object_name, open_store, sources, temporary},
    twins::many::{RECORD_BYTES, Twin},
};
use plugcache::{Added, ObjectDigest, Outputs};
use rustix::fs::{Mode, OFlags, open};
use std::{
    collections::HashMap,
    ffi::CString,
    fs,
    io::{self, Write as _},
    os::fd::AsFd as _,
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

const NAME: &str = "many processes";
const LEN: usize = 4096;
/// Entries that are there before.
const KEYS: u64 = 1000;
/// One operation in so many is an add.
const ADD_EVERY: u64 = 10;
const ROUNDS: usize = 5;
const SECONDS: f64 = 0.5;

pub(crate) fn run(bench: &mut Bench) {
    if !bench.wants(&[NAME]) {
        return;
    }
    let (counts, rounds): (&[usize], _) =
        if bench.is_quick() { (&[2], 1) } else { (&[1, 2, 4, 8, 16], ROUNDS) };
    let mut lost = 0;
    let mut medians = Vec::new();
    for count in counts {
        let (mut of_ours, mut of_twin) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            // New each time: what the adds before have left would change what the next find.
            let (rate, missing) = ours(*count);
            lost += missing;
            of_ours.push(1.0 / rate);
            of_twin.push(1.0 / twin(*count));
        }
        let (ours, twin) = (Spread::of(of_ours), Spread::of(of_twin));
        let name = format!("{NAME}, {count}: throughput");
        let value = twin.median / ours.median;
        let against = "a table in memory and an appended log, the same files without any check";
        bench.line(&name, &ours.to_string(), &twin.to_string(), value, Target::AtLeast(0.8), against);
        medians.push((*count, ours.median));
    }
    let of = |wanted| medians.iter().find(|(count, _)| *count == wanted).map(|(_, median)| *median);
    if let (Some(two), Some(sixteen)) = (of(2), of(16)) {
        let name = format!("{NAME}, 16 against 2: throughput");
        bench.line(&name, "", "", two / sixteen, Target::AtLeast(1.0), "ours, two processes");
    }
    bench.line(
        &format!("{NAME}: lost adds"),
        &lost.to_string(),
        "",
        lost as f64,
        Target::AtMost(0.0),
        "no twin",
    );
}

/// What number a child's add has.
fn number_of(child: u64, add: u64) -> u64 {
    ((child + 1) << 32) + add
}

/// Operations per second of all, and how many acknowledged adds are not found afterwards.
fn ours(count: usize) -> (f64, u64) {
    let stored = Stored::new(KEYS, KEYS, LEN);
    let (rate, adds) = race("ours", &stored.root, count);
    let store = stored.store();
    let is_there = |child: u64, add| {
        let found = store.find(&sources(number_of(child, add)));
        found.is_some_and(|found| {
            found.primary().read().is_ok_and(|bytes| bytes == artifact(number_of(child, add), LEN))
        })
    };
    let children = (0..).zip(&adds);
    let missing =
        children.map(|(child, adds)| (0..*adds).filter(|add| !is_there(child, *add)).count() as u64).sum();
    (rate, missing)
}

fn twin(count: usize) -> f64 {
    let temp = temporary();
    for name in ["objects", "staging"] {
        fs::create_dir(temp.path().join(name)).unwrap();
    }
    (0..256).for_each(|shard| fs::create_dir(temp.path().join(format!("objects/{shard:02x}"))).unwrap());
    let mut log = fs::File::create(temp.path().join("log")).unwrap();
    for number in 0..KEYS {
        let (key, bytes) = (*sources(number).digest().as_bytes(), artifact(number, LEN));
        let name = object_name(ObjectDigest::of_bytes(&bytes));
        fs::write(temp.path().join(name.to_str().unwrap()), &bytes).unwrap();
        let mut record = [0; RECORD_BYTES];
        record[..32].copy_from_slice(&key);
        record[32..][..name.count_bytes()].copy_from_slice(name.to_bytes());
        log.write_all(&record).unwrap();
    }
    race("twin", temp.path(), count).0
}

/// Starts them, lets them go at once, and adds up what they say.
fn race(side: &str, root: &Path, count: usize) -> (f64, Vec<u64>) {
    let start = |number: usize| {
        let (seconds, number) = (SECONDS.to_string(), number.to_string());
        child::command(&["many", side, root.to_str().unwrap(), &seconds, &number]).spawn().unwrap()
    };
    let mut children: Vec<Child> = (0..count).map(start).collect();
    // Each says that it is ready by a line; then all get theirs.
    let mut outputs: Vec<_> =
        children.iter_mut().map(|child| io::BufReader::new(child.stdout.take().unwrap())).collect();
    let line = |output: &mut dyn io::BufRead| {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    outputs.iter_mut().for_each(|output| assert_eq!(line(output), "ready\n"));
    children.iter_mut().for_each(|child| child.stdin.take().unwrap().write_all(b"go\n").unwrap());
    let (mut rate, mut adds) = (0.0, Vec::new());
    for (child, output) in children.iter_mut().zip(&mut outputs) {
        let said = line(output);
        assert!(child.wait().unwrap().success(), "{said}");
        let (operations, added) = said.trim().split_once(' ').unwrap();
        rate += operations.parse::<f64>().unwrap();
        adds.push(added.parse().unwrap());
    }
    (rate, adds)
}

/// Prints operations per second, and how many of them were adds.
pub(crate) fn child(side: &str, root: &Path, seconds: f64, number: u64) {
    match side {
        "ours" => {
            let store = open_store(root);
            let find = |key: u64| assert!(store.find(&sources(key)).is_some(), "{key}");
            let add = |number| {
                let outputs = Outputs::bytes("plugin.so", artifact(number, LEN));
                assert_eq!(store.add(&sources(number), outputs).unwrap(), Added::Stored);
            };
            go(seconds, number, find, add);
        }
        _ => {
            let dir = open(root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
            let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC;
            let log = open(root.join("log"), flags, Mode::empty()).unwrap();
            let (table, window) = (HashMap::new(), vec![0; RECORD_BYTES * 4096]);
            let twin = Twin { dir: dir.as_fd(), log: log.as_fd(), end: 0, table, window };
            let twin = std::cell::RefCell::new(twin);
            let find = |key: u64| assert!(twin.borrow_mut().find(sources(key).digest().as_bytes()).is_some());
            let add = |number| {
                let staged = CString::new(format!("staging/{number:032x}")).unwrap();
                // A name of a digest, as ours; here nothing hashes what it names.
                let key = sources(number);
                let name = object_name(ObjectDigest::from_bytes(*key.digest().as_bytes()));
                twin.borrow_mut().add(key.digest().as_bytes(), (&staged, &name), &artifact(number, LEN));
            };
            go(seconds, number, find, add);
        }
    }
}

fn go(seconds: f64, number: u64, find: impl Fn(u64), add: impl Fn(u64)) {
    // What is done for the first time is done before the race.
    (0..KEYS).for_each(&find);
    println!("ready");
    io::stdin().read_line(&mut String::new()).unwrap();
    let start = Instant::now();
    let (mut operations, mut adds) = (0_u64, 0);
    while start.elapsed() < Duration::from_secs_f64(seconds) {
        operations += 1;
        if operations % ADD_EVERY == 0 {
            add(number_of(number, adds));
            adds += 1;
        } else {
            find((operations * 7 + number) % KEYS);
        }
    }
    println!("{} {adds}", operations as f64 / start.elapsed().as_secs_f64());
}
