//! ARCHITECTURE.md against the tree: the files, functions and tests that it names exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// All Rust source below a directory, as one text.
fn source_below(dir: &Path, text: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_below(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// What stands between backticks in a piece of one line.
fn quoted(piece: &str) -> impl Iterator<Item = &str> {
    piece.split('`').skip(1).step_by(2)
}

fn exists(place: &str) -> bool {
    let below = |dir: &str| -> PathBuf { root().join(dir).join(place) };
    below("").exists() || below("src").exists() || below("tests/it").exists()
}

#[test]
fn every_file_that_the_architecture_names_exists() {
    let document = document();
    // Fenced drawings hold no file names.
    let prose = document.split("```").step_by(2);
    let names = prose.flat_map(str::lines).flat_map(quoted);
    let is_path = |name: &&str| name.ends_with(".rs") || (name.starts_with("src/") && name.ends_with('/'));
    // The short names in the code map stand behind the directory that they are in.
    let known = |name: &str| {
        let dirs = ["src/fs/os", "src/fs", "src/config", "src/format", "src/sources", "src/objects"];
        let more = ["src/manifest", "src/store", "src/sweep", "capi", "remote", "remote/src"];
        exists(name) || dirs.iter().chain(&more).any(|dir| root().join(dir).join(name).exists())
    };
    let missing: Vec<_> = names.filter(is_path).filter(|name| !known(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_invariant_is_listed_with_tests_that_exist() {
    let mut source = String::new();
    source_below(&root().join("src"), &mut source);
    source_below(&root().join("tests"), &mut source);
    let document = document();
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| I"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let numbers: Vec<_> = rows.iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(numbers, (1..=20).map(|number| format!("I{number}")).collect::<Vec<_>>());
    for row in rows {
        for test in quoted(row[4]) {
            assert!(source.contains(&format!("fn {test}(")), "{}: no test {test}", row[0]);
        }
        for function in quoted(row[3]).filter_map(|name| name.rsplit_once("::").map(|(_, last)| last)) {
            let is_there = [format!("fn {function}("), format!("fn {function}<"), format!("{function},")];
            assert!(is_there.iter().any(|text| source.contains(text)), "{}: no {function}", row[0]);
        }
    }
}
