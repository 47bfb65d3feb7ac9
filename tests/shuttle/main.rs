//! What the threads of one process share: tried in many interleavings, on the simulated disk.
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --release --test shuttle --target-dir target/shuttle
//! ```
//!
//! A switch of threads may happen at every lock, counter and verb of `fs`. How many schedules are tried is in
//! `SCHEDULES`, or in the environment variable of that name.
#![cfg(shuttle)]

use plugcache::{
    __sim::{self, Disk},
    Added, Config, Exec, How, NO_OPTIONS, Outputs, Skip, Sources, Store, SweepOptions, Toolchain,
};
use shuttle::thread;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Schedules per test, random and by priorities (PCT) half and half.
fn schedules() -> usize {
    std::env::var("SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(500)
}

fn try_schedules(test: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(test.clone(), schedules() / 2);
    shuttle::check_pct(test, schedules() / 2, 3);
    println!("{} schedules", schedules());
}

fn store() -> (Disk, Store) {
    let disk = Disk::new(7);
    let config = Config::builder("/store").exec(Exec::Independent).build();
    let store = __sim::open(disk.process(), config).expect("an empty disk holds an empty store");
    (disk, store)
}

fn sources(text: &str) -> Sources {
    let tool = Toolchain::of_value("tool", "1");
    Sources::new("shuttle", &tool, NO_OPTIONS).bytes("a", text).digest().expect("bytes can be digested")
}

fn add(store: &Store, text: &str) {
    assert_eq!(store.add(&sources(text), Outputs::bytes("o", text)), Ok(Added::Stored));
}

fn holds(store: &Store, text: &str) -> bool {
    store.find(&sources(text)).is_some_and(|artifact| artifact.primary().read().unwrap() == text.as_bytes())
}

#[test]
fn threads_that_add_find_and_compact_through_one_handle_lose_nothing() {
    try_schedules(|| {
        let (_disk, store) = store();
        add(&store, "first");
        let adders = ["one", "two"].map(|text| {
            let store = store.clone();
            thread::spawn(move || {
                add(&store, text);
                assert!(holds(&store, text), "what was added is found by who added it");
            })
        });
        let other = store.clone();
        let compactor = thread::spawn(move || {
            __sim::compact(&other);
            assert!(holds(&other, "first"), "a compaction hides nothing");
        });
        adders.into_iter().for_each(|adder| adder.join().unwrap());
        compactor.join().unwrap();
        for text in ["first", "one", "two"] {
            assert!(holds(&store, text), "{text}");
        }
    });
}

#[test]
fn threads_that_ask_for_the_same_build_it_once() {
    try_schedules(|| {
        let (_disk, store) = store();
        let builds = Arc::new(AtomicUsize::new(0));
        let threads = [(); 3].map(|()| {
            let (store, builds) = (store.clone(), builds.clone());
            thread::spawn(move || {
                let build = |b: &mut plugcache::Build| {
                    builds.fetch_add(1, Ordering::Relaxed);
                    b.write("o", "made")
                };
                let got = store.get_or_build(&sources("same"), build).unwrap();
                assert_eq!(got.artifact.primary().read().unwrap(), b"made");
                assert!(!matches!(got.how, How::Uncached(_)), "{}", got.how);
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(builds.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_thread_that_closes_the_store_leaves_the_others_with_misses_and_skips() {
    try_schedules(|| {
        let (_disk, store) = store();
        add(&store, "first");
        let artifact = store.find(&sources("first")).unwrap();
        let other = store.clone();
        let closer = thread::spawn(move || other.close());
        let found = store.find(&sources("first"));
        assert!(found.is_none_or(|artifact| artifact.primary().read().unwrap() == b"first"));
        let added = store.add(&sources("second"), Outputs::bytes("o", "second")).unwrap();
        assert!(matches!(added, Added::Stored | Added::Skipped(_)));
        closer.join().unwrap();
        assert!(store.find(&sources("first")).is_none());
        assert_eq!(artifact.primary().read().unwrap(), b"first", "an open artifact stays usable");
    });
}

/// The sweep drops an entry that nobody has used for long, and removes its object; a thread of the same handle is about to
/// name that object anew.
#[test]
fn threads_that_find_and_add_while_another_sweeps_lose_nothing() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    try_schedules(|| {
        let (disk, store) = store();
        // So that others get between the looks at its entries.
        disk.set_size("ENTRIES_SLICE", 1);
        add(&store, "old");
        disk.advance_clock(10 * DAY);
        ["first", "second"].iter().for_each(|text| add(&store, text));
        let other = store.clone();
        let sweeper = thread::spawn(move || other.sweep(SweepOptions::new().idle_max(5 * DAY)).unwrap());
        let other = store.clone();
        let adder = thread::spawn(move || {
            let added = other.add(&sources("heir"), Outputs::bytes("o", "old")).unwrap();
            let found = other.find(&sources("heir")).map(|artifact| artifact.primary().read().unwrap());
            match added {
                Added::Stored => assert_eq!(found.as_deref(), Some(&b"old"[..]), "swept while it was added"),
                // The sweep holds it exclusively, to remove it (I13).
                _ => assert_eq!(added, Added::Skipped(Skip::Busy)),
            }
            add(&other, "new");
            added
        });
        for text in ["first", "second"] {
            assert!(holds(&store, text), "a sweep hides nothing: {text}");
        }
        let added = adder.join().unwrap();
        let swept = sweeper.join().unwrap();
        assert_eq!(swept.dropped.idle_max, 1, "{swept:?}");
        for text in ["first", "second", "new"] {
            assert!(holds(&store, text), "{text}");
        }
        assert_eq!(store.find(&sources("heir")).is_some(), added == Added::Stored, "heir");
        assert!(store.find(&sources("old")).is_none());
    });
}
