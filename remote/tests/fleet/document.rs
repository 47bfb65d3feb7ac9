//! The commands that docs/fleet.md shows, so that they are what is run.

use std::{fs, path::Path};

/// The fenced blocks of shell commands below a heading, without those that only install.
pub(crate) fn commands(heading: &str) -> String {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleet.md");
    let text = fs::read_to_string(place).unwrap();
    let (mut is_below, mut is_open, mut found) = (false, false, String::new());
    for line in text.lines() {
        match line.strip_prefix("## ") {
            Some(title) if !is_open => is_below = title == heading,
            _ if line.starts_with("```") => is_open = !is_open && line.starts_with("```sh"),
            _ if is_below && is_open && !line.starts_with("cargo install") => found.extend([line, "\n"]),
            _ => {}
        }
    }
    assert!(!found.is_empty(), "docs/fleet.md has no commands below {heading:?}");
    found
}

/// The file that a block writes by `cat >NAME <<EOF`.
pub(crate) fn file_in(commands: &str, name: &str) -> String {
    let (_, rest) = commands.split_once(&format!("cat >{name} <<EOF\n")).expect("the block writes it");
    rest.split_once("\nEOF\n").expect("it has an end").0.to_owned() + "\n"
}

/// Replaces what must be there.
#[track_caller]
pub(crate) fn replaced(text: &str, what: &str, with: &str) -> String {
    assert!(text.contains(what), "docs/fleet.md does not say {what:?} any more");
    text.replace(what, with)
}
