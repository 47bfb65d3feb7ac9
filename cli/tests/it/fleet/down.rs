//! An engine that is not there, silent, or refuses; a configuration that is wrong. No build is harmed.

use super::{
    Fleet, Machine,
    engine::SECRET,
    proxy::{Proxy, Weather},
};
use crate::common::{Ended, ONE};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

/// A machine whose engine is an address where nobody listens, or a proxy; it can publish.
fn machine(fleet: &Fleet, at: std::net::SocketAddr) -> Machine {
    let machine = fleet.signer("mode = 'write-through'");
    let quick = "first_byte = '300ms'\nstall = '300ms'\nlookup_max = '600ms'\nlookup_min = '600ms'";
    machine.configure(&format!(
        "bucket = 'fleet'\nendpoint = 'http://{at}'\nregion = 'garage'\nmode = 'write-through'\n\
         [publish]\n[deadlines]\n{quick}\n"
    ));
    machine
}

fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn an_engine_that_is_down_costs_one_warning_for_many_builds() {
    let fleet = Fleet::new();
    let machine = machine(&fleet, nobody());
    let quiet = |name: &str| {
        machine.place.write(&format!("{name}.c"), name);
        Ended::of(
            machine
                .command(&format!("run -s {name}.c -o {name}.so -- ./tool {name}.c {name}.so"))
                .env("PLUGCACHE_REMOTE", "read-only"),
        )
    };
    let first = quiet("a");
    first.ends(0).says("warning: the tier gave no answer");
    assert_eq!(first.err.lines().count(), 1, "{first:?}");
    for name in ["b", "c"] {
        assert_eq!((quiet(name).code, quiet(name).err.as_str()), (0, ""), "{name}");
    }
    assert_eq!((machine.place.runs(), machine.place.read("b.so").as_str()), (3, "b"));
    // For whoever wants to know.
    machine.build("d").ends(0).says("the tier is not asked").says("not brought to the tier");
}

#[test]
fn a_silent_engine_costs_a_build_its_deadline_once() {
    let fleet = Fleet::new();
    let proxy = Proxy::before(fleet.engine.address);
    proxy.set(Weather::Silent);
    let machine = machine(&fleet, proxy.address);
    let begun = Instant::now();
    let reads = |words: &str| Ended::of(machine.command(words).env("PLUGCACHE_REMOTE", "read-only"));
    reads(ONE).ends(0).says("warning: the tier gave no answer");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let connections = proxy.connections.load(std::sync::atomic::Ordering::Relaxed);
    machine.place.write("a.c", "other");
    assert_eq!((reads(ONE).code, reads(ONE).err.as_str()), (0, ""));
    assert_eq!(proxy.connections.load(std::sync::atomic::Ordering::Relaxed), connections);
    // When it is found to answer, it is asked at once.
    proxy.set(Weather::Fair);
    machine.out("remote status");
    machine.build("b").ends(0).says("the tier has nothing");
}

#[test]
fn every_verb_says_how_the_engine_failed_by_its_code() {
    let fleet = Fleet::new();
    let proxy = Proxy::before(fleet.engine.address);
    let slow = machine(&fleet, proxy.address);
    let down = machine(&fleet, nobody());
    for machine in [&slow, &down] {
        Ended::of(machine.command(ONE).env("PLUGCACHE_REMOTE", "off")).ends(0);
    }
    proxy.set(Weather::Silent);
    let verbs = ["remote status", "remote push --all", "remote pull", "remote pull --bundle r1", "remote gc"];
    for words in verbs {
        down.run(words).ends(1);
    }
    for words in ["remote status", "remote push --all", "remote pull --bundle r1"] {
        slow.run(words).ends(5);
    }
    proxy.set(Weather::Refuses(403, "AccessDenied"));
    for words in verbs {
        let ended = slow.run(words);
        ended.ends(1);
        assert!((ended.err + &ended.out).contains("(403"), "{words}");
    }
    let doctor = slow.run("remote doctor");
    assert!(doctor.ends(1).out.contains("BAD  reading"), "{doctor:?}");
}

#[test]
fn a_wrong_configuration_is_told_with_its_line_and_costs_no_build() {
    let machine = Fleet::new().machine("buket = 'x'\n");
    machine.run(ONE).ends(0).says("remote.toml:4").says("buket");
    assert_eq!(machine.place.runs(), 1);
    for words in ["remote status", "remote push", "path -s a.c", "key show"] {
        let ended = machine.run(words);
        ended.ends(1).says("remote.toml:4");
    }
    // What is stored is stored.
    machine.run("put -s a.c a.so").ends(0).says("remote.toml:4");
    machine.out("path -s a.c");
}

#[test]
fn a_named_file_must_be_there_and_the_usual_one_need_not() {
    let place = crate::common::Place::new();
    place.write("a.c", "a");
    let with = |words: &str, file: &str| Ended::of(place.command(words).env("PLUGCACHE_REMOTE_CONFIG", file));
    with(ONE, "/nowhere/remote.toml").ends(0).says("warning: there is no tier: /nowhere/remote.toml");
    with("remote status", "/nowhere/remote.toml").ends(1).says("/nowhere/remote.toml cannot be read");
    place.write("a.c", "b");
    assert_eq!(place.run(ONE).err, "");
    place.run("remote push --all").ends(1).says("there is no tier: write ").says("PLUGCACHE_REMOTE_CONFIG");
    assert!(place.out("remote status").contains("off (no file names one)"));
}

#[test]
fn a_configuration_that_others_can_write_is_not_used() {
    let machine = Fleet::new().machine("");
    fs::set_permissions(machine.config("remote.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    machine.run(ONE).ends(0).says("warning: there is no tier").says("others may use it");
    machine.run("remote status").ends(1).says("is not safe");
}

/// `Machine::run` looks for the secret in all that is printed; here are those who would have most to say.
#[test]
fn nothing_that_fails_prints_a_credential() {
    let fleet = Fleet::new();
    let proxy = Proxy::before(fleet.engine.address);
    let machine = machine(&fleet, proxy.address);
    machine.build("a");
    let verbs = [
        "remote status --json",
        "remote push --all --json",
        "remote push --all --bundle x",
        "remote pull --json",
        "remote pull --bundle x --json",
        "remote prefetch --bundle x",
        "remote doctor --json",
        "remote doctor --fix",
        "remote gc --dry-run --json",
        "remote doctor --rules",
        "explain --json -s a.c",
        "path -s b.c",
    ];
    machine.place.write("b.c", "b");
    for weather in [
        Weather::Closed,
        Weather::Refuses(403, "SignatureDoesNotMatch"),
        Weather::Refuses(400, "X"),
        Weather::Fair,
    ] {
        proxy.set(weather);
        for words in verbs {
            machine.run(words);
            let token = "a token that nothing prints either";
            let ended =
                Ended::of(machine.command(words).env("AWS_SESSION_TOKEN", token).env("RUST_BACKTRACE", "1"));
            assert!(!(ended.out + &ended.err).contains(token), "{words}");
        }
        machine.build("c");
        machine.run("clear");
    }
    machine.configure(&format!("bucket = 'b'\nsecret_access_key = '{SECRET}'\n"));
    machine.run("remote status").ends(1).says("secret_access_key");
    machine.configure(&format!("bucket = 'b'\nendpoint = 'https://GK:{SECRET}@host'\n"));
    machine.run("remote status").ends(1).says("credentials");
}
