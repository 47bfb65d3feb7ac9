//! cacache: an index of files, and content by digest.

use super::{Key, Peer};
use std::path::{Path, PathBuf};

struct Cacache(PathBuf);

pub fn open(dir: &Path) -> Box<dyn Peer> {
    Box::new(Cacache(dir.to_owned()))
}

impl Peer for Cacache {
    fn put(&mut self, key: &Key, bytes: Vec<u8>) {
        cacache::write_sync(&self.0, &key.hex, bytes).unwrap();
    }

    fn get(&mut self, key: &Key, bytes: &mut Vec<u8>) -> bool {
        cacache::read_sync(&self.0, &key.hex).is_ok_and(|read| {
            *bytes = read;
            true
        })
    }

    fn has(&mut self, key: &Key) -> bool {
        cacache::metadata_sync(&self.0, &key.hex).unwrap().is_some()
    }
}
