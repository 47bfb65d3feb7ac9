//! Reading one file so that its digest is the digest of a content that it really had.
//!
//! For the modules of `sources`. What it guarantees: the state of the file (length, times, inode) was the
//! same before the first and after the last byte was read; otherwise it is read again, and after
//! [`TRIES_MAX`] times the answer is [`BadSourceKind::Changing`]. Nothing that is not a regular file is ever
//! read or waited for. What it does not see: stores through a mapping that was already dirty, which move no
//! time stamp.

use super::error::{BadSource, BadSourceKind};
use crate::{
    digest::{Hasher, ObjectDigest},
    fs::{File, Fs, Kind, Stat, Time},
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

/// A file touched less than this before it was digested may be written again without its times moving:
/// clocks of file systems have grains of up to 4 ms (ext4 before Linux 6.13), 1 s (ext3) and 2 s (FAT).
const TRUST_AGE: Duration = Duration::from_secs(2);

/// The state of a file when it was digested: while it is the same, so is the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    device: u64,
    inode: u64,
    len: u64,
    mtime: Time,
    ctime: Time,
    /// Whether the file had been left alone for [`TRUST_AGE`]; without it an equal state proves nothing.
    trusted: bool,
}

impl Fingerprint {
    /// `now` must have been asked before `stat`, and `stat` before the content was read.
    fn new(stat: &Stat, now: SystemTime) -> Self {
        let &Stat { device, inode, len, mtime, ctime, .. } = stat;
        let trusted = is_older(mtime, now) && is_older(ctime, now);
        Self { device, inode, len, mtime, ctime, trusted }
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether `stat` proves that the content is still the one that was digested.
    pub(super) fn proves(&self, stat: &Stat) -> bool {
        self.trusted && stat.kind == Kind::File && self.is_of(stat)
    }

    pub(super) fn is_of(&self, stat: &Stat) -> bool {
        (self.device, self.inode, self.len, self.mtime, self.ctime)
            == (stat.device, stat.inode, stat.len, stat.mtime, stat.ctime)
    }
}

/// Times ahead of the clock, and before 1970, are never old enough.
fn is_older(time: Time, now: SystemTime) -> bool {
    let Ok(sec) = u64::try_from(time.sec) else { return false };
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::new(sec, time.nsec))
        .and_then(|then| now.duration_since(then).ok())
        .is_some_and(|age| age >= TRUST_AGE)
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

/// Reads and digests the file under `path`. `buf` is scratch space; give the same one again.
pub(crate) fn digest_file(fs: &Fs, path: &Path, buf: &mut Vec<u8>) -> Result<Reading, BadSource> {
    digest_watched(fs, path, buf, &mut |_| ()).map_err(|why| BadSource { path: path.to_path_buf(), why })
}

/// The moments at which a test may interfere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    BeforeContent,
    AfterContent,
}

fn digest_watched(
    fs: &Fs,
    path: &Path,
    buf: &mut Vec<u8>,
    watch: &mut dyn FnMut(Moment),
) -> Result<Reading, BadSourceKind> {
    for _ in 0..TRIES_MAX {
        // Opened anew each time: an editor that saves by renaming leaves the old inode behind.
        let file = fs.open_source(path).map_err(|error| why_not_opened(fs, path, error))?;
        let now = fs.now();
        let before = file.stat().map_err(BadSourceKind::Unreadable)?;
        require_file(before.kind)?;
        let fingerprint = Fingerprint::new(&before, now);
        watch(Moment::BeforeContent);
        let digest = digest_content(&file, before.len, buf).map_err(BadSourceKind::Unreadable)?;
        watch(Moment::AfterContent);
        let after = file.stat().map_err(BadSourceKind::Unreadable)?;
        if let Some(digest) = digest.filter(|_| fingerprint.is_of(&after)) {
            return Ok(Reading { digest, fingerprint });
        }
    }
    Err(BadSourceKind::Changing)
}

/// `None` if the file does not hold exactly `len` bytes.
fn digest_content(file: &File, len: u64, buf: &mut Vec<u8>) -> io::Result<Option<ObjectDigest>> {
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
    use std::{fs, os::unix::fs::FileExt, path::PathBuf};

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin.c");
        fs::write(&path, content).unwrap();
        (dir, path)
    }

    fn digest_while(path: &Path, mut meddle: impl FnMut(u32, Moment)) -> Result<Reading, BadSourceKind> {
        let mut tries = 0;
        digest_watched(&Fs::Os, path, &mut Vec::new(), &mut |moment| {
            tries += u32::from(moment == Moment::BeforeContent);
            meddle(tries, moment);
        })
    }

    #[test]
    fn the_digest_is_that_of_the_bytes_whatever_their_number() {
        let mut buf = Vec::new();
        for len in
            [0, 1, 4096, READ_BYTES_MAX - 1, READ_BYTES_MAX, READ_BYTES_MAX + 1, 3 * READ_BYTES_MAX + 5]
        {
            let content: Vec<u8> = (0..len).map(|i| ((i * 31) >> 3) as u8).collect();
            let (_dir, path) = file(&content);
            let reading = digest_file(&Fs::Os, &path, &mut buf).unwrap();
            assert_eq!((reading.digest, reading.len()), (ObjectDigest::of_bytes(&content), len as u64));
        }
        assert!(buf.len() <= READ_BYTES_MAX);
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
    fn only_a_file_left_alone_for_two_seconds_is_trusted() {
        let (_dir, path) = file(b"young");
        let stat = Fs::Os.stat_source(&path).unwrap();
        let made = SystemTime::UNIX_EPOCH + Duration::new(stat.ctime.sec.unsigned_abs(), stat.ctime.nsec);
        let trusted = |now| Fingerprint::new(&stat, now).is_trusted();
        assert!(!trusted(made));
        assert!(!trusted(made + TRUST_AGE - Duration::from_nanos(1)));
        assert!(trusted(made + TRUST_AGE));
        assert!(!trusted(made - Duration::from_secs(3600)), "a time ahead of the clock");
        let before_1970 = Stat { mtime: Time { sec: i64::MIN, nsec: 0 }, ..stat };
        assert!(!Fingerprint::new(&before_1970, made + TRUST_AGE).is_trusted());
    }
}
