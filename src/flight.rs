//! One build at a time for each key: a lock file per build in progress, freed at once when its owner dies.
//!
//! ```text
//! open inflight/<key>, making it      killed: litter
//! flock exclusive, without waiting    refused: somebody builds
//! the name must still lead to it      else it was unlinked under us: again [m]
//! .. build ..                         killed: the lock is free, the next one takes it
//! unlink, then close
//! ```
//!
//! Nobody waits in the kernel: a waiter polls, with a deadline, so that a stopped builder costs time and not
//! a load (I13). Knows neither objects nor the manifest.

use std::{io, path::PathBuf};

use crate::{
    digest::{Hasher, SourceDigest},
    error::Trouble,
    fs::{Dir, File, Lock},
    layout,
    sync::{Arc, Maker},
};

/// How often the lock file is opened again because its name was removed before it was locked.
const ENTERS_MAX: usize = 64;

/// Of a lock file.
const MODE: u32 = 0o600;

/// The right to build. Dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Ticket {
    dir: Arc<Dir>,
    path: PathBuf,
    maker: Maker,
    /// Holds the lock; closed after the name is gone.
    _file: File,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.maker.is_here() {
            // Left behind it is litter that the next builder of this key takes over.
            let _ = self.dir.unlink(&self.path);
        }
    }
}

/// Asks for the right to build what `source` and `exec` describe; `None` while somebody else has it.
pub(crate) fn enter(
    dir: &Arc<Dir>,
    source: &SourceDigest,
    exec: &[u8; 32],
) -> Result<Option<Ticket>, Trouble> {
    let key = Hasher::for_purpose("plugcache 2026-11-23 build in progress v1")
        .update(source.as_bytes())
        .update(exec)
        .finish();
    let path = layout::inflight(&key);
    for _ in 0..ENTERS_MAX {
        let file = open(dir, &path)?;
        if !file.try_lock(Lock::Exclusive).map_err(Trouble::of("lock", &path))? {
            return Ok(None);
        }
        let locked = file.stat().map_err(Trouble::of("examine", &path))?;
        match dir.stat(&path) {
            Ok(named) if named.same_inode(&locked) => {
                if named.mode != MODE && named.links == 1 {
                    // What the umask took: the next builder must be able to open it.
                    file.set_mode(MODE).map_err(Trouble::of("set the mode of", &path))?;
                }
                return Ok(Some(Ticket { dir: dir.clone(), path, maker: Maker::here(), _file: file }));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Trouble::of("examine", &path)(error));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn open(dir: &Dir, path: &std::path::Path) -> Result<File, Trouble> {
    let open = || dir.open_or_create(path);
    dir.with_parent(layout::INFLIGHT.as_ref(), open).map_err(Trouble::of("open", path))
}
