//! Loading through a store: what the key is, and what happens when something is wrong.
//!
//! The order in which it is tried, each step only if the one before failed: map what is stored; copy it (where
//! files cannot be mapped executable); drop it, compile once, store, and map that; load what was compiled from
//! memory. So an error is the wasm's or the engine's, never the store's.

use std::{
    cell::OnceCell,
    fs, io,
    ops::Deref,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use plugcache::{Artifact, How, LoadOrBuildError, Skip, Sources, Store, Toolchain};
use wasmtime::{Engine, Error, Module, component::Component};

use crate::deserialize::{BuildFailed, Code, Key, Precompiled, Trusted};

/// Loads modules and components for one engine through one store. Make one and keep it; it can be used by many threads.
///
/// Open the store with [`Exec::Independent`](plugcache::Exec::Independent): the engine's hash says which artifacts fit
/// it, and the version of wasmtime is in the key, so another build of the host may use them. With the default,
/// each new build of the host compiles everything anew, which is wrong nowhere and slow once.
#[derive(Clone)]
pub struct Loader {
    store: Trusted,
    engine: Engine,
    compiler: Toolchain,
}

impl Loader {
    /// A loader that maps what lies in `store` into `engine`.
    ///
    /// A store that was opened with another [`Trust`](plugcache::Trust) than `OwnerOnly` is not used: then everything is compiled,
    /// and [`How::Uncached`] says why.
    pub fn new(store: &Store, engine: &Engine) -> Loader {
        let compiler = Toolchain::of_hash("wasmtime engine", &engine.precompile_compatibility_hash())
            .and(wasmtime_itself().clone());
        Loader { store: Trusted::new(store), engine: engine.clone(), compiler }
    }

    /// The module of these bytes: from the store, or compiled now and stored for everyone.
    ///
    /// # Errors
    /// See [`LoadError`]; no state of the store is one.
    pub fn load_module(&self, wasm: impl AsRef<[u8]>) -> Result<Loaded<Module>, LoadError> {
        self.load(wasm.as_ref(), Path::new("module"))
    }

    /// The module in this file, which is read as a whole. Its name is what people see of the entry, and is not in the key.
    ///
    /// # Errors
    /// As [`load_module`](Loader::load_module), or the file cannot be read.
    pub fn load_module_file(&self, path: impl AsRef<Path>) -> Result<Loaded<Module>, LoadError> {
        self.load(&read(path.as_ref())?, path.as_ref())
    }

    /// The component of these bytes, as [`load_module`](Loader::load_module).
    ///
    /// # Errors
    /// See [`LoadError`]; no state of the store is one.
    pub fn load_component(&self, wasm: impl AsRef<[u8]>) -> Result<Loaded<Component>, LoadError> {
        self.load(wasm.as_ref(), Path::new("component"))
    }

    /// The component in this file, as [`load_module_file`](Loader::load_module_file).
    ///
    /// # Errors
    /// As [`load_component`](Loader::load_component), or the file cannot be read.
    pub fn load_component_file(&self, path: impl AsRef<Path>) -> Result<Loaded<Component>, LoadError> {
        self.load(&read(path.as_ref())?, path.as_ref())
    }

    /// The key of a module, to look it up in the store or to forget it there. Add nothing under it by hand.
    pub fn module_sources(&self, wasm: impl AsRef<[u8]>) -> Sources {
        self.key::<Module>(wasm.as_ref(), Path::new("module")).into_sources()
    }

    /// The key of a component.
    pub fn component_sources(&self, wasm: impl AsRef<[u8]>) -> Sources {
        self.key::<Component>(wasm.as_ref(), Path::new("component")).into_sources()
    }

    fn key<C: Code>(&self, wasm: &[u8], path: &Path) -> Key<C> {
        Key::new(&self.compiler, wasm, &path.file_name().unwrap_or_default().to_string_lossy())
    }

    fn load<C: Code>(&self, wasm: &[u8], path: &Path) -> Result<Loaded<C>, LoadError> {
        let (engine, compiled) = (&self.engine, OnceCell::new());
        let trouble = match self.store.load_or_compile(engine, &self.key(wasm, path), wasm, &compiled) {
            Ok(got) => return Ok(Loaded { value: got.value, how: got.how, artifact: Some(got.artifact) }),
            Err(LoadOrBuildError::Build(BuildFailed::Compile(error))) => {
                return Err(LoadError::Compile(error));
            }
            Err(LoadOrBuildError::Load(error)) => return Err(LoadError::Load(error)),
            Err(LoadOrBuildError::RequiredHit(why)) => return Err(LoadError::RequiredHit(why)),
            // Not even a directory to build in, or no room in it.
            Err(other) => other.to_string(),
        };
        let made = match compiled.into_inner() {
            Some(made) => made,
            None => Precompiled::new(engine, wasm).map_err(LoadError::Compile)?,
        };
        let value = C::of_precompiled(engine, &made).map_err(LoadError::Load)?;
        Ok(Loaded { value, how: How::Uncached(Skip::Disabled(trouble)), artifact: None })
    }
}

/// The version of wasmtime, which a host may take out of its engine's hash (`ModuleVersionStrategy`), and without
/// which two versions would take each other's artifacts. wasmtime tells it in the hash of an engine alone.
pub(crate) fn wasmtime_itself() -> &'static Toolchain {
    static ITSELF: OnceLock<Toolchain> = OnceLock::new();
    ITSELF.get_or_init(|| Toolchain::of_hash("wasmtime", &Engine::default().precompile_compatibility_hash()))
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

/// A module or component, and how it was come by. Holds the artifact: its file stays in the store meanwhile.
///
/// What is cloned out of it ([`Module`] and [`Component`] are handles) may outlive it; see `src/deserialize.rs`.
#[derive(Clone)]
pub struct Loaded<T> {
    value: T,
    how: How,
    artifact: Option<Artifact>,
}

impl<T> Loaded<T> {
    /// From the store, built, or why it could not be stored.
    pub fn how(&self) -> &How {
        &self.how
    }

    /// The lease on the file; `None` if not even a directory to compile in could be had.
    pub fn artifact(&self) -> Option<&Artifact> {
        self.artifact.as_ref()
    }
}

impl<T> Deref for Loaded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Why nothing could be loaded. The store is never the reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file of wasm cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The wasm is not valid, or the engine does not support it. Nothing was stored. Mend the wasm, or enable what
    /// it needs in the engine's configuration.
    #[error("the wasm does not compile: {0:#}")]
    Compile(Error),
    /// What was compiled just now does not load. The engine is for another machine than this one.
    #[error("what was compiled does not load into this engine: {0:#}")]
    Load(Error),
    /// The mode of the store is `RequireHit`, and this is a miss; the text says why.
    #[error("a hit was required, and this is a miss: {0}")]
    RequiredHit(String),
}
