//! Digests of files that have not changed since they were read: one `statx` instead of the content.
//!
//! For `sources` itself and for the store, which owns one per handle and asks it again for every discovered
//! input. In memory only. It keeps I1 by trusting no file that had been touched less than two seconds before
//! it was digested ([`Fingerprint`]): such a file is read each time until it has come to rest.

use super::read::Reading;
use crate::{
    fs::Stat,
    sync::{Mutex, MutexGuard, PoisonError},
};
use std::collections::BTreeMap;

/// Beyond this the memo starts over: at some 200 bytes each that is 13 MiB, and ten times the files of a host
/// with a thousand plugins of six files.
const ENTRIES_MAX: usize = 65_536;

/// Device and inode number.
type FileId = (u64, u64);

/// What is known of files.
#[derive(Debug, Default)]
pub(crate) struct Memo(Mutex<BTreeMap<FileId, Reading>>);

/// What a memo knows; it learns nothing meanwhile.
pub(super) struct Known<'a>(MutexGuard<'a, BTreeMap<FileId, Reading>>);

impl Known<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The reading of a file that has this state, if that proves it unchanged.
    pub(super) fn of(&self, stat: &Stat) -> Option<Reading> {
        let known = self.0.get(&(stat.device, stat.inode));
        known.filter(|reading| reading.fingerprint.proves(stat)).copied()
    }
}

impl Memo {
    /// What it knows now.
    pub(super) fn known(&self) -> Known<'_> {
        Known(self.entries())
    }

    pub(super) fn learn<'a>(&self, readings: impl Iterator<Item = &'a Reading>) {
        let mut entries = self.entries();
        for reading in readings.filter(|reading| reading.fingerprint.is_trusted()) {
            let id = (reading.fingerprint.device, reading.fingerprint.inode);
            if entries.len() >= ENTRIES_MAX && !entries.contains_key(&id) {
                entries.clear();
            }
            entries.insert(id, *reading);
        }
    }

    /// A thread that panicked while it held the lock has left a map of valid entries: each is one insertion.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<FileId, Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "these tests change files behind the back of fs")]
mod tests {
    use super::super::read::Fingerprint;
    use super::*;
    use crate::{
        digest::ObjectDigest,
        fs::Fs,
        sources::{batch, digest_path, error::BadSourceKind},
    };
    use std::{fs, path::Path, time::Duration};

    /// Puts another digest in the place of the right one, so that a test sees whether the memo was believed.
    fn lie(memo: &Memo) -> ObjectDigest {
        let lie = ObjectDigest::of_bytes(b"only the memo says so");
        memo.entries().values_mut().for_each(|reading| reading.digest = lie);
        lie
    }

    #[test]
    fn a_file_at_rest_is_read_once_and_again_after_any_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h");
        fs::write(&path, "one").unwrap();
        let memo = Memo::default();
        let digest = || digest_path(&Fs::Os, Some(&memo), &path).unwrap();
        Fs::Os.pause(Duration::from_millis(2100));
        assert_eq!(digest(), ObjectDigest::of_bytes(b"one"));
        let lie = lie(&memo);
        assert_eq!(digest(), lie, "the second time nothing is read");
        fs::set_permissions(&path, fs::metadata(&path).unwrap().permissions()).unwrap();
        assert_eq!(digest(), ObjectDigest::of_bytes(b"one"), "its change time moved");
        fs::write(&path, "two").unwrap();
        assert_eq!(digest(), ObjectDigest::of_bytes(b"two"));
        fs::remove_file(&path).unwrap();
        assert!(matches!(digest_path(&Fs::Os, Some(&memo), &path).unwrap_err().why, BadSourceKind::Missing));
    }

    #[test]
    fn a_file_touched_just_now_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h");
        fs::write(&path, "one").unwrap();
        let memo = Memo::default();
        digest_path(&Fs::Os, Some(&memo), &path).unwrap();
        assert!(memo.entries().is_empty());
    }

    #[test]
    fn the_memo_holds_no_more_than_its_limit() {
        let memo = Memo::default();
        let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let reading = batch::digest_one(&Fs::Os, None, &old).unwrap();
        for inode in 0..=ENTRIES_MAX as u64 {
            let fingerprint = Fingerprint { inode, ..reading.fingerprint };
            memo.learn([Reading { fingerprint, ..reading }].iter());
            assert!(memo.entries().len() <= ENTRIES_MAX);
        }
        assert_eq!(memo.entries().len(), 1, "it started over");
    }
}
