//! Clearing up, and examining a bucket.

use plugcache::Tier as _;
use plugcache_remote::{
    Check, Clock as _, CollectOptions, Examination, Mode, Outcome, Prefix, collect, examine, lifecycle_rules,
};

use crate::common::*;

fn collected(fleet: &Fleet) -> plugcache_remote::CollectReport {
    let prefix = Prefix::new("fleet").unwrap();
    collect(&fleet.bucket, &prefix, fleet.clock.wall(), CollectOptions::default()).unwrap()
}

#[test]
fn only_what_is_old_and_named_by_nothing_goes() {
    let fleet = Fleet::new();
    let (used, left) = (fleet.published("used"), fleet.published("left"));
    fleet.bucket.memory.plant("fleet/v1/main/notes.txt", "of somebody");
    fleet.bucket.memory.plant("fleet/v1/cas/00/odd.zst", "of somebody");
    fleet.clock.advance(20 * DAY);
    fleet.remote(Mode::WriteThrough).used(&used.key, &used.parcel, &used.artifact);
    let all = fleet.bucket.memory.paths();
    let report = collected(&fleet);
    assert_eq!((report.entries_removed, report.objects_removed, report.foreign), (0, 0, 2));
    assert_eq!(fleet.bucket.memory.paths(), all);
    fleet.clock.advance(2 * DAY);
    let report = collected(&fleet);
    assert_eq!((report.kept, report.entries_removed, report.objects_removed), (1, 1, 0));
    fleet.clock.advance(9 * DAY);
    let report = collected(&fleet);
    assert_eq!((report.objects_kept, report.objects_removed), (2, 2));
    assert_fetched(&fleet.reader(), &used);
    assert_eq!(fetch(&fleet.reader(), &left.key), Ok(None));
    assert!(fleet.bucket.memory.file("fleet/v1/cas/00/odd.zst").is_some());
}

/// Its entry comes next.
#[test]
fn an_object_that_nothing_names_yet_stays_for_thirty_days() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let entry = fleet.bucket.memory.file(&fleet.entry_path()).unwrap();
    let path = fleet.entry_path();
    fleet.bucket.memory.remove(&path);
    fleet.clock.advance(29 * DAY);
    assert_eq!((collected(&fleet).objects_kept, collected(&fleet).objects_removed), (2, 0));
    fleet.bucket.memory.plant(&path, entry);
    fleet.clock.advance(2 * DAY);
    assert_eq!(collected(&fleet).objects_removed, 0, "{}", built.key.source);
    fleet.bucket.memory.remove(&path);
    assert_eq!(collected(&fleet).objects_removed, 2);
}

#[test]
fn what_a_bundle_names_stays_also_without_its_entry() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    fleet.clock.advance(20 * DAY);
    fleet.remote(Mode::WriteThrough).publish_bundle(&name("v1"), &[built.key]).unwrap();
    fleet.clock.advance(12 * DAY);
    let report = collected(&fleet);
    assert_eq!((report.kept, report.entries_removed, report.objects_removed), (1, 1, 0));
}

#[test]
fn while_anything_that_may_name_objects_cannot_be_read_none_goes() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    fleet.clock.advance(31 * DAY);
    fleet.published("b");
    fleet.bucket.set(Fault::Dead, &built.key.source.to_string());
    let prefix = Prefix::new("fleet").unwrap();
    collect(&fleet.bucket, &prefix, fleet.clock.wall(), CollectOptions::default()).unwrap_err();
    assert_eq!(fleet.object_paths().len(), 4);
}

#[test]
fn a_dry_run_removes_nothing_and_says_what_it_would() {
    let fleet = Fleet::new();
    fleet.published("a");
    fleet.clock.advance(31 * DAY);
    let (all, prefix) = (fleet.bucket.memory.paths(), Prefix::new("fleet").unwrap());
    let dry = CollectOptions { dry_run: true };
    let would = collect(&fleet.bucket, &prefix, fleet.clock.wall(), dry).unwrap();
    assert_eq!(fleet.bucket.memory.paths(), all);
    assert_eq!(would, collected(&fleet));
    assert_eq!((would.entries_removed, would.objects_removed), (1, 2));
    assert!(fleet.bucket.memory.paths().is_empty());
}

fn examined(fleet: &Fleet) -> Vec<Check> {
    let (prefix, main) = (Prefix::new("fleet").unwrap(), name("main"));
    let now = fleet.clock.wall();
    examine(
        &fleet.bucket,
        Examination {
            prefix: &prefix,
            namespaces: std::slice::from_ref(&main),
            writes_to: Some(&main),
            number: 7,
            now,
        },
    )
}

fn outcome(checks: &[Check], what: &str) -> Option<Outcome> {
    checks.iter().find(|check| check.what == what).map(|check| check.outcome)
}

#[test]
fn the_doctor_finds_what_is_wrong_and_leaves_nothing() {
    let fleet = Fleet::new();
    let right = examined(&fleet);
    assert!(right.iter().all(|check| check.outcome != Outcome::Wrong), "{right:?}");
    assert!(fleet.bucket.memory.paths().is_empty());
    for fault in [Fault::Dead, Fault::Denied, Fault::NoBucket, Fault::Silent] {
        fleet.bucket.set(fault.clone(), "");
        assert_eq!(outcome(&examined(&fleet), "reading"), Some(Outcome::Wrong), "{fault:?}");
    }
    fleet.bucket.set(Fault::Denied, "/doctor/");
    assert_eq!(outcome(&examined(&fleet), "writing"), Some(Outcome::Wrong));
    fleet.bucket.set(Fault::Flip(3), "/doctor/");
    assert_eq!(outcome(&examined(&fleet), "writing"), Some(Outcome::Wrong));
    fleet.bucket.set(Fault::None, "");
    fleet.published("a");
    fleet.clock.advance(34 * DAY);
    assert_eq!(outcome(&examined(&fleet), "lifecycle"), Some(Outcome::Wrong));
}

#[test]
fn the_rules_name_every_place_that_grows() {
    let rules = lifecycle_rules(&Prefix::new("fleet").unwrap(), &[name("main"), name("dev")]);
    for place in ["\"fleet/v1/cas/\"", "\"fleet/v1/main/\"", "\"fleet/v1/dev/\""] {
        assert!(rules.contains(place), "{rules}");
    }
    let (open, close) = (rules.matches('{').count(), rules.matches('}').count());
    assert_eq!(open, close, "{rules}");
}
