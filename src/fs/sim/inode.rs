//! One inode of the simulated disk: what is seen now, what the medium holds, and the changes between them.
//!
//! A file keeps its un-synced changes in order, a directory those of its names. [`super::power`] picks from
//! them what a power cut leaves. Contents and name tables are shared between snapshots until they change.
//! Extended attributes, holes and block sharing are not modelled.

use super::super::{Kind, Time};
use std::{collections::BTreeMap, ffi::OsStr, path::Path, sync::Arc};

/// Where an inode stands in the table of its volume. Not the number that `stat` shows.
pub(super) type Index = usize;

/// One component of a path.
pub(super) type Name = Arc<OsStr>;

/// The names in one directory.
pub(super) type Names = BTreeMap<Name, Index>;

/// What an inode says of itself besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) mode: u32,
    pub(super) owner: u32,
    pub(super) mtime: Time,
}

impl Meta {
    /// Equal but for nanoseconds: the simulated clock ticks by one at each change, and states that differ in
    /// nothing else are not worth telling apart.
    pub(super) fn is_like(&self, other: &Meta) -> bool {
        self.key() == other.key()
    }

    /// What [`Meta::is_like`] compares.
    pub(super) fn key(&self) -> (u32, u32, i64) {
        (self.mode, self.owner, self.mtime.sec)
    }
}

/// A change of a file that no sync has made durable.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: usize, bytes: Arc<[u8]>, lost: bool },
    Resize(usize),
    Meta(Meta),
}

/// How much of a change a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// All of it.
    Whole,
    /// The length that it gave the file, with zeros in place of what it added.
    Length,
    /// Length, and this many of the bytes; zeros behind them.
    LengthAnd(usize),
    /// The first bytes, and a file that ends there.
    Prefix(usize),
}

impl Change {
    /// Does to `bytes` and `meta` what is left of the change.
    pub(super) fn apply(&self, left: Left, bytes: &mut Vec<u8>, meta: &mut Meta) {
        match self {
            Change::Meta(new) => *meta = *new,
            Change::Resize(len) => bytes.resize(*len, 0),
            Change::Write { offset, bytes: new, .. } => {
                let (grown, kept) = match left {
                    Left::Whole => (new.len(), new.len()),
                    Left::Length => (new.len(), 0),
                    Left::LengthAnd(kept) => (new.len(), kept.min(new.len())),
                    Left::Prefix(kept) => (kept.min(new.len()), kept.min(new.len())),
                };
                put(bytes, *offset, grown, &new[..kept]);
            }
        }
    }
}

/// Grows `bytes` to hold `grown` bytes from `offset` on, and puts `new` there.
fn put(bytes: &mut Vec<u8>, offset: usize, grown: usize, new: &[u8]) {
    let end = offset.saturating_add(grown);
    if grown > 0 && bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(offset..offset.saturating_add(new.len())) {
        place.copy_from_slice(new);
    }
}

/// A regular file.
#[derive(Clone, Debug)]
pub(super) struct FileBody {
    pub(super) live: Arc<Vec<u8>>,
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) durable_meta: Meta,
    pub(super) pending: Vec<Change>,
    /// A failed sync has lost a write: what is seen may never be what the medium holds.
    pub(super) has_lost: bool,
    /// Lives in memory and takes no room on the disk.
    pub(super) anonymous: bool,
}

impl FileBody {
    /// A file that has nothing on the medium but its inode.
    pub(super) fn empty(meta: Meta) -> FileBody {
        let nothing = Arc::new(Vec::new());
        FileBody {
            live: nothing.clone(),
            durable: nothing,
            durable_meta: meta,
            pending: Vec::new(),
            has_lost: false,
            anonymous: false,
        }
    }

