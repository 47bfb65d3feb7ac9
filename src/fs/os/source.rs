//! Files of the caller's: by path, or below a directory that is held while many of them are looked at.
//!
//! For `fs` alone. Everything here follows symlinks, waits for nobody and changes nothing.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, fstatfs, openat, statat},
    io::retry_on_intr,
};

use super::{File, OPEN_FLAGS, stat_of};
use crate::fs::Stat;

/// The file systems that stamp every change by this kernel's clock, as `statfs` numbers them. A list of those
/// that do, so that one nobody thought of costs time and not truth. ZFS stamps a store through a mapping only
/// when it is written back. What an overlay holds has the times of the file system below it.
const STAMPING: [u32; 8] = [
    0x0000_EF53, // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683E, // btrfs
    0xF2F5_2010, // f2fs
    0xCA45_1A4E, // bcachefs
    0x0102_1994, // tmpfs
    0x8584_58F6, // ramfs
    0x794C_7630, // overlay
];

/// Good for nothing but resolving paths behind it.
#[derive(Debug)]
pub(crate) struct SourceDir {
    fd: OwnedFd,
}

pub(in crate::fs) fn open_source(path: &Path) -> io::Result<File> {
    open_at(CWD, path)
}

pub(in crate::fs) fn stat_source(path: &Path) -> io::Result<Stat> {
    stat_at(CWD, path)
}

pub(in crate::fs) fn open_source_dir(path: &Path) -> io::Result<SourceDir> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(SourceDir { fd: retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))? })
}

impl SourceDir {
    pub(in crate::fs) fn open_source(&self, rel: &Path) -> io::Result<File> {
        open_at(self.fd.as_fd(), rel)
    }

    pub(in crate::fs) fn stat_source(&self, rel: &Path) -> io::Result<Stat> {
        stat_at(self.fd.as_fd(), rel)
    }
}

impl File {
    pub(in crate::fs) fn stamps_changes(&self) -> io::Result<bool> {
        let kind = retry_on_intr(|| fstatfs(&self.fd))?.f_type;
        // The field has other widths and signs on other processors; the numbers have 32 bits everywhere.
        Ok(STAMPING.contains(&(kind as u32)))
    }
}

fn open_at(dir: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OPEN_FLAGS;
    Ok(File { fd: retry_on_intr(|| openat(dir, path, flags, Mode::empty()))?, reads: false })
}

fn stat_at(dir: BorrowedFd<'_>, path: &Path) -> io::Result<Stat> {
    Ok(stat_of(&retry_on_intr(|| statat(dir, path, AtFlags::empty()))?))
}
