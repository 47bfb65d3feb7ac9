//! The tree of inodes of a simulated disk, its clock and its room: everything that a snapshot copies.
//!
//! Knows no process, no open file and no lock. Cloning is a handful of reference counts, whatever the disk
//! holds: inodes stand in shared chunks that are copied when they change.

use super::{
    super::{FileSystem, Kind, Stat, Time},
    errno::{EACCES, ENOENT, ENOSPC, ENOTDIR, EROFS, errno, fail},
    inode::{Body, DirBody, FileBody, Index, Inode, Meta, Name},
    random::Random,
};
use std::{collections::BTreeMap, ffi::OsStr, io, sync::Arc};

/// Inodes per chunk: a snapshot shares whole chunks, and the first change after it copies one of them.
const CHUNK: usize = 32;

/// The index of `/`.
pub(super) const ROOT: Index = 0;

/// The permission bits that a verb may ask for.
pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
pub(super) const SEARCH: u32 = 1;

type Chunk = [Option<Arc<Inode>>; CHUNK];

/// What a listing shows of the names that come and go between its opening of the directory and its last look.
/// A name that was there all the time is always shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Listings {
    /// What is there at the look: one `getdents64` for all on ext4, xfs, tmpfs and overlay.
    #[default]
    AtOnce,
    /// Of that, what was there when the directory was opened: one `getdents64` for all on btrfs (seen on Linux 6.18).
    SinceOpening,
    /// Any of what came or went: several calls, as where a directory is handed out a page at a time.
    Torn,
}

/// Everything about a disk that outlives the processes on it.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    chunks: Arc<Vec<Arc<Chunk>>>,
    free: Arc<Vec<Index>>,
    pub(super) numbers_free: Arc<Vec<u64>>,
    next_number: u64,
    /// Inodes without a name or a description that have not been dropped yet.
    pub(super) orphans: usize,
    pub(super) reuse_numbers: bool,
    /// Bytes that files may hold together, and do hold.
    pub(super) capacity: Option<u64>,
    pub(super) used: u64,
    pub(super) read_only: bool,
    pub(super) listings: Listings,
    /// Sizes that a test has made smaller, by name.
    pub(super) sizes: Arc<BTreeMap<&'static str, u64>>,
    pub(super) file_system: FileSystem,
    /// What `fs::File::stamps_changes` says; stamps move all the same.
    pub(super) stamps_changes: bool,
    /// Nanoseconds since 1970.
    pub(super) clock: u64,
    pub(super) clock_is_coarse: bool,
    pub(super) boot: Option<[u8; 16]>,
    pub(super) boots: u64,
    pub(super) seed: u64,
    /// Processes ever started here, so that none draws the random bytes of another.
    pub(super) started: u64,
    /// Grows with every change of the tree.
    pub(super) version: u64,
}

impl Volume {
    pub(super) fn new(seed: u64, owner: u32) -> Volume {
        let mut volume = Volume {
            chunks: Arc::default(),
            free: Arc::default(),
            numbers_free: Arc::default(),
            next_number: 2,
            orphans: 0,
            reuse_numbers: false,
            capacity: None,
            used: 0,
            read_only: false,
            listings: Listings::default(),
            sizes: Arc::default(),
            file_system: FileSystem { name: "a simulated disk", is_local: true, is_noexec: false },
            stamps_changes: true,
            clock: 1_700_000_000_000_000_000,
            clock_is_coarse: false,
            boot: Some(boot_id(seed, 0)),
            boots: 0,
            seed,
            started: 0,
            version: 0,
        };
        let root = volume.make(0o755, owner, |_| Body::Dir(DirBody::default()));
        volume.change(root, |inode, _| inode.links = 1);
        volume
    }

    /// The kernel starts anew.
    pub(super) fn reboot(&mut self) {
        self.boots += 1;
        self.clock += 10_000_000_000;
        if self.boot.is_some() {
            self.boot = Some(boot_id(self.seed, self.boots));
        }
    }

    /// The stamp of a change that happens now; later changes get later ones, unless the clock is coarse.
    pub(super) fn tick(&mut self) -> Time {
        if !self.clock_is_coarse {
            self.clock += 1;
        }
        self.version += 1;
        time(self.clock)
    }

