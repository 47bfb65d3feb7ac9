//! find and the artifact's handle: is there anything new in the log; the object, opened and leased.

use rustix::fs::{FlockOperation, Mode, OFlags, ResolveFlags, flock, fstat, openat2};
use std::{
    ffi::CStr,
    os::fd::{BorrowedFd, OwnedFd},
};

/// The open log, where it was read up to, and the directory below which objects lie.
#[derive(Clone, Copy)]
pub(crate) struct Opened<'a> {
    pub(crate) log: BorrowedFd<'a>,
    pub(crate) end: u64,
    pub(crate) dir: BorrowedFd<'a>,
}

/// Four calls, and `close` when the answer is dropped.
pub(crate) fn find(opened: Opened<'_>, object: &CStr, window: &mut [u8]) -> (OwnedFd, u64) {
    assert_eq!(rustix::io::pread(opened.log, window, opened.end), Ok(0));
    let (flags, below) = (OFlags::CLOEXEC | OFlags::NONBLOCK, ResolveFlags::BENEATH);
    let file = openat2(opened.dir, object, flags, Mode::empty(), below | ResolveFlags::NO_SYMLINKS).unwrap();
    flock(&file, FlockOperation::NonBlockingLockShared).unwrap();
    let stat = fstat(&file).unwrap();
    assert!(stat.st_nlink > 0);
    (file, stat.st_size as u64)
}
