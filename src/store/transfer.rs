//! Entries from one store into another: a layer made of some of them, and all that another store has taken in.
//!
//! In both directions an object is hashed while it is copied, and an entry comes after its objects (I1, I4): whatever
//! interrupts it leaves whole entries, and objects without one.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Entry, Inner, Store, repair, root::Root};
use crate::{
    config::Durability,
    digest::ObjectDigest,
    error::{OpenError, Skip, StoreError, Trouble},
    format::record::{Put, Record},
    fs::{Access, Dir, Fs, Time},
    layout, manifest,
    objects::{Content, Lent, Objects, Published, Unopened, Unpublished},
    planted::{self, Bug},
    sync::Arc,
};

/// The modes of a layer: it is for everybody to read.
const DIR_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o444;
/// That of objects, for the same entries are to give the same files.
const FILE_MTIME: Time = Time { sec: 1, nsec: 0 };

/// Why an entry was not taken over.
pub(super) enum NotTaken {
    /// Nothing is wrong with the store that was to take it: an object is missing or damaged where it comes from.
    Unusable,
    Skipped(Skip),
}

impl<T: Into<Skip>> From<T> for NotTaken {
    fn from(why: T) -> Self {
        NotTaken::Skipped(why.into())
    }
}

impl Store {
    /// Writes the entries that `pick` picks as a layer into the directory `dir`, which must be empty or not there yet:
    /// for [`ConfigBuilder::layer`](crate::ConfigBuilder::layer), an image, or [`import`](Store::import). Returns how many
    /// were written; those of layers below this store, and those whose objects are missing or damaged, are none of them.
    ///
    /// The same entries give the same bytes in the same files: times, build times and ids are left out. A recorded path of
    /// a source is part of an entry. Everybody may read it. If it is interrupted, `dir` is no store: its index comes last,
    /// and all of it is on the disk when this returns.
    ///
    /// # Errors
    /// There is something in `dir`, or it cannot be written to.
    pub fn export(&self, dir: &Path, mut pick: impl FnMut(&Entry) -> bool) -> Result<u64, StoreError> {
        let inner = &*self.0;
        let root = inner.root_or_disabled()?;
        let layer = LayerDir::make(&inner.fs, dir)?;
        let mut written = Vec::new();
        if let Some(root) = &root {
            root.manifest.refresh().map_err(|none| repair::unviewed(root, none))?;
            for put in root.manifest.visible() {
                if pick(&Entry::new(put.clone())) && layer.take(&inner.fs, root, &put)? {
                    written.push(put);
                }
            }
        }
        layer.finish(&inner.fs, &written)?;
        Ok(written.len() as u64)
    }

    /// Takes in all entries of the store or layer in the directory `from` that this store does not have, and returns how
    /// many that were. Of one that both have, made from the same files, this store's own stays: two copies of one store
    /// that both went on become one in this way.
    ///
    /// Every object is hashed while it is copied; an entry with a missing or damaged one is left out. The entries are this
    /// store's own from then on: dropping one here or there says nothing of the other. The limits hold, as for any add.
    ///
    /// # Errors
    /// `from` is no store, or not one to be trusted, or cannot be read; this store cannot be written to. What was taken in
    /// before stays, and another import goes on with the rest.
    pub fn import(&self, from: &Path) -> Result<u64, StoreError> {
        self.import_picked(from, |_| true)
    }

    /// The same, for those alone that `pick` picks of the entries that this store does not have.
    ///
    /// # Errors
    /// Those of [`import`](Store::import).
    pub fn import_picked(
        &self,
        from: &Path,
        mut pick: impl FnMut(&Entry) -> bool,
    ) -> Result<u64, StoreError> {
        let inner = &*self.0;
        let below =
            Root::open_layer(&inner.fs, &inner.config, from).map_err(|error| unopened(from, error))?;
        let failed = |skip| store_error("import into", inner.config.dir(), skip);
        let root = inner.root_for_writing().map_err(failed)?;
        root.manifest.refresh().map_err(|none| repair::unviewed(&root, none))?;
        let mut taken = 0;
        for put in below.manifest.visible() {
            let own = root.manifest.of_source(&put.source);
            if own.iter().any(|own| own.identity() == put.identity()) || !pick(&Entry::new(put.clone())) {
                continue;
            }
            match inner.take_in(&root, &below, &put, false) {
                Ok(()) => taken += 1,
                Err(NotTaken::Unusable) => {}
                Err(NotTaken::Skipped(skip)) => return Err(failed(skip)),
            }
        }
        Ok(taken)
    }
}

