//! A segment: the immutable, indexed, mapped body of the manifest.
//!
//! ```text
//! 0               HEADER
//! 64 ..           one ENTRY per entry, in order of last use, then of adding
//! items_at        ITEMs: strings of several entries, each once; all of them again behind the last one
//! index_at        hash index: 8-byte slots {tag: u32, frame: u32}, at most 0.7 full
//! len - 128       FOOTER, two slots of 64 bytes
//! ```
//!
//! Entries and items start at multiples of 8: they are never torn, and 64 would waste 32 bytes of each.
//!
//! Opening checks header and footer and costs the same at any size. A frame is checked when it is first used.
//! A wrong index slot leads to a frame of another key, which is passed over, or to no frame: a miss (I5). A bad frame
//! hides only itself (I6): that is why each item stands twice.
//! Reads through a mapping: a segment is never written or shortened after it got its name (I11).

mod check;
mod walk;

pub(super) use self::walk::Walk;

use std::collections::HashMap;

use super::{
    log::{HeaderRead, header_of, is_closed},
    table::Uniform,
};
use crate::{
    error::Trouble,
    format::{
        frame::{self, Frame, Kind as FrameKind, SEGMENT_SLOT_BYTES, SLOT_BYTES},
        put::{self, Head},
        record::{Details, FileKind, Footer, Lender, Put, PutId, Record, Recorded},
        wire::{Items, Strings},
    },
    fs::{self, Access, Dir, Kind, Map, Pattern},
    layout::ManifestName,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a FOOTER frame fills.
pub(super) const FOOTER_BYTES: usize = 2 * SLOT_BYTES;
pub(super) const INDEX_SLOT_BYTES: usize = 8;
/// Of a segment of more entries than this a listing keeps none in memory.
const LISTED_MAX: u64 = 16 * 1024;
/// Items among the first so many slots (the most used ones, for they are met first) are checked only once.
const SEEN_SLOTS: usize = 64 * 64;

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
    body: Arc<Body>,
    /// Written by a later version with parts this one does not know, as the header or a frame has shown.
    unknown: bool,
    /// Entries that were looked up, newest first.
    known: HashMap<[u8; 32], Known, Uniform>,
    /// Where each right frame of an entry starts, found when all are first asked for.
    places: Option<Arc<[u32]>>,
    /// Entries that were listed, by their slots.
    listed: HashMap<u32, Option<Arc<Put>>>,
}

/// The entries of one source digest: hardly ever more than one.
#[derive(Debug)]
enum Known {
    One(Arc<Put>),
    Many(Vec<Arc<Put>>),
}

impl Known {
    fn as_slice(&self) -> &[Arc<Put>] {
        match self {
            Known::One(put) => std::slice::from_ref(put),
            Known::Many(puts) => puts,
        }
    }
}

/// The bytes of a segment, which its entries may outlive.
#[derive(Debug)]
struct Body {
    map: Map,
    seed: u64,
    footer: Footer,
    /// Which of the first items have been checked, a bit for each slot.
    seen: [AtomicU64; SEEN_SLOTS / 64],
}

impl Body {
    fn entry_frames(&self) -> &[u8] {
        &self.map[..self.footer.items_at as usize]
    }

    fn index_at(&self) -> usize {
        (self.footer.items_at + 2 * self.footer.items_len) as usize
    }

    fn index(&self) -> &[u8] {
        &self.map[self.index_at()..][..self.footer.index_slots as usize * INDEX_SLOT_BYTES]
    }

    fn index_slot(&self, number: u64) -> (u32, u32) {
        let at = self.index_at() + number as usize * INDEX_SLOT_BYTES;
        (u32_at(&self.map, at), u32_at(&self.map, at + 4))
    }

    /// The right frame that starts at this slot before `items_at`.
    fn frame_at(&self, slot: u32) -> Option<Frame<'_>> {
        let start = slot as usize * SEGMENT_SLOT_BYTES;
        let bytes = self.entry_frames().get(start..)?;
        (start >= SLOT_BYTES).then(|| frame::decode_in(bytes, self.seed, SEGMENT_SLOT_BYTES)).flatten()
    }

    /// The entry whose frame starts at this slot; `unknown` becomes true if a later version wrote it.
    fn put_at(self: &Arc<Body>, slot: u32, unknown: &mut bool) -> Option<Put> {
        let Ok(payload) = self.entry_at(slot) else {
            *unknown = true;
            return None;
        };
        let (mut put, _, has_details) = put::decode_head(payload?, Strings::Of(&**self))?;
        if has_details {
            put.details = Recorded::lent(self.clone(), u64::from(slot));
        }
        put.is_sound().then_some(put)
    }

    /// Where the right frames of entries start.
    fn find_places(&self, unknown: &mut bool) -> Arc<[u32]> {
        let mut places = Vec::with_capacity(self.footer.entries.min(LISTED_MAX) as usize);
        for (at, frame) in frame::Scan::of_segment(&self.entry_frames()[SLOT_BYTES..], self.seed) {
            match entry_of(&frame) {
                Ok(Some(_)) => places.extend(u32::try_from((SLOT_BYTES + at) / SEGMENT_SLOT_BYTES)),
                Ok(None) => {}
                Err(ByLaterVersion) => *unknown = true,
            }
        }
        places.into()
    }

    fn items(&self, copy: usize) -> &[u8] {
        let len = self.footer.items_len as usize;
        &self.map[self.footer.items_at as usize + copy * len..][..len]
    }

    /// The payload of the entry at this slot; an error: a later version wrote it.
    fn entry_at(&self, slot: u32) -> Result<Option<&[u8]>, ByLaterVersion> {
        self.frame_at(slot).map_or(Ok(None), |frame| entry_of(&frame))
    }

    fn details(&self, slot: u32) -> Option<Details> {
        let payload = self.entry_at(slot).ok()??;
        let (put, rest, _) = put::decode_head(payload, Strings::Of(self))?;
        put::decode_details(rest, Some(&put.label), Strings::Of(self))
    }
}

