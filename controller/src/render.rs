//! Reports as text for people: pure functions from a value to text.
//!
//! Numbers and times are made short here, and whatever came from outside is made safe to print. Programs read the JSON.
pub mod alerts;
pub mod audit;
pub mod capture;
pub mod cases;
pub mod changes;
pub mod detection;
pub mod doctor;
pub mod drill;
pub mod entries;
pub mod explain;
pub mod feeds;
pub mod grid;
pub mod logs;
pub mod numbers;
pub mod offenders;
pub mod plain;
pub mod reputation;
pub mod rules;
pub mod simulation;
pub mod status;
pub mod times;
pub mod top;

use std::borrow::Cow;

use crate::domain::decision::{Enforcement, Kind, ListEnforcement};

/// How text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Letters only.
    Plain,
    /// With a terminal's colours.
    Coloured,
}

impl Style {
    /// As it should be.
    pub fn green(self, text: &str) -> Cow<'_, str> {
        self.paint(text, "32")
    }

    /// Worth a look.
    pub fn yellow(self, text: &str) -> Cow<'_, str> {
        self.paint(text, "33")
    }

    /// Wrong.
    pub fn red(self, text: &str) -> Cow<'_, str> {
        self.paint(text, "31")
    }

    /// As the terminal writes by itself. As long as a coloured text, so that columns with both stay aligned.
    pub fn usual(self, text: &str) -> Cow<'_, str> {
        self.paint(text, "39")
    }

    fn paint<'a>(self, text: &'a str, code: &str) -> Cow<'a, str> {
        match self {
            Self::Plain => Cow::Borrowed(text),
            Self::Coloured => Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m")),
        }
    }

    /// Whether drops are carried out; where they are not, it should be noticed.
    fn enforcement(self, enforcement: Enforcement) -> Cow<'static, str> {
        match enforcement {
            Enforcement::Enforce => self.green("enforce"),
            Enforcement::Observe => self.yellow("observe"),
        }
    }

    /// The same of a list.
    fn list_enforcement(self, enforcement: ListEnforcement) -> Cow<'static, str> {
        match enforcement {
            ListEnforcement::Enforce => self.enforcement(Enforcement::Enforce),
            ListEnforcement::Observe => self.enforcement(Enforcement::Observe),
            ListEnforcement::Limit => self.yellow("limit"),
            ListEnforcement::Off => self.yellow("off"),
        }
    }
}

/// The word for what a list does.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Allow => "allow",
        Kind::Deny => "deny",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_written_only_where_wanted_and_take_the_same_room() {
        assert_eq!(Style::Plain.red("x"), "x");
        assert_eq!(Style::Coloured.red("x"), "\x1b[31mx\x1b[0m");
        let painted = |paint: fn(Style, &'static str) -> Cow<'static, str>| paint(Style::Coloured, "x").len();
        assert!(
            [Style::green, Style::yellow, Style::usual].into_iter().all(|paint| painted(paint) == painted(Style::red))
        );
    }
}
