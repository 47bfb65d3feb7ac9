//! Damaged stores: found by `scrub`, mended by the next build or by `rebuild`, and never in the way of one.

use crate::common::{ONE, Place};
use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::PathBuf,
};

/// The only log of the store.
fn log(place: &Place) -> PathBuf {
    let listed = fs::read_dir(place.store().join("v1")).unwrap().map(|entry| entry.unwrap().path());
    let is_log = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("log.");
    listed.filter(is_log).max().unwrap()
}

fn damage(path: &PathBuf, at: u64) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"damage", at).unwrap();
}

#[test]
fn scrub_ends_with_4_if_it_finds_damage_and_with_0_once_it_is_mended() {
    let place = Place::with_entry();
    assert!(place.out("scrub").starts_with("right: 1 object with 10 B"));
    let path = place.out("path -s a.c -- ./tool a.c a.so");
    damage(&path.trim_end().into(), 0);
    let ended = place.run("scrub");
    ended.ends(4);
    assert!(ended.out.contains("damaged, and built anew"), "{ended:?}");
    // It was set aside: now it is missing, until somebody asks for it.
    place.run("scrub --json").ends(4);
    place.run(ONE).ends(0);
    assert_eq!(place.runs(), 2);
    assert_eq!(place.run("scrub").code, 0);
}

#[test]
fn scrub_in_parts_says_where_to_go_on() {
    let place = Place::new();
    for number in 0..6 {
        place.write("a.c", format!("{number}"));
        place.write("a.so", format!("library {number}"));
        place.out("put -s a.c a.so");
    }
    let (mut from, mut parts, mut checked) = (String::new(), 0, 0);
    loop {
        let json: serde_json::Value =
            serde_json::from_str(&place.out(&format!("scrub --json --max-bytes 20 {from}"))).unwrap();
        (parts, checked) = (parts + 1, checked + json["checked"].as_u64().unwrap());
        let Some(cursor) = json["cursor"].as_str() else { break };
        from = format!("--from {cursor}");
    }
    assert_eq!(checked, 6);
    assert!(parts >= 2, "{parts}");
    place.run("scrub --from none").ends(2);
}

#[test]
fn a_store_full_of_garbage_is_empty_for_builds_and_is_rebuilt() {
    let place = Place::with_entry();
    // The header: nothing of the log can be read.
    damage(&log(&place), 0);
    place.run("scrub").ends(4);
    place.run("path -s a.c -- ./tool a.c a.so").ends(3);
    let said = place.out("rebuild");
    assert!(
        said.contains("was damaged: log.") && said.ends_with("1 entry, 1 of them brought back\n"),
        "{said}"
    );
    place.out("path -s a.c -- ./tool a.c a.so");
    assert_eq!(place.run("scrub").code, 0);
    // And without that a build runs, and is stored.
    damage(&log(&place), 0);
    fs::write(place.store().join("v1/seg.1-1"), "garbage").unwrap();
    place.run(ONE).ends(0);
    place.run(ONE).ends(0);
    assert!(place.runs() <= 2);
}
