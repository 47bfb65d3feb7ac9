//! Manifests that no writer left: cut, flipped, replaced, huge, absurd, or of a later version (I5, I6, I10, I18).
//!
//! Whatever was done, no wrong byte, no panic, no entry lost but those in what was damaged; and afterwards the
//! store works on without repair.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use plugcache::{__sim, How, OpenError, Skip, Status, Store};

use super::damage::{
    self, Job, Manifest, Place, THINGS, Thing, found, frame, frames, get, header, plant, seed_of,
};

pub(crate) const JOBS: &[Job] = &[("huge", huge), ("closed to its owner", closed)];

/// How many plugins the small stores hold.
const COUNT: usize = 3;
const ALL: [usize; COUNT] = [0, 1, 2];

/// All damages of a segment look the same from above: the store's going on is looked at for one in so many.
const SAMPLE: usize = 5;

/// A small store all of whose entries lie in a segment.
fn compacted() -> Place {
    let place = Place::with(COUNT);
    assert!(__sim::compact(&place.open()));
    assert_eq!(found(&place.open(), COUNT), ALL);
    place
}

/// The plugins whose frames are not touched by `is_damaged`, which is given where a frame begins and ends.
fn survivors(file: &[u8], is_damaged: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let ends = frames(file)
        .into_iter()
        .map(|(at, kind, payload)| (at, kind, at + (16 + payload.len()).next_multiple_of(64)));
    let puts: Vec<_> = ends.filter(|(_, kind, _)| *kind == damage::PUT).collect();
    assert_eq!(puts.len(), COUNT);
    (0..COUNT).filter(|number| !is_damaged(puts[*number].0, puts[*number].2)).collect()
}

/// Puts `damaged` in the place of a file, looks what is left, and lets the store go on.
fn after(place: &Place, manifest: &Manifest, name: &str, damaged: &[u8], case: &str) -> Vec<usize> {
    manifest.put_back_with(name, damaged);
    let left = found(&place.open(), COUNT);
    place.must_work(COUNT, case);
    left
}

#[test]
fn a_stranger_who_knows_the_description_writes_the_same_log() {
    let place = Place::with(COUNT);
    let manifest = Manifest::of(&place);
    let (name, log) = manifest.file("log.");
    assert_eq!(name, "log.1");
    let seed = seed_of(log);
    let written = frames(log).into_iter().enumerate().map(|(at, (_, kind, payload))| match at {
        0 => header(0, seed, [0; 3]),
        _ if kind == damage::COUNT => frame(kind, 0, payload, seed),
        _ => {
            assert_eq!(payload[8..40], damage::sources(at - 1).digest().as_bytes()[..]);
            frame(kind, 0, payload, seed)
        }
    });
    assert!(written.flatten().eq(log.iter().copied()), "the bytes differ");
    // And the crate reads what a stranger wrote: an entry of a plugin that it has never seen, in a log of its own.
    let exec = &frames(log)[1].2[damage::EXEC];
    let object = plugcache::ObjectDigest::of_bytes(&damage::bytes(0));
    let put = damage::put(7, exec, &[(b"out.so", *object.as_bytes(), damage::bytes(0).len() as u64)]);
    fs::write(place.v1("log.1"), [header(0, 99, [0; 3]), frame(damage::PUT, 0, &put, 99)].concat()).unwrap();
    let artifact = place.open().find(&damage::sources(7)).unwrap();
    assert_eq!(artifact.primary().read_verified().unwrap(), damage::bytes(0));
}

#[test]
fn a_log_that_is_cut_anywhere_loses_only_what_was_cut_off() {
    let place = Place::with(COUNT);
    let manifest = Manifest::of(&place);
    let (name, log) = manifest.file("log.");
    for len in 0..log.len() {
        let expected = if len < 64 { vec![] } else { survivors(log, |_, end| end > len) };
        assert_eq!(
            after(&place, &manifest, name, &log[..len], &format!("cut to {len}")),
            expected,
            "cut to {len}"
        );
    }
}

