//! `remote gc`: what is old goes from the bucket.

use super::{bucket, settings, unanswered};
use crate::{
    args::remote::GcArgs,
    exit::{Done, Exit},
    out::{Out, human},
    progress::Progress,
};
use plugcache_remote::{CollectOptions, collect};
use serde::Serialize;
use std::time::SystemTime;

#[derive(Serialize)]
struct Collected {
    dry_run: bool,
    entries_kept: u64,
    entries_removed: u64,
    objects_kept: u64,
    objects_removed: u64,
    bytes_removed: u64,
    foreign: u64,
}

/// May be ended at any moment: another goes on with the rest.
pub(super) fn gc(args: &GcArgs) -> Done {
    let settings = settings()?;
    let bucket = bucket(&settings)?;
    let progress = Progress::waiting("looking through the bucket");
    let options = CollectOptions { dry_run: args.dry_run };
    let report = collect(&bucket, &settings.prefix, SystemTime::now(), options);
    progress.finish();
    let report = report.map_err(|error| unanswered(&error))?;
    let collected = Collected {
        dry_run: args.dry_run,
        entries_kept: report.kept,
        entries_removed: report.entries_removed,
        objects_kept: report.objects_kept,
        objects_removed: report.objects_removed,
        bytes_removed: report.bytes_removed,
        foreign: report.foreign,
    };
    let mut out = Out::new();
    if args.json.json {
        out.json("remote-gc", &collected)?;
    } else {
        let entries = human::count(collected.entries_removed, "entry", "entries");
        let objects = human::count(collected.objects_removed, "object", "objects");
        let (bytes, would) =
            (human::size(collected.bytes_removed), if args.dry_run { "would go" } else { "removed" });
        out.line(format!("{would}: {entries}, {objects} with {bytes}"))?;
        out.line(format!("kept: {} and {}", collected.entries_kept, collected.objects_kept))?;
        if collected.foreign > 0 {
            out.line(format!("{} of others, which stay", human::count(collected.foreign, "file", "files")))?;
        }
    }
    out.finish()?;
    Ok(Exit::Success)
}
