//! The system calls of one operation, ours beside the twin's, by `strace`.

use crate::place::temporary;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// The calls by which [`crate::bench::mark`] and [`crate::bench::mark_of_child`] show.
const MARK: &str = "getppid(";
const MARK_OF_CHILD: &str = "getsid(";

pub(crate) fn print(row: &str) {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("skipped: there is no strace");
        return;
    }
    let temp = temporary();
    for side in ["ours", "twin"] {
        let lines = traced(side, row, &temp.path().join(side));
        println!("\n{row}, {side}: {} calls", lines.len());
        lines.iter().for_each(|line| println!("  {line}"));
    }
}

/// What stands between the last two marks, those of a child if there was one.
fn traced(side: &str, row: &str, output: &Path) -> Vec<String> {
    let status = Command::new("strace")
        .args(["-f", "-s", "16", "-o"])
        .arg(output)
        .arg(std::env::current_exe().unwrap())
        .args(["trace", side, row])
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let text = fs::read_to_string(output).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let marks =
        |mark: &str| -> Vec<usize> { (0..lines.len()).filter(|&at| lines[at].contains(mark)).collect() };
    let of_child = marks(MARK_OF_CHILD);
    let marks = if of_child.is_empty() { marks(MARK) } else { of_child };
    let [.., first, last] = marks[..] else {
        println!("no row of this name: {row}");
        return Vec::new();
    };
    lines[first + 1..last]
        .iter()
        .filter_map(|line| line.split_once(' '))
        .map(|(_, call)| call.into())
        .collect()
}
