//! The rules of the behaviour owed, as far as they need a store; those about keys are tested beside the
//! code, and rule 6 (what stays in a full store) in `seed_limits`.

use crate::common::{Child, Compiler, Place, config, key, labels, named, say, text};
use plugcache::{
    Added, Artifact, Config, Exec, How, LoadFailed, LoadOrBuildError, OpenError, Outputs, Skip, Sources,
    Status, Store,
};
use std::{
    cell::RefCell,
    collections::HashSet,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

fn as_exec(place: &Place, exec: &str) -> Store {
    Store::open(place.config().exec(Exec::Given(exec.into())).build()).unwrap()
}

/// As another build of the host that would rather try an old artifact than compile.
fn trying_old(place: &Place, exec: &str) -> Store {
    let config = place.config().exec(Exec::Given(exec.into())).try_old_cache_with_new_exec(true);
    Store::open(config.build()).unwrap()
}

fn add(store: &Store, sources: &Sources, content: &str) -> Added {
    store.add(sources, Outputs::bytes("plugin.so", content)).unwrap()
}

/// Asks for the file: store, compiler, whose artifacts (`current` or `independent`), file.
pub(crate) fn ask(arguments: &[String]) {
    let [store, compiler, exec, file] = arguments else { panic!("{arguments:?}") };
    let exec = if exec == "current" { Exec::Current } else { Exec::Independent };
    let store = Store::open(config(Path::new(store)).exec(exec).build()).unwrap();
    let sources = key([file]).digest_with(&store).unwrap();
    say(Compiler::at(compiler).get(&store, &sources).how.to_string());
}

#[test]
fn rule_1_an_entry_is_found_by_its_sources_in_their_order_and_by_no_others() {
    let place = Place::new();
    let store = place.store();
    let (one, two) = (place.write("1.c", "1"), place.write("2.c", "2"));
    let sources = key([&one, &two]).digest().unwrap();
    assert_eq!(add(&store, &sources, "both"), Added::Stored);
    for other in [vec![&two, &one], vec![&one], vec![&one, &two, &two], vec![]] {
        assert!(store.find(&key(&other).digest().unwrap()).is_none(), "{other:?}");
    }
    let (moved, renamed) = (place.write("elsewhere/1.c", "1"), place.write("3.c", "2"));
    assert!(store.find(&key([&one, &renamed]).digest().unwrap()).is_none());
    assert_eq!(text(&store.find(&key([&moved, &two]).digest().unwrap()).unwrap()), "both");
}

#[test]
fn rule_3_a_hit_compiles_nothing_in_this_and_in_every_later_process_and_in_another_directory() {
    let place = Place::new();
    let (compiler, file) = (place.compiler(), place.write("plugin.c", "int x;"));
    let copy = place.write("copy/plugin.c", "int x;");
    let ask = |file: &Path| {
        Child::start("ask", &[&place.store_dir(), &compiler.path(), &"independent", &file]).end().concat()
    };
    assert_eq!([ask(&file), ask(&file), ask(&copy)], ["built", "hit", "hit"]);
    assert_eq!((compiler.runs(), place.objects().len()), (1, 1));
}

#[test]
fn rule_4_two_executables_that_alternate_on_one_store_compile_twice_in_all() {
    let place = Place::new();
    let compiler = place.compiler();
    for round in 0..4 {
        for exec in ["old", "new"] {
            let (store, expected) = (as_exec(&place, exec), if round == 0 { How::Built } else { How::Hit });
            let got = compiler.get(&store, &named("a"));
            assert_eq!((got.how, got.artifact.was_compiled_by_current_exec()), (expected, true));
        }
    }
    assert_eq!(compiler.runs(), 2);
    let store = place.store();
    assert_eq!((store.entries().count(), place.objects().len()), (2, 1));
    // Those of one key are found without the others.
    assert_eq!(add(&store, &named("b"), "b"), Added::Stored);
    let of = |name: &str| store.entries_of(&named(name).digest()).map(|entry| entry.exec_id());
    let of_a: HashSet<_> = of("a").collect();
    assert_eq!((of_a.len(), of("b").count(), of("c").count()), (2, 1, 0));
}

#[test]
fn rule_4_anothers_entry_is_used_only_if_asked_for_and_never_before_ones_own() {
    let place = Place::new();
    let (old, new) = (as_exec(&place, "old"), as_exec(&place, "new"));
    assert_eq!(add(&old, &named("a"), "old"), Added::Stored);
    assert!(new.find(&named("a")).is_none() && new.lookup(&named("a")).is_none());
    let trying = trying_old(&place, "new");
    let artifact = trying.find(&named("a")).unwrap();
    assert_eq!((text(&artifact).as_str(), artifact.was_compiled_by_current_exec()), ("old", false));
    assert_eq!(add(&new, &named("a"), "new"), Added::Stored);
    // Another's that is newer is not better.
    assert_eq!(add(&old, &named("a"), "old again"), Added::Stored);
    let artifact = trying.find(&named("a")).unwrap();
    assert_eq!((text(&artifact).as_str(), artifact.was_compiled_by_current_exec()), ("new", true));
    assert_eq!(text(&trying_old(&place, "third").find(&named("a")).unwrap()), "old again");
}

/// Linkers put the notes of an image right behind its headers.
const NOTES_BYTES_MAX: usize = 16 << 10;

/// This executable with another build id, and with other bytes where it has none.
fn another_build_of_this_executable(dir: &Path) -> PathBuf {
    let mut image = fs::read(env::current_exe().unwrap()).unwrap();
    let note = b"\x03\0\0\0GNU\0";
    let starts: Vec<usize> = (0..NOTES_BYTES_MAX).filter(|&at| image[at..].starts_with(note)).collect();
    starts.iter().for_each(|start| image[start + note.len()] ^= 1);
    image.push(0);
    let path = dir.join("it");
    fs::write(&path, image).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn rule_4_another_build_of_the_host_compiles_anew_unless_artifacts_do_not_depend_on_it() {
    let place = Place::new();
    let (store, compiler, file) = (place.store_dir(), place.compiler(), place.write("plugin.c", "int x;"));
    let other = another_build_of_this_executable(&place.path(""));
    let ask = |exec: &str| {
        let arguments: &[&dyn crate::common::Argument] = &[&store, &compiler.path(), &exec, &file];
        let one = Child::start("ask", arguments).end();
        [one, Child::start_as(&mut Command::new(&other), "ask", arguments).unwrap().end()].concat()
    };
    assert_eq!(ask("current"), ["built", "built"]);
    assert_eq!(ask("current"), ["hit", "hit"]);
    assert_eq!(ask("independent"), ["built", "hit"]);
    assert_eq!(compiler.runs(), 3);
}

#[test]
fn rule_4_a_host_without_an_identity_stores_nothing_and_is_told_why() {
    let place = Place::new();
    let (store, compiler) = (as_exec(&place, ""), place.compiler());
    let got = compiler.get(&store, &named("a"));
    let How::Uncached(Skip::Disabled(why)) = &got.how else { panic!("{:?}", got.how) };
    assert!(why.contains("no bytes tells no hosts apart"), "{why}");
    assert_eq!((text(&got.artifact).as_str(), place.objects().len()), ("a", 0));
}

/// A loader that takes no artifact of these contents, and notes what it was given.
#[derive(Default)]
struct Loader {
    refuses: Vec<&'static str>,
    given: RefCell<Vec<String>>,
}

impl Loader {
    fn refusing(refuses: &[&'static str]) -> Loader {
        Loader { refuses: refuses.into(), ..Loader::default() }
    }

    fn load(&self, artifact: &Artifact) -> Result<String, LoadFailed<String>> {
        let content = text(artifact);
        self.given.borrow_mut().push(content.clone());
        let refused = self.refuses.iter().any(|refused| *refused == content);
        if refused { Err(LoadFailed::Artifact(content)) } else { Ok(content) }
    }
}

#[test]
fn rule_5_a_stored_artifact_of_another_executable_that_does_not_load_is_rebuilt_once_as_ones_own() {
    let place = Place::new();
    let compiler = place.compiler();
    for exec in ["older", "old"] {
        assert_eq!(add(&as_exec(&place, exec), &named("a"), exec), Added::Stored);
    }
    let store = trying_old(&place, "new");
    // One failure is enough to know: `older` is not tried too.
    let loader = Loader::refusing(&["old", "older"]);
    let loaded = store.load_or_build(&named("a"), compiler.makes("new"), |a| loader.load(a)).unwrap();
    assert_eq!((loaded.value.as_str(), loaded.how), ("new", How::Built));
    assert!(loaded.artifact.was_compiled_by_current_exec());
    assert_eq!(loader.given.take(), ["old", "new"]);
    // From now on its own is found, and the others still find theirs.
    let loaded = store.load_or_build(&named("a"), compiler.makes("?"), |a| loader.load(a)).unwrap();
    assert_eq!((loaded.value.as_str(), loaded.how, compiler.runs()), ("new", How::Hit, 1));
    assert_eq!(text(&as_exec(&place, "old").find(&named("a")).unwrap()), "old");
}

#[test]
fn rule_5_ones_own_artifact_that_does_not_load_is_rebuilt_even_if_others_have_one() {
    let place = Place::new();
    let (compiler, store) = (place.compiler(), trying_old(&place, "new"));
    assert_eq!(add(&store, &named("a"), "bad"), Added::Stored);
    assert_eq!(add(&as_exec(&place, "old"), &named("a"), "old"), Added::Stored);
    let loader = Loader::refusing(&["bad", "old"]);
    let loaded = store.load_or_build(&named("a"), compiler.makes("good"), |a| loader.load(a)).unwrap();
    assert_eq!((loaded.value.as_str(), loaded.how), ("good", How::Built));
    assert_eq!((loader.given.take(), compiler.runs()), (vec!["bad".into(), "good".into()], 1));
    assert_eq!(text(&place_finds(&place, "new")), "good");
}

fn place_finds(place: &Place, exec: &str) -> Artifact {
    as_exec(place, exec).find(&named("a")).unwrap()
}

#[test]
fn rule_5_an_artifact_that_never_loads_is_built_once_per_request_and_not_kept() {
    let place = Place::new();
    let (compiler, store) = (place.compiler(), place.store());
    let loader = Loader::refusing(&["bad", "worse"]);
    let load = || store.load_or_build(&named("a"), compiler.makes("worse"), |a| loader.load(a));
    assert_eq!(add(&store, &named("a"), "bad"), Added::Stored);
    let error = load().unwrap_err();
    assert!(matches!(error, LoadOrBuildError::Load(what) if what == "worse"));
    assert_eq!((loader.given.take(), compiler.runs()), (vec!["bad".into(), "worse".into()], 1));
    assert!(store.find(&named("a")).is_none());
    assert!(load().is_err());
    assert_eq!((loader.given.take(), compiler.runs()), (vec!["worse".into()], 2));
}

#[test]
fn rule_5_a_plugin_that_fails_by_itself_keeps_its_entry() {
    let place = Place::new();
    let (compiler, store) = (place.compiler(), place.store());
    for _ in 0..2 {
        let failing = |_: &Artifact| Err::<(), _>(LoadFailed::Plugin("the stars are not right"));
        let error = store.load_or_build(&named("a"), compiler.makes("a"), failing).unwrap_err();
        assert!(matches!(error, LoadOrBuildError::Load("the stars are not right")), "{error:?}");
    }
    assert_eq!((compiler.runs(), store.entries().count()), (1, 1));
}

#[test]
fn rule_5_a_rejected_entry_is_gone_for_everyone_and_no_other_with_it() {
    let place = Place::new();
    let (store, other) = (as_exec(&place, "one"), as_exec(&place, "other"));
    assert_eq!(
        [add(&store, &named("a"), "1"), add(&other, &named("a"), "2")],
        [Added::Stored, Added::Stored]
    );
    let artifact = store.find(&named("a")).unwrap();
    assert!(store.reject(&artifact, "a test says so"));
    assert!(!store.reject(&artifact, "a test says so"), "it has no entry any more");
    assert!(as_exec(&place, "one").find(&named("a")).is_none());
    assert_eq!(text(&artifact), "1");
    // An artifact that was rejected says nothing about the next one of its key.
    assert_eq!(add(&store, &named("a"), "1"), Added::Stored);
    assert!(!store.reject(&artifact, "a test says so"));
    assert_eq!(
        (place_finds(&place, "one").is_stored(), text(&place_finds(&place, "other")).as_str()),
        (true, "2")
    );
    assert_eq!(store.forget(&named("a").digest()).unwrap(), 2);
    assert!(other.find(&named("a")).is_none());
}

#[test]
fn rule_8_a_place_that_cannot_be_used_is_an_error_at_one_door_and_a_reason_at_the_other() {
    let place = Place::new();
    let file = place.write("file", "");
    let open_to_all = place.path("open");
    fs::create_dir(&open_to_all).unwrap();
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o777)).unwrap();
    let error = |dir: &Path| Store::open(config(dir).build()).unwrap_err();
    assert!(matches!(error(&file), OpenError::NotADirectory { path } if path == file));
    assert!(matches!(error(&file.join("store")), OpenError::NotADirectory { .. }));
    let untrusted = error(&open_to_all.join("store"));
    assert!(matches!(&untrusted, OpenError::Untrusted { path, .. } if *path == open_to_all), "{untrusted:?}");
    for (dir, bad) in [(&file, &file), (&open_to_all.join("store"), &open_to_all)] {
        let store = Store::open_or_disabled(Config::new(dir));
        let Status::Disabled(why) = store.status() else { panic!("{:?}", store.status()) };
        assert!(why.contains(bad.to_str().unwrap()), "{why}");
        let got = place.compiler().get(&store, &named("a"));
        assert_eq!((got.how, text(&got.artifact)), (How::Uncached(Skip::Disabled(why)), "a".into()));
    }
}

/// Opens the store of an application and says where it is, or why there is none.
pub(crate) fn open_for_an_application(_: &[String]) {
    let store = Store::for_app("it");
    match store.status() {
        Status::Disabled(why) => say(format!("none: {why}")),
        _ => say(store.config().dir().to_str().unwrap()),
    }
}

#[test]
fn rule_8_the_store_of_an_application_never_fails_and_is_where_the_environment_says() {
    let open = |set: &[(&str, &str)]| {
        let mut command = Command::new(env::current_exe().unwrap());
        for name in ["PLUGCACHE_DIR", "PLUGCACHE_DISABLE", "XDG_CACHE_HOME", "HOME"] {
            command.env_remove(name);
        }
        command.envs(set.iter().copied());
        Child::start_as(&mut command, "open for an application", &[]).unwrap().end().concat()
    };
    let (dir, cache, home) = (("PLUGCACHE_DIR", "/d"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h"));
    assert_eq!(open(&[dir, cache, home]), "/d");
    assert_eq!(open(&[cache, home]), "/x/it/plugcache");
    assert_eq!(open(&[("XDG_CACHE_HOME", "relative"), home]), "/h/.cache/it/plugcache");
    assert!(open(&[]).starts_with("none: "));
    assert_eq!(open(&[dir, ("PLUGCACHE_DISABLE", "1")]), "none: PLUGCACHE_DISABLE is 1");
}

#[test]
fn rule_9_a_source_that_changes_after_it_was_digested_is_not_stored_under_the_old_digest() {
    let place = Place::new();
    let (store, compiler) = (place.store(), place.compiler());
    let file = place.write("plugin.c", "old");
    let changed = || Skip::SourceChanged(vec![file.clone()]);
    let write = |text: &str| fs::write(&file, text).unwrap();
    let sources = key([&file]).digest_with(&store).unwrap();
    write("new");
    assert_eq!(add(&store, &sources, "?"), Added::Skipped(changed()));
    // While it is compiled; also if it is restored before the compile ends.
    for texts in [&["new!"][..], &["new!", "new"]] {
        let sources = key([&file]).digest_with(&store).unwrap();
        let got = store.get_or_build(&sources, |build| {
            texts.iter().for_each(|text| write(text));
            compiler.makes("?")(build)
        });
        assert_eq!(got.unwrap().how, How::Uncached(changed()), "{texts:?}");
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(add(&store, &sources, "?"), Added::Skipped(changed()));
    assert_eq!(labels(&store), [""; 0]);
}

/// Builds, finds and misses in every way, as a host would.
pub(crate) fn hit_and_miss(arguments: &[String]) {
    let (store, compiler) = (Path::new(&arguments[0]), Compiler::at(&arguments[1]));
    let open = || Store::open(config(store).build()).unwrap();
    let (first, second) = (open(), Store::disabled("for no reason"));
    assert_eq!(compiler.get(&first, &named("a")).how, How::Built);
    assert_eq!(compiler.get(&open(), &named("a")).how, How::Hit);
    assert!(first.find(&named("b")).is_none() && second.find(&named("a")).is_none());
    assert!(matches!(compiler.get(&second, &named("a")).how, How::Uncached(_)));
    let stats = first.stats();
    assert_eq!((stats.entries, stats.hits, stats.adds), (1, 0, 1));
}

#[test]
fn rule_10_hits_and_misses_print_nothing() {
    let place = Place::new();
    let (store, compiler) = (place.store_dir(), place.compiler());
    let child = Child::start("hit and miss", &[&store, &compiler.path()]);
    let (out, err) = child.all_it_prints();
    let own = ["running 1 test", "test common::a_child", "test result: ok", "ok"];
    let other = out.lines().filter(|line| !line.is_empty() && !own.iter().any(|own| line.starts_with(own)));
    assert_eq!((other.collect::<Vec<_>>(), err.as_str()), (vec![], ""));
}

#[test]
fn nothing_is_made_before_the_first_write_and_closing_deletes_nothing() {
    let place = Place::new();
    let store = place.store();
    assert_eq!((store.find(&named("a")).is_none(), store.entries().count()), (true, 0));
    assert!(!place.store_dir().exists());
    assert_eq!(add(&store, &named("a"), "a"), Added::Stored);
    let artifact = store.find(&named("a")).unwrap();
    store.close();
    store.clone().close();
    assert!(store.find(&named("a")).is_none());
    assert!(matches!(add(&store, &named("b"), "b"), Added::Skipped(Skip::Disabled(_))));
    assert_eq!(text(&artifact), "a");
    assert_eq!(text(&place.store().find(&named("a")).unwrap()), "a");
}

#[test]
fn a_read_only_store_finds_and_skips_every_add() {
    let place = Place::new();
    assert_eq!(add(&place.store(), &named("a"), "a"), Added::Stored);
    let spectator = place.spectator();
    assert_eq!(spectator.status(), Status::ReadOnly);
    assert_eq!(add(&spectator, &named("b"), "b"), Added::Skipped(Skip::ReadOnly));
    let got = place.compiler().get(&spectator, &named("b"));
    assert_eq!((got.how, text(&got.artifact).as_str()), (How::Uncached(Skip::ReadOnly), "b"));
    assert!(spectator.forget(&named("a").digest()).is_err());
    assert_eq!((text(&spectator.find(&named("a")).unwrap()), labels(&spectator).len()), ("a".into(), 1));
}
