//! What a power cut may leave of one file.
//!
//! Of the un-synced changes, in order: all or none; the first ones; the first ones and a part of the next
//! write; the length of all and the bytes of some. Mode and times survive on their own. Of a file with many
//! un-synced writes the first and the last ones are tried, not each.

use super::{
    inode::{Body, Change, FileBody, Inode, Left, Meta},
    power::Standard,
};
use std::{fmt, sync::Arc};

/// Un-synced writes that are tried one by one: so many of the first, and so many of the last.
const FIRST: usize = 4;
const LAST: usize = 8;

/// One survival of a file.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) meta: Meta,
    what: String,
    standards: Vec<Standard>,
}

impl Outcome {
    /// Whether it is what a standard cut leaves.
    pub(super) fn is(&self, standard: Standard) -> bool {
        self.standards.contains(&standard)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes", self.what, self.bytes.len())
    }
}

/// All survivals of a file, each once; the first is that nothing survived. None for other inodes.
pub(super) fn outcomes(inode: &Inode) -> Vec<Outcome> {
    let Body::File(file) = &inode.body else { return Vec::new() };
    let mut all = All { file, list: Vec::new() };
    let (old, new) = (file.durable_meta, inode.meta);
    all.add(file.durable.clone(), old, Some(Standard::Nothing), || "as synced".into());
    all.add(file.whole(), new, Some(Standard::Everything), || "whole".into());
    all.add(file.durable.clone(), new, Some(Standard::Names), || "old bytes, new mode and times".into());
    let zeros = file.replay(|_| Some(Left::Length)).0;
    all.add(zeros, new, Some(Standard::Lengths), || "all new bytes zeros".into());
    all.add(file.whole(), old, None, || "new bytes, old mode and times".into());
    all.add_prefixes();
    all.add_holes(new);
    all.list
}

struct All<'a> {
    file: &'a FileBody,
    list: Vec<Outcome>,
}

impl All<'_> {
    /// Adds a survival, or lets an equal one stand for it.
    fn add(
        &mut self,
        bytes: Arc<Vec<u8>>,
        meta: Meta,
        standard: Option<Standard>,
        what: impl FnOnce() -> String,
    ) {
        let equal = self.list.iter_mut().find(|known| known.meta.is_like(&meta) && known.bytes == bytes);
        match equal {
            Some(known) => known.standards.extend(standard),
            None => {
                let standards = standard.into_iter().collect();
                self.list.push(Outcome { bytes, meta, what: what(), standards });
            }
        }
    }

    /// The changes that are looked at one by one.
    fn chosen(&self) -> Vec<usize> {
        let count = self.file.pending.len();
        (0..count).filter(|number| *number < FIRST || *number + LAST >= count).collect()
    }

    /// The first changes, and perhaps a part of the next one.
    fn add_prefixes(&mut self) {
        for at in self.chosen() {
            let (bytes, meta) = self.file.replay(|number| (number < at).then_some(Left::Whole));
            self.add(bytes, meta, None, || format!("the first {at} changes"));
            let Some(Change::Write { bytes: new, .. }) = self.file.pending.get(at) else { continue };
            for keep in cut_lengths(new.len()) {
                let (bytes, meta) = self.file.replay(|number| match number {
                    _ if number < at => Some(Left::Whole),
                    _ if number == at => Some(Left::Prefix(keep)),
                    _ => None,
                });
                self.add(bytes, meta, None, || format!("the first {at} changes and {keep} bytes"));
            }
        }
    }

    /// The length of all, and of the bytes all but one write, or only one, or half of one.
    fn add_holes(&mut self, meta: Meta) {
        for at in self.chosen() {
            let Some(Change::Write { bytes: new, .. }) = self.file.pending.get(at) else { continue };
            let half = half(new.len());
            let with = |one: Left, others: Left| move |number| Some(if number == at { one } else { others });
            let (hole, _) = self.file.replay(with(Left::Length, Left::Whole));
            let (alone, _) = self.file.replay(with(Left::Whole, Left::Length));
            let (part, _) = self.file.replay(with(Left::LengthAnd(half), Left::Whole));
            self.add(hole, meta, None, || format!("change {at} zeros"));
            self.add(alone, meta, None, || format!("all but change {at} zeros"));
            self.add(part, meta, None, || format!("change {at} zeros after {half} bytes"));
        }
    }
}

/// A slot boundary in the middle of a write, or just the middle.
fn half(len: usize) -> usize {
    if len >= 128 { len / 2 / 64 * 64 } else { len / 2 }
}

/// The lengths that the last surviving write may have besides none and all.
fn cut_lengths(len: usize) -> Vec<usize> {
    let mut lengths = vec![1, half(len), len.saturating_sub(1)];
    lengths.retain(|keep| (1..len).contains(keep));
    lengths.dedup();
    lengths
}
