//! Sources that move while they are compiled, outputs that are none, names and sizes at their limits (rule 9).

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStringExt as _, fs::symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use plugcache::{
    Added, BadSourceKind, BuildError, How, NO_OPTIONS, ObjectDigest, Outputs, Skip, Sources, Store, Toolchain,
};

use super::damage::{self, Job, Place, THINGS, bytes, found, get, plant, sources};

pub(crate) const JOBS: &[Job] = &[("a thousand outputs", thousand), ("two gigabytes", two_gigabytes)];

fn of_file(path: &Path) -> Sources {
    Sources::new("damage/1", &Toolchain::none(), NO_OPTIONS).file(path).digest().unwrap()
}

/// What can happen to a source behind the back of a compiler.
fn changes() -> Vec<Job> {
    let mut changes: Vec<Job> = vec![
        ("edited", |path| fs::write(path, "int y;").unwrap()),
        ("shrunk", |path| fs::write(path, "int").unwrap()),
        ("emptied", |path| fs::write(path, "").unwrap()),
        ("grown", |path| damage::append(path, b"int z;")),
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("saved by renaming", |path| {
            fs::write(path.with_extension("new"), fs::read(path).unwrap()).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        }),
        ("replaced by a link", |path| {
            fs::rename(path, path.with_extension("old")).unwrap();
            symlink(path.with_extension("new"), path).unwrap();
        }),
        ("edited and restored, its time too", |path| {
            let (text, time) = (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap());
            fs::write(path, "int y;").unwrap();
            fs::write(path, text).unwrap();
            fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }),
    ];
    changes.extend([
        ("replaced by a directory", (|path| plant(THINGS[0], path, path)) as fn(&Path)),
        ("replaced by a FIFO", |path| plant(THINGS[2], path, path)),
        ("replaced by a socket", |path| plant(THINGS[3], path, path)),
    ]);
    changes
}

#[test]
fn what_was_compiled_from_a_source_that_moved_is_handed_out_and_not_stored() {
    for (case, change) in changes() {
        let place = Place::on_disk();
        let source = place.beside("plugin.c");
        fs::write(&source, "int x;").unwrap();
        let store = place.open();
        let moved = How::Uncached(Skip::SourceChanged(vec![source.clone()]));
        let digested = of_file(&source);
        let got = store.get_or_build(&digested, |b| {
            change(&source);
            b.write("out.so", "made of either")
        });
        let got = got.unwrap();
        assert_eq!((&got.how, got.artifact.is_stored()), (&moved, false), "{case}");
        assert_eq!(fs::read(got.artifact.path()).unwrap(), b"made of either", "{case}");
        let added = store.add(&digested, Outputs::bytes("out.so", "made of either")).unwrap();
        assert_eq!(added, Added::Skipped(Skip::SourceChanged(vec![source.clone()])), "{case}");
        assert!(store.find(&digested).is_none() && store.stats().entries == 0, "{case}");
        damage::remove(&source);
        fs::write(&source, "int x;").unwrap();
        let again = of_file(&source);
        assert_eq!(again.digest(), digested.digest());
        let built = store.get_or_build(&again, |b| b.write("out.so", "right")).unwrap();
        assert_eq!(built.how, How::Built, "{case}");
        assert_eq!(place.open().find(&again).unwrap().primary().read().unwrap(), b"right", "{case}");
    }
}

