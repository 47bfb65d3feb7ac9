//! `run`, `path`, `get`, `put` and `explain` with a tier.

use super::{Fleet, Machine};
use crate::common::{Ended, ONE, have};
use std::{fs, process::Command};

/// The same sources, and a real compiler.
const CC: &str = "run -v -s a.c -o a.so -- cc -shared -fPIC -o a.so a.c";

#[test]
fn what_one_machine_compiled_another_with_an_empty_store_does_not_compile() {
    if !have("cc", &["--version"]) {
        return;
    }
    let fleet = Fleet::new();
    let (first, second) = (fleet.publisher(), Machine::at(fleet.engine.address, ""));
    second.out(&format!("key trust {} --note the-release-jobs", first.public()));
    first.run(CC).ends(0).says("built, and stored").says("brought to the tier");
    // Without a hit this would end with 125.
    second.run(&CC.replace("-v", "-v --require-hit")).ends(0).says("fetched: ");
    assert_eq!(fs::read(first.place.path("a.so")).unwrap(), fs::read(second.place.path("a.so")).unwrap());
    // From now on it is here.
    second.run(CC).ends(0).says("hit: ");
    let counted = |machine: &Machine| machine.out("stats --json");
    assert!(counted(&second).contains("\"tier\":{\"fetched\":1,"), "{}", counted(&second));
    assert!(second.out("stats").contains("1 fetched ("), "{}", second.out("stats"));
    assert!(counted(&first).contains("\"misses\":1,\"errors\":0}"), "{}", counted(&first));
}

#[test]
fn the_compiler_of_the_second_machine_is_not_started() {
    let fleet = Fleet::new();
    let first = fleet.publisher();
    let second = fleet.reader(&first);
    first.run(ONE).ends(0).says("");
    assert_eq!((first.place.runs(), second.run(ONE).code), (1, 0));
    assert_eq!(second.place.runs(), 0);
    assert_eq!(second.place.read("a.so"), second.place.read("a.c"));
    // What it builds itself it does not bring: it only reads.
    let files = fleet.files();
    second.build("b").ends(0).says("the tier has nothing");
    assert_eq!((second.place.runs(), fleet.files()), (1, files));
}

#[test]
fn a_hit_reads_no_configuration_and_opens_no_connection() {
    if !have("strace", &["-V"]) || !have("mkfifo", &["--version"]) {
        return;
    }
    let machine = Fleet::new().machine("");
    let fifo = machine.place.beside("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let poisoned = |command: &mut Command| Ended::of(command.env("PLUGCACHE_REMOTE_CONFIG", &fifo));
    // A miss meets it, and compiles all the same.
    poisoned(&mut machine.command(ONE)).ends(0).says("warning: there is no tier").says("no regular file");
    for words in [ONE, "path -s a.c -- ./tool a.c a.so", "get -s a.c -o b.so -- ./tool a.c a.so"] {
        let trace = machine.place.beside("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_plugcache"));
        let plain = machine.command(words);
        command.args(plain.get_args()).current_dir(machine.place.path("")).env("RUNS", "/dev/null");
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ended = poisoned(&mut command);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{words}");
        let trace = fs::read_to_string(trace).unwrap();
        for never in ["fifo", "remote.toml", " socket(", " connect(", " clone(", " clone3("] {
            assert!(!trace.contains(never), "{words}: {never} in {trace}");
        }
    }
}

#[test]
fn what_was_put_is_found_and_copied_elsewhere() {
    let fleet = Fleet::new();
    let first = fleet.publisher();
    let second = fleet.reader(&first);
    first.place.write("a.so", "library");
    first.out("put -s a.c a.so");
    let path = second.out("path -s a.c");
    assert_eq!(fs::read_to_string(path.trim_end()).unwrap(), "library");
    assert!(path.contains(second.place.store().to_str().unwrap()), "{path}");
    let third = fleet.reader(&first);
    third.out("get -s a.c -o copy.so");
    assert_eq!(third.place.read("copy.so"), "library");
    third.run("path -s a.c --exec-id other").ends(3).says("the tier was asked: it has nothing");
}

