//! Building what is missing, by a callback of the host.
#![expect(
    unsafe_code,
    reason = "names go out unmangled, texts come in as bare pointers, callbacks are called"
)]

use crate::{
    artifact::Artifact,
    border::{self, Code, Failure, c_text, guard, needed},
    key::Sources,
    store::Store,
};
use library::{LoadFailed, LoadOrBuildError};
use std::{
    error::Error,
    ffi::{CString, c_char, c_int, c_void},
    io,
};

/// A build in progress, and the right to it. Lives while the callback runs, on the callback's thread alone.
pub struct Build<'a> {
    build: &'a mut library::Build,
    /// What the callback holds pointers to.
    texts: Vec<CString>,
    error: Option<String>,
}

/// Builds: writes each output where `plugcache_build_output` says, and returns 0; anything else is a failure. Runs on
/// the thread of the call that it was given to. It may call this library, but not ask for what it is building. No C++
/// exception and no longjmp may leave it.
pub type BuildFn =
    Option<unsafe extern "C-unwind" fn(build: Option<&mut Build<'_>>, user: *mut c_void) -> c_int>;

/// Loads an artifact and returns 0. 1: the artifact does not load (wrong ABI, damaged, made for another host); if it
/// came from the store it is built anew, once. Anything else: the artifact loaded and the plugin itself failed; its
/// entry stays. `artifact` belongs to the library; clone it to keep
/// it; how it was come by only the artifact that is returned says. No C++ exception and no longjmp may leave it.
pub type LoadFn =
    Option<unsafe extern "C-unwind" fn(artifact: Option<&Artifact>, user: *mut c_void) -> c_int>;

/// What a callback for loading returns when the artifact is to blame.
const ARTIFACT: c_int = 1;

/// The callback as the library wants it; what it returned, and what it said of that.
fn run(
    build: unsafe extern "C-unwind" fn(Option<&mut Build<'_>>, *mut c_void) -> c_int,
    user: *mut c_void,
) -> impl FnMut(&mut library::Build) -> Result<(), String> {
    move |begun| {
        let mut handed = Build { build: begun, texts: Vec::new(), error: None };
        // SAFETY: the caller gave a function of this type, and `user` for it; `handed` lives until it returns.
        match unsafe { build(Some(&mut handed), user) } {
            0 => Ok(()),
            number => Err(handed.error.take().unwrap_or_else(|| format!("the build returned {number}"))),
        }
    }
}

/// The artifact of these sources: from the store, or built now by `build` and stored for everyone; to be released by the
/// caller. `user` is passed on to `build`. One caller builds, in any number of threads and processes; the others wait
/// for it. Whatever is wrong with the store, a build that succeeded gives an artifact (`PLUGCACHE_HOW_UNCACHED`).
/// NULL: `PLUGCACHE_CODE_BUILD` with the text of `plugcache_build_fail`, `PLUGCACHE_CODE_NO_OUTPUT`, `PLUGCACHE_CODE_RECURSIVE`,
/// `PLUGCACHE_CODE_REQUIRED_HIT`, `PLUGCACHE_CODE_NO_SCRATCH`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_get_or_build(
    store: Option<&Store>,
    sources: Option<&Sources>,
    build: BuildFn,
    user: *mut c_void,
) -> Option<Box<Artifact>> {
    guard(|| {
        let (store, sources, build) = (needed(store)?, needed(sources)?, needed(build)?);
        match store.store.get_or_build(&sources.0, run(build, user)) {
            Ok(got) => Ok(Some(Artifact::new(got.artifact, &got.how))),
            Err(error) => Err(failure(error.into())),
        }
    })
}

/// As `plugcache_get_or_build`, and loads the artifact by `load`. If one that was stored does not load, its entry is
/// dropped and it is built anew, once and never twice. `user` is passed on to both. NULL: as there, or
/// `PLUGCACHE_CODE_LOAD`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_load_or_build(
    store: Option<&Store>,
    sources: Option<&Sources>,
    build: BuildFn,
    load: LoadFn,
    user: *mut c_void,
) -> Option<Box<Artifact>> {
    guard(|| {
        let (store, sources) = (needed(store)?, needed(sources)?);
        let (build, load) = (needed(build)?, needed(load)?);
        let try_load = |artifact: &library::Artifact| {
            // How it was come by is not known here yet; only the artifact that is returned says so.
            let handed = Artifact::new(artifact.clone(), &library::How::Hit);
            // SAFETY: the caller gave a function of this type, and `user` for it; `handed` lives until it returns.
            match unsafe { load(Some(&handed), user) } {
                0 => Ok(()),
                ARTIFACT => Err(LoadFailed::Artifact("the artifact does not load".to_owned())),
                number => Err(LoadFailed::Plugin(format!("the plugin failed: its loader returned {number}"))),
            }
        };
        match store.store.load_or_build(&sources.0, run(build, user), try_load) {
            Ok(loaded) => Ok(Some(Artifact::new(loaded.artifact, &loaded.how))),
            Err(error) => Err(failure(error)),
        }
    })
}

