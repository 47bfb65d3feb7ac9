//! What one process leaves to say to the next: that the engine did not answer. A build starts a compiler a thousand times,
//! and an engine that is silent shall cost it a second and one warning, not a thousand of each.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// As long as a client that lives on leaves an engine alone at first.
const REST: Duration = Duration::from_secs(30);

/// A file beside the store, whose age is all that counts.
#[derive(Debug)]
pub(super) struct Rest(PathBuf);

impl Rest {
    pub(super) fn below(state: &Path) -> Rest {
        Rest(state.join("resting"))
    }

    /// Whether the engine failed moments ago, in whatever process.
    pub(super) fn is_now(&self) -> bool {
        let changed = fs::symlink_metadata(&self.0).and_then(|meta| meta.modified());
        changed.ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age < REST)
    }

    /// It has failed just now.
    pub(super) fn begin(&self) {
        let begun = self.try_begin();
        // Then the next process finds it out for itself.
        let _ = begun;
    }

    fn try_begin(&self) -> io::Result<()> {
        let dir = self.0.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        fs::write(&self.0, "")
    }

    /// It has answered.
    pub(super) fn end(&self) {
        // Most often there is none.
        let _ = fs::remove_file(&self.0);
    }
}
