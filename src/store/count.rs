//! What is counted: by every handle, always, and for the whole store in COUNT frames of its logs.
//!
//! Counting is an addition in memory and no system call. A handle writes down what it has counted seldom: after an
//! append that is made anyway, if enough has gathered; when it is closed; and when it is dropped, if it has stored
//! something or found a few. So a process that only looks a plugin up writes nothing, and what it counted is lost, as
//! is what a killed one had not written down yet.

use std::time::Duration;

use super::{add::NotAdded, asked::Said, explain::DroppedBy, observe::Miss, tier::TierError};
use crate::{
    error::Skip,
    format::record::DayCount,
    manifest,
    sync::{
        Maker, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// So many finds and adds are worth a write of their own beside an append.
const GATHERED_MIN: u64 = 256;

/// So many are worth one at the end of a handle that stored nothing: each such write is a frame that everybody who
/// opens the store reads until the next compaction.
const ENDED_MIN: u64 = 4;

/// Defines what is counted: its place here is its number in COUNT frames for ever, so new ones come last.
macro_rules! counted {
    ($($name:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        enum What { $($name,)* }

        impl What {
            const ALL: &[What] = &[$(What::$name,)*];
        }
    };
}

counted! {
    Hits, SavedMs, Adds,
    MissNeverSeen, MissDropped, MissOtherExec, MissInputChanged, MissObjectGone, MissObjectDamaged,
    MissObjectUnreadable, MissDisabled, MissStoreUnreadable, MissMode,
    AgainMaxFiles, AgainMaxBytes, AgainIdleMax,
    SkipDisabled, SkipReadOnly, SkipSourceChanged, SkipNoSpace, SkipNoPermission, SkipTooBig, SkipNoRoom,
    SkipTooLong, SkipNewer, SkipBusy, SkipIo,
    EvictedMaxFiles, EvictedMaxBytes, EvictedIdleMax,
    Compared,
    Fetched, FetchedBytes, TierHasNot, TierFailed,
}

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Counts {
    /// Finds that gave an artifact.
    pub hits: u64,
    /// Sum of the recorded build times of all hits.
    pub saved: Duration,
    /// Artifacts stored.
    pub adds: u64,
    /// Finds that gave none, by reason.
    pub misses: Misses,
    /// Of these: the entry had been dropped by a limit not long before (the store remembers the last few hundred), so
    /// that a higher one would have kept it.
    pub asked_again: ByLimit,
    /// Artifacts not stored, by reason.
    pub skips: Skips,
    /// Entries dropped by a limit.
    pub evictions: ByLimit,
    /// Artifacts compared with what is stored ([`Mode::Compare`](crate::Mode::Compare)).
    pub compared: u64,
    /// Artifacts that came from the [tier](crate::Tier), and were stored.
    pub fetched: u64,
    /// Bytes of objects that came with them.
    pub fetched_bytes: u64,
    /// The tier had nothing, or nothing that was made from the same files.
    pub tier_misses: u64,
    /// The tier gave no answer, or one that was refused.
    pub tier_errors: u64,
}

/// The finds of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Day {
    /// Which day, counted from 1970-01-01 UTC. That on which a handle wrote down what it had counted: of one that lives
    /// long, not always that of the find.
    pub day: u32,
    /// Finds that gave an artifact.
    pub hits: u64,
    /// Finds that gave none.
    pub misses: u64,
}

impl From<DayCount> for Day {
    fn from(count: DayCount) -> Day {
        Day { day: count.day, hits: count.hits, misses: count.misses }
    }
}

/// Misses by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Misses {
    /// There was no entry, or none is remembered.
    pub never_seen: u64,
    /// There was an entry, and it was dropped.
    pub dropped: u64,
    /// Only other executables had made it.
    pub other_exec: u64,
    /// A file that the build had read beside its sources changed.
    pub input_changed: u64,
    /// An object was gone.
    pub object_gone: u64,
    /// An object was damaged, and set aside.
    pub object_damaged: u64,
    /// An object could not be opened or read.
    pub object_unreadable: u64,
    /// There was no store.
    pub disabled: u64,
    /// The store could not be read.
    pub store_unreadable: u64,
    /// The mode finds nothing.
    pub by_mode: u64,
}

impl Misses {
    /// All of them.
    pub fn sum(&self) -> u64 {
        let Misses { never_seen, dropped, other_exec, input_changed, object_gone, object_damaged, .. } = self;
        let Misses { object_unreadable, disabled, store_unreadable, by_mode, .. } = self;
        let by_entry = never_seen + dropped + other_exec + input_changed;
        by_entry + object_gone + object_damaged + object_unreadable + disabled + store_unreadable + by_mode
    }
}

/// Skipped adds by reason, as in [`Skip`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of `Skip`")]
pub struct Skips {
    pub disabled: u64,
    pub read_only: u64,
    pub source_changed: u64,
    pub no_space: u64,
    pub no_permission: u64,
    pub too_big: u64,
    pub no_room: u64,
    pub too_long: u64,
    pub newer: u64,
    pub busy: u64,
    pub io: u64,
}

impl Skips {
    /// All of them.
    pub fn sum(&self) -> u64 {
        let Skips { disabled, read_only, source_changed, no_space, no_permission, .. } = self;
        let Skips { too_big, no_room, too_long, newer, busy, io, .. } = self;
        let by_place = disabled + read_only + source_changed + no_space + no_permission;
        by_place + too_big + no_room + too_long + newer + busy + io
    }
}

/// A number for each limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct ByLimit {
    /// `max_files`.
    pub max_files: u64,
    /// `max_bytes`.
    pub max_bytes: u64,
    /// `idle_max`.
    pub idle_max: u64,
}

