//! docs/fleet.md: the tables of a run, the machine it was measured on, and a picture.

use std::{fmt::Write as _, fs, path::PathBuf};

use crate::{compile::Compiler, is_quick, measure::seconds, starts::Row};

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Replaces what stands between the marks.
pub fn write(text: &str) {
    let path = docs().join("fleet.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- measured: begin -->\n", "<!-- measured: end -->");
    let (before, rest) = page.split_once(begin).expect("the mark where the tables begin");
    let (_, after) = rest.split_once(end).expect("the mark where the tables end");
    fs::write(path, format!("{before}{begin}\n{text}\n{end}{after}")).unwrap();
}

/// The processes that wanted a core of this machine in the last minute, on average.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Where it was measured, and beside what.
pub fn about(before: &str) -> String {
    let cores = std::thread::available_parallelism().unwrap();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (model, kernel) =
        (model.trim_start_matches([' ', '\t', ':']), kernel.split('-').next().unwrap_or_default());
    let quick = if is_quick() { " A quick run: each once, which says nothing about time." } else { "" };
    format!(
        "Client and engine (s3s-fs) on the same {cores} cores ({model}), Linux {}; load {before} before, {} after.{quick}\n",
        kernel.trim(),
        load()
    )
}

const STYLE: &str = "text{fill:#333;font:12px sans-serif}.grid{stroke:#8884;stroke-width:1}\
    @media(prefers-color-scheme:dark){text{fill:#ccc}}";

/// Bars, logarithmic: a start with the most plugins, of 256 KiB or whatever was measured.
pub fn draw(rows: &[Row], compilers: &[Compiler]) {
    const LEFT: f64 = 300.0;
    const WIDTH: f64 = 380.0;
    let plugins = rows.iter().map(|row| row.plugins).max().unwrap_or(0);
    let len = rows.iter().map(|row| row.len).filter(|len| *len <= 256 << 10).max().unwrap_or(0);
    let rows: Vec<_> = rows.iter().filter(|row| row.plugins == plugins && row.len == len).collect();
    let mut bars = Vec::new();
    if let Some(row) = rows.first() {
        bars.push(("own store".to_owned(), row.own.median, "#3a9d5d"));
    }
    for row in &rows {
        bars.push((format!("bucket {} ms away, bundle", row.millis), row.bundle.median, "#3f88c5"));
    }
    for row in &rows {
        bars.push((format!("bucket {} ms away, one by one", row.millis), row.singly.median, "#8a6fc0"));
    }
    for compiler in compilers {
        bars.push((compiler.name.to_owned(), compiler.spread.median * plugins as f64, "#d1603d"));
    }
    let low = bars.iter().map(|bar| bar.1).fold(f64::MAX, f64::min) / 2.0;
    let high = bars.iter().map(|bar| bar.1).fold(0.0, f64::max);
    let height = 40.0 + 22.0 * bars.len() as f64;
    let width = LEFT + WIDTH + 80.0;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}'>\n\
         <style>{STYLE}</style>\n<text x='8' y='18'>Until a start has {plugins} plugins of {} KiB; logarithmic</text>\n",
        len >> 10
    );
    for (number, (name, time, colour)) in bars.iter().enumerate() {
        let y = 32.0 + 22.0 * number as f64;
        let len = WIDTH * (time / low).ln() / (high / low).ln();
        let _ = writeln!(svg, "<text x='{}' y='{}' text-anchor='end'>{name}</text>", LEFT - 8.0, y + 12.0);
        let _ = writeln!(svg, "<rect x='{LEFT}' y='{y}' width='{len:.1}' height='16' fill='{colour}'/>");
        let _ = writeln!(svg, "<text x='{:.1}' y='{}'>{}</text>", LEFT + len + 6.0, y + 12.0, seconds(*time));
    }
    fs::create_dir_all(docs().join("fleet")).unwrap();
    fs::write(docs().join("fleet/start.svg"), svg + "</svg>\n").unwrap();
}
