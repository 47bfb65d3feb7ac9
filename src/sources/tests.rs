//! Rules 1 and 2 of the behaviour owed, and what else hosts may rely on: each statement a test.
#![expect(clippy::disallowed_methods, reason = "these tests make and change files behind the back of fs")]

use super::{memo::Memo, *};
use crate::digest::to_hex;
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    process::Command,
    time::{Duration, Instant},
};

/// Sources of parts given as bytes.
fn of(parts: &[(&[u8], &[u8])]) -> Sources {
    let start = Sources::new("kind", &Toolchain::none(), NO_OPTIONS);
    let builder =
        parts.iter().fold(start, |builder, (name, content)| builder.bytes(OsStr::from_bytes(name), content));
    builder.digest().unwrap()
}

fn builder() -> SourcesBuilder {
    Sources::new("kind", &Toolchain::none(), NO_OPTIONS)
}

fn of_files<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Sources, SourcesError> {
    builder().files(paths).digest()
}

fn file(dir: &Path, name: &[u8], content: &[u8]) -> PathBuf {
    let path = dir.join(OsStr::from_bytes(name));
    fs::write(&path, content).unwrap();
    path
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn all_differ(sources: &[Sources]) {
    let mut names = BTreeMap::new();
    for (at, sources) in sources.iter().enumerate() {
        if let Some(other) = names.insert(sources.digest(), at) {
            panic!("{other} and {at} have one key");
        }
    }
}

#[test]
fn another_order_multiplicity_name_or_byte_is_another_key() {
    let (a, b) = ((&b"a.c"[..], &b"1"[..]), (&b"b.c"[..], &b"2"[..]));
    all_differ(&[
        of(&[]),
        of(&[a]),
        of(&[a, a]),
        of(&[a, b]),
        of(&[b, a]),
        of(&[a, b, b]),
        of(&[(b"A.c", b"1")]),
        of(&[(b"a.c", b"3")]),
        of(&[(b"a.c", b"1\0")]),
        of(&[(b"a.c", b"")]),
        of(&[(b"", b"1")]),
    ]);
}

#[test]
fn kind_toolchain_options_context_and_environment_are_in_the_key() {
    let toolchain = |name: &str, value: &str| Toolchain::of_value(name, value);
    let start = || Sources::new("kind", &toolchain("cc", "1"), ["-O2", "-g"]).bytes("a.c", "x");
    let with = |kind: &str, toolchain: &Toolchain, options: &[&str]| {
        Sources::new(kind, toolchain, options).bytes("a.c", "x").digest().unwrap()
    };
    let one = toolchain("cc", "1");
    all_differ(&[
        start().digest().unwrap(),
        with("kin", &one, &["-O2", "-g"]),
        with("kind", &toolchain("cc", "2"), &["-O2", "-g"]),
        with("kind", &toolchain("c", "1"), &["-O2", "-g"]),
        with("kind", &Toolchain::none(), &["-O2", "-g"]),
        with("kind", &one, &["-g", "-O2"]),
        with("kind", &one, &["-O2-g"]),
        with("kind", &one, &["-O2", "-g", ""]),
        with("kind", &one, &["-O2 -g"]),
        with("kind", &one, &[]),
        start().context("abi", "1").digest().unwrap(),
        start().context("abi", "2").digest().unwrap(),
        start().context("ab", "i1").digest().unwrap(),
        start().context("abi", "1").context("x", "2").digest().unwrap(),
        start().context("x", "2").context("abi", "1").digest().unwrap(),
        start().env("PATH").digest().unwrap(),
        start().env("PLUGCACHE_NEVER_SET").digest().unwrap(),
        start().context("PATH", std::env::var("PATH").unwrap()).digest().unwrap(),
    ]);
}

#[test]
fn directory_mtime_size_on_disk_and_mode_are_not_in_the_key() {
    let (one, two) = (dir(), dir());
    let first = of_files([file(one.path(), b"a.c", b"int x;")]).unwrap();
    let path = file(two.path(), b"a.c", b"int x;");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    fs::File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let second = of_files([path]).unwrap();
    assert_eq!(first, second);
    assert_ne!(first.parts().next().unwrap().path, second.parts().next().unwrap().path);
    assert_eq!(first, of(&[(b"a.c", b"int x;")]), "nor is where the bytes came from");
}

#[test]
fn names_keep_their_bytes() {
    let dir = dir();
    let long = [b'n'; 255];
    for name in [&b"not \xff\xfe utf-8"[..], b"two\nlines", b" ", b"-o", &long, b"\xc3"] {
        let path = file(dir.path(), name, b"x");
        let sources = of_files([&path]).unwrap();
        let part = sources.parts().next().unwrap();
        assert_eq!((part.name.as_bytes(), part.path), (name, Some(path.as_path())));
        assert_eq!(sources, of(&[(name, b"x")]));
        let back = Sources::from_recipe(sources.to_recipe(), sources.label().to_owned());
        assert!(back.parts().eq(sources.parts()));
    }
    assert_ne!(of(&[(b"\xff", b"")]), of(&[(b"\xfe", b"")]));
}

#[test]
fn a_link_counts_under_its_own_name_with_the_content_of_its_target() {
    let dir = dir();
    file(dir.path(), b"target.c", b"int x;");
    let link = dir.path().join("link.c");
    symlink("target.c", &link).unwrap();
    let sources = of_files([&link]).unwrap();
    assert_eq!(sources, of(&[(b"link.c", b"int x;")]));
    assert_eq!(sources.parts().next().unwrap().path, Some(link.as_path()), "recorded unresolved");
}

#[test]
fn recorded_paths_are_absolute() {
    let sources = of_files(["src/lib.rs"]).unwrap();
    let expected = std::env::current_dir().unwrap().join("src/lib.rs");
    assert_eq!(sources.parts().next().unwrap().path, Some(expected.as_path()));
    assert_eq!(sources.parts().next().unwrap().name, "lib.rs");
}

#[test]
fn every_bad_file_is_named_in_order_and_none_is_waited_for() {
    let dir = dir();
    let at = |name: &str| dir.path().join(name);
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    let _socket = UnixListener::bind(at("socket")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    let good = file(dir.path(), b"good.c", b"");
    let paths = [
        at("none"),
        good.clone(),
        dir.path().to_path_buf(),
        at("fifo"),
        at("socket"),
        "/dev/null".into(),
        at("dangling"),
        good.join("below"),
        at("loop"),
        "".into(),
        at("nul\0"),
    ];
    let started = Instant::now();
    let error = of_files(&paths).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2));
    let kinds: Vec<_> = error.bad.iter().map(|bad| (bad.path.clone(), format!("{:?}", bad.why))).collect();
    let expected = [
        (0, "Missing"),
        (2, "NotAFile(\"a directory\")"),
        (3, "NotAFile(\"a FIFO\")"),
        (4, "NotAFile(\"a socket\")"),
        (5, "NotAFile(\"a device\")"),
        (6, "Missing"),
        (7, "Missing"),
        (8, "Unreadable(Os { code: 40"),
        (9, "Missing"),
        (10, "Unreadable("),
    ];
    assert_eq!(kinds.len(), expected.len(), "{kinds:?}");
    for ((path, kind), (at, begins)) in kinds.iter().zip(expected) {
        assert!(*path == paths[at] && kind.starts_with(begins), "{path:?}: {kind}, not {begins}");
    }
    let text = error.to_string();
    assert_eq!(text.lines().count(), expected.len());
    assert!(
        paths.iter().filter(|path| **path != good).all(|path| text.contains(&format!("{path:?}"))),
        "{text}"
    );
}

