//! Reading one file so that its digest is the digest of a content that it really had.
//!
//! For the modules of `sources`. What it guarantees: the state of the file (length, times, inode) was the
//! same before the first and after the last byte was read; otherwise it is read again, and after
//! [`TRIES_MAX`] times the answer is [`BadSourceKind::Changing`]. Nothing that is not a regular file is ever
//! read or waited for. What it does not see: stores through a mapping that was already dirty, which move no
//! time stamp.
//!
//! Content is read into buffers and never mapped: a source is its owner's to shorten, and a mapped page behind
//! its end is SIGBUS. It is faster too. Measured on one file of 1 GiB in the page cache: 255 ms of processor
//! time in reads of 256 KiB, 315 ms through a mapping.

use super::{
    error::BadSourceKind,
    threads::{cores, share_out},
};
use crate::{
    digest::{self, Hasher, ObjectDigest, Part, PartHasher},
    fs::{File, Fs, Kind, SourceDir, Stat, Time},
    planted::{self, Bug},
};
use std::{
    io,
    path::Path,
    time::{Duration, SystemTime},
};

/// How often a file that moves under the reader is read before it is given up.
const TRIES_MAX: u32 = 3;

/// One read never asks for more, so that a reader's memory is bounded; larger reads measured no faster.
const READ_BYTES_MAX: usize = 1 << 20;

/// From this length on several threads share a file. Starting and joining one takes some 80 us (measured), as
/// long as BLAKE3 takes for 300 KiB.
pub(super) const LARGE_BYTES_MIN: u64 = 2 << 20;

/// What a thread reads of a large file at a time: with 64 KiB and with 1 MiB it took 3 to 6 % longer.
const PART_READ_BYTES: usize = 256 << 10;

/// Parts get longer rather than more numerous.
const PARTS_MAX: u64 = 1 << 14;

/// A file touched less than this before it was digested may be written again without its times moving:
/// clocks of file systems have grains of up to 4 ms (ext4 before Linux 6.13), 1 s (ext3) and 2 s (FAT).
const TRUST_AGE: Duration = Duration::from_secs(2);

/// The state of a file when it was digested: while it is the same, so is the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) len: u64,
    pub(super) mtime: Time,
    pub(super) ctime: Time,
    /// Whether an equal state proves an equal content: see [`is_at_rest`] and [`File::stamps_changes`].
    pub(super) trusted: bool,
}

impl Fingerprint {
    fn new(stat: &Stat, trusted: bool) -> Self {
        let &Stat { device, inode, len, mtime, ctime, .. } = stat;
        Self { device, inode, len, mtime, ctime, trusted }
    }

    /// Of a file that a memo proves unchanged.
    pub(super) fn trusted(stat: &Stat) -> Self {
        Self::new(stat, true)
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.trusted
    }

    pub(super) fn is_of(&self, stat: &Stat) -> bool {
        (self.device, self.inode, self.len, self.mtime, self.ctime)
            == (stat.device, stat.inode, stat.len, stat.mtime, stat.ctime)
    }
}

/// Whether any later change moves the change time of a file that has this state now. `now` was asked before.
///
/// A change time of whole seconds may come from a clock that counts no less, or from an image whose times
/// somebody chose: two such images, one mounted after the other, can have equal states everywhere and
/// different contents. A true one has a fraction but once in 250 files, and that one is read again.
fn is_at_rest(stat: &Stat, now: SystemTime) -> bool {
    is_older(stat.mtime, now) && is_older(stat.ctime, now) && stat.ctime.nsec != 0
}

/// Times ahead of the clock, and before 1970, are never old enough.
fn is_older(time: Time, now: SystemTime) -> bool {
    let Ok(sec) = u64::try_from(time.sec) else { return false };
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::new(sec, time.nsec))
        .and_then(|then| now.duration_since(then).ok())
        .is_some_and(|age| age >= TRUST_AGE || planted::is(Bug::MemoOfYoungFiles))
}

/// What one reading of a file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) digest: ObjectDigest,
    pub(crate) fingerprint: Fingerprint,
}

impl Reading {
    pub(crate) fn len(&self) -> u64 {
        self.fingerprint.len
    }
}

/// A file, by its path and perhaps by a shorter way to it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    /// A directory, and the path behind it.
    pub(super) below: Option<(&'a SourceDir, &'a Path)>,
}

impl Place<'_> {
    /// What the path leads to; its error, where the shorter way leads nowhere.
    pub(super) fn stat(&self, fs: &Fs) -> io::Result<Stat> {
        let below = self.below.and_then(|(dir, rel)| dir.stat_source(rel).ok());
        below.map_or_else(|| fs.stat_source(self.path), Ok)
    }

    fn open(&self, fs: &Fs) -> io::Result<File> {
        let below = self.below.and_then(|(dir, rel)| dir.open_source(rel).ok());
        below.map_or_else(|| fs.open_source(self.path), Ok)
    }
}

