//! The verbs on Linux: the only module that speaks to the kernel through `rustix`.
//!
//! Behind `Fs`, `Dir` and `File` of `fs`, and used by nobody else. Each verb is one system call where the kernel
//! has one for it, and is repeated when a signal interrupts it: except `close`, and `fsync`/`syncfs`, which may
//! have lost a write-back error on the way (I8: a failed sync is never retried into a success).
//!
//! ```text
//! mod.rs      Dir and File
//! resolve.rs  relative paths below a descriptor: openat2, or a walk
//! list.rs     one listing, one look
//! limit.rs    RLIMIT_FSIZE, before SIGXFSZ
//! source.rs   files of the caller's
//! statfs.rs   which file systems are this kernel's alone
//! host.rs     other absolute paths, clock, random numbers, memory files
//! ```
//!
//! Paths below a directory (I20). No verb follows a symlink in one, whoever plants it and whenever. Opening
//! resolves the whole path; the others resolve the parent first and act on the last name in it, for two system
//! calls more where the path has a directory part.
//!
//! Locks are `flock` without waiting (I13), freed by close and by death (I12); there is no unlock verb, because
//! a forked child shares the description. Nothing here shortens a file or maps one writable (I11).

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT,
        chmod, fchmod, flock, fstat, fsync, futimens, ioctl_ficlone, mkdirat, open, openat, readlink,
        renameat_with, statat, syncfs, unlinkat,
    },
    io::{Errno, pread, retry_on_intr, write},
};

use super::{Access, FileSystem, Kind, Lock, Map, Pattern, Stat, Time, map};
use resolve::Rel;

mod host;
mod limit;
mod list;
mod resolve;
mod source;
mod statfs;
#[cfg(test)]
mod tests;

pub(super) use host::{
    ancestors, boot_id, make_root, now, open_resolved, open_root, pause, random, sealed, secure_execution,
    user,
};
pub(super) use source::{SourceDir, open_source, open_source_dir, stat_source};

/// On every open of something that may not be ours: not inherited by a plugin's children, never waiting for
/// the writer of a FIFO, never becoming somebody's terminal.
const OPEN_FLAGS: OFlags = OFlags::CLOEXEC.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    /// Whether files below it are read where they would be mapped.
    reads: bool,
}

#[derive(Debug)]
pub(crate) struct File {
    fd: OwnedFd,
    /// Whether it is read where it would be mapped.
    reads: bool,
}

impl Dir {
    pub(super) fn open_dir(&self, rel: &Path) -> io::Result<Dir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OPEN_FLAGS;
        let fd = resolve::open(self.fd.as_fd(), Rel::new(rel)?, flags, Mode::empty())?;
        Ok(Dir { fd, reads: self.reads })
    }

    pub(super) fn make_dir(&self, rel: &Path, mode: u32) -> io::Result<()> {
        let mode = Mode::from_bits_truncate(mode);
        resolve::in_parent(self.fd.as_fd(), Rel::new(rel)?, |parent, name| {
            mkdirat(parent, name, mode)?;
            open_to_owner(parent, name, mode)
        })
    }

    pub(super) fn list(&self) -> io::Result<Vec<OsString>> {
        list::list(self.fd.as_fd())
    }

    pub(super) fn open(&self, rel: &Path, access: Access) -> io::Result<File> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Append => OFlags::RDWR | OFlags::APPEND,
        };
        self.open_file(rel, flags, Mode::empty())
    }

    pub(super) fn create(&self, rel: &Path, mode: u32) -> io::Result<File> {
        // The umask may take bits away; callers set the final mode on the descriptor.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        self.open_file(rel, flags, Mode::from_bits_truncate(mode))
    }

    pub(super) fn open_or_create(&self, rel: &Path) -> io::Result<File> {
        self.open_file(rel, OFlags::RDWR | OFlags::CREATE, Mode::RUSR | Mode::WUSR)
    }

    fn open_file(&self, rel: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
        let fd = resolve::open(self.fd.as_fd(), Rel::new(rel)?, flags | OPEN_FLAGS, mode)?;
        Ok(File { fd, reads: self.reads })
    }

    pub(super) fn stat(&self, rel: &Path) -> io::Result<Stat> {
        let look = |parent: BorrowedFd<'_>, name: &[u8]| statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        Ok(stat_of(&resolve::in_parent(self.fd.as_fd(), Rel::new(rel)?, look)?))
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let names = [Rel::new(from)?, Rel::new(to)?];
        resolve::in_parents(self.fd.as_fd(), names, |[(old, from), (new, to)]| {
            renameat_with(old, from, new, to, RenameFlags::NOREPLACE)
        })
    }

    pub(super) fn unlink(&self, rel: &Path) -> io::Result<()> {
        self.remove(rel, AtFlags::empty())
    }

    pub(super) fn remove_dir(&self, rel: &Path) -> io::Result<()> {
        self.remove(rel, AtFlags::REMOVEDIR)
    }

    fn remove(&self, rel: &Path, flags: AtFlags) -> io::Result<()> {
        resolve::in_parent(self.fd.as_fd(), Rel::new(rel)?, |parent, name| unlinkat(parent, name, flags))
    }

    pub(super) fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        try_lock(self.fd.as_fd(), lock)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.fd)?)
    }

    pub(super) fn sync_fs(&self) -> io::Result<()> {
        Ok(syncfs(&self.fd)?)
    }

    pub(super) fn stat_self(&self) -> io::Result<Stat> {
        Ok(stat_of(&retry_on_intr(|| fstat(&self.fd))?))
    }

    pub(super) fn file_system(&mut self) -> io::Result<FileSystem> {
        let found = statfs::file_system(self.fd.as_fd())?;
        self.reads = !found.is_local;
        Ok(found)
    }

    pub(super) fn reopen(&self) -> io::Result<Dir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| openat(&self.fd, c".", flags, Mode::empty()))?;
        Ok(Dir { fd, reads: self.reads })
    }

    pub(super) fn path_now(&self) -> io::Result<PathBuf> {
        let link = retry_on_intr(|| readlink(path_of_descriptor(self.fd.as_fd()), Vec::new()))?;
        host::path_of_link(link.into_bytes(), &self.stat_self()?)
    }
}

