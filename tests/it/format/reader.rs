//! A second reader of format v1, written from docs/format.md alone: nothing of the crate is in it.
//!
//! It notes every field that it reads, with its place, so that the worked example can be printed from what was
//! read. Slow and plain on purpose.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    fs,
    path::Path,
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

const SLOT: usize = 64;
const SEGMENT_SLOT: usize = 8;
const LOG_BYTES_MAX: usize = 64 << 20;

/// Chapter "Frames".
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

fn frame_in(slot: usize, bytes: &[u8], at: usize, seed: u64) -> Option<Frame> {
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

/// A field as it was read: offset in the file, length, name, value in words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Noted(usize, usize, String, String);

/// Reads a payload field by field. `None` from any method: the payload says nothing that is known.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    /// Chapter "Strings": those of a segment, by their numbers.
    items: &'a dyn Fn(u64) -> Option<Vec<u8>>,
    at: usize,
    base: usize,
    pub(crate) noted: Vec<Noted>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

impl<'a> Cursor<'a> {
    fn new(bytes: &'a [u8], base: usize) -> Self {
        Cursor { bytes, items: &|_| None, at: 0, base, noted: Vec::new() }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn note(&mut self, len: usize, name: &str, value: String) {
        self.noted.push(Noted(self.base + self.at - len, len, name.into(), value));
    }

    fn array<const N: usize>(&mut self, name: &str) -> Option<[u8; N]> {
        let bytes: [u8; N] = self.take(N)?.try_into().ok()?;
        self.note(N, name, hex(&bytes));
        Some(bytes)
    }

    fn u64(&mut self, name: &str) -> Option<u64> {
        let number = u64::from_le_bytes(self.take(8)?.try_into().ok()?);
        self.note(8, name, number.to_string());
        Some(number)
    }

    /// A `u64` that is no quantity.
    fn id(&mut self, name: &str) -> Option<u64> {
        let number = u64::from_le_bytes(self.take(8)?.try_into().ok()?);
        self.note(8, name, format!("0x{number:016x}"));
        Some(number)
    }

    fn u32(&mut self, name: &str) -> Option<u32> {
        let number = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        self.note(4, name, number.to_string());
        Some(number)
    }

    /// Seven bits a byte, the lowest first; the top bit says that more follow. Shortest form only.
    fn varint(&mut self, name: &str) -> Option<usize> {
        usize::try_from(self.number(name)?).ok()
    }

    fn number(&mut self, name: &str) -> Option<u64> {
        let (mut value, start) = (0u64, self.at);
        loop {
            let byte = self.take(1)?[0];
            let place = 7 * (self.at - start - 1);
            if place > 63 || (place == 63 && byte & 0x7F > 1) {
                return None;
            }
            value |= u64::from(byte & 0x7F) << place;
            if byte & 0x80 == 0 {
                if byte == 0 && place > 0 {
                    return None;
                }
                break;
            }
        }
        self.note(self.at - start, name, value.to_string());
        Some(value)
    }

    fn tag(&mut self, name: &str, words: &[&str]) -> Option<usize> {
        let tag = self.varint(name)?;
        let word = words.get(tag)?;
        self.noted.last_mut()?.3 = format!("{tag} {word}");
        Some(tag)
    }

    fn bytes(&mut self, name: &str) -> Option<Vec<u8>> {
        let len = self.varint(&format!("{name}: length"))?;
        let bytes = self.take(len)?;
        if len > 0 {
            self.note(len, name, format!("\"{}\"", bytes.escape_ascii()));
        }
        Some(bytes.to_vec())
    }

    fn string(&mut self, name: &str) -> Option<Vec<u8>> {
        self.string_as(name, |bytes| format!("\"{}\"", bytes.escape_ascii()))
    }

    /// A string in place, or the number of one that stands elsewhere.
    fn string_as(&mut self, name: &str, words: impl Fn(&[u8]) -> String) -> Option<Vec<u8>> {
        let number = self.number(&format!("{name}: string"))?;
        if number % 2 == 1 {
            let item = (self.items)(number / 2)?;
            self.noted.last_mut()?.3 = format!("{number}: item {}, {}", number / 2, words(&item));
            return Some(item);
        }
        let bytes = self.take(usize::try_from(number / 2).ok()?)?;
        self.noted.last_mut()?.3 = format!("{number}: {} bytes in place", bytes.len());
        if !bytes.is_empty() {
            self.note(bytes.len(), name, words(bytes));
        }
        Some(bytes.to_vec())
    }

    fn string_of<const N: usize>(&mut self, name: &str) -> Option<[u8; N]> {
        self.string_as(name, hex)?.try_into().ok()
    }

    fn text(&mut self, name: &str) -> Option<String> {
        String::from_utf8(self.string(name)?).ok()
    }

    /// A byte of which only these bits may be set.
    fn flags(&mut self, name: &str, known: u8) -> Option<u8> {
        let flags = self.take(1)?[0];
        self.note(1, name, format!("{flags:#04x}"));
        (flags & !known == 0).then_some(flags)
    }

    fn list<T>(&mut self, name: &str, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.varint(&format!("{name}: count"))?;
        (0..count).map(|_| item(self)).collect()
    }

    fn end(self) -> Option<Vec<Noted>> {
        (self.at == self.bytes.len()).then_some(self.noted)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) file: usize,
    pub(crate) seed: u64,
    pub(crate) compat: u32,
    pub(crate) ro_compat: u32,
    pub(crate) incompat: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) name: Vec<u8>,
    pub(crate) object: [u8; 32],
    pub(crate) len: u64,
    pub(crate) executable: bool,
    pub(crate) stamp: [u8; 16],
    pub(crate) packed: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Shown(Vec<u8>),
    Hidden([u8; 32]),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) tag: usize,
    pub(crate) name: String,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: Vec<u8>,
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) digest: [u8; 32],
    pub(crate) len: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Details {
    pub(crate) kind: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) parts: Vec<Part>,
    pub(crate) discovered: Vec<(Vec<u8>, [u8; 32])>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Put {
    pub(crate) put_id: u64,
    pub(crate) source: [u8; 32],
    pub(crate) exec: [u8; 32],
    pub(crate) discovered_id: [u8; 16],
    pub(crate) order: u64,
    pub(crate) day: u32,
    pub(crate) made_ms: u64,
    pub(crate) cost_ms: u64,
    pub(crate) paths: u64,
    pub(crate) names: u64,
    pub(crate) label: String,
    pub(crate) outputs: Vec<Output>,
    pub(crate) details: Option<Details>,
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

const TAGS: [&str; 5] = ["toolchain", "option", "context", "environment", "environment, not set"];
const REASONS: [&str; 5] = ["forgotten", "rejected", "max_files", "max_bytes", "idle_max"];

/// A key field is one string.
fn field(c: &mut Cursor<'_>) -> Option<Field> {
    let bytes = c.string("field")?;
    let inner = &mut Cursor::new(&bytes, 0);
    let tag = inner.varint("tag")?;
    let name = String::from_utf8(inner.bytes("name")?).ok()?;
    let rest = inner.take(bytes.len() - inner.at)?;
    let value = if tag >= 8 { Value::Hidden(rest.try_into().ok()?) } else { Value::Shown(rest.to_vec()) };
    let tag = tag % 8;
    if tag >= TAGS.len() || bytes[0] >= 16 {
        return None;
    }
    let noted = c.noted.last_mut()?;
    let shown = match &value {
        Value::Shown(value) => format!("\"{}\"", value.escape_ascii()),
        Value::Hidden(digest) => format!("BLAKE3 {}", hex(digest)),
    };
    noted.3 = format!("{} {name} = {shown}", TAGS[tag]);
    Some(Field { tag, name, value })
}

/// `dir`: that of the part before.
fn part(c: &mut Cursor<'_>, label: Option<&[u8]>, dir: &mut Option<Vec<u8>>) -> Option<Part> {
    let flags = c.flags("part flags", 7)?;
    let name = if flags & 4 == 0 { c.string("part name")? } else { label?.to_vec() };
    if flags & 4 == 0 && label == Some(&name) {
        return None;
    }
    let path = match flags & 3 {
        0 => None,
        1 => {
            let now = c.string("directory")?;
            if !now.ends_with(b"/") || dir.as_ref() == Some(&now) {
                return None;
            }
            *dir = Some(now);
            Some([&dir.clone()?, &name[..]].concat())
        }
        2 => {
            let path = c.string("path")?;
            if path.ends_with(&[b"/", &name[..]].concat()) {
                return None;
            }
            Some(path)
        }
        _ => Some([&dir.clone()?, &name[..]].concat()),
    };
    Some(Part { name, path, digest: c.array("BLAKE3 of the part")?, len: c.number("part length")? })
}

fn details(c: &mut Cursor<'_>, label: Option<&[u8]>) -> Option<Details> {
    let mut dir = None;
    Some(Details {
        kind: c.text("kind")?,
        fields: c.list("fields", field)?,
        parts: c.list("parts", |c| part(c, label, &mut dir))?,
        discovered: c.list("discovered inputs", |c| Some((c.string("path")?, c.array("BLAKE3")?)))?,
    })
}

fn put(c: &mut Cursor<'_>) -> Option<Put> {
    let (put_id, source, flags) = (c.id("put id")?, c.array("source digest")?, c.flags("flags", 3)?);
    let exec = c.string_of("exec id")?;
    let discovered_id = if flags & 1 == 0 { [0; 16] } else { c.array("discovered id")? };
    if flags & 1 == 1 && discovered_id == [0; 16] {
        return None;
    }
    let (order, day) = (c.number("order")?, u32::try_from(c.number("day")?).ok()?);
    let (made_ms, cost_ms) = (c.number("made")?, c.number("cost")?);
    let groups: [u8; 16] = c.string_of("paths, names")?;
    let label = c.text("label")?;
    let outputs = c.list("outputs", |c| {
        let (name, object) = (c.string("output name")?, c.array("object digest")?);
        let (len, flags) = (c.number("output length")?, c.flags("output flags", 3)?);
        let packed = if flags & 2 == 0 { None } else { Some(c.bytes("packed")?) };
        let stamp = if packed.is_none() { c.array("stamp")? } else { [0; 16] };
        Some(Output { name, object, len, executable: flags & 1 == 1, stamp, packed })
    })?;
    let details = if flags & 2 == 0 { None } else { Some(details(c, Some(label.as_bytes()))?) };
    let (paths, names) = (le64(&groups), le64(&groups[8..]));
    Some(Put {
        put_id,
        source,
        exec,
        discovered_id,
        order,
        day,
        made_ms,
        cost_ms,
        paths,
        names,
        label,
        outputs,
        details,
    })
}

fn key_start(c: &mut Cursor<'_>) -> Option<KeyStart> {
    Some((c.array("source starts")?, c.array("exec starts")?))
}

/// The bytes of an object that holds details.
pub(crate) fn details_of(bytes: &[u8]) -> Option<Details> {
    let mut c = Cursor::new(bytes, 0);
    let details = details(&mut c, None)?;
    c.end().map(|_| details)
}

/// R2: what the frame says, and all its fields; `None`: unknown.
pub(crate) fn record_of(frame: &Frame) -> Option<(Record, Vec<Noted>)> {
    record_with(frame, None)
}

/// As [`record_of`], in a segment with these items.
fn record_with(
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

/// Chapter "Segments".
pub(crate) struct Segment<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) header: Header,
    pub(crate) footer: Footer,
    pub(crate) footer_frame: Frame,
}

