//! Frames, encoded and taken apart by somebody who knows the description of the format alone.
//!
//! Shares no code with the crate: where both agree, the description is what is written.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::sources;

const SLOT: usize = 64;
const SEGMENT_SLOT: usize = 8;
pub(crate) const PUT: u8 = 2;
pub(crate) const ENTRY: u8 = 16;
pub(crate) const ITEM: u8 = 17;
pub(crate) const SEAL: u8 = 5;
pub(crate) const COUNT: u8 = 7;

/// A frame by the description: magic, check, checksum, kind, flags, length, payload, zeros to the end of the slot.
pub(crate) fn frame(kind: u8, flags: u8, payload: &[u8], seed: u64) -> Vec<u8> {
    frame_in(SLOT, kind, flags, payload, seed)
}

/// As [`frame`], of an entry or item of a segment.
pub(crate) fn segment_frame(kind: u8, flags: u8, payload: &[u8], seed: u64) -> Vec<u8> {
    frame_in(SEGMENT_SLOT, kind, flags, payload, seed)
}

fn frame_in(slot: usize, kind: u8, flags: u8, payload: &[u8], seed: u64) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_le_bytes();
    let start = [kind, flags, len[0], len[1]];
    let checksum = xxh3_64_with_seed(&[&start, payload].concat(), seed).to_le_bytes();
    let checked = [&checksum[..], &start].concat();
    let check = xxh3_64_with_seed(&checked, seed).to_le_bytes();
    let mut frame = [&[0xF7, b'p'], &check[..2], &checked, payload].concat();
    frame.resize(frame.len().next_multiple_of(slot), 0);
    frame
}

/// The first frame of a file: 0 for a log, 1 for a segment, then the seed and the three words of flags.
pub(crate) fn header(file: u8, seed: u64, flags: [u32; 3]) -> Vec<u8> {
    let mut payload = vec![file];
    payload.extend(seed.to_le_bytes());
    payload.extend(flags.iter().flat_map(|word| word.to_le_bytes()));
    frame(1, 0, &payload, 0)
}

/// The seed that the first frame of a file tells.
pub(crate) fn seed_of(file: &[u8]) -> u64 {
    u64::from_le_bytes(file[17..25].try_into().unwrap())
}

/// Offset, kind and payload of each frame of a log; it holds nothing else.
pub(crate) fn frames(file: &[u8]) -> Vec<(usize, u8, &[u8])> {
    frames_in(SLOT, file, 0, file.len())
}

/// The same of a segment's entries and items.
pub(crate) fn segment_frames(file: &[u8]) -> Vec<(usize, u8, &[u8])> {
    frames_in(SEGMENT_SLOT, file, SLOT, file.len())
}

fn frames_in(slot: usize, file: &[u8], mut at: usize, end: usize) -> Vec<(usize, u8, &[u8])> {
    let mut frames = Vec::new();
    while at < end && file[at..at + 2] == [0xF7, b'p'] {
        let len = usize::from(u16::from_le_bytes([file[at + 14], file[at + 15]]));
        frames.push((at, file[at + 12], &file[at + 16..at + 16 + len]));
        at = (at + 16 + len).next_multiple_of(slot);
    }
    frames
}

/// Where a PUT by its description holds the exec id, if it holds it in place.
pub(crate) const EXEC: std::ops::Range<usize> = 42..74;

/// Seven bits a byte, the lowest first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A PUT by the description, with details that name no source.
pub(crate) fn put(number: usize, exec: &[u8], outputs: &[(&[u8], [u8; 32], u64)]) -> Vec<u8> {
    let string = |bytes: &[u8]| [varint(2 * bytes.len() as u64), bytes.to_vec()].concat();
    let mut payload = (number as u64).to_le_bytes().to_vec();
    payload.extend(sources(number).digest().as_bytes());
    payload.push(2);
    payload.extend(string(exec));
    for field in [0, 20_000, 0, 0] {
        payload.extend(varint(field));
    }
    payload.extend(string(&[0; 16]));
    payload.extend(string(b""));
    payload.extend(varint(outputs.len() as u64));
    for (name, object, len) in outputs {
        payload.extend(string(name));
        payload.extend(object);
        payload.extend(varint(*len));
        payload.extend([0; 1 + 16]);
    }
    payload.extend([0, 0, 0, 0]);
    payload
}
