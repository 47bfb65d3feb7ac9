//! A warm start beside wasmtime's own cache, beside compiling anew, and beside a bare `deserialize_file`, in one run;
//! and what incremental compilation costs on disk and in time.
//!
//! ```sh
//! cargo bench --bench compare            # all
//! cargo bench --bench compare -- quick   # fewer rounds and smaller modules
//! ```
//!
//! Each measurement is a fresh process, which measures itself: from an engine that is there to a module that was
//! instantiated and called once, so that pages which a side leaves to be faulted in later are paid for. What a side
//! needs before it can load (a store, a cache) is opened within the time. The wasm is in memory already, which plugcache
//! and wasmtime's cache digest; or it is a file, which plugcache knows to be unchanged; `deserialize_file` does not
//! look at it. Sides take turns; medians [min .. max].

#[path = "../examples/wasm_host/large.rs"]
mod large;

use plugcache::{Config, Exec, How, Store};
use plugcache_wasmtime::{FunctionStore, Loader};
use std::{
    env, fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use wasmtime::{Cache, CacheConfig, CacheStore, Engine, Module};

const SIDES: [&str; 5] =
    ["deserialize_file", "plugcache, a file", "plugcache, bytes", "wasmtime cache", "compiled anew"];

fn main() -> wasmtime::Result<()> {
    // `--bench` is what cargo adds.
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    if let ["child", side, functions, dir] = arguments[..] {
        let took = child(side, functions.parse()?, Path::new(dir))?;
        println!("{}", took.as_nanos());
        return Ok(());
    }
    let quick = arguments.contains(&"quick");
    let sizes: &[u32] = if quick { &[20, 2000] } else { &[20, 500, 2000, 8000] };
    for &functions in sizes {
        warm_starts(functions, if quick { 5 } else { 31 })?;
    }
    incremental(if quick { 500 } else { 8000 })
}

/// All sides in turns, for one size of module.
fn warm_starts(functions: u32, rounds: usize) -> wasmtime::Result<()> {
    let dir = tempfile::tempdir()?;
    let wasm = large::wasm(functions, 1);
    let engine = Engine::default();
    let artifact = engine.precompile_module(&wasm)?;
    fs::write(dir.path().join("bare.cwasm"), &artifact)?;
    fs::write(dir.path().join("plugin.wasm"), &wasm)?;
    // Younger files are read each time: a write in the same tick of the clock would not show.
    std::thread::sleep(Duration::from_secs(3));
    for side in [SIDES[2], SIDES[1], SIDES[3]] {
        start(side, functions, dir.path())?; // fills it
    }
    let mut times: [Vec<Duration>; 5] = Default::default();
    for round in 0..rounds {
        for turn in 0..SIDES.len() {
            let side = (turn + round) % SIDES.len();
            // It is not what has to be told apart, and would take most of the time.
            if SIDES[side] != "compiled anew" || round < 5 {
                times[side].push(start(SIDES[side], functions, dir.path())?);
            }
        }
    }
    let mebi = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "\n{functions} functions, {:.2} MiB of wasm, {:.2} MiB compiled\n",
        mebi(wasm.len()),
        mebi(artifact.len())
    );
    println!("| side | median | min | max | times deserialize_file |\n|---|---|---|---|---|");
    let bare = median(&mut times[0]);
    for (side, times) in SIDES.iter().zip(&mut times) {
        let median = median(times);
        let ratio = median.as_secs_f64() / bare.as_secs_f64();
        println!(
            "| {side} | {} | {} | {} | {ratio:.2} |",
            millis(median),
            millis(times[0]),
            millis(times[times.len() - 1])
        );
    }
    Ok(())
}

