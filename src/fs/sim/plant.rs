//! What a test does to a simulated disk from outside: no verb, no step, no permission asked.
//!
//! `plant_*` puts things that are durable at once, with their names. `overwrite`, `truncate`, `chmod`,
//! `chown`, `move_to` and `remove` act like a foreign process: stamps move, and a power cut may undo them.
//! `damage` acts like a failing medium: no stamp moves. They panic where the test is wrong about what exists.

use super::{
    super::FileSystem,
    disk::{Disk, State, USER},
    inode::{Body, Change, DirBody, FileBody, Index, Inode, Meta, Name, set},
    volume::{Listings, ROOT, Volume},
};
use std::{
    collections::hash_map::DefaultHasher,
    ffi::OsString,
    hash::{Hash, Hasher},
    path::Path,
    sync::Arc,
    time::Duration,
};

impl Disk {
    /// Puts a file (0644), replacing what had the name. Missing parents are made, 0755.
    pub fn plant_file(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let bytes = Arc::new(bytes.as_ref().to_vec());
        self.plant(path.as_ref(), 0o644, |meta| {
            Body::File(FileBody { live: bytes.clone(), durable: bytes, ..FileBody::empty(meta) })
        });
    }

    /// Puts an empty directory (0755), and its missing parents.
    pub fn plant_dir(&self, path: impl AsRef<Path>) {
        self.plant(path.as_ref(), 0o755, |_| Body::Dir(DirBody::default()));
    }

    /// Puts a symlink.
    pub fn plant_symlink(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) {
        let target: Arc<Path> = target.as_ref().into();
        self.plant(path.as_ref(), 0o777, |_| Body::Symlink(target));
    }

    /// Puts a FIFO that nobody reads or writes.
    pub fn plant_fifo(&self, path: impl AsRef<Path>) {
        self.plant(path.as_ref(), 0o666, |_| Body::Fifo);
    }

    /// Gives a file one more name.
    pub fn plant_hard_link(&self, existing: impl AsRef<Path>, path: impl AsRef<Path>) {
        let mut state = self.lock();
        let index = existing_index(&state.volume, existing.as_ref());
        state.plant_name(path.as_ref(), index);
    }

    fn plant(&self, path: &Path, mode: u32, body: impl FnOnce(Meta) -> Body) {
        let mut state = self.lock();
        let index = state.volume.make(mode, USER, body);
        state.volume.used += state.volume.get(index).map_or(0, Inode::room);
        state.plant_name(path, index);
    }

    /// Takes a name away, and all that is below it.
    pub fn remove(&self, path: impl AsRef<Path>) {
        let mut state = self.lock();
        let (dir, name) = existing_place(&state.volume, path.as_ref());
        state.remove_tree(dir, &name);
    }

    /// Gives something another name; what had that name is gone.
    pub fn move_to(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) {
        let mut state = self.lock();
        let (old_dir, old_name) = existing_place(&state.volume, from.as_ref());
        let index = existing_index(&state.volume, from.as_ref());
        let (new_dir, new_name) = existing_parent(&state.volume, to.as_ref());
        state.remove_tree(new_dir, &new_name);
        state.volume.set_name(old_dir, &old_name, None);
        state.volume.set_name(new_dir, &new_name, Some(index));
    }

