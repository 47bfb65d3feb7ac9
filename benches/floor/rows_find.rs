//! Rows of one open handle: lookup, find, and the bytes of what was found.

use crate::{
    bench::{Bench, Row, Target, timed},
    place::{Stored, artifact, open_store},
    twins,
};
use plugcache::{Artifact, Sources, Store};
use std::{
    cell::Cell,
    collections::HashMap,
    hint::black_box,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

/// How many keys take turns: more than one, so that no single line of the cache answers.
const KEYS: u64 = 1000;
/// A round of first probes meets a part of all entries: so many that the faults of a mapping that was just made are a
/// small part of it.
const FIRST_PROBES_MAX: u64 = 100_000;
const FIRST_ROUNDS: usize = 15;

pub(crate) fn run(bench: &mut Bench) {
    let entries: &[u64] = if bench.is_quick() { &[1_000] } else { &[1_000, 100_000, 1_000_000] };
    entries.iter().for_each(|entries| lookup(bench, *entries));
    found(bench);
    mapped(bench);
}

fn lookup(bench: &mut Bench, entries: u64) {
    let names = ["lookup, first probe of", "lookup, later probe of"].map(|name| format!("{name} {entries}"));
    let [first, later] = names.each_ref().map(String::as_str);
    if !bench.wants(&[first, later]) {
        return;
    }
    let stored = Stored::new(entries, 1, 8);
    let table: HashMap<[u8; 32], u64> =
        (0..entries).map(|n| (*stored.key(n).digest().as_bytes(), n)).collect();
    // A stride that meets every entry once before any twice (it has no factor 2 or 5), far from the one before.
    let (step, stride) = (Cell::new(0_u64), (entries / 1000 * 618) | 1);
    let next_keys = |count: usize| -> Vec<Sources> {
        let key = |_| {
            step.set(step.get() + 1);
            stored.key(step.get() * stride)
        };
        (0..count).map(key).collect()
    };
    let row = Row::new(first, Target::AtMost(4.0), "a HashMap of as many keys").once(FIRST_ROUNDS);
    let probes = (entries / 5).clamp(KEYS, FIRST_PROBES_MAX) as usize;
    let mut ours = |_| {
        let (store, keys) = (stored.store(), next_keys(probes));
        time(&keys, |key| store.lookup(key).is_some())
    };
    let mut twin = |_| time(&next_keys(probes), |key| table.contains_key(key.digest().as_bytes()));
    bench.row(row, &mut ours, &mut twin);

    let (store, keys) = (stored.store(), next_keys(KEYS as usize));
    let row = Row::new(later, Target::AtMost(1.2), "a HashMap of as many keys");
    let mut ours = in_turn(&keys, |key| assert!(store.lookup(key).is_some()));
    let mut twin = in_turn(&keys, |key| assert!(table.contains_key(key.digest().as_bytes())));
    bench.row(row, &mut ours, &mut twin);
}

/// How long one of the probes takes.
fn time(keys: &[Sources], mut probe: impl FnMut(&Sources) -> bool) -> Duration {
    let start = Instant::now();
    let found = keys.iter().filter(|key| probe(key)).count();
    let took = start.elapsed();
    assert_eq!(found, keys.len());
    took / keys.len() as u32
}

/// One key after the other, round and round.
fn in_turn<'a>(
    keys: &'a [Sources],
    mut operation: impl FnMut(&Sources) + 'a,
) -> impl FnMut(u64) -> Duration + 'a {
    let mut at = 0;
    timed(move || {
        at = (at + 1) % keys.len();
        operation(&keys[at]);
    })
}

const FIND: &str = "find";
const HELD: &str = "find, held";
const MISS: &str = "find, miss";
const READ: [(&str, usize); 2] = [("find and read 4 KiB", 4 << 10), ("find and read 64 KiB", 64 << 10)];

