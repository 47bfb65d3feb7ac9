//! How the command ends: the codes that scripts rely on, and the failures that lead to them.
//!
//! `run` ends with the code of its command, or with those of env(1); every other verb with one of [`Exit`].

use std::{fmt, io, path::Path};

/// What a verb ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    Failure = 1,
    Usage = 2,
    Miss = 3,
    Damage = 4,
    Busy = 5,
}

/// `run` itself failed, or a hit was required.
pub(crate) const RUN_FAILED: u8 = 125;
/// The command of `run` was found and cannot be started.
pub(crate) const RUN_CANNOT_START: u8 = 126;
/// The command of `run` was not found.
pub(crate) const RUN_NOT_FOUND: u8 = 127;
/// A signal ended the command of `run`: this plus its number.
pub(crate) const RUN_SIGNALLED: u8 = 128;

/// Why a verb could not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Fail {
    /// Nobody reads standard output any more (`ls | head`): no failure at all.
    NobodyReads,
    /// What to say, and what to end with.
    Told(Exit, String),
}

pub(crate) type Done = Result<Exit, Fail>;

impl Fail {
    pub(crate) fn new(message: impl fmt::Display) -> Fail {
        Fail::Told(Exit::Failure, message.to_string())
    }

    /// Of an error and all its causes.
    pub(crate) fn of(error: &dyn std::error::Error) -> Fail {
        Fail::new(chain(error))
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Fail {
        Fail::Told(Exit::Usage, message.to_string())
    }

    /// What to say.
    pub(crate) fn into_text(self) -> String {
        match self {
            Fail::NobodyReads => "nobody reads standard output".into(),
            Fail::Told(_, text) => text,
        }
    }

    /// For `map_err`: says what was being done to which file.
    pub(crate) fn doing<'a>(action: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Fail + 'a {
        move |error| Fail::new(format!("could not {action} {}: {error}", path.display()))
    }
}

/// Of a write to standard output.
impl From<io::Error> for Fail {
    fn from(error: io::Error) -> Fail {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Fail::NobodyReads,
            _ => Fail::new(format!("could not write to standard output: {error}")),
        }
    }
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// For people, on standard error; never more than a line that says who speaks.
pub(crate) fn warn(message: impl fmt::Display) {
    use io::Write as _;
    // Nobody is there to be told that nobody can be told.
    let _ = writeln!(io::stderr(), "plugcache: warning: {message}");
}

/// As [`warn`], of a failure.
pub(crate) fn tell(message: impl fmt::Display) {
    use io::Write as _;
    // As above.
    let _ = writeln!(io::stderr(), "plugcache: {message}");
}
