//! What layers need of a manifest: a segment that is the same whenever it is made of the same entries, and what the
//! store above them says of their entries.
//!
//! A segment of a layer has no log behind it. Its seed is a hash of all that it holds and so is no secret; but nobody
//! can choose a name that would pass for a frame under a seed that depends on that very name.

use super::{Manifest, build};
use crate::{
    digest::Hasher,
    error::Trouble,
    format::{
        frame::HEADER_SEED,
        record::{Put, PutId, Record, Stamp, Touch},
    },
    layout::ManifestName,
    planted::{self, Bug},
    sync::Arc,
};

/// The name and the bytes of the segment of a layer with these entries: in the order of their keys, without times, and
/// with put ids that are hashes.
pub(crate) fn layer_of(puts: &[Arc<Put>]) -> Result<(ManifestName, Vec<u8>), Trouble> {
    let too_long = || Trouble::of("write", "the layer".as_ref())(std::io::ErrorKind::FileTooLarge.into());
    let mut sorted: Vec<Put> = puts.iter().map(|put| without_times(put)).collect();
    sorted.sort_by_key(Put::identity);
    let mut all = Hasher::for_purpose("plugcache 2026-11-27 seed of a layer v1");
    let mut puts = Vec::with_capacity(sorted.len());
    for (put, order) in sorted.into_iter().zip(1..) {
        let record = Record::Put(Box::new(put.clone())).to_frame(HEADER_SEED).map_err(|_| too_long())?;
        all.field(&record);
        let mut id = Hasher::for_purpose("plugcache 2026-11-27 put id of a layer v1");
        id.update(&record);
        puts.push(Arc::new(Put { put_id: first_of(&id.finish()), order, ..put }));
    }
    let (first, last) = (1, 1);
    let bytes = build::build((first, last), first_of(&all.finish()), &puts).map_err(|_| too_long())?;
    Ok((ManifestName::Segment { first, last }, bytes))
}

fn without_times(put: &Put) -> Put {
    let mut put = Put { put_id: 0, order: 0, day: 0, made_ms: 0, cost_ms: 0, ..Put::clone(put) };
    put.outputs.iter_mut().for_each(|output| output.stamp = Stamp::default());
    put
}

fn first_of(digest: &[u8; 32]) -> u64 {
    digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Under which put id the store above a layer records what it has proved of an entry there. Not the entry's own: that may
/// be the id of another entry above.
fn vouching_id(put: &Put) -> PutId {
    let mut id = Hasher::for_purpose("plugcache 2026-11-27 vouching for a layer v1");
    id.update(&put.put_id.to_le_bytes()).field(&put.source).field(&put.exec);
    put.outputs.iter().for_each(|output| {
        id.field(&output.object);
    });
    first_of(&id.finish())
}

impl Manifest {
    /// Whether this manifest is a layer's that nobody can append to: no log lies behind its segment.
    pub(crate) fn is_static(&self) -> bool {
        let state = self.state();
        state.view.segment.is_some() && state.view.current.is_none() && state.view.highest_log().is_none()
    }

    /// Whether no file of a manifest was there.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().view.names.is_empty()
    }

    /// Whether what lies below is hidden under this source digest.
    pub(crate) fn is_masked(&self, source: &[u8; 32]) -> bool {
        let is_masked = self.state().view.of_source(source).iter().any(|put| put.is_mask());
        is_masked && !planted::is(Bug::MaskIgnored)
    }

    /// The entry of a layer, with the stamps that were recorded here.
    pub(crate) fn as_vouched(&self, put: Arc<Put>) -> Arc<Put> {
        let state = self.state();
        match state.view.table.touch_of(vouching_id(&put)) {
            Some(touch) if touch.stamps.len() == put.outputs.len() => {
                let mut vouched = Put::clone(&put);
                for (output, stamp) in vouched.outputs.iter_mut().zip(&touch.stamps) {
                    output.stamp = *stamp;
                }
                Arc::new(vouched)
            }
            _ => put,
        }
    }

    /// Records what was proved of an entry of a layer. A compaction forgets it, as a restart of the machine does: the
    /// objects are then hashed once more.
    pub(crate) fn vouch_below(&self, put: &Put, day: u32, stamps: Vec<Stamp>) {
        // No hit depends on it.
        let _ = self.append(&Record::Touch(Touch { put_id: vouching_id(put), day, stamps }));
    }
}
