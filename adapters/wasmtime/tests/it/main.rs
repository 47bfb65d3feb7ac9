//! What the crate promises, on real stores, with engines that count what they compile.
#![expect(clippy::unwrap_used, reason = "a helper of tests that cannot go on has failed the test")]

#[path = "../../examples/wasm_host/large.rs"]
mod large;

mod damage;
mod functions;
mod load;
mod places;
mod processes;

use plugcache::{Config, Exec, How, Store};
use plugcache_wasmtime::Loader;
use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;
use wasmtime::{CacheStore, Engine, Instance, Module};

/// Counts the functions that are compiled, and keeps none.
#[derive(Debug, Default)]
struct Compiled(AtomicUsize);

impl CacheStore for Compiled {
    fn get(&self, _: &[u8]) -> Option<Cow<'_, [u8]>> {
        None
    }

    fn insert(&self, _: &[u8], _: Vec<u8>) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// A host: an engine, a store, and how many functions were compiled.
struct Host {
    engine: Engine,
    loader: Loader,
    store: Store,
    compiled: Arc<Compiled>,
}

impl Host {
    fn new(dir: &Path) -> Host {
        Host::with(config(dir), wasmtime::Config::new())
    }

    fn with(store: Config, mut engine: wasmtime::Config) -> Host {
        let compiled = Arc::new(Compiled::default());
        engine.enable_incremental_compilation(compiled.clone()).unwrap();
        let engine = Engine::new(&engine).unwrap();
        let store = Store::open_or_disabled(store);
        Host { loader: Loader::new(&store, &engine), engine, store, compiled }
    }

    /// How many functions were compiled since this was last asked.
    fn compiled(&self) -> usize {
        self.compiled.0.swap(0, Ordering::Relaxed)
    }

    /// Loads, and checks that it works: how it was come by, and how many functions were compiled.
    #[track_caller]
    fn load(&self, wasm: &[u8]) -> (How, usize) {
        let module = self.loader.load_module(wasm).unwrap();
        assert_eq!(answer(&self.engine, &module), 42);
        (module.how().clone(), self.compiled())
    }
}

fn config(dir: &Path) -> Config {
    Config::builder(dir).exec(Exec::Independent).build()
}

/// A directory, and the path of a store in it.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    (dir, store)
}

/// The answer comes from a data segment, which each instance maps from the artifact's file.
const ANSWER: &str = r#"(module
    (memory (export "memory") 1)
    (data (i32.const 0) "\2a\00\00\00")
    (func $read (result i32) (i32.load (i32.const 0)))
    (func (export "answer") (result i32) (call $read)))"#;

fn answer_wasm() -> Vec<u8> {
    wat::parse_str(ANSWER).unwrap()
}

/// What a new instance answers.
fn answer(engine: &Engine, module: &Module) -> i32 {
    let mut run = wasmtime::Store::new(engine, ());
    let instance = Instance::new(&mut run, module, &[]).unwrap();
    instance.get_typed_func::<(), i32>(&mut run, "answer").unwrap().call(&mut run, ()).unwrap()
}

/// All files below a directory.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The only object of a store.
#[track_caller]
fn object(store: &Path) -> PathBuf {
    let mut objects = files_below(&store.join("v1/objects"));
    assert_eq!(objects.len(), 1);
    objects.remove(0)
}