#[test]
fn a_log_that_is_cut_under_an_open_handle_keeps_what_is_added_afterwards() {
    for percent in [0, 3, 10, 50, 90, 99] {
        let place = Place::with(20);
        let store = place.open();
        assert_eq!(found(&store, 20).len(), 20);
        let log = fs::OpenOptions::new().write(true).open(place.v1("log.1")).unwrap();
        log.set_len(log.metadata().unwrap().len() * percent / 100).unwrap();
        assert_eq!(get(&store, 20).how, How::Built, "cut to {percent} %");
        assert!(found(&place.open(), 21).contains(&20), "cut to {percent} %");
        place.must_work(21, "cut under an open handle");
        assert_eq!(found(&store, 21).len(), 21, "cut to {percent} %");
    }
}

#[test]
fn a_flipped_byte_of_a_log_hides_the_frame_that_it_is_in_and_no_other() {
    let place = Place::with(COUNT);
    let manifest = Manifest::of(&place);
    let (name, log) = manifest.file("log.");
    for at in 0..log.len() {
        let mut bad = log.to_vec();
        bad[at] ^= 0x41;
        // The first frame tells the seed of all others: without it the log is closed and holds nothing.
        let expected = if at < 64 { vec![] } else { survivors(log, |start, end| (start..end).contains(&at)) };
        assert_eq!(after(&place, &manifest, name, &bad, &format!("byte {at}")), expected, "byte {at}");
    }
}

#[test]
fn a_segment_that_is_cut_anywhere_is_an_empty_one() {
    let place = compacted();
    let manifest = Manifest::of(&place);
    let (name, segment) = manifest.file("seg.");
    for len in 0..segment.len() {
        manifest.put_back_with(name, &segment[..len]);
        let left = found(&place.open(), COUNT);
        assert!(left.is_empty(), "cut to {len}: {left:?}");
        if len % SAMPLE == 0 {
            place.must_work(COUNT, &format!("cut to {len}"));
        }
    }
}

#[test]
fn a_flipped_byte_of_a_segment_hides_no_entry_but_that_of_its_frame_also_when_it_is_compacted() {
    // So many that some of their strings are worth an item.
    const COUNT: usize = 6;
    const ALL: [usize; COUNT] = [0, 1, 2, 3, 4, 5];
    let place = Place::with(COUNT);
    assert!(__sim::compact(&place.open()));
    let manifest = Manifest::of(&place);
    let (name, segment) = manifest.file("seg.");
    let ends = |kind| {
        let of_kind = damage::segment_frames(segment).into_iter().filter(move |(_, is, _)| *is == kind);
        of_kind.map(|(at, _, p)| (at + 16 + p.len()).next_multiple_of(8)).max()
    };
    let entries_end = ends(damage::ENTRY).unwrap();
    let items_end = ends(damage::ITEM).expect("entries that share strings");
    let footer = segment.len() - 128;
    for at in 0..segment.len() {
        let mut bad = segment.to_vec();
        bad[at] ^= 0x41;
        manifest.put_back_with(name, &bad);
        let left = found(&place.open(), COUNT);
        if (64..entries_end).contains(&at) {
            let frames = damage::segment_frames(segment).into_iter().zip(0..COUNT);
            let ends = frames
                .map(|((start, _, p), number)| (start, start + (16 + p.len()).next_multiple_of(8), number));
            let right =
                ends.filter(|(start, end, _)| !(*start..*end).contains(&at)).map(|(.., number)| number);
            assert_eq!(left, right.collect::<Vec<_>>(), "byte {at}");
        } else if (entries_end..items_end).contains(&at) {
            assert_eq!(left, ALL, "byte {at} of the items, which stand twice");
        }
        // Items and index are made anew from the entries, which are right.
        __sim::compact(&place.open());
        let compacted = found(&place.open(), COUNT);
        let expected = if (entries_end..footer).contains(&at) { &ALL[..] } else { &left };
        assert_eq!(compacted, expected, "byte {at}, compacted");
        if at % SAMPLE == 0 {
            place.must_work(COUNT, &format!("byte {at}"));
        }
    }
}

