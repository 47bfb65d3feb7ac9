//! Where a build works: a directory in staging, or (without a store) in the system's temporary directory.
//! It goes when its owner does.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    error::Trouble,
    fs::{Access, Dir, File, Fs, Lock, Stat, Time},
    layout,
    sync::{Arc, Maker},
};

/// A directory for one build.
#[derive(Debug)]
pub(super) enum Scratch {
    Staging {
        v1: Arc<Dir>,
        /// Relative to `v1`.
        name: PathBuf,
        /// Holds the lock that keeps the reaper away.
        dir: Dir,
        /// For the build: absolute.
        path: PathBuf,
        maker: Maker,
    },
    Temporary {
        dir: tempfile::TempDir,
        maker: Maker,
    },
}

/// The longest path that the kernel takes, with the zero behind it, and the longest name: a compiler must be
/// able to write any output where it was told to.
const PATH_BYTES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 255;

/// A path that leads to the directory also when the store was renamed under this handle.
fn path_to(fs: &Fs, dir: &Dir, path: PathBuf) -> PathBuf {
    let leads = |own: &Stat| fs.stat_source(&path).is_ok_and(|named| named.same_inode(own));
    if dir.stat_self().is_ok_and(|own| leads(&own)) { path } else { dir.path_now().unwrap_or(path) }
}

impl Scratch {
    pub(super) fn in_staging(fs: &Fs, v1: &Arc<Dir>, v1_path: &Path) -> Result<Scratch, Trouble> {
        let token = fs.random().map_err(Trouble::of("ask for random bytes", "getrandom".as_ref()))?;
        let name = layout::scratch(token);
        let make = || v1.make_dir(&name, 0o700);
        v1.with_parent(layout::STAGING.as_ref(), make).map_err(Trouble::of("make", &name))?;
        let dir = v1.open_dir(&name).map_err(Trouble::of("open", &name))?;
        let path = path_to(fs, &dir, v1_path.join(&name));
        let scratch = Scratch::Staging { v1: v1.clone(), path, name, dir, maker: Maker::here() };
        let Scratch::Staging { dir, name, path, .. } = &scratch else { return Ok(scratch) };
        if path.as_os_str().len() + 1 + NAME_BYTES_MAX >= PATH_BYTES_MAX {
            return Err(Trouble::of("build in", name)(io::ErrorKind::InvalidFilename.into()));
        }
        let locked = dir.try_lock(Lock::Shared).map_err(Trouble::of("lock", name))?;
        // The reaper may have taken it before it was locked.
        if !locked || v1.stat(name).is_err() {
            return Err(Trouble::of("keep", name)(io::ErrorKind::NotFound.into()));
        }
        Ok(scratch)
    }

    pub(super) fn temporary() -> io::Result<Scratch> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("plugcache-");
        // What lies in it is executed: private from its first moment, whatever the umask.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        builder.tempdir().map(|dir| Scratch::Temporary { dir, maker: Maker::here() })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Scratch::Staging { path, .. } => path,
            Scratch::Temporary { dir, .. } => dir.path(),
        }
    }

    /// Makes (or makes anew) a file in it.
    pub(super) fn write(&self, fs: &Fs, name: &Path, bytes: &[u8]) -> io::Result<File> {
        self.with_dir(fs, |dir| {
            match dir.unlink(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = dir.create(name, 0o600)?;
            file.set_mode(0o600)?;
            let mut rest = bytes;
            while !rest.is_empty() {
                match file.write(rest)? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    len => rest = &rest[len..],
                }
            }
            Ok(file)
        })
    }

    /// Opens for reading what was written, if its name still leads to that very file.
    pub(super) fn reopen(&self, fs: &Fs, name: &Path, written: &File) -> io::Result<File> {
        self.with_dir(fs, |dir| {
            let file = dir.open(name, Access::Read)?;
            let is_same = file.stat()?.same_inode(&written.stat()?);
            is_same.then_some(file).ok_or_else(|| io::Error::other("it was exchanged"))
        })
    }

    fn with_dir<T>(&self, fs: &Fs, operation: impl FnOnce(&Dir) -> io::Result<T>) -> io::Result<T> {
        match self {
            Scratch::Staging { dir, .. } => operation(dir),
            Scratch::Temporary { dir, .. } => operation(&fs.open_root(dir.path())?),
        }
    }

    /// A time of the kernel's own file clock, later than that of every change before this call.
    ///
    /// Kernels from 6.13 on give a change its exact time if the time before was looked at; others round down
    /// to a tick of 1 to 10 ms, so that a change in the same tick counts as made after this call.
    pub(super) fn mark(&self, fs: &Fs) -> io::Result<Time> {
        self.with_dir(fs, |dir| {
            let name = Path::new(".mark");
            let file = dir.create(name, 0o600)?;
            file.stat()?;
            file.set_mode(0o400)?;
            let mark = file.stat()?.ctime;
            dir.unlink(name)?;
            Ok(mark)
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        match self {
            Scratch::Staging { v1, name, dir, maker, .. } if maker.is_here() => {
                // Litter at worst: the next sweep takes it.
                let _ = dir.empty();
                let _ = v1.remove_dir(name);
            }
            Scratch::Staging { .. } => {}
            Scratch::Temporary { dir, maker } => dir.disable_cleanup(!maker.is_here()),
        }
    }
}
