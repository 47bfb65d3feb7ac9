//! What killed processes leave behind: staged files and builds, lock files of builds, objects without an entry.
//!
//! Everything staged or in flight is locked by its owner while that lives (I12): what can be locked exclusively
//! is nobody's. Names that are not of our making are not touched (I20). Runs after a compaction, which is seldom;
//! it lists 259 directories and opens nothing that an entry names.

use std::{collections::HashSet, io, path::Path};

use super::{Sweep, Swept, Unnamed};
use crate::{
    digest::ObjectDigest,
    fs::{Access, Dir, Lock, Stat},
    layout::{self, Litter},
};

impl Sweep<'_> {
    /// Removes litter, as far as it is nobody's. What fails is found again next time.
    pub(crate) fn litter(&self, v1: &Dir) -> Swept {
        let mut swept = Swept { left_behind: self.reap(v1, Reaping::Remove), ..Swept::default() };
        self.orphans(v1);
        swept.add(self.remove_unnamed());
        swept
    }

    /// What is staged or in flight and nobody's, removed or only counted.
    pub(super) fn reap(&self, v1: &Dir, reaping: Reaping) -> u64 {
        let mut reaped = 0;
        for dir in [layout::STAGING, layout::INFLIGHT] {
            for found in names_in(v1, dir.as_ref()).iter().filter_map(|name| Litter::parse(dir, name)) {
                let done = match found {
                    Litter::File(path) => reap_file(v1, &path, reaping),
                    Litter::Dir(path) => reap_dir(v1, &path, reaping),
                };
                // One that is in use, or went meanwhile, is not ours to clear.
                reaped += u64::from(done.unwrap_or(false));
            }
        }
        reaped
    }

    /// Finds objects that no entry names: an add that was killed before its PUT, an eviction cut short.
    pub(super) fn orphans(&self, v1: &Dir) {
        if self.manifest.is_partly_unknown() || self.manifest.refresh().is_err() {
            return;
        }
        let named = self.named(None);
        let waiting: HashSet<[u8; 32]> = self.pending().iter().map(|unnamed| unnamed.object).collect();
        for first in 0..layout::SHARDS {
            let shard = layout::shard(first as u8);
            let objects =
                names_in(v1, &shard).into_iter().filter_map(|name| layout::object_named(first as u8, &name));
            let orphans = objects.filter(|object| !named.contains_key(object) && !waiting.contains(object));
            let found = orphans.filter_map(|object| {
                let stat = v1.stat(&layout::object(&ObjectDigest::from_bytes(object))).ok()?;
                Some(Unnamed::found(object, &stat))
            });
            self.pending().extend(found);
        }
    }
}

fn names_in(v1: &Dir, dir: &Path) -> Vec<std::ffi::OsString> {
    v1.open_dir(dir).and_then(|dir| dir.list()).unwrap_or_default()
}

/// What becomes of litter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaping {
    Remove,
    /// It is only counted.
    Count,
}

fn reap_file(v1: &Dir, path: &Path, reaping: Reaping) -> io::Result<bool> {
    let file = v1.open(path, Access::Read)?;
    let is_litter = file.try_lock(Lock::Exclusive)? && leads_to(v1, path, &file.stat()?);
    if is_litter && reaping == Reaping::Remove {
        v1.unlink(path)?;
    }
    Ok(is_litter)
}

fn reap_dir(v1: &Dir, path: &Path, reaping: Reaping) -> io::Result<bool> {
    let dir = v1.open_dir(path)?;
    let is_litter = dir.try_lock(Lock::Exclusive)? && leads_to(v1, path, &dir.stat_self()?);
    if is_litter && reaping == Reaping::Remove {
        dir.empty()?;
        v1.remove_dir(path)?;
    }
    Ok(is_litter)
}

fn leads_to(v1: &Dir, path: &Path, stat: &Stat) -> bool {
    v1.stat(path).is_ok_and(|named| named.same_inode(stat))
}
