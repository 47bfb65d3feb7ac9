//! What an operation costs: performs it a number of times, so that the difference between two numbers, seen
//! by `strace -c`, is that of the operations alone. The figures in README.md were taken with this, and those that
//! `tests/it/costs.rs` pins.
//!
//! ```text
//! strace -c -f target/release/examples/costs hit 1000 /tmp/costs-1
//! strace -c -f target/release/examples/costs hit 2000 /tmp/costs-2
//! target/release/examples/costs size 1000 /tmp/costs-3
//! target/release/examples/costs memory 1000 /tmp/costs-3
//! ```
//!
//! The store is made in the directory and left there: removing it would be counted too.
#![expect(
    clippy::disallowed_methods,
    reason = "the rule is the library's: a host looks at its disk as it likes"
)]

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use plugcache::{Added, Config, Exec, NO_OPTIONS, Outputs, Sources, SourcesBuilder, Store, Toolchain};

const USAGE: &str = "costs lookup|hit|held|read|path|packed|get|miss|open|open-log|add|add-file|add-packed|build|digest|digest-fresh|size|memory COUNT DIRECTORY";

/// What each opening finds in the segment, or in the log.
const ENTRIES: usize = 100;
/// Source files of one digest.
const FILES: usize = 100;

/// What each artifact holds, so that every one is an object of its own.
const ARTIFACT_BYTES: usize = 4096;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let operation = arguments.next().context(USAGE)?;
    let count: usize = arguments.next().context(USAGE)?.parse().context(USAGE)?;
    let place = PathBuf::from(arguments.next().context(USAGE)?);
    let dir = place.join("store");
    if operation == "memory" {
        return memory(&dir, count);
    }
    fs::create_dir(&place).with_context(|| place.display().to_string())?;
    let store = open(&dir)?;
    let known = sources(0)?;
    add(&store, 0)?;
    let file = place.join("artifact");
    fs::write(&file, artifact(0))?;
    match operation.as_str() {
        "lookup" => repeat(count, |_| Ok(store.lookup(&known).is_some()))?,
        "hit" => repeat(count, |_| Ok(store.find(&known).is_some()))?,
        "held" => {
            let held = store.find(&known);
            repeat(count, |_| Ok(store.find(&known).is_some()))?;
            drop(held);
        }
        "read" => {
            let mut bytes = Vec::new();
            repeat(count, |_| {
                store.find(&known).context("a miss")?.primary().read_into(&mut bytes)?;
                Ok(bytes.len() == ARTIFACT_BYTES)
            })?;
        }
        "path" => repeat(count, |_| Ok(store.find(&known).is_some_and(|found| found.path().is_absolute())))?,
        "packed" => {
            add_packed(&store, 1)?;
            let packed = sources(1)?;
            repeat(count, |_| Ok(store.find(&packed).is_some()))?;
        }
        "get" => repeat(count, |_| Ok(store.get_or_build(&known, |_| anyhow::bail!("not a hit")).is_ok()))?,
        "miss" => {
            let unknown = sources(1)?;
            repeat(count, |_| Ok(store.find(&unknown).is_none()))?;
        }
        "open" | "open-log" => {
            for number in 1..ENTRIES {
                add(&store, number)?;
            }
            if operation == "open" {
                ensure!(plugcache::__sim::compact(&store));
            }
            repeat(count, |_| Ok(open(&dir)?.find(&known).is_some()))?;
        }
        "digest" => {
            let files = source_files(&place)?;
            // The first one reads them, and is there for any count.
            repeat(count + 1, |_| Ok(of_files(&files).digest_with(&store).is_ok()))?;
        }
        "digest-fresh" => {
            let files = source_files(&place)?;
            // Leaves the memo that all others find.
            of_files(&files).digest_with(&store)?;
            repeat(count, |_| Ok(of_files(&files).digest_with(&open(&dir)?).is_ok()))?;
        }
        "add" => repeat(count, |number| add(&store, number + 1))?,
        "add-file" => repeat(count, |number| {
            let added = store.add(&sources(number + 1)?, Outputs::file("plugin.so", &file))?;
            Ok(added == Added::Stored)
        })?,
        "add-packed" => repeat(count, |number| add_packed(&store, number + 1))?,
        "build" => repeat(count, |number| {
            let built =
                store.get_or_build(&sources(number + 1)?, |build| build.write("plugin.so", artifact(number)));
            Ok(built?.how == plugcache::How::Built)
        })?,
        "size" => size(&store, &dir, count)?,
        _ => anyhow::bail!(USAGE),
    }
    Ok(())
}

fn add_packed(store: &Store, number: usize) -> anyhow::Result<bool> {
    let small = artifact(number).split_off(ARTIFACT_BYTES - 256);
    Ok(store.add(&sources(number)?, Outputs::packed("function", small))? == Added::Stored)
}

fn open(dir: &Path) -> anyhow::Result<Store> {
    Ok(Store::open(Config::builder(dir).exec(Exec::Independent).max_files(u64::MAX).build())?)
}

fn repeat(count: usize, mut operation: impl FnMut(usize) -> anyhow::Result<bool>) -> anyhow::Result<()> {
    for number in 0..count {
        ensure!(black_box(operation(number)?), "operation {number} did not do what it should");
    }
    Ok(())
}

/// One source from memory, one option, a label of usual length: nothing here asks the disk.
fn sources(number: usize) -> anyhow::Result<Sources> {
    let toolchain = Toolchain::of_value("cc", "costs 1");
    let sources = Sources::new("costs/1", &toolchain, NO_OPTIONS);
    Ok(sources.bytes("plugin.c", format!("int plugin = {number};")).digest()?)
}

/// Files that have been left alone for so long that the memo believes their times.
fn source_files(place: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let paths: Vec<_> = (0..FILES).map(|number| place.join(format!("source-{number:03}.c"))).collect();
    for path in &paths {
        fs::write(path, artifact(0))?;
    }
    std::thread::sleep(Duration::from_millis(2100));
    Ok(paths)
}

fn of_files(paths: &[PathBuf]) -> SourcesBuilder {
    Sources::new("costs/1", &Toolchain::of_value("cc", "costs 1"), NO_OPTIONS).files(paths)
}

fn artifact(number: usize) -> Vec<u8> {
    let mut bytes = vec![0x5A; ARTIFACT_BYTES];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes
}

fn add(store: &Store, number: usize) -> anyhow::Result<bool> {
    let outputs = Outputs::bytes("plugin.so", artifact(number));
    Ok(store.add(&sources(number)?, outputs)? == Added::Stored)
}

/// The sizes of the files of the manifest.
fn size(store: &Store, dir: &Path, count: usize) -> anyhow::Result<()> {
    repeat(count, |number| add(store, number + 1))?;
    for entry in fs::read_dir(dir.join("v1"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            println!("{}: {} bytes", entry.file_name().display(), entry.metadata()?.len());
        }
    }
    Ok(())
}

/// The memory of a handle on a store that `size` made.
fn memory(dir: &Path, count: usize) -> anyhow::Result<()> {
    let before = resident("RssAnon:")?;
    let store = open(dir)?;
    println!("opened: {} KiB", resident("RssAnon:")? - before);
    for number in 0..=count {
        ensure!(store.lookup(&sources(number)?).is_some(), "entry {number} is missing");
    }
    println!("looked {} entries up: {} KiB", count + 1, resident("RssAnon:")? - before);
    Ok(())
}

/// Resident memory that is no file's, in KiB.
fn resident(kind: &str) -> anyhow::Result<i64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(kind)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
