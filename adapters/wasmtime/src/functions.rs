//! Compiled functions for wasmtime's incremental compilation: a changed module compiles only what changed in it.
//!
//! The values are small and come by the thousand, so they are packed into the entries (`Outputs::packed`). Only those
//! over 8 KiB get a file.

use std::{borrow::Cow, fmt, path::PathBuf};

use plugcache::{Added, Config, ConfigBuilder, Exec, NO_OPTIONS, Outputs, Sources, Store};
use wasmtime::CacheStore;

use crate::{deserialize::Trusted, loader::wasmtime_itself};

/// Room for the functions of many large modules; the default of a store is meant for whole plugins, and would drop the
/// first functions of a module of 5,000 before the last one is compiled.
const FUNCTIONS_MAX: u64 = 1_000_000;

/// A store of compiled functions: give it to
/// [`Config::enable_incremental_compilation`](wasmtime::Config::enable_incremental_compilation).
///
/// ```
/// # fn main() -> wasmtime::Result<()> {
/// use plugcache::Store;
/// use plugcache_wasmtime::FunctionStore;
/// use std::sync::Arc;
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().join("functions");
/// let functions = Store::open_or_disabled(FunctionStore::config(dir).build());
/// let mut config = wasmtime::Config::new();
/// config.enable_incremental_compilation(Arc::new(FunctionStore::new(&functions)))?;
/// let engine = wasmtime::Engine::new(&config)?;
/// # Ok(())
/// # }
/// ```
///
/// Guaranteed: a function that is found is the one that was inserted under that key; whatever is wrong with the store,
/// the function is compiled. Not guaranteed: that an insert is kept (it is a cache, and bounded).
///
/// It pays where modules change often and in part. A module that is unchanged is found whole by a
/// [`Loader`](crate::Loader), which needs none of this. Both may be used by one engine; give each a directory of its own.
pub struct FunctionStore {
    store: Store,
}

impl FunctionStore {
    /// What a store of functions should be opened with: a directory of its own (functions would push modules out),
    /// entries for every host, and room for a million functions.
    pub fn config(dir: impl Into<PathBuf>) -> ConfigBuilder {
        Config::builder(dir).exec(Exec::Independent).max_files(FUNCTIONS_MAX)
    }

    /// Keeps functions in `store`. One that others may write to is not used, as by [`Loader::new`](crate::Loader::new).
    pub fn new(store: &Store) -> FunctionStore {
        FunctionStore { store: Trusted::new(store).store().clone() }
    }

    /// wasmtime's key says all about the function and what it is compiled for, but not the version of the compiler.
    fn sources(key: &[u8]) -> Sources {
        let sources = Sources::new("wasmtime/function/1", wasmtime_itself(), NO_OPTIONS);
        sources.bytes("function", key).digest().expect("no file is read")
    }
}

impl CacheStore for FunctionStore {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let found = self.store.find(&Self::sources(key))?;
        found.primary().read_verified().ok().map(Cow::Owned)
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let outputs = Outputs::packed("function", value);
        matches!(self.store.add(&Self::sources(key), outputs), Ok(Added::Stored))
    }
}

impl fmt::Debug for FunctionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionStore").field("dir", &self.store.config().dir()).finish_non_exhaustive()
    }
}
