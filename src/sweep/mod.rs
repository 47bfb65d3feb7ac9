//! Keeping a store within its limits: which entries go is decided by `retention`, how they go is decided here.
//!
//! Keeps I2 and I12: an object goes only through **remove**, re-checked under its exclusive lock, and never
//! while it is leased. Leases protect, not clocks; that young objects stay is a courtesy to paths handed out
//! without a lease.

mod chore;
mod litter;

pub(crate) use self::chore::Victims;

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime},
};

use crate::{
    digest::ObjectDigest,
    error::Skip,
    format::record::{DropReason, Dropped, KeyStart, Put, PutId, Record},
    fs::{Fs, Stat},
    manifest::{Manifest, Mark, Size},
    objects::{Disposal, Objects, Removed},
    planted::{self, Bug},
    retention::{self, Item, Limits, Object},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Unnamed objects younger than this stay.
const COURTESY: Duration = Duration::from_secs(15 * 60);
/// A handle remembers at most so many objects that wait to be removed (200 KiB); the others, and those of other
/// handles, are found again by the sweep after a compaction.
const PENDING_MAX: usize = 4096;

/// A sweep goes so far below a limit, as a part of it: of 4096 entries 64 go at once, of fewer than 64 one.
const SLACK_PART: u64 = 64;
/// .. and of bytes only if that is so many.
const SLACK_BYTES_MIN: u64 = 1 << 20;

/// An object that an entry named until it was dropped or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unnamed {
    object: [u8; 32],
    len: u64,
    /// Seconds since 1970 until which the courtesy keeps it, once that is known: not opened before, or each
    /// add would open all that a quarter of an hour has left behind.
    kept_until: u64,
}

impl Unnamed {
    fn new(object: [u8; 32], len: u64) -> Unnamed {
        Unnamed { object, len, kept_until: 0 }
    }

    /// One that a sweep has looked at.
    fn found(object: [u8; 32], stat: &Stat) -> Unnamed {
        Unnamed { object, len: stat.len, kept_until: kept_until(stat) }
    }

    /// Whether the courtesy is known to last; a longer one than there is comes from a clock that was set back.
    fn is_kept(&self, now: u64) -> bool {
        self.kept_until.checked_sub(now).is_some_and(|left| (1..=COURTESY.as_secs()).contains(&left))
    }
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Objects, and the bytes in them.
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    /// Objects without a name that stay: leased, or young.
    pub(crate) kept: u64,
    /// Staged files, working directories and lock files of builds.
    pub(crate) left_behind: u64,
    /// Files of the quarantine beyond its bounds.
    pub(crate) quarantined: u64,
}

impl Swept {
    fn add(&mut self, other: Swept) {
        self.objects += other.objects;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.kept = other.kept;
        self.left_behind += other.left_behind;
        self.quarantined += other.quarantined;
    }
}

/// The objects of an entry that is about to lose its name.
pub(crate) fn objects_of(put: &Put) -> impl Iterator<Item = Unnamed> {
    put.outputs.iter().map(|output| Unnamed::new(output.object, output.len))
}

/// A store as the sweep sees it.
pub(crate) struct Sweep<'a> {
    pub(crate) fs: &'a Fs,
    pub(crate) objects: &'a Objects,
    pub(crate) manifest: &'a Manifest,
    pub(crate) limits: Limits,
    /// Objects that may have no name any more, and that a lease or the courtesy keeps; oldest first.
    pub(crate) pending: &'a Mutex<Vec<Unnamed>>,
}

