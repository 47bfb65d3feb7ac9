//! Loading through a store: what the key is, and what happens when something is wrong.
//!
//! The order in which it is tried, each step only if the one before failed: map what is stored; copy it (where
//! files cannot be mapped executable); drop it, compile once, store, and map that; load what was compiled from
//! memory. So an error is the wasm's or the engine's, never the store's.

use std::{
    borrow::Cow,
    cell::OnceCell,
    fs, io,
    ops::Deref,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use plugcache::{Artifact, How, LoadOrBuildError, NO_OPTIONS, ObjectDigest, Skip, Sources, Store, Toolchain};
use wasmtime::{Config, Engine, Error, Module, component::Component};

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
        self.load_bytes(wasm.as_ref(), Path::new("module"))
    }

    /// The module in this file. Its name is what people see of the entry, and is not in the key: these bytes are found
    /// however they are given. A file that the store knows to be unchanged is not even read.
    ///
    /// # Errors
    /// As [`load_module`](Loader::load_module), or the file cannot be read.
    pub fn load_module_file(&self, path: impl AsRef<Path>) -> Result<Loaded<Module>, LoadError> {
        self.load_file(path.as_ref())
    }

    /// The component of these bytes, as [`load_module`](Loader::load_module).
    ///
    /// # Errors
    /// See [`LoadError`]; no state of the store is one.
    pub fn load_component(&self, wasm: impl AsRef<[u8]>) -> Result<Loaded<Component>, LoadError> {
        self.load_bytes(wasm.as_ref(), Path::new("component"))
    }

    /// The component in this file, as [`load_module_file`](Loader::load_module_file).
    ///
    /// # Errors
    /// As [`load_component`](Loader::load_component), or the file cannot be read.
    pub fn load_component_file(&self, path: impl AsRef<Path>) -> Result<Loaded<Component>, LoadError> {
        self.load_file(path.as_ref())
    }

    /// The key of a module, to look it up in the store or to forget it there. Add nothing under it by hand.
    pub fn module_sources(&self, wasm: impl AsRef<[u8]>) -> Sources {
        self.key::<Module>(ObjectDigest::of_bytes(wasm.as_ref()), Path::new("module")).into_sources()
    }

    /// The key of a component.
    pub fn component_sources(&self, wasm: impl AsRef<[u8]>) -> Sources {
        self.key::<Component>(ObjectDigest::of_bytes(wasm.as_ref()), Path::new("component")).into_sources()
    }

    fn key<C: Code>(&self, wasm: ObjectDigest, path: &Path) -> Key<C> {
        Key::new(&self.compiler, wasm, &path.file_name().unwrap_or_default().to_string_lossy())
    }

    fn load_bytes<C: Code>(&self, wasm: &[u8], path: &Path) -> Result<Loaded<C>, LoadError> {
        let key = self.key(ObjectDigest::of_bytes(wasm), path);
        match self.load(&key, || Ok(Cow::Borrowed(wasm))) {
            Ok(loaded) => Ok(loaded),
            Err(Failed::Load(error)) => Err(error),
            Err(Failed::Changed(_)) => unreachable!("nobody can change borrowed bytes"),
        }
    }

    fn load_file<C: Code>(&self, path: &Path) -> Result<Loaded<C>, LoadError> {
        let read = || fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source });
        let Some(digest) = self.digest_of(path) else {
            return self.load_bytes(&read()?, path);
        };
        let wasm = || match fs::read(path) {
            Ok(wasm) if ObjectDigest::of_bytes(&wasm) == digest => Ok(Cow::Owned(wasm)),
            Ok(other) => Err(BuildFailed::Changed(other)),
            Err(error) => Err(BuildFailed::Read(error)),
        };
        match self.load(&self.key(digest, path), wasm) {
            Ok(loaded) => Ok(loaded),
            Err(Failed::Load(LoadError::Read { source, .. })) => {
                Err(LoadError::Read { path: path.to_owned(), source })
            }
            Err(Failed::Load(error)) => Err(error),
            // It is not followed any further: what was read is a content that the file really had.
            Err(Failed::Changed(wasm)) => self.load_bytes(&wasm, path),
        }
    }

    /// Of a file's content, which is read only if the store does not know it to be unchanged; `None` if it cannot be
    /// digested.
    fn digest_of(&self, path: &Path) -> Option<ObjectDigest> {
        let file = Sources::new("wasm", &Toolchain::none(), NO_OPTIONS).file(path);
        let sources = file.digest_with(self.store.store()).ok()?;
        sources.parts().next().map(|part| part.digest)
    }

    fn load<'w, C: Code>(
        &self,
        key: &Key<C>,
        wasm: impl Fn() -> Result<Cow<'w, [u8]>, BuildFailed>,
    ) -> Result<Loaded<C>, Failed> {
        let (engine, compiled) = (&self.engine, OnceCell::new());
        let trouble = match self.store.load_or_compile(engine, key, &wasm, &compiled) {
            Ok(got) => return Ok(Loaded { value: got.value, how: got.how, artifact: Some(got.artifact) }),
            Err(LoadOrBuildError::Load(error)) => return Err(LoadError::Load(error).into()),
            Err(LoadOrBuildError::RequiredHit(why)) => {
                return Err(LoadError::RequiredHit(why.to_string()).into());
            }
            // Not even a directory to build in, or no room in it.
            Err(LoadOrBuildError::Build(BuildFailed::Write(error))) => error.to_string(),
            Err(LoadOrBuildError::Build(failed)) => return Err(failed.into()),
            Err(other) => other.to_string(),
        };
        let made = match compiled.into_inner() {
            Some(made) => made,
            None => Precompiled::new(engine, &wasm()?).map_err(LoadError::Compile)?,
        };
        let value = C::of_precompiled(engine, &made).map_err(LoadError::Load)?;
        Ok(Loaded { value, how: How::Uncached(Skip::Disabled(trouble)), artifact: None })
    }
}

/// Why there is nothing loaded under a key.
enum Failed {
    Load(LoadError),
    /// The file has this content by now, which is another key.
    Changed(Vec<u8>),
}

impl From<LoadError> for Failed {
    fn from(error: LoadError) -> Failed {
        Failed::Load(error)
    }
}

impl From<BuildFailed> for Failed {
    fn from(failed: BuildFailed) -> Failed {
        Failed::Load(match failed {
            BuildFailed::Changed(wasm) => return Failed::Changed(wasm),
            BuildFailed::Compile(error) => LoadError::Compile(error),
            // The path is put in by whoever knows it.
            BuildFailed::Read(source) | BuildFailed::Write(source) => {
                LoadError::Read { path: PathBuf::new(), source }
            }
        })
    }
}

/// The version of wasmtime, which a host may take out of its engine's hash (`ModuleVersionStrategy`), and without
/// which two versions would take each other's artifacts. wasmtime tells it in the hash of an engine alone.
pub(crate) fn wasmtime_itself() -> &'static Toolchain {
    static ITSELF: OnceLock<Toolchain> = OnceLock::new();
    ITSELF.get_or_init(|| {
        // Without a compiler it is made in no time.
        let mut config = Config::new();
        config.enable_compiler(false);
        let engine = Engine::new(&config).unwrap_or_default();
        Toolchain::of_hash("wasmtime", &engine.precompile_compatibility_hash())
    })
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
