//! The verbs, one file each or for a few that belong together.

pub(crate) mod doctor;
pub(crate) mod drop;
pub(crate) mod du;
pub(crate) mod explain;
pub(crate) mod find;
#[cfg(feature = "remote")]
pub(crate) mod keys;
pub(crate) mod ls;
pub(crate) mod put;
#[cfg(feature = "remote")]
pub(crate) mod remote;
pub(crate) mod run;
pub(crate) mod scrub;
pub(crate) mod stats;
pub(crate) mod sweep;
pub(crate) mod texts;
pub(crate) mod transfer;
