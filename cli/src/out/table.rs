//! Tables: columns as wide as what is in them, and no wider than the terminal.
//!
//! On a terminal the columns that may be cut are shortened until a row fits a line; elsewhere nothing is cut, so that
//! scripts that read tables see all of it.

use super::{
    Out,
    style::{Paint, Style},
};
use crate::exit::Fail;

/// Between two columns.
const GAP: usize = 2;
/// A column that may be cut keeps this much.
const CUT_MIN: usize = 8;

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Left,
    /// For numbers.
    Right,
    /// Left, and shortened where a row is too long.
    Cut,
}

/// A heading and rows below it.
pub(crate) struct Table {
    columns: Vec<(&'static str, Column)>,
    rows: Vec<Vec<(Style, String)>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Column)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [(Style, String); N]) {
        // What came from a file name or a label must not steer the terminal.
        self.rows.push(cells.map(|(style, text)| (style, plain(&text))).into());
    }

    /// `width`: of the terminal, if it is one.
    pub(crate) fn print(&self, out: &mut Out, paint: Paint, width: Option<usize>) -> Result<(), Fail> {
        let widths = self.widths(width);
        let heading = self.columns.iter().map(|(name, _)| (Style::Dim, (*name).to_owned())).collect();
        for row in std::iter::once(&heading).chain(&self.rows) {
            out.line(self.set(row, &widths, paint))?;
        }
        Ok(())
    }

    fn widths(&self, width: Option<usize>) -> Vec<usize> {
        let of_column = |place: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(place)).map(|(_, text)| columns_of(text));
            cells.max().unwrap_or(0).max(columns_of(self.columns[place].0))
        };
        let mut widths: Vec<_> = (0..self.columns.len()).map(of_column).collect();
        let Some(width) = width else { return widths };
        let gaps = GAP * widths.len().saturating_sub(1);
        let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
        // The widest first, one column of the terminal at a time: they end up alike.
        while excess > 0 {
            let may_be_cut =
                |place: &usize| self.columns[*place].1 == Column::Cut && widths[*place] > CUT_MIN;
            let Some(widest) = (0..widths.len()).filter(may_be_cut).max_by_key(|place| widths[*place]) else {
                break;
            };
            widths[widest] -= 1;
            excess -= 1;
        }
        widths
    }

    fn set(&self, row: &[(Style, String)], widths: &[usize], paint: Paint) -> String {
        let mut line = String::new();
        for (place, (style, text)) in row.iter().enumerate() {
            let text = cut(text, widths[place]);
            let fill = " ".repeat(widths[place].saturating_sub(columns_of(&text)));
            let painted = paint.paint(*style, &text);
            let is_last = place + 1 == row.len();
            match self.columns[place].1 {
                Column::Right => line.extend([fill.as_str(), &painted]),
                _ if is_last => line.push_str(&painted),
                _ => line.extend([painted.as_str(), &fill]),
            }
            if !is_last {
                line.push_str(&" ".repeat(GAP));
            }
        }
        line
    }
}

/// The width of the terminal that standard output is, if it is one.
pub(crate) fn terminal_width() -> Option<usize> {
    use std::io::IsTerminal as _;
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(|| terminal_size::terminal_size_of(&stdout)).flatten();
    size.map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0)
}

/// Without control characters.
pub(crate) fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// As many columns as characters: labels are names, and those of double width are rare enough.
fn columns_of(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: &str, width: usize) -> String {
    if columns_of(text) <= width {
        return text.into();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("KEY", Column::Left), ("LABEL", Column::Cut), ("SIZE", Column::Right)]);
        let cells = |key: &str, label: &str, size: &str| {
            [key, label, size].map(|text| (Style::Plain, text.to_owned()))
        };
        table.row(cells("0123", "a long label of a plugin", "1 B"));
        table.row(cells("4567", "b", "100 KiB"));
        table
    }

    fn lines(width: Option<usize>) -> Vec<String> {
        let table = table();
        let widths = table.widths(width);
        let paint = Paint::of_stdout();
        table.rows.iter().map(|row| table.set(row, &widths, paint)).collect()
    }

    #[test]
    fn a_row_fits_the_terminal_and_elsewhere_nothing_is_cut() {
        assert_eq!(lines(None)[0], "0123  a long label of a plugin      1 B");
        assert_eq!(lines(Some(26))[0], "0123  a long la…      1 B"[..].replace("a long la…", "a long lab…"));
        assert!(lines(Some(26)).iter().all(|line| line.chars().count() <= 26));
    }

    #[test]
    fn a_terminal_that_is_too_narrow_still_shows_the_beginning_of_each() {
        assert_eq!(lines(Some(3))[0], "0123  a long …      1 B");
    }

    #[test]
    fn what_a_label_holds_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
