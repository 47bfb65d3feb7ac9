//! `run` as its caller's command: streams, codes, signals, and many at once.

use crate::common::{Ended, ONE, Place};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

fn sh(place: &Place, flags: &str, script: &str) -> Command {
    let mut command = place.command("run -o made");
    command.args(flags.split_whitespace()).args(["--", "sh", "-c", script]);
    command
}

#[test]
fn the_streams_of_the_command_are_its_callers() {
    let place = Place::new();
    let mut child = sh(&place, "", "cat; echo err >&2; echo x > made")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\0\xff in").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"\0\xff in"[..], &b"err\n"[..]));
    // Not even a pipe between: the command has the very file.
    let file = place.path("stdout");
    let status = sh(&place, "--refresh", "readlink /proc/self/fd/1; echo x > made")
        .stdout(fs::File::create(&file).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(place.read("stdout").trim(), fs::canonicalize(&file).unwrap().to_str().unwrap());
}

#[test]
fn the_codes_are_the_commands_own_or_those_of_env() {
    let place = Place::new();
    for code in [1, 2, 3, 77, 255] {
        Ended::of(&mut sh(&place, "", &format!("exit {code}"))).ends(code);
    }
    Ended::of(&mut sh(&place, "", "kill -9 $$")).ends(128 + 9);
    Ended::of(&mut sh(&place, "", "kill -TERM $$")).ends(128 + 15);
    for flags in ["", "--no-store", "--capture"] {
        place.run(&format!("run {flags} -o x -- /none/such")).ends(127).says("/none/such");
        place.run(&format!("run {flags} -o x -- no-such-command")).ends(127).says("no-such-command");
        place.write("not-executable", "x");
        place.run(&format!("run {flags} -o x -- ./not-executable")).ends(126).says("./not-executable");
    }
    for wrong in [
        "run",
        "run -o x",
        "run -o x -- ",
        "run --none -o x -- true",
        "run -o . -- true",
        "run -e A=B -o x -- true",
    ] {
        place.run(wrong).ends(125);
    }
    place.run("run -s none.c -o x -- true").ends(125).says("none.c");
}

#[test]
fn many_at_once_run_the_command_once() {
    let place = Place::new();
    place.write("a.c", "a");
    place.write("tool", "#!/bin/sh\necho run >> \"$RUNS\"\nsleep 0.3\ncat a.c > a.so\n");
    thread::scope(|scope| {
        let all: Vec<_> = (0..12).map(|_| scope.spawn(|| place.run(ONE))).collect();
        for one in all {
            one.join().unwrap().ends(0);
        }
    });
    assert_eq!((place.runs(), place.read("a.so").as_str()), (1, "a"));
}

#[test]
fn an_interrupt_ends_both_and_leaves_nothing_half_done() {
    let place = Place::new();
    // A process group of its own, as a terminal has it, to which ^C goes.
    let mut child =
        sh(&place, "", "echo half > made; sleep 20; echo whole > made").process_group(0).spawn().unwrap();
    wait_until(|| place.path("made").exists());
    let begin = Instant::now();
    kill("INT", -i64::from(child.id()));
    let status = child.wait().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(status.code(), Some(128 + 2), "{status:?}");
    assert_eq!(in_progress(&place), 0);
    assert_eq!(place.out("ls --json"), "");
}

#[test]
fn a_request_to_end_that_comes_to_plugcache_alone_reaches_the_command() {
    let place = Place::new();
    let script = "trap 'echo trapped; exit 9' TERM; echo x > made; while :; do sleep 0.05; done";
    let mut child = sh(&place, "", script).stdout(Stdio::piped()).spawn().unwrap();
    wait_until(|| place.path("made").exists());
    kill("TERM", i64::from(child.id()));
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), child.wait().unwrap().code()), ("trapped\n", Some(9)));
    assert_eq!(in_progress(&place), 0);
}

#[test]
fn who_waits_for_another_ends_at_once_when_interrupted() {
    let place = Place::new();
    place.write("a.c", "a");
    // However busy the machine is, it builds until the other one has ended.
    let until = "while [ ! -e go ]; do sleep 0.05; done";
    place.write("tool", format!("#!/bin/sh\necho run >> \"$RUNS\"\n{until}\ncat a.c > a.so\n"));
    let mut builds = place.command(ONE).spawn().unwrap();
    wait_until(|| place.runs() == 1);
    let mut waits = place.command(ONE).spawn().unwrap();
    thread::sleep(Duration::from_millis(300));
    kill("INT", i64::from(waits.id()));
    let ended = waits.wait().unwrap();
    place.write("go", "");
    assert_eq!(ended.signal(), Some(2), "{ended:?}");
    assert!(builds.wait().unwrap().success());
    assert_eq!(place.runs(), 1);
}

#[test]
fn a_killed_one_frees_those_that_wait() {
    let place = Place::new();
    place.write("a.c", "a");
    place.write(
        "tool",
        "#!/bin/sh\necho run >> \"$RUNS\"\n[ $(wc -l < \"$RUNS\") = 1 ] && sleep 3\ncat a.c > a.so\n",
    );
    let mut first = place.command(ONE).process_group(0).spawn().unwrap();
    wait_until(|| place.runs() == 1);
    let second = place.command(ONE).spawn().unwrap();
    kill("KILL", -i64::from(first.id()));
    first.wait().unwrap();
    assert!(second.wait_with_output().unwrap().status.success());
    assert_eq!((place.runs(), place.read("a.so").as_str()), (2, "a"));
}

fn kill(signal: &str, id: i64) {
    let status = Command::new("kill").args(["-s", signal, "--", &id.to_string()]).status().unwrap();
    assert!(status.success());
}

fn wait_until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it never came");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What builds have left in the store.
fn in_progress(place: &Place) -> usize {
    let listed = ["staging", "inflight"].map(|dir| fs::read_dir(place.store().join("v1").join(dir)));
    listed.into_iter().flatten().map(Iterator::count).sum()
}
