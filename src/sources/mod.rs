//! What is compiled: the ordered sources of one plugin, the toolchain, the options, and the digest of it all.
//!
//! `Sources` is made by hosts and used by the store. Invariants: two `Sources` are equal only if everything
//! in their key is ([`key`] says which bytes); none exists without a kind, a toolchain and options; what it
//! records suffices to compute its digest again; and a digest of a file is that of a content it really had
//! ([`read`]).

mod batch;
mod builder;
mod depfile;
mod error;
mod identity;
mod kept;
mod key;
mod memo;
mod program;
#[cfg(test)]
mod program_tests;
mod read;
mod script;
#[cfg(test)]
mod tests;
mod threads;
mod toolchain;

pub use self::{
    builder::{NO_OPTIONS, SourcesBuilder},
    error::{BadSource, BadSourceKind, SourcesError, ToolchainError},
    toolchain::Toolchain,
};
pub(crate) use self::{depfile::parse_depfile, memo::Memo};

use self::{batch::Digested, key::recompute, read::Fingerprint};
use crate::{
    digest::{ObjectDigest, SourceDigest},
    format::record::{Field, FieldTag, PartRecord, Recipe, Value},
    fs::{self, Fs},
    sync::Arc,
};
use std::{
    cmp::Ordering,
    ffi::OsStr,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
};

impl ObjectDigest {
    /// BLAKE3 of the content of a file, following symbolic links.
    ///
    /// Guaranteed: the file was not written while it was read, as far as its times and length show. Not
    /// guaranteed: that it still has this content. A file that cannot be digested is an error that says what
    /// is wrong with it, promptly also for a FIFO.
    pub fn of_file(path: impl AsRef<Path>) -> Result<Self, BadSource> {
        batch::digest_one(&Fs::Os, None, path.as_ref()).map(|reading| reading.digest)
    }
}

/// BLAKE3 of a file's content: by its state alone where the memo proves that unchanged.
pub(crate) fn digest_path(fs: &Fs, memo: Option<&Memo>, path: &Path) -> Result<ObjectDigest, BadSource> {
    batch::digest_one(fs, memo, path).map(|reading| reading.digest)
}

/// A complete description of one compile: what a store is asked for.
///
/// Made by [`Sources::new`] and [`SourcesBuilder::digest`]. Guaranteed: two of them are equal, in this and in
/// every other process, exactly if they have the same [digest](Sources::digest): the same kind, toolchain,
/// options, context and environment, and the same parts by name and content in the same order. Not part of
/// it: the directory, times, length and mode of a file, and the [label](Sources::label).
///
/// Not guaranteed: that the files are still what they were. A store looks again before it stores anything.
///
/// A clone is cheap. Read back by serde (feature `serde`) it is equal to what was written, and the digest is
/// computed again from what was read; values that were recorded as their digest stay so.
#[derive(Clone, Debug)]
pub struct Sources(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    digest: SourceDigest,
    label: String,
    kind: String,
    fields: Vec<Field>,
    parts: Vec<PartInner>,
}

#[derive(Debug)]
struct PartInner {
    /// `None`: the last name of the path.
    name: Option<Box<OsStr>>,
    path: Option<PathBuf>,
    digest: ObjectDigest,
    len: u64,
    /// `None` if this process has not read the part from a file.
    fingerprint: Option<Fingerprint>,
}

/// One source among the parts of [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part<'a> {
    /// The last component of its path as it was given; of a link the link's own name.
    pub name: &'a OsStr,
    /// Where it was read: absolute, with symbolic links in it. `None` if it was given as bytes.
    pub path: Option<&'a Path>,
    /// BLAKE3 of its content.
    pub digest: ObjectDigest,
    /// Its length in bytes.
    pub len: u64,
}

/// The value of a context pair or of an environment variable, as far as it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextValue<'a> {
    /// The value itself: the caller chose to show it.
    Shown(&'a [u8]),
    /// BLAKE3 of the value.
    Hidden(ObjectDigest),
}

impl Sources {
    /// Begins the description of one compile.
    ///
    /// `kind` says what is made and for which host interface, such as `"my-host/abi-3"`: whatever a host
    /// would reject an artifact for belongs in it. `options` are the compiler's, in their order. A key cannot
    /// be had without these three; where there is nothing to say, say so with [`Toolchain::none`] and
    /// [`NO_OPTIONS`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use plugcache::{Sources, Toolchain};
    ///
    /// let toolchain = Toolchain::of_value("my-compiler", "4.2");
    /// let greet = |text: &str| Sources::new("my-host/abi-1", &toolchain, ["-O2"]).bytes("greet.c", text).digest();
    /// assert_eq!(greet("int x;")?, greet("int x;")?);
    /// assert_ne!(greet("int x;")?, greet("int y;")?);
    /// # Ok(())
    /// # }
    /// ```
    #[expect(clippy::new_ret_no_self, reason = "a key begins here, and is had by `digest` only")]
    pub fn new<O: AsRef<OsStr>>(
        kind: &str,
        toolchain: &Toolchain,
        options: impl IntoIterator<Item = O>,
    ) -> SourcesBuilder {
        SourcesBuilder::new(kind, toolchain, options)
    }

    /// The digest of the whole description; its equality is the equality of `Sources`.
    pub fn digest(&self) -> SourceDigest {
        self.0.digest
    }