#[test]
fn explain_asks_the_tier_and_brings_nothing() {
    let fleet = Fleet::new();
    let first = fleet.publisher();
    let second = fleet.reader(&first);
    let explain = "explain -s a.c -- ./tool a.c a.so";
    let said = second.run(explain);
    assert!(said.ends(3).out.contains("the tier was asked: it has nothing"), "{said:?}");
    first.run(ONE).ends(0).says("");
    let said = second.run(explain);
    assert!(said.ends(3).out.contains("the tier was asked: it has this"), "{said:?}");
    second.run(explain).ends(3);
    assert_eq!(second.out("ls").lines().count(), 1);
    // Without a tier nothing is said of one.
    let said = Ended::of(second.command(explain).env("PLUGCACHE_REMOTE", "off"));
    assert!(!said.ends(3).out.contains("tier"), "{said:?}");
}

#[test]
fn what_a_key_has_signed_that_is_not_trusted_is_not_used() {
    let fleet = Fleet::new();
    let (stranger, friend) = (fleet.publisher(), fleet.publisher());
    let reader = fleet.reader(&friend);
    stranger.run(ONE).ends(0);
    reader.run(&ONE.replace("run", "run -v")).ends(0).says("the command runs");
    assert_eq!(reader.place.runs(), 1);
    // In another namespace it is not trusted either.
    reader.out(&format!("key trust {} --namespace nightly", stranger.public()));
    reader.out("clear");
    reader.run(ONE).ends(0);
    assert_eq!(reader.place.runs(), 2);
}

#[test]
fn a_key_that_was_revoked_is_believed_no_more() {
    let fleet = Fleet::new();
    let first = fleet.publisher();
    let (second, third) = (fleet.reader(&first), fleet.reader(&first));
    first.run(ONE).ends(0);
    second.run(ONE).ends(0);
    third.out(&format!("key revoke {} --reason stolen", first.id()));
    third.run(ONE).ends(0);
    assert_eq!((second.place.runs(), third.place.runs()), (0, 1));
    // Nothing brings it back.
    third.out(&format!("key trust {}", first.public()));
    third.build("a");
    assert_eq!(third.place.runs(), 2);
}

#[test]
fn in_the_mode_that_queues_a_build_waits_for_nothing_and_push_brings_it() {
    let fleet = Fleet::new();
    let first = fleet.signer("mode = 'read-write'");
    let second = fleet.reader(&first);
    for name in ["a", "b", "c"] {
        first.build(name).ends(0).says("queued for the tier");
    }
    assert_eq!(fleet.files(), 0);
    assert!(first.out("remote status").contains("3 uploads"));
    let said = first.out("remote push");
    assert!(said.contains("brought 3 entries that waited"), "{said}");
    assert!(!first.out("remote status").contains("waiting"));
    for name in ["a", "b", "c"] {
        second.build(name).ends(0).says("fetched: ");
    }
    assert_eq!(second.place.runs(), 0);
    assert!(first.out("remote push").contains("brought 0 entries"));
}

#[test]
fn the_mode_of_the_environment_counts_more_than_that_of_the_file() {
    let fleet = Fleet::new();
    let first = fleet.publisher();
    let with = |mode: &str, words: &str| Ended::of(first.command(words).env("PLUGCACHE_REMOTE", mode));
    for mode in ["off", "read-only"] {
        with(mode, ONE).ends(0).says("");
        with(mode, "clear").ends(0);
    }
    assert_eq!(fleet.files(), 0);
    with("sometimes", ONE).ends(0).says("PLUGCACHE_REMOTE is wrong").says("read-write");
    with("off", "remote push").ends(1).says("the tier is off");
    with("off", "clear").ends(0);
    first.run(ONE).ends(0);
    assert!(fleet.files() > 0);
}

#[test]
fn an_object_that_is_damaged_in_the_bucket_is_never_placed_and_is_put_anew() {
    let fleet = Fleet::new();
    let (first, other) = (fleet.publisher(), fleet.signer("mode = 'write-through'"));
    other.out(&format!("key trust {}", first.public()));
    first.build("a").ends(0);
    let object = fleet.file("/cas/");
    let mut bytes = fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&object, &bytes).unwrap();
    other.build("a").ends(0).says("warning: the tier gave a wrong answer").says("brought to the tier");
    assert_eq!((other.place.runs(), other.place.read("a.so")), (1, other.place.read("a.c")));
    let third = fleet.reader(&other);
    third.build("a").ends(0).says("fetched: ");
}
