//! What is not below a `Dir`: absolute paths, the clock, the kernel's random numbers and boot id, memory files.
//!
//! For `Fs` alone. The paths here come from the caller and are followed through symlinks; whether they can be
//! trusted is judged above, from [`ancestors`]. Keeps I19's means (one clock, asked here only) and I1's (a sealed
//! file cannot change after it was hashed).
#![expect(
    clippy::disallowed_methods,
    reason = "this is where the rest of the crate is sent to for the clock, for waiting and for canonical paths"
)]

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::{
        fd::AsFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
    sync::OnceLock,
    thread,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, lstat, memfd_create, mkdir, open},
    io::{Errno, retry_on_intr},
    process::geteuid,
    rand::{GetRandomFlags, getrandom},
};

use super::{Dir, File, OPEN_FLAGS, open_source, open_to_owner, resolve, stat_of, stat_source};
use crate::fs::{Ancestors, Kind, Stat};

pub(in crate::fs) fn open_root(path: &Path) -> io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(Dir { fd: retry_on_intr(|| open(path, flags, Mode::empty()))?, reads: false })
}

pub(in crate::fs) fn open_resolved(path: &Path) -> io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OPEN_FLAGS;
    Ok(Dir { fd: resolve::open_from_root(path, flags)?, reads: false })
}

pub(in crate::fs) fn make_root(path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut level = path;
    while !make_level(level)? {
        missing.push(level);
        level = match level.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => return Err(Errno::NOENT.into()),
        };
    }
    for level in missing.into_iter().rev() {
        if !make_level(level)? {
            return Err(Errno::NOENT.into());
        }
    }
    Ok(())
}

/// Makes one directory, private from its first moment. `false` if its parent is missing. One that is there
/// already is fine, whoever made it: the caller judges the path afterwards.
fn make_level(path: &Path) -> io::Result<bool> {
    match retry_on_intr(|| mkdir(path, Mode::RWXU)) {
        Ok(()) => {
            open_to_owner(CWD, path, Mode::RWXU)?;
            Ok(true)
        }
        Err(Errno::NOENT) => Ok(false),
        Err(Errno::EXIST) if stat_source(path)?.kind == Kind::Dir => Ok(true),
        Err(Errno::EXIST) => Err(Errno::NOTDIR.into()),
        Err(error) => Err(error.into()),
    }
}

pub(in crate::fs) fn ancestors(path: &Path) -> io::Result<Ancestors> {
    let path = std::path::absolute(path)?;
    if let Some(plain) = plain_ancestors(&path)? {
        return Ok(plain);
    }
    let (real, rest) = split_existing(path)?;
    let mut prefixes: Vec<&Path> = real.ancestors().collect();
    prefixes.reverse();
    let existing = prefixes
        .into_iter()
        .map(|prefix| Ok((prefix.to_owned(), stat_of(&retry_on_intr(|| lstat(prefix))?))))
        .collect::<io::Result<_>>()?;
    // Not `join` of an empty rest, which would add a slash.
    let resolved = rest.iter().fold(real, |at, name| at.join(name));
    Ok(Ancestors { resolved, existing })
}

/// The same for a plainly spelled path without symlinks and `..`, with half of the system calls; `None` for any other.
fn plain_ancestors(path: &Path) -> io::Result<Option<Ancestors>> {
    let bytes = path.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b"/").filter(|rest| !rest.is_empty()).unwrap_or(bytes);
    let is_odd = |name: &[u8]| matches!(name, b"" | b"." | b"..");
    let Some(below_root) = bytes.strip_prefix(b"/") else { return Ok(None) };
    if !below_root.is_empty() && below_root.split(|byte| *byte == b'/').any(is_odd) {
        return Ok(None);
    }
    let slashes = below_root.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let inner = slashes.map(|(at, _)| at + 1);
    let ends = [1].into_iter().chain(inner).chain((bytes.len() > 1).then_some(bytes.len()));
    let mut existing = Vec::with_capacity(8);
    for end in ends {
        let prefix = Path::new(OsStr::from_bytes(&bytes[..end]));
        match retry_on_intr(|| lstat(prefix)) {
            Ok(stat) if stat_of(&stat).kind == Kind::Symlink => return Ok(None),
            Ok(stat) => existing.push((prefix.to_owned(), stat_of(&stat))),
            Err(Errno::NOENT) => break,
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(Ancestors { resolved: OsStr::from_bytes(bytes).into(), existing }))
}

/// The longest existing prefix of an absolute path, with its symlinks resolved, and the names behind it.
fn split_existing(mut path: PathBuf) -> io::Result<(PathBuf, Vec<OsString>)> {
    let mut rest = Vec::new();
    loop {
        match fs::canonicalize(&path) {
            Ok(real) => {
                rest.reverse();
                return Ok((real, rest));
            }
            Err(error) if !leads_nowhere(&error) => return Err(error),
            Err(error) => rest.push(take_last(&mut path, error)?),
        }
    }
}

