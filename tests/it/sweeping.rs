//! What a store counts and tells, what it sweeps away and when, and how versions live side by side.

use crate::{
    common::{Place, named},
    damage,
};
use plugcache::{
    __sim::{self, Disk},
    Added, Config, ConfigBuilder, DroppedBy, Event, Exec, How, Mode, ObjectDigest, Outputs, Stats, Status,
    Store, StoreError, SweepOptions,
};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    sync::{Arc, Mutex},
    time::Duration,
};

fn add(store: &Store, name: &str) {
    let outputs = Outputs::bytes("out.so", format!("bytes of {name}")).cost(Duration::from_millis(100));
    assert_eq!(store.add(&named(name), outputs).unwrap(), Added::Stored);
}

fn stats(place: &Place) -> Stats {
    place.spectator().stats()
}

/// Hits and misses of all days: more than one, where midnight was in between.
fn of_days(stats: &Stats) -> (u64, u64) {
    (stats.days.iter().map(|day| day.hits).sum(), stats.days.iter().map(|day| day.misses).sum())
}

#[test]
fn what_handles_count_is_summed_up_for_the_whole_store_and_outlives_compactions() {
    let place = Place::new();
    for round in 0..3 {
        let store = place.store();
        add(&store, &format!("{round}"));
        assert!(store.find(&named("0")).is_some() && store.find(&named("absent")).is_none());
        // Its own counts are in it, written down or not.
        let counted = store.stats();
        assert_eq!((counted.handle.hits, counted.hits, counted.store.hits), (1, 1, round + 1));
        assert_eq!(of_days(&counted), (round + 1, round + 1));
        if round == 1 {
            assert!(__sim::compact(&store));
        }
    }
    let check = |stats: Stats| {
        assert_eq!(of_days(&stats), (3, 3));
        let store = stats.store;
        assert_eq!((store.hits, store.saved, store.adds), (3, Duration::from_millis(300), 3));
        assert_eq!((store.misses.never_seen, store.misses.sum(), store.skips.sum()), (3, 3, 0));
        assert_eq!(stats.handle, plugcache::Counts::default());
    };
    check(stats(&place));
    for _ in 0..3 {
        assert!(__sim::compact(&place.store()));
        check(stats(&place));
    }
    let text = serde_json::to_string(&stats(&place)).unwrap();
    assert_eq!(serde_json::from_str::<Stats>(&text).unwrap(), stats(&place));
}

#[test]
fn a_handle_writes_down_what_it_counted_once_also_if_it_is_closed_and_dropped_and_nothing_if_nothing() {
    let place = Place::new();
    let store = place.store();
    add(&store, "a");
    store.close();
    drop(store);
    let log = || fs::read(place.store_dir().join("v1/log.1")).unwrap();
    let before = log();
    assert_eq!(stats(&place).store.adds, 1);
    drop(place.store());
    assert_eq!(log(), before);
    // Enough gathers while the handle goes on, and goes with the next add.
    let store = place.store();
    (0..300).for_each(|_| assert!(store.find(&named("a")).is_some()));
    assert_eq!(stats(&place).store.hits, 0);
    add(&store, "b");
    assert_eq!((stats(&place).store.hits, stats(&place).store.adds), (300, 2));
    drop(store);
    assert_eq!((stats(&place).store.hits, stats(&place).store.adds), (300, 2));
}

