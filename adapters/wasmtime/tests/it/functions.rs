//! Incremental compilation.

use super::*;
use plugcache::Trust;
use plugcache_wasmtime::FunctionStore;

/// Hands on, and counts.
#[derive(Debug)]
struct Counting {
    functions: FunctionStore,
    found: AtomicUsize,
    inserted: AtomicUsize,
}

impl Counting {
    fn new(functions: FunctionStore) -> Arc<Counting> {
        Arc::new(Counting { functions, found: AtomicUsize::new(0), inserted: AtomicUsize::new(0) })
    }

    /// Functions found and inserted since this was last asked.
    fn counts(&self) -> (usize, usize) {
        (self.found.swap(0, Ordering::Relaxed), self.inserted.swap(0, Ordering::Relaxed))
    }
}

impl CacheStore for Counting {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let found = self.functions.get(key);
        self.found.fetch_add(usize::from(found.is_some()), Ordering::Relaxed);
        found
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let inserted = self.functions.insert(key, value);
        self.inserted.fetch_add(usize::from(inserted), Ordering::Relaxed);
        inserted
    }
}

fn engine(functions: &Arc<Counting>) -> Engine {
    let mut config = wasmtime::Config::new();
    config.enable_incremental_compilation(functions.clone()).unwrap();
    Engine::new(&config).unwrap()
}

fn open(dir: &Path) -> Store {
    Store::open(FunctionStore::config(dir).build()).unwrap()
}

#[test]
fn a_changed_function_is_compiled_alone_and_the_others_are_found() {
    let (_dir, dir) = place();
    let functions = Counting::new(FunctionStore::new(&open(&dir)));
    let first = Module::new(&engine(&functions), large::wasm(200, 1)).unwrap();
    let (_, inserted) = functions.counts();
    assert!(inserted >= 200, "{inserted}");
    drop(first);

    // A new process: another handle, another engine.
    let functions = Counting::new(FunctionStore::new(&open(&dir)));
    let engine = engine(&functions);
    let module = Module::new(&engine, large::wasm(200, 1)).unwrap();
    let (found, again) = functions.counts();
    assert!(found >= 200 && again == 0, "{found} found, {again} compiled");
    let warm = large::run(&engine, &module).unwrap();
    let plain = Engine::default();
    assert_eq!(warm, large::run(&plain, &Module::new(&plain, large::wasm(200, 1)).unwrap()).unwrap());

    Module::new(&engine, large::wasm_with_change(200, 1)).unwrap();
    let (found, changed) = functions.counts();
    assert!(found >= 199 && changed == 1, "{found} found, {changed} compiled");
}

#[test]
fn five_thousand_small_values_are_all_kept_and_are_no_files() {
    let (_dir, dir) = place();
    let functions = FunctionStore::new(&open(&dir));
    let value = |number: u32| number.to_le_bytes().repeat(100);
    for number in 0..5000u32 {
        assert!(functions.insert(&number.to_be_bytes(), value(number)));
    }
    let functions = FunctionStore::new(&open(&dir));
    for number in 0..5000u32 {
        assert_eq!(functions.get(&number.to_be_bytes()).as_deref(), Some(&value(number)[..]), "{number}");
    }
    assert_eq!(functions.get(b"none"), None);
    let files = files_below(&dir).len();
    assert!(files < 10, "{files} files");
}

#[test]
fn a_store_of_functions_that_cannot_be_used_costs_compiles_and_nothing_else() {
    for store in [Store::disabled("for the test"), {
        let (_dir, dir) = place();
        Store::open(FunctionStore::config(dir).trust(Trust::Anyone).build()).unwrap()
    }] {
        let functions = Counting::new(FunctionStore::new(&store));
        let engine = engine(&functions);
        let module = Module::new(&engine, answer_wasm()).unwrap();
        assert_eq!((answer(&engine, &module), functions.counts()), (42, (0, 0)));
    }
}
