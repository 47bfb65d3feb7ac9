//! Relative paths: resolved below a directory's descriptor, through no symlink.
//!
//! For the verbs of `os` alone. Keeps I20 (nothing outside the directory is reached through a name) and the part
//! of I5 that says a planted symlink or a FIFO is an error at once, never a detour and never a wait.
//!
//! `openat2` answers in one system call. Kernels before 5.6, and sandboxes that hide it, say ENOSYS: then the
//! components are walked one by one with `O_NOFOLLOW`. Both ways give the same answers, errors included.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat},
    io::{Errno, retry_on_intr},
};

use crate::planted::{self, Bug};

/// How often EAGAIN is taken for a lost race before it is believed. One try nearly always does; a file with
/// somebody's `fcntl` lease on it says EAGAIN for as long as the lease lasts, so there must be an end.
const AGAIN_MAX: usize = 32;

/// A directory only to be looked through: needs no permission to list it.
const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Set once the kernel has said that it has no `openat2`. Only ENOSYS says so: EPERM may be about the file.
static OPENAT2_MISSING: AtomicBool = AtomicBool::new(false);

/// A relative path whose every component is a plain name. The proof is made here and nowhere else, because
/// the kernel alone would accept `a/../b`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rel<'a>(&'a [u8]);

impl<'a> Rel<'a> {
    pub(super) fn new(path: &'a Path) -> io::Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        if !is_plain_at_a_glance(bytes)
            && bytes.split(|&byte| byte == b'/').any(|name| matches!(name, b"" | b"." | b".."))
        {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain path below a directory"));
        }
        Ok(Self(bytes))
    }

    fn names(self) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|&byte| byte == b'/')
    }

    /// The directory part, if there is one, and the last name.
    fn split(self) -> (Option<Self>, &'a [u8]) {
        match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (Some(Self(&self.0[..slash])), &self.0[slash + 1..]),
            None => (None, self.0),
        }
    }
}

/// Whether no component is empty or begins with a dot, which is so of nearly all paths and seen without a branch for
/// each byte.
fn is_plain_at_a_glance(path: &[u8]) -> bool {
    let ([first, after @ ..], [before @ .., last]) = (path, path) else { return false };
    let starts_badly = |byte: u8| (byte == b'/') | (byte == b'.');
    let suspect = |(byte, next): (&u8, &u8)| (*byte == b'/') & starts_badly(*next);
    let suspects = before.iter().zip(after).fold(false, |any, pair| any | suspect(pair));
    !(suspects | starts_badly(*first) | (*last == b'/'))
}

/// Opens `rel` below `dir`. `mode` must be empty unless `flags` may create.
pub(super) fn open(dir: BorrowedFd<'_>, rel: Rel<'_>, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    if !openat2_missing() {
        match open_by_kernel(dir, rel, flags, mode) {
            Err(Errno::NOSYS) => OPENAT2_MISSING.store(true, Ordering::Relaxed),
            answer => return Ok(answer?),
        }
    }
    Ok(open_by_walk(dir, rel, flags, mode)?)
}

/// Opens an absolute path, through no symlink.
pub(super) fn open_from_root(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    if !openat2_missing() {
        let resolve = ResolveFlags::NO_SYMLINKS;
        match again(|| openat2(CWD, path, flags, Mode::empty(), resolve)) {
            Err(Errno::NOSYS) => OPENAT2_MISSING.store(true, Ordering::Relaxed),
            answer => return Ok(answer?),
        }
    }
    let root = retry_on_intr(|| openat(CWD, c"/", STEP, Mode::empty()))?;
    let below = Rel::new(path.strip_prefix("/").map_err(|_| Errno::INVAL)?)?;
    Ok(open_by_walk(root.as_fd(), below, flags, Mode::empty())?)
}

