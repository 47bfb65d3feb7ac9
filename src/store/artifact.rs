//! What a store hands out: an artifact is the lease on its objects. No safe function gives a slice of a file
//! that another process could change.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fmt,
    fs::File as StdFile,
    io,
    ops::Deref,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{root::Root, scratch::Scratch};
use crate::{
    digest::ObjectDigest,
    error::Damaged,
    format::record::{Details, Put, PutId},
    fs::{File, Fs, Map as FileMap, Pattern, Stat},
    layout, objects,
    sources::Sources,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

/// Fewer artifacts than this are not worth looking through for those that nobody holds.
const LIVE_PRUNED_MIN: usize = 64;

/// A ready artifact. While a clone of it lives its files stay, whatever the store does: nothing that is leased
/// is evicted, swept or set aside.
///
/// Clones are cheap and share one lease, and so do all artifacts of one entry that a handle hands out while one
/// of them lives. Costs one open file per output.
#[derive(Clone)]
pub struct Artifact {
    held: Arc<Held>,
    /// Where the outputs are found, in their order. Not part of what is held: the store may have been renamed
    /// between two finds.
    paths: Arc<[OnceLock<PathBuf>]>,
}

pub(super) struct Held {
    pub(super) fs: Fs,
    /// The entry; `None` for an artifact that is not stored.
    pub(super) put: Option<Arc<Put>>,
    pub(super) outputs: Vec<HeldOutput>,
    pub(super) sources: OnceLock<Sources>,
    /// Details that did not fit the entry's frame.
    pub(super) spilled: Option<Details>,
    pub(super) label: String,
    pub(super) made: SystemTime,
    pub(super) cost: Duration,
    pub(super) is_own_exec: bool,
    /// Where the objects lie; `None` for an artifact that is not stored.
    pub(super) root: Option<Arc<Root>>,
    /// Where outputs lie that are not in the store, or could not be leased there: goes with the last clone.
    pub(super) _scratch: Vec<Scratch>,
}

pub(super) struct HeldOutput {
    pub(super) name: OsString,
    /// Where it lies if not in the store.
    pub(super) outside: Option<PathBuf>,
    pub(super) digest: ObjectDigest,
    pub(super) len: u64,
    pub(super) executable: bool,
    pub(super) file: File,
    /// The state of an object's inode when it was proved right; `None` for a file outside the store.
    pub(super) proved: Option<Stat>,
}

impl HeldOutput {
    fn is_untouched(&self) -> bool {
        self.proved.is_some_and(|proved| self.file.stat().is_ok_and(|now| now == proved))
    }
}

impl Artifact {
    pub(super) fn new(held: Held) -> Artifact {
        Artifact::share(Arc::new(held))
    }

    fn share(held: Arc<Held>) -> Artifact {
        let paths = held.outputs.iter().map(|_| OnceLock::new()).collect();
        Artifact { held, paths }
    }

    pub(super) fn put(&self) -> Option<&Arc<Put>> {
        self.held.put.as_ref()
    }

    /// The path of the first output; valid while a clone of this artifact lives. See [`Output::path`].
    pub fn path(&self) -> &Path {
        self.primary().path()
    }

    /// The first output.
    pub fn primary(&self) -> Output<'_> {
        Output { held: &self.held, output: &self.held.outputs[0], path: &self.paths[0] }
    }

    /// The output of this name.
    pub fn output(&self, name: impl AsRef<OsStr>) -> Option<Output<'_>> {
        self.outputs().find(|output| output.name() == name.as_ref())
    }

    /// All outputs, in the order in which the build named them.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = Output<'_>> {
        let outputs = self.held.outputs.iter().zip(&*self.paths);
        outputs.map(|(output, path)| Output { held: &self.held, output, path })
    }

    /// Copies every output into `dir` under its name, and says where they are. Existing files are replaced, by
    /// renaming.
    ///
    /// # Errors
    /// A name that is not a plain file name, or whatever the system answers.
    pub fn copy_all_to(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.outputs()
            .map(|output| {
                let plain = Path::new(output.name()).file_name() == Some(output.name());
                if !plain {
                    let problem = format!("the output's name {:?} is not a file name", output.name());
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
                }
                let to = dir.join(output.name());
                output.copy_to(&to).map(|()| to)
            })
            .collect()
    }

    /// The sources as they were recorded when the artifact was added: paths are those of the first host.
    pub fn sources(&self) -> &Sources {
        self.held.sources.get_or_init(|| {
            let inline = self.held.put.as_ref().and_then(|put| put.details.as_ref());
            let details = self.held.spilled.as_ref().or(inline);
            let recipe = details.map(|details| details.recipe.clone()).unwrap_or_default();
            Sources::from_recipe(recipe, self.held.label.clone())
        })
    }

    /// Whether this executable made it (by exec id); the other case needs `try_old_cache_with_new_exec`.
    pub fn was_compiled_by_current_exec(&self) -> bool {
        self.held.is_own_exec
    }

    /// The label given with the sources.
    pub fn label(&self) -> &str {
        &self.held.label
    }

    /// When it was made, by the wall clock of its maker; for people.
    pub fn made(&self) -> SystemTime {
        self.held.made
    }

    /// How long its build took: what a hit saves.
    pub fn cost(&self) -> Duration {
        self.held.cost
    }

    /// Whether it lies in the store; if not, its files go with the last clone.
    pub fn is_stored(&self) -> bool {
        self.held.put.is_some()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("label", &self.label).finish_non_exhaustive()
    }
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outputs: Vec<_> = self.outputs().collect();
        f.debug_struct("Artifact").field("label", &self.label()).field("outputs", &outputs).finish()
    }
}

