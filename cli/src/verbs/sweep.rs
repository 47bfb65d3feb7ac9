//! `sweep`: the store is brought within limits, and what killed processes left behind goes.

use crate::{
    args::SweepArgs,
    exit::{Done, Exit, Fail},
    out::{Out, human},
    place as places,
    signals::Hold,
};
use plugcache::{SweepOptions, SweepReport};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Swept {
    dry_run: bool,
    dropped: u64,
    dropped_by: By,
    dropped_bytes: u64,
    objects: u64,
    bytes: u64,
    kept: u64,
    left_behind: u64,
    quarantined: u64,
}

/// Which limit it was.
#[derive(Serialize)]
struct By {
    max_files: u64,
    max_bytes: u64,
    idle: u64,
}

impl Swept {
    fn of(report: &SweepReport, dry_run: bool) -> Swept {
        let by = &report.dropped;
        Swept {
            dry_run,
            dropped: by.max_files + by.max_bytes + by.idle_max,
            dropped_by: By { max_files: by.max_files, max_bytes: by.max_bytes, idle: by.idle_max },
            dropped_bytes: report.dropped_bytes,
            objects: report.objects,
            bytes: report.bytes,
            kept: report.kept,
            left_behind: report.left_behind,
            quarantined: report.quarantined,
        }
    }
}

pub(crate) fn sweep(args: &SweepArgs, store: Option<&Path>) -> Done {
    let store = places::open_to_look(store)?;
    let mut options = SweepOptions::new().dry_run(args.dry_run);
    if let Some(files) = args.max_files {
        options = options.max_files(files);
    }
    if let Some(bytes) = args.max_bytes {
        options = options.max_bytes(bytes);
    }
    if let Some(idle) = args.idle {
        options = options.idle_max(idle);
    }
    let progress = crate::progress::Progress::waiting("sweeping");
    let hold = Hold::new();
    let report = store.sweep(options);
    progress.finish();
    drop(hold);
    let report = report.map_err(|error| Fail::of(&error))?;
    let swept = Swept::of(&report, args.dry_run);
    let mut out = Out::new();
    if args.json.json {
        out.json("sweep", &swept)?;
    } else {
        print(&mut out, &swept)?;
    }
    out.finish()?;
    Ok(Exit::Success)
}

fn print(out: &mut Out, swept: &Swept) -> Result<(), Fail> {
    let Swept { dropped, dropped_by: By { max_files, max_bytes, idle }, dropped_bytes, .. } = swept;
    let verb = if swept.dry_run { "would drop" } else { "dropped" };
    let size = human::size(*dropped_bytes);
    let dropped = human::count(*dropped, "entry", "entries");
    out.line(format!(
        "{verb} {dropped} with {size}: {max_files} by number, {max_bytes} by bytes, {idle} unused"
    ))?;
    if !swept.dry_run {
        let objects = human::count(swept.objects, "object", "objects");
        out.line(format!("removed {objects} with {}", human::size(swept.bytes)))?;
    }
    for (count, what) in [
        (swept.kept, "objects without an entry stay: in use, or young"),
        (swept.left_behind, "files that killed processes had left behind"),
        (swept.quarantined, "files of the quarantine, beyond the newest"),
    ] {
        if count > 0 {
            out.line(format!("{count} {what}"))?;
        }
    }
    Ok(())
}
