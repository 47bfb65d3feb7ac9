//! The file that says where the tier is: `remote.toml`. Whatever is not understood is an error with its line.

use crate::out::human;
use plugcache_remote::{Deadlines, Mode, Name, Prefix};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{path::PathBuf, time::Duration};

/// What the file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) bucket: String,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    #[serde(default, deserialize_with = "prefix")]
    pub(super) prefix: Option<Prefix>,
    #[serde(default, deserialize_with = "mode")]
    pub(super) mode: Mode,
    #[serde(default = "main_alone", deserialize_with = "names")]
    pub(super) namespaces: Vec<Name>,
    /// Beside the file, if it is relative.
    pub(super) trust: Option<PathBuf>,
    pub(super) publish: Option<Publish>,
    #[serde(default)]
    pub(super) deadlines: Times,
}

/// Who publishes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Publish {
    #[serde(default = "main", deserialize_with = "name")]
    pub(super) namespace: Name,
    pub(super) key: Option<PathBuf>,
    pub(super) builder: Option<String>,
}

/// How long answers may take.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Times {
    #[serde(default, deserialize_with = "span")]
    pub(super) connect: Option<Duration>,
    #[serde(default, deserialize_with = "span")]
    first_byte: Option<Duration>,
    #[serde(default, deserialize_with = "span")]
    stall: Option<Duration>,
    #[serde(default, deserialize_with = "span")]
    lookup_min: Option<Duration>,
    #[serde(default, deserialize_with = "span")]
    lookup_max: Option<Duration>,
}

impl Times {
    pub(super) fn deadlines(&self) -> Deadlines {
        let usual = Deadlines::default();
        Deadlines {
            first_byte: self.first_byte.unwrap_or(usual.first_byte),
            stall: self.stall.unwrap_or(usual.stall),
            lookup_max: self.lookup_max.unwrap_or(usual.lookup_max),
            lookup_min: self.lookup_min.unwrap_or(usual.lookup_min),
        }
    }
}

/// Reads the text of a file; an error is a line number, from 1, and what is wrong there. It never quotes the line: somebody
/// may have written a secret into it.
pub(super) fn parse(text: &str) -> Result<File, (usize, String)> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let line = 1 + text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
        (line, error.message().lines().next().unwrap_or_default().to_owned())
    })
}

/// The word of a mode, in the file and in the environment.
pub(super) fn mode_of(word: &str) -> Result<Mode, String> {
    Ok(match word {
        "off" => Mode::Off,
        "read-only" => Mode::ReadOnly,
        "read-write" => Mode::ReadWrite,
        "write-through" => Mode::WriteThrough,
        _ => return Err("the mode is off, read-only, read-write or write-through".into()),
    })
}

pub(super) fn word_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "off",
        Mode::ReadOnly => "read-only",
        Mode::ReadWrite => "read-write",
        Mode::WriteThrough => "write-through",
    }
}

fn main() -> Name {
    "main".parse().unwrap_or_else(|_| unreachable!("it is a name"))
}

fn main_alone() -> Vec<Name> {
    vec![main()]
}

fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<Mode, D::Error> {
    mode_of(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<Name, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Name>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

fn prefix<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Prefix>, D::Error> {
    Prefix::new(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    human::parse_span(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_enough() {
        let file = parse("bucket = 'plugins'").unwrap_or_else(|_| panic!("it is right"));
        assert_eq!(
            (file.bucket.as_str(), file.mode, file.namespaces),
            ("plugins", Mode::ReadOnly, main_alone())
        );
        assert_eq!(file.deadlines.deadlines(), Deadlines::default());
    }

    #[test]
    fn the_file_that_the_document_shows_is_understood_and_its_deadlines_are_the_usual_ones() {
        let document = include_str!("../../../docs/fleet.md");
        let shown = document.split("```toml\n").skip(1).find(|block| block.contains("[deadlines]"));
        let text = shown.and_then(|block| block.split("```").next()).unwrap_or_default();
        let file = parse(text).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!((file.deadlines.deadlines(), file.namespaces), (Deadlines::default(), main_alone()));
        assert!(file.publish.is_some() && file.mode == Mode::WriteThrough);
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_line_and_without_its_value() {
        for (text, line, what) in [
            ("bucket = 'b'\nbuket = 1\n", 2, "buket"),
            ("bucket = 'b'\n\n[publish]\nsecret_access_key = 'hush'\n", 4, "secret_access_key"),
            ("bucket = 'b'\nmode = 'hush'\n", 2, "read-only"),
            ("bucket = 'b'\nsecret = 'hush\n", 2, ""),
            ("bucket = 'b'\n[deadlines]\nstall = '5'\n", 3, "span"),
            ("region = 'hush'\n", 1, "bucket"),
            ("bucket = 'b'\nnamespaces = ['Main']\n", 2, "Main"),
            ("bucket = 'b'\nprefix = 'a/../b'\n", 2, ".."),
        ] {
            let (at, why) = parse(text).err().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(at, line, "{text}: {why}");
            assert!(why.contains(what) && !why.contains("hush"), "{text}: {why}");
        }
    }
}