#[test]
fn a_manifest_replaced_by_anything_is_an_empty_one() {
    for (place, prefix) in [(Place::with(COUNT), "log."), (compacted(), "seg.")] {
        let manifest = Manifest::of(&place);
        let (name, right) = manifest.file(prefix);
        let other = Place::with(1);
        let other_log = fs::read(other.v1("log.1")).unwrap();
        let replacements = [
            ("empty", vec![]),
            ("zeroed", vec![0; right.len()]),
            ("text", b"#!/bin/sh\nexit 1\n".repeat(100)),
            ("one byte", vec![0xF7]),
            ("a header alone", header(0, 5, [0; 3])),
            ("the header of the other kind", header(u8::from(prefix == "log."), 5, [0; 3])),
            ("a kind of file that is none", header(7, 5, [0; 3])),
            ("magic all over", [0xF7, b'p'].repeat(right.len())),
        ];
        for (case, bytes) in &replacements {
            assert!(after(&place, &manifest, name, bytes, case).is_empty(), "{case} in {name}");
        }
        let left = after(&place, &manifest, name, &other_log, "another store's log");
        assert!(left.len() <= 1, "{left:?}");
    }
}

#[test]
fn something_else_under_the_name_of_a_log_or_segment_is_passed_over_and_compacted_away() {
    for thing in THINGS {
        for (place, name) in [(Place::with(COUNT), "log.1"), (compacted(), "seg.1-1"), (compacted(), "log.2")]
        {
            let (path, aside, case) = (place.v1(name), place.beside("aside"), format!("{thing:?} as {name}"));
            plant(thing, &path, &aside);
            let aside_before = fs::read(&aside).ok();
            let expected = if name == "log.2" { &ALL[..] } else { &[] };
            assert_eq!(found(&place.open(), COUNT), expected, "{case}");
            place.must_work(COUNT, &case);
            for _ in 0..2 {
                assert!(__sim::compact(&place.open()), "{case}");
            }
            place.must_work(COUNT, &case);
            let dir = matches!(thing, Thing::Dir | Thing::FullDir);
            let left = |prefix: &str| {
                let entries = fs::read_dir(place.v1("")).unwrap().map(|entry| entry.unwrap().file_name());
                entries.filter(|name| name.to_string_lossy().starts_with(prefix)).count()
            };
            let extra = |prefix: &str| usize::from(dir && name.starts_with(prefix));
            assert_eq!((left("log."), left("seg.")), (1 + extra("log."), 1 + extra("seg.")), "{case}");
            assert_eq!(fs::read(&aside).ok(), aside_before, "{case}: what a link leads to is not ours");
        }
    }
}

#[test]
fn gaps_in_the_numbers_hide_no_entry_that_is_there() {
    let place = Place::with(COUNT);
    fs::rename(place.v1("log.1"), place.v1("log.7")).unwrap();
    assert_eq!(found(&place.open(), COUNT), ALL);
    place.must_work(COUNT, "log.7 alone");
    fs::copy(place.v1("log.7"), place.v1("log.9")).unwrap();
    assert_eq!(found(&place.open(), COUNT), ALL);
    place.must_work(COUNT, "log.7 and log.9");
    assert!(__sim::compact(&place.open()));
    assert_eq!(found(&place.open(), COUNT), ALL);
    let segment = compacted();
    fs::remove_file(segment.v1("log.2")).unwrap();
    assert_eq!(found(&segment.open(), COUNT), ALL, "a segment without a log behind it");
    segment.must_work(COUNT, "a segment without a log behind it");
}

#[test]
fn a_damaged_segment_hides_nothing_while_all_that_it_was_made_of_is_still_there() {
    let place = Place::with(COUNT);
    let manifest = Manifest::of(&place);
    assert!(__sim::compact(&place.open()));
    let (name, log) = manifest.file("log.");
    fs::write(place.v1(name), log).unwrap();
    fs::write(place.v1("seg.1-1"), "torn").unwrap();
    assert_eq!(found(&place.open(), COUNT), ALL);
    place.must_work(COUNT, "a damaged segment over its own logs");
}

