//! What people would pick instead, each behind the same three verbs. Nobody syncs: what is put survives the death of
//! the process (redb: a clean close), not a power cut, as with the library's default.

mod cacache;
mod files;
mod kismet;
mod lmdb;
mod ours;
mod redb;
mod sqlite;
mod wasmtime;

use plugcache::{NO_OPTIONS, Sources, Toolchain};
use std::path::Path;

/// What something is stored under: each peer takes the form that suits it, made outside of the clock.
pub struct Key {
    pub sources: Sources,
    pub digest: [u8; 32],
    pub hex: String,
}

impl Key {
    pub fn new(number: u64) -> Key {
        // The same as in benches/floor/place.rs, which makes our large stores.
        let toolchain = Toolchain::of_value("cc", "bench 1");
        let sources = Sources::new("bench/1", &toolchain, NO_OPTIONS);
        let sources = sources.bytes("plugin.c", format!("int plugin = {number};")).digest().unwrap();
        let digest = *sources.digest().as_bytes();
        Key { hex: sources.digest().to_string(), digest, sources }
    }

    /// Below one of 256 directories, as plain files are usually spread.
    pub fn path(&self) -> String {
        format!("{}/{}", &self.hex[..2], &self.hex[2..])
    }
}

pub trait Peer {
    fn put(&mut self, key: &Key, bytes: Vec<u8>);

    /// All bytes, as the peer gives them; whether there are any.
    fn get(&mut self, key: &Key, bytes: &mut Vec<u8>) -> bool;

    /// Whether there is an entry, by the cheapest means that the peer has.
    fn has(&mut self, key: &Key) -> bool;

    /// Entries of the numbers below, as fast as the peer takes them.
    fn fill(&mut self, _dir: &Path, count: u64) {
        (0..count).for_each(|number| self.put(&Key::new(number), small(number)));
    }
}

/// What lies under each key where many are looked up: as long as a digest.
pub fn small(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// A peer and how it was set up.
pub struct Maker {
    pub name: &'static str,
    pub settings: &'static str,
    /// What it gives was compared with a digest, in this boot at least.
    pub verifies: bool,
    /// Several processes may have it open and write.
    pub many_processes: bool,
    /// The most entries that are made in a run of minutes.
    pub entries_max: u64,
    /// What is longer is not put.
    pub len_max: usize,
    pub open: fn(&Path) -> Box<dyn Peer>,
}

pub const OURS: &str = "plugcache";

const MILLION: u64 = 1_000_000;

pub const MAKERS: [Maker; 9] = [
    Maker {
        name: OURS,
        settings: "Durability::Lazy, Verify::OncePerBoot, no limits",
        verifies: true,
        many_processes: true,
        entries_max: MILLION,
        len_max: usize::MAX,
        open: ours::open,
    },
    Maker {
        name: "plugcache, packed",
        settings: "the same, outputs packed into their entry (up to 8 KiB), hashed by each find",
        verifies: true,
        many_processes: true,
        // As without, for a lookup.
        entries_max: 0,
        len_max: 8 << 10,
        open: ours::open_packed,
    },
    Maker {
        name: "plain files",
        settings: "a file per key in 256 directories, written aside and renamed, no fsync",
        verifies: false,
        many_processes: true,
        entries_max: MILLION,
        len_max: usize::MAX,
        open: files::open,
    },
    Maker {
        name: "cacache",
        settings: "13, sync API, SHA-256 checked at each read; no fsync is its way",
        verifies: true,
        many_processes: true,
        entries_max: 10_000,
        len_max: usize::MAX,
        open: cacache::open,
    },
    Maker {
        name: "kismet-cache",
        settings: "0.2, 256 shards, capacity 2 million, auto_sync off",
        verifies: false,
        many_processes: true,
        entries_max: 100_000,
        len_max: usize::MAX,
        open: kismet::open,
    },
    Maker {
        name: "LMDB",
        settings: "heed 0.22, MDB_NOSYNC, a transaction for each operation",
        verifies: false,
        many_processes: true,
        entries_max: MILLION,
        len_max: usize::MAX,
        open: lmdb::open,
    },
    Maker {
        name: "SQLite",
        settings: "rusqlite 0.37 bundled, WAL, synchronous=OFF, prepared statements",
        verifies: false,
        many_processes: true,
        entries_max: MILLION,
        len_max: usize::MAX,
        open: sqlite::open,
    },
    Maker {
        name: "redb",
        settings: "4, Durability::None: weaker than the others, nothing survives a killed process",
        verifies: false,
        many_processes: false,
        entries_max: MILLION,
        len_max: usize::MAX,
        open: redb::open,
    },
    Maker {
        name: "wasmtime's protocol",
        settings: "imitated: a file per key, zstd level 3, a statistics file rewritten by a thread at each hit",
        verifies: false,
        many_processes: true,
        entries_max: 100_000,
        len_max: usize::MAX,
        open: wasmtime::open,
    },
];
