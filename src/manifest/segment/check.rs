//! A segment looked at as a whole: every frame, the index, the retention column.

use std::collections::HashMap;

use super::{Arc, FOOTER_BYTES, Put, Row, SLOT_BYTES, Segment};
use crate::{format::frame, manifest::ManifestFault};

impl Segment {
    /// How many entries are right, and what is wrong.
    pub(in crate::manifest) fn faults(&self) -> (u64, Vec<ManifestFault>) {
        let frames = &self.map[SLOT_BYTES..self.footer.index_at as usize];
        let (mut entries, mut right, mut faults) = (Vec::new(), 0, Vec::new());
        for (at, frame) in frame::Scan::new(frames, self.seed) {
            right += frame.bytes.len();
            let slot = u32::try_from(1 + at / SLOT_BYTES).ok();
            entries.extend(slot.and_then(|slot| Some((slot, self.put_at(slot)?))));
        }
        let bad = (frames.len() - right) / SLOT_BYTES;
        if bad > 0 {
            faults.push(ManifestFault::Frames { slots: bad as u64 });
        }
        let index = &self.map[self.footer.index_at as usize..self.footer.column_at as usize];
        let leads = entries
            .iter()
            .all(|(_, put)| self.probe(&put.source).iter().any(|found| found.put_id == put.put_id));
        if frame::sum(index, self.seed) != self.footer.index_sum || !leads {
            faults.push(ManifestFault::Index);
        }
        let column = &self.map[self.footer.column_at as usize..][..self.column_len()];
        let padding = &self.map[self.footer.column_at as usize + column.len()..self.map.len() - FOOTER_BYTES];
        let is_padded = padding.iter().all(|byte| *byte == 0);
        if frame::sum(column, self.seed) != self.footer.column_sum || !is_padded || !self.agrees(&entries) {
            faults.push(ManifestFault::Column);
        }
        (entries.len() as u64, faults)
    }

    /// Whether the column says of each entry what its frame says.
    fn agrees(&self, entries: &[(u32, Arc<Put>)]) -> bool {
        let rows: HashMap<u32, Row> = self.rows().into_iter().map(|row| (row.frame, row)).collect();
        entries.iter().all(|(slot, put)| rows.get(slot) == Some(&Row::of_put(put, *slot)))
    }
}
