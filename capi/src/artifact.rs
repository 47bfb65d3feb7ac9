//! What a store hands out: artifacts, their files, copies of these; and the outputs that an add is given.
#![expect(unsafe_code, reason = "names go out unmangled, texts come in as bare pointers")]

use crate::border::{self, Bytes, Code, Failure, c_text, guard, needed};
use std::{
    ffi::{CString, c_char},
    sync::OnceLock,
    time::Duration,
};

/// How an artifact was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum How {
    /// It was in the store.
    Hit = 0,
    /// Somebody else built it while this caller waited.
    Waited = 1,
    /// It was built now, and stored.
    Built = 2,
    /// It was built now and not stored: `plugcache_artifact_how_text` says why. It is as good as any, and its files go
    /// when it is released.
    Uncached = 3,
    /// It was built now and compared with what is stored, and not stored: the mode is `compare`.
    /// `plugcache_artifact_how_text` says what differs.
    Compared = 4,
}

/// A ready artifact. Its files stay until it and all its clones are released, whatever the store does. It does not
/// change any more; any number of threads may use it.
pub struct Artifact {
    pub(crate) artifact: library::Artifact,
    how: How,
    how_text: CString,
    label: CString,
    shown: Box<[Shown]>,
}

/// Texts of an output, made when they are first asked for, and then kept: callers hold pointers to them.
#[derive(Default)]
struct Shown {
    name: OnceLock<CString>,
    path: OnceLock<CString>,
}

impl Artifact {
    pub(crate) fn new(artifact: library::Artifact, how: &library::How) -> Box<Artifact> {
        let code = match how {
            library::How::Hit | library::How::Fetched => How::Hit,
            library::How::Waited => How::Waited,
            library::How::Built => How::Built,
            library::How::Compared(_) => How::Compared,
            _ => How::Uncached,
        };
        Artifact::with(artifact, code, CString::new(how.to_string()).unwrap_or_default())
    }

    fn with(artifact: library::Artifact, how: How, how_text: CString) -> Box<Artifact> {
        // A label is text that people read: a zero in it is not worth an error.
        let label = CString::new(artifact.label().replace('\0', "")).unwrap_or_default();
        let shown = artifact.outputs().map(|_| Shown::default()).collect();
        Box::new(Artifact { artifact, how, how_text, label, shown })
    }

    fn output(&self, index: usize) -> Result<(library::Output<'_>, &Shown), Failure> {
        let output = self.artifact.outputs().zip(&self.shown).nth(index);
        output.ok_or_else(|| {
            Failure::argument(format!("there is no output {index}; there are {}", self.shown.len()))
        })
    }

    fn path(&self, index: usize) -> Result<*const c_char, Failure> {
        let (output, shown) = self.output(index)?;
        if let Some(path) = shown.path.get() {
            return Ok(path.as_ptr());
        }
        let path = output.path();
        if path.as_os_str().is_empty() {
            return Err(Failure::new(Code::Io, "there is no room anywhere for a file of this packed output"));
        }
        let path = c_text(path.as_os_str())?;
        Ok(shown.path.get_or_init(|| path).as_ptr())
    }
}

fn damaged(error: library::Damaged) -> Failure {
    Failure::of(Code::Damaged, &error)
}

/// One more handle of the same artifact, to be released on its own. NULL only for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_clone(artifact: Option<&Artifact>) -> Option<Box<Artifact>> {
    guard(|| {
        let one = needed(artifact)?;
        Ok(Some(Artifact::with(one.artifact.clone(), one.how, one.how_text.clone())))
    })
}

/// Releases an artifact and every pointer that was had from it. NULL is allowed. Code that was loaded from its files
/// stays loaded; the files may go from now on.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_release(artifact: Option<Box<Artifact>>) {
    border::release(artifact)
}

/// How it was come by.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_how(artifact: Option<&Artifact>) -> How {
    artifact.map_or(How::Uncached, |artifact| artifact.how)
}

/// How it was come by, for people: "hit", "built", "not stored: the disk is full". Belongs to the artifact.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_how_text(artifact: Option<&Artifact>) -> *const c_char {
    guard(|| Ok(needed(artifact)?.how_text.as_ptr()))
}

/// What people call it. Belongs to the artifact.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_label(artifact: Option<&Artifact>) -> *const c_char {
    guard(|| Ok(needed(artifact)?.label.as_ptr()))
}

/// How long its build took, in milliseconds: what a hit saves.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_cost_ms(artifact: Option<&Artifact>) -> u64 {
    guard(|| Ok(u64::try_from(needed(artifact)?.artifact.cost().as_millis()).unwrap_or(u64::MAX)))
}

/// The path of its first output: what `dlopen` is given. Absolute. Belongs to the artifact, and leads to the file until
/// that is released. One path per content: for a second instance see `plugcache_artifact_sealed`. Never write to it.
/// NULL: a packed output for which there is no room (`PLUGCACHE_CODE_IO`).
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_path(artifact: Option<&Artifact>) -> *const c_char {
    guard(|| needed(artifact)?.path(0))
}

/// How many outputs it has; at least one.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_output_count(artifact: Option<&Artifact>) -> usize {
    guard(|| Ok(needed(artifact)?.shown.len()))
}

/// The index of the output of this name; -1 if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_artifact_output_index(
    artifact: Option<&Artifact>,
    name: *const c_char,
) -> isize {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (artifact, name) = (needed(artifact)?, unsafe { border::os(name) }?);
        let place = artifact.artifact.outputs().position(|output| output.name() == name);
        let place = place.and_then(|place| isize::try_from(place).ok());
        place.ok_or_else(|| Failure::argument(format!("there is no output {name:?}")))
    })
}