    /// The bytes of a file; `None` if there is no file of that name.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.lock();
        let index = state.volume.index_of(path.as_ref())?;
        state.volume.file(index).map(|file| file.live.to_vec())
    }

    /// The names in a directory, in order; none if there is no such directory.
    pub fn list(&self, path: impl AsRef<Path>) -> Vec<OsString> {
        let state = self.lock();
        state.volume.index_of(path.as_ref()).and_then(|index| state.names(index).ok()).unwrap_or_default()
    }

    /// Whether the name leads to anything; symlinks are not followed.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.lock().volume.index_of(path.as_ref()).is_some()
    }

    /// Writes into a file as a foreign process would.
    pub fn overwrite(&self, path: impl AsRef<Path>, offset: usize, bytes: impl AsRef<[u8]>) {
        let mut state = self.lock();
        let index = existing_index(&state.volume, path.as_ref());
        state.volume.put_bytes(index, offset, bytes.as_ref());
    }

    /// Sets the length of a file as a foreign process would.
    pub fn truncate(&self, path: impl AsRef<Path>, len: usize) {
        let mut state = self.lock();
        let index = existing_index(&state.volume, path.as_ref());
        state.volume.resize(index, len);
    }

    /// Changes bytes on the medium and in memory, with no trace in the stamps.
    pub fn damage(&self, path: impl AsRef<Path>, offset: usize, bytes: impl AsRef<[u8]>) {
        let mut state = self.lock();
        let index = existing_index(&state.volume, path.as_ref());
        state.volume.persist(index, |inode| {
            if let Body::File(file) = &mut inode.body {
                for side in [&mut file.live, &mut file.durable] {
                    let place = Arc::make_mut(side).iter_mut().skip(offset);
                    place.zip(bytes.as_ref()).for_each(|(old, new)| *old = *new);
                }
            }
        });
    }

    /// Sets the permission bits.
    pub fn chmod(&self, path: impl AsRef<Path>, mode: u32) {
        self.set_meta(path.as_ref(), |meta| meta.mode = mode & 0o7777);
    }

    /// Sets the owner.
    pub fn chown(&self, path: impl AsRef<Path>, owner: u32) {
        self.set_meta(path.as_ref(), |meta| meta.owner = owner);
    }

    fn set_meta(&self, path: &Path, f: impl FnOnce(&mut Meta)) {
        let mut state = self.lock();
        let index = existing_index(&state.volume, path);
        state.volume.set_meta(index, f);
    }

    /// The boot id that processes see from now on. `None`: this kernel has none.
    pub fn set_boot_id(&self, id: Option<[u8; 16]>) {
        self.lock().volume.boot = id;
    }

    /// Lets time pass.
    pub fn advance_clock(&self, time: Duration) {
        self.lock().volume.advance_clock(time);
    }

    /// Sets the clock, also backwards: the time since 1970.
    pub fn set_clock(&self, since_1970: Duration) {
        let mut state = self.lock();
        state.volume.clock = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX / 2);
    }

    /// With a coarse clock, stamps move only with [`Disk::advance_clock`], as on kernels before 6.13 within
    /// one tick. Otherwise each change moves the clock by 1 ns.
    pub fn set_clock_coarse(&self, is_coarse: bool) {
        self.lock().volume.clock_is_coarse = is_coarse;
    }

    /// How many bytes files may still grow by; `None`: any number. Names and directories take no room.
    pub fn set_space_left(&self, bytes: Option<u64>) {
        let mut state = self.lock();
        state.volume.capacity = bytes.map(|bytes| state.volume.used.saturating_add(bytes));
    }

    /// Whether the file system says that its change times can be relied on. They can: it is a way to see that
    /// nobody does.
    pub fn set_stamps_changes(&self, stamps_changes: bool) {
        self.lock().volume.stamps_changes = stamps_changes;
    }

    /// Whether it says that it is kept by this kernel alone, and that it is mounted so that nothing can be executed.
    pub fn set_file_system(&self, is_local: bool, is_noexec: bool) {
        let name = if is_local { "a simulated disk" } else { "a simulated network" };
        self.lock().volume.file_system = FileSystem { name, is_local, is_noexec };
    }

    /// Mounts it read-only, or writable again: verbs that write fail with `EROFS`.
    pub fn set_read_only(&self, is_read_only: bool) {
        self.lock().volume.read_only = is_read_only;
    }

    /// Decides what listings show of names that come and go while they are made.
    pub fn set_listings(&self, listings: Listings) {
        self.lock().volume.listings = listings;
    }

    /// Lets everybody on this disk do already at this size what is usually done at one that is too large for a
    /// test: see the callers of `fs::Fs::size` for the names.
    pub fn set_size(&self, name: &'static str, bytes: u64) {
        Arc::make_mut(&mut self.lock().volume.sizes).insert(name, bytes);
    }

    /// Lets new files take the inode numbers of removed ones, the last first, as ext4 does.
    pub fn set_inode_reuse(&self, is_on: bool) {
        self.lock().volume.reuse_numbers = is_on;
    }

    /// Makes everything durable, as the kernel does after some seconds.
    pub fn settle(&self) {
        self.lock().volume.sync_all();
    }
}

impl State {
    /// Gives an inode a durable name; missing parents are made.
    fn plant_name(&mut self, path: &Path, index: Index) {
        let mut dir = ROOT;
        let names: Vec<Name> = path.iter().filter(|name| *name != "/").map(Name::from).collect();
        let Some((last, parents)) = names.split_last() else { return };
        for name in parents {
            dir = match self.volume.lookup(dir, name) {
                Ok(Some(found)) => found,
                _ => {
                    let made = self.volume.make(0o755, USER, |_| Body::Dir(DirBody::default()));
                    self.set_durable_name(dir, name, Some(made));
                    made
                }
            };
        }
        self.remove_tree(dir, last);
        self.set_durable_name(dir, last, Some(index));
    }

