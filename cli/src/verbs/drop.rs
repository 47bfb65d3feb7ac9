//! `forget` and `clear`: entries go, and with them the objects that nobody uses.

use crate::{
    args::{ForgetArgs, Json},
    exit::{Done, Exit, Fail},
    key::{entries_of, short},
    out::Out,
    place as places,
    signals::Hold,
};
use plugcache::Entry;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Forgotten {
    key: String,
    label: String,
    entries: usize,
}

pub(crate) fn forget(args: &ForgetArgs, store: Option<&Path>) -> Done {
    let store = places::open_to_look(store)?;
    // All of them are known before the first one goes.
    let found: Vec<Vec<Entry>> =
        args.keys.iter().map(|key| entries_of(&store, key)).collect::<Result<_, _>>()?;
    let hold = Hold::new();
    let mut out = Out::new();
    for first in found.iter().filter_map(|entries| entries.first()) {
        let key = first.source_digest();
        let entries = store.forget(&key).map_err(|error| Fail::of(&error))?;
        let label = first.label().to_owned();
        if args.json.json {
            out.json("forget", &Forgotten { key: key.to_string(), label, entries })?;
        } else {
            out.line(format!("{} {}", short(&key), crate::out::table::plain(&label)))?;
        }
        if hold.is_over() {
            break;
        }
    }
    out.finish()?;
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct Cleared {
    entries: usize,
}

pub(crate) fn clear(args: &Json, store: Option<&Path>) -> Done {
    let store = places::open_to_look(store)?;
    let _hold = Hold::new();
    let entries = store.clear().map_err(|error| Fail::of(&error))?;
    let mut out = Out::new();
    if args.json {
        out.json("clear", &Cleared { entries })?;
    } else {
        out.line(format!("dropped {}", crate::out::human::count(entries as u64, "entry", "entries")))?;
    }
    out.finish()?;
    Ok(Exit::Success)
}
