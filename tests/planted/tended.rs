//! Bugs in what looks after a store, and in what lies beside its entries: scrub, rebuild, counters, the memo, the shared
//! strings of a segment.

use super::{
    catches,
    world::{bytes_of, config, content, find, found, open, open_as, sources, v1, with},
};
use plugcache::{
    __sim::{self, At, Bug, Disk, Failure, Fault, Process, Verb},
    Entry, ScrubOptions, SourceDigest, Sources, Toolchain,
};
use std::time::Duration;

const EIO: i32 = 5;

#[test]
fn i1_a_scrub_counts_no_object_that_it_could_not_read_as_right() {
    catches(Bug::UnreadableChecked, || {
        let mut is_met = 0;
        for verb in 1..2000 {
            let disk = with(&["a", "b"]);
            let process = disk.process();
            let store = open_as(process.clone(), config().build());
            let begin = process.steps();
            process.fail(Fault { at: At::Verb(verb), failure: Failure::Errno(EIO) });
            let scrubbed = store.scrub(ScrubOptions::new().threads(1));
            let trace = process.trace();
            let Some(failed) = trace.get(begin + verb - 1) else { break };
            let is_of_object = failed.path.to_string_lossy().contains("/objects/");
            if failed.verb == Verb::ReadAt && is_of_object {
                let report = scrubbed.unwrap();
                let told = (report.checked, report.unreadable.count);
                assert_eq!(told, (1, 1), "I1: an unread object counts as proved, {failed}");
                is_met += 1;
            }
        }
        assert!(is_met >= 2, "I1: both objects are read");
    });
}

#[test]
fn i9_a_rebuild_brings_nothing_back_that_was_dropped() {
    catches(Bug::RebuildResurrects, || {
        let disk = with(&["a", "b"]);
        let store = open(&disk);
        assert!(__sim::compact(&store));
        assert_eq!(store.forget(&sources("a").digest()).unwrap(), 1);
        drop(store);
        // Its header: no reader takes the segment in any more.
        disk.damage(v1("seg.1-1"), 3, [0xAA]);
        assert_eq!(found(&disk, "b"), None, "I6: the damage hides nothing");
        assert_eq!(open(&disk).rebuild().unwrap().salvaged, 1, "I9: a dropped entry is salvaged");
        assert_eq!(found(&disk, "a"), None, "I9: a dropped entry is back");
        assert_eq!(found(&disk, "b"), Some(content("b")), "I6: nothing comes back");
    });
}

#[test]
fn i10_what_was_counted_before_a_killed_compaction_counts_once() {
    catches(Bug::CountedTwice, || {
        let mut is_whole = false;
        for verb in 1..200 {
            let disk = with(&["a"]);
            let store = open(&disk);
            (0..5).for_each(|_| assert_eq!(find(&store, "a"), Some(content("a"))));
            // A dropped handle writes down what it has counted.
            drop(store);
            let before = open(&disk).stats().store;
            assert!(before.hits >= 5, "I10: nothing was counted");
            let process = disk.process();
            let store = open_as(process.clone(), config().build());
            process.kill_after(verb);
            is_whole |= __sim::compact(&store);
            drop(store);
            let now = open(&disk).stats().store;
            assert_eq!(now, before, "I10: counted twice, or lost, by a compaction killed after verb {verb}");
        }
        assert!(is_whole, "I10: no compaction came to its end");
    });
}

const SOURCE: &str = "/src/plugin.c";

fn digested(process: &Process) -> SourceDigest {
    let store = open_as(process.clone(), config().memo(true).build());
    source().digest_with(&store).unwrap().digest()
}

fn source() -> plugcache::SourcesBuilder {
    let tool = Toolchain::of_value("compiler", "1");
    Sources::new("planted/1", &tool, plugcache::NO_OPTIONS).files([SOURCE, "/src/other.c", "/src/third.c"])
}

