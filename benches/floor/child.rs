//! What child processes do: this very program, started anew. Each prints what it measured of itself, so that the
//! start of a process is in no figure.

use crate::{
    bench::mark_of_child,
    place::{open_store, sources},
    rows_many,
    twins::open::{bare_table, open_and_find},
};
use plugcache::NO_OPTIONS;
use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) fn main(words: &[&str]) {
    match *words {
        ["open", "ours", root, number] => report(|| ours(Path::new(root), number.parse().unwrap())),
        ["open", "twin", root, segment, log, object] => {
            let names = [segment, log, object].map(|name| CString::new(name).unwrap());
            let twin = || open_and_find(Path::new(root), names.each_ref().map(|name| name.as_c_str()));
            report(|| measured(twin));
        }
        ["open", "bare", root, table, object] => {
            let [table, object] = [table, object].map(|name| CString::new(name).unwrap());
            report(|| measured(|| bare_table(Path::new(root), &table, &object)));
        }
        ["open", "plain", root, object] => {
            report(|| measured(|| fs::File::open(Path::new(root).join(object)).unwrap()))
        }
        ["digest", "ours", root, list] => report(|| digest(Path::new(root), Path::new(list))),
        ["digest", "twin", _, list] => {
            let paths = paths_in(Path::new(list));
            report(|| measured(|| assert_ne!(crate::twins::digest::look(&paths), 0)));
        }
        ["many", side, root, seconds, number] => {
            rows_many::child(side, Path::new(root), seconds.parse().unwrap(), number.parse().unwrap());
        }
        _ => panic!("no such child: {words:?}"),
    }
}

/// The paths in a file, a line each.
pub(crate) fn paths_in(list: &Path) -> Vec<PathBuf> {
    fs::read_to_string(list).unwrap().lines().map(PathBuf::from).collect()
}

/// What the operation leaves open is not closed: that would be a part of no operation.
fn measured<T>(operation: impl FnOnce() -> T) -> Duration {
    mark_of_child();
    let start = Instant::now();
    let left = operation();
    let took = start.elapsed();
    mark_of_child();
    std::mem::forget(left);
    took
}

/// Prints the time in ns, and by how many KiB anonymous memory has grown.
fn report(operation: impl FnOnce() -> Duration) {
    let before = anonymous_kib();
    let took = operation();
    println!("{} {}", took.as_nanos(), anonymous_kib() - before);
}

fn ours(root: &Path, number: u64) -> Duration {
    let key = sources(number);
    measured(|| {
        let store = open_store(root);
        let artifact = store.find(&key).expect("it was stored");
        (store, artifact)
    })
}

fn digest(root: &Path, list: &Path) -> Duration {
    let paths = paths_in(list);
    measured(|| {
        let toolchain = plugcache::Toolchain::of_value("cc", "bench 1");
        let sources = plugcache::Sources::new("bench/1", &toolchain, NO_OPTIONS).files(&paths);
        assert!(sources.digest_with(&open_store(root)).is_ok());
    })
}

fn anonymous_kib() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What a child has measured of itself.
#[derive(Clone, Copy)]
pub(crate) struct Reported {
    pub(crate) took: Duration,
    pub(crate) kib: i64,
}

pub(crate) fn run(words: &[&str]) -> Reported {
    let output = command(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (nanos, kib) = text.trim().split_once(' ').unwrap();
    Reported { took: Duration::from_nanos(nanos.parse().unwrap()), kib: kib.parse().unwrap() }
}

pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("child").args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A side whose operations are children, each of which says how long it took.
pub(crate) fn side(words: Vec<String>) -> impl FnMut(u64) -> Duration {
    move |count| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        (0..count).map(|_| run(&words).took).sum()
    }
}
