//! Objects: immutable bytes in one file each, named by their BLAKE3.
//!
//! Keeps I1 (what is admitted hashes to its name), I2 (a published object is never written, and goes only
//! through [`remove`](Objects::remove)), I5, I11 and I12. It does not know that a manifest exists: what an
//! entry says of an object (length, stamp, whether it is still named) comes in from the floor above.

mod copy;
mod remove;
mod stage;

use std::{
    collections::{HashMap, HashSet},
    io,
    time::Duration,
};

pub(crate) use self::{
    remove::{Disposal, Pruning, Removed},
    stage::{Content, Lent, NotReceived, Published, Receiving, Unpublished, Watch},
};
use crate::{
    config::Durability,
    digest::{Hasher, ObjectDigest},
    error::Trouble,
    format::{
        record::Stamp,
        stamp::{STAMPED_BYTES, stamp_of},
    },
    fs::{self, Access, Dir, File, Fs, Kind, Lock, Stat, Time},
    layout,
    planted::{self, Bug},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// The modification time of every object: any later write moves its second off, however coarse the clock.
const OBJECT_MTIME: Time = Time { sec: 1, nsec: 0 };
/// How long a lease is waited for while somebody holds the object exclusively: removing takes microseconds.
const LEASE_WAIT: Duration = Duration::from_millis(10);
const LEASE_POLL: Duration = Duration::from_millis(1);
/// How often a name is opened again whose inode lost its last name in between.
const OPENS_MAX: usize = 16;
/// What a handle remembers of what it has hashed (1 MiB at most): beyond it, an object whose new stamp could not
/// be recorded may be hashed once more.
const VERIFIED_MAX: usize = 16 * 1024;
/// How often hashing is repeated because the file changed meanwhile.
const HASHES_MAX: usize = 3;
/// Read and written at a time: large enough that system calls do not show, small enough for the cache.
const CHUNK_BYTES: usize = 256 * 1024;

/// The objects of one store. Threads share it.
#[derive(Debug)]
pub(crate) struct Objects {
    fs: Fs,
    dir: Arc<Dir>,
    access: Access,
    durability: Durability,
    /// Part of every stamp. `None`: the boot is not known.
    boot: Option<[u8; 16]>,
    /// What this handle has hashed and found right, also where it could not record it.
    verified: Mutex<HashMap<ObjectDigest, Stamp>>,
    /// The file system said that it shares no blocks: not asked again.
    cannot_clone: AtomicBool,
    /// First bytes of the digests of which this handle takes no object for durable that was there before: a sync
    /// of it or of its directory has failed, and a later one may succeed without what that one has lost.
    unsynced: Mutex<HashSet<u8>>,
}

/// An open object under a shared lock: while it lives nobody removes the file. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) file: File,
    stat: Stat,
}

impl Lease {
    pub(crate) fn len(&self) -> u64 {
        self.stat.len
    }

    /// The state of the inode when it was leased, or proved right since.
    pub(crate) fn stat(&self) -> Stat {
        self.stat
    }
}

/// Why an object could not be opened.
#[derive(Debug)]
pub(crate) enum Unopened {
    Missing,
    /// Something that is no file has its name.
    NotAFile,
    /// Somebody holds it exclusively and does not let go: open, but without a lease.
    Busy(File),
    /// The system refused: a miss, but nothing is wrong with the object.
    Refused(Trouble),
}

/// What hashing an open object showed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verified {
    /// Right; with the stamp to record, if one can be had.
    Right(Option<Stamp>),
    Wrong,
    /// It could not be read, or changed all the time.
    Unreadable,
}

impl Objects {
    pub(crate) fn new(
        fs: &Fs,
        dir: Arc<Dir>,
        access: Access,
        durability: Durability,
        boot: Option<[u8; 16]>,
    ) -> Objects {
        Objects {
            fs: fs.clone(),
            dir,
            access,
            durability,
            boot,
            verified: Mutex::default(),
            cannot_clone: AtomicBool::new(false),
            unsynced: Mutex::default(),
        }
    }

