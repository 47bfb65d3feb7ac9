//! `remote pull` and `remote prefetch`: entries of the tier into the store, before anybody asks for them.

use super::{ask, bucket, client, dir_of, of_bundle, settings, unanswered};
use crate::{
    args::remote::{PrefetchArgs, PullArgs},
    exit::{Done, Exit, Fail, chain, warn},
    out::{Out, human},
    place as places,
    progress::Progress,
    tier::Settings,
};
use plugcache::{Exec, FetchError, Fetched, Store, TierError, TierKey};
use plugcache_remote::{Mode, Name, Remote, entries};
use serde::Serialize;
use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

/// Lookups that run at once: rule and measurement agree on 16 to 32.
const PARALLEL: usize = 24;

#[derive(Serialize, Default)]
struct Pulled {
    keys: u64,
    fetched: u64,
    here: u64,
    absent: u64,
    bytes: u64,
    failed: Vec<NotPulled>,
}

#[derive(Serialize)]
struct NotPulled {
    key: String,
    why: String,
}

/// Which keys are meant, and whether one that is not there is a miss.
struct Wanted {
    keys: Vec<TierKey>,
    must_be_there: bool,
}

pub(super) fn pull(args: &PullArgs, store: Option<&Path>) -> Done {
    let place = Place::open(store, None)?;
    let keys = match &args.bundle {
        Some(name) => place.of_bundle(name)?,
        None => place.of_listing()?,
    };
    // What a listing names may be signed by anybody.
    let wanted = Wanted { keys, must_be_there: args.bundle.is_some() };
    place.bring("remote-pull", wanted, args.json.json)
}

pub(super) fn prefetch(args: &PrefetchArgs, store: Option<&Path>) -> Done {
    let place = Place::open(store, args.exec_id.as_deref())?;
    let mut keys = match &args.bundle {
        Some(name) => place.of_bundle(name)?,
        None => Vec::new(),
    };
    for source in &args.keys {
        let key = place.store.tier_key(*source);
        keys.push(key.ok_or_else(|| Fail::new("it cannot be found out whom the entries are for"))?);
    }
    place.bring("remote-prefetch", Wanted { keys, must_be_there: true }, args.json.json)
}

/// A store and its tier.
struct Place {
    settings: Settings,
    remote: Remote,
    store: Store,
}

impl Place {
    fn open(store: Option<&Path>, exec_id: Option<&str>) -> Result<Place, Fail> {
        let exec = exec_id.map_or(Exec::Independent, |id| Exec::Given(id.as_bytes().to_vec()));
        let config = places::config(store)?.exec(exec).build();
        let settings = settings()?;
        let remote = client(&settings, Mode::ReadOnly, &dir_of(store)?)?;
        let store = Store::open_with_tier(config, remote.clone()).map_err(|error| Fail::of(&error))?;
        Ok(Place { settings, remote, store })
    }

    /// One lookup: the entries come with it.
    fn of_bundle(&self, name: &Name) -> Result<Vec<TierKey>, Fail> {
        self.remote.load_bundle(name).map_err(|error| of_bundle(&error))
    }

    fn of_listing(&self) -> Result<Vec<TierKey>, Fail> {
        let bucket = bucket(&self.settings)?;
        let listed = entries(&bucket, &self.settings.prefix, &self.settings.namespaces);
        listed.map_err(|error| unanswered(&error))
    }

    fn bring(&self, verb: &str, wanted: Wanted, json: bool) -> Done {
        let (pulled, exit) = self.fetch(&wanted);
        let mut out = Out::new();
        if json {
            out.json(verb, &pulled)?;
        } else {
            let keys = human::count(pulled.keys, "entry", "entries");
            let (fetched, here, bytes) = (pulled.fetched, pulled.here, human::size(pulled.bytes));
            out.line(format!("{keys}: {fetched} fetched ({bytes}), {here} were here"))?;
            if pulled.absent > 0 {
                out.line(format!("{} not there, or of nobody who is believed here", pulled.absent))?;
            }
        }
        out.finish()?;
        match exit {
            // The engine says whether it was slow or is not there at all.
            Exit::Failure if pulled.failed.len() > pulled.fetched as usize => {
                ask(&self.settings).map(|_| exit)
            }
            exit => Ok(exit),
        }
    }

    fn fetch(&self, wanted: &Wanted) -> (Pulled, Exit) {
        let progress = Progress::of_steps("fetching", wanted.keys.len() as u64);
        let (done, steps) = (Mutex::new((Pulled::default(), Exit::Success)), AtomicU64::new(0));
        in_parallel(&wanted.keys, PARALLEL, |key| {
            let fetched = self.store.fetch(key);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            let (pulled, exit) = &mut *done;
            match fetched {
                Ok(Fetched::Now) => pulled.fetched += 1,
                Ok(Fetched::Here) => pulled.here += 1,
                Err(error) => {
                    *exit = worst(*exit, exit_of(&error));
                    let why = chain(&error);
                    pulled.failed.push(NotPulled { key: key.source.to_string(), why });
                }
                Ok(_) => {
                    pulled.absent += 1;
                    *exit = if wanted.must_be_there { worst(*exit, Exit::Miss) } else { *exit };
                }
            }
            drop(done);
            progress.at(1 + steps.fetch_add(1, Ordering::Relaxed));
        });
        progress.finish();
        let (mut pulled, exit) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        (pulled.keys, pulled.bytes) = (wanted.keys.len() as u64, self.remote.status().counts.bytes_received);
        if let Some(first) = pulled.failed.first() {
            let key = first.key.get(..12).unwrap_or_default();
            warn(format!("{} not fetched, the first of them {key}: {}", pulled.failed.len(), first.why));
        }
        (pulled, exit)
    }
}

fn exit_of(error: &FetchError) -> Exit {
    match error {
        FetchError::Tier(TierError::Wrong(_)) => Exit::Damage,
        _ => Exit::Failure,
    }
}

/// Damage is told before failure, and failure before a miss.
fn worst(one: Exit, other: Exit) -> Exit {
    let weight = |exit: Exit| match exit {
        Exit::Damage => 3,
        Exit::Failure => 2,
        Exit::Miss => 1,
        _ => 0,
    };
    if weight(other) > weight(one) { other } else { one }
}

/// Does something for each, so many at once.
pub(super) fn in_parallel<T: Sync>(items: &[T], at_once: usize, each: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            each(item);
        }
    };
    thread::scope(|scope| {
        for _ in 1..at_once.min(items.len()) {
            scope.spawn(work);
        }
        work();
    });
}