/// Takes the last name off. A `..` behind something that does not exist has no meaning that could be relied
/// on; a symlink to nowhere would be taken for a name that is free to be made. Both are errors.
fn take_last(path: &mut PathBuf, error: io::Error) -> io::Result<OsString> {
    let Some(Component::Normal(name)) = path.components().next_back() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "`..` behind a directory that does not exist",
        ));
    };
    let name = name.to_owned();
    if retry_on_intr(|| lstat(path.as_path())).is_ok_and(|stat| stat_of(&stat).kind == Kind::Symlink) {
        return Err(error);
    }
    path.pop();
    Ok(name)
}

fn leads_nowhere(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Read once: it cannot change while this process lives.
pub(in crate::fs) fn boot_id() -> Option<[u8; 16]> {
    static BOOT_ID: OnceLock<Option<[u8; 16]>> = OnceLock::new();
    *BOOT_ID.get_or_init(|| {
        let mut text = [0; 64];
        let file = open_source(Path::new("/proc/sys/kernel/random/boot_id")).ok()?;
        let len = file.read_at(&mut text, 0).ok()?;
        parse_uuid(&text[..len])
    })
}

/// 32 hexadecimal digits, dashes anywhere between them.
fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text
        .trim_ascii()
        .iter()
        .filter(|&&byte| byte != b'-')
        .map(|&byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |sum, digit| sum << 4 | digit)).collect();
    (digits.len() == 32).then(|| bytes.try_into().ok()).flatten()
}

pub(in crate::fs) fn now() -> SystemTime {
    SystemTime::now()
}

pub(in crate::fs) fn pause(time: Duration) {
    thread::sleep(time);
}

pub(in crate::fs) fn random(mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let len = retry_on_intr(|| getrandom(&mut *bytes, GetRandomFlags::empty()))?;
        bytes = &mut bytes[len..];
    }
    Ok(())
}

pub(in crate::fs) fn user() -> u32 {
    geteuid().as_raw()
}

/// Whether the kernel started this program with more rights than its caller has (`AT_SECURE` in the auxiliary
/// vector). Where that cannot be read, nothing is taken for granted.
pub(in crate::fs) fn secure_execution() -> bool {
    const AT_SECURE: usize = 23;
    const WORD: usize = size_of::<usize>();
    let Ok(vector) = fs::read("/proc/self/auxv") else { return true };
    let words: Vec<_> = vector
        .chunks_exact(WORD)
        .map(|word| word.iter().rev().fold(0_usize, |value, byte| value << 8 | usize::from(*byte)))
        .collect();
    words.chunks_exact(2).find(|pair| pair[0] == AT_SECURE).is_none_or(|pair| pair[1] != 0)
}

pub(in crate::fs) fn sealed(bytes: &[u8]) -> io::Result<File> {
    let file = File { fd: memory_file()?, reads: false };
    let mut left = bytes;
    while !left.is_empty() {
        match file.write(left)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            len => left = &left[len..],
        }
    }
    // FUTURE_WRITE would not do: it leaves writable maps that exist alone. SEAL keeps the list as it is.
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(file.fd.as_fd(), seals)?;
    Ok(file)
}

/// An executable one where there is a choice: objects may be programs. Kernels before 6.3 do not know the
/// flag (EINVAL) and make all of them executable; where an administrator forbids it (EACCES,
/// `vm.memfd_noexec=2`) one that can at least be mapped and loaded is better than none.
fn memory_file() -> io::Result<std::os::fd::OwnedFd> {
    let base = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let make = |flags| retry_on_intr(|| memfd_create(c"plugcache", flags));
    let file = match make(base | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => make(base),
        Err(Errno::ACCESS) => make(base | MemfdFlags::NOEXEC_SEAL),
        answer => answer,
    };
    Ok(file?)
}

