//! Making an object: a staged file nobody else can name, written and hashed in one pass, then renamed to the
//! name that its content gives it.
//!
//! ```text
//! create staging/<random>, O_EXCL        killed: litter; read-only from its first moment for all but its maker
//! flock shared, link count still 1       the reaper takes EX and unlinks: then start again [m]
//! read, hash, write ..                   killed: litter
//! mtime := constant; [fsync]             chmod before it, where the umask took something away
//! open again read-only, flock shared     this is the lease; the writing description is closed: see `Lent`
//! rename to objects/xx/.., NOREPLACE     killed: a complete object that nothing names
//! stat                                   the stamp
//! ```

mod receive;

use std::{
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

pub(crate) use self::receive::{NotReceived, Receiving};
use super::{
    LEASE_POLL, Lease, OBJECT_MTIME, Objects, Removed, Unopened, Verified,
    copy::{self, Copy},
    hash_of,
};
use crate::{
    config::Durability,
    digest::ObjectDigest,
    error::Trouble,
    format::record::Stamp,
    fs::{Access, Dir, Draw, File, Kind, Lock, Stat},
    layout,
    planted::{self, Bug},
    sync::{Arc, atomic::Ordering},
};

/// Nobody writes to an object, and only what is executable is.
const PLAIN_MODE: u32 = 0o444;
const EXECUTABLE_MODE: u32 = 0o555;
/// How often publishing starts again because the name was taken and then free.
const PUBLISHES_MAX: usize = 16;
/// How often staging starts again because the reaper took the file before it was locked.
const STAGES_MAX: usize = 8;

/// What an object is made from.
pub(crate) enum Content<'a> {
    Bytes(&'a [u8]),
    /// A file of the caller's, copied, never moved or linked. Whoever watches hears how much of it is copied.
    File(&'a Path, Option<&'a Watch<'a>>),
}

/// Hears how many bytes of a file are copied, and says whether to go on.
pub(crate) type Watch<'a> = dyn Fn(u64) -> ControlFlow<()> + 'a;

/// For how long an object is leased by whoever publishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lent {
    /// Until the host is done with it: through a description that cannot write.
    ToHost,
    /// Until its entry is committed. Then the description that wrote it will do, which is leased already, and
    /// nothing need be opened by name again. Not for what is executable: while somebody has it open for writing
    /// the system runs it for nobody (ETXTBSY), and a writer may be stopped at any time.
    ForCommit,
}

/// Why nothing was published.
#[derive(Debug)]
pub(crate) enum Unpublished {
    /// The caller's file cannot be used; nothing is wrong with the store.
    BadContent {
        path: PathBuf,
        problem: String,
    },
    Trouble(Trouble),
    /// It has its name, but that could not be made durable: remove it, unless somebody uses it. A later sync may
    /// succeed without this name, and whoever finds it there would rely on it.
    Unsynced(ObjectDigest, Trouble),
    /// The name is held by something that cannot be judged or removed now.
    Busy,
}

impl From<Trouble> for Unpublished {
    fn from(trouble: Trouble) -> Self {
        Unpublished::Trouble(trouble)
    }
}

/// A published object, leased until this is dropped.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) digest: ObjectDigest,
    pub(crate) lease: Lease,
    /// Zeros where nothing can be vouched.
    pub(crate) stamp: Stamp,
    pub(crate) executable: bool,
}

/// A complete object under a random name.
pub(crate) struct Staged {
    name: StagedName,
    file: File,
    /// The file as it was made.
    made: Stat,
    pub(crate) digest: ObjectDigest,
    executable: bool,
}

/// A name in staging that goes with its owner, unless the file got its final name.
struct StagedName {
    dir: Arc<Dir>,
    path: PathBuf,
    is_published: bool,
}

impl Drop for StagedName {
    fn drop(&mut self) {
        if !self.is_published {
            // Litter at worst: the next sweep takes it.
            let _ = self.dir.unlink(&self.path);
        }
    }
}

impl Objects {
    /// Copies and hashes `content` into staging.
    pub(crate) fn stage(
        &self,
        content: &Content<'_>,
        draw: &mut Draw<'_>,
        lent: Lent,
    ) -> Result<Staged, Unpublished> {
        let (name, file, made, digest, executable) = match content {
            Content::Bytes(bytes) => {
                let (name, writer, made) = self.create_staged(draw, PLAIN_MODE)?;
                let digest = copy::write(&writer, &name.path, bytes)?;
                (name, writer, made, digest, false)
            }
            Content::File(path, watch) => {
                let (source, stat) = self.open_content(path)?;
                let executable = stat.mode & 0o111 != 0;
                let mode = if executable { EXECUTABLE_MODE } else { PLAIN_MODE };
                let (name, writer, made) = self.create_staged(draw, mode)?;
                let copy = Copy { source: &source, path, writer: &writer, staged: &name.path, watch: *watch };
                let digest = self.copy(&copy, stat.len)?;
                (name, writer, made, digest, executable)
            }
        };
        let mode = if executable { EXECUTABLE_MODE } else { PLAIN_MODE };
        let file = self.finish(file, &name.path, (made.mode != mode).then_some(mode), lent, executable)?;
        Ok(Staged { name, file, made, digest, executable })
    }

