//! `put`: stores files that were made elsewhere.

use crate::{
    args::PutArgs,
    exit::{Done, Exit, Fail, chain},
    out::Out,
    place as places,
    progress::Progress,
    signals::{self, Hold},
};
use plugcache::{Added, Outputs};
use serde::Serialize;
use std::{ops::ControlFlow, path::Path};

#[derive(Serialize)]
struct Put {
    key: String,
    outputs: usize,
    bytes: u64,
}

pub(crate) fn put(args: &PutArgs, store: Option<&Path>) -> Done {
    if args.key.sources.is_empty() {
        return Err(Fail::usage("name what the files were made from: -s FILE"));
    }
    let (store, _) = places::open_with(places::config(store)?.exec(args.key.exec()), false)?;
    let sources = args.key.sources(&store, &args.of.command, &args.artifacts)?;
    let mut artifacts = args.artifacts.iter().map(|path| (path, places::absolute(path)));
    let (first, path) = artifacts.next().ok_or_else(|| Fail::usage("there is nothing to store"))?;
    let outputs =
        artifacts.fold(Outputs::file(first, path), |outputs, (name, path)| outputs.and_file(name, path));
    let bytes = args.artifacts.iter().filter_map(|path| path.metadata().ok()).map(|at| at.len()).sum();
    let progress = Progress::of_bytes("storing", bytes);
    let bar = progress.clone();
    let outputs = outputs.copying(move |copied| {
        bar.at(copied);
        if signals::came() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    // What is copied so far is removed before ^C ends the command.
    let hold = Hold::new();
    let added = store.add(&sources, outputs);
    progress.finish();
    drop(hold);
    match added.map_err(|problem| Fail::new(chain(&problem)))? {
        Added::Stored => {
            let mut out = Out::new();
            let key = sources.digest().to_string();
            if args.json.json {
                out.json("put", &Put { key, outputs: args.artifacts.len(), bytes })?;
            } else {
                out.line(key)?;
            }
            out.finish()?;
            Ok(Exit::Success)
        }
        Added::Skipped(why) => Err(Fail::new(format!("not stored: {why}"))),
        // No flag of the command asks for that mode.
        Added::Compared(_) => Err(Fail::new("not stored: it was compared with what is stored")),
    }
}
