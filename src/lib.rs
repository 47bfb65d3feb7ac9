//! An embedded, crash-safe, content-addressed store of compiled plugins: what was compiled once is not compiled
//! again, in this process, in every later one, in any number at once.
//!
//! ```
//! # fn main() -> anyhow::Result<()> {
//! use plugcache::{Config, NO_OPTIONS, Sources, Store, Toolchain};
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path().join("store");
//! let store = Store::open_or_disabled(Config::new(dir));
//! let upper = Toolchain::of_value("upper", "1.0");
//! let sources = Sources::new("my-host/abi-1", &upper, NO_OPTIONS).bytes("greet", "hello").digest()?;
//! let got = store.get_or_build(&sources, |build| build.write("greet.out", "HELLO"))?;
//! assert_eq!(got.artifact.primary().read()?, b"HELLO");
//! assert_eq!(got.how.to_string(), "built"); // and "hit" from now on
//! # Ok(())
//! # }
//! ```
//!
//! # Overview
//!
//! A host describes one compile as [`Sources`]: what is made and for which interface, the [`Toolchain`], the
//! options, the source files in their order, and whatever else matters (context values, environment
//! variables). All of that is hashed into a [`SourceDigest`]; directories, times and modes are not in it. A key
//! cannot be had without a toolchain and options.
//!
//! It opens a [`Store`] ([`Store::for_app`] in the user's cache directory, or any directory by a [`Config`]) and
//! asks it by [`Store::get_or_build`]: on a hit it gets an [`Artifact`] at once. On a miss one caller builds, among
//! all threads and processes that want the same, and the others wait. A [`Build`] has a directory of its own,
//! says where to write outputs, and takes the report of what the compiler read beside the sources
//! ([`Build::depfile`]): the next hit needs those files unchanged.
//!
//! An [`Artifact`] is a lease: while a clone of it lives, its files stay. [`Artifact::path`] is what a dynamic
//! loader opens; [`Output`] has the other ways to get at the bytes ([`read`](Output::read),
//! [`read_verified`](Output::read_verified), [`sealed`](Output::sealed) for an instance of its own).
//! [`Store::load_or_build`] also loads, and rebuilds once what does not load. [`Store::claim`] never waits, for
//! hosts with an event loop; [`Store::find`] and [`Store::add`] are the two halves for hosts that build elsewhere.
//!
//! [`Store::explain`] says why something missed, [`Store::stats`] counts for the handle and for the whole store, and
//! [`Store::observe`] tells of everything as it happens. [`Store::sweep`] clears up at a time of the host's choosing.
//!
//! Entries belong to the executable that made them ([`Exec`]): another build of the host compiles anew.
//!
//! # What is guaranteed
//!
//! * **Right bytes or none.** What is handed out hashed to its name in this boot of the machine, and nothing has
//!   written to it since as far as the file system tells. Any damage is a miss, and is set aside.
//! * **The store never makes a host fail.** Finding never fails; where storing cannot be done, the artifact of the
//!   build is handed out all the same, and [`How::Uncached`] and [`Store::status`] say why.
//! * **[`Added::Stored`] means found**: by every later find in any process, until the entry is dropped, evicted or
//!   replaced. After a power cut that needs [`Durability::Sync`] or [`Store::sync`]; without them entries may be
//!   lost, and those that are left are right.
//! * **Killed or stopped anywhere**, a process leaves a store that works, and blocks nobody.
//! * **Nothing that is leased goes**, whatever is evicted, cleared or deleted.
//! * **Bounded**: `max_files` is exact after every add; `max_bytes` bounds the objects that entries name.
//!
//! # What is not
//!
//! * Protection from root and from hostile processes of the same user; the directory is checked at open for
//!   being closed to all others.
//! * Noticing writes through a mapping that was dirty already, and, within one boot, bits that rot: for those
//!   [`Verify::Always`].
//! * Surviving the truncation, by somebody else, of a segment that is mapped (SIGBUS). Network file systems.
//! * Finding out what a compiler reads that nobody names: see [`Toolchain`] for what is not in it.
//! * In this version: sharing a store within a group.
//!
//! # What others may do to the directory
//!
//! Delete it, or any file in it, at any time, also in use: entries whose objects are gone are misses. Copy it,
//! move it, mount it read-only (then open it with [`readonly`](ConfigBuilder::readonly)): no absolute path is
//! needed to read it; a copy is hashed once. Put other files into it: names that are not the store's are never
//! touched. Open it with several versions of this crate: what a later version wrote and this one does not know is
//! left alone. Nobody may write to a file in it; who does makes that entry a miss.
//!
//! The store itself writes below `DIR/v1` and the file `DIR/CACHEDIR.TAG`, and nowhere else; a build works in the
//! system's temporary directory where there is no store. Every byte is specified in `docs/format.md`.
//!
//! # Errors
//!
//! [`Store::open`] says what is wrong with a directory ([`OpenError`]); [`Store::open_or_disabled`] and
//! [`Store::for_app`] never fail and give a disabled store instead. Reading has no errors: [`Store::find`] is an
//! `Option`. [`Store::add`] and the builds tell the caller's mistakes ([`NoOutput`]: the build left no usable file)
//! from the store's trouble, which is no error but a [`Skip`]. A failing build's own error comes back unchanged
//! ([`BuildError::Build`]). Requests to change a store ([`Store::forget`], [`Store::clear`], [`Store::sync`]) answer
//! with [`StoreError`]. Every error names what was done to what, and its documentation what to do about it.
//!
//! # Features
//!
//! * `serde` (default): [`Config`], [`Sources`], the digests and [`Stats`] can be written and read, an
//!   [`Explanation`] and an [`Entry`] written. Without it they
//!   cannot; the format on disk is the same.
//! * `tracing`: every [`Event`] also goes to `tracing`, at level debug. Silent without it, and without a subscriber.
//! * `rayon`: a large object is hashed by as many threads as there are cores. Sources are digested by several
//!   threads without it.
//!
//! # Platforms and versions
//!
//! Linux, on x86-64 and aarch64. Elsewhere it compiles, sources can be digested, and every store is disabled
//! ([`OpenError::Unsupported`]). Needs Rust 1.89; that is raised in minor releases only, never to a version that is
//! less than a year old.
#![cfg_attr(docsrs, feature(doc_cfg))]
// Silent by default: what it has to say goes to an observer, or to `tracing`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr, clippy::dbg_macro))]

