//! How much there is, without a look at each entry: what the segment's footer says, without those of its entries that
//! the logs have dropped or replaced, and what the logs hold.
//!
//! Each DROP and PUT of the logs is looked up in the segment once, and only when somebody asks.

use std::collections::HashSet;

use super::{segment::Segment, table::Table, table::Uniform};
use crate::{
    format::record::{KeyStart, PutId},
    sync::Arc,
};

/// What a record of a log may have done to the segment's entries.
#[derive(Debug)]
pub(super) enum Fresh {
    Put([u8; 32]),
    Dropped(PutId, KeyStart),
}

/// How much a manifest holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// How many entries.
    pub(crate) entries: u64,
    /// Lengths of the objects that they name: at least as many as that is, for one that several name may count for each.
    pub(crate) bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// Entries of the segment that count no more.
    hidden: HashSet<PutId, Uniform>,
    hidden_bytes: u64,
    /// How many bytes were found to count more than once, and how many had gone by then: what goes later may be of them.
    shared: (u64, u64),
}

impl Sizes {
    pub(super) fn size(&mut self, segment: Option<&mut Segment>, table: &mut Table) -> Size {
        let fresh = std::mem::take(&mut table.fresh);
        let (mut entries, mut bytes) = (table.len() as u64, table.bytes());
        if let Some(segment) = segment {
            fresh.into_iter().for_each(|fresh| self.settle(segment, table, fresh));
            entries += segment.footer().entries.saturating_sub(self.hidden.len() as u64);
            bytes = bytes.saturating_add(segment.footer().bytes.saturating_sub(self.hidden_bytes));
        }
        let gone_since = self.gone(table).saturating_sub(self.shared.1);
        Size { entries, bytes: bytes.saturating_sub(self.shared.0.saturating_sub(gone_since)) }
    }

    fn settle(&mut self, segment: &mut Segment, table: &mut Table, fresh: Fresh) {
        let hidden: Vec<_> = match fresh {
            Fresh::Put(source) => {
                let of_source = segment.probe(&source).iter();
                of_source.filter(|put| table.over_segment(put).is_none()).cloned().collect()
            }
            Fresh::Dropped(put_id, key) => {
                segment.probe_id(&key.source, put_id).map(Arc::new).into_iter().collect()
            }
        };
        for put in hidden {
            if self.hidden.insert(put.put_id) {
                self.hidden_bytes = self.hidden_bytes.saturating_add(put.bytes());
            }
        }
    }

    /// Sum of the lengths of all that is gone; right after [`size`](Sizes::size).
    pub(super) fn gone(&self, table: &Table) -> u64 {
        self.hidden_bytes.saturating_add(table.gone_bytes)
    }

    /// Somebody has looked at every entry: so many bytes counted more than once when so many were gone.
    pub(super) fn note_shared(&mut self, bytes: u64, gone: u64) {
        self.shared = (bytes, gone);
    }
}
