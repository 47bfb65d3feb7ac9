//! Chapter "Segments".

use super::{
    frames::{Frame, SEGMENT_SLOT, SLOT, frame_at, frame_in},
    logs::header_of,
    put::Put,
    records::{Footer, Header, Record, record_of, record_with},
    words::{Noted, le32, le64},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(crate) struct Segment<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) header: Header,
    pub(crate) footer: Footer,
    pub(crate) footer_frame: Frame,
}

impl<'a> Segment<'a> {
    pub(crate) fn open(bytes: &'a [u8], first: u64, last: u64) -> Option<Segment<'a>> {
        let header = header_of(bytes, 1)?;
        let at = bytes.len().checked_sub(128).filter(|at| *at >= SLOT)?;
        let footer_frame = frame_at(bytes, at, header.seed)?;
        let Record::Footer(footer) = record_of(&footer_frame)?.0 else { return None };
        let items = footer.items_len.checked_mul(2)?;
        let index = footer.index_slots.checked_mul(8)?;
        let index_end = footer.items_at.checked_add(items)?.checked_add(index)?;
        let right = (footer.first, footer.last) == (first, last)
            && footer.entries < footer.index_slots
            && footer.items_at >= SLOT as u64
            && footer.items_at % 8 == 0
            && footer.items_len % 8 == 0
            && index_end.checked_next_multiple_of(SLOT as u64)? == at as u64;
        right.then_some(Segment { bytes, header, footer, footer_frame })
    }

    pub(crate) fn index_at(&self) -> usize {
        (self.footer.items_at + 2 * self.footer.items_len) as usize
    }

    fn index_bytes(&self) -> &[u8] {
        &self.bytes[self.index_at()..][..8 * self.footer.index_slots as usize]
    }

    pub(crate) fn index(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.index_bytes().chunks(8).map(|slot| (le32(slot), le32(&slot[4..])))
    }

    pub(crate) fn sums_are_right(&self) -> bool {
        xxh3_64_with_seed(self.index_bytes(), self.header.seed) == self.footer.index_sum
    }

    /// The item of this number, from the first copy or the second.
    fn item(&self, number: u64) -> Option<Vec<u8>> {
        let at = number.checked_mul(8).filter(|at| *at < self.footer.items_len)?;
        (0..2).find_map(|copy| {
            let end = (self.footer.items_at + (copy + 1) * self.footer.items_len) as usize;
            let at = (self.footer.items_at + copy * self.footer.items_len + at) as usize;
            let frame = frame_in(SEGMENT_SLOT, &self.bytes[..end], at, self.header.seed)?;
            match self.record_of(&frame)?.0 {
                Record::Item(is, string) if is == number => Some(string),
                _ => None,
            }
        })
    }

    /// All right frames of entries and items, in the order of the file.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        let (mut at, mut frames) = (SLOT, Vec::new());
        while at < self.index_at() {
            match frame_in(SEGMENT_SLOT, &self.bytes[..self.index_at()], at, self.header.seed) {
                Some(frame) => {
                    at += frame.len;
                    frames.push(frame);
                }
                None => at += SEGMENT_SLOT,
            }
        }
        frames
    }

    pub(crate) fn record_of(&self, frame: &Frame) -> Option<(Record, Vec<Noted>)> {
        record_with(frame, Some(&|number| self.item(number)))
    }

    fn put_of(&self, frame: &Frame) -> Option<Put> {
        match self.record_of(frame)?.0 {
            Record::Entry(put) => Some(*put),
            _ => None,
        }
    }

    pub(crate) fn put_at(&self, slot: u32) -> Option<Put> {
        let entries = &self.bytes[..self.footer.items_at as usize];
        self.put_of(&frame_in(SEGMENT_SLOT, entries, slot as usize * SEGMENT_SLOT, self.header.seed)?)
    }

    /// All entries, in the order of the frames.
    pub(crate) fn puts(&self) -> Vec<Put> {
        let before_items = |frame: &Frame| (frame.at as u64) < self.footer.items_at;
        self.frames()
            .iter()
            .filter(|frame| before_items(frame))
            .filter_map(|frame| self.put_of(frame))
            .collect()
    }

    /// Looks a source digest up as the chapter says.
    pub(crate) fn probe(&self, source: &[u8; 32]) -> Vec<Put> {
        let index: Vec<_> = self.index().collect();
        let start = (u128::from(le64(source)) * index.len() as u128) >> 64;
        let (start, tag) = (start as usize, le32(&source[8..]));
        let order = (0..index.len()).map(|step| index[(start + step) % index.len()]);
        let same_tag = order.take_while(|slot| slot.1 != 0).filter(|slot| slot.0 == tag);
        same_tag.filter_map(|slot| self.put_at(slot.1)).filter(|put| put.source == *source).collect()
    }
}
