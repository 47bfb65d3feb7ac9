//! Open directories and files of a simulated process, with every verb that `fs::Dir` and `fs::File` forward.
//!
//! Dropping one is the verb `close`. Memory maps are copies: a later write does not show in them.

use super::{
    super::{Access, FileSystem, Lock, Map, Pattern, Stat, Time},
    disk::{Mode, State},
    errno::{
        EBADF, EEXIST, EINVAL, EISDIR, ENODEV, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, ESPIPE, dead, errno, fail,
    },
    faults::Verb,
    inode::{Body, DirBody, FileBody, Index, Meta},
    process::{Call, Process},
    volume::{Listings, READ, Volume, WRITE},
    walk::plain,
};
use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

/// An open description, and its end.
struct Handle {
    process: Process,
    number: u32,
    index: Index,
    /// As it was opened; for traces only.
    path: PathBuf,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A dead process has lost its descriptions already: the error that says so is the expected one.
        let _ = self.process.step(Call::new(Verb::Close, &self.path), |state, _| {
            state.close(self.number);
            Ok(())
        });
    }
}

impl Handle {
    fn call(&self, verb: Verb) -> Call<'_> {
        Call { index: Some(self.index), ..Call::new(verb, &self.path) }
    }

    fn step<T>(&self, verb: Verb, run: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.process.step(self.call(verb), |state, _| run(state))
    }

    fn step_at<T>(
        &self,
        verb: Verb,
        rel: &Path,
        run: impl FnOnce(&mut State, u32) -> io::Result<T>,
    ) -> io::Result<T> {
        self.process.step(Call::at(verb, &self.path, rel), |state, _| {
            let user = state.user(self.process.id);
            run(state, user)
        })
    }

    fn try_lock(&self, verb: Verb, lock: Lock) -> io::Result<bool> {
        self.step(verb, |state| state.try_lock(self.number, lock))
    }

    fn sync(&self, verb: Verb) -> io::Result<()> {
        self.step(verb, |state| {
            state.volume.sync(self.index);
            Ok(())
        })
    }
}

/// An open directory of a simulated process.
pub struct Dir(Handle);

/// An open file of a simulated process.
pub struct File(Handle);

/// A directory that a simulated process holds, for what lies behind it. Its own way is walked anew each time,
/// from where it lies now: rights to search what is above it are asked for once too often.
pub struct SourceDir(Handle);

impl fmt::Debug for SourceDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceDir({})", self.0.path.display())
    }
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dir({})", self.0.path.display())
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({})", self.0.path.display())
    }
}

impl Dir {
    pub(super) fn new(process: Process, number: u32, index: Index, path: PathBuf) -> Dir {
        Dir(Handle { process, number, index, path })
    }

    fn file(&self, rel: &Path, (index, number): (Index, u32)) -> File {
        File::new(self.0.process.clone(), number, index, self.0.path.join(rel))
    }

    pub(crate) fn open_dir(&self, rel: &Path) -> io::Result<Dir> {
        let (index, number) = self.0.step_at(Verb::OpenDir, rel, |state, user| {
            let index = state.volume.find(self.0.index, rel, user)?;
            state.open_dir(self.0.process.id, index)
        })?;
        Ok(Dir::new(self.0.process.clone(), number, index, self.0.path.join(rel)))
    }

    pub(crate) fn reopen(&self) -> io::Result<Dir> {
        let (index, number) =
            self.0.step(Verb::OpenDir, |state| state.open_dir(self.0.process.id, self.0.index))?;
        Ok(Dir::new(self.0.process.clone(), number, index, self.0.path.clone()))
    }

    pub(crate) fn make_dir(&self, rel: &Path, mode: u32) -> io::Result<()> {
        self.0.step_at(Verb::MakeDir, rel, |state, _| {
            let body = |_| Body::Dir(DirBody::default());
            state.make_named(self.0.process.id, self.0.index, rel, mode, body).map(drop)
        })
    }

    /// Where a listing is not one look at one moment, opening the directory is a step of its own.
    pub(crate) fn list(&self) -> io::Result<Vec<OsString>> {
        let is_one_look = self.0.process.disk.lock().volume.listings == Listings::AtOnce;
        if is_one_look {
            return self.0.step(Verb::List, |state| state.names(self.0.index));
        }
        let before = self.0.step(Verb::OpenDir, |state| state.names(self.0.index))?;
        self.0.step(Verb::List, |state| state.names_since(self.0.process.id, self.0.index, before))
    }

    pub(crate) fn open(&self, rel: &Path, access: Access) -> io::Result<File> {
        let opened = self.0.step_at(Verb::Open, rel, |state, user| {
            let index = state.volume.find(self.0.index, rel, user)?;
            state.open_file(self.0.process.id, index, access)
        })?;
        Ok(self.file(rel, opened))
    }

