//! Stores that share a bucket: what one builds no other builds.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    time::Duration,
};

use plugcache::{Config, Fetched, Got, NO_OPTIONS, Sources, Store, Tier as _, Toolchain};
use plugcache_remote::{Mode, Remote};

use crate::common::*;

/// One machine: a store of its own, and the fleet's bucket behind it.
struct Machine {
    store: Store,
    remote: Remote,
    dir: PathBuf,
    builds: Cell<u32>,
}

impl Machine {
    fn new(fleet: &Fleet, machine: &str, mode: Mode) -> Machine {
        let dir = fleet.dir.path().join(machine);
        let remote = fleet.remote(mode);
        let store = Store::open_with_tier(Config::new(dir.clone()), remote.clone()).unwrap();
        Machine { store, remote, dir, builds: Cell::new(0) }
    }

    fn get(&self, what: &str) -> Got {
        let tool = Toolchain::of_value("tool", "1");
        let sources = Sources::new("test/1", &tool, NO_OPTIONS).bytes("what", what).digest().unwrap();
        let got = self.store.get_or_build(&sources, |build| {
            self.builds.set(self.builds.get() + 1);
            build.write("large", large(what))?;
            build.write("noise", noise(what))
        });
        let got = got.unwrap();
        assert_eq!(got.artifact.output("large").unwrap().read().unwrap(), large(what));
        assert_eq!(got.artifact.output("noise").unwrap().read().unwrap(), noise(what));
        got
    }
}

#[test]
fn what_one_machine_builds_no_other_builds() {
    let fleet = Fleet::new();
    let first = Machine::new(&fleet, "first", Mode::ReadWrite);
    assert_eq!(first.get("a").how.to_string(), "built");
    assert_eq!(first.remote.flush(Duration::from_secs(60)), 0);
    let second = Machine::new(&fleet, "second", Mode::ReadOnly);
    assert_eq!(second.get("a").how.to_string(), "fetched");
    assert_eq!(second.builds.get(), 0);
    fleet.bucket.calls();
    assert_eq!(second.get("a").how.to_string(), "hit");
    assert_eq!(fleet.bucket.calls(), [""; 0], "a hit asks nobody");
}

#[test]
fn whatever_is_wrong_with_the_bucket_every_host_gets_the_right_bytes() {
    let faults = [
        (Fault::Flip(100), "/cas/"),
        (Fault::Flip(100), "/ac/"),
        (Fault::Short(50), "/cas/"),
        (Fault::Short(50), "/ac/"),
        (Fault::Longer, ""),
        (Fault::Breaks(10), "/cas/"),
        (Fault::Silent, ""),
        (Fault::Silent, "/cas/"),
        (Fault::Drip, "/cas/"),
        (Fault::SlowDown(503), "/cas/"),
        (Fault::Denied, "/cas/"),
        (Fault::NoBucket, ""),
        (Fault::Dead, ""),
    ];
    let fleet = Fleet::new();
    Machine::new(&fleet, "first", Mode::WriteThrough).get("a");
    for (number, (fault, place)) in faults.into_iter().enumerate() {
        fleet.bucket.set(fault.clone(), place);
        let other = Machine::new(&fleet, &format!("other{number}"), Mode::ReadOnly);
        let got = other.get("a");
        assert_eq!(got.how.to_string(), "built", "{fault:?} at {place:?}");
        assert!(got.artifact.is_stored());
        assert_eq!(other.get("a").how.to_string(), "hit");
    }
}

#[test]
fn objects_that_were_spoilt_in_the_bucket_are_right_again_after_the_next_build() {
    let fleet = Fleet::new();
    Machine::new(&fleet, "first", Mode::WriteThrough).get("a");
    for path in fleet.object_paths() {
        fleet.bucket.memory.plant(&path, "spoilt");
    }
    let second = Machine::new(&fleet, "second", Mode::WriteThrough);
    assert_eq!(second.get("a").how.to_string(), "built");
    let third = Machine::new(&fleet, "third", Mode::ReadOnly);
    assert_eq!(third.get("a").how.to_string(), "fetched");
}

#[test]
fn what_a_killed_host_had_queued_the_next_one_brings_from_the_store() {
    let fleet = Fleet::new();
    fleet.bucket.set(Fault::Dead, "");
    let first = Machine::new(&fleet, "first", Mode::ReadWrite);
    first.get("a");
    let dir = first.dir.clone();
    drop(first);
    fleet.bucket.set(Fault::None, "");
    let next = fleet.remote(Mode::ReadWrite);
    assert_eq!(next.status().queue.unwrap().jobs, 1);
    next.supply(Store::open(Config::new(dir)).unwrap());
    assert_eq!(next.flush(Duration::from_secs(60)), 0);
    assert_eq!(next.status().counts.published, 1);
    let second = Machine::new(&fleet, "second", Mode::ReadOnly);
    assert_eq!(second.get("a").how.to_string(), "fetched");
}

