//! `export` and `import`: entries written as a layer, and taken from one.

use crate::{
    args::{ExportArgs, ImportArgs},
    exit::{Done, Exit, Fail},
    out::{Out, human},
    place as places,
    progress::Progress,
    signals::Hold,
};
use plugcache::{Config, Store};
use serde::Serialize;
use std::{fs, path::Path};

#[derive(Serialize)]
struct Moved {
    entries: u64,
}

/// Written beside DIR and then renamed, so that DIR is whole or not there.
pub(crate) fn export(args: &ExportArgs, store: Option<&Path>) -> Done {
    let store = places::open_to_look(store)?;
    let to = places::absolute(&args.dir);
    if fs::read_dir(&to).is_ok_and(|mut listed| listed.next().is_some()) {
        return Err(Fail::new(format!("{} is not empty: name another directory", to.display())));
    }
    let parent = to.parent().ok_or_else(|| Fail::usage("this is no directory to be made"))?;
    fs::create_dir_all(parent).map_err(Fail::doing("make", parent))?;
    let hold = Hold::new();
    // Removed when it is dropped: by then the layer has left it.
    let beside = tempfile::Builder::new().prefix(".export-").tempdir_in(parent);
    let beside = beside.map_err(Fail::doing("make a directory in", parent))?;
    let layer = beside.path().join("layer");
    let progress = Progress::of_steps("exporting", store.stats().entries);
    let mut seen = 0;
    let entries = store.export(&layer, |entry| {
        seen += 1;
        progress.at(seen);
        !hold.is_over() && (args.label.is_empty() || args.label.iter().any(|label| label == entry.label()))
    });
    progress.finish();
    let entries = entries.map_err(|error| Fail::of(&error))?;
    if hold.is_over() {
        return Err(Fail::new("interrupted: nothing was exported"));
    }
    fs::rename(&layer, &to).map_err(Fail::doing("rename the finished layer to", &to))?;
    told("export", args.json.json, entries, "exported")
}

/// May be ended after any entry: what was taken in until then stays, and another import goes on with the rest.
pub(crate) fn import(args: &ImportArgs, store: Option<&Path>) -> Done {
    let store = places::open_to_look(store)?;
    // How many it has is only for the bar: whether it can be imported is for `import` to say.
    let from = Config::builder(&args.dir).readonly(true).build();
    let known = Store::open(from).map_or(0, |from| from.stats().entries);
    let progress = Progress::of_steps("importing", known);
    let hold = Hold::new();
    let mut seen = 0;
    let entries = store.import_picked(&args.dir, |_| {
        seen += 1;
        progress.at(seen);
        !hold.is_over()
    });
    progress.finish();
    drop(hold);
    told("import", args.json.json, entries.map_err(|error| Fail::of(&error))?, "imported")
}

fn told(verb: &str, json: bool, entries: u64, done: &str) -> Done {
    let mut out = Out::new();
    if json {
        out.json(verb, &Moved { entries })?;
    } else {
        out.line(format!("{done} {}", human::count(entries, "entry", "entries")))?;
    }
    out.finish()?;
    Ok(Exit::Success)
}
