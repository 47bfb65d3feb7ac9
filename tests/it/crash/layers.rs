//! Import, export, masks and promotion, killed at every verb, with every call failing, and the power cut: whole entries
//! or none, right bytes always, and what was acknowledged is so.

use super::{ROOT, config, empty_disk, sources_of};
use plugcache::{
    __sim::{self, At, Disk, Failure, Fault, Process},
    Added, Durability, OpenError, Outputs, Store,
};

const LAYER: &str = "/srv/layer";
const OTHER: &str = "/srv/other";

fn bytes(number: u8) -> Vec<u8> {
    vec![number; 700]
}

fn open(process: &Process, layered: bool, promote: bool) -> Result<Store, OpenError> {
    let config = config(0, Durability::Lazy).promote(promote);
    let config = if layered { config.layer(LAYER) } else { config };
    __sim::open(process.clone(), config.build())
}

fn add_to(store: &Store, number: u8) {
    assert_eq!(store.add(&sources_of(number), Outputs::bytes("o", bytes(number))), Ok(Added::Stored));
}

fn store_at(disk: &Disk, dir: &str) -> Store {
    let config = config(0, Durability::Lazy).build().to_builder();
    let config = plugcache::Config::builder(dir).exec(config.build().exec().clone()).memo(false);
    __sim::open(disk.process(), config.build()).unwrap()
}

/// A layer with 1 to 3, another store with 3 to 5, and one's own with 6.
fn disk() -> Disk {
    let disk = empty_disk(3);
    disk.plant_dir("/srv");
    let below = store_at(&disk, "/srv/below");
    (1..=3).for_each(|number| add_to(&below, number));
    below.export(LAYER.as_ref(), |_| true).unwrap();
    let other = store_at(&disk, OTHER);
    (3..=5).for_each(|number| add_to(&other, number));
    add_to(&open(&disk.process(), false, false).unwrap(), 6);
    disk.settle();
    disk
}

/// Whether a find hits; bytes that are not those of the key are a failure.
fn finds(store: &Store, number: u8) -> bool {
    let Some(artifact) = store.find(&sources_of(number)) else { return false };
    let read = artifact.primary().read();
    read.is_ok_and(|read| {
        assert_eq!(read, bytes(number));
        true
    })
}

/// What was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
struct Acknowledged {
    promoted: bool,
    masked: bool,
    imported: bool,
}

fn work(process: &Process) -> Acknowledged {
    let mut done = Acknowledged::default();
    let Ok(store) = open(process, true, true) else { return done };
    let artifact = store.find(&sources_of(1));
    done.promoted = artifact.is_some_and(|artifact| artifact.path().starts_with(ROOT));
    done.masked = store.forget(&sources_of(2).digest()).is_ok();
    done.imported = store.import(OTHER.as_ref()).is_ok();
    done
}

/// `is_cut`: nothing that lazy handles were told survives for certain.
fn check(disk: &Disk, done: Acknowledged, is_cut: bool, case: &str) {
    let store = open(&disk.process(), true, false).unwrap_or_else(|error| panic!("{case}: {error}"));
    for number in [1, 3] {
        assert!(finds(&store, number), "{case}: {number} of the layer");
    }
    let (two, four, five) = (finds(&store, 2), finds(&store, 4), finds(&store, 5));
    if !is_cut {
        assert!(!(done.masked && two), "{case}: what was forgotten is found");
        assert!(!done.imported || (four && five), "{case}: what was imported is not found");
        assert!(finds(&store, 6), "{case}: one's own");
    }
    let plain = open(&disk.process(), false, false).unwrap();
    assert!(is_cut || !done.promoted || finds(&plain, 1), "{case}: what was promoted is not found");
    // And everything goes on.
    plain.import(OTHER.as_ref()).unwrap();
    assert!((3..=5).all(|number| finds(&plain, number)), "{case}: the next import");
    add_to(&plain, 7);
    assert!(finds(&plain, 7), "{case}");
}

#[test]
fn import_masks_and_promotion_crashed_at_every_verb_leave_whole_entries_and_keep_what_they_said() {
    let start = disk();
    let disk = start.snapshot();
    let process = disk.process();
    let done = work(&process);
    assert!(done.promoted && done.masked && done.imported, "{done:?}");
    check(&disk, done, false, "undisturbed");
    let verbs = process.steps();
    assert!(verbs > 100, "{verbs}");
    for verb in 1..=verbs {
        let disk = start.snapshot();
        let process = disk.process();
        process.kill_after(verb);
        let done = work(&process);
        check(&disk.snapshot(), done, false, &format!("killed after {verb}"));
        for cut in disk.power_cuts(2) {
            check(&cut, done, true, &format!("cut after {verb}"));
        }
        for errno in [5, 13, 28] {
            let disk = start.snapshot();
            let process = disk.process();
            process.fail(Fault { at: At::Verb(verb), failure: Failure::Errno(errno) });
            let done = work(&process);
            check(&disk, done, false, &format!("error {errno} at {verb}"));
        }
    }
}

#[test]
fn an_export_that_is_crashed_at_any_verb_leaves_a_whole_layer_or_none() {
    let start = disk();
    let export = |process: &Process| {
        let config = config(0, Durability::Lazy).build();
        let config = plugcache::Config::builder(OTHER).exec(config.exec().clone()).memo(false);
        let store = __sim::open(process.clone(), config.build()).ok()?;
        store.export("/srv/new/layer".as_ref(), |_| true).ok()
    };
    let judge = |disk: &Disk, exported: Option<u64>, case: &str| {
        let config = config(9, Durability::Lazy).exec(config(0, Durability::Lazy).build().exec().clone());
        match __sim::open(disk.process(), config.layer("/srv/new/layer").build()) {
            Ok(store) => assert!((3..=5).all(|number| finds(&store, number)), "{case}: half a layer"),
            Err(OpenError::NoLayer { .. }) => assert_eq!(exported, None, "{case}"),
            Err(error) => panic!("{case}: {error}"),
        }
    };
    let process = start.snapshot().process();
    assert_eq!(export(&process), Some(3));
    for verb in 1..=process.steps() {
        let disk = start.snapshot();
        let process = disk.process();
        process.kill_after(verb);
        let exported = export(&process);
        judge(&disk.snapshot(), exported, &format!("killed after {verb}"));
        for cut in disk.power_cuts(2) {
            judge(&cut, exported, &format!("cut after {verb}"));
        }
        let disk = start.snapshot();
        let process = disk.process();
        process.fail(Fault { at: At::Verb(verb), failure: Failure::Errno(5) });
        let exported = export(&process);
        judge(&disk, exported, &format!("EIO at {verb}"));
    }
}
