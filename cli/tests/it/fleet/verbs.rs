//! `remote push`, `pull` and `prefetch`.

use super::Fleet;
use std::fs;

#[test]
fn a_bundle_warms_a_machine() {
    let fleet = Fleet::new();
    let first = fleet.signer("");
    let second = fleet.reader(&first);
    for name in ["a", "b", "c"] {
        first.build(name).ends(0);
    }
    // One that only reads unless it is told to push.
    assert_eq!(fleet.files(), 0);
    assert!(first.out("remote push --all --bundle r1").contains("published the bundle r1"));
    let said = second.out("remote pull --bundle r1");
    assert!(said.contains("3 entries: 3 fetched"), "{said}");
    assert!(second.out("remote pull --bundle r1").contains("0 fetched (0 B), 3 were here"));
    for name in ["a", "b", "c"] {
        second.build(name).ends(0).says("hit: ");
    }
    assert_eq!(second.place.runs(), 0);
}

#[test]
fn push_brings_what_is_named_by_key_or_label() {
    let fleet = Fleet::new();
    let first = fleet.signer("");
    for name in ["a", "b", "c"] {
        first.build(name).ends(0);
    }
    let key = first.out("key -s b.c -- ./tool b.c b.so");
    let key = key.trim_end();
    assert!(first.out(&format!("remote push {}", &key[..12])).contains("brought 1 of 1 entry"));
    assert!(first.out("remote push --label c.c").contains("brought 1 of 1 entry"));
    let again = first.out("remote push --label c.c --label b.c");
    assert!(again.contains("brought 2 of 2 entries, 0 objects anew"), "{again}");
    first.run("remote push 0000000000").ends(3).says("no entry has a key");
    first.run("remote push --label other").ends(3).says("there is no such entry");
    let second = fleet.reader(&first);
    second.run(&format!("remote prefetch {key}")).ends(0);
    second.build("b").ends(0).says("hit: ");
    let missing = "0".repeat(64);
    second.run(&format!("remote prefetch {key} {missing}")).ends(3);
    second.run(&format!("remote prefetch {key} --exec-id other")).ends(3);
    assert!(second.out("remote pull").contains("2 entries: 1 fetched"));
    second.build("c").ends(0).says("hit: ");
}

#[test]
fn a_bundle_that_is_not_there_or_not_believed_is_told_by_the_code() {
    let fleet = Fleet::new();
    let (first, stranger) = (fleet.signer(""), fleet.signer(""));
    let second = fleet.reader(&first);
    first.build("a").ends(0);
    stranger.build("a").ends(0);
    second.run("remote pull --bundle r1").ends(3).says("no bundle of this name");
    stranger.out("remote push --all --bundle r1");
    second.run("remote pull --bundle r1").ends(4).says("the bundle is not believed");
    second.run("remote prefetch --bundle r1").ends(4);
    // Its entry neither: a listing names it, and nothing of it is used.
    let said = second.out("remote pull");
    assert!(said.contains("0 fetched") && said.contains("1 not there, or of nobody"), "{said}");
    first.out("remote push --all --bundle r1");
    let bundle = fleet.file("/bundle/r1");
    let mut bytes = fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    second.run("remote pull --bundle r1").ends(4);
    assert_eq!(second.out("ls").lines().count(), 1);
}

#[test]
fn an_object_that_is_wrong_is_damage_and_one_that_is_gone_too() {
    let fleet = Fleet::new();
    let first = fleet.signer("");
    let second = fleet.reader(&first);
    first.build("a").ends(0);
    first.out("remote push --all --bundle r1");
    let object = fleet.file("/cas/");
    fs::write(&object, "\x7fELF evil").unwrap();
    second.run("remote pull --bundle r1").ends(4).says("not there or not right");
    fs::remove_file(object).unwrap();
    second.run("remote pull --bundle r1").ends(4);
    assert_eq!(second.out("ls").lines().count(), 1);
}

#[test]
fn who_has_no_key_cannot_push() {
    let fleet = Fleet::new();
    let first = fleet.publisher();
    let reader = fleet.reader(&first);
    reader.build("a").ends(0);
    reader.run("remote push --all").ends(1).says("has no [publish]");
    fs::remove_file(first.config("key")).unwrap();
    first.build("b").ends(0).says("warning: there is no tier").says("there is no file");
    first.run("remote push --all").ends(1).says("there is no file");
}

#[test]
fn wrong_flags_end_with_2() {
    let fleet = Fleet::new();
    let machine = fleet.signer("");
    for words in [
        "remote",
        "remote unknown",
        "remote status extra",
        "remote push --all --label x",
        "remote push --all abcd1234",
        "remote push --bundle r1",
        "remote push --bundle ../r1 --all",
        "remote push --unknown",
        "remote pull extra",
        "remote pull --bundle",
        "remote prefetch",
        "remote prefetch abc",
        "remote doctor --fix --rules",
        "remote doctor --fixx",
        "remote gc --force",
        "key unknown",
        "key -s a.c show",
        "key trust",
        "key trust zz",
        "key revoke zz",
        "key new a b",
        "key trust --namespace UPPER 00",
    ] {
        machine.run(words).ends(2);
    }
    machine.run("remote --help").ends(0);
}

#[test]
fn a_bundle_that_would_lack_an_entry_is_not_published() {
    let fleet = Fleet::new();
    let first = fleet.signer("");
    for name in ["a", "b"] {
        first.build(name).ends(0);
    }
    let object = first.out("path -s b.c -- ./tool b.c b.so");
    let object = std::path::Path::new(object.trim_end());
    fs::remove_file(object).unwrap();
    let said = first.run("remote push --all --bundle r1");
    said.ends(1).says("was not brought").says("the bundle r1 was not published");
    assert!(said.out.contains("brought 1 of 2 entries"), "{said:?}");
    let second = fleet.reader(&first);
    second.run("remote pull --bundle r1").ends(3);
    assert!(second.out("remote pull").contains("1 entry: 1 fetched"));
}
