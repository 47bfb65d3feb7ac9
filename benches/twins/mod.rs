//! The floor of each operation: the bare system calls, at most 40 lines of them, and nothing else. Their answers are
//! asserted, so that a twin which does nothing is not taken for a fast one.
//!
//! `cargo bench --bench floor -- calls find` prints the calls of an operation beside those of its twin.

pub(crate) mod add;
pub(crate) mod digest;
pub(crate) mod find;
pub(crate) mod many;
pub(crate) mod open;
pub(crate) mod packed;
pub(crate) mod read;
pub(crate) mod synced;
