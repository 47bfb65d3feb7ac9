//! Bytes and frames (`docs/format.md`): the only user of `postcard` and of XXH3. Pure: knows no file.

pub(crate) mod frame;
mod mask;
pub(crate) mod memo;
pub(crate) mod parcel;
pub(crate) mod past;
pub(crate) mod put;
pub(crate) mod record;
mod recorded;
pub(crate) mod salvage;
pub(crate) mod skim;
pub(crate) mod stamp;
pub(crate) mod wire;
