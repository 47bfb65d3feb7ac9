//! What processes do in a history, what of it their callers see, and how calls fail.

use super::model::State;
use super::world::{add, content, sources};
use arbitrary::Arbitrary;
use plugcache::{
    __sim::{self, Failure},
    Added, Artifact, ScrubOptions, Store, SweepOptions,
};

/// Keys of one executable.
pub(crate) const KEYS: u8 = 4;

#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Act {
    Add { key: u8, version: u8 },
    Find { key: u8 },
    Forget { key: u8 },
    Compact,
    Sweep,
    Scrub,
    Rebuild,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) enum Fails {
    Errno(u8),
    ShortWrite(u8),
    ShortRead(u8),
}

/// EIO, ENOSPC, EDQUOT, EROFS, EMFILE, ENOMEM, EACCES, EPERM, EINTR, ESTALE, EXDEV, EFBIG.
pub(crate) const ERRNOS: [i32; 12] = [5, 28, 122, 30, 24, 12, 13, 1, 4, 116, 18, 27];

/// What an act did, as far as its caller could see.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Added { key: u8, version: u8, is_stored: bool },
    Found { key: u8, state: State },
    Forgot { key: u8, is_done: bool },
    Other,
}

impl Fails {
    pub(crate) fn meant(self) -> Failure {
        match self {
            Fails::Errno(number) => Failure::Errno(ERRNOS[usize::from(number) % ERRNOS.len()]),
            Fails::ShortWrite(len) => Failure::ShortWrite(len.into()),
            Fails::ShortRead(len) => Failure::ShortRead(usize::from(len) + 1),
        }
    }
}

pub(crate) fn run(store: &Store, exec: u8, act: &Act) -> (Outcome, Option<(Artifact, Vec<u8>)>) {
    match act {
        Act::Add { key, version } => {
            let key = key % KEYS;
            let added = add(store, exec, key, *version);
            (Outcome::Added { key, version: *version, is_stored: added == Added::Stored }, None)
        }
        Act::Find { key } => {
            let key = key % KEYS;
            let artifact = store.find(&sources(key));
            let held = artifact.and_then(|artifact| {
                // A process that was killed or whose reads fail sees nothing, which is no wrong byte.
                let bytes = artifact.primary().read_verified().ok()?;
                let version = bytes.get(2).copied().unwrap_or(0);
                assert_eq!(bytes, content(exec, key, version), "bytes of another key or executable");
                Some((artifact, bytes))
            });
            let state = held.as_ref().and_then(|(_, bytes)| bytes.get(2).copied());
            (Outcome::Found { key, state }, held)
        }
        Act::Forget { key } => {
            let key = key % KEYS;
            let is_done = store.forget(&sources(key).digest()).is_ok();
            (Outcome::Forgot { key, is_done }, None)
        }
        Act::Compact => {
            __sim::compact(store);
            (Outcome::Other, None)
        }
        Act::Sweep => {
            // What fails is done by the next one.
            let _ = store.sweep(SweepOptions::new().max_files(u64::MAX).max_bytes(u64::MAX));
            let _ = store.explain(&sources(0)).to_string();
            (Outcome::Other, None)
        }
        Act::Scrub => {
            drop(store.scrub(ScrubOptions::new().threads(1)));
            (Outcome::Other, None)
        }
        Act::Rebuild => {
            drop(store.rebuild());
            (Outcome::Other, None)
        }
    }
}