    /// Sets one name on the medium too, and leaves the un-synced others alone.
    fn set_durable_name(&mut self, dir: Index, name: &Name, to: Option<Index>) {
        self.volume.set_name(dir, name, to);
        self.volume.persist(dir, |inode| {
            if let Body::Dir(body) = &mut inode.body {
                body.pending.retain(|change| change.name != *name);
                set(Arc::make_mut(&mut body.durable), name, to);
            }
        });
    }

    /// Takes a name away, and all that is below it.
    fn remove_tree(&mut self, dir: Index, name: &Name) {
        let Ok(Some(index)) = self.volume.lookup(dir, name) else { return };
        let below: Vec<Name> =
            self.volume.dir(index).map(|body| body.live.keys().cloned().collect()).unwrap_or_default();
        for child in &below {
            self.remove_tree(index, child);
        }
        self.volume.set_name(dir, name, None);
        self.forget(index);
    }
}

impl Volume {
    pub(super) fn advance_clock(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2);
        self.clock = self.clock.saturating_add(nanos);
    }

    /// What a path from `/` leads to, no symlink followed.
    fn index_of(&self, path: &Path) -> Option<Index> {
        let names = path.iter().filter(|name| *name != "/");
        names.into_iter().try_fold(ROOT, |dir, name| self.lookup(dir, name).ok().flatten())
    }

    /// A hash of what can be read below `/`; see [`Disk::fingerprint`].
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash_below(ROOT, &mut hasher);
        hasher.finish()
    }

    pub(super) fn fingerprint_before_cut(&self) -> u64 {
        // In no order: the order of the table is that of their making.
        let dirty = self.dirty(None).into_iter().map(|index| self.fingerprint_of_dirty(index));
        dirty.fold(self.fingerprint(), u64::wrapping_add)
    }

    fn fingerprint_of_dirty(&self, index: Index) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash_content(index, &mut hasher);
        let Some(inode) = self.get(index) else { return 0 };
        match &inode.body {
            Body::File(file) => {
                (&file.durable, file.durable_meta.key(), file.has_lost, file.pending.len()).hash(&mut hasher);
                for change in &file.pending {
                    match change {
                        Change::Write { offset, bytes, lost } => (offset, bytes, lost).hash(&mut hasher),
                        Change::Resize(len) => len.hash(&mut hasher),
                        Change::Meta(meta) => meta.key().hash(&mut hasher),
                    }
                }
            }
            Body::Dir(dir) => {
                let durable = dir.durable.iter().map(|(name, to)| (name, Some(*to), false));
                let pending = dir.pending.iter().map(|change| (&change.name, change.to, change.lost));
                for (name, to, lost) in durable.chain(pending) {
                    (name, to.is_some(), lost).hash(&mut hasher);
                    to.into_iter().for_each(|to| self.hash_content(to, &mut hasher));
                }
            }
            Body::Symlink(_) | Body::Fifo => {}
        }
        hasher.finish()
    }

    /// What is in a file; of anything else, which one it is.
    fn hash_content(&self, index: Index, hasher: &mut DefaultHasher) {
        match self.get(index) {
            Some(Inode { body: Body::File(file), meta, .. }) => (meta.key(), &file.live).hash(hasher),
            other => other.map(|inode| inode.number).hash(hasher),
        }
    }

    fn hash_below(&self, index: Index, hasher: &mut DefaultHasher) {
        let Some(inode) = self.get(index) else { return };
        inode.meta.key().hash(hasher);
        match &inode.body {
            Body::File(file) => (0, &file.live).hash(hasher),
            Body::Symlink(target) => (1, target).hash(hasher),
            Body::Fifo => 2.hash(hasher),
            Body::Dir(dir) => {
                (3, dir.live.len()).hash(hasher);
                for (name, child) in dir.live.iter() {
                    name.hash(hasher);
                    self.hash_below(*child, hasher);
                }
            }
        }
    }
}

#[expect(clippy::panic, reason = "a test that names what is not there must fail")]
fn existing_index(volume: &Volume, path: &Path) -> Index {
    volume.index_of(path).unwrap_or_else(|| panic!("nothing is called {}", path.display()))
}

/// The directory that a path stands in, which exists, and its last name.
#[expect(clippy::panic, reason = "a test that names what is not there must fail")]
fn existing_parent(volume: &Volume, path: &Path) -> (Index, Name) {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => (existing_index(volume, parent), name.into()),
        _ => panic!("{} cannot be moved or removed", path.display()),
    }
}

fn existing_place(volume: &Volume, path: &Path) -> (Index, Name) {
    existing_index(volume, path);
    existing_parent(volume, path)
}
