//! The closed list of verbs through which everything reaches the disk, the clock and the kernel.
//!
//! Anyone in the crate may use it. There are two worlds behind it: the operating system, and (in tests and
//! fuzzing only) a simulated disk that can kill a process after any verb. It is an enum and not a trait, so
//! that no type parameter travels through the crate and a release build holds one arm only.
//!
//! It knows paths, bytes, locks and clocks. It knows no digest, no frame and no file name of the store.
//! Errors are plain `io::Error`; the caller knows the action and the path and adds them.

mod draw;
#[cfg(all(target_os = "linux", not(plugcache_portable)))]
mod map;
#[cfg(all(target_os = "linux", not(plugcache_portable)))]
mod os;
#[cfg(not(all(target_os = "linux", not(plugcache_portable))))]
#[path = "portable.rs"]
mod os;
mod place;
#[cfg(any(test, fuzzing, feature = "__sim"))]
#[expect(unreachable_pub, reason = "re-exported for the tests of this repository")]
pub mod sim;
mod tree;

pub(crate) use draw::Draw;
pub(crate) use place::{Ancestors, FileSystem};
use std::{
    ffi::{OsStr, OsString},
    io,
    ops::Deref,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Dir,
    Symlink,
    Fifo,
    Device,
    Socket,
}

/// A point in time as file systems keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Time {
    pub(crate) sec: i64,
    pub(crate) nsec: u32,
}

/// What the kernel says of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: Kind,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// 0 once the last name is gone.
    pub(crate) links: u64,
    /// Permission bits only (07777).
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) len: u64,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
}

/// How a map will be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// From one end to the other, or nobody knows.
    Through,
    /// A slot here and a frame there: reading ahead around them would be wasted.
    Scattered,
}

impl Stat {
    /// Whether both describe the same inode.
    pub(crate) fn same_inode(&self, other: &Stat) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    /// Reads anywhere, writes at the end only (`O_APPEND`).
    Append,
}

/// A lock on an open file description: freed by close and by death, never by an unlock call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    Shared,
    Exclusive,
}

/// A world: the operating system, or one process on a simulated disk.
#[derive(Clone, Debug)]
pub(crate) enum Fs {
    Os,
    #[cfg(any(test, fuzzing, feature = "__sim"))]
    Sim(sim::Process),
}

/// An open directory; every relative path of the store is resolved below one.
#[derive(Debug)]
pub(crate) enum Dir {
    Os(os::Dir),
    #[cfg(any(test, fuzzing, feature = "__sim"))]
    Sim(sim::Dir),
}

/// An open file description.
#[derive(Debug)]
pub(crate) enum File {
    Os(os::File),
    #[cfg(any(test, fuzzing, feature = "__sim"))]
    Sim(sim::File),
}

/// A directory of the caller's, held while many files below it are looked at, so that the way to it is walked
/// once. Paths below it mean what they would mean behind its own path: symlinks are followed, also out of it.
#[derive(Debug)]
pub(crate) enum SourceDir {
    Os(os::SourceDir),
    #[cfg(any(test, fuzzing, feature = "__sim"))]
    Sim(sim::SourceDir),
}

/// The bytes of a file, mapped; or read, where a mapping could not be relied on. Whoever reads one must live with bytes
/// that change under it.
#[derive(Debug)]
pub(crate) enum Map {
    #[cfg(all(target_os = "linux", not(plugcache_portable)))]
    Os(map::Map),
    Bytes(Vec<u8>),
}

impl Deref for Map {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            #[cfg(all(target_os = "linux", not(plugcache_portable)))]
            Map::Os(map) => map,
            Map::Bytes(bytes) => bytes,
        }
    }
}

/// Whether opening failed because something other than a file has the name: a directory, a symlink, a socket.
pub(crate) fn is_wrong_kind(error: &io::Error) -> bool {
    const ENXIO: i32 = 6;
    const ELOOP: i32 = 40;
    matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory)
        || matches!(error.raw_os_error(), Some(ENXIO | ELOOP))
}

/// Whether opening failed for the wish to write: reading may still be allowed.
pub(crate) fn forbids_writing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// A name or path as its raw bytes.
pub(crate) fn bytes_of(text: &OsStr) -> &[u8] {
    text.as_encoded_bytes()
}

