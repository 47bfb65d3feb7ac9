//! Entries that go by request, or because nothing may stay.

use super::{Artifact, DroppedBy, Inner, Store, root::Root};
use crate::{
    digest::SourceDigest,
    error::{Skip, StoreError},
    format::record::{DropReason, Put},
    fs::Access,
    manifest::Refused,
    planted::{self, Bug},
    sync::Arc,
};

impl Store {
    /// Drops every entry under this source digest, whoever made it, and says how many there were. Those of layers are
    /// hidden from this store, for good. If this handle has a tier, the store does not take anything from any tier under
    /// this source digest from now on, whoever asks.
    pub fn forget(&self, source: &SourceDigest) -> Result<usize, StoreError> {
        let source = source.as_bytes();
        let drop = || self.0.drop_where(DropReason::Forgotten, |root| root.manifest.all_of_source(source));
        // Hidden below first: killed in between, the newest is found as before, and not an older one that comes to light.
        // And what a find brings here meanwhile stands either before the mask, and is dropped, or is hidden by it.
        if planted::is(Bug::DroppedBeforeMasked) {
            return Ok(drop()? + self.0.mask(source)?);
        }
        let below = self.0.mask(source)?;
        Ok(drop()? + below)
    }

    /// Drops every entry, and says how many there were. Open artifacts stay usable. The entries of layers are found as
    /// before, unless they were forgotten, and those of a tier are fetched as before.
    pub fn clear(&self) -> Result<usize, StoreError> {
        self.0.drop_where(DropReason::Forgotten, |root| root.manifest.entries())
    }

    /// Says that an artifact does not load, so that the next request builds it anew; `why` is recorded for
    /// people. `false` if it had no entry (any more) or the store cannot be changed.
    pub fn reject(&self, artifact: &Artifact, why: &str) -> bool {
        let Some(put) = artifact.put().filter(|_| artifact.is_stored()) else {
            return false;
        };
        if artifact.is_of_layer() {
            return self.0.mask(&put.source).is_ok_and(|hidden| hidden > 0);
        }
        if put.brought {
            // Else the next find would bring it once more. If it cannot be hidden, dropping it is better than nothing.
            let _ = self.0.mask(&put.source);
        }
        let of_it = |root: &Root| {
            let mut found = root.manifest.all_of_source(&put.source);
            found.retain(|entry| entry.put_id == put.put_id);
            found
        };
        self.0.drop_where(DropReason::Rejected(shortened(why)), of_it).is_ok_and(|dropped| dropped > 0)
    }
}

impl Inner {
    pub(super) fn drop_where(
        &self,
        reason: DropReason,
        which: impl FnOnce(&Root) -> Vec<Arc<Put>>,
    ) -> Result<usize, StoreError> {
        let Some(root) = self.root_or_disabled()? else {
            return Ok(0);
        };
        if root.access == Access::Read {
            return Err(StoreError::ReadOnly);
        }
        let refused = |skip: Skip| StoreError::Io {
            action: "drop entries of",
            path: root.path.clone(),
            source: std::io::Error::other(skip.to_string()),
        };
        root.manifest.uncover().map_err(|why| match why {
            Refused::Trouble(trouble) => trouble.into(),
            Refused::Foreign => StoreError::Newer { path: root.path.clone() },
            why => refused(why.into()),
        })?;
        let entries = which(&root);
        self.sweep(&root).drop_entries(&entries, &reason).map_err(refused)?;
        Ok(entries.len())
    }

    /// A limit of no files holds after every add too: what an earlier, higher one let in goes.
    pub(super) fn evict_all(&self) {
        let mut all = Vec::new();
        let which = |root: &Root| {
            if !root.manifest.is_partly_unknown() {
                all = root.manifest.entries();
            }
            all.clone()
        };
        // Where it cannot be done now, the next add tries again.
        if self.drop_where(DropReason::MaxFiles, which).is_ok() {
            self.count_evicted(&all, DroppedBy::MaxFiles);
        }
    }
}

/// As much of a text for people as a record has room for.
fn shortened(text: &str) -> String {
    const BYTES_MAX: usize = 512;
    text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= BYTES_MAX).map(|(_, c)| c).collect()
}
