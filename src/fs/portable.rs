//! The verbs on systems other than Linux (and on Linux under `--cfg plugcache_portable`, to keep this file
//! honest): sources can be read and digested, and there is no store.
//!
//! Behind `Fs`, `Dir` and `File` of `fs`, in the place of `os`. Standard library only. What a store stands on
//! (resolving below a descriptor, renaming without replacing, locks freed by death) cannot be had here, so
//! every door to one answers `Unsupported` and `Dir` has no value. That keeps all invariants of the store in
//! the one way that is sure.
#![expect(
    clippy::disallowed_methods,
    reason = "stands in for `os`: where the rest of the crate is sent to for files, the clock and waiting"
)]

use std::{
    ffi::OsString,
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use super::{Access, Ancestors, Kind, Lock, Map, Pattern, Stat, Time};

/// Nobody: the number that no system gives to a user.
const NO_USER: u32 = u32::MAX;

/// There is none.
#[derive(Debug)]
pub(crate) enum Dir {}

/// A source, open for reading. The cursor is the only way to read at an offset that all platforms have, so
/// it is guarded.
#[derive(Debug)]
pub(crate) struct File {
    file: Mutex<fs::File>,
}

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "stores exist on Linux only"))
}

pub(super) fn open_root(_path: &Path) -> io::Result<Dir> {
    unsupported()
}

pub(super) fn open_resolved(_path: &Path) -> io::Result<Dir> {
    unsupported()
}

pub(super) fn make_root(_path: &Path) -> io::Result<()> {
    unsupported()
}

pub(super) fn ancestors(_path: &Path) -> io::Result<Ancestors> {
    unsupported()
}