#[test]
fn a_source_that_is_replaced_all_the_time_has_the_digest_of_one_of_its_contents_or_none() {
    let place = Place::on_disk();
    let (source, stop) = (place.beside("plugin.c"), AtomicBool::new(false));
    let contents = [vec![b'a'; 600_000], vec![b'b'; 700_001], b"c".to_vec()];
    fs::write(&source, &contents[0]).unwrap();
    let digests = contents.clone().map(|content| ObjectDigest::of_bytes(&content));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for content in contents.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                fs::write(source.with_extension("new"), content).unwrap();
                fs::rename(source.with_extension("new"), &source).unwrap();
            }
        });
        for _ in 0..100 {
            match ObjectDigest::of_file(&source) {
                Ok(digest) => assert!(digests.contains(&digest)),
                Err(bad) => assert!(matches!(bad.why, BadSourceKind::Changing), "{bad}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn every_source_that_is_no_file_is_named_at_once() {
    let place = Place::on_disk();
    let begin = Instant::now();
    fs::create_dir(place.beside("a")).unwrap();
    let mut paths: Vec<PathBuf> = THINGS.iter().map(|thing| place.beside(&format!("a/{thing:?}"))).collect();
    THINGS.iter().zip(&paths).for_each(|(thing, path)| plant(*thing, path, &place.beside("nowhere")));
    paths.extend(["/dev/zero", "/dev/null", "/proc/self/mem", ""].map(PathBuf::from));
    paths.push(place.beside("missing"));
    paths.push(place.beside("a/Fifo/below"));
    let error = Sources::new("k", &Toolchain::none(), NO_OPTIONS).files(&paths).digest().unwrap_err();
    assert_eq!(error.bad.iter().map(|bad| &bad.path).collect::<Vec<_>>(), paths.iter().collect::<Vec<_>>());
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_output_that_is_no_file_is_an_error_with_its_name_and_leaves_nothing() {
    type Make = fn(&Path);
    let mut makes: Vec<(&str, Make)> = vec![("missing", |_| ())];
    makes.extend([
        ("a directory", (|path| plant(THINGS[0], path, path)) as Make),
        ("a FIFO", |path| plant(THINGS[2], path, path)),
        ("a socket", |path| plant(THINGS[3], path, path)),
        ("a link to nowhere", |path| symlink("nowhere", path).unwrap()),
        ("a link to itself", |path| plant(THINGS[5], path, path)),
        ("a link to a device", |path| symlink("/dev/zero", path).unwrap()),
        ("a link to a directory", |path| symlink("/", path).unwrap()),
    ]);
    for (case, make) in makes {
        for disabled in [false, true] {
            let place = Place::with(1);
            let store = if disabled { Store::disabled("a test") } else { place.open() };
            let before = store.stats().entries;
            let got = store.get_or_build(&sources(1), |b| {
                b.write("first", "right")?;
                make(&b.output("out.so"));
                std::io::Result::Ok(())
            });
            match got {
                Err(BuildError::NoOutput(problem)) => assert_eq!(problem.name, "out.so", "{case}: {problem}"),
                other => panic!("{case}: {other:?}"),
            }
            make(&place.beside("out.so"));
            let added = store.add(&sources(1), Outputs::file("out.so", place.beside("out.so")));
            assert_eq!(added.unwrap_err().name, "out.so", "{case}");
            assert_eq!(store.stats().entries, before, "{case}");
            for name in ["staging", "inflight"] {
                assert_eq!(fs::read_dir(place.v1(name)).unwrap().count(), 0, "{case}: litter in {name}");
            }
            place.must_work(2, case);
        }
    }
}

#[test]
fn outputs_keep_their_names_whatever_bytes_those_are_and_no_two_share_a_file() {
    let odd = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let every: Vec<u8> = (1..=255).collect();
    let names = [
        odd(b"output-1"),
        odd(b"a/b"),
        odd(b"output-3"),
        odd(b"output-2"),
        odd(b"new\nline"),
        odd(b"\xFF\xFE"),
        odd(&[b'n'; 255]),
        odd(&[b'n'; 256]),
        odd(&every),
        odd(b"."),
        odd(b".."),
        odd(b"../up"),
        odd(b"/etc/hostname"),
        odd(b"trailing/"),
        odd(b" "),
        odd(b".mark"),
        odd(b"\\details"),
        odd(b"output-0"),
        odd(b"output-12"),
    ];
    let place = Place::on_disk();
    let content = |at: usize| format!("content {at}");
    let got = place.open().get_or_build(&sources(0), |b| {
        for (at, name) in names.iter().enumerate() {
            assert!(b.output(name).starts_with(b.dir()), "{name:?}");
            b.write(name, content(at))?;
        }
        std::io::Result::Ok(())
    });
    let got = got.unwrap();
    assert_eq!(got.how, How::Built);
    for artifact in [got.artifact, place.open().find(&sources(0)).unwrap()] {
        for ((at, name), output) in names.iter().enumerate().zip(artifact.outputs()) {
            assert_eq!(output.name(), name);
            assert_eq!(output.read().unwrap(), content(at).as_bytes(), "{name:?}");
        }
        assert!(artifact.copy_all_to(&place.beside("")).is_err(), "no name leads out of a directory");
    }
}

#[test]
fn names_that_cannot_be_told_apart_or_hold_a_zero_are_refused() {
    let place = Place::with(1);
    let store = place.open();
    let many =
        (0..1025).fold(Outputs::bytes("first", ""), |outputs, at| outputs.and_bytes(format!("{at}"), ""));
    let refused = [
        Outputs::bytes("", "x"),
        Outputs::bytes("a\0b", "x"),
        Outputs::bytes("a", "x").and_bytes("a", "x"),
        Outputs::bytes("\0details", "x"),
        many,
    ];
    for outputs in refused {
        assert!(store.add(&sources(1), outputs.clone()).is_err(), "{outputs:?}");
    }
    for name in ["", "a\0b", "\0details"] {
        let got = store.get_or_build(&sources(1), |b| b.write(name, "x"));
        assert!(matches!(got, Err(BuildError::NoOutput(_))), "{name:?}");
    }
    let none = store.get_or_build(&sources(1), |_| std::io::Result::Ok(()));
    assert!(matches!(none, Err(BuildError::NoOutput(_))));
    assert_eq!(store.stats().entries, 1);
    place.must_work(2, "refused");
}

/// Needs 2,100 open files, so it has a process of its own.
fn thousand(dir: &Path) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = 4096;
    let maximum = getrlimit(Resource::Nofile).maximum;
    if maximum.is_some_and(|maximum| maximum < wanted) {
        println!("skipped: only {maximum:?} files may be open");
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).unwrap();
    let open = || Store::open(damage::given(dir).build()).unwrap();
    let name = |at: usize, digits: usize| format!("{at:0digits$}");
    let outputs = |digits| {
        (1..1024).fold(Outputs::bytes(name(0, digits), "0"), |all, at| {
            all.and_bytes(name(at, digits), format!("{at}"))
        })
    };
    // Short names fit a frame; with long ones the entry cannot be recorded.
    assert_eq!(open().add(&sources(0), outputs(4)).unwrap(), Added::Stored);
    assert_eq!(open().add(&sources(1), outputs(40)).unwrap(), Added::Skipped(Skip::TooLong));
    let artifact = open().find(&sources(0)).unwrap();
    assert_eq!(artifact.outputs().len(), 1024);
    for (at, output) in artifact.outputs().enumerate() {
        assert_eq!(output.read().unwrap(), at.to_string().into_bytes());
    }
    drop(artifact);
    // With too few files to open it is a miss and a skip, never an error.
    setrlimit(Resource::Nofile, Rlimit { current: Some(200), maximum }).unwrap();
    assert!(open().find(&sources(0)).is_none());
    assert!(matches!(open().add(&sources(2), outputs(4)).unwrap(), Added::Skipped(Skip::Io { .. })));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).unwrap();
    assert!(open().find(&sources(0)).is_some());
    assert_eq!(open().add(&sources(2), outputs(4)).unwrap(), Added::Stored);
}

#[test]
fn an_artifact_has_up_to_1024_outputs_or_is_skipped_for_a_reason() {
    damage::must_succeed(damage::child("a thousand outputs", &Place::new().dir));
}

fn two_gigabytes(dir: &Path) {
    let (len, source) = ((2 << 30) + 1, dir.with_extension("source"));
    let file = fs::File::create(&source).unwrap();
    file.set_len(len).unwrap();
    let open = || Store::open(damage::given(dir).max_bytes(3 << 30).build()).unwrap();
    let got = open().get_or_build(&sources(0), |b| fs::rename(&source, b.output("big"))).unwrap();
    assert_eq!((got.how, got.artifact.primary().len()), (How::Built, len));
    let found = open().find(&sources(0)).unwrap();
    assert_eq!((found.primary().len(), fs::metadata(found.path()).unwrap().len()), (len, len));
    let small = Store::open(damage::given(dir).max_bytes(2 << 30).build()).unwrap();
    let added = small.add(&sources(1), Outputs::file("big", found.path())).unwrap();
    assert_eq!(added, Added::Skipped(Skip::TooBig { bytes: len, max_bytes: 2 << 30 }));
}

#[test]
fn an_artifact_of_two_gigabytes_is_one_like_any_other() {
    let place = Place::on_disk();
    let free = rustix::fs::statvfs(std::env::temp_dir()).unwrap();
    if free.f_bavail * free.f_frsize < 8 << 30 {
        println!("skipped: less than 8 GiB are free");
        return;
    }
    damage::must_succeed(damage::child("two gigabytes", &place.dir));
}

#[test]
fn texts_of_100_kib_are_kept_apart_or_skipped_and_never_an_error() {
    let place = Place::new();
    let (store, long) = (place.open(), "x".repeat(100 << 10));
    let none = Toolchain::none();
    let of = |kind: &str| Sources::new(kind, &none, NO_OPTIONS).bytes("a.c", "int x;");
    let add = |sources: &Sources| store.add(sources, Outputs::bytes("out.so", "bytes")).unwrap();
    let label = of("k").label(&long).digest().unwrap();
    assert_eq!(add(&label), Added::Skipped(Skip::TooLong));
    let got = store.get_or_build(&label, |b| b.write("out.so", "bytes")).unwrap();
    assert_eq!((got.how, got.artifact.label()), (How::Uncached(Skip::TooLong), &long[..]));
    let spilled = [
        of(&long).digest().unwrap(),
        of("k").bytes(&long, "y").digest().unwrap(),
        of("k").context(&long, "y").context_shown("c", &long).digest().unwrap(),
        (0..3000).fold(of("k"), |all, at| all.bytes(format!("{at}.c"), "")).digest().unwrap(),
        Sources::new("k", &Toolchain::of_value(&long, &long), [&long, &long])
            .bytes("a.c", "")
            .digest()
            .unwrap(),
    ];
    for sources in &spilled {
        assert_eq!(add(sources), Added::Stored);
    }
    for sources in &spilled {
        let artifact = place.open().find(sources).unwrap();
        assert_eq!((artifact.outputs().len(), artifact.sources()), (1, sources));
        assert_eq!(artifact.primary().read().unwrap(), b"bytes");
    }
    assert!(plugcache::__sim::compact(&store));
    assert!(spilled.iter().all(|sources| place.open().find(sources).is_some()));
    assert!(
        store
            .add(&of("k").digest().unwrap(), Outputs::bytes("n".repeat(100 << 10), ""))
            .is_ok_and(|added| added == Added::Skipped(Skip::TooLong))
    );
}

#[test]
fn limits_of_none_and_one_hold_after_every_add_and_no_load_fails() {
    let with = |files: u64, max_bytes: u64| {
        let place = Place::new();
        let config = place.config().max_files(files).max_bytes(max_bytes).build();
        let store = Store::open(config).unwrap();
        (place, store)
    };
    let (_place, none) = with(0, 1 << 20);
    let (_keep, one) = with(1, 1 << 20);
    let (_room, no_bytes) = with(10, 0);
    let (_small, few_bytes) = with(10, bytes(3).len() as u64 - 1);
    for number in 0..6 {
        assert_eq!(get(&none, number).how, How::Uncached(Skip::NoRoom));
        assert_eq!(get(&one, number).how, How::Built);
        assert_eq!(found(&one, 6), [number]);
        assert!(matches!(get(&no_bytes, number).how, How::Uncached(Skip::TooBig { max_bytes: 0, .. })));
        let how = get(&few_bytes, number).how;
        assert_eq!(
            matches!(how, How::Uncached(Skip::TooBig { .. })),
            (3..=6).contains(&number),
            "{number}: {how}"
        );
        assert!(few_bytes.stats().bytes < bytes(3).len() as u64);
    }
    assert_eq!((found(&none, 6).len(), none.stats().entries, no_bytes.stats().entries), (0, 0, 0));
    // Nothing fits into no bytes, and so nothing is what fits.
    assert_eq!(no_bytes.add(&sources(9), Outputs::bytes("empty", "")).unwrap(), Added::Stored);
    let _: &OsStr = no_bytes.find(&sources(9)).unwrap().primary().name();
}
