//! What a build read beside its sources, as it reported it: the discovered inputs of its entry.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::Inner;
use crate::{
    error::Skip,
    format::record::Discovered,
    fs::{self, Time},
    sources::{self, Sources},
};

/// Files that a build reported.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Absolute, each once.
    paths: BTreeSet<PathBuf>,
    /// When the build began, by the clock that stamps files; `None` where that cannot be told.
    since: Option<Time>,
}

impl Inputs {
    pub(super) fn since(since: Option<Time>) -> Inputs {
        Inputs { paths: BTreeSet::new(), since }
    }

    pub(super) fn report(&mut self, path: &Path) {
        // Fails only for an empty path or without a working directory: then the path itself names nothing.
        self.paths.insert(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    }

    /// The inputs with their digests, without the sources themselves and without what the build made.
    ///
    /// Clocks decide here in one direction only: a file that changed at or after the beginning of the build, or
    /// whose time cannot be told, makes the artifact unstorable.
    pub(super) fn discovered(
        &self,
        store: &Inner,
        sources: &Sources,
        scratch: &Path,
    ) -> Result<Vec<Discovered>, Skip> {
        let own: BTreeSet<&Path> = sources.parts().filter_map(|part| part.path).collect();
        let read =
            self.paths.iter().filter(|path| !own.contains(path.as_path()) && !path.starts_with(scratch));
        let mut discovered = Vec::new();
        let mut changed = Vec::new();
        for path in read {
            let is_old = |time: Time| self.since.is_some_and(|since| time < since);
            let before = store.fs.stat_source(path);
            let digest = sources::digest_path(&store.fs, store.memo(), path);
            match (before, digest) {
                (Ok(stat), Ok(digest)) if is_old(stat.ctime) => {
                    let path = fs::bytes_of(path.as_os_str()).to_vec();
                    discovered.push(Discovered { path, digest: *digest.as_bytes() });
                }
                _ => changed.push(path.clone()),
            }
        }
        if changed.is_empty() { Ok(discovered) } else { Err(Skip::SourceChanged(changed)) }
    }
}