pub(super) fn open_source(path: &Path) -> io::Result<File> {
    // Opening a FIFO would wait for its writer, and there is no portable way to say "do not": so look first.
    // Whoever exchanges the file in between can make this wait.
    if kind_of(fs::metadata(path)?.file_type()) != Kind::File {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(File { file: Mutex::new(fs::File::open(path)?) })
}

pub(super) fn stat_source(path: &Path) -> io::Result<Stat> {
    stat_of(&fs::metadata(path)?)
}

/// A directory by its path.
#[derive(Debug)]
pub(crate) struct SourceDir {
    path: PathBuf,
}

pub(super) fn open_source_dir(path: &Path) -> io::Result<SourceDir> {
    Ok(SourceDir { path: path.to_path_buf() })
}

impl SourceDir {
    pub(super) fn open_source(&self, rel: &Path) -> io::Result<File> {
        open_source(&self.path.join(rel))
    }

    pub(super) fn stat_source(&self, rel: &Path) -> io::Result<Stat> {
        stat_source(&self.path.join(rel))
    }
}

/// Unknown; so nothing is ever vouched.
pub(super) fn boot_id() -> Option<[u8; 16]> {
    None
}

pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

pub(super) fn pause(time: Duration) {
    thread::sleep(time);
}

/// The standard library keys its hash maps with random numbers of the system and gives no other way to them.
/// Each word is a keyed hash under a key nobody saw: good enough for names that must not meet. It guards
/// nothing here, where there is no store.
pub(super) fn random(bytes: &mut [u8]) -> io::Result<()> {
    for (word, chunk) in bytes.chunks_mut(size_of::<u64>()).enumerate() {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_usize(word);
        chunk.copy_from_slice(&hasher.finish().to_le_bytes()[..chunk.len()]);
    }
    Ok(())
}

pub(super) fn user() -> u32 {
    NO_USER
}

/// Not known here; there is no store that could be led astray.
pub(super) fn secure_execution() -> bool {
    true
}

pub(super) fn sealed(_bytes: &[u8]) -> io::Result<File> {
    unsupported()
}

impl Dir {
    pub(super) fn reopen(&self) -> io::Result<Dir> {
        match *self {}
    }

    pub(super) fn open_dir(&self, _rel: &Path) -> io::Result<Dir> {
        match *self {}
    }

    pub(super) fn make_dir(&self, _rel: &Path, _mode: u32) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn list(&self) -> io::Result<Vec<OsString>> {
        match *self {}
    }

    pub(super) fn open(&self, _rel: &Path, _access: Access) -> io::Result<File> {
        match *self {}
    }

    pub(super) fn create(&self, _rel: &Path, _mode: u32) -> io::Result<File> {
        match *self {}
    }

    pub(super) fn open_or_create(&self, _rel: &Path) -> io::Result<File> {
        match *self {}
    }

    pub(super) fn stat(&self, _rel: &Path) -> io::Result<Stat> {
        match *self {}
    }

    pub(super) fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn unlink(&self, _rel: &Path) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn remove_dir(&self, _rel: &Path) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn try_lock(&self, _lock: Lock) -> io::Result<bool> {
        match *self {}
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn sync_fs(&self) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn stat_self(&self) -> io::Result<Stat> {
        match *self {}
    }

    pub(super) fn file_system(&mut self) -> io::Result<super::FileSystem> {
        match *self {}
    }

    pub(super) fn path_now(&self) -> io::Result<PathBuf> {
        match *self {}
    }
}

impl File {
    pub(super) fn stat(&self) -> io::Result<Stat> {
        stat_of(&self.with(|file| file.metadata())?)
    }

    /// Not known; so no state of a file is ever trusted.
    pub(super) fn stamps_changes(&self) -> io::Result<bool> {
        Ok(false)
    }

    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|file| {
            file.seek(SeekFrom::Start(offset))?;
            loop {
                match file.read(buf) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    answer => return answer,
                }
            }
        })
    }

    pub(super) fn write(&self, _bytes: &[u8]) -> io::Result<usize> {
        unsupported()
    }

    pub(super) fn set_mtime(&self, _time: Time) -> io::Result<()> {
        unsupported()
    }

    pub(super) fn set_mode(&self, _mode: u32) -> io::Result<()> {
        unsupported()
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        unsupported()
    }

    pub(super) fn try_lock(&self, _lock: Lock) -> io::Result<bool> {
        unsupported()
    }

    pub(super) fn clone_from(&self, _source: &File) -> io::Result<()> {
        unsupported()
    }

    /// A copy in place of a map: the same bytes, and they stay what they are.
    pub(super) fn map_whole(&self, stat: &Stat, pattern: Pattern) -> io::Result<Map> {
        self.map(stat.len, pattern)
    }

    pub(super) fn map(&self, len: u64, _: Pattern) -> io::Result<Map> {
        // The length is believed only after a look: it decides how much memory is asked for.
        if len > self.stat()?.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.read_at(&mut bytes[filled..], filled as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => filled += len,
            }
        }
        Ok(Map::Bytes(bytes))
    }

    pub(super) fn to_std(&self) -> io::Result<fs::File> {
        unsupported()
    }

    /// Whoever panicked while reading left a cursor somewhere; every read sets it anew.
    fn with<T>(&self, act: impl FnOnce(&mut fs::File) -> io::Result<T>) -> io::Result<T> {
        act(&mut self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(unix)]
fn stat_of(metadata: &fs::Metadata) -> io::Result<Stat> {
    use std::os::unix::fs::MetadataExt;
    let time = |sec, nsec| -> io::Result<Time> {
        Ok(Time { sec, nsec: u32::try_from(nsec).map_err(io::Error::other)? })
    };
    Ok(Stat {
        kind: kind_of(metadata.file_type()),
        device: metadata.dev(),
        inode: metadata.ino(),
        links: metadata.nlink(),
        mode: metadata.mode() & 0o7777,
        owner: metadata.uid(),
        len: metadata.len(),
        mtime: time(metadata.mtime(), metadata.mtime_nsec())?,
        ctime: time(metadata.ctime(), metadata.ctime_nsec())?,
    })
}

/// Without inode numbers two files of equal length and age look the same, and the time of the last write stands
/// in for ctime. That is too little to vouch on, and nothing is vouched where there is no boot id.
#[cfg(not(unix))]
fn stat_of(metadata: &fs::Metadata) -> io::Result<Stat> {
    let mtime = time_of(metadata.modified()?)?;
    Ok(Stat {
        kind: kind_of(metadata.file_type()),
        device: 0,
        inode: 0,
        links: 1,
        mode: 0,
        owner: NO_USER,
        len: metadata.len(),
        mtime,
        ctime: mtime,
    })
}

/// Seconds since 1970, rounded down, and the nanoseconds behind them, as Unix counts.
#[cfg(not(unix))]
fn time_of(time: SystemTime) -> io::Result<Time> {
    let (since, before) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (since, false),
        Err(error) => (error.duration(), true),
    };
    let sec = i64::try_from(since.as_secs()).map_err(io::Error::other)?;
    Ok(match (before, since.subsec_nanos()) {
        (false, nsec) => Time { sec, nsec },
        (true, 0) => Time { sec: -sec, nsec: 0 },
        (true, nsec) => Time { sec: -sec - 1, nsec: 1_000_000_000 - nsec },
    })
}

