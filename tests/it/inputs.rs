//! Discovered inputs: what a build read beside its sources must be unchanged for the next hit.

use crate::common::{Compiler, Place, key, let_the_file_clock_tick, text};
use plugcache::{__sim::compact, Build, Got, How, Skip, Sources, Store};
use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// How a build reports what it read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Report {
    Depfile,
    AlsoRead,
}

/// Compiles sources and headers to their contents, and reports all that it read as a compiler does: with the
/// sources among it.
fn compile(compiler: &Compiler, read: &[&Path], report: Report, build: &mut Build) -> io::Result<()> {
    let mut output = String::new();
    for path in read {
        output += &fs::read_to_string(path)?;
    }
    compiler.makes(output)(build)?;
    match report {
        Report::AlsoRead => read.iter().for_each(|path| {
            build.also_read(path);
        }),
        Report::Depfile => {
            let mut rule = "plugin.so:".to_owned();
            for path in read {
                let escaped = path.to_str().unwrap().replace(' ', "\\ ").replace('#', "\\#");
                write!(rule, " \\\n  {escaped}").unwrap();
            }
            let depfile = build.dir().join("plugin.d");
            fs::write(&depfile, rule + "\n")?;
            build.depfile(&depfile)?;
        }
    }
    Ok(())
}

/// Asks for the plugin of one source that includes headers.
fn get(place: &Place, store: &Store, source: &Path, headers: &[&Path], report: Report) -> Got {
    let read: Vec<&Path> = [source].into_iter().chain(headers.iter().copied()).collect();
    let sources = key([source]).digest_with(store).unwrap();
    let build = |build: &mut Build| compile(&place.compiler(), &read, report, build);
    store.get_or_build(&sources, build).unwrap()
}

/// Writes a file that no build which begins from now on can take for one that changes under it.
fn write(place: &Place, below: &str, content: &str) -> PathBuf {
    let path = place.write(below, content);
    let_the_file_clock_tick();
    path
}

#[test]
fn a_changed_header_is_a_miss_and_a_reverted_one_a_hit_again_without_a_build() {
    for report in [Report::Depfile, Report::AlsoRead] {
        let place = Place::new();
        let (source, header) = (write(&place, "a b#.c", "s "), write(&place, "with space/a.h", "one"));
        let ask = |store: &Store| get(&place, store, &source, &[&header], report);
        let change = |content: &str| write(&place, "with space/a.h", content);
        let one_handle = place.store();
        for (content, how) in [
            ("one", How::Built),
            ("one", How::Hit),
            ("two", How::Built),
            ("two", How::Hit),
            ("one", How::Hit),
            ("three", How::Built),
            ("two", How::Hit),
        ] {
            change(content);
            let got = ask(&one_handle);
            assert_eq!((got.how, text(&got.artifact)), (how, format!("s {content}")), "{report:?}");
            // To others the same is there.
            let got = ask(&place.store());
            assert_eq!((got.how, text(&got.artifact)), (How::Hit, format!("s {content}")));
        }
        assert_eq!((place.compiler().runs(), place.store().entries().count()), (3, 3));
    }
}

#[test]
fn an_equal_content_is_no_change_whatever_was_done_to_the_header() {
    let place = Place::new();
    let (source, header) = (write(&place, "a.c", "s"), write(&place, "a.h", "one"));
    let ask = |store: &Store| get(&place, store, &source, &[&header], Report::Depfile).how;
    let store = place.store();
    assert_eq!(ask(&store), How::Built);
    fs::remove_file(&header).unwrap();
    write(&place, "a.h", "one");
    assert_eq!([ask(&store), ask(&place.store())], [How::Hit, How::Hit]);
}

#[test]
fn a_header_that_is_gone_or_no_regular_file_any_more_is_a_prompt_miss() {
    let place = Place::new();
    let (source, header) = (write(&place, "a.c", "s"), write(&place, "a.h", "one"));
    let store = place.store();
    assert_eq!(get(&place, &store, &source, &[&header], Report::Depfile).how, How::Built);
    let sources = key([&source]).digest().unwrap();
    assert!(store.find(&sources).is_some());
    fs::remove_file(&header).unwrap();
    assert!(store.find(&sources).is_none());
    fs::create_dir(&header).unwrap();
    assert!(store.find(&sources).is_none());
    fs::remove_dir(&header).unwrap();
    assert!(Command::new("mkfifo").arg(&header).status().unwrap().success());
    assert!(store.find(&sources).is_none() && place.store().find(&sources).is_none());
    fs::remove_file(&header).unwrap();
    write(&place, "a.h", "one");
    assert!(store.find(&sources).is_some());
}

