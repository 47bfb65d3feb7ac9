//! Compiled plugins shared by a fleet: plugcache stores filled from an S3 bucket, every entry signed.
//!
//! ```
//! # fn main() -> anyhow::Result<()> {
//! use std::sync::Arc;
//!
//! use plugcache::{Config, NO_OPTIONS, Sources, Store, Toolchain};
//! use plugcache_remote::{
//!     MemoryBucket, Mode, Name, Publisher, Remote, RemoteConfig, SecretKey, SystemClock, Trust,
//! };
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! // S3Bucket::open(&S3Config::new("plugins"))? is the real thing.
//! let bucket = MemoryBucket::new(Arc::new(SystemClock::default()));
//! let key = SecretKey::random()?;
//! let main: Name = "main".parse()?;
//! let trust = Trust::nobody().and(&main, key.public());
//!
//! let mut config = RemoteConfig::reader(vec![main.clone()], trust.clone());
//! config.mode = Mode::WriteThrough;
//! config.publisher = Some(Publisher { namespace: main.clone(), key, builder: "ci".into() });
//! let publisher = Remote::new(bucket.clone(), config)?;
//! let reader = Remote::new(bucket, RemoteConfig::reader(vec![main], trust))?;
//!
//! let upper = Toolchain::of_value("upper", "1");
//! let sources = Sources::new("doc/1", &upper, NO_OPTIONS).bytes("greet", "hello").digest()?;
//! for (machine, tier, expected) in [("ci", publisher, "built"), ("host", reader, "fetched")] {
//!     let store = Store::open_with_tier(Config::new(dir.join(machine)), tier)?;
//!     let got = store.get_or_build(&sources, |build| build.write("greet.out", "HELLO"))?;
//!     assert_eq!(got.how.to_string(), expected);
//!     assert_eq!(got.artifact.primary().read()?, b"HELLO");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is guaranteed
//!
//! * **Not one byte of somebody who is not trusted.** An entry counts if a key signed it that the reader trusts in its
//!   namespace, for this very key, not too long ago; an object counts if it hashes to what such an entry says. Rights on
//!   the bucket give nobody anything but the power to make lookups miss.
//! * **No build fails or waits long because of it.** Whatever goes wrong is a miss that is counted. A lookup takes at most
//!   5 s and a quarter of what the build took; an engine that keeps failing is left alone for a while.
//! * **Objects before the entry**, and every object renewed before it could go: an entry that names nothing is a miss.
//! * **What is queued survives its process**; what is dropped is counted ([`Counts`]).
//!
//! # What is not
//!
//! * Protection from those whose keys are trusted: they decide what hosts execute. Give the key to protected jobs alone,
//!   and let others publish in a namespace that those hosts do not list.
//! * Secrecy: what is in the bucket can be read by all who may read the bucket. Over `http://` by others too.
//! * An older entry of the same key can be put back while it has not expired. It is the answer to the same question.
//! * Uploads are not synced to disk: a power cut may lose what waits. Objects above 1 GiB are not brought.
//! * An engine that answers 403 for what is not there (Amazon, to those who may not list the bucket) is taken to be
//!   misconfigured: allow `s3:ListBucket`.
//!
//! # Where what is
//!
//! A host makes a bucket ([`S3Bucket`], [`MemoryBucket`]) and of it a [`Remote`], which it gives to
//! [`Store::open_with_tier`](plugcache::Store::open_with_tier). [`SecretKey::generate`] makes the key of a publisher,
//! [`trust`] and [`revoke`] keep the file of a reader that [`Trust::load`] reads. [`Remote::publish_bundle`] and
//! [`Remote::pull`] take a whole release at once. [`collect`], [`examine`] and [`write_rules`] are for whoever looks
//! after the bucket. The command `plugcache` does all of it too.

#![forbid(unsafe_code)]

mod body;
mod bucket;
mod bundle;
mod client;
mod clock;
mod count;
mod doctor;
mod fetch;
mod gate;
mod gc;
mod guarded;
mod hex;
mod job;
mod keys;
mod lifecycle;
mod memory;
mod name;
mod nodes;
mod paths;
mod publish;
mod push;
mod queue;
mod recent;
mod s3;
mod s3_error;
mod s3_rules;
mod sign;
mod tier;
mod wire;

pub use bucket::{Ask, Bucket, BucketError, Head, Keeper, Limits};
pub use bundle::{BundleError, Pulled};
pub use bytes::Bytes;
pub use client::{Deadlines, Publisher};
pub use clock::{Clock, ManualClock, SystemClock};
pub use count::Counts;
pub use doctor::{Check, Examination, Outcome, examine, reach};
pub use gate::Health;
pub use gc::{CollectOptions, CollectReport, OBJECT_AGE_MIN, collect};
pub use guarded::{GuardError, read_guarded};
pub use keys::{KeyError, KeyId, PublicKey, SecretKey, Trust, revoke, trust};
pub use lifecycle::{lifecycle_rules, missing_rules, write_rules};
pub use memory::MemoryBucket;
pub use name::{BadName, Name};
pub use paths::Prefix;
pub use push::{PushError, entries};
pub use queue::{QueueStatus, Supply, waiting_in};
pub use s3::{S3Bucket, S3Config};
pub use sign::{CLOCK_TOLERANCE, ENTRY_BYTES_MAX, Entry, Form, LIFETIME, Refusal, Stored, verify};
pub use tier::{ConfigError, Mode, Remote, RemoteConfig, RemoteStatus};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
