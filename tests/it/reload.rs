//! Hosts that reload: fresh instances, no old code by a descriptor number that comes again, nothing that leaks, and an
//! artifact that does not load is built anew once. All with the real dynamic linker.
#![expect(unsafe_code, reason = "a dynamic linker is called, and what it has loaded")]

use crate::common::{Place, copy, example, key, let_the_file_clock_tick, named};
use libloading::Library;
use plugcache::{Artifact, Build, How, LoadFailed, LoadOrBuildError, Store};
use std::{
    collections::HashSet,
    ffi::c_int,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A library whose `number()` is this, plus how often this instance was called before.
fn compiled(place: &Place, store: &Store, number: i32) -> Artifact {
    let text = format!("static int calls; int number(void) {{ return {number} + calls++; }}");
    let source = place.write(format!("{number}.c"), text);
    let sources = key([&source]).digest().unwrap();
    let build = |build: &mut Build| {
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).arg(build.output("plugin.so")).arg(&source);
        cc.status().map(|status| assert!(status.success()))
    };
    store.get_or_build(&sources, build).unwrap().artifact
}

fn loaded(path: &Path) -> Library {
    // SAFETY: the libraries of this file have no initialisers.
    unsafe { Library::new(path) }.unwrap()
}

fn number(library: &Library) -> c_int {
    // SAFETY: `compiled` makes libraries with a function of this type.
    unsafe { library.get::<unsafe extern "C" fn() -> c_int>("number").unwrap()() }
}

#[test]
fn the_path_of_an_artifact_is_one_instance_and_each_copy_is_one_of_its_own() {
    let place = Place::new();
    let artifact = compiled(&place, &place.store(), 100);
    let (one, same) = (loaded(artifact.path()), loaded(artifact.path()));
    assert_eq!((number(&one), number(&same)), (100, 101), "one file, one memory");
    let output = artifact.primary();
    let (first, second) = (output.sealed().unwrap(), output.sealed().unwrap());
    for path in [first.path(), second.path()] {
        assert_eq!(number(&loaded(path)), 100);
    }
    let (first, second) = (loaded(first.path()), loaded(second.path()));
    assert_eq!((number(&first), number(&second), number(&first)), (100, 100, 101));
    let copies = [place.path("a.so"), place.path("b.so")];
    let copies = copies.map(|path| output.copy_to(&path).map(|()| loaded(&path)).unwrap());
    assert_eq!(copies.each_ref().map(number), [100, 100]);
    assert_eq!((number(&one), number(&first)), (102, 102), "each goes on where it was");
}

#[test]
fn a_copy_over_a_loaded_copy_leaves_the_old_code_as_it_is() {
    let place = Place::new();
    let store = place.store();
    let (old, new) = (compiled(&place, &store, 100), compiled(&place, &store, 200));
    let path = place.path("plugin.so");
    old.primary().copy_to(&path).unwrap();
    let running = loaded(&path);
    assert_eq!(number(&running), 100);
    new.primary().copy_to(&path).unwrap();
    assert_eq!(number(&running), 101);
    drop(running);
    assert_eq!(number(&loaded(&path)), 200);
}

#[test]
fn a_descriptor_number_that_comes_again_does_not_bring_the_old_code_back() {
    let place = Place::new();
    let store = place.store();
    let artifacts: Vec<_> = [100, 200, 300].map(|number| compiled(&place, &store, number)).into();
    let (mut paths, mut numbers, mut running) = (HashSet::new(), HashSet::new(), Vec::new());
    let mut naive_was_wrong = false;
    for (round, artifact) in artifacts.iter().cycle().take(60).enumerate() {
        let expected = [100, 200, 300][round % 3];
        let copy = artifact.primary().sealed().unwrap();
        // As the linker compares them: `Path` takes `//` for `/`.
        assert!(paths.insert(copy.path().as_os_str().to_owned()), "{} came again", copy.path().display());
        numbers.insert(copy.as_fd().as_raw_fd());
        // The trap that this is about: what a host would write by hand.
        let naive = loaded(Path::new(&format!("/proc/self/fd/{}", copy.as_fd().as_raw_fd())));
        naive_was_wrong |= number(&naive) / 100 * 100 != expected;
        let library = loaded(copy.path());
        // The descriptor goes, the code stays.
        drop(copy);
        assert!(number(&library) / 100 * 100 == expected, "round {round}");
        running.push((expected, library, naive));
    }
    // Other tests of this process open files too, but not so many.
    assert!(numbers.len() < 60, "no descriptor number came again: this test shows nothing");
    assert!(naive_was_wrong, "the trap is not there: this test shows nothing");
    for (expected, library, _) in &running {
        assert_eq!(number(library) / 100 * 100, *expected);
    }
}

#[test]
fn what_never_loads_is_built_once_for_each_request_and_never_in_a_loop() {
    let place = Place::new();
    let (store, compiler, loads) = (place.store(), place.compiler(), AtomicUsize::new(0));
    let load = |_: &Artifact| {
        loads.fetch_add(1, Ordering::Relaxed);
        Err::<(), _>(LoadFailed::Artifact("wrong ABI"))
    };
    let request = || store.load_or_build(&named("a"), compiler.makes("never good"), load).unwrap_err();
    store.get_or_build(&named("a"), compiler.makes("never good")).unwrap();
    for requests in 1..=5 {
        assert!(matches!(request(), LoadOrBuildError::Load("wrong ABI")));
        // The first one finds what was stored; nothing that did not load is found by a later one.
        assert_eq!((compiler.runs(), loads.load(Ordering::Relaxed)), (1 + requests, 1 + requests as usize));
    }
    assert_eq!(place.spectator().entries().count(), 0);
    place.assert_nothing_in_progress();
}

