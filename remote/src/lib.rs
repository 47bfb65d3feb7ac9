//! Compiled plugins shared by a fleet: plugcache stores filled from an S3 bucket, every entry signed.

mod clock;
mod guarded;
mod hex;
mod keys;
mod name;
mod sign;
mod wire;

pub use clock::{Clock, ManualClock, SystemClock};
pub use guarded::GuardError;
pub use keys::{KeyError, KeyId, PublicKey, SecretKey, Trust, revoke, trust};
pub use name::{BadName, Name};
pub use sign::{CLOCK_TOLERANCE, ENTRY_BYTES_MAX, Entry, Form, LIFETIME, Refusal, Stored, verify};
