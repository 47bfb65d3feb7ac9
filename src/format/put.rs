//! The bytes of a PUT, and of the same as a segment holds it (ENTRY): one walk for all who read them.
//!
//! What comes first (the *head*) is what a lookup needs; what an entry was made from (its [`Details`]) follows, and is
//! decoded when it is asked for. A value has one spelling: fields that are zeros, equal to the label or implied by
//! the path are marked by a flag, which must then be set. In a log all strings stand in place.

use super::{
    record::{
        DETAILS_NAME, Details, Discovered, Field, FieldTag, OutputRecord, PartRecord, Put, PutId, Recipe,
        Stamp, Unknown, Value,
    },
    wire::{Items, Numbers, Strings, Text, Walk, Writer, varint_to},
};

const HAS_DISCOVERED: u8 = 1;
const HAS_DETAILS: u8 = 2;
const BROUGHT: u8 = 4;

const EXECUTABLE: u8 = 1;
const PACKED: u8 = 2;

/// How a part's path is written, in the lowest two bits of its flags.
const PATH_NONE: u8 = 0;
/// Its directory, up to the last slash; its name follows.
const PATH_IN: u8 = 1;
/// As it is: it does not end in its name.
const PATH_WHOLE: u8 = 2;
/// In the directory of the part before.
const PATH_BESIDE: u8 = 3;
/// The name is the entry's label.
const NAMED_AS_LABEL: u8 = 4;

/// Above the tag of a field whose value is hidden.
const HIDDEN: u8 = 8;

/// All of a PUT that stands before its details, but for its outputs. Strings are `None` where they were not asked for.
pub(crate) struct Head<'a> {
    pub(crate) put_id: PutId,
    pub(crate) source: [u8; 32],
    pub(crate) exec: Option<&'a [u8; 32]>,
    pub(crate) discovered_id: [u8; 16],
    pub(crate) brought: bool,
    pub(crate) order: u64,
    pub(crate) day: u32,
    made_ms: u64,
    cost_ms: u64,
    /// The hashes for retention, one after the other.
    groups: Option<&'a [u8; 16]>,
    pub(crate) label: Option<&'a str>,
    has_details: bool,
    /// How many outputs there are, the hidden one for details included.
    pub(crate) outputs: usize,
    /// Sum of their lengths.
    pub(crate) bytes: u64,
    /// As [`Put::is_sound`].
    pub(crate) is_sound: bool,
}

impl Head<'_> {
    /// The hash of the source names, 0 where it was not asked for.
    pub(crate) fn names(&self) -> u64 {
        let names = self.groups.and_then(|groups| groups.last_chunk());
        names.map_or(0, |names| u64::from_le_bytes(*names))
    }
}

struct Output<'a> {
    name: Text<'a>,
    object: &'a [u8; 32],
    len: u64,
    executable: bool,
    stamp: Stamp,
    packed: Option<&'a [u8]>,
}

fn head<'a>(walk: &mut Walk<'a>, take: &mut dyn FnMut(Output<'a>)) -> Option<Head<'a>> {
    let (put_id, source) = (walk.u64()?, *walk.array()?);
    let flags = walk.flags(HAS_DISCOVERED | HAS_DETAILS | BROUGHT)?;
    let exec = walk.string_of()?;
    let discovered_id = if flags & HAS_DISCOVERED == 0 { [0; 16] } else { *walk.array()? };
    if flags & HAS_DISCOVERED != 0 && discovered_id == [0; 16] {
        return None;
    }
    let (order, day) = (walk.varint()?, u32::try_from(walk.varint()?).ok()?);
    let (made_ms, cost_ms, groups, label) = (walk.varint()?, walk.varint()?, walk.string_of()?, walk.text()?);
    let (mut outputs, mut bytes, mut last) = (0, 0u64, Text::None);
    for _ in 0..walk.varint()? {
        let output = output(walk)?;
        (outputs, bytes, last) = (outputs + 1, bytes.saturating_add(output.len), output.name);
        take(output);
    }
    let has_details = flags & HAS_DETAILS != 0;
    let is_spilled = last == Some(DETAILS_NAME);
    let is_sound = outputs > usize::from(is_spilled) && (has_details || is_spilled);
    Some(Head {
        put_id,
        source,
        exec,
        discovered_id,
        brought: flags & BROUGHT != 0,
        order,
        day,
        made_ms,
        cost_ms,
        groups,
        label,
        has_details,
        outputs,
        bytes,
        is_sound,
    })
}

fn output<'a>(walk: &mut Walk<'a>) -> Option<Output<'a>> {
    let (name, object, len) = (walk.string()?, walk.array()?, walk.varint()?);
    let flags = walk.flags(EXECUTABLE | PACKED)?;
    let is_packed = flags & PACKED != 0;
    let packed = if is_packed { Some(walk.bytes()?) } else { None };
    let stamp = if is_packed { [0; 16] } else { *walk.array()? };
    Some(Output { name, object, len, executable: flags & EXECUTABLE != 0, stamp, packed })
}

