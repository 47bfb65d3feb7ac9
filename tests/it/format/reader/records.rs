//! Chapter "Records", all others.

use super::{
    frames::Frame,
    put::{Put, put},
    words::{Cursor, Noted},
};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) file: usize,
    pub(crate) seed: u64,
    pub(crate) compat: u32,
    pub(crate) ro_compat: u32,
    pub(crate) incompat: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Touch {
    pub(crate) put_id: u64,
    pub(crate) day: u32,
    pub(crate) stamps: Vec<[u8; 16]>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Footer {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) entries: u64,
    pub(crate) items_at: u64,
    pub(crate) items_len: u64,
    pub(crate) index_slots: u64,
    pub(crate) index_sum: u64,
    pub(crate) bytes: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Header(Header),
    Put(Box<Put>),
    Touch(Touch),
    Drop {
        put_id: u64,
        key: KeyStart,
        when: u64,
        reason: usize,
        why: Option<String>,
    },
    Seal,
    Footer(Footer),
    Count {
        upto: u64,
        counts: Vec<(u8, u64)>,
        dropped: Vec<(KeyStart, u64, usize)>,
        /// Day, hits, misses.
        days: Vec<(u32, u64, u64)>,
    },
    /// As the PUT that it was.
    Entry(Box<Put>),
    Item(u64, Vec<u8>),
}

/// The first bytes of a source digest and of an exec id.
pub(crate) type KeyStart = ([u8; 16], [u8; 8]);

const REASONS: [&str; 5] = ["forgotten", "rejected", "max_files", "max_bytes", "idle_max"];

fn key_start(c: &mut Cursor<'_>) -> Option<KeyStart> {
    Some((c.array("source starts")?, c.array("exec starts")?))
}

/// R2: what the frame says, and all its fields; `None`: unknown.
pub(crate) fn record_of(frame: &Frame) -> Option<(Record, Vec<Noted>)> {
    record_with(frame, None)
}

/// As [`record_of`], in a segment with these items.
pub(super) fn record_with(
    frame: &Frame,
    items: Option<&dyn Fn(u64) -> Option<Vec<u8>>>,
) -> Option<(Record, Vec<Noted>)> {
    if frame.flags != 0 {
        return None;
    }
    let (is_segment, items) = (items.is_some(), items.unwrap_or(&|_| None));
    let c = &mut Cursor { items, ..Cursor::new(&frame.payload, frame.at + 16) };
    let record = match frame.kind {
        1 => Record::Header(Header {
            file: c.tag("file", &["log", "segment"])?,
            seed: c.id("seed")?,
            compat: c.u32("compat")?,
            ro_compat: c.u32("ro-compat")?,
            incompat: c.u32("incompat")?,
        }),
        2 => Record::Put(Box::new(put(c)?)),
        3 => Record::Touch(Touch {
            put_id: c.id("put id")?,
            day: c.u32("day")?,
            stamps: c.list("stamps", |c| c.array("stamp"))?,
        }),
        4 => {
            let put_id = c.id("put id")?;
            let (key, when) = (key_start(c)?, c.u64("when")?);
            let reason = c.tag("reason", &REASONS)?;
            let why = if reason == 1 { Some(String::from_utf8(c.bytes("why")?).ok()?) } else { None };
            Record::Drop { put_id, key, when, reason, why }
        }
        5 => Record::Seal,
        6 => Record::Footer(Footer {
            first: c.u64("first log")?,
            last: c.u64("last log")?,
            entries: c.u64("entries")?,
            items_at: c.u64("items at")?,
            items_len: c.u64("items length")?,
            index_slots: c.u64("index slots")?,
            index_sum: c.id("index checksum")?,
            bytes: c.u64("bytes")?,
        }),
        7 => Record::Count {
            upto: c.u64("up to log")?,
            counts: c.list("counts", |c| {
                let [what] = c.array("what")?;
                Some((what, c.varint("number")? as u64))
            })?,
            dropped: c
                .list("dropped", |c| Some((key_start(c)?, c.u64("when")?, c.tag("rule", &REASONS)?)))?,
            days: c.list("days", |c| Some((c.u32("day")?, c.number("hits")?, c.number("misses")?)))?,
        },
        16 if is_segment => Record::Entry(Box::new(put(c)?)),
        17 if is_segment => {
            let number = c.number("number")?;
            let bytes = c.take(frame.payload.len() - c.at)?;
            c.note(bytes.len(), "string", format!("\"{}\"", bytes.escape_ascii()));
            Record::Item(number, bytes.to_vec())
        }
        _ => return None,
    };
    let noted = Cursor { noted: std::mem::take(&mut c.noted), ..*c }.end()?;
    Some((record, noted))
}
