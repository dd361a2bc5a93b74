//! Rows and columns, whatever they tell of.
use ipnet::IpNet;

use crate::domain::report::TopBy;
use crate::domain::top::order::Rank;

/// A column of a view.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Its title. The letter that sorts by it is the capital one.
    pub(super) title: &'static str,
    /// That letter.
    pub(super) letter: char,
    /// Cells it takes at least.
    pub(super) width: u16,
    /// Whether its text stands at the right, as figures do.
    pub(super) figures: bool,
    /// Where there is not room for all, those with the largest number go first.
    pub(super) expendable: u8,
    /// What the daemon sorts by for it, where the rows are the daemon's.
    pub(super) by: Option<TopBy>,
}

/// A cell: what is shown and what is compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    /// Safe to print.
    pub(super) text: String,
    /// Its place in the order.
    pub(super) rank: Rank,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// What it is called, by which it is found again when rows have changed places. Not safe to print.
    pub(super) key: String,
    /// What could be blocked.
    pub(super) prefix: Option<IpNet>,
    /// Packets a second.
    pub(super) packets_per_second: f64,
    /// A cell for each column.
    pub(super) cells: Vec<Cell>,
}

/// Which row is chosen, how rows are sorted, and what is in sight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The column that is sorted by.
    pub(super) sort: usize,
    /// Whether the other way around.
    pub(super) reversed: bool,
    /// The chosen row.
    pub(super) at: usize,
    /// Its key; `None`: whoever comes first.
    pub(super) key: Option<String>,
    /// The first row in sight.
    pub(super) offset: usize,
}

impl Place {
    /// Sorts by another column, or the other way around if it was the one.
    pub(super) fn sort_by(&mut self, column: usize) {
        if self.sort == column {
            self.reversed = !self.reversed;
        } else {
            (self.sort, self.reversed) = (column, false);
        }
    }

    /// Chooses a row by its number.
    pub(super) fn choose(&mut self, at: usize, lines: &[Line]) {
        self.at = at.min(lines.len().saturating_sub(1));
        self.key = lines.get(self.at).filter(|_| self.at > 0).map(|line| line.key.clone());
    }

    /// Follows the chosen row to where it is now; one that is gone leaves its place to another.
    pub(super) fn follow(&mut self, lines: &[Line], in_sight: usize) {
        let found = self.key.as_ref().and_then(|key| lines.iter().position(|line| line.key == *key));
        self.at = found.unwrap_or(if self.key.is_some() { self.at } else { 0 });
        self.at = self.at.min(lines.len().saturating_sub(1));
        let in_sight = in_sight.max(1);
        let last = lines.len().saturating_sub(in_sight);
        self.offset = self.offset.min(self.at).max((self.at + 1).saturating_sub(in_sight)).min(last);
    }
}

/// Sorts lines by a column. Those that are equal in it stay as they were.
pub(super) fn sort(lines: &mut [Line], place: &Place) {
    lines.sort_by(|a, b| {
        let (Some(a), Some(b)) = (a.cells.get(place.sort), b.cells.get(place.sort)) else {
            return std::cmp::Ordering::Equal;
        };
        let order = a.rank.order(&b.rank);
        if place.reversed { order.reverse() } else { order }
    });
}
