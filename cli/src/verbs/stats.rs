//! `stats`: what the store holds and what it was good for.

use crate::{
    args::PageArgs,
    entries::ms,
    exit::{Done, Exit, Fail},
    html,
    out::{
        Out, human,
        style::{Paint, Style},
    },
    place as places,
};
use plugcache::{ByLimit, Day, Misses, Skips, Stats, Status, Store};
use serde::Serialize;
use std::{path::Path, time::Duration};

#[derive(Serialize)]
struct Numbers {
    dir: String,
    status: String,
    entries: u64,
    bytes: u64,
    max_files: u64,
    max_bytes: u64,
    /// What building all of it anew would take.
    cost_ms: u64,
    hits: u64,
    misses: u64,
    saved_ms: u64,
    adds: u64,
    skips: u64,
    misses_by_reason: Misses,
    skips_by_reason: Skips,
    /// What a tier answered to misses.
    tier: Tier,
    evictions: By,
    /// Misses of what a limit had dropped not long before.
    asked_again: By,
    /// The finds of the last days on which any were written down.
    days: Vec<Day>,
    /// Of other versions, below the same directory.
    other_formats: Vec<u32>,
}

#[derive(Serialize)]
struct Tier {
    fetched: u64,
    fetched_bytes: u64,
    misses: u64,
    errors: u64,
}

/// Which limit it was.
#[derive(Serialize)]
struct By {
    max_files: u64,
    max_bytes: u64,
    idle: u64,
}

impl By {
    fn of(by: &ByLimit) -> By {
        By { max_files: by.max_files, max_bytes: by.max_bytes, idle: by.idle_max }
    }

    fn sum(&self) -> u64 {
        self.max_files + self.max_bytes + self.idle
    }
}

impl Numbers {
    fn of(store: &Store, stats: &Stats) -> Numbers {
        // This call has found nothing, so all that was counted is that of others.
        let counts = &stats.store;
        let cost: Duration = store.entries().map(|entry| entry.cost()).sum();
        Numbers {
            dir: store.config().dir().to_string_lossy().into_owned(),
            status: match store.status() {
                Status::Ready => "ready".into(),
                Status::ReadOnly => "read-only".into(),
                Status::Degraded(why) => format!("degraded: {why}"),
                Status::Disabled(why) => format!("disabled: {why}"),
                _ => "unknown".into(),
            },
            entries: stats.entries,
            bytes: stats.bytes,
            max_files: store.config().max_files(),
            max_bytes: store.config().max_bytes(),
            cost_ms: ms(cost),
            hits: counts.hits,
            misses: counts.misses.sum(),
            saved_ms: ms(counts.saved),
            adds: counts.adds,
            skips: counts.skips.sum(),
            misses_by_reason: counts.misses.clone(),
            skips_by_reason: counts.skips.clone(),
            tier: Tier {
                fetched: counts.fetched,
                fetched_bytes: counts.fetched_bytes,
                misses: counts.tier_misses,
                errors: counts.tier_errors,
            },
            evictions: By::of(&counts.evictions),
            asked_again: By::of(&counts.asked_again),
            days: stats.days.clone(),
            other_formats: stats.other_formats.clone(),
        }
    }

    /// For people: what, how much, and of how much.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("store", self.dir.clone()),
            ("status", self.status.clone()),
            ("entries", format!("{} of at most {}", self.entries, self.max_files)),
            ("bytes", format!("{} of at most {}", human::size(self.bytes), human::size(self.max_bytes))),
            (
                "build time",
                format!("{} to make all of it anew", human::span(Duration::from_millis(self.cost_ms))),
            ),
            ("hits", format!("{}, {} saved", self.hits, human::span(Duration::from_millis(self.saved_ms)))),
            ("misses", format!("{}{}", self.misses, reasons(&self.misses_by_reason))),
            (
                "stored",
                format!("{}, and {} not stored{}", self.adds, self.skips, reasons(&self.skips_by_reason)),
            ),
            (
                "evicted",
                format!("{}, of which {} were asked for again", self.evictions.sum(), self.asked_again.sum()),
            ),
        ];
        let Tier { fetched, fetched_bytes, misses, errors } = self.tier;
        if fetched + misses + errors > 0 {
            let bytes = human::size(fetched_bytes);
            let text = format!("{fetched} fetched ({bytes}), {misses} not there, {errors} without an answer");
            lines.push(("tier", text));
        }
        if !self.other_formats.is_empty() {
            let versions: Vec<_> = self.other_formats.iter().map(u32::to_string).collect();
            lines.push(("others", format!("stores of versions {} lie beside it", versions.join(", "))));
        }
        lines
    }
}

/// What of it is not 0: ` (never seen 3, dropped 1)`.
fn reasons(counts: &impl Serialize) -> String {
    let value = serde_json::to_value(counts).unwrap_or_default();
    let counts = value.as_object().into_iter().flatten();
    let counted = counts.filter_map(|(name, count)| Some((name, count.as_u64().filter(|count| *count > 0)?)));
    let texts: Vec<_> = counted.map(|(name, count)| format!("{} {count}", name.replace('_', " "))).collect();
    if texts.is_empty() { String::new() } else { format!(" ({})", texts.join(", ")) }
}

pub(crate) fn stats(args: &PageArgs, store: Option<&Path>) -> Done {
    let store = places::open_to_look(store)?;
    let numbers = Numbers::of(&store, &store.stats());
    if let Some(to) = &args.html {
        html::write(to, "stats", &store, &numbers.lines())?;
        return Ok(Exit::Success);
    }
    let mut out = Out::new();
    if args.json.json {
        out.json("stats", &numbers)?;
    } else {
        print(&mut out, &numbers.lines())?;
    }
    out.finish()?;
    Ok(Exit::Success)
}

/// Pairs of a word and what it is.
pub(crate) fn print(out: &mut Out, lines: &[(&'static str, String)]) -> Result<(), Fail> {
    let paint = Paint::of_stdout();
    let width = lines.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
    for (what, text) in lines {
        let what = paint.paint(Style::Dim, &format!("{what:<width$}"));
        out.line(format!("{what}  {}", crate::out::table::plain(text)))?;
    }
    Ok(())
}
