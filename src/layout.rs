//! The only place that spells a file name of the store.
//!
//! ```text
//! ROOT/                  holds CACHEDIR.TAG and one directory per format major version
//!   v1/                  everything of this format
//!     objects/00 .. ff/  <62 hex digits>: one immutable object each
//!     staging/           objects (<32 hex>) and builds (<32 hex>.d) in progress
//!     quarantine/        damaged objects, <32 hex>: the first 16 are those of the object
//!     inflight/          one lock file per build in progress, <64 hex>
//!     log.<n>            the growing end of the manifest
//!     seg.<a>-<b>        the body of the manifest: replaces logs a to b
//! ```
//!
//! All paths but those of ROOT and `v1` are relative to `v1`. A name that does not parse here is foreign:
//! never read, moved or deleted (I20).

use std::{
    ffi::OsStr,
    ops::Deref,
    path::{Path, PathBuf},
};

use crate::digest::{ObjectDigest, from_hex, to_hex, write_hex};

/// The directory of this format's major version, below the root.
pub(crate) const MAJOR: &str = "v1";

/// The number of another format's major version, from the name of its directory beside [`MAJOR`].
pub(crate) fn other_major(name: &OsStr) -> Option<u32> {
    let name = name.to_str().filter(|name| *name != MAJOR)?;
    let number = name.strip_prefix('v').and_then(number_of)?;
    u32::try_from(number).ok()
}

/// Marks the root as a cache for backup programs (bford.info/cachedir), below the root.
pub(crate) const TAG: &str = "CACHEDIR.TAG";
/// What the tag holds.
pub(crate) const TAG_TEXT: &[u8] =
    b"Signature: 8a477f597d28d172789f06886806bc55\n# Compiled plugins, made by plugcache. Safe to delete.\n";
pub(crate) const OBJECTS: &str = "objects";
pub(crate) const STAGING: &str = "staging";
pub(crate) const QUARANTINE: &str = "quarantine";
pub(crate) const INFLIGHT: &str = "inflight";
pub(crate) const MEMO: &str = "memo";
/// How many directories the objects are spread over.
pub(crate) const SHARDS: u16 = 256;

/// The names of staged and scratch files: random.
pub(crate) type Token = [u8; 16];

pub(crate) fn shard(first: u8) -> PathBuf {
    format!("{OBJECTS}/{}", to_hex(&[first])).into()
}

/// The path of an object. Every find spells one: no allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObjectPath([u8; OBJECT_PATH_BYTES]);

/// The directory, the shard and the name, with a slash between them.
const OBJECT_PATH_BYTES: usize = OBJECTS.len() + 1 + 2 + 1 + 62;

