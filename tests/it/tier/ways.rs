//! What travels: every kind of entry, there and back, and only what is missing.

use std::{fs, io, os::unix::fs::PermissionsExt as _};

use plugcache::{
    Event, FetchError, Fetched, How, NO_OPTIONS, Outputs, Sources, Store, StoreError, TierError, Toolchain,
};

use super::{
    super::damage::{self, Place, bytes, found, get, sources},
    memory::{Lie, Memory, key, key_of, never, open},
};

fn long() -> Sources {
    let long = Sources::new("long/1", &Toolchain::of_value("cc", "1"), NO_OPTIONS);
    (0..2000).fold(long, |long, n| long.bytes(format!("{n:064}"), [1])).digest().unwrap()
}

#[test]
fn packed_outputs_several_outputs_executables_and_long_details_travel() {
    let (tier, place, other) = (Memory::new(), Place::new(), Place::new());
    let store = open(&place, &tier);
    let tool = place.beside("tool");
    fs::write(&tool, "#!/bin/true").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let outputs =
        || Outputs::packed("p", "packed").and_bytes("b", vec![3; 90_000]).and_bytes("same", vec![3; 90_000]);
    let outputs = || outputs().and_file("tool", &tool).and_bytes("empty", "");
    for sources in [&sources(0), &long()] {
        assert_eq!(store.add(sources, outputs()), Ok(plugcache::Added::Stored));
    }
    assert_eq!(tier.parcel(0).objects.len(), 3);
    let there = open(&other, &tier);
    for sources in [&sources(0), &long()] {
        let got = never(sources, &there);
        assert_eq!(got.how, How::Fetched);
        let read = |name| got.artifact.output(name).unwrap().read_verified().unwrap();
        assert_eq!(
            (read("p"), read("b"), read("same")),
            (b"packed".to_vec(), vec![3; 90_000], vec![3; 90_000])
        );
        assert_eq!((read("empty").len(), read("tool")), (0, b"#!/bin/true".to_vec()));
        let mode = fs::metadata(got.artifact.output("tool").unwrap().path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o555);
        assert_eq!(got.artifact.sources().parts().len(), sources.parts().len());
    }
    // The same objects came once; and what is here can travel on, the same as it came.
    assert_eq!(tier.sent(), 3);
    for entry in there.entries() {
        let (key, parcel, artifact) = there.parcel(&entry).unwrap();
        assert_eq!(Some(key), artifact.tier_key());
        assert_eq!(Some(key), there.tier_key(entry.source_digest()));
        assert_eq!(parcel, tier.0.parcels.lock().unwrap()[&key]);
    }
    assert!(there.scrub(plugcache::ScrubOptions::new()).unwrap().is_clean());
}

#[test]
fn an_object_that_is_here_and_right_is_not_asked_for_and_a_damaged_one_is_healed() {
    let tier = Memory::with(1);
    let place = Place::new();
    let store = open(&place, &tier);
    // The object of plugin 0 comes by another entry, which names it too.
    place.open().add(&sources(50), Outputs::bytes("other", bytes(0))).map(drop).unwrap();
    assert_eq!((found(&store, 1), tier.asked(), tier.sent()), (vec![0], 1, 0));
    damage::chmod(&place.object(0), 0o644);
    fs::write(place.object(0), "rotten").unwrap();
    damage::chmod(&place.object(0), 0o444);
    assert_eq!((found(&open(&place, &tier), 1), tier.sent()), (vec![0], 1));
    fs::remove_file(place.object(0)).unwrap();
    assert_eq!((found(&open(&place, &tier), 1), tier.sent()), (vec![0], 2));
    assert_eq!(found(&place.open(), 1), [0]);
}

#[test]
fn what_was_made_with_another_version_of_a_file_is_a_miss_and_no_object_of_it_is_asked_for() {
    let (tier, place, other) = (Memory::new(), Place::new(), Place::new());
    let header = place.beside("plugin.h");
    let write = |text: &str| {
        fs::write(&header, text).unwrap();
        super::super::common::let_the_file_clock_tick();
    };
    let build = |build: &mut plugcache::Build| -> io::Result<()> {
        build.also_read(&header);
        build.write("out.so", bytes(0))
    };
    write("one");
    assert_eq!(open(&place, &tier).get_or_build(&sources(0), build).unwrap().how, How::Built);
    let old = tier.parcel(0);
    write("two");
    assert_eq!(open(&place, &tier).get_or_build(&sources(0), build).unwrap().how, How::Built);
    let there = open(&other, &tier);
    // An old one is played back.
    let new = tier.parcel(0);
    assert_ne!(old, new);
    tier.change(0, |parcel| *parcel = old);
    assert!(there.find(&sources(0)).is_none());
    let explanation = there.explain(&sources(0));
    assert!(explanation.tier.clone().unwrap().contains("another version of"), "{explanation}");
    assert_eq!((tier.sent(), there.stats().handle.misses.input_changed), (0, 1));
    // It is the right one as soon as the file is.
    write("one");
    assert!(there.find(&sources(0)).is_some());
    write("two");
    assert!(there.find(&sources(0)).is_none());
    tier.change(0, |parcel| *parcel = new);
    assert!(there.find(&sources(0)).is_some());
    assert_eq!((tier.sent(), there.entries().count()), (1, 2));
}

