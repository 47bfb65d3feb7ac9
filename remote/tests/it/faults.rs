//! Everything that a network or an engine does wrong: a miss or an error in time, never wrong bytes.

use std::time::Duration;

use plugcache::{Tier as _, TierError};
use plugcache_remote::{Health, Mode};

use crate::common::*;

#[test]
fn a_body_that_is_not_what_it_should_be_is_never_taken_for_it() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    fleet.published("b");
    let others: Vec<_> = fleet.object_paths();
    let mut faults: Vec<Fault> = (0..60).map(|at| Fault::Flip(at * 97)).collect();
    faults.extend([0, 1, 500, 1000, 2500].map(Fault::Short));
    faults.push(Fault::Longer);
    faults.extend(others.into_iter().map(Fault::Swapped));
    for fault in faults {
        fleet.bucket.set(fault.clone(), "/cas/");
        let reader = fleet.reader();
        // Of two objects one may be the one that was swapped in: itself.
        assert!(matches!(fetch(&reader, &built.key), Err(TierError::Wrong(_))), "{fault:?}");
        assert!(reader.status().counts.objects_wrong >= 1, "{fault:?}");
        assert_eq!(reader.status().health, Health::Up);
    }
}

#[test]
fn an_entry_that_is_not_what_was_signed_is_a_miss_that_is_counted() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let path = fleet.entry_path();
    let len = fleet.bucket.memory.file(&path).unwrap().len();
    let faults = (0..len).map(Fault::Flip).chain((0..len).map(Fault::Short)).chain([Fault::Longer]);
    for fault in faults {
        fleet.bucket.set(fault.clone(), "/ac/");
        let reader = fleet.reader();
        assert_eq!(fetch(&reader, &built.key), Ok(None), "{fault:?}");
        let counts = reader.status().counts;
        let refused = counts.refused_malformed + counts.refused_unknown_key + counts.refused_wrong_signature;
        assert_eq!(refused + counts.refused_unsigned, 1, "{fault:?}");
    }
}

#[test]
fn a_connection_that_breaks_once_goes_on_where_it_broke() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let paths = fleet.object_paths();
    for path in &paths {
        let len = fleet.bucket.memory.file(path).unwrap().len();
        for at in [0, 1, 1000, len - 1, len] {
            fleet.bucket.set(Fault::BreaksOnce(at), path);
            let reader = fleet.reader();
            assert_fetched(&reader, &built);
            let counts = reader.status().counts;
            assert_eq!(counts.failures, 1, "{path} at {at}");
            let stored: usize = paths.iter().map(|path| fleet.bucket.memory.file(path).unwrap().len()).sum();
            assert_eq!(counts.bytes_received, stored as u64, "no byte came twice");
        }
    }
    fleet.bucket.set(Fault::Breaks(10), "/cas/");
    assert!(matches!(fetch(&fleet.reader(), &built.key), Err(TierError::Unreachable(_))));
}

#[test]
fn fifty_plugins_against_a_silent_engine_cost_seconds_in_all() {
    let fleet = Fleet::new();
    fleet.bucket.set(Fault::Silent, "");
    let reader = fleet.reader();
    let ((), took) = timed(&fleet.clock, || {
        for number in 0..50 {
            let key = plugcache::TierKey::new(plugcache::SourceDigest::from_bytes([number; 32]), [0; 32]);
            assert!(matches!(reader.entry(&key), Err(TierError::Unreachable(_))));
        }
    });
    assert!(took < 4 * SECOND, "{took:?}");
    assert!(matches!(reader.status().health, Health::Resting(_)));
    let counts = reader.status().counts;
    assert_eq!(counts.unanswered + counts.resting, 50);
}

#[test]
fn a_call_that_fails_is_tried_once_more_and_no_more() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    for fault in [Fault::Dead, Fault::Silent] {
        fleet.bucket.set(fault, "");
        fetch(&fleet.reader(), &built.key).unwrap_err();
        assert_eq!(fleet.bucket.calls().len(), 2);
    }
}

#[test]
fn an_engine_that_comes_back_is_asked_again_by_one_and_then_by_all() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    fleet.bucket.set(Fault::Dead, "");
    let reader = fleet.reader();
    for _ in 0..3 {
        fetch(&reader, &built.key).unwrap_err();
    }
    assert!(matches!(reader.status().health, Health::Resting(_)));
    fleet.bucket.set(Fault::None, "");
    fetch(&reader, &built.key).unwrap_err();
    fleet.clock.advance(40 * SECOND);
    assert_fetched(&reader, &built);
    assert_eq!(reader.status().health, Health::Up);
}