#[test]
fn an_unreadable_file_is_named_with_the_cause() {
    // Root reads everything but what the kernel itself refuses.
    let path = Path::new("/proc/self/mem");
    let error = ObjectDigest::of_file(path).unwrap_err();
    assert_eq!(error.path, path);
    assert!(matches!(error.why, BadSourceKind::Unreadable(_) | BadSourceKind::Changing), "{error:?}");
}

#[test]
fn the_message_of_an_error_does_not_repeat_its_source() {
    let error =
        BadSource { path: "/x".into(), why: BadSourceKind::Unreadable(std::io::Error::other("the cause")) };
    assert!(!error.why.to_string().contains("the cause"));
    let cause = std::error::Error::source(&error.why).unwrap().to_string();
    assert_eq!(cause, "the cause");
    let all = SourcesError { bad: vec![error] }.to_string();
    assert_eq!(all.matches("the cause").count(), 1, "{all}");
}

#[test]
fn many_files_give_the_digest_that_they_give_one_by_one() {
    let dir = dir();
    let names: Vec<_> = (0..200).map(|at| format!("{at}.c")).collect();
    let content = |at: usize| vec![at as u8; at * 97];
    let paths: Vec<_> =
        names.iter().enumerate().map(|(at, name)| file(dir.path(), name.as_bytes(), &content(at))).collect();
    let contents: Vec<_> = (0..200).map(content).collect();
    let parts: Vec<_> =
        names.iter().zip(&contents).map(|(name, text)| (name.as_bytes(), text.as_slice())).collect();
    assert_eq!(of_files(&paths).unwrap(), of(&parts));
    let memo = Memo::default();
    for _ in 0..2 {
        assert_eq!(builder().files(&paths).digest_in(&Fs::Os, Some(&memo)).unwrap(), of(&parts));
    }
}

