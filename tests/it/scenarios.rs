//! The scenarios S1 to S10 of the behaviour owed, with a real compiler and real plugins; and what loading a
//! plugin twice takes.
#![expect(unsafe_code, reason = "a plugin is code in another language behind a C interface")]

use crate::common::{Child, Compiler, Place, config, labels, named, say, set_dir_modes};
use libloading::Library;
use plugcache::{
    Artifact, BadSourceKind, Build, How, LoadFailed, LoadOrBuildError, Sources, SourcesError, Store,
    Toolchain,
};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

const FLAGS: [&str; 2] = ["-shared", "-fPIC"];

/// A plugin that leaves a line in a file whenever its initialiser runs.
fn plugin(trace: &Path, answer: i32) -> String {
    format!(
        r#"#include <stdio.h>
__attribute__((constructor)) static void begin(void)
{{
    FILE *trace = fopen("{}", "a");
    if (trace) {{
        fputs("{answer}\n", trace);
        fclose(trace);
    }}
}}
int answer(void) {{ return {answer}; }}
"#,
        trace.display()
    )
}

fn trace(place: &Place) -> String {
    fs::read_to_string(place.path("trace")).unwrap_or_default()
}

/// Writes the source of a plugin that gives this answer.
fn write_plugin(place: &Place, below: &str, answer: i32) -> PathBuf {
    place.write(below, plugin(&place.path("trace"), answer))
}

fn key<P: AsRef<Path>>(files: &[P]) -> Result<Sources, SourcesError> {
    Sources::new("scenario/1", &Toolchain::of_program("cc").unwrap(), FLAGS).files(files).digest()
}

fn compile<P: AsRef<Path>>(compiler: &Compiler, files: &[P], build: &mut Build) -> anyhow::Result<()> {
    compiler.run();
    let mut cc = Command::new("cc");
    cc.args(FLAGS).arg("-o").arg(build.output("plugin.so")).args(files.iter().map(AsRef::as_ref));
    anyhow::ensure!(cc.status()?.success());
    Ok(())
}

/// What a plugin answers, and the library that must stay.
type Answer = (i32, Library);

fn open(path: &Path) -> Result<Answer, LoadFailed<libloading::Error>> {
    // SAFETY: the initialiser of `plugin` appends to a file, and its function takes nothing.
    let library = unsafe { Library::new(path) }.map_err(LoadFailed::Artifact)?;
    let answer = unsafe { library.get::<unsafe extern "C" fn() -> i32>("answer") };
    let answer = answer.map(|answer| unsafe { answer() }).map_err(LoadFailed::Artifact)?;
    Ok((answer, library))
}

/// Loads an instance of its own, so that initialisers run every time, and closes it again.
fn open_fresh(artifact: &Artifact) -> Result<i32, LoadFailed<libloading::Error>> {
    let sealed = artifact.primary().sealed().unwrap();
    open(sealed.path()).map(|(answer, _)| answer)
}

/// Loads the plugin of these files: what it answers, and how it was come by.
fn load<P: AsRef<Path>>(store: &Store, compiler: &Compiler, files: &[P]) -> (i32, How) {
    let sources = key(files).unwrap();
    let loaded = store.load_or_build(&sources, |build| compile(compiler, files, build), open_fresh).unwrap();
    (loaded.value, loaded.how)
}

/// Loads plugins of one file each: store, compiler, files.
pub(crate) fn load_each(arguments: &[String]) {
    let [store, compiler, files @ ..] = arguments else { panic!("{arguments:?}") };
    let store = Store::open(config(Path::new(store)).build()).unwrap();
    for file in files {
        let (answer, how) = load(&store, &Compiler::at(compiler), &[file]);
        say(format!("{answer} {how}"));
    }
}

/// What a new process says that loads these files, one after the other.
fn in_a_new_process(place: &Place, files: &[&PathBuf]) -> Vec<String> {
    let (store, compiler) = (place.store_dir(), place.path("compiled"));
    let mut arguments: Vec<&dyn crate::common::Argument> = vec![&store, &compiler];
    arguments.extend(files.iter().map(|&file| file as &dyn crate::common::Argument));
    Child::start("load", &arguments).end()
}

#[test]
fn s1_to_s3_a_plugin_is_compiled_once_and_loaded_as_often_as_anyone_asks() {
    let place = Place::new();
    let (store, compiler, file) = (place.store(), place.compiler(), write_plugin(&place, "one.c", 41));
    // S1: an empty store, and the same file twice in one process.
    assert_eq!(load(&store, &compiler, &[&file]), (41, How::Built));
    assert_eq!(load(&store, &compiler, &[&file]), (41, How::Hit));
    assert_eq!((compiler.runs(), trace(&place).as_str(), place.objects().len()), (1, "41\n41\n", 1));
    // S2: a new process loads it twice.
    assert_eq!(in_a_new_process(&place, &[&file, &file]), ["41 hit", "41 hit"]);
    // S3: the file copied to another directory.
    let copy = place.write("copy/one.c", fs::read(&file).unwrap());
    assert_eq!(in_a_new_process(&place, &[&copy]), ["41 hit"]);
    assert_eq!(
        (compiler.runs(), trace(&place).as_str(), place.objects().len()),
        (1, "41\n".repeat(5).as_str(), 1)
    );
    let artifact = place.store().find(&key(&[&copy]).unwrap()).unwrap();
    let recorded: Vec<_> = artifact.sources().parts().map(|part| part.path.unwrap().to_owned()).collect();
    assert_eq!(recorded, [file]);
    // Another content under the old name is another plugin.
    write_plugin(&place, "one.c", 42);
    assert_eq!(load(&store, &compiler, &[place.path("one.c")]), (42, How::Built));
}

