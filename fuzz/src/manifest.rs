//! Targets over one file of the manifest in an otherwise right store: hostile logs and segments.

use super::{
    until_end,
    world::{Trust, V1, base, examine},
};
use arbitrary::{Arbitrary, Unstructured};
use plugcache::__sim::{self, Disk, Framed};
use std::sync::LazyLock;

const SLOT: usize = 64;
const SEED: u64 = 0x5EED;

/// A log; its pieces follow.
#[derive(Arbitrary, Debug)]
struct LogFile {
    header: LogHeader,
    /// Cut off at the end.
    cut: u8,
    /// Without the segment below it.
    is_alone: bool,
}

#[derive(Arbitrary, Debug)]
enum LogHeader {
    Right,
    Flags { compat: u32, ro_compat: u32, incompat: u32 },
    Raw([u8; 21]),
    Missing,
}

#[derive(Arbitrary, Debug)]
enum Piece {
    Raw(Vec<u8>),
    /// Zeros up to the next slot.
    Align,
    /// Any payload under a right checksum.
    Frame {
        kind: u8,
        flags: bool,
        payload: Vec<u8>,
    },
    /// A frame of the base store's log, under this log's seed.
    Own {
        which: u8,
    },
    /// The same with bytes changed, under a checksum that is right again.
    Forged {
        which: u8,
        edits: Vec<(u16, u8)>,
    },
}

/// Any bytes as a log: finding, adding, compacting and sweeping keep their promises (I5, I6, I7, I10, I18).
pub fn log_replay(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(file) = LogFile::arbitrary(&mut input) else { return };
    let pieces: Vec<Piece> = until_end(&mut input, 40);
    let is_forged = pieces.iter().any(|piece| matches!(piece, Piece::Forged { .. } | Piece::Frame { .. }));
    let is_foreign = is_forged || matches!(file.header, LogHeader::Flags { .. } | LogHeader::Raw(_));
    let bytes = log_bytes(&file, &pieces);
    let disk = base();
    let last = names(&disk, "log.").pop().expect("the base store has a log");
    disk.plant_file(format!("{V1}/{last}"), bytes);
    disk.chmod(format!("{V1}/{last}"), 0o600);
    if file.is_alone {
        names(&disk, "seg.").iter().for_each(|name| disk.remove(format!("{V1}/{name}")));
    }
    let trust = if is_forged { Trust::Forged } else { Trust::Damaged };
    examine(&disk, trust, !is_foreign);
}

fn log_bytes(file: &LogFile, pieces: &[Piece]) -> Vec<u8> {
    let flags = |compat: u32, ro_compat: u32, incompat: u32| {
        let words = [compat, ro_compat, incompat].map(u32::to_le_bytes).concat();
        [&[0], &SEED.to_le_bytes()[..], &words].concat()
    };
    let header = match &file.header {
        LogHeader::Right => Some(flags(0, 0, 0)),
        LogHeader::Flags { compat, ro_compat, incompat } => Some(flags(*compat, *ro_compat, *incompat)),
        LogHeader::Raw(payload) => Some(payload.to_vec()),
        LogHeader::Missing => None,
    };
    let mut bytes = header.and_then(|payload| __sim::frame_of(1, 0, &payload, 0)).unwrap_or_default();
    for piece in pieces {
        match piece {
            Piece::Raw(raw) => bytes.extend(raw),
            Piece::Align => bytes.resize(bytes.len().next_multiple_of(SLOT), 0),
            Piece::Frame { kind, flags, payload } => {
                bytes.extend(__sim::frame_of(*kind, u8::from(*flags), payload, SEED).unwrap_or_default());
            }
            Piece::Own { which } => bytes.extend(own(*which, &[])),
            Piece::Forged { which, edits } => bytes.extend(own(*which, edits)),
        }
    }
    bytes.truncate(bytes.len().saturating_sub(usize::from(file.cut)));
    bytes
}

/// The frames of the base store's log.
static OWN: LazyLock<Vec<Framed>> = LazyLock::new(|| {
    let disk = base();
    let last = names(&disk, "log.").pop().expect("the base store has a log");
    let bytes = disk.read_file(format!("{V1}/{last}")).expect("it was just listed");
    let frames = __sim::frames(&bytes[SLOT..], seed_of(&bytes)).0;
    assert!(frames.len() >= 6, "the base store's log has few frames");
    frames
});

