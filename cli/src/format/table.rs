//! Columns as Docker aligns them.

use super::escape::escape;

/// Blanks between columns.
const PADDING: usize = 3;
/// Docker's least width of a column that another follows, with its padding: why a short `NAME` takes ten.
const LEAST: usize = 10;

/// A table: a header and rows of cells, columns on the left, as wide as their widest cell, no blanks at line ends.
/// Every line ends in a new line. What a cell holds for a terminal to act on is escaped.
///
/// ```
/// let rows = vec![vec!["b94d7c0f3a1d".to_owned(), "bridge".to_owned()]];
/// let table = cli::format::table::table(&["Network ID", "Name"], &rows);
/// assert_eq!(table, "NETWORK ID     NAME\nb94d7c0f3a1d   bridge\n");
/// ```
pub fn table<S: AsRef<str>>(header: &[&str], rows: &[Vec<S>]) -> String {
    let mut lines = vec![header.iter().map(|cell| escape(cell).to_uppercase()).collect::<Vec<_>>()];
    for row in rows {
        lines.push(row.iter().map(|cell| escape(cell.as_ref()).into_owned()).collect());
    }
    align_cells(&lines)
}

/// Aligns text whose cells are parted by tabs, as the output of a `table` template.
pub fn align(text: &str) -> String {
    let lines: Vec<Vec<String>> =
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    align_cells(&lines)
}

fn align_cells(lines: &[Vec<String>]) -> String {
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|_| Vec::new()).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        // Lines below each other share a column's width; one that has no such column parts them.
        let mut start = 0;
        while start < lines.len() {
            let block = lines.iter().skip(start).take_while(|line| line.len() > column + 1).count();
            let widest = lines
                .iter()
                .skip(start)
                .take(block)
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count() + PADDING)
                .max()
                .unwrap_or(0)
                .max(LEAST);
            for line in widths.iter_mut().skip(start).take(block) {
                line.push(widest);
            }
            start += block + 1;
        }
    }
    let mut out = String::new();
    for (cells, widths) in lines.iter().zip(&widths) {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            let width = widths.get(at).copied().unwrap_or(0);
            line.push_str(cell);
            // Not `{:<width$}`, which panics past 65535.
            line.push_str(&" ".repeat(width.saturating_sub(cell.chars().count())));
        }
        out.push_str(line.trim_end_matches(' '));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|&cell| cell.to_owned()).collect()).collect()
    }

    #[test]
    fn network_ls() {
        let rows = rows(&[
            &["b94d7c0f3a1d", "bridge", "bridge", "local"],
            &["7fca4eb8c647", "none", "null", "local"],
        ]);
        assert_eq!(
            table(&["Network ID", "Name", "Driver", "Scope"], &rows),
            "NETWORK ID     NAME      DRIVER    SCOPE\n\
             b94d7c0f3a1d   bridge    bridge    local\n\
             7fca4eb8c647   none      null      local\n"
        );
    }

    #[test]
    fn nothing_but_a_header() {
        assert_eq!(table::<String>(&["ID", "Name"], &[]), "ID        NAME\n");
        assert_eq!(table::<String>(&[], &[]), "\n");
    }

    #[test]
    fn empty_cells_leave_no_blanks_at_the_end() {
        let rows = rows(&[&["a", "", ""], &["", "", "z"]]);
        assert_eq!(
            table(&["one", "two", "three"], &rows),
            "ONE       TWO       THREE\na\n                    z\n"
        );
    }

    #[test]
    fn cells_cannot_drive_the_terminal_or_the_layout() {
        let rows = rows(&[&["\u{1b}]0;x\u{7}", "a\tb\nc"]]);
        assert_eq!(table(&["a", "b"], &rows), "A            B\n\\x1b]0;x\\a   a\\tb\\nc\n");
    }

    #[test]
    fn width_is_in_characters() {
        let rows = rows(&[&["äöüäöüäöüä", "x"], &["0123456789", "y"]]);
        assert_eq!(table(&["a", "b"], &rows), "A            B\näöüäöüäöüä   x\n0123456789   y\n");
    }

    #[test]
    fn a_cell_may_be_of_any_width() {
        let long = "x".repeat(70_000);
        let text = table(&["a", "b"], &[vec![long.clone(), "y".to_owned()]]);
        assert_eq!(text.lines().last(), Some(format!("{long}   y").as_str()));
    }

    #[test]
    fn a_line_without_the_column_parts_its_widths() {
        assert_eq!(align("aaaaaaaaaaaa\tb\nplain\nc\td\n"), "aaaaaaaaaaaa   b\nplain\nc         d\n");
    }
}
