//! A segment: the immutable, indexed, mapped body of the manifest.
//!
//! ```text
//! slot 0          HEADER
//! slot 1 ..       one PUT per entry, in order of last use, then of adding
//! index_at        hash index: 8-byte slots {tag: u32, frame: u32}, a power of two of them, at most 0.7 full
//! column_at       retention column: 48 bytes per entry, in the order of the frames
//! len - 128       FOOTER, two slots
//! ```
//!
//! Opening checks header and footer and costs the same at any size. A frame is checked when it is first used.
//! A wrong index slot leads to a frame of another key, which is passed over, or to no frame: a miss (I5).
//! Reads through a mapping: a segment is never written or shortened after it got its name (I11).

mod check;

use std::collections::HashMap;

use super::log::{HeaderRead, header_of, is_closed};
use crate::{
    error::Trouble,
    format::{
        frame::{self, HEADER_SEED, Kind as FrameKind, SLOT_BYTES, TooLong},
        record::{FileKind, Footer, Header, Put, PutId, Record},
    },
    fs::{self, Access, Dir, Kind, Map, Pattern},
    layout::ManifestName,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a FOOTER frame fills.
const FOOTER_BYTES: usize = 2 * SLOT_BYTES;
const INDEX_SLOT_BYTES: usize = 8;
/// What the column holds per entry.
pub(super) const COLUMN_BYTES: usize = 48;

/// What opening a segment found.
pub(super) enum Opened {
    Segment(Segment),
    /// Header, footer or length is wrong: it holds nothing.
    Damaged,
    /// A later version forbids this one to look (I18).
    Foreign,
}

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment {
    map: Map,
    seed: u64,
    pub(super) footer: Footer,
    /// Written by a later version with parts this one does not know, as the header or a frame has shown.
    unknown: AtomicBool,
    /// Frames that were checked, by slot number.
    checked: Mutex<HashMap<u32, Option<Arc<Put>>>>,
}

/// One row of the retention column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) put_id: u64,
    pub(super) paths: u64,
    pub(super) names: u64,
    pub(super) order: u64,
    pub(super) bytes: u64,
    pub(super) day: u32,
    /// Slot number of the entry's frame.
    pub(super) frame: u32,
}

