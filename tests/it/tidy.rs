//! Rules over the source tree that no compiler knows: which module may import which, who alone may use a
//! dependency, where unsafe code and file names stand.
//!
//! A rule is red in the test over the real tree, and each has a test that plants a violation and sees it go
//! red. To change a rule, change the constant here, the table in ARCHITECTURE.md, and say why in the commit.

mod scan;

use scan::Scan;
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

/// A module directly below `src/`, its floor, and the modules whose items it may name.
struct Row {
    floor: u8,
    module: &'static str,
    imports: &'static [&'static str],
}

const fn row(floor: u8, module: &'static str, imports: &'static [&'static str]) -> Row {
    Row { floor, module, imports }
}

/// Everything that floor 2 stands on.
const BELOW_2: &[&str] =
    &["planted", "digest", "fs", "config", "error", "layout", "format", "retention", "elf", "sync"];

/// Everything that floor 3 stands on.
#[rustfmt::skip]
const BELOW_3: &[&str] = &[
    "planted", "digest", "fs", "config",
    "error", "layout", "format", "retention", "elf", "sync",
    "sources", "exec", "objects", "manifest", "flight",
];

/// Everything that floor 4 stands on.
#[rustfmt::skip]
const BELOW_4: &[&str] = &[
    "planted", "digest", "fs", "config",
    "error", "layout", "format", "retention", "elf", "sync",
    "sources", "exec", "objects", "manifest", "flight",
    "sweep", "scrub",
];

/// The floors. No module imports one of a higher floor; on one floor they do not know each other, but for
/// `config`, which asks `fs` whether the environment may be trusted. `lib` may name all of them.
const FLOORS: [Row; 18] = [
    row(0, "planted", &[]),
    row(0, "digest", &[]),
    row(0, "fs", &["planted"]),
    row(0, "config", &["fs"]),
    row(0, "sync", &[]),
    row(1, "error", &["digest", "fs", "config"]),
    row(1, "layout", &["digest"]),
    row(1, "format", &["planted", "digest"]),
    row(1, "retention", &[]),
    row(1, "elf", &["fs"]),
    row(2, "sources", BELOW_2),
    row(2, "exec", BELOW_2),
    row(2, "objects", BELOW_2),
    row(2, "manifest", BELOW_2),
    row(2, "flight", BELOW_2),
    row(3, "sweep", BELOW_3),
    row(3, "scrub", BELOW_3),
    row(4, "store", BELOW_4),
];

/// A dependency, and the beginning of the paths of the only files that may name it.
const SOLE_USERS: [(&str, &str); 5] = [
    ("blake3", "digest.rs"),
    ("rustix", "fs/os"),
    ("memmap2", "fs/map.rs"),
    ("postcard", "format/"),
    ("xxhash_rust", "format/"),
];

/// The only files with unsafe code: a mapping of ours, and the one that is handed out.
const UNSAFE_FILES: [&str; 2] = ["fs/map.rs", "store/output.rs"];

/// The only file that spells the names below.
const NAMES_FILE: &str = "layout.rs";

/// What the crate calls its files. Two spellings of one name are two stores.
const NAMES: [&str; 7] = ["objects", "staging", "quarantine", "inflight", "log.", "seg.", "CACHEDIR.TAG"];

/// About 400 is the house's measure; beyond this a file is two files.
const LINES_MAX: usize = 500;

/// What is looked at: the files of `src/` by their paths in it, and ARCHITECTURE.md.
struct Tree {
    files: BTreeMap<String, String>,
    architecture: String,
}

impl Tree {
    fn of_this_repository() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = BTreeMap::new();
        collect(&root.join("src"), "", &mut files);
        Tree { files, architecture: fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default() }
    }

    /// A tree that breaks no rule, with one more file.
    fn with(path: &str, text: &str) -> Tree {
        let files = [("digest.rs", "//! Digests.\n"), (path, text)];
        Tree {
            files: files.map(|(path, text)| (path.into(), text.into())).into(),
            architecture: floors_table(),
        }
    }
}

