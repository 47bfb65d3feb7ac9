//! The bytes of the memo: what is known of files that have not changed (docs/format.md, "The memo").
//!
//! For `sources`, which decides what is worth remembering. A header, then slots of [`MEMO_SLOT_BYTES`] in which a file is
//! looked for by its device and inode number. Each record has a checksum of its own under the file's secret seed:
//! one that is torn or damaged is not there, and takes no other with it but those that were placed behind it.
//!
//! Pure: bytes in, records out. Whoever maps the file reads bytes that may change under it, so a record is copied
//! before it is judged.

use super::frame::HEADER_SEED;
use crate::planted::{self, Bug};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The last byte is the version: another one is another file.
const MAGIC: [u8; 8] = *b"\xF7pmemo\0\x01";
pub(crate) const HEADER_BYTES: usize = 64;
pub(crate) const MEMO_SLOT_BYTES: usize = 96;
/// What a checksum covers of a header, and of a record.
const HEADER_SUMMED: usize = HEADER_BYTES - 8;
const SUMMED: usize = MEMO_SLOT_BYTES - 8;
/// More records are not kept: 9.4 MB, and ten times the files of a host with a thousand plugins of six files.
pub(crate) const RECORDS_MAX: usize = 65_536;
const SLOTS_MAX: usize = slots_for(RECORDS_MAX);
/// A record stands in one of so many slots from its place on, or is not kept. Of 65,536 random inode numbers, five
/// times over, the last one needed 118; two are usual.
const PROBES_MAX: usize = 128;

/// Half as many slots again as records: at most two thirds are taken.
const fn slots_for(records: usize) -> usize {
    records + records / 2 + 1
}

/// What a value says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// BLAKE3 of its content.
    Content,
    /// It is an ELF image without a build id: BLAKE3 of its content.
    Image,
    /// It is an ELF image: its build id has so many bytes.
    BuildId(u8),
}

impl What {
    /// Whether it is asked for to identify a tool, and not for the content alone.
    pub(crate) fn is_tool(self) -> bool {
        self != What::Content
    }

    fn number(self) -> u32 {
        match self {
            What::Content => 0,
            What::Image => 1,
            What::BuildId(len) => 0x100 + u32::from(len),
        }
    }

    fn of(number: u32) -> Option<What> {
        match number {
            0 => Some(What::Content),
            1 => Some(What::Image),
            // At most all of the value.
            0x101..=0x120 => Some(What::BuildId((number - 0x100) as u8)),
            _ => None,
        }
    }
}

/// Device and inode number.
pub(crate) type FileId = (u64, u64);

/// While a file has this state, the value is true of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) file: FileId,
    pub(crate) len: u64,
    /// Seconds since 1970 and nanoseconds.
    pub(crate) mtime: (i64, u32),
    pub(crate) ctime: (i64, u32),
    pub(crate) what: What,
    pub(crate) value: [u8; 32],
}

impl Remembered {
    fn to_slot(self, seed: u64) -> [u8; MEMO_SLOT_BYTES] {
        let mut slot = [0; MEMO_SLOT_BYTES];
        slot[..8].copy_from_slice(&self.file.0.to_le_bytes());
        slot[8..16].copy_from_slice(&self.file.1.to_le_bytes());
        slot[16..24].copy_from_slice(&self.len.to_le_bytes());
        slot[24..32].copy_from_slice(&self.mtime.0.to_le_bytes());
        slot[32..40].copy_from_slice(&self.ctime.0.to_le_bytes());
        slot[40..44].copy_from_slice(&self.mtime.1.to_le_bytes());
        slot[44..48].copy_from_slice(&self.ctime.1.to_le_bytes());
        slot[48..52].copy_from_slice(&self.what.number().to_le_bytes());
        slot[56..SUMMED].copy_from_slice(&self.value);
        let sum = xxh3_64_with_seed(&slot[..SUMMED], seed);
        slot[SUMMED..].copy_from_slice(&sum.to_le_bytes());
        slot
    }

    fn of_slot(slot: &[u8; MEMO_SLOT_BYTES], seed: u64) -> Option<Remembered> {
        if xxh3_64_with_seed(&slot[..SUMMED], seed) != number_at(slot, SUMMED) {
            return None;
        }
        let halves = |at| (number_at(slot, at) as u32, (number_at(slot, at) >> 32) as u32);
        let ((mtime_nsec, ctime_nsec), (what, zero)) = (halves(40), halves(48));
        Some(Remembered {
            file: file_of(slot),
            len: number_at(slot, 16),
            mtime: (number_at(slot, 24) as i64, mtime_nsec),
            ctime: (number_at(slot, 32) as i64, ctime_nsec),
            what: What::of(what).filter(|_| zero == 0)?,
            value: std::array::from_fn(|at| slot[56 + at]),
        })
    }
}