/// Who reads a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// One of several threads, each with files of its own: a large one is left alone.
    OneThread,
    /// All threads there are, if the file is large.
    AllThreads,
}

/// Reads files one after the other, and keeps what they have in common.
pub(super) struct Reader<'a> {
    fs: &'a Fs,
    /// Asked before any state of a file to come.
    now: SystemTime,
    /// The device that was asked last whether it stamps changes, and its answer.
    device: Option<(u64, bool)>,
    buf: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(fs: &'a Fs) -> Self {
        Self { fs, now: fs.now(), device: None, buf: Vec::new() }
    }

    /// Reads and digests a file. `None`: it is large, and was left alone.
    pub(super) fn digest(
        &mut self,
        place: Place<'_>,
        share: Share,
    ) -> Result<Option<Reading>, BadSourceKind> {
        self.digest_watched(place, share, &mut |_| ())
    }

    fn digest_watched(
        &mut self,
        place: Place<'_>,
        share: Share,
        watch: &mut dyn FnMut(Moment),
    ) -> Result<Option<Reading>, BadSourceKind> {
        for attempt in 0..TRIES_MAX {
            // Opened anew each time: an editor that saves by renaming leaves the old inode behind, and somebody
            // may have put another directory in the place of the one that is held.
            let place = if attempt == 0 { place } else { Place { below: None, ..place } };
            let file = place.open(self.fs).map_err(|error| why_not_opened(self.fs, place.path, error))?;
            let before = file.stat().map_err(BadSourceKind::Unreadable)?;
            require_file(before.kind)?;
            if before.len >= LARGE_BYTES_MIN && share == Share::OneThread {
                return Ok(None);
            }
            let fingerprint = self.fingerprint(&file, &before);
            watch(Moment::BeforeContent);
            let digest =
                digest_content(&file, before.len, &mut self.buf).map_err(BadSourceKind::Unreadable)?;
            watch(Moment::AfterContent);
            let after = file.stat().map_err(BadSourceKind::Unreadable)?;
            if let Some(digest) = digest.filter(|_| fingerprint.is_of(&after)) {
                return Ok(Some(Reading { digest, fingerprint }));
            }
        }
        Err(BadSourceKind::Changing)
    }

    /// The state that an open file had.
    pub(super) fn fingerprint(&mut self, file: &File, stat: &Stat) -> Fingerprint {
        Fingerprint::new(stat, self.trusts(file, stat))
    }

    /// Whether no later change of the file can leave this state.
    fn trusts(&mut self, file: &File, stat: &Stat) -> bool {
        if !is_at_rest(stat, self.now) {
            return false;
        }
        match self.device {
            Some((device, stamps)) if device == stat.device => stamps,
            _ => {
                let stamps = file.stamps_changes().unwrap_or(false);
                self.device = Some((stat.device, stamps));
                stamps
            }
        }
    }
}

/// The moments at which a test may interfere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    BeforeContent,
    AfterContent,
}

/// `None` if the file does not hold exactly `len` bytes.
fn digest_content(file: &File, len: u64, buf: &mut Vec<u8>) -> io::Result<Option<ObjectDigest>> {
    if len >= LARGE_BYTES_MIN {
        return digest_parts(file, len, cores());
    }
    let mut hasher = Hasher::plain();
    let mut done = 0;
    loop {
        // One byte more than is left: a file that grew shows it, and a small one takes a single read.
        let left = usize::try_from(len - done).unwrap_or(usize::MAX);
        let want = left.saturating_add(1).min(READ_BYTES_MAX);
        if buf.len() < want {
            buf.resize(want, 0);
        }
        let got = file.read_at(&mut buf[..want], done)?;
        if got > left || (got == 0 && left > 0) {
            return Ok(None);
        }
        if done == 0 && got == left {
            return Ok(Some(ObjectDigest::of_bytes(&buf[..got])));
        }
        hasher.update(&buf[..got]);
        done += got as u64;
        // At the full length the caller's second look at the state shows whether there is more.
        if done == len {
            return Ok(Some(ObjectDigest::from_bytes(hasher.finish())));
        }
    }
}

