//! What frames carry: the records of the manifest as plain values, and their bytes.
//!
//! The bytes of a PUT are those of [`super::put`]; of all others, fixed-width integers are little-endian; a list, a text or a byte string is its length as a varint and then
//! its elements. One encoding per value: what decodes to a value but is not how that value is written is
//! refused. Nothing here touches a file; nothing here panics on any bytes.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) use super::past::{Count, DayCount, DropNote, DropReason, DropRule, Dropped, KeyStart};
pub(crate) use super::recorded::{Lender, Recorded};
use super::{
    frame::{self, Frame, Kind, TooLong},
    put,
    skim::{self, Skimmed},
    wire::{Strings, in_place},
};
use crate::planted::{self, Bug};

/// The name of one PUT, random, so that a DROP or TOUCH can never hit a later one (I9).
pub(crate) type PutId = u64;

/// 16 bytes that change with any write to an object and with every boot; zeros: never vouched.
pub(crate) type Stamp = [u8; 16];

/// The first frame of a log or segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) file: FileKind,
    /// Seeds the checksums of all other frames of this file. Secret: it keeps payloads from posing as frames.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) seed: u64,
    /// Unknown flags here change nothing for an older reader.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) compat: u32,
    /// Unknown flags here: read, but neither compact, evict nor sweep.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) ro_compat: u32,
    /// Unknown flags here: the store is as if absent, and stays untouched (I18).
    #[serde(with = "postcard::fixint::le")]
    pub(crate) incompat: u32,
}

/// Which file a header opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FileKind {
    Log,
    Segment,
}

/// An entry: a source digest and an exec id lead to named objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) put_id: PutId,
    pub(crate) source: [u8; 32],
    pub(crate) exec: [u8; 32],
    /// Hash of the discovered inputs; zeros: none. With source and exec it is what a later PUT replaces.
    pub(crate) discovered_id: [u8; 16],
    /// A find has brought it here, from a layer or a tier, and nobody has added it: it replaces nothing but its like,
    /// and is not seen where its source digest was forgotten.
    pub(crate) brought: bool,
    /// Place in the order of adding; 0 in logs, where the order of the frames says it.
    pub(crate) order: u64,
    /// Day of the last use, counted from 1970-01-01 UTC.
    pub(crate) day: u32,
    /// Wall time in ms since 1970-01-01 UTC, for people only.
    pub(crate) made_ms: u64,
    /// How long the build took.
    pub(crate) cost_ms: u64,
    /// Hash of the list of source paths, for retention.
    pub(crate) paths: u64,
    /// Hash of the list of source names, for retention.
    pub(crate) names: u64,
    pub(crate) label: String,
    /// In the order of the build. With `details` absent the last one holds them, under [`DETAILS_NAME`].
    pub(crate) outputs: Vec<OutputRecord>,
    pub(crate) details: Recorded,
}

/// The name of the output that holds details too long for a frame. A caller's name never holds a zero byte.
pub(crate) const DETAILS_NAME: &[u8] = b"\0details";

/// One named object of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputRecord {
    pub(crate) name: Vec<u8>,
    pub(crate) object: [u8; 32],
    pub(crate) len: u64,
    pub(crate) executable: bool,
    pub(crate) stamp: Stamp,
    /// The bytes themselves, where they are packed into the entry. They have no file then, or (where somebody
    /// asked for a path) one that anybody may remove.
    pub(crate) packed: Option<Vec<u8>>,
}

/// What an entry was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Details {
    pub(crate) recipe: Recipe,
    /// What the build reported to have read; all must be unchanged for a hit.
    pub(crate) discovered: Vec<Discovered>,
}

/// A file that a build read beside its sources: absolute path as raw bytes, and BLAKE3 of its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Discovered {
    pub(crate) path: Vec<u8>,
    pub(crate) digest: [u8; 32],
}

/// A description of one compile, as it was when its artifact was added. For people, for `explain` and for
/// retention: the paths in it are never opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recipe {
    pub(crate) kind: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) parts: Vec<PartRecord>,
}

/// One key field beside the sources themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Field {
    pub(crate) tag: FieldTag,
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// Which part of the key a field is; part of what is hashed, so that no field poses as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FieldTag {
    Toolchain,
    Option,
    Context,
    Env,
    /// An environment variable that was not set (not the same as set to nothing).
    EnvUnset,
}

