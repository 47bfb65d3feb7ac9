//! A file written under a name nobody looks for, and renamed to the one where it is found.

use rustix::fs::{Mode, OFlags, openat, renameat};
use std::{ffi::CStr, os::fd::BorrowedFd};

/// Four calls for what one `write` takes.
pub(crate) fn write_and_rename(dir: BorrowedFd<'_>, staged: &CStr, name: &CStr, mut bytes: &[u8]) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(dir, staged, flags, Mode::RUSR | Mode::WUSR).unwrap();
    while !bytes.is_empty() {
        bytes = &bytes[rustix::io::write(&file, bytes).unwrap()..];
    }
    drop(file);
    renameat(dir, staged, dir, name).unwrap();
}
