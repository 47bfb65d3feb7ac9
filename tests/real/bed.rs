//! What all tests here stand on: keys whose right bytes anybody can compute, stores with short settings, and
//! an oracle that knows what was acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use plugcache::{
    __sim, Added, Artifact, Config, Durability, Exec, NO_OPTIONS, ObjectDigest, Outputs, Sources, Store,
    Toolchain,
};

/// Owner of bytes that may stand under any key: what two keys share as one object.
pub(crate) const SHARED: u64 = u64::MAX;
const HEADER_BYTES: usize = 24;

/// `len` bytes that say whose they are and which version; nothing else in the world equals them.
pub(crate) fn body(owner: u64, version: u64, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = [owner, version, len as u64].iter().flat_map(|n| n.to_le_bytes()).collect();
    let mut state = owner.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ version.wrapping_add(0x5851_f42d);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend((state | 1).to_le_bytes());
    }
    bytes.truncate(len.max(HEADER_BYTES));
    bytes
}

/// Whether these are bytes that somebody added under `key`, whole and unchanged.
pub(crate) fn is_right(key: u64, bytes: &[u8]) -> bool {
    let number = |at: usize| bytes.get(at..at + 8).map(|b| u64::from_le_bytes(b.try_into().unwrap()));
    let (Some(owner), Some(version), Some(len)) = (number(0), number(8), number(16)) else { return false };
    (owner == key || owner == SHARED) && body(owner, version, len as usize) == bytes
}

/// What is asked for under `key`.
pub(crate) fn sources(key: u64) -> Sources {
    Sources::new("real/1", &Toolchain::none(), NO_OPTIONS)
        .bytes(format!("{key}.c"), key.to_le_bytes())
        .digest()
        .unwrap()
}

/// How a store is opened, by this process or by a worker.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) dir: PathBuf,
    pub(crate) max_files: u64,
    pub(crate) max_bytes: u64,
    pub(crate) sync: bool,
    pub(crate) readonly: bool,
    /// Stands for the boot id; 0: the kernel's own.
    pub(crate) boot: u64,
}

impl Setup {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Setup {
        Setup {
            dir: dir.into(),
            max_files: 1 << 20,
            max_bytes: 1 << 40,
            sync: false,
            readonly: false,
            boot: 0,
        }
    }

    pub(crate) fn config(&self) -> Config {
        let durability = if self.sync { Durability::Sync } else { Durability::Lazy };
        let config = Config::builder(&self.dir)
            .max_files(self.max_files)
            .max_bytes(self.max_bytes)
            .durability(durability)
            .readonly(self.readonly)
            .exec(Exec::Given(b"real".to_vec()));
        match self.boot {
            0 => config.build(),
            boot => config.boot_id(u128::from(boot).to_le_bytes()).build(),
        }
    }

    #[track_caller]
    pub(crate) fn open(&self) -> Store {
        Store::open(self.config()).unwrap()
    }

    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let numbers = [self.max_files, self.max_bytes, self.sync.into(), self.readonly.into(), self.boot]
            .map(|n| n.to_string());
        [self.dir.clone().into()].into_iter().chain(numbers.map(OsString::from)).collect()
    }

    pub(crate) fn from_args(args: &mut dyn Iterator<Item = OsString>) -> Setup {
        let dir = args.next().unwrap().into();
        let mut number = || args.next().unwrap().to_str().unwrap().parse::<u64>().unwrap();
        Setup {
            dir,
            max_files: number(),
            max_bytes: number(),
            sync: number() != 0,
            readonly: number() != 0,
            boot: number(),
        }
    }
}

/// A directory that goes with the test, in `TMPDIR`.
pub(crate) fn temp() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("plugcache-real-").tempdir().unwrap()
}

/// What a find gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Right,
    Nothing,
    Wrong,
}

pub(crate) fn find(store: &Store, key: u64) -> Found {
    judge(key, store.find(&sources(key)))
}

pub(crate) fn judge(key: u64, artifact: Option<Artifact>) -> Found {
    let Some(artifact) = artifact else { return Found::Nothing };
    let right = |bytes: Vec<u8>| is_right(key, &bytes);
    if artifact.outputs().all(|output| output.read().is_ok_and(right)) { Found::Right } else { Found::Wrong }
}

pub(crate) fn add(store: &Store, key: u64, version: u64, len: usize) -> Added {
    store.add(&sources(key), Outputs::bytes("out", body(key, version, len))).unwrap()
}

/// What must hold of a store whatever happened to it: knows which keys were acknowledged.
pub(crate) struct Oracle {
    pub(crate) setup: Setup,
    /// Acknowledged, and not touched by anybody since.
    pub(crate) sure: BTreeSet<u64>,
    /// Ever asked for: what is found under one of these must be right.
    pub(crate) known: BTreeSet<u64>,
    /// Keys of the oracle's own, for adding after each accident.
    next_own: u64,
}

