//! The tier that a store is given: entries from namespaces that are trusted, and what it builds to the one that it
//! publishes in.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use plugcache::{Artifact, Parcel, Sink, Tier, TierError, TierKey};

use crate::{
    bucket::{Bucket, BucketError},
    client::{Client, Deadlines, Failure, Publisher},
    clock::{Clock, SystemClock},
    count::{Counters, Counts, one},
    fetch::NoObject,
    gate::{Gate, Health, Shut},
    job::{Job, Reason},
    keys::Trust,
    name::Name,
    paths::{self, Prefix},
    publish::{How, Published},
    queue::{Queue, QueueStatus, Supply},
    recent::Recent,
    sign::{Entry, Form},
};

/// That there is nothing is believed for this long.
const ABSENT_FOR: Duration = Duration::from_secs(30);
/// An entry that was proved is not asked for again in this time.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// Objects of one lookup that come at once.
const PARALLEL: usize = 16;

/// What a host does with the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Off,
    /// Takes from it.
    #[default]
    ReadOnly,
    /// Takes from it, and brings what it builds later, through a queue on disk.
    ReadWrite,
    /// Takes from it, and brings what it builds at once: for jobs whose work is to publish.
    WriteThrough,
}

/// How a [`Remote`] is to be made.
#[derive(Debug)]
pub struct RemoteConfig {
    /// What is done with the bucket.
    pub mode: Mode,
    /// Where in the bucket.
    pub prefix: Prefix,
    /// Searched in this order.
    pub namespaces: Vec<Name>,
    /// Whom the reader believes there.
    pub trust: Trust,
    /// Needed for the modes that write.
    pub publisher: Option<Publisher>,
    /// The directory of the queue, which [`Mode::ReadWrite`] needs: beside the store, of this user alone.
    pub queue: Option<PathBuf>,
    /// How long answers may take.
    pub deadlines: Deadlines,
}

impl RemoteConfig {
    /// A reader of these namespaces.
    pub fn reader(namespaces: Vec<Name>, trust: Trust) -> RemoteConfig {
        RemoteConfig {
            mode: Mode::ReadOnly,
            prefix: Prefix::new("").unwrap_or_else(|_| unreachable!("no step is a bad step")),
            namespaces,
            trust,
            publisher: None,
            queue: None,
            deadlines: Deadlines::default(),
        }
    }
}

/// A bucket as the tier of a store. Clones are one client.
///
/// Nothing that comes is used before the store has proved it and published it in its own directory, and no entry is
/// believed that is not signed by a key which is trusted in its namespace. Whatever fails is a miss; after three failures
/// in a row the engine is left alone for a while.
#[derive(Clone)]
pub struct Remote(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) client: Arc<Client>,
    mode: Mode,
    absent: Recent<TierKey, ()>,
    known: Recent<TierKey, Known>,
    /// Keys of which something that lay in the bucket was wrong: what is built for them is put there afresh.
    spoilt: Recent<TierKey, ()>,
    queue: OnceLock<Queue>,
}

/// An entry that was proved.
#[derive(Clone)]
struct Known {
    entry: Arc<Entry>,
    /// How long it took to come, which is not there any more for its objects.
    spent: Duration,
}

/// What a client is at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RemoteStatus {
    /// What it does with the bucket.
    pub mode: Mode,
    /// Whether the engine is asked.
    pub health: Health,
    /// What was counted since it was made.
    pub counts: Counts,
    /// What waits to be brought; `None` without a queue.
    pub queue: Option<QueueStatus>,
}

/// Why a configuration makes no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The mode writes, and nobody is there to sign.
    #[error("a mode that writes needs a publisher")]
    NoPublisher,
    /// [`Mode::ReadWrite`] needs a directory for its queue.
    #[error("this mode needs a directory for its queue")]
    NoQueue,
    /// A namespace has a name that means something else.
    #[error("no namespace can be called {0}")]
    BadNamespace(Name),
    /// The directory of the queue cannot be used.
    #[error("the queue's directory {} cannot be used", .0.display())]
    Queue(PathBuf, #[source] io::Error),
}