    /// A sync of the whole file system failed: from now on no object that is there counts as durable.
    pub(crate) fn distrust(&self) {
        self.unsynced().extend(0..=u8::MAX);
    }

    fn unsynced(&self) -> MutexGuard<'_, HashSet<u8>> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens an object and leases it. Three system calls: open, lock, stat.
    pub(crate) fn open(&self, digest: &ObjectDigest) -> Result<Lease, Unopened> {
        let path = layout::object(digest);
        for _ in 0..OPENS_MAX {
            let file = self.dir.open(&path, Access::Read).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Unopened::Missing,
                _ if fs::is_wrong_kind(&error) => Unopened::NotAFile,
                _ => Unopened::Refused(Trouble::of("open", &path)(error)),
            })?;
            let refused =
                |action| move |error| Unopened::Refused(Trouble::of(action, &layout::object(digest))(error));
            if !self.lease(&file).map_err(refused("lock"))? {
                let is_missing = planted::is(Bug::BusyIsMissing);
                return Err(if is_missing { Unopened::Missing } else { Unopened::Busy(file) });
            }
            let stat = file.stat().map_err(refused("examine"))?;
            if stat.kind != Kind::File {
                return Err(Unopened::NotAFile);
            }
            if stat.links > 0 || planted::is(Bug::UnlinkedLeased) {
                return Ok(Lease { file, stat });
            }
        }
        Err(Unopened::Missing)
    }

    /// Never waits in the kernel: a blocking lock would hang behind a stopped process (I13).
    fn lease(&self, file: &File) -> io::Result<bool> {
        let mut waited = Duration::ZERO;
        while !file.try_lock(Lock::Shared)? {
            if waited >= LEASE_WAIT {
                return Ok(false);
            }
            self.fs.pause(LEASE_POLL);
            waited += LEASE_POLL;
        }
        Ok(true)
    }

    /// Whether the object was proved right in this boot and no write has touched it since.
    pub(crate) fn is_vouched(&self, digest: &ObjectDigest, lease: &Lease, recorded: &Stamp) -> bool {
        let Some(stamp) = self.stamp(&lease.stat) else {
            return planted::is(Bug::StampIgnored);
        };
        stamp == *recorded || self.verified().get(digest) == Some(&stamp)
    }

    fn verified(&self) -> MutexGuard<'_, HashMap<ObjectDigest, Stamp>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hashes the whole object, with its state taken before and after.
    pub(crate) fn verify(&self, digest: &ObjectDigest, lease: &mut Lease) -> Verified {
        self.verify_paced(digest, lease, &mut |_| {})
    }

    /// As [`verify`](Objects::verify); `pace` is told how many bytes were read each time, and may wait.
    pub(crate) fn verify_paced(
        &self,
        digest: &ObjectDigest,
        lease: &mut Lease,
        pace: &mut dyn FnMut(usize),
    ) -> Verified {
        let is_foreign = lease.stat.mtime.sec != OBJECT_MTIME.sec;
        if self.access == Access::Append && is_foreign && self.is_alone(digest, &lease.stat) {
            // A copied store, say, or a foreign write. Without a time of ours a write in the same tick of a coarse
            // clock would not show; where it cannot be set the object is only trusted for this once.
            let _ = self.set_fresh_mtime(&lease.file);
        }
        for _ in 0..HASHES_MAX {
            let Ok(before) = lease.file.stat() else {
                return Verified::Unreadable;
            };
            let Ok(found) = hash_paced(&lease.file, pace) else {
                return Verified::Unreadable;
            };
            let unchanged = lease.file.stat().is_ok_and(|after| after == before);
            if unchanged {
                lease.stat = before;
                return if found == *digest {
                    Verified::Right(self.vouch(digest, &before))
                } else {
                    Verified::Wrong
                };
            }
        }
        Verified::Unreadable
    }

    /// Whether this file has the object's name and no other: one that also lies elsewhere is not the store's to
    /// change (I20). Both from one look, so that it cannot be a foreign file that had two names until just now.
    fn is_alone(&self, digest: &ObjectDigest, stat: &Stat) -> bool {
        self.dir.stat(&layout::object(digest)).is_ok_and(|named| named.same_inode(stat) && named.links == 1)
    }

    /// Not the constant itself: whoever dies before it has hashed would leave wrong bytes under the very stamp
    /// that was recorded for the right ones, if all that happened within one tick of a coarse clock.
    fn set_fresh_mtime(&self, file: &File) -> io::Result<()> {
        let nsec = u32::from_le_bytes(self.fs.random()?) % 999_999_999 + 1;
        file.set_mtime(Time { nsec, ..OBJECT_MTIME })
    }

    fn vouch(&self, digest: &ObjectDigest, stat: &Stat) -> Option<Stamp> {
        let stamp = self.stamp(stat)?;
        let mut verified = self.verified();
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(*digest, stamp);
        Some(stamp)
    }

    /// 16 bytes that change with any write to the inode and with every boot.
    ///
    /// `None`: nothing can be vouched, for the boot is not known, or the modification time is not one of ours
    /// (then a write in one tick of the clock might not show).
    fn stamp(&self, stat: &Stat) -> Option<Stamp> {
        if stat.mtime.sec != OBJECT_MTIME.sec {
            return None;
        }
        let mut stamped = [0; STAMPED_BYTES];
        let mut rest = &mut stamped[..];
        let mut put = |bytes: &[u8]| {
            let (place, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            place.copy_from_slice(bytes);
            rest = behind;
        };
        put(&self.boot?);
        [stat.device, stat.inode, stat.len].iter().for_each(|number| put(&number.to_le_bytes()));
        for time in [stat.mtime, stat.ctime] {
            put(&time.sec.to_le_bytes());
            put(&time.nsec.to_le_bytes());
        }
        Some(stamp_of(&stamped))
    }

    /// The whole content, if it is right: for a private copy of an object that cannot be leased.
    pub(crate) fn read_right(&self, digest: &ObjectDigest, file: &File) -> Option<Vec<u8>> {
        let bytes = read_all(file).ok()?;
        (ObjectDigest::of_bytes(&bytes) == *digest).then_some(bytes)
    }

    fn clones(&self) -> bool {
        !self.cannot_clone.load(Ordering::Relaxed)
    }
}

