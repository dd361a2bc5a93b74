//! What lies over the table: help, an explanation, the dialog that blocks.
use crossterm::event::{KeyCode, KeyEvent};
use ipnet::IpNet;

use super::change::Change;

/// What lies over the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Popup {
    /// Nothing.
    #[default]
    None,
    /// The keys.
    Help(Scroll),
    /// What becomes of an address, and why.
    Explain(Explanation),
    /// Blocks or unblocks.
    Change(Change),
}

/// An explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    /// The row.
    pub(super) of: IpNet,
    /// What the daemon said, safe to print; `None`: nothing yet.
    pub(super) lines: Option<Vec<String>>,
    /// What of it is in sight.
    pub(super) scroll: Scroll,
}

impl Explanation {
    /// Its lines, also while there are none.
    pub(super) fn text(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let hosts = self.of.max_prefix_len() - self.of.prefix_len();
        if hosts > 0 {
            lines.push(format!("of {}, its first address:", self.of));
        }
        match &self.lines {
            Some(said) => lines.extend(said.iter().cloned()),
            None => lines.push("asking the daemon".to_owned()),
        }
        lines
    }
}

/// How far a text is scrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scroll {
    /// Lines above what is in sight.
    pub(super) down: u16,
    /// Cells left of it.
    pub(super) right: u16,
}

impl Scroll {
    /// Moves by a key, within a text that is so many lines high and cells wide.
    pub(super) fn key(&mut self, key: KeyEvent, page: u16, high: usize, wide: usize) {
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => self.down = self.down.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.down = self.down.saturating_add(1),
            KeyCode::PageUp => self.down = self.down.saturating_sub(page.max(1)),
            KeyCode::PageDown => self.down = self.down.saturating_add(page.max(1)),
            KeyCode::Home => *self = Self::default(),
            KeyCode::End => self.down = u16::MAX,
            KeyCode::Left => self.right = self.right.saturating_sub(STEP),
            KeyCode::Right => self.right = self.right.saturating_add(STEP),
            _ => {}
        }
        let most = |length: usize| u16::try_from(length.saturating_sub(1)).unwrap_or(u16::MAX);
        self.down = self.down.min(most(high));
        self.right = self.right.min(most(wide));
    }
}

/// Cells that the arrow keys move to the side.
const STEP: u16 = 8;

/// The keys.
pub(super) const HELP: &[&str] = &[
    "1 2 3 4, Tab     sources, networks, countries, verdicts",
    "arrows, PgUp, PgDn, Home, End     choose a row",
    "",
    "s  S             sort by the next, the column before",
    "a capital letter of a title sorts by that column; again: the other way",
    "r                the other way around",
    "/                show only an address or prefix (10.0.0.0/8), a part of one,",
    "                 a country (DE, unknown), an AS number (AS64496)",
    "Esc              show all again",
    "",
    "Enter, e         explain: what becomes of the row's packets, and why",
    "b                block the row; asks for how long, tries it, wants a y",
    "u                unblock it",
    "space            stop the screen, and go on",
    "q, Ctrl-C        leave",
    "",
    "packets, bytes and dropped are counted since a source is tracked;",
    "drop% is the share dropped now. IPv6 sources are /64.",
];
