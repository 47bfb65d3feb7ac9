//! kismet-cache: a bounded cache of files.

use super::{Key, Peer};
use kismet_cache::{Cache, CacheBuilder};
use std::{io::Read as _, path::Path};

const SHARDS: usize = 256;
/// Nothing is evicted in a comparison.
const CAPACITY: usize = 2_000_000;

struct Kismet {
    cache: Cache,
    temp: std::path::PathBuf,
}

pub fn open(dir: &Path) -> Box<dyn Peer> {
    let temp = dir.join("temp");
    std::fs::create_dir_all(&temp).unwrap();
    let mut builder = CacheBuilder::new();
    builder.writer(dir.join("cache"), SHARDS, CAPACITY).auto_sync(false);
    Box::new(Kismet { cache: builder.take().build(), temp })
}

fn key_of(key: &Key) -> kismet_cache::Key<'_> {
    let word = |at: usize| u64::from_le_bytes(key.digest[at..at + 8].try_into().unwrap());
    kismet_cache::Key::new(&key.hex, word(0), word(8))
}

impl Peer for Kismet {
    fn put(&mut self, key: &Key, bytes: Vec<u8>) {
        let mut file = tempfile::NamedTempFile::new_in(&self.temp).unwrap();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        self.cache.set_temp_file(key_of(key), file).unwrap();
    }

    fn get(&mut self, key: &Key, bytes: &mut Vec<u8>) -> bool {
        bytes.clear();
        let found = self.cache.get(key_of(key)).unwrap();
        found.is_some_and(|mut file| file.read_to_end(bytes).is_ok())
    }

    fn has(&mut self, key: &Key) -> bool {
        self.cache.touch(key_of(key)).unwrap()
    }
}
