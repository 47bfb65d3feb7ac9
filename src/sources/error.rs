//! What can be wrong with sources, toolchains and depfiles: the errors of this directory.
//!
//! Anyone may use them. A variant per thing that the caller can do about it; every message says what was
//! tried, on which path and what to do, and leaves the system's own words to `source()`.

use std::{ffi::OsString, fmt, io, path::PathBuf};

/// A source that could not be digested, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot digest the source {path:?}: {why}")]
#[non_exhaustive]
pub struct BadSource {
    /// The path as it was given.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub why: BadSourceKind,
}

/// What is wrong with a source.
#[derive(Debug)]
#[non_exhaustive]
pub enum BadSourceKind {
    /// Nothing lies under this path, or the symbolic link there leads nowhere.
    Missing,
    /// Something lies there that has no content of its own: "a directory", "a FIFO", "a device", "a socket".
    NotAFile(&'static str),
    /// The system refused to open or to read it.
    Unreadable(io::Error),
    /// It was written each time while it was being read, so that no content could be told.
    Changing,
}

impl fmt::Display for BadSourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("nothing is there; give the path of an existing file"),
            Self::NotAFile(what) => write!(f, "it is {what}; give the path of a regular file"),
            Self::Unreadable(_) => f.write_str("the system refuses to read it; see to its permissions"),
            Self::Changing => f.write_str("it changes while it is read; try again when its writer is done"),
        }
    }
}

impl std::error::Error for BadSourceKind {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::Missing | Self::NotAFile(_) | Self::Changing => None,
        }
    }
}

/// Some sources could not be digested: all of them are named, in the order in which they were given.
#[derive(Debug)]
pub struct SourcesError {
    /// The sources that could not be digested; never empty.
    pub bad: Vec<BadSource>,
}

/// One line for each bad source. The system's own words are part of it, because an error has one `source()`
/// only and this one may have many: it has none.
impl fmt::Display for SourcesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, bad) in self.bad.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{bad}")?;
            if let BadSourceKind::Unreadable(error) = &bad.why {
                write!(f, " ({error})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for SourcesError {}

/// A compiler that could not be identified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainError {
    /// No such program is in `PATH`, or under the path that was given.
    #[error("cannot find the program {program:?}; install it, or give its path")]
    NotFound {
        /// The program as it was named.
        program: OsString,
    },
    /// The program is there, but which files do its work cannot be seen.
    #[error(
        "cannot see what does the work of {program:?}: {why}; name the compiler behind it, or say what \
         matters with Toolchain::of_files and Toolchain::of_value"
    )]
    Opaque {
        /// The program that hides the compiler.
        program: PathBuf,
        /// What hides it.
        why: String,
    },
    /// A file of the toolchain could not be read.
    #[error("cannot identify the files of the toolchain; see that all of it is installed and readable")]
    Bad(#[source] SourcesError),
}

impl From<BadSource> for ToolchainError {
    fn from(bad: BadSource) -> Self {
        Self::Bad(SourcesError { bad: vec![bad] })
    }
}

/// A depfile that is not the make syntax which compilers write. Offsets count bytes from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DepfileError {
    #[error("the depfile has {bytes} bytes, more than {bytes_max}; is it the compiler's?")]
    TooLong { bytes: usize, bytes_max: usize },
    #[error("the depfile holds no rule; see that the compiler was asked for one (-MD) and ended well")]
    NoRule,
    #[error("the rule of the depfile at byte {offset} has no target; let the compiler write it anew")]
    NoTarget { offset: usize },
    #[error(
        "the line of the depfile that ends at byte {offset} has no colon; let the compiler write it anew"
    )]
    NoColon { offset: usize },
    #[error("the depfile uses a make variable at byte {offset}; only the file names of -MD are understood")]
    Variable { offset: usize },
    #[error(
        "the depfile has a zero at byte {offset}, which no file name holds; let the compiler write it anew"
    )]
    Zero { offset: usize },
    #[error("the depfile breaks off at byte {offset}; see that the disk is not full, and build again")]
    BreaksOff { offset: usize },
}
