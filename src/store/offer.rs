//! What goes to the tier: artifacts that were built here, the news that one is in use, and parcels on request.

use super::{Inner, Store, artifact::Artifact, report::Entry, tier::Parcel, tier::TierKey};
use crate::config::Mode;

impl Store {
    /// An entry as it travels, with a lease on its objects: for whoever brings a store's entries to a tier later than
    /// they were made. `None`: an object of it is missing or damaged, or the entry is too long to travel.
    ///
    /// The same build gives the same parcel in every store. A recorded path of a source is part of it.
    pub fn parcel(&self, entry: &Entry) -> Option<(TierKey, Parcel, Artifact)> {
        let inner = &*self.0;
        let own = inner.root().ok().flatten();
        let exec = inner.exec().unwrap_or_default();
        let artifact = own
            .iter()
            .chain(&inner.layers)
            .find_map(|root| inner.open_unasked(root, entry.put(), &exec).ok())?;
        let (key, parcel) = artifact.to_parcel()?;
        Some((key, parcel, artifact))
    }
}

impl Inner {
    /// Offers what was just built and committed here. Nobody waits for this caller any more. In the mode that compares,
    /// nothing is told to others.
    pub(super) fn offer(&self, artifact: &Artifact) {
        if let Some(tier) = self.tier.as_ref().filter(|_| self.config.mode() != Mode::Compare)
            && let Some((key, parcel)) = artifact.to_parcel()
        {
            tier.offer(&key, &parcel, artifact);
        }
    }

    /// Says that an entry is used for the first time today.
    pub(super) fn tell_used(&self, artifact: &Artifact) {
        if let Some(tier) = &self.tier
            && let Some((key, parcel)) = artifact.to_parcel()
        {
            tier.used(&key, &parcel, artifact);
        }
    }
}
