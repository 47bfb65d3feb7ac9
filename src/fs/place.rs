//! Where a store lies: the way to it, and what kind of file system that is.

use std::path::PathBuf;

use super::Stat;

/// A path with its symlinks resolved, and what of it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ancestors {
    /// The whole path: absolute, no symlink in the part that exists, no `..` in the part that does not.
    pub(crate) resolved: PathBuf,
    /// Each existing prefix of `resolved`, from `/` down. The last may be something else than a directory.
    pub(crate) existing: Vec<(PathBuf, Stat)>,
}

/// What a directory lies on, as far as a store must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileSystem {
    pub(crate) name: &'static str,
    /// Whether this kernel alone keeps it. Where another machine or a process does, appends of two writers may lie over
    /// each other, locks may hold nobody off, change times are somebody else's, and pages of a mapping may be old, or
    /// fail.
    pub(crate) is_local: bool,
    /// Whether it is mounted so that nothing can be executed from it, or loaded as a library.
    pub(crate) is_noexec: bool,
}

impl FileSystem {
    /// One that does not say what it is.
    pub(crate) const UNKNOWN: FileSystem =
        FileSystem { name: "an unknown file system", is_local: false, is_noexec: false };
}