#[test]
fn each_reason_not_to_find_or_store_has_its_counter() {
    let place = Place::new();
    add(&place.store(), "a");
    let reader = place.spectator();
    assert!(matches!(reader.add(&named("b"), Outputs::bytes("o", "x")).unwrap(), Added::Skipped(_)));
    assert_eq!(reader.stats().handle.skips.read_only, 1);
    let small = Store::open(place.config().max_bytes(3).build()).unwrap();
    assert!(matches!(small.add(&named("b"), Outputs::bytes("o", "long")).unwrap(), Added::Skipped(_)));
    assert_eq!((small.stats().handle.skips.too_big, small.stats().skips), (1, 1));
    let other = Store::open(place.config().exec(Exec::Given(b"other".to_vec())).build()).unwrap();
    assert!(other.find(&named("a")).is_none());
    assert_eq!(other.stats().handle.misses.other_exec, 1);
    let off = Store::disabled("by whim");
    assert!(off.find(&named("a")).is_none());
    assert_eq!(off.stats().handle.misses.disabled, 1);
    let object = place.store_dir().join("v1/objects").join(&place.objects()[0]);
    fs::remove_file(object).unwrap();
    let store = place.store();
    assert!(store.find(&named("a")).is_none());
    assert_eq!((store.stats().handle.misses.object_gone, store.stats().misses_damaged), (1, 1));
}

#[test]
fn what_is_asked_for_again_after_a_limit_dropped_it_is_counted_for_that_limit() {
    let place = Place::new();
    let store = Store::open(place.config().max_files(2).build()).unwrap();
    ["a", "b", "c", "d"].iter().for_each(|name| add(&store, name));
    assert!(store.find(&named("a")).is_none() && store.find(&named("b")).is_none());
    assert_eq!(store.forget(&named("c").digest()).unwrap(), 1);
    assert!(store.find(&named("c")).is_none() && store.find(&named("e")).is_none());
    let counts = store.stats().handle;
    assert_eq!(
        (counts.asked_again.max_files, counts.asked_again.sum(), counts.evictions.max_files),
        (2, 2, 2)
    );
    assert_eq!((counts.misses.dropped, counts.misses.never_seen), (3, 1));
}

#[test]
fn observers_are_told_what_a_handle_does_in_order_and_may_use_the_store() {
    let place = Place::new();
    let store = Store::open(place.config().max_files(1).build()).unwrap();
    let (told, handle) = (Arc::new(Mutex::new(Vec::new())), store.clone());
    let tell = told.clone();
    store.observe(move |event| {
        // No lock is held: this would wait for ever.
        let _ = (handle.lookup(&named("a")), handle.entries().count());
        let kind = match event {
            Event::Hit { .. } => "hit",
            Event::Miss { .. } => "miss",
            Event::Added { .. } => "added",
            Event::Skipped { .. } => "skipped",
            Event::Evicted { rule: DroppedBy::MaxFiles, .. } => "evicted",
            Event::BuildBegan { .. } => "began",
            Event::BuildEnded { succeeded: true, .. } => "ended",
            Event::BuildEnded { .. } => "gave up",
            Event::Damaged { .. } => "damaged",
            _ => "else",
        };
        assert!(!event.to_string().is_empty());
        tell.lock().unwrap().push(kind);
    });
    let seen = || std::mem::take(&mut *told.lock().unwrap());
    store.get_or_build(&named("a"), |build| build.write("out.so", "a")).unwrap();
    assert_eq!(seen(), ["miss", "began", "added", "ended"]);
    store.find(&named("a")).unwrap();
    assert_eq!(seen(), ["hit"]);
    add(&store, "b");
    assert_eq!(seen(), ["evicted", "added"]);
    assert!(store.get_or_build(&named("c"), |_| Err("no")).is_err());
    assert_eq!(seen(), ["miss", "began", "gave up"]);
    let digest = ObjectDigest::of_bytes(b"bytes of b").to_string();
    let object = place.store_dir().join(format!("v1/objects/{}/{}", &digest[..2], &digest[2..]));
    fs::remove_file(&object).unwrap();
    fs::write(&object, "wrong").unwrap();
    assert!(store.find(&named("b")).is_none());
    assert_eq!(seen(), ["miss", "damaged"]);
}

