//! What threads of one process share. Under `--cfg shuttle` it comes from a scheduler that tries interleavings
//! (`tests/shuttle`); else it is the standard library's.

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{Mutex, MutexGuard, RwLock, atomic},
    thread_local,
};
pub(crate) use std::sync::{Arc, OnceLock, PoisonError, Weak};
#[cfg(not(shuttle))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard, RwLock, atomic},
    thread_local,
};

/// The process in which something was made that goes with its owner. A child that inherits it by `fork` drops a
/// copy, and must leave the thing itself alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Maker(u32);

impl Maker {
    /// This process.
    pub(crate) fn here() -> Maker {
        Maker(std::process::id())
    }

    pub(crate) fn is_here(self) -> bool {
        self == Maker::here()
    }
}