fn own(which: u8, edits: &[(u16, u8)]) -> Vec<u8> {
    let frame = &OWN[usize::from(which) % OWN.len()];
    let mut payload = frame.payload.clone();
    edit(&mut payload, edits);
    __sim::frame_of(frame.kind, frame.flags, &payload, SEED).unwrap_or_default()
}

fn edit(bytes: &mut [u8], edits: &[(u16, u8)]) {
    for (at, byte) in edits {
        let at = usize::from(*at) % bytes.len().max(1);
        if let Some(place) = bytes.get_mut(at) {
            *place = *byte;
        }
    }
}

/// The seed that a manifest file's header holds: behind 16 bytes of frame and 1 of file kind.
fn seed_of(bytes: &[u8]) -> u64 {
    bytes.get(17..25).and_then(|seed| seed.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The names in `v1` with this beginning, ascending.
fn names(disk: &Disk, start: &str) -> Vec<String> {
    let names = disk.list(V1).into_iter().filter_map(|name| name.into_string().ok());
    names.filter(|name| name.starts_with(start)).collect()
}

/// A change to a right segment.
#[derive(Arbitrary, Debug)]
enum Change {
    Bytes {
        at: u16,
        bytes: Vec<u8>,
    },
    Cut {
        bytes: u16,
    },
    Grow {
        bytes: Vec<u8>,
    },
    /// Changes the payload of the n-th frame (an entry, an item, or the footer) and makes its checksum right again.
    Forge {
        frame: u8,
        edits: Vec<(u16, u8)>,
    },
    /// Copies one slot over another.
    Slot {
        from: u8,
        to: u8,
    },
    /// Sets a slot of the hash index: tag and frame number.
    Index {
        slot: u8,
        frame: u8,
    },
}

/// A right segment with changes: finding, adding, compacting and sweeping keep their promises (I5, I6, I10).
pub fn segment(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let changes: Vec<Change> = until_end(&mut input, 24);
    let disk = base();
    let name = names(&disk, "seg.").pop().expect("the base store has a segment");
    let path = format!("{V1}/{name}");
    let mut bytes = disk.read_file(&path).expect("it was just listed");
    changes.iter().for_each(|change| apply(change, &mut bytes));
    disk.plant_file(&path, bytes);
    let is_forged = changes.iter().any(|change| matches!(change, Change::Forge { .. }));
    let trust = if is_forged { Trust::Forged } else { Trust::Damaged };
    examine(&disk, trust, !is_forged);
}

fn apply(change: &Change, bytes: &mut Vec<u8>) {
    let seed = seed_of(bytes);
    match change {
        Change::Bytes { at, bytes: new } => {
            let at = usize::from(*at) % bytes.len().max(1);
            bytes.iter_mut().skip(at).zip(new).for_each(|(old, new)| *old = *new);
        }
        Change::Cut { bytes: count } => bytes.truncate(bytes.len().saturating_sub(usize::from(*count))),
        Change::Grow { bytes: new } => bytes.extend(new),
        Change::Forge { frame, edits } => forge(bytes, seed, *frame, edits),
        Change::Slot { from, to } => {
            let slots = bytes.len() / SLOT;
            if slots > 0 {
                let [from, to] = [*from, *to].map(|slot| usize::from(slot) % slots * SLOT);
                bytes.copy_within(from..from + SLOT, to);
            }
        }
        Change::Index { slot, frame } => {
            // The index stands right behind the frames of entries and items; the footer is the last one.
            let frames = __sim::frames_of_segment(bytes, seed);
            let behind = frames.iter().rev().nth(1).map_or(0, |frame| frame.at + frame.len);
            let at = behind + usize::from(*slot) * 8 + 4;
            if let Some(place) = bytes.get_mut(at..at + 4) {
                place.copy_from_slice(&u32::from(*frame).to_le_bytes());
            }
        }
    }
}

fn forge(bytes: &mut [u8], seed: u64, which: u8, edits: &[(u16, u8)]) {
    let frames = __sim::frames_of_segment(bytes, seed);
    let headers = __sim::frames_of_segment(&bytes[..bytes.len().min(SLOT)], 0);
    let all: Vec<(&Framed, u64)> =
        frames.iter().map(|frame| (frame, seed)).chain(headers.iter().map(|frame| (frame, 0))).collect();
    if all.is_empty() {
        return;
    }
    let (frame, seed) = all[usize::from(which) % all.len()];
    let mut payload = frame.payload.clone();
    edit(&mut payload, edits);
    if let Some(forged) = __sim::frame_of_segment(frame.kind, frame.flags, &payload, seed) {
        bytes[frame.at..frame.at + frame.len].copy_from_slice(&forged);
    }
}
