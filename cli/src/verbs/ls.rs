//! `ls` and `show`: the entries of a store, in short and in full.

use crate::{
    args::{Json, ShowArgs},
    entries::{EntryJson, RecipeJson},
    exit::{Done, Exit},
    key::{entries_of, short},
    out::{
        Out, human,
        style::{Paint, Style},
        table::{Column, Table, plain, terminal_width},
    },
    place as places,
};
use plugcache::Entry;
use serde::Serialize;
use std::{path::Path, time::SystemTime};

pub(crate) fn ls(args: &Json, store: Option<&Path>) -> Done {
    let entries = places::open_to_look(store)?.entries();
    let mut out = Out::new();
    if args.json {
        for entry in entries {
            out.json("ls", &EntryJson::new(&entry))?;
        }
    } else {
        let now = SystemTime::now();
        let mut table = Table::new(&[
            ("KEY", Column::Left),
            ("LABEL", Column::Cut),
            ("SIZE", Column::Right),
            ("FILES", Column::Right),
            ("BUILD", Column::Right),
            ("MADE", Column::Right),
            ("USED", Column::Right),
        ]);
        for entry in entries {
            table.row([
                (Style::Bold, short(&entry.source_digest())),
                (Style::Plain, entry.label().to_owned()),
                (Style::Plain, human::size(entry.bytes())),
                (Style::Plain, entry.outputs().len().to_string()),
                (Style::Plain, human::span(entry.cost())),
                (Style::Plain, human::age(entry.made(), now)),
                (Style::Plain, human::day(entry.last_used(), now)),
            ]);
        }
        table.print(&mut out, Paint::of_stdout(), terminal_width())?;
    }
    out.finish()?;
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    entry: EntryJson,
    recipe: Option<RecipeJson>,
}

pub(crate) fn show(args: &ShowArgs, store: Option<&Path>) -> Done {
    let store = places::open_to_look(store)?;
    let mut out = Out::new();
    for (number, entry) in entries_of(&store, &args.key)?.iter().enumerate() {
        let recipe = entry.sources().map(|sources| RecipeJson::new(entry, &sources));
        if args.json.json {
            out.json("show", &Shown { entry: EntryJson::new(entry), recipe })?;
        } else {
            if number > 0 {
                out.line("")?;
            }
            show_one(&mut out, entry, recipe.as_ref())?;
        }
    }
    out.finish()?;
    Ok(Exit::Success)
}

fn show_one(out: &mut Out, entry: &Entry, recipe: Option<&RecipeJson>) -> Result<(), crate::exit::Fail> {
    let (now, paint) = (SystemTime::now(), Paint::of_stdout());
    let mut lines = vec![
        ("key", entry.source_digest().to_string()),
        ("label", entry.label().to_owned()),
        ("made", format!("{}, in {}", human::age(entry.made(), now), human::span(entry.cost()))),
        ("last used", human::day(entry.last_used(), now)),
    ];
    for output in entry.outputs() {
        let (name, size) = (output.name.to_string_lossy().into_owned(), human::size(output.len));
        lines.push(("file", format!("{name} ({size}, blake3 {})", output.digest)));
    }
    match recipe {
        Some(recipe) => lines.extend(recipe.lines()),
        None => lines.push(("recipe", "too long to be shown here".into())),
    }
    for (what, text) in lines {
        out.line(format!("{} {}", paint.paint(Style::Dim, &format!("{what:<9}")), plain(&text)))?;
    }
    Ok(())
}
