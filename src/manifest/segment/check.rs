//! A segment looked at as a whole: every frame, the items, the index.

use super::{FOOTER_BYTES, SEGMENT_SLOT_BYTES, SLOT_BYTES, Segment, item_of};
use crate::{format::frame, manifest::ManifestFault};

impl Segment {
    /// How many entries are right, and what is wrong.
    pub(in crate::manifest) fn faults(&mut self) -> (u64, Vec<ManifestFault>) {
        let body = self.body.clone();
        let frames = &body.entry_frames()[SLOT_BYTES..];
        let (mut entries, mut right, mut leads) = (0, 0, true);
        for (at, frame) in frame::Scan::of_segment(frames, body.seed) {
            let slot = u32::try_from((SLOT_BYTES + at) / SEGMENT_SLOT_BYTES).ok();
            let put = slot.and_then(|slot| self.put_at(slot));
            // One whose strings are damaged in both copies is not there.
            let Some(put) = put.filter(|put| put.spilled().is_some() || put.details().is_some()) else {
                continue;
            };
            (entries, right) = (entries + 1, right + frame.bytes.len());
            let found = self.look_up(&put.source);
            leads &= found.is_some_and(|found| found.as_slice().iter().any(|it| it.put_id == put.put_id));
        }
        let mut faults = Vec::new();
        if right < frames.len() {
            faults.push(ManifestFault::Frames { bytes: (frames.len() - right) as u64 });
        }
        let copies = [0, 1].map(|copy| {
            let items = body.items(copy);
            let found = frame::Scan::of_segment(items, body.seed);
            let right = found.filter(|(at, frame)| {
                item_of(frame).is_some_and(|(number, _)| number == (at / SEGMENT_SLOT_BYTES) as u64)
            });
            right.map(|(_, frame)| frame.bytes.len()).sum::<usize>() == items.len()
        });
        if copies != [true, true] {
            faults.push(ManifestFault::Items);
        }
        let padding = &body.map[body.index_at() + body.index().len()..body.map.len() - FOOTER_BYTES];
        let is_padded = padding.iter().all(|byte| *byte == 0);
        if frame::sum(body.index(), body.seed) != body.footer.index_sum || !leads || !is_padded {
            faults.push(ManifestFault::Index);
        }
        (entries, faults)
    }
}
