//! Chapter "Frames".

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(super) const SLOT: usize = 64;
pub(super) const SEGMENT_SLOT: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) at: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) checksum: u64,
    pub(crate) payload: Vec<u8>,
    /// Whole slots.
    pub(crate) len: usize,
}

/// R1: the frame that starts here, if a right one does.
pub(crate) fn frame_at(bytes: &[u8], at: usize, seed: u64) -> Option<Frame> {
    frame_in(SLOT, bytes, at, seed)
}

pub(super) fn frame_in(slot: usize, bytes: &[u8], at: usize, seed: u64) -> Option<Frame> {
    let prefix = bytes.get(at..at.checked_add(16)?)?;
    let check = xxh3_64_with_seed(&prefix[4..], seed).to_le_bytes();
    if prefix[..2] != [0xF7, 0x70] || prefix[2..4] != check[..2] {
        return None;
    }
    let payload_len = usize::from(u16::from_le_bytes([prefix[14], prefix[15]]));
    let len = (16 + payload_len).next_multiple_of(slot);
    if payload_len > 65_520 {
        return None;
    }
    let whole = bytes.get(at..at + len)?;
    let (payload, padding) = whole[16..].split_at(payload_len);
    let checksum = u64::from_le_bytes(prefix[4..12].try_into().unwrap());
    let right = checksum == xxh3_64_with_seed(&[&prefix[12..], payload].concat(), seed)
        && padding.iter().all(|byte| *byte == 0);
    right.then(|| Frame { at, kind: prefix[12], flags: prefix[13], checksum, payload: payload.into(), len })
}