/// A path read from `/proc/self/fd`, whose text says "(deleted)" of names that are gone.
pub(super) fn path_of_link(bytes: Vec<u8>, stat: &Stat) -> io::Result<PathBuf> {
    let path = PathBuf::from(OsString::from_vec(bytes));
    let says_deleted = path.as_os_str().as_bytes().ends_with(b" (deleted)");
    // A living directory may bear such a name: then the path leads to it.
    if says_deleted && !stat_source(&path).is_ok_and(|found| found.same_inode(stat)) {
        return Err(Errno::NOENT.into());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn temp() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(temp.path()).unwrap();
        (temp, real)
    }

    #[test]
    fn ancestors_lead_from_the_root_to_the_path_and_each_leads_to_the_next() {
        let (_temp, real) = temp();
        let found = ancestors(&real).unwrap();
        assert_eq!(found.resolved, real);
        assert_eq!(found.existing[0].0, Path::new("/"));
        assert_eq!(found.existing.last().unwrap().0, real);
        for (pair, (path, stat)) in found.existing.windows(2).zip(&found.existing) {
            assert_eq!(pair[1].0.parent(), Some(path.as_path()));
            // Only the inode: others make names in these directories meanwhile.
            assert!(stat.kind == Kind::Dir && stat.same_inode(&stat_source(path).unwrap()));
        }
        assert_eq!(ancestors(Path::new("/")).unwrap().existing.len(), 1);
    }

    #[test]
    fn ancestors_resolve_symlinks_and_keep_the_names_that_are_missing() {
        let (_temp, real) = temp();
        fs::create_dir(real.join("dir")).unwrap();
        symlink("dir", real.join("link")).unwrap();
        let found = ancestors(&real.join("link/./new/newer/")).unwrap();
        assert_eq!(found.resolved.as_os_str(), real.join("dir/new/newer").as_os_str());
        assert_eq!(found.existing.last().unwrap().0, real.join("dir"));
        let whole = ancestors(&real.join("link")).unwrap();
        assert_eq!(whole.resolved.as_os_str(), real.join("dir").as_os_str());
    }

    #[test]
    fn ancestors_end_at_a_file_that_stands_in_the_way() {
        let (_temp, real) = temp();
        fs::write(real.join("file"), "").unwrap();
        for path in ["file", "file/below"] {
            let found = ancestors(&real.join(path)).unwrap();
            let (last, stat) = found.existing.last().unwrap();
            assert_eq!((last, stat.kind), (&real.join("file"), Kind::File));
            assert_eq!(found.resolved, real.join(path));
        }
    }

    #[test]
    fn ancestors_refuse_a_missing_directory_with_a_way_out_and_a_symlink_to_nowhere() {
        let (_temp, real) = temp();
        symlink("nothing", real.join("link")).unwrap();
        let kind = |path: &str| ancestors(&real.join(path)).unwrap_err().kind();
        assert_eq!(kind("missing/../other"), io::ErrorKind::InvalidInput);
        assert_eq!(kind("missing/.."), io::ErrorKind::InvalidInput);
        assert_eq!(kind("link"), io::ErrorKind::NotFound);
        assert_eq!(kind("link/below"), io::ErrorKind::NotFound);
        assert!(ancestors(Path::new("")).is_err());
    }

    #[test]
    fn a_relative_path_has_the_working_directory_among_its_ancestors() {
        let found = ancestors(Path::new("surely/missing")).unwrap();
        let here = fs::canonicalize(".").unwrap();
        assert_eq!(found.resolved, here.join("surely/missing"));
        assert_eq!(found.existing.last().unwrap().0, here);
    }

    #[test]
    fn every_level_that_make_root_makes_is_private_and_those_that_exist_stay_as_they_are() {
        let (_temp, real) = temp();
        fs::create_dir(real.join("a")).unwrap();
        fs::set_permissions(real.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
        make_root(&real.join("a/b/c")).unwrap();
        make_root(&real.join("a/b/c")).unwrap();
        let mode = |path: &str| stat_source(&real.join(path)).unwrap().mode;
        assert_eq!((mode("a"), mode("a/b"), mode("a/b/c")), (0o755, 0o700, 0o700));
    }

    #[test]
    fn make_root_does_not_take_a_file_or_a_symlink_to_nowhere_for_a_directory() {
        let (_temp, real) = temp();
        fs::write(real.join("file"), "").unwrap();
        symlink("nothing", real.join("link")).unwrap();
        assert_eq!(make_root(&real.join("file")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(make_root(&real.join("file/below")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert!(make_root(&real.join("link")).is_err());
        assert!(make_root(Path::new("")).is_err());
    }

    #[test]
    fn a_boot_id_is_32_digits_or_none() {
        let text = b"01234567-89ab-cdef-0123-456789abcdef\n";
        let bytes =
            [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
        assert_eq!(parse_uuid(text), Some(bytes));
        for wrong in
            [&b""[..], b"-", b"0123", &text[..35], b"01234567-89ab-cdef-0123-456789abcdefff", &[b'g'; 32]]
        {
            assert_eq!(parse_uuid(wrong), None, "{wrong:?}");
        }
        assert!(boot_id().is_some_and(|id| id != [0; 16]));
    }

    #[test]
    fn random_bytes_differ_from_call_to_call() {
        let (mut one, mut two) = ([0; 32], [0; 32]);
        random(&mut one).unwrap();
        random(&mut two).unwrap();
        assert_ne!(one, two);
        random(&mut []).unwrap();
    }
}