#[test]
fn what_a_host_rejects_is_built_once_more_whoever_asks() {
    let place = Place::new();
    let (store, compiler) = (place.store(), place.compiler());
    let bad = store.get_or_build(&named("a"), compiler.makes("x")).unwrap().artifact;
    assert!(store.reject(&bad, "it does not load"));
    assert!(!store.reject(&bad, "it does not load"), "nothing is left to reject");
    let how: Vec<_> =
        [0; 3].map(|_| place.store().get_or_build(&named("a"), compiler.makes("x")).unwrap().how).into();
    assert_eq!((how, compiler.runs()), (vec![How::Built, How::Hit, How::Hit], 2));
    assert!(!store.reject(&bad, "late news"), "the new entry is another, whatever the key and the bytes");
    assert!(store.find(&named("a")).is_some());
}

#[test]
fn many_who_cannot_load_the_same_artifact_have_it_built_once_more_in_all() {
    for _ in 0..20 {
        let place = Place::new();
        let compiler = place.compiler();
        place.store().get_or_build(&named("a"), compiler.makes("bad")).unwrap();
        let together = Barrier::new(8);
        let load = |artifact: &Artifact| match artifact.primary().read().unwrap() == b"good" {
            true => Ok(()),
            false => {
                together.wait();
                Err(LoadFailed::Artifact("bad"))
            }
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let store = place.store();
                    store.load_or_build(&named("a"), compiler.makes("good"), load).unwrap();
                });
            }
        });
        assert_eq!(compiler.runs(), 2);
    }
}

/// The example host that reloads.
struct Host {
    place: Place,
    source: PathBuf,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Host {
    fn new() -> Host {
        let place = Place::new();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/reload_host"), &place.path("host"));
        let source = place.path("host/plugin.c");
        let mut command = Command::new(example("reload_host"));
        command.arg("--store").arg(place.store_dir()).arg("--plugin").arg(&source);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Host { place, source, child, input, output }
    }

    fn call(&mut self) -> String {
        self.input.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.source).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&self.source, text.replace(from, to)).unwrap();
    }

    /// Open descriptors, mappings, and KiB of memory that are the process's own.
    fn holds(&self) -> (usize, usize, usize) {
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let descriptors = fs::read_dir(proc.join("fd")).unwrap().count();
        let maps = fs::read_to_string(proc.join("maps")).unwrap().lines().count();
        let status = fs::read_to_string(proc.join("status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        (descriptors, maps, memory.trim().trim_end_matches(" kB").parse().unwrap())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_next_call_uses_the_edited_source_and_the_old_instance_stays_valid() {
    let mut host = Host::new();
    assert_eq!(host.call(), "edit me (built)");
    assert!(host.call().starts_with("edit me (as before"));
    host.edit("\"edit me\"", "\"edited\"");
    assert_eq!(host.call(), "edited (built; the old code was called 2 times)");
    host.edit("\"edited\"", "\"edit me\"");
    assert_eq!(host.call(), "edit me (hit; the old code was called 1 times)", "a new instance of the first");
    host.edit("calls++;", "calls++");
    assert_eq!(host.call(), "it stays as it was", "what does not compile changes nothing");
    host.edit("calls++", "calls++;");
    assert!(host.call().starts_with("edit me (as before"));
    // A header is in no key; it counts all the same.
    host.place.write("host/words.h", "#define WORDS \"from a header\"\n");
    host.edit("static int calls;", "#include \"words.h\"\nstatic int calls;");
    host.edit("\"edit me\"", "WORDS");
    let_the_file_clock_tick();
    assert!(host.call().starts_with("from a header (built"));
    host.place.write("host/words.h", "#define WORDS \"edited\"\n");
    let_the_file_clock_tick();
    assert!(host.call().starts_with("edited (built"));
}

#[test]
fn a_thousand_reloads_leak_no_descriptor_no_mapping_and_no_memory() {
    let mut host = Host::new();
    let mut last = String::from("edit me");
    let mut reload = |host: &mut Host, round: usize| {
        let next = format!("version {}", round % 5);
        host.edit(&format!("\"{last}\""), &format!("\"{next}\""));
        let said = host.call();
        assert!(said.starts_with(&format!("{next} (")) && said.contains("the old code"), "{said}");
        last = next;
    };
    assert_eq!(host.call(), "edit me (built)");
    (0..100).for_each(|round| reload(&mut host, round));
    let before = host.holds();
    (100..1100).for_each(|round| reload(&mut host, round));
    let after = host.holds();
    assert_eq!((after.0, after.1), (before.0, before.1), "descriptors and mappings");
    // An instance is 16 KiB: a thousand that stayed would be 16 MiB.
    assert!(after.2 < before.2 + 512, "{} KiB before, {} after", before.2, after.2);
}