/// The name or path that these raw bytes are. On systems whose paths are no bytes, what cannot be one is
/// replaced: it then names nothing.
pub(crate) fn text_of(bytes: &[u8]) -> OsString {
    #[cfg(unix)]
    return <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes).to_owned();
    #[cfg(not(unix))]
    return String::from_utf8_lossy(bytes).into_owned().into();
}

/// What lies before and behind the slash at byte `at` of a path; `None` where there is none, or where nothing
/// lies before it.
pub(crate) fn split_at_slash(path: &Path, at: usize) -> Option<(&Path, &Path)> {
    #[cfg(unix)]
    let (text, path_of) = (bytes_of(path.as_os_str()), <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes);
    #[cfg(not(unix))]
    let (text, path_of) =
        (path.to_str()?.as_bytes(), |bytes| OsStr::new(str::from_utf8(bytes).unwrap_or("")));
    let is_slash = at > 0 && text.get(at) == Some(&b'/');
    is_slash.then(|| (Path::new(path_of(&text[..at])), Path::new(path_of(&text[at + 1..]))))
}

/// What `Path::file_name` gives, found without going through the whole path.
pub(crate) fn last_name(path: &Path) -> Option<&OsStr> {
    #[cfg(unix)]
    {
        let bytes = bytes_of(path.as_os_str());
        let start = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let name = &bytes[start..];
        if !matches!(name, b"" | b"." | b"..") {
            return Some(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name));
        }
    }
    path.file_name()
}

/// Forwards a verb to the world it belongs to.
macro_rules! forward {
    ($self:ident, $type:ident, $inner:ident => $call:expr) => {
        match $self {
            $type::Os($inner) => $call,
            #[cfg(any(test, fuzzing, feature = "__sim"))]
            $type::Sim($inner) => $call,
        }
    };
    ($self:ident, $os:expr, $process:ident => $call:expr) => {
        match $self {
            Fs::Os => $os,
            #[cfg(any(test, fuzzing, feature = "__sim"))]
            Fs::Sim($process) => $call,
        }
    };
}

impl Fs {
    /// Opens a directory by path, following symlinks (the caller has judged the path).
    pub(crate) fn open_root(&self, path: &Path) -> io::Result<Dir> {
        forward!(self, os::open_root(path).map(Dir::Os), p => p.open_root(path).map(Dir::Sim))
    }

    /// Makes a directory and its missing parents, each 0700.
    pub(crate) fn make_root(&self, path: &Path) -> io::Result<()> {
        forward!(self, os::make_root(path), p => p.make_root(path))
    }

    /// The path with symlinks resolved, as far as it exists, and the state of everything from `/` down to it.
    pub(crate) fn ancestors(&self, path: &Path) -> io::Result<Ancestors> {
        forward!(self, os::ancestors(path), p => p.ancestors(path))
    }

    /// Opens a file of the caller's for reading, following symlinks, never waiting for a FIFO's writer.
    pub(crate) fn open_source(&self, path: &Path) -> io::Result<File> {
        forward!(self, os::open_source(path).map(File::Os), p => p.open_source(path).map(File::Sim))
    }

    /// The state of a file of the caller's, following symlinks.
    pub(crate) fn stat_source(&self, path: &Path) -> io::Result<Stat> {
        forward!(self, os::stat_source(path), p => p.stat_source(path))
    }

    /// Holds a directory of the caller's, following symlinks. Needs no permission to list it.
    pub(crate) fn open_source_dir(&self, path: &Path) -> io::Result<SourceDir> {
        forward!(
            self,
            os::open_source_dir(path).map(SourceDir::Os),
            p => p.open_source_dir(path).map(SourceDir::Sim)
        )
    }

