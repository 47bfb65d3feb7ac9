//! The identity of whatever compiles: a part of every key.
//!
//! For hosts. It keeps this: what is equal here compiles alike, as far as files, values and hashes that were
//! named can tell; no time stamp and no version text is in it. `program` finds out which files do the work.

use super::{
    batch::{self, Digested},
    builder::shown,
    error::{SourcesError, ToolchainError},
    memo::Memo,
    program::{self, Tool},
};
use crate::{
    digest,
    format::record::{Field, FieldTag},
    fs::Fs,
};
use std::{
    ffi::OsStr,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
};

/// Sets the hashes of [`Toolchain::of_hash`] apart from all others.
const HASH_PURPOSE: &str = "plugcache 2026-11-23 toolchain hash v1";

/// What compiles: the identity of the files that do it, or whatever the host knows about its compiler.
///
/// Guaranteed: another compiler binary is another toolchain, wherever it lies and whatever its times and its
/// version text say. Each call reads the files again (see [`of_program`](Self::of_program) for what that costs), so
/// make one and use it for all plugins; with a store at hand, [`of_program_with`](Self::of_program_with) and
/// [`of_files_with`](Self::of_files_with) leave unread what has not changed.
///
/// Not in it, and to be added with [`and`](Self::and), [`SourcesBuilder::env`](crate::SourcesBuilder::env) or
/// [`SourcesBuilder::context`](crate::SourcesBuilder::context) where they matter:
/// * environment variables that steer a compiler (`CPATH`, `C_INCLUDE_PATH`, `LIBRARY_PATH`, `GCC_EXEC_PREFIX`,
///   `COMPILER_PATH`, `RUSTFLAGS`, `RUSTC_WRAPPER`, ..), and its configuration files;
/// * headers (a depfile names those) and libraries that are linked in: libc, libgcc, Rust's standard library;
/// * shared libraries that the tools load, other than those named below;
/// * tools that only certain options start (`-fuse-ld`, plug-ins, link-time optimisation).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    fields: Vec<Field>,
    files: Vec<(PathBuf, String)>,
}

impl Toolchain {
    /// Identifies a program and the files that do its work.
    ///
    /// `program` is looked up in `PATH`, or is a path if it has a slash in it. A file is identified by its
    /// build id if it is an ELF image that has one, else by BLAKE3 of its content:
    /// * `rustc` and its rustup proxy: `rustc` and `librustc_driver` of the sysroot that
    ///   `rustc --print sysroot` answers in the current directory, so that toolchain overrides apply;
    /// * `cc`, `gcc` and their like: the driver, `cc1`, `cc1plus`, `collect2`, `as` and `ld`, where the driver
    ///   says they are (`-print-prog-name`);
    /// * `clang`: the driver, `libLLVM` and `libclang-cpp` beside it, and `ld`;
    /// * a shell script that does nothing but start one program by its absolute path: the script, its
    ///   interpreter, and that program;
    /// * any other ELF image: itself.
    ///
    /// Costs, measured: 7 ms for GCC, which is asked five times and has build ids; 90 ms for a rustc without
    /// build ids, nearly all of it BLAKE3 of 154 MB. It starts the compiler, in the current directory and with
    /// this process's environment, and waits for its answer; a rustup proxy may install a toolchain that
    /// `rust-toolchain.toml` asks for.
    ///
    /// # Errors
    /// [`NotFound`](ToolchainError::NotFound): install it. [`Opaque`](ToolchainError::Opaque): a compiler cache
    /// (ccache, sccache, distcc) or a wrapper whose work is done by files that cannot be seen; name the compiler
    /// behind it, or say what matters with [`of_files`](Self::of_files) and [`of_value`](Self::of_value).
    pub fn of_program(program: impl AsRef<OsStr>) -> Result<Toolchain, ToolchainError> {
        Self::of_program_in(&Fs::Os, None, program.as_ref())
    }

