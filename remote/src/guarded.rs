//! Files that decide about trust: opened without following a link, and refused where others could have had a hand in
//! them, or in a directory above them.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// Longer files are not read: a file of trust with thousands of keys is shorter.
const FILE_BYTES_MAX: u64 = 1 << 20;
const OTHERS_MAY_WRITE: u32 = 0o022;
const OTHERS_MAY_ANYTHING: u32 = 0o077;
/// In a directory with this bit a name can be removed by the owner of its file alone.
const STICKY: u32 = 0o1000;

/// What others may do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing.
    Secret,
    /// Read it.
    Readable,
}

/// Why a file that decides about trust is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// There is none.
    #[error("there is no file {}", .0.display())]
    Missing(PathBuf),
    /// Others could have had a hand in it, or could read what is secret.
    #[error("{} is not safe: {why}", path.display())]
    Unsafe {
        /// The file, or a directory that leads to it.
        path: PathBuf,
        /// What is wrong, and with which mode or owner.
        why: String,
    },
    /// What the system answered.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
}

/// The text of a file that decides about trust in a roundabout way, such as one that names a file of trust: nobody else may
/// be able to change it, or a directory above it.
///
/// # Errors
/// See [`GuardError`].
pub fn read_guarded(path: &Path) -> Result<String, GuardError> {
    read(path, Guard::Readable)
}

/// The text of a file.
pub(crate) fn read(path: &Path, guard: Guard) -> Result<String, GuardError> {
    check_directories(path)?;
    // Without waiting: the name may be that of a FIFO.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = file.map_err(|source| failed_at(path, source))?;
    let meta = file.metadata().map_err(|source| failed_at(path, source))?;
    check_file(path, &meta, guard)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|source| failed_at(path, source))?;
    Ok(text)
}

/// Writes a file that is not there, for its owner alone.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), GuardError> {
    check_directories(path)?;
    write_new(path, bytes, 0o600)
}

/// Writes a file anew, beside it first: killed at any time, the old one or the new one is there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), GuardError> {
    check_directories(path)?;
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.new", std::process::id()));
    let aside = PathBuf::from(aside);
    // What a killed process of this number left.
    let _ = fs::remove_file(&aside);
    write_new(&aside, bytes, 0o644)?;
    fs::rename(&aside, path).map_err(|source| failed_at(path, source))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), GuardError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = made.and_then(|mut file: File| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|source| failed_at(path, source))
}

fn check_file(path: &Path, meta: &Metadata, guard: Guard) -> Result<(), GuardError> {
    let forbidden = if guard == Guard::Secret { OTHERS_MAY_ANYTHING } else { OTHERS_MAY_WRITE };
    if !meta.is_file() {
        return Err(not_safe(path, "it is no regular file".into()));
    }
    if !is_ours(meta, guard == Guard::Readable) {
        return Err(not_safe(path, format!("its owner is user {}", meta.uid())));
    }
    if meta.mode() & forbidden != 0 {
        return Err(not_safe(path, format!("others may use it, its mode is {:o}", meta.mode() & 0o7777)));
    }
    Ok(())
}

/// Every directory up to the root: who can write to one can exchange all below it.
fn check_directories(path: &Path) -> Result<(), GuardError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let real = parent.canonicalize().map_err(|source| failed_at(parent, source))?;
    for dir in real.ancestors() {
        let meta = fs::symlink_metadata(dir).map_err(|source| failed_at(dir, source))?;
        let mode = meta.mode();
        let shared = mode & OTHERS_MAY_WRITE != 0 && (mode & STICKY == 0 || dir == real);
        if shared {
            return Err(not_safe(dir, format!("others may write to it, its mode is {:o}", mode & 0o7777)));
        }
        if !is_ours(&meta, true) {
            return Err(not_safe(dir, format!("its owner is user {}", meta.uid())));
        }
    }
    Ok(())
}

fn is_ours(meta: &Metadata, or_roots: bool) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw() || or_roots && meta.uid() == 0
}

fn not_safe(path: &Path, why: String) -> GuardError {
    GuardError::Unsafe { path: path.into(), why }
}

fn failed_at(path: &Path, source: io::Error) -> GuardError {
    match source.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NOENT) => GuardError::Missing(path.into()),
        // What O_NOFOLLOW answers.
        Some(rustix::io::Errno::LOOP) => not_safe(path, "it is a link".into()),
        _ => GuardError::Io { path: path.into(), source },
    }
}