    pub(crate) fn create(&self, rel: &Path, mode: u32) -> io::Result<File> {
        let opened = self.0.step_at(Verb::Create, rel, |state, _| self.make_file(state, rel, mode))?;
        Ok(self.file(rel, opened))
    }

    pub(crate) fn open_or_create(&self, rel: &Path) -> io::Result<File> {
        let opened = self.0.step_at(Verb::OpenOrCreate, rel, |state, user| {
            if state.volume.place(self.0.index, rel, user)?.index.is_none() {
                return self.make_file(state, rel, 0o600);
            }
            let index = state.volume.find(self.0.index, rel, user)?;
            state.may_open(self.0.process.id, index, READ | WRITE)?;
            Ok((index, state.open(self.0.process.id, index, Some(Mode::ReadWrite))))
        })?;
        Ok(self.file(rel, opened))
    }

    fn make_file(&self, state: &mut State, rel: &Path, mode: u32) -> io::Result<(Index, u32)> {
        let process = self.0.process.id;
        let body = |meta| Body::File(FileBody::empty(meta));
        let index = state.make_named(process, self.0.index, rel, mode, body)?;
        Ok((index, state.open(process, index, Some(Mode::ReadWrite))))
    }

    pub(crate) fn stat(&self, rel: &Path) -> io::Result<Stat> {
        self.0.step_at(Verb::Stat, rel, |state, user| {
            let found = state.volume.place(self.0.index, rel, user)?.index;
            state.volume.stat(found.ok_or_else(|| errno(ENOENT))?)
        })
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let call = Call { to: Some(to), ..Call::at(Verb::Rename, &self.0.path, from) };
        self.0.process.step(call, |state, _| {
            let user = state.user(self.0.process.id);
            state.volume.rename((self.0.index, from), (self.0.index, to), user)
        })
    }

    pub(crate) fn unlink(&self, rel: &Path) -> io::Result<()> {
        self.0.step_at(Verb::Unlink, rel, |state, user| {
            state.remove(self.0.index, rel, user, |volume, index| match &volume.inode(index)?.body {
                Body::Dir(_) => fail(EISDIR),
                _ => Ok(()),
            })
        })
    }

    pub(crate) fn remove_dir(&self, rel: &Path) -> io::Result<()> {
        self.0.step_at(Verb::RemoveDir, rel, |state, user| {
            state.remove(self.0.index, rel, user, |volume, index| match &volume.inode(index)?.body {
                Body::Dir(dir) if dir.live.is_empty() => Ok(()),
                Body::Dir(_) => fail(ENOTEMPTY),
                _ => fail(ENOTDIR),
            })
        })
    }

    pub(crate) fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        self.0.try_lock(Verb::LockDir, lock)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync(Verb::SyncDir)
    }

    pub(crate) fn sync_fs(&self) -> io::Result<()> {
        let call = Call { index: None, ..self.0.call(Verb::SyncFs) };
        self.0.process.step(call, |state, _| {
            state.volume.sync_all();
            Ok(())
        })
    }

    pub(crate) fn stat_self(&self) -> io::Result<Stat> {
        self.0.step(Verb::StatDir, |state| state.volume.stat(self.0.index))
    }

    pub(crate) fn file_system(&mut self) -> io::Result<FileSystem> {
        self.0.step(Verb::FileSystem, |state| Ok(state.volume.file_system.clone()))
    }

    pub(crate) fn path_now(&self) -> io::Result<PathBuf> {
        self.0.step(Verb::PathNow, |state| state.volume.path_of(self.0.index))
    }
}

impl SourceDir {
    pub(super) fn new(process: Process, number: u32, index: Index, path: PathBuf) -> SourceDir {
        SourceDir(Handle { process, number, index, path })
    }

    pub(crate) fn open_source(&self, rel: &Path) -> io::Result<File> {
        let (index, number) = self.0.step_at(Verb::OpenSource, rel, |state, user| {
            let index = state.volume.follow_behind(self.0.index, rel, user)?;
            state.open_file(self.0.process.id, index, Access::Read)
        })?;
        Ok(File::new(self.0.process.clone(), number, index, self.0.path.join(rel)))
    }

    pub(crate) fn stat_source(&self, rel: &Path) -> io::Result<Stat> {
        self.0.step_at(Verb::StatSource, rel, |state, user| {
            let index = state.volume.follow_behind(self.0.index, rel, user)?;
            state.volume.stat(index)
        })
    }
}

impl File {
    pub(super) fn new(process: Process, number: u32, index: Index, path: PathBuf) -> File {
        File(Handle { process, number, index, path })
    }

    pub(crate) fn stat(&self) -> io::Result<Stat> {
        self.0.step(Verb::StatFile, |state| state.volume.stat(self.0.index))
    }

