//! What can be had of a file whose HEADER is damaged. Pure, and for rebuilding alone: a reader takes no such file.

use super::{
    frame::{self, HEADER_SEED, SLOT_BYTES},
    record::Record,
};

/// Where a HEADER's frame holds the seed.
const SEED_AT: std::ops::Range<usize> = 17..25;

/// The seed of all other frames of a file that begins with this slot. One wrong byte, wherever it is, is found by
/// trying; if there are more, the seed is taken as it stands: frames are right under it or they are not.
pub(crate) fn seed_of(slot: &[u8; SLOT_BYTES]) -> u64 {
    let mut tried = *slot;
    for at in 0..SLOT_BYTES {
        for byte in 0..=u8::MAX {
            tried[at] = byte;
            if let Some(seed) = header_seed(&tried) {
                return seed;
            }
        }
        tried[at] = slot[at];
    }
    slot[SEED_AT].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn header_seed(slot: &[u8; SLOT_BYTES]) -> Option<u64> {
    let frame = frame::decode(slot, HEADER_SEED)?;
    match Record::of_frame(&frame) {
        Ok(Record::Header(header)) => Some(header.seed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::{FileKind, Header};

    fn slot() -> [u8; SLOT_BYTES] {
        let header = Header {
            file: FileKind::Segment,
            seed: 0x1122_3344_5566_7788,
            compat: 0,
            ro_compat: 0,
            incompat: 0,
        };
        Record::Header(header).to_frame(HEADER_SEED).unwrap().try_into().unwrap()
    }

    #[test]
    fn the_seed_of_a_header_with_one_wrong_byte_anywhere_is_found() {
        for at in 0..SLOT_BYTES {
            let mut bad = slot();
            bad[at] ^= 0x5A;
            assert_eq!(seed_of(&bad), 0x1122_3344_5566_7788, "byte {at}");
        }
    }

    #[test]
    fn of_a_header_with_many_wrong_bytes_the_seed_is_taken_as_it_stands() {
        let mut bad = slot();
        bad[..16].fill(0);
        assert_eq!(seed_of(&bad), 0x1122_3344_5566_7788);
        assert_eq!(seed_of(&[0; SLOT_BYTES]), 0);
    }
}