impl Inner {
    /// Copies the objects of an entry and then makes one like it, with a put id of its own: a DROP of one must not hit
    /// the other (I9). `brought`: nobody has asked for that.
    pub(super) fn take_in(
        &self,
        root: &Arc<Root>,
        below: &Root,
        put: &Put,
        brought: bool,
    ) -> Result<(), NotTaken> {
        if self.config.max_files() == 0 {
            return Err(Skip::NoRoom.into());
        }
        let random = self.fs.random().map_err(Trouble::of("ask for random bytes", "getrandom".as_ref()))?;
        let day = if put.day == 0 { self.today() } else { put.day };
        let mut own = Put { put_id: u64::from_le_bytes(random), brought, order: 0, day, ..Put::clone(put) };
        // Leased until the entry has been read back.
        let mut leases = Vec::new();
        for output in own.outputs.iter_mut().filter(|output| output.packed.is_none()) {
            let published = copy(&self.fs, &root.objects, below, &ObjectDigest::from_bytes(output.object))?;
            output.stamp = published.stamp;
            output.executable |= published.executable;
            leases.push(published);
        }
        if planted::is(Bug::TakenInUnleased) {
            leases.clear();
        }
        let grown = root.manifest.append(&Record::Put(Box::new(own.clone()))).map_err(Skip::from)?;
        self.keep_limits(root, &own, &[], grown);
        Ok(())
    }
}

/// Copies an object from one store into another.
fn copy(fs: &Fs, to: &Objects, from: &Root, digest: &ObjectDigest) -> Result<Published, NotTaken> {
    // The lease keeps its path leading to it.
    let _lease = match from.objects.open(digest) {
        Ok(lease) => lease,
        Err(Unopened::Refused(trouble)) => return Err(trouble.into()),
        Err(Unopened::Missing | Unopened::NotAFile | Unopened::Busy(_)) => return Err(NotTaken::Unusable),
    };
    let path = from.path.join(layout::object(digest));
    let staged =
        to.stage(&Content::File(&path, None), &mut fs.draw(), Lent::ForCommit).map_err(unpublished)?;
    if staged.digest != *digest {
        return Err(NotTaken::Unusable);
    }
    to.publish(staged, &[]).map_err(unpublished)
}

fn unpublished(why: Unpublished) -> NotTaken {
    match why {
        // Leased, so it is there: that it cannot be read proves nothing.
        Unpublished::BadContent { path, problem } => Skip::Io { action: "read", path, error: problem }.into(),
        Unpublished::Trouble(trouble) | Unpublished::Unsynced(_, trouble) => trouble.into(),
        Unpublished::Busy => Skip::Busy.into(),
    }
}

/// A layer in the making.
struct LayerDir {
    path: PathBuf,
    root: Dir,
    v1: Arc<Dir>,
    objects: Objects,
}