impl Remote {
    /// A client of this bucket. Nothing is asked yet.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn new(bucket: impl Bucket + 'static, config: RemoteConfig) -> Result<Remote, ConfigError> {
        Remote::with_clock(bucket, config, Arc::new(SystemClock::default()))
    }

    /// The same, with a clock of the caller's.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn with_clock(
        bucket: impl Bucket + 'static,
        config: RemoteConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Remote, ConfigError> {
        let RemoteConfig { mode, prefix, namespaces, trust, publisher, queue, deadlines } = config;
        let own = publisher.as_ref().map(|publisher| &publisher.namespace);
        if let Some(bad) = namespaces.iter().chain(own).find(|name| !paths::is_namespace(name)) {
            return Err(ConfigError::BadNamespace(bad.clone()));
        }
        if matches!(mode, Mode::ReadWrite | Mode::WriteThrough) && publisher.is_none() {
            return Err(ConfigError::NoPublisher);
        }
        if mode == Mode::ReadWrite && queue.is_none() {
            return Err(ConfigError::NoQueue);
        }
        let (gate, counters) = (Gate::default(), Counters::default());
        let bucket = Box::new(bucket);
        let client = Arc::new(Client {
            bucket,
            clock,
            gate,
            counters,
            deadlines,
            prefix,
            trust,
            namespaces,
            publisher,
        });
        let remote = Remote(Arc::new(Inner {
            client: client.clone(),
            mode,
            absent: Recent::new(),
            known: Recent::new(),
            spoilt: Recent::new(),
            queue: OnceLock::new(),
        }));
        if let (Mode::ReadWrite, Some(dir)) = (mode, queue) {
            let made = Queue::open(&dir, client).map_err(|error| ConfigError::Queue(dir, error))?;
            // Nobody else has this client yet.
            let _ = remote.0.queue.set(made);
        }
        Ok(remote)
    }

    /// Says where artifacts of uploads come from that were queued by processes which are gone: a [`Store`](plugcache::Store)
    /// on the directory that they were stored in. Without it artifacts are kept open until they are brought, 64 of them
    /// at most.
    pub fn supply(&self, from: impl Supply + 'static) {
        if let Some(queue) = self.0.queue.get() {
            queue.supply(Arc::new(from));
        }
    }

    /// Waits until nothing is queued any more, or this long; how many uploads still wait.
    pub fn flush(&self, wait: Duration) -> usize {
        self.0.queue.get().map_or(0, |queue| queue.flush(wait))
    }

    /// Brings what is queued, in this thread, once round; how many uploads still wait.
    pub fn drain(&self) -> usize {
        self.0.queue.get().map_or(0, Queue::drain)
    }

    /// From now on uploads are only written down, and no thread of this process brings any: for processes that end at
    /// once, and leave it to another to [`drain`](Remote::drain) the queue.
    pub fn leave_uploads(&self) {
        if let Some(queue) = self.0.queue.get() {
            queue.leave();
        }
    }

    /// What it is at.
    pub fn status(&self) -> RemoteStatus {
        let Inner { client, mode, queue, .. } = &*self.0;
        RemoteStatus {
            mode: *mode,
            health: client.gate.health(client.clock.now()),
            counts: client.counters.read(),
            queue: queue.get().map(Queue::status),
        }
    }

    fn now(&self) -> Duration {
        self.0.client.clock.now()
    }

    /// What the store is told of a failure; nothing if it was told of that already.
    fn told(&self, failure: Failure) -> Option<TierError> {
        let client = &self.0.client;
        match failure {
            Failure::Shut(Shut::Off) | Failure::Failed(BucketError::Misconfigured(_)) => {
                client.gate.misconfigured_once().map(TierError::Misconfigured)
            }
            Failure::Shut(Shut::Resting) => {
                one(&client.counters.resting);
                Some(TierError::Unreachable("it failed moments ago and is left alone for a while".into()))
            }
            Failure::Failed(error) => {
                one(&client.counters.unanswered);
                Some(TierError::Unreachable(error.to_string()))
            }
            Failure::NotFound => Some(TierError::Wrong("something that it names is not there".into())),
        }
    }

    fn find(&self, key: &TierKey) -> Result<Option<Known>, Failure> {
        let Inner { client, absent, known, .. } = &*self.0;
        let in_time = |known: &Known| client.clock.wall() < known.entry.expires;
        if let Some(known) = known.get(key, self.now()).filter(in_time) {
            one(&client.counters.entries_remembered);
            return Ok(Some(known));
        }
        if absent.get(key, self.now()).is_some() {
            one(&client.counters.absent_remembered);
            return Ok(None);
        }
        one(&client.counters.lookups);
        let begun = self.now();
        let found = client.find_entry(key, client.budget(client.deadlines.lookup_max))?;
        match found {
            Some(entry) => {
                one(&client.counters.entries);
                let spent = self.now() - begun;
                Ok(Some(self.know(key, Arc::new(entry), spent)))
            }
            None => {
                one(&client.counters.absent);
                absent.put(*key, (), self.now() + ABSENT_FOR);
                Ok(None)
            }
        }
    }

    /// An entry that was proved is not asked for again for some minutes.
    fn know(&self, key: &TierKey, entry: Arc<Entry>, spent: Duration) -> Known {
        let known = Known { entry, spent };
        self.0.known.put(*key, known.clone(), self.now() + KNOWN_FOR);
        known
    }

    /// The same, of one that came with others.
    pub(crate) fn learn(&self, key: &TierKey, entry: Entry) {
        self.know(key, Arc::new(entry), Duration::ZERO);
    }

    /// An entry is worth nothing: not asked for again for a while, and what is built instead goes there afresh.
    fn spoil(&self, key: &TierKey) {
        let now = self.now();
        self.0.known.forget(key);
        self.0.absent.put(*key, (), now + ABSENT_FOR);
        self.0.spoilt.put(*key, (), now + Duration::from_secs(24 * 3600));
    }

    fn bring(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact, reason: Reason) {
        let Inner { client, mode, queue, .. } = &*self.0;
        match (mode, queue.get()) {
            (Mode::ReadWrite, Some(queue)) => {
                queue.push(Job { key: *key, reason, bytes: size(parcel) }, parcel, artifact)
            }
            (Mode::WriteThrough, _) => {
                let done = match reason {
                    Reason::Built => client.publish(key, parcel, artifact, How::Trusting),
                    Reason::Spoilt => client.publish(key, parcel, artifact, How::Afresh),
                    Reason::Used => client.renew(key, parcel, artifact),
                };
                if !matches!(done, Published::Done) {
                    one(&client.counters.not_published);
                }
            }
            _ => {}
        }
    }
}