fn kind_of(file_type: fs::FileType) -> Kind {
    if file_type.is_file() {
        Kind::File
    } else if file_type.is_dir() {
        Kind::Dir
    } else if file_type.is_symlink() {
        Kind::Symlink
    } else {
        special_kind_of(file_type)
    }
}

#[cfg(unix)]
fn special_kind_of(file_type: fs::FileType) -> Kind {
    use std::os::unix::fs::FileTypeExt;
    if file_type.is_fifo() {
        Kind::Fifo
    } else if file_type.is_socket() {
        Kind::Socket
    } else {
        Kind::Device
    }
}

#[cfg(not(unix))]
fn special_kind_of(_file_type: fs::FileType) -> Kind {
    Kind::Device
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_read_at_any_offset_and_stat_agrees() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("source.c");
        fs::write(&path, "0123456789").unwrap();
        let file = open_source(&path).unwrap();
        let mut buf = [0; 4];
        assert_eq!(file.read_at(&mut buf, 8).unwrap(), 2);
        assert_eq!(&buf[..2], b"89");
        assert_eq!(file.read_at(&mut buf, 10).unwrap(), 0);
        assert_eq!(file.read_at(&mut buf, 0).unwrap(), 4);
        assert_eq!(&buf, b"0123");
        assert_eq!(file.stat().unwrap(), stat_source(&path).unwrap());
        assert_eq!(file.stat().unwrap().len, 10);
        assert_eq!(&*file.map(10, Pattern::Through).unwrap(), b"0123456789");
        assert_eq!(file.map(11, Pattern::Through).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_directory_is_no_source() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(open_source(temp.path()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(stat_source(temp.path()).unwrap().kind, Kind::Dir);
    }

    #[test]
    fn every_door_to_a_store_is_unsupported() {
        let temp = tempfile::tempdir().unwrap();
        let kind = io::ErrorKind::Unsupported;
        assert_eq!(open_root(temp.path()).unwrap_err().kind(), kind);
        assert_eq!(make_root(&temp.path().join("new")).unwrap_err().kind(), kind);
        assert_eq!(ancestors(temp.path()).unwrap_err().kind(), kind);
        assert_eq!(sealed(b"").unwrap_err().kind(), kind);
        assert!(!temp.path().join("new").exists());
    }

    #[test]
    fn random_bytes_differ_from_call_to_call_and_within_one() {
        let (mut one, mut two) = ([0; 20], [0; 20]);
        random(&mut one).unwrap();
        random(&mut two).unwrap();
        assert_ne!(one, two);
        assert_ne!(one[..8], one[8..16]);
    }
}
