//! Frames: the unit in which the manifest is written and believed (I6).
//!
//! A frame starts on a slot boundary and fills whole slots; a slot is 64 bytes, within a segment 8 (nothing there
//! is ever torn):
//!
//! ```text
//! 0   2  magic
//! 2   2  check: the low 16 bits of XXH3-64 of bytes 4 to 15, seeded by the file's seed
//! 4   8  checksum: XXH3-64 of bytes 12 to 15 and the payload, seeded likewise
//! 12  1  kind
//! 13  1  flags, 0
//! 14  2  payload length
//! 16     payload, then zeros to the end of the slot
//! ```
//!
//! Pure: bytes in, frames out. The length is believed only after the checksum; zeros are part of the frame. The
//! check decides nothing but whether the checksum is worth computing: without it a log full of forged lengths
//! would cost a hash of 64 KiB for each of its slots.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::planted::{self, Bug};

/// Frames start at multiples of this. Writes of up to 4096 bytes in multiples of a power of two were never
/// torn by SIGKILL in 1,000 tries; other lengths were.
pub(crate) const SLOT_BYTES: usize = 64;
/// Frames of a segment start at multiples of this, but for its header and footer.
pub(crate) const SEGMENT_SLOT_BYTES: usize = 8;
/// The longest frame: one `write` of this size is atomic against other appenders on every file system tried.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;
/// What stands before the payload.
pub(crate) const PREFIX_BYTES: usize = 16;
/// The longest payload.
pub(crate) const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - PREFIX_BYTES;
const MAGIC: [u8; 2] = [0xF7, b'p'];
/// The seed of a file's first frame, which tells the seed of all others.
pub(crate) const HEADER_SEED: u64 = 0;

/// What a frame is for. A number that stands for none of these comes from a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Header = 1,
    Put = 2,
    Touch = 3,
    Drop = 4,
    Seal = 5,
    Footer = 6,
    Count = 7,
    /// In segments alone: a PUT whose strings may stand elsewhere.
    Entry = 16,
    /// In segments alone: a string of several entries.
    Item = 17,
}

impl Kind {
    pub(crate) fn of(number: u8) -> Option<Self> {
        let known = [
            Kind::Header,
            Kind::Put,
            Kind::Touch,
            Kind::Drop,
            Kind::Seal,
            Kind::Footer,
            Kind::Count,
            Kind::Entry,
            Kind::Item,
        ];
        known.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A frame whose checksum is right. Its kind may still be unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) payload: &'a [u8],
    /// The whole frame, whole slots.
    pub(crate) bytes: &'a [u8],
}

/// The payload is longer than [`PAYLOAD_BYTES_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// XXH3-64 of what is not in frames.
pub(crate) fn sum(bytes: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

/// Where a checksum begins that ends with the payload.
const SUMMED_FROM: usize = 12;

/// Whether the checksum is worth computing.
fn may_be_right(prefix: &[u8; PREFIX_BYTES], seed: u64) -> bool {
    prefix[..2] == MAGIC && prefix[2..4] == check(prefix, seed)
}

/// What bytes 2 and 3 of a frame with this prefix must be.
fn check(prefix: &[u8; PREFIX_BYTES], seed: u64) -> [u8; 2] {
    let [low, high, ..] = sum(&prefix[4..], seed).to_le_bytes();
    [low, high]
}

fn payload_len(prefix: &[u8; PREFIX_BYTES]) -> usize {
    usize::from(u16::from_le_bytes([prefix[14], prefix[15]]))
}

/// How many bytes a frame with this payload fills.
pub(crate) fn framed_len(payload: usize) -> usize {
    (PREFIX_BYTES + payload).next_multiple_of(SLOT_BYTES)
}

/// The whole frame, padded.
pub(crate) fn encode(kind: Kind, payload: &[u8], seed: u64) -> Result<Vec<u8>, TooLong> {
    encode_raw(kind as u8, 0, payload, seed)
}

/// As [`encode`], of any kind and flags: what a later version may write.
pub(crate) fn encode_raw(kind: u8, flags: u8, payload: &[u8], seed: u64) -> Result<Vec<u8>, TooLong> {
    let mut frame = Vec::with_capacity(framed_len(payload.len()));
    encode_to(&mut frame, (kind, flags), payload, seed, SLOT_BYTES)?;
    Ok(frame)
}

/// Puts a frame behind whole slots of `slot` bytes.
pub(crate) fn encode_to(
    bytes: &mut Vec<u8>,
    (kind, flags): (u8, u8),
    payload: &[u8],
    seed: u64,
    slot: usize,
) -> Result<(), TooLong> {
    let len = u16::try_from(payload.len()).ok().filter(|len| usize::from(*len) <= PAYLOAD_BYTES_MAX);
    let [short, long] = len.ok_or(TooLong)?.to_le_bytes();
    let start = bytes.len();
    let mut prefix = [0; PREFIX_BYTES];
    prefix[..2].copy_from_slice(&MAGIC);
    prefix[SUMMED_FROM..].copy_from_slice(&[kind, flags, short, long]);
    bytes.extend(prefix);
    bytes.extend_from_slice(payload);
    let checksum = sum(&bytes[start + SUMMED_FROM..], seed);
    prefix[4..SUMMED_FROM].copy_from_slice(&checksum.to_le_bytes());
    let check = check(&prefix, seed);
    prefix[2..4].copy_from_slice(&check);
    bytes[start..start + PREFIX_BYTES].copy_from_slice(&prefix);
    bytes.resize(bytes.len().next_multiple_of(slot), 0);
    Ok(())
}

/// The frame that starts at the first byte, if a right one does and all of it is there.
pub(crate) fn decode(bytes: &[u8], seed: u64) -> Option<Frame<'_>> {
    decode_in(bytes, seed, SLOT_BYTES)
}

