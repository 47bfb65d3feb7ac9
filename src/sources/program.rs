//! Which files do the work of a program that compiles.
//!
//! For `toolchain` alone. Everything is found by looking at files and by asking the compiler itself; what
//! cannot be found out is an error and never a guess, because a key without its compiler runs old code.

use super::{
    error::{BadSource, BadSourceKind, ToolchainError},
    identity,
    memo::Memo,
    read, script,
    toolchain::plain_text,
};
use crate::fs::{Fs, Kind};
use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf, absolute},
    process::{Command, Stdio},
};

/// A script that starts a script that starts a script is followed this far.
const DEPTH_MAX: usize = 4;

/// Programs that pass the work on to a compiler which they choose when they run.
const PASS_ON: [&str; 9] =
    ["ccache", "sccache", "distcc", "icecc", "icerun", "buildcache", "gomacc", "recc", "fastbuild"];

/// A file that does a part of the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tool {
    /// What it does, as people read it: "cc/cc1".
    pub(super) role: String,
    /// Absolute, symbolic links resolved.
    pub(super) path: PathBuf,
    /// "build-id:" or "blake3:" and digits.
    pub(super) identity: String,
}

/// All files that do the work of `program`, in a fixed order; those that `memo` proves unchanged are not read.
pub(super) fn identify(fs: &Fs, memo: Option<&Memo>, program: &OsStr) -> Result<Vec<Tool>, ToolchainError> {
    let path = find(fs, program)?;
    let role = plain_text(path.file_name().unwrap_or(program));
    let mut walk = Walk { fs, memo, tools: Vec::new() };
    walk.program(&role, &path, 0)?;
    Ok(walk.tools)
}

/// The path that the system would run. An empty entry of `PATH` means the current directory.
fn find(fs: &Fs, program: &OsStr) -> Result<PathBuf, ToolchainError> {
    let not_found = || ToolchainError::NotFound { program: program.to_owned() };
    let path = Path::new(program);
    if path.components().count() > 1 || path.has_root() {
        let stat = fs.stat_source(path).map_err(|error| match read::is_missing(&error) {
            true => not_found(),
            false => bad(path, BadSourceKind::Unreadable(error)).into(),
        })?;
        read::require_file(stat.kind).map_err(|why| bad(path, why))?;
        return Ok(path.to_path_buf());
    }
    if program.is_empty() {
        return Err(not_found());
    }
    let is_program = |path: &PathBuf| {
        fs.stat_source(path)
            .is_ok_and(|stat| stat.kind == Kind::File && (!cfg!(unix) || stat.mode & 0o111 != 0))
    };
    let places = env::var_os("PATH").ok_or_else(not_found)?;
    let mut paths = env::split_paths(&places).map(|place| Path::new(".").join(place).join(program));
    paths.find(is_program).ok_or_else(not_found)
}

pub(super) struct Walk<'a> {
    fs: &'a Fs,
    memo: Option<&'a Memo>,
    tools: Vec<Tool>,
}

/// How a compiler of C is asked for its parts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Gcc,
    Clang,
    Rust,
}