impl LayerDir {
    fn make(fs: &Fs, dir: &Path) -> Result<LayerDir, StoreError> {
        let path = std::path::absolute(dir).map_err(Trouble::of("resolve", dir))?;
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            fs.make_root(parent).map_err(Trouble::of("make", parent))?;
            let above = fs.open_root(parent).map_err(Trouble::of("open", parent))?;
            make_dir(&above, name.as_ref()).map_err(Trouble::of("make", &path))?;
        }
        let root = fs.open_root(&path).map_err(Trouble::of("open", &path))?;
        if !root.list().map_err(Trouble::of("list", &path))?.is_empty() {
            let full = io::Error::new(io::ErrorKind::AlreadyExists, "it is not empty");
            return Err(Trouble::of("export into", &path)(full).into());
        }
        let major: &Path = layout::MAJOR.as_ref();
        make_dir(&root, major).map_err(Trouble::of("make", &path))?;
        let v1 = Arc::new(root.open_dir(major).map_err(Trouble::of("open", &path))?);
        make_dir(&v1, layout::OBJECTS.as_ref()).map_err(Trouble::of("make", &path))?;
        let objects = Objects::new(fs, v1.clone(), Access::Append, Durability::Lazy, None);
        Ok(LayerDir { path, root, v1, objects })
    }

    /// Copies the objects of an entry; whether it has them all.
    fn take(&self, fs: &Fs, from: &Root, put: &Put) -> Result<bool, StoreError> {
        for output in put.outputs.iter().filter(|output| output.packed.is_none()) {
            let shard = layout::shard(output.object[0]);
            make_dir(&self.v1, &shard).map_err(Trouble::of("make", &shard))?;
            match copy(fs, &self.objects, from, &ObjectDigest::from_bytes(output.object)) {
                Ok(_) => {}
                Err(NotTaken::Unusable) => return Ok(false),
                Err(NotTaken::Skipped(skip)) => return Err(store_error("export into", &self.path, skip)),
            }
        }
        Ok(true)
    }

    /// The segment, which makes it a store, comes when everything else is on the disk.
    fn finish(self, fs: &Fs, puts: &[Arc<Put>]) -> Result<(), StoreError> {
        let (name, bytes) = manifest::layer_of(puts)?;
        let token = fs.random().map_err(Trouble::of("ask for random bytes", "getrandom".as_ref()))?;
        let staged = layout::staged(token);
        let create = || self.v1.create(&staged, 0o600);
        let file = self.v1.with_parent(layout::STAGING.as_ref(), create);
        let file = file.map_err(Trouble::of("make", &staged))?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match file.write(rest).map_err(Trouble::of("write", &staged))? {
                0 => return Err(Trouble::of("write", &staged)(io::ErrorKind::WriteZero.into()).into()),
                len => rest = &rest[len..],
            }
        }
        file.set_mtime(FILE_MTIME).map_err(Trouble::of("set the time of", &staged))?;
        file.set_mode(FILE_MODE).map_err(Trouble::of("set the mode of", &staged))?;
        self.root.sync_fs().map_err(Trouble::of("sync", &self.path))?;
        self.v1.rename(&staged, &name.path()).map_err(Trouble::of("publish", &name.path()))?;
        let staging: &Path = layout::STAGING.as_ref();
        self.v1.remove_dir(staging).map_err(Trouble::of("remove", staging))?;
        for dir in [&*self.v1, &self.root] {
            dir.sync().map_err(Trouble::of("sync", &self.path))?;
        }
        Ok(())
    }
}

fn make_dir(below: &Dir, path: &Path) -> io::Result<()> {
    match below.make_dir(path, DIR_MODE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn unopened(path: &Path, error: OpenError) -> StoreError {
    match error {
        OpenError::Unreadable { action, path, source } => StoreError::Io { action, path, source },
        OpenError::Newer { path } => StoreError::Newer { path },
        error => {
            let kind = match &error {
                OpenError::NoLayer { .. } => io::ErrorKind::NotFound,
                OpenError::Untrusted { .. } => io::ErrorKind::PermissionDenied,
                _ => io::ErrorKind::Other,
            };
            let source = io::Error::new(kind, error.to_string());
            StoreError::Io { action: "import from", path: path.to_owned(), source }
        }
    }
}

/// For requests, what is a skip for adds.
pub(super) fn store_error(action: &'static str, dir: &Path, skip: Skip) -> StoreError {
    match skip {
        Skip::ReadOnly => StoreError::ReadOnly,
        Skip::Disabled(why) => StoreError::Disabled(why),
        Skip::Newer => StoreError::Newer { path: dir.to_owned() },
        Skip::Io { action, path, error } => StoreError::Io { action, path, source: io::Error::other(error) },
        skip => StoreError::Io { action, path: dir.to_owned(), source: io::Error::other(skip.to_string()) },
    }
}