/// `0` where the bytes end before.
fn number_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |number| u64::from_le_bytes(*number))
}

fn file_of(slot: &[u8]) -> FileId {
    (number_at(slot, 0), number_at(slot, 8))
}

/// No file has these numbers: an empty slot.
const NO_FILE: FileId = (0, 0);

/// The place of a file among so many slots. Neighbours in a directory often have inode numbers in a row: a product
/// with the golden ratio spreads those evenly.
fn place_of(file: FileId, slots: usize) -> usize {
    let spread = (file.1 ^ file.0.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((u128::from(spread) * slots as u128) >> 64) as usize
}

/// What a right header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    seed: u64,
    slots: usize,
}

impl Table {
    /// Whether a file of this length may be a memo at all: a longer one is not even looked at.
    pub(crate) fn may_have_len(len: u64) -> bool {
        (HEADER_BYTES as u64..=(HEADER_BYTES + SLOTS_MAX * MEMO_SLOT_BYTES) as u64).contains(&len)
    }

    /// `None`: these bytes are no memo, or that of another boot. What was read before a power cut may have been
    /// lost by it, with all times of the file in place.
    pub(crate) fn of(bytes: &[u8], boot: &[u8; 16]) -> Option<Table> {
        let header: [u8; HEADER_BYTES] = *bytes.first_chunk()?;
        let slots = usize::try_from(number_at(&header, 32)).ok()?;
        let right = header[..8] == MAGIC
            && (header[16..32] == *boot || planted::is(Bug::MemoBootIgnored))
            && number_at(&header, HEADER_SUMMED) == xxh3_64_with_seed(&header[..HEADER_SUMMED], HEADER_SEED)
            && (1..=SLOTS_MAX).contains(&slots)
            && bytes.len() == HEADER_BYTES + slots * MEMO_SLOT_BYTES;
        right.then(|| Table { seed: number_at(&header, 8), slots })
    }

    /// How many records there may be at most.
    pub(crate) fn records_max(&self) -> usize {
        self.slots / 3 * 2
    }

    /// What `bytes` hold of a file; `bytes` are those that this was made of.
    pub(crate) fn find(&self, bytes: &[u8], file: FileId, is_tool: bool) -> Option<Remembered> {
        let slots = bytes.get(HEADER_BYTES..)?;
        let mut at = place_of(file, self.slots);
        for _ in 0..PROBES_MAX.min(self.slots) {
            let slot = slots.get(at * MEMO_SLOT_BYTES..)?.first_chunk()?;
            match file_of(slot) {
                NO_FILE => return None,
                found if found == file => {
                    let copy = *slot;
                    let found = Remembered::of_slot(&copy, self.seed).filter(|found| found.file == file);
                    if found.is_some_and(|found| found.what.is_tool() == is_tool) {
                        return found;
                    }
                }
                _ => {}
            }
            at = if at + 1 == self.slots { 0 } else { at + 1 };
        }
        None
    }

    /// All right records in `bytes`.
    pub(crate) fn records(self, bytes: &[u8]) -> impl Iterator<Item = Remembered> {
        let slots = bytes.get(HEADER_BYTES..).unwrap_or_default().as_chunks().0.iter();
        slots.filter_map(move |slot: &[u8; MEMO_SLOT_BYTES]| {
            let copy = *slot;
            Remembered::of_slot(&copy, self.seed).filter(|found| found.file != NO_FILE)
        })
    }
}