#[test]
fn a_sweep_keeps_limits_of_the_callers_own_and_a_dry_one_changes_nothing() {
    let place = Place::new();
    let store = place.store();
    ["a", "b", "c"].iter().for_each(|name| add(&store, name));
    let state = || (place.objects(), fs::read(place.store_dir().join("v1/log.1")).unwrap());
    let before = state();
    let options = SweepOptions::new().max_files(1);
    let dry = store.sweep(options.clone().dry_run(true)).unwrap();
    assert_eq!((dry.dropped.max_files, dry.dropped_bytes, state() == before), (2, 20, true));
    let swept = store.sweep(options).unwrap();
    assert_eq!((swept.dropped.max_files, swept.dropped_bytes), (2, 20));
    // Young objects stay: a path may have been handed out without a lease.
    assert_eq!((swept.objects, swept.kept, place.objects().len()), (0, 2, 3));
    assert_eq!((stats(&place).entries, store.stats().handle.evictions.max_files), (1, 2));
    let swept = store.sweep(SweepOptions::new().max_bytes(0)).unwrap();
    assert_eq!(swept.dropped.max_bytes, 1);
    // Twice over the limit nothing is kept for courtesy.
    assert_eq!((swept.objects, swept.bytes, place.objects().len()), (3, 30, 0));
    let refused = place.spectator().sweep(SweepOptions::new());
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
}

#[test]
fn what_killed_processes_left_behind_goes_and_what_is_held_or_foreign_stays() {
    let place = Place::new();
    let store = place.store();
    add(&store, "a");
    assert!(__sim::compact(&store));
    let v1 = place.store_dir().join("v1");
    let (token, key) = ("0123456789abcdef".repeat(2), "0123456789abcdef".repeat(4));
    fs::write(v1.join("staging").join(&token), "staged").unwrap();
    fs::create_dir(v1.join(format!("staging/{token}.d"))).unwrap();
    fs::write(v1.join(format!("staging/{token}.d/out.so")), "built").unwrap();
    fs::write(v1.join("inflight").join(&key), "").unwrap();
    let leftover = v1.join("log.1");
    fs::write(&leftover, "an old log").unwrap();
    let foreign =
        ["staging/mine", "inflight/mine", "quarantine/mine", "objects/mine", "objects/00/mine", "log.one"];
    foreign.iter().for_each(|name| fs::write(v1.join(name), "mine").unwrap());
    for number in 0..20 {
        fs::write(v1.join(format!("quarantine/{number:032x}")), "bad").unwrap();
    }
    let orphan = v1.join("objects/00").join("ab".repeat(31));
    fs::write(&orphan, "nobody's").unwrap();
    let held = store.claim(&named("in progress")).unwrap();
    let dry = store.sweep(SweepOptions::new().dry_run(true)).unwrap();
    assert_eq!((dry.left_behind, dry.quarantined), (3, 4));
    assert!(leftover.exists() && place.below("staging").len() == 4, "{:?}", place.below("staging"));
    let swept = place.store().sweep(SweepOptions::new()).unwrap();
    assert_eq!((swept.left_behind, swept.quarantined, swept.kept), (3, 4, 1));
    assert!(!leftover.exists() && orphan.exists());
    assert_eq!((place.below("staging").len(), place.below("inflight").len()), (2, 2));
    assert!(foreign.iter().all(|name| fs::read(v1.join(name)).unwrap() == b"mine"));
    drop(held);
    assert!(store.find(&named("a")).is_some());
}

#[test]
fn bytes_are_those_of_the_objects_to_the_byte_in_every_process_without_a_look_at_the_tree() {
    let place = Place::new();
    let stores = [place.store(), place.store(), place.store()];
    for number in 0..60 {
        let store = &stores[number % 3];
        let content = vec![b'x'; 10 + number % 7 * 100];
        assert_eq!(
            store.add(&named(&number.to_string()), Outputs::bytes("o", content)).unwrap(),
            Added::Stored
        );
        if number % 11 == 3 {
            store.forget(&named(&(number - 2).to_string()).digest()).unwrap();
        }
        if number == 40 {
            assert!(__sim::compact(store));
        }
    }
    let on_disk: u64 = place
        .objects()
        .iter()
        .map(|path| fs::metadata(place.store_dir().join("v1/objects").join(path)).unwrap().size())
        .sum();
    assert_eq!(on_disk, (0..7).map(|kind| 10 + kind * 100).sum::<u64>());
    let counted: Vec<_> = stores.iter().map(|store| store.stats().bytes).collect();
    assert_eq!(counted, [on_disk; 3]);
}