    /// As [`of_program`](Self::of_program), with tools that `memo` proves unchanged left unread.
    pub(crate) fn of_program_in(
        world: &Fs,
        memo: Option<&Memo>,
        program: &OsStr,
    ) -> Result<Toolchain, ToolchainError> {
        Ok(Self::of_tools(program::identify(world, memo, program)?))
    }

    /// Identifies files by their content, whatever they are; their order and their names count, their
    /// directories do not. `name` is what people read: "my-compiler".
    pub fn of_files<P: AsRef<Path>>(
        name: &str,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Toolchain, SourcesError> {
        Self::of_files_in(&Fs::Os, None, name, paths)
    }

    /// As [`of_files`](Self::of_files), with files that `memo` proves unchanged left unread.
    pub(crate) fn of_files_in<P: AsRef<Path>>(
        world: &Fs,
        memo: Option<&Memo>,
        name: &str,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Toolchain, SourcesError> {
        let paths = paths.into_iter().map(|path| path.as_ref().to_owned());
        let digested = batch::digest_all(world, memo, paths)?;
        let tools = digested.map(|Digested { path, reading }| Tool {
            role: format!("{name}/{}", plain_text(path.file_name().unwrap_or_default())),
            path,
            identity: format!("blake3:{}", reading.digest),
        });
        Ok(Self::of_tools(tools.collect()))
    }

    /// A toolchain that the host can name by itself: a version with a commit, a build number, a digest. It
    /// must change whenever the compiler would produce something else.
    pub fn of_value(name: &str, value: impl AsRef<[u8]>) -> Toolchain {
        Self { fields: vec![shown(FieldTag::Toolchain, name, value.as_ref())], files: Vec::new() }
    }

    /// A toolchain identified by a `Hash` value, such as wasmtime's `precompile_compatibility_hash()`.
    ///
    /// Hashed with BLAKE3 over what the value feeds to its hasher, integers in little-endian: the same value
    /// gives the same toolchain in every process. What a type feeds may differ between releases of the crate
    /// that defines it and of Rust: then a plugin is compiled once more. Values that hash an address are never
    /// the same twice.
    pub fn of_hash(name: &str, value: &(impl Hash + ?Sized)) -> Toolchain {
        let mut hasher = StableHasher(digest::Hasher::for_purpose(HASH_PURPOSE));
        value.hash(&mut hasher);
        Self::of_value(name, format!("hash:{}", digest::to_hex(&hasher.0.finish())))
    }

    /// States that no toolchain is involved: the artifact follows from the sources and the options alone.
    pub fn none() -> Toolchain {
        Self { fields: Vec::new(), files: Vec::new() }
    }

    /// Both: this one, and then `other`. The order counts.
    pub fn and(mut self, other: Toolchain) -> Toolchain {
        self.fields.extend(other.fields);
        self.files.extend(other.files);
        self
    }

    /// The files that were identified and how: `build-id:` or `blake3:` and hexadecimal digits.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&Path, &str)> {
        self.files.iter().map(|(path, identity)| (path.as_path(), identity.as_str()))
    }

    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn of_tools(tools: Vec<Tool>) -> Self {
        let field = |tool: &Tool| shown(FieldTag::Toolchain, &tool.role, tool.identity.as_bytes());
        let fields = tools.iter().map(field).collect();
        Self { fields, files: tools.into_iter().map(|tool| (tool.path, tool.identity)).collect() }
    }
}

/// A name as text, no two names alike: bytes that are not UTF-8 become `\xNN`, a backslash `\\`.
pub(super) fn plain_text(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!(r"\x{byte:02x}")));
    }
    text
}

/// A `Hasher` whose result is the same in every process and on every machine.
struct StableHasher(digest::Hasher);

macro_rules! write_little_endian {
    ($($write:ident: $integer:ty as $wide:ty),*) => {
        $(fn $write(&mut self, number: $integer) {
            self.0.update(&(number as $wide).to_le_bytes());
        })*
    };
}

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    // Sizes are as wide as on a machine of 64 bits.
    write_little_endian! {
        write_u16: u16 as u16, write_u32: u32 as u32, write_u64: u64 as u64, write_u128: u128 as u128,
        write_i16: i16 as i16, write_i32: i32 as i32, write_i64: i64 as i64, write_i128: i128 as i128,
        write_usize: usize as u64, write_isize: isize as i64
    }

    /// Some types ask halfway; they get the first 8 bytes of the digest so far.
    fn finish(&self) -> u64 {
        self.0.finish().iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "these tests make files for the toolchain to find")]
