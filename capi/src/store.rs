//! The store: configuration, opening, finding, adding, and what it says of itself.
#![expect(unsafe_code, reason = "names go out unmangled, texts come in as bare pointers")]

use crate::{
    artifact::{Artifact, Outputs},
    border::{self, Bytes, Code, Failure, c_text, guard, needed},
    key::Sources,
};
use library::{Added, How, Status};
use std::{
    ffi::{CString, c_char},
    mem::MaybeUninit,
};

/// What a host chose about a store. One thread at a time.
pub struct Config(library::Config);

/// A store in the directory `dir` with everything else at its default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_config_new(dir: *const c_char) -> Option<Box<Config>> {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let dir = unsafe { border::path(dir) }?;
        Ok(Some(Box::new(Config(library::Config::new(dir)))))
    })
}

/// The store of the application `name` for this user. NULL: there is no such directory (`PLUGCACHE_CODE_OPEN`).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_config_for_app(name: *const c_char) -> Option<Box<Config>> {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let found = library::Config::for_app(unsafe { border::text(name) }?);
        found.map(|config| Some(Box::new(Config(config)))).map_err(|error| Failure::of(Code::Open, &error))
    })
}

/// Sets one option, by the name and in the spelling that the library's configuration has in JSON; a word needs no
/// quotes: ("max_bytes", "1000000"), ("durability", "sync"), ("exec", "independent"), ("layers", "[\"/opt/store\"]").
/// `PLUGCACHE_CODE_ARGUMENT`: there is no such option, or it has no such value; then nothing has changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_config_set(
    config: Option<&mut Config>,
    option: *const c_char,
    value: *const c_char,
) -> Code {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let (option, value) = unsafe { (border::text(option)?, border::text(value)?) };
        let Config(config) = needed(config)?;
        *config = with_option(config, option, value)?;
        Ok(Code::Ok)
    })
}

/// This option is missing in text where it is not set.
const IDLE_MAX: &str = "idle_max_seconds";

fn with_option(config: &library::Config, option: &str, value: &str) -> Result<library::Config, Failure> {
    let mut text = serde_json::to_value(config).map_err(|error| {
        Failure::argument(format!("this configuration cannot be changed by text: {error}"))
    })?;
    let word = || serde_json::Value::from(value);
    let value = serde_json::from_str(value).unwrap_or_else(|_| word());
    match text.get_mut(option) {
        Some(old) => *old = value,
        None if option == IDLE_MAX => text[option] = value,
        None => return Err(Failure::argument(format!("there is no option {option:?}"))),
    }
    serde_json::from_value(text).map_err(|error| Failure::argument(format!("{option}: {error}")))
}

/// Releases a configuration. NULL is allowed. Stores that were opened with it do not need it any more.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_config_free(config: Option<Box<Config>>) {
    border::release(config)
}

/// An open store. Any number of threads may use it at once.
pub struct Store {
    pub(crate) store: library::Store,
    dir: CString,
}

impl Store {
    fn new(store: library::Store) -> Result<Option<Box<Store>>, Failure> {
        let dir = c_text(store.config().dir().as_os_str())?;
        Ok(Some(Box::new(Store { store, dir })))
    }
}

/// Opens a store; a directory that does not exist is an empty one. NULL: `PLUGCACHE_CODE_OPEN`, and the text says what is
/// wrong with the directory.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_open(config: Option<&Config>) -> Option<Box<Store>> {
    guard(|| {
        let opened = library::Store::open(needed(config)?.0.clone());
        opened.map_err(|error| Failure::of(Code::Open, &error)).and_then(Store::new)
    })
}

/// Opens a store, or none: then every find misses, nothing is stored, builds run, and the status says why. NULL only for
/// a NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_open_or_disabled(config: Option<&Config>) -> Option<Box<Store>> {
    guard(|| Store::new(library::Store::open_or_disabled(needed(config)?.0.clone())))
}

/// The store of the application `name` in this user's cache directory, or none, as `plugcache_open_or_disabled`.
/// PLUGCACHE_DIR names another directory, PLUGCACHE_DISABLE=1 disables it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_open_for_app(name: *const c_char) -> Option<Box<Store>> {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        Store::new(library::Store::for_app(unsafe { border::text(name) }?))
    })
}

/// Closes a store and releases it. NULL is allowed. No call may be in it any more; artifacts stay usable.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_close(store: Option<Box<Store>>) {
    border::release(store)
}

