//! Digests of files that have not changed since they were read: one `statx` instead of the content.
//!
//! For `sources` itself and for the store, which owns one per handle and asks it again for every discovered
//! input. What the handle has learned is in memory; what all have learned is in the store ([`Kept`]), looked for
//! there once by each handle and written now and then. It keeps I1 by trusting no file that had been touched less
//! than two seconds before it was digested ([`Fingerprint`]), and nothing that was learned in another boot: a power
//! cut can take the content of a file and leave its times.

use super::{
    kept::{self, Kept},
    read::{Fingerprint, Reading},
};
use crate::{
    digest::ObjectDigest,
    format::memo::{FileId, RECORDS_MAX, Remembered, What},
    fs::{Dir, Fs, Kind, Stat, Time},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use std::collections::BTreeMap;

/// What reading a file again takes, in ns: opening, looking, reading and closing, and then each KiB (BLAKE3 of
/// 64 KiB took 12.7 us, reading it 2.8).
const READ_NS: u64 = 6_000;
const READ_KIB_NS: u64 = 240;
/// What exchanging the memo takes, in ns, and then for each record.
const WRITE_NS: u64 = 100_000;
const WRITE_RECORD_NS: u64 = 150;
/// The first time a handle has something to write, it pays if so many later processes spare the reading. A host
/// with two sources remembers them, one with a single small one reads it: to look into the memo takes as long.
const FIRST_PAYS_AFTER: u64 = 8;
/// Later on writing takes at most one part in so many of the time that reading did: a handle that learns a little
/// with each of a thousand plugins does not write the memo a thousand times.
const LATER_PARTS: u64 = 4;

/// What is known of files.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    state: Mutex<State>,
    has_looked: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// By file, and whether as a tool: what this handle has learned since it wrote the memo.
    learned: BTreeMap<(FileId, bool), Remembered>,
    /// What was in the store when this handle looked.
    kept: Option<Kept>,
    /// How long it took, some, to learn what no look at writing has weighed yet.
    unwritten_ns: u64,
    has_written: bool,
}

/// What a memo knows; it learns nothing meanwhile.
pub(super) struct Known<'a>(MutexGuard<'a, State>);

impl Known<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.learned.is_empty() && self.0.kept.is_none()
    }

    /// The reading of a file that has this state, if that proves it unchanged.
    pub(super) fn of(&self, stat: &Stat) -> Option<Reading> {
        let known = self.0.find(stat, false)?;
        let digest = ObjectDigest::from_bytes(known.value);
        Some(Reading { digest, fingerprint: Fingerprint::trusted(stat) })
    }
}

