//! Writing a segment: entries one after the other, in pieces, so that a million of them take little memory.

use std::collections::HashMap;

use super::segment::{FOOTER_BYTES, INDEX_SLOT_BYTES, place_of};
use crate::{
    format::{
        frame::{
            self, HEADER_SEED, Kind, PAYLOAD_BYTES_MAX, PREFIX_BYTES, SEGMENT_SLOT_BYTES, SLOT_BYTES, TooLong,
        },
        put,
        record::{FileKind, Footer, Header, Put, Record},
    },
    sync::Arc,
};

/// A longer string never becomes an item.
const ITEM_BYTES_MAX: usize = 4096;
/// All items together, once.
const ITEMS_BYTES_MAX: usize = 16 << 20;
/// How many strings are counted at most; beyond, only those that were met before.
const COUNTED_MAX: usize = 1 << 20;

/// Why a segment cannot be built.
#[derive(Debug)]
pub(super) enum Unbuildable {
    /// A record does not fit a frame: it came from one, so this is not expected.
    TooLong,
    /// More than 2^32 slots (32 GiB of frames).
    TooMany,
}

impl From<TooLong> for Unbuildable {
    fn from(_: TooLong) -> Self {
        Unbuildable::TooLong
    }
}

/// How often strings occur, to tell which are worth an item.
#[derive(Debug, Default)]
pub(super) struct Counted(HashMap<u64, u32>);

impl Counted {
    /// Counts the strings of an entry.
    pub(super) fn add(&mut self, put: &Put) {
        put::encode(put, &mut |string| {
            let hash = frame::sum(string, 0);
            if self.0.len() < COUNTED_MAX || self.0.contains_key(&hash) {
                let count = self.0.entry(hash).or_insert(0);
                *count = count.saturating_add(1);
            }
            None
        });
    }

    /// Whether two copies of it and a number of three bytes at each place are shorter than the string everywhere.
    fn pays(&self, string: &[u8]) -> bool {
        let len = string.len();
        let item = (PREFIX_BYTES + 3 + len).next_multiple_of(SEGMENT_SLOT_BYTES);
        let uses = self.0.get(&frame::sum(string, 0)).copied().unwrap_or(0) as usize;
        len <= ITEM_BYTES_MAX && uses.saturating_mul((len + 1).saturating_sub(3)) > 2 * item
    }
}

/// A segment in the making. Its bytes are taken away as they come.
#[derive(Debug)]
pub(super) struct Builder {
    name: (u64, u64),
    seed: u64,
    counted: Counted,
    /// What was not taken away yet.
    bytes: Vec<u8>,
    /// How many bytes were.
    taken: usize,
    items: Vec<u8>,
    numbers: HashMap<Box<[u8]>, u64>,
    /// Key and frame of each entry.
    places: Vec<([u8; 12], u32)>,
    /// Sum of the lengths of the outputs.
    sum: u64,
}

impl Builder {
    pub(super) fn new(name: (u64, u64), seed: u64, counted: Counted) -> Result<Builder, Unbuildable> {
        let header = Header { file: FileKind::Segment, seed, compat: 0, ro_compat: 0, incompat: 0 };
        Ok(Builder {
            name,
            seed,
            counted,
            bytes: Record::Header(header).to_frame(HEADER_SEED)?,
            taken: 0,
            items: Vec::new(),
            numbers: HashMap::new(),
            places: Vec::new(),
            sum: 0,
        })
    }

    /// Puts an entry behind those before.
    pub(super) fn add(&mut self, put: &Put) -> Result<(), Unbuildable> {
        let slot = (self.taken + self.bytes.len()) / SEGMENT_SLOT_BYTES;
        let slot = u32::try_from(slot).map_err(|_| Unbuildable::TooMany)?;
        let Builder { seed, counted, bytes, items, numbers, .. } = self;
        let payload = put::encode(put, &mut |string| number_of(string, *seed, counted, items, numbers));
        frame::encode_to(bytes, (Kind::Entry as u8, 0), &payload, *seed, SEGMENT_SLOT_BYTES)?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = put.source;
        self.places.push(([a, b, c, d, e, f, g, h, i, j, k, l], slot));
        self.sum = put.bytes().saturating_add(self.sum);
        Ok(())
    }

    /// What has come together, to be written before anything else is.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.bytes);
        self.taken += bytes.len();
        bytes
    }

    /// How much there is to be taken.
    pub(super) fn waiting(&self) -> usize {
        self.bytes.len()
    }

    /// The rest of the segment.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Unbuildable> {
        let items_at = self.taken + self.bytes.len();
        for _ in 0..2 {
            self.bytes.extend_from_slice(&self.items);
        }
        let index = self.index();
        self.bytes.extend_from_slice(index.as_flattened());
        let end = self.taken + self.bytes.len();
        self.bytes.resize(end.next_multiple_of(SLOT_BYTES) - self.taken, 0);
        let footer = Footer {
            first: self.name.0,
            last: self.name.1,
            entries: self.places.len() as u64,
            items_at: items_at as u64,
            items_len: self.items.len() as u64,
            index_slots: index.len() as u64,
            index_sum: frame::sum(index.as_flattened(), self.seed),
            bytes: self.sum,
        };
        let footer = Record::Footer(footer).to_frame(self.seed)?;
        debug_assert_eq!(footer.len(), FOOTER_BYTES);
        self.bytes.extend(footer);
        Ok(self.bytes)
    }

    /// Open addressing with linear probing; at most 0.7 full, so that a miss ends after a few slots.
    fn index(&self) -> Vec<[u8; INDEX_SLOT_BYTES]> {
        let slots = (self.places.len() * 10 / 7 + 1).max(8);
        let mut index = vec![[0; INDEX_SLOT_BYTES]; slots];
        for (key, frame) in &self.places {
            let mut source = [0; 32];
            source[..12].copy_from_slice(key);
            let (start, tag) = place_of(&source, slots as u64);
            let mut slot = start as usize;
            while index[slot][4..] != [0; 4] {
                slot = (slot + 1) % slots;
            }
            index[slot][..4].copy_from_slice(&tag.to_le_bytes());
            index[slot][4..].copy_from_slice(&frame.to_le_bytes());
        }
        index
    }
}

/// The bytes of a segment with these entries, which stand in order of last use: for what is small.
pub(super) fn build(name: (u64, u64), seed: u64, puts: &[Arc<Put>]) -> Result<Vec<u8>, Unbuildable> {
    let mut counted = Counted::default();
    puts.iter().for_each(|put| counted.add(put));
    let mut builder = Builder::new(name, seed, counted)?;
    puts.iter().try_for_each(|put| builder.add(put))?;
    builder.finish()
}

/// The number of the item that this string is or now becomes.
fn number_of(
    string: &[u8],
    seed: u64,
    counted: &Counted,
    items: &mut Vec<u8>,
    numbers: &mut HashMap<Box<[u8]>, u64>,
) -> Option<u64> {
    if let Some(number) = numbers.get(string) {
        return Some(*number);
    }
    if !counted.pays(string) || items.len() + PAYLOAD_BYTES_MAX > ITEMS_BYTES_MAX {
        return None;
    }
    let number = (items.len() / SEGMENT_SLOT_BYTES) as u64;
    let payload = put::encode_item(number, string);
    frame::encode_to(items, (Kind::Item as u8, 0), &payload, seed, SEGMENT_SLOT_BYTES).ok()?;
    numbers.insert(string.into(), number);
    Some(number)
}