/// As [`decode`], where a slot has so many bytes.
pub(crate) fn decode_in(bytes: &[u8], seed: u64, slot: usize) -> Option<Frame<'_>> {
    let prefix = bytes.first_chunk::<PREFIX_BYTES>()?;
    if !may_be_right(prefix, seed) {
        return None;
    }
    let end = PREFIX_BYTES + payload_len(prefix);
    let whole = end.next_multiple_of(slot);
    if end > PREFIX_BYTES + PAYLOAD_BYTES_MAX || whole > bytes.len() {
        return None;
    }
    let right = prefix[4..SUMMED_FROM] == sum(&bytes[SUMMED_FROM..end], seed).to_le_bytes();
    (right && bytes[end..whole].iter().all(|byte| *byte == 0)).then_some(Frame {
        kind: prefix[12],
        flags: prefix[13],
        payload: &bytes[PREFIX_BYTES..end],
        bytes: &bytes[..whole],
    })
}

/// The payload of a frame that was checked before.
pub(crate) fn checked_payload(bytes: &[u8]) -> Option<&[u8]> {
    let prefix = bytes.first_chunk::<PREFIX_BYTES>()?;
    bytes.get(PREFIX_BYTES..PREFIX_BYTES + payload_len(prefix))
}

/// What a frame says of its length, right or wrong: for the planted bug alone.
fn believed(bytes: &[u8]) -> usize {
    match bytes.first_chunk::<PREFIX_BYTES>() {
        Some(prefix) if prefix[..2] == MAGIC => framed_len(payload_len(prefix)),
        _ => SLOT_BYTES,
    }
}

/// What stands in a window of a log, from a slot boundary on.
pub(crate) struct Scan<'a> {
    window: &'a [u8],
    seed: u64,
    slot: usize,
    at: usize,
    /// Behind the last right frame.
    known: usize,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(window: &'a [u8], seed: u64) -> Self {
        Self { window, seed, slot: SLOT_BYTES, at: 0, known: 0 }
    }

    /// Of a segment's frames.
    pub(crate) fn of_segment(window: &'a [u8], seed: u64) -> Self {
        Self { slot: SEGMENT_SLOT_BYTES, ..Scan::new(window, seed) }
    }

    /// Whether a right frame ends where the window does.
    pub(crate) fn ends_whole(mut self) -> bool {
        self.by_ref().count();
        self.known == self.window.len()
    }

    /// Where the next reading of the log starts, relative to the window, once all frames were taken.
    ///
    /// A bad region that reaches the end of the window may be an append in progress and is looked at again,
    /// unless it lies further from the end than one append is long: appends come one after another, so such a
    /// region belongs to one that has ended, and it is damage for good.
    pub(crate) fn known_end(&self) -> usize {
        let settled = self.window.len().saturating_sub(FRAME_BYTES_MAX + SLOT_BYTES);
        self.known.max(settled / SLOT_BYTES * SLOT_BYTES)
    }
}

