//! Compiled plugins shared by a fleet: plugcache stores filled from an S3 bucket, every entry signed.

mod body;
mod bucket;
mod client;
mod clock;
mod count;
mod fetch;
mod gate;
mod guarded;
mod hex;
mod keys;
mod memory;
mod name;
mod paths;
mod publish;
mod queue;
mod recent;
mod s3;
mod s3_error;
mod sign;
mod tier;
mod wire;

pub use bucket::{Ask, Bucket, BucketError, Head, Keeper, Limits};
pub use bytes::Bytes;
pub use client::{Deadlines, Publisher};
pub use clock::{Clock, ManualClock, SystemClock};
pub use count::Counts;
pub use gate::Health;
pub use guarded::GuardError;
pub use keys::{KeyError, KeyId, PublicKey, SecretKey, Trust, revoke, trust};
pub use memory::MemoryBucket;
pub use name::{BadName, Name};
pub use paths::Prefix;
pub use queue::{QueueStatus, Supply};
pub use s3::{S3Bucket, S3Config};
pub use sign::{CLOCK_TOLERANCE, ENTRY_BYTES_MAX, Entry, Form, LIFETIME, Refusal, Stored, verify};
pub use tier::{ConfigError, Mode, Remote, RemoteConfig, RemoteStatus};