#[test]
fn a_header_that_changes_while_it_is_compiled_keeps_the_artifact_out_of_the_store() {
    for restored in [false, true] {
        let place = Place::new();
        let (source, header) = (write(&place, "a.c", "s "), write(&place, "a.h", "one"));
        let store = place.store();
        let sources = key([&source]).digest().unwrap();
        let got = store.get_or_build(&sources, |build| {
            fs::write(&header, "two")?;
            compile(&place.compiler(), &[&source, &header], Report::Depfile, build)?;
            if restored {
                fs::write(&header, "one")?;
            }
            Ok::<(), io::Error>(())
        });
        let got = got.unwrap();
        assert_eq!(got.how, How::Uncached(Skip::SourceChanged(vec![header.clone()])), "{restored}");
        assert_eq!(text(&got.artifact), "s two");
        assert_eq!(store.entries().count(), 0);
        let_the_file_clock_tick();
        assert_eq!(get(&place, &store, &source, &[&header], Report::Depfile).how, How::Built);
    }
}

/// Another file takes the header's place, with times as old as you like: only ctime tells that it came now.
#[test]
fn a_header_that_an_older_file_replaces_while_it_is_compiled_keeps_the_artifact_out_of_the_store() {
    let place = Place::new();
    let (source, header) = (write(&place, "a.c", "s "), write(&place, "a.h", "one"));
    let older = write(&place, "older.h", "two");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let got = place.store().get_or_build(&key([&source]).digest().unwrap(), |build| {
        compile(&place.compiler(), &[&source, &header], Report::AlsoRead, build)?;
        fs::File::options().write(true).open(&older)?.set_modified(long_ago)?;
        fs::rename(&older, &header)
    });
    assert_eq!(got.unwrap().how, How::Uncached(Skip::SourceChanged(vec![header])));
}

#[test]
fn a_header_that_was_read_and_is_gone_keeps_the_artifact_out_of_the_store() {
    let place = Place::new();
    let (source, header) = (write(&place, "a.c", "s"), write(&place, "a.h", "one"));
    let got = place.store().get_or_build(&key([&source]).digest().unwrap(), |build| {
        compile(&place.compiler(), &[&source, &header], Report::AlsoRead, build)?;
        fs::remove_file(&header)
    });
    assert_eq!(got.unwrap().how, How::Uncached(Skip::SourceChanged(vec![header])));
}

#[test]
fn a_source_that_the_build_reports_is_no_input_so_that_a_copy_elsewhere_still_hits() {
    for report in [Report::Depfile, Report::AlsoRead] {
        let place = Place::new();
        // As a header of the system, this one lies in no directory of the sources.
        let (source, header) = (write(&place, "here/a.c", "s "), write(&place, "system/a.h", "one"));
        let store = place.store();
        assert_eq!(get(&place, &store, &source, &[&header], report).how, How::Built);
        let copy = write(&place, "elsewhere/a.c", "s ");
        assert_eq!(get(&place, &store, &copy, &[&header], report).how, How::Hit);
        // Nor does it matter what becomes of the first one.
        fs::remove_file(&source).unwrap();
        assert_eq!(get(&place, &place.store(), &copy, &[&header], report).how, How::Hit);
        assert_eq!((place.compiler().runs(), place.objects().len()), (1, 1));
    }
}

#[test]
fn a_copy_elsewhere_is_judged_by_the_headers_beside_it_and_not_by_those_beside_the_first() {
    let place = Place::new();
    let [here, there] = ["here", "there"].map(|dir| {
        let file = |name: &str, text: &str| write(&place, &format!("{dir}/{name}"), text);
        (file("src/a.c", "s "), file("src/a.h", "one "), file("include/b.h", "two"))
    });
    let store = place.store();
    let ask = |(source, one, two): &(PathBuf, PathBuf, PathBuf)| {
        let got = get(&place, &store, source, &[one, two], Report::Depfile);
        (got.how.to_string(), text(&got.artifact))
    };
    let is = |how: &str, text: &str| (how.to_owned(), text.to_owned());
    assert_eq!([ask(&here), ask(&there)], [is("built", "s one two"), is("hit", "s one two")]);
    write(&place, "there/include/b.h", "2");
    assert_eq!([ask(&there), ask(&there)], [is("built", "s one 2"), is("hit", "s one 2")]);
    assert_eq!(ask(&here), is("hit", "s one two"));
    write(&place, "here/src/a.h", "1 ");
    assert_eq!([ask(&there), ask(&here)], [is("hit", "s one 2"), is("built", "s 1 two")]);
    // The first one's headers are of no use where a compile would not look for them.
    fs::remove_file(&there.2).unwrap();
    assert!(store.find(&key([&there.0]).digest().unwrap()).is_none());
}

