//! `run`: hit and miss, what is in the key, and what is stored.

use crate::common::{Ended, ONE, Place};
use std::{fs, os::unix::fs::PermissionsExt as _};

#[test]
fn a_hit_puts_the_outputs_in_their_places_runs_nothing_and_prints_nothing() {
    let place = Place::with_entry();
    fs::remove_file(place.path("a.so")).unwrap();
    assert_eq!(place.run(ONE), Ended { code: 0, out: String::new(), err: String::new() });
    assert_eq!((place.read("a.so").as_str(), place.runs()), ("the source", 1));
}

#[test]
fn verbose_says_hit_or_miss_and_why() {
    let place = Place::new();
    place.write("a.c", "x");
    let verbose = ONE.replace("run ", "run -v ");
    place.run(&verbose).ends(0).says("miss: ").says("stored");
    place.run(&verbose).ends(0).says("plugcache: hit");
    place.run(&verbose.replace("-o a.so", "-o a.so -o b.so")).ends(0).says("what is stored lacks b.so");
}

#[test]
fn sources_in_their_order_command_line_context_environment_and_tools_are_in_the_key_and_the_directory_is_not()
{
    let place = Place::new();
    place.write("a.c", "a");
    place.write("b.c", "b");
    place.write("other-tool", "1");
    let key = |words: &str| {
        let ended = Ended::of(place.command(&format!("key {words}")).env("V", "1"));
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.out
    };
    let base = key("-s a.c -s b.c -c l=v -e V -- ./tool x");
    assert_eq!(base, key("-s a.c -s b.c -c l=v -e V --label other -- ./tool x"));
    for other in [
        "-s b.c -s a.c -c l=v -e V -- ./tool x",
        "-s a.c -s b.c -c l=w -e V -- ./tool x",
        "-s a.c -s b.c -c l=v -- ./tool x",
        "-s a.c -s b.c -c l=v -e W -- ./tool x",
        "-s a.c -s b.c -c l=v -e V -- ./tool y",
        "-s a.c -s b.c -c l=v -e V --tool other-tool -- ./tool x",
        "-s a.c -s b.c -c l=v -e V --key-cwd -- ./tool x",
    ] {
        assert_ne!(base, key(other), "{other}");
    }
    let again = Ended::of(place.command("key -s a.c -s b.c -c l=v -e V -- ./tool x").env("V", "2"));
    assert_ne!(base, again.out, "the value of a variable counts");
    place.write("a.c", "changed");
    assert_ne!(base, key("-s a.c -s b.c -c l=v -e V -- ./tool x"), "the content counts");
}

#[test]
fn the_content_of_the_command_is_in_the_key() {
    let place = Place::with_entry();
    place.write("tool", "#!/bin/sh\necho run >> \"$RUNS\"\necho new > \"$2\"\n");
    place.run(ONE).ends(0);
    assert_eq!((place.runs(), place.read("a.so").as_str()), (2, "new\n"));
}

#[test]
fn another_directory_is_no_other_key_unless_that_is_asked_for() {
    let place = Place::with_entry();
    place.write("sub/a.c", "the source");
    fs::copy(place.path("tool"), place.path("sub/tool")).unwrap();
    let there = |words: &str| Ended::of(place.command(words).current_dir(place.path("sub")));
    there(ONE).ends(0);
    assert_eq!((place.runs(), place.read("sub/a.so").as_str()), (1, "the source"));
    there(&ONE.replace("run ", "run --key-cwd ")).ends(0);
    assert_eq!(place.runs(), 2);
}

#[test]
fn values_of_the_environment_are_stored_as_digests_unless_they_shall_be_shown() {
    let place = Place::new();
    place.write("a.c", "a");
    for (flags, shown) in [("-e SECRET", false), ("-e SECRET --show-env", true)] {
        let words = ONE.replace("run ", &format!("run --refresh {flags} "));
        Ended::of(place.command(&words).env("SECRET", "hunter2")).ends(0);
        let key = place.out("ls --json");
        let key = key.lines().last().unwrap().split("\"key\":\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(place.out(&format!("show {key}")).contains("hunter2"), shown);
        place.out("clear");
    }
}

#[test]
fn the_executable_bit_is_kept_parents_are_made_and_a_reader_never_sees_half() {
    let place = Place::new();
    place.write("a.c", "#!/bin/sh\nexit 7\n");
    place.write(
        "tool",
        "#!/bin/sh\nmkdir -p out/deep; cp a.c out/deep/prog; chmod 755 out/deep/prog; cp a.c out/plain\n",
    );
    place.set_mode("tool", 0o755);
    let words = "run -s a.c -o out/deep/prog -o out/plain -- ./tool";
    place.run(words).ends(0);
    let reader = {
        fs::remove_dir_all(place.path("out")).unwrap();
        place.run(words).ends(0);
        fs::File::open(place.path("out/plain")).unwrap()
    };
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("out/deep/prog"), mode("out/plain")), (0o755, 0o644));
    place.run(words).ends(0);
    // Renamed into place: who has the old one open keeps it, and nothing else is left beside.
    assert_ne!(ino(&reader.metadata().unwrap()), ino(&fs::metadata(place.path("out/plain")).unwrap()));
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 2);
}

