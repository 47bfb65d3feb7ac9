//! Removing all that a directory holds: the one operation that is made of other verbs.

use std::{io, path::Path};

use super::{Dir, Kind};

/// A tree that nests deeper than this is left as it is from there on.
const DEPTH_MAX: usize = 64;

impl Dir {
    /// Removes everything below this directory, following no link. What cannot be removed ends it with an error.
    pub(crate) fn empty(&self) -> io::Result<()> {
        empty(self, DEPTH_MAX)
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
