//! A bucket in memory, for tests of hosts and of this crate.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;

use crate::{
    bucket::{Ask, Bucket, BucketError, Head, Keeper, Limits},
    clock::Clock,
};

/// A bucket in memory. Clones are the same bucket.
#[derive(Clone)]
pub struct MemoryBucket {
    files: Arc<Mutex<BTreeMap<String, (Bytes, SystemTime)>>>,
    clock: Arc<dyn Clock>,
}

impl MemoryBucket {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> MemoryBucket {
        MemoryBucket { files: Arc::default(), clock }
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, (Bytes, SystemTime)>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The paths of all files, in order.
    pub fn paths(&self) -> Vec<String> {
        self.files().keys().cloned().collect()
    }

    /// The bytes of a file.
    pub fn file(&self, path: &str) -> Option<Bytes> {
        self.files().get(path).map(|(bytes, _)| bytes.clone())
    }

    /// Puts a file there, as somebody does who has all rights on the bucket.
    pub fn plant(&self, path: &str, bytes: impl Into<Bytes>) {
        self.files().insert(path.into(), (bytes.into(), self.clock.wall()));
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) {
        self.files().remove(path);
    }
}

impl Bucket for MemoryBucket {
    fn get(&self, path: &str, ask: &Ask, into: &mut dyn io::Write) -> Result<u64, BucketError> {
        let bytes = self.file(path).ok_or(BucketError::NotFound)?;
        let from = usize::try_from(ask.from).unwrap_or(usize::MAX).min(bytes.len());
        let rest = bytes.slice(from..);
        if rest.len() as u64 > ask.len_max {
            return Err(BucketError::TooLong);
        }
        into.write_all(&rest).map_err(BucketError::Sink)?;
        Ok(rest.len() as u64)
    }

    fn put(&self, path: &str, bytes: Bytes, _: &Limits) -> Result<(), BucketError> {
        self.plant(path, bytes);
        Ok(())
    }

    fn head(&self, path: &str, _: &Limits) -> Result<Head, BucketError> {
        let files = self.files();
        let (bytes, modified) = files.get(path).ok_or(BucketError::NotFound)?;
        Ok(Head { len: bytes.len() as u64, modified: *modified })
    }
}

impl Keeper for MemoryBucket {
    fn list(&self, below: &str, each: &mut dyn FnMut(&str, Head)) -> Result<(), BucketError> {
        let below = format!("{below}/");
        // Not under the lock: `each` may ask this bucket.
        let found: Vec<_> =
            self.files().iter().map(|(path, (bytes, at))| (path.clone(), bytes.len(), *at)).collect();
        for (path, len, modified) in found.iter().filter(|(path, ..)| path.starts_with(&below)) {
            each(path, Head { len: *len as u64, modified: *modified });
        }
        Ok(())
    }

    fn delete(&self, path: &str, _: &Limits) -> Result<(), BucketError> {
        self.remove(path);
        Ok(())
    }
}