fn failure(error: LoadOrBuildError<String, String>) -> Failure {
    let code = match &error {
        LoadOrBuildError::Build(_) => Code::Build,
        LoadOrBuildError::Load(_) => Code::Load,
        LoadOrBuildError::NoOutput(_) => Code::NoOutput,
        LoadOrBuildError::Recursive(_) => Code::Recursive,
        LoadOrBuildError::RequiredHit(_) => Code::RequiredHit,
        _ => Code::NoScratch,
    };
    Failure::of(code, &error as &dyn Error)
}

/// A directory of this build alone, which goes with it. Valid while the callback runs.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_build_dir(build: Option<&mut Build<'_>>) -> *const c_char {
    guard(|| {
        let build = needed(build)?;
        let dir = c_text(build.build.dir().as_os_str())?;
        Ok(build.keep(dir))
    })
}

/// Declares an output and says where to write it; the first one is the primary one. The path ends in `name` if that is a
/// plain file name. Valid while the callback runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_build_output(
    build: Option<&mut Build<'_>>,
    name: *const c_char,
) -> *const c_char {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (build, name) = (needed(build)?, unsafe { border::os(name) }?);
        let path = c_text(build.build.output(name).as_os_str())?;
        Ok(build.keep(path))
    })
}

/// Declares an output that the build leaves at `path`, a place of its own choice, absolute or below the working
/// directory. It is copied into the store; where nothing is stored, it is the artifact's own path and must stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_build_output_at(
    build: Option<&mut Build<'_>>,
    name: *const c_char,
    path: *const c_char,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (name, path) = unsafe { (border::os(name)?, border::path(path)?) };
        needed(build)?.build.output_at(name, path);
        Ok(Code::Ok)
    })
}

/// Declares an output and writes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_build_write(
    build: Option<&mut Build<'_>>,
    name: *const c_char,
    bytes: *const u8,
    len: usize,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (name, bytes) = unsafe { (border::os(name)?, border::bytes(bytes, len)?) };
        done(needed(build)?.build.write(name, bytes), "write an output")
    })
}

/// Declares an output that needs no file of its own in the store, as `plugcache_outputs_packed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_build_write_packed(
    build: Option<&mut Build<'_>>,
    name: *const c_char,
    bytes: *const u8,
    len: usize,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (name, bytes) = unsafe { (border::os(name)?, border::bytes(bytes, len)?) };
        needed(build)?.build.write_packed(name, bytes);
        Ok(Code::Ok)
    })
}

/// Reports a file that the build reads beside its sources (a header): the next hit needs it unchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_build_also_read(
    build: Option<&mut Build<'_>>,
    path: *const c_char,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let path = unsafe { border::path(path) }?;
        needed(build)?.build.also_read(path);
        Ok(Code::Ok)
    })
}

/// Reports all that a depfile names, as `cc -MD -MF` writes it. `PLUGCACHE_CODE_IO`: it cannot be read, or is none; return
/// that from the callback, for without it an old artifact could be taken for a new one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_build_depfile(build: Option<&mut Build<'_>>, path: *const c_char) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let path = unsafe { border::path(path) }?;
        done(needed(build)?.build.depfile(path).map(drop), &format!("take the depfile {}", path.display()))
    })
}

/// Says why the build fails: the text of `PLUGCACHE_CODE_BUILD`. The callback then returns another number than 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_build_fail(build: Option<&mut Build<'_>>, why: *const c_char) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let why = unsafe { border::os(why) }?.to_string_lossy().into_owned();
        needed(build)?.error = Some(why);
        Ok(Code::Ok)
    })
}

fn done(done: io::Result<()>, what: &str) -> Result<Code, Failure> {
    done.map(|()| Code::Ok).map_err(|error| Failure::new(Code::Io, format!("could not {what}: {error}")))
}

