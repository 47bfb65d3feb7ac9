//! The verbs of a process that need no open directory, as `fs::Fs` forwards them.

use super::{
    super::{Access, Ancestors, Stat},
    disk::{Mode, State},
    errno::{EEXIST, EISDIR, ENOENT, ENOTDIR, EPERM, EROFS, fail},
    faults::Verb,
    handles::{Dir, File, SourceDir},
    inode::{Body, DirBody, FileBody, Index, Meta},
    process::{Call, Process},
    volume::{Listings, READ, WRITE},
};
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

impl Process {
    pub(crate) fn open_root(&self, path: &Path) -> io::Result<Dir> {
        let (index, number) = self.step(Call::new(Verb::OpenRoot, path), |state, _| {
            let index = state.volume.follow(path, state.user(self.id))?.end(&state.volume)?;
            state.open_dir(self.id, index)
        })?;
        Ok(Dir::new(self.clone(), number, index, path.to_path_buf()))
    }

    /// Each directory that is made is a step of its own.
    pub(crate) fn make_root(&self, path: &Path) -> io::Result<()> {
        loop {
            let is_complete = self.step(Call::new(Verb::MakeRoot, path), |state, _| {
                let user = state.user(self.id);
                let trail = state.volume.follow(path, user)?;
                let Some((_, dir)) = trail.found.last() else { return fail(ENOENT) };
                state.volume.dir(*dir)?;
                let Some(name) = trail.missing.first() else { return Ok(true) };
                if name == ".." {
                    return fail(ENOENT);
                }
                state.volume.may_change_names(*dir, user)?;
                let index = state.volume.make(0o700, user, |_| Body::Dir(DirBody::default()));
                state.volume.set_name(*dir, &name.as_os_str().into(), Some(index));
                Ok(trail.missing.len() == 1)
            })?;
            if is_complete {
                return Ok(());
            }
        }
    }

    pub(crate) fn ancestors(&self, path: &Path) -> io::Result<Ancestors> {
        self.step(Call::new(Verb::Ancestors, path), |state, _| {
            let trail = state.volume.follow(path, state.user(self.id))?;
            if trail.missing.iter().any(|name| name == "..") {
                let what = "`..` behind a directory that does not exist";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            let mut resolved = trail.found.last().map_or_else(PathBuf::new, |(path, _)| path.clone());
            resolved.extend(&trail.missing);
            let stat = |(path, index)| Ok((path, state.volume.stat(index)?));
            let existing = trail.found.into_iter().map(stat).collect::<io::Result<_>>()?;
            Ok(Ancestors { resolved, existing })
        })
    }

    pub(crate) fn open_source(&self, path: &Path) -> io::Result<File> {
        let (index, number) = self.step(Call::new(Verb::OpenSource, path), |state, _| {
            let index = state.volume.follow(path, state.user(self.id))?.end(&state.volume)?;
            state.open_file(self.id, index, Access::Read)
        })?;
        Ok(File::new(self.clone(), number, index, path.to_path_buf()))
    }

    pub(crate) fn stat_source(&self, path: &Path) -> io::Result<Stat> {
        self.step(Call::new(Verb::StatSource, path), |state, _| {
            let index = state.volume.follow(path, state.user(self.id))?.end(&state.volume)?;
            state.volume.stat(index)
        })
    }

    pub(crate) fn open_source_dir(&self, path: &Path) -> io::Result<SourceDir> {
        let (index, number) = self.step(Call::new(Verb::OpenSourceDir, path), |state, _| {
            let index = state.volume.follow(path, state.user(self.id))?.end(&state.volume)?;
            state.volume.dir(index)?;
            Ok((index, state.open(self.id, index, None)))
        })?;
        Ok(SourceDir::new(self.clone(), number, index, path.to_path_buf()))
    }

    pub(crate) fn boot_id(&self) -> Option<[u8; 16]> {
        self.disk.lock().volume.boot
    }

    pub(crate) fn now(&self) -> SystemTime {
        let state = self.disk.lock();
        let own = state.processes.get(&self.id).map_or(Duration::ZERO, |life| life.afterlife);
        SystemTime::UNIX_EPOCH + Duration::from_nanos(state.volume.clock) + own
    }

    /// Moves the clock for everyone; for a dead process, for itself alone, so that its loops end.
    pub(crate) fn pause(&self, duration: Duration) {
        let waited = self.step(Call::new(Verb::Pause, Path::new("")), |state, _| {
            state.volume.advance_clock(duration);
            Ok(())
        });
        if waited.is_err()
            && let Ok(life) = self.disk.lock().life(self.id)
        {
            life.afterlife += duration;
        }
    }

    pub(crate) fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.step(Call::new(Verb::Random, Path::new("")), |state, _| {
            state.life(self.id)?.random.fill(bytes);
            Ok(())
        })
    }

