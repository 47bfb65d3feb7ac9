//! The library itself.

use super::{Key, Peer};
use plugcache::{Added, Config, Exec, Outputs, Store};
use std::{path::Path, process::Command};

struct Ours {
    store: Store,
    packed: bool,
}

pub fn open(dir: &Path) -> Box<dyn Peer> {
    Box::new(Ours { store: store(dir), packed: false })
}

pub fn open_packed(dir: &Path) -> Box<dyn Peer> {
    Box::new(Ours { store: store(dir), packed: true })
}

fn store(dir: &Path) -> Store {
    let config = Config::builder(dir.join("store")).exec(Exec::Independent);
    Store::open(config.max_files(u64::MAX).max_bytes(u64::MAX).build()).unwrap()
}

impl Peer for Ours {
    fn put(&mut self, key: &Key, bytes: Vec<u8>) {
        let outputs = if self.packed { Outputs::packed } else { Outputs::bytes };
        assert_eq!(self.store.add(&key.sources, outputs("plugin.so", bytes)).unwrap(), Added::Stored);
    }

    fn get(&mut self, key: &Key, bytes: &mut Vec<u8>) -> bool {
        self.store.find(&key.sources).is_some_and(|found| found.primary().read_into(bytes).is_ok())
    }

    fn has(&mut self, key: &Key) -> bool {
        self.store.lookup(&key.sources).is_some()
    }

    /// Adding one after the other, each in a file of its own, would take hours for a million: they are written by
    /// the bench of the library, which can look behind its doors.
    fn fill(&mut self, dir: &Path, count: u64) {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let mut command = Command::new(env!("CARGO"));
        command.args(["bench", "--quiet", "--bench", "floor", "--", "make"]).current_dir(root);
        command.env_remove("CARGO_TARGET_DIR");
        assert!(command.arg(dir.join("store")).arg(count.to_string()).status().unwrap().success());
        self.store = store(dir);
    }
}
