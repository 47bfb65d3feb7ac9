//! What a test can do to a process at a chosen verb: kill it, freeze the disk, stop it, make the verb fail.
//!
//! Verbs are counted from the moment of the call: 1 is the next one. Failures without any effect, short
//! reads and short writes are modelled; a verb that takes effect and reports an error all the same is not.

use std::{fmt, path::PathBuf};

/// A verb of the file system, as it stands in a trace. Reading the clock, the boot id and the user are no
/// verbs: they neither count nor fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is called as the function of `fs` that it stands for")]
pub enum Verb {
    OpenRoot,
    MakeRoot,
    Ancestors,
    OpenSource,
    StatSource,
    OpenSourceDir,
    Pause,
    Random,
    Sealed,
    OpenDir,
    MakeDir,
    List,
    Open,
    Create,
    OpenOrCreate,
    Stat,
    Rename,
    Unlink,
    RemoveDir,
    LockDir,
    SyncDir,
    SyncFs,
    StatDir,
    FileSystem,
    PathNow,
    StatFile,
    StampsChanges,
    ReadAt,
    Write,
    SetMtime,
    SetMode,
    SyncFile,
    LockFile,
    Map,
    /// The end of a `File` or a `Dir`: frees its lock. Cannot fail, nor can `Pause`.
    Close,
}

impl Verb {
    /// Whether the verb may change the disk. A lock, a read, a listing and a sync do not.
    pub fn writes(self) -> bool {
        use Verb::*;
        matches!(
            self,
            MakeRoot
                | MakeDir
                | Create
                | OpenOrCreate
                | Rename
                | Unlink
                | RemoveDir
                | Write
                | SetMtime
                | SetMode
        )
    }

    /// Whether the verb makes something durable.
    pub fn syncs(self) -> bool {
        matches!(self, Verb::SyncDir | Verb::SyncFs | Verb::SyncFile)
    }
}

/// One verb that a process tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it was.
    pub verb: Verb,
    /// On what, as the process named it; empty for verbs without a path.
    pub path: PathBuf,
    /// The new name, for a rename.
    pub to: Option<PathBuf>,
    /// How many bytes were asked for, or offered, by a read or a write.
    pub bytes: usize,
    /// Whether the process got an error (also: died in it).
    pub failed: bool,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.verb, self.path.display())?;
        if let Some(to) = &self.to {
            write!(f, " -> {}", to.display())?;
        }
        if matches!(self.verb, Verb::ReadAt | Verb::Write) {
            write!(f, " {} bytes", self.bytes)?;
        }
        if self.failed { f.write_str(" FAILED") } else { Ok(()) }
    }
}

/// Which verbs a fault meets, counted from the call of `fail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// The n-th verb alone.
    Verb(usize),
    /// The n-th verb and all that follow.
    From(usize),
}

/// How a verb fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// With this error number, and without effect. A sync that fails with `EIO`, `ENOSPC` or `EDQUOT` has
    /// lost what was un-synced, as in Linux: a later sync succeeds and does not write it.
    Errno(i32),
    /// A write takes only the first so many bytes; other verbs are not affected.
    ShortWrite(usize),
    /// A read gives at most so many bytes; other verbs are not affected.
    ShortRead(usize),
}

/// A planned failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// When.
    pub at: At,
    /// How.
    pub failure: Failure,
}

/// How a process is going to end, counted in verbs since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Before(usize),
    After(usize),
    Torn { at: usize, keep: usize },
    Stop(usize),
}

/// What the plans say of one verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Live,
    DieBefore,
    DieAfter,
    /// Die in the middle of a write, after so many bytes.
    DieWithin(usize),
    /// Live, and never run again.
    Stop,
}

impl End {
    /// The fate of verb number `count`.
    pub(super) fn fate(self, count: usize, verb: Verb) -> Fate {
        match self {
            End::Before(at) if count >= at => Fate::DieBefore,
            End::After(at) if count >= at => Fate::DieAfter,
            End::Torn { at, keep } if count >= at && verb == Verb::Write => Fate::DieWithin(keep),
            End::Torn { at, .. } if count >= at => Fate::DieBefore,
            End::Stop(at) if count >= at => Fate::Stop,
            _ => Fate::Live,
        }
    }
}

/// A fault with its count taken from the start of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    pub(super) at: At,
    pub(super) failure: Failure,
}

impl Armed {
    /// The failure that verb number `count` meets.
    pub(super) fn meets(&self, count: usize, verb: Verb) -> Option<Failure> {
        let is_due = match self.at {
            At::Verb(at) => count == at,
            At::From(at) => count >= at,
        };
        let fits = match self.failure {
            Failure::Errno(_) => !matches!(verb, Verb::Close | Verb::Pause),
            Failure::ShortWrite(_) => verb == Verb::Write,
            Failure::ShortRead(_) => verb == Verb::ReadAt,
        };
        (is_due && fits).then_some(self.failure)
    }
}

/// The lengths at which a write of `len` bytes is worth tearing: after 1 byte, at each 64-byte slot (at 16 of
/// them, evenly, if there are more), at each page up to the 16th, and one byte short of all.
pub fn torn_lengths(len: usize) -> Vec<usize> {
    let slots = len.div_ceil(64).saturating_sub(1);
    let stride = slots.div_ceil(16).max(1);
    let mut lengths: Vec<usize> = (1..=slots).step_by(stride).map(|slot| slot * 64).collect();
    lengths.extend((1..=16).map(|page| page * 4096));
    lengths.extend([1, len.saturating_sub(1)]);
    lengths.retain(|keep| (1..len).contains(keep));
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}
