//! What layers need of a manifest: a segment that is the same whenever it is made of the same entries, and what the
//! store above them says of their entries.
//!
//! A segment of a layer has no log behind it. Its seed is a hash of all that it holds and so is no secret; but nobody
//! can choose a name that would pass for a frame under a seed that depends on that very name.

use std::time::SystemTime;

use super::{Manifest, View, build, view::Live};
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

/// What was proved of so many entries of layers outlives a compaction (64 KiB of the log for entries of one or two
/// objects) ..
const VOUCHED_MAX: usize = 512;
/// .. if it is not older than this: nobody can tell whether the layer is still in use.
const VOUCHED_DAYS_MAX: u32 = 365;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// The name and the bytes of the segment of a layer with these entries: in the order of their keys, without times, and
/// with put ids that are hashes.
pub(crate) fn layer_of(puts: &[Arc<Put>]) -> Result<(ManifestName, Vec<u8>), Trouble> {
    let too_long = || Trouble::of("write", "the layer".as_ref())(std::io::ErrorKind::FileTooLarge.into());
    let mut sorted: Vec<Put> = puts.iter().map(|put| put.without_times()).collect();
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

impl View {
    /// Whether what lies below, or comes from there, is hidden under this source digest.
    pub(super) fn is_masked(&mut self, source: &[u8; 32]) -> bool {
        self.all_of_source(source).iter().any(|put| put.is_mask())
    }

    /// What was proved, on this day or later, of entries that are none of this manifest's, of which these are `live`: the
    /// latest first.
    pub(super) fn vouched_below(&self, live: &[Live], since: u32) -> Vec<Touch> {
        let mut vouched = self.table.vouched_elsewhere(since);
        if !vouched.is_empty() {
            live.iter().for_each(|live| {
                vouched.remove(&live.put_id);
            });
        }
        let mut vouched: Vec<_> = vouched.into_values().cloned().collect();
        vouched.sort_unstable_by_key(|touch| std::cmp::Reverse((touch.day, touch.put_id)));
        vouched.truncate(VOUCHED_MAX);
        vouched
    }
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
        self.state().view.is_masked(source) && !planted::is(Bug::MaskIgnored)
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

    /// What was proved of layers before this day goes with the next compaction.
    pub(super) fn year_ago(&self) -> u32 {
        let since = self.fs.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let today = u32::try_from(since.as_secs() / DAY_SECONDS).unwrap_or(u32::MAX);
        today.saturating_sub(VOUCHED_DAYS_MAX)
    }

    /// Records what was proved of an entry of a layer. A compaction carries the latest [`VOUCHED_MAX`] of a year over
    /// into the log that goes on; a restart of the machine, or what a compaction leaves out, costs one hashing more.
    pub(crate) fn vouch_below(&self, put: &Put, day: u32, stamps: Vec<Stamp>) {
        // No hit depends on it.
        let _ = self.append(&Record::Touch(Touch { put_id: vouching_id(put), day, stamps }));
    }
}
