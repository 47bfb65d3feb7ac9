//! `key new`, `show`, `trust` and `revoke`.

use super::Fleet;
use crate::common::Place;
use std::{fs, os::unix::fs::PermissionsExt as _};

#[test]
fn a_new_key_lies_in_a_file_of_its_owner_alone_and_its_secret_is_never_shown() {
    let place = Place::new();
    let file = place.beside("keys").join("release");
    let words = |verb: &str| format!("{verb} {}", file.display());
    let shown = place.out(&words("key new"));
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(place.out(&words("key show")), shown);
    let text = fs::read_to_string(&file).unwrap();
    let secret = text.lines().find_map(|line| line.strip_prefix("secret ")).unwrap();
    assert!(!shown.contains(secret) && !place.out(&words("key show --json")).contains(secret));
    // It is never overwritten.
    place.run(&words("key new")).ends(1);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    for wrong in [0o640, 0o604, 0o660] {
        fs::set_permissions(&file, fs::Permissions::from_mode(wrong)).unwrap();
        let ended = place.run(&words("key show"));
        ended.ends(1).says("is not safe");
        assert!(!ended.err.contains(secret));
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(file.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
    place.run(&words("key show")).ends(1).says("others may write to it");
}

#[test]
fn a_file_of_trust_is_made_and_grows_and_is_refused_if_others_can_write_it() {
    let place = Place::new();
    let file = place.beside("trust");
    let public = |name: &str| {
        let shown = place.out(&format!("key new {}", place.beside(name).display()));
        shown.lines().next().unwrap().strip_prefix("public ").unwrap().to_owned()
    };
    let (one, two) = (public("one"), public("two"));
    let at = format!("--file {}", file.display());
    place.out(&format!("key trust {one} {at} --namespace release --note ci-7"));
    place.out(&format!("key trust {two} {at}"));
    // By its public half, as well as by its id.
    place.out(&format!("key revoke {one} {at} --reason stolen"));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(&format!("trust release {one} ci-7\ntrust main {two}\nrevoke ")), "{text}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    place.run(&format!("key trust {two} {at}")).ends(1).says("is not safe");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn key_without_a_verb_prints_the_source_digest_as_ever() {
    let machine = Fleet::new().machine("");
    let key = machine.out("key -s a.c -- ./tool a.c a.so");
    assert_eq!(key.trim_end().len(), 64);
    let options = "key -c l=v -s a.c --exec-id x --json -- ./tool new";
    assert!(machine.out(options).starts_with("{\"schema\":\"plugcache.key/1\""));
}

#[test]
fn keys_are_where_the_configuration_says() {
    let fleet = Fleet::new();
    let machine = fleet.machine("trust = 'believed'\n[publish]\nkey = 'mine'\nnamespace = 'dev'\n");
    let public = machine.new_key();
    machine.out(&format!("key trust {public} --namespace dev"));
    assert!(machine.config("mine").is_file() && machine.config("believed").is_file());
    let doctor = machine.run("remote doctor");
    assert!(doctor.ends(1).out.contains("nobody is believed in main"), "{doctor:?}");
    machine.out(&format!("key trust {public}"));
    let doctor = machine.run("remote doctor");
    assert!(doctor.out.contains("ok   key        ") && doctor.out.contains("believed in dev"), "{doctor:?}");
}
