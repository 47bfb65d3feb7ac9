//! Mapped files: the only user of `memmap2`, and so the only `unsafe` of `fs`.
//!
//! For `os` alone. Read-only maps (I11).
#![expect(unsafe_code, reason = "mapping a file is unsafe: another process can change the bytes")]

use std::{
    io,
    ops::Deref,
    os::fd::{AsRawFd, BorrowedFd},
};

use memmap2::{Advice, Mmap, MmapOptions};

use super::Pattern;

/// What the kernel usually reads ahead. A file that is no longer comes by one reading, and its second page is then
/// there when it is wanted: asking for less would be a call for nothing.
const READ_AHEAD_BYTES: usize = 128 << 10;

/// The first bytes of a file, mapped read-only.
#[derive(Debug)]
pub(crate) struct Map {
    bytes: Mmap,
}

impl Map {
    /// Maps `len` bytes. The caller has seen that the file is that long: pages behind its end are SIGBUS.
    pub(super) fn new(file: BorrowedFd<'_>, len: u64, pattern: Pattern) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        // SAFETY: stands on I11 and I2: no process of ours shortens a store file or maps one writable, and a file
        // that gets mapped is complete and is never written again; whoever maps one reads only checksummed frames
        // and copies out of them. What a foreign process of the same user may do to the file, the README lists
        // under "not promised".
        let bytes = unsafe { MmapOptions::new().len(len).map(file.as_raw_fd())? };
        if pattern == Pattern::Scattered && len > READ_AHEAD_BYTES {
            // Only a hint: without it the kernel reads ahead, and every answer stays the same.
            let _ = bytes.advise(Advice::Random);
        }
        Ok(Self { bytes })
    }
}

impl Deref for Map {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