    /// The caller's file, which must be one.
    fn open_content(&self, path: &Path) -> Result<(File, Stat), Unpublished> {
        let bad = |problem: String| Unpublished::BadContent { path: path.to_owned(), problem };
        let file = self.fs.open_source(path).map_err(|error| bad(error.to_string()))?;
        let stat = file.stat().map_err(|error| bad(error.to_string()))?;
        match stat.kind {
            Kind::File => Ok((file, stat)),
            _ => Err(bad("it is not a regular file".into())),
        }
    }

    /// With the mode that it will keep: no call is needed later where the umask leaves it alone.
    fn create_staged(&self, draw: &mut Draw<'_>, mode: u32) -> Result<(StagedName, File, Stat), Trouble> {
        let mut path = PathBuf::new();
        for _ in 0..STAGES_MAX {
            let token = draw.random().map_err(Trouble::of("ask for random bytes", "getrandom".as_ref()))?;
            path = layout::staged(if planted::is(Bug::StagedNameForetold) { [7; 16] } else { token });
            let create = || self.dir.create(&path, mode);
            let file =
                self.dir.with_parent(layout::STAGING.as_ref(), create).map_err(Trouble::of("make", &path))?;
            let name = StagedName { dir: self.dir.clone(), path: path.clone(), is_published: false };
            let locked = file.try_lock(Lock::Shared).map_err(Trouble::of("lock", &path))?;
            let stat = file.stat().map_err(Trouble::of("examine", &path))?;
            if (locked && stat.links == 1) || planted::is(Bug::StagedNotRechecked) {
                return Ok((name, file, stat));
            }
        }
        Err(Trouble::of("keep", &path)(io::Error::other(
            "it was removed before it was locked, again and again",
        )))
    }

    fn copy(&self, copy: &Copy<'_>, len: u64) -> Result<ObjectDigest, Unpublished> {
        if self.clones() {
            match copy.writer.clone_from(copy.source) {
                // What is hashed is the clone: the source may change meanwhile.
                Ok(()) => {
                    let digest = hash_of(copy.writer).map_err(Trouble::of("read", copy.staged))?;
                    copy.tell(len)?;
                    return Ok(digest);
                }
                Err(_) => self.cannot_clone.store(true, Ordering::Relaxed),
            }
        }
        copy.run(len)
    }

    /// Sets the time, and `mode` if it is not that yet. Changes the writing description for a reading one where that
    /// is needed: nobody can write through the lease that is handed out, and an executable is not busy.
    fn finish(
        &self,
        writer: File,
        path: &Path,
        mode: Option<u32>,
        lent: Lent,
        executable: bool,
    ) -> Result<File, Trouble> {
        writer.set_mtime(OBJECT_MTIME).map_err(Trouble::of("set the time of", path))?;
        if let Some(mode) = mode {
            writer.set_mode(mode).map_err(Trouble::of("set the mode of", path))?;
        }
        if self.durability == Durability::Sync {
            // A failure is final: a second fsync may succeed without the bytes.
            let synced = if planted::is(Bug::RenameBeforeSync) { Ok(()) } else { writer.sync() };
            let synced =
                if planted::is(Bug::SyncRetried) { synced.or_else(|_| writer.sync()) } else { synced };
            synced.map_err(Trouble::of("sync", path))?;
        }
        let leave = planted::is(Bug::LeaseNotHeld);
        if lent == Lent::ForCommit && !executable && !leave {
            return Ok(writer);
        }
        let reader = self.dir.open(path, Access::Read).map_err(Trouble::of("open", path))?;
        if !leave && !reader.try_lock(Lock::Shared).map_err(Trouble::of("lock", path))? {
            return Err(Trouble::of("lock", path)(io::ErrorKind::WouldBlock.into()));
        }
        Ok(reader)
    }

    /// Gives a staged object its name. Where the name is taken by the same bytes, those are kept, with a lease
    /// on them; where it is taken by wrong ones, they go through **remove**.
    ///
    /// `known`: stamps under which that object was vouched, if any are recorded.
    pub(crate) fn publish(&self, mut staged: Staged, known: &[Stamp]) -> Result<Published, Unpublished> {
        let name = layout::object(&staged.digest);
        let shard = layout::shard(staged.digest.as_bytes()[0]);
        for _ in 0..PUBLISHES_MAX {
            match self.dir.with_parent(&shard, || self.dir.rename(&staged.name.path, &name)) {
                Ok(()) => {
                    staged.name.is_published = true;
                    return self.published(staged);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Trouble::of("publish", &name)(error).into()),
            }
            if let Some(lease) = self.keep_existing(&staged, known)? {
                return self.kept(&staged.digest, staged.executable, lease);
            }
        }
        Err(Unpublished::Busy)
    }

