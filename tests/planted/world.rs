//! Stores on the simulated disk, and two processes of which one runs in the middle of the other.

use plugcache::{
    __sim::{self, Body, Controller, Disk, Process},
    Added, Artifact, Config, ConfigBuilder, Durability, Exec, NO_OPTIONS, Outputs, Sources, Store, Toolchain,
};
use std::{ops::RangeInclusive, sync::Mutex};

const ROOT: &str = "/home/cache";

pub(crate) fn config() -> ConfigBuilder {
    Config::builder(ROOT).exec(Exec::Given(vec![1]))
}

pub(crate) fn durable() -> Config {
    config().durability(Durability::Sync).build()
}

pub(crate) fn open(disk: &Disk) -> Store {
    open_as(disk.process(), config().build())
}

pub(crate) fn open_as(process: Process, config: Config) -> Store {
    __sim::open(process, config).unwrap()
}

pub(crate) fn sources(key: &str) -> Sources {
    let tool = Toolchain::of_value("compiler", "1");
    Sources::new("planted/1", &tool, NO_OPTIONS).bytes("plugin", key).digest().unwrap()
}

/// 600 bytes that tell what they are.
pub(crate) fn content(text: &str) -> Vec<u8> {
    text.bytes().cycle().take(600).collect()
}

pub(crate) fn add(store: &Store, key: &str, text: &str) -> Added {
    store.add(&sources(key), Outputs::bytes("plugin.so", content(text))).unwrap()
}

pub(crate) fn find(store: &Store, key: &str) -> Option<Vec<u8>> {
    store.find(&sources(key)).map(|artifact| bytes_of(&artifact))
}

pub(crate) fn bytes_of(artifact: &Artifact) -> Vec<u8> {
    artifact.primary().read().unwrap()
}

/// What a new process finds.
pub(crate) fn found(disk: &Disk, key: &str) -> Option<Vec<u8>> {
    find(&open(disk), key)
}

/// A durable store with these keys, each holding its own name.
pub(crate) fn with(keys: &[&str]) -> Disk {
    let disk = Disk::new(3);
    let store = open(&disk);
    for key in keys {
        assert_eq!(add(&store, key, key), Added::Stored);
    }
    drop(store);
    disk.settle();
    disk
}

/// The path of the object that holds these bytes.
pub(crate) fn object(text: &str) -> String {
    let digest = plugcache::ObjectDigest::of_bytes(&content(text)).to_string();
    format!("{ROOT}/v1/objects/{}/{}", &digest[..2], &digest[2..])
}

pub(crate) fn v1(name: &str) -> String {
    format!("{ROOT}/v1/{name}")
}

/// How far `first` has come when `then` runs from beginning to end: after so many verbs. Each number on a
/// fresh disk; `check` sees the disk after both, and what both said.
pub(crate) fn in_the_middle<A: Send, B: Send>(
    verbs: RangeInclusive<usize>,
    disk: impl Fn() -> Disk,
    first: impl Fn(Process) -> A + Sync,
    then: impl Fn(Process) -> B + Sync,
    check: impl Fn(&Disk, A, B),
) {
    for verb in verbs {
        let disk = disk();
        let (a, b) = (Mutex::new(None), Mutex::new(None));
        let bodies: Vec<Body<'_>> = vec![
            Box::new(|process| *a.lock().unwrap() = Some(first(process))),
            Box::new(|process| *b.lock().unwrap() = Some(then(process))),
        ];
        let mut turns = 0;
        let report = Controller::new(&disk).run(bodies, |runnable| {
            // Number 0 first, then number 1 as long as there is one, then number 0 again.
            let one = runnable.iter().position(|number| *number == 1);
            turns += 1;
            if turns <= verb { 0 } else { one.unwrap_or(0) }
        });
        assert!(report.is_complete);
        check(&disk, a.into_inner().unwrap().unwrap(), b.into_inner().unwrap().unwrap());
    }
}
