//! Which file systems are kept by this kernel alone, and how one is mounted.
//!
//! For `fs` alone.

use std::{io, os::fd::BorrowedFd};

use rustix::{fs::fstatfs, io::retry_on_intr};

use crate::fs::FileSystem;

/// Those that another machine or a process keeps, as `statfs` numbers them. One that nobody thought of counts as local:
/// most are.
const SHARED: [(u32, &str); 14] = [
    (0x0000_6969, "NFS"),
    (0x0000_517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE or virtiofs"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x7461_636F, "OCFS2"),
    (0x0116_1970, "GFS2"),
];
/// `ST_NOEXEC`.
const NOEXEC: u64 = 8;

/// One `fstatfs`.
pub(super) fn file_system(dir: BorrowedFd<'_>) -> io::Result<FileSystem> {
    let found = retry_on_intr(|| fstatfs(dir))?;
    // The fields have other widths and signs on other processors; the numbers have 32 bits everywhere.
    let kind = found.f_type as u32;
    let shared = SHARED.iter().find(|(number, _)| *number == kind);
    Ok(FileSystem {
        name: shared.map_or("a local file system", |(_, name)| name),
        is_local: shared.is_none(),
        is_noexec: found.f_flags as u64 & NOEXEC != 0,
    })
}
