//! Rows of small values that lie in their entry and have no file.

use crate::{
    bench::{Bench, Row, Target, timed},
    place::{artifact, open_store, sources, temporary},
    twins::packed,
};
use plugcache::{Added, Outputs, Sources, Store};
use rustix::fs::{Mode, OFlags, open};
use std::{
    hint::black_box,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

const LEN: usize = 256;
const FIND: &str = "find and read, packed 256 bytes";
const ADD: &str = "add, packed 256 bytes";
const KEYS: u64 = 1000;
/// What the entry of such a value takes in the log.
const RECORD_BYTES: usize = 576;

pub(crate) fn run(bench: &mut Bench) {
    if !bench.wants(&[FIND, ADD]) {
        return;
    }
    let temp = temporary();
    let store = open_store(&temp.path().join("store"));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
    let log = open(temp.path().join("log"), flags, Mode::RUSR | Mode::WUSR).unwrap();
    let filled: Duration = (0..KEYS).map(|number| add(&store, number)).sum();
    assert!(!filled.is_zero());

    let keys: Vec<Sources> = (0..KEYS).map(sources).collect();
    let (mut at, mut bytes, mut window, value) = (0, Vec::new(), [0; 4096], artifact(0, LEN));
    let mut twins_bytes = Vec::new();
    let mut ours = timed(|| {
        at = (at + 1) % keys.len();
        store.find(&keys[at]).expect("it was stored").primary().read_into(&mut bytes).unwrap();
    });
    let mut twin = timed(|| {
        packed::find(log.as_fd(), 0, black_box(&value), &mut window, &mut twins_bytes);
        assert_eq!(twins_bytes.len(), LEN);
    });
    bench.row(Row::new(FIND, Target::None, "pread of the log's end, and a copy"), &mut ours, &mut twin);
    drop((ours, twin));
    store.find(&keys[7]).expect("it was stored").primary().read_into(&mut bytes).unwrap();
    assert_eq!(bytes, artifact(7, LEN));

    let (mut next, mut end) = (KEYS, 0);
    let mut ours = |count| {
        let mut sum = Duration::ZERO;
        for _ in 0..count {
            next += 1;
            sum += add(&store, next);
        }
        sum
    };
    let mut twin = timed(|| packed::add(log.as_fd(), &mut end, &[0x5A; RECORD_BYTES], &mut window));
    bench.row(
        Row::new(ADD, Target::None, "write of as many bytes to a log, read back"),
        &mut ours,
        &mut twin,
    );
}

/// How long the add took, without making what is added.
fn add(store: &Store, number: u64) -> Duration {
    let (key, outputs) = (sources(number), Outputs::packed("plugin.so", artifact(number, LEN)));
    let start = Instant::now();
    let added = store.add(&key, outputs);
    let took = start.elapsed();
    assert_eq!(added.unwrap(), Added::Stored);
    took
}
