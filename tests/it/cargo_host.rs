//! The example host whose plugins are crates: it survives an upgrade of rustc and a switch of toolchain behind one
//! proxy, by compiling anew.

use crate::common::{Place, copy, example, let_the_file_clock_tick};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// A place with a copy of the plugin, and a proxy for toolchains of its own.
struct Host {
    place: Place,
    plugin: PathBuf,
    binary: PathBuf,
}

impl Host {
    fn new() -> Host {
        let place = Place::new();
        let plugin = place.path("greeter");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cargo_host/greeter"), &plugin);
        let_the_file_clock_tick();
        Host { place, plugin, binary: example("cargo_host") }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--plugin").arg(&self.plugin).arg("--store").arg(self.place.store_dir());
        for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(name);
        }
        command
    }

    /// How the plugin was come by. It was loaded and called.
    #[track_caller]
    fn run(&self, command: &mut Command) -> String {
        let done = command.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{out}\n{err}");
        let (how, greeting) = out.split_once('\n').unwrap();
        assert!(greeting.starts_with("hello from "), "{out}");
        how.strip_prefix("greeter: ").unwrap().to_owned()
    }

    /// A toolchain of this place, with the real one behind it: `bin/rustc` is a file of its own.
    fn toolchain(&self, name: &str) -> PathBuf {
        let asked = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
        let real = PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim());
        let toolchain = self.place.path(name);
        fs::create_dir_all(toolchain.join("bin")).unwrap();
        fs::copy(real.join("bin/rustc"), toolchain.join("bin/rustc")).unwrap();
        symlink(real.join("lib"), toolchain.join("lib")).unwrap();
        toolchain
    }

    /// One program for all toolchains, as rustup's is: it starts the rustc of the one that the environment names.
    fn proxy(&self) -> PathBuf {
        let source = self.place.write(
            "proxy.c",
            r#"
            #include <stdio.h>
            #include <stdlib.h>
            #include <unistd.h>
            int main(int argc, char **argv) {
                const char *chosen = getenv("TEST_TOOLCHAIN");
                char path[4096], **all = calloc(argc + 3, sizeof *all);
                snprintf(path, sizeof path, "%s/bin/rustc", chosen);
                all[0] = path;
                all[1] = "--sysroot";
                all[2] = (char *)chosen;
                for (int i = 1; i < argc; i++)
                    all[i + 2] = argv[i];
                execv(path, all);
                return 127;
            }"#,
        );
        let proxy = self.place.path("rustc");
        assert!(Command::new("cc").arg(source).arg("-o").arg(&proxy).status().unwrap().success());
        proxy
    }
}

/// Another compiler at the same path: what is behind the end of an image is not loaded, but counts.
fn upgrade(toolchain: &Path) {
    let mut rustc = OpenOptions::new().append(true).open(toolchain.join("bin/rustc")).unwrap();
    rustc.write_all(b"a later version").unwrap();
    let_the_file_clock_tick();
}

#[test]
fn a_crate_is_compiled_once_and_again_when_its_sources_lock_file_or_flags_change() {
    let host = Host::new();
    assert_eq!(host.run(&mut host.command()), "built");
    assert_eq!(host.run(&mut host.command()), "hit");
    assert_eq!(host.run(host.command().args(["--rustflags", "-Copt-level=1"])), "built");
    let edit = |file: &str, from: &str, to: &str| {
        let path = host.plugin.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(&path, text.replace(from, to)).unwrap();
        let_the_file_clock_tick();
    };
    edit("src/words.rs", "hello from Rust", "hello from a test");
    assert_eq!(host.run(&mut host.command()), "built");
    edit("Cargo.lock", "# It is not", "# Anything. It is not");
    assert_eq!(host.run(&mut host.command()), "built");
    // The same contents under other paths are another crate.
    fs::create_dir(host.plugin.join("src/words")).unwrap();
    fs::rename(host.plugin.join("src/words.rs"), host.plugin.join("src/words/mod.rs")).unwrap();
    assert_eq!(host.run(&mut host.command()), "built");
    host.place.assert_nothing_in_progress();
}

#[test]
fn a_host_survives_an_upgrade_of_rustc_and_a_switch_behind_one_proxy_by_recompiling() {
    let host = Host::new();
    let (one, two, proxy) = (host.toolchain("one"), host.toolchain("two"), host.proxy());
    let run = |toolchain: &Path| {
        host.run(host.command().arg("--rustc").arg(&proxy).env("TEST_TOOLCHAIN", toolchain))
    };
    assert_eq!(run(&one), "built");
    assert_eq!(run(&one), "hit");
    assert_eq!(run(&two), "hit", "equal files are one toolchain, wherever they lie");
    upgrade(&two);
    assert_eq!(run(&two), "built", "a switch behind the proxy");
    assert_eq!(run(&one), "hit", "and back");
    upgrade(&one);
    assert_eq!(run(&one), "hit", "it is what the other was upgraded to");
    upgrade(&one);
    assert_eq!(run(&one), "built", "an upgrade in place");
    assert_eq!(run(&one), "hit");
    host.place.assert_nothing_in_progress();
}

#[test]
fn a_switch_of_toolchain_behind_rustup_recompiles_and_the_way_back_does_not() {
    let listed = Command::new("rustup").args(["toolchain", "list"]).output();
    let listed = listed.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
    let names: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let version = |name: &str| {
        let asked = Command::new("rustc").arg("-vV").env("RUSTUP_TOOLCHAIN", name).output().unwrap();
        String::from_utf8(asked.stdout).unwrap()
    };
    let Some((one, two)) = names.first().and_then(|one| {
        let other = names.iter().find(|other| version(one) != version(other))?;
        Some((one, other))
    }) else {
        println!("skipped: rustup does not have two toolchains here");
        return;
    };
    let host = Host::new();
    // `cargo` and `rustc` of PATH are rustup's proxies only before the toolchain's own.
    let run = |name: &str| host.run(host.command().env("RUSTUP_TOOLCHAIN", name));
    assert_eq!((run(one), run(one)), ("built".into(), "hit".into()));
    assert_eq!((run(two), run(two)), ("built".into(), "hit".into()));
    assert_eq!(run(one), "hit");
}
