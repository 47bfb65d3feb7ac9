//! The example host, run as its users run it: what it compiles, what it does not, and what it says.

use crate::common::{Place, copy, example, let_the_file_clock_tick};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// How many compilers the plugins take in all: one each, and for the three files of the calculator four.
const ALL: u32 = 6 + 4;

fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| example("plugin_host"))
}

/// A place with a copy of the plugins.
struct Host {
    place: Place,
    plugins: PathBuf,
}

/// What a run showed.
#[derive(Debug)]
struct Seen {
    /// How each plugin was come by.
    rows: BTreeMap<String, String>,
    compilers: u32,
    text: String,
}

impl Host {
    fn new() -> Host {
        let place = Place::new();
        let plugins = place.path("plugins");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plugin_host/plugins"), &plugins);
        let_the_file_clock_tick();
        Host { place, plugins }
    }

    /// With nothing of this process's environment that could lead to a store.
    fn command(&self, arguments: &[&dyn AsRef<OsStr>]) -> Command {
        let mut command = Command::new(binary());
        for name in ["HOME", "XDG_CACHE_HOME", "PLUGCACHE_DIR", "PLUGCACHE_DISABLE"] {
            command.env_remove(name);
        }
        command.arg("--plugins").arg(&self.plugins);
        command.args(arguments.iter().map(|argument| argument.as_ref()));
        command
    }

    fn run(&self, arguments: &[&dyn AsRef<OsStr>]) -> Seen {
        let store: OsString = self.place.store_dir().into();
        good(self.command(arguments).arg("--store").arg(store).output().unwrap())
    }

    /// Changes a file of the plugins.
    fn append(&self, below: &str, text: &str) {
        let path = self.plugins.join(below);
        let old = fs::read_to_string(&path).unwrap();
        fs::write(&path, old + text).unwrap();
        let_the_file_clock_tick();
    }
}

#[track_caller]
fn good(output: Output) -> Seen {
    let seen = seen(&output);
    assert!(output.status.success(), "{}\n{}", seen.text, String::from_utf8_lossy(&output.stderr));
    seen
}

fn seen(output: &Output) -> Seen {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let table = text.lines().skip_while(|line| !(line.starts_with("plugin ") && line.contains(" build ")));
    let cells = |line: &str| {
        let mut cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(String::from);
        (cells.next().unwrap(), cells.next().unwrap())
    };
    let rows = table.skip(1).take_while(|line| !line.is_empty()).map(cells).collect();
    let started = text.lines().find_map(|line| line.strip_prefix("compilers started: "));
    Seen { rows, compilers: started.map_or(0, |number| number.parse().unwrap()), text }
}

impl Seen {
    fn are(&self, how: &str) -> Vec<&str> {
        self.rows.iter().filter(|(_, other)| *other == how).map(|(name, _)| name.as_str()).collect()
    }

    #[track_caller]
    fn built_only(&self, names: &[&str], compilers: u32) {
        assert_eq!((self.are("built").as_slice(), self.compilers), (names, compilers), "{}", self.text);
        assert_eq!(self.are("hit").len() + names.len(), PLUGINS.len(), "{}", self.text);
    }
}

const PLUGINS: [&str; 7] = ["calculator", "life", "mandelbrot", "oracle", "piglatin", "statistics", "visits"];

#[test]
fn the_first_run_compiles_every_plugin_and_the_second_starts_no_compiler() {
    let host = Host::new();
    let first = host.run(&[]);
    first.built_only(&PLUGINS, ALL);
    assert!(first.text.contains("6 * 7 = 42"), "{}", first.text);
    let second = host.run(&[]);
    second.built_only(&[], 0);
    assert!(second.text.contains("6 * 7 = 42"), "{}", second.text);
    host.place.assert_nothing_in_progress();
}

#[test]
fn a_changed_source_recompiles_its_plugin_alone_and_a_header_those_that_include_it() {
    let host = Host::new();
    host.run(&[]);
    host.append("life.c", "\n/* changed */\n");
    host.run(&[]).built_only(&["life"], 1);
    host.append("calculator/lexer.c", "\n/* changed */\n");
    host.run(&[]).built_only(&["calculator"], 4);
    host.append("calculator/calculator.h", "\n/* changed */\n");
    host.run(&[]).built_only(&["calculator"], 4);
    let canvas = fs::read(host.plugins.join("canvas.h")).unwrap();
    host.append("canvas.h", "\n/* changed */\n");
    host.run(&[]).built_only(&["life", "mandelbrot"], 2);
    fs::write(host.plugins.join("canvas.h"), canvas).unwrap();
    host.run(&[]).built_only(&[], 0);
    host.append("plugin.h", "\n/* changed */\n");
    host.run(&[]).built_only(&PLUGINS, ALL);
    host.run(&[]).built_only(&[], 0);
}

