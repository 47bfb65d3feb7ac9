//! The source digest: how a description of one compile becomes 32 bytes.
//!
//! For the modules of `sources`, and for whoever checks that a recorded recipe belongs to its entry. Pure:
//! it touches no file.
//!
//! # Every byte of it
//!
//! The source digest is BLAKE3 in its key derivation mode, with the context string [`PURPOSE`], over the
//! following bytes in this order. `u64` is 8 bytes, little-endian; `text(x)` is the length of `x` in bytes as
//! `u64`, then the bytes of `x`.
//!
//! 1. `text(kind)`, the kind in UTF-8.
//! 2. The number of fields, `u64`; then each field in order:
//!    1. one tag byte: 0 toolchain, 1 option, 2 context, 3 environment variable that was set, 4 environment
//!       variable that was not set;
//!    2. `text(name)`, the name in UTF-8: of a toolchain item its role ("cc/cc1"); of an option nothing; of a
//!       context pair and of a variable its name;
//!    3. 32 bytes: BLAKE3 (plain) of the value. Of an option the value is its bytes; of an unset variable it
//!       is empty.
//! 3. The number of parts, `u64`; then each part in order:
//!    1. `text(name)`, the last component of the path as it was given, raw bytes; of a part given as bytes,
//!       the name that came with it;
//!    2. 32 bytes: BLAKE3 (plain) of its content, its object digest.
//!
//! Fields stand in this order: those of the toolchain, the options, then context pairs and variables as they
//! were given. Nothing else is in the digest: no directory, time, length, mode or label, and not whether a
//! record shows a value or its BLAKE3 only. So the digest can be computed again from a recipe alone.

use crate::{
    digest::{Hasher, ObjectDigest, SourceDigest},
    format::record::{Field, FieldTag, Recipe, Value},
};

/// The purpose that no other hash of this crate shares.
const PURPOSE: &str = "plugcache 2026-11-23 source digest v1";

/// The name of the compile that `recipe` describes.
pub(crate) fn recompute(recipe: &Recipe) -> SourceDigest {
    let parts = recipe.parts.iter().map(|part| (part.name.as_slice(), &part.digest));
    digest_of(&recipe.kind, &recipe.fields, parts)
}

/// The name of a compile; of each part name and content.
pub(super) fn digest_of<'a>(
    kind: &str,
    fields: &[Field],
    parts: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8; 32])>,
) -> SourceDigest {
    let mut message = Message { hasher: Hasher::for_purpose(PURPOSE), waiting: Vec::new() };
    message.text(kind.as_bytes());
    message.number(fields.len());
    for field in fields {
        message.put(&[tag_byte(field.tag)]);
        message.text(field.name.as_bytes());
        message.put(&value_digest(&field.value));
    }
    message.number(parts.len());
    for (name, digest) in parts {
        message.text(name);
        message.put(digest);
    }
    message.hasher.update(&message.waiting);
    SourceDigest::from_bytes(message.hasher.finish())
}

/// Gathers what is hashed: BLAKE3 takes three times as long for a few bytes at a time.
struct Message {
    hasher: Hasher,
    waiting: Vec<u8>,
}

impl Message {
    fn put(&mut self, bytes: &[u8]) {
        const WAITING_BYTES_MAX: usize = 32 << 10;
        if self.waiting.len() + bytes.len() > WAITING_BYTES_MAX {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
        self.waiting.extend_from_slice(bytes);
    }

    fn number(&mut self, number: usize) {
        self.put(&(number as u64).to_le_bytes());
    }

    fn text(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.put(bytes);
    }
}

/// Spelled out and not taken from the order of the enum: it is part of every key for ever.
fn tag_byte(tag: FieldTag) -> u8 {
    match tag {
        FieldTag::Toolchain => 0,
        FieldTag::Option => 1,
        FieldTag::Context => 2,
        FieldTag::Env => 3,
        FieldTag::EnvUnset => 4,
    }
}

fn value_digest(value: &Value) -> [u8; 32] {
    match value {
        Value::Shown(bytes) => *ObjectDigest::of_bytes(bytes).as_bytes(),
        Value::Hidden(digest) => *digest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::PartRecord;

    fn field(tag: FieldTag, name: &str, value: &[u8]) -> Field {
        Field { tag, name: name.into(), value: Value::Shown(value.into()) }
    }

    fn part(name: &[u8], content: &[u8]) -> PartRecord {
        let digest = *ObjectDigest::of_bytes(content).as_bytes();
        PartRecord { name: name.into(), path: None, digest, len: content.len() as u64 }
    }

    fn example() -> Recipe {
        Recipe {
            kind: "host/abi-1".into(),
            fields: vec![
                field(FieldTag::Toolchain, "cc", b"build-id:00"),
                field(FieldTag::Option, "", b"-O2"),
                field(FieldTag::EnvUnset, "CFLAGS", b""),
            ],
            parts: vec![part(b"greet.c", b"int x;"), part(b"\xff.h", b"")],
        }
    }

    /// Written a second time from the words above, with nothing of this crate but BLAKE3.
    #[test]
    fn the_digest_is_the_documented_bytes() {
        fn text(bytes: &[u8]) -> Vec<u8> {
            [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat()
        }
        fn hash(bytes: &[u8]) -> Vec<u8> {
            ObjectDigest::of_bytes(bytes).as_bytes().to_vec()
        }
        let bytes = [
            text(b"host/abi-1"),
            vec![3, 0, 0, 0, 0, 0, 0, 0],
            [vec![0], text(b"cc"), hash(b"build-id:00")].concat(),
            [vec![1], text(b""), hash(b"-O2")].concat(),
            [vec![4], text(b"CFLAGS"), hash(b"")].concat(),
            vec![2, 0, 0, 0, 0, 0, 0, 0],
            [text(b"greet.c"), hash(b"int x;")].concat(),
            [text(b"\xff.h"), hash(b"")].concat(),
        ]
        .concat();
        let expected = Hasher::for_purpose("plugcache 2026-11-23 source digest v1").update(&bytes).finish();
        assert_eq!(recompute(&example()).as_bytes(), &expected);
    }

    #[test]
    fn the_digest_of_the_example_never_changes() {
        assert_eq!(
            recompute(&example()).to_string(),
            "b060a0172c07b0494b9e47753d0e83e5db827025725ee3d4ae12de77b80afcbc"
        );
    }

    #[test]
    fn whether_a_value_is_shown_is_not_in_the_digest() {
        let mut hidden = example();
        for field in &mut hidden.fields {
            field.value = Value::Hidden(value_digest(&field.value));
        }
        assert_ne!(hidden, example());
        assert_eq!(recompute(&hidden), recompute(&example()));
    }

    #[test]
    fn neither_path_nor_length_of_a_part_is_in_the_digest() {
        let mut other = example();
        other.parts[0].path = Some(b"/elsewhere/greet.c".to_vec());
        other.parts[0].len = 0;
        assert_eq!(recompute(&other), recompute(&example()));
    }

    #[test]
    fn the_tag_of_a_field_is_in_the_digest() {
        let tags =
            [FieldTag::Toolchain, FieldTag::Option, FieldTag::Context, FieldTag::Env, FieldTag::EnvUnset];
        let digests: std::collections::HashSet<_> = tags
            .map(|tag| recompute(&Recipe { fields: vec![field(tag, "x", b"")], ..Recipe::default() }))
            .into();
        assert_eq!(digests.len(), tags.len());
    }
}