/// One side in a process of its own.
fn start(side: &str, functions: u32, dir: &Path) -> wasmtime::Result<Duration> {
    let output =
        Command::new(env::current_exe()?).args(["child", side, &functions.to_string()]).arg(dir).output()?;
    wasmtime::ensure!(output.status.success(), "{side}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(Duration::from_nanos(String::from_utf8(output.stdout)?.trim().parse()?))
}

fn child(side: &str, functions: u32, dir: &Path) -> wasmtime::Result<Duration> {
    let wasm = large::wasm(functions, 1);
    let cache_dir = dir.join("wasmtime");
    let is_warm = if side.starts_with("plugcache") { dir.join("store").exists() } else { cache_dir.exists() };
    let mut begin = Instant::now();
    let mut config = wasmtime::Config::new();
    let mut cache = None;
    if side == "wasmtime cache" {
        let mut wanted = CacheConfig::new();
        wanted.with_directory(&cache_dir);
        cache = Some(Cache::new(wanted)?);
        config.cache(cache.clone());
    }
    let opening = begin.elapsed();
    let engine = Engine::new(&config)?;
    begin = Instant::now();
    let module = match side {
        // SAFETY: the parent wrote there what `precompile_module` gave, and nobody touches it.
        #[expect(unsafe_code, reason = "this is the bare call that ours is compared with")]
        "deserialize_file" => unsafe { Module::deserialize_file(&engine, dir.join("bare.cwasm"))? },
        "plugcache, a file" | "plugcache, bytes" => {
            let store = Config::builder(dir.join("store")).exec(Exec::Independent).build();
            let loader = Loader::new(&Store::open(store)?, &engine);
            let loaded = match side {
                "plugcache, bytes" => loader.load_module(&wasm)?,
                _ => loader.load_module_file(dir.join("plugin.wasm"))?,
            };
            wasmtime::ensure!(!is_warm || *loaded.how() == How::Hit, "not a hit: {}", loaded.how());
            Module::clone(&loaded)
        }
        _ => Module::new(&engine, &wasm)?,
    };
    std::hint::black_box(large::run(&engine, &module)?);
    let took = begin.elapsed();
    if let Some(cache) = cache.filter(|_| is_warm) {
        wasmtime::ensure!(cache.cache_hits() == 1, "wasmtime's cache did not hit");
    }
    Ok(opening + took)
}

/// Times each call.
#[derive(Debug)]
struct Timed {
    functions: FunctionStore,
    gets: AtomicU64,
    get_ns: AtomicU64,
    hits: AtomicU64,
    inserts: AtomicU64,
    insert_ns: AtomicU64,
    bytes: AtomicU64,
}

impl Timed {
    fn new(dir: &Path) -> wasmtime::Result<Timed> {
        let functions = FunctionStore::new(&Store::open(FunctionStore::config(dir).build())?);
        let [gets, get_ns, hits, inserts, insert_ns, bytes] = Default::default();
        Ok(Timed { functions, gets, get_ns, hits, inserts, insert_ns, bytes })
    }
}

fn add(counter: &AtomicU64, by: u128) {
    counter.fetch_add(u64::try_from(by).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl CacheStore for Timed {
    fn get(&self, key: &[u8]) -> Option<std::borrow::Cow<'_, [u8]>> {
        let begin = Instant::now();
        let found = self.functions.get(key);
        add(&self.get_ns, begin.elapsed().as_nanos());
        add(&self.gets, 1);
        add(&self.hits, found.is_some().into());
        found
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        add(&self.bytes, value.len() as u128);
        let begin = Instant::now();
        let inserted = self.functions.insert(key, value);
        add(&self.insert_ns, begin.elapsed().as_nanos());
        add(&self.inserts, 1);
        inserted
    }
}

/// A module without a store of functions, with an empty one, with a full one, and with one function changed.
fn incremental(functions: u32) -> wasmtime::Result<()> {
    let dir = tempfile::tempdir()?;
    let (wasm, changed) = (large::wasm(functions, 1), large::wasm_with_change(functions, 1));
    println!("\nincremental compilation, {functions} functions\n");
    println!(
        "| | in all | found | get, each | inserted | insert, each | files | bytes on disk | bytes of values |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let begin = Instant::now();
    Module::new(&Engine::default(), &wasm)?;
    println!("| no store | {} | | | | | | | |", millis(begin.elapsed()));
    let mut values = 0;
    for (name, wasm) in [("empty store", &wasm), ("full store", &wasm), ("one function changed", &changed)] {
        let timed = Arc::new(Timed::new(dir.path())?);
        let mut config = wasmtime::Config::new();
        config.enable_incremental_compilation(timed.clone())?;
        let engine = Engine::new(&config)?;
        let begin = Instant::now();
        Module::new(&engine, wasm)?;
        let took = millis(begin.elapsed());
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let each = |ns: &AtomicU64, count: &AtomicU64| match read(count) {
            0 => String::new(),
            count => format!("{:.1} \u{b5}s", read(ns) as f64 / count as f64 / 1e3),
        };
        values += read(&timed.bytes);
        let (files, bytes) = files_and_bytes(dir.path())?;
        let (found, inserted) = (read(&timed.hits), read(&timed.inserts));
        let (get, insert) = (each(&timed.get_ns, &timed.gets), each(&timed.insert_ns, &timed.inserts));
        println!(
            "| {name} | {took} | {found} | {get} | {inserted} | {insert} | {files} | {bytes} | {values} |"
        );
    }
    Ok(())
}

fn files_and_bytes(dir: &Path) -> wasmtime::Result<(u64, u64)> {
    let mut sum = (0, 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let (files, bytes) = files_and_bytes(&entry.path())?;
            sum = (sum.0 + files, sum.1 + bytes);
        } else {
            sum = (sum.0 + 1, sum.1 + entry.metadata()?.len());
        }
    }
    Ok(sum)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}