#[cfg(test)]
std::thread_local! {
    /// How many slots this thread's scans have judged: what reading costs beside its calls.
    pub(crate) static SLOTS_LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl<'a> Iterator for Scan<'a> {
    /// Offset of the frame in the window, and the frame.
    type Item = (usize, Frame<'a>);

    /// The next right frame; bad slots before it are damage, for a right frame stands behind them.
    fn next(&mut self) -> Option<Self::Item> {
        while self.at + self.slot <= self.window.len() {
            let at = self.at;
            #[cfg(test)]
            SLOTS_LOOKED_AT.set(SLOTS_LOOKED_AT.get() + 1);
            if let Some(frame) = decode_in(&self.window[at..], self.seed, self.slot) {
                self.at = at + frame.bytes.len();
                self.known = self.at;
                return Some((at, frame));
            }
            self.at +=
                if planted::is(Bug::LengthBelieved) { believed(&self.window[at..]) } else { self.slot };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        encode(Kind::Put, payload, 7).unwrap()
    }

    #[test]
    fn a_frame_reads_back_what_was_written_at_every_length() {
        for len in (0..200).chain([4096, PAYLOAD_BYTES_MAX - 1, PAYLOAD_BYTES_MAX]) {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let bytes = frame(&payload);
            assert_eq!(bytes.len() % SLOT_BYTES, 0);
            let read = decode(&bytes, 7).unwrap();
            assert_eq!(
                (read.kind, read.payload, read.bytes.len()),
                (Kind::Put as u8, &payload[..], bytes.len())
            );
        }
    }

    #[test]
    fn a_payload_that_is_too_long_is_refused() {
        assert_eq!(encode(Kind::Put, &vec![0; PAYLOAD_BYTES_MAX + 1], 7), Err(TooLong));
        assert_eq!(encode(Kind::Put, &vec![0; 1 << 17], 7), Err(TooLong));
    }

    #[test]
    fn one_flipped_bit_anywhere_spoils_the_frame() {
        let bytes = frame(&[0x5A; 70]);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad, 7), None, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_no_frame() {
        let bytes = frame(&[1; 100]);
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len], 7), None, "{len} bytes");
        }
    }

    #[test]
    fn of_prefixes_made_without_the_seed_one_in_65536_is_worth_a_checksum() {
        let forged = (0..1u64 << 20).filter(|number| {
            let mut prefix = [0; PREFIX_BYTES];
            prefix[..2].copy_from_slice(&MAGIC);
            prefix[4..12].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
            prefix[12..].copy_from_slice(&[Kind::Put as u8, 0, 0xF0, 0xFF]);
            may_be_right(&prefix, 7)
        });
        assert!((1..64).contains(&forged.count()));
    }

    #[test]
    fn a_frame_under_another_seed_is_no_frame() {
        assert_eq!(decode(&frame(b"x"), 8), None);
    }

    #[test]
    fn a_bad_slot_hides_only_itself() {
        let (one, two) = (frame(b"one"), frame(b"two"));
        let mut log = [one.clone(), frame(b"bad"), two].concat();
        log[SLOT_BYTES + 20] ^= 1;
        let mut scan = Scan::new(&log, 7);
        let found: Vec<_> = scan.by_ref().map(|(at, frame)| (at, frame.payload.to_vec())).collect();
        assert_eq!(found, [(0, b"one".to_vec()), (2 * SLOT_BYTES, b"two".to_vec())]);
        assert_eq!(scan.known_end(), log.len());
    }

    #[test]
    fn a_bad_end_is_looked_at_again() {
        let (one, two) = (frame(b"one"), frame(&[2; 300]));
        for cut in 1..two.len() {
            let log = [&one[..], &two[..cut]].concat();
            let mut scan = Scan::new(&log, 7);
            assert_eq!(scan.by_ref().count(), 1);
            assert_eq!(scan.known_end(), one.len(), "cut at {cut}");
        }
    }

    #[test]
    fn a_bad_region_longer_than_any_append_is_left_behind_except_its_end() {
        let log = [frame(b"one"), vec![0xEE; 10 * FRAME_BYTES_MAX]].concat();
        let mut scan = Scan::new(&log, 7);
        assert_eq!(scan.by_ref().count(), 1);
        assert_eq!(scan.known_end(), log.len() - FRAME_BYTES_MAX - SLOT_BYTES);
    }
}
