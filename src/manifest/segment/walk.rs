//! Reading the entries of a segment while others use it: its bytes never change, so they are decoded without the lock
//! under which it lies, and only what is kept of them is looked up and put down under it.

use super::{Body, LISTED_MAX, Segment};
use crate::{format::record::Put, sync::Arc};

/// The bytes of a segment, and what reading them has shown.
pub(in crate::manifest) struct Walk {
    body: Arc<Body>,
    places: Option<Arc<[u32]>>,
    unknown: bool,
}

impl Walk {
    /// Where the entries start.
    pub(in crate::manifest) fn places(&mut self) -> Arc<[u32]> {
        self.places.get_or_insert_with(|| self.body.find_places(&mut self.unknown)).clone()
    }

    pub(in crate::manifest) fn put_at(&mut self, slot: u32) -> Option<Arc<Put>> {
        self.body.put_at(slot, &mut self.unknown).map(Arc::new)
    }
}

impl Segment {
    pub(in crate::manifest) fn walk(&self) -> Walk {
        Walk { body: self.body.clone(), places: self.places.clone(), unknown: false }
    }

    /// Whether what was listed stays in memory.
    pub(in crate::manifest) fn keeps_listed(&self) -> bool {
        self.body.footer.entries <= LISTED_MAX
    }

    /// The entry at this slot, if it was listed before and stayed.
    pub(in crate::manifest) fn listed(&self, slot: u32) -> Option<Option<Arc<Put>>> {
        self.listed.get(&slot).cloned()
    }

    /// Takes over what a walk through this segment has found.
    pub(in crate::manifest) fn note(&mut self, walk: &Walk, decoded: &[(u32, Option<Arc<Put>>)]) {
        self.unknown |= walk.unknown;
        if self.places.is_none() {
            self.places.clone_from(&walk.places);
        }
        if self.keeps_listed() {
            self.listed.extend(decoded.iter().cloned());
        }
    }
}