/// A memo of these records: of several with one file and purpose the first one counts, and no more than
/// [`RECORDS_MAX`].
pub(crate) fn build(boot: &[u8; 16], seed: u64, records: &[Remembered]) -> Vec<u8> {
    let records = &records[..records.len().min(RECORDS_MAX)];
    let slots = slots_for(records.len());
    let mut bytes = vec![0; HEADER_BYTES + slots * MEMO_SLOT_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&seed.to_le_bytes());
    bytes[16..32].copy_from_slice(boot);
    bytes[32..40].copy_from_slice(&(slots as u64).to_le_bytes());
    let sum = xxh3_64_with_seed(&bytes[..HEADER_SUMMED], HEADER_SEED);
    bytes[HEADER_SUMMED..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    let (places, _) = bytes[HEADER_BYTES..].as_chunks_mut::<MEMO_SLOT_BYTES>();
    for record in records {
        place(places, record, seed);
    }
    bytes
}

/// Puts a record into its slot, unless there is one for it already, or too many are before it: then it is lost.
fn place(slots: &mut [[u8; MEMO_SLOT_BYTES]], record: &Remembered, seed: u64) {
    let mut at = place_of(record.file, slots.len());
    for _ in 0..PROBES_MAX.min(slots.len()) {
        match file_of(&slots[at]) {
            NO_FILE => {
                slots[at] = record.to_slot(seed);
                return;
            }
            found if found == record.file => {
                let there = Remembered::of_slot(&slots[at], seed);
                if there.is_some_and(|there| there.what.is_tool() == record.what.is_tool()) {
                    return;
                }
            }
            _ => {}
        }
        at = if at + 1 == slots.len() { 0 } else { at + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: [u8; 16] = [3; 16];

    fn record(inode: u64) -> Remembered {
        let value = std::array::from_fn(|at| (inode as u8).wrapping_add(at as u8));
        Remembered {
            file: (64, inode),
            len: inode + 1,
            mtime: (-5, 6),
            ctime: (7, 8),
            what: What::Content,
            value,
        }
    }

    fn memo_of(records: &[Remembered]) -> Vec<u8> {
        build(&BOOT, 99, records)
    }

    #[test]
    fn what_is_remembered_is_found_and_nothing_else() {
        let records: Vec<_> = (1..2000).map(|number| record(number * 3)).collect();
        let bytes = memo_of(&records);
        let table = Table::of(&bytes, &BOOT).unwrap();
        for record in &records {
            assert_eq!(table.find(&bytes, record.file, false), Some(*record));
            assert_eq!(table.find(&bytes, record.file, true), None);
            assert_eq!(table.find(&bytes, (64, record.file.1 + 1), false), None);
        }
        assert_eq!(table.records(&bytes).count(), records.len());
    }

    #[test]
    fn a_tool_and_a_source_that_are_one_file_stand_side_by_side() {
        let source = record(1);
        for what in [What::Image, What::BuildId(1), What::BuildId(20), What::BuildId(32)] {
            let tool = Remembered { what, value: [9; 32], ..source };
            let bytes = memo_of(&[source, tool, Remembered { len: 77, ..source }]);
            let table = Table::of(&bytes, &BOOT).unwrap();
            assert_eq!(table.find(&bytes, source.file, false), Some(source), "the first one counts");
            assert_eq!(table.find(&bytes, source.file, true), Some(tool));
        }
    }

    #[test]
    fn a_memo_of_another_boot_is_none() {
        let bytes = memo_of(&[record(1)]);
        assert!(Table::of(&bytes, &BOOT).is_some());
        assert_eq!(Table::of(&bytes, &[4; 16]), None);
    }

    #[test]
    fn whichever_bit_is_damaged_or_wherever_it_is_cut_no_record_says_anything_else() {
        let records: Vec<_> = (1..4).map(record).collect();
        let bytes = memo_of(&records);
        let judge = |bytes: &[u8], what: &str| {
            let Some(table) = Table::of(bytes, &BOOT) else { return };
            for record in &records {
                let found = table.find(bytes, record.file, false);
                assert!(found.is_none_or(|found| found == *record), "{what}: {found:?}");
            }
            assert!(table.records(bytes).all(|found| records.contains(&found)), "{what}");
        };
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            judge(&damaged, &format!("bit {bit}"));
        }
        for len in 0..bytes.len() {
            assert_eq!(Table::of(&bytes[..len], &BOOT), None, "cut at {len}");
            let mut zeros = bytes.clone();
            zeros[len..].fill(0);
            judge(&zeros, &format!("zeros from {len}"));
        }
    }

    #[test]
    fn of_as_many_records_as_there_may_be_none_is_lost() {
        let mut state = 1_u64;
        let random = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 20
        });
        let records: Vec<_> = random.take(RECORDS_MAX).map(|inode| record(inode | 1 << 50)).collect();
        let bytes = memo_of(&records);
        assert!(Table::may_have_len(bytes.len() as u64));
        let table = Table::of(&bytes, &BOOT).unwrap();
        let lost = records.iter().filter(|record| table.find(&bytes, record.file, false).is_none()).count();
        assert_eq!(lost, 0);
    }

    #[test]
    fn a_header_that_promises_more_than_there_may_be_is_none() {
        let mut bytes = memo_of(&[record(1)]);
        for slots in [0_u64, SLOTS_MAX as u64 + 1, u64::MAX / MEMO_SLOT_BYTES as u64, u64::MAX] {
            bytes[32..40].copy_from_slice(&slots.to_le_bytes());
            let sum = xxh3_64_with_seed(&bytes[..HEADER_SUMMED], HEADER_SEED);
            bytes[HEADER_SUMMED..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
            assert_eq!(Table::of(&bytes, &BOOT), None);
        }
    }
}
