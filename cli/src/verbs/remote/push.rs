//! `remote push`: entries of the store, or what waits in the queue, to the tier; then a bundle of them.

use super::{ask, client, dir_of, of_bundle, of_push, settings};
use crate::{
    args::remote::PushArgs,
    exit::{Done, Exit, Fail, warn},
    key::{entries_of, short},
    out::{Out, human},
    place as places,
    progress::Progress,
    tier::Settings,
    verbs::remote::pull::in_parallel,
};
use plugcache::{Entry, Store, TierKey};
use plugcache_remote::{Mode, PushError, Remote};
use serde::Serialize;
use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Entries that are brought at once: uploads are packed by the processor, of which a machine has few.
const PARALLEL: usize = 8;

#[derive(Serialize, Default)]
struct Pushed {
    entries: u64,
    pushed: u64,
    objects: u64,
    bytes: u64,
    bundle: Option<String>,
    waiting: u64,
    failed: Vec<NotPushed>,
}

#[derive(Serialize)]
struct NotPushed {
    key: String,
    why: String,
}

pub(super) fn push(args: &PushArgs, store: Option<&Path>) -> Done {
    let names_some = args.all || !args.keys.is_empty() || !args.label.is_empty();
    if args.bundle.is_some() && !names_some {
        return Err(Fail::usage("say what the bundle is of: keys, --label NAME or --all"));
    }
    let dir = dir_of(store)?;
    let settings = settings()?;
    let store = places::open_to_look(store)?;
    let (pushed, exit) =
        if names_some { entries(args, &settings, &dir, &store)? } else { queue(&settings, &dir, store)? };
    let mut out = Out::new();
    if args.json.json {
        out.json("remote-push", &pushed)?;
    } else {
        print(&mut out, &pushed, names_some)?;
    }
    out.finish()?;
    Ok(exit)
}

fn print(out: &mut Out, pushed: &Pushed, names_some: bool) -> Result<(), Fail> {
    let (objects, bytes) = (human::count(pushed.objects, "object", "objects"), human::size(pushed.bytes));
    if names_some {
        let entries = human::count(pushed.entries, "entry", "entries");
        out.line(format!("brought {} of {entries}, {objects} anew, {bytes}", pushed.pushed))?;
    } else {
        let uploads = human::count(pushed.pushed, "entry", "entries");
        out.line(format!("brought {uploads} that waited, {objects} anew, {bytes}"))?;
    }
    if let Some(name) = &pushed.bundle {
        out.line(format!("published the bundle {name}"))?;
    }
    Ok(())
}

/// The entries that were named, and their bundle.
fn entries(args: &PushArgs, settings: &Settings, dir: &Path, store: &Store) -> Result<(Pushed, Exit), Fail> {
    let entries = chosen(args, store)?;
    if entries.is_empty() {
        return Err(Fail::Told(Exit::Miss, "there is no such entry".into()));
    }
    let remote = client(settings, Mode::WriteThrough, dir)?;
    let (keys, failed) = bring(&remote, store, &entries);
    let counts = remote.status().counts;
    let mut pushed = Pushed {
        entries: entries.len() as u64,
        pushed: keys.len() as u64,
        objects: counts.objects_published,
        bytes: counts.bytes_sent,
        ..Pushed::default()
    };
    let mut exit = Exit::Success;
    for (key, code, why) in failed {
        warn(format!("{} was not brought: {why}", short(&key.source)));
        exit = if code == Exit::Busy { code } else { Exit::Failure };
        pushed.failed.push(NotPushed { key: key.source.to_string(), why });
    }
    match &args.bundle {
        // One that lacks a plugin would be taken for the whole release.
        Some(name) if exit != Exit::Success => warn(format!("the bundle {name} was not published")),
        Some(name) => {
            remote.publish_bundle(name, &keys).map_err(|error| of_bundle(&error))?;
            pushed.bundle = Some(name.to_string());
        }
        None => {}
    }
    Ok((pushed, exit))
}

/// The entries that are meant: of each key and executable the newest.
fn chosen(args: &PushArgs, store: &Store) -> Result<Vec<Entry>, Fail> {
    let mut chosen: Vec<Entry> = match args.keys.as_slice() {
        [] => store.entries().collect(),
        keys => {
            let each: Result<Vec<_>, _> = keys.iter().map(|key| entries_of(store, key)).collect();
            each?.into_iter().flatten().collect()
        }
    };
    let is_meant = |entry: &Entry| args.label.iter().any(|label| label == entry.label());
    if !args.label.is_empty() && args.keys.is_empty() {
        chosen.retain(is_meant);
    } else if !args.label.is_empty() {
        let more = store.entries().filter(is_meant);
        chosen.extend(more);
    }
    let order = |entry: &Entry| (*entry.source_digest().as_bytes(), entry.exec_id());
    chosen.sort_by(|one, other| order(one).cmp(&order(other)).then(other.made().cmp(&one.made())));
    chosen.dedup_by_key(|entry| order(entry));
    Ok(chosen)
}

type NotBrought = (TierKey, Exit, String);

fn bring(remote: &Remote, store: &Store, entries: &[Entry]) -> (Vec<TierKey>, Vec<NotBrought>) {
    let progress = Progress::of_steps("bringing", entries.len() as u64);
    let (done, steps) = (Mutex::new((Vec::new(), Vec::new())), AtomicU64::new(0));
    in_parallel(entries, PARALLEL, |entry| {
        let brought = match store.parcel(entry) {
            Some((key, parcel, artifact)) => remote.push(&key, &parcel, &artifact),
            None => Err(PushError::Unfit),
        };
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        match brought {
            Ok(()) => done.0.push(entry.tier_key()),
            Err(error) => done.1.push((entry.tier_key(), of_push(&error), error.to_string())),
        }
        progress.at(1 + steps.fetch_add(1, Ordering::Relaxed));
    });
    progress.finish();
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// What `run` and `put` have left to be brought.
fn queue(settings: &Settings, dir: &Path, store: Store) -> Result<(Pushed, Exit), Fail> {
    let remote = client(settings, Mode::ReadWrite, dir)?;
    // Brought by this thread, and by none of its own.
    remote.leave_uploads();
    remote.supply(store);
    let before = waiting(&remote);
    let progress = Progress::of_steps("bringing", before);
    let left = thread::scope(|scope| {
        let work = scope.spawn(|| remote.drain());
        while !work.is_finished() {
            progress.at(before.saturating_sub(waiting(&remote)));
            thread::sleep(Duration::from_millis(20));
        }
        work.join().unwrap_or_default() as u64
    });
    progress.finish();
    let counts = remote.status().counts;
    let pushed = Pushed {
        entries: before,
        pushed: counts.published,
        objects: counts.objects_published,
        bytes: counts.bytes_sent,
        waiting: left,
        ..Pushed::default()
    };
    if left == 0 {
        return Ok((pushed, Exit::Success));
    }
    warn(format!("{} still waiting", human::count(left, "upload is", "uploads are")));
    // The engine says why; if it answers, another process is at it.
    ask(settings)?;
    Ok((pushed, Exit::Busy))
}

fn waiting(remote: &Remote) -> u64 {
    remote.status().queue.map_or(0, |queue| queue.jobs as u64)
}