fn ino(at: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(at)
}

#[test]
fn only_success_with_all_outputs_is_stored() {
    let place = Place::new();
    place.write("a.c", "a");
    let words = ["run", "-s", "a.c", "-o", "a.so", "--", "sh", "-c"];
    let run = |script: &str| Ended::of(place.command("").args(words).arg(script));
    run("echo made > a.so; exit 4").ends(4);
    run("true").ends(0).says("a.so was there before, and the command left it as it was");
    fs::remove_file(place.path("a.so")).unwrap();
    run("true").ends(0).says("not stored: a.so was not made");
    run("mkdir a.so").ends(0).says("is no regular file");
    fs::remove_dir(place.path("a.so")).unwrap();
    assert_eq!(place.out("ls --json"), "");
}

#[test]
fn a_source_that_changes_while_the_command_runs_is_not_stored_as_what_it_was() {
    let place = Place::new();
    place.write("a.c", "a");
    let script = "cat a.c > a.so; echo edited > a.c";
    let words = ["run", "-s", "a.c", "-o", "a.so", "--", "sh", "-c", script];
    Ended::of(place.command("").args(words)).ends(0).says("not stored: changed while it was built");
    assert_eq!(place.out("ls --json"), "");
}

#[test]
fn capture_stores_both_streams_and_replays_them_on_a_hit() {
    let place = Place::new();
    place.write("a.c", "a");
    let script = "echo made > a.so; echo out; echo err >&2";
    let words = ["run", "--capture", "-s", "a.c", "-o", "a.so", "--", "sh", "-c", script];
    let first = Ended::of(place.command("").args(words));
    assert_eq!((first.code, first.out.as_str(), first.err.as_str()), (0, "out\n", "err\n"));
    place.write("a.so", "stale");
    assert_eq!(Ended::of(place.command("").args(words)), first);
    assert_eq!(place.read("a.so"), "made\n");
    // The entry serves a call without capture too, which prints nothing.
    let quiet: Vec<_> = words.into_iter().filter(|word| *word != "--capture").collect();
    let quiet = Ended::of(place.command("").args(quiet));
    assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (0, "", ""));
}

#[test]
fn what_was_stored_without_capture_is_made_again_with_it() {
    let place = Place::with_entry();
    place.run(&ONE.replace("run ", "run --capture ")).ends(0);
    assert_eq!(place.runs(), 2);
    place.run(&ONE.replace("run ", "run --capture ")).ends(0);
    assert_eq!(place.runs(), 2);
}

#[test]
fn a_required_hit_refresh_and_no_store_do_what_they_say() {
    let place = Place::new();
    place.write("a.c", "a");
    let with = |flag: &str| place.run(&ONE.replace("run ", &format!("run {flag} ")));
    with("--require-hit").ends(125).says("a hit was required");
    assert_eq!(place.runs(), 0);
    with("--no-store").ends(0);
    assert!(!place.store().exists());
    place.run(ONE).ends(0);
    with("--require-hit").ends(0);
    assert_eq!(place.runs(), 2);
    with("--refresh").ends(0);
    assert_eq!(place.runs(), 3);
    with("--refresh --no-store").ends(125).says("cannot be used with");
    let off = Ended::of(place.command(ONE).env("PLUGCACHE_DISABLE", "1"));
    off.ends(0);
    assert_eq!(place.runs(), 4);
}

#[test]
fn the_headers_of_a_depfile_must_be_unchanged_for_the_next_hit() {
    let place = Place::new();
    place.write("a.c", "#include \"a.h\"\nint f(void) { return N; }\n");
    place.write("a.h", "#define N 1\n");
    // Headers of the moment in which the build begins may be either version.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let words = "run -v -s a.c -o a.o --depfile a.d -- cc -MD -MF a.d -c -o a.o a.c";
    place.run(words).ends(0).says("stored");
    place.run(words).ends(0).says("hit");
    let one = fs::read(place.path("a.o")).unwrap();
    place.write("a.h", "#define N 2\n");
    std::thread::sleep(std::time::Duration::from_millis(30));
    place.run(words).ends(0).says("miss").says("stored");
    assert_ne!(fs::read(place.path("a.o")).unwrap(), one);
    place.write("a.h", "#define N 1\n");
    place.run(words).ends(0).says("hit");
    assert_eq!(fs::read(place.path("a.o")).unwrap(), one);
}