    /// What is made, and for which host interface.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// What people call it; no part of the digest. Unless one was given: the first part's name, or else the
    /// kind.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// The sources, in their order.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = Part<'_>> {
        self.0.parts.iter().map(PartInner::as_part)
    }

    /// What the toolchain is made of, in its order: what each file or value does, and what identifies it.
    pub fn toolchain(&self) -> impl ExactSizeIterator<Item = (&str, ContextValue<'_>)> {
        self.pairs(FieldTag::Toolchain)
    }

    /// The options of the compiler, in their order.
    pub fn options(&self) -> impl ExactSizeIterator<Item = ContextValue<'_>> {
        self.pairs(FieldTag::Option).map(|(_, value)| value)
    }

    /// The context pairs, in their order.
    pub fn context(&self) -> impl ExactSizeIterator<Item = (&str, ContextValue<'_>)> {
        self.pairs(FieldTag::Context)
    }

    fn pairs(&self, tag: FieldTag) -> impl ExactSizeIterator<Item = (&str, ContextValue<'_>)> {
        let pairs = self.0.fields.iter().filter(|field| field.tag == tag);
        let pairs: Vec<_> = pairs.map(|field| (field.name.as_str(), context_value(&field.value))).collect();
        pairs.into_iter()
    }

    /// The environment variables, in their order; `None` for one that was not set.
    pub fn env(&self) -> impl ExactSizeIterator<Item = (&str, Option<ContextValue<'_>>)> {
        let pair = |field: &'_ Field| match field.tag {
            FieldTag::Env => Some(true),
            FieldTag::EnvUnset => Some(false),
            FieldTag::Toolchain | FieldTag::Option | FieldTag::Context => None,
        };
        let pairs = self.0.fields.iter().filter_map(|field| pair(field).map(|set| (field, set)));
        let pairs: Vec<_> = pairs
            .map(|(field, set)| (field.name.as_str(), set.then(|| context_value(&field.value))))
            .collect();
        pairs.into_iter()
    }

    /// What a record of this compile holds.
    pub(crate) fn to_recipe(&self) -> Recipe {
        let parts = self.0.parts.iter().map(PartInner::to_record).collect();
        Recipe { kind: self.0.kind.clone(), fields: self.0.fields.clone(), parts }
    }

    /// What a record describes. Nothing is known of its files: [`Sources::changed`] looks at none.
    pub(crate) fn from_recipe(recipe: Recipe, label: String) -> Sources {
        let digest = recompute(&recipe);
        let Recipe { kind, fields, parts } = recipe;
        let parts = parts.into_iter().map(PartInner::from_record).collect();
        Sources(Arc::new(Inner { digest, label, kind, fields, parts }))
    }

    /// The files of which it cannot be said that a compiler has read what was digested here (rule 9).
    ///
    /// Any change of state counts, also one that left the content equal: a file that was edited, compiled and
    /// restored has its old content again, and the artifact has not. A state that is too young to show every
    /// change is not enough; then the content is compared too.
    pub(crate) fn changed(&self, fs: &Fs) -> Vec<PathBuf> {
        self.0.parts.iter().filter_map(|part| part.changed(fs).map(Path::to_path_buf)).collect()
    }
}

impl PartInner {
    fn of_file(file: Digested) -> Self {
        let Digested { path, reading } = file;
        let (digest, len) = (reading.digest, reading.len());
        Self { name: None, path: Some(path), digest, len, fingerprint: Some(reading.fingerprint) }
    }

    /// The last component of a path as it was given is that of the absolute path, or names no file.
    fn name(&self) -> &OsStr {
        let of_path = || self.path.as_deref().and_then(fs::last_name);
        self.name.as_deref().or_else(of_path).unwrap_or_default()
    }

    fn as_part(&self) -> Part<'_> {
        Part { name: self.name(), path: self.path.as_deref(), digest: self.digest, len: self.len }
    }

    fn to_record(&self) -> PartRecord {
        PartRecord {
            name: self.name().as_encoded_bytes().to_vec(),
            path: self.path.as_ref().map(|path| path.as_os_str().as_encoded_bytes().to_vec()),
            digest: *self.digest.as_bytes(),
            len: self.len,
        }
    }

    fn from_record(record: PartRecord) -> Self {
        Self {
            name: Some(fs::text_of(&record.name).into_boxed_os_str()),
            path: record.path.map(|path| fs::text_of(&path).into()),
            digest: ObjectDigest::from_bytes(record.digest),
            len: record.len,
            fingerprint: None,
        }
    }

    /// The path, if this process has read the part there and would read something else now.
    fn changed(&self, fs: &Fs) -> Option<&Path> {
        let (path, fingerprint) = (self.path.as_deref()?, self.fingerprint?);
        let unmoved = fs.stat_source(path).is_ok_and(|stat| fingerprint.is_of(&stat));
        let same = unmoved
            && (fingerprint.is_trusted()
                || digest_path(fs, None, path).is_ok_and(|digest| digest == self.digest));
        (!same).then_some(path)
    }
}

fn context_value(value: &Value) -> ContextValue<'_> {
    match value {
        Value::Shown(bytes) => ContextValue::Shown(bytes),
        Value::Hidden(digest) => ContextValue::Hidden(ObjectDigest::from_bytes(*digest)),
    }
}

impl PartialEq for Sources {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for Sources {}

impl PartialOrd for Sources {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sources {
    fn cmp(&self, other: &Self) -> Ordering {
        self.digest().cmp(&other.digest())
    }
}

impl Hash for Sources {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest().hash(state);
    }
}

/// What serde writes and reads: the recipe beside the label.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Written {
    label: String,
    recipe: Recipe,
}

#[cfg(feature = "serde")]
impl serde::Serialize for Sources {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Written { label: self.label().to_owned(), recipe: self.to_recipe() }.serialize(to)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Sources {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Written { label, recipe } = Written::deserialize(from)?;
        Ok(Sources::from_recipe(recipe, label))
    }
}
