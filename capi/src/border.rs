//! The border to C: errors by thread, panics stopped, texts and bytes from bare pointers. For all other modules;
//! they reach a bare pointer through here alone. It keeps this: nothing unwinds into C, and a pointer is looked at
//! only after it was compared with NULL.
#![expect(unsafe_code, reason = "texts and bytes come in as bare pointers, and names go out unmangled")]

use std::{
    cell::RefCell,
    error::Error,
    ffi::{CStr, CString, OsStr, c_char},
    fmt::Display,
    os::unix::ffi::OsStrExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    slice,
};

/// What became of a call. Numbers are never given away anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Code {
    /// It was done.
    Ok = 0,
    /// There is no such artifact in the store. The ordinary answer, no error.
    Miss = 1,
    /// The artifact was not stored; the text says why. Nothing to do: the next request builds again.
    Skipped = 2,
    /// The caller's mistake: NULL where a pointer is needed, an index that is too high, an unknown option, text that
    /// is not UTF-8 where it must be.
    Argument = 3,
    /// The store cannot be opened; the text says what is wrong with the directory and what to do.
    Open = 4,
    /// Some sources cannot be read; the text has a line for each.
    Sources = 5,
    /// The compiler cannot be identified.
    Toolchain = 6,
    /// The build failed: the callback returned another number than 0.
    Build = 7,
    /// The build succeeded and left no usable output.
    NoOutput = 8,
    /// The build asked for the very thing that it is building.
    Recursive = 9,
    /// The mode is `require-hit`, and this is a miss; the text says why.
    RequiredHit = 10,
    /// There is no directory to build in, neither in the store nor in the system's temporary directory.
    NoScratch = 11,
    /// The artifact was built and does not load, or the plugin itself failed.
    Load = 12,
    /// The stored bytes are no longer those that were stored. Release the artifact and ask again.
    Damaged = 13,
    /// The store cannot be changed or synced.
    Store = 14,
    /// The system refused an operation.
    Io = 15,
    /// A mistake in this library or in a callback; it was stopped at the border. The objects of the call may be
    /// released, and should not be used.
    Panic = 16,
    /// The mode is `compare`, and what was added is not what is stored; the text names the outputs that differ.
    Differs = 17,
}

/// Why a call is not answered.
pub(crate) struct Failure {
    code: Code,
    text: String,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Display) -> Failure {
        Failure { code, text: text.to_string() }
    }

    pub(crate) fn argument(text: impl Display) -> Failure {
        Failure::new(Code::Argument, text)
    }

    /// With all its causes, in one line.
    pub(crate) fn of(code: Code, error: &dyn Error) -> Failure {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        Failure { code, text }
    }
}

/// What a function of C returns, and what it returns when it failed.
pub(crate) trait Answer {
    fn failed(code: Code) -> Self;
}

impl Answer for Code {
    fn failed(code: Code) -> Code {
        code
    }
}

impl<T> Answer for Option<T> {
    fn failed(_: Code) -> Option<T> {
        None
    }
}

impl Answer for *const c_char {
    fn failed(_: Code) -> *const c_char {
        std::ptr::null()
    }
}

impl Answer for *const u8 {
    fn failed(_: Code) -> *const u8 {
        std::ptr::null()
    }
}

impl Answer for bool {
    fn failed(_: Code) -> bool {
        false
    }
}

impl Answer for u64 {
    fn failed(_: Code) -> u64 {
        0
    }
}

impl Answer for usize {
    fn failed(_: Code) -> usize {
        0
    }
}

impl Answer for isize {
    fn failed(_: Code) -> isize {
        -1
    }
}

impl Answer for () {
    fn failed(_: Code) {}
}

thread_local! {
    /// What went wrong last on this thread.
    static LAST: RefCell<(Code, CString)> = RefCell::new((Code::Ok, CString::default()));
}

/// Runs what a function of C does. No panic leaves it; what went wrong is kept for `plugcache_last_error_*`.
pub(crate) fn guard<T: Answer>(body: impl FnOnce() -> Result<T, Failure>) -> T {
    // What a panic leaves half done is behind the library's own locks, which do not mind; objects of the caller are
    // to be released then, says the header.
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(answer)) => return answer,
        Ok(Err(failure)) => failure,
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let failure = Failure::new(Code::Panic, format!("panic: {}", text.unwrap_or("of unknown cause")));
            // Not dropped: what a callback has thrown may panic again when it goes.
            std::mem::forget(payload);
            failure
        }
    };
    let code = failure.code;
    note(failure);
    T::failed(code)
}

/// Ends the life of an object. Not even its end may unwind into C.
pub(crate) fn release<T>(object: Option<T>) {
    guard(|| {
        drop(object);
        Ok(())
    });
}

fn note(Failure { code, text }: Failure) {
    let text = CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
    // A thread that is ending has no last error any more.
    let _ = LAST.try_with(|last| *last.borrow_mut() = (code, text));
}

/// The code of the last call on this thread that failed or missed; `PLUGCACHE_CODE_OK` if none has. A call that succeeds
/// leaves it as it is.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_last_error_code() -> Code {
    LAST.try_with(|last| last.borrow().0).unwrap_or(Code::Ok)
}

