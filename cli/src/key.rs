//! From the key flags to [`Sources`], and from a piece of a key to the entry that is meant.

use crate::{
    args::KeyArgs,
    exit::{Exit, Fail},
    tools,
};
use plugcache::{Entry, Exec, SourceDigest, Sources, Store, Toolchain};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Changes whenever the same flags shall mean another key.
const KIND: &str = "plugcache-command/1";

/// As many digits of a key as people get to see: among 4096 entries two share them once in 10^11 stores.
pub(crate) const KEY_DIGITS: usize = 12;

/// A key that could not be had.
pub(crate) enum NoKey {
    /// There is no program of this name.
    NoCommand,
    Fail(Fail),
}

impl From<Fail> for NoKey {
    fn from(fail: Fail) -> NoKey {
        NoKey::Fail(fail)
    }
}

impl From<NoKey> for Fail {
    fn from(no: NoKey) -> Fail {
        match no {
            NoKey::NoCommand => Fail::new("there is no such command: name what does the work with --tool"),
            NoKey::Fail(fail) => fail,
        }
    }
}

impl KeyArgs {
    /// Whom the entries are made for.
    pub(crate) fn exec(&self) -> Exec {
        self.exec_id.as_ref().map_or(Exec::Independent, |id| Exec::Given(id.as_bytes().to_vec()))
    }

    /// The description of what `command` (if there is one) makes as `outputs`.
    pub(crate) fn sources(
        &self,
        store: &Store,
        command: &[OsString],
        outputs: &[PathBuf],
    ) -> Result<Sources, NoKey> {
        let toolchain = match command.first() {
            _ if !self.tools.is_empty() => tools::of_files(&self.tools, store)?,
            Some(program) => tools::of_command(program, store)?.ok_or(NoKey::NoCommand)?,
            None => Toolchain::none(),
        };
        let mut builder = Sources::new(KIND, &toolchain, command).files(&self.sources);
        for (label, value) in &self.context {
            builder = builder.context_shown(label, value);
        }
        for name in &self.env {
            builder = if self.show_env { builder.env_shown(name) } else { builder.env(name) };
        }
        if self.key_cwd {
            let cwd = std::env::current_dir()
                .map_err(|error| Fail::new(format!("there is no working directory: {error}")))?;
            builder = builder.context_shown("working directory", cwd.as_os_str().as_encoded_bytes());
        }
        if let Some(label) = self.label.clone().or_else(|| self.label_of(outputs)) {
            builder = builder.label(&label);
        }
        Ok(builder.digest_with(store).map_err(|error| Fail::of(&error))?)
    }

    /// Without a source, the first output's name says most.
    fn label_of(&self, outputs: &[PathBuf]) -> Option<String> {
        let first = outputs.first().filter(|_| self.sources.is_empty())?;
        Path::new(first).file_name().map(|name| name.to_string_lossy().into_owned())
    }
}

/// A key as people see it.
pub(crate) fn short(key: &SourceDigest) -> String {
    key.to_string().chars().take(KEY_DIGITS).collect()
}

/// The entries that a piece of a key means: all of one key.
pub(crate) fn entries_of(store: &Store, piece: &str) -> Result<Vec<Entry>, Fail> {
    let piece = piece.to_ascii_lowercase();
    if piece.len() < 4 || !piece.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(Fail::usage(format!("{piece:?} is no key: give at least 4 of its hexadecimal digits")));
    }
    let mut found: Vec<_> = store.entries().collect();
    found.retain(|entry| entry.source_digest().to_string().starts_with(&piece));
    let Some(first) = found.first() else {
        return Err(Fail::Told(Exit::Miss, format!("no entry has a key that begins with {piece}")));
    };
    if found.iter().any(|entry| entry.source_digest() != first.source_digest()) {
        return Err(Fail::new(format!("several keys begin with {piece}: give more of its digits")));
    }
    Ok(found)
}
