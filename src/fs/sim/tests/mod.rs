//! Tests of the simulated disk itself: what the crash tests of the crate stand on.

mod faults;
mod power;
mod schedule;
mod twin;
mod verbs;

use super::{Dir, Disk, File, Process};
use std::{io, path::Path};

/// A disk, a process on it, and its `/`.
fn start() -> (Disk, Process, Dir) {
    let disk = Disk::new(1);
    let process = disk.process();
    let root = process.open_root(Path::new("/")).unwrap();
    (disk, process, root)
}

fn at(path: &str) -> &Path {
    Path::new(path)
}

/// A new file with these bytes, from one write.
fn put(dir: &Dir, name: &str, bytes: &[u8]) -> File {
    let file = dir.create(at(name), 0o600).unwrap();
    assert_eq!(file.write(bytes).unwrap(), bytes.len());
    file
}

/// The number of the error.
fn number<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).unwrap_or(0)
}
