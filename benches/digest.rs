//! What digesting sources costs, beside the bare system calls under it and beside `b3sum`.
//!
//! ```text
//! cargo bench --bench digest -- [unchanged] [first] [large]
//! ```
//!
//! Rounds are interleaved: each calls every contestant once, in an order that rotates. Printed are the median
//! of the time on the wall, the median of the ratios within one round, the mean of the processor time of all
//! threads and child processes, and the ratio of those means: on a busy machine they tell more. `b3sum` is taken from
//! `PLUGCACHE_B3SUM`, else from `PATH`, and left out where it is missing. `ROUNDS` and `FILES` change the
//! numbers of rounds and of small files; `ONLY=text` leaves out contestants without this text in their names.
#![expect(clippy::disallowed_methods, reason = "the floors are bare system calls")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

use plugcache::{Config, NO_OPTIONS, ObjectDigest, Sources, Store, Toolchain};
use std::{
    env,
    fs::{self, File},
    hint::black_box,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const SMALL_BYTES: usize = 4096;
const LARGE_BYTES: usize = 1 << 30;
/// Files younger than two seconds are never remembered.
const COME_TO_REST: Duration = Duration::from_millis(2500);

fn main() {
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|want| want == name);
    let dir = tempfile::tempdir().unwrap();
    let files = small_files(dir.path(), number("FILES", 10_000));
    println!("{} files of {SMALL_BYTES} bytes, {} cores", files.len(), cores());
    if is_wanted("unchanged") {
        unchanged(dir.path(), &files);
    }
    if is_wanted("first") {
        first(&files);
    }
    if is_wanted("large") {
        large(dir.path());
    }
}

/// Nothing has changed since the last digest: each file is looked at, none is opened.
fn unchanged(dir: &Path, files: &[PathBuf]) {
    thread::sleep(COME_TO_REST);
    let config = Config::new(dir.join("store"));
    let store = Store::open(config.clone()).unwrap();
    // What makes the directory, so that there is somewhere to remember.
    let seed = sources(&files[..1]).digest().unwrap();
    let _added = store.add(&seed, plugcache::Outputs::bytes("seed", "seed")).unwrap();
    sources(files).digest_with(&store).unwrap();
    store.close();
    let store = Store::open(config.clone()).unwrap();
    sources(files).digest_with(&store).unwrap();
    compare(
        "unchanged",
        &mut [
            ("std::fs::metadata of each", &mut || {
                files.iter().for_each(|path| assert!(black_box(fs::metadata(path)).is_ok()));
            }),
            ("digest_with, the same handle", &mut || drop(sources(files).digest_with(&store).unwrap())),
            ("open + digest_with, a fresh handle", &mut || {
                let store = Store::open(config.clone()).unwrap();
                drop(sources(files).digest_with(&store).unwrap());
            }),
        ],
    );
}

/// Nothing is known: each file is opened, read and hashed.
fn first(files: &[PathBuf]) {
    let mut contestants: Vec<Contestant<'_>> = Vec::new();
    let mut floor = || each(files, &|path, buf| File::open(path).unwrap().read(buf).unwrap());
    contestants.push(("open + read + BLAKE3 + close, as many threads", &mut floor));
    let mut usual = || {
        each(files, &|path, buf| {
            *buf = fs::read(path).unwrap();
            buf.len()
        });
    };
    contestants.push(("std::fs::read + BLAKE3, as many threads", &mut usual));
    let mut ours = || drop(sources(files).digest().unwrap());
    contestants.push(("digest", &mut ours));
    let b3sum = b3sum();
    let mut theirs = || {
        if let Some(b3sum) = &b3sum {
            run(Command::new(b3sum).args(files));
        }
    };
    if b3sum.is_some() {
        contestants.push(("b3sum", &mut theirs));
    }
    compare("first", &mut contestants);
}