/// The value of a field: shown, or (environment, context, whatever may be a secret) as its BLAKE3 only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Value {
    Shown(Vec<u8>),
    Hidden([u8; 32]),
}

/// One source: name as raw bytes, absolute path as raw bytes if it was a file, BLAKE3 and length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    pub(crate) name: Vec<u8>,
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) digest: [u8; 32],
    #[serde(with = "postcard::fixint::le")]
    pub(crate) len: u64,
}

/// An entry was used, and (if `stamps` is not empty: one per output, in order) its objects were vouched again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Touch {
    #[serde(with = "postcard::fixint::le")]
    pub(crate) put_id: PutId,
    #[serde(with = "postcard::fixint::le")]
    pub(crate) day: u32,
    pub(crate) stamps: Vec<Stamp>,
}

/// The last frame of a segment: where things are, and what they must hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footer {
    #[serde(with = "postcard::fixint::le")]
    pub(crate) first: u64,
    #[serde(with = "postcard::fixint::le")]
    pub(crate) last: u64,
    #[serde(with = "postcard::fixint::le")]
    pub(crate) entries: u64,
    /// Offset of the items; the entries end here.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) items_at: u64,
    /// How many bytes the items fill, twice.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) items_len: u64,
    /// Slots of the hash index, which stands behind the items.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) index_slots: u64,
    /// XXH3-64 of the index, seeded by the file's seed.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) index_sum: u64,
    /// Sum of the lengths of all outputs; an object that two entries name counts twice.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) bytes: u64,
}

/// A record as a log or segment holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Header(Header),
    Put(Box<Put>),
    Touch(Touch),
    Drop(Dropped),
    Seal,
    Footer(Footer),
    Count(Count),
}

/// What a frame says, as far as a reader of a log must know it at once.
#[derive(Debug)]
pub(crate) enum Said {
    /// Its payload passed [`skim::put`], and so decodes.
    Put(Skimmed),
    /// Any other.
    Record(Record),
}

/// The checksum is right but this version does not know what the frame says: a later one wrote it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown;

impl Record {
    fn kind(&self) -> Kind {
        match self {
            Record::Header(_) => Kind::Header,
            Record::Put(_) => Kind::Put,
            Record::Touch(_) => Kind::Touch,
            Record::Drop(_) => Kind::Drop,
            Record::Seal => Kind::Seal,
            Record::Footer(_) => Kind::Footer,
            Record::Count(_) => Kind::Count,
        }
    }

    /// The record as a whole frame.
    pub(crate) fn to_frame(&self, seed: u64) -> Result<Vec<u8>, TooLong> {
        let payload = match self {
            Record::Header(header) => bytes_of(header),
            Record::Put(put) => put::encode(put, &mut in_place),
            Record::Touch(touch) => bytes_of(touch),
            Record::Drop(dropped) => bytes_of(dropped),
            Record::Seal => Vec::new(),
            Record::Footer(footer) => bytes_of(footer),
            Record::Count(count) => bytes_of(count),
        };
        frame::encode(self.kind(), &payload, seed)
    }

    /// A PUT is only walked through: most are never asked for.
    pub(crate) fn skim(frame: &Frame<'_>) -> Result<Said, Unknown> {
        if frame.flags == 0 && Kind::of(frame.kind) == Some(Kind::Put) {
            return skim::put(frame.payload).map(Said::Put);
        }
        Record::of_frame(frame).map(Said::Record)
    }

    pub(crate) fn of_frame(frame: &Frame<'_>) -> Result<Record, Unknown> {
        if frame.flags != 0 {
            return Err(Unknown);
        }
        match Kind::of(frame.kind).ok_or(Unknown)? {
            Kind::Header => value_of(frame.payload).map(Record::Header),
            Kind::Put => Put::of_payload(frame.payload).map(|put| Record::Put(Box::new(put))),
            Kind::Touch => value_of(frame.payload).map(Record::Touch),
            Kind::Drop => value_of(frame.payload).map(Record::Drop),
            Kind::Seal => frame.payload.is_empty().then_some(Record::Seal).ok_or(Unknown),
            Kind::Footer => value_of(frame.payload).map(Record::Footer),
            Kind::Count => value_of(frame.payload).map(Record::Count),
            Kind::Entry | Kind::Item => Err(Unknown),
        }
    }
}