    fn published(&self, staged: Staged) -> Result<Published, Unpublished> {
        let name = layout::object(&staged.digest);
        self.sync_dir(&staged.digest).map_err(|trouble| Unpublished::Unsynced(staged.digest, trouble))?;
        let stat = staged.file.stat().map_err(Trouble::of("examine", &name))?;
        if !stat.same_inode(&staged.made) {
            // It was opened by its staged name, which somebody gave to another file.
            return Err(Trouble::of("publish", &name)(io::Error::other("it was exchanged")).into());
        }
        let stamp = self.stamp(&stat).unwrap_or_default();
        let lease = Lease { file: staged.file, stat };
        Ok(Published { digest: staged.digest, lease, stamp, executable: staged.executable })
    }

    /// A lease on what already has the name, if that is right and still has it; `None`: try the name again.
    fn keep_existing(&self, staged: &Staged, known: &[Stamp]) -> Result<Option<Lease>, Unpublished> {
        let digest = &staged.digest;
        let mut lease = match self.open(digest) {
            Ok(lease) => lease,
            Err(Unopened::Missing) => return Ok(None),
            Err(Unopened::NotAFile) => {
                self.remove_wrong_kind(digest)?;
                return Ok(None);
            }
            Err(Unopened::Busy(_)) => return Err(Unpublished::Busy),
            Err(Unopened::Refused(trouble)) if trouble.source.kind() == io::ErrorKind::PermissionDenied => {
                // Left in place it would keep this artifact out for ever.
                self.remove_closed(digest)?;
                return Ok(None);
            }
            Err(Unopened::Refused(trouble)) => return Err(trouble.into()),
        };
        // Between opening and locking it may have lost its name [m].
        let leads = self.leads_to(&layout::object(digest), &lease.stat);
        if !leads && !planted::is(Bug::KeptNotRechecked) {
            return Ok(None);
        }
        let vouched = known.iter().any(|stamp| self.is_vouched(digest, &lease, stamp))
            || planted::is(Bug::ExistingTrusted);
        match if vouched { Verified::Right(None) } else { self.verify(digest, &mut lease) } {
            Verified::Right(_) if staged.executable && !self.may_be_executable(digest, &lease.stat) => {
                // Right, and not the store's to change: it makes room.
                self.remove_linked(digest, lease)?;
                Ok(None)
            }
            Verified::Right(_) => Ok(Some(lease)),
            Verified::Wrong => {
                if self.remove_leased(digest, lease)? == Removed::Left {
                    // Somebody holds it for a moment; a child between fork and exec does too.
                    self.fs.pause(LEASE_POLL);
                }
                Ok(None)
            }
            Verified::Unreadable => Err(Unpublished::Busy),
        }
    }

    fn may_be_executable(&self, digest: &ObjectDigest, stat: &Stat) -> bool {
        stat.mode & 0o111 != 0 || self.is_alone(digest, stat)
    }

    fn kept(
        &self,
        digest: &ObjectDigest,
        executable: bool,
        mut lease: Lease,
    ) -> Result<Published, Unpublished> {
        let name = layout::object(digest);
        if executable && lease.stat.mode & 0o111 == 0 {
            // Changes ctime: whoever vouched for it hashes it once more.
            lease.file.set_mode(0o555).map_err(Trouble::of("set the mode of", &name))?;
            lease.stat = lease.file.stat().map_err(Trouble::of("examine", &name))?;
        }
        if self.durability == Durability::Sync {
            // It may have been published without a sync.
            self.sync_kept(&lease, digest)?;
        }
        let stamp = self.stamp(&lease.stat).unwrap_or_default();
        Ok(Published { digest: *digest, lease, stamp, executable })
    }

    fn sync_kept(&self, lease: &Lease, digest: &ObjectDigest) -> Result<(), Trouble> {
        let name = layout::object(digest);
        if self.unsynced().contains(&digest.as_bytes()[0]) {
            let error = io::Error::other("an earlier sync of it or of its directory failed");
            return Err(Trouble::of("sync", &name)(error));
        }
        self.noted(digest, lease.file.sync()).map_err(Trouble::of("sync", &name))?;
        self.sync_dir(digest)
    }

    /// Makes the name of an object durable.
    fn sync_dir(&self, digest: &ObjectDigest) -> Result<(), Trouble> {
        if self.durability == Durability::Lazy || planted::is(Bug::DirNotSynced) {
            return Ok(());
        }
        let shard = layout::shard(digest.as_bytes()[0]);
        let open = self.dir.open_dir(&shard).map_err(Trouble::of("open", &shard))?;
        self.noted(digest, open.sync()).map_err(Trouble::of("sync", &shard))
    }

    fn noted(&self, digest: &ObjectDigest, synced: io::Result<()>) -> io::Result<()> {
        if synced.is_err() {
            self.unsynced().insert(digest.as_bytes()[0]);
        }
        synced
    }

    /// Whether the name leads to this very inode.
    pub(super) fn leads_to(&self, name: &Path, stat: &Stat) -> bool {
        self.dir.stat(name).is_ok_and(|now| now.same_inode(stat))
    }
}