impl Segment {
    pub(super) fn open(dir: &Dir, name: ManifestName, access: Access) -> Result<Opened, Trouble> {
        let path = name.path();
        let file = match dir.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if fs::is_wrong_kind(&error) => return Ok(Opened::Damaged),
            // As with a log: what a store of our own does not let us read is damage.
            Err(error) if access == Access::Append && is_closed(dir, &path, &error) => {
                return Ok(Opened::Damaged);
            }
            Err(error) => return Err(Trouble::of("open", &path)(error)),
        };
        let stat = file.stat().map_err(Trouble::of("examine", &path))?;
        if stat.kind != Kind::File || stat.len < (SLOT_BYTES + FOOTER_BYTES) as u64 {
            return Ok(Opened::Damaged);
        }
        let map = file.map_whole(&stat, Pattern::Scattered).map_err(Trouble::of("map", &path))?;
        let header = match header_of(&map[..SLOT_BYTES], FileKind::Segment) {
            HeaderRead::Right(header) => header,
            HeaderRead::Bad => return Ok(Opened::Damaged),
            HeaderRead::Foreign => return Ok(Opened::Foreign),
        };
        let Some(footer) = footer_of(&map, header.seed, name) else {
            return Ok(Opened::Damaged);
        };
        let unknown = AtomicBool::new(header.ro_compat != 0);
        Ok(Opened::Segment(Segment { map, seed: header.seed, footer, unknown, checked: Mutex::default() }))
    }

    /// Whether a later version wrote parts of what was read of it.
    pub(super) fn is_partly_unknown(&self) -> bool {
        self.unknown.load(Ordering::Relaxed)
    }

    /// All entries under this source digest, in no order.
    pub(super) fn probe(&self, source: &[u8; 32]) -> Vec<Arc<Put>> {
        let mask = self.footer.index_slots - 1;
        let (start, tag) = place_of(source);
        let mut found = Vec::new();
        for step in 0..self.footer.index_slots {
            let slot = self.index_slot(start.wrapping_add(step) & mask);
            if slot.1 == 0 {
                break;
            }
            if slot.0 == tag {
                found.extend(self.put_at(slot.1).filter(|put| put.source == *source));
            }
        }
        found
    }

    /// The entry with this put id under a source digest of which only the start is known: what the index needs.
    pub(super) fn probe_id(&self, start: &[u8; 16], put_id: PutId) -> Option<Arc<Put>> {
        let mut source = [0; 32];
        source[..16].copy_from_slice(start);
        let mask = self.footer.index_slots - 1;
        let (first, tag) = place_of(&source);
        let slots = (0..self.footer.index_slots).map(|step| self.index_slot(first.wrapping_add(step) & mask));
        let tagged = slots.take_while(|slot| slot.1 != 0).filter(|slot| slot.0 == tag);
        tagged.filter_map(|slot| self.put_at(slot.1)).find(|put| put.put_id == put_id)
    }

    /// The entry whose frame starts at this slot, checked once.
    pub(super) fn put_at(&self, slot: u32) -> Option<Arc<Put>> {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.entry(slot).or_insert_with(|| self.check(slot)).clone()
    }

    fn check(&self, slot: u32) -> Option<Arc<Put>> {
        let start = slot as usize * SLOT_BYTES;
        let frames = &self.map[..self.footer.index_at as usize];
        let frame = frame::decode(frames.get(start..)?, self.seed)?;
        match Record::of_frame(&frame) {
            Ok(Record::Put(put)) if put.is_sound() => Some(Arc::from(put)),
            Ok(_) => None,
            Err(_) => {
                self.unknown.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    fn index_slot(&self, number: u64) -> (u32, u32) {
        let at = self.footer.index_at as usize + number as usize * INDEX_SLOT_BYTES;
        (u32_at(&self.map, at), u32_at(&self.map, at + 4))
    }

    /// The retention column; where it is damaged, what the frames say: a store that forgot these entries would
    /// lose them at the next compaction, and take their objects for nobody's.
    pub(super) fn rows(&self) -> Vec<Row> {
        let column = &self.map[self.footer.column_at as usize..][..self.column_len()];
        if frame::sum(column, self.seed) == self.footer.column_sum {
            return column.chunks_exact(COLUMN_BYTES).map(Row::of_bytes).collect();
        }
        let frames = &self.map[SLOT_BYTES..self.footer.index_at as usize];
        let slots = frame::Scan::new(frames, self.seed).map(|(at, _)| 1 + at / SLOT_BYTES);
        slots
            .filter_map(|slot| u32::try_from(slot).ok())
            .filter_map(|slot| self.put_at(slot).map(|put| Row::of_put(&put, slot)))
            .collect()
    }

    fn column_len(&self) -> usize {
        self.footer.entries as usize * COLUMN_BYTES
    }
}

impl Row {
    /// `frame`: the slot in which the entry's frame starts.
    fn of_put(put: &Put, frame: u32) -> Row {
        Row {
            put_id: put.put_id,
            paths: put.paths,
            names: put.names,
            order: put.order,
            bytes: put.bytes(),
            day: put.day,
            frame,
        }
    }

    fn of_bytes(bytes: &[u8]) -> Row {
        Row {
            put_id: u64_at(bytes, 0),
            paths: u64_at(bytes, 8),
            names: u64_at(bytes, 16),
            order: u64_at(bytes, 24),
            bytes: u64_at(bytes, 32),
            day: u32_at(bytes, 40),
            frame: u32_at(bytes, 44),
        }
    }

    fn to_bytes(self) -> [u8; COLUMN_BYTES] {
        let mut bytes = [0; COLUMN_BYTES];
        let fields = [self.put_id, self.paths, self.names, self.order, self.bytes];
        for (chunk, field) in bytes.chunks_exact_mut(8).zip(fields) {
            chunk.copy_from_slice(&field.to_le_bytes());
        }
        bytes[40..44].copy_from_slice(&self.day.to_le_bytes());
        bytes[44..].copy_from_slice(&self.frame.to_le_bytes());
        bytes
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Where a key's index slot is looked for first, and its tag. The digest is already uniform.
fn place_of(source: &[u8; 32]) -> (u64, u32) {
    (u64_at(source, 0), u32_at(source, 8))
}

/// The footer, if it fits the file's name and length and all offsets lie where they must.
fn footer_of(map: &[u8], seed: u64, name: ManifestName) -> Option<Footer> {
    let at = map.len().checked_sub(FOOTER_BYTES)?;
    let frame = frame::decode(&map[at..], seed)?;
    let Ok(Record::Footer(footer)) = Record::of_frame(&frame) else {
        return None;
    };
    let index = footer.index_slots.checked_mul(INDEX_SLOT_BYTES as u64)?;
    let column = footer.entries.checked_mul(COLUMN_BYTES as u64)?;
    let end = footer.column_at.checked_add(column)?.checked_next_multiple_of(SLOT_BYTES as u64)?;
    let right = ManifestName::Segment { first: footer.first, last: footer.last } == name
        && footer.index_slots.is_power_of_two()
        && footer.entries < footer.index_slots
        && footer.index_at >= SLOT_BYTES as u64
        && footer.index_at.checked_add(index)? == footer.column_at
        && end == at as u64;
    right.then_some(footer)
}

/// Why a segment cannot be built.
#[derive(Debug)]
pub(super) enum Unbuildable {
    /// A record does not fit a frame: it came from one, so this is not expected.
    TooLong,
    /// More than 2^32 slots (256 GiB of frames).
    TooMany,
}

impl From<TooLong> for Unbuildable {
    fn from(_: TooLong) -> Self {
        Unbuildable::TooLong
    }
}

/// The bytes of a segment with these entries, which stand in order of last use.
pub(super) fn build(name: (u64, u64), seed: u64, puts: &[Arc<Put>]) -> Result<Vec<u8>, Unbuildable> {
    let header = Header { file: FileKind::Segment, seed, compat: 0, ro_compat: 0, incompat: 0 };
    let mut bytes = Record::Header(header).to_frame(HEADER_SEED)?;
    let mut rows = Vec::with_capacity(puts.len());
    for put in puts {
        let frame = u32::try_from(bytes.len() / SLOT_BYTES).map_err(|_| Unbuildable::TooMany)?;
        rows.push(Row::of_put(put, frame));
        bytes.extend(Record::Put(Box::new(Put::clone(put))).to_frame(seed)?);
    }
    let index_at = bytes.len();
    let index = index_of(puts, &rows);
    bytes.extend(&index);
    let column_at = bytes.len();
    bytes.extend(rows.iter().flat_map(|row| row.to_bytes()));
    let footer = Footer {
        first: name.0,
        last: name.1,
        entries: puts.len() as u64,
        index_at: index_at as u64,
        index_slots: (index.len() / INDEX_SLOT_BYTES) as u64,
        column_at: column_at as u64,
        index_sum: frame::sum(&index, seed),
        column_sum: frame::sum(&bytes[column_at..], seed),
        bytes: rows.iter().fold(0, |sum, row| row.bytes.saturating_add(sum)),
    };
    bytes.resize(bytes.len().next_multiple_of(SLOT_BYTES), 0);
    let footer = Record::Footer(footer).to_frame(seed)?;
    debug_assert_eq!((footer.len(), footer[4]), (FOOTER_BYTES, FrameKind::Footer as u8));
    bytes.extend(footer);
    Ok(bytes)
}

/// Open addressing with linear probing; at most 0.7 full, so that a miss ends after a few slots.
fn index_of(puts: &[Arc<Put>], rows: &[Row]) -> Vec<u8> {
    let slots = (puts.len() * 10 / 7 + 1).next_power_of_two().max(8);
    let mut index = vec![0; slots * INDEX_SLOT_BYTES];
    for (put, row) in puts.iter().zip(rows) {
        let (start, tag) = place_of(&put.source);
        let mut slot = start as usize & (slots - 1);
        while u32_at(&index, slot * INDEX_SLOT_BYTES + 4) != 0 {
            slot = (slot + 1) & (slots - 1);
        }
        let at = slot * INDEX_SLOT_BYTES;
        index[at..at + 4].copy_from_slice(&tag.to_le_bytes());
        index[at + 4..at + 8].copy_from_slice(&row.frame.to_le_bytes());
    }
    index
}
