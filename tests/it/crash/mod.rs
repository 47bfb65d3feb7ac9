//! The promises of the store (I1 to I20), enumerated on the simulated disk: killed after every verb, every write
//! torn, the power cut in every way the simulation knows, every call failing, every interleaving.
//!
//! ```text
//! model       what a find may show
//! check       reopen, find all, add, find, reopen, find all
//! workload    operations of processes, told to the model; every moment of them kept
//! workloads   the table of them
//! beside      what may lie beside a store: a layer, another store, a tier
//! kills       kill, tear, cut; cut again in the recovery
//! faults      every call failing in every way
//! scenes      several processes that meet on one disk: the table
//! stage       .. how one is played
//! verdict     .. how it is judged
//! encounters  two that import, mask, promote, fetch, scrub or rebuild beside others: the table, and all of the below
//! writers     .. interleaved at every verb
//! meetings    .. and all killed, or the power cut, at every point of that
//! histories   random operations, crashes and clocks
//! turns       directed interleavings
//! listings    looks at a manifest that others overtake
//! layers      import, export, masks and promotion
//! fetch       what comes from a tier
//! pins        the counts below which a run is red
//! memo        digests of unchanged files, written into the store
//! rules       one directed test for each rule of the protocols
//! ```
//!
//! `PLUGCACHE_CRASH=full cargo test --release --test it crash -- --nocapture` takes the large bounds.

mod beside;
mod check;
mod encounters;
mod faults;
mod fetch;
mod histories;
mod kills;
mod layers;
mod listings;
mod meetings;
mod memo;
mod model;
mod pins;
mod rules;
mod scenes;
mod stage;
mod turns;
mod verdict;
mod workload;
mod workloads;
mod writers;

use plugcache::{
    __sim::{self, Disk, Process},
    Artifact, Config, ConfigBuilder, Durability, Exec, NO_OPTIONS, OpenError, Outputs, Sources, Store,
    Toolchain,
};
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    thread,
};

/// Where the store lies.
const ROOT: &str = "/home/u/store";
const V1: &str = "/home/u/store/v1";

/// Foreign files beside the store, in its root and within: never changed (I20).
const CANARIES: [&str; 4] = [
    "/home/u/canary",
    "/home/u/store/foreign",
    "/home/u/store/v2/log.1",
    "/home/u/store/v1/staging/mine.txt",
];

/// Whether the large bounds are asked for.
fn is_full() -> bool {
    std::env::var_os("PLUGCACHE_CRASH").is_some_and(|value| value == "full")
}

/// One bound for every day, and one for the long run.
fn bound(daily: usize, full: usize) -> usize {
    if is_full() { full } else { daily }
}

/// Does all the jobs, some at a time.
fn in_parallel<T: Send>(jobs: Vec<T>, run: impl Fn(T) + Sync) {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
    let next = Mutex::new(jobs.into_iter());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let job = next.lock().unwrap().next();
                    let Some(job) = job else { break };
                    run(job);
                }
            });
        }
    });
}

/// A disk with the home of a user, and foreign files where they cannot be in the way.
fn empty_disk(seed: u64) -> Disk {
    let disk = Disk::new(seed);
    disk.plant_dir("/home/u");
    disk.plant_file(CANARIES[0], "alive");
    disk
}

/// Plants the canaries that live within a store.
fn plant_canaries(disk: &Disk) {
    for path in &CANARIES[1..] {
        disk.plant_file(path, "alive");
    }
}

/// A disk with an empty store, all of it durable: made once, then copied.
fn disk_with_store() -> Disk {
    static MADE: Mutex<Option<Disk>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let made = made.get_or_insert_with(|| {
        let disk = empty_disk(1);
        let store = open(&disk.process(), config(0, Durability::Lazy)).unwrap();
        let key = (250, 0);
        assert_eq!(add(&store, key, 250), Some(true));
        store.forget(&sources(&disk.process(), key.0).digest()).unwrap();
        drop(store);
        plant_canaries(&disk);
        disk.advance_clock(std::time::Duration::from_secs(3600));
        disk.settle();
        disk
    });
    made.snapshot()
}

/// The configuration of executable `exec`.
fn config(exec: u8, durability: Durability) -> ConfigBuilder {
    let exec = Exec::Given(vec![exec, 1]);
    Config::builder(ROOT).exec(exec).durability(durability).memo(false)
}

fn open(process: &Process, config: ConfigBuilder) -> Result<Store, OpenError> {
    __sim::open(process.clone(), config.build())
}

/// Sources number `number`: from memory, so that nothing but the store is on the disk. Numbers of the same
/// decade are versions of the same file.
fn sources(process: &Process, number: u8) -> Sources {
    let toolchain = Toolchain::of_value("crash", "1");
    let name = format!("plugin-{}", number / 10);
    let builder = Sources::new("crash/1", &toolchain, NO_OPTIONS).bytes(name, [number]);
    __sim::digest(process.clone(), builder).unwrap()
}

/// The outputs of content `number`, by name. Odd ones have a second output; multiples of seven fill pages; some
/// share an object with others.
fn content(number: u8) -> Vec<(&'static str, Vec<u8>)> {
    let len = if number.is_multiple_of(7) { 9000 } else { 3 + usize::from(number) * 11 };
    let mut outputs = vec![("plugin.so", vec![number; len])];
    if number % 2 == 1 {
        outputs.push(("plugin.map", vec![number / 4; 100]));
    }
    outputs
}

/// The first output of multiples of five is packed into its entry.
fn outputs(number: u8) -> Outputs {
    let mut named = content(number).into_iter();
    let (name, bytes) = named.next().unwrap();
    let first =
        if number.is_multiple_of(5) { Outputs::packed(name, bytes) } else { Outputs::bytes(name, bytes) };
    named.fold(first, |outputs, (name, bytes)| outputs.and_bytes(name, bytes))
}

/// The sources of a key for a store whose process may be dead: digesting bytes asks nothing of a disk.
fn sources_of(number: u8) -> Sources {
    sources(&Disk::new(0).process(), number)
}

/// Whether it was stored; `None` if the outputs were refused.
fn add(store: &Store, key: (u8, u8), number: u8) -> Option<bool> {
    let added = store.add(&sources_of(key.0), outputs(number));
    added.ok().map(|added| added == plugcache::Added::Stored)
}

/// Which content a find gives; `Err` for bytes that nobody ever put.
fn find(store: &Store, number: u8) -> Result<Option<u8>, String> {
    let artifact = store.find(&sources_of(number));
    artifact
        .map_or(Ok(None), |artifact| content_of(&artifact).map_err(|why| format!("sources {number}: {why}")))
}

/// Which content an artifact holds; `None` where it cannot be read any more.
fn content_of(artifact: &Artifact) -> Result<Option<u8>, String> {
    let mut named = Vec::new();
    for output in artifact.outputs() {
        // A find is a hit only after the object was opened; that a later read fails is an error of its own.
        let Ok(bytes) = output.read() else { return Ok(None) };
        named.push((output.name().to_string_lossy().into_owned(), bytes));
    }
    let Some(first) = named.first().and_then(|(_, bytes)| bytes.first()) else {
        return Err("an artifact without bytes".into());
    };
    let expected: Vec<_> =
        content(*first).into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    if named == expected { Ok(Some(*first)) } else { Err("wrong bytes".into()) }
}

/// Distinct states of a disk that were looked at, by all tests of one kind.
#[derive(Default)]
struct States(Mutex<HashSet<u64>>);

impl States {
    /// Notes a state by its fingerprint; whether it was new.
    fn note(&self, fingerprint: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint)
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
