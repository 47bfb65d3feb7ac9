//! Layers: read-only stores below this one, looked at in their order where this one has no entry.
//!
//! Nothing is ever written to one (I17). What is to be recorded of it goes into the store above: that its objects were
//! proved right, and that an entry was forgotten.

use std::collections::HashMap;

use super::{
    Inner,
    artifact::Artifact,
    explain::{Explanation, Why},
    find::own_first,
    observe::Miss,
    root::Root,
    transfer::store_error,
};
use crate::{
    config::Mode,
    error::StoreError,
    format::record::{Put, PutId, Record, Stamp},
    fs::Access,
    sources::Sources,
    sync::Arc,
};

impl Inner {
    /// The layers that may be asked for these sources: none if `upper` hides them.
    pub(super) fn layers_of(&self, upper: Option<&Root>, sources: &Sources) -> impl Iterator<Item = &Root> {
        let hidden = !self.layers.is_empty()
            && upper.is_some_and(|upper| upper.manifest.is_masked(sources.digest().as_bytes()));
        let layers = if hidden || self.why_disabled().is_some() { &[][..] } else { &self.layers[..] };
        layers.iter().map(|layer| &**layer)
    }

    /// What a layer has of these sources, where the store above has nothing, for the reason `own`.
    pub(super) fn find_below(
        &self,
        sources: &Sources,
        except: &[PutId],
        own: Miss,
    ) -> Result<Artifact, Miss> {
        let upper = self.root().ok().flatten();
        let exec = self.exec().map_err(Miss::Unreadable)?;
        if self.layers_of(upper.as_deref(), sources).next().is_none() {
            return Err(own);
        }
        let (mut inputs, mut why) = (HashMap::new(), own);
        for layer in &self.layers {
            if !layer.manifest.is_static() && layer.manifest.refresh().is_err() {
                continue;
            }
            let mut puts = layer.manifest.of_source(sources.digest().as_bytes());
            puts.retain(|put| !except.contains(&put.put_id));
            own_first(&mut puts, &exec, self.config.try_old_cache_with_new_exec() && except.is_empty());
            for put in puts {
                let put = upper
                    .as_ref()
                    .map_or_else(|| put.clone(), |upper| upper.manifest.as_vouched(put.clone()));
                match self.open_entry(layer, put.clone(), sources, &exec, &mut inputs) {
                    Ok(artifact) => return Ok(self.promoted(layer, &put, sources).unwrap_or(artifact)),
                    Err(reason) if matches!(why, Miss::NeverSeen | Miss::Absent | Miss::Dropped(_)) => {
                        why = reason
                    }
                    Err(_) => {}
                }
            }
        }
        Err(why)
    }

    /// The entry of a layer that a find would hit, where the store above has none.
    pub(super) fn explain_below(&self, sources: &Sources) -> Option<Explanation> {
        let upper = self.root().ok().flatten();
        let exec = self.exec().ok()?;
        self.layers_of(upper.as_deref(), sources).next()?;
        self.layers.iter().find_map(|layer| {
            if !layer.manifest.is_static() {
                layer.manifest.refresh().ok()?;
            }
            let mut puts = layer.manifest.of_source(sources.digest().as_bytes());
            own_first(&mut puts, &exec, self.config.try_old_cache_with_new_exec());
            if let Some(upper) = &upper {
                puts = puts.into_iter().map(|put| upper.manifest.as_vouched(put)).collect();
            }
            Some(self.explain_found(layer, &puts, sources)).filter(|found| matches!(found.why, Why::Hit))
        })
    }

    /// The copy that was made above of what was found below, if there is to be one.
    fn promoted(&self, layer: &Root, put: &Put, sources: &Sources) -> Option<Artifact> {
        if !self.config.promote() || self.config.mode() == Mode::RequireHit {
            return None;
        }
        let root = self.root_for_writing().ok()?;
        self.take_in(&root, layer, put, true).ok()?;
        self.find_once(sources, &[]).ok()
    }

    /// Records above what was proved of an entry below.
    pub(super) fn vouch_above(&self, put: &Put, stamps: Vec<Stamp>) {
        // Opening or reading makes no store.
        let upper = self.root().ok().flatten().filter(|upper| upper.access == Access::Append);
        if let Some(upper) = upper.filter(|_| !stamps.is_empty()) {
            upper.manifest.vouch_below(put, self.today(), stamps);
        }
    }

    /// Hides a source digest of the layers, if they have it and it is not hidden yet, and of a tier; how many entries of
    /// layers that are.
    pub(super) fn mask(&self, source: &[u8; 32]) -> Result<usize, StoreError> {
        let mut below = 0;
        for layer in &self.layers {
            if !layer.manifest.is_static() {
                // What cannot be read is not found either; what was read before is counted.
                let _ = layer.manifest.refresh();
            }
            below += layer.manifest.of_source(source).len();
        }
        let is_masked = |root: &Arc<Root>| root.manifest.is_masked(source);
        // Nobody knows what a tier has, or will have.
        let is_reached = below > 0 || (self.tier.is_some() && self.may_keep_more());
        if !is_reached || self.root().ok().flatten().as_ref().is_some_and(is_masked) {
            return Ok(0);
        }
        let root =
            self.root_for_writing().map_err(|skip| store_error("write to", self.config.dir(), skip))?;
        let failed = |why| super::repair::refused(&root, "hide an entry in", why);
        let random = self
            .fs
            .random()
            .map_err(crate::error::Trouble::of("ask for random bytes", "getrandom".as_ref()))?;
        let mask = Put::mask(*source, u64::from_le_bytes(random), self.today());
        root.manifest.append(&Record::Put(Box::new(mask))).map_err(failed)?;
        Ok(below)
    }
}
