//! The golden store: `tests/data/golden-v1`, committed once, and opened by every later version.
//!
//! To make it anew, and with it the worked example of docs/format.md (allowed only until the format is frozen,
//! see CHANGELOG "Format"): `cargo test --test it -- --ignored golden::make_the_golden_store_anew`, and then
//! put the new digest into [`COMMITTED`].

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use plugcache::{__sim, Config, Exec, NO_OPTIONS, Outputs, Sources, Store, Toolchain};

use crate::format::{self, reader, root};

/// BLAKE3 over all committed files: path and content of each, in the order of the paths.
const COMMITTED: &str = "72ea27d0e30016ec6ae80143432fae40c460162c7aaccf54a7bdf06a701e2a22";

/// The working directory of a test is the root of the repository, so these paths are the same everywhere.
const GREET_C: &str = "/proc/self/cwd/tests/data/golden-sources/greet.c";
const GREET_H: &str = "/proc/self/cwd/tests/data/golden-sources/greet.h";

fn golden() -> PathBuf {
    root().join("tests/data/golden-v1")
}

fn host() -> Exec {
    Exec::Given(b"golden host 1".to_vec())
}

fn open(dir: &Path, exec: Exec, boot: u8, readonly: bool) -> Store {
    let config = Config::builder(dir).exec(exec).boot_id([boot; 16]).readonly(readonly);
    Store::open(config.build()).unwrap()
}

fn compiler() -> Toolchain {
    Toolchain::of_value("cc", "golden compiler 1")
}

/// Two sources that are files, options, hidden and shown values, a variable that is not set.
fn greet() -> Sources {
    let sources = Sources::new("golden/1", &compiler(), ["-O2", "-fPIC"]).file(GREET_C);
    let sources = sources.context("motd", "secret").context_shown("abi", "3");
    sources.env("PLUGCACHE_IS_NEVER_SET").label("the greeter").digest().unwrap()
}

/// Sources from memory, one with a name that is no UTF-8.
fn in_memory(name: &str) -> Sources {
    let odd = OsStr::from_bytes(b"\xff \n.c");
    Sources::new("golden/1", &compiler(), NO_OPTIONS).bytes(name, name).bytes(odd, "").digest().unwrap()
}

fn wasm() -> Sources {
    Sources::new("golden/wasm", &Toolchain::none(), NO_OPTIONS).bytes("a.wasm", "wasm").digest().unwrap()
}

/// Outputs by name and content.
type Named = Vec<(&'static str, &'static str)>;

/// Every entry that is in the golden store: whose, of which sources, and what its outputs hold.
fn entries() -> Vec<(Exec, Sources, Named)> {
    vec![
        (host(), greet(), vec![("greet.so", "GREET 1")]),
        (host(), in_memory("tool"), vec![("tool", "#!tool"), ("tool.map", "")]),
        (host(), in_memory("replaced"), vec![("out", "new")]),
        (host(), in_memory("late"), vec![("out", "LATE")]),
        (host(), in_memory("packed"), vec![("small", "PACKED"), ("file", "beside it")]),
        (Exec::Independent, wasm(), vec![("a.cwasm", "GREET 1")]),
    ]
}

/// All files below a directory, by their paths in it.
fn files_below(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let below = files_below(&entry.path());
            files.extend(below.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// A private copy: directories and files get the modes that a checkout may have lost.
fn copy_of(name: &str) -> tempfile::TempDir {
    let temp = tempfile::Builder::new().prefix(name).tempdir().unwrap();
    for (path, bytes) in files_below(&golden()) {
        let to = temp.path().join(&path);
        let mut dir = to.parent().unwrap();
        fs::create_dir_all(dir).unwrap();
        while dir != temp.path() {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
            dir = dir.parent().unwrap();
        }
        fs::write(&to, bytes).unwrap();
        let mode = if path.contains("objects/") { 0o444 } else { 0o600 };
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
    }
    temp
}

#[track_caller]
fn check(dir: &Path, boot: u8, readonly: bool) {
    for (exec, sources, outputs) in entries() {
        let store = open(dir, exec, boot, readonly);
        let artifact = store.find(&sources).unwrap_or_else(|| panic!("{} is missing", sources.label()));
        let found: Vec<_> = artifact
            .outputs()
            .map(|output| (output.name().to_str().unwrap().to_owned(), output.read_verified().unwrap()))
            .collect();
        let expected: Vec<_> =
            outputs.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.as_bytes().to_vec())).collect();
        assert_eq!(found, expected);
        assert_eq!(artifact.sources(), &sources);
    }
    let store = open(dir, host(), boot, readonly);
    assert!(store.find(&in_memory("dropped")).is_none());
    let labels: Vec<_> = store.entries().map(|entry| entry.label().to_owned()).collect();
    assert_eq!(labels, ["the greeter", "tool", "replaced", "late", "packed", "a.wasm"]);
}

