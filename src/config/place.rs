//! Where the store of an application lies when the host does not say.
//!
//! The only reader of environment variables in `config`. They decide what code a host will run, so a
//! program that runs with more rights than its caller (set-user-id, file capabilities) reads none of them.

use crate::fs::Fs;
use std::{ffi::OsString, path::PathBuf};

/// The directory, used as it is.
const DIR: &str = "PLUGCACHE_DIR";
/// `1`: no store at all.
const DISABLE: &str = "PLUGCACHE_DISABLE";

/// There is no directory in which an application could keep its store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no directory for the store of compiled plugins: {reason}")]
pub struct NoCacheDir {
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("{0:?} is no name for an application: give a plain file name such as \"my-app\"")]
    Name(String),
    #[error("neither XDG_CACHE_HOME nor HOME is an absolute path: set one of them, or set PLUGCACHE_DIR")]
    NoHome,
    #[error(
        "this program runs with more rights than its caller and so ignores the environment: \
         let it name a directory to Config::new"
    )]
    Secure,
}

pub(super) fn of_app(name: &str) -> Result<PathBuf, NoCacheDir> {
    let secure = Fs::Os.secure_execution();
    choose(name, secure, |variable| std::env::var_os(variable)).map_err(|reason| NoCacheDir { reason })
}

/// Whether the user wants no store, whatever the host chose.
pub(crate) fn disabled_by_environment() -> bool {
    !Fs::Os.secure_execution() && std::env::var_os(DISABLE).is_some_and(|value| value == "1")
}

fn choose(name: &str, secure: bool, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Reason> {
    if !is_plain(name) {
        return Err(Reason::Name(name.into()));
    }
    if secure {
        return Err(Reason::Secure);
    }
    // An empty variable is as good as none, as the XDG specification has it.
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = path(DIR) {
        return Ok(dir);
    }
    let absolute = |name: &str| path(name).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Ok(caches.ok_or(Reason::NoHome)?.join(name).join("plugcache"))
}

/// One component of a path on any system, and not one that leads elsewhere.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, variables: &[(&str, &str)]) -> Result<PathBuf, Reason> {
        choose(name, false, |asked| {
            variables.iter().find(|(name, _)| *name == asked).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_own_variable_comes_first_and_is_used_as_it_is() {
        let variables = [("PLUGCACHE_DIR", "some/dir"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(place("app", &variables), Ok("some/dir".into()));
    }

    #[test]
    fn the_cache_directory_of_the_user_comes_before_the_home() {
        assert_eq!(place("app", &[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]), Ok("/x/app/plugcache".into()));
        assert_eq!(place("app", &[("HOME", "/h")]), Ok("/h/.cache/app/plugcache".into()));
    }

    #[test]
    fn empty_and_relative_directories_of_the_user_do_not_count() {
        let variables = [("PLUGCACHE_DIR", ""), ("XDG_CACHE_HOME", "x"), ("HOME", "/h")];
        assert_eq!(place("app", &variables), Ok("/h/.cache/app/plugcache".into()));
        assert_eq!(place("app", &[("HOME", "h")]), Err(Reason::NoHome));
        assert_eq!(place("app", &[]), Err(Reason::NoHome));
    }

    #[test]
    fn a_name_that_could_lead_elsewhere_is_refused_whatever_the_environment_says() {
        for name in ["", ".", "..", "a/b", "/a", "a/", "a\\b", "a\0"] {
            let variables = [("PLUGCACHE_DIR", "/d"), ("HOME", "/h")];
            assert_eq!(place(name, &variables), Err(Reason::Name(name.into())));
        }
    }

    #[test]
    fn a_program_with_more_rights_than_its_caller_looks_at_no_variable() {
        let looked = choose("app", true, |variable| panic!("looked at {variable}"));
        assert_eq!(looked, Err(Reason::Secure));
    }

    #[test]
    fn the_error_says_what_to_do() {
        let text = NoCacheDir { reason: Reason::NoHome }.to_string();
        assert!(text.contains("set one of them") && text.contains("PLUGCACHE_DIR"), "{text}");
    }
}
