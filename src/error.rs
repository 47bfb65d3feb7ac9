//! The errors that callers see, each with the action, the path and the cause, and what to do about it.
//!
//! Reading has no errors: whatever is wrong with a store is a miss. These are for opening a store, for
//! changing one by request, and for builds that give nothing to store.

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

use crate::digest::ObjectDigest;

/// An operation on a path failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {}", path.display())]
pub(crate) struct Trouble {
    pub(crate) action: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

impl Trouble {
    /// For `map_err`: says what was being done to what.
    pub(crate) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Trouble {
        move |source| Trouble { action, path: path.to_owned(), source }
    }
}

/// A store could not be opened. `open_or_disabled` and `for_app` never return it: they go on without.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Someone else could put code into this store. Change owner or mode, choose another directory, or say by
    /// [`Trust`](crate::Trust) that this is meant.
    #[error(
        "{} is not safe to load code from (owner {owner}, mode {mode:o}): another user could change it; \
         correct owner and mode, choose another directory, or loosen `trust`",
        path.display()
    )]
    Untrusted {
        /// The directory, or the parent directory, that is open to others.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner's user id.
        owner: u32,
    },
    /// Something else has the name of a directory. Remove it or choose another directory.
    #[error("{} is in the way: it is not a directory", path.display())]
    NotADirectory {
        /// What is in the way.
        path: PathBuf,
    },
    /// The store exists and cannot be read. Its cause says why.
    #[error("could not {action} {}", path.display())]
    Unreadable {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A later version of this crate wrote the store and says that this one must not touch it. Upgrade, or
    /// choose another directory.
    #[error("{} was written by a later version of plugcache: upgrade, or choose another directory", path.display())]
    Newer {
        /// The store's directory.
        path: PathBuf,
    },
    /// A layer of the store is not there. Mount or make it, or take it out of the configuration.
    #[error("there is no store in {}, which was to be a layer", path.display())]
    NoLayer {
        /// Where it should be.
        path: PathBuf,
    },
    /// The system offers no store at all (see the platform table in the README).
    #[error("no store can be kept on this system: {why}")]
    Unsupported {
        /// What is missing.
        why: String,
    },
}

/// A request to change or sync a store could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store was opened read-only.
    #[error("the store was opened read-only")]
    ReadOnly,
    /// There is no store; the text says why.
    #[error("there is no store: {0}")]
    Disabled(String),
    /// A later version of this crate wrote parts of the store; this one must not change it. Upgrade.
    #[error("{} was written by a later version of plugcache, which this one must not change", path.display())]
    Newer {
        /// The store's directory.
        path: PathBuf,
    },
    /// The system refused an operation.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

impl From<Trouble> for StoreError {
    fn from(Trouble { action, path, source }: Trouble) -> Self {
        StoreError::Io { action, path, source }
    }
}

/// The stored bytes are no longer those that were stored. Drop the artifact and ask again: the store has set
/// the object aside, and the next request misses and builds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored object {digest} is damaged or gone: ask again, it will be built anew")]
pub struct Damaged {
    /// Its name: what the bytes should hash to.
    pub digest: ObjectDigest,
}

/// A build returned success without a usable output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the build's output {name:?} cannot be used: {problem}")]
pub struct NoOutput {
    /// The output's name; empty if the build named none.
    pub name: OsString,
    /// What is wrong with it.
    pub problem: String,
}

/// How a load failed: this decides whether the artifact is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadFailed<L> {
    /// The artifact does not load (wrong ABI, damaged, made for another host): build it again, once.
    Artifact(L),
    /// The artifact loaded and the plugin itself failed: keep the entry, another build would fail the same way.
    Plugin(L),
}

/// Why an artifact was not stored. The artifact itself is usable.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Skip {
    /// There is no store; the text says why.
    Disabled(String),
    /// The store was opened read-only, or lies on a read-only file system.
    ReadOnly,
    /// These files are no longer what was digested: the artifact may be made from either version.
    SourceChanged(Vec<PathBuf>),
    /// The disk or the quota is full.
    NoSpace,
    /// The user may not write here.
    NoPermission(PathBuf),
    /// The artifact is larger than the whole store may be, or (`max_files` 0) nothing may stay.
    TooBig {
        /// Size of all outputs.
        bytes: u64,
        /// What the store may hold.
        max_bytes: u64,
    },
    /// `max_files` is 0: nothing may stay.
    NoRoom,
    /// Too much was recorded with it (names, labels, sources): this does not fit the format.
    TooLong,
    /// A later version of this crate wrote the store; this one must not change it.
    Newer,
    /// The object's name is held by damaged bytes that another process is busy with, or the store changed
    /// under every try. The next build stores it.
    Busy,
    /// The system refused an operation.
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system answered.
        error: String,
    },
}

impl From<Trouble> for Skip {
    fn from(Trouble { action, path, source }: Trouble) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Skip::NoSpace,
            io::ErrorKind::PermissionDenied => Skip::NoPermission(path),
            io::ErrorKind::ReadOnlyFilesystem => Skip::ReadOnly,
            _ => Skip::Io { action, path, error: source.to_string() },
        }
    }
}

impl Skip {
    /// Whether something is wrong with the store, and not only with this add.
    pub(crate) fn is_trouble(&self) -> bool {
        matches!(
            self,
            Skip::NoSpace | Skip::NoPermission(_) | Skip::Newer | Skip::Io { .. } | Skip::Disabled(_)
        )
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skip::Disabled(why) => write!(f, "there is no store: {why}"),
            Skip::ReadOnly => f.write_str("the store is read-only"),
            Skip::SourceChanged(paths) => {
                let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                write!(f, "changed while it was built: {}", names.join(", "))
            }
            Skip::NoSpace => f.write_str("the disk is full"),
            Skip::NoPermission(path) => write!(f, "no permission to write {}", path.display()),
            Skip::TooBig { bytes, max_bytes } => {
                write!(f, "{bytes} bytes are more than the store may hold ({max_bytes})")
            }
            Skip::NoRoom => f.write_str("max_files is 0"),
            Skip::TooLong => f.write_str("its names or sources are too long to be recorded"),
            Skip::Newer => f.write_str("a later version of plugcache wrote the store"),
            Skip::Busy => f.write_str("the store was busy"),
            Skip::Io { action, path, error } => write!(f, "could not {action} {}: {error}", path.display()),
        }
    }
}