/// Whether a store works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum State {
    /// It finds and adds.
    Ready = 0,
    /// It finds, and adds nothing.
    ReadOnly = 1,
    /// It is open, and the last operation met trouble.
    Degraded = 2,
    /// There is none.
    Disabled = 3,
}

/// Whether the store works.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_status(store: Option<&Store>) -> State {
    let mut state = State::Disabled;
    guard(|| {
        state = match needed(store)?.store.status() {
            Status::Ready => State::Ready,
            Status::ReadOnly => State::ReadOnly,
            Status::Disabled(_) => State::Disabled,
            _ => State::Degraded,
        };
        Ok(())
    });
    state
}

/// What is in the way of a store that is degraded or disabled; empty for one that works. To be released by the caller.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_status_text(store: Option<&Store>) -> Option<Box<Bytes>> {
    guard(|| {
        let text = match needed(store)?.store.status() {
            Status::Degraded(why) | Status::Disabled(why) => why,
            _ => String::new(),
        };
        Ok(Bytes::new(text.into_bytes()))
    })
}

/// The directory of the store; empty for none. Belongs to the store.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_dir(store: Option<&Store>) -> *const c_char {
    guard(|| Ok(needed(store)?.dir.as_ptr()))
}

/// The artifact of these sources, if the store has it; to be released by the caller. NULL: `PLUGCACHE_CODE_MISS`; whatever is
/// wrong with a store is a miss. See `plugcache_explain` for the reason.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_find(store: Option<&Store>, sources: Option<&Sources>) -> Option<Box<Artifact>> {
    guard(|| match needed(store)?.store.find(&needed(sources)?.0) {
        Some(artifact) => Ok(Some(Artifact::new(artifact, &How::Hit))),
        None => Err(Failure::new(Code::Miss, "it is not in the store")),
    })
}

/// Stores what the caller has made from these sources. The outputs stay the caller's, and may be added again.
/// `PLUGCACHE_CODE_SKIPPED`: it is not stored, and the text says why. `PLUGCACHE_CODE_DIFFERS`: see there. `PLUGCACHE_CODE_NO_OUTPUT`: an output is missing or no file.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_add(
    store: Option<&Store>,
    sources: Option<&Sources>,
    outputs: Option<&Outputs>,
) -> Code {
    guard(|| {
        let (store, sources) = (needed(store)?, needed(sources)?);
        let outputs = needed(outputs)?.0.clone();
        let outputs = outputs.ok_or_else(|| Failure::new(Code::NoOutput, "there is no output to add"))?;
        match store.store.add(&sources.0, outputs) {
            Ok(Added::Stored) => Ok(Code::Ok),
            Ok(Added::Skipped(why)) => Err(Failure::new(Code::Skipped, why)),
            // It is in the store, and stays there.
            Ok(Added::Compared(comparison)) if comparison.is_same() => Ok(Code::Ok),
            Ok(Added::Compared(comparison)) => Err(Failure::new(Code::Differs, comparison)),
            Err(error) => Err(Failure::of(Code::NoOutput, &error)),
        }
    })
}

/// Says that an artifact does not load, so that the next request builds it anew. `false` if it had no entry any more or
/// the store cannot be changed. `plugcache_load_or_build` does it by itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plugcache_reject(
    store: Option<&Store>,
    artifact: Option<&Artifact>,
    why: *const c_char,
) -> bool {
    guard(|| {
        // SAFETY: texts end with a zero, arrays have the given length, and all stay during the call: the header.
        let why = unsafe { border::text(why) }?;
        Ok(needed(store)?.store.reject(&needed(artifact)?.artifact, why))
    })
}

/// Drops all entries of these sources. `dropped`, unless NULL, gets their number.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_forget(
    store: Option<&Store>,
    sources: Option<&Sources>,
    dropped: Option<&mut MaybeUninit<usize>>,
) -> Code {
    guard(|| count(needed(store)?.store.forget(&needed(sources)?.0.digest()), dropped))
}

/// Drops all entries. Open artifacts stay usable. `dropped`, unless NULL, gets their number.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_clear(store: Option<&Store>, dropped: Option<&mut MaybeUninit<usize>>) -> Code {
    guard(|| count(needed(store)?.store.clear(), dropped))
}

fn count(
    done: Result<usize, library::StoreError>,
    dropped: Option<&mut MaybeUninit<usize>>,
) -> Result<Code, Failure> {
    let number = done.map_err(|error| Failure::of(Code::Store, &error))?;
    if let Some(dropped) = dropped {
        dropped.write(number);
    }
    Ok(Code::Ok)
}

