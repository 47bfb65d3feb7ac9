//! **remove**: the only way on which a published name goes (I2, I12).
//!
//! ```text
//! open, flock exclusive without waiting      refused: leased or busy, leave it
//! the name must still lead to this inode     else it is another's object
//! what was to be true must still be          nothing names it, or its bytes are wrong
//! unlink, or rename to quarantine
//! close                                      frees the lock
//! ```

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Lease, Objects, hash_of};
use crate::{
    digest::ObjectDigest,
    error::Trouble,
    fs::{self, Access, File, Lock, Stat},
    layout,
    planted::{self, Bug},
};

/// The quarantine is for people who look into a damage; it keeps the newest so many files ..
const QUARANTINE_FILES_MAX: usize = 16;
/// .. and so many bytes.
const QUARANTINE_BYTES_MAX: u64 = 64 << 20;

/// What becomes of a removed object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposal {
    Unlink,
    Quarantine,
}

/// What becomes of the quarantine's oldest files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pruning {
    Remove,
    /// They are only counted.
    Count,
}

/// What a removal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    Yes,
    /// Nothing has the name.
    Missing,
    /// Leased, busy, another's by now, or there is no reason any more.
    Left,
}

impl Objects {
    /// Removes an object if `still` holds under the exclusive lock.
    pub(crate) fn remove(
        &self,
        digest: &ObjectDigest,
        disposal: Disposal,
        still: &mut dyn FnMut(&Stat) -> bool,
    ) -> Result<Removed, Trouble> {
        let name = layout::object(digest);
        let file = match self.dir.open(&name, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removed::Missing),
            Err(error) if fs::is_wrong_kind(&error) => return self.remove_wrong_kind(digest),
            Err(error) => return Err(Trouble::of("open", &name)(error)),
        };
        self.remove_open(digest, &file, disposal, still)
    }

    /// Removes a leased object whose bytes are wrong. The lease is converted on its own description; a refused
    /// conversion has lost it, and closing is all that is left.
    pub(crate) fn remove_leased(&self, digest: &ObjectDigest, lease: Lease) -> Result<Removed, Trouble> {
        let Lease { file, .. } = lease;
        let mut still_wrong = |_: &Stat| hash_of(&file).is_ok_and(|now| now != *digest);
        self.remove_open(digest, &file, Disposal::Quarantine, &mut still_wrong)
    }

    /// Removes a leased object that has a second name elsewhere; the file lives on under that.
    pub(super) fn remove_linked(&self, digest: &ObjectDigest, lease: Lease) -> Result<Removed, Trouble> {
        let mut still_linked = |stat: &Stat| stat.links > 1;
        self.remove_open(digest, &lease.file, Disposal::Unlink, &mut still_linked)
    }

    fn remove_open(
        &self,
        digest: &ObjectDigest,
        file: &File,
        disposal: Disposal,
        still: &mut dyn FnMut(&Stat) -> bool,
    ) -> Result<Removed, Trouble> {
        let name = &layout::object(digest);
        if !file.try_lock(Lock::Exclusive).map_err(Trouble::of("lock", name))? {
            return Ok(Removed::Left);
        }
        let stat = file.stat().map_err(Trouble::of("examine", name))?;
        let leads = self.leads_to(name, &stat) || planted::is(Bug::NameNotRechecked);
        let mut holds = |stat: &Stat| planted::is(Bug::ReasonNotRechecked) || still(stat);
        if !leads || !holds(&stat) {
            return Ok(Removed::Left);
        }
        match disposal {
            Disposal::Unlink => self.dir.unlink(name).map_err(Trouble::of("remove", name))?,
            Disposal::Quarantine => {
                self.set_aside(digest)?;
            }
        }
        Ok(Removed::Yes)
    }

    /// Sets aside what has an object's name and is no file: a directory, a symlink, a FIFO.
    pub(crate) fn remove_wrong_kind(&self, digest: &ObjectDigest) -> Result<Removed, Trouble> {
        self.remove_unlockable(digest, &|path| {
            self.dir.stat(path).is_ok_and(|stat| stat.kind == fs::Kind::File)
        })
    }

    /// Sets aside an object that this user may not open. Whoever leases it reads on; its path led nowhere since
    /// it was closed.
    pub(super) fn remove_closed(&self, digest: &ObjectDigest) -> Result<Removed, Trouble> {
        self.remove_unlockable(digest, &|path| {
            let opened = self.dir.open(path, Access::Read);
            !opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        })
    }

    /// Sets aside what cannot be locked. Should it be `fine` after all, because somebody put a right object there
    /// meanwhile, that gets its name back.
    fn remove_unlockable(
        &self,
        digest: &ObjectDigest,
        fine: &dyn Fn(&Path) -> bool,
    ) -> Result<Removed, Trouble> {
        let name = layout::object(digest);
        if fine(&name) {
            return Ok(Removed::Left);
        }
        let aside = self.set_aside(digest)?;
        if fine(&aside) {
            self.dir.rename(&aside, &name).map_err(Trouble::of("give back", &name))?;
            return Ok(Removed::Left);
        }
        Ok(Removed::Yes)
    }

    fn set_aside(&self, digest: &ObjectDigest) -> Result<PathBuf, Trouble> {
        let name = layout::object(digest);
        let token = self.fs.random().map_err(Trouble::of("ask for random bytes", "getrandom".as_ref()))?;
        let aside = layout::quarantined(digest, token);
        let rename = || self.dir.rename(&name, &aside);
        self.dir.with_parent(layout::QUARANTINE.as_ref(), rename).map_err(Trouble::of("set aside", &name))?;
        self.prune_quarantine(Pruning::Remove);
        Ok(aside)
    }

    /// Where the last thing of this name was set aside, if it still is there.
    pub(crate) fn aside(&self, digest: &ObjectDigest) -> Option<PathBuf> {
        let names = self.dir.open_dir(layout::QUARANTINE.as_ref()).and_then(|dir| dir.list()).ok()?;
        let of_it = names.iter().filter(|name| layout::is_quarantined_as(digest, name));
        let paths = of_it.map(|name| Path::new(layout::QUARANTINE).join(name));
        paths.max_by_key(|path| self.dir.stat(path).map(|stat| stat.ctime).ok())
    }

    /// Drops the oldest of what was set aside beyond the bounds, and says how many. Failing costs space only.
    pub(crate) fn prune_quarantine(&self, pruning: Pruning) -> u64 {
        let Ok(dir) = self.dir.open_dir(layout::QUARANTINE.as_ref()) else { return 0 };
        let Ok(names) = dir.list() else { return 0 };
        let ours = names.iter().filter(|name| layout::is_quarantined(name)).map(Path::new);
        // Below the directory itself: one call for each.
        let mut kept: Vec<_> = ours.filter_map(|name| dir.stat(name).ok().map(|stat| (stat, name))).collect();
        kept.sort_by_key(|(stat, _)| std::cmp::Reverse(stat.ctime));
        let (mut bytes, mut pruned) = (0u64, 0);
        for (place, (stat, name)) in kept.iter().enumerate() {
            bytes = bytes.saturating_add(stat.len);
            if place >= QUARANTINE_FILES_MAX || bytes > QUARANTINE_BYTES_MAX {
                // A directory that was set aside stays: it may hold what is not ours to delete.
                let is_gone = match pruning {
                    Pruning::Remove => dir.unlink(name).is_ok(),
                    Pruning::Count => stat.kind != fs::Kind::Dir,
                };
                pruned += u64::from(is_gone);
            }
        }
        pruned
    }
}