fn found(bench: &mut Bench) {
    for (name, len) in READ {
        let small = len == READ[0].1;
        let names: &[&str] = if small { &[name, FIND, HELD, MISS] } else { &[name] };
        if !bench.wants(names) {
            continue;
        }
        let stored = Stored::new(KEYS, KEYS, len);
        let (store, log, objects) = (stored.store(), stored.log(), stored.object_names(len));
        let opened = stored.opened(&log);
        let keys: Vec<Sources> = (0..KEYS).map(|n| stored.key(n)).collect();
        keys.iter().for_each(|key| assert!(store.find(key).is_some()));
        let (mut window, mut place) = ([0; 4096], (0..objects.len()).cycle());
        let mut next = || &objects[place.next().unwrap_or_default()];
        if small {
            let row = Row::new(FIND, Target::AtMost(1.3), "pread, openat2, flock, fstat, close");
            let mut ours = in_turn(&keys, |key| assert!(find(&store, key).is_stored()));
            let mut twin = timed(|| drop(twins::find::find(opened, next(), &mut window)));
            bench.row(row, &mut ours, &mut twin);
            held(bench, &store, &keys);
            miss(bench, &store, &stored);
        }
        // The second handle of a row above has written down what it counted when it was dropped.
        let log = stored.log();
        let opened = stored.opened(&log);
        assert!(store.find(&keys[0]).is_some());
        let row = Row::new(name, Target::AtMost(1.3), "find's twin and one pread");
        let (mut bytes, mut twins_bytes) = (Vec::new(), Vec::new());
        let mut ours = in_turn(&keys, |key| {
            find(&store, key).primary().read_into(&mut bytes).unwrap();
            assert_eq!(bytes.len(), len);
        });
        let mut twin = timed(|| twins::read::find_and_read(opened, next(), &mut window, &mut twins_bytes));
        bench.row(row, &mut ours, &mut twin);
        // The rows above read what was stored, and not only as much of it.
        drop(ours);
        find(&store, &keys[7]).primary().read_into(&mut bytes).unwrap();
        assert_eq!(bytes, artifact(7, len));
    }
}

fn find(store: &Store, key: &Sources) -> Artifact {
    store.find(key).expect("it was stored")
}

fn held(bench: &mut Bench, store: &Store, keys: &[Sources]) {
    let kept: Vec<Artifact> =
        if bench.wants(&[HELD]) { keys.iter().map(|key| find(store, key)).collect() } else { Vec::new() };
    // The twin of this row is ours: a handle that holds none of them.
    let other = open_store(store.config().dir());
    let mut ours = in_turn(keys, |key| assert!(find(store, key).is_stored()));
    let mut twin = in_turn(keys, |key| assert!(find(&other, key).is_stored()));
    bench.row(Row::new(HELD, Target::AtMost(0.2), "ours, nothing held"), &mut ours, &mut twin);
    drop(black_box(kept));
}

fn miss(bench: &mut Bench, store: &Store, stored: &Stored) {
    let unknown = crate::place::sources(u64::MAX);
    let (log, end) = stored.log();
    let mut window = [0; 4096];
    let mut ours = timed(|| assert!(store.find(&unknown).is_none()));
    let mut twin = timed(|| assert_eq!(rustix::io::pread(&log, &mut window, end), Ok(0)));
    bench.row(Row::new(MISS, Target::None, "pread of the log's end"), &mut ours, &mut twin);
}

fn mapped(bench: &mut Bench) {
    for (name, len) in [("find and map 1 MiB", 1 << 20), ("find and map 64 MiB", 64 << 20)] {
        if !bench.wants(&[name]) {
            continue;
        }
        let stored = Stored::new(2, 2, len);
        let (store, objects) = (stored.store(), stored.object_names(len));
        let keys: Vec<Sources> = (0..2).map(|n| stored.key(n)).collect();
        let mut at = 0;
        let mut ours = in_turn(&keys, |key| {
            assert_ne!(map_and_touch(&find(&store, key)), 0);
        });
        let mut twin = timed(|| {
            at = 1 - at;
            assert_ne!(twins::read::map(stored.dir.as_fd(), &objects[at]), 0);
        });
        let row = Row::new(name, Target::AtMost(1.15), "open, fstat, mmap, each page, munmap, close");
        bench.row(row, &mut ours, &mut twin);
    }
}

#[expect(unsafe_code, reason = "a mapping of what nobody else writes to")]
fn map_and_touch(artifact: &Artifact) -> u64 {
    // SAFETY: the store is this benchmark's own.
    twins::read::touch(&unsafe { artifact.primary().map() }.unwrap())
}
