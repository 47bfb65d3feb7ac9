//! Scrub: everything at rest read and proved, whoever is at work in the store meanwhile.
//!
//! For the store alone. Keeps I2 and I12: what is damaged goes through **remove**, re-checked under its exclusive
//! lock, and never while somebody else leases it. A read that fails proves nothing, and sets nothing aside. No
//! entry is dropped: one whose object is gone is a miss, and the next add replaces it.

mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Bound,
    sync::mpsc,
    thread,
    time::Duration,
};

pub use self::report::{Cursor, ScrubObjects, ScrubOptions, ScrubProgress, ScrubReport};
use crate::{
    digest::ObjectDigest,
    fs::{Dir, Fs},
    layout,
    manifest::{Manifest, NoView},
    objects::{Objects, Removed, Unopened, Verified},
    planted::{self, Bug},
    sync::{Mutex, PoisonError},
};

/// How often a damaged object is tried that another scrub, or a find, is setting aside at the same moment.
const TRIES_MAX: usize = 3;
const TRY_PAUSE: Duration = Duration::from_millis(2);

/// A store as a scrub sees it.
pub(crate) struct Scrub<'a> {
    pub(crate) fs: &'a Fs,
    pub(crate) v1: &'a Dir,
    pub(crate) objects: &'a Objects,
    pub(crate) manifest: &'a Manifest,
    /// Whether damaged objects may be set aside.
    pub(crate) is_writable: bool,
}

/// What became of one object.
enum Outcome {
    Right(u64),
    Damaged { is_aside: bool },
    Unreadable,
    Missing,
}

/// The objects that entries name, and whether a file must be there: a packed output needs none.
type Named = BTreeMap<[u8; 32], bool>;

