//! A tier: a place beyond this machine that artifacts come from and go to.
//!
//! The store knows nothing of what is behind it. It asks on a miss, proves every byte that comes, publishes it in its
//! own directory and finds it there ever after; nothing is ever used from anywhere else.

use std::{fmt, io, time::Duration};

use super::{Store, artifact::Artifact};
use crate::{
    config::Config,
    digest::{ObjectDigest, SourceDigest},
    error::OpenError,
    fs::Fs,
    sync::Arc,
};

/// A place beyond this machine that artifacts come from and go to: given to
/// a store when it is opened.
///
/// The bytes of objects need not be trusted: the store hashes them all. That an entry belongs to its key is what no
/// hash shows: whoever can make a tier say so decides what the host executes. So [`entry`](Tier::entry) gives only what
/// somebody vouches for whom this user trusts, for instance by a signature over key and parcel.
///
/// It is never asked on a hit. What it must not do is use the store that it serves, for a thread that does waits for
/// itself.
///
/// Every method is called from the thread of the host that waits, and several at once from several threads: an
/// implementation keeps its own deadlines, and gives up early rather than late.
pub trait Tier: Send + Sync {
    /// What is under this key, proved to be what somebody trusted put there; `None`: nothing is.
    ///
    /// # Errors
    /// It could not be found out in time. The store then builds, and tells of it.
    fn entry(&self, key: &TierKey) -> Result<Option<Parcel>, TierError>;

    /// Writes the bytes of objects into their sinks, each from its first byte to its last; several at once if it likes.
    /// A sink that was given wrong bytes, or too few or too many of them, is thrown away, and the find is a miss.
    ///
    /// # Errors
    /// Not all could be brought in time.
    fn objects(&self, key: &TierKey, wanted: &mut [Sink<'_>]) -> Result<(), TierError>;

    /// Takes an artifact that was just built and stored here, to bring it there, now or later. Its objects can be read as
    /// long as `artifact` lives. What cannot be brought is the tier's to count.
    fn offer(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact);

    /// An entry was used that is here, for the first time today: what a tier forgets after a time may be renewed.
    fn used(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        let _ = (key, parcel, artifact);
    }
}

impl Store {
    /// As [`open`](Store::open), with a place beyond this machine that is asked for what is neither here nor in a layer,
    /// and offered what is built here.
    ///
    /// It is asked in the modes [`Normal`](crate::Mode::Normal) and [`RequireHit`](crate::Mode::RequireHit), by a handle that may write
    /// to the store; not for what was [forgotten](Store::forget) here by a handle with a tier, nor again where the last
    /// of it did not load. Where builds are shared ([`get_or_build`](Store::get_or_build), [`claim`](Store::claim)) it is
    /// asked by the one who would build, so that any number of processes ask once. What it does not have it is not
    /// asked again for half a minute. What comes is hashed, published and committed here like an artifact that was built here,
    /// within the same limits, and then found here: nothing is used from anywhere else.
    ///
    /// # Errors
    /// As [`open`](Store::open).
    pub fn open_with_tier(config: Config, tier: impl Tier + 'static) -> Result<Store, OpenError> {
        Store::open_on(Fs::Os, config, Some(Arc::new(tier)))
    }

    /// As [`open_with_tier`](Store::open_with_tier), or no store at all, as [`open_or_disabled`](Store::open_or_disabled):
    /// the tier is then never asked.
    pub fn open_or_disabled_with_tier(config: Config, tier: impl Tier + 'static) -> Store {
        Store::open_with_tier(config.clone(), tier).unwrap_or_else(|error| Store::unopened(config, &error))
    }
}

/// What an entry is found under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TierKey {
    /// The digest of all that goes into the build.
    pub source: SourceDigest,
    /// Hash of whom the artifact is for ([`Exec`](crate::Exec)).
    pub exec: [u8; 32],
}

/// An entry on its way between stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// What this library makes of it: opaque, the same for the same build, and refused by a store that does not know it.
    pub entry: Vec<u8>,
    /// What must be there before the entry is. One that the entry names and that is missing here makes it a miss.
    pub objects: Vec<ParcelObject>,
    /// How long the build took: to wait much longer for the tier is not worth it.
    pub cost: Duration,
    /// For people.
    pub label: String,
}

/// One object of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParcelObject {
    /// BLAKE3 of its bytes.
    pub digest: ObjectDigest,
    /// How many those are.
    pub len: u64,
}

/// Where the bytes of one object go. `Send`, so that several can be filled at once.
pub struct Sink<'a> {
    object: ParcelObject,
    into: Box<dyn io::Write + Send + 'a>,
}

impl<'a> Sink<'a> {
    /// For tiers that are made of others, and for their tests: the store makes its own.
    pub fn new(object: ParcelObject, into: impl io::Write + Send + 'a) -> Sink<'a> {
        Sink { object, into: Box::new(into) }
    }

    /// Which object is wanted.
    pub fn object(&self) -> ParcelObject {
        self.object
    }
}

impl fmt::Debug for Sink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("object", &self.object).finish_non_exhaustive()
    }
}

impl io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.into.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

/// Why a tier gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TierError {
    /// It was too slow, or could not be reached; another time it may answer.
    #[error("the tier gave no answer: {0}")]
    Unreachable(String),
    /// It answers what cannot be right: this was found out before anything was used.
    #[error("the tier gave a wrong answer: {0}")]
    Wrong(String),
    /// It will not answer until somebody changes its configuration.
    #[error("the tier cannot be used: {0}")]
    Misconfigured(String),
    /// Nobody is there to be asked, and nobody is expected: of a tier that finds out only when it is asked. It is neither
    /// counted nor told.
    #[error("there is no tier")]
    Off,
}

impl fmt::Debug for dyn Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tier")
    }
}
