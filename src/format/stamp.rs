//! Stamps: 16 bytes that change with any write to an object and with every boot.
//!
//! A stamp guards against accidents, and no secret is needed for that: whoever could choose what it is made from (the
//! kernel's change time, an inode number) could write to the store itself, and no
//! promise covers what such a process does. So it is a fast hash, as the checksum of frames is: every find makes one.

use xxhash_rust::xxh3::xxh3_128;

use super::record::Stamp;

/// What a stamp is made from, in the order in which it is hashed.
pub(crate) const STAMPED_BYTES: usize = 64;

/// The stamp of these bytes.
pub(crate) fn stamp_of(stamped: &[u8; STAMPED_BYTES]) -> Stamp {
    xxh3_128(stamped).to_le_bytes()
}
