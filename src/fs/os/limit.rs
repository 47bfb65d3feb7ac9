//! The file size limit (`RLIMIT_FSIZE`), looked at before the kernel does.
//!
//! For the writing verbs of `os` alone. Part of I15: a write that starts at the limit raises SIGXFSZ, whose
//! default kills the host, so it must never be made; one that crosses the limit is cut, which tears a frame.
//! Both are refused beforehand with EFBIG.
//!
//! The limit is read before every write and not once per process: hosts lower it at run time (`setrlimit`
//! around a build) and so may others (`prlimit`), and a stale answer costs the host its life. The price is one
//! system call: measured 0.32 us, about what any costs on that machine (fstat 0.32, an overwrite of 4 KiB 0.60).
//! Only where the limit is finite does it take more, to learn where the write would start.
//!
//! Not covered: another process that appends between the look and the write.

use std::{io, os::fd::BorrowedFd};

use rustix::{
    fs::{FileType, OFlags, fcntl_getfl, fstat, tell},
    io::Errno,
    process::{Resource, getrlimit},
};

/// Whether `len` bytes written to `fd` now (at its cursor, or at the end where it appends) stay whole.
pub(super) fn check_write(fd: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    let Some(limit) = getrlimit(Resource::Fsize).current else { return Ok(()) };
    let stat = fstat(fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    let appends = fcntl_getfl(fd)?.contains(OFlags::APPEND);
    let start = if appends { u64::try_from(stat.st_size).unwrap_or(u64::MAX) } else { tell(fd)? };
    within(limit, start, len as u64)
}

/// Whether a clone of `source` stays whole: the kernel holds `FICLONE` to the same limit.
pub(super) fn check_clone(source: BorrowedFd<'_>) -> io::Result<()> {
    let Some(limit) = getrlimit(Resource::Fsize).current else { return Ok(()) };
    within(limit, 0, u64::try_from(fstat(source)?.st_size).unwrap_or(u64::MAX))
}

fn within(limit: u64, start: u64, len: u64) -> io::Result<()> {
    if len == 0 || start.checked_add(len).is_some_and(|end| end <= limit) {
        return Ok(());
    }
    Err(Errno::FBIG.into())
}

#[cfg(test)]
mod tests {
    use std::{env, path::Path, process::Command};

    use rustix::process::{Rlimit, setrlimit};

    use crate::fs::{Access, os};

    const CHILD: &str = "PLUGCACHE_TEST_FSIZE_CHILD";

    /// In a process of its own: the limit holds for all threads, and a failure is death by SIGXFSZ.
    #[test]
    fn a_write_that_the_limit_would_cut_is_refused_and_nobody_dies() {
        if let Some(dir) = env::var_os(CHILD) {
            return child(Path::new(&dir));
        }
        let temp = tempfile::tempdir().unwrap();
        let name = "fs::os::limit::tests::a_write_that_the_limit_would_cut_is_refused_and_nobody_dies";
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads=1"])
            .env(CHILD, temp.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    }

    fn child(path: &Path) {
        let dir = os::open_root(path).unwrap();
        let file = dir.create(Path::new("file"), 0o600).unwrap();
        let log = dir.create(Path::new("log"), 0o600).unwrap();
        let source = dir.create(Path::new("source"), 0o600).unwrap();
        source.write(&[0; 1_001]).unwrap();
        let before = limit(Some(1_000));

        assert_eq!(file.write(&[1; 900]).unwrap(), 900);
        too_large(file.write(&[1; 101]));
        assert_eq!(file.write(&[1; 100]).unwrap(), 100);
        too_large(file.write(&[1]));
        assert_eq!(file.write(&[]).unwrap(), 0);

        // A description that appends is measured from the end, where others may have moved it to.
        let appender = dir.open(Path::new("log"), Access::Append).unwrap();
        log.write(&[2; 950]).unwrap();
        too_large(appender.write(&[3; 64]));
        assert_eq!(log.stat().unwrap().len, 950);

        too_large(os::sealed(&[4; 1_001]));
        os::sealed(&[4; 1_000]).unwrap();
        limit(Some(0));
        too_large(file.clone_from(&source));

        // Raised again, in the same process: nothing was remembered.
        limit(before);
        assert_eq!(file.write(&[1; 100]).unwrap(), 100);
    }

    fn limit(current: Option<u64>) -> Option<u64> {
        let before = super::getrlimit(super::Resource::Fsize);
        setrlimit(super::Resource::Fsize, Rlimit { current, ..before }).unwrap();
        before.current
    }

    fn too_large<T: std::fmt::Debug>(answer: std::io::Result<T>) {
        assert_eq!(answer.unwrap_err().raw_os_error(), Some(super::Errno::FBIG.raw_os_error()));
    }
}
