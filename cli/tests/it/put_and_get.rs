//! `put`, `path`, `get` and `key`: the store without a command.

use crate::common::{ONE, Place};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

#[test]
fn what_was_put_is_found_by_the_same_flags() {
    let place = Place::new();
    place.write("a.c", "a");
    place.write("a.so", "library");
    place.write("a.map", "{}");
    place.set_mode("a.so", 0o755);
    let key = place.out("put -s a.c -c host=3 a.so a.map");
    assert_eq!(key, place.out("key -s a.c -c host=3"));
    let path = place.out("path -s a.c -c host=3");
    let path = path.strip_suffix('\n').unwrap();
    assert!(path.starts_with('/'), "{path}");
    assert_eq!(fs::read_to_string(path).unwrap(), "library");
    assert_eq!(place.out("path --all -s a.c -c host=3").lines().count(), 2);
    assert_eq!(place.out("get -s a.c -c host=3 -o new/b.so -o new/b.map"), "");
    assert_eq!((place.read("new/b.so").as_str(), place.read("new/b.map").as_str()), ("library", "{}"));
    assert_eq!(fs::metadata(place.path("new/b.so")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_miss_ends_with_3_and_says_why() {
    let place = Place::new();
    place.write("a.c", "a");
    for words in ["path -s a.c", "get -s a.c -o b.so", "path -s a.c --wait 1s"] {
        place.run(words).ends(3).says("miss: ");
    }
    place.write("a.so", "library");
    place.out("put -s a.c a.so");
    place.run("path -s a.c --exec-id host-2").ends(3);
    place.out("put -s a.c --exec-id host-2 a.so");
    place.out("path -s a.c --exec-id host-2");
    // More files than there are.
    place.run("get -s a.c -o x -o y").ends(1).says("no file number 2");
}

#[test]
fn the_entry_of_a_run_is_found_by_its_command() {
    let place = Place::with_entry();
    let path = place.out("path -s a.c -- ./tool a.c a.so");
    assert_eq!(fs::read_to_string(path.trim_end()).unwrap(), "the source");
    place.out("get -s a.c -o copy -- ./tool a.c a.so");
    assert_eq!(place.read("copy"), "the source");
    place.run("path -s a.c").ends(3);
}

#[test]
fn a_damaged_object_is_a_miss_and_is_made_anew() {
    let place = Place::with_entry();
    let path = place.out("path -s a.c -- ./tool a.c a.so");
    fs::set_permissions(path.trim_end(), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path.trim_end(), "damage").unwrap();
    place.run("path -s a.c -- ./tool a.c a.so").ends(3).says("damaged");
    place.run(ONE).ends(0);
    assert_eq!((place.runs(), place.read("a.so").as_str()), (2, "the source"));
}

#[test]
fn whoever_waits_gets_what_another_makes_or_ends_with_5() {
    let place = Place::new();
    place.write("a.c", "a");
    place.write("tool", "#!/bin/sh\necho run >> \"$RUNS\"\nsleep 2\ncat a.c > a.so\n");
    let mut builds = place.command(ONE).spawn().unwrap();
    while place.runs() == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    place.run("path -s a.c --wait 10ms -- ./tool a.c a.so").ends(5).says("still making it");
    place.run("path -s a.c -- ./tool a.c a.so").ends(3);
    let path = place.out("path -s a.c --wait 1min -- ./tool a.c a.so");
    assert_eq!(fs::read_to_string(path.trim_end()).unwrap(), "a");
    assert!(builds.wait().unwrap().success());
}

#[test]
fn wrong_use_ends_with_2_and_files_that_cannot_be_stored_with_1() {
    let place = Place::new();
    place.write("a.c", "a");
    for wrong in [
        "",
        "none",
        "put a.c",
        "put -s a.c",
        "get -s a.c",
        "path -s a.c -c novalue",
        "ls --none",
        "show",
        "forget",
        "completions none",
        "path -s a.c --wait 5",
        "du --json --html x",
        "path -s a.c --exec-id=",
    ] {
        place.run(wrong).ends(2);
    }
    place.run("put -s a.c none.so").ends(1).says("none.so");
    place.run("put -s a.c sub/").ends(2);
    place.run("path -s none.c").ends(1).says("none.c");
    place.run("show zz").ends(2).says("is no key");
    place.run("show abcd").ends(3).says("no entry");
    place.run("forget abcd").ends(3);
}

#[test]
fn a_link_in_the_way_is_followed_and_what_is_no_file_is_not_replaced() {
    let place = Place::with_entry();
    place.write("real", "old");
    symlink("real", place.path("link")).unwrap();
    place.out("get -s a.c -o link -- ./tool a.c a.so");
    assert!(fs::symlink_metadata(place.path("link")).unwrap().is_symlink());
    assert_eq!(place.read("real"), "the source");
    fs::create_dir(place.path("dir")).unwrap();
    place.run("get -s a.c -o dir -- ./tool a.c a.so").ends(1).says("in the way");
    place.run("get -s a.c -o /dev/null -- ./tool a.c a.so").ends(1).says("in the way");
    let run = place.run("run -s a.c -o /dev/null -- ./tool a.c /dev/null");
    run.ends(0).says("no regular file");
}
