//! Digests: the names of sources and of objects. The only user of `blake3`.
//!
//! Two types with equal bytes that cannot be swapped: a [`SourceDigest`] names a complete description of one
//! compile, an [`ObjectDigest`] names bytes. Knows no file and no format.

use std::{fmt, str::FromStr};

use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Length of a digest in bytes.
pub(crate) const DIGEST_BYTES: usize = 32;

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// `Display` and `FromStr` use 64 lower-case hexadecimal digits; so does serde in formats for
        /// people, and 32 raw bytes in others.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; DIGEST_BYTES]);

        impl $name {
            /// Takes the 32 bytes as they are; nothing is hashed.
            pub const fn from_bytes(bytes: [u8; DIGEST_BYTES]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; DIGEST_BYTES] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;
            fn from_str(text: &str) -> Result<Self, ParseDigestError> {
                from_hex(text).map(Self).ok_or(ParseDigestError)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; DIGEST_BYTES]>::deserialize(from).map(Self)
                }
            }
        }
    };
}

digest! {
    /// The name of a complete description of one compile: what is looked up in a store.
    SourceDigest
}
digest! {
    /// BLAKE3 of some bytes: the name under which they are stored.
    ObjectDigest
}

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 lower-case hexadecimal digits")]
pub struct ParseDigestError;

impl ObjectDigest {
    /// BLAKE3 of `bytes`, as `b3sum` prints it.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// A part of longer bytes, hashed by itself, and perhaps by another thread: see [`of_parts`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part([u8; DIGEST_BYTES]);

/// Hashes one part, fed piece by piece.
pub(crate) struct PartHasher(blake3::Hasher);

impl PartHasher {
    /// `at`: where in the whole the part begins. All parts have one length, a power of two of at least 1024
    /// bytes, but the last one, which may be shorter.
    pub(crate) fn new(at: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(at);
        Self(hasher)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// There must have been at least one byte.
    pub(crate) fn finish(&self) -> Part {
        Part(self.0.finalize_non_root())
    }
}

/// The digest of the whole, from its parts in order; `None` for fewer than two, which make no tree.
pub(crate) fn of_parts(parts: &[Part]) -> Option<ObjectDigest> {
    let (left, right) = halves(parts)?;
    let root = merge_subtrees_root(&subtree(left)?, &subtree(right)?, Mode::Hash);
    Some(ObjectDigest(*root.as_bytes()))
}

fn subtree(parts: &[Part]) -> Option<[u8; DIGEST_BYTES]> {
    match parts {
        [Part(only)] => Some(*only),
        _ => {
            let (left, right) = halves(parts)?;
            Some(merge_subtrees_non_root(&subtree(left)?, &subtree(right)?, Mode::Hash))
        }
    }
}

/// BLAKE3's tree: on the left the largest power of two that leaves something on the right.
fn halves(parts: &[Part]) -> Option<(&[Part], &[Part])> {
    (parts.len() > 1).then(|| parts.split_at(parts.len().next_power_of_two() / 2))
}

/// BLAKE3, fed piece by piece.
#[derive(Clone, Debug)]
pub(crate) struct Hasher(blake3::Hasher);

impl Hasher {
    /// A hash of bytes as they are: what an [`ObjectDigest`] is.
    pub(crate) fn plain() -> Self {
        Self(blake3::Hasher::new())
    }

    /// A hash that no other purpose shares: BLAKE3's key derivation with a constant of this crate.
    pub(crate) fn for_purpose(purpose: &'static str) -> Self {
        Self(blake3::Hasher::new_derive_key(purpose))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) -> &mut Self {
        // Below this threads cost more than they spare, says the documentation of blake3.
        #[cfg(feature = "rayon")]
        if bytes.len() >= 128 * 1024 {
            self.0.update_rayon(bytes);
            return self;
        }
        self.0.update(bytes);
        self
    }

    /// Hashes the length (8 bytes, little-endian) and then the bytes, so that no two lists of fields collide.
    pub(crate) fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        self
    }

    pub(crate) fn finish(&self) -> [u8; DIGEST_BYTES] {
        *self.0.finalize().as_bytes()
    }
}

/// Lower-case hexadecimal digits of any bytes.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut text = vec![0; 2 * bytes.len()];
    write_hex(&mut text, bytes);
    String::from_utf8(text).unwrap_or_default()
}

/// Writes what [`to_hex`] gives; `text` is twice as long as `bytes`.
pub(crate) fn write_hex(text: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&HEX[usize::from(*byte)]);
    }
}

/// The two digits of each byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

/// The inverse of [`to_hex`] for exactly `N` bytes; upper case is refused: one spelling per value.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_what_it_prints() {
        let digest = ObjectDigest::of_bytes(b"plugin");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn no_other_spelling_of_a_digest_is_read() {
        let text = ObjectDigest::of_bytes(b"").to_string();
        for wrong in [text.to_uppercase(), text[1..].into(), format!("{text}0"), format!(" {}", &text[1..])] {
            assert_eq!(wrong.parse::<ObjectDigest>(), Err(ParseDigestError), "{wrong}");
        }
    }

    #[test]
    fn parts_hashed_apart_make_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0..20_000_u32).map(|at| (at * 7 + at / 251) as u8).collect();
        for part_len in [1024, 2048, 4096] {
            for len in (1..=17 * 1024).step_by(511).chain([1025, 2048, 4096, 4097, 16_384, 20_000]) {
                let parts = bytes[..len].chunks(part_len).enumerate().map(|(number, bytes)| {
                    let mut hasher = PartHasher::new((number * part_len) as u64);
                    bytes.chunks(700).for_each(|piece| hasher.update(piece));
                    hasher.finish()
                });
                let expected = (len > part_len).then(|| ObjectDigest::of_bytes(&bytes[..len]));
                assert_eq!(of_parts(&parts.collect::<Vec<_>>()), expected, "{len} in parts of {part_len}");
            }
        }
    }

    #[test]
    fn the_digest_of_nothing_is_the_published_one() {
        let published = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(ObjectDigest::of_bytes(b"").to_string(), published);
    }
}
