//! `du`: what fills the store, by label, and what it takes on the disk.

use crate::{
    args::PageArgs,
    exit::{Done, Exit},
    html,
    out::{
        Out, human,
        style::{Paint, Style},
        table::{Column, Table, terminal_width},
    },
    place as places,
};
use plugcache::{Entry, ObjectDigest, Store};
use serde::Serialize;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::SystemTime,
};

/// All entries of one label. An object counts once, however many entries name it.
#[derive(Serialize)]
struct Group {
    label: String,
    entries: u64,
    bytes: u64,
    last_used_unix_s: u64,
}

#[derive(Serialize)]
struct Used {
    entries: u64,
    /// Of the distinct objects; those that several labels share count once here and in each of them.
    bytes: u64,
    /// What the directory takes, with all that is no entry's.
    disk_bytes: u64,
    labels: Vec<Group>,
}

pub(crate) fn du(args: &PageArgs, store: Option<&Path>) -> Done {
    let store = places::open_to_look(store)?;
    let used = used(&store);
    if let Some(to) = &args.html {
        html::write(to, "du", &store, &used.lines())?;
        return Ok(Exit::Success);
    }
    let mut out = Out::new();
    if args.json.json {
        out.json("du", &used)?;
    } else {
        let mut table = Table::new(&[
            ("LABEL", Column::Cut),
            ("ENTRIES", Column::Right),
            ("SIZE", Column::Right),
            ("SHARE", Column::Right),
            ("USED", Column::Right),
        ]);
        let now = SystemTime::now();
        for group in &used.labels {
            let last_used = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(group.last_used_unix_s);
            table.row([
                (Style::Plain, group.label.clone()),
                (Style::Plain, group.entries.to_string()),
                (Style::Bold, human::size(group.bytes)),
                (Style::Plain, format!("{:.0} %", group.bytes as f64 * 100.0 / used.bytes.max(1) as f64)),
                (Style::Plain, human::day(last_used, now)),
            ]);
        }
        table.print(&mut out, Paint::of_stdout(), terminal_width())?;
        out.line("")?;
        super::stats::print(&mut out, &used.lines())?;
    }
    out.finish()?;
    Ok(Exit::Success)
}

impl Used {
    fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("entries", self.entries.to_string()),
            ("bytes", human::size(self.bytes)),
            ("on disk", format!("{} with everything else in the directory", human::size(self.disk_bytes))),
        ]
    }
}

fn used(store: &Store) -> Used {
    let entries: Vec<Entry> = store.entries().collect();
    let mut by_label: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in &entries {
        by_label.entry(entry.label()).or_default().push(entry);
    }
    let group = |(label, entries): (&&str, &Vec<&Entry>)| Group {
        label: (*label).to_owned(),
        entries: entries.len() as u64,
        bytes: bytes_of(entries.iter().copied()),
        last_used_unix_s: entries.iter().map(|entry| human::unix(entry.last_used())).max().unwrap_or(0),
    };
    let mut labels: Vec<_> = by_label.iter().map(group).collect();
    labels.sort_by_key(|group| Reverse(group.bytes));
    let bytes = bytes_of(entries.iter());
    Used { entries: entries.len() as u64, bytes, disk_bytes: on_disk(store.config().dir()), labels }
}

fn bytes_of<'a>(entries: impl Iterator<Item = &'a Entry>) -> u64 {
    let outputs = entries.flat_map(Entry::outputs);
    let objects: HashMap<ObjectDigest, u64> = outputs.map(|output| (output.digest, output.len)).collect();
    objects.values().sum()
}

/// The blocks of everything in a directory; what cannot be read counts nothing.
fn on_disk(dir: &Path) -> u64 {
    let Ok(listed) = fs::read_dir(dir) else { return 0 };
    let of_one = |entry: fs::DirEntry| {
        let Ok(at) = entry.metadata() else { return 0 };
        let below = if at.is_dir() { on_disk(&entry.path()) } else { 0 };
        at.blocks() * 512 + below
    };
    listed.flatten().map(of_one).sum()
}
