//! What a store does while a download goes on: counted, not timed. The bucket holds back the second half of an object until
//! enough of the first half has been unpacked, hashed and written; who waits for the whole object first, waits for ever.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use plugcache::{Config, Fetched, NO_OPTIONS, Sources, Store, Toolchain};
use plugcache_remote::{Ask, Bucket, BucketError, Bytes, Head, Limits, MemoryBucket, Mode, Remote};

use crate::common::*;

const LEN: usize = 8 << 20;

/// A bucket that stops in the middle of an object until a quarter of it has come to rest below a directory.
#[derive(Clone)]
struct Holding {
    memory: MemoryBucket,
    below: PathBuf,
    held: Arc<AtomicUsize>,
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| if entry.path().is_dir() { bytes_below(&entry.path()) } else { len_of(&entry.path()) })
        .sum()
}

/// 0 for one that is gone meanwhile.
fn len_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

impl Bucket for Holding {
    fn get(&self, path: &str, ask: &Ask, into: &mut dyn Write) -> Result<u64, BucketError> {
        if !path.contains("/cas/") {
            return self.memory.get(path, ask, into);
        }
        let bytes = self.memory.file(path).ok_or(BucketError::NotFound)?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let before = bytes_below(&self.below);
        first.chunks(16 << 10).try_for_each(|piece| into.write_all(piece)).map_err(BucketError::Sink)?;
        let begun = Instant::now();
        while bytes_below(&self.below) < before + LEN as u64 / 4 {
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(BucketError::OutOfTime);
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.held.fetch_add(1, Ordering::Relaxed);
        into.write_all(second).map_err(BucketError::Sink)?;
        Ok(bytes.len() as u64)
    }

    fn put(&self, path: &str, bytes: Bytes, limits: &Limits) -> Result<(), BucketError> {
        self.memory.put(path, bytes, limits)
    }

    fn head(&self, path: &str, limits: &Limits) -> Result<Head, BucketError> {
        self.memory.head(path, limits)
    }
}

fn program() -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0_u32..).flat_map(|line| format!("{line} {}\n", line * 7 % 1000).into_bytes()).take(LEN).collect();
    bytes.truncate(LEN);
    bytes
}

fn noise_of(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn an_object_is_unpacked_hashed_and_written_while_it_comes() {
    for (bytes, end) in [(program(), ".zst"), (noise_of(LEN), ".raw")] {
        let fleet = Fleet::new();
        let other = fleet.dir.path().join("other");
        let bucket =
            Holding { memory: fleet.bucket.memory.clone(), below: other.clone(), held: Arc::default() };
        let tool = Toolchain::of_value("tool", "1");
        let sources = Sources::new("test/1", &tool, NO_OPTIONS).bytes("what", end).digest().unwrap();
        let publisher = fleet.dir.path().join("publisher");
        let publisher =
            Store::open_with_tier(Config::new(publisher), fleet.remote(Mode::WriteThrough)).unwrap();
        let built = publisher.get_or_build(&sources, |build| build.write("plugin.so", &bytes)).unwrap();
        let key = built.artifact.tier_key().unwrap();
        assert!(fleet.object_paths().concat().ends_with(end), "{:?}", fleet.object_paths());
        let remote =
            Remote::with_clock(bucket.clone(), fleet.config(Mode::ReadOnly), fleet.clock.clone()).unwrap();
        let store = Store::open_with_tier(Config::new(other), remote).unwrap();
        assert_eq!(
            store.fetch(&key).unwrap(),
            Fetched::Now,
            "{end}: nothing was written before all had come"
        );
        assert_eq!(store.find(&sources).unwrap().primary().read_verified().unwrap(), bytes);
        assert_eq!(bucket.held.load(Ordering::Relaxed), 1);
    }
}