/// Set for the process that is killed: the directory of its machine.
const CHILD: &str = "PLUGCACHE_REMOTE_CHILD";

/// No test of its own: the host that the test below kills. It tells of each upload that is queued.
#[test]
fn a_host_to_be_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let fleet = Fleet::new();
    fleet.bucket.set(Fault::Dead, "");
    let mut config = fleet.config(Mode::ReadWrite);
    config.queue = Some(Path::new(&dir).join("queue"));
    let remote = fleet.remote_of(config);
    let at = Config::new(Path::new(&dir).join("store"));
    remote.supply(Store::open(at.clone()).unwrap());
    let store = Store::open_with_tier(at, remote.clone()).unwrap();
    let machine = Machine { store, remote, dir: dir.into(), builds: Cell::new(0) };
    for number in 0_u32.. {
        machine.get(&format!("plugin {number}"));
        println!("queued {number}");
    }
}

#[test]
fn a_host_that_is_killed_anywhere_loses_no_upload_that_was_queued() {
    use std::io::BufRead as _;
    for round in 0..8 {
        let fleet = Fleet::new();
        let dir = fleet.dir.path().join("killed");
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["store::a_host_to_be_killed", "--exact", "--nocapture"])
            .env(CHILD, &dir)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let queued = lines.map_while(Result::ok).filter(|line| line.starts_with("queued"));
        let mut acknowledged = 0;
        for _ in queued.take(1 + 2 * round) {
            acknowledged += 1;
        }
        // Somewhere in the next one.
        std::thread::sleep(Duration::from_micros(400 * round as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut config = fleet.config(Mode::ReadWrite);
        config.queue = Some(dir.join("queue"));
        let next = fleet.remote_of(config);
        assert!(next.status().queue.unwrap().jobs >= acknowledged, "round {round}");
        next.supply(Store::open(Config::new(dir.join("store"))).unwrap());
        assert_eq!(next.flush(Duration::from_secs(60)), 0);
        assert_eq!(next.status().counts.dropped_damaged, 0);
        let other = Machine::new(&fleet, "other", Mode::ReadOnly);
        for number in 0..acknowledged {
            assert_eq!(other.get(&format!("plugin {number}")).how.to_string(), "fetched", "{number}");
        }
    }
}

#[test]
fn a_release_is_pulled_into_a_store_by_one_lookup() {
    let fleet = Fleet::new();
    let first = Machine::new(&fleet, "first", Mode::WriteThrough);
    let names: Vec<_> = (0..20).map(|number| format!("plugin {number}")).collect();
    let keys: Vec<_> = names.iter().map(|what| first.get(what).artifact.tier_key().unwrap()).collect();
    first.remote.publish_bundle(&name("v1"), &keys).unwrap();
    let second = Machine::new(&fleet, "second", Mode::ReadOnly);
    let store = &second.store;
    let pulled = second.remote.pull(&name("v1"), |key| matches!(store.fetch(key), Ok(Fetched::Now))).unwrap();
    assert_eq!((pulled.keys, pulled.here), (20, 20));
    fleet.bucket.calls();
    for what in &names {
        assert_eq!(second.get(what).how.to_string(), "hit");
    }
    assert_eq!(fleet.bucket.calls(), [""; 0]);
}

/// A find may have put it in the place of what was built, after that was queued.
#[test]
fn what_came_from_the_bucket_is_not_signed_when_a_build_was_queued() {
    let fleet = Fleet::new();
    Machine::new(&fleet, "builder", Mode::WriteThrough).get("a");
    let reader = Machine::new(&fleet, "reader", Mode::ReadOnly);
    let fetched = reader.get("a").artifact;
    assert!(fetched.was_brought());
    fleet.bucket.memory.paths().iter().for_each(|path| fleet.bucket.memory.remove(path));
    let (key, parcel, _) = reader.store.parcel(&reader.store.entries().next().unwrap()).unwrap();
    let publisher = fleet.remote(Mode::ReadWrite);
    publisher.leave_uploads();
    publisher.offer(&key, &parcel, &fetched);
    assert_eq!(publisher.drain(), 0);
    assert_eq!((publisher.status().counts.published, publisher.status().counts.dropped_unfit), (0, 1));
    assert_eq!(fleet.bucket.memory.paths(), [""; 0]);
}
