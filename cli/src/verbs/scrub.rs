//! `scrub`: everything at rest is read and proved. `rebuild`: a manifest that is damaged is written anew.

use crate::{
    args::{Json, ScrubArgs},
    exit::{Done, Exit, Fail},
    out::{Out, human, table::plain},
    place as places,
    progress::Progress,
};
use plugcache::{Cursor, ManifestDamage, ScrubObjects, ScrubOptions, ScrubProgress, ScrubReport};
use serde::Serialize;
use std::path::Path;

/// Of how many objects of a kind the names are told.
#[derive(Serialize)]
struct Objects {
    count: u64,
    listed: Vec<String>,
}

impl Objects {
    fn of(objects: &ScrubObjects) -> Objects {
        Objects { count: objects.count, listed: objects.listed.iter().map(ToString::to_string).collect() }
    }
}

#[derive(Serialize)]
struct Scrubbed {
    clean: bool,
    checked: u64,
    bytes: u64,
    damaged: Objects,
    set_aside: u64,
    missing: Objects,
    orphaned: Objects,
    unreadable: Objects,
    unlisted: u64,
    frames: u64,
    manifest: Vec<String>,
    cursor: Option<String>,
}

impl Scrubbed {
    fn of(report: &ScrubReport) -> Scrubbed {
        Scrubbed {
            clean: report.is_clean(),
            checked: report.checked,
            bytes: report.bytes,
            damaged: Objects::of(&report.damaged),
            set_aside: report.set_aside,
            missing: Objects::of(&report.missing),
            orphaned: Objects::of(&report.orphaned),
            unreadable: Objects::of(&report.unreadable),
            unlisted: report.unlisted,
            frames: report.frames,
            manifest: damage(&report.manifest),
            cursor: report.cursor.as_ref().map(Cursor::to_string),
        }
    }
}

fn damage(damage: &[ManifestDamage]) -> Vec<String> {
    damage.iter().map(ToString::to_string).collect()
}

/// Ends with 4 if anything is damaged. May be ended at any moment: what was set aside until then is.
pub(crate) fn scrub(args: &ScrubArgs, store: Option<&Path>) -> Done {
    let store = places::open_to_look(store)?;
    // By thousandths: how many objects there are is known at the end alone.
    let progress = Progress::of_steps("scrubbing", 1000);
    let mut tell = |at: &ScrubProgress| progress.at((at.fraction() * 1000.0) as u64);
    let mut options = ScrubOptions::new().progress(&mut tell);
    if let Some(bytes) = args.bytes_per_second {
        options = options.bytes_per_second(bytes);
    }
    if let Some(bytes) = args.max_bytes {
        options = options.bytes_max(bytes);
    }
    if let Some(from) = &args.from {
        let cursor =
            from.parse().map_err(|_| Fail::usage(format!("{from:?} is no cursor of an earlier scrub")))?;
        options = options.from(cursor);
    }
    let report = store.scrub(options);
    progress.finish();
    let report = report.map_err(|error| Fail::of(&error))?;
    let mut out = Out::new();
    if args.json.json {
        out.json("scrub", &Scrubbed::of(&report))?;
    } else {
        print(&mut out, &report)?;
    }
    out.finish()?;
    Ok(if report.is_clean() { Exit::Success } else { Exit::Damage })
}

fn print(out: &mut Out, report: &ScrubReport) -> Result<(), Fail> {
    let bytes = human::size(report.bytes);
    let (objects, frames) =
        (human::count(report.checked, "object", "objects"), human::count(report.frames, "frame", "frames"));
    out.line(format!("right: {objects} with {bytes}, {frames} of the list of entries"))?;
    for (what, objects) in [
        ("damaged, and built anew when it is next asked for", &report.damaged),
        ("missing, and built anew when it is next asked for", &report.missing),
        ("unreadable: see what the system says of the disk", &report.unreadable),
    ] {
        for object in &objects.listed {
            out.line(format!("{object} {what}"))?;
        }
        let more = objects.count - objects.listed.len() as u64;
        if more > 0 {
            out.line(format!("{more} more {what}"))?;
        }
    }
    for damage in damage(&report.manifest) {
        out.line(format!("manifest: {}; `plugcache rebuild` writes it anew", plain(&damage)))?;
    }
    if report.unlisted > 0 {
        out.line(format!("{} directories of objects cannot be listed", report.unlisted))?;
    }
    if report.orphaned.count > 0 {
        out.line(format!("{} objects have no entry any more, and go with a sweep", report.orphaned.count))?;
    }
    report.cursor.iter().try_for_each(|cursor| out.line(format!("to go on: plugcache scrub --from {cursor}")))
}

#[derive(Serialize)]
struct Rebuilt {
    entries: u64,
    salvaged: u64,
    damage: Vec<String>,
}

pub(crate) fn rebuild(args: &Json, store: Option<&Path>) -> Done {
    let store = places::open_to_look(store)?;
    let report = store.rebuild().map_err(|error| Fail::of(&error))?;
    let rebuilt =
        Rebuilt { entries: report.entries, salvaged: report.salvaged, damage: damage(&report.damage) };
    let mut out = Out::new();
    if args.json {
        out.json("rebuild", &rebuilt)?;
    } else {
        for damage in &rebuilt.damage {
            out.line(format!("was damaged: {}", plain(damage)))?;
        }
        let entries = human::count(rebuilt.entries, "entry", "entries");
        out.line(format!("{entries}, {} of them brought back", rebuilt.salvaged))?;
    }
    out.finish()?;
    Ok(Exit::Success)
}