#[test]
fn what_the_build_makes_for_itself_is_no_input() {
    let place = Place::new();
    let (store, source) = (place.store(), write(&place, "a.c", "s"));
    let sources = key([&source]).digest().unwrap();
    let got = store.get_or_build(&sources, |build| {
        let generated = build.dir().join("generated.h");
        fs::write(&generated, "made now")?;
        compile(&place.compiler(), &[&source, &generated], Report::Depfile, build)
    });
    assert_eq!(got.unwrap().how, How::Built);
    assert!(store.find(&sources).is_some());
}

#[test]
fn inputs_of_two_thousand_headers_with_long_paths_are_kept_and_each_of_them_counts() {
    let place = Place::new();
    let source = place.write("a.c", "s ");
    let header = |n: usize| format!("{}/{}/header-{n}.h", "d".repeat(200), "e".repeat(200));
    let headers: Vec<PathBuf> = (0..2000).map(|n| place.write(header(n), "x")).collect();
    let headers: Vec<&Path> = headers.iter().map(PathBuf::as_path).collect();
    let_the_file_clock_tick();
    let store = place.store();
    let ask = |store: &Store| get(&place, store, &source, &headers, Report::Depfile).how;
    assert_eq!([ask(&store), ask(&store), ask(&place.store())], [How::Built, How::Hit, How::Hit]);
    // The list is an object of its own, and no output.
    let artifact = store.find(&key([&source]).digest().unwrap()).unwrap();
    let names: Vec<_> = artifact.outputs().map(|output| output.name().to_owned()).collect();
    assert_eq!(names, ["plugin.so"]);
    assert_eq!(store.entries().next().unwrap().outputs().len(), 1);
    assert_eq!(place.objects().len(), 2);
    let recorded: Vec<_> = artifact.sources().parts().map(|part| part.path.unwrap().to_owned()).collect();
    assert_eq!(recorded, [source.as_path()]);
    assert!(compact(&store));
    assert_eq!([ask(&store), ask(&place.store())], [How::Hit, How::Hit]);
    write(&place, &header(1234), "y");
    assert_eq!([ask(&store), ask(&place.store())], [How::Built, How::Hit]);
    write(&place, &header(1234), "x");
    assert_eq!(ask(&store), How::Hit);
    assert_eq!(place.compiler().runs(), 2);
}

#[test]
fn a_spilled_list_that_is_damaged_or_gone_is_a_miss_and_built_anew() {
    let place = Place::new();
    let source = place.write("a.c", "s ");
    let headers: Vec<PathBuf> =
        (0..600).map(|n| place.write(format!("{}{n}", "h".repeat(200)), "")).collect();
    let headers: Vec<&Path> = headers.iter().map(PathBuf::as_path).collect();
    let_the_file_clock_tick();
    let ask = || get(&place, &place.store(), &source, &headers, Report::Depfile).how;
    assert_eq!(ask(), How::Built);
    let objects = place.store_dir().join("v1/objects");
    let list = || {
        let largest = place.objects().into_iter().map(|path| objects.join(path));
        largest.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    };
    fs::remove_file(list()).unwrap();
    assert_eq!([ask(), ask()], [How::Built, How::Hit]);
    let (path, damaged) = (list(), fs::read(list()).unwrap().iter().map(|byte| byte ^ 1).collect::<Vec<_>>());
    fs::remove_file(&path).and_then(|()| fs::write(&path, damaged)).unwrap();
    assert_eq!([ask(), ask()], [How::Built, How::Hit]);
    assert_eq!(place.below("quarantine").len(), 1);
}

#[test]
fn a_depfile_that_is_missing_is_an_error_of_the_build() {
    let place = Place::new();
    let (store, source) = (place.store(), write(&place, "a.c", "s"));
    let failed = store.get_or_build(&key([&source]).digest().unwrap(), |build| {
        build.write("plugin.so", "a")?;
        build.depfile("/nowhere/plugin.d").map(|_| ())
    });
    let error = failed.unwrap_err();
    assert!(matches!(&error, plugcache::BuildError::Build(why) if why.kind() == io::ErrorKind::NotFound));
    assert_eq!(store.entries().count(), 0);
}

#[test]
fn other_sources_with_the_same_headers_are_other_entries() {
    let place = Place::new();
    let [one, two] = ["one.c", "two.c"].map(|name| write(&place, name, name));
    let header = write(&place, "a.h", "h");
    let store = place.store();
    for how in [How::Built, How::Hit] {
        for source in [&one, &two] {
            assert_eq!(get(&place, &store, source, &[&header], Report::Depfile).how, how);
        }
    }
    let keys = [&one, &two].map(|source| key([source]).digest().unwrap());
    let of = |sources: &Sources| text(&store.find(sources).unwrap());
    assert_eq!(keys.each_ref().map(of), ["one.ch", "two.ch"]);
}