impl Items for Body {
    fn item(&self, number: u64) -> Option<&[u8]> {
        let slot = usize::try_from(number).ok()?;
        let start = slot.checked_mul(SEGMENT_SLOT_BYTES)?;
        let (word, bit) = (self.seen.get(slot / 64), 1u64 << (slot % 64));
        let first = self.items(0).get(start..)?;
        if word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0) {
            return frame::checked_payload(first).and_then(put::decode_item).map(|(_, string)| string);
        }
        for copy in [first, self.items(1).get(start..)?] {
            let frame = frame::decode_in(copy, self.seed, SEGMENT_SLOT_BYTES);
            if let Some((is, string)) = frame.as_ref().and_then(item_of)
                && is == number
            {
                if let Some(word) = word.filter(|_| std::ptr::eq(copy, first)) {
                    word.fetch_or(bit, Ordering::Relaxed);
                }
                return Some(string);
            }
        }
        None
    }
}

impl Lender for Body {
    fn details_at(&self, place: u64) -> Option<Details> {
        self.details(u32::try_from(place).ok()?)
    }
}

/// Number and string, if the frame is an ITEM.
pub(super) fn item_of<'a>(frame: &Frame<'a>) -> Option<(u64, &'a [u8])> {
    let is_item = (frame.kind, frame.flags) == (FrameKind::Item as u8, 0);
    is_item.then(|| put::decode_item(frame.payload)).flatten()
}

/// A frame's checksum is right and a later version wrote it.
pub(super) struct ByLaterVersion;