#[test]
fn s4_a_second_plugin_leaves_the_first_untouched() {
    let place = Place::new();
    let (one, two) = (write_plugin(&place, "one.c", 1), write_plugin(&place, "two.c", 2));
    let state = |path: &Path| {
        let stat = fs::metadata(path).unwrap();
        (stat.ino(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec(), fs::read(path).unwrap())
    };
    assert_eq!(in_a_new_process(&place, &[&one]), ["1 built"]);
    let object = place.store_dir().join("v1/objects").join(&place.objects()[0]);
    let before = state(&object);
    assert_eq!(in_a_new_process(&place, &[&two, &one]), ["2 built", "1 hit"]);
    assert_eq!((place.objects().len(), place.compiler().runs()), (2, 2));
    assert!(state(&object) == before, "it was written to, or replaced");
}

#[test]
fn s5_an_object_overwritten_with_anothers_bytes_is_a_miss_set_aside_and_rebuilt() {
    for same_handle in [true, false] {
        let place = Place::new();
        let (store, compiler) = (place.store(), place.compiler());
        let (one, two) = (write_plugin(&place, "one.c", 1), write_plugin(&place, "two.c", 2));
        let path_of = |file: &Path| store.find(&key(&[file]).unwrap()).unwrap().path().to_owned();
        assert_eq!([load(&store, &compiler, &[&one]).0, load(&store, &compiler, &[&two]).0], [1, 2]);
        let (object, other) = (path_of(&one), fs::read(path_of(&two)).unwrap());
        fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&object, &other).unwrap();
        if same_handle {
            assert_eq!(load(&store, &compiler, &[&one]), (1, How::Built));
        } else {
            assert_eq!(in_a_new_process(&place, &[&one]), ["1 built"]);
        }
        assert_eq!(trace(&place), "1\n2\n1\n", "the wrong one was loaded");
        let aside = place.below("quarantine");
        assert_eq!(aside.len(), 1);
        assert!(fs::read(place.store_dir().join("v1/quarantine").join(&aside[0])).unwrap() == other);
        assert_eq!(in_a_new_process(&place, &[&one, &two]), ["1 hit", "2 hit"]);
        assert_eq!((compiler.runs(), place.objects().len()), (3, 2));
    }
}

#[test]
fn s6_in_a_store_for_two_plugins_the_one_whose_name_is_shared_goes_first() {
    let place = Place::new();
    let compiler = place.compiler();
    let store = Store::open(place.config().max_files(2).build()).unwrap();
    let mut left = Vec::new();
    for (file, answer) in [("T/test.c", 1), ("T/test2.c", 1), ("T/plugins/test.c", 2)] {
        let file = write_plugin(&place, file, answer);
        assert_eq!(load(&store, &compiler, &[&file]), (answer, How::Built));
        left.push(labels(&store).join(" "));
    }
    assert_eq!(left, ["test.c", "test.c test2.c", "test2.c test.c"]);
    assert_eq!(load(&store, &compiler, &[place.path("T/test2.c")]), (1, How::Hit));
    assert_eq!(load(&store, &compiler, &[place.path("T/plugins/test.c")]), (2, How::Hit));
    assert_eq!(load(&store, &compiler, &[place.path("T/test.c")]), (1, How::Built));
}

#[test]
fn s7_a_plugin_of_several_files_is_one_entry_and_their_order_matters() {
    let place = Place::new();
    let (store, compiler) = (place.store(), place.compiler());
    let part = place.write("part.c", "int part(void) { return 7; }\n");
    let main = place.write("main.c", "int part(void);\nint answer(void) { return part() * 6; }\n");
    assert_eq!(load(&store, &compiler, &[&main, &part]), (42, How::Built));
    assert_eq!(load(&store, &compiler, &[&main, &part]), (42, How::Hit));
    assert_eq!(labels(&store), ["main.c"]);
    assert_eq!(load(&store, &compiler, &[&part, &main]), (42, How::Built));
    assert_eq!((labels(&store), compiler.runs()), (vec!["main.c".into(), "part.c".into()], 2));
    fs::write(&part, "int part(void) { return 8; }\n").unwrap();
    assert_eq!(load(&store, &compiler, &[&main, &part]), (48, How::Built));
}

#[test]
fn s8_a_missing_source_is_an_error_with_its_path_and_nothing_is_stored() {
    let place = Place::new();
    let (there, missing) = (write_plugin(&place, "there.c", 1), place.path("missing.c"));
    let error = key(&[&there, &missing]).unwrap_err();
    assert!(
        matches!(&error.bad[..], [bad] if bad.path == missing && matches!(bad.why, BadSourceKind::Missing))
    );
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
    assert!(!place.store_dir().exists());
}

