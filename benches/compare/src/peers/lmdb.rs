//! LMDB through heed.
#![allow(unsafe_code, reason = "heed's open, and its flags that do not sync")]

use super::{Key, Peer, small};
use heed::{Database, Env, EnvFlags, EnvOpenOptions, types::Bytes};
use std::path::Path;

const MAP_BYTES: usize = 64 << 30;

struct Lmdb {
    env: Env,
    table: Database<Bytes, Bytes>,
}

pub fn open(dir: &Path) -> Box<dyn Peer> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES).max_readers(512);
    // SAFETY: the files belong to this comparison alone, on a local file system.
    let env = unsafe { options.flags(EnvFlags::NO_SYNC).open(dir) }.unwrap();
    let mut transaction = env.write_txn().unwrap();
    let table = env.create_database(&mut transaction, None).unwrap();
    transaction.commit().unwrap();
    Box::new(Lmdb { env, table })
}

impl Peer for Lmdb {
    fn put(&mut self, key: &Key, bytes: Vec<u8>) {
        let mut transaction = self.env.write_txn().unwrap();
        self.table.put(&mut transaction, &key.digest, &bytes).unwrap();
        transaction.commit().unwrap();
    }

    fn get(&mut self, key: &Key, bytes: &mut Vec<u8>) -> bool {
        let transaction = self.env.read_txn().unwrap();
        let found = self.table.get(&transaction, &key.digest).unwrap();
        bytes.clear();
        found.inspect(|found| bytes.extend_from_slice(found)).is_some()
    }

    fn has(&mut self, key: &Key) -> bool {
        let transaction = self.env.read_txn().unwrap();
        self.table.get(&transaction, &key.digest).unwrap().is_some()
    }

    fn fill(&mut self, _: &Path, count: u64) {
        let mut transaction = self.env.write_txn().unwrap();
        for number in 0..count {
            self.table.put(&mut transaction, &Key::new(number).digest, &small(number)).unwrap();
        }
        transaction.commit().unwrap();
    }
}