/// Makes durable everything that returned before this was called: it survives a power cut.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_sync(store: Option<&Store>) -> Code {
    guard(|| {
        let synced = needed(store)?.store.sync();
        synced.map(|()| Code::Ok).map_err(|error| Failure::of(Code::Store, &error))
    })
}

/// Why a find of these sources hits or misses, for people: what changed, compared with the nearest entry, and what to do
/// about it. To be released by the caller. Changes and counts nothing.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_explain(store: Option<&Store>, sources: Option<&Sources>) -> Option<Box<Bytes>> {
    guard(|| {
        let explanation = needed(store)?.store.explain(&needed(sources)?.0);
        Ok(Bytes::new(explanation.to_string().into_bytes()))
    })
}

/// The same for machines, as JSON; to be released by the caller.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_explain_json(
    store: Option<&Store>,
    sources: Option<&Sources>,
) -> Option<Box<Bytes>> {
    guard(|| {
        let text = serde_json::to_vec(&needed(store)?.store.explain(&needed(sources)?.0));
        text.map(Bytes::new).map_err(|error| Failure::new(Code::Io, error))
    })
}

/// Counters of one handle since it was opened, and the size of its store.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Stats {
    /// Entries in the store.
    pub entries: u64,
    /// Bytes of the distinct objects that entries name.
    pub bytes: u64,
    /// Finds that gave an artifact.
    pub hits: u64,
    /// Finds that did not.
    pub misses: u64,
    /// Of these: an object was damaged and set aside, or gone.
    pub misses_damaged: u64,
    /// Of these: the store could not be used or read.
    pub misses_unusable: u64,
    /// Artifacts stored.
    pub adds: u64,
    /// Artifacts not stored.
    pub skips: u64,
    /// Entries that went because the store was over its limits.
    pub evictions: u64,
    /// Sum of the recorded build times of all hits, in milliseconds.
    pub saved_ms: u64,
}

/// Writes the counters to `stats`.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_stats_get(store: Option<&Store>, stats: Option<&mut MaybeUninit<Stats>>) -> Code {
    guard(|| {
        let now = needed(store)?.store.stats();
        needed(stats)?.write(Stats {
            entries: now.entries,
            bytes: now.bytes,
            hits: now.hits,
            misses: now.misses,
            misses_damaged: now.misses_damaged,
            misses_unusable: now.misses_unusable,
            adds: now.adds,
            skips: now.skips,
            evictions: now.evictions,
            saved_ms: u64::try_from(now.saved.as_millis()).unwrap_or(u64::MAX),
        });
        Ok(Code::Ok)
    })
}

/// All counters, those of all handles on the store and the misses and skips by reason among them, as JSON; to be released by the caller.
#[unsafe(no_mangle)]
pub extern "C" fn plugcache_stats_json(store: Option<&Store>) -> Option<Box<Bytes>> {
    guard(|| {
        let text = serde_json::to_vec(&needed(store)?.store.stats());
        text.map(Bytes::new).map_err(|error| Failure::new(Code::Io, error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_set_by_its_name_and_anything_else_is_the_callers_mistake() {
        let config = library::Config::new("d");
        let set = |option: &str, value: &str| with_option(&config, option, value);
        let ok = |option: &str, value: &str| set(option, value).ok().expect("it is an option");
        assert_eq!(ok("max_files", "7").max_files(), 7);
        assert_eq!(ok("mode", "require-hit").mode(), library::Mode::RequireHit);
        assert_eq!(ok("exec", "independent").exec(), &library::Exec::Independent);
        assert_eq!(ok("exec", r#"{"given":[1]}"#).exec(), &library::Exec::Given(vec![1]));
        assert_eq!(ok(IDLE_MAX, "60").idle_max().map(|max| max.as_secs()), Some(60));
        assert_eq!(ok("layers", r#"["a"]"#).layers().len(), 1);
        for (option, value) in [("max_file", "7"), ("max_files", "many"), ("mode", "fast"), ("readonly", "1")]
        {
            assert!(set(option, value).is_err(), "{option} {value}");
        }
    }

    #[test]
    fn what_threads_may_share_can_be_shared() {
        fn shared<T: Send + Sync>() {}
        shared::<Store>();
        shared::<Sources>();
        shared::<crate::key::Toolchain>();
        shared::<Artifact>();
        shared::<crate::artifact::Sealed>();
        shared::<Bytes>();
        fn sent<T: Send>() {}
        sent::<Config>();
        sent::<crate::key::SourcesBuilder>();
        sent::<Outputs>();
    }
}
