//! Looking at and reading many files at once, as fast as the machine allows and no faster than it pays.
//!
//! For the modules of `sources`. Every bad file is reported, not the first one only.
//!
//! Files are taken in blocks of neighbours. The directory that all files of a block lie below is held, and the
//! way to it walked once: that spares a fifth to a third of the time of a look, more the deeper it lies.

use super::{
    error::{BadSource, BadSourceKind, SourcesError},
    memo::Memo,
    read::{LARGE_BYTES_MIN, Place, Reader, Reading, Share},
    threads::{cores, share_out},
};
use crate::fs::{self, Fs, SourceDir};
use std::path::{Path, PathBuf, absolute};

/// From this many bytes, or this many files, on, a second thread is worth its start. Starting and joining one
/// takes some 80 us (measured), as long as BLAKE3 takes for 300 KiB, opening and reading for 15 small files, or
/// a look at 60; some five times that, so that the gain is certain.
const PARALLEL_BYTES_MIN: u64 = LARGE_BYTES_MIN;
const PARALLEL_READS_MIN: usize = 100;
const PARALLEL_LOOKS_MIN: usize = 400;

/// So many files are read before it is judged by their lengths how many threads the others are worth: to ask
/// for the lengths of all would cost each a fifth of the time that it takes to read a small one.
const SAMPLE_FILES: usize = 16;

/// Long enough that the directory held for a block is no cost, short enough that threads end together.
const BLOCK_FILES_MAX: usize = 64;

/// To hold a directory takes as long as it spares in so many files.
const BLOCK_FILES_MIN: usize = 8;

/// A file that was digested.
#[derive(Debug)]
pub(super) struct Digested {
    /// Absolute.
    pub(super) path: PathBuf,
    pub(super) reading: Reading,
}

/// Digests one file, through the memo if there is one.
pub(super) fn digest_one(fs: &Fs, memo: Option<&Memo>, path: &Path) -> Result<Reading, BadSource> {
    let mut jobs = [Job::new(path.to_owned())];
    digest_jobs(fs, memo, &mut jobs);
    let [job] = jobs;
    job.finish().map(|digested| digested.reading)
}

/// Digests all files. The answers come in the order of `paths`; so do the bad ones.
pub(super) fn digest_all(
    fs: &Fs,
    memo: Option<&Memo>,
    paths: impl IntoIterator<Item = PathBuf>,
) -> Result<impl Iterator<Item = Digested>, SourcesError> {
    let mut jobs: Vec<_> = paths.into_iter().map(Job::new).collect();
    digest_jobs(fs, memo, &mut jobs);
    if jobs.iter().any(|job| matches!(job.answer, Answer::Bad(_))) {
        return Err(SourcesError { bad: jobs.into_iter().filter_map(|job| job.finish().err()).collect() });
    }
    Ok(jobs.into_iter().filter_map(|job| job.finish().ok()))
}

/// One file.
struct Job {
    /// Absolute.
    path: PathBuf,
    /// As it was given, if that was another spelling.
    given: Option<PathBuf>,
    answer: Answer,
}

enum Answer {
    /// Not asked for yet.
    Open,
    /// It is unchanged, says the memo.
    Known(Reading),
    Read(Reading),
    Bad(BadSourceKind),
}

impl Job {
    fn new(given: PathBuf) -> Self {
        match made_absolute(given) {
            Ok((path, given)) => Self { path, given, answer: Answer::Open },
            Err((path, why)) => Self { path, given: None, answer: Answer::Bad(why) },
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.answer, Answer::Open)
    }

    fn finish(self) -> Result<Digested, BadSource> {
        let bad = |why| BadSource { path: self.given.unwrap_or_else(|| self.path.clone()), why };
        match self.answer {
            Answer::Known(reading) | Answer::Read(reading) => Ok(Digested { path: self.path, reading }),
            Answer::Bad(why) => Err(bad(why)),
            // Every job is answered; one that is not would be a file whose content could not be told.
            Answer::Open => Err(bad(BadSourceKind::Changing)),
        }
    }
}

/// An absolute path, and the one that was given if that was spelled otherwise.
fn made_absolute(given: PathBuf) -> Result<(PathBuf, Option<PathBuf>), (PathBuf, BadSourceKind)> {
    if is_absolute_and_plain(&given) {
        return Ok((given, None));
    }
    if given.as_os_str().is_empty() {
        return Err((given, BadSourceKind::Missing));
    }
    match absolute(&given) {
        Ok(path) => Ok((path, Some(given))),
        Err(error) => Err((given, BadSourceKind::Unreadable(error))),
    }
}

