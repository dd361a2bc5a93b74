//! What is where. On few lines what matters less is left out.
use ratatui::layout::Rect;

/// Where everything is; `None`: not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::commands::top) struct Areas {
    /// Interfaces and state.
    pub(super) title: Option<Rect>,
    /// Rates of all traffic.
    pub(super) rates: Option<Rect>,
    /// How much passed lately.
    pub(super) passed: Option<Rect>,
    /// How much was dropped lately.
    pub(super) dropped: Option<Rect>,
    /// The views.
    pub(super) tabs: Option<Rect>,
    /// The rows and their titles.
    pub(super) table: Rect,
    /// How many are tracked.
    pub(super) tracked: Option<Rect>,
    /// How much the rows account for.
    pub(super) share: Option<Rect>,
    /// The keys.
    pub(super) keys: Option<Rect>,
}

impl Areas {
    /// Rows in sight.
    pub(in crate::commands::top) fn rows(&self) -> u16 {
        self.table.height.saturating_sub(1)
    }
}

/// Divides a screen of so many columns and lines.
pub(in crate::commands::top) fn areas(columns: u16, lines: u16) -> Areas {
    let mut areas = Areas::default();
    let graph = if lines >= 32 { 2 } else { 1 };
    let (mut above, mut below) = (0, lines);
    {
        let mut top = |from: u16, high: u16| {
            let area = (lines >= from).then(|| Rect::new(0, above, columns, high));
            above += if lines >= from { high } else { 0 };
            area
        };
        areas.title = top(8, 1);
        areas.rates = top(10, 1);
        areas.passed = top(18, graph);
        areas.dropped = top(18, graph);
        areas.tabs = top(4, 1);
    }
    {
        let mut bottom = |from: u16| {
            below -= u16::from(lines >= from);
            (lines >= from).then(|| Rect::new(0, below, columns, 1))
        };
        areas.keys = bottom(9);
        areas.share = bottom(7);
        areas.tracked = bottom(12);
    }
    areas.table = Rect::new(0, above, columns, below.saturating_sub(above));
    areas
}

/// A rectangle of a size in the middle of the screen, as far as there is room.
pub(super) fn middle(screen: Rect, columns: u16, lines: u16) -> Rect {
    let (width, height) = (columns.min(screen.width), lines.min(screen.height));
    let x = screen.x + (screen.width - width) / 2;
    let y = screen.y + (screen.height - height) / 2;
    Rect::new(x, y, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_used_once() {
        for lines in 0..=200 {
            let areas = areas(80, lines);
            let all = [areas.title, areas.rates, areas.passed, areas.dropped, areas.tabs, Some(areas.table)];
            let all = all.into_iter().chain([areas.tracked, areas.share, areas.keys]).flatten();
            let mut next = 0;
            for area in all {
                assert_eq!(area.y, next, "{lines}: {areas:?}");
                next += area.height;
            }
            assert_eq!(next, lines);
        }
    }

    #[test]
    fn rows_come_before_ornaments() {
        assert_eq!([5, 12, 24, 50].map(|lines| areas(80, lines).rows()), [3, 5, 15, 39]);
    }
}