mod config;
mod digest;
mod elf;
mod error;
mod exec;
mod flight;
mod format;
mod fs;
mod layout;
mod manifest;
mod objects;
mod planted;
mod retention;
mod scrub;
mod sources;
mod store;
mod sweep;
mod sync;

pub use config::{Config, ConfigBuilder, Durability, Exec, Mode, NoCacheDir, Trust, Verify};
pub use digest::{ObjectDigest, ParseDigestError, SourceDigest};
pub use error::{Damaged, LoadFailed, NoOutput, OpenError, Skip, StoreError};
pub use manifest::{ManifestDamage, ManifestFault};
pub use scrub::{Cursor, ScrubObjects, ScrubOptions, ScrubProgress, ScrubReport};
pub use sources::{
    BadSource, BadSourceKind, ContextValue, NO_OPTIONS, Part, Sources, SourcesBuilder, SourcesError,
    Toolchain, ToolchainError,
};
pub use store::{
    Added, Artifact, Build, BuildError, Busy, ByLimit, Claim, Comparison, Counts, Day, Difference, DroppedBy,
    Entry, EntryOutput, Event, Explanation, FetchError, Fetched, FileSystem, Got, How, LoadOrBuildError,
    Loaded, Map, Miss, Misses, Output, Outputs, Parcel, ParcelObject, RebuildReport, Recorded, Sealed, Sink,
    Skips, Stats, Status, Store, SweepOptions, SweepReport, Tier, TierError, TierKey, Why,
};

/// Compiles the example of the README.
#[cfg(doctest)]
#[expect(rustdoc::invalid_codeblock_attributes, reason = "`norun` is for tests/it/docs.rs")]
#[doc = include_str!("../README.md")]
mod readme {}

/// Runs the examples of the guides for hosts.
#[cfg(doctest)]
#[expect(rustdoc::invalid_codeblock_attributes, reason = "`norun` is for tests/it/docs.rs")]
mod hosts {
    #[doc = include_str!("../docs/hosts/native.md")]
    mod native {}
    #[doc = include_str!("../docs/hosts/reloading.md")]
    mod reloading {}
}

