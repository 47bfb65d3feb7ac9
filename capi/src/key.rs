//! What is compiled, and by what: toolchains, the description of one compile, its digest.
#![expect(unsafe_code, reason = "names go out unmangled, texts come in as bare pointers")]

use crate::{
    border::{self, Bytes, Code, Failure, guard, needed},
    store::Store,
};
use std::{
    ffi::{OsString, c_char},
    path::PathBuf,
};

/// What compiles: a part of every key.
pub struct Toolchain(library::Toolchain);

fn toolchain(toolchain: library::Toolchain) -> Option<Box<Toolchain>> {
    Some(Box::new(Toolchain(toolchain)))
}

/// Identifies a program and the files that do its work, behind drivers, proxies and wrappers. `program` is looked up
/// in PATH, or is a path if it has a slash in it. Starts the compiler to ask it. NULL: `PLUGCACHE_CODE_TOOLCHAIN`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_toolchain_of_program(program: *const c_char) -> Option<Box<Toolchain>> {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let program = unsafe { border::os(program) }?;
        let found = library::Toolchain::of_program(program);
        found.map(toolchain).map_err(|error| Failure::of(Code::Toolchain, &error))
    })
}

/// Identifies files by their content; their order and names count. NULL: `PLUGCACHE_CODE_SOURCES`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_toolchain_of_files(
    name: *const c_char,
    paths: *const *const c_char,
    count: usize,
) -> Option<Box<Toolchain>> {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (name, paths) = unsafe { (border::text(name)?, border::list(paths, count)?) };
        let found = library::Toolchain::of_files(name, paths);
        found.map(toolchain).map_err(|error| Failure::of(Code::Sources, &error))
    })
}

/// A toolchain that the host can name by itself: a version with a commit, a digest. It must change whenever the
/// compiler would produce something else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_toolchain_of_value(
    name: *const c_char,
    value: *const u8,
    len: usize,
) -> Option<Box<Toolchain>> {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (name, value) = unsafe { (border::text(name)?, border::bytes(value, len)?) };
        Ok(toolchain(library::Toolchain::of_value(name, value)))
    })
}

/// States that no toolchain is involved: the artifact follows from the sources and the options alone.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_toolchain_none() -> Option<Box<Toolchain>> {
    guard(|| Ok(toolchain(library::Toolchain::none())))
}

/// A new toolchain: `first`, and then `second`. Both stay the caller's.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_toolchain_and(
    first: Option<&Toolchain>,
    second: Option<&Toolchain>,
) -> Option<Box<Toolchain>> {
    guard(|| Ok(toolchain(needed(first)?.0.clone().and(needed(second)?.0.clone()))))
}

/// Releases a toolchain. NULL is allowed. Descriptions that were made with it do not need it any more.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_toolchain_free(toolchain: Option<Box<Toolchain>>) {
    border::release(toolchain)
}

/// The description of one compile in the making. One thread at a time.
pub struct SourcesBuilder {
    kind: String,
    toolchain: library::Toolchain,
    options: Vec<OsString>,
    label: Option<String>,
    items: Vec<Item>,
}

enum Item {
    File(PathBuf),
    Bytes(OsString, Vec<u8>),
    Context(String, Vec<u8>),
    Env(String),
}

impl SourcesBuilder {
    fn to_library(&self) -> library::SourcesBuilder {
        let begun = library::Sources::new(&self.kind, &self.toolchain, &self.options);
        let all = self.items.iter().fold(begun, |builder, item| match item {
            Item::File(path) => builder.file(path),
            Item::Bytes(name, bytes) => builder.bytes(name, bytes),
            Item::Context(name, value) => builder.context(name, value),
            Item::Env(name) => builder.env(name),
        });
        match &self.label {
            Some(label) => all.label(label),
            None => all,
        }
    }
}