impl ByLimit {
    /// All of them.
    pub fn sum(&self) -> u64 {
        self.max_files + self.max_bytes + self.idle_max
    }
}

impl Counts {
    fn of(count: impl Fn(What) -> u64) -> Counts {
        Counts {
            hits: count(What::Hits),
            saved: Duration::from_millis(count(What::SavedMs)),
            adds: count(What::Adds),
            misses: Misses {
                never_seen: count(What::MissNeverSeen),
                dropped: count(What::MissDropped),
                other_exec: count(What::MissOtherExec),
                input_changed: count(What::MissInputChanged),
                object_gone: count(What::MissObjectGone),
                object_damaged: count(What::MissObjectDamaged),
                object_unreadable: count(What::MissObjectUnreadable),
                disabled: count(What::MissDisabled),
                store_unreadable: count(What::MissStoreUnreadable),
                by_mode: count(What::MissMode),
            },
            asked_again: ByLimit {
                max_files: count(What::AgainMaxFiles),
                max_bytes: count(What::AgainMaxBytes),
                idle_max: count(What::AgainIdleMax),
            },
            skips: Skips {
                disabled: count(What::SkipDisabled),
                read_only: count(What::SkipReadOnly),
                source_changed: count(What::SkipSourceChanged),
                no_space: count(What::SkipNoSpace),
                no_permission: count(What::SkipNoPermission),
                too_big: count(What::SkipTooBig),
                no_room: count(What::SkipNoRoom),
                too_long: count(What::SkipTooLong),
                newer: count(What::SkipNewer),
                busy: count(What::SkipBusy),
                io: count(What::SkipIo),
            },
            evictions: ByLimit {
                max_files: count(What::EvictedMaxFiles),
                max_bytes: count(What::EvictedMaxBytes),
                idle_max: count(What::EvictedIdleMax),
            },
            compared: count(What::Compared),
            fetched: count(What::Fetched),
            fetched_bytes: count(What::FetchedBytes),
            tier_misses: count(What::TierHasNot),
            tier_errors: count(What::TierFailed),
        }
    }
}

