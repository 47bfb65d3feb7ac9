//! Many processes that want the same module at once.

use super::*;
use std::{
    env,
    process::{Command, Stdio},
};

const PROCESSES: usize = 40;

/// Under which name a child is told its store.
const STORE: &str = "PLUGCACHE_WASMTIME_STORE";

#[test]
fn forty_processes_compile_once() {
    let (_dir, dir) = place();
    let start = || {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "processes::one_of_many", "--ignored", "--nocapture"]).env(STORE, &dir);
        child.stdout(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
    let (mut compiled, mut loaded) = (0, 0);
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        let line = text.lines().find_map(|line| line.split_once("how: ")).expect("the child says how").1;
        assert!(["built, compiled", "hit", "waited"].contains(&line), "{line}");
        compiled += usize::from(line.ends_with("compiled"));
        loaded += 1;
    }
    assert_eq!((compiled, loaded), (1, PROCESSES));
}

#[test]
#[ignore = "a process of the test above"]
fn one_of_many() {
    let Some(dir) = env::var_os(STORE) else { return };
    let host = Host::new(Path::new(&dir));
    // Long enough to compile that all have started meanwhile.
    let module = host.loader.load_module(large::wasm(300, 7)).unwrap();
    let compiled = if host.compiled() > 0 { ", compiled" } else { "" };
    println!("\nhow: {}{compiled}", module.how());
    assert_eq!(large::run(&host.engine, &module).unwrap(), large::run(&host.engine, &module).unwrap());
}
