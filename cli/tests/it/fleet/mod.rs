//! A fleet: an engine in this process, and machines, each with a home, a store and a configuration of its own.

mod down;
mod keys;
mod printed;
mod runs;
mod tending;
mod verbs;

#[path = "../../../../remote/tests/it/engine.rs"]
#[expect(
    unreachable_pub,
    dead_code,
    reason = "it is shared with the tests of another package, which use more of it"
)]
mod engine;
#[path = "../../../../remote/tests/it/proxy.rs"]
#[expect(
    unreachable_pub,
    dead_code,
    reason = "it is shared with the tests of another package, which use more of it"
)]
mod proxy;

use crate::common::{Ended, Place};
use engine::{Engine, KEY_ID, Rules, SECRET};
use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

pub(crate) struct Fleet {
    dir: tempfile::TempDir,
    pub(crate) engine: Engine,
    pub(crate) rules: Rules,
}

/// A machine: its working directory has a compiler that counts its runs.
pub(crate) struct Machine {
    pub(crate) place: Place,
}

impl Fleet {
    pub(crate) fn new() -> Fleet {
        let (dir, rules) = (tempfile::tempdir().unwrap(), Rules::default());
        let engine = Engine::start_with(dir.path(), Some(&rules));
        Fleet { dir, engine, rules }
    }

    /// A machine that believes nobody; `more` stands in its configuration.
    pub(crate) fn machine(&self, more: &str) -> Machine {
        Machine::at(self.engine.address, more)
    }

    /// A machine that publishes what it builds, and believes itself.
    pub(crate) fn publisher(&self) -> Machine {
        self.signer("mode = 'write-through'")
    }

    /// The same, with another mode.
    pub(crate) fn signer(&self, mode: &str) -> Machine {
        let machine = self.machine(&format!("{mode}\n[publish]\nbuilder = 'ci-7'\n"));
        let public = machine.new_key();
        machine.out(&format!("key trust {public}"));
        machine
    }

    /// A machine that believes another one.
    pub(crate) fn reader(&self, of: &Machine) -> Machine {
        let machine = self.machine("");
        machine.out(&format!("key trust {}", of.public()));
        machine
    }

    /// A file of the bucket whose path has this in it.
    pub(crate) fn file(&self, within: &str) -> PathBuf {
        let mut found = Vec::new();
        below(&self.dir.path().join("engine/fleet"), &mut found);
        let is_meant = |path: &PathBuf| path.to_string_lossy().contains(within);
        found.into_iter().find(is_meant).unwrap_or_else(|| panic!("no {within} in the bucket"))
    }

    pub(crate) fn files(&self) -> usize {
        let mut found = Vec::new();
        below(&self.dir.path().join("engine/fleet"), &mut found);
        found.len()
    }
}

fn below(dir: &std::path::Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { below(&path, found) } else { found.push(path) }
    }
}

impl Machine {
    pub(crate) fn at(engine: SocketAddr, more: &str) -> Machine {
        let machine = Machine { place: Place::new() };
        machine.place.write("a.c", "int answer(void) { return 42; }\n");
        machine
            .configure(&format!("bucket = 'fleet'\nendpoint = 'http://{engine}'\nregion = 'garage'\n{more}"));
        machine
    }

    pub(crate) fn configure(&self, text: &str) {
        let file = self.config("remote.toml");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// A file of the configuration.
    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.place.beside("config").join("plugcache").join(name)
    }

    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = self.place.command(words);
        command.env("XDG_CONFIG_HOME", self.place.beside("config"));
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
        command
    }

    pub(crate) fn run(&self, words: &str) -> Ended {
        let ended = Ended::of(&mut self.command(words));
        assert!(!ended.out.contains(SECRET) && !ended.err.contains(SECRET), "{ended:?}");
        ended
    }

    #[track_caller]
    pub(crate) fn out(&self, words: &str) -> String {
        let ended = self.run(words);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{words}: {}", ended.out);
        ended.out
    }

    /// Makes the key of this machine; its public half.
    fn new_key(&self) -> String {
        let shown = self.out("key new");
        shown.lines().next().unwrap().strip_prefix("public ").unwrap().to_owned()
    }

    pub(crate) fn public(&self) -> String {
        let shown = self.out("key show");
        shown.lines().next().unwrap().strip_prefix("public ").unwrap().to_owned()
    }

    pub(crate) fn id(&self) -> String {
        let shown = self.out("key show");
        shown.lines().nth(1).unwrap().trim_start_matches("id").trim().to_owned()
    }

    /// Builds `NAME.so` of `NAME.c`, which is written first.
    pub(crate) fn build(&self, name: &str) -> Ended {
        self.place.write(&format!("{name}.c"), format!("the source of {name}\n").repeat(100));
        self.run(&format!("run -v -s {name}.c -o {name}.so -- ./tool {name}.c {name}.so"))
    }
}