impl File {
    pub(super) fn stat(&self) -> io::Result<Stat> {
        Ok(stat_of(&retry_on_intr(|| fstat(&self.fd))?))
    }

    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(retry_on_intr(|| pread(&self.fd, &mut *buf, offset))?)
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        limit::check_write(self.fd.as_fd(), bytes.len())?;
        Ok(retry_on_intr(|| write(&self.fd, bytes))?)
    }

    pub(super) fn set_mtime(&self, time: Time) -> io::Result<()> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: time.sec, tv_nsec: time.nsec.into() },
        };
        Ok(retry_on_intr(|| futimens(&self.fd, &times))?)
    }

    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(retry_on_intr(|| fchmod(&self.fd, Mode::from_bits_truncate(mode)))?)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.fd)?)
    }

    pub(super) fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        try_lock(self.fd.as_fd(), lock)
    }

    pub(super) fn clone_from(&self, source: &File) -> io::Result<()> {
        limit::check_clone(source.fd.as_fd())?;
        Ok(retry_on_intr(|| ioctl_ficlone(&self.fd, &source.fd))?)
    }

    /// The length is checked, because touching a page behind the end of the file is SIGBUS.
    pub(super) fn map(&self, len: u64, pattern: Pattern) -> io::Result<Map> {
        if len > self.stat()?.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.reads {
            return self.read_first(len).map(Map::Bytes);
        }
        map::Map::new(self.fd.as_fd(), len, pattern).map(Map::Os)
    }

    fn read_first(&self, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        let mut at = 0;
        while at < bytes.len() {
            match self.read_at(&mut bytes[at..], at as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => at += read,
            }
        }
        Ok(bytes)
    }

    pub(super) fn map_whole(&self, stat: &Stat, pattern: Pattern) -> io::Result<Map> {
        if self.reads {
            return self.read_first(stat.len).map(Map::Bytes);
        }
        map::Map::new(self.fd.as_fd(), stat.len, pattern).map(Map::Os)
    }

    pub(super) fn to_std(&self) -> io::Result<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = path_of_descriptor(self.fd.as_fd());
        Ok(retry_on_intr(|| open(&*path, flags, Mode::empty()))?.into())
    }
}

/// Gives a directory that was just made what the umask, or a default ACL above it, took from its owner: without
/// it the store could not use what it makes.
fn open_to_owner<N: rustix::path::Arg + Copy>(
    parent: BorrowedFd<'_>,
    name: N,
    mode: Mode,
) -> rustix::io::Result<()> {
    let missing = |found: u32| mode.difference(Mode::from_raw_mode(found)).intersects(Mode::RWXU);
    if !missing(statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode) {
        return Ok(());
    }
    // Through a descriptor: a mode set by name would follow a symlink.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(parent, name, flags, Mode::empty())?;
    chmod(path_of_descriptor(made.as_fd()), mode)
}

fn try_lock(fd: BorrowedFd<'_>, lock: Lock) -> io::Result<bool> {
    let operation = match lock {
        Lock::Shared => FlockOperation::NonBlockingLockShared,
        Lock::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    match retry_on_intr(|| flock(fd, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn path_of_descriptor(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The kernel's structure has other widths on other processors; each field is widened to what `Stat` holds.
#[expect(clippy::unnecessary_cast, reason = "the types that need no cast here need one elsewhere")]
fn stat_of(stat: &rustix::fs::Stat) -> Stat {
    Stat {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        links: stat.st_nlink as u64,
        mode: stat.st_mode & 0o7777,
        owner: stat.st_uid,
        len: stat.st_size as u64,
        mtime: Time { sec: stat.st_mtime as i64, nsec: stat.st_mtime_nsec as u32 },
        ctime: Time { sec: stat.st_ctime as i64, nsec: stat.st_ctime_nsec as u32 },
    }
}

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        // What the kernel does not name is no file to read either.
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => Kind::Device,
    }
}
