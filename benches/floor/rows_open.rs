//! Rows of fresh processes: open, find and the artifact's handle, warm and after the caches were dropped.

use crate::{
    bench::{Bench, Row, Spread, Target},
    child,
    place::{Stored, artifact, missing_object, object_name, temporary},
};
use plugcache::ObjectDigest;
use std::{fs, path::Path, time::Duration};

const LEN: usize = 4096;
const MANY: u64 = 1_000_000;
const MEMORY: &str = "open + find, anonymous memory in KiB";
const GROWTH: &str = "open + find, many entries against 100";
const LOG: &str = "open + find, 1,500 entries in the log";
const COLD: &str = "open + find after drop_caches";

pub(crate) fn run(bench: &mut Bench) {
    let many = if bench.is_quick() { 10_000 } else { MANY };
    let names = [100, many].map(|entries| format!("open + find of {entries}"));
    let [few_row, many_row] = names.each_ref().map(String::as_str);
    let bare = format!("open + find of {many}, bare table");
    let all = [few_row, LOG, many_row, &bare, MEMORY, GROWTH];
    if !bench.wants(&all) {
        return;
    }
    let few = Stored::new(100, 100, LEN);
    warm(bench, few_row, &few);
    full_log(bench, &few);
    if !bench.wants(&all[2..]) {
        return;
    }
    let stored = Stored::new(many, 1000, LEN);
    warm(bench, many_row, &stored);
    bare_table(bench, &bare, &stored);
    growth(bench, &few, &stored);
    memory(bench, &stored);
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

fn path(stored: &Stored) -> &str {
    stored.root.to_str().unwrap()
}

fn twin_of(stored: &Stored, number: u64) -> Vec<String> {
    let object = object_name(ObjectDigest::of_bytes(&artifact(number, LEN)));
    let (segment, log) = (stored.name_of("seg."), stored.name_of("log."));
    words(["open", "twin", path(stored), &segment, &log, object.to_str().unwrap()])
}

fn warm(bench: &mut Bench, name: &str, stored: &Stored) {
    let mut ours = child::side(words(["open", "ours", path(stored), "7"]));
    let mut twin = child::side(twin_of(stored, 7));
    let row = Row::new(name, Target::AtMost(1.3), "the calls of the protocols, in a fresh process");
    bench.row(row.once(61), &mut ours, &mut twin);
}

/// What a table in one mapped file, without any protocol, would take.
fn bare_table(bench: &mut Bench, name: &str, stored: &Stored) {
    let object = object_name(ObjectDigest::of_bytes(&artifact(7, LEN)));
    let segment = format!("v1/{}", stored.name_of("seg."));
    let object = format!("v1/{}", object.to_str().unwrap());
    let mut ours = child::side(words(["open", "ours", path(stored), "7"]));
    let mut twin = child::side(words(["open", "bare", path(stored), &segment, &object]));
    let row = Row::new(
        name,
        Target::AtMost(1.5),
        "open, fstat, mmap, two pages; openat, flock, fstat of the object",
    );
    bench.row(row.once(61), &mut ours, &mut twin);
}

/// What the log takes at most, which each opening reads through.
fn full_log(bench: &mut Bench, few: &Stored) {
    if !bench.wants(&[LOG]) {
        return;
    }
    let full = Stored::in_log(1_500, LEN);
    let mut ours = child::side(words(["open", "ours", path(&full), "7"]));
    let mut twin = child::side(words(["open", "ours", path(few), "7"]));
    bench.row(Row::new(LOG, Target::None, "ours, 100 entries in a segment").once(61), &mut ours, &mut twin);
}

fn growth(bench: &mut Bench, few: &Stored, many: &Stored) {
    let mut ours = child::side(words(["open", "ours", path(many), "7"]));
    let mut twin = child::side(words(["open", "ours", path(few), "7"]));
    let row = Row::new(GROWTH, Target::AtMost(1.3), "ours, with 100 entries");
    bench.row(row.once(61), &mut ours, &mut twin);
}

fn memory(bench: &mut Bench, stored: &Stored) {
    if !bench.wants(&[MEMORY]) {
        return;
    }
    let kib = child::run(&["open", "ours", path(stored), "7"]).kib;
    bench.line(MEMORY, &kib.to_string(), "", kib as f64, Target::AtMost(512.0), "no twin: KiB");
}

/// Plain files in 256 directories, named by key, one for each entry.
fn plain_files(below: &Path, stored: &Stored) {
    for shard in 0..=255 {
        fs::create_dir_all(below.join(format!("objects/{shard:02x}"))).unwrap();
    }
    for number in 0..stored.entries {
        let bytes = if number < stored.with_object { artifact(number, LEN) } else { Vec::new() };
        fs::write(below.join(plain_name(stored, number)), bytes).unwrap();
    }
}

fn plain_name(stored: &Stored, number: u64) -> String {
    let hex = stored.key(number).digest().to_string();
    format!("objects/{}/{}", &hex[..2], &hex[2..])
}

/// Also ours has an object for each entry: directories are read from disk at their true size.
fn objects_of_all(stored: &Stored) {
    for number in stored.with_object..stored.entries {
        let digest = missing_object(number);
        fs::write(stored.root.join("v1").join(object_name(digest).to_str().unwrap()), []).unwrap();
    }
}

/// The last of all rows: making and removing two million files takes longer than all others.
pub(crate) fn run_cold(bench: &mut Bench) {
    if !bench.wants(&[COLD]) {
        return;
    }
    if std::env::var_os("PLUGCACHE_BENCH_COLD").is_none() {
        let why = "it makes two million files and drops the caches of the whole machine: ask by PLUGCACHE_BENCH_COLD=1";
        return bench.skip(COLD, why);
    }
    if drop_caches().is_err() {
        return bench.skip(COLD, "only root may drop the caches of the system");
    }
    cold(bench, &Stored::new(100, 100, LEN), &Stored::new(MANY, 1000, LEN));
}

fn cold(bench: &mut Bench, few: &Stored, stored: &Stored) {
    let plain = temporary();
    plain_files(plain.path(), stored);
    objects_of_all(stored);
    rustix::fs::sync();
    let ours = |number: u64| vec!["open".into(), "ours".into(), path(stored).into(), number.to_string()];
    let twin = |number| words(["open", "plain", plain.path().to_str().unwrap(), &plain_name(stored, number)]);
    let after_drop = |words: &[String]| {
        drop_caches().unwrap();
        // The program itself, and what leads to the stores, is in memory again.
        child::run(&["open", "ours", path(few), "7"]);
        child::run(&twin_of(few, 7).iter().map(String::as_str).collect::<Vec<_>>());
        child::run(&words.iter().map(String::as_str).collect::<Vec<_>>()).took
    };
    let (mut of_ours, mut of_twin) = (Vec::new(), Vec::new());
    for number in 10..25 {
        of_ours.push(after_drop(&ours(number)).as_secs_f64());
        of_twin.push(after_drop(&twin(number)).as_secs_f64());
    }
    let (ours, twin) = (Spread::of(of_ours), Spread::of(of_twin));
    let value = ours.median / twin.median;
    let against = "open of a plain file named by key, among as many";
    bench.line(COLD, &ours.to_string(), &twin.to_string(), value, Target::AtMost(1.5), against);
}

fn drop_caches() -> std::io::Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    // What was dropped is freed by the kernel in its own time.
    std::thread::sleep(Duration::from_millis(20));
    Ok(())
}