#[test]
fn files_and_bytes_keep_their_places_among_each_other() {
    let dir = dir();
    let path = file(dir.path(), b"b.c", b"2");
    let sources = builder().bytes("a.c", "1").file(&path).bytes("c.c", "3").digest().unwrap();
    assert_eq!(sources, of(&[(b"a.c", b"1"), (b"b.c", b"2"), (b"c.c", b"3")]));
    let lens: Vec<_> = sources.parts().map(|part| (part.path.is_some(), part.len)).collect();
    assert_eq!(lens, [(false, 1), (true, 1), (false, 1)]);
}

#[test]
fn context_and_environment_are_recorded_as_digests_unless_shown_and_short() {
    let long = "x".repeat(257);
    let build = |show: bool| {
        let options = [long.as_str(), "-O2"];
        let builder = Sources::new("kind", &Toolchain::of_value("cc", "1"), options);
        let builder = match show {
            true => builder.context_shown("a", "secret").context_shown("b", &long).env_shown("PATH"),
            false => builder.context("a", "secret").context("b", &long).env("PATH"),
        };
        builder.env("PLUGCACHE_NEVER_SET").digest().unwrap()
    };
    let (hidden, shown) = (build(false), build(true));
    assert_eq!(hidden, shown, "the key does not depend on it");
    let digest = |text: &str| ContextValue::Hidden(ObjectDigest::of_bytes(text.as_bytes()));
    assert!(hidden.context().eq([("a", digest("secret")), ("b", digest(&long))]));
    assert!(shown.context().eq([("a", ContextValue::Shown(b"secret")), ("b", digest(&long))]));
    let path = std::env::var("PATH").unwrap();
    assert!(hidden.env().eq([("PATH", Some(digest(&path))), ("PLUGCACHE_NEVER_SET", None)]));
    assert!(!format!("{:?}", hidden.to_recipe()).contains(&format!("{:?}", b"secret")));
    let values: Vec<_> = shown.to_recipe().fields.into_iter().map(|field| field.value).take(3).collect();
    let long_digest = *ObjectDigest::of_bytes(long.as_bytes()).as_bytes();
    assert_eq!(values, [Value::Shown(b"1".into()), Value::Hidden(long_digest), Value::Shown(b"-O2".into())]);
}

#[test]
fn the_label_is_the_first_name_or_the_kind_or_what_was_given() {
    assert_eq!(of(&[]).label(), "kind");
    assert_eq!(of(&[(b"a\xff.c", b""), (b"b.c", b"")]).label(), "a\u{fffd}.c");
    let labelled = builder().label("greet").digest().unwrap();
    assert_eq!((labelled.label(), labelled.kind()), ("greet", "kind"));
    assert_eq!(labelled, of(&[]), "it is not in the key");
}

#[test]
fn equality_order_and_hash_follow_the_digest() {
    let (a, b) = (of(&[(b"a", b"")]), of(&[(b"b", b"")]));
    assert_eq!(a.cmp(&b), a.digest().cmp(&b.digest()));
    assert_eq!(std::collections::HashSet::from([a.clone(), a, b]).len(), 2);
}

#[test]
fn a_recipe_suffices_to_compute_the_digest_again() {
    let sources = Sources::new("kind", &Toolchain::of_value("cc", "1"), ["-O2", ""])
        .context("abi", "2")
        .env("PATH")
        .env_shown("PLUGCACHE_NEVER_SET")
        .file("src/lib.rs")
        .bytes(OsStr::from_bytes(b"\xff"), "x")
        .digest()
        .unwrap();
    assert_eq!(recompute(&sources.to_recipe()), sources.digest());
    let back = Sources::from_recipe(sources.to_recipe(), "other".into());
    assert_eq!((back.digest(), back.to_recipe()), (sources.digest(), sources.to_recipe()));
    assert_eq!(back.label(), "other");
}

#[cfg(feature = "serde")]
#[test]
fn sources_read_back_from_json_are_equal_and_a_changed_text_is_another_key() {
    let sources = of(&[(b"a\xff.c", b"int x;")]);
    let text = serde_json::to_string(&sources).unwrap();
    let back: Sources = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (back.digest(), back.label(), back.to_recipe()),
        (sources.digest(), sources.label(), sources.to_recipe())
    );
    let forged: Sources = serde_json::from_str(&text.replace("\"kind\":\"kind\"", "\"kind\":\"k\"")).unwrap();
    assert_ne!(forged, sources);
}