/// Whether `std::path::absolute` would change nothing: most paths are so, and it takes longer than a look at
/// the file spares.
fn is_absolute_and_plain(path: &Path) -> bool {
    let bytes = fs::bytes_of(path.as_os_str());
    // No branch in it, so that many bytes are compared at a time.
    let next_bytes = bytes.get(1..).unwrap_or_default();
    let doubtful = bytes.iter().zip(next_bytes).fold(false, |doubtful, (byte, next)| {
        doubtful | ((*byte == b'/') & ((*next == b'/') | (*next == b'.')))
    });
    cfg!(unix) && bytes.first() == Some(&b'/') && (!doubtful || has_plain_names(bytes))
}

/// Whether no name is empty, but for the last, and none is `.`: what has a slash or a dot behind a slash is asked.
fn has_plain_names(bytes: &[u8]) -> bool {
    let mut names = bytes.split(|byte| *byte == b'/').skip(1).peekable();
    let is_plain = |(name, is_last): (&[u8], bool)| name != b"." && (!name.is_empty() || is_last);
    std::iter::from_fn(|| names.next().map(|name| (name, names.peek().is_none()))).all(is_plain)
}

/// Answers all jobs.
fn digest_jobs(fs: &Fs, memo: Option<&Memo>, jobs: &mut [Job]) {
    if let Some(memo) = memo {
        look(fs, memo, jobs);
    }
    let open = jobs.iter().filter(|job| job.is_open()).count();
    if open == 0 {
        return;
    }
    read(fs, jobs, open);
    if let Some(memo) = memo {
        memo.learn(jobs.iter().filter_map(|job| match &job.answer {
            Answer::Read(reading) => Some(reading),
            _ => None,
        }));
    }
}

/// Answers for the files that the memo proves unchanged. What is wrong with a file is found again, and
/// reported, when it is opened.
fn look(fs: &Fs, memo: &Memo, jobs: &mut [Job]) {
    let known = memo.known();
    if known.is_empty() {
        return;
    }
    let threads = if jobs.len() < PARALLEL_LOOKS_MIN { 1 } else { cores() };
    in_blocks(fs, jobs, threads, &|| (), &|(), place, answer| {
        if let Some(reading) = place.stat(fs).ok().and_then(|stat| known.of(&stat)) {
            *answer = Answer::Known(reading);
        }
    });
}

/// Reads and digests the files that have no answer, so many: small ones each by one thread, then large ones by
/// all.
fn read(fs: &Fs, jobs: &mut [Job], open: usize) {
    if open > 1 {
        // The sample ends where enough jobs without an answer stand before.
        let ends = jobs.iter().enumerate().filter(|(_, job)| job.is_open()).map(|(at, _)| at + 1);
        let (sample, rest) = jobs.split_at_mut(ends.take(SAMPLE_FILES).last().unwrap_or(0));
        read_small(fs, sample, 1);
        let lens = sample.iter().filter_map(|job| match &job.answer {
            Answer::Read(reading) => Some(reading.len()),
            _ => None,
        });
        let (count, bytes) = lens.fold((0, 0_u64), |(count, sum), len| (count + 1, sum.saturating_add(len)));
        read_small(fs, rest, threads(open.saturating_sub(SAMPLE_FILES), bytes / u64::max(count, 1)));
    }
    for job in jobs.iter_mut().filter(|job| job.is_open()) {
        let place = Place { path: &job.path, below: None };
        job.answer = answer_of(Reader::new(fs).digest(place, Share::AllThreads));
    }
}

fn read_small(fs: &Fs, jobs: &mut [Job], threads: usize) {
    in_blocks(fs, jobs, threads, &|| Reader::new(fs), &|reader, place, answer| {
        *answer = answer_of(reader.digest(place, Share::OneThread));
    });
}

fn answer_of(read: Result<Option<Reading>, BadSourceKind>) -> Answer {
    match read {
        Ok(Some(reading)) => Answer::Read(reading),
        Ok(None) => Answer::Open,
        Err(why) => Answer::Bad(why),
    }
}

/// How many threads, this one included, so many files of such a length are worth.
fn threads(files: usize, bytes_each: u64) -> usize {
    let bytes = bytes_each.saturating_mul(files as u64);
    if files < PARALLEL_READS_MIN && bytes < PARALLEL_BYTES_MIN { 1 } else { cores().min(files) }
}