/// For the tests of this repository alone: the simulated disk, and doors to what has no public one.
#[cfg(any(test, fuzzing, feature = "__sim"))]
#[doc(hidden)]
pub mod __sim {
    pub use crate::fs::sim::*;
    pub use crate::planted::{Bug, plant};
    use crate::{
        Config, OpenError, Sources, SourcesBuilder, SourcesError, Store,
        format::{frame, parcel, record::Record},
        fs::Fs,
    };
    use std::path::Path;

    /// Opens a store as one process on a simulated disk.
    pub fn open(process: Process, config: Config) -> Result<Store, OpenError> {
        Store::open_on(Fs::Sim(process), config, None)
    }

    /// As [`open`], with a tier.
    pub fn open_with_tier(
        process: Process,
        config: Config,
        tier: impl crate::Tier + 'static,
    ) -> Result<Store, OpenError> {
        Store::open_on(Fs::Sim(process), config, Some(crate::sync::Arc::new(tier)))
    }

    /// The bytes of an entry that travels, written anew; `None` if they are none.
    pub fn parcel_respelled(bytes: &[u8]) -> Option<Vec<u8>> {
        let put = parcel::decode(bytes).ok()?;
        parcel::encode(&put, put.details()?)
    }

    /// Digests sources that lie on a simulated disk.
    pub fn digest(process: Process, sources: SourcesBuilder) -> Result<Sources, SourcesError> {
        sources.digest_in(&Fs::Sim(process), None)
    }

    /// Compacts now, whatever the size of the log; whether a segment was made.
    pub fn compact(store: &Store) -> bool {
        store.compact_now()
    }

    /// Clears litter and orphans now.
    pub fn sweep(store: &Store) {
        store.sweep_now();
    }

    /// A frame as a reader of the manifest gets it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Framed {
        /// Where it starts.
        pub at: usize,
        /// How many bytes it fills.
        pub len: usize,
        /// What it is for, known or not.
        pub kind: u8,
        /// Not 0 in frames of later versions.
        pub flags: u8,
        /// What it carries.
        pub payload: Vec<u8>,
        /// The bytes of the record in it, written anew; `None` if this version does not know it.
        pub respelled: Option<Vec<u8>>,
    }

    /// All frames in a window of a log, and how far the window counts as read.
    pub fn frames(window: &[u8], seed: u64) -> (Vec<Framed>, usize) {
        scanned(frame::Scan::new(window, seed), seed)
    }

    /// All frames in a window of a segment.
    pub fn frames_of_segment(window: &[u8], seed: u64) -> Vec<Framed> {
        scanned(frame::Scan::of_segment(window, seed), seed).0
    }

    fn scanned(mut scan: frame::Scan<'_>, seed: u64) -> (Vec<Framed>, usize) {
        let framed = |(at, frame): (usize, frame::Frame<'_>)| Framed {
            at,
            len: frame.bytes.len(),
            kind: frame.kind,
            flags: frame.flags,
            payload: frame.payload.to_vec(),
            respelled: Record::of_frame(&frame).ok().and_then(|record| record.to_frame(seed).ok()),
        };
        let frames = scan.by_ref().map(framed).collect();
        (frames, scan.known_end())
    }

    /// A frame with a right checksum around anything; `None` if that is too long.
    pub fn frame_of(kind: u8, flags: u8, payload: &[u8], seed: u64) -> Option<Vec<u8>> {
        frame::encode_raw(kind, flags, payload, seed).ok()
    }

    /// As [`frame_of`], of an entry or item of a segment.
    pub fn frame_of_segment(kind: u8, flags: u8, payload: &[u8], seed: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        frame::encode_to(&mut bytes, (kind, flags), payload, seed, frame::SEGMENT_SLOT_BYTES).ok()?;
        Some(bytes)
    }

    /// The inputs that a depfile lists; `None` if it is not one.
    pub fn parse_depfile(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        crate::sources::parse_depfile(bytes).ok()
    }

    /// The build id of a file on a simulated disk.
    pub fn build_id(process: Process, path: &Path) -> std::io::Result<Option<Vec<u8>>> {
        Fs::Sim(process).open_source(path).and_then(|file| crate::elf::build_id(&file))
    }
}
