//! `remote status`: where the tier is, who this machine is there, whether the engine answers, what waits.

use super::{ask, dir_of, place_of};
use crate::{
    args::Json,
    entries::ms,
    exit::{Done, Exit, Fail},
    out::{Out, human, table::plain},
    tier::{Settings, answered, state_of},
};
use plugcache_remote::{Mode, Name, QueueStatus, waiting_in};
use serde::Serialize;
use std::{env, path::Path};

#[derive(Serialize)]
struct Status {
    config: Option<String>,
    mode: &'static str,
    place: Option<Place>,
    namespaces: Vec<Namespace>,
    publish: Option<Publish>,
    credentials: bool,
    waiting: Waiting,
    answers: bool,
    took_ms: Option<u64>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Place {
    bucket: String,
    endpoint: Option<String>,
    region: Option<String>,
    prefix: String,
}

#[derive(Serialize)]
struct Namespace {
    name: String,
    keys: usize,
}

#[derive(Serialize)]
struct Publish {
    namespace: String,
    key_id: Option<String>,
    builder: String,
}

#[derive(Serialize)]
struct Waiting {
    uploads: usize,
    bytes: u64,
}

/// Ends with 1 if it cannot be used, with 5 if it gives no answer in time.
pub(super) fn status(args: &Json, store: Option<&Path>) -> Done {
    let dir = dir_of(store)?;
    let settings = Settings::find().map_err(Fail::new)?;
    let (status, exit) = look(settings.as_ref(), &dir);
    let mut out = Out::new();
    if args.json {
        out.json("remote-status", &status)?;
    } else {
        print(&mut out, settings.as_ref(), &status)?;
    }
    out.finish()?;
    Ok(exit)
}

fn look(settings: Option<&Settings>, dir: &Path) -> (Status, Exit) {
    let QueueStatus { jobs, bytes, .. } = waiting_in(&state_of(dir).join("queue"));
    let mut status = Status {
        config: settings.map(|settings| settings.file.display().to_string()),
        mode: settings.map_or("off", Settings::mode_word),
        place: settings.map(place),
        namespaces: Vec::new(),
        publish: None,
        credentials: has_credentials(),
        waiting: Waiting { uploads: jobs, bytes },
        answers: false,
        took_ms: None,
        problems: Vec::new(),
    };
    let Some(settings) = settings.filter(|settings| settings.mode != Mode::Off) else {
        return (status, Exit::Success);
    };
    let trust = settings.trusted();
    let keys = |name: &Name| trust.as_ref().map_or(0, |trust| trust.keys_in(name));
    let namespace = |name: &Name| Namespace { name: name.to_string(), keys: keys(name) };
    status.namespaces = settings.namespaces.iter().map(namespace).collect();
    status.problems.extend(trust.err());
    status.publish = settings.publish.as_ref().map(|publish| {
        let publisher = settings.publisher();
        let key_id = publisher.as_ref().ok().map(|publisher| publisher.key.id().to_string());
        status.problems.extend(publisher.err());
        Publish { namespace: publish.namespace.to_string(), key_id, builder: publish.builder.clone() }
    });
    let mut exit = if status.problems.is_empty() { Exit::Success } else { Exit::Failure };
    match ask(settings) {
        Ok(took) => {
            (status.answers, status.took_ms) = (true, Some(ms(took)));
            answered(dir);
        }
        Err(Fail::Told(code, why)) => {
            exit = code;
            status.problems.push(why);
        }
        Err(Fail::NobodyReads) => {}
    }
    (status, exit)
}

fn place(settings: &Settings) -> Place {
    Place {
        bucket: settings.bucket.clone(),
        endpoint: settings.endpoint.clone(),
        region: settings.region.clone(),
        prefix: settings.prefix.to_string(),
    }
}

/// Whether the environment holds a key; roles of a platform are asked by the client alone.
fn has_credentials() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY")
}

fn print(out: &mut Out, settings: Option<&Settings>, status: &Status) -> Result<(), Fail> {
    let mut line = |name: &str, text: String| out.line(format!("{name:<12} {}", plain(&text)));
    let file = status.config.as_deref().unwrap_or("no file names one");
    line("tier", format!("{} ({file})", status.mode))?;
    if let Some(settings) = settings {
        line("bucket", place_of(settings))?;
        if let Some(place) = status.place.as_ref().filter(|place| !place.prefix.is_empty()) {
            line("below", place.prefix.clone())?;
        }
    }
    for namespace in &status.namespaces {
        let keys = human::count(namespace.keys as u64, "key is believed", "keys are believed");
        line("namespace", format!("{}: {keys}", namespace.name))?;
    }
    if let Some(publish) = &status.publish {
        let id = publish.key_id.as_deref().unwrap_or("a key that cannot be used");
        line("publishes", format!("in {} as {}, with {id}", publish.namespace, publish.builder))?;
    }
    if status.place.is_some() {
        let words = if status.credentials { "in the environment" } else { "none in the environment" };
        line("credentials", words.into())?;
    }
    if status.waiting.uploads > 0 {
        let uploads = human::count(status.waiting.uploads as u64, "upload", "uploads");
        line("waiting", format!("{uploads} of {}", human::size(status.waiting.bytes)))?;
    }
    if let Some(took) = status.took_ms {
        line("engine", format!("answers, in {took} ms"))?;
    }
    status.problems.iter().try_for_each(|problem| line("PROBLEM", problem.clone()))
}