    pub(crate) fn stamps_changes(&self) -> io::Result<bool> {
        self.0.step(Verb::StampsChanges, |state| Ok(state.volume.stamps_changes))
    }

    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let call = Call { bytes: buf.len(), ..self.0.call(Verb::ReadAt) };
        self.0.process.step(call, |state, limit| {
            let bytes = state.volume.bytes(self.0.index)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let count = buf.len().min(bytes.len() - start).min(limit);
            buf[..count].copy_from_slice(&bytes[start..start + count]);
            Ok(count)
        })
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let call = Call { bytes: bytes.len(), ..self.0.call(Verb::Write) };
        self.0.process.step(call, |state, limit| {
            let Some(description) = state.descriptions.get(&self.0.number) else { return Err(dead()) };
            let offset = match description.access {
                Some(Mode::ReadWrite) => description.cursor,
                Some(Mode::Only(Access::Append)) => state.volume.inode(self.0.index)?.len(),
                Some(Mode::Only(Access::Read)) | None => return fail(EBADF),
            };
            match state.volume.file(self.0.index) {
                Some(file) if file.anonymous => return fail(EPERM),
                Some(_) => {}
                None => return fail(EINVAL),
            }
            let count = state.volume.write(self.0.index, offset, &bytes[..bytes.len().min(limit)])?;
            if let Some(description) = state.descriptions.get_mut(&self.0.number) {
                description.cursor = offset + count;
            }
            Ok(count)
        })
    }

    pub(crate) fn set_mtime(&self, time: Time) -> io::Result<()> {
        self.set_meta(Verb::SetMtime, |meta| meta.mtime = time)
    }

    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.set_meta(Verb::SetMode, |meta| meta.mode = mode & 0o7777)
    }

    fn set_meta(&self, verb: Verb, f: impl FnOnce(&mut Meta)) -> io::Result<()> {
        self.0.step(verb, |state| {
            state.may_change_meta(self.0.process.id, self.0.index)?;
            state.volume.set_meta(self.0.index, f);
            Ok(())
        })
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync(Verb::SyncFile)
    }

    pub(crate) fn try_lock(&self, lock: Lock) -> io::Result<bool> {
        self.0.try_lock(Verb::LockFile, lock)
    }

    /// A copy; `len` must be more than 0, as for `mmap`. A file that is shorter is an error here, where a
    /// kernel would raise SIGBUS at the first touch.
    pub(crate) fn map(&self, len: u64, _: Pattern) -> io::Result<Map> {
        self.0.step(Verb::Map, |state| {
            if state.volume.dir(self.0.index).is_ok() {
                return fail(ENODEV);
            }
            let bytes = state.volume.bytes(self.0.index)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            match bytes.get(..len) {
                Some([]) => fail(EINVAL),
                Some(bytes) => Ok(Map::Bytes(bytes.to_vec())),
                None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            }
        })
    }

    pub(crate) fn to_std(&self) -> io::Result<std::fs::File> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

impl State {
    /// Takes a name away if `check` agrees.
    fn remove(
        &mut self,
        dir: Index,
        rel: &Path,
        user: u32,
        check: impl FnOnce(&Volume, Index) -> io::Result<()>,
    ) -> io::Result<()> {
        let place = self.volume.place(dir, rel, user)?;
        let index = place.index.ok_or_else(|| errno(ENOENT))?;
        check(&self.volume, index)?;
        self.volume.may_change_names(place.dir, user)?;
        self.volume.set_name(place.dir, &place.name, None);
        self.forget(index);
        Ok(())
    }
}

impl Volume {
    /// The bytes of a regular file.
    fn bytes(&self, index: Index) -> io::Result<&[u8]> {
        match &self.inode(index)?.body {
            Body::File(file) => Ok(&file.live),
            Body::Dir(_) => fail(EISDIR),
            Body::Fifo => fail(ESPIPE),
            Body::Symlink(_) => fail(EINVAL),
        }
    }

    /// Gives an inode another name, unless that is taken.
    fn rename(&mut self, from: (Index, &Path), to: (Index, &Path), user: u32) -> io::Result<()> {
        plain(to.1)?;
        let old = self.place(from.0, from.1, user)?;
        let new = self.place(to.0, to.1, user)?;
        let index = old.index.ok_or_else(|| errno(ENOENT))?;
        if new.index.is_some() {
            return fail(EEXIST);
        }
        self.may_change_names(old.dir, user)?;
        self.may_change_names(new.dir, user)?;
        let mut above = Some(new.dir);
        while let Some(dir) = above {
            if dir == index {
                return fail(EINVAL);
            }
            above = self.dir(dir)?.parent;
        }
        self.set_name(old.dir, &old.name, None);
        self.set_name(new.dir, &new.name, Some(index));
        Ok(())
    }
}
