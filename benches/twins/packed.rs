//! A small value in the log: appended and read back; found in memory, and copied.

use std::os::fd::BorrowedFd;

/// `log` is open for reading and appending, and ends at `end`.
pub(crate) fn add(log: BorrowedFd<'_>, end: &mut u64, record: &[u8], window: &mut [u8]) {
    assert_eq!(rustix::io::write(log, record), Ok(record.len()));
    assert_eq!(rustix::io::pread(log, &mut *window, *end), Ok(record.len()));
    *end += record.len() as u64;
}

/// Is there anything new in the log; then the value, which was hashed when it came into memory.
pub(crate) fn find(log: BorrowedFd<'_>, end: u64, value: &[u8], window: &mut [u8], bytes: &mut Vec<u8>) {
    assert_eq!(rustix::io::pread(log, window, end), Ok(0));
    bytes.clear();
    bytes.extend_from_slice(value);
}