mod tests {
    use super::*;
    use std::{fs, os::unix::ffi::OsStrExt};

    #[test]
    fn files_are_identified_by_name_and_content_wherever_they_lie() {
        let dir = tempfile::tempdir().unwrap();
        let make = |sub: &str, name: &str, content: &str| {
            let dir = dir.path().join(sub);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(name), content).unwrap();
            dir.join(name)
        };
        let a = make("1", "tool", "x");
        let toolchain = Toolchain::of_files("my", [&a]).unwrap();
        let other = |path: &Path| Toolchain::of_files("my", [path]).unwrap();
        assert_eq!(other(&make("2", "tool", "x")).fields(), toolchain.fields());
        assert_ne!(other(&make("2", "tool", "y")).fields(), toolchain.fields());
        assert_ne!(other(&make("2", "loot", "x")).fields(), toolchain.fields());
        let identity = format!("blake3:{}", crate::ObjectDigest::of_bytes(b"x"));
        assert_eq!(toolchain.files().collect::<Vec<_>>(), [(a.as_path(), identity.as_str())]);
        assert_eq!(toolchain.fields(), [shown(FieldTag::Toolchain, "my/tool", identity.as_bytes())]);
    }

    #[test]
    fn every_missing_file_of_a_toolchain_is_named() {
        let error = Toolchain::of_files("my", ["/none/1", "/none/2"]).unwrap_err();
        assert_eq!(error.bad.len(), 2);
    }

    #[test]
    fn toolchains_add_up_in_order() {
        let (a, b) = (Toolchain::of_value("a", "1"), Toolchain::of_value("b", "2"));
        assert_ne!(a.clone().and(b.clone()), b.clone().and(a.clone()));
        assert_eq!(Toolchain::none().and(a.clone()), a);
        assert_ne!(Toolchain::of_value("ab", ""), Toolchain::of_value("a", "b"));
        assert_ne!(Toolchain::of_value("a", ""), Toolchain::none());
    }

    #[test]
    fn a_hashed_value_is_the_digest_of_what_it_feeds_with_integers_in_little_endian() {
        struct Fed;
        impl Hash for Fed {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write(b"simd");
                state.write_u8(1);
                state.write_u16(2);
                state.write_i64(-2);
                state.write_usize(3);
            }
        }
        let bytes =
            [b"simd", &[1, 2, 0][..], &[0xfe, 255, 255, 255, 255, 255, 255, 255], &[3, 0, 0, 0, 0, 0, 0, 0]];
        let digest = digest::Hasher::for_purpose(HASH_PURPOSE).update(&bytes.concat()).finish();
        let value = format!("hash:{}", digest::to_hex(&digest));
        assert_eq!(Toolchain::of_hash("engine", &Fed), Toolchain::of_value("engine", value));
    }

    #[test]
    fn values_that_differ_are_other_toolchains() {
        #[derive(Hash)]
        struct Settings(&'static str, Option<i64>);
        let of = |settings: Settings| Toolchain::of_hash("engine", &settings);
        assert_eq!(of(Settings("simd", Some(-1))), of(Settings("simd", Some(-1))));
        assert_ne!(of(Settings("simd", Some(-1))), of(Settings("simd", None)));
        assert_ne!(of(Settings("simd", None)), Toolchain::of_hash("other", &Settings("simd", None)));
    }

    #[test]
    fn no_two_names_become_the_same_text() {
        let text = |bytes: &[u8]| plain_text(OsStr::from_bytes(bytes));
        assert_eq!(text("ä b".as_bytes()), "ä b");
        assert_eq!(text(b"a\xff"), r"a\xff");
        assert_eq!(text(br"a\xff"), r"a\\xff");
    }
}
