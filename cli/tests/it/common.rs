//! A place of a test's own, and the command run in it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// A working directory, a store beside it, and a compiler that counts its runs.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("")).unwrap();
        place.write("tool", "#!/bin/sh\necho run >> \"$RUNS\"\ncat \"$1\" > \"$2\"\n");
        place.set_mode("tool", 0o755);
        place
    }

    /// In the working directory.
    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.0.path().join("work").join(below)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    /// Of the temporary directory as a whole.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, below: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    pub(crate) fn set_mode(&self, below: &str, mode: u32) {
        fs::set_permissions(self.path(below), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// How often `./tool` ran.
    pub(crate) fn runs(&self) -> usize {
        fs::read_to_string(self.beside("runs")).map_or(0, |text| text.lines().count())
    }

    /// The command, with no store named.
    pub(crate) fn bare(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plugcache"));
        command.current_dir(self.path("")).stdin(Stdio::null()).env("RUNS", self.beside("runs"));
        for name in ["PLUGCACHE_DIR", "PLUGCACHE_DISABLE", "XDG_CACHE_HOME", "NO_COLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        // No tier of whoever runs the tests.
        for name in ["PLUGCACHE_REMOTE", "PLUGCACHE_REMOTE_CONFIG", "AWS_ENDPOINT_URL", "AWS_REGION"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.beside("config"));
        command
    }

    /// The command on the store of this place.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = self.bare();
        command.env("PLUGCACHE_DIR", self.store()).args(words.split_whitespace());
        command
    }

    /// What it printed, how it ended.
    pub(crate) fn run(&self, words: &str) -> Ended {
        Ended::of(&mut self.command(words))
    }

    /// What it printed on standard output; it succeeded.
    #[track_caller]
    pub(crate) fn out(&self, words: &str) -> String {
        let ended = self.run(words);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{words}: {}", ended.out);
        ended.out
    }

    /// An entry made from `a.c`, by `run`.
    pub(crate) fn with_entry() -> Place {
        let place = Place::new();
        place.write("a.c", "the source");
        assert_eq!(place.run(ONE).code, 0);
        assert_eq!(place.runs(), 1);
        place
    }
}

/// A call of `run` that makes `a.so` of `a.c`.
pub(crate) const ONE: &str = "run -s a.c -o a.so -- ./tool a.c a.so";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(command: &mut Command) -> Ended {
        Ended::from(command.output().unwrap())
    }

    #[track_caller]
    pub(crate) fn says(&self, what: &str) -> &Ended {
        assert!(self.err.contains(what), "{what:?} is not in {self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn ends(&self, code: i32) -> &Ended {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        Ended {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Whether a program is there; says that a test is skipped if not.
pub(crate) fn have(program: &str, args: &[&str]) -> bool {
    let there = Command::new(program).args(args).output().is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: {program} {} does not work here", args.join(" "));
    }
    there
}

pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}
