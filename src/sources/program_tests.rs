//! Which files do the work: looked at on the compilers of this machine, and on stand-ins for others.
#![expect(clippy::disallowed_methods, reason = "these tests make programs for the toolchain to find")]

use super::{ToolchainError, error::BadSourceKind, program::identify};
use crate::{Toolchain, fs::Fs};
use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// An ELF image as far as the first look goes, without a build id.
const IMAGE: &str = "\x7fELF and nothing else";

fn program(dir: &Path, name: &str, content: &str) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn roles(program: impl AsRef<OsStr>) -> Vec<String> {
    let tools = identify(&Fs::Os, None, program.as_ref()).unwrap();
    tools.into_iter().map(|tool| tool.role).collect()
}

fn why_opaque(path: &Path) -> String {
    match Toolchain::of_program(path) {
        Err(ToolchainError::Opaque { program, why }) => {
            assert!(program.file_name().is_some());
            why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_c_compiler_is_its_driver_and_the_parts_that_do_the_work() {
    let tools = identify(&Fs::Os, None, OsStr::new("cc")).unwrap();
    let roles: Vec<_> = tools.iter().map(|tool| tool.role.as_str()).collect();
    assert_eq!(roles[0], "cc");
    let is_gcc = roles.contains(&"cc/cc1");
    assert!(
        !is_gcc || ["cc/as", "cc/ld", "cc/collect2"].iter().all(|role| roles.contains(role)),
        "{roles:?}"
    );
    for tool in &tools {
        assert!(tool.path.is_absolute() && !tool.path.is_symlink(), "{tool:?}");
        assert!(tool.identity.starts_with("build-id:") || tool.identity.starts_with("blake3:"), "{tool:?}");
    }
}

#[test]
fn a_program_is_the_same_toolchain_by_name_and_by_path() {
    let by_name = Toolchain::of_program("cc").unwrap();
    let places = std::env::var_os("PATH").unwrap();
    let path =
        std::env::split_paths(&places).map(|place| place.join("cc")).find(|path| path.exists()).unwrap();
    assert_eq!(Toolchain::of_program(path).unwrap(), by_name);
}

#[test]
fn rustc_is_the_compiler_of_the_sysroot_and_not_its_proxy() {
    let tools = identify(&Fs::Os, None, OsStr::new("rustc")).unwrap();
    let roles: Vec<_> = tools.iter().map(|tool| tool.role.as_str()).collect();
    assert_eq!(roles, ["rustc", "rustc/librustc_driver"]);
    assert!(tools.iter().all(|tool| tool.path.file_name().is_some_and(|name| name != "rustup")), "{tools:?}");
}

#[test]
fn a_program_that_is_not_there_is_not_found() {
    for name in ["plugcache-no-such-program", "", "/no/such/program", "./no-such-program"] {
        let error = Toolchain::of_program(name).unwrap_err();
        assert!(matches!(&error, ToolchainError::NotFound { program } if program == name), "{error:?}");
    }
}

#[test]
fn a_directory_is_no_program() {
    let error = Toolchain::of_program("/usr/bin").unwrap_err();
    let ToolchainError::Bad(error) = error else { panic!("{error:?}") };
    assert!(matches!(error.bad[..], [super::BadSource { why: BadSourceKind::NotAFile("a directory"), .. }]));
}

#[test]
fn any_other_image_is_identified_by_its_content_wherever_it_lies() {
    let dir = dir();
    let one = Toolchain::of_program(program(dir.path(), "1/tool", IMAGE)).unwrap();
    let identity = format!("blake3:{}", crate::ObjectDigest::of_bytes(IMAGE.as_bytes()));
    assert_eq!(one.files().next().unwrap().1, identity);
    let moved = Toolchain::of_program(program(dir.path(), "2/tool", IMAGE)).unwrap();
    assert_eq!(moved.fields(), one.fields());
    let other = Toolchain::of_program(program(dir.path(), "2/tool", &format!("{IMAGE}."))).unwrap();
    assert_ne!(other.fields(), one.fields());
}

#[test]
fn a_compiler_cache_under_any_name_is_opaque() {
    let dir = dir();
    for name in ["ccache", "sccache", "distcc"] {
        let real = program(dir.path(), name, IMAGE);
        let link = dir.path().join(format!("cc-by-{name}"));
        symlink(&real, &link).unwrap();
        for path in [real, link] {
            assert!(why_opaque(&path).contains("passes the work on"));
        }
    }
}

#[test]
fn a_script_is_seen_through_to_the_program_it_starts() {
    let dir = dir();
    let tool = program(dir.path(), "tool", IMAGE);
    let specs = program(dir.path(), "my.specs", "one");
    let text =
        |tool: &Path| format!("#!/bin/sh\nexec {} -specs={} \"$@\"\n", tool.display(), specs.display());
    let wrapper = program(dir.path(), "wrap", &text(&tool));
    assert_eq!(roles(&wrapper), ["wrap", "wrap/interpreter", "wrap/my.specs", "wrap/tool"]);
    let before = Toolchain::of_program(&wrapper).unwrap();
    assert_eq!(Toolchain::of_program(&wrapper).unwrap(), before);
    for (name, content) in
        [("tool", "\x7fELF of another compiler"), ("my.specs", "two"), ("wrap", "#!/bin/sh\n")]
    {
        let path = dir.path().join(name);
        let old = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        assert_ne!(Toolchain::of_program(&wrapper).ok(), Some(before.clone()), "{name}");
        fs::write(&path, old).unwrap();
    }
}

#[test]
fn a_script_that_starts_a_compiler_cache_or_itself_is_opaque() {
    let dir = dir();
    let cache = program(dir.path(), "ccache", IMAGE);
    let script = |path: &Path| format!("#!/bin/sh\nexec {} \"$@\"\n", path.display());
    assert!(why_opaque(&program(dir.path(), "cc", &script(&cache))).contains("passes the work on"));
    let this = dir.path().join("loop");
    assert!(why_opaque(&program(dir.path(), "loop", &script(&this))).contains("too many scripts"));
}

#[test]
fn what_cannot_be_seen_through_is_opaque() {
    let dir = dir();
    why_opaque(&program(dir.path(), "cc", "#!/bin/sh\nexec \"${CC:-gcc}\" \"$@\"\n"));
    why_opaque(&program(dir.path(), "ocamlc", "#!/usr/bin/env python3\nimport os\n"));
    why_opaque(&program(dir.path(), "text", "exec /usr/bin/gcc\n"));
    why_opaque(&program(dir.path(), "empty", ""));
}

#[test]
fn an_image_with_the_name_of_a_compiler_that_does_not_answer_is_opaque() {
    let dir = dir();
    for name in ["gcc-12", "x86_64-linux-gnu-g++", "rustc"] {
        assert!(why_opaque(&program(dir.path(), name, IMAGE)).contains("does not answer"), "{name}");
    }
}
