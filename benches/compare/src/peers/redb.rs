//! redb.

use super::{Key, Peer, small};
use redb::{Database, Durability, ReadableDatabase as _, TableDefinition};
use std::path::Path;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

struct Redb(Database);

pub fn open(dir: &Path) -> Box<dyn Peer> {
    let database = Database::create(dir.join("store.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TABLE).unwrap();
    transaction.commit().unwrap();
    Box::new(Redb(database))
}

impl Drop for Redb {
    /// What was committed without durability is kept by the next commit with it.
    fn drop(&mut self) {
        self.0.begin_write().unwrap().commit().unwrap();
    }
}

impl Peer for Redb {
    fn put(&mut self, key: &Key, bytes: Vec<u8>) {
        let mut transaction = self.0.begin_write().unwrap();
        transaction.set_durability(Durability::None).unwrap();
        transaction.open_table(TABLE).unwrap().insert(&key.digest[..], &bytes[..]).unwrap();
        transaction.commit().unwrap();
    }

    fn get(&mut self, key: &Key, bytes: &mut Vec<u8>) -> bool {
        let table = self.0.begin_read().unwrap().open_table(TABLE).unwrap();
        bytes.clear();
        let found = table.get(&key.digest[..]).unwrap();
        found.map(|found| bytes.extend_from_slice(found.value())).is_some()
    }

    fn has(&mut self, key: &Key) -> bool {
        let table = self.0.begin_read().unwrap().open_table(TABLE).unwrap();
        table.get(&key.digest[..]).unwrap().is_some()
    }

    fn fill(&mut self, _: &Path, count: u64) {
        let transaction = self.0.begin_write().unwrap();
        {
            let mut table = transaction.open_table(TABLE).unwrap();
            for number in 0..count {
                table.insert(&Key::new(number).digest[..], &small(number)[..]).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
}
