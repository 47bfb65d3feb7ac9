//! SQLite through rusqlite.

use super::{Key, Peer, small};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::{path::Path, time::Duration};

struct Sqlite(Connection);

pub fn open(dir: &Path) -> Box<dyn Peer> {
    let connection = Connection::open(dir.join("store.sqlite")).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
        CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL);";
    connection.execute_batch(settings).unwrap();
    Box::new(Sqlite(connection))
}

impl Peer for Sqlite {
    fn put(&mut self, key: &Key, bytes: Vec<u8>) {
        let mut put = self.0.prepare_cached("INSERT OR REPLACE INTO entries VALUES (?1, ?2)").unwrap();
        put.execute(params![&key.digest[..], bytes]).unwrap();
    }

    fn get(&mut self, key: &Key, bytes: &mut Vec<u8>) -> bool {
        let mut get = self.0.prepare_cached("SELECT value FROM entries WHERE key = ?1").unwrap();
        bytes.clear();
        let copy = |row: &rusqlite::Row<'_>| {
            bytes.extend_from_slice(row.get_ref(0)?.as_blob()?);
            Ok(())
        };
        get.query_row(params![&key.digest[..]], copy).optional().unwrap().is_some()
    }

    fn has(&mut self, key: &Key) -> bool {
        let mut has = self.0.prepare_cached("SELECT 1 FROM entries WHERE key = ?1").unwrap();
        has.exists(params![&key.digest[..]]).unwrap()
    }

    fn fill(&mut self, _: &Path, count: u64) {
        self.0.execute_batch("BEGIN").unwrap();
        (0..count).for_each(|number| self.put(&Key::new(number), small(number)));
        self.0.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }
}