/// A store, and sources that nobody has digested yet.
fn with_sources() -> Disk {
    let disk = with(&["a"]);
    disk.plant_dir("/src");
    [SOURCE, "/src/other.c", "/src/third.c"].iter().for_each(|path| disk.plant_file(path, "int one;"));
    disk
}

fn truth(disk: &Disk) -> SourceDigest {
    __sim::digest(disk.process(), source()).unwrap().digest()
}

/// What was read before a power cut may be gone after it, with all times of the file in place.
#[test]
fn i1_a_memo_of_another_boot_proves_nothing() {
    catches(Bug::MemoBootIgnored, || {
        let disk = with_sources();
        disk.advance_clock(Duration::from_secs(3600));
        let before = digested(&disk.process());
        assert!(disk.exists(v1("memo")), "I1: nothing is remembered");
        // Another content under the same times, as a cut leaves it.
        disk.damage(SOURCE, 4, b"two");
        assert_eq!(digested(&disk.process()), before, "I1: in this boot the memo is not believed");
        disk.set_boot_id(Some([7; 16]));
        assert_eq!(digested(&disk.process()), truth(&disk), "I1: a memo of another boot is believed");
    });
}

/// A clock that counts slowly leaves the times in place when a file is written twice in a moment.
#[test]
fn i1_a_file_that_was_just_written_is_read_again() {
    catches(Bug::MemoOfYoungFiles, || {
        let disk = with_sources();
        disk.advance_clock(Duration::from_millis(1900));
        digested(&disk.process());
        disk.damage(SOURCE, 4, b"two");
        assert_eq!(digested(&disk.process()), truth(&disk), "I1: what a young file held is believed");
    });
}

/// What a user sees of an entry; and what it was made from, where that can be read.
fn shown(entry: &Entry) -> (String, Option<SourceDigest>) {
    let sources = entry.sources().map(|sources| sources.digest());
    (format!("{:?}", (entry.exec_id(), entry.label(), entry.outputs(), entry.inputs())), sources)
}

#[test]
fn i6_an_entry_whose_shared_string_is_damaged_is_a_miss() {
    catches(Bug::ItemEmpty, || {
        // So many that a string is worth a place of its own.
        let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let compacted = || {
            let disk = with(&keys);
            assert!(__sim::compact(&open(&disk)));
            disk
        };
        let whole = open(&compacted());
        let right = keys.map(|key| shown(&whole.lookup(&sources(key)).unwrap()));
        let segment = compacted().read_file(v1("seg.1-1")).unwrap();
        let seed = u64::from_le_bytes(segment[17..25].try_into().unwrap());
        let frames = __sim::frames_of_segment(&segment[64..], seed);
        let items: Vec<_> = frames.iter().filter(|frame| frame.kind == ITEM).collect();
        assert!(items.len() >= 6, "I6: {} items", items.len());
        for item in &items {
            let disk = compacted();
            let now = disk.read_file(v1("seg.1-1")).unwrap();
            let seed = u64::from_le_bytes(now[17..25].try_into().unwrap());
            // The same strings lie in the same places, under the secret of this segment.
            for frame in __sim::frames_of_segment(&now[64..], seed) {
                if frame.kind == ITEM && frame.payload == item.payload {
                    disk.damage(v1("seg.1-1"), 64 + frame.at + 16, [!frame.payload[0]]);
                }
            }
            let store = open(&disk);
            for (key, right) in keys.iter().zip(&right) {
                if let Some(entry) = store.lookup(&sources(key)) {
                    let (entry, sources) = shown(&entry);
                    let is_right = entry == right.0 && (sources.is_none() || sources == right.1);
                    assert!(is_right, "I6: a damaged string is an empty one: {entry}");
                }
                if let Some(artifact) = store.find(&sources(key)) {
                    assert_eq!(bytes_of(&artifact), content(key), "I1: {key}");
                }
            }
        }
    });
}

/// The kind of a frame that holds a string of several entries.
const ITEM: u8 = 17;
