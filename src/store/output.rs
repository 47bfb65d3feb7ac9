//! One file of an artifact: where its bytes are, and the ways to get at them. No safe function gives a slice of a
//! file that another process could change.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::File as StdFile,
    io,
    ops::Deref,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use super::{artifact::Held, scratch::Scratch};
use crate::{
    digest::ObjectDigest,
    error::Damaged,
    format::record::Put,
    fs::{Access, File, Map as FileMap, Pattern, text_of},
    layout,
    objects::{self, Lease, Lent},
    sync::{Arc, OnceLock},
};

/// What the private copy of a packed output is called.
const PACKED_FILE: &str = "output";

pub(super) struct HeldOutput {
    /// That of the entry, once somebody has asked for it.
    pub(super) name: OnceLock<OsString>,
    pub(super) digest: ObjectDigest,
    pub(super) len: u64,
    pub(super) executable: bool,
    pub(super) content: Content,
}

/// Where the bytes of an output are.
pub(super) enum Content {
    /// In an object, leased.
    Object(Lease),
    /// In a file outside the store.
    Outside(File, PathBuf),
    /// Here, and in a file from the moment somebody asked for a path.
    Packed(PackedBytes, OnceLock<Materialised>),
}

/// The bytes of a packed output, in memory.
pub(super) enum PackedBytes {
    Own(Box<[u8]>),
    /// Those of the entry's output of this number.
    Entry(Arc<Put>, usize),
}

impl Deref for PackedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            PackedBytes::Own(bytes) => bytes,
            PackedBytes::Entry(put, number) => put.outputs[*number].packed.as_deref().unwrap_or_default(),
        }
    }
}

/// What keeps the path of a packed output leading to its bytes.
pub(super) enum Materialised {
    Object {
        _lease: Lease,
    },
    Scratch(Scratch),
    Sealed(Sealed),
    /// Neither disk nor memory could be had.
    Nowhere,
}

impl HeldOutput {
    /// Of bytes that are right.
    pub(super) fn packed(name: OsString, bytes: &[u8]) -> HeldOutput {
        let digest = ObjectDigest::of_bytes(bytes);
        let content = Content::Packed(PackedBytes::Own(bytes.into()), OnceLock::new());
        HeldOutput { name: name.into(), digest, len: bytes.len() as u64, executable: false, content }
    }

    /// Of an entry whose packed bytes are right.
    pub(super) fn packed_in(put: Arc<Put>, number: usize) -> HeldOutput {
        let output = &put.outputs[number];
        let (digest, len) = (ObjectDigest::from_bytes(output.object), output.len);
        let content = Content::Packed(PackedBytes::Entry(put, number), OnceLock::new());
        HeldOutput { name: OnceLock::new(), digest, len, executable: false, content }
    }

    fn read_into(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        match &self.content {
            Content::Object(lease) => objects::read_first(&lease.file, self.len, bytes),
            Content::Outside(file, _) => objects::read_first(file, self.len, bytes),
            Content::Packed(packed, _) => {
                bytes.clear();
                bytes.extend_from_slice(packed);
                Ok(())
            }
        }
    }

    /// All that it holds.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_into(&mut bytes).map(|()| bytes)
    }

    /// Whether the bytes are still those that were proved right.
    pub(super) fn is_untouched(&self) -> bool {
        match &self.content {
            Content::Object(lease) => lease.file.stat().is_ok_and(|now| now == lease.stat()),
            Content::Outside(..) => false,
            Content::Packed(..) => true,
        }
    }
}

/// One named file of an artifact.
#[derive(Clone, Copy)]
pub struct Output<'a> {
    held: &'a Held,
    number: usize,
    output: &'a HeldOutput,
    paths: &'a Paths,
}

/// Where the outputs are found, in their order, once somebody has asked for the path of one.
pub(super) type Paths = OnceLock<Arc<[OnceLock<PathBuf>]>>;

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, digest, len) = (self.name(), self.output.digest, self.output.len);
        f.debug_struct("Output").field("name", &name).field("digest", &digest).field("len", &len).finish()
    }
}

