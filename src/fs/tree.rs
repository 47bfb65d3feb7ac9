//! Opening a judged path, removing all that a directory holds, and making a directory with its parents: what is made of
//! other verbs.

use std::{io, path::Path};

use super::{Dir, Fs, Kind, os};

/// A tree that nests deeper than this is left as it is from there on.
const DEPTH_MAX: usize = 64;

impl Fs {
    /// Opens a directory by a path whose symlinks are resolved: one that got into it since is an error.
    pub(crate) fn open_resolved(&self, path: &Path) -> io::Result<Dir> {
        match self {
            Fs::Os => os::open_resolved(path).map(Dir::Os),
            #[cfg(any(test, fuzzing, feature = "__sim"))]
            Fs::Sim(process) => {
                let (parent, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
                process.open_root(parent)?.open_dir(name.as_ref()).map(Dir::Sim)
            }
        }
    }
}

impl Dir {
    /// Removes everything below this directory, following no link. What cannot be removed ends it with an error.
    pub(crate) fn empty(&self) -> io::Result<()> {
        empty(self, DEPTH_MAX)
    }

    /// Makes a directory below this one and its missing parents, each 0700; what is there already is fine. Their
    /// names are durable when this returns: it is called where a tree is incomplete, which is so rare that the
    /// syncs cost nothing, and whoever promises durability need not ask who made what.
    pub(crate) fn make_dirs(&self, rel: &Path) -> io::Result<()> {
        let parent = rel.parent().filter(|parent| !parent.as_os_str().is_empty());
        let make = || match self.make_dir(rel, 0o700) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        };
        match (make(), parent) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
                self.make_dirs(parent)?;
                make()?;
            }
            (made, _) => made?,
        }
        match parent {
            Some(parent) => self.open_dir(parent)?.sync(),
            None => self.sync(),
        }
    }

    /// Runs `operation`, and once more with the directory `parent` made if that was missing: a tree whose making
    /// was cut short, or one that somebody tidied up.
    pub(crate) fn with_parent<T>(
        &self,
        parent: &Path,
        operation: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_dirs(parent)?;
                operation()
            }
            done => done,
        }
    }
}

fn empty(dir: &Dir, depth: usize) -> io::Result<()> {
    for name in dir.list()? {
        let path = Path::new(&name);
        if dir.stat(path)?.kind == Kind::Dir && depth > 0 {
            empty(&dir.open_dir(path)?, depth - 1)?;
            dir.remove_dir(path)?;
        } else {
            dir.unlink(path)?;
        }
    }
    Ok(())
}
