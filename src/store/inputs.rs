//! What a build read beside its sources, as it reported it: the discovered inputs of its entry; and where they
//! are now.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::Inner;
use crate::{
    error::Skip,
    format::record::{Discovered, Recipe},
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

/// From where to where sources have moved since their entry was made.
///
/// Two checkouts of one project have equal sources, and may have different headers beside them. So what lay
/// below a directory that was moved (the path of a source without the components at its end that are the
/// same) is judged where a compile would find it now, never where the first one did.
pub(super) struct Moves(Vec<(PathBuf, PathBuf)>);

impl Moves {
    pub(super) fn since(recorded: &Recipe, sources: &Sources) -> Moves {
        let pairs = recorded.parts.iter().zip(sources.parts());
        let paths = pairs.filter_map(|(then, now)| Some((then.path.as_deref()?, now.path?)));
        let moved = paths.filter(|(then, now)| *then != fs::bytes_of(now.as_os_str()));
        Moves(moved.map(|(then, now)| moved_dirs(fs::text_of(then).as_ref(), now)).collect())
    }

    /// Where a file is that lay at `path` then.
    pub(super) fn now(&self, path: PathBuf) -> PathBuf {
        let above = self.0.iter().filter_map(|(then, now)| Some((path.strip_prefix(then).ok()?, now)));
        // The longest directory that was moved leaves the shortest rest.
        let nearest = above.min_by_key(|(rest, _)| rest.components().count());
        nearest.map(|(rest, now)| now.join(rest)).unwrap_or(path)
    }
}

/// Two different paths without the components at their ends that are the same.
fn moved_dirs(mut then: &Path, mut now: &Path) -> (PathBuf, PathBuf) {
    while let (Some(then_above), Some(now_above)) = (then.parent(), now.parent())
        && then.file_name() == now.file_name()
    {
        (then, now) = (then_above, now_above);
    }
    (then.to_owned(), now.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lay_below_a_moved_directory_is_looked_for_below_it_and_all_else_where_it_was() {
        let moves = Moves(vec![
            moved_dirs("/a/src/x.c".as_ref(), "/b/src/x.c".as_ref()),
            moved_dirs("/a/gen/y.c".as_ref(), "/tmp/y.c".as_ref()),
        ]);
        for (then, now) in [
            ("/a/src/x.h", "/b/src/x.h"),
            ("/a/include/x.h", "/b/include/x.h"),
            ("/a/src/../x.h", "/b/src/../x.h"),
            ("/a/gen/y.h", "/tmp/y.h"),
            ("/usr/include/stdio.h", "/usr/include/stdio.h"),
            ("/ab/x.h", "/ab/x.h"),
        ] {
            assert_eq!(moves.now(then.into()), Path::new(now), "{then}");
        }
    }

    #[test]
    fn a_path_that_became_longer_or_shorter_moves_the_directory_it_is_in() {
        let moved = |then: &str, now: &str| moved_dirs(then.as_ref(), now.as_ref());
        assert_eq!(moved("/t/x.c", "/t/copy/x.c"), ("/t".into(), "/t/copy".into()));
        assert_eq!(moved("/t/copy/x.c", "/x.c"), ("/t/copy".into(), "/".into()));
        assert_eq!(moved("/x.c", "/t/x.c"), ("/".into(), "/t".into()));
    }
}
