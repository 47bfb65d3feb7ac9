//! Bugs that one process after the other shows.

use super::{
    catches,
    world::{add, bytes_of, config, content, find, found, object, open, open_as, sources, v1, with},
};
use plugcache::{
    __sim::{self, At, Bug, Failure, Fault, Verb},
    Added, Artifact, Config, Exec, Outputs, Parcel, Sink, Store, Tier, TierError, TierKey,
};
use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

#[test]
fn i6_a_frame_with_a_wrong_length_hides_only_itself() {
    catches(Bug::LengthBelieved, || {
        let disk = with(&["a", "b", "c"]);
        // Behind the header: the length of the PUT of `a`.
        disk.damage(v1("log.1"), 64 + 14, [0x80, 0x01]);
        let store = open(&disk);
        for key in ["b", "c"] {
            assert_eq!(find(&store, key), Some(content(key)), "I6: a bad frame hides another, {key}");
        }
    });
}

#[test]
fn i1_a_damaged_object_is_replaced_by_an_add_of_its_bytes() {
    catches(Bug::ExistingTrusted, || {
        let disk = with(&["a"]);
        disk.overwrite(object("a"), 5, "damage");
        // The key is another: nothing is known of the object.
        assert_eq!(add(&open(&disk), "other", "a"), Added::Stored);
        assert_eq!(
            found(&disk, "other"),
            Some(content("a")),
            "I1: what was admitted is not what it is called"
        );
    });
}

#[test]
fn i1_an_object_that_was_written_to_is_not_vouched() {
    catches(Bug::StampIgnored, || {
        let disk = with(&["a"]);
        disk.overwrite(object("a"), 5, "damage");
        assert_eq!(found(&disk, "a"), None, "I1: wrong bytes");
    });
}

#[test]
fn i7_what_is_added_behind_a_seal_is_found() {
    catches(Bug::SealIgnored, || {
        for verb in 1..60 {
            let disk = with(&["a"]);
            let process = disk.process();
            let store = open_as(process.clone(), config().build());
            process.kill_after(verb);
            __sim::compact(&store);
            let next = open(&disk);
            let added = add(&next, "b", "b");
            assert_eq!(added, Added::Stored, "I7: a compaction killed after verb {verb} keeps adds out");
            assert_eq!(found(&disk, "b"), Some(content("b")), "I7: killed after verb {verb}");
        }
    });
}

#[test]
fn i3_what_a_killed_add_leaves_behind_is_in_nobodys_way() {
    catches(Bug::StagedNameForetold, || {
        for verb in 1..60 {
            let disk = with(&["a"]);
            let process = disk.process();
            let store = open_as(process.clone(), config().build());
            process.kill_after(verb);
            let _ = add(&store, "b", "b");
            let added = add(&open(&disk), "c", "c");
            assert_eq!(added, Added::Stored, "I3: an add that was killed after verb {verb} is in the way");
        }
    });
}

#[test]
fn i5_an_object_behind_a_symlink_is_a_miss() {
    catches(Bug::SymlinkFollowed, || {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        let config = || Config::builder(&root).exec(Exec::Given(vec![1])).build();
        let store = Store::open(config()).unwrap();
        assert_eq!(store.add(&sources("a"), Outputs::bytes("a", content("a"))).unwrap(), Added::Stored);
        let inside = object("a");
        let object = root.join(Path::new(&inside).strip_prefix("/home/cache").unwrap());
        let outside = dir.path().join("outside");
        fs::rename(&object, &outside).unwrap();
        symlink(&outside, &object).unwrap();
        let found = Store::open(config()).unwrap().find(&sources("a"));
        assert!(found.is_none(), "I5: bytes from outside of the store");
        assert_eq!(fs::read(&outside).unwrap(), content("a"), "I20: a file outside was touched");
    });
}

#[test]
fn i6_a_short_write_to_a_log_is_only_repeated_whole() {
    catches(Bug::ShortWriteCompleted, || {
        let mut is_met = false;
        for verb in 1..100 {
            let disk = with(&["a"]);
            let process = disk.process();
            let store = open_as(process.clone(), config().build());
            process.fail(Fault { at: At::Verb(verb), failure: Failure::ShortWrite(70) });
            let added = add(&store, "b", "b");
            let trace = process.trace();
            let writes: Vec<usize> = trace
                .iter()
                .filter(|step| step.verb == Verb::Write && step.path.ends_with("log.1"))
                .map(|step| step.bytes)
                .collect();
            is_met |= added != Added::Stored;
            let first = writes.first().copied().unwrap_or(0);
            let is_whole = writes.iter().all(|bytes| *bytes >= first);
            assert!(is_whole, "I6: a frame in more than one write: {writes:?}");
        }
        assert!(is_met, "I6: no short write met the log");
    });
}

#[test]
fn i9_a_touched_entry_stays_dropped() {
    catches(Bug::TouchResurrects, || {
        let disk = with(&["a"]);
        let store = open(&disk);
        assert!(__sim::compact(&store));
        disk.advance_clock(Duration::from_secs(86_400));
        let artifact = store.find(&sources("a")).unwrap();
        assert_eq!(bytes_of(&artifact), content("a"));
        assert_eq!(store.forget(&sources("a").digest()).unwrap(), 1);
        drop(artifact);
        assert_eq!(found(&disk, "a"), None, "I9: a dropped entry is back");
    });
}

/// Has one parcel, and bytes that are not those of its objects.
#[derive(Clone, Default)]
struct Liar(std::sync::Arc<std::sync::Mutex<Option<Parcel>>>);

impl Tier for Liar {
    fn entry(&self, _: &TierKey) -> Result<Option<Parcel>, TierError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn objects(&self, _: &TierKey, wanted: &mut [Sink<'_>]) -> Result<(), TierError> {
        for sink in wanted {
            let len = usize::try_from(sink.object().len).unwrap();
            std::io::Write::write_all(sink, &vec![b'x'; len]).unwrap();
        }
        Ok(())
    }

    fn offer(&self, _: &TierKey, parcel: &Parcel, _: &Artifact) {
        *self.0.lock().unwrap() = Some(parcel.clone());
    }
}

#[test]
fn i1_wrong_bytes_from_a_tier_are_not_handed_out() {
    catches(Bug::ReceivedBelieved, || {
        let liar = Liar::default();
        let builder = __sim::open_with_tier(with(&[]).process(), config().build(), liar.clone()).unwrap();
        assert_eq!(add(&builder, "a", "a"), Added::Stored);
        let disk = with(&[]);
        let store = __sim::open_with_tier(disk.process(), config().build(), liar).unwrap();
        assert_eq!(find(&store, "a"), None, "I1: bytes that are not those of the object");
        assert_eq!(found(&disk, "a"), None, "I1: bytes that are not those of the object");
    });
}