impl Memo {
    /// What it knows now.
    pub(super) fn known(&self) -> Known<'_> {
        Known(self.state())
    }

    /// What identifies a tool that has this state, if that proves it unchanged: which of the two, and its bytes.
    pub(super) fn tool(&self, stat: &Stat) -> Option<(What, [u8; 32])> {
        self.state().find(stat, true).map(|known| (known.what, known.value))
    }

    pub(super) fn learn<'a>(&self, readings: impl Iterator<Item = &'a Reading>) {
        let mut state = self.state();
        for reading in readings {
            state.learn(&reading.fingerprint, What::Content, *reading.digest.as_bytes());
        }
    }

    /// Learns what identifies a tool.
    pub(super) fn learn_tool(&self, fingerprint: &Fingerprint, what: What, value: [u8; 32]) {
        self.state().learn(fingerprint, what, value);
    }

    /// Whether it has been looked for in the store.
    pub(crate) fn has_looked(&self) -> bool {
        self.has_looked.load(Ordering::Acquire)
    }

    /// Takes in what lies in the store. Without a boot id nothing can be believed that another process wrote.
    pub(crate) fn look_in(&self, v1: &Dir, boot: Option<&[u8; 16]>) {
        self.state().kept = boot.and_then(|boot| Kept::open(v1, boot));
        self.has_looked.store(true, Ordering::Release);
    }

    /// Whether enough was learned to write it down.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.state().is_worth_keeping()
    }

    /// Writes it all into the store, with what others have written there meanwhile. What fails is tried again when
    /// as much was learned once more; nothing but time is lost.
    pub(crate) fn keep(&self, fs: &Fs, v1: &Dir, boot: Option<&[u8; 16]>) {
        let Some(boot) = boot else { return };
        let mut state = self.state();
        if !state.is_worth_keeping() {
            return;
        }
        (state.unwritten_ns, state.has_written) = (0, true);
        // What is gone since this handle looked is still true.
        let before = Kept::open(v1, boot).or(state.kept.take());
        let is_new = |known: &Remembered| state.learned.contains_key(&(known.file, known.what.is_tool()));
        let mut records: Vec<_> = state.learned.values().copied().collect();
        let (learned, old) = (records.len(), before.iter().flat_map(Kept::records));
        records.extend(old.filter(|known| !is_new(known)));
        if records.len() > RECORDS_MAX {
            // Full of files of which nobody knows whether they still exist: it starts over.
            records.truncate(learned);
        }
        match kept::exchange(fs, v1, boot, &records) {
            Ok(kept) => {
                state.kept = Some(kept);
                state.learned.clear();
            }
            Err(_) => state.kept = before,
        }
    }

    /// A thread that panicked while it held the lock has left a map of valid entries: each is one insertion.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, stat: &Stat, is_tool: bool) -> Option<Remembered> {
        let file = (stat.device, stat.inode);
        let proves = |known: &Remembered| {
            stat.kind == Kind::File
                && (known.len, known.mtime, known.ctime) == (stat.len, pair(stat.mtime), pair(stat.ctime))
        };
        // Mostly empty: what was written is asked for below.
        let learned = if self.learned.is_empty() { None } else { self.learned.get(&(file, is_tool)) };
        let learned = learned.copied().filter(proves);
        learned.or_else(|| self.kept.as_ref()?.find(file, is_tool).filter(proves))
    }

    fn learn(&mut self, fingerprint: &Fingerprint, what: What, value: [u8; 32]) {
        if !fingerprint.is_trusted() {
            return;
        }
        let file = (fingerprint.device, fingerprint.inode);
        let (mtime, ctime) = (pair(fingerprint.mtime), pair(fingerprint.ctime));
        let key = (file, what.is_tool());
        if self.learned.len() >= RECORDS_MAX && !self.learned.contains_key(&key) {
            self.learned.clear();
        }
        self.learned.insert(key, Remembered { file, len: fingerprint.len, mtime, ctime, what, value });
        let read_ns = match what {
            What::BuildId(_) => READ_NS,
            What::Content | What::Image => READ_NS.saturating_add(fingerprint.len / 1024 * READ_KIB_NS),
        };
        self.unwritten_ns = self.unwritten_ns.saturating_add(read_ns);
    }

    fn is_worth_keeping(&self) -> bool {
        if self.unwritten_ns == 0 {
            return false;
        }
        let records = self.learned.len() + self.kept.as_ref().map_or(0, Kept::records_max);
        let write_ns = WRITE_NS + WRITE_RECORD_NS * records as u64;
        match self.has_written {
            false => self.unwritten_ns.saturating_mul(FIRST_PAYS_AFTER) >= write_ns,
            true => self.unwritten_ns >= write_ns * LATER_PARTS,
        }
    }
}

fn pair(time: Time) -> (i64, u32) {
    (time.sec, time.nsec)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "these tests change files behind the back of fs")]
mod tests {
    use super::*;
    use crate::sources::{batch, digest_path, error::BadSourceKind};
    use std::{fs, path::Path, time::Duration};

    /// Puts another digest in the place of the right one, so that a test sees whether the memo was believed.
    fn lie(memo: &Memo) -> ObjectDigest {
        let lie = ObjectDigest::of_bytes(b"only the memo says so");
        memo.state().learned.values_mut().for_each(|known| known.value = *lie.as_bytes());
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
        assert!(memo.known().is_empty());
    }

    #[test]
    fn the_memo_holds_no_more_than_its_limit() {
        let memo = Memo::default();
        let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let reading = batch::digest_one(&Fs::Os, None, &old).unwrap();
        for inode in 0..=RECORDS_MAX as u64 {
            let fingerprint = Fingerprint { inode, ..reading.fingerprint };
            memo.learn([Reading { fingerprint, ..reading }].iter());
            assert!(memo.state().learned.len() <= RECORDS_MAX);
        }
        assert_eq!(memo.state().learned.len(), 1, "it started over");
    }
}
