//! Looking after a store: everything read and proved, and the manifest written anew.

use std::time::Duration;

use super::{Store, root::Root};
use crate::{
    error::{Skip, StoreError},
    fs::Access,
    manifest::{ManifestDamage, NoView, Rebuilt, Refused},
    scrub::{Scrub, ScrubOptions, ScrubReport},
};

impl Store {
    /// Reads everything in the store and proves it: every object is hashed, every frame of the manifest and the
    /// index of its body are checked.
    ///
    /// A damaged object is set aside (at most 16 files or 64 MiB of these are kept), and its entries are misses from
    /// then on, as a find would have it. What cannot be read, is in use, or is a stranger's file stays. A store that
    /// was opened read-only is not written to. Others may use the store meanwhile, and scrub it too.
    ///
    /// It finds what [`Verify::OncePerBoot`](crate::Verify::OncePerBoot) does not look for: bits that rot while the
    /// machine is up. Its cost is that of reading all objects once.
    ///
    /// # Errors
    /// The manifest cannot be listed or opened, or there is no store. What is wrong with a file is no error but a
    /// line of the report.
    ///
    /// ```
    /// # fn main() -> anyhow::Result<()> {
    /// use plugcache::{Config, ScrubOptions, Store};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(Config::new(dir.path().join("store")))?;
    /// let mut tell = |at: &plugcache::ScrubProgress| println!("{:.0} %", 100.0 * at.fraction());
    /// let report = store.scrub(ScrubOptions::new().bytes_per_second(50 << 20).progress(&mut tell))?;
    /// assert!(report.is_clean());
    /// # Ok(())
    /// # }
    /// ```
    pub fn scrub(&self, options: ScrubOptions<'_>) -> Result<ScrubReport, StoreError> {
        let inner = &*self.0;
        let Some(root) = inner.root_or_disabled()? else {
            return Ok(ScrubReport::default());
        };
        let scrub = Scrub {
            fs: &inner.fs,
            v1: &root.dir,
            objects: &root.objects,
            manifest: &root.manifest,
            is_writable: root.access == Access::Append,
        };
        scrub.run(options).map_err(|none| unviewed(&root, none))
    }
}

/// How long a compaction of somebody else is waited for.
const COMPACTION_WAIT: Duration = Duration::from_secs(5);
const COMPACTION_POLL: Duration = Duration::from_millis(10);

/// What [`Store::rebuild`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RebuildReport {
    /// Entries that the store has now.
    pub entries: u64,
    /// How many of them no reader saw before.
    pub salvaged: u64,
    /// What was wrong with the manifest before.
    pub damage: Vec<ManifestDamage>,
}

impl Store {
    /// Writes the manifest anew, as one file, from whatever of it can be read: also from a log whose header is
    /// damaged, from a segment without a right header, footer or index, and across missing logs. For a store whose
    /// [`scrub`](Store::scrub) reports a damaged manifest; without damage it only compacts.
    ///
    /// No entry that could be found before is lost, by whatever this is interrupted. What was forgotten or rejected
    /// stays so, unless it was out of sight then, behind the damage, or the damage has taken the record of it. An
    /// entry is as right as any other: its objects are proved when it is used.
    ///
    /// A store with a damaged manifest also works without this. Its hidden entries are misses, and the next compaction
    /// (after at most 1,400 new entries) makes that final.
    ///
    /// # Errors
    /// The store is read-only, or a later version wrote to it, or the system refuses. Somebody else compacts, and does
    /// not end within 5 seconds.
    pub fn rebuild(&self) -> Result<RebuildReport, StoreError> {
        let inner = &*self.0;
        let Some(root) = inner.root_or_disabled()? else {
            return Ok(RebuildReport::default());
        };
        if root.access == Access::Read {
            return Err(StoreError::ReadOnly);
        }
        let failed = |why| refused(&root, "rebuild the manifest of", why);
        let damage = root.manifest.check()?.damage;
        root.manifest.refresh().map_err(|none| unviewed(&root, none))?;
        if root.manifest.is_partly_unknown() {
            return Err(failed(Refused::Foreign));
        }
        let mut waited = Duration::ZERO;
        loop {
            if let Some(Rebuilt { entries, salvaged }) = root.manifest.rebuild().map_err(failed)? {
                return Ok(RebuildReport { entries, salvaged, damage });
            }
            if waited >= COMPACTION_WAIT {
                return Err(failed(Refused::Busy));
            }
            inner.fs.pause(COMPACTION_POLL);
            waited += COMPACTION_POLL;
        }
    }
}

/// The manifest could not be looked at.
pub(super) fn unviewed(root: &Root, none: NoView) -> StoreError {
    refused(root, "read the manifest of", none.into())
}

/// The manifest could not be changed.
pub(super) fn refused(root: &Root, action: &'static str, why: Refused) -> StoreError {
    match why {
        Refused::Trouble(trouble) => trouble.into(),
        Refused::Foreign => StoreError::Newer { path: root.path.clone() },
        why => {
            let source = std::io::Error::other(Skip::from(why).to_string());
            StoreError::Io { action, path: root.path.clone(), source }
        }
    }
}