impl Details {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        put::encode_details(self)
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Details, Unknown> {
        put::decode_details(bytes, None, Strings::InPlace).ok_or(Unknown)
    }
}

impl Put {
    pub(crate) fn of_payload(payload: &[u8]) -> Result<Put, Unknown> {
        put::decode(payload, Strings::InPlace).ok_or(Unknown)
    }

    /// How many bytes its frame fills. In a segment it grows by a few bytes at most, for its place in the order.
    pub(crate) fn framed_len(&self) -> usize {
        frame::framed_len(put::encode(self, &mut in_place).len())
    }

    /// What it was made from; `None` if that is an object of its own, or damaged.
    pub(crate) fn details(&self) -> Option<&Details> {
        self.details.get()
    }

    /// What a later PUT of the same replaces; but see [`is_replaced`].
    pub(crate) fn identity(&self) -> ([u8; 32], [u8; 32], [u8; 16]) {
        (self.source, self.exec, self.discovered_id)
    }

    /// Whether every field is within the limits that readers rely on.
    pub(crate) fn is_sound(&self) -> bool {
        !self.visible().is_empty() && (self.details.is_here() || self.spilled().is_some())
    }

    /// Sum of the lengths of its outputs. They come from disk: absurd ones must not overflow into a small sum.
    pub(crate) fn bytes(&self) -> u64 {
        self.outputs.iter().fold(0, |sum, output| output.len.saturating_add(sum))
    }

    /// The output that holds the details, if they did not fit.
    pub(crate) fn spilled(&self) -> Option<&OutputRecord> {
        self.outputs.last().filter(|output| output.name == DETAILS_NAME)
    }

    /// The outputs that callers see.
    pub(crate) fn visible(&self) -> &[OutputRecord] {
        let hidden = usize::from(self.spilled().is_some());
        &self.outputs[..self.outputs.len() - hidden]
    }
}

/// Whether a PUT takes the place of one with the same identity: what was brought here takes that of nothing that was
/// added. It comes at a time of its own choice, perhaps after its source digest was forgotten and put again.
pub(crate) fn is_replaced(is_old_brought: bool, is_new_brought: bool) -> bool {
    is_old_brought || !is_new_brought || planted::is(Bug::BroughtReplaces)
}

fn bytes_of<T: Serialize>(value: &T) -> Vec<u8> {
    // Writing to a Vec fails only for types postcard cannot express (maps of unknown length): none here.
    postcard::to_stdvec(value).unwrap_or_default()
}