impl Walk<'_> {
    /// Identifies what runs when `path` is run.
    fn program(&mut self, role: &str, path: &Path, depth: usize) -> Result<(), ToolchainError> {
        if depth > DEPTH_MAX {
            return Err(opaque(path, "it goes through too many scripts"));
        }
        let real = real_path(self.fs, path)?;
        let real_name = real.file_name().unwrap_or_default();
        if PASS_ON.iter().any(|name| real_name == *name) {
            let why = format!("{} passes the work on to a compiler of its choice", real.display());
            return Err(opaque(path, why));
        }
        // What was identified as an image is still one.
        if identity::known(self.fs, self.memo, &real).is_none() {
            match script::parse(self.fs, &real)? {
                script::Image::Script(script) => return self.script(role, &real, script?, depth),
                script::Image::Unknown => {
                    return Err(opaque(path, "it is neither an ELF image nor a script"));
                }
                script::Image::Binary => (),
            }
        }
        if is_rustup(self.fs, path, &real) {
            return self.rust(role, path);
        }
        let called = path.file_name().unwrap_or_default();
        match family(real_name).or_else(|| family(called)) {
            Some(Family::Rust) => self.rust(role, path),
            Some(Family::Gcc) => self.gcc(role, path, &real),
            Some(Family::Clang) => self.clang(role, path, &real),
            None => self.file(role, &real),
        }
    }

    /// One file as it is: by its build id, or by its content.
    fn file(&mut self, role: &str, path: &Path) -> Result<(), ToolchainError> {
        let path = real_path(self.fs, path)?;
        let identity = identity::of_file(self.fs, self.memo, &path)?;
        self.tools.push(Tool { role: role.to_owned(), path, identity });
        Ok(())
    }

    /// The script, what interprets it, the program that it starts, and the files that it names for it.
    fn script(
        &mut self,
        role: &str,
        path: &Path,
        script: script::Script,
        depth: usize,
    ) -> Result<(), ToolchainError> {
        self.file(role, path)?;
        let interpreter = match script.interpreter {
            script::Interpreter::Path(path) => path,
            script::Interpreter::InPath(name) => find(self.fs, &name)?,
        };
        self.file(&format!("{role}/interpreter"), &interpreter)?;
        for file in &script.files {
            self.file(&format!("{role}/{}", plain_text(file.file_name().unwrap_or_default())), file)?;
        }
        let name = plain_text(script.program.file_name().unwrap_or_default());
        self.program(&format!("{role}/{name}"), &script.program, depth + 1)
    }

    /// rustup's proxies are one file for all toolchains, and `rustc` is a small file that loads the compiler.
    fn rust(&mut self, role: &str, path: &Path) -> Result<(), ToolchainError> {
        let called = path.file_name().unwrap_or_default();
        let sysroot = PathBuf::from(ask(&path.with_file_name("rustc"), &["--print", "sysroot"])?);
        let rustc = sysroot.join("bin/rustc");
        if called != "rustc" {
            self.file(role, &sysroot.join("bin").join(called))?;
        }
        self.file(
            if called == "rustc" { role.to_owned() } else { format!("{role}/rustc") }.as_str(),
            &rustc,
        )?;
        let drivers = self.libraries(&sysroot, &["librustc_driver-"]);
        if drivers.is_empty() {
            return Err(opaque(
                path,
                format!("no librustc_driver lies in {}", sysroot.join("lib").display()),
            ));
        }
        drivers.iter().try_for_each(|driver| self.file(&format!("{role}/librustc_driver"), driver))
    }

    /// The driver of GCC only starts others. One that does not know where `cc1` lies is clang by another name.
    fn gcc(&mut self, role: &str, path: &Path, real: &Path) -> Result<(), ToolchainError> {
        let Some(cc1) = self.part(path, "cc1")? else { return self.clang(role, path, real) };
        self.file(role, real)?;
        self.file(&format!("{role}/cc1"), &cc1)?;
        self.parts(role, path, &["cc1plus", "collect2", "as", "ld"])
    }

    /// The driver of clang is the compiler, or loads it from libraries beside it.
    fn clang(&mut self, role: &str, path: &Path, real: &Path) -> Result<(), ToolchainError> {
        self.file(role, real)?;
        let prefix = real.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        for library in self.libraries(prefix, &["libLLVM", "libclang-cpp"]) {
            let name = plain_text(library.file_name().unwrap_or_default());
            self.file(&format!("{role}/{name}"), &library)?;
        }
        self.parts(role, path, &["ld"])
    }

    /// A part that is not installed is left out: what needs it cannot be compiled.
    fn parts(&mut self, role: &str, driver: &Path, names: &[&str]) -> Result<(), ToolchainError> {
        for name in names {
            if let Some(part) = self.part(driver, name)? {
                self.program(&format!("{role}/{name}"), &part, 1)?;
            }
        }
        Ok(())
    }

    /// Where a driver finds a part of its own. It answers a bare name for what it would look up in `PATH`.
    fn part(&self, driver: &Path, name: &str) -> Result<Option<PathBuf>, ToolchainError> {
        let answer = PathBuf::from(ask(driver, &[&format!("-print-prog-name={name}")])?);
        if answer.is_absolute() {
            return Ok(self
                .fs
                .stat_source(&answer)
                .is_ok_and(|stat| stat.kind == Kind::File)
                .then_some(answer));
        }
        match find(self.fs, answer.as_os_str()) {
            Err(ToolchainError::NotFound { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Shared libraries below `prefix` whose names begin with one of `stems`, each real file once, sorted.
    fn libraries(&self, prefix: &Path, stems: &[&str]) -> Vec<PathBuf> {
        let list = |dir: &Path| self.fs.open_root(dir).and_then(|dir| dir.list()).unwrap_or_default();
        let mut places = vec![prefix.join("lib"), prefix.join("lib64")];
        // Debian has them in lib/<triple>.
        let triples = list(&places[0]).into_iter().filter(|name| name.to_string_lossy().contains("-linux-"));
        places.extend(triples.map(|triple| prefix.join("lib").join(triple)).collect::<Vec<_>>());
        let mut found = Vec::new();
        for place in places {
            let names = list(&place).into_iter().filter(|name| is_library(name, stems));
            found.extend(names.filter_map(|name| real_path(self.fs, &place.join(name)).ok()));
        }
        found.sort();
        found.dedup();
        found
    }
}

fn is_library(name: &OsStr, stems: &[&str]) -> bool {
    let name = name.to_string_lossy();
    stems.iter().any(|stem| name.starts_with(stem)) && (name.ends_with(".so") || name.contains(".so."))
}

/// Whether the file is rustup's, by a link of either kind: it stands in for every program of a toolchain.
fn is_rustup(fs: &Fs, path: &Path, real: &Path) -> bool {
    if path.file_name().is_some_and(|name| name == "rustup") {
        return false;
    }
    let same = |other: &Path| match (fs.stat_source(other), fs.stat_source(real)) {
        (Ok(other), Ok(real)) => other.same_inode(&real),
        _ => false,
    };
    real.file_name().is_some_and(|name| name == "rustup") || same(&path.with_file_name("rustup"))
}

/// From names such as `x86_64-linux-gnu-gcc-12`: the word before the version.
fn family(name: &OsStr) -> Option<Family> {
    let is_version = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let word = name.to_str()?.rsplit('-').find(|part| !is_version(part))?;
    match word.trim_end_matches(|end: char| end.is_ascii_digit() || end == '.') {
        "cc" | "c++" | "gcc" | "g++" | "cpp" => Some(Family::Gcc),
        "clang" | "clang++" => Some(Family::Clang),
        "rustc" => Some(Family::Rust),
        _ => None,
    }
}

/// What a compiler prints on one line.
fn ask(program: &Path, question: &[&str]) -> Result<OsString, ToolchainError> {
    let no_answer =
        |why: String| opaque(program, format!("it does not answer {}: {why}", question.join(" ")));
    let answer = Command::new(program)
        .args(question)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| no_answer(error.to_string()))?;
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr);
        let first: String = said.lines().next().unwrap_or_default().chars().take(200).collect();
        return Err(no_answer(format!("{} ({first})", answer.status)));
    }
    let line = answer.stdout.trim_ascii_end();
    if line.is_empty() || line.contains(&b'\n') {
        return Err(no_answer("it printed something else than one line".into()));
    }
    Ok(crate::fs::text_of(line))
}

/// The path with all symbolic links resolved. Where the system cannot say, there is no store either, and the
/// path as it is will do.
fn real_path(fs: &Fs, path: &Path) -> Result<PathBuf, BadSource> {
    let found = match fs.ancestors(path) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => absolute(path),
        found => found.map(|found| found.resolved),
    };
    found.map_err(|error| bad(path, read::why_not_opened(fs, path, error)))
}

pub(super) fn opaque(program: &Path, why: impl Into<String>) -> ToolchainError {
    ToolchainError::Opaque { program: program.to_path_buf(), why: why.into() }
}

pub(super) fn bad(path: &Path, why: BadSourceKind) -> BadSource {
    BadSource { path: path.to_path_buf(), why }
}
