//! `export` and `import`: entries on their way to another store.

use crate::common::{Ended, Place};
use std::{fs, process::Command, time::Duration};

fn place_with(count: usize) -> Place {
    let place = Place::new();
    for number in 0..count {
        place.write(&format!("p{number}.c"), format!("source {number}"));
        place.write("artifact", format!("library {number}").repeat(1 + 20_000 * number));
        place.out(&format!("put -s p{number}.c artifact"));
    }
    place
}

/// The command on another store.
fn other(place: &Place, words: &str) -> Ended {
    Ended::of(place.command(words).env("PLUGCACHE_DIR", place.beside("other")))
}

#[test]
fn what_was_exported_is_imported_elsewhere_and_found_there() {
    let place = place_with(3);
    assert_eq!(place.out("export layer"), "exported 3 entries\n");
    assert_eq!(other(&place, "import layer").out, "imported 3 entries\n");
    assert_eq!(other(&place, "import layer").out, "imported 0 entries\n");
    other(&place, "path -s p2.c").ends(0);
    // Another store is as good as an export.
    let third =
        Ended::of(place.command("import").arg(place.store()).env("PLUGCACHE_DIR", place.beside("third")));
    assert_eq!((third.code, third.out.as_str()), (0, "imported 3 entries\n"));
}

#[test]
fn only_the_labels_that_are_named_are_exported() {
    let place = place_with(3);
    assert_eq!(place.out("export layer --label p1.c"), "exported 1 entry\n");
    other(&place, "import layer").ends(0);
    other(&place, "path -s p1.c").ends(0);
    other(&place, "path -s p2.c").ends(3);
}

#[test]
fn a_directory_in_use_and_one_that_is_no_store_are_refused() {
    let place = place_with(1);
    fs::create_dir(place.path("full")).unwrap();
    place.write("full/file", "x");
    place.run("export full").ends(1).says("is not empty");
    assert_eq!(fs::read_dir(place.path("full")).unwrap().count(), 1);
    place.run("import none").ends(1).says("none");
    fs::create_dir(place.path("empty")).unwrap();
    assert_eq!(place.out("export empty"), "exported 1 entry\n");
}

#[test]
fn an_interrupted_export_leaves_nothing() {
    let place = place_with(24);
    let listed = || fs::read_dir(place.path("")).unwrap().count();
    let before = listed();
    let mut ended_early = 0;
    for round in 0..12 {
        let mut child = place.command("export layer").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(2 + 3 * round));
        let _ = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
        if child.wait().unwrap().success() {
            other(&place, "import layer").ends(0);
            fs::remove_dir_all(place.path("layer")).unwrap();
        } else {
            ended_early += 1;
        }
        assert_eq!(listed(), before, "round {round}");
    }
    assert!(ended_early > 0);
}