#[test]
fn the_golden_store_is_found_entry_by_entry_read_only_and_writable_and_after_a_compaction() {
    let temp = copy_of("read");
    let before = files_below(temp.path());
    check(temp.path(), 1, true);
    assert_eq!(files_below(temp.path()), before, "a store that is only read stays as it was");
    check(temp.path(), 1, false);
    check(temp.path(), 1, false);
    let store = open(temp.path(), host(), 1, false);
    let again = store.add(&in_memory("dropped"), Outputs::bytes("out", "again")).unwrap();
    assert_eq!(again, plugcache::Added::Stored, "missing directories are made");
    assert_eq!(store.forget(&in_memory("dropped").digest()).unwrap(), 1);
    assert!(__sim::compact(&store));
    check(temp.path(), 2, false);
}

#[test]
fn damaged_items_of_a_segment_hide_no_entry_and_lose_none_in_a_compaction() {
    let right = fs::read(golden().join("v1/seg.1-1")).unwrap();
    let segment = reader::Segment::open(&right, 1, 1).unwrap();
    let (first, len) = (segment.footer.items_at as usize, segment.footer.items_len as usize);
    assert!(len > 0, "the golden segment has strings that several entries share");
    for copy in [first, first + len] {
        let (temp, mut bytes) = (copy_of("items"), right.clone());
        bytes[copy..copy + len].fill(0x41);
        fs::write(temp.path().join("v1/seg.1-1"), bytes).unwrap();
        check(temp.path(), 1, true);
        assert!(__sim::compact(&open(temp.path(), host(), 1, false)));
        check(temp.path(), 1, true);
    }
}

#[test]
fn verifying_always_writes_nothing_as_long_as_nothing_changed() {
    let temp = copy_of("always");
    let always = Config::builder(temp.path()).exec(host()).boot_id([1; 16]).verify(plugcache::Verify::Always);
    let store = Store::open(always.build()).unwrap();
    assert!(store.find(&greet()).is_some(), "hashed in this boot for the first time: this is recorded");
    let before = fs::read(temp.path().join("v1/log.2")).unwrap();
    for _ in 0..3 {
        assert!(store.find(&greet()).is_some());
    }
    assert!(fs::read(temp.path().join("v1/log.2")).unwrap() == before);
}

#[test]
fn the_golden_store_is_what_the_reader_of_the_document_finds() {
    let found = reader::entries_of(&golden().join("v1"));
    let expected = entries();
    let order =
        |put: &reader::Put| expected.iter().position(|(_, s, _)| *s.digest().as_bytes() == put.source);
    assert_eq!(
        found.iter().map(order).collect::<Vec<_>>(),
        (0..expected.len()).map(Some).collect::<Vec<_>>()
    );
    for (put, (_, sources, outputs)) in found.iter().zip(&expected) {
        assert_eq!(put.label, sources.label());
        for (output, (name, bytes)) in put.outputs.iter().zip(outputs) {
            let digest = blake3::hash(bytes.as_bytes());
            assert_eq!((output.name.as_slice(), output.object), (name.as_bytes(), *digest.as_bytes()));
            if let Some(packed) = &output.packed {
                assert_eq!(packed, bytes.as_bytes());
                continue;
            }
            let hex = digest.to_hex();
            let path = golden().join(format!("v1/objects/{}/{}", &hex[..2], &hex[2..]));
            assert_eq!(fs::read(path).unwrap(), bytes.as_bytes());
        }
    }
    let greet = found[0].details.as_ref().unwrap();
    let header = fs::read(GREET_H).unwrap();
    assert_eq!(greet.discovered, [(GREET_H.into(), *blake3::hash(&header).as_bytes())]);
    assert_eq!(greet.parts[0].path.as_deref(), Some(GREET_C.as_bytes()));
    let pieces = [&(GREET_H.len() as u64).to_le_bytes()[..], GREET_H.as_bytes(), &greet.discovered[0].1];
    let id = blake3::derive_key("plugcache 2026-11-23 discovered inputs v1", &pieces.concat());
    assert_eq!(found[0].discovered_id, id[..16]);
    assert!(found[1].outputs[0].executable && !found[1].outputs[1].executable);
}

