//! What `path` costs on a hit: instructions as callgrind counts them, pinned at what was measured plus 10 %, and the
//! files that it opens.

use crate::common::{Place, have};
use std::process::Command;

/// Of a build as `cargo test` makes it, most of whose dependencies are not optimised, for a key of one source file.
const INSTRUCTIONS: u64 = 1_873_391;

/// A key without a command, so that no tool is in it.
fn place() -> Place {
    let place = Place::new();
    place.write("a.c", "a");
    place.write("a.so", "library");
    place.out("put -s a.c a.so");
    place.out("path -s a.c");
    place
}

#[test]
fn path_on_a_hit_takes_no_more_instructions_than_were_measured() {
    if !have("valgrind", &["--version"]) {
        return;
    }
    let place = place();
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", env!("CARGO_BIN_EXE_plugcache")]);
    let output =
        command.args(["path", "-s", "a.c"]).current_dir(place.path("")).env("PLUGCACHE_DIR", place.store());
    let output = output.output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split("Collected : ").nth(1)).unwrap();
    let count: u64 = count.trim().parse().unwrap();
    println!("{count} instructions");
    assert!(count <= INSTRUCTIONS * 11 / 10, "{count} instructions, {INSTRUCTIONS} were measured");
}

#[test]
fn path_on_a_hit_reads_no_tools_contents() {
    if !have("strace", &["-V"]) {
        return;
    }
    let place = place();
    // Old enough to be remembered, as a tool is.
    place.write("cc1", vec![b'x'; 1 << 20]);
    let old = Command::new("touch").args(["-d", "1 hour ago"]).arg(place.path("cc1")).status().unwrap();
    assert!(old.success());
    std::thread::sleep(std::time::Duration::from_secs(3));
    let words = "path -s a.c --tool cc1";
    place.out("put -s a.c --tool cc1 a.so");
    place.out(words);
    let trace = place.beside("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-e", "trace=open,openat,openat2,execve", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_plugcache"));
    command.args(words.split(' ')).current_dir(place.path("")).env("PLUGCACHE_DIR", place.store());
    assert!(command.output().unwrap().status.success());
    let trace = std::fs::read_to_string(&trace).unwrap();
    assert_eq!(trace.matches("execve").count(), 1, "{trace}");
    let opened = trace.lines().filter(|line| !line.contains("execve(") && line.contains("cc1\""));
    assert_eq!(opened.count(), 0, "{trace}");
}