impl Build<'_> {
    fn keep(&mut self, text: CString) -> *const c_char {
        let pointer = text.as_ptr();
        self.texts.push(text);
        pointer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{border::*, key::*, store::*};
    use std::{
        ffi::CStr,
        ptr::{null, null_mut},
    };

    struct Place {
        _dir: tempfile::TempDir,
        store: Box<Store>,
        sources: Box<Sources>,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        let path =
            CString::new(dir.path().join("store").into_os_string().into_encoded_bytes()).expect("no zero");
        let none = plugcache_toolchain_none();
        // SAFETY: the texts end with a zero.
        let (config, builder) = unsafe {
            let config = plugcache_config_new(path.as_ptr());
            (config, plugcache_sources_builder_new(c"test/1".as_ptr(), none.as_deref(), null(), 0))
        };
        let store = plugcache_open(config.as_deref()).expect("it opens");
        let sources = plugcache_sources_digest(builder.as_deref(), None).expect("it has no files");
        Place { _dir: dir, store, sources }
    }

    impl Place {
        fn get(&self, build: BuildFn) -> Option<Box<Artifact>> {
            // SAFETY: the callbacks below ignore their second argument.
            unsafe { plugcache_get_or_build(Some(&self.store), Some(&self.sources), build, null_mut()) }
        }

        fn load(&self, build: BuildFn, load: LoadFn) -> Option<Box<Artifact>> {
            let (store, sources) = (Some(&*self.store), Some(&*self.sources));
            // SAFETY: as in `get`.
            unsafe { plugcache_load_or_build(store, sources, build, load, null_mut()) }
        }
    }

    fn last() -> (Code, String) {
        // SAFETY: the text is valid until the next call that fails.
        let text = unsafe { CStr::from_ptr(plugcache_last_error_text()) };
        (plugcache_last_error_code(), text.to_string_lossy().into_owned())
    }

    extern "C-unwind" fn good(build: Option<&mut Build<'_>>, _: *mut c_void) -> c_int {
        // SAFETY: the text ends with a zero, and there are three bytes.
        unsafe { plugcache_build_write(build, c"out".as_ptr(), b"abc".as_ptr(), 3) as c_int }
    }

    #[test]
    fn a_callback_that_panics_is_stopped_at_the_border_and_the_next_one_builds() {
        extern "C-unwind" fn panics(_: Option<&mut Build<'_>>, _: *mut c_void) -> c_int {
            panic!("in a callback");
        }
        let place = place();
        assert!(place.get(Some(panics)).is_none());
        assert_eq!(last(), (Code::Panic, "panic: in a callback".into()));
        assert_eq!(plugcache_artifact_how_of(place.get(Some(good))), Some(crate::artifact::How::Built));
        extern "C-unwind" fn load(_: Option<&Artifact>, _: *mut c_void) -> c_int {
            panic!("in a loader");
        }
        assert!(place.load(Some(good), Some(load)).is_none());
        assert_eq!(last().1, "panic: in a loader");
        assert!(place.get(Some(good)).is_some());
    }

    fn plugcache_artifact_how_of(artifact: Option<Box<Artifact>>) -> Option<crate::artifact::How> {
        artifact.map(|artifact| crate::artifact::plugcache_artifact_how(Some(&artifact)))
    }

    #[test]
    fn a_build_that_asks_for_itself_is_told_so() {
        thread_local! { static PLACE: std::cell::OnceCell<Place> = const { std::cell::OnceCell::new() } }
        extern "C-unwind" fn again(_: Option<&mut Build<'_>>, _: *mut c_void) -> c_int {
            assert!(PLACE.with(|place| place.get_or_init(self::place).get(Some(again)).is_none()));
            assert_eq!(last().0, Code::Recursive);
            7
        }
        assert!(PLACE.with(|place| place.get_or_init(self::place).get(Some(again)).is_none()));
        assert_eq!(last(), (Code::Build, "the build returned 7".into()));
    }

    #[test]
    fn what_never_loads_is_built_once_more_and_not_again() {
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        static BUILDS: AtomicU32 = AtomicU32::new(0);
        static LOADS: AtomicU32 = AtomicU32::new(0);
        extern "C-unwind" fn build(build: Option<&mut Build<'_>>, user: *mut c_void) -> c_int {
            BUILDS.fetch_add(1, Relaxed);
            good(build, user)
        }
        extern "C-unwind" fn load(_: Option<&Artifact>, _: *mut c_void) -> c_int {
            LOADS.fetch_add(1, Relaxed);
            ARTIFACT
        }
        let place = place();
        assert!(place.get(Some(build)).is_some());
        assert!(place.load(Some(build), Some(load)).is_none());
        assert_eq!(last().0, Code::Load);
        assert_eq!((BUILDS.load(Relaxed), LOADS.load(Relaxed)), (2, 2));
    }
}
