//! `remote`: the tier as somebody looks after it. What single verbs print is in docs/json.md.

mod doctor;
mod gc;
mod pull;
mod push;
mod status;

use crate::{
    args::remote::RemoteVerb,
    exit::{Done, Exit, Fail},
    place as places, tier,
    tier::Settings,
};
use plugcache_remote::{BucketError, BundleError, Mode, PushError, Remote, S3Bucket, reach};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

pub(crate) fn remote(verb: &RemoteVerb, store: Option<&Path>) -> Done {
    match verb {
        RemoteVerb::Status(args) => status::status(args, store),
        RemoteVerb::Push(args) => push::push(args, store),
        RemoteVerb::Pull(args) => pull::pull(args, store),
        RemoteVerb::Prefetch(args) => pull::prefetch(args, store),
        RemoteVerb::Doctor(args) => doctor::doctor(args),
        RemoteVerb::Gc(args) => gc::gc(args),
    }
}

/// The configuration; without one, or where it says that there shall be no tier, nothing can be done.
fn settings() -> Result<Settings, Fail> {
    let none = || {
        let file = tier::default_dir().map_or_else(|| "remote.toml".into(), |dir| dir.join("remote.toml"));
        Fail::new(format!(
            "there is no tier: write {} or name a file with PLUGCACHE_REMOTE_CONFIG",
            file.display()
        ))
    };
    let settings = Settings::find().map_err(Fail::new)?.ok_or_else(none)?;
    if settings.mode == Mode::Off {
        return Err(Fail::new("the tier is off: its mode says so, or PLUGCACHE_REMOTE"));
    }
    Ok(settings)
}

/// The directory of the store that is meant.
fn dir_of(store: Option<&Path>) -> Result<PathBuf, Fail> {
    Ok(places::absolute(places::config(store)?.build().dir()))
}

fn bucket(settings: &Settings) -> Result<S3Bucket, Fail> {
    settings.bucket().map_err(Fail::new)
}

fn client(settings: &Settings, mode: Mode, dir: &Path) -> Result<Remote, Fail> {
    settings.remote(mode, &tier::state_of(dir)).map_err(Fail::new)
}

/// Whether the engine answers at all, and how long that takes; else what to end with.
fn ask(settings: &Settings) -> Result<Duration, Fail> {
    let bucket = bucket(settings)?;
    let begun = SystemTime::now();
    // For people, who have patience: as long as a host waits for all of a lookup.
    reach(&bucket, &settings.prefix, number(), settings.deadlines.lookup_max)
        .map_err(|error| unanswered(&error))?;
    Ok(begun.elapsed().unwrap_or_default())
}

fn unanswered(error: &BucketError) -> Fail {
    let exit = if error.is_late() { Exit::Busy } else { Exit::Failure };
    Fail::Told(exit, format!("the engine gave no answer: {}", crate::exit::chain(error)))
}

fn of_bundle(error: &BundleError) -> Fail {
    let exit = match error {
        BundleError::Absent => Exit::Miss,
        BundleError::Refused(_) => Exit::Damage,
        BundleError::Late(_) => Exit::Busy,
        _ => Exit::Failure,
    };
    Fail::Told(exit, crate::exit::chain(error))
}

fn of_push(error: &PushError) -> Exit {
    if matches!(error, PushError::Late(_)) { Exit::Busy } else { Exit::Failure }
}

/// One that no other process uses at this moment.
fn number() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(std::process::id()) << 32 | u64::from(now.subsec_nanos())
}

/// Where the bucket is, for people.
fn place_of(settings: &Settings) -> String {
    let endpoint = settings.endpoint.as_deref().unwrap_or("Amazon S3");
    format!("{} at {endpoint}", settings.bucket)
}