impl Scrub<'_> {
    /// Looks at all of it, or at as much as the options say.
    pub(crate) fn run(&self, options: ScrubOptions<'_>) -> Result<ScrubReport, NoView> {
        let ScrubOptions { threads, bytes_per_second, bytes_max, from, progress } = options;
        self.manifest.refresh()?;
        let checked = self.manifest.check()?;
        let mut report =
            ScrubReport { frames: checked.frames, manifest: checked.damage, ..ScrubReport::default() };
        let named = self.named(Some(&mut report));
        let from = from.map(|cursor| *cursor.0.as_bytes());
        let pace = Pace { fs: self.fs, threads, bytes_per_second };
        let mut tally =
            Tally { report, progress, done: BTreeMap::new(), next: 0, from, doubtful: Vec::new() };
        let work = Mutex::new(Work::new(self.v1, &named, from, bytes_max));
        self.work_off(&work, threads, &pace, &mut tally);
        let work = work.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut report = tally.report;
        report.unlisted = work.unlisted;
        report.cursor =
            if work.is_stopped { tally.from.map(|at| Cursor(ObjectDigest::from_bytes(at))) } else { None };
        self.judge(&tally.doubtful, &mut report)?;
        Ok(report)
    }

    fn work_off(&self, work: &Mutex<Work<'_>>, threads: usize, pace: &Pace<'_>, tally: &mut Tally<'_>) {
        // A statement of its own: the lock is not held while an object is hashed.
        let take = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
        if threads <= 1 {
            while let Some(item) = take() {
                let outcome = self.check(&item, work, pace);
                tally.note(item, outcome);
            }
            return;
        }
        let (send, done) = mpsc::channel();
        thread::scope(|scope| {
            let mut started = 0;
            for _ in 0..threads {
                let send = send.clone();
                let worker = move || {
                    while let Some(item) = take() {
                        let outcome = self.check(&item, work, pace);
                        if send.send((item, outcome)).is_err() {
                            break;
                        }
                    }
                };
                let builder = thread::Builder::new().name("plugcache".into());
                started += usize::from(builder.spawn_scoped(scope, worker).is_ok());
            }
            drop(send);
            done.iter().for_each(|(item, outcome)| tally.note(item, outcome));
            // No thread could be had.
            while started == 0
                && let Some(item) = take()
            {
                let outcome = self.check(&item, work, pace);
                tally.note(item, outcome);
            }
        });
    }

    fn check(&self, item: &Item, work: &Mutex<Work<'_>>, pace: &Pace<'_>) -> Outcome {
        let digest = ObjectDigest::from_bytes(item.object);
        let mut paced = |bytes: usize| {
            work.lock().unwrap_or_else(PoisonError::into_inner).read(bytes as u64);
            pace.wait(bytes);
        };
        for left in (0..TRIES_MAX).rev() {
            let mut lease = match self.objects.open(&digest) {
                Ok(lease) => lease,
                Err(Unopened::Missing) => return Outcome::Missing,
                Err(Unopened::NotAFile) => {
                    let removed = self.is_writable.then(|| self.objects.remove_wrong_kind(&digest));
                    return Outcome::Damaged { is_aside: matches!(removed, Some(Ok(Removed::Yes))) };
                }
                Err(Unopened::Refused(_)) => return Outcome::Unreadable,
                Err(Unopened::Busy(file)) => {
                    let right = self.objects.read_right(&digest, &file);
                    return right.map_or(Outcome::Unreadable, |bytes| Outcome::Right(bytes.len() as u64));
                }
            };
            match self.objects.verify_paced(&digest, &mut lease, &mut paced) {
                Verified::Unreadable if planted::is(Bug::UnreadableChecked) => {
                    return Outcome::Right(lease.len());
                }
                Verified::Right(_) => return Outcome::Right(lease.len()),
                Verified::Unreadable => return Outcome::Unreadable,
                Verified::Wrong if !self.is_writable => return Outcome::Damaged { is_aside: false },
                Verified::Wrong => match self.objects.remove_leased(&digest, lease) {
                    Ok(Removed::Yes) => return Outcome::Damaged { is_aside: true },
                    Ok(Removed::Left | Removed::Missing) if left > 0 => self.fs.pause(TRY_PAUSE),
                    _ => {}
                },
            }
        }
        Outcome::Damaged { is_aside: false }
    }

    /// What entries name now; packed bytes are proved on the way, if there is a report to be told.
    fn named(&self, mut report: Option<&mut ScrubReport>) -> Named {
        let mut named = Named::new();
        for put in self.manifest.entries() {
            for output in &put.outputs {
                *named.entry(output.object).or_default() |= output.packed.is_none();
                let (Some(report), Some(packed)) = (report.as_deref_mut(), &output.packed) else { continue };
                let digest = ObjectDigest::from_bytes(output.object);
                if ObjectDigest::of_bytes(packed) != digest {
                    report.damaged.note(digest);
                }
            }
        }
        named
    }

    /// What had no name, or no file, is looked at once more with what was said meanwhile: an add in progress has
    /// objects before it has an entry, and a sweep drops entries before objects.
    fn judge(&self, doubtful: &[Doubt], report: &mut ScrubReport) -> Result<(), NoView> {
        if doubtful.is_empty() {
            return Ok(());
        }
        self.manifest.refresh()?;
        let named = self.named(None);
        for doubt in doubtful {
            let digest = ObjectDigest::from_bytes(doubt.object);
            let there = self.v1.stat(&layout::object(&digest));
            match (named.get(&doubt.object), there) {
                (Some(true), Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                    report.missing.note(digest);
                }
                // A later version may name it in a way that this one does not know.
                (None, Ok(_)) if !self.manifest.is_partly_unknown() => report.orphaned.note(digest),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Keeps all threads together below a number of bytes in a second.
struct Pace<'a> {
    fs: &'a Fs,
    threads: usize,
    bytes_per_second: u64,
}

impl Pace<'_> {
    /// Without a clock: the reading itself counts as if it took no time.
    fn wait(&self, bytes: usize) {
        if self.bytes_per_second > 0 {
            let share = bytes as f64 * self.threads as f64 / self.bytes_per_second as f64;
            self.fs.pause(Duration::from_secs_f64(share));
        }
    }
}

/// One object to look at.
#[derive(Clone, Copy)]
struct Item {
    /// Items are numbered in the order of their names.
    number: u64,
    object: [u8; 32],
    is_named: bool,
}

/// The objects in the order of their names: those that are there, and those that should be.
struct Work<'a> {
    v1: &'a Dir,
    named: &'a Named,
    from: Option<[u8; 32]>,
    /// Directories that were not listed yet.
    shards: std::ops::Range<u16>,
    listed: std::vec::IntoIter<[u8; 32]>,
    number: u64,
    bytes_left: u64,
    is_stopped: bool,
    unlisted: u64,
}