impl<'a> Output<'a> {
    pub(super) fn new(held: &'a Held, number: usize, paths: &'a Paths) -> Output<'a> {
        Output { held, number, output: &held.outputs[number], paths }
    }

    /// Its name, as the build gave it.
    pub fn name(&self) -> &'a OsStr {
        let recorded = || self.held.put.as_ref().and_then(|put| put.outputs.get(self.number));
        self.output.name.get_or_init(|| recorded().map_or_else(OsString::new, |output| text_of(&output.name)))
    }

    /// An absolute path; valid while a clone of the artifact lives, also across an eviction. One path per
    /// content: byte-identical outputs share one file, so a `dlopen` of both gives one instance (see
    /// [`sealed`](Output::sealed)).
    ///
    /// A [packed](crate::Outputs::packed) output gets a file by the first call: in the store, else in the system's
    /// temporary directory, else in memory; an empty path says that there was room nowhere.
    ///
    /// The first call checks that the path leads to the leased file; a store that was renamed under a running
    /// host is found again. Never write to it.
    pub fn path(&self) -> &'a Path {
        let paths = self.paths.get_or_init(|| self.held.outputs.iter().map(|_| OnceLock::new()).collect());
        paths[self.number].get_or_init(|| self.find_path())
    }

    fn find_path(&self) -> PathBuf {
        match &self.output.content {
            Content::Outside(_, path) => path.clone(),
            Content::Object(lease) => self.path_of(lease),
            Content::Packed(bytes, place) => match place.get_or_init(|| self.materialise(bytes)) {
                Materialised::Object { _lease: lease } => self.path_of(lease),
                Materialised::Scratch(scratch) => scratch.path().join(PACKED_FILE),
                Materialised::Sealed(sealed) => sealed.path().to_owned(),
                Materialised::Nowhere => PathBuf::new(),
            },
        }
    }

    /// Writes a packed output to a file: an object as any other, or where none can be made, a private copy.
    fn materialise(&self, bytes: &[u8]) -> Materialised {
        let writable = self.held.root.as_ref().filter(|root| root.access == Access::Append);
        let lease = writable.and_then(|root| {
            let staged =
                root.objects.stage(&objects::Content::Bytes(bytes), &mut self.held.fs.draw(), Lent::ToHost);
            staged.and_then(|staged| root.objects.publish(staged, &[])).ok()
        });
        if let Some(published) = lease {
            return Materialised::Object { _lease: published.lease };
        }
        let scratch = Scratch::temporary().and_then(|scratch| {
            scratch.write(&self.held.fs, PACKED_FILE.as_ref(), bytes)?;
            Ok(scratch)
        });
        match scratch {
            Ok(scratch) => Materialised::Scratch(scratch),
            Err(_) => self.sealed().map_or(Materialised::Nowhere, Materialised::Sealed),
        }
    }

    fn path_of(&self, lease: &Lease) -> PathBuf {
        let Some(root) = &self.held.root else { return PathBuf::new() };
        let place = layout::object(&self.output.digest);
        let path = root.path.join(place);
        let leased = lease.file.stat();
        let leads = |path: &Path| {
            let named = self.held.fs.stat_source(path);
            leased.as_ref().is_ok_and(|leased| named.is_ok_and(|named| named.same_inode(leased)))
        };
        if leads(&path) {
            return path;
        }
        let moved = root.dir.path_now().map(|now| now.join(place));
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
        let read = self.output.read_into(bytes);
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
        match &self.output.content {
            Content::Object(lease) => lease.file.to_std(),
            Content::Outside(file, _) => file.to_std(),
            Content::Packed(bytes, _) => self.held.fs.sealed(bytes)?.to_std(),
        }
    }

    /// Copies it to `to`, beside and then renamed over, so that no reader sees half of it. A fresh inode: what
    /// is loaded from the copy is an instance of its own. Shares blocks where the file system can.
    pub fn copy_to(&self, to: &Path) -> io::Result<()> {
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut copy = tempfile::NamedTempFile::new_in(parent.unwrap_or(Path::new(".")))?;
        // From file to file: the kernel copies, and shares the blocks where it can.
        io::copy(&mut self.file()?, copy.as_file_mut())?;
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
        let len = self.output.len;
        let map = match &self.output.content {
            Content::Object(lease) => lease.file.map(len, Pattern::Through),
            Content::Outside(file, _) => file.map(len, Pattern::Through),
            Content::Packed(bytes, _) => self.held.fs.sealed(bytes)?.map(len, Pattern::Through),
        };
        map.map(Map)
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
