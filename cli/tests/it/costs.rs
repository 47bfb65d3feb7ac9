//! What `path` costs on a hit: instructions as callgrind counts them, pinned at what was measured plus 10 %, and the
//! files that it opens.

use crate::common::{Place, have};
use std::process::Command;

/// Of a build as `cargo test` makes it, for a key of one source file.
const INSTRUCTIONS: u64 = 1_219_320;

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