/// As [`digest_content`], by several threads, each taking the next part. The caller's second look at the state
/// shows whether there is more.
fn digest_parts(file: &File, len: u64, threads: usize) -> io::Result<Option<ObjectDigest>> {
    let part_len = (len / PARTS_MAX).next_power_of_two().max(PART_READ_BYTES as u64);
    let count = usize::try_from(len.div_ceil(part_len)).map_err(io::Error::other)?;
    let mut parts: Vec<io::Result<Option<Part>>> = Vec::new();
    parts.resize_with(count, || Ok(None));
    let start = || vec![0; PART_READ_BYTES];
    share_out(parts.iter_mut().enumerate(), threads, &start, &|buf, (number, part)| {
        let at = number as u64 * part_len;
        *part = digest_part(file, at, part_len.min(len - at), buf);
    });
    let parts: Option<Vec<Part>> = parts.into_iter().collect::<io::Result<_>>()?;
    Ok(parts.and_then(|parts| digest::of_parts(&parts)))
}

/// `None` if the file ends before the part does.
fn digest_part(file: &File, at: u64, len: u64, buf: &mut [u8]) -> io::Result<Option<Part>> {
    let mut hasher = PartHasher::new(at);
    let mut done = 0;
    while done < len {
        let want = usize::try_from(len - done).map_or(buf.len(), |left| left.min(buf.len()));
        match file.read_at(&mut buf[..want], at + done)? {
            0 => return Ok(None),
            got => {
                hasher.update(&buf[..got]);
                done += got as u64;
            }
        }
    }
    Ok(Some(hasher.finish()))
}

/// Sockets and some devices cannot even be opened: what they are says more than the error does.
pub(super) fn why_not_opened(fs: &Fs, path: &Path, error: io::Error) -> BadSourceKind {
    if is_missing(&error) {
        return BadSourceKind::Missing;
    }
    let kind = fs.stat_source(path).map_or(Kind::File, |stat| stat.kind);
    require_file(kind).err().unwrap_or(BadSourceKind::Unreadable(error))
}

/// The errors that say that a path leads to nothing.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(super) fn require_file(kind: Kind) -> Result<(), BadSourceKind> {
    match kind {
        Kind::File => Ok(()),
        Kind::Dir => Err(BadSourceKind::NotAFile("a directory")),
        Kind::Fifo => Err(BadSourceKind::NotAFile("a FIFO")),
        Kind::Device => Err(BadSourceKind::NotAFile("a device")),
        Kind::Socket => Err(BadSourceKind::NotAFile("a socket")),
        // Opening followed every link; one that is left leads nowhere.
        Kind::Symlink => Err(BadSourceKind::Missing),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "these tests interfere with files behind the back of fs")]
