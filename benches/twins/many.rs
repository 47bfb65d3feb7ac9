//! One of many processes: a table in memory, a log that all append to and read on from where they were, files that
//! are opened, and files that are written and renamed. Nothing is checked, nothing is locked.

use super::add::write_and_rename;
use rustix::fs::{Mode, OFlags, openat};
use std::{
    collections::HashMap,
    ffi::CStr,
    os::fd::{BorrowedFd, OwnedFd},
};

/// What ours takes for an entry with one source.
pub(crate) const RECORD_BYTES: usize = 320;

pub(crate) struct Twin<'a> {
    pub(crate) dir: BorrowedFd<'a>,
    /// Open for reading, and for appending.
    pub(crate) log: BorrowedFd<'a>,
    pub(crate) end: u64,
    pub(crate) table: HashMap<[u8; 32], [u8; 80]>,
    pub(crate) window: Vec<u8>,
}

impl Twin<'_> {
    pub(crate) fn find(&mut self, key: &[u8; 32]) -> Option<OwnedFd> {
        let len =
            rustix::io::pread(self.log, &mut *self.window, self.end).unwrap() / RECORD_BYTES * RECORD_BYTES;
        for record in self.window[..len].chunks_exact(RECORD_BYTES) {
            self.table.insert(record[..32].try_into().unwrap(), record[32..112].try_into().unwrap());
        }
        self.end += len as u64;
        let name = CStr::from_bytes_until_nul(self.table.get(key)?).unwrap();
        Some(openat(self.dir, name, OFlags::CLOEXEC, Mode::empty()).unwrap())
    }

    pub(crate) fn add(&mut self, key: &[u8; 32], (staged, name): (&CStr, &CStr), bytes: &[u8]) {
        write_and_rename(self.dir, staged, name, bytes);
        let mut record = [0; RECORD_BYTES];
        record[..32].copy_from_slice(key);
        record[32..][..name.count_bytes()].copy_from_slice(name.to_bytes());
        assert_eq!(rustix::io::write(self.log, &record), Ok(RECORD_BYTES));
    }
}
