//! The error numbers that the simulated disk answers with (Linux values), and the error of a dead process.
//!
//! They are written out here because only `fs/os.rs` may import the crate that defines them, and because the
//! simulated disk answers alike on every platform it is compiled for.

use std::{error, fmt, io};

pub(super) const EPERM: i32 = 1;
pub(super) const ENOENT: i32 = 2;
pub(super) const EIO: i32 = 5;
pub(super) const EBADF: i32 = 9;
pub(super) const EACCES: i32 = 13;
pub(super) const EEXIST: i32 = 17;
pub(super) const ENODEV: i32 = 19;
pub(super) const ENOTDIR: i32 = 20;
pub(super) const EISDIR: i32 = 21;
pub(super) const EINVAL: i32 = 22;
pub(super) const ENOSPC: i32 = 28;
pub(super) const ESPIPE: i32 = 29;
pub(super) const EROFS: i32 = 30;
pub(super) const ENAMETOOLONG: i32 = 36;
pub(super) const ENOTEMPTY: i32 = 39;
pub(super) const ELOOP: i32 = 40;
pub(super) const EDQUOT: i32 = 122;

/// An error with this number.
pub(super) fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// A failure with this number.
pub(super) fn fail<T>(number: i32) -> io::Result<T> {
    Err(errno(number))
}

/// What every verb of a killed process answers.
#[derive(Debug)]
struct Dead;

impl fmt::Display for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated process is dead")
    }
}

impl error::Error for Dead {}

/// The error of a verb that a dead process tried. It has no number, so no code can take it for a known one.
pub(super) fn dead() -> io::Error {
    io::Error::other(Dead)
}

/// Whether an error says only that the simulated process was killed, and nothing about the disk.
pub fn is_dead(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Dead>())
}