/// Refuses bytes left over, and every spelling but the one that [`bytes_of`] gives.
fn value_of<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, Unknown> {
    let value: T = postcard::from_bytes(bytes).map_err(|_| Unknown)?;
    (bytes_of(&value) == bytes).then_some(value).ok_or(Unknown)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn put(number: u8) -> Put {
        Put {
            put_id: u64::from(number) << 40 | 1,
            source: [number; 32],
            exec: [2; 32],
            discovered_id: [0; 16],
            brought: false,
            order: 0,
            day: 20_000,
            made_ms: 1_700_000_000_000,
            cost_ms: 812,
            paths: 3,
            names: 4,
            label: "greet".into(),
            outputs: vec![OutputRecord {
                name: b"greet.so".to_vec(),
                object: [number ^ 0xFF; 32],
                len: 4096,
                executable: true,
                stamp: [9; 16],
                packed: None,
            }],
            details: Some(Details {
                recipe: Recipe {
                    kind: "host/abi-1".into(),
                    fields: vec![
                        Field {
                            tag: FieldTag::Option,
                            name: String::new(),
                            value: Value::Shown(b"-O2".to_vec()),
                        },
                        Field { tag: FieldTag::Env, name: "TOKEN".into(), value: Value::Hidden([8; 32]) },
                    ],
                    parts: vec![PartRecord {
                        name: b"greet\xFF.c".to_vec(),
                        path: Some(b"/p/greet\xFF.c".to_vec()),
                        digest: [6; 32],
                        len: 17,
                    }],
                },
                discovered: vec![Discovered { path: b"/p/plugin.h".to_vec(), digest: [1; 32] }],
            })
            .into(),
        }
    }

    fn key() -> KeyStart {
        KeyStart::of(&[5; 32], &[6; 32])
    }

    pub(crate) fn dropped(put_id: PutId, reason: DropReason) -> Record {
        Record::Drop(Dropped { put_id, key: key(), when_ms: 1_700_000_000_000, reason })
    }

    fn all() -> Vec<Record> {
        let header = Header { file: FileKind::Log, seed: 11, compat: 1, ro_compat: 2, incompat: 4 };
        let footer = Footer {
            first: 1,
            last: 9,
            entries: 2,
            items_at: 640,
            items_len: 64,
            index_slots: 4,
            index_sum: 5,
            bytes: 8192,
        };
        vec![
            Record::Header(header),
            Record::Put(Box::new(put(3))),
            Record::Touch(Touch { put_id: 7, day: 20_001, stamps: vec![[1; 16], [2; 16]] }),
            dropped(7, DropReason::MaxBytes),
            dropped(8, DropReason::Rejected("it does not load".into())),
            Record::Seal,
            Record::Footer(footer),
            Record::Count(Count {
                upto: 3,
                counts: vec![(0, 7), (200, u64::MAX)],
                dropped: vec![DropNote { key: key(), when_ms: 9, rule: DropRule::Idle }],
                days: vec![DayCount { day: 20_001, hits: 300, misses: 1 }],
            }),
        ]
    }

    #[test]
    fn every_record_reads_back_what_was_written() {
        for record in all() {
            let bytes = record.to_frame(5).unwrap();
            let frame = frame::decode(&bytes, 5).unwrap();
            assert_eq!(Record::of_frame(&frame), Ok(record));
        }
    }

    #[test]
    fn a_payload_cut_or_lengthened_is_unknown() {
        for record in all() {
            let bytes = record.to_frame(5).unwrap();
            let frame = frame::decode(&bytes, 5).unwrap();
            for len in 0..frame.payload.len() {
                let cut = Frame { payload: &frame.payload[..len], ..frame };
                assert_eq!(Record::of_frame(&cut), Err(Unknown), "{record:?} cut to {len}");
            }
            let longer = [frame.payload, &[0]].concat();
            assert_eq!(Record::of_frame(&Frame { payload: &longer, ..frame }), Err(Unknown), "{record:?}");
        }
    }

    #[test]
    fn an_entry_without_an_output_that_callers_see_is_not_sound() {
        let details = OutputRecord { name: DETAILS_NAME.to_vec(), ..put(1).outputs[0].clone() };
        assert!(put(1).is_sound());
        assert!(!Put { outputs: Vec::new(), ..put(1) }.is_sound());
        assert!(!Put { outputs: vec![details.clone()], details: None.into(), ..put(1) }.is_sound());
        assert!(!Put { outputs: vec![details], ..put(1) }.is_sound());
        assert!(!Put { details: None.into(), ..put(1) }.is_sound());
    }

    #[test]
    fn a_flag_or_kind_of_a_later_version_is_unknown() {
        let bytes = Record::Seal.to_frame(5).unwrap();
        let frame = frame::decode(&bytes, 5).unwrap();
        assert_eq!(Record::of_frame(&Frame { flags: 1, ..frame }), Err(Unknown));
        assert_eq!(Record::of_frame(&Frame { kind: 19, ..frame }), Err(Unknown));
    }

    #[test]
    fn a_length_spelled_longer_than_needed_is_unknown() {
        let touch = bytes_of(&Touch { put_id: 7, day: 1, stamps: Vec::new() });
        let (last, start) = touch.split_last().unwrap();
        assert_eq!(*last, 0);
        let respelled = [start, &[0x80, 0x00]].concat();
        assert_eq!(value_of::<Touch>(&respelled), Err(Unknown));
    }

    proptest! {
        #[test]
        fn what_decodes_is_spelled_as_it_would_be_written(
            kind in 0u8..24, payload in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            let frame = Frame { kind, flags: 0, payload: &payload, bytes: &[] };
            if let Ok(record) = Record::of_frame(&frame) {
                let bytes = record.to_frame(1).unwrap();
                prop_assert_eq!(frame::decode(&bytes, 1).unwrap().payload, &payload[..]);
            }
        }
    }
}