/// What goes by while details are walked through.
trait Sink<'a> {
    fn field(&mut self, _: Text<'a>) -> Option<()> {
        Some(())
    }
    /// Name; directory; whether the name follows it; digest; length.
    fn part(&mut self, _: Text<'a>, _: Option<(Text<'a>, bool)>, _: &'a [u8; 32], _: u64) {}
    fn discovered(&mut self, _: Text<'a>, _: &'a [u8; 32]) {}
}

/// Walks through details; their kind. `label`: what a part may be named like, `None` outside an entry.
fn details<'a>(
    walk: &mut Walk<'a>,
    label: Option<Text<'a>>,
    sink: &mut dyn Sink<'a>,
) -> Option<Option<&'a str>> {
    let kind = walk.text()?;
    for _ in 0..walk.varint()? {
        let field = walk.string()?;
        if let Some(bytes) = field {
            pieces_of_field(bytes)?;
        }
        sink.field(field)?;
    }
    let mut dir: Option<Text<'a>> = None;
    for _ in 0..walk.varint()? {
        part(walk, label, &mut dir, sink)?;
    }
    for _ in 0..walk.varint()? {
        let (path, digest) = (walk.string()?, walk.array()?);
        sink.discovered(path, digest);
    }
    Some(kind)
}

/// `dir`: of the part before, if it is known.
fn part<'a>(
    walk: &mut Walk<'a>,
    label: Option<Text<'a>>,
    dir: &mut Option<Text<'a>>,
    sink: &mut dyn Sink<'a>,
) -> Option<()> {
    let flags = walk.flags(PATH_BESIDE | NAMED_AS_LABEL)?;
    let is_as_label = flags & NAMED_AS_LABEL != 0;
    let name = if is_as_label { label? } else { walk.string()? };
    if let (false, Some(name), Some(Some(label))) = (is_as_label, name, label)
        && name == label
    {
        return None;
    }
    let path = match flags & PATH_BESIDE {
        PATH_NONE => None,
        PATH_IN => {
            let now = walk.string()?;
            let is_right = now.is_none_or(|now| now.ends_with(b"/") && *dir != Some(Some(now)));
            *dir = is_right.then_some(Some(now))?;
            Some((now, true))
        }
        PATH_BESIDE => Some(((*dir)?, true)),
        _ => {
            let whole = walk.string()?;
            if let (Some(whole), Some(name)) = (whole, name)
                && dir_of(whole, name).is_some()
            {
                return None;
            }
            Some((whole, false))
        }
    };
    let (digest, len) = (walk.array()?, walk.varint()?);
    sink.part(name, path, digest, len);
    Some(())
}

/// What stands before the name in a path that ends in it, the slash included.
fn dir_of<'a>(path: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    path.strip_suffix(name).filter(|dir| dir.ends_with(b"/"))
}

/// A key field is one string, so that it can stand elsewhere as a whole: tag, name, and the rest is its value, which
/// may be hidden.
fn pieces_of_field(bytes: &[u8]) -> Option<(FieldTag, &str, bool, &[u8])> {
    let mut walk = Walk::new(bytes, Strings::InPlace);
    let [tag] = *walk.array()?;
    let name = std::str::from_utf8(walk.bytes()?).ok()?;
    let is_hidden = tag & HIDDEN != 0;
    let tag = match tag & !HIDDEN {
        0 => FieldTag::Toolchain,
        1 => FieldTag::Option,
        2 => FieldTag::Context,
        3 => FieldTag::Env,
        4 => FieldTag::EnvUnset,
        _ => return None,
    };
    (!is_hidden || walk.rest.len() == 32).then_some((tag, name, is_hidden, walk.rest))
}

fn field_of(bytes: &[u8]) -> Option<Field> {
    let (tag, name, is_hidden, value) = pieces_of_field(bytes)?;
    let value = if is_hidden { Value::Hidden(value.try_into().ok()?) } else { Value::Shown(value.to_vec()) };
    Some(Field { tag, name: name.to_owned(), value })
}