fn le64(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
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

/// Chapter "The state": all entries of a store by their order, from its directory `v1`.
pub(crate) fn entries_of(v1: &Path) -> Vec<Put> {
    let (mut logs, mut segments) = (BTreeMap::new(), BTreeMap::new());
    for entry in fs::read_dir(v1).unwrap() {
        let (name, path) = entry.map(|entry| (entry.file_name(), entry.path())).unwrap();
        let name = name.to_str().unwrap();
        if let Some(number) = name.strip_prefix("log.") {
            logs.insert(number.parse::<u64>().unwrap(), fs::read(path).unwrap());
        } else if let Some((first, last)) = name.strip_prefix("seg.").and_then(|range| range.split_once('-'))
        {
            segments.insert(last.parse::<u64>().unwrap(), (first.parse().unwrap(), fs::read(path).unwrap()));
        }
    }
    let newest = segments.iter().next_back();
    let segment =
        newest.map(|(last, (first, bytes))| Segment::open(bytes, *first, *last).expect("a right segment"));
    let base = newest.map_or(0, |(last, _)| *last);
    let mut live: HashMap<u64, Put> =
        segment.iter().flat_map(Segment::puts).map(|put| (put.put_id, put)).collect();
    let mut order = segment.as_ref().map_or(0, |segment| segment.footer.entries);
    for (_, bytes) in logs.range(base + 1..) {
        let (frames, sealed) = frames_of_log(bytes);
        for (record, _) in frames.iter().filter_map(record_of) {
            apply(&mut live, &mut order, record);
        }
        if !sealed {
            break;
        }
    }
    let mut entries: Vec<_> = live.into_values().collect();
    entries.sort_by_key(|put| put.order);
    entries
}

/// Enough for logs in which every put id is put once.
fn apply(live: &mut HashMap<u64, Put>, order: &mut u64, record: Record) {
    match record {
        Record::Put(put) => {
            let identity = |put: &Put| (put.source, put.exec, put.discovered_id);
            live.retain(|_, old| identity(old) != identity(&put));
            *order += 1;
            live.insert(put.put_id, Put { order: *order, ..*put });
        }
        Record::Touch(touch) => {
            if let Some(put) = live.get_mut(&touch.put_id) {
                put.day = touch.day;
                if touch.stamps.len() == put.outputs.len() {
                    put.outputs.iter_mut().zip(touch.stamps).for_each(|(output, stamp)| output.stamp = stamp);
                }
            }
        }
        Record::Drop { put_id, .. } => {
            live.remove(&put_id);
        }
        Record::Header(_) | Record::Seal | Record::Footer(_) | Record::Count { .. } => {}
        Record::Entry(_) | Record::Item(..) => unreachable!("they are unknown in a log"),
    }
}

/// Every frame of a file and every field of it, in words.
pub(crate) fn listing(
    frames: &[Frame],
    record_of: impl Fn(&Frame) -> Option<(Record, Vec<Noted>)>,
) -> String {
    const KINDS: [&str; 8] = ["?", "HEADER", "PUT", "TOUCH", "DROP", "SEAL", "FOOTER", "COUNT"];
    let mut text = String::new();
    for frame in frames {
        let (_, noted) = record_of(frame).expect("a known record");
        let kind = match frame.kind {
            16 => "ENTRY",
            17 => "ITEM",
            kind => KINDS[usize::from(kind)],
        };
        let (at, len, payload) = (frame.at, frame.len, frame.payload.len());
        let value = format!("payload {payload}, checksum 0x{:016x}", frame.checksum);
        writeln!(text, "{at:>6} {len:>5}  {kind:<22} {value}").unwrap();
        for Noted(at, len, name, value) in noted {
            writeln!(text, "{at:>6} {len:>5}    {name:<20} {value}").unwrap();
        }
    }
    text
}

/// Device, inode, length, modification and change time, what, value.
type Remembered = (u64, u64, u64, [(i64, u32); 2], u32, [u8; 32]);

/// Chapter "The memo".
pub(crate) struct Memo {
    pub(crate) boot: String,
    pub(crate) records: Vec<Remembered>,
}

/// All that it says. `None` if it is none.
pub(crate) fn memo(bytes: &[u8]) -> Option<Memo> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let slots = usize::try_from(number(32)?).ok()?;
    if bytes[..8] != *b"\xF7pmemo\x00\x01"
        || number(56)? != xxh3_64_with_seed(&bytes[..56], 0)
        || bytes.len() != 64 + slots.checked_mul(96)?
    {
        return None;
    }
    let mut records = Vec::new();
    for at in (64..bytes.len()).step_by(96) {
        if number(at + 88)? != xxh3_64_with_seed(&bytes[at..at + 88], number(8)?) {
            continue;
        }
        let half = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let times = [(number(at + 24)? as i64, half(at + 40)?), (number(at + 32)? as i64, half(at + 44)?)];
        let value = bytes[at + 56..at + 88].try_into().ok()?;
        records.push((number(at)?, number(at + 8)?, number(at + 16)?, times, half(at + 48)?, value));
    }
    records.sort_unstable();
    Some(Memo { boot: hex(&bytes[16..32]), records })
}