    /// Writes into the live bytes and remembers it.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8], meta: Meta) {
        put(Arc::make_mut(&mut self.live), offset, bytes.len(), bytes);
        self.pending.push(Change::Write { offset, bytes: bytes.into(), lost: false });
        self.note(meta);
    }

    /// Cuts the live bytes off, or adds zeros, and remembers it.
    pub(super) fn resize(&mut self, len: usize, meta: Meta) {
        Arc::make_mut(&mut self.live).resize(len, 0);
        self.pending.push(Change::Resize(len));
        self.note(meta);
    }

    /// Remembers a change of mode, owner or time, unless a cut could not show it.
    pub(super) fn note(&mut self, meta: Meta) {
        let last = self.pending.iter().rev().find_map(|change| match change {
            Change::Meta(meta) => Some(*meta),
            _ => None,
        });
        if !last.unwrap_or(self.durable_meta).is_like(&meta) {
            self.pending.push(Change::Meta(meta));
        }
    }

    /// Everything reaches the medium, but for what an earlier failed sync has lost.
    pub(super) fn sync(&mut self, meta: Meta) {
        let left = |number: usize| match self.pending.get(number) {
            Some(Change::Write { lost: true, .. }) => Some(Left::Length),
            _ => Some(Left::Whole),
        };
        self.durable = if self.has_lost { self.replay(left).0 } else { self.live.clone() };
        self.durable_meta = meta;
        self.pending.clear();
    }

    /// Does the un-synced changes to the durable state, as much of each as `left` says of its number; ends at
    /// the first `None`.
    pub(super) fn replay(&self, left: impl Fn(usize) -> Option<Left>) -> (Arc<Vec<u8>>, Meta) {
        let mut bytes = Vec::clone(&self.durable);
        let mut meta = self.durable_meta;
        for (number, change) in self.pending.iter().enumerate() {
            let Some(left) = left(number) else { break };
            change.apply(left, &mut bytes, &mut meta);
        }
        (Arc::new(bytes), meta)
    }

    /// What the medium holds if every un-synced change reaches it.
    pub(super) fn whole(&self) -> Arc<Vec<u8>> {
        if self.has_lost { self.replay(|_| Some(Left::Whole)).0 } else { self.live.clone() }
    }

    /// A sync failed: the kernel counts the pages as clean, and no later sync writes them.
    pub(super) fn lose(&mut self) {
        for change in &mut self.pending {
            if let Change::Write { lost, .. } = change {
                *lost = true;
                self.has_lost = true;
            }
        }
    }

    /// Whether a power cut could show something else than what is seen now.
    pub(super) fn is_dirty(&self) -> bool {
        !self.pending.is_empty() || self.has_lost
    }
}

/// A change of one name: the inode it leads to from now on, or none.
#[derive(Clone, Debug)]
pub(super) struct Renaming {
    pub(super) name: Name,
    pub(super) to: Option<Index>,
    pub(super) lost: bool,
}

/// A directory.
#[derive(Clone, Debug, Default)]
pub(super) struct DirBody {
    pub(super) live: Arc<Names>,
    pub(super) durable: Arc<Names>,
    pub(super) pending: Vec<Renaming>,
    pub(super) parent: Option<Index>,
}

impl DirBody {
    /// Gives a name another meaning and remembers it.
    pub(super) fn set(&mut self, name: &Name, to: Option<Index>) {
        set(Arc::make_mut(&mut self.live), name, to);
        self.pending.push(Renaming { name: name.clone(), to, lost: false });
    }

    /// The names reach the medium, but for those that an earlier failed sync has lost.
    pub(super) fn sync(&mut self) {
        if !self.pending.iter().any(|change| change.lost) {
            self.durable = self.live.clone();
            self.pending.clear();
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        let mut still = Vec::new();
        for change in self.pending.drain(..) {
            if change.lost {
                still.push(change);
            } else {
                still.retain(|lost: &Renaming| lost.name != change.name);
                set(durable, &change.name, change.to);
            }
        }
        self.pending = still;
    }

    /// A sync failed: no later sync makes these names durable.
    pub(super) fn lose(&mut self) {
        for change in &mut self.pending {
            change.lost = true;
        }
    }
}

/// Gives a name a meaning, or takes it away.
pub(super) fn set(names: &mut Names, name: &Name, to: Option<Index>) {
    match to {
        Some(index) => names.insert(name.clone(), index),
        None => names.remove(name),
    };
}

/// What an inode is.
#[derive(Clone, Debug)]
pub(super) enum Body {
    File(FileBody),
    Dir(DirBody),
    Symlink(Arc<Path>),
    Fifo,
}

/// An inode.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) number: u64,
    /// Live names that lead here (directories: at most one).
    pub(super) links: u64,
    pub(super) meta: Meta,
    pub(super) ctime: Time,
    pub(super) body: Body,
}

impl Inode {
    pub(super) fn kind(&self) -> Kind {
        match self.body {
            Body::File(_) => Kind::File,
            Body::Dir(_) => Kind::Dir,
            Body::Symlink(_) => Kind::Symlink,
            Body::Fifo => Kind::Fifo,
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.body {
            Body::File(file) => file.live.len(),
            Body::Symlink(target) => target.as_os_str().len(),
            Body::Dir(_) | Body::Fifo => 0,
        }
    }

    /// The room it takes on the disk.
    pub(super) fn room(&self) -> u64 {
        match &self.body {
            Body::File(file) if !file.anonymous => file.live.len() as u64,
            _ => 0,
        }
    }
}