/// Keys from here on are the oracles' own.
const OWN: u64 = 1 << 40;

impl Oracle {
    pub(crate) fn new(setup: &Setup) -> Oracle {
        Oracle { setup: setup.clone(), sure: BTreeSet::new(), known: BTreeSet::new(), next_own: OWN }
    }

    /// A store with these keys in it.
    pub(crate) fn with_keys(setup: &Setup, keys: impl IntoIterator<Item = u64>) -> Oracle {
        let mut oracle = Oracle::new(setup);
        let store = setup.open();
        for key in keys {
            assert_eq!(add(&store, key, 1, 2000), Added::Stored, "{key}");
            oracle.acknowledged(key);
        }
        oracle
    }

    pub(crate) fn acknowledged(&mut self, key: u64) {
        self.known.insert(key);
        self.sure.insert(key);
    }

    pub(crate) fn unsure(&mut self, key: u64) {
        self.known.insert(key);
        self.sure.remove(&key);
    }

    /// Dropped, and not asked for any more.
    pub(crate) fn forgotten(&mut self, key: u64) {
        self.known.remove(&key);
        self.sure.remove(&key);
    }

    /// I1, I5, I7: nothing wrong is found, and everything acknowledged is. How many of the sure ones miss.
    #[track_caller]
    pub(crate) fn lost(&self, store: &Store, after: &str) -> usize {
        let mut lost = 0;
        for key in &self.known {
            match find(store, *key) {
                Found::Right => {}
                Found::Wrong => panic!("wrong bytes under {key} after {after}"),
                Found::Nothing => lost += usize::from(self.sure.contains(key)),
            }
        }
        lost
    }

    #[track_caller]
    pub(crate) fn check(&self, after: &str) {
        let lost = self.lost(&self.setup.open(), after);
        assert_eq!(lost, 0, "acknowledged and lost after {after}");
    }

    /// Adding works, and what is added is found by others.
    #[track_caller]
    pub(crate) fn add_works(&mut self, after: &str) {
        let key = self.next_own;
        self.next_own += 1;
        let store = self.setup.open();
        assert_eq!(add(&store, key, 1, 500), Added::Stored, "after {after}");
        assert_eq!(find(&self.setup.open(), key), Found::Right, "after {after}");
        assert_eq!(store.forget(&sources(key).digest()).unwrap(), 1, "after {after}");
    }

    /// I3: whatever a killed process left is nobody's, and goes.
    #[track_caller]
    pub(crate) fn litter_goes(&self, after: &str) {
        // Over any limit of this size, so that the courtesy to young objects does not keep them.
        let store = Setup { max_bytes: 0, boot: self.setup.boot, ..self.setup.clone() }.open();
        __sim::sweep(&store);
        let v1 = self.setup.dir.join("v1");
        for dir in ["staging", "inflight"] {
            let left = names(&v1.join(dir));
            assert!(left.is_empty(), "{left:?} in {dir} after {after}");
        }
        let named: BTreeSet<ObjectDigest> =
            store.entries().flat_map(|entry| entry.outputs()).map(|output| output.digest).collect();
        let there = objects(&v1);
        for object in there.keys() {
            assert!(named.contains(object), "{object} is named by no entry and stays after {after}");
        }
    }

    /// All of it, as a process that comes after the accident sees it.
    #[track_caller]
    pub(crate) fn all_is_well(&mut self, after: &str) {
        self.check(after);
        self.add_works(after);
        self.litter_goes(after);
        self.check(after);
    }
}

pub(crate) fn names(dir: &Path) -> Vec<OsString> {
    let listed = fs::read_dir(dir).map(|dir| dir.flatten().map(|entry| entry.file_name()).collect());
    listed.unwrap_or_default()
}

/// The objects that lie in a store.
pub(crate) fn objects(v1: &Path) -> BTreeMap<ObjectDigest, PathBuf> {
    let mut found = BTreeMap::new();
    for shard in names(&v1.join("objects")) {
        for name in names(&v1.join("objects").join(&shard)) {
            let digits = format!("{}{}", shard.to_str().unwrap(), name.to_str().unwrap());
            found.insert(digits.parse().unwrap(), v1.join("objects").join(&shard).join(name));
        }
    }
    found
}

/// Numbers that look random; the seed is printed where something goes wrong.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// Rounds per second, for the lines that tests print.
pub(crate) fn rate(count: usize, since: Instant) -> String {
    format!("{:.0}/s", count as f64 / since.elapsed().as_secs_f64())
}