fn skipped(skip: &Skip) -> What {
    match skip {
        Skip::Disabled(_) => What::SkipDisabled,
        Skip::ReadOnly => What::SkipReadOnly,
        Skip::SourceChanged(_) => What::SkipSourceChanged,
        Skip::NoSpace => What::SkipNoSpace,
        Skip::NoPermission(_) => What::SkipNoPermission,
        Skip::TooBig { .. } => What::SkipTooBig,
        Skip::NoRoom => What::SkipNoRoom,
        Skip::TooLong => What::SkipTooLong,
        Skip::Newer => What::SkipNewer,
        Skip::Busy => What::SkipBusy,
        Skip::Io { .. } => What::SkipIo,
    }
}

/// The counters of one handle.
#[derive(Debug)]
pub(super) struct Counters {
    counted: [AtomicU64; What::ALL.len()],
    /// How much of it has been written down.
    written: Mutex<[u64; What::ALL.len()]>,
    /// Who counts: what a forked child has inherited is its parent's to write down.
    maker: OnceLock<Maker>,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            counted: std::array::from_fn(|_| AtomicU64::new(0)),
            written: Mutex::new([0; What::ALL.len()]),
            maker: OnceLock::new(),
        }
    }
}

impl Counters {
    fn add(&self, what: What, by: u64) {
        self.maker.get_or_init(Maker::here);
        self.counted[what as usize].fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn hit(&self, cost: Duration) {
        self.add(What::Hits, 1);
        self.add(What::SavedMs, u64::try_from(cost.as_millis()).unwrap_or(0));
    }

    pub(super) fn missed(&self, miss: &Miss) {
        self.add(
            match miss {
                Miss::Absent | Miss::NeverSeen => What::MissNeverSeen,
                Miss::Dropped(_) => What::MissDropped,
                Miss::OtherExec => What::MissOtherExec,
                Miss::InputChanged(_) => What::MissInputChanged,
                Miss::ObjectMissing(_) => What::MissObjectGone,
                Miss::ObjectDamaged(_) => What::MissObjectDamaged,
                Miss::ObjectUnreadable(_) => What::MissObjectUnreadable,
                Miss::Disabled(_) => What::MissDisabled,
                Miss::Unreadable(_) => What::MissStoreUnreadable,
                Miss::Mode => What::MissMode,
            },
            1,
        );
        if let Miss::Dropped(rule) = miss {
            match rule {
                DroppedBy::MaxFiles => self.add(What::AgainMaxFiles, 1),
                DroppedBy::MaxBytes => self.add(What::AgainMaxBytes, 1),
                DroppedBy::IdleMax => self.add(What::AgainIdleMax, 1),
                DroppedBy::Request | DroppedBy::Rejection => {}
            }
        }
    }

    pub(super) fn added(&self) {
        self.add(What::Adds, 1);
    }

    pub(super) fn fetched(&self, bytes: u64) {
        self.add(What::Fetched, 1);
        self.add(What::FetchedBytes, bytes);
    }

    pub(super) fn not_fetched(&self, said: &Said) {
        let what = match said {
            Said::Nothing | Said::InputChanged(_) => What::TierHasNot,
            Said::Failed(TierError::Off) => return,
            Said::Failed(_) => What::TierFailed,
            Said::NotStored(skip) => skipped(skip),
        };
        self.add(what, 1);
    }

    pub(super) fn not_added(&self, why: &NotAdded) {
        let what = match why {
            // The caller's mistake.
            NotAdded::NoOutput(_) => return,
            NotAdded::Compared(_) => What::Compared,
            NotAdded::Skipped(skip) => skipped(skip),
        };
        self.add(what, 1);
    }

    pub(super) fn evicted(&self, rule: DroppedBy, entries: u64) {
        match rule {
            DroppedBy::MaxFiles => self.add(What::EvictedMaxFiles, entries),
            DroppedBy::MaxBytes => self.add(What::EvictedMaxBytes, entries),
            DroppedBy::IdleMax => self.add(What::EvictedIdleMax, entries),
            DroppedBy::Request | DroppedBy::Rejection => {}
        }
    }

    fn now(&self) -> [u64; What::ALL.len()] {
        std::array::from_fn(|place| self.counted[place].load(Ordering::Relaxed))
    }

    /// What this handle has counted.
    pub(super) fn own(&self) -> Counts {
        let now = self.now();
        Counts::of(|what| now[what as usize])
    }

    /// What is written down, and what this handle has not yet.
    pub(super) fn with(&self, written_down: &manifest::Counts) -> Counts {
        let (now, written) = (self.now(), *self.written.lock().unwrap_or_else(PoisonError::into_inner));
        Counts::of(|what| {
            let place = what as usize;
            let down = written_down.get(&(what as u8)).copied().unwrap_or(0);
            down.saturating_add(now[place].saturating_sub(written[place]))
        })
    }

    /// Whether enough has gathered to be written down with an append that is made anyway.
    pub(super) fn is_due(&self) -> bool {
        self.gathered() >= GATHERED_MIN
    }

    /// Whether a handle that is dropped should write down what it has counted.
    pub(super) fn is_due_at_the_end(&self) -> bool {
        let has = |what: What| self.counted[what as usize].load(Ordering::Relaxed) > 0;
        has(What::Adds) || has(What::Fetched) || self.gathered() >= ENDED_MIN
    }

    /// How many finds, adds and evictions are not written down yet.
    fn gathered(&self) -> u64 {
        let written = *self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = self.now().into_iter().zip(written).enumerate();
        let sums = [What::SavedMs as usize, What::FetchedBytes as usize];
        let events = fresh.filter(|(place, _)| !sums.contains(place));
        events.map(|(_, (now, written))| now.saturating_sub(written)).sum()
    }

    /// The finds of the days on which they were written down; those that this handle has not yet are of `today`.
    pub(super) fn days(&self, written_down: Vec<DayCount>, today: u32) -> Vec<Day> {
        let mut days: Vec<Day> = written_down.into_iter().map(Day::from).collect();
        let own = finds(&self.unwritten(), today);
        if own.hits + own.misses > 0 {
            match days.iter_mut().find(|day| day.day == today) {
                Some(day) => {
                    day.hits = day.hits.saturating_add(own.hits);
                    day.misses = day.misses.saturating_add(own.misses);
                }
                None => days.push(own.into()),
            }
        }
        days
    }

    fn unwritten(&self) -> manifest::Counts {
        let (now, written) = (self.now(), *self.written.lock().unwrap_or_else(PoisonError::into_inner));
        gathered(&now, &written)
    }

    /// What is to be written down now, by `write`; if that fails it is tried again with what comes on top.
    pub(super) fn write_down<E>(
        &self,
        today: u32,
        write: impl FnOnce(&manifest::Counts, DayCount) -> Result<(), E>,
    ) {
        if !self.maker.get().is_some_and(|maker| maker.is_here()) {
            return;
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        let gathered = gathered(&now, &written);
        if !gathered.is_empty() && write(&gathered, finds(&gathered, today)).is_ok() {
            *written = now;
        }
    }
}

/// What has come on top of what is written down.
fn gathered(now: &[u64; What::ALL.len()], written: &[u64; What::ALL.len()]) -> manifest::Counts {
    let all = What::ALL.iter().map(|what| *what as usize);
    all.map(|place| (place as u8, now[place].saturating_sub(written[place])))
        .filter(|(_, number)| *number > 0)
        .collect()
}

/// The finds among what was counted.
fn finds(counts: &manifest::Counts, day: u32) -> DayCount {
    let misses = What::MissNeverSeen as u8..=What::MissMode as u8;
    DayCount {
        day,
        hits: counts.get(&(What::Hits as u8)).copied().unwrap_or(0),
        misses: counts.range(misses).map(|(_, number)| *number).fold(0, u64::saturating_add),
    }
}
