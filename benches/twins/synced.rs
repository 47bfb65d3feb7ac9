//! An add that survives a power cut by itself: the file, its name, and the record in the log, each synced.

use rustix::fs::{Mode, OFlags, fdatasync, fsync, openat, renameat};
use std::{ffi::CStr, os::fd::BorrowedFd};

/// `log` is open for appending; all names are below `dir`.
pub(crate) fn add(
    dir: BorrowedFd<'_>,
    log: BorrowedFd<'_>,
    (staged, name): (&CStr, &CStr),
    bytes: &[u8],
    record: &[u8],
) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(dir, staged, flags, Mode::RUSR | Mode::WUSR).unwrap();
    assert_eq!(rustix::io::write(&file, bytes), Ok(bytes.len()));
    fdatasync(&file).unwrap();
    drop(file);
    renameat(dir, staged, dir, name).unwrap();
    fsync(dir).unwrap();
    assert_eq!(rustix::io::write(log, record), Ok(record.len()));
    fdatasync(log).unwrap();
}
