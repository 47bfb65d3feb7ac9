//! Which store is meant, and stores that cannot be used: never the build's problem.

use crate::common::{Ended, ONE, Place, have, is_root};
use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

#[test]
fn the_store_is_that_of_the_flag_else_of_the_variable_else_in_the_cache_directory() {
    let place = Place::new();
    place.write("a.c", "a");
    let words: Vec<_> = ONE.split(' ').collect();
    let run = |envs: &[(&str, &str)], flag: Option<&str>| {
        let mut command = place.bare();
        command.args(flag.into_iter().flat_map(|dir| ["--store", dir])).args(&words);
        command.env_remove("HOME").envs(envs.iter().map(|(name, dir)| (name, place.beside(dir))));
        Ended::of(&mut command).ends(0).says("");
    };
    let all = [("HOME", "home"), ("XDG_CACHE_HOME", "xdg"), ("PLUGCACHE_DIR", "variable")];
    run(&all, Some(place.beside("flag").to_str().unwrap()));
    assert!(place.beside("flag/v1").is_dir() && !place.beside("variable").exists());
    run(&all, None);
    assert!(place.beside("variable/v1").is_dir() && !place.beside("xdg").exists());
    run(&all[..2], None);
    assert!(place.beside("xdg/plugcache/plugcache/v1").is_dir() && !place.beside("home").exists());
    run(&all[..1], None);
    assert!(place.beside("home/.cache/plugcache/plugcache/v1").is_dir());
    assert_eq!(place.runs(), 4);
}

#[test]
fn without_a_home_and_a_flag_the_error_says_what_to_do_and_a_build_runs() {
    let place = Place::new();
    place.write("a.c", "a");
    let bare = |words: &str| Ended::of(place.bare().env_remove("HOME").args(words.split(' ')));
    bare("ls").ends(1).says("HOME").says("--store DIR");
    bare("doctor").ends(1);
    bare(ONE).ends(0).says("warning: the store cannot be used").says("HOME");
    assert_eq!(place.runs(), 1);
    let strict = ONE.replace("run ", "run --require-hit ");
    bare(&strict).ends(125);
}

#[test]
fn a_store_that_cannot_be_used_costs_a_warning_and_never_the_build() {
    let place = Place::new();
    place.write("a.c", "a");
    fs::write(place.store(), "a file").unwrap();
    place.run(ONE).ends(0).says("warning: ").says("not a directory");
    place.run("ls").ends(1).says("not a directory");
    fs::remove_file(place.store()).unwrap();

    fs::create_dir(place.store()).unwrap();
    fs::set_permissions(place.store(), fs::Permissions::from_mode(0o777)).unwrap();
    place.run(ONE).ends(0).says("warning: ").says("another user could change it");
    place.run("path -s a.c").ends(1).says("correct owner and mode");
    assert_eq!((place.runs(), place.read("a.so").as_str()), (2, "a"));
}

/// The command as a user who is not root, to whom the place then belongs.
fn as_user(place: &Place, words: &str) -> Ended {
    let command = place.command(words);
    if !is_root() {
        return Ended::of(&mut { command });
    }
    let mut as_user = Command::new("setpriv");
    as_user.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(command.get_program());
    as_user.args(command.get_args()).current_dir(place.path(""));
    as_user.envs([("PLUGCACHE_DIR", place.store()), ("RUNS", place.beside("runs"))]);
    Ended::of(&mut as_user)
}

