//! Bugs that a power cut shows.

use super::{
    catches,
    world::{add, content, durable, find, found, open, open_as, with},
};
use plugcache::{
    __sim::{self, At, Bug, Disk, Failure, Fault},
    Added,
};

/// Legal survivals tried per cut.
const CUTS: usize = 60;
const EIO: i32 = 5;

/// Every survival of a cut now has what was acknowledged.
fn assert_durable(disk: &Disk, key: &str, invariant: &str) {
    for cut in disk.power_cuts(CUTS) {
        assert_eq!(found(&cut, key), Some(content(key)), "{invariant}: {}", cut.story());
    }
}

fn an_acknowledged_add_survives() {
    let disk = with(&["a"]);
    let store = open_as(disk.process(), durable());
    assert_eq!(add(&store, "b", "b"), Added::Stored);
    drop(store);
    assert_durable(&disk, "b", "I8");
}

#[test]
fn i8_the_bytes_of_an_acknowledged_add_survive_a_power_cut() {
    catches(Bug::RenameBeforeSync, an_acknowledged_add_survives);
}

#[test]
fn i8_the_name_of_an_acknowledged_add_survives_a_power_cut() {
    catches(Bug::DirNotSynced, an_acknowledged_add_survives);
}

#[test]
fn i8_an_add_whose_sync_failed_is_not_acknowledged_by_the_next_one() {
    catches(Bug::SyncRetried, || {
        // Beyond the directories that a durable handle makes sure of.
        for verb in 1..600 {
            let disk = with(&["a"]);
            let process = disk.process();
            let store = open_as(process.clone(), durable());
            process.fail(Fault { at: At::Verb(verb), failure: Failure::Errno(EIO) });
            if add(&store, "b", "b") == Added::Stored {
                drop(store);
                assert_durable(&disk, "b", "I8");
            }
        }
    });
}

#[test]
fn i10_a_compaction_that_is_cut_off_loses_no_durable_entry() {
    catches(Bug::InputsUnlinkedEarly, || {
        let disk = with(&["a", "b"]);
        let store = open(&disk);
        disk.record();
        assert!(__sim::compact(&store));
        for moment in disk.recorded() {
            for cut in moment.disk.power_cuts(CUTS) {
                let store = open(&cut);
                for key in ["a", "b"] {
                    let story = cut.story();
                    assert_eq!(find(&store, key), Some(content(key)), "I10: {} after {}", story, moment.step);
                }
            }
        }
    });
}
