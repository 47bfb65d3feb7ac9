//! The directory of a store: found, judged, opened, made.
//!
//! Everything below `v1` is reached through its descriptor from here on. The path to it is judged once, at
//! open: what a store hands out is executed, so nobody else may be able to put something there.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    config::{Config, Durability, Trust},
    error::{OpenError, Skip, Trouble},
    fs::{Access, Ancestors, Dir, FileSystem, Fs, Kind, Stat},
    layout::{self, ManifestName},
    manifest::{Manifest, NoView},
    objects::Objects,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// An open `v1` and what works on it.
#[derive(Debug)]
pub(super) struct Root {
    /// `ROOT/v1` with all symlinks resolved.
    pub(super) path: PathBuf,
    pub(super) dir: Arc<Dir>,
    pub(super) file_system: FileSystem,
    pub(super) access: Access,
    /// Whether it lies below another one, which is written to in its place.
    pub(super) is_layer: bool,
    pub(super) objects: Objects,
    pub(super) manifest: Manifest,
    /// `None`: the boot is not known.
    pub(super) boot: Option<[u8; 16]>,
    is_tree_durable: AtomicBool,
    /// A sync of the directories, or of the whole file system, has failed: a later one may succeed without what
    /// that one has lost, so this handle calls nothing durable any more that rests on it.
    has_lost: AtomicBool,
}

impl Root {
    /// Opens what is there; `None` if nothing is. Makes nothing.
    pub(super) fn open(fs: &Fs, config: &Config) -> Result<Option<Arc<Root>>, OpenError> {
        Root::open_as(fs, config, false)
    }

    /// Opens a store below that of `config`, for reading.
    pub(super) fn open_layer(fs: &Fs, config: &Config, path: &Path) -> Result<Arc<Root>, OpenError> {
        let missing = || OpenError::NoLayer { path: path.to_owned() };
        // Without a manifest it is one that an export has not finished.
        let opened = Root::open_as(fs, &config.of_layer(path), true)?;
        opened.filter(|root| !root.manifest.is_empty()).ok_or_else(missing)
    }

    fn open_as(fs: &Fs, config: &Config, is_layer: bool) -> Result<Option<Arc<Root>>, OpenError> {
        let user = fs.user();
        let path = judge(fs, config, user)?.join(layout::MAJOR);
        match fs.open_resolved(&path) {
            Ok(mut dir) => {
                let file_system = dir.file_system().unwrap_or(FileSystem::UNKNOWN);
                let stat = dir.stat_self().map_err(|source| unreadable("examine", &path, source))?;
                // Sticky would not keep others from making a log in it.
                judge_one(user, config.trust(), &path, &stat, false)?;
                if stat.mode & SEARCHED_BY_OTHERS != 0 {
                    judge_below(user, config.trust(), &path, &dir)?;
                }
                Root::of_dir(fs, config, path, (dir, file_system), is_layer).map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                Err(OpenError::Unsupported { why: error.to_string() })
            }
            Err(error) if crate::fs::is_wrong_kind(&error) => Err(OpenError::NotADirectory { path }),
            Err(error) => Err(unreadable("open", &path, error)),
        }
    }

