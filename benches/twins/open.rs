//! open, find and the artifact's handle in a fresh process: the calls that the protocols need, each once.

use super::{
    find::{self, Opened},
    read::mapped,
};
use memmap2::Mmap;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RawDir, flock, fstat, open, openat, statat};
use std::{
    ffi::CStr,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

/// `names`: the segment, the open log, and the object that the entry will name. What is open stays so, as a store.
pub(crate) fn open_and_find(root: &Path, names: [&CStr; 3]) -> (OwnedFd, Mmap, OwnedFd, OwnedFd) {
    let (flags, none) = (OFlags::CLOEXEC, Mode::empty());
    // Whose is what leads here.
    let uid = rustix::process::geteuid().as_raw();
    let owner = |level| statat(CWD, level, AtFlags::SYMLINK_NOFOLLOW).unwrap().st_uid;
    assert!(root.ancestors().all(|level| [0, uid].contains(&owner(level))));
    let v1 = open(root.join("v1"), flags | OFlags::DIRECTORY, none).unwrap();
    fstat(&v1).unwrap();
    // Which files the manifest has: listed, opened, listed again.
    let before = list(&v1);
    let segment = mapped(&openat(&v1, names[0], flags, none).unwrap());
    assert!(segment[0] == segment[segment.len() - 128]);
    let (log, mut window) = (openat(&v1, names[1], OFlags::RDWR | flags, none).unwrap(), [0; 4096]);
    fstat(&log).unwrap();
    let end = rustix::io::pread(&log, &mut window, 0).unwrap() as u64;
    assert_eq!(before, list(&v1));
    // What was proved in another boot is proved anew.
    let boot = open(c"/proc/sys/kernel/random/boot_id", flags, none).unwrap();
    assert_eq!(rustix::io::read(&boot, &mut window), Ok(37));
    let file = find::find(Opened { log: log.as_fd(), end, dir: v1.as_fd() }, names[2], &mut window).0;
    (v1, segment, log, file)
}

/// Two `getdents64`: the second says that the first told all. Answers how many names there are.
fn list(dir: &OwnedFd) -> usize {
    let listed = openat(dir, c".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let (mut buffer, mut count) = (Vec::with_capacity(4096), 0);
    let mut names = RawDir::new(listed, buffer.spare_capacity_mut());
    while names.next().is_some_and(|name| name.is_ok()) {
        count += 1;
    }
    count
}

/// Without any protocol: a table in a mapped file, of which two pages are looked at, and the object.
pub(crate) fn bare_table(root: &Path, table: &CStr, object: &CStr) -> (Mmap, OwnedFd) {
    let (flags, none) = (OFlags::CLOEXEC, Mode::empty());
    let dir = open(root, flags | OFlags::DIRECTORY, none).unwrap();
    let table = mapped(&openat(&dir, table, flags, none).unwrap());
    assert!(table[0] == table[table.len() - 128]);
    let file = openat(&dir, object, flags, none).unwrap();
    flock(&file, FlockOperation::NonBlockingLockShared).unwrap();
    assert!(fstat(&file).unwrap().st_nlink > 0);
    (table, file)
}
