//! Chapter "Records", the longest of them: PUT, with the details of an entry.

use super::words::{Cursor, hex, le64};

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
    pub(crate) brought: bool,
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

const TAGS: [&str; 5] = ["toolchain", "option", "context", "environment", "environment, not set"];

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

pub(super) fn put(c: &mut Cursor<'_>) -> Option<Put> {
    let (put_id, source, flags) = (c.id("put id")?, c.array("source digest")?, c.flags("flags", 7)?);
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
        brought: flags & 4 != 0,
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

/// The bytes of an object that holds details.
pub(crate) fn details_of(bytes: &[u8]) -> Option<Details> {
    let mut c = Cursor::new(bytes, 0);
    let details = details(&mut c, None)?;
    c.end().map(|_| details)
}
