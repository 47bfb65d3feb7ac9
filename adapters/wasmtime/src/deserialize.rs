//! From bytes to code: all unsafe code of this crate, and why it may be called.
//!
//! wasmtime asks two things of whoever deserialises: that the bytes are, unmodified, what some wasmtime made by
//! `precompile_module` or `precompile_component`; and that a mapped file does not change while the code lives. (That
//! they were made for *this* wasmtime and this engine it checks by itself, and refuses politely.)
//!
//! What stands for the first:
//! * An artifact comes here from an entry under a key with a kind of this crate (`KIND`), which this crate adds
//!   with nothing but the output of those two functions: only [`Trusted`] makes a [`Vouched`], and writes only a
//!   [`Precompiled`].
//! * Between then and now its bytes were not changed: they hash to the object's name in this boot of the machine, and
//!   no write has touched the file since, as far as the file system tells (plugcache's I1). Torn, cut, overwritten
//!   and rotten files are misses and do not come here. After a power cut all are hashed anew.
//! * Nobody but this user and root can have put other bytes there: the directory was judged when the store was
//!   opened, and [`Trusted::new`] refuses a store whose `Trust` was loosened.
//!
//! What stands for the second:
//! * plugcache never writes to, shortens or replaces a published object (I2, I11). Eviction, `clear`, `rm -rf` and
//!   quarantine take its name away or give it another: the mapping, and wasmtime's own open file, keep the bytes.
//!   So it is sound to keep a module longer than the artifact's lease; the lease is for the path.
//! * What is mapped is opened through the very descriptor that holds the lease, not by name: whatever happened to
//!   the name, these are the bytes that were vouched for.
//!
//! What does **not** stand, and is the same for every shared library that the host maps: a process of this user, or
//! root, that means harm, or that writes into the file in place (it is read-only, so that takes intent), changes
//! code that is running; a truncation, or a medium that fails, is a SIGBUS; a write through a mapping that was
//! writable before the bytes were hashed goes unnoticed; a program of this user that adds an entry under this
//! crate's kind by hand, with bytes that are neither precompiled nor refused, has lied to this crate. Hosts that
//! cannot live with that compile each time.
#![expect(unsafe_code, reason = "the one place where stored bytes become code")]

use std::{borrow::Cow, cell::OnceCell, io, marker::PhantomData};

use plugcache::{
    Artifact, Build, LoadFailed, LoadOrBuildError, Loaded, NO_OPTIONS, ObjectDigest, Output, Sources, Store,
    Toolchain, Trust,
};
use wasmtime::{Engine, Error, Module, Result, component::Component};

/// Under what the key has the digest of the wasm: the bytes count, not what their file is called.
const WASM: &str = "blake3 of the wasm";

/// What can be precompiled and loaded.
pub(crate) trait Code: Sized {
    /// The kind of the key. Artifacts under it are this crate's.
    const KIND: &str;
    /// What the artifact's only output is called.
    const OUTPUT: &str;

