//! Bugs that only show when one process runs in the middle of another.

use super::{
    catches,
    world::{
        add, bytes_of, config, content, find, found, in_the_middle, object, open, open_as, sources, with,
    },
};
use plugcache::{
    __sim::{self, Bug, Step, Verb},
    Added,
};
use std::time::Duration;

/// More verbs than an add or a find takes.
const VERBS: usize = 60;

#[test]
fn i12_an_object_whose_put_is_on_its_way_is_not_swept() {
    catches(Bug::LeaseNotHeld, || {
        in_the_middle(
            1..=VERBS,
            || with(&["a"]),
            |process| add(&open_as(process, config().build()), "b", "b"),
            // Over twice its limit, so that being young protects nothing.
            |process| __sim::sweep(&open_as(process, config().max_bytes(1).build())),
            |disk, added, ()| {
                assert!(added == Added::Stored, "I12: {added:?}");
                assert_eq!(found(disk, "b"), Some(content("b")), "I12: swept while it was leased");
            },
        );
    });
}

#[test]
fn i2_a_good_object_that_has_taken_the_name_of_a_damaged_one_stays() {
    catches(Bug::NameNotRechecked, || {
        in_the_middle(
            1..=VERBS,
            || {
                let disk = with(&["a"]);
                disk.overwrite(object("a"), 5, "damage");
                disk
            },
            |process| find(&open_as(process, config().build()), "a"),
            |process| add(&open_as(process, config().build()), "a", "a"),
            |disk, _, added| {
                if added == Added::Stored {
                    assert_eq!(found(disk, "a"), Some(content("a")), "I2: a right object was set aside");
                }
            },
        );
    });
}

#[test]
fn i1_what_is_handed_out_is_what_was_hashed() {
    catches(Bug::VerifiedThenReopened, || {
        for verb in 1..VERBS {
            let disk = with(&["a"]);
            // Another boot: the object is hashed.
            disk.set_boot_id(Some([9; 16]));
            disk.plant_file("/home/evil", content("evil"));
            let process = disk.process();
            let swapped = std::cell::Cell::new(false);
            let mut turns = 0;
            let artifact = std::sync::Mutex::new(None);
            let body: plugcache::__sim::Body<'_> = Box::new(|process| {
                *artifact.lock().unwrap() = open_as(process, config().build()).find(&sources("a"));
            });
            plugcache::__sim::Controller::new(&disk).run(vec![body], |_| {
                turns += 1;
                if turns == verb {
                    disk.move_to("/home/evil", object("a"));
                    swapped.set(true);
                }
                0
            });
            drop(process);
            if let Some(artifact) = artifact.into_inner().unwrap() {
                assert_eq!(
                    bytes_of(&artifact),
                    content("a"),
                    "I1: other bytes than were hashed, verb {verb}"
                );
            }
        }
    });
}

#[test]
fn i10_an_add_in_the_middle_of_a_compaction_is_in_its_output_or_behind_it() {
    catches(Bug::ListedBeforeLock, || {
        in_the_middle(
            1..=VERBS,
            || with(&["a"]),
            |process| __sim::compact(&open_as(process, config().build())),
            |process| add(&open_as(process, config().build()), "b", "b"),
            |disk, _, added| {
                assert!(added == Added::Stored, "I13: {added:?}");
                assert_eq!(found(disk, "b"), Some(content("b")), "I10: a compaction lost an entry");
            },
        );
    });
}

#[test]
fn i7_a_put_behind_a_seal_does_not_count() {
    catches(Bug::PutNotReadBack, || {
        let disk = with(&["a"]);
        let process = disk.process();
        assert!(__sim::compact(&open_as(process.clone(), config().build())));
        let trace = process.trace();
        let is_unlink = |step: &Step| step.verb == Verb::Unlink && step.path.ends_with("log.1");
        let first_unlink = trace.iter().position(is_unlink).unwrap() + 1;
        in_the_middle(
            1..=VERBS,
            || with(&["a"]),
            |process| add(&open_as(process, config().build()), "b", "b"),
            // Killed when all is sealed and nothing is unlinked.
            |process| {
                process.kill_before(first_unlink);
                __sim::compact(&open_as(process, config().build()))
            },
            |disk, added, _| {
                assert!(added == Added::Stored, "I7: {added:?}");
                assert_eq!(found(disk, "b"), Some(content("b")), "I7: stored and not found");
            },
        );
    });
}

#[test]
fn i9_a_rejected_artifact_takes_no_newer_entry_of_its_key_along() {
    catches(Bug::DropByKey, || {
        in_the_middle(
            1..=VERBS,
            || with(&["a"]),
            |process| {
                let store = open_as(process, config().build());
                let artifact = store.find(&sources("a")).unwrap();
                store.reject(&artifact, "it does not load");
                bytes_of(&artifact)
            },
            |process| add(&open_as(process, config().build()), "a", "new"),
            |disk, rejected, added| {
                assert!(added == Added::Stored, "I9: {added:?}");
                let hit = found(disk, "a") == Some(content("new"));
                assert!(hit || rejected == content("new"), "I9: a DROP hit a PUT that it does not name");
            },
        );
    });
}

#[test]
fn a_day_is_longer_than_the_courtesy_to_young_objects() {
    let disk = with(&["a"]);
    let store = open(&disk);
    assert_eq!(store.forget(&sources("a").digest()).unwrap(), 1);
    __sim::sweep(&store);
    assert!(disk.exists(object("a")), "I19: it is young");
    disk.advance_clock(Duration::from_secs(86_400));
    __sim::sweep(&store);
    assert!(!disk.exists(object("a")), "I19: it is old");
}
