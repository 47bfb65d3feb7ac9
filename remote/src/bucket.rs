//! What the client asks of an engine: get, put and head, each with limits, and in one thread. No listing and nothing
//! conditional: Garage takes If-None-Match and overwrites all the same, so nothing may rest on that.

use std::{
    io,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

/// How long an answer may take. How long a connection may take to be made is the bucket's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until the first byte.
    pub first_byte: Duration,
    /// Between two pieces.
    pub stall: Duration,
    /// All together.
    pub total: Duration,
}

/// What of a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// From this byte on.
    pub from: u64,
    /// A longer rest is an error, and no more than this is written.
    pub len_max: u64,
    /// How long it may take.
    pub limits: Limits,
}

/// What is known of a file without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its length.
    pub len: u64,
    /// When it was put there, by the engine's clock.
    pub modified: SystemTime,
}

/// A bucket of an engine. Every call waits for its answer, and is right from any thread.
pub trait Bucket: Send + Sync {
    /// Writes a file's bytes into `into`, and says how many. They are not proved: no client notices a flipped bit.
    ///
    /// # Errors
    /// See [`BucketError`]; what was written until then came in order.
    fn get(&self, path: &str, ask: &Ask, into: &mut dyn io::Write) -> Result<u64, BucketError>;

    /// Puts a file there, over one that is there.
    ///
    /// # Errors
    /// See [`BucketError`]; it may be there all the same.
    fn put(&self, path: &str, bytes: Bytes, limits: &Limits) -> Result<(), BucketError>;

    /// Looks at a file.
    ///
    /// # Errors
    /// See [`BucketError`].
    fn head(&self, path: &str, limits: &Limits) -> Result<Head, BucketError>;
}

/// A bucket that can be cleared up too. Nothing that hosts wait for needs this.
pub trait Keeper: Bucket {
    /// Tells `each` of every file below a path of whole steps, in any order.
    ///
    /// # Errors
    /// See [`BucketError`]; some were told of already.
    fn list(&self, below: &str, each: &mut dyn FnMut(&str, Head)) -> Result<(), BucketError>;

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// See [`BucketError`].
    fn delete(&self, path: &str, limits: &Limits) -> Result<(), BucketError>;

    /// The rules by which the engine removes what is old, as the XML of S3 has them; `None`: it has been given none.
    ///
    /// # Errors
    /// See [`BucketError`]; an engine without such rules is [`Unsupported`](BucketError::Unsupported).
    fn rules(&self) -> Result<Option<String>, BucketError> {
        Err(BucketError::Unsupported)
    }

    /// Gives the engine rules, in the place of all that it has.
    ///
    /// # Errors
    /// As [`rules`](Keeper::rules).
    fn set_rules(&self, xml: &str) -> Result<(), BucketError> {
        let _ = xml;
        Err(BucketError::Unsupported)
    }
}

/// Why an engine gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// There is no such file.
    #[error("there is no such file")]
    NotFound,
    /// There is no such bucket, or it may not be used like that: it will not answer until somebody changes that.
    #[error("{0}")]
    Misconfigured(String),
    /// It asks for fewer requests (429, 503).
    #[error("the engine asks for patience ({0})")]
    SlowDown(u16),
    /// A limit was reached, and it may be the engine's fault.
    #[error("{0}")]
    TooSlow(&'static str),
    /// The time was over while bytes were coming: it was too much for that time.
    #[error("it was not all there when the time was over")]
    OutOfTime,
    /// No connection, one that broke, or an answer that is none.
    #[error("the engine cannot be reached: {0}")]
    Unreachable(String),
    /// There is more of it than was asked for.
    #[error("the file is longer than it should be")]
    TooLong,
    /// The engine has no such thing.
    #[error("the engine has no such thing")]
    Unsupported,
    /// What was read could not be written where it should go.
    #[error("what came could not be taken")]
    Sink(#[source] io::Error),
}

impl BucketError {
    /// Whether the same call may well be answered in a moment.
    pub fn is_passing(&self) -> bool {
        matches!(self, BucketError::TooSlow(_) | BucketError::Unreachable(_))
    }

    /// Whether there was no answer in time, rather than none at all.
    pub fn is_late(&self) -> bool {
        matches!(self, BucketError::TooSlow(_) | BucketError::OutOfTime | BucketError::SlowDown(_))
    }
}
