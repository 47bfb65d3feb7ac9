//! What the host prints about a run: one aligned row for each plugin, and the sums.

use std::{
    env,
    io::{IsTerminal as _, stdout},
    time::Duration,
};

/// How a plugin came to be loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Hit,
    Built,
    /// Built, but the store did not take it.
    Unstored,
    /// Loaded from a copy of what was loaded before.
    Copy,
    Failed,
}

impl How {
    fn word(self) -> &'static str {
        match self {
            How::Hit => "hit",
            How::Built => "built",
            How::Unstored => "unstored",
            How::Copy => "copy",
            How::Failed => "failed",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            How::Hit | How::Copy => "32",
            How::Built | How::Unstored => "33",
            How::Failed => "31",
        }
    }
}

/// What happened to one plugin.
pub(crate) struct Row {
    name: String,
    pub(crate) how: How,
    build: Option<Duration>,
    load: Option<Duration>,
    total: Duration,
    saved: Option<Duration>,
    note: Option<String>,
}

impl Row {
    pub(crate) fn new(name: &str, total: Duration) -> Row {
        Row { name: name.into(), how: How::Failed, build: None, load: None, total, saved: None, note: None }
    }

    pub(crate) fn took(self, build: Option<Duration>, load: Option<Duration>) -> Row {
        Row { build, load, ..self }
    }

    /// On a hit, what the artifact once cost is what was saved now.
    pub(crate) fn is(self, how: How, cost: Duration) -> Row {
        Row { how, saved: (how == How::Hit).then_some(cost), ..self }
    }

    pub(crate) fn note(self, problem: anyhow::Error) -> Row {
        Row { note: Some(format!("{problem:#}")), ..self }
    }

    fn cells(&self) -> [String; COLUMNS] {
        let time = |time: Option<Duration>| time.map_or_else(|| "-".into(), human);
        [
            self.name.clone(),
            self.how.word().into(),
            time(self.build),
            time(self.load),
            time(Some(self.total)),
            time(self.saved),
        ]
    }
}

const COLUMNS: usize = 6;
const HEADINGS: [&str; COLUMNS] = ["plugin", "", "build", "load", "total", "saved"];

/// Prints the rows, then what they have to say, then the sums.
pub(crate) fn print(rows: &[Row]) {
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    let width = |column: usize| {
        let lengths = cells.iter().map(|row| row[column].chars().count());
        lengths.chain([HEADINGS[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    println!("\n{}", paint("1", &line(&HEADINGS.map(String::from), &widths, None)));
    for (row, cells) in rows.iter().zip(&cells) {
        println!("{}", line(cells, &widths, Some(row.how)));
    }
    println!();
    for row in rows {
        if let Some(note) = &row.note {
            println!("{}: {note}", row.name);
        }
    }
    let count = |how: How| rows.iter().filter(|row| row.how == how).count();
    let total = rows.iter().map(|row| row.total).sum();
    let saved = rows.iter().filter_map(|row| row.saved).sum();
    println!(
        "{} loads: {} hit, {} built, {} failed; {} in all, {} saved",
        rows.len(),
        count(How::Hit),
        count(How::Built) + count(How::Unstored),
        count(How::Failed),
        human(total),
        human(saved),
    );
}

/// Words to the left, times to the right.
fn line(cells: &[String; COLUMNS], widths: &[usize; COLUMNS], how: Option<How>) -> String {
    let mut line = String::new();
    for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        // Padded before it is painted: colours have no width.
        let cell = if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
        match how {
            Some(how) if column == 1 => line += &paint(how.colour(), &cell),
            _ => line += &cell,
        }
        line += "  ";
    }
    line.trim_end().into()
}

/// Three digits and a unit.
fn human(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..1e3 => format!("{micros:.0} \u{b5}s"),
        ..1e4 => format!("{:.2} ms", micros / 1e3),
        ..1e5 => format!("{:.1} ms", micros / 1e3),
        ..1e6 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

/// A name above what its plugin printed.
pub(crate) fn heading(name: &str) -> String {
    paint("1", &format!("{name}:"))
}

fn paint(colour: &str, text: &str) -> String {
    if stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.into()
    }
}