#[test]
fn a_full_store_sweeps_for_few_of_its_adds_and_is_never_over_its_limit() {
    let place = Place::new();
    let store = Store::open(place.config().max_files(128).build()).unwrap();
    let (mut sweeps, mut evicted) = (0, 0);
    for number in 0..400 {
        let small = Outputs::packed("o", number.to_string());
        assert_eq!(store.add(&named(&format!("{number}")), small).unwrap(), Added::Stored);
        let (now, entries) = (store.stats().handle.evictions.max_files, store.entries().count());
        assert!(entries <= 128 && (number < 128 || entries >= 126), "{entries} after {number}");
        sweeps += u64::from(now > evicted);
        evicted = now;
        if number == 200 {
            assert!(__sim::compact(&store));
        }
        // Replacing drops nothing.
        assert_eq!(
            store.add(&named(&format!("{number}")), Outputs::packed("o", "x")).unwrap(),
            Added::Stored
        );
        assert_eq!(store.stats().handle.evictions.max_files, evicted);
    }
    assert!((200..=280).contains(&evicted) && sweeps * 3 <= evicted + 3, "{sweeps} sweeps for {evicted}");
}

/// A store on a disk whose clock a test can set.
fn on(disk: &Disk, change: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Store {
    let config = Config::builder("/home/u/store").exec(Exec::Independent).memo(false);
    __sim::open(disk.process(), change(config).build()).unwrap()
}

fn disk() -> Disk {
    let disk = Disk::new(1);
    disk.plant_dir("/home/u");
    disk.set_clock(Duration::from_secs(20_000 * 86_400 + 3600));
    disk
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn an_entry_unused_for_longer_than_idle_max_goes_with_a_sweep_or_an_add_and_no_earlier() {
    for by_add in [false, true] {
        let disk = disk();
        let store = on(&disk, |config| config.idle_max(Some(3 * DAY)));
        ["used", "idle"].iter().for_each(|name| add(&store, name));
        if by_add {
            assert!(__sim::compact(&store));
        }
        disk.advance_clock(2 * DAY);
        assert!(store.find(&named("used")).is_some());
        disk.advance_clock(DAY);
        assert_eq!(store.sweep(SweepOptions::new()).unwrap().dropped.sum(), 0);
        disk.advance_clock(DAY);
        if by_add {
            add(&store, "new");
        } else {
            assert_eq!(store.sweep(SweepOptions::new()).unwrap().dropped.idle_max, 1);
        }
        let left: Vec<_> = store.entries().map(|entry| entry.label().to_owned()).collect();
        assert_eq!(left, if by_add { vec!["used", "new"] } else { vec!["used"] });
        assert!(store.find(&named("idle")).is_none());
        assert_eq!(store.stats().handle.asked_again.idle_max, 1);
    }
}

#[test]
fn a_use_costs_at_most_one_frame_per_entry_and_day_whoever_uses_it() {
    let disk = disk();
    let (one, two) = (on(&disk, |config| config), on(&disk, |config| config));
    add(&one, "a");
    let log = || disk.read_file("/home/u/store/v1/log.1").unwrap().len();
    let mut before = log();
    for _ in 0..3 {
        disk.advance_clock(DAY);
        for store in [&one, &two, &one, &on(&disk, |config| config.mode(Mode::RequireHit))] {
            assert!(store.find(&named("a")).is_some());
        }
        // One TOUCH; one find is not worth another frame to the third handle.
        assert_eq!(log() - before, 64);
        before = log();
    }
}

#[test]
fn stores_of_other_versions_beside_this_one_stay_and_statistics_say_so() {
    let place = Place::new();
    for name in ["v2", "v10", "v0", "v02", "vx"] {
        fs::create_dir_all(place.store_dir().join(name).join("objects")).unwrap();
    }
    fs::write(place.store_dir().join("v2/manifest"), "what a later major wrote").unwrap();
    let store = place.store();
    add(&store, "a");
    assert_eq!((store.stats().other_formats, store.stats().is_partly_newer), (vec![2, 10], false));
    store.sweep(SweepOptions::new().max_files(0)).unwrap();
    assert_eq!(fs::read(place.store_dir().join("v2/manifest")).unwrap(), b"what a later major wrote");
    assert_eq!(store.status(), Status::Ready);
}

/// Another version is at work beside this one: files and directories with names and flags of its own.
#[test]
fn what_another_version_keeps_beside_this_one_stays_byte_for_byte_whatever_is_done_to_this_one() {
    let place = Place::new();
    let store = place.store();
    add(&store, "first");
    let v2 = place.store_dir().join("v2");
    for dir in ["objects/ab", "staging", "inflight", "quarantine"] {
        fs::create_dir_all(v2.join(dir)).unwrap();
    }
    let log = damage::header(0, 7, [1, 2, 4]);
    let staged = format!("staging/{:032x}", 3);
    let object = format!("objects/ab/{:062x}", 5);
    let names =
        ["log.1", "seg.1-9", "index.lmdb", "memo", "LOCK", &staged, &object, "inflight/0", "quarantine/x"];
    names.iter().for_each(|name| fs::write(v2.join(name), [&log[..], name.as_bytes()].concat()).unwrap());
    let before = damage::state_of(&v2);
    let unchanged = |after: &str| {
        assert!(damage::state_of(&v2) == before, "changed by {after}");
        assert_eq!(place.store().stats().other_formats, [2], "after {after}");
    };
    add(&store, "second");
    assert!(store.find(&named("second")).is_some());
    unchanged("an add and a find");
    assert!(__sim::compact(&store));
    unchanged("a compaction");
    assert!(store.scrub(plugcache::ScrubOptions::new()).unwrap().is_clean());
    unchanged("a scrub");
    assert_eq!(store.rebuild().unwrap().entries, 2);
    unchanged("a rebuild");
    assert_eq!(store.export(&place.path("layer"), |_| true).unwrap(), 2);
    assert!(!place.path("layer").join("v2").exists(), "exported");
    unchanged("an export");
    store.sweep(SweepOptions::new().max_files(1).max_bytes(0)).unwrap();
    __sim::sweep(&store);
    unchanged("a sweep");
    add(&store, "third");
    assert_eq!(store.clear().unwrap(), 1);
    unchanged("a clear");
}

#[test]
fn a_store_that_is_partly_a_later_versions_is_used_not_swept_and_statistics_say_so() {
    let place = damage::Place::with(3);
    let mut log = fs::read(place.v1("log.1")).unwrap();
    log.extend(damage::frame(77, 0, b"later", damage::seed_of(&log)));
    fs::write(place.v1("log.1"), &log).unwrap();
    let store = Store::open(place.config().max_files(1).build()).unwrap();
    assert_eq!(damage::found(&store, 3), [0, 1, 2]);
    assert_eq!(damage::get(&store, 5).how, How::Built);
    let stats = store.stats();
    assert_eq!((stats.entries, stats.is_partly_newer, stats.handle.hits), (4, true, 3));
    assert!(matches!(store.sweep(SweepOptions::new()), Err(StoreError::Newer { .. })));
    assert!(matches!(store.sweep(SweepOptions::new().dry_run(true)), Err(StoreError::Newer { .. })));
    drop(store);
    // What it counted is not written into such a store.
    let now = fs::read(place.v1("log.1")).unwrap();
    assert!(damage::frames(&now).iter().filter(|(_, kind, _)| *kind == damage::COUNT).count() <= 1);
}