/// The name of an output, by its index from 0. Belongs to the artifact.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_output_name(artifact: Option<&Artifact>, index: usize) -> *const c_char {
    guard(|| {
        let (output, shown) = needed(artifact)?.output(index)?;
        let name = c_text(output.name())?;
        Ok(shown.name.get_or_init(|| name).as_ptr())
    })
}

/// The path of an output, as `plugcache_artifact_path`.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_output_path(artifact: Option<&Artifact>, index: usize) -> *const c_char {
    guard(|| needed(artifact)?.path(index))
}

/// The length of an output in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_output_len(artifact: Option<&Artifact>, index: usize) -> u64 {
    guard(|| Ok(needed(artifact)?.output(index)?.0.len()))
}

/// All bytes of an output, hashed after they were read; to be released by the caller. NULL: `PLUGCACHE_CODE_DAMAGED`.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_bytes(artifact: Option<&Artifact>, index: usize) -> Option<Box<Bytes>> {
    guard(|| needed(artifact)?.output(index)?.0.read_verified().map(Bytes::new).map_err(damaged))
}

/// Copies an output to `path`, beside it and then renamed over. A file of its own: what is loaded from it is an instance
/// of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_artifact_copy_to(
    artifact: Option<&Artifact>,
    index: usize,
    path: *const c_char,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let path = unsafe { border::path(path) }?;
        let copied = needed(artifact)?.output(index)?.0.copy_to(path);
        copied
            .map(|()| Code::Ok)
            .map_err(|error| Failure::new(Code::Io, format!("could not copy to {}: {error}", path.display())))
    })
}

/// A copy of an output in memory that nobody can change any more.
pub struct Sealed {
    sealed: library::Sealed,
    path: CString,
}

/// Makes such a copy, and hashes it after it was sealed. Its path was never used before in this process: a dynamic
/// loader takes it for a new library, so that its initialisers run once more. NULL: `PLUGCACHE_CODE_DAMAGED`.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_artifact_sealed(
    artifact: Option<&Artifact>,
    index: usize,
) -> Option<Box<Sealed>> {
    guard(|| {
        let sealed = needed(artifact)?.output(index)?.0.sealed().map_err(damaged)?;
        let path = c_text(sealed.path().as_os_str())?;
        Ok(Some(Box::new(Sealed { sealed, path })))
    })
}

/// Opens the copy, in this process. Belongs to the copy.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_sealed_path(sealed: Option<&Sealed>) -> *const c_char {
    guard(|| Ok(needed(sealed)?.path.as_ptr()))
}

/// Its bytes. They belong to the copy.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_sealed_data(sealed: Option<&Sealed>) -> *const u8 {
    guard(|| Ok(needed(sealed)?.sealed.bytes().as_ptr()))
}

/// How many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_sealed_len(sealed: Option<&Sealed>) -> usize {
    guard(|| Ok(needed(sealed)?.sealed.bytes().len()))
}

/// Releases a copy. NULL is allowed. What was loaded from it stays loaded.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_sealed_free(sealed: Option<Box<Sealed>>) {
    border::release(sealed)
}

/// What a host that compiled by itself gives to `plugcache_add`: named outputs, the first of which is the primary one.
/// One thread at a time.
pub struct Outputs(pub(crate) Option<library::Outputs>);

impl Outputs {
    fn add(
        &mut self,
        first: impl FnOnce() -> library::Outputs,
        more: impl FnOnce(library::Outputs) -> library::Outputs,
    ) {
        self.0 = Some(match self.0.take() {
            Some(outputs) => more(outputs),
            None => first(),
        });
    }
}

/// No outputs yet.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_outputs_new() -> Option<Box<Outputs>> {
    guard(|| Ok(Some(Box::new(Outputs(None)))))
}

/// One more output from a file, which `plugcache_add` copies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_outputs_file(
    outputs: Option<&mut Outputs>,
    name: *const c_char,
    path: *const c_char,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (name, path) = unsafe { (border::os(name)?, border::path(path)?) };
        needed(outputs)?.add(|| library::Outputs::file(name, path), |outputs| outputs.and_file(name, path));
        Ok(Code::Ok)
    })
}

/// One more output from memory, which is copied now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_outputs_bytes(
    outputs: Option<&mut Outputs>,
    name: *const c_char,
    bytes: *const u8,
    len: usize,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (name, bytes) = unsafe { (border::os(name)?, border::bytes(bytes, len)?) };
        needed(outputs)?
            .add(|| library::Outputs::bytes(name, bytes), |outputs| outputs.and_bytes(name, bytes));
        Ok(Code::Ok)
    })
}

/// As `plugcache_outputs_bytes`, but without a file of its own in the store: for what comes by the thousand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_outputs_packed(
    outputs: Option<&mut Outputs>,
    name: *const c_char,
    bytes: *const u8,
    len: usize,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (name, bytes) = unsafe { (border::os(name)?, border::bytes(bytes, len)?) };
        needed(outputs)?
            .add(|| library::Outputs::packed(name, bytes), |outputs| outputs.and_packed(name, bytes));
        Ok(Code::Ok)
    })
}

/// How long making them took: what a later hit saves. After the first output.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_outputs_cost_ms(outputs: Option<&mut Outputs>, cost_ms: u64) -> Code {
    guard(|| {
        let Outputs(outputs) = needed(outputs)?;
        let named = outputs.take().ok_or_else(|| Failure::argument("there is no output yet"))?;
        *outputs = Some(named.cost(Duration::from_millis(cost_ms)));
        Ok(Code::Ok)
    })
}

/// Releases outputs. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_outputs_free(outputs: Option<Box<Outputs>>) {
    border::release(outputs)
}