/// The artifacts that a handle has handed out and that somebody still holds, by the entry.
#[derive(Debug, Default)]
pub(super) struct Live(Mutex<LiveMap>);

#[derive(Debug, Default)]
struct LiveMap {
    by_put: HashMap<PutId, Weak<Held>>,
    /// From so many on it is searched for what nobody holds any more.
    prune_at: usize,
}

impl Live {
    /// What is held of this entry already, if nothing has touched its files since they were proved right.
    pub(super) fn get(&self, put_id: PutId) -> Option<Artifact> {
        let held = self.map().by_put.get(&put_id)?.upgrade()?;
        held.outputs.iter().all(HeldOutput::is_untouched).then(|| Artifact::share(held))
    }

    /// Notes an artifact that was found or built.
    pub(super) fn note(&self, artifact: &Artifact) {
        let Some(put) = artifact.put() else { return };
        let mut map = self.map();
        if map.by_put.len() >= map.prune_at {
            map.by_put.retain(|_, held| held.strong_count() > 0);
            map.prune_at = (2 * map.by_put.len()).max(LIVE_PRUNED_MIN);
        }
        map.by_put.insert(put.put_id, Arc::downgrade(&artifact.held));
    }

    fn map(&self) -> MutexGuard<'_, LiveMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One named file of an artifact.
#[derive(Clone, Copy)]
pub struct Output<'a> {
    held: &'a Held,
    output: &'a HeldOutput,
    path: &'a OnceLock<PathBuf>,
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, digest, len) = (&self.output.name, self.output.digest, self.output.len);
        f.debug_struct("Output").field("name", name).field("digest", &digest).field("len", &len).finish()
    }
}

