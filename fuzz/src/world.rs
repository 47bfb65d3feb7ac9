//! Keys, contents and stores on the simulated disk, and what must hold for any store whatever was done to it.

use plugcache::{
    __sim::{self, Disk},
    Added, Config, ConfigBuilder, Exec, NO_OPTIONS, ObjectDigest, OpenError, Outputs, Sources, Store,
    Toolchain,
};
use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

/// The root of every store.
pub(crate) const ROOT: &str = "/home/cache";
/// Where its files are.
pub(crate) const V1: &str = "/home/cache/v1";
/// Keys that the base store knows.
pub(crate) const KEYS: u8 = 7;
/// A key that only `examine` adds.
const FRESH: u8 = 200;

pub(crate) fn sources(key: u8) -> Sources {
    let tool = Toolchain::of_value("compiler", "1");
    let sources = Sources::new("fuzz/1", &tool, NO_OPTIONS).bytes("plugin", [key]);
    sources.digest().expect("bytes can be digested")
}

/// What a build of this key gives. Versions from 200 on are the same for all keys: one object, many names.
pub(crate) fn content(exec: u8, key: u8, version: u8) -> Vec<u8> {
    let own = if version < 200 { [exec, key] } else { [0xFF; 2] };
    let len = 40 + usize::from(version % 4) * 50;
    [&own[..], &[version], &vec![version; len]].concat()
}

pub(crate) fn config(exec: u8) -> ConfigBuilder {
    Config::builder(ROOT).exec(Exec::Given(vec![exec])).build_wait_max(Duration::ZERO)
}

pub(crate) fn unlimited(exec: u8) -> Config {
    config(exec).max_files(u64::MAX).max_bytes(u64::MAX).build()
}

pub(crate) fn open(disk: &Disk) -> Result<Store, OpenError> {
    __sim::open(disk.process(), unlimited(1))
}

/// Another store of this disk, above the mutated one.
pub(crate) fn open_above(disk: &Disk) -> Result<Store, OpenError> {
    let config = Config::builder("/home/above").exec(Exec::Given(vec![1])).layer(ROOT).build();
    __sim::open(disk.process(), config)
}

pub(crate) fn add(store: &Store, exec: u8, key: u8, version: u8) -> Added {
    let bytes = content(exec, key, version);
    // Of every key some versions are packed into their entry.
    let pack = if (key ^ version) % 4 == 3 { Outputs::packed } else { Outputs::bytes };
    store.add(&sources(key), pack("plugin.so", bytes)).expect("bytes are always a good output")
}

/// A store with a segment, and a log above it that replaces, drops, touches and adds.
static BASE: LazyLock<Disk> = LazyLock::new(|| {
    let disk = Disk::new(11);
    let store = open(&disk).expect("an absent store opens");
    let stored = |key, version| assert_eq!(add(&store, 1, key, version), Added::Stored);
    (0..4).for_each(|key| stored(key, 0));
    assert!(store.forget(&sources(2).digest()).is_ok());
    assert!(__sim::compact(&store));
    stored(1, 1);
    stored(4, 0);
    stored(5, 201);
    stored(6, 201);
    assert!(store.forget(&sources(4).digest()).is_ok());
    disk.advance_clock(Duration::from_secs(86_400));
    assert!(store.find(&sources(0)).is_some());
    disk.plant_file("/outside/canary", "sings");
    disk.plant_file("/home/cache/foreign", "sings");
    disk.plant_file("/home/cache/v2/log.1", "sings");
    disk.settle();
    disk
});

pub(crate) fn base() -> Disk {
    BASE.snapshot()
}

/// Nothing outside `v1` has changed (I18, I20).
pub(crate) fn assert_canaries(disk: &Disk) {
    for path in ["/outside/canary", "/home/cache/foreign", "/home/cache/v2/log.1"] {
        assert_eq!(disk.read_file(path).as_deref(), Some(&b"sings"[..]), "{path}");
    }
}

/// What a store was made from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Right frames and damage.
    Damaged,
    /// Frames with right checksums that this crate never wrote: such a store may lie, but not harm.
    Forged,
}

/// Which bytes each key leads to now: bytes that were once added under it (I1, I5), or, if the store may lie,
/// what their digest says.
pub(crate) fn found(store: &Store, trust: Trust) -> BTreeMap<u8, Vec<u8>> {
    let find = |key: u8| {
        let artifact = store.find(&sources(key))?;
        for output in artifact.outputs() {
            let bytes = output.read().expect("what was handed out can be read");
            assert_eq!(ObjectDigest::of_bytes(&bytes), output.digest(), "wrong bytes for key {key}");
            assert_eq!(bytes.len() as u64, output.len());
        }
        let bytes = artifact.primary().read().expect("what was handed out can be read");
        if trust == Trust::Damaged {
            let version = bytes.get(2).copied().unwrap_or(0);
            assert_eq!(bytes, content(1, key, version), "bytes of another key for key {key}");
        }
        // None of these may panic on what the entry says.
        let _ = (artifact.sources().label().len(), artifact.made(), artifact.cost(), format!("{artifact:?}"));
        Some((key, bytes))
    };
    (0..KEYS).chain([FRESH]).filter_map(find).collect()
}

/// What must hold for a store whatever its files hold: it opens or says why, finds nothing wrong, and takes a
/// new entry or says why not; compaction and sweeping change no answer (I5, I7, I10). With `must_work`, nothing
/// may keep it from opening and adding.
pub(crate) fn examine(disk: &Disk, trust: Trust, must_work: bool) {
    let store = match open(disk) {
        Ok(store) => store,
        Err(error) => {
            assert!(!must_work, "{error:?}");
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let _ = (store.entries().count(), store.stats(), store.status());
    // Finding sets damage aside, which may take an object from a key that was looked at before.
    found(&store, trust);
    let mut expected = found(&store, trust);
    match add(&store, 1, FRESH, 3) {
        Added::Stored => {
            expected.insert(FRESH, content(1, FRESH, 3));
        }
        Added::Skipped(why) => {
            assert!(!must_work, "{why:?}");
            assert!(!why.to_string().is_empty());
        }
        Added::Compared(_) => unreachable!("no handle here compares"),
    }
    // Where the hash index is damaged, a compaction brings back what was a miss: more may be found than before.
    let holds = |store: &Store, when: &str| {
        let now = found(store, trust);
        let lost = expected.iter().find(|(key, bytes)| now.get(key) != Some(bytes));
        assert!(trust == Trust::Forged || lost.is_none(), "{when}: lost {lost:?}");
    };
    let Ok(other) = open(disk) else { panic!("it opened before") };
    holds(&other, "after an add");
    __sim::compact(&store);
    holds(&other, "a reader that was open during a compaction");
    holds(&store, "after a compaction");
    __sim::sweep(&store);
    let Ok(last) = open(disk) else { panic!("it opened before") };
    holds(&last, "after a sweep");
    let _ = (last.entries().count(), last.stats(), last.status());
    assert_canaries(disk);
}