    pub(super) fn get(&self, index: Index) -> Option<&Inode> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)?.as_deref()
    }

    /// The inode, which must be there: indices come from names and open descriptions, which keep it.
    pub(super) fn inode(&self, index: Index) -> io::Result<&Inode> {
        self.get(index).ok_or_else(|| errno(ENOENT))
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = Index> + '_ {
        (0..self.end()).filter(|index| self.get(*index).is_some())
    }

    /// The end of the range of indices.
    pub(super) fn end(&self) -> Index {
        self.chunks.len() * CHUNK
    }

    pub(super) fn slot(&mut self, index: Index) -> Option<&mut Option<Arc<Inode>>> {
        let chunk = Arc::make_mut(&mut self.chunks).get_mut(index / CHUNK)?;
        Arc::make_mut(chunk).get_mut(index % CHUNK)
    }

    /// Changes an inode that exists; does nothing to one that does not. Hands over the time of the change.
    pub(super) fn change<T>(&mut self, index: Index, f: impl FnOnce(&mut Inode, Time) -> T) -> Option<T> {
        let now = self.tick();
        let inode = Arc::make_mut(self.slot(index)?.as_mut()?);
        Some(f(inode, now))
    }

    /// Makes an inode without a name.
    pub(super) fn make(&mut self, mode: u32, owner: u32, body: impl FnOnce(Meta) -> Body) -> Index {
        let now = self.tick();
        let meta = Meta { mode: mode & 0o7777, owner, mtime: now };
        let inode = Inode { number: self.new_number(), links: 0, meta, ctime: now, body: body(meta) };
        let index = Arc::make_mut(&mut self.free).pop().unwrap_or_else(|| self.new_chunk());
        if let Some(slot) = self.slot(index) {
            *slot = Some(Arc::new(inode));
        }
        index
    }

    pub(super) fn new_number(&mut self) -> u64 {
        if let Some(number) = Arc::make_mut(&mut self.numbers_free).pop() {
            return number;
        }
        self.next_number += 1;
        self.next_number
    }

    /// Adds a chunk, and returns the first of its indices; the others are free.
    fn new_chunk(&mut self) -> Index {
        let first = self.chunks.len() * CHUNK;
        Arc::make_mut(&mut self.chunks).push(Arc::new([const { None }; CHUNK]));
        Arc::make_mut(&mut self.free).extend((first + 1..first + CHUNK).rev());
        first
    }

    /// What `stat` says of an inode.
    pub(super) fn stat(&self, index: Index) -> io::Result<Stat> {
        let inode = self.inode(index)?;
        let kind = inode.kind();
        let links = if kind == Kind::Dir { inode.links * 2 } else { inode.links };
        Ok(Stat {
            kind,
            device: 1,
            inode: inode.number,
            links,
            mode: inode.meta.mode,
            owner: inode.meta.owner,
            len: inode.len() as u64,
            mtime: inode.meta.mtime,
            ctime: inode.ctime,
        })
    }

    pub(super) fn dir(&self, index: Index) -> io::Result<&DirBody> {
        match &self.inode(index)?.body {
            Body::Dir(dir) => Ok(dir),
            _ => fail(ENOTDIR),
        }
    }

    pub(super) fn file(&self, index: Index) -> Option<&FileBody> {
        match &self.get(index)?.body {
            Body::File(file) => Some(file),
            _ => None,
        }
    }

    pub(super) fn lookup(&self, dir: Index, name: &OsStr) -> io::Result<Option<Index>> {
        Ok(self.dir(dir)?.live.get(name).copied())
    }

    /// Whether `user` may do this to the inode, by its mode; groups are not modelled, user 0 may all.
    pub(super) fn may(&self, index: Index, user: u32, wanted: u32) -> io::Result<()> {
        let meta = self.inode(index)?.meta;
        let granted = if meta.owner == user { meta.mode >> 6 } else { meta.mode };
        if user == 0 || granted & wanted == wanted { Ok(()) } else { fail(EACCES) }
    }

    /// Whether names may be made in, and taken from, this directory.
    pub(super) fn may_change_names(&self, dir: Index, user: u32) -> io::Result<()> {
        if self.read_only {
            return fail(EROFS);
        }
        if self.inode(dir)?.links == 0 {
            return fail(ENOENT);
        }
        self.may(dir, user, WRITE | SEARCH)
    }

    /// Gives a name in a directory another meaning, and keeps the link counts right.
    pub(super) fn set_name(&mut self, dir: Index, name: &Name, to: Option<Index>) {
        let before = self.lookup(dir, name).ok().flatten();
        self.change(dir, |inode, now| {
            inode.meta.mtime = now;
            inode.ctime = now;
            if let Body::Dir(names) = &mut inode.body {
                names.set(name, to);
            }
        });
        if let Some(index) = before {
            self.change(index, |inode, now| {
                inode.links = inode.links.saturating_sub(1);
                inode.ctime = now;
            });
        }
        if let Some(index) = to {
            self.change(index, |inode, now| {
                inode.links += 1;
                inode.ctime = now;
                if let Body::Dir(child) = &mut inode.body {
                    child.parent = Some(dir);
                }
            });
        }
    }

    /// Writes as much as there is room for; `ENOSPC` if that is nothing.
    pub(super) fn write(&mut self, index: Index, offset: usize, bytes: &[u8]) -> io::Result<usize> {
        if self.read_only {
            return fail(EROFS);
        }
        let len = self.inode(index)?.len();
        let mut bytes = bytes;
        if let Some(capacity) = self.capacity {
            let left = capacity.saturating_sub(self.used);
            let room = usize::try_from(left).unwrap_or(usize::MAX).saturating_add(len).saturating_sub(offset);
            if room == 0 && !bytes.is_empty() {
                return fail(ENOSPC);
            }
            bytes = &bytes[..bytes.len().min(room)];
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        self.put_bytes(index, offset, bytes);
        Ok(bytes.len())
    }

    /// Writes, whatever room there is.
    pub(super) fn put_bytes(&mut self, index: Index, offset: usize, bytes: &[u8]) {
        let before = self.get(index).map_or(0, Inode::len);
        self.change(index, |inode, now| {
            inode.meta.mtime = now;
            inode.ctime = now;
            if let Body::File(file) = &mut inode.body {
                file.write(offset, bytes, inode.meta);
            }
        });
        self.take_space(before, self.get(index).map_or(0, Inode::len));
    }

    /// Changes the length, as `truncate` does.
    pub(super) fn resize(&mut self, index: Index, len: usize) {
        let before = self.get(index).map_or(0, Inode::len);
        self.change(index, |inode, now| {
            inode.meta.mtime = now;
            inode.ctime = now;
            if let Body::File(file) = &mut inode.body {
                file.resize(len, inode.meta);
            }
        });
        self.take_space(before, len);
    }

    /// Sets mode, owner or time.
    pub(super) fn set_meta(&mut self, index: Index, f: impl FnOnce(&mut Meta)) {
        self.change(index, |inode, now| {
            f(&mut inode.meta);
            inode.ctime = now;
            if let Body::File(file) = &mut inode.body {
                file.note(inode.meta);
            }
        });
    }

    /// Counts growth or shrinking of a file.
    pub(super) fn take_space(&mut self, before: usize, after: usize) {
        self.used = (self.used + after as u64).saturating_sub(before as u64);
    }

    /// Counts the room in use anew, as it is once no description holds an unlinked file any more.
    pub(super) fn recount(&mut self) {
        let named = |index: Index| self.get(index).filter(|inode| inode.links > 0).map_or(0, Inode::room);
        self.used = self.indices().map(named).sum();
    }

    /// An inode that no name and no open description leads to: its room is free again.
    pub(super) fn release(&mut self, index: Index) {
        let Some(inode) = self.get(index) else { return };
        let (number, room) = (inode.number, inode.room());
        self.used = self.used.saturating_sub(room);
        if self.reuse_numbers {
            Arc::make_mut(&mut self.numbers_free).push(number);
        }
        self.orphans += 1;
    }

    /// Takes an inode out of the table.
    pub(super) fn drop_inode(&mut self, index: Index) {
        if let Some(slot) = self.slot(index) {
            *slot = None;
        }
        Arc::make_mut(&mut self.free).push(index);
    }
}

/// Nanoseconds since 1970 as file systems keep them.
pub(super) fn time(clock: u64) -> Time {
    Time { sec: (clock / 1_000_000_000) as i64, nsec: (clock % 1_000_000_000) as u32 }
}

/// The id of the n-th boot.
fn boot_id(seed: u64, boots: u64) -> [u8; 16] {
    let mut id = [0; 16];
    Random::new(seed ^ boots.wrapping_mul(0x9e37_79b9_7f4a_7c15)).fill(&mut id);
    id
}
