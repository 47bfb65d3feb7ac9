//! A host that compiles its wasm plugins the first time and never again.
//!
//! ```sh
//! cargo run --release --example wasm_host [STORE]
//! ```
//!
//! Without a directory of a store it uses that of the application `wasm-host`. It loads each plugin in two ways, by
//! two handles as two processes would have: cold (only where the store does not have it yet) and warm; then calls it.
//! `plugins/` has their sources; the last one is made here, over 1 MiB of wasm.

mod large;

use plugcache::{Config, Exec, How, Store};
use plugcache_wasmtime::Loader;
use std::{
    env,
    time::{Duration, Instant},
};
use wasmtime::error::Context as _;
use wasmtime::{Engine, Instance, Module, component};

/// The plugins that turn text into text, and what they are given.
const TRANSFORMS: [(&str, &str, &str); 4] = [
    ("crc32", include_str!("plugins/crc32.wat"), "123456789"),
    ("mandelbrot", include_str!("plugins/mandelbrot.wat"), ""),
    ("markup", include_str!("plugins/markup.wat"), "# Caf\u{e9} & *bar*\na < b, *b > c\n"),
    ("sort", include_str!("plugins/sort.wat"), "the quick brown fox jumps over the lazy dog"),
];
const GCD: &str = include_str!("plugins/gcd.component.wat");

/// Of the large plugin: over 1 MiB.
const FUNCTIONS: u32 = 2000;

fn main() -> wasmtime::Result<()> {
    // Neither can fail: without a store all is compiled each time, and that is all.
    let config = match env::args_os().nth(1) {
        Some(dir) => Ok(Config::new(dir)),
        None => Config::for_app("wasm-host"),
    };
    let open = || match &config {
        Ok(config) => Store::open_or_disabled(config.to_builder().exec(Exec::Independent).build()),
        Err(error) => Store::disabled(error.to_string()),
    };
    let mut rows = Vec::new();
    for (name, text, input) in TRANSFORMS {
        let wasm = wat::parse_str(text).with_context(|| name.to_owned())?;
        let mut said = String::new();
        rows.push(twice(name, wasm.len(), || {
            let (engine, store) = (Engine::default(), open());
            let begin = Instant::now();
            let module = Loader::new(&store, &engine).load_module(&wasm)?;
            let took = begin.elapsed();
            said = transform(&engine, &module, input)?;
            Ok((module.how().clone(), took))
        })?);
        println!("{name}:\n{}\n", said.trim_end());
    }
    let wasm = wat::parse_str(GCD)?;
    rows.push(twice("gcd", wasm.len(), || {
        let (engine, store) = (Engine::default(), open());
        let begin = Instant::now();
        let component = Loader::new(&store, &engine).load_component(&wasm)?;
        let took = begin.elapsed();
        println!("gcd, a component: of 1071 and 462: {}\n", gcd(&engine, &component, 1071, 462)?);
        Ok((component.how().clone(), took))
    })?);
    let wasm = large::wasm(FUNCTIONS, 1);
    rows.push(twice("large", wasm.len(), || {
        let (engine, store) = (Engine::default(), open());
        let begin = Instant::now();
        let module = Loader::new(&store, &engine).load_module(&wasm)?;
        let took = begin.elapsed();
        println!("large: its {FUNCTIONS} functions say {}\n", large::run(&engine, &module)?);
        Ok((module.how().clone(), took))
    })?);
    print(&rows);
    Ok(())
}

/// What the table shows of a plugin.
struct Row {
    name: &'static str,
    bytes: usize,
    /// Of the first load and of the second.
    loads: [(How, Duration); 2],
}

/// Loads a plugin as two hosts would, one after the other.
fn twice(
    name: &'static str,
    bytes: usize,
    mut load: impl FnMut() -> wasmtime::Result<(How, Duration)>,
) -> wasmtime::Result<Row> {
    Ok(Row { name, bytes, loads: [load()?, load()?] })
}

fn print(rows: &[Row]) {
    println!("{:<10}  {:>9}  {:<5}  {:>10}  {:<5}  {:>10}", "plugin", "wasm", "", "first", "", "second");
    for Row { name, bytes, loads: [(how1, took1), (how2, took2)] } in rows {
        let (took1, took2) = (millis(*took1), millis(*took2));
        println!("{name:<10}  {bytes:>9}  {how1:<5}  {took1:>10}  {how2:<5}  {took2:>10}");
    }
    let compiled = rows.iter().flat_map(|row| &row.loads).filter(|(how, _)| *how != How::Hit).count();
    println!("\nplugins compiled: {compiled}");
}

fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// Calls a plugin: the host writes the input where the plugin says, and reads the output where it says.
fn transform(engine: &Engine, module: &Module, input: &str) -> wasmtime::Result<String> {
    let mut store = wasmtime::Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[])?;
    let memory = instance.get_memory(&mut store, "memory").context("it has no memory")?;
    let at = instance.get_typed_func::<(), i32>(&mut store, "input")?.call(&mut store, ())?;
    memory.write(&mut store, usize::try_from(at)?, input.as_bytes())?;
    let call = instance.get_typed_func::<i32, (i32, i32)>(&mut store, "transform")?;
    let (from, len) = call.call(&mut store, i32::try_from(input.len())?)?;
    let mut output = vec![0; usize::try_from(len)?];
    memory.read(&store, usize::try_from(from)?, &mut output)?;
    Ok(String::from_utf8(output)?)
}

fn gcd(engine: &Engine, component: &component::Component, a: u32, b: u32) -> wasmtime::Result<u32> {
    let mut store = wasmtime::Store::new(engine, ());
    let instance = component::Linker::new(engine).instantiate(&mut store, component)?;
    let call = instance.get_typed_func::<(u32, u32), (u32,)>(&mut store, "gcd")?;
    Ok(call.call(&mut store, (a, b))?.0)
}
