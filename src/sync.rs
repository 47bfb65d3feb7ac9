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
