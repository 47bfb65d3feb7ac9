//! Rows of adding: lazily, with one sync for many, and what an entry takes on disk.

use crate::{
    bench::{Bench, Row, Target},
    place::{artifact, manifest_names, object_name, open_store, sources, temporary},
    twins::{add::write_and_rename, synced},
};
use plugcache::{__sim, Added, ObjectDigest, Outputs, Sources, Store, Toolchain};
use rustix::fs::{Mode, OFlags, open};
use std::{
    cell::Cell,
    ffi::CString,
    fs,
    hint::black_box,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const SYNCED: &str = "add, 16 and one sync";
const BYTES: &str = "bytes of the manifest per entry";
/// One `sync` for so many adds.
const GROUP: u64 = 16;

pub(crate) fn run(bench: &mut Bench) {
    for (name, len, most) in
        [("add 4 KiB", 4 << 10, 1.3), ("add 1 MiB", 1 << 20, 1.2), ("add 64 MiB", 64 << 20, 1.2)]
    {
        let hashed = format!("{name}, against hashing too");
        let row = Row::new(name, Target::AtMost(most), "write + rename");
        lazy(bench, row, len, false);
        if len > 4 << 10 {
            let row = Row::new(&hashed, Target::AtMost(1.05), "write + rename + BLAKE3, one after the other");
            lazy(bench, row, len, true);
        }
    }
    grouped(bench);
    bytes_on_disk(bench);
}

/// A store with an entry, so that its directories are there, and a directory for the twin beside it.
struct Place {
    temp: TempDir,
    store: Store,
    dir: OwnedFd,
    next: Cell<u64>,
}

impl Place {
    fn new() -> Place {
        let temp = temporary();
        let store = open_store(&temp.path().join("store"));
        crate::place::add(&store, u64::MAX, 8);
        let twin = temp.path().join("twin");
        for name in ["", "staging", "objects"] {
            fs::create_dir_all(twin.join(name)).unwrap();
        }
        let dir = open(&twin, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Place { temp, store, dir, next: Cell::new(0) }
    }

    /// A number that was not used before.
    fn number(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    /// Names of a file in the making and of the one it becomes.
    fn names(number: u64) -> (CString, CString) {
        let name = |dir: &str| CString::new(format!("{dir}/{number:062x}")).unwrap();
        (name("staging"), name("objects"))
    }

    fn below(&self, path: impl AsRef<Path>) -> std::path::PathBuf {
        self.temp.path().join(path)
    }
}

fn lazy(bench: &mut Bench, row: Row<'_>, len: usize, hashing: bool) {
    if !bench.wants(&[row.name]) {
        return;
    }
    let place = Place::new();
    // What was written is removed outside of the clock, before the kernel begins to write it to the disk.
    let mut ours = |count| {
        let mut sum = Duration::ZERO;
        for _ in 0..count {
            let number = place.number();
            let (key, bytes) = (sources(number), artifact(number, len));
            let object = object_name(ObjectDigest::of_bytes(&bytes));
            let outputs = Outputs::bytes("plugin.so", bytes);
            let start = Instant::now();
            let added = place.store.add(&key, outputs);
            sum += start.elapsed();
            assert_eq!(added.unwrap(), Added::Stored);
            fs::remove_file(place.below("store/v1").join(object.to_str().unwrap())).unwrap();
        }
        sum
    };
    let mut twin = |count| {
        let mut sum = Duration::ZERO;
        for _ in 0..count {
            let number = place.number();
            let (bytes, (staged, name)) = (artifact(number, len), Place::names(number));
            let start = Instant::now();
            write_and_rename(place.dir.as_fd(), &staged, &name, &bytes);
            if hashing {
                black_box(blake3::hash(&bytes));
            }
            // As ours does, which takes the bytes.
            drop(bytes);
            sum += start.elapsed();
            fs::remove_file(place.below("twin").join(name.to_str().unwrap())).unwrap();
        }
        sum
    };
    bench.row(row, &mut ours, &mut twin);
}

fn grouped(bench: &mut Bench) {
    if !bench.wants(&[SYNCED]) {
        return;
    }
    let place = Place::new();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
    let log = open(place.below("twin/log"), flags, Mode::RUSR | Mode::WUSR).unwrap();
    let mut ours = |_| {
        let adds: Vec<_> = (0..GROUP)
            .map(|_| place.number())
            .map(|number| (sources(number), Outputs::bytes("plugin.so", artifact(number, 4096))))
            .collect();
        let start = Instant::now();
        for (key, outputs) in adds {
            assert_eq!(place.store.add(&key, outputs).unwrap(), Added::Stored);
        }
        place.store.sync().unwrap();
        start.elapsed() / GROUP as u32
    };
    let mut twin = |_| {
        let adds: Vec<_> = (0..GROUP)
            .map(|_| place.number())
            .map(|number| (Place::names(number), artifact(number, 4096)))
            .collect();
        let start = Instant::now();
        for ((staged, name), bytes) in adds {
            synced::add(place.dir.as_fd(), log.as_fd(), (&staged, &name), &bytes, &[0x5A; 320]);
        }
        start.elapsed() / GROUP as u32
    };
    let against = "fdatasync, rename, fsync of the directory, fdatasync of the log, for each";
    bench.row(Row::new(SYNCED, Target::AtMost(0.2), against).once(21), &mut ours, &mut twin);
}

/// Sources in files of usual names, below a path of usual length; in the log, and once compacted.
fn bytes_on_disk(bench: &mut Bench) {
    const ENTRIES: u64 = 1000;
    if !bench.wants(&[BYTES]) {
        return;
    }
    for parts in [1, 3] {
        let temp = temporary();
        let paths: Vec<_> =
            (0..parts).map(|part| temp.path().join(format!("plugins/source-{part}.c"))).collect();
        fs::create_dir(temp.path().join("plugins")).unwrap();
        paths.iter().for_each(|path| fs::write(path, "int plugin;").unwrap());
        let store = open_store(&temp.path().join("store"));
        for number in 0..ENTRIES {
            let toolchain = Toolchain::of_value("cc", "bench 1");
            let key =
                Sources::new("bench/1", &toolchain, [format!("-DNUMBER={number}")]).files(&paths).digest();
            let outputs = Outputs::bytes("plugin.so", number.to_le_bytes());
            assert_eq!(store.add(&key.unwrap(), outputs).unwrap(), Added::Stored);
        }
        let per_entry = || {
            let root = temp.path().join("store");
            let len = |name| fs::metadata(root.join("v1").join(name)).unwrap().len();
            manifest_names(&root).into_iter().map(len).sum::<u64>() as f64 / ENTRIES as f64
        };
        let in_log = per_entry();
        assert!(__sim::compact(&store));
        let (compacted, name) = (per_entry(), format!("{BYTES}, {parts} source files"));
        let ours = format!("{in_log:.0} in the log, {compacted:.0} in a segment");
        bench.line(&name, &ours, "", in_log.max(compacted), Target::AtMost(300.0), "no twin: bytes");
    }
}
