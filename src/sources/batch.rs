//! Reading many files at once, as fast as the machine allows and no faster than it pays.
//!
//! For the modules of `sources`. Every bad file is reported, not the first one only.

use super::{
    error::{BadSource, BadSourceKind, SourcesError},
    memo::Memo,
    read::{Reading, digest_file},
};
use crate::fs::Fs;
use std::{
    num::NonZero,
    path::{Path, PathBuf, absolute},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// From this many bytes, or this many files, on, a second thread is worth its start. Starting and joining one
/// takes some 80 us (measured), as long as BLAKE3 takes for 400 KiB, or opening and reading for 30 small files;
/// five times that, so that the gain is certain.
const PARALLEL_BYTES_MIN: u64 = 2 << 20;
const PARALLEL_FILES_MIN: usize = 150;

/// Digests one file, through the memo if there is one.
pub(super) fn digest_one(fs: &Fs, memo: Option<&Memo>, path: &Path) -> Result<Reading, BadSource> {
    let mut job = Job::new(0, path)?;
    if memo.is_some() {
        job.look(fs, memo);
    }
    job.digest(fs, memo, &mut Vec::new())
}

/// Digests all files. The answers come with the absolute paths, in the order of `paths`; so do the bad ones.
pub(super) fn digest_all(
    fs: &Fs,
    memo: Option<&Memo>,
    paths: &[&Path],
) -> Result<Vec<(PathBuf, Reading)>, SourcesError> {
    let (mut good, mut bad) = (Vec::with_capacity(paths.len()), Vec::new());
    let mut jobs = Vec::with_capacity(paths.len());
    for (place, path) in paths.iter().enumerate() {
        match Job::new(place, path) {
            Ok(job) => jobs.push(job),
            Err(why) => bad.push((place, why)),
        }
    }
    // A file that is alone needs no look beforehand: without a memo nothing depends on its length.
    if memo.is_some() || jobs.len() > 1 {
        jobs.iter_mut().for_each(|job| job.look(fs, memo));
    }
    let readings = run(jobs.len(), threads(&jobs), &|at, buf| jobs[at].digest(fs, memo, buf));
    for (job, reading) in jobs.into_iter().zip(readings) {
        match reading {
            Ok(reading) => good.push((job.absolute, reading)),
            Err(why) => bad.push((job.place, why)),
        }
    }
    bad.sort_by_key(|(place, _)| *place);
    let bad: Vec<_> = bad.into_iter().map(|(_, why)| why).collect();
    if bad.is_empty() { Ok(good) } else { Err(SourcesError { bad }) }
}

/// One file, by both its names.
struct Job<'a> {
    /// Its place among the paths.
    place: usize,
    given: &'a Path,
    absolute: PathBuf,
    /// What one look has told: how much there is to read, and what the memo knows.
    len: u64,
    known: Option<Reading>,
}

impl<'a> Job<'a> {
    fn new(place: usize, given: &'a Path) -> Result<Self, BadSource> {
        if given.as_os_str().is_empty() {
            return Err(BadSource { path: PathBuf::new(), why: BadSourceKind::Missing });
        }
        let absolute = absolute(given)
            .map_err(|error| BadSource { path: given.into(), why: BadSourceKind::Unreadable(error) })?;
        Ok(Self { place, given, absolute, len: 0, known: None })
    }

    /// An error here is found again, and reported, when the file is opened.
    fn look(&mut self, fs: &Fs, memo: Option<&Memo>) {
        let Ok(stat) = fs.stat_source(&self.absolute) else { return };
        self.len = stat.len;
        self.known = memo.and_then(|memo| memo.recall(&self.absolute, &stat));
    }

    fn digest(&self, fs: &Fs, memo: Option<&Memo>, buf: &mut Vec<u8>) -> Result<Reading, BadSource> {
        if let Some(reading) = self.known {
            return Ok(reading);
        }
        let reading = digest_file(fs, &self.absolute, buf)
            .map_err(|bad| BadSource { path: self.given.into(), ..bad })?;
        if let Some(memo) = memo {
            memo.learn(&self.absolute, &reading);
        }
        Ok(reading)
    }
}

/// How many threads, this one included, the files that must be read are worth.
fn threads(jobs: &[Job<'_>]) -> usize {
    let (files, bytes) = jobs
        .iter()
        .filter(|job| job.known.is_none())
        .fold((0, 0_u64), |(files, bytes), job| (files + 1, bytes.saturating_add(job.len)));
    if files < PARALLEL_FILES_MIN && bytes < PARALLEL_BYTES_MIN {
        return 1;
    }
    thread::available_parallelism().map_or(1, NonZero::get).min(files)
}

/// Does `work` for each number below `count`, each thread taking the next one when it is free, with a scratch
/// buffer of its own. A thread that cannot be had is done without.
fn run<T: Send>(count: usize, threads: usize, work: &(impl Fn(usize, &mut Vec<u8>) -> T + Sync)) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let take = || {
        let (mut done, mut buf) = (Vec::new(), Vec::new());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return done;
            }
            done.push((at, work(at, &mut buf)));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map_while(|_| thread::Builder::new().name("plugcache".into()).spawn_scoped(scope, take).ok())
            .collect();
        let mut done = take();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_worked_on_once_and_answers_come_in_order() {
        for threads in [1, 2, 7] {
            let answers = run(1000, threads, &|at, _: &mut Vec<u8>| at * 2);
            assert!(answers.into_iter().eq((0..1000).map(|at| at * 2)), "{threads} threads");
        }
    }

    #[test]
    fn little_work_starts_no_thread() {
        let path = Path::new("/x");
        let jobs = |count: usize, len: u64| -> Vec<_> {
            (0..count).map(|place| Job { len, ..Job::new(place, path).unwrap() }).collect()
        };
        assert_eq!(threads(&jobs(PARALLEL_FILES_MIN - 1, 1000)), 1);
        assert_eq!(threads(&jobs(1, u64::MAX)), 1);
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        assert_eq!(threads(&jobs(PARALLEL_FILES_MIN, 0)), cores.min(PARALLEL_FILES_MIN));
        assert_eq!(threads(&jobs(2, PARALLEL_BYTES_MIN / 2)), cores.min(2));
    }
}
