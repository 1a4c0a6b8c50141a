//! Tables and lines of text, as `wasmo inspect` prints them.

use std::fmt::Write as _;

/// A row's cells. In a table, all columns but the last are padded.
pub(super) type Row = Vec<String>;

/// `1 byte`, `2 bytes`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A heading with the number of rows, and the rows aligned below; nothing if there are none.
pub(super) fn section(text: &mut String, heading: &str, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    line(text, &format!("\n{heading} ({})", rows.len()));
    table(text, rows);
}

/// Rows aligned below each other.
pub(super) fn table(text: &mut String, rows: &[Row]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        line(text, format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end());
    }
}

pub(super) fn line(text: &mut String, content: &str) {
    let written = writeln!(text, "{content}");
    debug_assert!(written.is_ok(), "a string takes what is written to it");
}

/// A name without what would move a terminal's cursor or change its colours.
pub(super) fn printable(name: &str) -> String {
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mä\n"), "a\\u{1b}[31mä\\n");
    }
}
