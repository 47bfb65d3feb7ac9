//! Getting: the entry of a key, from the first namespace that has one which is believed; and its objects, several at once.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use plugcache::{Sink, TierKey};

use crate::{
    body::{Body, Fault},
    bucket::{Ask, BucketError},
    client::{Budget, Client, Failure},
    count::{more, one},
    sign::{ENTRY_BYTES_MAX, Entry, Stored, verify},
};

/// Why an object did not come.
#[derive(Debug)]
pub(crate) enum NoObject {
    /// The entry names it, and it is not there, or is something else: the entry is worth nothing.
    Wrong(Stored),
    /// It could not be found out.
    Failed(Failure),
    /// The store could not take it.
    Local,
}

impl Client {
    /// The whole of a short file.
    pub(crate) fn read(&self, path: &str, len_max: usize, budget: Budget) -> Result<Vec<u8>, Failure> {
        self.call(budget, |limits| {
            let mut bytes = Vec::new();
            let ask = Ask { from: 0, len_max: len_max as u64, limits: *limits };
            self.bucket.get(path, &ask, &mut bytes).map(|_| bytes)
        })
    }

    /// The entry of a key that is believed; `None`: there is none.
    pub(crate) fn find_entry(&self, key: &TierKey, budget: Budget) -> Result<Option<Entry>, Failure> {
        for namespace in &self.namespaces {
            let path = self.prefix.entry(namespace, key);
            let bytes = match self.read(&path, ENTRY_BYTES_MAX, budget) {
                Ok(bytes) => bytes,
                Err(Failure::NotFound) => continue,
                Err(Failure::Failed(BucketError::TooLong)) => {
                    one(&self.counters.refused_malformed);
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            match verify(&bytes, (namespace, key), &self.trust, self.clock.wall()) {
                Ok(entry) => return Ok(Some(entry)),
                // What is not believed is not there: the next namespace may have one.
                Err(why) => self.counters.refused(why),
            }
        }
        Ok(None)
    }

    /// Fills all sinks with what `entry` says of them, at most `parallel` at once. The first failure ends it.
    pub(crate) fn fill(
        &self,
        entry: &Entry,
        wanted: &mut [Sink<'_>],
        parallel: usize,
        budget: Budget,
    ) -> Result<(), NoObject> {
        let filled = self.fill_all(entry, wanted, parallel, budget);
        if let Err(NoObject::Failed(Failure::Failed(error @ BucketError::OutOfTime))) = &filled {
            // Once, however many came at once: else an engine that drips would cost every lookup all its time.
            self.gate.failed(error, self.clock.now());
        }
        filled
    }

    fn fill_all(
        &self,
        entry: &Entry,
        wanted: &mut [Sink<'_>],
        parallel: usize,
        budget: Budget,
    ) -> Result<(), NoObject> {
        let threads = parallel.min(wanted.len());
        if threads <= 1 {
            return wanted.iter_mut().try_for_each(|sink| self.fill_one(entry, sink, budget));
        }
        let (rest, is_over) = (Mutex::new(wanted.iter_mut()), AtomicBool::new(false));
        let work = || {
            while !is_over.load(Ordering::Relaxed) {
                let next = rest.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(sink) = next else { break };
                self.fill_one(entry, sink, budget).inspect_err(|_| is_over.store(true, Ordering::Relaxed))?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            let failed = |_| Err(NoObject::Local);
            others.into_iter().map(|other| other.join().unwrap_or_else(failed)).fold(own, Result::and)
        })
    }

    fn fill_one(&self, entry: &Entry, sink: &mut Sink<'_>, budget: Budget) -> Result<(), NoObject> {
        let object = sink.object();
        let stored = entry.objects.iter().find(|stored| stored.object == object);
        let stored = *stored.ok_or(NoObject::Local)?;
        self.download(stored, sink, budget)
    }

    /// Brings one object into `to`. What breaks off goes on where it broke off: the digest proves the whole.
    pub(crate) fn download(
        &self,
        stored: Stored,
        to: &mut (dyn std::io::Write + Send),
        budget: Budget,
    ) -> Result<(), NoObject> {
        let path = self.prefix.object(&stored);
        let mut body = Body::new(stored, to).map_err(|_| NoObject::Local)?;
        let answer = self.call(budget, |limits| {
            let ask = Ask { from: body.received(), len_max: body.room(), limits: *limits };
            if ask.from > 0 && ask.len_max == 0 {
                // All came, and then the connection broke.
                return Ok(0);
            }
            self.bucket.get(&path, &ask, &mut body)
        });
        more(&self.counters.bytes_received, body.received());
        let verdict = match answer {
            Ok(_) => body.finish(),
            Err(Failure::NotFound) => {
                one(&self.counters.objects_missing);
                return Err(NoObject::Wrong(stored));
            }
            Err(Failure::Failed(BucketError::TooLong)) => Err(Fault::Wrong),
            // Either the bytes cannot be unpacked, or they cannot be written.
            Err(Failure::Failed(BucketError::Sink(_))) => body.finish().and(Err(Fault::Wrong)),
            Err(failure) => return Err(NoObject::Failed(failure)),
        };
        match verdict {
            Ok(()) => {
                one(&self.counters.objects);
                Ok(())
            }
            Err(Fault::Local) => Err(NoObject::Local),
            Err(Fault::Wrong) => {
                one(&self.counters.objects_wrong);
                Err(NoObject::Wrong(stored))
            }
        }
    }
}