impl Sweep<'_> {
    /// Drops what is over the limits, never what was committed at or after the entry `own`. `used` says in
    /// which order this handle used its entries.
    pub(crate) fn evict(
        &self,
        own: PutId,
        used: impl FnOnce() -> HashMap<PutId, u64>,
    ) -> Result<(Vec<Arc<Put>>, DropReason), Skip> {
        let none = (Vec::new(), DropReason::MaxFiles);
        if self.fits(self.manifest.size()) {
            return Ok(none);
        }
        let (entries, mark) = self.manifest.entries_since();
        // Asked after all of it was read.
        if self.manifest.is_partly_unknown() {
            return Ok(none);
        }
        // No own entry: somebody dropped or replaced it already, and keeps the limits in our place.
        let Some(own_order) = entries.iter().find(|put| put.put_id == own).map(|put| put.order) else {
            return Ok(none);
        };
        let (reason, victims) = self.over_the_limits(&entries, &mark, own_order, &used());
        self.drop_entries(&victims, &reason)?;
        Ok((victims, reason))
    }

    fn fits(&self, size: Size) -> bool {
        size.entries <= self.limits.max_files && size.bytes <= self.limits.max_bytes
    }

    /// What a sweep goes down to: some way below a limit that was passed, so that a full store looks at all of its
    /// entries for few of its adds. Small stores are kept full to the last entry.
    fn low_water(&self, files: u64, bytes: u64) -> Limits {
        let Limits { max_files, max_bytes } = self.limits;
        let slack_bytes = max_bytes / SLACK_PART;
        let slack_bytes = if slack_bytes < SLACK_BYTES_MIN { 0 } else { slack_bytes };
        Limits {
            max_files: if files > max_files { max_files - max_files / SLACK_PART } else { max_files },
            max_bytes: if bytes > max_bytes { max_bytes - slack_bytes } else { max_bytes },
        }
    }

    /// Which of `entries`, read from `mark` on, go, and by which rule.
    fn over_the_limits(
        &self,
        entries: &[Arc<Put>],
        mark: &Mark,
        own_order: u64,
        used: &HashMap<PutId, u64>,
    ) -> (DropReason, Vec<Arc<Put>>) {
        let victims = self.choose(entries, mark, own_order, used);
        let files = self.limits.max_files;
        let reason = if entries.len() as u64 > files { DropReason::MaxFiles } else { DropReason::MaxBytes };
        (reason, entries.iter().filter(|put| victims.contains(&put.put_id)).cloned().collect())
    }

    fn choose(
        &self,
        entries: &[Arc<Put>],
        mark: &Mark,
        own_order: u64,
        used: &HashMap<PutId, u64>,
    ) -> HashSet<PutId> {
        // Objects get small numbers, so that one that two entries name counts once.
        let mut numbers = HashMap::new();
        let objects: Vec<Vec<Object>> = entries
            .iter()
            .map(|put| {
                let mut number = |object| {
                    let next = numbers.len() as u64;
                    *numbers.entry(object).or_insert(next)
                };
                let outputs = put.outputs.iter();
                outputs.map(|output| Object { id: number(output.object), len: output.len }).collect()
            })
            .collect();
        let items: Vec<Item<'_>> = entries
            .iter()
            .zip(&objects)
            .map(|(put, objects)| Item {
                id: put.put_id,
                paths: put.paths,
                names: put.names,
                day: put.day,
                used: used.get(&put.put_id).copied().unwrap_or(0),
                order: put.order,
                objects,
            })
            .collect();
        let distinct: HashMap<u64, u64> =
            objects.iter().flatten().map(|object| (object.id, object.len)).collect();
        let sum = |lens: &mut dyn Iterator<Item = u64>| lens.fold(0, u64::saturating_add);
        let (named, bytes) =
            (sum(&mut objects.iter().flatten().map(|object| object.len)), sum(&mut distinct.into_values()));
        self.manifest.note_shared(named.saturating_sub(bytes), mark);
        let limits = self.low_water(items.len() as u64, bytes);
        retention::victims(&items, limits, own_order).into_iter().collect()
    }

    /// Drops entries, then removes the objects that nothing names any more. On a disk so full that not even a
    /// DROP fits, objects go first: their entries are misses from then on.
    pub(crate) fn drop_entries(&self, entries: &[Arc<Put>], reason: &DropReason) -> Result<Swept, Skip> {
        for put in entries {
            let put_id = if planted::is(Bug::DropByKey) { self.now_under(put) } else { put.put_id };
            let (key, when_ms) = (KeyStart::of(&put.source, &put.exec), self.now().saturating_mul(1000));
            let dropped = Record::Drop(Dropped { put_id, key, when_ms, reason: reason.clone() });
            match self.manifest.append(&dropped).map_err(Skip::from) {
                Ok(_) => {}
                Err(Skip::NoSpace) => {
                    self.remove_now(put);
                    self.manifest.append(&dropped)?;
                }
                Err(refused) => return Err(refused),
            }
            self.pending().extend(objects_of(put));
        }
        Ok(self.remove_unnamed())
    }

    /// What the key of an entry leads to by now: for the planted bug alone.
    fn now_under(&self, put: &Put) -> PutId {
        // The bug needs the newest; without it, it is none.
        let _ = self.manifest.refresh();
        self.manifest.of_source(&put.source).first().map_or(put.put_id, |newest| newest.put_id)
    }

    /// Entries that were replaced: their objects may have no name any more.
    pub(crate) fn lost_their_name(&self, objects: impl Iterator<Item = Unnamed>) {
        self.pending().extend(objects);
        self.remove_unnamed();
    }

    fn pending(&self) -> MutexGuard<'_, Vec<Unnamed>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what lost its name, as far as leases and the courtesy to young objects allow.
    pub(crate) fn remove_unnamed(&self) -> Swept {
        let mut swept = Swept::default();
        let mut pending = std::mem::take(&mut *self.pending());
        if self.manifest.is_partly_unknown() {
            return swept;
        }
        let waiting = pending.iter().fold(0u64, |sum, unnamed| sum.saturating_add(unnamed.len));
        let held = self.manifest.size().bytes.saturating_add(waiting);
        let courteous = held <= self.limits.max_bytes.saturating_mul(2);
        let now = self.now();
        let is_kept = |unnamed: &Unnamed| courteous && unnamed.is_kept(now);
        // All entries are looked at once for all of these, and not at all if there are none.
        let due: HashSet<_> = pending.iter().filter(|one| !is_kept(one)).map(|one| one.object).collect();
        if due.is_empty() {
            swept.kept = pending.len() as u64;
            self.wait(pending);
            return swept;
        }
        let (named, mark) = self.manifest.named_among(&due);
        pending.retain_mut(|unnamed| {
            if named.contains(&unnamed.object) {
                return false;
            }
            if is_kept(unnamed) {
                return true;
            }
            let object = unnamed.object;
            let mut still = |stat: &Stat| {
                unnamed.kept_until = kept_until(stat);
                if is_kept(unnamed) {
                    return false;
                }
                // Under the lock: what others have appended meanwhile counts too.
                let read = self.manifest.refresh().is_ok() && !self.manifest.is_partly_unknown();
                read && !self.manifest.is_named_since(&mark, &object)
            };
            let digest = ObjectDigest::from_bytes(object);
            let removed = self.objects.remove(&digest, Disposal::Unlink, &mut still);
            if matches!(removed, Ok(Removed::Yes)) {
                swept.objects += 1;
                swept.bytes = swept.bytes.saturating_add(unnamed.len);
            }
            matches!(removed, Ok(Removed::Left))
        });
        swept.kept = pending.len() as u64;
        self.wait(pending);
        swept
    }

    /// Keeps in mind what is to be removed later, as far as there is room.
    fn wait(&self, mut pending: Vec<Unnamed>) {
        pending.truncate(PENDING_MAX);
        pending.shrink_to_fit();
        self.pending().extend(pending);
    }

    /// Removes the objects that only this entry names, although it still does: its next find is a miss.
    fn remove_now(&self, put: &Put) {
        for Unnamed { object, .. } in objects_of(put) {
            self.remove_unless_named(&ObjectDigest::from_bytes(object), Some(put.put_id));
        }
    }

    /// Removes an object, old or young, that no entry (but `except`) names and nobody leases. What cannot be
    /// removed stays as it was.
    pub(crate) fn remove_unless_named(&self, digest: &ObjectDigest, except: Option<PutId>) {
        let mut still = |_: &Stat| {
            let read = self.manifest.refresh().is_ok() && !self.manifest.is_partly_unknown();
            read && !self.named(except).contains_key(digest.as_bytes())
        };
        let _ = self.objects.remove(digest, Disposal::Unlink, &mut still);
    }

    /// The objects that entries (but `except`) name, with their lengths.
    fn named(&self, except: Option<PutId>) -> HashMap<[u8; 32], u64> {
        let entries = self.manifest.entries();
        let counted = entries.iter().filter(|put| Some(put.put_id) != except);
        counted.flat_map(|put| put.outputs.iter().map(|output| (output.object, output.len))).collect()
    }

    /// Seconds since 1970.
    fn now(&self) -> u64 {
        self.fs.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

/// Until when the courtesy keeps an object.
fn kept_until(stat: &Stat) -> u64 {
    u64::try_from(stat.ctime.sec).unwrap_or(0).saturating_add(COURTESY.as_secs())
}
