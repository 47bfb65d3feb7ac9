//! The protocol of wasmtime's cache, imitated, since its crate offers no verbs of its own: a file per key, compressed
//! by zstd; a hit is told to a thread, which counts it in a file beside, rewritten whole. Left out, in its favour:
//! hashing the module at each load, and the cleaning that goes with the counting.

use super::{
    Key, Peer,
    files::{make_shards, write_aside},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

/// As wasmtime's defaults: level, and how many events may wait.
const ZSTD_LEVEL: i32 = 3;
const EVENTS: usize = 0x10;

struct Wasmtime {
    dir: PathBuf,
    /// `None` while it is dropped.
    hits: Option<SyncSender<PathBuf>>,
    worker: Option<JoinHandle<()>>,
}

pub fn open(dir: &Path) -> Box<dyn Peer> {
    make_shards(dir);
    let (hits, waiting) = sync_channel::<PathBuf>(EVENTS);
    let count = move || {
        for path in waiting {
            let path = path.with_extension("stats");
            let usages = fs::read_to_string(&path).unwrap_or_default();
            let number =
                usages.trim_start_matches("usages = ").lines().next().and_then(|n| n.parse::<u64>().ok());
            let text = format!("usages = {}\ncompression-level = 3\n", number.unwrap_or(0) + 1);
            write_aside(&path, text.as_bytes());
        }
    };
    Box::new(Wasmtime { dir: dir.to_owned(), hits: Some(hits), worker: Some(thread::spawn(count)) })
}

impl Drop for Wasmtime {
    fn drop(&mut self) {
        self.hits = None;
        self.worker.take().map(JoinHandle::join);
    }
}

impl Peer for Wasmtime {
    fn put(&mut self, key: &Key, bytes: Vec<u8>) {
        write_aside(&self.dir.join(key.path()), &zstd::encode_all(&bytes[..], ZSTD_LEVEL).unwrap());
    }

    fn get(&mut self, key: &Key, bytes: &mut Vec<u8>) -> bool {
        let path = self.dir.join(key.path());
        let Ok(packed) = fs::read(&path) else { return false };
        *bytes = zstd::decode_all(&packed[..]).unwrap();
        // A full queue loses the event.
        let _ = self.hits.as_ref().map(|hits| hits.try_send(path));
        true
    }

    fn has(&mut self, key: &Key) -> bool {
        self.dir.join(key.path()).exists()
    }
}