#[test]
fn a_store_that_may_not_be_written_or_read_costs_a_warning_and_never_the_build() {
    if is_root() && !have("setpriv", &["--reuid=65534", "--regid=65534", "--clear-groups", "true"]) {
        return;
    }
    let place = Place::with_entry();
    if is_root() {
        let status =
            Command::new("chown").args(["-R", "65534:65534"]).arg(place.beside("")).status().unwrap();
        assert!(status.success());
        if as_user(&place, "ls").code != 0 {
            println!("skipped: another user may not run the command where it lies");
            return;
        }
    }
    let set = |mode: &str| {
        let status = Command::new("chmod").args(["-R", mode]).arg(place.store()).status().unwrap();
        assert!(status.success());
    };
    set("a-w");
    as_user(&place, ONE).ends(0);
    assert_eq!(place.runs(), 1);
    place.write("a.c", "b");
    let missed = as_user(&place, ONE);
    missed.ends(0).says("warning: not stored");
    as_user(&place, "clear").ends(1).says("read-only");
    let doctor = as_user(&place, "doctor");
    assert!(doctor.out.contains("permissions") && doctor.out.contains("do: "), "{doctor:?}");
    set("a-rwx");
    as_user(&place, ONE).ends(0).says("warning: ");
    as_user(&place, "ls").ends(1).says("could not");
    assert_eq!((place.runs(), place.read("a.so").as_str()), (3, "b"));
    set("u+rwX");
}

#[test]
fn a_full_disk_costs_a_warning_and_never_the_build() {
    if !have("unshare", &["-Urm", "true"]) {
        return;
    }
    let place = Place::new();
    place.write("a.c", "x".repeat(300_000));
    fs::create_dir(place.store()).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=128k,mode=0700 none {0} && {1} {ONE} && {1} ls && df {0} >/dev/null",
        place.store().display(),
        env!("CARGO_BIN_EXE_plugcache"),
    );
    let mut command = Command::new("unshare");
    command
        .args(["-Urm", "sh", "-c", &script])
        .current_dir(place.path(""))
        .env("PLUGCACHE_DIR", place.store());
    command.env("RUNS", place.beside("runs"));
    Ended::of(&mut command).ends(0).says("warning: not stored: the disk is full");
    assert_eq!(place.read("a.so").len(), 300_000);
}

#[test]
fn doctor_finds_what_is_wrong_and_says_what_to_do() {
    let place = Place::with_entry();
    let out = place.out("doctor");
    for what in
        ["directory", "environment", "permissions", "file system", "noexec", "space", "versions", "clock"]
    {
        assert!(out.lines().any(|line| line[5..].starts_with(what)), "{what} is not in {out}");
    }
    fs::create_dir(place.store().join("v2")).unwrap();
    let out = place.out("doctor");
    assert!(out.contains("warn versions") && out.contains("/v2") && out.contains("do: remove"), "{out}");
    let out = Ended::of(place.command("doctor").env("PLUGCACHE_DISABLE", "1")).out;
    assert!(out.contains("warn environment") && out.contains("do: unset it"), "{out}");
    fs::set_permissions(place.store(), fs::Permissions::from_mode(0o777)).unwrap();
    let ended = place.run("doctor");
    ended.ends(1);
    assert!(ended.out.contains("BAD  permissions") && ended.out.contains("do: "), "{ended:?}");
}

#[test]
fn doctor_sees_a_mount_without_exec_and_one_that_is_nearly_full() {
    if !have("unshare", &["-Urm", "true"]) {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.store()).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=2m,mode=0700,noexec none {} && {} doctor",
        place.store().display(),
        env!("CARGO_BIN_EXE_plugcache"),
    );
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", &script]).env("PLUGCACHE_DIR", place.store());
    let ended = Ended::of(&mut command);
    ended.ends(1);
    assert!(ended.out.contains("BAD  noexec") && ended.out.contains("warn space"), "{ended:?}");
}

#[test]
fn doctor_sees_an_entry_from_the_future() {
    let place = Place::new();
    place.write("a.c", "a");
    if !have("faketime", &["-f", "+1d", "true"]) {
        return;
    }
    let mut command = Command::new("faketime");
    command.args(["-f", "+400d", env!("CARGO_BIN_EXE_plugcache"), "put", "-s", "a.c", "a.c"]);
    command.current_dir(place.path("")).env("PLUGCACHE_DIR", place.store());
    Ended::of(&mut command).ends(0);
    assert!(place.out("doctor").contains("warn clock"));
}

#[test]
fn looking_into_a_store_that_is_not_there_makes_nothing() {
    let place = Place::new();
    place.write("a.c", "a");
    for words in ["ls", "stats", "du", "doctor", "clear", "key -s a.c"] {
        place.out(words);
    }
    place.run("path -s a.c").ends(3);
    assert!(!place.store().exists());
}