    fn of_dir(
        fs: &Fs,
        config: &Config,
        path: PathBuf,
        (dir, file_system): (Dir, FileSystem),
        is_layer: bool,
    ) -> Result<Arc<Root>, OpenError> {
        let dir = Arc::new(dir);
        let mut access = if config.readonly() { Access::Read } else { Access::Append };
        let open = |access| Manifest::open(fs, dir.clone(), access, config.durability());
        let manifest = match open(access) {
            // A read-only mount, or a store that this user may only read: finding still works.
            Err(NoView::Trouble(trouble))
                if access == Access::Append && crate::fs::forbids_writing(&trouble.source) =>
            {
                access = Access::Read;
                open(access)
            }
            opened => opened,
        };
        let manifest = manifest.map_err(|none| match none {
            NoView::Foreign => OpenError::Newer { path: path.clone() },
            NoView::Trouble(Trouble { action, path: below, source }) => {
                unreadable(action, &path.join(below), source)
            }
        })?;
        // Where states of files prove nothing, nothing is vouched: every use is hashed.
        let boot = config.boot_id().or_else(|| fs.boot_id()).filter(|_| file_system.is_local);
        let objects = Objects::new(fs, dir.clone(), access, config.durability(), boot);
        let (is_tree_durable, has_lost) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Arc::new(Root {
            path,
            dir,
            file_system,
            access,
            is_layer,
            objects,
            manifest,
            boot,
            is_tree_durable,
            has_lost,
        }))
    }

    /// Format versions beside this one's; what cannot be listed is none.
    pub(super) fn other_formats(&self, fs: &Fs) -> Vec<u32> {
        let names = self.path.parent().and_then(|above| fs.open_root(above).ok()?.list().ok());
        let mut others: Vec<u32> =
            names.iter().flatten().filter_map(|name| layout::other_major(name)).collect();
        others.sort_unstable();
        others
    }

    /// Makes durable what every entry rests on: the names of the directories from `/` to the shards. A handle
    /// that promises durability may have found a store that others made without, or are only making: what they
    /// have not made yet is made here, so that no name comes after the sync.
    fn sync_tree(&self, fs: &Fs) -> Result<(), Trouble> {
        make_tree(&self.dir)?;
        let objects = Path::new(layout::OBJECTS);
        let mut dirs = vec![(objects, self.dir.open_dir(objects).map_err(Trouble::of("open", objects))?)];
        for path in self.path.ancestors() {
            match fs.open_root(path) {
                // Not ours to read, so not made by a store.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                opened => dirs.push((path, opened.map_err(Trouble::of("open", path))?)),
            }
        }
        for (path, dir) in dirs {
            self.noted(dir.sync()).map_err(Trouble::of("sync", path))?;
        }
        Ok(())
    }

    /// As [`open`](Root::open), for adding.
    pub(super) fn for_writing(self: Arc<Root>, fs: &Fs, config: &Config) -> Result<Arc<Root>, Skip> {
        if self.access == Access::Read {
            return Err(Skip::ReadOnly);
        }
        if config.durability() == Durability::Sync && !self.is_tree_durable.load(Ordering::Acquire) {
            self.check_lost()?;
            self.sync_tree(fs)?;
            self.is_tree_durable.store(true, Ordering::Release);
        }
        Ok(self)
    }

    /// Makes the directory tree, each part where it is missing, and opens it.
    pub(super) fn make(fs: &Fs, config: &Config) -> Result<Arc<Root>, Skip> {
        let as_skip = |error: OpenError| super::skip_of(error);
        let resolved = judge(fs, config, fs.user()).map_err(as_skip)?;
        fs.make_root(&resolved).map_err(Trouble::of("make", &resolved))?;
        let root = fs.open_root(&resolved).map_err(Trouble::of("open", &resolved))?;
        make_tag(&root)?;
        make_dir(&root, layout::MAJOR.as_ref())?;
        let major = layout::MAJOR.as_ref();
        let dir = root.open_dir(major).map_err(Trouble::of("open", major))?;
        make_tree(&dir)?;
        // Judged anew: what was made must be what is trusted.
        Root::open(fs, config)
            .map_err(as_skip)?
            .ok_or_else(|| Skip::Disabled("it was deleted while it was made".into()))
    }

    /// Everything on this file system reaches the disk.
    pub(super) fn sync(&self) -> Result<(), Trouble> {
        self.check_lost()?;
        let synced = self.noted(self.dir.sync_fs());
        if synced.is_err() {
            self.objects.distrust();
            self.manifest.distrust();
        }
        synced.map_err(Trouble::of("sync", &self.path))
    }

    fn noted(&self, synced: io::Result<()>) -> io::Result<()> {
        if synced.is_err() {
            self.has_lost.store(true, Ordering::Release);
        }
        synced
    }

    fn check_lost(&self) -> Result<(), Trouble> {
        if self.has_lost.load(Ordering::Acquire) {
            let error = io::Error::other("an earlier sync failed, and what it lost no later one brings back");
            return Err(Trouble::of("sync", &self.path)(error));
        }
        Ok(())
    }
}

/// A directory's mode that lets others come to what lies in it.
const SEARCHED_BY_OTHERS: u32 = 0o011;

