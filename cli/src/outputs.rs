//! The files that a command makes: looked at before and after, and put in their places on a hit.

use crate::{exit::Fail, place::absolute, signals::Hold};
use plugcache::Artifact;
use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// A file that a command makes.
pub(crate) struct Wanted {
    /// As it was given: its name in the entry.
    pub(crate) name: PathBuf,
    /// Absolute.
    pub(crate) path: PathBuf,
    before: Option<State>,
}

/// What tells that a file was written: everything that writing changes.
#[derive(PartialEq, Eq)]
struct State(u64, u64, u64, [i64; 4]);

fn state(path: &Path) -> Option<State> {
    let at = fs::metadata(path).ok()?;
    let times = [at.mtime(), at.mtime_nsec(), at.ctime(), at.ctime_nsec()];
    Some(State(at.dev(), at.ino(), at.len(), times))
}

impl Wanted {
    pub(crate) fn new(name: &Path) -> Wanted {
        let path = absolute(name);
        Wanted { name: name.to_owned(), before: state(&path), path }
    }

    /// Looks at it again: an older state than that of now says nothing.
    pub(crate) fn look(&mut self) {
        self.before = state(&self.path);
    }

    /// What is wrong with it after its command succeeded, if anything is.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        match fs::metadata(&self.path) {
            Ok(at) if !at.is_file() => Some("is no regular file"),
            Ok(_) if self.before.is_some() && state(&self.path) == self.before => {
                Some("was there before, and the command left it as it was")
            }
            Ok(_) => None,
            Err(_) => Some("was not made"),
        }
    }

    /// Whether something else than a file has its name already.
    pub(crate) fn is_special(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|at| !at.is_file())
    }
}

/// Puts the output `number` of an artifact in its place: written beside and renamed, the executable bit kept, blocks
/// shared where the file system can.
pub(crate) fn place(artifact: &Artifact, number: usize, to: &Path, hold: &Hold) -> Result<(), Fail> {
    let output = artifact.outputs().nth(number);
    let output = output.ok_or_else(|| Fail::new(format!("the entry has no file number {}", number + 1)))?;
    let mode = if output.is_executable() { 0o777 } else { 0o666 };
    let copy = |copy: &mut fs::File| {
        let copied = io::copy(&mut output.file()?, copy)?;
        let right = copied == output.len();
        if right { Ok(()) } else { Err(io::Error::other("the stored file is damaged")) }
    };
    put_at(to, mode, copy).map_err(Fail::doing("put a file at", to))?;
    if hold.is_over() { Err(Fail::new("interrupted")) } else { Ok(()) }
}

/// Makes the directories that lead to a file, follows a link that has its name, and refuses to replace what is none.
/// The file is written beside it and then renamed; of its `mode` the umask takes what it takes from a compiler's.
pub(crate) fn put_at(
    to: &Path,
    mode: u32,
    write: impl FnOnce(&mut fs::File) -> io::Result<()>,
) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    // A compiler would write through a link, so the link stays.
    let real = fs::canonicalize(to).unwrap_or_else(|_| to.to_owned());
    if fs::metadata(&real).is_ok_and(|at| !at.is_file()) {
        return Err(io::Error::other("something that is no regular file is in the way"));
    }
    let beside = real.parent().unwrap_or(Path::new("/"));
    let permissions = fs::Permissions::from_mode(mode);
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(beside)?;
    write(file.as_file_mut())?;
    file.persist(real).map(drop).map_err(|error| error.error)
}
