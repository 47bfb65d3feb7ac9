//! Bugs in what lies below a store, or beyond, and is brought into it: layers, masks, promotion, import, fetching.

use super::{
    catches,
    world::{
        add, bytes_of, config, content, find, found, in_the_middle, object, open, open_as, sources, with,
    },
};
use plugcache::{
    __sim::{self, Bug, Disk, Process},
    Added, Artifact, Outputs, Parcel, Sink, Store, Tier, TierError, TierKey,
};
use std::{
    io::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

const BELOW: &str = "/srv/below";
const LAYER: &str = "/srv/layer";
/// More verbs than a find that promotes takes.
const VERBS: usize = 80;

/// Another store on the disk, with these keys.
fn with_at(disk: &Disk, dir: &str, keys: &[&str]) -> Store {
    let made = plugcache::Config::builder(dir).exec(config().build().exec().clone()).memo(false).build();
    let store = open_as(disk.process(), made);
    keys.iter().for_each(|key| assert_eq!(add(&store, key, key), Added::Stored));
    store
}

/// A store with `own`, and a layer beside it with `a` and `b`.
fn with_layer() -> Disk {
    let disk = with(&["own"]);
    disk.plant_dir("/srv");
    with_at(&disk, BELOW, &["a", "b"]).export(LAYER.as_ref(), |_| true).unwrap();
    // Who opens a layer that others may enter looks at each of its 256 directories first.
    disk.chmod(format!("{LAYER}/v1"), 0o700);
    disk.advance_clock(Duration::from_secs(3600));
    disk.settle();
    disk
}

fn layered(process: Process, promote: bool) -> Store {
    open_as(process, config().layer(LAYER).promote(promote).build())
}

#[test]
fn i9_what_was_forgotten_above_a_layer_is_not_found_in_it() {
    catches(Bug::MaskIgnored, || {
        let disk = with_layer();
        let store = layered(disk.process(), false);
        assert_eq!(find(&store, "a"), Some(content("a")), "I5: what lies in the layer is not found");
        assert_eq!(store.forget(&sources("a").digest()).unwrap(), 1);
        for store in [store, layered(disk.process(), false)] {
            assert_eq!(find(&store, "a"), None, "I9: a forgotten entry of a layer is found");
            assert_eq!(find(&store, "b"), Some(content("b")), "I9: another went with it");
        }
    });
}

#[test]
fn i9_a_killed_forget_brings_no_older_entry_of_a_layer_to_light() {
    catches(Bug::DroppedBeforeMasked, || {
        let start = with_layer();
        assert_eq!(add(&open(&start), "a", "newer"), Added::Stored);
        for verb in 1..VERBS {
            let disk = start.snapshot();
            let process = disk.process();
            process.kill_after(verb);
            let config = config().layer(LAYER).build();
            let forgotten =
                __sim::open(process, config).is_ok_and(|store| store.forget(&sources("a").digest()).is_ok());
            let now = find(&layered(disk.process(), false), "a");
            let is_right = now.is_none() || (now == Some(content("newer")) && !forgotten);
            assert!(is_right, "I9: an entry that was replaced is back, killed after verb {verb}");
        }
    });
}

#[test]
fn i9_what_was_forgotten_is_not_brought_back_by_a_find_that_had_begun() {
    catches(Bug::BroughtUnmasked, || {
        in_the_middle(
            1..=VERBS,
            with_layer,
            |process| find(&layered(process, true), "a"),
            |process| layered(process, false).forget(&sources("a").digest()).unwrap(),
            |disk, _, _| {
                assert_eq!(
                    find(&layered(disk.process(), true), "a"),
                    None,
                    "I9: it was copied from the layer"
                );
            },
        );
    });
}

/// An entry, and the bytes of its object.
type Held = (TierKey, Parcel, Vec<u8>);

/// A tier with one entry.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Option<Held>>>);

impl Tier for Shelf {
    fn entry(&self, key: &TierKey) -> Result<Option<Parcel>, TierError> {
        let held = self.0.lock().unwrap();
        Ok(held.as_ref().filter(|(held, ..)| held == key).map(|(_, parcel, _)| parcel.clone()))
    }

    fn objects(&self, _: &TierKey, wanted: &mut [Sink<'_>]) -> Result<(), TierError> {
        // Not held while it is written: that takes turns.
        let bytes = self.0.lock().unwrap().as_ref().map(|(.., bytes)| bytes.clone()).unwrap();
        wanted.iter_mut().for_each(|sink| sink.write_all(&bytes).unwrap());
        Ok(())
    }

    fn offer(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        let mut held = self.0.lock().unwrap();
        held.get_or_insert_with(|| (*key, parcel.clone(), bytes_of(artifact)));
    }
}

#[test]
fn i7_what_is_added_while_a_fetch_of_it_is_on_its_way_stays() {
    catches(Bug::BroughtReplaces, || {
        let shelf = Shelf::default();
        let open = |process| __sim::open_with_tier(process, config().build(), shelf.clone()).unwrap();
        assert_eq!(add(&open(Disk::new(4).process()), "a", "a"), Added::Stored);
        in_the_middle(
            1..=VERBS,
            || with(&["own"]),
            |process| find(&open(process), "a"),
            |process| {
                let store = open(process);
                store.forget(&sources("a").digest()).unwrap();
                add(&store, "a", "newer")
            },
            |disk, _, added| {
                assert_eq!(added, Added::Stored, "I13");
                assert_eq!(found(disk, "a"), Some(content("newer")), "I7: stored and not found");
            },
        );
    });
}

#[test]
fn i12_an_imported_object_whose_put_is_on_its_way_is_not_removed() {
    catches(Bug::TakenInUnleased, || {
        in_the_middle(
            1..=VERBS,
            || {
                let disk = with(&["own"]);
                disk.plant_dir("/srv");
                let other = with_at(&disk, BELOW, &[]);
                let outputs = Outputs::bytes("plugin.so", content("own"));
                assert_eq!(other.add(&sources("a"), outputs), Ok(Added::Stored));
                disk.advance_clock(Duration::from_secs(3600));
                disk
            },
            |process| open_as(process, config().build()).import(BELOW.as_ref()),
            |process| open_as(process, config().build()).forget(&sources("own").digest()).unwrap(),
            |disk, imported, _| {
                assert_eq!(imported.ok(), Some(1), "I13");
                assert!(disk.exists(object("own")), "I12: removed while it was leased");
                assert_eq!(found(disk, "a"), Some(content("own")), "I4: an entry without its object");
            },
        );
    });
}
