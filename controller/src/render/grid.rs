//! Aligned columns, without lines.
use std::fmt;

use comfy_table::{CellAlignment, Table, presets};

/// A column's title and where its text stands.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    alignment: CellAlignment,
}

/// A column of words.
pub const fn words(title: &'static str) -> Column {
    Column { title, alignment: CellAlignment::Left }
}

/// A column of numbers.
pub const fn figures(title: &'static str) -> Column {
    Column { title, alignment: CellAlignment::Right }
}

/// Rows in columns, two spaces apart.
#[derive(Debug)]
pub struct Grid {
    table: Table,
}

impl Grid {
    /// Columns without rows; titles stand above them unless all are empty.
    pub fn new(columns: &[Column]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if columns.iter().any(|column| !column.title.is_empty()) {
            table.set_header(columns.iter().map(|column| column.title));
        } else {
            // Columns come into being with a row.
            table.add_row(columns.iter().map(|_| ""));
        }
        for (at, column) in columns.iter().enumerate() {
            if let Some(made) = table.column_mut(at) {
                made.set_padding((0, 2));
                made.set_cell_alignment(column.alignment);
            }
        }
        Self { table }
    }

    /// Adds a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.table.add_row(cells.into_iter().map(Into::into));
    }

    /// Writes the rows, each behind `indent`, without white space at their ends.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, into: &mut impl fmt::Write, indent: &str) -> fmt::Result {
        for line in self.table.lines() {
            let line = line.trim_end();
            if !line.is_empty() {
                writeln!(into, "{indent}{line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_figures_right() {
        let mut grid = Grid::new(&[words("list"), figures("entries"), words("why")]);
        grid.row(["block", "1", "x y"]);
        grid.row(["a-long-name", "120,430", ""]);
        let mut text = String::new();
        grid.write(&mut text, "  ").unwrap();
        assert_eq!(text, "  list         entries  why\n  block              1  x y\n  a-long-name  120,430\n");
    }

    #[test]
    fn without_titles_there_is_no_line_for_them() {
        let mut grid = Grid::new(&[words(""), words("")]);
        grid.row(["health", "ok"]);
        let mut text = String::new();
        grid.write(&mut text, "").unwrap();
        assert_eq!(text, "health  ok\n");
    }
}