fn large(dir: &Path) {
    let path = dir.join("large");
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(LARGE_BYTES)
    .collect();
    fs::write(&path, noise).unwrap();
    let Some(b3sum) = b3sum() else { return };
    compare(
        "one file of 1 GiB",
        &mut [
            ("b3sum", &mut || run(Command::new(&b3sum).arg(&path))),
            ("of_file", &mut || assert!(black_box(ObjectDigest::of_file(&path)).is_ok())),
        ],
    );
}

type Contestant<'a> = (&'a str, &'a mut dyn FnMut());

/// Prints how the contestants fare; ratios are against the first one.
fn compare(title: &str, contestants: &mut [Contestant<'_>]) {
    let only = env::var("ONLY").unwrap_or_default();
    let mut contestants: Vec<_> = contestants.iter_mut().filter(|(name, _)| name.contains(&only)).collect();
    if contestants.is_empty() {
        return;
    }
    let rounds = number("ROUNDS", 21);
    let mut wall = vec![Vec::new(); contestants.len()];
    let mut work = wall.clone();
    for round in 0..=rounds {
        for turn in 0..contestants.len() {
            let which = (turn + round) % contestants.len();
            let (begin, worked) = (Instant::now(), processor_time());
            (contestants[which].1)();
            // The first round warms up.
            if round > 0 {
                wall[which].push(begin.elapsed().as_secs_f64() * 1e3);
                work[which].push(processor_time() - worked);
            }
        }
    }
    println!("\n{title}, {rounds} rounds\n{:>12} {:>7} {:>14} {:>7}", "wall", "ratio", "processors", "ratio");
    // That of children is counted in ticks of 10 ms.
    let mean = |which: usize| work[which].iter().sum::<f64>() / rounds as f64;
    for (which, (name, _)) in contestants.iter().enumerate() {
        let ratios = wall[which].iter().zip(&wall[0]).map(|(own, floor)| own / floor);
        println!(
            "{:>10.3}ms {:>7.2} {:>12.3}ms {:>7.2}  {name}",
            median(wall[which].iter().copied()),
            median(ratios),
            mean(which),
            mean(which) / mean(0),
        );
    }
}

/// Milliseconds that this process and the children it has waited for have had of all processors.
fn processor_time() -> f64 {
    use rustix::time::{ClockId, clock_gettime};
    let own = clock_gettime(ClockId::ProcessCPUTime);
    let ticks = 1e3 / rustix::param::clock_ticks_per_second() as f64;
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which ends with the last bracket: cutime and cstime are the 14th and 15th from there.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let children: f64 = fields[13..15].iter().map(|text| text.parse::<f64>().unwrap() * ticks).sum();
    own.tv_sec as f64 * 1e3 + own.tv_nsec as f64 / 1e6 + children
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn sources(files: &[PathBuf]) -> plugcache::SourcesBuilder {
    Sources::new("bench", &Toolchain::none(), NO_OPTIONS).files(files)
}

/// Reads each file, says how many bytes that were, and hashes them, by as many threads as there are cores.
fn each(files: &[PathBuf], read: &(impl Fn(&Path, &mut Vec<u8>) -> usize + Sync)) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                let mut buf = vec![0; SMALL_BYTES + 1];
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let len = read(path, &mut buf);
                    black_box(blake3::hash(&buf[..len]));
                }
            });
        }
    });
}

/// A thousand plugins of ten files, each in a directory of its own below two more.
fn small_files(dir: &Path, count: usize) -> Vec<PathBuf> {
    let make = |at: usize| {
        let dir = dir.join(format!("sources/group{}/plugin{}", at / 100, at / 10));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(format!("file{at}.c"));
        let mut text = format!("/* {at} */").into_bytes();
        text.resize(SMALL_BYTES, b' ');
        fs::write(&path, text).unwrap();
        path
    };
    (0..count).map(make).collect()
}

fn b3sum() -> Option<PathBuf> {
    let path = env::var_os("PLUGCACHE_B3SUM").map_or_else(|| "b3sum".into(), PathBuf::from);
    let there = Command::new(&path).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !there {
        println!("\nno b3sum: left out");
    }
    there.then_some(path)
}

fn run(command: &mut Command) {
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
}

fn number(name: &str, default: usize) -> usize {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}
