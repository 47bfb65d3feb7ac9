//! Rows of sources: digested for the first time, and again.

use crate::{
    bench::{Bench, Row, Target, timed},
    child,
    place::{open_store, temporary},
    twins::digest,
};
use plugcache::{NO_OPTIONS, Sources, SourcesBuilder, Toolchain};
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

const FILES: usize = 10_000;
const LEN: usize = 4096;
const AGAIN: &str = "digest of 10,000 unchanged files";
const AGAIN_FRESH: &str = "digest of 10,000 unchanged files, fresh process";
const FIRST: &str = "first digest of 10,000 files";
const FIRST_B3SUM: &str = "first digest of 10,000 files against b3sum";
const LARGE: &str = "digest of one file of 1 GiB";
const NO_B3SUM: &str = "there is no b3sum (cargo install b3sum)";

pub(crate) fn run(bench: &mut Bench) {
    if bench.wants(&[AGAIN, AGAIN_FRESH, FIRST, FIRST_B3SUM]) {
        many(bench);
    }
    if bench.wants(&[LARGE]) {
        large(bench);
    }
}

fn described(paths: &[PathBuf]) -> SourcesBuilder {
    Sources::new("bench/1", &Toolchain::of_value("cc", "bench 1"), NO_OPTIONS).files(paths)
}

/// Files of a source tree: a hundred in a directory, all of them different.
fn files(below: &Path) -> Vec<PathBuf> {
    let path = |number: usize| below.join(format!("directory-{:02}/source-{number:05}.c", number / 100));
    let paths: Vec<PathBuf> = (0..FILES).map(path).collect();
    for (number, path) in paths.iter().enumerate() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, crate::place::artifact(number as u64, LEN)).unwrap();
    }
    paths
}

fn many(bench: &mut Bench) {
    let temp = temporary();
    let paths = files(temp.path());
    // What is younger may change without its times moving, and is never remembered.
    std::thread::sleep(Duration::from_millis(2100));
    let store = open_store(&temp.path().join("store"));
    crate::place::add(&store, 0, 8);
    let mut ours = timed(|| assert!(described(&paths).digest_with(&store).is_ok()));
    ours(1);
    let mut twin = timed(|| assert_ne!(digest::look(&paths), 0));
    bench.row(Row::new(AGAIN, Target::AtMost(1.0), "std::fs::metadata of each"), &mut ours, &mut twin);

    let list = temp.path().join("list");
    let lines: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    fs::write(&list, lines.join("\n")).unwrap();
    let words = |side: &str| {
        let root = store.config().dir();
        vec!["digest".into(), side.into(), root.to_str().unwrap().into(), list.to_str().unwrap().into()]
    };
    let (mut ours, mut twin) = (child::side(words("ours")), child::side(words("twin")));
    let row = Row::new(AGAIN_FRESH, Target::AtMost(1.0), "std::fs::metadata of each").once(31);
    bench.row(row, &mut ours, &mut twin);

    let mut ours = timed(|| assert!(described(&paths).digest().is_ok()));
    let mut twin = timed(|| assert_ne!(digest::read_and_hash(&paths, LEN + 1), 0));
    let row = Row::new(FIRST, Target::AtMost(1.1), "read + BLAKE3 of each, as many threads as cores");
    bench.row(row, &mut ours, &mut twin);
    if !b3sum_is_there() {
        return bench.skip(FIRST_B3SUM, NO_B3SUM);
    }
    let mut twin = timed(|| b3sum(&paths));
    bench.row(Row::new(FIRST_B3SUM, Target::AtMost(0.5), "b3sum of all"), &mut ours, &mut twin);
}

fn large(bench: &mut Bench) {
    if bench.is_quick() {
        return bench.skip(LARGE, "it takes a gigabyte, and PLUGCACHE_BENCH_QUICK is set");
    }
    if !b3sum_is_there() {
        return bench.skip(LARGE, NO_B3SUM);
    }
    let temp = temporary();
    let paths = [temp.path().join("large")];
    let mut file = fs::File::create(&paths[0]).unwrap();
    (0..1024).for_each(|number| file.write_all(&crate::place::artifact(number, 1 << 20)).unwrap());
    drop(file);
    let mut ours = timed(|| assert!(described(&paths).digest().is_ok()));
    let mut twin = timed(|| b3sum(&paths));
    bench.row(Row::new(LARGE, Target::AtMost(1.0), "b3sum of the same").once(9), &mut ours, &mut twin);
}

fn b3sum_is_there() -> bool {
    Command::new("b3sum").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn b3sum(paths: &[PathBuf]) {
    let status = Command::new("b3sum").args(paths).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}