/// Runs a verb that has no `openat2` form on the last name of `rel`, in its directory, which is resolved first.
pub(super) fn in_parent<T>(
    dir: BorrowedFd<'_>,
    rel: Rel<'_>,
    verb: impl Fn(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<T>,
) -> io::Result<T> {
    let (parent, name) = parent_of(dir, rel)?;
    let here = parent.as_ref().map_or(dir, AsFd::as_fd);
    Ok(retry_on_intr(|| verb(here, name))?)
}

/// As [`in_parent`], for a verb with two names.
pub(super) fn in_parents<T>(
    dir: BorrowedFd<'_>,
    [one, two]: [Rel<'_>; 2],
    verb: impl Fn([(BorrowedFd<'_>, &[u8]); 2]) -> rustix::io::Result<T>,
) -> io::Result<T> {
    let ((old, one), (new, two)) = (parent_of(dir, one)?, parent_of(dir, two)?);
    let (old, new) = (old.as_ref().map_or(dir, AsFd::as_fd), new.as_ref().map_or(dir, AsFd::as_fd));
    Ok(retry_on_intr(|| verb([(old, one), (new, two)]))?)
}

/// The directory of `rel`, if it is not `dir` itself, and the name in it.
fn parent_of<'a>(dir: BorrowedFd<'_>, rel: Rel<'a>) -> io::Result<(Option<OwnedFd>, &'a [u8])> {
    let (parent, name) = rel.split();
    Ok((parent.map(|parent| open(dir, parent, STEP, Mode::empty())).transpose()?, name))
}

fn open_by_kernel(
    dir: BorrowedFd<'_>,
    rel: Rel<'_>,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    if planted::is(Bug::SymlinkFollowed) {
        resolve = ResolveFlags::empty();
    }
    again(|| openat2(dir, rel.0, flags, mode, resolve))
}

/// Repeats what a race or a signal has kept from an answer.
fn again<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    let mut answer = Err(Errno::AGAIN);
    for _ in 0..AGAIN_MAX {
        answer = retry_on_intr(&mut call);
        if !matches!(answer, Err(Errno::AGAIN)) {
            break;
        }
    }
    answer
}

fn open_by_walk(dir: BorrowedFd<'_>, rel: Rel<'_>, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let mut reached: Option<OwnedFd> = None;
    let mut names = rel.names().peekable();
    while let Some(name) = names.next() {
        let here = reached.as_ref().map_or(dir, AsFd::as_fd);
        let last = names.peek().is_none();
        let (flags, mode) = if last { (flags, mode) } else { (STEP, Mode::empty()) };
        reached = Some(open_one(here, name, flags, mode)?);
    }
    reached.ok_or(Errno::INVAL)
}

/// Opens one name. `O_DIRECTORY` makes the kernel say "not a directory" of a symlink; told apart here, as
/// `openat2` does, so that a planted link is reported as what it is.
fn open_one(here: BorrowedFd<'_>, name: &[u8], flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let answer = retry_on_intr(|| openat(here, name, flags | OFlags::NOFOLLOW, mode));
    if let Err(Errno::NOTDIR) = answer {
        let stat = retry_on_intr(|| statat(here, name, AtFlags::SYMLINK_NOFOLLOW))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
    }
    answer
}

fn openat2_missing() -> bool {
    #[cfg(test)]
    if pretend::OPENAT2_MISSING.get() {
        return true;
    }
    OPENAT2_MISSING.load(Ordering::Relaxed)
}

/// Lets a test run any verb as on a kernel without `openat2`; per thread, so that tests do not meet.
#[cfg(test)]
pub(super) mod pretend {
    use std::cell::Cell;

    thread_local! {
        pub(super) static OPENAT2_MISSING: Cell<bool> = const { Cell::new(false) };
    }

    pub(in crate::fs::os) fn openat2_missing<T>(run: impl FnOnce() -> T) -> T {
        OPENAT2_MISSING.set(true);
        let answer = run();
        OPENAT2_MISSING.set(false);
        answer
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tree to be resolved is made by other means than `os`")]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::fs::{Access, Kind, os};

    /// Errors as numbers; what was reached as kind and length, because each try has a tree of its own.
    type Answer = Result<Option<(Kind, u64)>, (Option<i32>, io::ErrorKind)>;
    type Verb = fn(&os::Dir, &Path) -> io::Result<Option<crate::fs::Stat>>;

    const PATHS: &[&str] = &[
        "file",
        "dir",
        "dir/file",
        "dir/sub",
        "dir/sub/deep",
        "dir/sub/new",
        "missing",
        "missing/file",
        "file/below",
        "fifo",
        "dir/empty",
        // Symlinks: at the end, in the middle, to nowhere, out of the tree, in a circle.
        "to_file",
        "to_dir",
        "to_dir/file",
        "to_dir/new",
        "dir/to_up",
        "dir/to_up/file",
        "to_nowhere",
        "to_nowhere/file",
        "to_root",
        "to_root/etc",
        "circle",
        "circle/file",
        // Not plain paths.
        "",
        ".",
        "..",
        "../file",
        "dir/..",
        "dir/../file",
        "dir/./file",
        "dir//file",
        "dir/",
        "/",
        "/etc",
        "nul\0byte",
        "dir/nul\0/x",
    ];

    const VERBS: &[(&str, Verb)] = &[
        ("open to read", |dir, rel| dir.open(rel, Access::Read)?.stat().map(Some)),
        ("open to append", |dir, rel| dir.open(rel, Access::Append)?.stat().map(Some)),
        ("open_dir", |dir, rel| {
            dir.open_dir(rel)?.stat_self().map(|stat| Some(crate::fs::Stat { len: 0, ..stat }))
        }),
        ("create", |dir, rel| dir.create(rel, 0o600)?.stat().map(Some)),
        ("open_or_create", |dir, rel| dir.open_or_create(rel)?.stat().map(Some)),
        ("make_dir", |dir, rel| dir.make_dir(rel, 0o700).map(|()| None)),
        ("unlink", |dir, rel| dir.unlink(rel).map(|()| None)),
        ("remove_dir", |dir, rel| dir.remove_dir(rel).map(|()| None)),
        ("stat", |dir, rel| dir.stat(rel).map(Some)),
        ("rename from", |dir, rel| dir.rename(rel, Path::new("new")).map(|()| None)),
        ("rename to", |dir, rel| dir.rename(Path::new("file"), rel).map(|()| None)),
    ];

    fn tree() -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        fs::create_dir_all(root.join("dir/sub")).unwrap();
        fs::create_dir(root.join("dir/empty")).unwrap();
        fs::write(root.join("file"), "1").unwrap();
        fs::write(root.join("dir/file"), "22").unwrap();
        fs::write(root.join("dir/sub/deep"), "333").unwrap();
        for (target, link) in [
            ("file", "to_file"),
            ("dir", "to_dir"),
            ("..", "dir/to_up"),
            ("nothing", "to_nowhere"),
            ("/", "to_root"),
            ("circle", "circle"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        os::tests::make_fifo(&root.join("fifo"));
        temp
    }

    fn answer(verb: Verb, path: &str) -> Answer {
        let temp = tree();
        let dir = os::open_root(temp.path()).unwrap();
        verb(&dir, Path::new(path))
            .map(|stat| stat.map(|stat| (stat.kind, stat.len)))
            .map_err(|error| (error.raw_os_error(), error.kind()))
    }

    #[test]
    fn the_kernel_and_the_walk_give_the_same_answers() {
        for (name, verb) in VERBS {
            for path in PATHS {
                let by_kernel = answer(*verb, path);
                let by_walk = pretend::openat2_missing(|| answer(*verb, path));
                assert_eq!(by_kernel, by_walk, "{name} of {path:?}");
            }
        }
    }

    #[test]
    fn symlinks_are_refused_at_the_end_and_in_the_middle() {
        let looped = Err((Some(Errno::LOOP.raw_os_error()), io::Error::from(Errno::LOOP).kind()));
        for (name, verb) in VERBS {
            for path in ["to_dir/file", "dir/to_up/file", "to_root/etc"] {
                assert_eq!(answer(*verb, path), looped, "{name} of {path:?}");
            }
        }
        for (name, verb) in &VERBS[..3] {
            for path in ["to_file", "to_dir", "dir/to_up", "to_nowhere", "circle"] {
                assert_eq!(answer(*verb, path), looped, "{name} of {path:?}");
            }
        }
    }

    #[test]
    fn a_path_that_is_not_plain_never_reaches_the_kernel() {
        for path in [
            "",
            ".",
            "..",
            "../file",
            "dir/..",
            "dir/../file",
            "dir/./file",
            "dir//file",
            "dir/",
            "/",
            "/etc",
        ] {
            let error = Rel::new(Path::new(path)).unwrap_err();
            assert_eq!((error.raw_os_error(), error.kind()), (None, io::ErrorKind::InvalidInput), "{path:?}");
        }
    }

    #[test]
    fn what_lies_behind_a_planted_directory_symlink_is_not_removed() {
        for walk in [false, true] {
            let temp = tree();
            let dir = os::open_root(temp.path()).unwrap();
            let unlink = || dir.unlink(Path::new("to_dir/file"));
            assert!(if walk { pretend::openat2_missing(unlink) } else { unlink() }.is_err());
            let rename = || dir.rename(Path::new("to_dir/file"), Path::new("moved"));
            assert!(if walk { pretend::openat2_missing(rename) } else { rename() }.is_err());
            assert!(temp.path().join("dir/file").exists());
        }
    }
}