/// In a `v1` that others may enter, every directory and every file of the manifest must be as closed to their
/// writing as `v1` itself. As the store makes it, nobody else comes that far, and this is not asked.
fn judge_below(user: u32, trust: Trust, v1_path: &Path, v1: &Dir) -> Result<(), OpenError> {
    let own = [layout::OBJECTS, layout::QUARANTINE, layout::INFLIGHT, layout::STAGING, layout::MEMO];
    let shards = (0..layout::SHARDS).map(|first| layout::shard(first as u8));
    let listed = v1.list().unwrap_or_default();
    let manifest = listed.iter().filter_map(|name| ManifestName::parse(name)).map(ManifestName::path);
    for name in own.map(PathBuf::from).into_iter().chain(shards).chain(manifest) {
        match v1.stat(&name) {
            Ok(stat) if matches!(stat.kind, Kind::Dir | Kind::File) => {
                judge_one(user, trust, &v1_path.join(name), &stat, false)?;
            }
            // Missing, or nothing that is ever used.
            _ => {}
        }
    }
    Ok(())
}

fn make_dir(below: &Dir, path: &Path) -> Result<(), Trouble> {
    match below.make_dir(path, 0o700) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Trouble::of("make", path)(error)),
        _ => Ok(()),
    }
}

/// The directories of `v1`, each where it is missing.
fn make_tree(v1: &Dir) -> Result<(), Trouble> {
    for name in [layout::OBJECTS, layout::QUARANTINE, layout::INFLIGHT, layout::STAGING] {
        make_dir(v1, name.as_ref())?;
    }
    (0..layout::SHARDS).try_for_each(|first| make_dir(v1, &layout::shard(first as u8)))
}

/// Tells backup programs that all this can be made again.
fn make_tag(root: &Dir) -> Result<(), Trouble> {
    let path: &Path = layout::TAG.as_ref();
    match root.create(path, 0o644) {
        Ok(file) => file
            .set_mode(0o644)
            .and_then(|()| file.write(layout::TAG_TEXT))
            .map(|_| ())
            .map_err(Trouble::of("write", path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Trouble::of("make", path)(error)),
    }
}

fn unreadable(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Unreadable { action, path: path.to_owned(), source }
}

/// Resolves the path of the root and judges every directory that leads to it, as `sshd` does with keys.
fn judge(fs: &Fs, config: &Config, user: u32) -> Result<PathBuf, OpenError> {
    let dir = config.dir();
    let Ancestors { resolved, existing } = fs.ancestors(dir).map_err(|error| match error.kind() {
        io::ErrorKind::Unsupported => OpenError::Unsupported { why: error.to_string() },
        io::ErrorKind::NotADirectory => OpenError::NotADirectory { path: dir.to_owned() },
        _ => unreadable("resolve", dir, error),
    })?;
    for (place, (path, stat)) in existing.iter().enumerate() {
        if stat.kind != Kind::Dir {
            return Err(OpenError::NotADirectory { path: path.clone() });
        }
        let child = existing.get(place + 1).map(|(_, child)| child);
        judge_one(user, config.trust(), path, stat, child.is_none_or(|child| is_ours(user, child)))?;
    }
    Ok(resolved)
}

fn is_ours(user: u32, stat: &Stat) -> bool {
    stat.owner == user || stat.owner == 0
}

/// Owned by this user or root, and written by nobody else; `sticky_protects` says whether all that is looked for
/// in it is one child of ours, which others cannot exchange if it is sticky.
fn judge_one(
    user: u32,
    trust: Trust,
    path: &Path,
    stat: &Stat,
    sticky_protects: bool,
) -> Result<(), OpenError> {
    const STICKY: u32 = 0o1000;
    let writers = match trust {
        Trust::OwnerOnly => stat.mode & 0o022,
        Trust::Group => stat.mode & 0o002,
        _ => return Ok(()),
    };
    let protected = stat.mode & STICKY != 0 && sticky_protects;
    if is_ours(user, stat) && (writers == 0 || protected) {
        return Ok(());
    }
    Err(OpenError::Untrusted { path: path.to_owned(), mode: stat.mode, owner: stat.owner })
}