#[test]
fn s9_a_plugin_whose_initialiser_fails_is_compiled_once_and_fails_the_same_way_again() {
    let place = Place::new();
    let (compiler, file) = (place.compiler(), place.write("bad.c", "int answer(void) { return -1; }\n"));
    let sources = key(&[&file]).unwrap();
    for expected in [1, 1, 1] {
        let store = place.store();
        let error = store.load_or_build(
            &sources,
            |build| compile(&compiler, &[&file], build),
            |artifact| match open_fresh(artifact) {
                Ok(code @ ..0) => Err(LoadFailed::Plugin(format!("its initialiser gave {code}"))),
                Ok(_) => Ok(()),
                Err(_) => Err(LoadFailed::Artifact("it is no library".into())),
            },
        );
        let Err(LoadOrBuildError::Load(why)) = error else { panic!("{error:?}") };
        assert_eq!((why.as_str(), compiler.runs()), ("its initialiser gave -1", expected));
    }
}

/// As a user who may not write beside the sources.
pub(crate) fn load_from_a_read_only_directory(_: &[String]) {
    let place = Place::new();
    let (store, compiler, file) =
        (place.store(), place.compiler(), write_plugin(&place, "sources/one.c", 10));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    set_dir_modes(&place.path("sources"), 0o500);
    for how in [How::Built, How::Hit] {
        assert_eq!(load(&store, &compiler, &[&file]), (10, how));
    }
    assert_eq!(fs::read_dir(place.path("sources")).unwrap().count(), 1);
    set_dir_modes(&place.path("sources"), 0o700);
    say("loaded");
}

#[test]
fn s10_sources_in_a_read_only_directory_load() {
    let (child, _copy) = Child::start_unprivileged("load from a read-only directory", &[]);
    assert_eq!(child.end(), ["loaded"]);
}

#[test]
fn rule_7_a_path_gives_one_instance_and_every_sealed_or_copied_one_another() {
    let place = Place::new();
    let (store, compiler, file) = (place.store(), place.compiler(), write_plugin(&place, "one.c", 7));
    let sources = key(&[&file]).unwrap();
    let got = store.get_or_build(&sources, |build| compile(&compiler, &[&file], build)).unwrap();
    let runs = || trace(&place).lines().count();
    // All instances stay open, or a later one could take the place of one that was closed.
    let by_path = [open(got.artifact.path()).unwrap(), open(got.artifact.path()).unwrap()];
    assert_eq!(runs(), 1);
    let sealed = [(); 2].map(|()| got.artifact.primary().sealed().unwrap());
    let by_sealed = sealed.each_ref().map(|sealed| open(sealed.path()).unwrap());
    assert_eq!(runs(), 3);
    let by_copy = ["a.so", "b.so"].map(|name| {
        got.artifact.primary().copy_to(&place.path(name)).unwrap();
        open(&place.path(name)).unwrap()
    });
    assert_eq!(runs(), 5);
    assert!(by_path.iter().chain(&by_sealed).chain(&by_copy).all(|(answer, _)| *answer == 7));
}

#[test]
fn rule_7_byte_identical_artifacts_of_two_sources_share_one_object_and_so_one_instance() {
    let place = Place::new();
    let (store, compiler) = (place.store(), place.compiler());
    let [one, two] = ["one.c", "two.c"].map(|name| write_plugin(&place, name, 7));
    let [first, second] = [&one, &two].map(|file| {
        // Compiled from one file, so that no debugging information tells them apart.
        let build = |build: &mut Build| compile(&compiler, &[&one], build);
        store.get_or_build(&key(&[file]).unwrap(), build).unwrap().artifact
    });
    assert_eq!((first.path(), place.objects().len(), labels(&store).len()), (second.path(), 1, 2));
    let _instances = [open(first.path()).unwrap(), open(second.path()).unwrap()];
    assert_eq!(trace(&place), "7\n");
    assert_eq!(open_fresh(&second).unwrap(), 7);
    assert_eq!(trace(&place), "7\n7\n");
}

#[test]
fn an_output_that_was_built_elsewhere_is_copied_and_stays_the_callers() {
    let place = Place::new();
    let beside = place.path("plugin.so");
    let build_beside = |build: &mut Build| {
        fs::write(&beside, "made beside")?;
        build.output_at("plugin.so", &beside);
        io::Result::Ok(())
    };
    let got = place.store().get_or_build(&named("source"), build_beside).unwrap();
    assert_eq!((got.how, got.artifact.path() == beside), (How::Built, false));
    fs::write(&beside, "edited").unwrap();
    let hit = place.store().find(&named("source")).unwrap();
    assert_eq!(hit.primary().read().unwrap(), b"made beside");

    let uncached = Store::disabled("none").get_or_build(&named("source"), build_beside).unwrap();
    assert_eq!(uncached.artifact.path(), beside);
    drop(uncached);
    assert_eq!(fs::read_to_string(&beside).unwrap(), "made beside");
}
