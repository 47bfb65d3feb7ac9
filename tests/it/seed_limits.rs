//! What stays when a store is full: rule 6 of the behaviour owed, with its three worked tables.

use crate::common::{Place, key, labels, named, text};
use plugcache::{Added, How, Outputs, Skip, Sources, Store};

#[track_caller]
fn add(store: &Store, sources: &Sources) {
    let added = store.add(sources, Outputs::bytes("plugin.so", sources.label())).unwrap();
    assert_eq!(added, Added::Stored, "{}", sources.label());
}

fn of_size(store: &Store, name: &str, bytes: usize) -> Added {
    let content = name.as_bytes()[0];
    store.add(&named(name), Outputs::bytes("plugin.so", vec![content; bytes])).unwrap()
}

/// A store of this place that holds at most so many entries.
fn with_max_files(place: &Place, max_files: u64) -> Store {
    Store::open(place.config().max_files(max_files).build()).unwrap()
}

/// An add: its label, the path of its source, and the content that the file has then.
type Add = (&'static str, &'static str, &'static str);

/// Adds one by one, and checks after each what is left, and that it is all there.
#[track_caller]
fn check_table(max_files: u64, adds: &[Add], left: &[&str], reopen: bool) {
    let place = Place::new();
    let mut store = with_max_files(&place, max_files);
    let mut made = Vec::new();
    for ((label, path, content), left) in adds.iter().zip(left) {
        let path = place.write(path.trim_start_matches('/'), content);
        let sources = key([path]).label(label).digest().unwrap();
        if reopen {
            store = with_max_files(&place, max_files);
        }
        add(&store, &sources);
        made.push(sources);
        // A spectator: a find through `store` would be a use.
        let spectator = place.spectator();
        assert_eq!(labels(&spectator).join(","), *left, "after {label}, reopened: {reopen}");
        for sources in &made {
            let found = spectator.find(sources).map(|artifact| text(&artifact));
            let is_left = left.split(',').any(|label| label == sources.label());
            assert_eq!(found.as_deref(), is_left.then_some(sources.label()), "after {label}");
        }
    }
}

#[track_caller]
fn check_in_one_handle_and_in_many(max_files: u64, adds: &[Add], left: &[&str]) {
    assert_eq!(adds.len(), left.len());
    check_table(max_files, adds, left, false);
    check_table(max_files, adds, left, true);
}

#[test]
fn of_two_files_with_one_name_the_older_goes_before_a_file_of_another_name() {
    let adds = [("A", "/T/test.ml", "1"), ("B", "/T/test2.ml", "1"), ("C", "/T/plugins/test.ml", "2")];
    check_in_one_handle_and_in_many(2, &adds, &["A", "A,B", "B,C"]);
}

#[test]
fn versions_of_one_edited_file_go_before_the_only_version_of_another() {
    let adds = [
        ("P", "/p/prod.ml", "1"),
        ("a1", "/p/a.ml", "1"),
        ("a2", "/p/a.ml", "2"),
        ("a3", "/p/a.ml", "3"),
        ("a4", "/p/a.ml", "4"),
        ("b1", "/p/b.ml", "1"),
    ];
    check_in_one_handle_and_in_many(3, &adds, &["P", "P,a1", "P,a1,a2", "P,a2,a3", "P,a3,a4", "P,a4,b1"]);
}

#[test]
fn a_path_that_entries_share_counts_before_a_name_that_more_entries_share() {
    let adds = [
        ("m1", "/d1/m.ml", "1"),
        ("m2", "/d2/m.ml", "2"),
        ("m3", "/d3/m.ml", "3"),
        ("e1", "/x/e.ml", "1"),
        ("e2", "/x/e.ml", "2"),
    ];
    check_in_one_handle_and_in_many(4, &adds, &["m1", "m1,m2", "m1,m2,m3", "m1,m2,m3,e1", "m1,m2,m3,e2"]);
}

#[test]
fn the_full_list_of_sources_is_shared_and_not_a_single_file_of_it() {
    let place = Place::new();
    let store = with_max_files(&place, 3);
    let (main, one, two) = (place.write("main.c", "m"), place.write("1.c", "1"), place.write("2.c", "2"));
    // All three have main.c, but only the older two are versions of one plugin.
    let other = key([&main, &two]).label("other").digest().unwrap();
    add(&store, &other);
    for version in ["first", "second", "third"] {
        std::fs::write(&one, version).unwrap();
        add(&store, &key([&main, &one]).label(version).digest().unwrap());
    }
    assert_eq!(labels(&store), ["other", "second", "third"]);
}

#[test]
fn the_longest_unused_goes_and_a_find_is_a_use() {
    let place = Place::new();
    let store = with_max_files(&place, 3);
    ["a", "b", "c"].iter().for_each(|name| add(&store, &named(name)));
    assert!(store.find(&named("a")).is_some());
    add(&store, &named("d"));
    assert_eq!(labels(&store), ["a", "c", "d"]);
    // One that is looked up only is not used.
    assert!(store.lookup(&named("c")).is_some());
    add(&store, &named("e"));
    assert_eq!(labels(&store), ["a", "d", "e"]);
}

#[test]
fn adding_an_equal_key_again_evicts_nobody_and_is_a_use() {
    let place = Place::new();
    let store = with_max_files(&place, 2);
    for name in ["a", "b", "a", "a", "b", "a"] {
        add(&store, &named(name));
    }
    assert_eq!(labels(&store), ["b", "a"]);
    let again = Outputs::bytes("plugin.so", "another result");
    assert_eq!(store.add(&named("a"), again).unwrap(), Added::Stored);
    assert_eq!(labels(&store), ["b", "a"]);
    assert_eq!(text(&place.spectator().find(&named("a")).unwrap()), "another result");
    add(&store, &named("c"));
    assert_eq!(labels(&store), ["a", "c"]);
}

#[test]
fn the_entry_just_added_stays_whatever_it_displaces() {
    let place = Place::new();
    let store = with_max_files(&place, 1);
    for name in ["a", "b", "c"] {
        add(&store, &named(name));
        assert_eq!(labels(&store), [name]);
        assert_eq!(text(&place.spectator().find(&named(name)).unwrap()), name);
    }
    assert_eq!(store.stats().evictions, 2);
}

#[test]
fn with_a_limit_of_no_files_nothing_stays_and_the_artifact_is_handed_out() {
    let place = Place::new();
    let (store, compiler) = (with_max_files(&place, 0), place.compiler());
    for run in 1..3 {
        let got = compiler.get(&store, &named("a"));
        assert_eq!(got.how, How::Uncached(Skip::NoRoom));
        assert_eq!(text(&got.artifact), "a");
        assert_eq!(compiler.runs(), run);
        let path = got.artifact.path().to_owned();
        drop(got);
        assert!(!path.exists());
    }
    let added = store.add(&named("a"), Outputs::bytes("plugin.so", "a")).unwrap();
    assert_eq!(added, Added::Skipped(Skip::NoRoom));
    assert_eq!((store.entries().count(), place.objects().len()), (0, 0));
    place.assert_nothing_in_progress();
}

#[test]
fn a_limit_that_was_lowered_holds_after_the_next_add() {
    let place = Place::new();
    ["a", "b", "c", "d"].iter().for_each(|name| add(&place.store(), &named(name)));
    let store = with_max_files(&place, 2);
    assert_eq!(store.entries().count(), 4, "nothing goes before an add");
    add(&store, &named("e"));
    assert_eq!(labels(&store), ["d", "e"]);
    let store = with_max_files(&place, 0);
    assert_eq!(
        store.add(&named("f"), Outputs::bytes("plugin.so", "f")).unwrap(),
        Added::Skipped(Skip::NoRoom)
    );
    assert_eq!(store.entries().count(), 0);
}

#[test]
fn a_limit_of_bytes_counts_an_object_that_entries_share_once() {
    let place = Place::new();
    let store = Store::open(place.config().max_bytes(250).build()).unwrap();
    let shared = |name| store.add(&named(name), Outputs::bytes("plugin.so", [b'='; 100])).unwrap();
    assert_eq!([shared("a"), shared("b"), of_size(&store, "c", 150)], [const { Added::Stored }; 3]);
    assert_eq!(labels(&store), ["a", "b", "c"]);
    assert_eq!(store.stats().bytes, 250);
    // One byte too many: first `a` goes, which frees nothing, then `b`.
    assert_eq!(of_size(&store, "d", 1), Added::Stored);
    assert_eq!(labels(&store), ["c", "d"]);
    assert_eq!(of_size(&store, "e", 250), Added::Stored);
    assert_eq!(labels(&store), ["e"]);
}

#[test]
fn an_artifact_larger_than_the_store_may_be_is_not_stored_and_displaces_nothing() {
    let place = Place::new();
    let store = Store::open(place.config().max_bytes(250).build()).unwrap();
    assert_eq!(of_size(&store, "a", 200), Added::Stored);
    let too_big = Skip::TooBig { bytes: 251, max_bytes: 250 };
    assert_eq!(of_size(&store, "b", 251), Added::Skipped(too_big.clone()));
    let got = store.get_or_build(&named("b"), |build| build.write("plugin.so", [b'b'; 251])).unwrap();
    assert_eq!(got.how, How::Uncached(too_big));
    assert_eq!(got.artifact.primary().read().unwrap(), [b'b'; 251]);
    assert_eq!(labels(&store), ["a"]);
}

#[test]
fn an_evicted_artifact_in_use_stays_readable() {
    let place = Place::new();
    let store = with_max_files(&place, 1);
    add(&store, &named("a"));
    let artifact = store.find(&named("a")).unwrap();
    add(&store, &named("b"));
    assert_eq!((labels(&store), store.find(&named("a")).is_none()), (vec!["b".into()], true));
    assert_eq!(text(&artifact), "a");
    assert_eq!(std::fs::read(artifact.path()).unwrap(), b"a");
}

#[test]
fn an_add_that_replaces_an_entry_keeps_the_limits_too() {
    let place = Place::new();
    let store = with_max_files(&place, 100);
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(of_size(&store, name, 1000), Added::Stored);
    }
    // The limit was lowered, and what comes first is a key that is there.
    assert_eq!(of_size(&with_max_files(&place, 3), "b", 1000), Added::Stored);
    assert_eq!(labels(&place.spectator()).len(), 3);
    // The same key, larger than before.
    let store = Store::open(place.config().max_bytes(3500).build()).unwrap();
    assert_eq!(of_size(&store, "b", 2000), Added::Stored);
    assert!(place.spectator().stats().bytes <= 3500, "{}", place.spectator().stats().bytes);
}

#[test]
fn details_too_long_for_their_entry_are_swept_no_sooner_than_the_entry() {
    let place = Place::new();
    let many = (0..900).fold(key([""; 0]), |sources, number| sources.bytes(format!("{number:0100}"), "x"));
    let sources = many.digest().unwrap();
    add(&place.store(), &sources);
    assert_eq!(place.objects().len(), 2, "the artifact and its details");
    // Twice over this limit no courtesy protects the young.
    let full = Store::open(place.config().max_bytes(1).build()).unwrap();
    plugcache::__sim::sweep(&full);
    assert_eq!(place.objects().len(), 2);
    assert!(place.store().find(&sources).is_some());
}