#[test]
fn a_slow_drip_ends_with_the_time_of_the_lookup() {
    let fleet = Fleet::new();
    let mut built = fleet.built("a");
    for (cost, expected) in [(20 * SECOND, 5 * SECOND), (8 * SECOND, 2 * SECOND), (Duration::ZERO, SECOND)] {
        built.parcel.cost = cost;
        fleet.remote(Mode::WriteThrough).offer(&built.key, &built.parcel, &built.artifact);
        fleet.bucket.set(Fault::Drip, "/cas/");
        let reader = fleet.reader();
        let mut bytes = Vec::new();
        reader.entry(&built.key).unwrap().unwrap();
        let mut sinks = [plugcache::Sink::new(built.parcel.objects[0], &mut bytes)];
        let (answer, took) = timed(&fleet.clock, || reader.objects(&built.key, &mut sinks));
        assert!(matches!(answer, Err(TierError::Unreachable(_))), "{answer:?}");
        assert!(took >= expected && took < expected + SECOND / 10, "{cost:?}: {took:?}");
        assert_eq!(reader.status().health, Health::Up, "once may be the fault of the line");
        fleet.bucket.set(Fault::None, "");
    }
}

#[test]
fn fifty_plugins_against_an_engine_that_gives_entries_and_no_objects_cost_seconds_in_all() {
    for (fault, seconds) in [(Fault::Silent, 5), (Fault::Drip, 30)] {
        let fleet = Fleet::new();
        let builds: Vec<_> = (0..50).map(|number| fleet.published(&format!("plugin {number}"))).collect();
        fleet.bucket.set(fault.clone(), "/cas/");
        let reader = fleet.reader();
        let ((), took) = timed(&fleet.clock, || {
            for built in &builds {
                let mut bytes = Vec::new();
                let mut sinks = [plugcache::Sink::new(built.parcel.objects[0], &mut bytes)];
                if reader.entry(&built.key).is_ok() {
                    reader.objects(&built.key, &mut sinks).unwrap_err();
                }
            }
        });
        assert!(took <= seconds * SECOND + SECOND / 10, "{fault:?}: {took:?}");
    }
}

#[test]
fn the_time_that_the_entry_took_is_not_there_for_its_objects() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    fleet.bucket.set(Fault::Slow(3 * SECOND), "/ac/");
    let reader = fleet.reader();
    let ((), took) = timed(&fleet.clock, || {
        reader.entry(&built.key).unwrap().unwrap();
        fleet.bucket.set(Fault::Drip, "/cas/");
        let mut bytes = Vec::new();
        let mut sinks = [plugcache::Sink::new(built.parcel.objects[0], &mut bytes)];
        reader.objects(&built.key, &mut sinks).unwrap_err();
    });
    assert!(took >= 5 * SECOND && took < 5 * SECOND + SECOND / 10, "{took:?}");
}

#[test]
fn a_plea_for_patience_is_heard_at_once() {
    for status in [429, 503] {
        let fleet = Fleet::new();
        let built = fleet.published("a");
        fleet.bucket.set(Fault::SlowDown(status), "");
        let reader = fleet.reader();
        for _ in 0..10 {
            assert!(matches!(fetch(&reader, &built.key), Err(TierError::Unreachable(_))));
        }
        assert_eq!(fleet.bucket.calls().len(), 1);
    }
}

#[test]
fn a_mistake_in_the_configuration_is_told_once_and_then_there_is_no_tier() {
    for fault in [Fault::Denied, Fault::NoBucket] {
        let fleet = Fleet::new();
        let built = fleet.published("a");
        fleet.bucket.set(fault, "");
        let reader = fleet.reader();
        assert!(matches!(fetch(&reader, &built.key), Err(TierError::Misconfigured(_))));
        for _ in 0..10 {
            assert_eq!(fetch(&reader, &built.key), Ok(None));
        }
        assert_eq!(fleet.bucket.calls().len(), 1);
        assert!(matches!(reader.status().health, Health::Off(_)));
    }
}

#[test]
fn a_dead_engine_fails_no_build_and_is_counted() {
    let fleet = Fleet::new();
    let built = fleet.built("a");
    fleet.bucket.set(Fault::Dead, "");
    let remote = fleet.remote(Mode::WriteThrough);
    remote.offer(&built.key, &built.parcel, &built.artifact);
    remote.used(&built.key, &built.parcel, &built.artifact);
    assert_eq!(remote.status().counts.not_published, 2);
}