    fn precompile(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>>;

    /// From what was compiled in this process, by a copy.
    fn of_precompiled(engine: &Engine, precompiled: &Precompiled<Self>) -> Result<Self>;

    /// From what is stored, mapped.
    fn map(engine: &Engine, artifact: &Vouched<'_, Self>) -> Result<Self>;

    /// From what is stored, by a copy that was hashed.
    fn copy(engine: &Engine, artifact: &Vouched<'_, Self>) -> Result<Self>;
}

/// Bytes that [`Code::precompile`] returned in this process.
pub(crate) struct Precompiled<C>(Vec<u8>, PhantomData<C>);

impl<C: Code> Precompiled<C> {
    pub(crate) fn new(engine: &Engine, wasm: &[u8]) -> Result<Precompiled<C>> {
        C::precompile(engine, wasm).map(|bytes| Precompiled(bytes, PhantomData))
    }
}

/// The key of a module or component.
pub(crate) struct Key<C>(Sources, PhantomData<C>);

impl<C: Code> Key<C> {
    pub(crate) fn new(compiler: &Toolchain, wasm: ObjectDigest, label: &str) -> Key<C> {
        let sources = Sources::new(C::KIND, compiler, NO_OPTIONS);
        let sources = sources.context_shown(WASM, wasm.to_string()).label(label);
        Key(sources.digest().expect("no file is read"), PhantomData)
    }

    pub(crate) fn into_sources(self) -> Sources {
        self.0
    }
}

/// An artifact from [`Trusted`], found or built under a [`Key`].
pub(crate) struct Vouched<'a, C>(&'a Artifact, PhantomData<C>);

impl<'a, C> Vouched<'a, C> {
    fn output(&self) -> Output<'a> {
        self.0.primary()
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        self.output().read_verified().map_err(Error::from)
    }
}

/// A store into which nobody else can put code.
#[derive(Clone)]
pub(crate) struct Trusted(Store);

impl Trusted {
    /// `store`, or none in its place if others could write to it.
    pub(crate) fn new(store: &Store) -> Trusted {
        match store.config().trust() {
            Trust::OwnerOnly => Trusted(store.clone()),
            loose => Trusted(Store::disabled(format!(
                "others may write to it (Trust::{loose:?}), and it would hold code"
            ))),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0
    }

    /// What is stored under `key`, or compiled now from what `wasm` gives, which must be what the key is of. What
    /// was compiled is left in `compiled`, so that it need not be compiled again, whatever becomes of its file.
    pub(crate) fn load_or_compile<'w, C: Code>(
        &self,
        engine: &Engine,
        key: &Key<C>,
        wasm: impl Fn() -> Result<Cow<'w, [u8]>, BuildFailed>,
        compiled: &OnceCell<Precompiled<C>>,
    ) -> Result<Loaded<C>, LoadOrBuildError<BuildFailed, Error>> {
        let build = |build: &mut Build| {
            let made = Precompiled::new(engine, &wasm()?).map_err(BuildFailed::Compile)?;
            let written = build.write(C::OUTPUT, &made.0).map_err(BuildFailed::Write);
            // Never a second time: only what was stored before is built again.
            compiled.get_or_init(|| made);
            written
        };
        let load = |artifact: &Artifact| {
            let vouched = Vouched(artifact, PhantomData);
            let in_memory = || match compiled.get() {
                Some(made) => C::of_precompiled(engine, made),
                None => C::copy(engine, &vouched),
            };
            C::map(engine, &vouched).or_else(|_| in_memory()).map_err(LoadFailed::Artifact)
        };
        self.0.load_or_build(&key.0, build, load)
    }
}

/// Why there is nothing to store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildFailed {
    #[error("{0:#}")]
    Compile(Error),
    #[error("there is no room to build in: {0}")]
    Write(io::Error),
    #[error("the wasm cannot be read: {0}")]
    Read(io::Error),
    /// The file is not what it was when it was digested, but this.
    #[error("the wasm changed")]
    Changed(Vec<u8>),
}

impl Code for Module {
    const KIND: &str = "wasmtime/module/1";
    const OUTPUT: &str = "module.cwasm";

    fn precompile(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>> {
        engine.precompile_module(wasm)
    }

    fn of_precompiled(engine: &Engine, precompiled: &Precompiled<Self>) -> Result<Module> {
        // SAFETY: the very bytes that `precompile_module` returned.
        unsafe { Module::deserialize(engine, &precompiled.0) }
    }

    fn map(engine: &Engine, artifact: &Vouched<'_, Self>) -> Result<Module> {
        let file = artifact.output().file()?;
        // SAFETY: the head of this file.
        unsafe { Module::deserialize_open_file(engine, file) }
    }

    fn copy(engine: &Engine, artifact: &Vouched<'_, Self>) -> Result<Module> {
        // SAFETY: the head of this file; the copy cannot change.
        unsafe { Module::deserialize(engine, artifact.bytes()?) }
    }
}

impl Code for Component {
    const KIND: &str = "wasmtime/component/1";
    const OUTPUT: &str = "component.cwasm";

    fn precompile(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>> {
        engine.precompile_component(wasm)
    }

    fn of_precompiled(engine: &Engine, precompiled: &Precompiled<Self>) -> Result<Component> {
        // SAFETY: the very bytes that `precompile_component` returned.
        unsafe { Component::deserialize(engine, &precompiled.0) }
    }

    fn map(engine: &Engine, artifact: &Vouched<'_, Self>) -> Result<Component> {
        let (path, _open) = path_of(&artifact.output())?;
        // SAFETY: the head of this file.
        unsafe { Component::deserialize_file(engine, path) }
    }

    fn copy(engine: &Engine, artifact: &Vouched<'_, Self>) -> Result<Component> {
        // SAFETY: the head of this file; the copy cannot change.
        unsafe { Component::deserialize(engine, artifact.bytes()?) }
    }
}

/// Leads to the open file of an output while the second value lives. (wasmtime takes an open file for a module only.)
#[cfg(target_os = "linux")]
fn path_of(output: &Output<'_>) -> Result<(std::path::PathBuf, std::fs::File)> {
    use std::os::fd::AsRawFd;
    let file = output.file()?;
    Ok((format!("/proc/self/fd/{}", file.as_raw_fd()).into(), file))
}

/// Elsewhere there is no store, and an artifact lies in a directory of its own.
#[cfg(not(target_os = "linux"))]
fn path_of(output: &Output<'_>) -> Result<(std::path::PathBuf, ())> {
    Ok((output.path().to_owned(), ()))
}
