//! Stores to measure on, of any number of entries, and what the twins need to know of them.

use plugcache::{__sim, Added, Config, Exec, NO_OPTIONS, ObjectDigest, Outputs, Sources, Store, Toolchain};
use rustix::fs::{Mode, OFlags, open};
use std::{
    ffi::CString,
    fs,
    io::{BufWriter, Write as _},
    ops::Range,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

use crate::twins::find::Opened;

/// A log that readers go through to its end holds at most 64 MiB; a frame never straddles that.
const LOG_BYTES: usize = 60 << 20;

/// A directory that goes with its owner.
pub(crate) fn temporary() -> TempDir {
    match std::env::var_os("PLUGCACHE_BENCH_DIR") {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .unwrap()
}

pub(crate) fn open_store(dir: &Path) -> Store {
    let config = Config::builder(dir).exec(Exec::Independent).max_files(u64::MAX).max_bytes(u64::MAX);
    Store::open(config.build()).unwrap()
}

/// One source from memory, a label of usual length: nothing here asks the disk.
pub(crate) fn sources(number: u64) -> Sources {
    let toolchain = Toolchain::of_value("cc", "bench 1");
    let sources = Sources::new("bench/1", &toolchain, NO_OPTIONS);
    sources.bytes("plugin.c", format!("int plugin = {number};")).digest().unwrap()
}

/// What is stored under `sources(number)`; no two are equal.
pub(crate) fn artifact(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0x5A; len];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Where an object lies below `v1`.
pub(crate) fn object_name(digest: ObjectDigest) -> CString {
    let hex = digest.to_string();
    CString::new(format!("objects/{}/{}", &hex[..2], &hex[2..])).unwrap()
}

pub(crate) fn add(store: &Store, number: u64, len: usize) {
    let outputs = Outputs::bytes("plugin.so", artifact(number, len));
    assert_eq!(store.add(&sources(number), outputs).unwrap(), Added::Stored);
}

/// The files of the manifest, ascending.
pub(crate) fn manifest_names(root: &Path) -> Vec<String> {
    let names =
        fs::read_dir(root.join("v1")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.filter(|name| name.starts_with("log.") || name.starts_with("seg.")).collect();
    names.sort();
    names
}

/// The object that an entry without one names.
pub(crate) fn missing_object(number: u64) -> ObjectDigest {
    ObjectDigest::of_bytes(&number.to_le_bytes())
}

/// A store with as many entries as asked for, in one segment under an empty log.
pub(crate) struct Stored {
    _temp: TempDir,
    pub(crate) root: PathBuf,
    pub(crate) dir: OwnedFd,
    /// How many of the entries have an object: those of the numbers below.
    pub(crate) with_object: u64,
    pub(crate) entries: u64,
}

impl Stored {
    /// The first `with_object` entries are added, each with an object of `len` bytes; the others are written into
    /// the log as an add would, since a million adds take hours.
    pub(crate) fn new(entries: u64, with_object: u64, len: usize) -> Stored {
        Stored::made(entries, with_object, len, true)
    }

    /// As many entries as a log may hold before it is compacted, all of them in it.
    pub(crate) fn in_log(entries: u64, len: usize) -> Stored {
        Stored::made(entries, entries, len, false)
    }

    fn made(entries: u64, with_object: u64, len: usize, compacted: bool) -> Stored {
        let (temp, with_object) = (temporary(), with_object.min(entries));
        let root = temp.path().join("store");
        make(&root, entries, with_object, len);
        assert!(!compacted || __sim::compact(&open_store(&root)));
        let dir = open(root.join("v1"), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Stored { _temp: temp, root, dir, with_object, entries }
    }

    pub(crate) fn store(&self) -> Store {
        open_store(&self.root)
    }

    /// The key of the entry of this place among all.
    pub(crate) fn key(&self, place: u64) -> Sources {
        sources(place % self.entries)
    }

    pub(crate) fn name_of(&self, prefix: &str) -> String {
        manifest_names(&self.root).into_iter().rfind(|name| name.starts_with(prefix)).unwrap()
    }

    pub(crate) fn log(&self) -> (OwnedFd, u64) {
        let path = self.root.join("v1").join(self.name_of("log."));
        let log = open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        (log, fs::metadata(&path).unwrap().len())
    }

    pub(crate) fn opened<'a>(&'a self, (log, end): &'a (OwnedFd, u64)) -> Opened<'a> {
        Opened { log: log.as_fd(), end: *end, dir: self.dir.as_fd() }
    }

    pub(crate) fn object_names(&self, len: usize) -> Vec<CString> {
        let name = |number| object_name(ObjectDigest::of_bytes(&artifact(number, len)));
        (0..self.with_object).map(name).collect()
    }
}

/// Puts entries into a store, those of the numbers below `with_object` by adds.
pub(crate) fn make(root: &Path, entries: u64, with_object: u64, len: usize) {
    let store = open_store(root);
    (0..with_object).for_each(|number| add(&store, number, len));
    drop(store);
    write_entries(root, with_object..entries);
}

/// A compacted store, the first entry of which has an object.
pub(crate) fn make_large(root: &Path, entries: u64) {
    make(root, entries, 1, 32);
    assert!(__sim::compact(&open_store(root)));
}

/// Appends entries without objects to the last log, and to further ones: the first entry there, with another key,
/// object and id.
fn write_entries(root: &Path, numbers: Range<u64>) {
    let v1 = root.join("v1");
    let last = manifest_names(root).into_iter().rfind(|name| name.starts_with("log.")).unwrap();
    let mut number: u64 = last["log.".len()..].parse().unwrap();
    let bytes = fs::read(v1.join(&last)).unwrap();
    // The header says by which number the checksums of the others are made.
    let header = &bytes[..64];
    let seed = u64::from_le_bytes(__sim::frames(header, 0).0[0].payload[1..9].try_into().unwrap());
    let frames = __sim::frames(&bytes[64..], seed).0;
    const PUT: u8 = 2;
    const SEAL: u8 = 5;
    let mut payload = frames.iter().find(|frame| frame.kind == PUT).expect("an entry").payload.clone();
    let (source_at, object_at) = (8, object_at(&payload));
    let append =
        |number| fs::OpenOptions::new().append(true).create(true).open(v1.join(format!("log.{number}")));
    let mut log = BufWriter::with_capacity(1 << 20, append(number).unwrap());
    let mut len = bytes.len();
    for entry in numbers {
        let object = missing_object(entry);
        payload[..8].copy_from_slice(&object.as_bytes()[24..]);
        payload[source_at..][..32].copy_from_slice(sources(entry).digest().as_bytes());
        payload[object_at..][..32].copy_from_slice(object.as_bytes());
        let frame = __sim::frame_of(PUT, 0, &payload, seed).unwrap();
        log.write_all(&frame).unwrap();
        len += frame.len();
        if len > LOG_BYTES {
            log.write_all(&__sim::frame_of(SEAL, 0, &[], seed).unwrap()).unwrap();
            number += 1;
            log = BufWriter::with_capacity(1 << 20, append(number).unwrap());
            log.write_all(header).unwrap();
            len = header.len();
        }
    }
    log.flush().unwrap();
}

/// The object digest stands behind the output's name and before its length of 8 bytes.
fn object_at(payload: &[u8]) -> usize {
    let name = b"plugin.so";
    payload.windows(name.len()).position(|window| window == name).expect("the output") + name.len()
}
