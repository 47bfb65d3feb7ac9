//! All bytes of a file: by one read into a buffer that is there already, or through a mapping.

use super::find::{self, Opened};
use memmap2::{Mmap, MmapOptions};
use rustix::fs::{Mode, OFlags, fstat, openat};
use std::{
    ffi::CStr,
    hint::black_box,
    os::fd::{BorrowedFd, OwnedFd},
};

/// What [`find::find`] does, and one `pread` of all.
pub(crate) fn find_and_read(opened: Opened<'_>, object: &CStr, window: &mut [u8], bytes: &mut Vec<u8>) {
    let (file, len) = find::find(opened, object, window);
    bytes.resize(len as usize, 0);
    assert_eq!(rustix::io::pread(&file, &mut **bytes, 0), Ok(len as usize));
}

/// Open, `fstat`, `mmap`, each page read, `munmap`, `close`.
pub(crate) fn map(dir: BorrowedFd<'_>, object: &CStr) -> u64 {
    touch(&mapped(&openat(dir, object, OFlags::CLOEXEC, Mode::empty()).unwrap()))
}

#[expect(unsafe_code, reason = "a mapping")]
pub(crate) fn mapped(file: &OwnedFd) -> Mmap {
    let len = fstat(file).unwrap().st_size as usize;
    // SAFETY: the file belongs to this benchmark alone, and is not written to while it is mapped.
    unsafe { MmapOptions::new().len(len).map(file) }.unwrap()
}

/// Reads a byte of each page.
pub(crate) fn touch(bytes: &[u8]) -> u64 {
    black_box(bytes).iter().step_by(4096).map(|byte| u64::from(*byte)).sum()
}
