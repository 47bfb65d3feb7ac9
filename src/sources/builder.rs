//! Putting the description of one compile together.
//!
//! For hosts, through [`Sources::new`]. It keeps this: kind, toolchain and options are arguments of the only
//! constructor, there is no default, and nothing is read before `digest` is called.

use super::{
    Inner, PartInner, Sources, Toolchain,
    batch::{self, Digested},
    error::SourcesError,
    key::digest_of,
    memo::Memo,
};
use crate::{
    digest::ObjectDigest,
    format::record::{Field, FieldTag, Value},
    fs::{self, Fs},
};
use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
};

/// For [`Sources::new`] where the compiler takes no options.
pub const NO_OPTIONS: [&str; 0] = [];

/// A longer value is recorded as its BLAKE3 only: a hundred shown values must fit a frame of 64 KiB, with
/// room for the paths, and nobody reads more than three lines of one.
const SHOWN_BYTES_MAX: usize = 256;

/// A description of one compile in the making: see [`Sources::new`].
///
/// Files are given in the order in which the compiler gets them; the order counts. Nothing is read before
/// [`digest`](Self::digest).
#[derive(Debug)]
#[must_use = "a builder does nothing until `digest` is called"]
pub struct SourcesBuilder {
    kind: String,
    label: Option<String>,
    fields: Vec<Field>,
    items: Vec<Item>,
}

#[derive(Debug)]
enum Item {
    File(PathBuf),
    Bytes { name: OsString, digest: ObjectDigest, len: u64 },
}

impl SourcesBuilder {
    pub(super) fn new<O: AsRef<OsStr>>(
        kind: &str,
        toolchain: &Toolchain,
        options: impl IntoIterator<Item = O>,
    ) -> Self {
        let mut fields = toolchain.fields().to_vec();
        for option in options {
            fields.push(shown(FieldTag::Option, "", option.as_ref().as_encoded_bytes()));
        }
        Self { kind: kind.to_owned(), label: None, fields, items: Vec::new() }
    }

    /// Adds a file: its name, the last component of `path`, and its content are part of the digest; its
    /// directory is not. A symbolic link counts under its own name with the content it leads to.
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.items.push(Item::File(path.as_ref().to_path_buf()));
        self
    }

    /// Adds files, in their order.
    pub fn files<P: AsRef<Path>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        paths.into_iter().fold(self, |builder, path| builder.file(path))
    }

    /// Adds a source that the host holds in memory. A file of the same name and content would count the same.
    pub fn bytes(mut self, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        let digest = ObjectDigest::of_bytes(content);
        self.items.push(Item::Bytes { name: name.as_ref().to_owned(), digest, len: content.len() as u64 });
        self
    }

    /// Adds whatever else the artifact depends on, by a name of the caller's choice. The order counts.
    ///
    /// The value is recorded as its BLAKE3, so that a secret does not lie in the store; a value that can be
    /// guessed can be found from it. See [`context_shown`](Self::context_shown).
    pub fn context(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push(hidden(FieldTag::Context, name, value.as_ref()));
        self
    }

    /// As [`context`](Self::context), but the value is recorded as it is (up to 256 bytes), so that people
    /// can read why two compiles differ. The digest is the same either way.
    pub fn context_shown(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push(shown(FieldTag::Context, name, value.as_ref()));
        self
    }

    /// Adds an environment variable with the value it has now. One that is not set is not the same as one
    /// that is set to nothing. Recorded as its BLAKE3; see [`env_shown`](Self::env_shown).
    pub fn env(mut self, name: &str) -> Self {
        self.fields.push(match env::var_os(name) {
            Some(value) => hidden(FieldTag::Env, name, value.as_encoded_bytes()),
            None => shown(FieldTag::EnvUnset, name, b""),
        });
        self
    }

    /// As [`env`](Self::env), but the value is recorded as it is (up to 256 bytes). The digest is the same
    /// either way.
    pub fn env_shown(mut self, name: &str) -> Self {
        self.fields.push(match env::var_os(name) {
            Some(value) => shown(FieldTag::Env, name, value.as_encoded_bytes()),
            None => shown(FieldTag::EnvUnset, name, b""),
        });
        self
    }

    /// Says what people call it; no part of the digest.
    pub fn label(mut self, label: &str) -> Self {
        self.label = Some(label.to_owned());
        self
    }

    /// Reads and digests all files, in parallel where that pays.
    ///
    /// Each file is opened once, and its state must be the same after reading as before, or it is read again,
    /// up to three times. The error names every file that is missing, not a file, unreadable or changing:
    /// mend those and call again.
    pub fn digest(self) -> Result<Sources, SourcesError> {
        self.digest_in(&Fs::Os, None)
    }

    /// As [`digest`](Self::digest), with files that `memo` proves unchanged left unread.
    pub(crate) fn digest_in(self, world: &Fs, memo: Option<&Memo>) -> Result<Sources, SourcesError> {
        let Self { kind, label, fields, items } = self;
        let (files, held) = apart(items);
        let count = files.len() + held.len();
        let parts = together(batch::digest_all(world, memo, files)?, held, count);
        let label = label.unwrap_or_else(|| {
            parts.first().map_or_else(|| kind.clone(), |part| part.name().to_string_lossy().into_owned())
        });
        let hashed = parts.iter().map(|part| (fs::bytes_of(part.name()), part.digest.as_bytes()));
        let digest = digest_of(&kind, &fields, hashed);
        Ok(Sources(Arc::new(Inner { digest, label, kind, fields, parts })))
    }
}

/// The files among the items, and the other items with their places among all.
fn apart(items: Vec<Item>) -> (Vec<PathBuf>, Vec<(usize, PartInner)>) {
    let (mut files, mut held) = (Vec::with_capacity(items.len()), Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        match item {
            Item::File(path) => files.push(path),
            Item::Bytes { name, digest, len } => {
                held.push((
                    place,
                    PartInner { name: Some(name.into()), path: None, digest, len, fingerprint: None },
                ));
            }
        }
    }
    (files, held)
}

/// The inverse of [`apart`], after the files were digested.
fn together(
    files: impl Iterator<Item = Digested>,
    held: Vec<(usize, PartInner)>,
    count: usize,
) -> Vec<PartInner> {
    let mut files = files.map(PartInner::of_file);
    if held.is_empty() {
        // In the memory of the list that it is made from.
        return files.collect();
    }
    let mut parts = Vec::with_capacity(count);
    for (place, part) in held {
        parts.extend(files.by_ref().take(place - parts.len()));
        parts.push(part);
    }
    parts.extend(files);
    parts
}

/// A field whose value people may read, unless it is long.
pub(super) fn shown(tag: FieldTag, name: &str, value: &[u8]) -> Field {
    if value.len() > SHOWN_BYTES_MAX {
        return hidden(tag, name, value);
    }
    Field { tag, name: name.to_owned(), value: Value::Shown(value.to_vec()) }
}

fn hidden(tag: FieldTag, name: &str, value: &[u8]) -> Field {
    let digest = *ObjectDigest::of_bytes(value).as_bytes();
    Field { tag, name: name.to_owned(), value: Value::Hidden(digest) }
}
