//! Many processes that write to one store at once: nothing that was acknowledged is lost, and the limits hold.

use crate::common::{Child, Place, all_at_once, config, named, say, text, wait_for_go};
use plugcache::{__sim::compact, Added, How, Outputs, Store};
use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// What the `n`th add of a writer is called.
fn name(writer: &str, n: usize) -> String {
    format!("{writer} {n}")
}

fn add(store: &Store, name: &str) {
    assert_eq!(store.add(&named(name), Outputs::bytes("plugin.so", name)).unwrap(), Added::Stored);
}

#[track_caller]
fn finds(store: &Store, name: &str) {
    let found = store.find(&named(name)).map(|artifact| text(&artifact));
    assert_eq!(found.as_deref(), Some(name));
}

/// Adds, and finds at once what it has added unless it may be gone; compacts now and then if the store is roomy:
/// store, max_files, writer, count.
pub(crate) fn add_many(arguments: &[String]) {
    let [store, max_files, writer, count] = arguments else { panic!("{arguments:?}") };
    let config = config(Path::new(store)).max_files(max_files.parse().unwrap());
    let store = Store::open(config.build()).unwrap();
    let is_roomy = max_files.len() > 3;
    say("ready");
    wait_for_go();
    for n in 0..count.parse().unwrap() {
        let name = name(writer, n);
        add(&store, &name);
        if is_roomy {
            finds(&store, &name);
        }
        if is_roomy && n % 10 == 9 {
            compact(&store);
        }
    }
}

/// Finds what writers have added: store, count, writers.
pub(crate) fn find_many(arguments: &[String]) {
    let [store, count, writers @ ..] = arguments else { panic!("{arguments:?}") };
    let store = Store::open(config(Path::new(store)).build()).unwrap();
    for writer in writers {
        (0..count.parse().unwrap()).for_each(|n| finds(&store, &name(writer, n)));
    }
    say(store.stats().entries.to_string());
}

/// Compacts again and again until its parent says so: store.
pub(crate) fn compact_until_told(arguments: &[String]) {
    let store = Store::open(config(Path::new(&arguments[0])).build()).unwrap();
    let told = AtomicBool::new(false);
    say("ready");
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_for_go();
            told.store(true, Ordering::Relaxed);
        });
        while !told.load(Ordering::Relaxed) {
            compact(&store);
        }
    });
}

const ROOMY: &str = "100000";

/// Lets so many processes make so many adds each, all at once.
fn write(place: &Place, max_files: &str, writers: &[&str], count: usize) {
    let (store, count) = (place.store_dir(), count.to_string());
    all_at_once(writers.len(), |n| Child::start("add", &[&store, &max_files, &writers[n], &count]));
}

const WRITERS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[test]
fn eight_processes_add_fifty_each_at_once_and_a_ninth_finds_all_four_hundred() {
    let place = Place::new();
    write(&place, ROOMY, &WRITERS, 50);
    let [a, b, c, d, e, f, g, h] = &WRITERS;
    let store = place.store_dir();
    let ninth = Child::start("find", &[&store, &"50", a, b, c, d, e, f, g, h]);
    assert_eq!(ninth.end(), ["400"]);
    assert_eq!(place.objects().len(), 400);
    assert_eq!(place.below("staging").len(), 0);
}

#[test]
fn adds_while_several_processes_compact_lose_nothing_for_new_handles_and_for_one_that_idled() {
    let place = Place::new();
    let idle = place.store();
    add(&idle, "before");
    let store = place.store_dir();
    let mut compactors: Vec<Child> = (0..2).map(|_| Child::start("compact", &[&store])).collect();
    compactors.iter_mut().for_each(|compactor| compactor.expect("ready"));
    // Each compaction replaces the logs up to one more.
    let compacted = || {
        let names = place.below("").into_iter().filter_map(|path| path.to_str().map(String::from));
        names.filter_map(|name| name.strip_prefix("seg.1-")?.parse::<u32>().ok()).max()
    };
    for _ in 0..50 {
        write(&place, ROOMY, &WRITERS[..4], 100);
        if compacted() >= Some(4) {
            break;
        }
    }
    compactors.into_iter().for_each(|child| drop(child.end()));
    assert!(compacted() >= Some(4), "hardly anybody compacted: {:?}", compacted());
    for store in [idle, place.store(), place.spectator()] {
        finds(&store, "before");
        for writer in &WRITERS[..4] {
            (0..100).for_each(|n| finds(&store, &name(writer, n)));
        }
        assert_eq!(store.entries().count(), 401);
    }
}

#[test]
fn adds_that_fill_logs_of_every_size_are_all_found() {
    let place = Place::new();
    // An entry with a long label takes 60 KiB: after 4 MiB of them a log becomes a segment.
    let long = |n: usize| format!("{n} {}", "long ".repeat(12_000));
    let (one, other, reader) = (place.store(), place.store(), place.store());
    thread::scope(|scope| {
        for (writer, store) in [&one, &other].into_iter().enumerate() {
            scope.spawn(move || (0..40).for_each(|n| add(store, &long(2 * n + writer))));
        }
    });
    for store in [&one, &other, &reader, &place.store()] {
        (0..80).for_each(|n| finds(store, &long(n)));
    }
    assert!(place.below("").iter().any(|path| path.to_str().unwrap().starts_with("seg.")), "no segment");
}

#[test]
fn the_limit_of_files_is_kept_by_any_number_of_adders_at_once() {
    let place = Place::new();
    write(&place, "10", &WRITERS[..6], 40);
    assert_eq!(place.store().entries().count(), 10);
    // All that is left is really there.
    let store = place.store();
    let left: Vec<String> = store.entries().map(|entry| entry.label().to_owned()).collect();
    left.iter().for_each(|name| finds(&store, name));
}

#[test]
fn a_handle_that_was_idle_during_many_compactions_finds_everything_and_is_found() {
    let place = Place::new();
    let (idle, busy) = (place.store(), place.store());
    add(&idle, "first");
    finds(&busy, "first");
    for n in 0..20 {
        add(&busy, &name("busy", n));
        assert!(compact(&busy), "{n}");
    }
    add(&idle, "last");
    (0..20).for_each(|n| finds(&idle, &name("busy", n)));
    for store in [&idle, &busy, &place.store()] {
        finds(store, "first");
        finds(store, "last");
        assert_eq!(store.entries().count(), 22);
    }
}

#[test]
fn a_store_whose_making_was_cut_short_is_made_whole_by_whoever_adds() {
    for made in ["", "v1", "v1/objects", "v1/staging"] {
        let place = Place::new();
        let dir = place.store_dir().join(made);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).unwrap();
        add(&place.store(), "a");
        finds(&place.store(), "a");
        assert_eq!(place.compiler().get(&place.store(), &named("b")).how, How::Built, "{made}");
        finds(&place.store(), "b");
    }
}