impl Deref for ObjectPath {
    type Target = Path;
    fn deref(&self) -> &Path {
        Path::new(str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl AsRef<Path> for ObjectPath {
    fn as_ref(&self) -> &Path {
        self
    }
}

pub(crate) fn object(digest: &ObjectDigest) -> ObjectPath {
    let mut path = [b'/'; OBJECT_PATH_BYTES];
    let (dir, rest) = path.split_at_mut(OBJECTS.len());
    dir.copy_from_slice(OBJECTS.as_bytes());
    let (first, others) = digest.as_bytes().split_at(1);
    write_hex(&mut rest[1..3], first);
    write_hex(&mut rest[4..], others);
    ObjectPath(path)
}

pub(crate) fn staged(token: Token) -> PathBuf {
    format!("{STAGING}/{}", to_hex(&token)).into()
}

pub(crate) fn scratch(token: Token) -> PathBuf {
    format!("{STAGING}/{}.d", to_hex(&token)).into()
}

/// The first 16 digits are those of the object, so that people and `explain` find it again.
pub(crate) fn quarantined(digest: &ObjectDigest, token: [u8; 8]) -> PathBuf {
    format!("{QUARANTINE}/{}{}", to_hex(&digest.as_bytes()[..8]), to_hex(&token)).into()
}

/// Whether a name found in the quarantine is that of what once was this object.
pub(crate) fn is_quarantined_as(digest: &ObjectDigest, name: &OsStr) -> bool {
    let found = name.to_str().and_then(from_hex::<16>);
    found.is_some_and(|found| found[..8] == digest.as_bytes()[..8])
}

/// Whether a name found in the quarantine is one of ours.
pub(crate) fn is_quarantined(name: &OsStr) -> bool {
    name.to_str().and_then(from_hex::<16>).is_some()
}

pub(crate) fn inflight(key: &[u8; 32]) -> PathBuf {
    format!("{INFLIGHT}/{}", to_hex(key)).into()
}

/// The object of this name in the shard of this first byte.
pub(crate) fn object_named(first: u8, name: &OsStr) -> Option<[u8; 32]> {
    let rest: [u8; 31] = name.to_str().and_then(from_hex)?;
    let mut digest = [first; 32];
    digest[1..].copy_from_slice(&rest);
    Some(digest)
}

/// What may have been left behind by somebody who was killed.
pub(crate) enum Litter {
    File(PathBuf),
    Dir(PathBuf),
}

impl Litter {
    /// A name found in `dir`, which is [`STAGING`] or [`INFLIGHT`], if it is one of ours.
    pub(crate) fn parse(dir: &str, name: &OsStr) -> Option<Litter> {
        let name = name.to_str()?;
        match dir {
            INFLIGHT => from_hex(name).map(|key: [u8; 32]| Litter::File(inflight(&key))),
            _ => match name.strip_suffix(".d") {
                Some(token) => from_hex(token).map(|token| Litter::Dir(scratch(token))),
                None => from_hex(name).map(|token| Litter::File(staged(token))),
            },
        }
    }
}

/// A file of the manifest, as its name tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ManifestName {
    Log(u64),
    /// Replaces the logs `first` to `last`.
    Segment {
        first: u64,
        last: u64,
    },
}

impl ManifestName {
    pub(crate) fn path(self) -> PathBuf {
        match self {
            ManifestName::Log(number) => format!("log.{number}").into(),
            ManifestName::Segment { first, last } => format!("seg.{first}-{last}").into(),
        }
    }

    /// The number after which this file's knowledge ends.
    pub(crate) fn last(self) -> u64 {
        match self {
            ManifestName::Log(number) => number,
            ManifestName::Segment { last, .. } => last,
        }
    }

    /// One spelling per file: no sign, no leading zero, numbers from 1, ranges that are not empty.
    pub(crate) fn parse(name: &OsStr) -> Option<Self> {
        let name = name.to_str()?;
        if let Some(number) = name.strip_prefix("log.") {
            return Some(ManifestName::Log(number_of(number)?));
        }
        let (first, last) = name.strip_prefix("seg.")?.split_once('-')?;
        let (first, last) = (number_of(first)?, number_of(last)?);
        (first <= last).then_some(ManifestName::Segment { first, last })
    }
}

/// Numbers of logs stay below this, so that "one more" never overflows.
const NUMBER_MAX: u64 = 1 << 62;

fn number_of(text: &str) -> Option<u64> {
    // A zero or a sign in front would be another spelling.
    let is_plain = text.bytes().next().is_some_and(|first| (b'1'..=b'9').contains(&first));
    let number: u64 = is_plain.then(|| text.parse().ok()).flatten()?;
    (number < NUMBER_MAX).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_name_reads_back_what_it_spells() {
        for name in
            [ManifestName::Log(1), ManifestName::Log(987), ManifestName::Segment { first: 1, last: 12 }]
        {
            assert_eq!(ManifestName::parse(name.path().as_os_str()), Some(name));
        }
    }

    #[test]
    fn other_spellings_are_foreign() {
        let wrong = [
            "log.",
            "log.0",
            "log.01",
            "log.+1",
            "log.-1",
            "log.1 ",
            "Log.1",
            "log.99999999999999999999",
            "log.4611686018427387904",
            "seg.1",
            "seg.2-1",
            "seg.0-1",
            "seg.1-02",
            "seg.1-2-3",
            "seg.1-2~",
        ];
        for name in wrong {
            assert_eq!(ManifestName::parse(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn an_object_lies_in_the_shard_of_its_first_byte() {
        let path = object(&ObjectDigest::from_bytes([0xab; 32]));
        assert!(path.starts_with(shard(0xab)), "{path:?}");
        assert_eq!(path.file_name().map(OsStr::len), Some(62));
    }
}
