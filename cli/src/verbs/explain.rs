//! `explain`: whether a key hits, and if not, why not and what to do.

use crate::{
    args::ExplainArgs,
    exit::{Done, Exit, Fail},
    out::{Out, table::plain},
    place as places,
    tier::Lazy,
};
use plugcache::{Explanation, Why};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Explained {
    key: String,
    hit: bool,
    reason: String,
    text: String,
    also: Vec<Also>,
    nearest: Option<Nearest>,
    unstorable: Option<String>,
    tier: Option<String>,
}

#[derive(Serialize)]
struct Also {
    reason: String,
    text: String,
}

#[derive(Serialize)]
struct Nearest {
    key: String,
    label: String,
}

impl Explained {
    fn of(key: String, explanation: &Explanation) -> Result<Explained, Fail> {
        let also = |why: &Why| Ok::<_, Fail>(Also { reason: word_of(why)?, text: why.to_string() });
        Ok(Explained {
            key,
            hit: explanation.is_hit(),
            reason: word_of(&explanation.why)?,
            text: explanation.why.to_string(),
            also: explanation.also.iter().map(also).collect::<Result<_, _>>()?,
            nearest: explanation.nearest.as_ref().map(|entry| Nearest {
                key: entry.source_digest().to_string(),
                label: entry.label().to_owned(),
            }),
            unstorable: explanation.unstorable.clone(),
            tier: explanation.tier.clone(),
        })
    }
}

/// The library's word for a reason: `source-changed`.
fn word_of(why: &Why) -> Result<String, Fail> {
    let word = match serde_json::to_value(why).map_err(|error| Fail::of(&error))? {
        serde_json::Value::String(word) => Some(word),
        serde_json::Value::Object(fields) => fields.into_iter().next().map(|(word, _)| word),
        _ => None,
    };
    Ok(word.unwrap_or_else(|| "other".into()))
}

/// Ends with 3 if it is a miss.
pub(crate) fn explain(args: &ExplainArgs, store: Option<&Path>) -> Done {
    let store = places::open(places::config(store)?.exec(args.key.exec()))?;
    let sources = args.key.sources(&store, &args.of.command, &[])?;
    let mut explanation = store.explain(&sources);
    // Asked for its entry alone: whoever wants to know why shall not change what is so.
    if let Some(key) = store.tier_key(sources.digest()).filter(|_| !explanation.is_hit()) {
        explanation.tier = Lazy::of(store.config(), false).words_about(&key);
    }
    let mut out = Out::new();
    if args.json.json {
        out.json("explain", &Explained::of(sources.digest().to_string(), &explanation)?)?;
    } else {
        for line in explanation.to_string().lines() {
            out.line(plain(line))?;
        }
    }
    out.finish()?;
    Ok(if explanation.is_hit() { Exit::Success } else { Exit::Miss })
}
