//! What an add is given, and what it becomes before there is an entry.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    digest::ObjectDigest,
    format::record::{OutputRecord, Stamp},
    objects::{self, Content, Published},
    sync::Arc,
};

/// An output that asks to be packed is packed into the entry up to this length ..
pub(super) const PACKED_BYTES_MAX: usize = 8 * 1024;
/// .. and all of an entry up to this sum, so that the entry still fits its frame.
pub(super) const PACKED_SUM_MAX: usize = 32 * 1024;

/// What a caller that compiled by itself gives to [`Store::add`](crate::Store::add): named outputs, the first of which is the
/// primary one.
///
/// ```
/// use plugcache::Outputs;
/// let outputs = Outputs::bytes("greet.cwasm", vec![0; 16]).and_bytes("greet.map", "{}");
/// ```
#[must_use = "outputs do nothing until they are added"]
#[derive(Clone, Debug)]
pub struct Outputs {
    pub(super) named: Vec<(OsString, Owned)>,
    pub(super) cost: Duration,
    pub(super) watch: Watch,
}

/// Hears how many bytes of all files are copied, if anybody does.
#[derive(Clone, Default)]
pub(super) struct Watch(Option<Arc<dyn Fn(u64) -> ControlFlow<()> + Send + Sync>>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Watch" } else { "Nobody" })
    }
}

impl Watch {
    /// Tells of a file, after so many bytes of others.
    pub(super) fn after(&self, before: u64) -> Option<impl Fn(u64) -> ControlFlow<()>> {
        self.0.as_ref().map(|told| move |copied| told(before + copied))
    }
}

#[derive(Clone, Debug)]
pub(super) enum Owned {
    Bytes(Vec<u8>),
    /// To be packed into the entry, if it is small.
    Packed(Vec<u8>),
    File(PathBuf),
}

impl Owned {
    pub(super) fn content<'a>(&'a self, watch: Option<&'a objects::Watch<'a>>) -> Content<'a> {
        match self {
            Owned::Bytes(bytes) | Owned::Packed(bytes) => Content::Bytes(bytes),
            Owned::File(path) => Content::File(path, watch),
        }
    }
}

impl Outputs {
    pub(super) fn none() -> Outputs {
        Outputs { named: Vec::new(), cost: Duration::ZERO, watch: Watch::default() }
    }

    /// One output from a file, which is copied: it stays the caller's, and is never moved or linked.
    pub fn file(name: impl AsRef<OsStr>, path: impl AsRef<Path>) -> Outputs {
        Outputs::none().and_file(name, path)
    }

    /// One output from memory.
    pub fn bytes(name: impl AsRef<OsStr>, bytes: impl Into<Vec<u8>>) -> Outputs {
        Outputs::none().and_bytes(name, bytes)
    }

    /// One more output from a file.
    pub fn and_file(mut self, name: impl AsRef<OsStr>, path: impl AsRef<Path>) -> Outputs {
        self.named.push((name.as_ref().to_owned(), Owned::File(path.as_ref().to_owned())));
        self
    }

    /// One more output from memory.
    pub fn and_bytes(mut self, name: impl AsRef<OsStr>, bytes: impl Into<Vec<u8>>) -> Outputs {
        self.named.push((name.as_ref().to_owned(), Owned::Bytes(bytes.into())));
        self
    }

    /// One output from memory, without a file of its own: it lies in the entry itself, and reading it costs no
    /// system call.
    ///
    /// For what comes by the thousand and is never opened by its path: functions of a JIT, metadata. Up to 8 KiB
    /// each and 32 KiB in one entry; what is larger is stored as by [`bytes`](Outputs::bytes). All promises are
    /// the same: a handle hashes the bytes of an entry before it first hands them out. A [`path`](crate::Output::path) can be had: the first call writes
    /// a file.
    pub fn packed(name: impl AsRef<OsStr>, bytes: impl Into<Vec<u8>>) -> Outputs {
        Outputs::none().and_packed(name, bytes)
    }

    /// One more output as by [`packed`](Outputs::packed).
    pub fn and_packed(mut self, name: impl AsRef<OsStr>, bytes: impl Into<Vec<u8>>) -> Outputs {
        self.named.push((name.as_ref().to_owned(), Owned::Packed(bytes.into())));
        self
    }

    /// How long making them took: what a later hit saves.
    pub fn cost(mut self, cost: Duration) -> Outputs {
        self.cost = cost;
        self
    }

    /// While files are copied `told` hears, after every 256 KiB or less, how many bytes of all of them are copied; once for
    /// each file where the file system shares blocks. If it answers [`ControlFlow::Break`] the add ends with a
    /// [`NoOutput`](crate::NoOutput): nothing is stored, and what was copied is removed.
    ///
    /// ```
    /// # use plugcache::{Config, NO_OPTIONS, Outputs, Sources, Store, Toolchain};
    /// use std::ops::ControlFlow;
    /// # let dir = tempfile::tempdir()?;
    /// # let big = dir.path().join("big.so");
    /// # std::fs::write(&big, vec![0; 1 << 20])?;
    /// # let store = Store::open(Config::new(dir.path().join("store")))?;
    /// # let none = Toolchain::of_value("none", "1");
    /// # let sources = Sources::new("doc/1", &none, NO_OPTIONS).bytes("big", "1").digest()?;
    /// let up_to_half = |copied| if copied < 1 << 19 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    /// assert!(store.add(&sources, Outputs::file("big.so", &big).copying(up_to_half)).is_err());
    /// assert!(store.find(&sources).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn copying(mut self, told: impl Fn(u64) -> ControlFlow<()> + Send + Sync + 'static) -> Outputs {
        self.watch = Watch(Some(Arc::new(told)));
        self
    }
}

/// An output that waits for its entry.
pub(super) enum Ready {
    /// With the lease on its object.
    Published(Published),
    Packed(ObjectDigest, Vec<u8>),
}

impl Ready {
    pub(super) fn record(&self, name: &[u8]) -> OutputRecord {
        let name = name.to_vec();
        match self {
            Ready::Published(published) => OutputRecord {
                name,
                object: *published.digest.as_bytes(),
                len: published.lease.len(),
                executable: published.executable,
                stamp: published.stamp,
                packed: None,
            },
            Ready::Packed(digest, bytes) => OutputRecord {
                name,
                object: *digest.as_bytes(),
                len: bytes.len() as u64,
                executable: false,
                stamp: Stamp::default(),
                packed: Some(bytes.clone()),
            },
        }
    }
}
