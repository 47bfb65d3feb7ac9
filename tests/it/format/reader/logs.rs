//! Chapter "Logs", and what begins every file of the manifest.

use super::{
    frames::{Frame, SLOT, frame_at},
    records::{Header, Record, record_of},
};

const LOG_BYTES_MAX: usize = 64 << 20;

/// R3: the header of a file that should be of this kind.
pub(crate) fn header_of(bytes: &[u8], file: usize) -> Option<Header> {
    let slot = &bytes[..bytes.len().min(SLOT)];
    match record_of(&frame_at(slot, 0, 0)?)?.0 {
        Record::Header(header) if header.file == file && header.incompat == 0 => Some(header),
        _ => None,
    }
}

/// R4 to R6: all frames of a log up to its SEAL, and whether there is one.
pub(crate) fn frames_of_log(bytes: &[u8]) -> (Vec<Frame>, bool) {
    let Some(header) = header_of(bytes, 0) else { return (Vec::new(), true) };
    let (mut at, mut frames) = (SLOT, Vec::new());
    while at + SLOT <= bytes.len() {
        let Some(frame) = frame_at(bytes, at, header.seed) else {
            at += SLOT;
            continue;
        };
        at += frame.len;
        let is_seal = frame.kind == 5 && frame.flags == 0 && frame.payload.is_empty();
        if frame.at >= LOG_BYTES_MAX {
            return (frames, true);
        }
        frames.push(frame);
        if is_seal {
            return (frames, true);
        }
    }
    (frames, at >= LOG_BYTES_MAX)
}
