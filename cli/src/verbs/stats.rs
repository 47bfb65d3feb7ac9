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
use plugcache::{Stats, Status, Store};
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
}

impl Numbers {
    fn of(store: &Store, stats: &Stats) -> Numbers {
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
        }
    }

    /// For people: what, how much, and of how much.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("store", self.dir.clone()),
            ("status", self.status.clone()),
            ("entries", format!("{} of at most {}", self.entries, self.max_files)),
            ("bytes", format!("{} of at most {}", human::size(self.bytes), human::size(self.max_bytes))),
            (
                "build time",
                format!("{} to make all of it anew", human::span(Duration::from_millis(self.cost_ms))),
            ),
        ]
    }
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