#[test]
fn the_limits_hold_for_what_comes() {
    let tier = Memory::with(5);
    let place = Place::new();
    let small = Store::open_with_tier(place.config().max_files(2).build(), tier.clone()).unwrap();
    for number in 0..5 {
        assert_eq!(never(&sources(number), &small).how, How::Fetched);
        assert!(small.entries().count() <= 2);
    }
    let sent = tier.sent();
    let narrow = place.config().max_bytes(bytes(4).len() as u64 - 1).build();
    let narrow = Store::open_with_tier(narrow, tier.clone()).unwrap();
    narrow.clear().unwrap();
    assert!(narrow.find(&sources(4)).is_none());
    assert!(narrow.explain(&sources(4)).tier.unwrap().contains("max_bytes"));
    assert_eq!((tier.sent(), narrow.entries().count()), (sent, 0));
}

#[test]
fn a_key_can_be_fetched_without_its_sources_and_a_stored_entry_can_be_brought_later() {
    let (tier, place, other) = (Memory::new(), Place::with(3), Place::new());
    let plain = place.open();
    for entry in plain.entries() {
        let (key, parcel, artifact) = plain.parcel(&entry).unwrap();
        assert_eq!((key, &*parcel.label), (entry.tier_key(), entry.label()));
        tier.take(&key, &parcel, &artifact);
    }
    let store = open(&other, &tier);
    assert_eq!(store.fetch(&key(1)).unwrap(), Fetched::Now);
    assert_eq!(store.fetch(&key(1)).unwrap(), Fetched::Here);
    assert_eq!(store.fetch(&key_of(&sources(77))).unwrap(), Fetched::Nothing);
    assert_eq!(found(&other.open(), 3), [1]);
    tier.lies(Lie::FlippedBit);
    let wrong = store.fetch(&key(2)).unwrap_err();
    assert!(
        matches!(&wrong, FetchError::Tier(TierError::Wrong(why)) if why.contains("other bytes came")),
        "{wrong}"
    );
    tier.lies(Lie::No);
    // Asked for by its key it is asked for again at once.
    assert_eq!(store.fetch(&key(2)).unwrap(), Fetched::Now);
    assert!(matches!(plain.fetch(&key(1)), Err(FetchError::Tier(TierError::Misconfigured(_)))));
    let config = other.config().readonly(true).build();
    let read_only = Store::open_with_tier(config, tier.clone()).unwrap();
    assert!(matches!(read_only.fetch(&key(0)), Err(FetchError::Store(StoreError::ReadOnly))));
    // An entry whose object is damaged does not travel.
    fs::remove_file(place.object(0)).unwrap();
    let lost = plain.entries().find(|entry| entry.source_digest() == sources(0).digest()).unwrap();
    assert!(plain.parcel(&lost).is_none());
}

#[test]
fn what_came_what_failed_and_how_many_bytes_is_told_to_who_watches() {
    let tier = Memory::with(2);
    let place = Place::new();
    let store = open(&place, &tier);
    let (told, seen) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    store.observe(move |event| {
        if matches!(event, Event::Fetched { .. } | Event::TierFailed { .. }) {
            told.lock().unwrap().send(event.to_string()).unwrap();
        }
    });
    never(&sources(0), &store);
    assert!(seen.recv().unwrap().contains(&format!("{} bytes", bytes(0).len())));
    tier.lies(Lie::Short);
    assert_eq!(get(&store, 1).how, How::Built);
    assert!(seen.recv().unwrap().contains("bytes came, not"));
    let counts = store.stats().handle;
    assert_eq!((counts.fetched, counts.tier_errors, counts.tier_misses), (1, 1, 0));
    // For good: whoever comes later sees them among all that was ever counted.
    drop(store);
    let store = place.open().stats().store;
    assert_eq!((store.fetched, store.fetched_bytes, store.tier_errors), (1, bytes(0).len() as u64, 1));
}

#[test]
fn a_tier_that_turns_out_to_be_none_is_neither_counted_nor_told() {
    let tier = Memory::with(1);
    let place = Place::new();
    let store = open(&place, tier.lies(Lie::Off));
    let (told, seen) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    store.observe(move |event| {
        if matches!(event, Event::Fetched { .. } | Event::TierFailed { .. }) {
            told.lock().unwrap().send(event.to_string()).unwrap();
        }
    });
    assert_eq!((get(&store, 0).how, tier.asked()), (How::Built, 1));
    let counts = store.stats().handle;
    assert_eq!((counts.misses.sum(), counts.fetched, counts.tier_errors, counts.tier_misses), (1, 0, 0, 0));
    assert!(seen.try_recv().is_err());
}