/// What was wrong, for people: what was done to what, the cause, and what to do. Never NULL. Belongs to the library;
/// valid until the next call on this thread that fails, or the thread ends.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_last_error_text() -> *const c_char {
    LAST.try_with(|last| last.borrow().1.as_ptr()).unwrap_or(c"".as_ptr())
}

/// The version of this library, "MAJOR.MINOR.PATCH". Static.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// An object that a function cannot do without.
pub(crate) fn needed<T>(object: Option<T>) -> Result<T, Failure> {
    object.ok_or_else(|| Failure::argument("a pointer is NULL that must not be"))
}

/// A text as the system knows it: any bytes but zero.
///
/// # Safety
/// `text` is NULL, or ends with a zero and stays as it is while the result is used.
pub(crate) unsafe fn os<'a>(text: *const c_char) -> Result<&'a OsStr, Failure> {
    if text.is_null() {
        return Err(Failure::argument("a text is NULL that must not be"));
    }
    // SAFETY: not NULL; the rest is the caller's promise.
    Ok(OsStr::from_bytes(unsafe { CStr::from_ptr(text) }.to_bytes()))
}

/// A path.
///
/// # Safety
/// As [`os`].
pub(crate) unsafe fn path<'a>(text: *const c_char) -> Result<&'a Path, Failure> {
    // SAFETY: the caller's promise is the same.
    unsafe { os(text) }.map(Path::new)
}

/// A text in UTF-8.
///
/// # Safety
/// As [`os`].
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise is the same.
    let text = unsafe { os(text) }?;
    text.to_str().ok_or_else(|| Failure::argument(format!("{text:?} is not UTF-8")))
}

/// Bytes; none if `len` is 0, whatever the pointer.
///
/// # Safety
/// `bytes` is NULL, or points to `len` bytes that stay as they are while the result is used.
pub(crate) unsafe fn bytes<'a>(bytes: *const u8, len: usize) -> Result<&'a [u8], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    if bytes.is_null() || isize::try_from(len).is_err() {
        return Err(Failure::argument(format!("there are no {len} bytes at {bytes:?}")));
    }
    // SAFETY: not NULL, and no longer than a slice may be; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(bytes, len) })
}

/// Texts as the system knows them.
///
/// # Safety
/// `texts` is NULL, or points to `count` pointers, each as for [`os`].
pub(crate) unsafe fn list<'a>(texts: *const *const c_char, count: usize) -> Result<Vec<&'a OsStr>, Failure> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if texts.is_null() || isize::try_from(count.saturating_mul(size_of::<usize>())).is_err() {
        return Err(Failure::argument(format!("there are no {count} texts at {texts:?}")));
    }
    // SAFETY: not NULL, and no longer than a slice may be; the rest is the caller's promise.
    let texts = unsafe { slice::from_raw_parts(texts, count) };
    // SAFETY: the caller's promise for each.
    texts.iter().map(|text| unsafe { os(*text) }).collect()
}

/// A text to hand out.
pub(crate) fn c_text(text: &OsStr) -> Result<CString, Failure> {
    CString::new(text.as_bytes())
        .map_err(|_| Failure::new(Code::Io, format!("{text:?} has a zero in it, which C cannot hold")))
}

/// Bytes or a text that a function made. A zero follows the last byte and is not counted, so that text can be used as
/// it is.
pub struct Bytes(Vec<u8>);

impl Bytes {
    pub(crate) fn new(mut bytes: Vec<u8>) -> Option<Box<Bytes>> {
        bytes.push(0);
        Some(Box::new(Bytes(bytes)))
    }
}

/// Its bytes, and a zero behind them. Belongs to `bytes`; valid until `plugcache_bytes_free`.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_bytes_data(bytes: Option<&Bytes>) -> *const u8 {
    guard(|| Ok(needed(bytes)?.0.as_ptr()))
}

/// How many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_bytes_len(bytes: Option<&Bytes>) -> usize {
    guard(|| Ok(needed(bytes)?.0.len() - 1))
}

/// Releases bytes. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_bytes_free(bytes: Option<Box<Bytes>>) {
    release(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;

    fn last() -> (Code, String) {
        let text = LAST.with(|last| last.borrow().1.to_string_lossy().into_owned());
        (plugcache_last_error_code(), text)
    }

    #[test]
    fn a_panic_becomes_a_code_and_a_text_and_goes_no_further() {
        assert_eq!(guard::<Code>(|| panic!("number {}", 7)), Code::Panic);
        assert_eq!(last(), (Code::Panic, "panic: number 7".into()));
        assert!(guard::<*const c_char>(|| panic!("static")).is_null());
        assert_eq!(last().1, "panic: static");
    }

    #[test]
    fn a_panic_whose_payload_panics_when_it_goes_is_stopped_too() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert!(!guard::<bool>(|| panic_any(Bomb)));
        assert_eq!(last().0, Code::Panic);
    }

    #[test]
    fn the_last_error_is_that_of_this_thread_and_outlives_a_success() {
        assert_eq!(guard(|| Err::<usize, _>(Failure::argument("a\0b"))), 0);
        std::thread::spawn(|| assert_eq!(last().0, Code::Ok)).join().expect("the other thread has no error");
        assert_eq!(guard(|| Ok(5usize)), 5);
        assert_eq!(last(), (Code::Argument, "a\u{fffd}b".into()));
    }
}