/// BLAKE3 of all that the file holds.
pub(crate) fn hash_of(file: &File) -> io::Result<ObjectDigest> {
    hash_paced(file, &mut |_| {})
}

fn hash_paced(file: &File, pace: &mut dyn FnMut(usize)) -> io::Result<ObjectDigest> {
    let mut hasher = Hasher::plain();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        let len = file.read_at(&mut chunk, at)?;
        if len == 0 {
            return Ok(ObjectDigest::from_bytes(hasher.finish()));
        }
        hasher.update(&chunk[..len]);
        at += len as u64;
        pace(len);
    }
}

/// Replaces the content of `bytes` by the first `len` bytes of the file, or all there are; reuses its memory.
pub(crate) fn read_first(file: &File, len: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize(usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?, 0);
    let mut at = 0;
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], at as u64)? {
            0 => bytes.truncate(at),
            read => at += read,
        }
    }
    Ok(())
}

/// All that the file holds.
pub(crate) fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let expected = usize::try_from(file.stat()?.len).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; expected];
    let mut at = 0;
    loop {
        if at == bytes.len() {
            // At the end as announced, or the file grew: one more reading tells.
            let mut more = [0; 1];
            if file.read_at(&mut more, at as u64)? == 0 {
                return Ok(bytes);
            }
            bytes.resize(at + CHUNK_BYTES, 0);
        }
        match file.read_at(&mut bytes[at..], at as u64)? {
            0 => {
                bytes.truncate(at);
                return Ok(bytes);
            }
            len => at += len,
        }
    }
}