#[test]
fn the_golden_store_is_committed_unchanged() {
    let mut hash = blake3::Hasher::new();
    for (path, bytes) in files_below(&golden()) {
        for field in [path.as_bytes(), &bytes] {
            hash.update(&(field.len() as u64).to_le_bytes()).update(field);
        }
    }
    assert_eq!(hash.finalize().to_hex().as_str(), COMMITTED);
}

#[test]
#[ignore = "writes tests/data/golden-v1 and the worked example of docs/format.md anew"]
fn make_the_golden_store_anew() {
    let (store, example) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make_store(store.path());
    // Fails if there is none, which is as good.
    let _ = fs::remove_dir_all(golden());
    for (path, bytes) in files_below(store.path()) {
        let to = golden().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
    let (log, segment) = make_example(example.path());
    let mut text = fs::read_to_string(format::document()).unwrap();
    for (mark, content) in [
        ("log dump", format::hexdump(&log)),
        ("log listing", format::listing_of_log(&log)),
        ("segment dump", format::hexdump(&segment)),
        ("segment listing", format::listing_of_segment(&segment)),
    ] {
        text = format::with_marked(&text, mark, &content);
    }
    fs::write(format::document(), text).unwrap();
}

fn make_store(dir: &Path) {
    let store = open(dir, host(), 0x42, false);
    let built = store.get_or_build(&greet(), |build| {
        build.also_read(GREET_H);
        build.write("greet.so", "GREET 1")
    });
    assert_eq!(built.unwrap().how, plugcache::How::Built);
    let tool = store.get_or_build(&in_memory("tool"), |build| {
        build.write("tool", "#!tool")?;
        let path = build.output("tool");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        build.write("tool.map", "")
    });
    assert_eq!(tool.unwrap().how, plugcache::How::Built);
    let add = |store: &Store, sources: &Sources, outputs| {
        assert_eq!(store.add(sources, outputs).unwrap(), plugcache::Added::Stored);
    };
    add(&store, &in_memory("replaced"), Outputs::bytes("out", "old"));
    add(&store, &in_memory("dropped"), Outputs::bytes("out", "dropped"));
    assert!(__sim::compact(&store));
    add(&store, &in_memory("replaced"), Outputs::bytes("out", "new"));
    assert_eq!(store.forget(&in_memory("dropped").digest()).unwrap(), 1);
    add(&store, &in_memory("late"), Outputs::bytes("out", "LATE"));
    let small = Outputs::packed("small", "PACKED").and_bytes("file", "beside it");
    add(&store, &in_memory("packed"), small);
    // After another boot the object is hashed again, and a TOUCH says so.
    assert!(open(dir, host(), 0x43, false).find(&greet()).is_some());
    add(&open(dir, Exec::Independent, 0x43, false), &wasm(), Outputs::bytes("a.cwasm", "GREET 1"));
}

/// A log with a record of every kind, sealed, and the segment that replaced it.
fn make_example(dir: &Path) -> (Vec<u8>, Vec<u8>) {
    let compiler = Toolchain::of_value("cc", "example compiler 1");
    let of = |name: &str, text: &str| {
        let sources = Sources::new("example/1", &compiler, ["-O2"]).bytes(name, text);
        sources.context("motd", "secret").digest().unwrap()
    };
    let store = open(dir, Exec::Independent, 0x42, false);
    for (name, text, output) in [("greet.c", "hello", "HELLO"), ("other.c", "bye", "BYE")] {
        let added = store.add(&of(name, text), Outputs::bytes("greet.so", output));
        assert_eq!(added.unwrap(), plugcache::Added::Stored);
    }
    drop(store);
    let later = open(dir, Exec::Independent, 0x43, false);
    assert!(later.find(&of("greet.c", "hello")).is_some());
    assert_eq!(later.forget(&of("other.c", "bye").digest()).unwrap(), 1);
    // What it has counted.
    later.close();
    let later = open(dir, Exec::Independent, 0x43, false);
    // Compaction seals the log and unlinks it: an open file keeps its bytes.
    let mut open_log = fs::File::open(dir.join("v1/log.1")).unwrap();
    assert!(__sim::compact(&later));
    let mut log = Vec::new();
    open_log.read_to_end(&mut log).unwrap();
    (log, fs::read(dir.join("v1/seg.1-1")).unwrap())
}
