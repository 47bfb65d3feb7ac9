//! Why a build gives no artifact. What is wrong with the store is no such reason.

use std::{fmt, io};

use super::explain::Explanation;
use crate::{digest::SourceDigest, error::NoOutput};

/// Why `get_or_build` has no artifact.
///
/// `Display` of a failed build is that of the build's own error, which need not be a `std::error::Error`
/// (`anyhow::Error` is none); its causes are reached through the variant.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError<E> {
    /// The build failed; this is its own error, unchanged.
    Build(E),
    /// The build succeeded and left nothing usable.
    NoOutput(NoOutput),
    /// The build asked for the very key it is building, and would wait for itself for ever.
    Recursive(SourceDigest),
    /// The mode is `RequireHit`, and this is a miss, for this reason.
    RequiredHit(Box<Explanation>),
    /// A directory to build in could not be made, neither in the store nor in the system's temporary directory.
    NoScratch(io::Error),
}

impl<E: fmt::Display> fmt::Display for BuildError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Build(error) => error.fmt(f),
            BuildError::NoOutput(error) => error.fmt(f),
            BuildError::Recursive(digest) => write!(f, "the build of {digest} asked for itself"),
            BuildError::RequiredHit(why) => required(f, why),
            BuildError::NoScratch(_) => f.write_str(NO_SCRATCH),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for BuildError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BuildError::NoScratch(error) => Some(error),
            _ => None,
        }
    }
}

/// Why `load_or_build` has nothing loaded. `Display` as in [`BuildError`].
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadOrBuildError<E, L> {
    /// The build failed; this is its own error, unchanged.
    Build(E),
    /// The plugin failed to load, or a freshly built artifact did; this is the loader's own error, unchanged.
    Load(L),
    /// The build succeeded and left nothing usable.
    NoOutput(NoOutput),
    /// The build asked for the very key it is building.
    Recursive(SourceDigest),
    /// The mode is `RequireHit`, and this is a miss, for this reason.
    RequiredHit(Box<Explanation>),
    /// A directory to build in could not be made.
    NoScratch(io::Error),
}

impl<E, L> From<BuildError<E>> for LoadOrBuildError<E, L> {
    fn from(error: BuildError<E>) -> Self {
        match error {
            BuildError::Build(error) => LoadOrBuildError::Build(error),
            BuildError::NoOutput(problem) => LoadOrBuildError::NoOutput(problem),
            BuildError::Recursive(digest) => LoadOrBuildError::Recursive(digest),
            BuildError::RequiredHit(why) => LoadOrBuildError::RequiredHit(why),
            BuildError::NoScratch(error) => LoadOrBuildError::NoScratch(error),
        }
    }
}

impl<E: fmt::Display, L: fmt::Display> fmt::Display for LoadOrBuildError<E, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadOrBuildError::Build(error) => error.fmt(f),
            LoadOrBuildError::Load(error) => error.fmt(f),
            LoadOrBuildError::NoOutput(error) => error.fmt(f),
            LoadOrBuildError::Recursive(digest) => BuildError::<E>::Recursive(*digest).fmt(f),
            LoadOrBuildError::RequiredHit(why) => required(f, why),
            LoadOrBuildError::NoScratch(_) => f.write_str(NO_SCRATCH),
        }
    }
}

impl<E: fmt::Display + fmt::Debug, L: fmt::Display + fmt::Debug> std::error::Error
    for LoadOrBuildError<E, L>
{
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LoadOrBuildError::NoScratch(error) => Some(error),
            _ => None,
        }
    }
}

const NO_SCRATCH: &str = "could not make a directory to build in";

fn required(f: &mut fmt::Formatter<'_>, why: &Explanation) -> fmt::Result {
    write!(f, "a hit was required, and this is a miss: {why}")
}