fn bytes_of_field(field: &Field, bytes: &mut Vec<u8>) {
    let tag = match field.tag {
        FieldTag::Toolchain => 0,
        FieldTag::Option => 1,
        FieldTag::Context => 2,
        FieldTag::Env => 3,
        FieldTag::EnvUnset => 4,
    };
    let (hidden, value) = match &field.value {
        Value::Shown(value) => (0, value.as_slice()),
        Value::Hidden(digest) => (HIDDEN, digest.as_slice()),
    };
    bytes.push(tag | hidden);
    varint_to(bytes, field.name.len() as u64);
    bytes.extend_from_slice(field.name.as_bytes());
    bytes.extend_from_slice(value);
}

struct Passing;
impl Sink<'_> for Passing {}

/// Walks through the payload of a PUT or ENTRY, and judges its spelling as far as its strings are read. What passes with
/// all strings in place decodes.
pub(crate) fn skim<'a>(payload: &'a [u8], strings: Strings<'a>) -> Result<Head<'a>, Unknown> {
    let mut walk = Walk::new(payload, strings);
    let whole = |walk: &mut Walk<'a>| {
        let head = head(walk, &mut |_| {})?;
        if head.has_details {
            details(walk, Some(head.label.map(str::as_bytes)), &mut Passing)?;
        }
        walk.rest.is_empty().then_some(head)
    };
    whole(&mut walk).ok_or(Unknown)
}

/// The payload of an ITEM: its number, so that it can be told without the rest of its segment; and the string.
pub(crate) fn encode_item(number: u64, string: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10 + string.len());
    varint_to(&mut bytes, number);
    bytes.extend_from_slice(string);
    bytes
}

pub(crate) fn decode_item(payload: &[u8]) -> Option<(u64, &[u8])> {
    let mut walk = Walk::new(payload, Strings::InPlace);
    Some((walk.varint()?, walk.rest))
}

/// The head of an ENTRY with its strings, if all of them can be had.
pub(crate) fn head_of<'a>(payload: &'a [u8], items: &'a dyn Items) -> Option<Head<'a>> {
    head(&mut Walk::new(payload, Strings::Of(items)), &mut |_| {})
}

/// The whole PUT, details included.
pub(crate) fn decode(payload: &[u8], strings: Strings<'_>) -> Option<Put> {
    let (mut put, rest, has_details) = decode_head(payload, strings)?;
    if has_details {
        put.details = Some(decode_details(rest, Some(&put.label), strings)?).into();
        return Some(put);
    }
    rest.is_empty().then_some(put)
}

/// A PUT without its details, where in the payload they begin, and whether there are any.
pub(crate) fn decode_head<'a>(payload: &'a [u8], strings: Strings<'a>) -> Option<(Put, &'a [u8], bool)> {
    let mut walk = Walk::new(payload, strings);
    let mut outputs = Vec::with_capacity(1);
    let head = head(&mut walk, &mut |output| {
        outputs.push(OutputRecord {
            name: output.name.unwrap_or_default().to_vec(),
            object: *output.object,
            len: output.len,
            executable: output.executable,
            stamp: output.stamp,
            packed: output.packed.map(<[u8]>::to_vec),
        });
    })?;
    let (paths, names) = head.groups?.split_at(8);
    let put = Put {
        put_id: head.put_id,
        source: head.source,
        exec: *head.exec?,
        discovered_id: head.discovered_id,
        brought: head.brought,
        order: head.order,
        day: head.day,
        made_ms: head.made_ms,
        cost_ms: head.cost_ms,
        paths: u64::from_le_bytes(paths.try_into().ok()?),
        names: u64::from_le_bytes(names.try_into().ok()?),
        label: head.label?.to_owned(),
        outputs,
        details: None.into(),
    };
    Some((put, walk.rest, head.has_details))
}

/// Gathers details.
#[derive(Default)]
struct Gathered(Details);

impl<'a> Sink<'a> for Gathered {
    fn field(&mut self, field: Text<'a>) -> Option<()> {
        self.0.recipe.fields.push(field_of(field?)?);
        Some(())
    }

    fn part(&mut self, name: Text<'a>, path: Option<(Text<'a>, bool)>, digest: &'a [u8; 32], len: u64) {
        let name = name.unwrap_or_default().to_vec();
        let path = path.map(|(start, is_dir)| {
            let start = start.unwrap_or_default();
            if is_dir { [start, &name].concat() } else { start.to_vec() }
        });
        self.0.recipe.parts.push(PartRecord { name, path, digest: *digest, len });
    }

    fn discovered(&mut self, path: Text<'a>, digest: &'a [u8; 32]) {
        self.0.discovered.push(Discovered { path: path.unwrap_or_default().to_vec(), digest: *digest });
    }
}

