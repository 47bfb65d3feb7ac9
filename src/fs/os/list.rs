//! Listing a directory from one look at it.
//!
//! For `Dir::list` alone. The manifest's state is found by listing (I7, I9, I10): a listing put together from
//! two `getdents64` calls may miss a name that a rename carried from the unread part into the read one. So one
//! call must bring all names, and a second one must bring none.
//!
//! On btrfs (seen on Linux 6.18) one call is not one look all the same: it shows what was there when the
//! directory was opened and is still there now. `manifest/view.rs` says how it lives with that.
//!
//! Each listing opens a description of its own: the offset belongs to the description, and one `Dir` may be
//! listed by several threads at once.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use rustix::{
    fs::{Mode, OFlags, RawDir, openat},
    io::{Errno, retry_on_intr},
};

/// The first buffer: about 300 names of 64 digits (88 bytes each), while v1/ itself holds a dozen.
const BUFFER_BYTES: usize = 32 << 10;

/// The last buffer: 700,000 such names, more than a store ever keeps in one directory. It also ends the
/// attempts where no buffer helps, because the file system hands out a page at a time (FUSE does).
const BUFFER_BYTES_MAX: usize = 64 << 20;

/// All names in `dir`. Above the largest buffer a listing may be torn; there is then no better one.
pub(super) fn list(dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    let mut bytes = BUFFER_BYTES;
    loop {
        if let Some((names, _)) = look(dir, bytes, bytes >= BUFFER_BYTES_MAX)? {
            return Ok(names);
        }
        bytes *= 2;
    }
}

/// One pass over the directory: the names, and how many `getdents64` calls they took, the empty last one
/// included. `None` as soon as a second call brings more names, unless that is accepted.
fn look(dir: BorrowedFd<'_>, bytes: usize, accept_many: bool) -> io::Result<Option<(Vec<OsString>, usize)>> {
    let fresh = reopen(dir)?;
    let mut buffer = Vec::with_capacity(bytes);
    let mut entries = RawDir::new(&fresh, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    let mut calls = 0;
    loop {
        let calling = entries.is_buffer_empty();
        calls += usize::from(calling);
        match entries.next() {
            Some(Err(Errno::INTR)) => calls -= 1,
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(_)) if calling && calls > 1 && !accept_many => return Ok(None),
            Some(Ok(entry)) => names.extend(name_of(entry.file_name().to_bytes())),
            None => return Ok(Some((names, calls))),
        }
    }
}

fn name_of(name: &[u8]) -> Option<OsString> {
    (!matches!(name, b"." | b"..")).then(|| OsStr::from_bytes(name).to_owned())
}

fn reopen(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| openat(dir, c".", flags, Mode::empty()))?)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the directory to be listed is made by other means than `os`")]
mod tests {
    use std::{fs, os::fd::AsFd};

    use super::*;

    fn dir_of(count: usize) -> (tempfile::TempDir, fs::File) {
        let temp = tempfile::tempdir().unwrap();
        for number in 0..count {
            fs::write(temp.path().join(format!("{number:064}")), "").unwrap();
        }
        let dir = fs::File::open(temp.path()).unwrap();
        (temp, dir)
    }

    #[test]
    fn twelve_names_take_one_call_and_the_closing_one() {
        let (_temp, dir) = dir_of(12);
        let (names, calls) = look(dir.as_fd(), BUFFER_BYTES, false).unwrap().unwrap();
        assert_eq!((names.len(), calls), (12, 2));
    }

    #[test]
    fn five_thousand_names_are_complete_and_come_from_one_call() {
        let (_temp, dir) = dir_of(5_000);
        assert!(look(dir.as_fd(), BUFFER_BYTES, false).unwrap().is_none(), "one call cannot have held them");
        let mut names = list(dir.as_fd()).unwrap();
        names.sort();
        let expected: Vec<OsString> = (0..5_000).map(|number| format!("{number:064}").into()).collect();
        assert_eq!(names, expected);
        assert_eq!(look(dir.as_fd(), 1 << 20, false).unwrap().unwrap().1, 2);
    }

    #[test]
    fn beyond_the_largest_buffer_many_calls_are_accepted() {
        let (_temp, dir) = dir_of(50);
        let (names, calls) = look(dir.as_fd(), 1024, true).unwrap().unwrap();
        assert_eq!(names.len(), 50);
        assert!(calls > 2, "{calls}");
    }

    #[test]
    fn threads_that_list_one_directory_do_not_share_an_offset() {
        let (_temp, dir) = dir_of(1_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        assert_eq!(list(dir.as_fd()).unwrap().len(), 1_000);
                    }
                });
            }
        });
    }
}