    pub(crate) fn size(&self, name: &'static str, usual: u64) -> u64 {
        self.disk.lock().volume.sizes.get(name).copied().unwrap_or(usual)
    }

    pub(crate) fn user(&self) -> u32 {
        self.disk.lock().user(self.id)
    }

    pub(crate) fn sealed(&self, bytes: &[u8]) -> io::Result<File> {
        let (index, number) = self.step(Call::new(Verb::Sealed, Path::new("")), |state, _| {
            let user = state.user(self.id);
            let live = Arc::new(bytes.to_vec());
            let index = state.volume.make(0o777, user, |meta| {
                Body::File(FileBody { live, anonymous: true, ..FileBody::empty(meta) })
            });
            Ok((index, state.open(self.id, index, Some(Mode::ReadWrite))))
        })?;
        Ok(File::new(self.clone(), number, index, PathBuf::from("(sealed)")))
    }
}

impl State {
    /// Opens a directory.
    pub(super) fn open_dir(&mut self, process: u64, index: Index) -> io::Result<(Index, u32)> {
        self.volume.dir(index)?;
        self.volume.may(index, self.user(process), READ)?;
        Ok((index, self.open(process, index, None)))
    }

    /// Opens what exists, of whatever kind, without waiting.
    pub(super) fn open_file(
        &mut self,
        process: u64,
        index: Index,
        access: Access,
    ) -> io::Result<(Index, u32)> {
        let wanted = if access == Access::Append { READ | WRITE } else { READ };
        self.may_open(process, index, wanted)?;
        Ok((index, self.open(process, index, Some(Mode::Only(access)))))
    }

    /// Whether a process may open an inode like this.
    pub(super) fn may_open(&self, process: u64, index: Index, wanted: u32) -> io::Result<()> {
        let is_writing = wanted & WRITE != 0;
        self.volume.may(index, self.user(process), wanted)?;
        match self.volume.inode(index)?.body {
            Body::Dir(_) if is_writing => fail(EISDIR),
            _ if is_writing && self.volume.read_only => fail(EROFS),
            _ => Ok(()),
        }
    }

    /// Makes an inode under a new name.
    pub(super) fn make_named(
        &mut self,
        process: u64,
        dir: Index,
        rel: &Path,
        mode: u32,
        body: impl FnOnce(Meta) -> Body,
    ) -> io::Result<Index> {
        let user = self.user(process);
        let place = self.volume.place(dir, rel, user)?;
        if place.index.is_some() {
            return fail(EEXIST);
        }
        self.volume.may_change_names(place.dir, user)?;
        let index = self.volume.make(mode, user, body);
        self.volume.set_name(place.dir, &place.name, Some(index));
        Ok(index)
    }

    /// Whether a process may change mode and times of an inode: its owner may.
    pub(super) fn may_change_meta(&self, process: u64, index: Index) -> io::Result<()> {
        let user = self.user(process);
        if self.volume.read_only {
            return fail(EROFS);
        }
        if user == 0 || self.volume.inode(index)?.meta.owner == user { Ok(()) } else { fail(EPERM) }
    }

    /// The names in a directory.
    pub(super) fn names(&self, dir: Index) -> io::Result<Vec<OsString>> {
        match &self.volume.inode(dir)?.body {
            Body::Dir(body) => Ok(body.live.keys().map(|name| name.to_os_string()).collect()),
            _ => fail(ENOTDIR),
        }
    }

    /// What a listing shows that began when these names were there.
    pub(super) fn names_since(
        &mut self,
        process: u64,
        dir: Index,
        before: Vec<OsString>,
    ) -> io::Result<Vec<OsString>> {
        let mut now = self.names(dir)?;
        if self.volume.listings == Listings::SinceOpening {
            now.retain(|name| before.contains(name));
            return Ok(now);
        }
        let gone: Vec<_> = before.iter().filter(|name| !now.contains(name)).cloned().collect();
        let random = &mut self.life(process)?.random;
        now.retain(|name| before.contains(name) || random.below(2) == 0);
        now.extend(gone.into_iter().filter(|_| random.below(2) == 0));
        Ok(now)
    }
}
