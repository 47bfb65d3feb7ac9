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
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let section = readme.split("\n## The command\n").nth(1).unwrap();
    assert_eq!(section.lines().find(|line| !line.is_empty() && !line.starts_with("```")), Some(first));
}

#[test]
fn explain_names_the_reason_of_a_miss_and_what_to_do() {
    let place = Place::with_entry();
    let explain = |words: &str| place.run(&format!("explain {words} -- ./tool a.c a.so"));
    assert_eq!(explain("-s a.c").code, 0);
    let never = place.run("explain -s a.so");
    assert_eq!((never.code, never.err.as_str()), (3, ""));
    place.write("a.c", "changed");
    let changed = explain("-s a.c");
    assert!(changed.code == 3 && changed.out.contains("a.c changed"), "{changed:?}");
    assert!(changed.out.contains("what to do: "), "{changed:?}");
    place.write("a.c", "the source");
    let context = explain("-s a.c -c abi=2");
    assert!(context.code == 3 && context.out.contains("the context value abi"), "{context:?}");
    place.out("clear");
    let dropped = explain("-s a.c");
    assert!(dropped.code == 3 && dropped.out.contains("by request"), "{dropped:?}");
}

#[test]
fn sweep_keeps_the_limits_that_it_is_given_and_a_dry_run_changes_nothing() {
    let place = place_with(4);
    let said = place.out("sweep --dry-run --max-files 1");
    assert!(said.starts_with("would drop 3 entries"), "{said}");
    assert_eq!(place.out("ls --json").lines().count(), 4);
    assert!(place.out("sweep --max-files 1").starts_with("dropped 3 entries"));
    assert_eq!(place.out("ls --json").lines().count(), 1);
    assert!(place.out("sweep --idle 30d").starts_with("dropped 0 entries"));
    assert!(place.out("sweep --max-bytes 1K").starts_with("dropped 0 entries"));
    assert!(place.out("sweep --max-bytes 0").starts_with("dropped 1 entry"));
    for wrong in ["sweep --idle 30", "sweep --max-bytes x", "sweep --max-files -1"] {
        place.run(wrong).ends(2);
    }
}

#[test]
fn stats_count_what_all_processes_have_found_and_missed() {
    let place = Place::with_entry();
    place.run(crate::common::ONE).ends(0);
    place.run("path -s a.so").ends(3);
    let stats: serde_json::Value = serde_json::from_str(&place.out("stats --json")).unwrap();
    assert_eq!((&stats["hits"], &stats["adds"]), (&1.into(), &1.into()), "{stats}");
    assert!(stats["misses"].as_u64().unwrap() >= 2, "{stats}");
    // There is no tier, and so none that had nothing.
    assert_eq!((&stats["tier"]["misses"], &stats["tier"]["errors"]), (&0.into(), &0.into()), "{stats}");
    assert!(place.out("stats").contains("never seen"), "{}", place.out("stats"));
}
