//! An entry as it is printed, for machines: see docs/json.md.

use crate::out::human;
use plugcache::{ContextValue, Entry, Sources};
use serde::Serialize;
use std::time::SystemTime;

/// What every verb says of an entry.
#[derive(Serialize)]
pub(crate) struct EntryJson {
    key: String,
    exec_id: String,
    label: String,
    bytes: u64,
    cost_ms: u64,
    made_unix_ms: u64,
    last_used_unix_s: u64,
    outputs: Vec<OutputJson>,
}

#[derive(Serialize)]
struct OutputJson {
    name: String,
    digest: String,
    bytes: u64,
}

impl EntryJson {
    pub(crate) fn new(entry: &Entry) -> EntryJson {
        let output = |output: &plugcache::EntryOutput| OutputJson {
            name: output.name.to_string_lossy().into_owned(),
            digest: output.digest.to_string(),
            bytes: output.len,
        };
        let made = entry.made().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        EntryJson {
            key: entry.source_digest().to_string(),
            exec_id: hex(&entry.exec_id()),
            label: entry.label().to_owned(),
            bytes: entry.bytes(),
            cost_ms: ms(entry.cost()),
            made_unix_ms: ms(made),
            last_used_unix_s: human::unix(entry.last_used()),
            outputs: entry.outputs().iter().map(output).collect(),
        }
    }
}

/// What `show` says besides: how the entry was made.
#[derive(Serialize)]
pub(crate) struct RecipeJson {
    kind: String,
    tools: Vec<(String, String)>,
    command: Vec<String>,
    sources: Vec<SourceJson>,
    context: Vec<(String, String)>,
    env: Vec<(String, Option<String>)>,
    inputs: Vec<InputJson>,
}

#[derive(Serialize)]
struct SourceJson {
    name: String,
    path: Option<String>,
    digest: String,
    bytes: u64,
}

#[derive(Serialize)]
struct InputJson {
    path: String,
    digest: String,
}

impl RecipeJson {
    pub(crate) fn new(entry: &Entry, sources: &Sources) -> RecipeJson {
        let pair = |(name, value): (&str, ContextValue<'_>)| (name.to_owned(), value_text(value));
        let source = |part: plugcache::Part<'_>| SourceJson {
            name: part.name.to_string_lossy().into_owned(),
            path: part.path.map(|path| path.to_string_lossy().into_owned()),
            digest: part.digest.to_string(),
            bytes: part.len,
        };
        let inputs = entry.inputs().into_iter().map(|(path, digest)| InputJson {
            path: path.to_string_lossy().into_owned(),
            digest: digest.to_string(),
        });
        RecipeJson {
            kind: sources.kind().to_owned(),
            tools: sources.toolchain().map(pair).collect(),
            command: sources.options().map(value_text).collect(),
            sources: sources.parts().map(source).collect(),
            context: sources.context().map(pair).collect(),
            env: sources.env().map(|(name, value)| (name.to_owned(), value.map(value_text))).collect(),
            inputs: inputs.collect(),
        }
    }

    /// As lines for people: what it is, and what it holds.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let quoted: Vec<_> = self.command.iter().map(|word| quoted(word)).collect();
        let mut lines = Vec::new();
        if !quoted.is_empty() {
            lines.push(("command", quoted.join(" ")));
        }
        lines.extend(self.tools.iter().map(|(name, value)| ("tool", format!("{name} {value}"))));
        for source in &self.sources {
            let place = source.path.as_ref().unwrap_or(&source.name);
            lines.push(("source", format!("{place} ({})", human::size(source.bytes))));
        }
        lines.extend(self.context.iter().map(|(name, value)| ("context", format!("{name} = {value}"))));
        for (name, value) in &self.env {
            let value = value.as_ref().map_or("(not set)".to_owned(), |value| format!("= {value}"));
            lines.push(("env", format!("{name} {value}")));
        }
        lines.extend(self.inputs.iter().map(|input| ("also read", input.path.clone())));
        lines
    }
}

pub(crate) fn value_text(value: ContextValue<'_>) -> String {
    match value {
        ContextValue::Shown(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ContextValue::Hidden(digest) => format!("blake3:{digest}"),
    }
}

/// As a shell would take it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./,:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn ms(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