#[test]
fn a_part_counts_as_changed_once_anything_was_done_to_its_file() {
    let dir = dir();
    let at = |name: &str| file(dir.path(), name.as_bytes(), b"right");
    let paths = ["edited", "touched", "gone", "shorter", "now a directory", "same"].map(at);
    let sources = builder().files(&paths).bytes("bytes", "x").digest().unwrap();
    assert_eq!(sources.changed(&Fs::Os), [] as [PathBuf; 0]);
    fs::write(&paths[0], "wrong").unwrap();
    fs::write(&paths[1], "right").unwrap();
    fs::remove_file(&paths[2]).unwrap();
    fs::write(&paths[3], "righ").unwrap();
    fs::remove_file(&paths[4]).unwrap();
    fs::create_dir(&paths[4]).unwrap();
    // "touched" has its old content again, and what it was in between nobody knows.
    assert_eq!(sources.changed(&Fs::Os), paths[..5]);
    let back = Sources::from_recipe(sources.to_recipe(), String::new());
    assert!(back.changed(&Fs::Os).is_empty(), "recorded paths are never opened");
}

#[test]
fn a_young_file_is_read_again_however_equal_its_state_is() {
    let dir = dir();
    let path = file(dir.path(), b"a.c", b"right");
    let mut sources = of_files([&path]).unwrap();
    let inner = Arc::get_mut(&mut sources.0).unwrap();
    inner.parts[0].digest = ObjectDigest::of_bytes(b"wrong");
    assert_eq!(sources.changed(&Fs::Os), [path]);
}

#[test]
fn an_old_file_in_an_equal_state_is_not_read_again() {
    let dir = dir();
    let path = file(dir.path(), b"a.c", b"right");
    Fs::Os.pause(Duration::from_millis(2100));
    let mut sources = of_files([&path]).unwrap();
    Arc::get_mut(&mut sources.0).unwrap().parts[0].digest = ObjectDigest::of_bytes(b"wrong");
    assert!(sources.changed(&Fs::Os).is_empty());
}

#[test]
fn the_digest_of_a_file_is_that_of_its_bytes() {
    let dir = dir();
    let path = file(dir.path(), b"a.c", b"int x;");
    assert_eq!(ObjectDigest::of_file(&path).unwrap(), ObjectDigest::of_bytes(b"int x;"));
    let hex = to_hex(ObjectDigest::of_bytes(b"int x;").as_bytes());
    assert_eq!(ObjectDigest::of_file(path).unwrap().to_string(), hex);
}

type Parts = Vec<(Vec<u8>, Vec<u8>)>;

fn parts() -> impl Strategy<Value = Parts> {
    // A small alphabet, so that one description is often another one cut elsewhere.
    let bytes = || prop::collection::vec(prop::sample::select(&b"ab\0\x01"[..]), 0..4);
    prop::collection::vec((bytes(), bytes()), 0..4)
}

proptest! {
    #[test]
    fn no_two_lists_of_parts_have_one_key(one in parts(), two in parts()) {
        let digest = |parts: &Parts| {
            of(&parts.iter().map(|(name, content)| (name.as_slice(), content.as_slice())).collect::<Vec<_>>()).digest()
        };
        prop_assert_eq!(one == two, digest(&one) == digest(&two));
    }

    #[test]
    fn no_two_lists_of_fields_have_one_key(
        one in (prop::collection::vec("[ab]{0,2}", 0..4), prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..3)),
        two in (prop::collection::vec("[ab]{0,2}", 0..4), prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..3)),
    ) {
        let digest = |(options, context): &(Vec<String>, Vec<(String, String)>)| {
            let start = Sources::new("kind", &Toolchain::none(), options);
            let builder = context.iter().fold(start, |builder, (name, value)| builder.context(name, value));
            builder.digest().unwrap().digest()
        };
        prop_assert_eq!(one == two, digest(&one) == digest(&two));
    }
}

#[test]
fn toolchain_and_options_are_recorded_in_their_order() {
    let toolchain = Toolchain::of_value("a", "1").and(Toolchain::of_value("b", "2"));
    let sources = Sources::new("k", &toolchain, ["-O2", "-g"]).digest().unwrap();
    let (one, two) = (ContextValue::Shown(b"1"), ContextValue::Shown(b"2"));
    assert!(sources.toolchain().eq([("a", one), ("b", two)]));
    assert!(sources.options().eq([ContextValue::Shown(b"-O2"), ContextValue::Shown(b"-g")]));
}
