//! Scripts that stand in for a compiler: those that can be seen through, and all others.
//!
//! For `program` alone. A script is understood if a shell runs it and it does nothing but start one program,
//! named by its absolute path, with fixed arguments and `"$@"`. Whatever else a script may do is not
//! interpreted: it is opaque.

use super::{
    error::{BadSource, ToolchainError},
    program::opaque,
    read::why_not_opened,
};
use crate::fs::{Fs, Kind};
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

/// A wrapper that starts one program has a dozen lines; what is longer does something of its own.
const SCRIPT_BYTES_MAX: usize = 4096;

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"];

/// What kind of program a file holds.
#[derive(Debug)]
pub(super) enum Image {
    Binary,
    Script(Result<Script, ToolchainError>),
    /// The system would not run it, or would hand it to a shell without being told so.
    Unknown,
}

/// A script that starts one program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) interpreter: Interpreter,
    pub(super) program: PathBuf,
    /// Files among its fixed arguments.
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Interpreter {
    Path(PathBuf),
    InPath(OsString),
}

/// Looks at the beginning of a program, and at all of it if it is a script.
pub(super) fn parse(fs: &Fs, path: &Path) -> Result<Image, BadSource> {
    let bad = |error| BadSource { path: path.to_path_buf(), why: why_not_opened(fs, path, error) };
    let file = fs.open_source(path).map_err(bad)?;
    // One byte more than is allowed, in one read: a regular file gives all it has.
    let mut bytes = vec![0; SCRIPT_BYTES_MAX + 1];
    let len = file.read_at(&mut bytes, 0).map_err(bad)?;
    bytes.truncate(len);
    if bytes.starts_with(b"\x7fELF") || cfg!(not(target_os = "linux")) {
        return Ok(Image::Binary);
    }
    if !bytes.starts_with(b"#!") {
        return Ok(Image::Unknown);
    }
    let is_file = |path: &Path| fs.stat_source(path).is_ok_and(|stat| stat.kind == Kind::File);
    Ok(Image::Script(see_through(&bytes, &is_file).map_err(|why| opaque(path, why))))
}

/// `Err` says what hides the compiler.
fn see_through(bytes: &[u8], is_file: &dyn Fn(&Path) -> bool) -> Result<Script, String> {
    if bytes.len() > SCRIPT_BYTES_MAX {
        return Err("it is a script too long to be seen through".into());
    }
    let text = str::from_utf8(bytes).map_err(|_| "it is a script that is not UTF-8")?;
    let (first, body) = text.split_once('\n').unwrap_or((text, ""));
    let interpreter = interpreter(first.trim_start_matches("#!"))?;
    let mut commands = body.lines().map(str::trim).filter(|line| !is_idle(line));
    let (Some(command), None) = (commands.next(), commands.next()) else {
        return Err("it is a script that does more, or less, than starting one program".into());
    };
    let mut words = command.split_ascii_whitespace().filter(|word| *word != "\"$@\"");
    let program = words.next().filter(|word| *word != "exec").or_else(|| words.next()).unwrap_or_default();
    if !program.starts_with('/') || !is_fixed(program) {
        return Err(format!("it is a script that starts {program:?}, which is not an absolute path"));
    }
    let mut files = Vec::new();
    for word in words {
        if !is_fixed(word) {
            return Err(format!("it is a script with the argument {word:?}, known only when it runs"));
        }
        // `-specs=/a/b` names a file as well as `/a/b` does.
        if let Some(at) = word.find('/') {
            let path = Path::new(&word[at..]);
            if !is_file(path) {
                return Err(format!("it is a script with the argument {word:?}, which is not a file"));
            }
            files.push(path.to_path_buf());
        }
    }
    Ok(Script { interpreter, program: program.into(), files })
}

/// From the text behind `#!`.
fn interpreter(line: &str) -> Result<Interpreter, String> {
    let mut words = line.split_ascii_whitespace();
    let path = Path::new(words.next().unwrap_or_default());
    let (interpreter, name) = if path.file_name() == Some(OsStr::new("env")) {
        let name = words.next().unwrap_or_default();
        (Interpreter::InPath(name.into()), name)
    } else {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        (Interpreter::Path(path.into()), name)
    };
    // An option such as -e changes nothing about what is started.
    let options_are_plain = words.all(|word| word.starts_with('-') && word.len() <= 4 && is_fixed(word));
    if !SHELLS.contains(&name) || !options_are_plain {
        return Err(format!("it is a script for {:?}, whose parts cannot be seen", line.trim()));
    }
    Ok(interpreter)
}

/// Blank lines, comments and `set -e` start nothing.
fn is_idle(line: &str) -> bool {
    line.is_empty()
        || line.starts_with('#')
        || line.strip_prefix("set -").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// Whether a shell takes a word as it is written.
fn is_fixed(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./+=,:@%".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(text: &str) -> Result<Script, String> {
        see_through(text.as_bytes(), &|path| path.starts_with("/file"))
    }

    #[test]
    fn a_script_that_starts_one_program_is_seen_through() {
        let expected = |interpreter, files: &[&str]| Script {
            interpreter,
            program: "/usr/bin/gcc".into(),
            files: files.iter().map(PathBuf::from).collect(),
        };
        let sh = || Interpreter::Path("/bin/sh".into());
        assert_eq!(see("#!/bin/sh\nexec /usr/bin/gcc \"$@\"\n"), Ok(expected(sh(), &[])));
        assert_eq!(
            see("#! /bin/sh -e\n# why\n\nset -eu\n  /usr/bin/gcc -m32 -specs=/file/s \"$@\" @/file/t"),
            Ok(expected(sh(), &["/file/s", "/file/t"]))
        );
        let bash = Interpreter::InPath("bash".into());
        assert_eq!(see("#!/usr/bin/env bash\nexec /usr/bin/gcc \"$@\"\n"), Ok(expected(bash, &[])));
    }

    #[test]
    fn every_other_script_is_opaque() {
        for body in [
            "",
            "exec",
            "exec gcc \"$@\"",
            "exec ./gcc \"$@\"",
            "exec \"${CC:-gcc}\" \"$@\"",
            "exec /usr/bin/$CC \"$@\"",
            "exec /usr/bin/gcc $FLAGS \"$@\"",
            "exec /usr/bin/gcc \"$@\"; true",
            "exec /usr/bin/gcc \"$@\" &",
            "exec /usr/bin/gcc -B/some/dir \"$@\"",
            "CPATH=/x exec /usr/bin/gcc \"$@\"",
            ". /etc/env\nexec /usr/bin/gcc \"$@\"",
            "set -- -O2\nexec /usr/bin/gcc \"$@\"",
            "exec /usr/bin/gcc `flags` \"$@\"",
            "exec /usr/bin/gcc *.c",
            "exec -a cc /usr/bin/gcc \"$@\"",
            "/usr/bin/gcc \\\n \"$@\"",
        ] {
            assert!(see(&format!("#!/bin/sh\n{body}\n")).is_err(), "{body}");
        }
        for first in ["#!/usr/bin/python3", "#!/usr/bin/env -S sh", "#!", "#!/usr/bin/env", "#!/bin/sh /x"] {
            assert!(see(&format!("{first}\nexec /usr/bin/gcc \"$@\"\n")).is_err(), "{first}");
        }
        let long = format!("#!/bin/sh\n#{}\nexec /usr/bin/gcc \"$@\"\n", "x".repeat(SCRIPT_BYTES_MAX));
        assert!(see(&long).is_err());
        assert!(see_through(b"#!/bin/sh\nexec /usr/bin/gc\xff\n", &|_| true).is_err());
    }
}