impl<'a> Work<'a> {
    fn new(v1: &'a Dir, named: &'a Named, from: Option<[u8; 32]>, bytes_max: u64) -> Work<'a> {
        let first = from.map_or(0, |from| u16::from(from[0]));
        let (shards, listed) = (first..layout::SHARDS, Vec::new().into_iter());
        let (number, is_stopped, unlisted) = (0, false, 0);
        Work { v1, named, from, shards, listed, number, bytes_left: bytes_max, is_stopped, unlisted }
    }

    fn read(&mut self, bytes: u64) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }

    /// Sorted names of one directory, with those that entries say should be in it.
    fn list(&mut self, first: u8) -> BTreeSet<[u8; 32]> {
        let listed = self.v1.open_dir(&layout::shard(first)).and_then(|dir| dir.list());
        let names = match listed {
            Ok(names) => names,
            Err(error) => {
                self.unlisted += u64::from(error.kind() != io::ErrorKind::NotFound);
                Vec::new()
            }
        };
        let there = names.iter().filter_map(|name| layout::object_named(first, name));
        let (mut low, mut high) = ([0; 32], [u8::MAX; 32]);
        (low[0], high[0]) = (first, first);
        let needed = self.named.range((Bound::Included(low), Bound::Included(high)));
        let needed = needed.filter(|(_, needs_file)| **needs_file).map(|(object, _)| *object);
        let all = there.chain(needed);
        all.filter(|object| self.from.is_none_or(|from| *object > from)).collect()
    }
}

impl Iterator for Work<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(object) = self.listed.as_slice().first().copied() {
                if self.bytes_left == 0 {
                    self.is_stopped = true;
                    return None;
                }
                self.listed.next();
                let item = Item { number: self.number, object, is_named: self.named.contains_key(&object) };
                self.number += 1;
                return Some(item);
            }
            let shard = self.shards.next()?;
            self.listed = self.list(shard as u8).into_iter().collect::<Vec<_>>().into_iter();
        }
    }
}

/// An object that has no name, or a name that has no object, as far as was known.
struct Doubt {
    object: [u8; 32],
}

/// What was seen so far.
struct Tally<'a> {
    report: ScrubReport,
    progress: Option<&'a mut dyn FnMut(&ScrubProgress)>,
    /// Done, but behind one that is not.
    done: BTreeMap<u64, [u8; 32]>,
    next: u64,
    /// All up to here is done.
    from: Option<[u8; 32]>,
    doubtful: Vec<Doubt>,
}

impl Tally<'_> {
    fn note(&mut self, item: Item, outcome: Outcome) {
        let (digest, doubt) = (ObjectDigest::from_bytes(item.object), Doubt { object: item.object });
        match outcome {
            Outcome::Right(len) => {
                self.report.checked += 1;
                self.report.bytes += len;
            }
            Outcome::Damaged { is_aside } => {
                self.report.damaged.note(digest);
                self.report.set_aside += u64::from(is_aside);
            }
            Outcome::Unreadable => self.report.unreadable.note(digest),
            Outcome::Missing => {}
        }
        if matches!(outcome, Outcome::Missing) || !item.is_named {
            self.doubtful.push(doubt);
        }
        self.done.insert(item.number, item.object);
        while let Some(object) = self.done.remove(&self.next) {
            self.from = Some(object);
            self.next += 1;
        }
        self.tell();
    }

    fn tell(&mut self) {
        let ScrubReport { checked, bytes, damaged, unreadable, .. } = &self.report;
        let progress = ScrubProgress {
            checked: *checked,
            bytes: *bytes,
            damaged: damaged.count,
            unreadable: unreadable.count,
            cursor: self.from.map(|at| Cursor(ObjectDigest::from_bytes(at))),
        };
        if let Some(tell) = &mut self.progress {
            tell(&progress);
        }
    }
}