fn size(parcel: &Parcel) -> u64 {
    parcel.objects.iter().map(|object| object.len).fold(parcel.entry.len() as u64, u64::saturating_add)
}

impl Tier for Remote {
    fn entry(&self, key: &TierKey) -> Result<Option<Parcel>, TierError> {
        if self.0.mode == Mode::Off {
            return Ok(None);
        }
        match self.find(key) {
            Ok(known) => Ok(known.map(|known| known.entry.to_parcel())),
            Err(failure) => self.told(failure).map_or(Ok(None), Err),
        }
    }

    fn objects(&self, key: &TierKey, wanted: &mut [Sink<'_>]) -> Result<(), TierError> {
        let client = &self.0.client;
        let unreachable = || TierError::Unreachable("it is not asked any more".into());
        let Known { entry, spent } = match self.find(key) {
            Ok(Some(known)) => known,
            Ok(None) => return Err(TierError::Wrong("the entry is not there any more".into())),
            Err(failure) => return Err(self.told(failure).unwrap_or_else(unreachable)),
        };
        // It is spent once: who asks again for the same has the whole time.
        self.know(key, entry.clone(), Duration::ZERO);
        let budget = client.budget(client.deadlines.lookup(entry.cost).saturating_sub(spent));
        client.fill(&entry, wanted, PARALLEL, budget).map_err(|problem| match problem {
            NoObject::Wrong(stored) => {
                self.spoil(key);
                let what = if stored.form == Form::Raw { "" } else { "packed " };
                TierError::Wrong(format!(
                    "the {what}object {} is not there or not right",
                    stored.object.digest
                ))
            }
            NoObject::Failed(failure) => self.told(failure).unwrap_or_else(unreachable),
            NoObject::Local => TierError::Unreachable("what came could not be written".into()),
        })
    }

    fn offer(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        self.0.absent.forget(key);
        let is_spoilt = self.0.spoilt.get(key, self.now()).is_some();
        let reason = if is_spoilt { Reason::Spoilt } else { Reason::Built };
        self.0.spoilt.forget(key);
        self.bring(key, parcel, artifact, reason);
    }

    fn used(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        self.bring(key, parcel, artifact, Reason::Used);
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("mode", &self.0.mode).finish_non_exhaustive()
    }
}
