//! `path` and `get`: what is in the store, without a command that could make it. `key`: what it is found by.

use crate::{
    args::{GetArgs, KeyArgs, KeyVerbArgs, OfCommand, PathArgs, Wait},
    exit::{Done, Exit, Fail, chain},
    out::Out,
    outputs::place,
    place as places,
    signals::Hold,
};
use plugcache::{Artifact, BuildError, Claim, Mode, Sources, Store};
use serde::Serialize;
use std::{path::Path, time::Duration};

#[derive(Serialize)]
struct Found {
    key: String,
    outputs: Vec<FoundOutput>,
}

#[derive(Serialize)]
struct FoundOutput {
    name: String,
    path: String,
    digest: String,
    bytes: u64,
    executable: bool,
}

impl FoundOutput {
    fn new(output: plugcache::Output<'_>, path: &Path) -> FoundOutput {
        FoundOutput {
            name: output.name().to_string_lossy().into_owned(),
            path: path.to_string_lossy().into_owned(),
            digest: output.digest().to_string(),
            bytes: output.len(),
            executable: output.is_executable(),
        }
    }
}

pub(crate) fn path(args: &PathArgs, store: Option<&Path>) -> Done {
    let (artifact, sources) = find(&args.key, &args.of, &args.wait, store)?;
    let mut out = Out::new();
    let of_entry = if args.all { usize::MAX } else { 1 };
    if args.json.json {
        let outputs = artifact.outputs().take(of_entry).map(|output| FoundOutput::new(output, output.path()));
        let found = Found { key: sources.digest().to_string(), outputs: outputs.collect() };
        out.json("path", &found)?;
    } else {
        for output in artifact.outputs().take(of_entry) {
            out.bytes(output.path().as_os_str().as_encoded_bytes())?;
            out.bytes(b"\n")?;
        }
    }
    out.finish()?;
    Ok(Exit::Success)
}

pub(crate) fn get(args: &GetArgs, store: Option<&Path>) -> Done {
    let (artifact, sources) = find(&args.key, &args.of, &args.wait, store)?;
    let hold = Hold::new();
    let mut placed = Vec::new();
    for (number, to) in args.outputs.iter().enumerate() {
        let to = places::absolute(to);
        place(&artifact, number, &to, &hold)?;
        placed.extend(artifact.outputs().nth(number).map(|output| FoundOutput::new(output, &to)));
    }
    if args.json.json {
        let mut out = Out::new();
        out.json("get", &Found { key: sources.digest().to_string(), outputs: placed })?;
        out.finish()?;
    }
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct Key {
    key: String,
    label: String,
    tools: Vec<(String, String)>,
}

pub(crate) fn key(args: &KeyVerbArgs, store: Option<&Path>) -> Done {
    // Without a store the key is the same, and costs more.
    let config = places::config(store).map_err(Fail::into_text);
    let store = config.and_then(|config| places::open_or_why(config, None)).unwrap_or_else(Store::disabled);
    let sources = args.key.sources(&store, &args.of.command, &[])?;
    let mut out = Out::new();
    if args.json.json {
        let tool = |(name, value): (&str, plugcache::ContextValue<'_>)| {
            (name.to_owned(), crate::entries::value_text(value))
        };
        let (key, label) = (sources.digest().to_string(), sources.label().to_owned());
        out.json("key", &Key { key, label, tools: sources.toolchain().map(tool).collect() })?;
    } else {
        out.line(sources.digest())?;
    }
    out.finish()?;
    Ok(Exit::Success)
}

/// The artifact of a key, and if there is none, why.
fn find(
    key: &KeyArgs,
    of: &OfCommand,
    wait: &Wait,
    store: Option<&Path>,
) -> Result<(Artifact, Sources), Fail> {
    let config = places::config(store)?.exec(key.exec());
    let (store, tier) = places::open_with(config.mode(Mode::RequireHit), false)?;
    let sources = key.sources(&store, &of.command, &[])?;
    let got = store.get_or_build(&sources, |_| Err(()));
    // One hit would not be worth writing down to a handle that is only dropped.
    store.close();
    match got {
        Ok(got) => Ok((got.artifact, sources)),
        Err(BuildError::RequiredHit(mut why)) => {
            if let Some(trouble) = tier.trouble() {
                return Err(Fail::new(trouble));
            }
            why.tier = why.tier.filter(|_| tier.is_there());
            let artifact = wait.wait.map_or(Ok(None), |wait| wait_for(&store, &sources, wait))?;
            let miss = || Fail::Told(Exit::Miss, format!("miss: {why}"));
            artifact.map(|artifact| (artifact, sources)).ok_or_else(miss)
        }
        Err(_) => Err(Fail::new("the store cannot be asked")),
    }
}

/// Waits while somebody is making it. `None`: nobody is.
fn wait_for(store: &Store, sources: &Sources, wait: Duration) -> Result<Option<Artifact>, Fail> {
    let store = places::open(store.config().to_builder().mode(Mode::Normal))?;
    let failed = |error: std::io::Error| Fail::new(chain(&error));
    let claim = match store.claim(sources).map_err(failed)? {
        Claim::Busy(busy) => busy.wait(wait).map_err(failed)?,
        claim => claim,
    };
    match claim {
        Claim::Hit(artifact) => Ok(Some(artifact)),
        Claim::Busy(_) => Err(Fail::Told(Exit::Busy, "somebody else is still making it".into())),
        _ => Ok(None),
    }
}
