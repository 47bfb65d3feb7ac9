//! A store of compiled plugins.
#![cfg_attr(docsrs, feature(doc_cfg))]

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
mod retention;
mod sources;
mod store;
mod sweep;
mod sync;

pub use config::{Config, ConfigBuilder, Durability, Exec, Mode, NoCacheDir, Trust, Verify};
pub use digest::{ObjectDigest, ParseDigestError, SourceDigest};
pub use error::{BuildError, Damaged, LoadFailed, LoadOrBuildError, NoOutput, OpenError, Skip, StoreError};
pub use sources::{
    BadSource, BadSourceKind, ContextValue, NO_OPTIONS, Part, Sources, SourcesBuilder, SourcesError,
    Toolchain, ToolchainError,
};
pub use store::{
    Added, Artifact, Build, Busy, Claim, Entry, EntryOutput, Got, How, Loaded, Map, Output, Outputs, Sealed,
    Stats, Status, Store,
};

/// For the tests of this repository alone: the simulated disk, and doors to what has no public one.
#[cfg(any(test, fuzzing, feature = "__sim"))]
#[doc(hidden)]
pub mod __sim {
    pub use crate::fs::sim::*;
    use crate::{Config, OpenError, Sources, SourcesBuilder, SourcesError, Store, fs::Fs};

    /// Opens a store as one process on a simulated disk.
    pub fn open(process: Process, config: Config) -> Result<Store, OpenError> {
        Store::open_on(Fs::Sim(process), config)
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
}