#[test]
fn foreign_names_beside_the_manifest_are_never_touched() {
    let place = Place::with(COUNT);
    let foreign = [
        "log.",
        "log.0",
        "log.01",
        "log.2.tmp",
        "LOG.2",
        "seg.1",
        "seg.2-1",
        "seg.1-2~",
        "notes.txt",
        "log.-1",
    ];
    for name in foreign {
        fs::write(place.v1(name), "not ours").unwrap();
    }
    fs::create_dir(place.dir.join("v2")).unwrap();
    fs::write(place.dir.join("v2/log.1"), header(0, 1, [0, 0, 8])).unwrap();
    fs::write(place.dir.join("README"), "not ours").unwrap();
    let is_foreign = |path: &Path| {
        let rest = path.strip_prefix(&place.dir).unwrap();
        rest.starts_with("v2")
            || rest == Path::new("README")
            || foreign.iter().any(|name| rest == Path::new("v1").join(name))
    };
    let foreign_state = || place.state().into_iter().filter(|(path, _)| is_foreign(path)).collect::<Vec<_>>();
    let before = foreign_state();
    assert_eq!(before.len(), foreign.len() + 3);
    place.must_work(COUNT, "foreign names");
    let store = place.open();
    assert!(__sim::compact(&store));
    __sim::sweep(&store);
    assert_eq!(store.clear().unwrap(), COUNT);
    place.must_work(COUNT, "cleared");
    assert_eq!(foreign_state(), before);
}

#[test]
fn a_log_with_the_last_number_there_is_costs_no_hit_and_no_load() {
    let place = Place::with(COUNT);
    fs::write(place.v1(&format!("log.{}", (1u64 << 62) - 1)), "").unwrap();
    let store = place.open();
    assert_eq!(found(&store, COUNT), ALL);
    let got = get(&store, COUNT);
    assert!(matches!(got.how, How::Built | How::Uncached(Skip::Busy)), "{}", got.how);
    assert_eq!(found(&place.open(), COUNT), ALL);
}

fn huge(dir: &Path) {
    let begin = Instant::now();
    let store = Store::open(damage::given(dir).build()).unwrap();
    assert_eq!(get(&store, 0).how, How::Built);
    assert_eq!(get(&Store::open(damage::given(dir).build()).unwrap(), 0).how, How::Hit);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    // The test binary alone takes some 20 MiB.
    assert!(kib < 48 << 10, "{kib} KiB of memory");
}

#[test]
fn a_huge_log_costs_a_bounded_time_and_memory() {
    let garbage: Vec<u8> = (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let right = header(0, 3, [0; 3]);
    // How the log begins, how long it is, and whether that is garbage or a hole.
    let cases = [
        (&b""[..], 1 << 30, false),
        (&[], 300 << 20, true),
        (&right, 300 << 20, true),
        (&right, 64 << 30, false),
    ];
    for (begin, len, is_garbage) in cases {
        let place = Place::with(1);
        fs::write(place.v1("log.1"), begin).unwrap();
        if is_garbage {
            (0..len >> 20).for_each(|_| damage::append(&place.v1("log.1"), &garbage));
        } else {
            fs::OpenOptions::new().write(true).open(place.v1("log.1")).unwrap().set_len(len).unwrap();
        }
        damage::must_succeed(damage::child("huge", &place.dir));
    }
}

fn closed(dir: &Path) {
    for name in ["log.1", "seg.1-1"] {
        let path = dir.join(name).join("v1").join(name);
        damage::chmod(&path, 0o000);
        let open = || Store::open(damage::given(&dir.join(name)).build()).unwrap();
        assert!(found(&open(), COUNT).is_empty(), "{name}");
        assert_eq!(open().status(), Status::Ready, "{name}");
        (0..COUNT).for_each(|number| assert_eq!(get(&open(), number).how, How::Built, "{name}"));
        assert!(__sim::compact(&open()), "{name}");
        assert!(!path.exists(), "{name}: what it held counts as lost");
        (0..COUNT).for_each(|number| assert_eq!(get(&open(), number).how, How::Hit, "{name}"));
    }
}

#[test]
fn a_manifest_that_its_owner_may_not_open_is_built_anew() {
    let place = Place::new();
    fs::create_dir(&place.dir).unwrap();
    for (from, name) in [(Place::with(COUNT), "log.1"), (compacted(), "seg.1-1")] {
        damage::copy("-rp", &from.dir, &place.dir.join(name));
    }
    damage::chmod(&place.dir, 0o755);
    damage::give_to_nobody(&place);
    damage::as_nobody("closed to its owner", &place.dir);
}

#[test]
fn a_store_opened_for_reading_says_that_its_manifest_cannot_be_read() {
    let place = Place::with(1);
    fs::write(place.v1("log.1"), header(0, 1, [0, 0, 1])).unwrap();
    let opened = Store::open(place.config().readonly(true).build());
    assert!(matches!(opened, Err(OpenError::Newer { .. })), "{opened:?}");
}
