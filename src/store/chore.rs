//! The sweep as a chore, for hosts that want it at a time of their choosing.

use std::time::Duration;

use super::{Inner, Store, count::ByLimit, explain::DroppedBy, root::Root};
use crate::{
    error::{Skip, StoreError},
    fs::Access,
    retention::Limits,
    sweep::{Sweep, Swept, Victims},
    sync::Arc,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a sweep keeps to, where not what the store was opened with.
///
/// ```
/// # use std::time::Duration;
/// use plugcache::SweepOptions;
/// let options = SweepOptions::new().max_files(100).idle_max(Duration::from_secs(30 * 86_400)).dry_run(true);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until they are given to `Store::sweep`"]
pub struct SweepOptions {
    max_files: Option<u64>,
    max_bytes: Option<u64>,
    idle_max: Option<Duration>,
    dry_run: bool,
}

impl SweepOptions {
    /// The limits that the store was opened with.
    pub fn new() -> SweepOptions {
        SweepOptions::default()
    }

    /// At most so many entries may be left.
    pub fn max_files(mut self, max_files: u64) -> Self {
        self.max_files = Some(max_files);
        self
    }

    /// The objects that entries name may take at most so many bytes together.
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = Some(max_bytes);
        self
    }

    /// Entries that were not used for longer than this go. Uses are known to the day, so an entry may stay up to a
    /// day longer, and never goes earlier.
    pub fn idle_max(mut self, idle_max: Duration) -> Self {
        self.idle_max = Some(idle_max);
        self
    }

    /// Nothing is changed, and the report says what would be.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// What a sweep did, or (dry) would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct SweepReport {
    /// Entries dropped, by rule.
    pub dropped: ByLimit,
    /// Sum of the lengths of what these entries named; what others name too stays.
    pub dropped_bytes: u64,
    /// Objects removed that no entry names. (0 in a dry run.)
    pub objects: u64,
    /// The bytes in them.
    pub bytes: u64,
    /// Objects without an entry that stay: in use, or younger than 15 minutes.
    pub kept: u64,
    /// Staged files, working directories and lock files of builds that killed processes had left behind.
    pub left_behind: u64,
    /// Files of the quarantine beyond the newest 16 or beyond 64 MiB.
    pub quarantined: u64,
}

impl SweepReport {
    fn of(victims: &Victims, swept: Swept) -> SweepReport {
        let mut report = SweepReport {
            objects: swept.objects,
            bytes: swept.bytes,
            kept: swept.kept,
            left_behind: swept.left_behind,
            quarantined: swept.quarantined,
            ..SweepReport::default()
        };
        for (reason, entries) in victims {
            let count = entries.len() as u64;
            match reason.rule().into() {
                DroppedBy::MaxFiles => report.dropped.max_files += count,
                DroppedBy::MaxBytes => report.dropped.max_bytes += count,
                _ => report.dropped.idle_max += count,
            }
            let bytes = entries.iter().fold(0u64, |sum, put| sum.saturating_add(put.bytes()));
            report.dropped_bytes = report.dropped_bytes.saturating_add(bytes);
        }
        report
    }
}

impl Store {
    /// Brings the store within limits, and removes what killed processes left behind: entries over `max_files` and
    /// `max_bytes` or unused for longer than `idle_max`, objects that no entry names, staged files, working
    /// directories and lock files that nobody holds, leftovers of the manifest, and the oldest of the quarantine.
    ///
    /// Adds keep the limits by themselves; this is for a quiet moment, or for limits of the caller's own. It holds
    /// nothing up: finds and adds of any process go on meanwhile, and no lock is held longer than one removal takes.
    /// What is in use stays, and so do objects younger than 15 minutes and files that are not the store's.
    ///
    /// # Errors
    /// The store is read-only, disabled, or was written by a later version; or the system refused an operation:
    /// what was done until then stays done, and the next sweep goes on.
    pub fn sweep(&self, options: SweepOptions) -> Result<SweepReport, StoreError> {
        let inner = &*self.0;
        let Some(root) = inner.root_or_disabled()? else {
            return Ok(SweepReport::default());
        };
        if root.access == Access::Read && !options.dry_run {
            return Err(StoreError::ReadOnly);
        }
        let idle_max = options.idle_max.or(inner.config.idle_max());
        let idle_before = idle_max.map(|idle_max| inner.idle_before(idle_max));
        let sweep = Sweep { limits: inner.limits(&options), ..inner.sweep(&root) };
        let swept = if options.dry_run {
            sweep.dry_chore(&root.dir, idle_before)
        } else {
            sweep.chore(&root.dir, idle_before)
        };
        let (victims, swept) = swept.map_err(|skip| could_not_sweep(&root, skip))?;
        if !options.dry_run {
            for (reason, entries) in &victims {
                inner.count_evicted(entries, reason.rule().into());
            }
        }
        Ok(SweepReport::of(&victims, swept))
    }
}

impl Inner {
    fn limits(&self, options: &SweepOptions) -> Limits {
        Limits {
            max_files: options.max_files.unwrap_or(self.config.max_files()),
            max_bytes: options.max_bytes.unwrap_or(self.config.max_bytes()),
        }
    }

    /// The first day on which a use keeps an entry.
    pub(super) fn idle_before(&self, idle_max: Duration) -> u32 {
        let days = u32::try_from(idle_max.as_secs().div_ceil(DAY.as_secs())).unwrap_or(u32::MAX);
        self.today().saturating_sub(days)
    }
}

fn could_not_sweep(root: &Arc<Root>, skip: Skip) -> StoreError {
    match skip {
        Skip::Newer => StoreError::Newer { path: root.path.clone() },
        Skip::Io { action, path, error } => {
            StoreError::Io { action, path: root.path.join(path), source: std::io::Error::other(error) }
        }
        skip => {
            let source = std::io::Error::other(skip.to_string());
            StoreError::Io { action: "sweep", path: root.path.clone(), source }
        }
    }
}
