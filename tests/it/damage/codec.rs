//! Frames, encoded and taken apart by somebody who knows the description of the format alone.
//!
//! Shares no code with the crate: where both agree, the description is what is written.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::sources;

const SLOT: usize = 64;
pub(crate) const PUT: u8 = 2;
pub(crate) const SEAL: u8 = 5;
pub(crate) const COUNT: u8 = 7;

/// A frame by the description: magic, check, kind, flags, length, checksum, payload, zeros to the end of the slot.
pub(crate) fn frame(kind: u8, flags: u8, payload: &[u8], seed: u64) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_le_bytes();
    let start = [kind, flags, len[0], len[1]];
    let checksum = xxh3_64_with_seed(&[&start, payload].concat(), seed).to_le_bytes();
    let checked = [&start[..], &checksum].concat();
    let check = xxh3_64_with_seed(&checked, seed).to_le_bytes();
    let mut frame = [&[0xF7, b'p'], &check[..2], &checked, payload].concat();
    frame.resize(frame.len().next_multiple_of(SLOT), 0);
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

/// Offset, kind and payload of each frame; the file holds nothing else.
pub(crate) fn frames(file: &[u8]) -> Vec<(usize, u8, &[u8])> {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < file.len() && file[at..at + 2] == [0xF7, b'p'] {
        let len = usize::from(u16::from_le_bytes([file[at + 6], file[at + 7]]));
        frames.push((at, file[at + 4], &file[at + 16..at + 16 + len]));
        at = (at + 16 + len).next_multiple_of(SLOT);
    }
    frames
}

/// A PUT by the description, with details that name no source.
pub(crate) fn put(number: usize, exec: &[u8], outputs: &[(&[u8], [u8; 32], u64)]) -> Vec<u8> {
    let mut payload = (number as u64).to_le_bytes().to_vec();
    payload.extend(sources(number).digest().as_bytes());
    payload.extend(exec);
    payload.extend([0; 16 + 8]);
    payload.extend(20_000u32.to_le_bytes());
    payload.extend([0; 4 * 8]);
    payload.extend([0, u8::try_from(outputs.len()).unwrap()]);
    for (name, object, len) in outputs {
        payload.push(u8::try_from(name.len()).unwrap());
        payload.extend(*name);
        payload.extend(object);
        payload.extend(len.to_le_bytes());
        payload.extend([0; 1 + 16 + 1]);
    }
    payload.extend([1, 0, 0, 0, 0]);
    payload
}