/// Does `work` for each job that has no answer, with what `start` has made for the thread.
fn in_blocks<S>(
    fs: &Fs,
    jobs: &mut [Job],
    threads: usize,
    start: &(impl Fn() -> S + Sync),
    work: &(impl Fn(&mut S, Place<'_>, &mut Answer) + Sync),
) {
    let len = jobs.len().div_ceil(threads.max(1) * 4).clamp(BLOCK_FILES_MIN, BLOCK_FILES_MAX);
    share_out(jobs.chunks_mut(len), threads, start, &|own, block: &mut [Job]| {
        let held =
            hold_common_dir(fs, block.iter().filter(|job| job.is_open()).map(|job| job.path.as_path()));
        for Job { path, answer, .. } in block.iter_mut().filter(|job| job.is_open()) {
            let behind = |slash| fs::split_at_slash(path, slash).map(|(_, rel)| rel);
            let below = held.as_ref().and_then(|(dir, slash)| Some((dir, behind(*slash)?)));
            work(own, Place { path, below }, answer);
        }
    });
}

/// The directory that all files lie below, and where the slash behind it stands in their paths.
fn hold_common_dir<'a>(
    fs: &Fs,
    mut paths: impl Iterator<Item = &'a Path> + Clone,
) -> Option<(SourceDir, usize)> {
    if paths.clone().count() < BLOCK_FILES_MIN {
        return None;
    }
    let path = paths.next()?;
    let first = fs::bytes_of(path.as_os_str());
    let equal = paths.fold(first.len(), |equal, path| {
        let bytes = fs::bytes_of(path.as_os_str());
        // Mostly nothing is less equal than before: compared as a whole.
        if bytes.starts_with(&first[..equal]) {
            return equal;
        }
        first[..equal].iter().zip(bytes).take_while(|(one, other)| one == other).count()
    });
    let slash = first[..equal].iter().rposition(|byte| *byte == b'/')?;
    let (dir, _) = fs::split_at_slash(path, slash)?;
    Some((fs.open_source_dir(dir).ok()?, slash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::sim::Disk;
    use proptest::prelude::*;

    #[test]
    fn little_work_starts_no_thread() {
        assert_eq!(threads(PARALLEL_READS_MIN - 1, 1000), 1);
        assert_eq!(threads(PARALLEL_READS_MIN, 0), cores().min(PARALLEL_READS_MIN));
        assert_eq!(threads(2, PARALLEL_BYTES_MIN / 2), cores().min(2));
        assert_eq!(threads(1, u64::MAX), 1);
    }

    #[test]
    fn the_directory_held_for_a_block_is_the_deepest_one_above_all_its_files() {
        let disk = Disk::new(1);
        disk.plant_dir("/a/b/c");
        let world = Fs::Sim(disk.process());
        let held = |paths: [&str; 2]| {
            let paths = paths.iter().cycle().take(BLOCK_FILES_MIN).map(Path::new);
            hold_common_dir(&world, paths).map(|(_, slash)| slash)
        };
        assert_eq!(held(["/a/b/c/x", "/a/b/c/y"]), Some("/a/b/c".len()));
        assert_eq!(held(["/a/b/c/x", "/a/b/c"]), Some("/a/b".len()));
        assert_eq!(held(["/a/b/c/x", "/a/b/cc/x"]), Some("/a/b".len()));
        assert_eq!(held(["/a/b/x", "/a/b/x"]), Some("/a/b".len()));
        assert_eq!(held(["/a/x", "/b/x"]), None, "nothing is gained below the root");
        assert_eq!(held(["/missing/x", "/missing/y"]), None);
        let few = [Path::new("/a/b/c/x"); BLOCK_FILES_MIN - 1];
        assert!(hold_common_dir(&world, few.into_iter()).is_none());
    }

    proptest! {
        #[test]
        fn a_path_that_is_taken_as_it_is_is_one_that_would_stay_so(text in "[a./]{0,9}") {
            let path = Path::new(&text);
            let expected = absolute(path).unwrap_or_default();
            prop_assert!(!is_absolute_and_plain(path) || expected.as_os_str() == path.as_os_str());
            if let Ok((absolute_one, given)) = made_absolute(path.to_owned()) {
                prop_assert_eq!(absolute_one.as_os_str(), expected.as_os_str());
                prop_assert_eq!(given.is_none(), is_absolute_and_plain(path));
            }
        }
    }

    #[test]
    fn most_absolute_paths_are_taken_as_they_are() {
        for path in ["/", "/a", "/a/b.c", "/a/../b", "/a/.hidden", "/a/"] {
            assert!(is_absolute_and_plain(Path::new(path)), "{path}");
        }
        for path in ["", "a", "//a", "/a//b", "/./a", "/a/."] {
            assert!(!is_absolute_and_plain(Path::new(path)), "{path}");
        }
    }
}
