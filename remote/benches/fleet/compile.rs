//! What it takes to compile a plugin instead: a small one in C, and one in Rust.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    is_quick,
    measure::{Side, Spread, rounds},
    place::Place,
};

/// A compiler that is here.
pub struct Compiler {
    pub name: &'static str,
    pub spread: Spread,
}

fn timed(mut command: Command) -> Duration {
    let begun = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
    begun.elapsed()
}

fn is_here(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn cc(to: &Path) -> Command {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugin_host/plugins");
    let mut command = Command::new("cc");
    command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(to).arg("-I").arg(&plugins);
    command.arg(plugins.join("life.c"));
    command
}

/// Twenty functions, each with a map of its own: what takes a Rust compiler some seconds.
fn rust_source(dir: &Path) -> PathBuf {
    let mut text = String::from("use std::collections::BTreeMap;\n");
    for number in 0..20 {
        text += &format!(
            "#[unsafe(no_mangle)]\npub extern \"C\" fn f{number}(n: u64) -> u64 {{\n    let map: BTreeMap<u64, String> = \
             (0..n % {}).map(|i| (i * {number}, format!(\"{{i}} of {{n}}\"))).collect();\n    \
             map.values().map(|text| text.len() as u64).sum()\n}}\n",
            number + 2
        );
    }
    let path = dir.join("plugin.rs");
    std::fs::write(&path, text).unwrap();
    path
}

pub fn measure(place: &Place) -> Vec<Compiler> {
    let (to, source) = (place.dir.path().join("compiled.so"), rust_source(place.dir.path()));
    let rustc = || {
        let mut command = Command::new("rustc");
        command.args(["--edition=2024", "-O", "--crate-type=cdylib", "-o"]).arg(&to).arg(&source);
        timed(command)
    };
    let mut compilers = Vec::new();
    if is_here("cc") {
        compilers.push(("cc -O2, a plugin of 70 lines", Box::new(|| timed(cc(&to))) as Side<'_>));
    }
    if is_here("rustc") && !is_quick() {
        compilers.push(("rustc -O, a plugin of twenty functions", Box::new(rustc)));
    }
    let one = |(name, side): (&'static str, Side<'_>)| {
        eprintln!("{name}");
        Compiler { name, spread: rounds(&mut [side])[0] }
    };
    compilers.into_iter().map(one).collect()
}

pub fn table(compilers: &[Compiler]) -> String {
    let mut table = String::from("| compiler | median [min .. max] |\n|---|---|\n");
    for Compiler { name, spread } in compilers {
        table += &format!("| {name} | {spread} |\n");
    }
    table
}