/// The payload, if the frame is an ENTRY.
pub(super) fn entry_of<'a>(frame: &Frame<'a>) -> Result<Option<&'a [u8]>, ByLaterVersion> {
    match (FrameKind::of(frame.kind), frame.flags) {
        (Some(FrameKind::Entry), 0) if put::skim(frame.payload, Strings::Skipped).is_ok() => {
            Ok(Some(frame.payload))
        }
        // A PUT, TOUCH or the like has its place elsewhere.
        (Some(kind), 0) if kind != FrameKind::Entry => Ok(None),
        _ => Err(ByLaterVersion),
    }
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
        if stat.kind != Kind::File || stat.len < SLOT_BYTES as u64 {
            return Ok(Opened::Damaged);
        }
        let map = file.map_whole(&stat, Pattern::Scattered).map_err(Trouble::of("map", &path))?;
        let header = match header_of(&map[..SLOT_BYTES], FileKind::Segment) {
            HeaderRead::Right(header) => header,
            HeaderRead::Bad => return Ok(Opened::Damaged),
            // Before anything else is asked of it: a later version's may be shorter than any of this one (I18).
            HeaderRead::Foreign => return Ok(Opened::Foreign),
        };
        if stat.len < (SLOT_BYTES + FOOTER_BYTES) as u64 {
            return Ok(Opened::Damaged);
        }
        let Some(footer) = footer_of(&map, header.seed, name) else {
            return Ok(Opened::Damaged);
        };
        Ok(Opened::Segment(Segment {
            body: Arc::new(Body {
                map,
                seed: header.seed,
                footer,
                seen: std::array::from_fn(|_| AtomicU64::new(0)),
            }),
            unknown: header.ro_compat != 0,
            known: HashMap::default(),
            places: None,
            listed: HashMap::new(),
        }))
    }

    /// How long the file is.
    pub(super) fn bytes_len(&self) -> u64 {
        self.body.map.len() as u64
    }

    pub(super) fn footer(&self) -> &Footer {
        &self.body.footer
    }

    /// Whether a later version wrote parts of what was read of it.
    pub(super) fn is_partly_unknown(&self) -> bool {
        self.unknown
    }

    /// All entries under this source digest, newest first.
    pub(super) fn probe(&mut self, source: &[u8; 32]) -> &[Arc<Put>] {
        if !self.known.contains_key(source)
            && let Some(known) = self.look_up(source)
        {
            self.known.insert(*source, known);
        }
        self.known.get(source).map(Known::as_slice).unwrap_or_default()
    }

    fn look_up(&mut self, source: &[u8; 32]) -> Option<Known> {
        let (slots, body) = (self.body.footer.index_slots, self.body.clone());
        let (start, tag) = place_of(source, slots);
        let mut found = None;
        for number in (start..slots).chain(0..start) {
            let slot = body.index_slot(number);
            if slot.1 == 0 {
                break;
            }
            if slot.0 == tag
                && let Some(put) = self.put_at(slot.1).filter(|put| put.source == *source)
            {
                found = Some(match found {
                    None => Known::One(Arc::new(put)),
                    Some(Known::One(first)) => Known::Many(vec![first, Arc::new(put)]),
                    Some(Known::Many(mut puts)) => {
                        puts.push(Arc::new(put));
                        Known::Many(puts)
                    }
                });
            }
        }
        if let Some(Known::Many(puts)) = &mut found {
            puts.sort_by_key(|put| std::cmp::Reverse(put.order));
        }
        found
    }

    /// The entry with this put id under a source digest of which only the start is known: what the index needs.
    pub(super) fn probe_id(&mut self, start: &[u8; 16], put_id: PutId) -> Option<Put> {
        let mut source = [0; 32];
        source[..16].copy_from_slice(start);
        let (slots, body) = (self.body.footer.index_slots, self.body.clone());
        let (start, tag) = place_of(&source, slots);
        let slots = (start..slots).chain(0..start).map(|number| body.index_slot(number));
        let mut tagged = slots.take_while(|slot| slot.1 != 0).filter(|slot| slot.0 == tag);
        tagged.find_map(|slot| self.put_at(slot.1).filter(|put| put.put_id == put_id))
    }

    /// The entry whose frame starts at this slot.
    pub(super) fn put_at(&mut self, slot: u32) -> Option<Put> {
        self.body.put_at(slot, &mut self.unknown)
    }

    /// Calls `each` with every entry, in the order of the frames. Unless there are very many they are kept in memory.
    pub(super) fn each(&mut self, each: &mut dyn FnMut(&Arc<Put>)) {
        let is_kept = self.keeps_listed();
        for slot in self.places().iter().copied() {
            if !is_kept {
                if let Some(put) = self.put_at(slot) {
                    each(&Arc::new(put));
                }
                continue;
            }
            if !self.listed.contains_key(&slot) {
                let put = self.put_at(slot).map(Arc::new);
                self.listed.insert(slot, put);
            }
            if let Some(Some(put)) = self.listed.get(&slot) {
                each(put);
            }
        }
    }

    /// Calls `each` with the slot and head of every entry, in the order of the frames.
    pub(super) fn heads(&mut self, each: &mut dyn FnMut(u32, &Head<'_>)) {
        let body = self.body.clone();
        for slot in self.places().iter() {
            let payload = body.frame_at(*slot).map(|frame| frame.payload);
            let head = payload.and_then(|payload| put::head_of(payload, &*body));
            if let Some(head) = head.filter(|head| head.is_sound) {
                each(*slot, &head);
            }
        }
    }

    fn places(&mut self) -> Arc<[u32]> {
        self.places.get_or_insert_with(|| self.body.find_places(&mut self.unknown)).clone()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Where a key's index slot is looked for first among so many, and its tag. The digest is already uniform.
pub(super) fn place_of(source: &[u8; 32], slots: u64) -> (u64, u32) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *source;
    let start = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let scaled = (u128::from(start) * u128::from(slots)) >> 64;
    (scaled as u64, u32::from_le_bytes([i, j, k, l]))
}

/// The footer, if it fits the file's name and length and all offsets lie where they must.
fn footer_of(map: &[u8], seed: u64, name: ManifestName) -> Option<Footer> {
    let at = map.len().checked_sub(FOOTER_BYTES)?;
    let frame = frame::decode(&map[at..], seed)?;
    let Ok(Record::Footer(footer)) = Record::of_frame(&frame) else {
        return None;
    };
    let items = footer.items_len.checked_mul(2)?;
    let index = footer.index_slots.checked_mul(INDEX_SLOT_BYTES as u64)?;
    let end = footer.items_at.checked_add(items)?.checked_add(index)?;
    let slot = SEGMENT_SLOT_BYTES as u64;
    let right = ManifestName::Segment { first: footer.first, last: footer.last } == name
        && footer.entries < footer.index_slots
        && footer.items_at >= SLOT_BYTES as u64
        && footer.items_at.is_multiple_of(slot)
        && footer.items_len.is_multiple_of(slot)
        && end.checked_next_multiple_of(SLOT_BYTES as u64)? == at as u64;
    right.then_some(footer)
}