impl<'a> Output<'a> {
    /// Its name, as the build gave it.
    pub fn name(&self) -> &'a OsStr {
        &self.output.name
    }

    /// An absolute path; valid while a clone of the artifact lives, also across an eviction. One path per
    /// content: byte-identical outputs share one file, so a `dlopen` of both gives one instance (see
    /// [`sealed`](Output::sealed)).
    ///
    /// The first call checks that the path leads to the leased file; a store that was renamed under a running
    /// host is found again. Never write to it.
    pub fn path(&self) -> &'a Path {
        self.path.get_or_init(|| self.find_path())
    }

    fn find_path(&self) -> PathBuf {
        let (root, place) = match (&self.held.root, &self.output.outside) {
            (Some(root), None) => (root, layout::object(&self.output.digest)),
            (_, outside) => return outside.clone().unwrap_or_default(),
        };
        let path = root.path.join(&place);
        let leased = self.output.file.stat();
        let leads = |path: &Path| {
            let named = self.held.fs.stat_source(path);
            leased.as_ref().is_ok_and(|leased| named.is_ok_and(|named| named.same_inode(leased)))
        };
        if leads(&path) {
            return path;
        }
        let moved = root.dir.path_now().map(|now| now.join(&place));
        moved.ok().filter(|moved| leads(moved)).unwrap_or(path)
    }

    /// BLAKE3 of its bytes.
    pub fn digest(&self) -> ObjectDigest {
        self.output.digest
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an output is a file, not a collection")]
    pub fn len(&self) -> u64 {
        self.output.len
    }

    /// Whether the file that the build left was executable.
    pub fn is_executable(&self) -> bool {
        self.output.executable
    }

    /// All its bytes, in memory of their own.
    ///
    /// Trusts that the store proved them right in this boot (I1); a change since then by a process of the same
    /// user through an already writable mapping would not show. [`read_verified`](Output::read_verified)
    /// hashes what it returns.
    pub fn read(&self) -> Result<Vec<u8>, Damaged> {
        let mut bytes = Vec::new();
        self.read_into(&mut bytes).map(|()| bytes)
    }

    /// Replaces the content of `bytes` by its bytes, and reuses the memory.
    pub fn read_into(&self, bytes: &mut Vec<u8>) -> Result<(), Damaged> {
        let read = objects::read_into(&self.output.file, bytes);
        let whole = read.is_ok() && bytes.len() as u64 == self.output.len;
        whole.then_some(()).ok_or(Damaged { digest: self.output.digest })
    }

    /// All its bytes, hashed after they were read: proof of what is returned.
    pub fn read_verified(&self) -> Result<Vec<u8>, Damaged> {
        let bytes = self.read()?;
        let right = ObjectDigest::of_bytes(&bytes) == self.output.digest;
        right.then_some(bytes).ok_or(Damaged { digest: self.output.digest })
    }

    /// A read-only open file of its own: its position is shared with nobody, and it outlives the artifact.
    pub fn file(&self) -> io::Result<StdFile> {
        self.output.file.to_std()
    }

    /// Copies it to `to`, beside and then renamed over, so that no reader sees half of it. A fresh inode: what
    /// is loaded from the copy is an instance of its own. Shares blocks where the file system can.
    pub fn copy_to(&self, to: &Path) -> io::Result<()> {
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut copy = tempfile::NamedTempFile::new_in(parent.unwrap_or(Path::new(".")))?;
        io::copy(&mut self.file()?, &mut copy)?;
        if copy.as_file().metadata()?.len() != self.output.len {
            return Err(io::Error::other(Damaged { digest: self.output.digest }));
        }
        set_mode(copy.as_file(), if self.output.executable { 0o755 } else { 0o644 })?;
        copy.persist(to).map_err(|error| error.error)?;
        Ok(())
    }

    /// A copy in anonymous memory that nobody can change any more, hashed after it was sealed.
    ///
    /// It has a path of its own that no other instance ever had, so that a dynamic loader takes it for a new
    /// library: the way to run a plugin's initialisers twice. Costs a copy (0.3 ms for 1 MiB, 40 ms for
    /// 64 MiB where it was measured).
    pub fn sealed(&self) -> Result<Sealed, Damaged> {
        let damaged = Damaged { digest: self.output.digest };
        let bytes = self.read()?;
        let file = self.held.fs.sealed(&bytes).map_err(|_| damaged.clone())?;
        let map = file.map(self.output.len, Pattern::Through).map_err(|_| damaged.clone())?;
        if ObjectDigest::of_bytes(&map) != self.output.digest {
            return Err(damaged);
        }
        let file = file.to_std().map_err(|_| damaged)?;
        Ok(Sealed { path: unique_path(&file), map, file })
    }

    /// Maps the file read-only.
    ///
    /// # Safety
    /// The caller answers for it that, while the map lives, no process of this user (or root) writes to or
    /// truncates the file. plugcache never does; a foreign write would change the slice, a truncation would
    /// raise SIGBUS. [`read`](Output::read) and [`sealed`](Output::sealed) need no such promise.
    #[expect(unsafe_code, reason = "the caller's promise is what makes the slice sound")]
    pub unsafe fn map(&self) -> io::Result<Map> {
        self.output.file.map(self.output.len, Pattern::Through).map(Map)
    }
}

#[cfg(unix)]
fn set_mode(file: &StdFile, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &StdFile, _: u32) -> io::Result<()> {
    Ok(())
}

/// `/proc/self/fd/N` in a spelling that was never used before in this process.
///
/// glibc compares the names of loaded libraries before it opens anything: after a close, another file with
/// the same descriptor number would be taken for the library that was loaded first. So each path holds a
/// counter, written in `/` and `/.`, which the kernel skips.
fn unique_path(file: &StdFile) -> PathBuf {
    use std::{
        os::fd::AsRawFd,
        sync::atomic::{AtomicU64, Ordering},
    };
    static INSTANCES: AtomicU64 = AtomicU64::new(1);
    let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
    let digits = (0..u64::BITS - instance.leading_zeros()).map(|bit| instance >> bit & 1);
    let counter: String = digits.map(|digit| if digit == 1 { "/." } else { "/" }).collect();
    PathBuf::from(format!("/proc/self/fd{counter}/{}", file.as_raw_fd()))
}

/// A sealed copy of an output; goes when it is dropped, but what was loaded from it stays.
#[derive(Debug)]
pub struct Sealed {
    path: PathBuf,
    map: FileMap,
    file: StdFile,
}

impl Sealed {
    /// Opens the copy, in this process, while this value lives. No two instances share a path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes: sealed, so nobody can change them.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A mapped output; see [`Output::map`].
#[derive(Debug)]
pub struct Map(FileMap);

impl Deref for Map {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