#[test]
fn plugins_copied_elsewhere_are_hits_until_a_header_beside_the_copy_differs() {
    let mut host = Host::new();
    host.run(&[]);
    let elsewhere = host.place.path("another checkout");
    copy(&host.plugins, &elsewhere);
    let here = std::mem::replace(&mut host.plugins, elsewhere);
    let_the_file_clock_tick();
    host.run(&[]).built_only(&[], 0);
    host.append("canvas.h", "\n/* changed here alone */\n");
    host.run(&[]).built_only(&["life", "mandelbrot"], 2);
    host.run(&[]).built_only(&[], 0);
    host.plugins = here;
    host.run(&[]).built_only(&[], 0);
}

#[test]
fn other_flags_and_another_compiler_recompile_everything_once() {
    let host = Host::new();
    host.run(&[]);
    host.run(&[&"--cflags", &"-O1 -g"]).built_only(&PLUGINS, ALL);
    host.run(&[&"--cflags", &"-O1 -g"]).built_only(&[], 0);
    // A script that does nothing but start one program is seen through, and counts by its content.
    let which = Command::new("sh").args(["-c", "command -v cc"]).output().unwrap();
    let cc = String::from_utf8(which.stdout).unwrap();
    let wrapper = host.place.write("my-cc", format!("#!/bin/sh\nexec {} \"$@\"\n", cc.trim()));
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    host.run(&[&"--cc", &wrapper]).built_only(&PLUGINS, ALL);
    host.run(&[&"--cc", &wrapper]).built_only(&[], 0);
    host.run(&[]).built_only(&[], 0);
}

#[test]
fn a_plugin_that_is_loaded_twice_runs_its_side_effect_twice() {
    let host = Host::new();
    for how in ["built", "hit"] {
        let seen = host.run(&[&"--twice", &"visits"]);
        assert_eq!((seen.rows["visits"].as_str(), seen.rows["visits again"].as_str()), (how, "copy"));
        assert_eq!(seen.text.matches("visits: my initialiser runs").count(), 2, "{}", seen.text);
        assert_eq!(seen.text.matches("this instance was called 1 time\n").count(), 2, "{}", seen.text);
    }
}

#[test]
fn without_a_home_it_runs_and_says_why_nothing_is_kept() {
    let host = Host::new();
    for _ in 0..2 {
        let seen = good(host.command(&[]).output().unwrap());
        assert_eq!((seen.are("unstored"), seen.compilers), (PLUGINS.into(), ALL));
        let why = seen.text.lines().find_map(|line| line.strip_prefix("store: none, nothing is kept: "));
        assert!(why.unwrap().contains("HOME"), "{}", seen.text);
    }
}

#[test]
fn with_a_home_the_store_is_in_its_cache_directory() {
    let host = Host::new();
    let home = host.place.path("");
    good(host.command(&[]).env("HOME", &home).output().unwrap()).built_only(&PLUGINS, ALL);
    assert!(home.join(".cache/plugin-host/plugcache/v1").is_dir());
    good(host.command(&[]).env("HOME", &home).output().unwrap()).built_only(&[], 0);
}

#[test]
fn s9_a_plugin_whose_initialiser_fails_is_not_compiled_again_and_fails_the_same_way() {
    let host = Host::new();
    let why = "oracle: its initialiser fails: the stars are not right";
    for how in ["built", "hit"] {
        let seen = host.run(&[]);
        assert_eq!(seen.rows["oracle"], how);
        assert_eq!(seen.text.lines().filter(|line| *line == why).count(), 1, "{}", seen.text);
    }
}

#[test]
fn a_plugin_that_does_not_compile_fails_alone_and_is_tried_again() {
    let host = Host::new();
    host.append("life.c", "this is no C\n");
    for (built, hits) in [(6, 0), (0, 6)] {
        let output = host.command(&[&"--store", &host.place.store_dir()]).output().unwrap();
        let seen = seen(&output);
        assert!(!output.status.success());
        assert_eq!(
            (seen.are("built").len(), seen.are("hit").len(), seen.are("failed")),
            (built, hits, vec!["life"])
        );
        assert!(seen.text.contains("life.c"), "{}", seen.text);
        host.place.assert_nothing_in_progress();
    }
}
