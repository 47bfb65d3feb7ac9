//! Looking into a store, and changing it by request.

use crate::common::{Ended, Place};
use std::{
    fs,
    process::{Command, Stdio},
};

fn place_with(count: usize) -> Place {
    let place = Place::new();
    place.write("a.so", "library");
    for number in 0..count {
        place.write(&format!("plugin-{number}.c"), format!("source {number}"));
        place.out(&format!("put -s plugin-{number}.c a.so"));
    }
    place
}

#[test]
fn ls_shows_each_entry_and_show_all_of_one() {
    let place = Place::with_entry();
    let ls = place.out("ls");
    let row = ls.lines().nth(1).unwrap();
    assert!(
        ls.starts_with("KEY ") && row.contains("a.c") && row.contains("10 B") && row.contains("today"),
        "{ls}"
    );
    let key = row.split(' ').next().unwrap();
    let show = place.out(&format!("show {key}"));
    for part in [key, "label", "./tool a.c a.so", "a.c (10 B)", "a.so (10 B, blake3 ", "tool/tool blake3:"] {
        assert!(show.contains(part), "{part} is not in {show}");
    }
}

#[test]
fn forget_drops_one_and_clear_all() {
    let place = place_with(3);
    let key = place.out("key -s plugin-1.c");
    assert!(place.out(&format!("forget {key}")).contains("plugin-1.c"));
    place.run("path -s plugin-1.c").ends(3);
    place.out("path -s plugin-2.c");
    assert_eq!(place.out("clear"), "dropped 2 entries\n");
    assert_eq!(place.out("ls").lines().count(), 1);
}

#[test]
fn forget_drops_nothing_if_one_of_the_keys_is_none() {
    let place = place_with(1);
    let key = place.out("key -s plugin-0.c");
    place.run(&format!("forget {} 0000000000", key.trim())).ends(3);
    place.out("path -s plugin-0.c");
}

#[test]
fn a_reader_that_has_seen_enough_ends_ls_quietly() {
    let place = place_with(2);
    // Enough for more than a pipe holds.
    for verb in ["ls", "ls --json", "man", "stats"] {
        let script = format!(
            "set -o pipefail; for i in 1 2 3; do \"$PLUGCACHE\" {verb} | head -c 1 >/dev/null; done; \"$PLUGCACHE\" {verb} | true"
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).env("PLUGCACHE", env!("CARGO_BIN_EXE_plugcache"));
        bash.env("PLUGCACHE_DIR", place.store()).stdin(Stdio::null());
        let ended = Ended::of(&mut bash);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{verb}");
    }
}

#[test]
fn a_closed_or_full_standard_output_is_told() {
    let place = place_with(1);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        place.command("ls").stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    Ended::from(output).ends(1).says("could not write to standard output");
}

#[test]
fn sizes_are_written_for_people_and_exact_for_machines() {
    let place = Place::new();
    place.write("a.c", "a");
    fs::File::create(place.path("big")).unwrap().set_len(3_000_000).unwrap();
    place.out("put -s a.c big");
    assert!(place.out("ls").contains("2.86 MiB"));
    assert!(place.out("ls --json").contains("\"bytes\":3000000"));
    assert!(place.out("du").contains("2.86 MiB") && place.out("stats").contains("2.86 MiB"));
}

#[test]
fn an_object_that_two_labels_share_counts_once() {
    let place = place_with(2);
    let du = place.out("du --json");
    assert!(du.contains("\"entries\":2,\"bytes\":7,"), "{du}");
    assert_eq!(place.out("du").lines().filter(|line| line.contains("7 B")).count(), 3);
}

#[test]
fn completions_and_the_manual_page_know_every_verb() {
    let place = Place::new();
    let man = place.out("man");
    let help = place.out("--help");
    let verbs: Vec<_> =
        help.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    let verbs: Vec<_> = verbs
        .into_iter()
        .filter(|word| word.chars().all(|c| c.is_ascii_lowercase()) && *word != "help")
        .collect();
    assert!(verbs.len() >= 14, "{verbs:?}");
    let bash = place.out("completions bash");
    for verb in verbs {
        assert!(man.contains(&format!(".SH {}", verb.to_uppercase())), "{verb}");
        assert!(bash.contains(&format!("plugcache,{verb})")), "{verb}");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(place.out(&format!("completions {shell}")).contains("require-hit"), "{shell}");
    }
}

#[test]
fn the_manual_page_has_no_error_that_man_knows_of() {
    let place = Place::new();
    fs::write(place.path("plugcache.1"), place.out("man")).unwrap();
    if !crate::common::have("groff", &["--version"]) {
        return;
    }
    let groff =
        Ended::of(Command::new("groff").args(["-man", "-ww", "-Tutf8", "-z"]).arg(place.path("plugcache.1")));
    assert_eq!((groff.code, groff.err.as_str()), (0, ""));
}

#[test]
fn the_help_begins_with_the_line_that_most_need() {
    let help = Place::new().out("--help");
    let first = "plugcache run -o plugin.so -s plugin.c -- cc -shared -fPIC -o plugin.so plugin.c";
    assert_eq!(help.lines().next(), Some(first));
}
