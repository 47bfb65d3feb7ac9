//! docs/performance.md: the table of a run, the machine it was measured on, and a picture.

use crate::{
    bench::{Line, Target},
    place,
};
use std::{fmt::Write as _, fs, path::PathBuf};

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// Replaces what stands between the marks of `section`.
pub(crate) fn write(section: &str, text: &str) {
    let path = docs().join("performance.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {section}: measured -->\n"), format!("<!-- {section}: end -->"));
    let (before, rest) = page.split_once(&begin).expect("the mark where the table begins");
    let (_, after) = rest.split_once(&end).expect("the mark where the table ends");
    fs::write(path, format!("{before}{begin}{text}{end}{after}")).unwrap();
}

/// The processes that wanted a core of this machine in the last minute, on average.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Cores, kernel and file system.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().unwrap();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!("{cores} cores ({model}), Linux {kernel}, {}", file_system())
}

fn file_system() -> &'static str {
    match rustix::fs::statfs(place::temporary().path()).unwrap().f_type {
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x0102_1994 => "tmpfs",
        _ => "another file system",
    }
}

/// Bars of the ratios with the target of each, on a logarithmic scale.
pub(crate) fn draw(lines: &[Line]) {
    const LEFT: f64 = 330.0;
    const WIDTH: f64 = 420.0;
    const LOW: f64 = 0.05;
    const HIGH: f64 = 50.0;
    let x_of = |value: f64| LEFT + WIDTH * (value.clamp(LOW, HIGH) / LOW).ln() / (HIGH / LOW).ln();
    let (mut body, mut y) = (String::new(), 40.0);
    for value in [0.1, 1.0, 10.0] {
        let (x, bottom) = (x_of(value), 40 + 18 * lines.len());
        writeln!(body, "<line x1='{x:.1}' x2='{x:.1}' y1='34' y2='{bottom}' stroke='#ccc'/>").unwrap();
        writeln!(body, "<text x='{x:.1}' y='30' text-anchor='middle'>{value}</text>").unwrap();
    }
    // Only ratios: what counts KiB or bytes has another scale.
    let is_ratio = |line: &&Line| matches!(line.target, Target::AtMost(most) if most > 0.0 && most < 100.0);
    for line in lines.iter().filter(is_ratio).filter(|line| line.value.is_finite()) {
        let Target::AtMost(most) = line.target else { continue };
        let colour = if line.value <= most { "#2e8b57" } else { "#c0392b" };
        let (end, tick) = (x_of(line.value), x_of(most));
        let (name, value) = (&line.name, line.value);
        writeln!(body, "<text x='{}' y='{:.1}' text-anchor='end'>{name}</text>", LEFT - 8.0, y + 11.0)
            .unwrap();
        writeln!(body, "<rect x='{LEFT}' y='{y:.1}' width='{:.1}' height='13' fill='{colour}'/>", end - LEFT)
            .unwrap();
        writeln!(
            body,
            "<line x1='{tick:.1}' x2='{tick:.1}' y1='{:.1}' y2='{:.1}' stroke='black' stroke-width='2'/>",
            y - 2.0,
            y + 15.0
        )
        .unwrap();
        writeln!(body, "<text x='{:.1}' y='{:.1}'>{value:.2}</text>", end.max(tick) + 6.0, y + 11.0).unwrap();
        y += 18.0;
    }
    let (width, height) = (LEFT + WIDTH + 60.0, y + 10.0);
    let picture = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' \
         font-family='sans-serif' font-size='12'>\n<rect width='{width}' height='{height}' fill='white'/>\n\
         <text x='8' y='16'>Times the bare system calls; black: the target; logarithmic</text>\n{body}</svg>\n"
    );
    fs::write(docs().join("floor.svg"), picture).unwrap();
}