/// Details, and nothing behind them.
pub(crate) fn decode_details(bytes: &[u8], label: Option<&str>, strings: Strings<'_>) -> Option<Details> {
    let mut walk = Walk::new(bytes, strings);
    let mut gathered = Gathered::default();
    let kind = details(&mut walk, label.map(|label| Some(label.as_bytes())), &mut gathered)?;
    gathered.0.recipe.kind = kind?.to_owned();
    walk.rest.is_empty().then_some(gathered.0)
}

/// The payload of a PUT (with [`in_place`](super::wire::in_place)) or ENTRY.
pub(crate) fn encode(put: &Put, numbers: &mut Numbers<'_>) -> Vec<u8> {
    let mut to = Writer { bytes: Vec::with_capacity(512), numbers };
    to.raw(&put.put_id.to_le_bytes());
    to.raw(&put.source);
    let has_discovered = put.discovered_id != [0; 16];
    let details = put.details();
    let has_details = flag(HAS_DETAILS, details.is_some());
    to.raw(&[flag(HAS_DISCOVERED, has_discovered) | has_details | flag(BROUGHT, put.brought)]);
    to.string(&put.exec);
    if has_discovered {
        to.raw(&put.discovered_id);
    }
    for number in [put.order, u64::from(put.day), put.made_ms, put.cost_ms] {
        to.varint(number);
    }
    to.string(&[put.paths.to_le_bytes(), put.names.to_le_bytes()].concat());
    to.string(put.label.as_bytes());
    to.varint(put.outputs.len() as u64);
    for output in &put.outputs {
        to.string(&output.name);
        to.raw(&output.object);
        to.varint(output.len);
        to.raw(&[flag(EXECUTABLE, output.executable) | flag(PACKED, output.packed.is_some())]);
        match &output.packed {
            Some(bytes) => {
                to.varint(bytes.len() as u64);
                to.raw(bytes);
            }
            None => to.raw(&output.stamp),
        }
    }
    if let Some(details) = details {
        write_details(&mut to, details, Some(put.label.as_bytes()));
    }
    to.bytes
}

fn flag(flag: u8, is_set: bool) -> u8 {
    if is_set { flag } else { 0 }
}

/// Details that lie in an object of their own.
pub(crate) fn encode_details(details: &Details) -> Vec<u8> {
    let mut to = Writer { bytes: Vec::new(), numbers: &mut super::wire::in_place };
    write_details(&mut to, details, None);
    to.bytes
}

fn write_details(to: &mut Writer<'_, '_>, details: &Details, label: Option<&[u8]>) {
    let Recipe { kind, fields, parts } = &details.recipe;
    to.string(kind.as_bytes());
    to.varint(fields.len() as u64);
    let mut bytes = Vec::new();
    for field in fields {
        bytes.clear();
        bytes_of_field(field, &mut bytes);
        to.string(&bytes);
    }
    to.varint(parts.len() as u64);
    let mut before = None;
    for part in parts {
        write_part(to, part, label, &mut before);
    }
    to.varint(details.discovered.len() as u64);
    for input in &details.discovered {
        to.string(&input.path);
        to.raw(&input.digest);
    }
}

fn write_part<'a>(
    to: &mut Writer<'_, '_>,
    part: &'a PartRecord,
    label: Option<&[u8]>,
    before: &mut Option<&'a [u8]>,
) {
    let is_as_label = label == Some(part.name.as_slice());
    let dir = part.path.as_ref().and_then(|path| dir_of(path, &part.name));
    let kind = match (&part.path, dir) {
        (None, _) => PATH_NONE,
        (Some(_), None) => PATH_WHOLE,
        (Some(_), Some(dir)) if *before == Some(dir) => PATH_BESIDE,
        (Some(_), Some(_)) => PATH_IN,
    };
    to.raw(&[kind | flag(NAMED_AS_LABEL, is_as_label)]);
    if !is_as_label {
        to.string(&part.name);
    }
    match kind {
        PATH_IN => to.string(dir.unwrap_or_default()),
        PATH_WHOLE => to.string(part.path.as_deref().unwrap_or_default()),
        _ => {}
    }
    *before = dir.or(*before);
    to.raw(&part.digest);
    to.varint(part.len);
}
