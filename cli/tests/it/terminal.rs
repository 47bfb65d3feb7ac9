//! What people see: in a real terminal, and where there is none.

use crate::common::{Ended, Place, have};
use std::process::Command;

fn place() -> Place {
    let place = Place::new();
    place.write("a-plugin-with-a-name-that-is-much-longer-than-a-narrow-terminal-has-columns.c", "a");
    place.out("put -s a-plugin-with-a-name-that-is-much-longer-than-a-narrow-terminal-has-columns.c tool");
    place
}

/// The output of a verb in a terminal of so many columns, as script(1) makes one.
fn in_terminal(place: &Place, columns: u32, verb: &str) -> Option<String> {
    if !have("script", &["--version"]) {
        return None;
    }
    let inner = format!("stty cols {columns} rows 24; \"$PLUGCACHE\" {verb}");
    let mut command = Command::new("script");
    command.args(["-qec", &inner, "/dev/null"]).current_dir(place.path("")).env("TERM", "xterm");
    command.env("PLUGCACHE_DIR", place.store()).env("PLUGCACHE", env!("CARGO_BIN_EXE_plugcache"));
    let ended = Ended::of(command.env_remove("NO_COLOR"));
    ended.ends(0);
    Some(ended.out)
}

/// Without what colours it.
fn bare(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |bare, part| bare + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[test]
fn a_table_fits_the_terminal_and_is_coloured_there_only() {
    let place = place();
    for columns in [80, 60] {
        let Some(shown) = in_terminal(&place, columns, "ls") else { return };
        assert!(shown.contains("\x1b[1m"), "{shown:?}");
        for line in bare(&shown).lines() {
            assert!(line.trim_end().chars().count() <= columns as usize, "{columns}: {line:?}");
        }
        assert!(shown.contains('…'), "{shown}");
    }
    let piped = place.out("ls");
    assert!(!piped.contains('\x1b') && piped.contains("has-columns.c"), "{piped}");
}

#[test]
fn no_color_and_clicolor_force_are_obeyed() {
    let place = place();
    let with = |name: &str, verb: &str| {
        let ended = Ended::of(place.command(verb).env(name, "1"));
        ended.ends(0);
        ended.out.contains('\x1b')
    };
    for verb in ["ls", "stats", "du", "doctor"] {
        assert!(with("CLICOLOR_FORCE", verb) && !with("NO_COLOR", verb), "{verb}");
    }
    let Some(shown) = in_terminal(&place, 80, "ls") else { return };
    assert!(shown.contains('\x1b'));
    let both = Ended::of(place.command("ls").env("NO_COLOR", "1").env("CLICOLOR_FORCE", "1")).out;
    assert!(!both.contains('\x1b'), "{both:?}");
}

#[test]
fn json_is_never_coloured_nor_cut() {
    let place = place();
    let json = Ended::of(place.command("ls --json").env("CLICOLOR_FORCE", "1")).out;
    assert!(!json.contains('\x1b') && json.contains("has-columns.c"), "{json}");
}

#[test]
fn long_work_shows_how_far_it_is_on_a_terminal_and_nowhere_else() {
    let place = place();
    place.write("b.c", "b");
    // What is smaller is stored before anybody could read of it.
    let big = std::fs::File::create(place.path("big.so")).unwrap();
    big.set_len(80 << 20).unwrap();
    let other = Place::new();
    let layer = other.beside("layer").display().to_string();
    for (verb, shown) in [
        ("put -s b.c big.so".to_owned(), "storing"),
        ("scrub".to_owned(), "scrubbing"),
        ("sweep".to_owned(), "sweeping"),
        (format!("export {layer}"), "exporting"),
        (format!("import {layer}"), "importing"),
    ] {
        let place = if shown == "importing" { &other } else { &place };
        let Some(seen) = in_terminal(place, 80, &verb) else { return };
        assert!(seen.contains(shown), "{verb}: {seen:?}");
        // It goes again: what is left is the answer.
        assert!(seen.contains("\r\x1b[2K"), "{verb}: {seen:?}");
        if shown != "exporting" {
            let piped = place.run(&verb);
            assert!(!piped.err.contains(shown) && !piped.out.contains('\r'), "{verb}: {piped:?}");
        }
    }
}
