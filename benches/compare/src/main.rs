//! The library beside what people would pick instead.
//!
//! ```text
//! cargo run --release --manifest-path benches/compare/Cargo.toml            all, some ten minutes
//! cargo run --release --manifest-path benches/compare/Cargo.toml -- check   each peer gives the right bytes
//! cargo run --release --manifest-path benches/compare/Cargo.toml -- fresh   the row of a fresh process alone
//! ```
//!
//! Prints Markdown tables. With `PLUGCACHE_BENCH_WRITE=1` they go into docs/performance.md, and pictures beside it.
//! `PLUGCACHE_BENCH_DIR` says where the stores are made (else the temporary directory of the system),
//! `PLUGCACHE_BENCH_QUICK=1` stops at 10,000 entries and spends less time on each operation.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on should stop right there")]
#![expect(clippy::disallowed_methods, reason = "the rule is the library's")]

mod child;
mod measure;
mod ops;
mod peers;
mod svg;

use measure::seconds;
use ops::Measured;
use peers::{MAKERS, OURS};
use std::{fs, path::Path};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["child", ref rest @ ..] => child::main(rest),
        ["check"] => check(),
        ["fresh"] => println!("{}", table(&ops::fresh(4 << 10))),
        [] => compare(ops::is_quick()),
        _ => panic!("see the head of benches/compare/src/main.rs"),
    }
}

fn check() {
    for maker in &MAKERS {
        let temp = tempfile::tempdir().unwrap();
        ops::check_filled(temp.path(), maker);
        println!("{}: right", maker.name);
    }
}

fn compare(quick: bool) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let before = load();
    let mut operations = Vec::new();
    for len in [256, 4 << 10, 1 << 20] {
        operations.push(ops::put(len));
        operations.push(ops::get(len, true));
        operations.push(ops::get(len, false));
    }
    operations.push(ops::fresh(4 << 10));
    let entries: &[u64] = if quick { &[1_000, 10_000] } else { &[1_000, 10_000, 100_000, 1_000_000] };
    let lookups: Vec<_> = entries.iter().map(|entries| ops::lookup(*entries)).collect();
    let processes: Vec<_> = [1, 2, 4, 8, 16].map(ops::processes).into();
    let lens = [256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];
    let gets: Vec<_> = lens.map(|len| ops::get(len, true)).into();
    let puts: Vec<_> = lens.map(ops::put).into();

    let mut page = String::from("| peer | settings |\n|---|---|\n");
    MAKERS.iter().for_each(|maker| page += &format!("| {} | {} |\n", maker.name, maker.settings));
    let tables = [("Operations", &operations), ("Lookup", &lookups), ("Processes", &processes)];
    for (title, all) in tables.iter().chain(&[("Get by size", &gets), ("Put by size", &puts)]) {
        page += &format!("\n### {title}\n");
        all.iter().for_each(|measured| page += &table(measured));
    }
    page += &against_lmdb(&lookups);
    page += &format!("\nLoad {before} before, {} after.\n", load());
    println!("{page}");
    if std::env::var_os("PLUGCACHE_BENCH_WRITE").is_none() {
        return;
    }
    insert(&docs.join("performance.md"), &page);
    let write = |name: &str, picture: String| fs::write(docs.join(name), picture).unwrap();
    write("peers.svg", svg::bars("Medians; logarithmic, shorter is faster", &operations));
    let points: Vec<_> = entries.iter().zip(&lookups).map(|(n, m)| (*n as f64, n.to_string(), m)).collect();
    write("peers-entries.svg", svg::curves("Lookup of an entry", "entries in the store", &points));
    let points: Vec<_> = lens.iter().zip(&gets).map(|(len, m)| (*len as f64, ops::bytes(*len), m)).collect();
    write("peers-get.svg", svg::curves("Get of verified bytes", "bytes", &points));
    let points: Vec<_> = lens.iter().zip(&puts).map(|(len, m)| (*len as f64, ops::bytes(*len), m)).collect();
    write("peers-put.svg", svg::curves("Put", "bytes", &points));
    let counts = [1.0, 2.0, 4.0, 8.0, 16.0];
    let points: Vec<_> = counts.iter().zip(&processes).map(|(n, m)| (*n, n.to_string(), m)).collect();
    let title = "Time per operation of all processes together: 90 % get, 10 % put of 4 KiB";
    write("peers-processes.svg", svg::curves(title, "processes", &points));
}

/// Replaces what stands between the marks.
fn insert(path: &Path, text: &str) {
    let page = fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- peers: measured -->\n", "<!-- peers: end -->");
    let (before, rest) = page.split_once(begin).expect("the mark where the tables begin");
    let (_, after) = rest.split_once(end).expect("the mark where the tables end");
    fs::write(path, format!("{before}{begin}{text}{end}{after}")).unwrap();
}

/// The processes that wanted a core of this machine in the last minute, on average.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// The one target that is set against a peer.
fn against_lmdb(lookups: &[Measured]) -> String {
    let median = |measured: &Measured, peer: &str| {
        let found = measured.spreads.iter().find(|(name, _)| *name == peer);
        found.and_then(|(_, spread)| *spread).map(|spread| spread.median)
    };
    let Some(largest) = lookups.last() else { return String::new() };
    match (median(largest, "LMDB"), median(largest, OURS)) {
        (Some(lmdb), Some(ours)) => {
            format!(
                "\n{}: LMDB takes {:.1} times ours; the target is at least 5.\n",
                largest.name,
                lmdb / ours
            )
        }
        _ => String::new(),
    }
}

/// Medians, spread, and how many times ours.
fn table(measured: &Measured) -> String {
    let mut lines =
        format!("\n{}\n\n| peer | median | min | max | ratio |\n|---|---|---|---|---|\n", measured.name);
    let ours = measured.spreads.iter().find(|(name, _)| *name == OURS).and_then(|(_, spread)| *spread);
    for (name, spread) in &measured.spreads {
        lines += &match (spread, ours) {
            (Some(spread), Some(ours)) => {
                let [median, min, max] = [spread.median, spread.min, spread.max].map(seconds);
                format!("| {name} | {median} | {min} | {max} | {:.2} |\n", spread.median / ours.median)
            }
            _ => format!("| {name} | | | | not measured |\n"),
        };
    }
    lines
}
