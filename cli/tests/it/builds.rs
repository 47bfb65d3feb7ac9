//! Whole builds wrapped with the command, with eight jobs at once, twice: the second time no compiler starts.

use crate::common::{Ended, Place, have};
use std::{fs, process::Command};

const PLUGINS: usize = 12;

/// Plugins that share a header, and a compiler that counts its runs.
fn project() -> Place {
    let place = Place::new();
    place.write("api.h", "#define API 3\n");
    for number in 0..PLUGINS {
        place.write(
            &format!("p{number}.c"),
            format!("#include \"api.h\"\nint f(void) {{ return API + {number}; }}\n"),
        );
    }
    place.write("counted-cc", "#!/bin/sh\necho run >> \"$RUNS\"\nexec cc \"$@\"\n");
    place.set_mode("counted-cc", 0o755);
    // Headers of the moment in which a build begins may be either version.
    std::thread::sleep(std::time::Duration::from_millis(30));
    place
}

const WRAPPED: &str =
    "run -s $in -o $out --depfile $out.d -- ./counted-cc -MD -MF $out.d -shared -fPIC -o $out $in";

fn build(place: &Place, program: &str) -> Ended {
    let mut command = Command::new(program);
    command
        .arg("-j8")
        .current_dir(place.path(""))
        .env("PLUGCACHE_DIR", place.store())
        .env("RUNS", place.beside("runs"));
    Ended::of(command.env("PLUGCACHE", env!("CARGO_BIN_EXE_plugcache")))
}

/// Builds, cleans up, and builds again; then after a change of one source and of the header.
fn build_twice(place: &Place, program: &str) {
    let libraries = || (0..PLUGINS).map(|number| fs::read(place.path(format!("p{number}.so"))).unwrap());
    let clean =
        || (0..PLUGINS).for_each(|number| fs::remove_file(place.path(format!("p{number}.so"))).unwrap());
    build(place, program).ends(0);
    assert_eq!(place.runs(), PLUGINS);
    let first: Vec<_> = libraries().collect();
    clean();
    build(place, program).ends(0);
    assert_eq!(place.runs(), PLUGINS, "a compiler started again");
    assert!(libraries().eq(first), "other bytes came out of the store");
    place.write("p3.c", "int g(void) { return 1; }\n");
    clean();
    build(place, program).ends(0);
    assert_eq!(place.runs(), PLUGINS + 1);
    place.write("api.h", "#define API 4\n");
    std::thread::sleep(std::time::Duration::from_millis(30));
    clean();
    build(place, program).ends(0);
    // All but the one that has no header any more.
    assert_eq!(place.runs(), 2 * PLUGINS);
}

#[test]
fn a_makefile_with_eight_jobs_starts_no_compiler_the_second_time() {
    let place = project();
    let rule = WRAPPED.replace("$in", "$<").replace("$out", "$@");
    let all: String = (0..PLUGINS).map(|number| format!(" p{number}.so")).collect();
    place.write("Makefile", format!("all:{all}\n\n%.so: %.c\n\t@$(PLUGCACHE) {rule}\n"));
    build_twice(&place, "make");
}

#[test]
fn a_ninja_build_with_eight_jobs_starts_no_compiler_the_second_time() {
    if !have("ninja", &["--version"]) {
        return;
    }
    let place = project();
    let mut text = format!("rule so\n  command = \"$$PLUGCACHE\" {WRAPPED}\n\n");
    (0..PLUGINS).for_each(|number| text.push_str(&format!("build p{number}.so: so p{number}.c\n")));
    place.write("build.ninja", text);
    build_twice(&place, "ninja");
}