    /// A number that changes with every boot of this kernel; `None` where it cannot be had.
    pub(crate) fn boot_id(&self) -> Option<[u8; 16]> {
        forward!(self, os::boot_id(), p => p.boot_id())
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> SystemTime {
        forward!(self, os::now(), p => p.now())
    }

    /// Waits.
    pub(crate) fn pause(&self, time: Duration) {
        forward!(self, os::pause(time), p => p.pause(time))
    }

    /// Random bytes nobody can foretell.
    pub(crate) fn random<const N: usize>(&self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        forward!(self, os::random(&mut bytes), p => p.random(&mut bytes))?;
        Ok(bytes)
    }

    /// The user this process acts as.
    pub(crate) fn user(&self) -> u32 {
        forward!(self, os::user(), p => p.user())
    }

    /// A size at which its caller changes what it does: the usual one, but for tests on a simulated disk.
    pub(crate) fn size(&self, name: &'static str, usual: u64) -> u64 {
        forward!(self, (name, usual).1, p => p.size(name, usual))
    }

    /// Whether this process has more rights than its caller (`AT_SECURE`), so that the caller's environment
    /// must not decide what it runs. A world that cannot tell says yes.
    pub(crate) fn secure_execution(&self) -> bool {
        forward!(self, os::secure_execution(), _process => false)
    }

    /// An anonymous file in memory holding `bytes`, sealed: nobody can write, grow or shrink it any more.
    pub(crate) fn sealed(&self, bytes: &[u8]) -> io::Result<File> {
        forward!(self, os::sealed(bytes).map(File::Os), p => p.sealed(bytes).map(File::Sim))
    }
}

impl SourceDir {
    /// As [`Fs::open_source`] of a relative path behind the directory's.
    pub(crate) fn open_source(&self, rel: &Path) -> io::Result<File> {
        match self {
            SourceDir::Os(dir) => dir.open_source(rel).map(File::Os),
            #[cfg(any(test, fuzzing, feature = "__sim"))]
            SourceDir::Sim(dir) => dir.open_source(rel).map(File::Sim),
        }
    }

    /// As [`Fs::stat_source`] of a relative path behind the directory's.
    pub(crate) fn stat_source(&self, rel: &Path) -> io::Result<Stat> {
        forward!(self, SourceDir, dir => dir.stat_source(rel))
    }
}

/// Paths given to a `Dir` are relative to it and name something below it, spelled plainly: `..`, `.`, empty
/// components and absolute paths are errors. So are symlinks anywhere in them, except that `stat` and `rename`
/// take one at the end for what it is.
impl Dir {
    pub(crate) fn open_dir(&self, rel: &Path) -> io::Result<Dir> {
        match self {
            Dir::Os(dir) => dir.open_dir(rel).map(Dir::Os),
            #[cfg(any(test, fuzzing, feature = "__sim"))]
            Dir::Sim(dir) => dir.open_dir(rel).map(Dir::Sim),
        }
    }

    pub(crate) fn make_dir(&self, rel: &Path, mode: u32) -> io::Result<()> {
        forward!(self, Dir, dir => dir.make_dir(rel, mode))
    }

    /// All names in this directory, from one look at it, without `.` and `..`, in no order.
    pub(crate) fn list(&self) -> io::Result<Vec<OsString>> {
        forward!(self, Dir, dir => dir.list())
    }

    /// Opens what exists; never waits for a FIFO's writer. The caller must look at what kind it got.
    pub(crate) fn open(&self, rel: &Path, access: Access) -> io::Result<File> {
        match self {
            Dir::Os(dir) => dir.open(rel, access).map(File::Os),
            #[cfg(any(test, fuzzing, feature = "__sim"))]
            Dir::Sim(dir) => dir.open(rel, access).map(File::Sim),
        }
    }

    /// Makes a new file for reading and writing; an existing name is an error (`O_EXCL`).
    pub(crate) fn create(&self, rel: &Path, mode: u32) -> io::Result<File> {
        match self {
            Dir::Os(dir) => dir.create(rel, mode).map(File::Os),
            #[cfg(any(test, fuzzing, feature = "__sim"))]
            Dir::Sim(dir) => dir.create(rel, mode).map(File::Sim),
        }
    }

    /// Opens a file for reading and writing, making it (0600) where it is missing.
    pub(crate) fn open_or_create(&self, rel: &Path) -> io::Result<File> {
        match self {
            Dir::Os(dir) => dir.open_or_create(rel).map(File::Os),
            #[cfg(any(test, fuzzing, feature = "__sim"))]
            Dir::Sim(dir) => dir.open_or_create(rel).map(File::Sim),
        }
    }

    /// The state of what the name leads to; a symlink at the end is reported, not followed.
    pub(crate) fn stat(&self, rel: &Path) -> io::Result<Stat> {
        forward!(self, Dir, dir => dir.stat(rel))
    }

    /// Gives a file another name below this directory; an existing name is an error (`RENAME_NOREPLACE`).
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        forward!(self, Dir, dir => dir.rename(from, to))
    }

    pub(crate) fn unlink(&self, rel: &Path) -> io::Result<()> {
        forward!(self, Dir, dir => dir.unlink(rel))
    }