mod tests {
    use super::*;
    use crate::fs::sim;
    use std::{fs, os::unix::fs::FileExt, path::PathBuf};

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin.c");
        fs::write(&path, content).unwrap();
        (dir, path)
    }

    fn digest_while(path: &Path, mut meddle: impl FnMut(u32, Moment)) -> Result<Reading, BadSourceKind> {
        let mut tries = 0;
        let watch = &mut |moment| {
            tries += u32::from(moment == Moment::BeforeContent);
            meddle(tries, moment);
        };
        let reading =
            Reader::new(&Fs::Os).digest_watched(Place { path, below: None }, Share::AllThreads, watch);
        reading.map(Option::unwrap)
    }

    #[test]
    fn the_digest_is_that_of_the_bytes_whatever_their_number() {
        let large = LARGE_BYTES_MIN as usize;
        let part = PART_READ_BYTES;
        for len in [
            0,
            1,
            4096,
            READ_BYTES_MAX - 1,
            READ_BYTES_MAX,
            READ_BYTES_MAX + 1,
            large - 1,
            large,
            large + 1,
            9 * part - 1,
            9 * part,
            9 * part + 1,
        ] {
            let content: Vec<u8> = (0..len).map(|i| ((i * 31) >> 3) as u8).collect();
            let (_dir, path) = file(&content);
            let mut reader = Reader::new(&Fs::Os);
            let place = Place { path: &path, below: None };
            let reading = reader.digest(place, Share::AllThreads).unwrap().unwrap();
            assert_eq!((reading.digest, reading.len()), (ObjectDigest::of_bytes(&content), len as u64));
            let shared = reader.digest(place, Share::OneThread).unwrap();
            assert_eq!(shared, (len < large).then_some(reading), "{len}");
            assert!(reader.buf.len() <= READ_BYTES_MAX);
            for threads in [1, 2, 5] {
                let parts = digest_parts(&Fs::Os.open_source(&path).unwrap(), len as u64, threads).unwrap();
                assert_eq!(parts, (len > part).then_some(reading.digest), "{len} by {threads}");
            }
        }
    }

    #[test]
    fn a_large_file_that_shrinks_while_it_is_read_kills_nobody_and_is_read_again() {
        let (_dir, path) = file(&vec![7; 3 * LARGE_BYTES_MIN as usize]);
        let reading = digest_while(&path, |tries, moment| {
            if (tries, moment) == (1, Moment::BeforeContent) {
                let left = LARGE_BYTES_MIN + 4097;
                fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(left).unwrap();
            }
        });
        let left = vec![7; LARGE_BYTES_MIN as usize + 4097];
        assert_eq!(reading.unwrap().digest, ObjectDigest::of_bytes(&left));
    }

    #[test]
    fn a_file_that_shrinks_once_while_it_is_digested_is_read_again() {
        let (_dir, path) = file(b"a long first content");
        let reading = digest_while(&path, |tries, moment| {
            if (tries, moment) == (1, Moment::BeforeContent) {
                fs::write(&path, "short").unwrap();
            }
        });
        assert_eq!(reading.unwrap().digest, ObjectDigest::of_bytes(b"short"));
    }

    #[test]
    fn a_file_that_grows_once_after_its_content_was_read_is_read_again() {
        let (_dir, path) = file(b"first");
        let reading = digest_while(&path, |tries, moment| {
            if (tries, moment) == (1, Moment::AfterContent) {
                fs::write(&path, "first and more").unwrap();
            }
        });
        assert_eq!(reading.unwrap().digest, ObjectDigest::of_bytes(b"first and more"));
    }

    #[test]
    fn a_file_that_changes_at_every_try_is_an_error() {
        let (_dir, path) = file(b"0");
        let mut tries_seen = 0;
        let result = digest_while(&path, |tries, _| {
            tries_seen = tries;
            fs::write(&path, "x".repeat(tries as usize)).unwrap();
        });
        assert!(matches!(result, Err(BadSourceKind::Changing)));
        assert_eq!(tries_seen, TRIES_MAX);
    }

    #[test]
    fn a_file_edited_and_restored_while_it_is_digested_is_never_taken_for_the_edit() {
        let (_dir, path) = file(b"right");
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let handle = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let reading = digest_while(&path, |tries, moment| match (tries, moment) {
            (1, Moment::BeforeContent) => {
                // Past the coarsest grain of the times, so that the test does not depend on it.
                Fs::Os.pause(Duration::from_millis(20));
                handle.write_all_at(b"wrong", 0).unwrap();
            }
            (1, Moment::AfterContent) => {
                handle.write_all_at(b"right", 0).unwrap();
                handle.set_modified(before).unwrap();
            }
            _ => (),
        });
        assert_eq!(reading.unwrap().digest, ObjectDigest::of_bytes(b"right"));
    }

    #[test]
    fn a_file_saved_by_renaming_while_it_is_digested_is_read_under_its_name() {
        let (dir, path) = file(b"old");
        let reading = digest_while(&path, |tries, moment| {
            if (tries, moment) == (1, Moment::AfterContent) {
                Fs::Os.pause(Duration::from_millis(20));
                fs::write(dir.path().join("new"), "new").unwrap();
                fs::rename(dir.path().join("new"), &path).unwrap();
            }
        });
        assert_eq!(reading.unwrap().digest, ObjectDigest::of_bytes(b"new"));
    }

    #[test]
    fn only_a_file_left_alone_for_two_seconds_is_at_rest() {
        let (_dir, path) = file(b"young");
        let stat = Fs::Os.stat_source(&path).unwrap();
        let stat = Stat { ctime: Time { nsec: stat.ctime.nsec | 1, ..stat.ctime }, ..stat };
        let made = SystemTime::UNIX_EPOCH + Duration::new(stat.ctime.sec.unsigned_abs(), stat.ctime.nsec);
        let at_rest = |now| is_at_rest(&stat, now);
        assert!(!at_rest(made));
        assert!(!at_rest(made + TRUST_AGE - Duration::from_nanos(1)));
        assert!(at_rest(made + TRUST_AGE));
        assert!(!at_rest(made - Duration::from_secs(3600)), "a time ahead of the clock");
        let before_1970 = Stat { mtime: Time { sec: i64::MIN, nsec: 0 }, ..stat };
        assert!(!is_at_rest(&before_1970, made + TRUST_AGE));
        let whole = Stat { ctime: Time { nsec: 0, ..stat.ctime }, ..stat };
        assert!(!is_at_rest(&whole, made + TRUST_AGE), "a change time of whole seconds");
    }

    #[test]
    fn no_state_is_trusted_on_a_file_system_that_does_not_stamp_changes() {
        let disk = sim::Disk::new(1);
        disk.plant_file("/a.h", "one");
        disk.advance_clock(Duration::from_secs(3));
        let trusted = || {
            let world = Fs::Sim(disk.process());
            let place = Place { path: Path::new("/a.h"), below: None };
            let reading = Reader::new(&world).digest(place, Share::AllThreads).unwrap().unwrap();
            reading.fingerprint.is_trusted()
        };
        assert!(trusted());
        disk.set_stamps_changes(false);
        assert!(!trusted());
    }
}