fn collect(dir: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), files);
        } else if path.ends_with(".rs") {
            files.insert(path, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// The table as ARCHITECTURE.md shows it.
fn floors_table() -> String {
    let mut table = String::from("| floor | module | may import |\n|---|---|---|\n");
    for Row { floor, module, imports } in &FLOORS {
        let imports: Vec<_> = imports.iter().map(|import| format!("`{import}`")).collect();
        let imports = if imports.is_empty() { "nothing".into() } else { imports.join(" ") };
        writeln!(table, "| {floor} | `{module}` | {imports} |").unwrap();
    }
    table
}

/// Every violation, as `path:line: what is wrong`.
fn check(tree: &Tree) -> Vec<String> {
    let scans: Vec<Scan> = tree.files.iter().map(|(path, text)| Scan::of(path, text)).collect();
    let test_modules: Vec<_> = scans.iter().flat_map(|scan| &scan.test_modules).collect();
    let is_test = |scan: &Scan| test_modules.iter().any(|module| scan.module_path().starts_with(module));
    let mut wrong = Vec::new();
    for (scan, text) in scans.iter().zip(tree.files.values()) {
        check_file(scan.path, text, &mut wrong);
        if !is_test(scan) {
            check_imports(scan, &mut wrong);
            check_names(scan, &mut wrong);
        }
    }
    if !tree.architecture.contains(&floors_table()) {
        wrong.push(format!("ARCHITECTURE.md:1: its table of floors should be\n{}", floors_table()));
    }
    wrong
}

fn check_file(path: &str, text: &str, wrong: &mut Vec<String>) {
    if !text.starts_with("//!") {
        wrong.push(format!("{path}:1: does not begin with `//!`"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        wrong.push(format!("{path}:{lines}: longer than {LINES_MAX} lines"));
    }
}

fn check_imports(scan: &Scan, wrong: &mut Vec<String>) {
    let module = scan.module();
    if module == "lib" {
        return;
    }
    let Some(row) = FLOORS.iter().find(|row| row.module == module) else {
        wrong.push(format!("{}:1: the module {module} has no floor", scan.path));
        return;
    };
    for (line, target) in &scan.imports {
        let known = FLOORS.iter().any(|row| row.module == target);
        if !known {
            let path = scan.path;
            wrong.push(format!("{path}:{line}: names {target} of the crate root: name the module it is in"));
        } else if target != module && !row.imports.contains(&target.as_str()) {
            wrong.push(format!("{}:{line}: {module} may not import {target}", scan.path));
        }
    }
}

fn check_names(scan: &Scan, wrong: &mut Vec<String>) {
    for (line, word) in &scan.words {
        if let Some((_, files)) = SOLE_USERS.iter().find(|(user, files)| user == word && !scan.is_in(files)) {
            wrong.push(format!("{}:{line}: only {files} may use {word}", scan.path));
        }
        if word == "unsafe" && !UNSAFE_FILES.contains(&scan.path) {
            wrong.push(format!("{}:{line}: no unsafe code in this file", scan.path));
        }
    }
    for (line, text) in &scan.texts {
        let name = NAMES.iter().find(|name| scan::spells(text, name));
        if let Some(name) = name.filter(|_| scan.path != NAMES_FILE) {
            wrong.push(format!("{}:{line}: only {NAMES_FILE} may spell {name:?}", scan.path));
        }
    }
}

/// The single violation in a tree with this file.
#[track_caller]
fn red(path: &str, text: &str) -> String {
    let wrong = check(&Tree::with(path, &format!("//! Doc.\n{text}\n")));
    assert_eq!(wrong.len(), 1, "{path}: {text}: {wrong:?}");
    wrong.concat()
}

#[track_caller]
fn green(path: &str, text: &str) {
    let wrong = check(&Tree::with(path, &format!("//! Doc.\n{text}\n")));
    assert_eq!(wrong, [""; 0], "{path}: {text}");
}

#[test]
fn the_source_tree_keeps_every_rule() {
    let wrong = check(&Tree::of_this_repository());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn a_floor_names_only_what_stands_before_it() {
    for (place, row) in FLOORS.iter().enumerate() {
        for import in row.imports {
            let below = FLOORS[..place].iter().any(|other| other.module == *import);
            assert!(below, "{} imports {import}", row.module);
        }
    }
    let imports = |module: &str| FLOORS.iter().find(|row| row.module == module).unwrap().imports;
    assert!(!imports("objects").contains(&"manifest") && !imports("manifest").contains(&"objects"));
}

#[test]
fn an_import_against_the_floors_is_found_however_it_is_written() {
    let spellings = [
        "use crate::store::Store;",
        "use crate::{digest::{self, X}, store};",
        "use crate::{digest::X, store::{a::B, c}};",
        "use {std::io, crate::store::Store};",
        "pub(crate) use crate::store::*;",
        "fn f() -> crate::store::Store { todo() }",
        "fn f() { use crate::store; }",
        "macro_rules! m { () => { $crate::store::f() } }",
        "fn f() { call!(1, crate::store::f()) }",
        "mod a { mod b { use super::super::super::store::X; } }",
        "mod tests { use crate::store::X; }",
        "#[cfg(any(test, fuzzing))] mod sim { use crate::store::X; }",
    ];
    for spelling in spellings {
        assert!(red("layout.rs", spelling).contains("layout may not import store"), "{spelling}");
    }
    assert!(red("fs/os/deep.rs", "use super::super::super::error::X;").contains("fs may not import error"));
    assert!(red("fs/mod.rs", "use super::error::X;").contains("fs may not import error"));
}

#[test]
fn an_import_that_the_floors_allow_is_no_violation() {
    let allowed = [
        ("objects/stage.rs", "use crate::{digest::X, fs::{self, Dir}, objects::open};\nuse super::open::Y;"),
        ("objects/mod.rs", "mod a { use super::b; use super::super::fs::X; }\nuse self::a::X;"),
        (
            "store/output.rs",
            "use crate::{manifest::X, objects::Y, sweep::Z};\npub(in crate::store) fn f() {}",
        ),
        ("lib.rs", "mod store;\npub use crate::store::Store;\npub use digest::ObjectDigest;"),
        ("layout.rs", "// crate::store::X\nconst X: &str = \"crate::store::X\";"),
        ("layout.rs", "/// See [`crate::store::Store`].\npub(crate) fn f() {}"),
        ("layout.rs", "#[cfg(test)]\n#[expect(unused)]\npub(crate) mod tests { use crate::store::X; }"),
    ];
    for (path, text) in allowed {
        green(path, text);
    }
}

#[test]
fn a_test_module_in_a_file_of_its_own_may_import_anything() {
    let mut tree = Tree::with("layout/mod.rs", "//! Doc.\n#[cfg(test)]\nmod tests;\n");
    tree.files.insert("layout/tests.rs".into(), "//! Doc.\nuse crate::store::X;\n".into());
    assert_eq!(check(&tree), [""; 0]);
    tree.files.insert("layout/mod.rs".into(), "//! Doc.\nmod tests;\n".into());
    assert_eq!(check(&tree), ["layout/tests.rs:2: layout may not import store"]);
}

#[test]
fn objects_and_manifest_must_not_know_each_other() {
    assert!(red("objects/mod.rs", "use crate::manifest::X;").contains("objects may not import manifest"));
    assert!(red("manifest/log.rs", "use crate::objects::X;").contains("manifest may not import objects"));
}

#[test]
fn an_item_is_named_where_it_is_defined_and_not_at_the_crate_root() {
    assert!(red("sweep.rs", "use crate::Store;").contains("names Store of the crate root"));
    assert!(red("sweep.rs", "use super::*;").contains("names * of the crate root"));
}

#[test]
fn a_module_without_a_floor_is_found() {
    assert!(red("helpers.rs", "").contains("the module helpers has no floor"));
}

#[test]
fn a_second_user_of_a_dependency_is_found() {
    assert!(red("objects/mod.rs", "use blake3::Hasher;").contains("only digest.rs may use blake3"));
    assert!(red("fs/mod.rs", "fn f() { rustix::fs::open() }").contains("only fs/os may use rustix"));
    assert!(red("fs/os.rs", "use memmap2::Mmap;").contains("only fs/map.rs may use memmap2"));
    assert!(red("manifest/log.rs", "use {postcard as p};").contains("only format/ may use postcard"));
    green("fs/os_files.rs", "use rustix::fs::open;");
    green("format/frame.rs", "use postcard::to_slice;");
}

#[test]
fn unsafe_code_in_another_file_is_found() {
    assert!(red("objects/mod.rs", "fn f() { unsafe { g() } }").contains("no unsafe code"));
    green("objects/mod.rs", "#![expect(unsafe_code)] // unsafe");
    green("fs/map.rs", "fn f() { unsafe { g() } }");
}

#[test]
fn a_name_on_disk_that_is_spelled_elsewhere_is_found() {
    for text in ["\"objects\"", "b\"staging\"", "r#\"v1/quarantine\"#", "\"inflight/x\"", "c\"CACHEDIR.TAG\""]
    {
        assert!(red("manifest/mod.rs", &format!("const X: Y = {text};")).contains("may spell"), "{text}");
    }
    assert!(red("manifest/mod.rs", "fn f() { format!(\"log.{n}\") }").contains("\"log.\""));
    assert!(red("manifest/mod.rs", "fn f() { format!(\"v1/seg.{a}-{b}\") }").contains("\"seg.\""));
    green("layout.rs", "const X: &str = \"objects\";");
    green("manifest/mod.rs", "/// The \"objects\".\nconst X: &str = \"no objects are in the log. None.\";");
}

#[test]
fn a_file_without_an_opening_word_is_found() {
    assert_eq!(check(&Tree::with("layout.rs", "use std::io;\n")), ["layout.rs:1: does not begin with `//!`"]);
}

#[test]
fn a_file_that_is_too_long_is_found() {
    green("layout.rs", &"\n".repeat(LINES_MAX - 2));
    assert!(red("layout.rs", &"\n".repeat(LINES_MAX)).contains("longer than"));
}

#[test]
fn a_table_of_floors_that_is_out_of_date_is_found() {
    let mut tree = Tree::with("layout.rs", "//! Doc.\n");
    tree.architecture = floors_table().replace("| 1 | `retention` | nothing |\n", "");
    assert_eq!(check(&tree).len(), 1);
}