    pub(crate) fn remove_dir(&self, rel: &Path) -> io::Result<()> {
        forward!(self, Dir, dir => dir.remove_dir(rel))
    }

    /// `flock` without waiting: `false` if someone else's lock is in the way.
    pub(crate) fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        forward!(self, Dir, dir => dir.try_lock(lock))
    }

    /// Makes the names in this directory durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        forward!(self, Dir, dir => dir.sync())
    }

    /// Makes everything on this file system durable.
    pub(crate) fn sync_fs(&self) -> io::Result<()> {
        forward!(self, Dir, dir => dir.sync_fs())
    }

    /// The state of the directory itself.
    pub(crate) fn stat_self(&self) -> io::Result<Stat> {
        forward!(self, Dir, dir => dir.stat_self())
    }

    /// What it lies on. On a file system that is not local, files opened below this directory from now on are read where
    /// they would be mapped.
    pub(crate) fn file_system(&mut self) -> io::Result<FileSystem> {
        forward!(self, Dir, dir => dir.file_system())
    }

    /// A second description of the same directory: its locks are its own.
    pub(crate) fn reopen(&self) -> io::Result<Dir> {
        match self {
            Dir::Os(dir) => dir.reopen().map(Dir::Os),
            #[cfg(any(test, fuzzing, feature = "__sim"))]
            Dir::Sim(dir) => dir.reopen().map(Dir::Sim),
        }
    }

    /// Where this directory lies now, also after it was renamed.
    pub(crate) fn path_now(&self) -> io::Result<PathBuf> {
        forward!(self, Dir, dir => dir.path_now())
    }
}

impl File {
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        forward!(self, File, file => file.stat())
    }

    /// Whether this kernel stamps every change of the file with its own clock, in a change time that nobody can
    /// set. Not on network file systems (another machine's clock, states that lag behind), those of FUSE
    /// (whatever their process says) and those that keep no change time (FAT, exFAT, images to be mounted).
    pub(crate) fn stamps_changes(&self) -> io::Result<bool> {
        forward!(self, File, file => file.stamps_changes())
    }

    /// One `pread`: how many bytes came, 0 at the end. Interruptions are repeated.
    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        forward!(self, File, file => file.read_at(buf, offset))
    }

    /// One `write`, at the cursor or (opened for appending) at the end; may write less than it was given.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        forward!(self, File, file => file.write(bytes))
    }

    /// Sets the modification time, leaving the access time alone.
    pub(crate) fn set_mtime(&self, time: Time) -> io::Result<()> {
        forward!(self, File, file => file.set_mtime(time))
    }

    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        forward!(self, File, file => file.set_mode(mode))
    }

    /// Makes bytes and length durable. A failure is final: a second call may succeed without the bytes.
    pub(crate) fn sync(&self) -> io::Result<()> {
        forward!(self, File, file => file.sync())
    }

    /// `flock` without waiting: `false` if someone else's lock is in the way. Converts a lock that this
    /// description holds; a refused conversion has lost the old lock too.
    pub(crate) fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        forward!(self, File, file => file.try_lock(lock))
    }

    /// Shares the blocks of `source` (`FICLONE`) where the file system can.
    pub(crate) fn clone_from(&self, source: &File) -> io::Result<()> {
        match (self, source) {
            (File::Os(file), File::Os(source)) => file.clone_from(source),
            #[cfg(any(test, fuzzing, feature = "__sim"))]
            _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }

    /// Maps `len` bytes read-only.
    pub(crate) fn map(&self, len: u64, pattern: Pattern) -> io::Result<Map> {
        forward!(self, File, file => file.map(len, pattern))
    }

    /// As [`map`](File::map), of all that this file holds, as `stat` has just said of it.
    pub(crate) fn map_whole(&self, stat: &Stat, pattern: Pattern) -> io::Result<Map> {
        match self {
            File::Os(file) => file.map_whole(stat, pattern),
            #[cfg(any(test, fuzzing, feature = "__sim"))]
            File::Sim(file) => file.map(stat.len, pattern),
        }
    }

    /// A standard file of the same inode, for hosts: read-only, with an open file description (and so a cursor)
    /// of its own. The caller has made sure that this is a regular file: another kind could hang here.
    pub(crate) fn to_std(&self) -> io::Result<std::fs::File> {
        forward!(self, File, file => file.to_std())
    }
}
