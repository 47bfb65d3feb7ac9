//! What the manifest remembers beside its entries: which of them are gone, and what was counted. Plain values, in
//! the encoding of [`super::record`].

use serde::{Deserialize, Serialize};

use super::record::PutId;

/// An entry is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dropped {
    #[serde(with = "postcard::fixint::le")]
    pub(crate) put_id: PutId,
    pub(crate) key: KeyStart,
    /// Wall time in ms since 1970-01-01 UTC, for people only.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) when_ms: u64,
    pub(crate) reason: DropReason,
}

/// The first bytes of a source digest and of an exec id: enough to know a key again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct KeyStart {
    pub(crate) source: [u8; 16],
    pub(crate) exec: [u8; 8],
}

/// Why an entry went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DropReason {
    /// The host forgot it.
    Forgotten,
    /// The host said that it does not load, for this reason.
    Rejected(String),
    /// `max_files` was reached.
    MaxFiles,
    /// `max_bytes` was reached.
    MaxBytes,
    /// It was not used for longer than `idle_max`.
    Idle,
}

/// [`DropReason`] without its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DropRule {
    Forgotten,
    Rejected,
    MaxFiles,
    MaxBytes,
    Idle,
}

/// What happened in a store, beside its entries: losing some of it costs nothing but the knowledge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    /// 0: what one handle adds. Else it stands for all that the logs up to this number say.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) upto: u64,
    /// What was counted, and how often. Which number stands for what is decided in `store`; one that a later
    /// version counts is summed up like any other.
    pub(crate) counts: Vec<(u8, u64)>,
    /// The last entries that were dropped, the oldest first.
    pub(crate) dropped: Vec<DropNote>,
    /// The finds of the days on which any were written down, the oldest first.
    pub(crate) days: Vec<DayCount>,
}

/// The finds that were written down on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DayCount {
    /// Counted from 1970-01-01 UTC.
    #[serde(with = "postcard::fixint::le")]
    pub(crate) day: u32,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

/// What is remembered of a dropped entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DropNote {
    pub(crate) key: KeyStart,
    /// As in [`Dropped`].
    #[serde(with = "postcard::fixint::le")]
    pub(crate) when_ms: u64,
    pub(crate) rule: DropRule,
}

impl DropReason {
    pub(crate) fn rule(&self) -> DropRule {
        match self {
            DropReason::Forgotten => DropRule::Forgotten,
            DropReason::Rejected(_) => DropRule::Rejected,
            DropReason::MaxFiles => DropRule::MaxFiles,
            DropReason::MaxBytes => DropRule::MaxBytes,
            DropReason::Idle => DropRule::Idle,
        }
    }
}

impl KeyStart {
    pub(crate) fn of(source: &[u8; 32], exec: &[u8; 32]) -> KeyStart {
        let (mut starts, mut exec_start) = ([0; 16], [0; 8]);
        starts.copy_from_slice(&source[..16]);
        exec_start.copy_from_slice(&exec[..8]);
        KeyStart { source: starts, exec: exec_start }
    }
}