/// Begins a description. `kind` says what is made and for which interface of the host ("my-host/abi-3"); `options` are
/// the compiler's, `count` of them, in their order. Everything is copied. NULL: `PLUGCACHE_CODE_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_sources_builder_new(
    kind: *const c_char,
    toolchain: Option<&Toolchain>,
    options: *const *const c_char,
    count: usize,
) -> Option<Box<SourcesBuilder>> {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (kind, options) = unsafe { (border::text(kind)?, border::list(options, count)?) };
        Ok(Some(Box::new(SourcesBuilder {
            kind: kind.to_owned(),
            toolchain: needed(toolchain)?.0.clone(),
            options: options.into_iter().map(OsString::from).collect(),
            label: None,
            items: Vec::new(),
        })))
    })
}

/// Adds a file: its name and content count, its directory does not. It is read by `plugcache_sources_digest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_sources_builder_file(
    builder: Option<&mut SourcesBuilder>,
    path: *const c_char,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let path = unsafe { border::path(path) }?.to_owned();
        needed(builder)?.items.push(Item::File(path));
        Ok(Code::Ok)
    })
}

/// Adds a source that the host holds in memory; it is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_sources_builder_bytes(
    builder: Option<&mut SourcesBuilder>,
    name: *const c_char,
    bytes: *const u8,
    len: usize,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (name, bytes) = unsafe { (border::os(name)?, border::bytes(bytes, len)?) };
        needed(builder)?.items.push(Item::Bytes(name.to_owned(), bytes.to_owned()));
        Ok(Code::Ok)
    })
}

/// Adds whatever else the artifact depends on. The value is copied, and recorded in the store as its BLAKE3 only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_sources_builder_context(
    builder: Option<&mut SourcesBuilder>,
    name: *const c_char,
    value: *const u8,
    len: usize,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (name, value) = unsafe { (border::text(name)?, border::bytes(value, len)?) };
        needed(builder)?.items.push(Item::Context(name.to_owned(), value.to_owned()));
        Ok(Code::Ok)
    })
}

/// Adds an environment variable, with the value that it has when `plugcache_sources_digest` is called. Recorded as its
/// BLAKE3 only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_sources_builder_env(
    builder: Option<&mut SourcesBuilder>,
    name: *const c_char,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let name = unsafe { border::text(name) }?.to_owned();
        needed(builder)?.items.push(Item::Env(name));
        Ok(Code::Ok)
    })
}

/// Says what people call it; no part of the key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_sources_builder_label(
    builder: Option<&mut SourcesBuilder>,
    label: *const c_char,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let label = unsafe { border::text(label) }?.to_owned();
        needed(builder)?.label = Some(label);
        Ok(Code::Ok)
    })
}

/// Releases a description in the making. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_sources_builder_free(builder: Option<Box<SourcesBuilder>>) {
    border::release(builder)
}

/// The complete description of one compile, with the digests of its files: what a store is asked for. It does not
/// change any more; any number of threads may use it.
pub struct Sources(pub(crate) library::Sources);

/// Reads and digests all files of the description, as they are now. The builder stays the caller's, and may be digested
/// again when files have changed. Files that `store` (or NULL) knows to be unchanged are not read. NULL:
/// `PLUGCACHE_CODE_SOURCES`, with a line for each file that is missing, no file, unreadable or changing.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_sources_digest(
    builder: Option<&SourcesBuilder>,
    store: Option<&Store>,
) -> Option<Box<Sources>> {
    guard(|| {
        let builder = needed(builder)?.to_library();
        let digested = match store {
            Some(store) => builder.digest_with(&store.store),
            None => builder.digest(),
        };
        digested
            .map(|sources| Some(Box::new(Sources(sources))))
            .map_err(|error| Failure::of(Code::Sources, &error))
    })
}

/// The digest of the whole description as 64 hexadecimal digits, to be released by the caller.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_sources_hex(sources: Option<&Sources>) -> Option<Box<Bytes>> {
    guard(|| Ok(Bytes::new(needed(sources)?.0.digest().to_string().into_bytes())))
}

/// Releases a description. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_sources_free(sources: Option<Box<Sources>>) {
    border::release(sources)
}
