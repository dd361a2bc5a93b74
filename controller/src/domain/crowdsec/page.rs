//! A server's answer, read as it comes: what is understood of it, and how much is not.
//!
//! Nothing of an answer is kept but what a decision needs, so an answer of many megabytes costs what its decisions
//! cost. A decision that is not understood is counted and left out; an answer that is cut short, or is none, is an error.
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use ipnet::IpNet;
use serde::de::DeserializeSeed as _;

use super::Rules;
use crate::domain::decision::Enforcement;

/// Most decisions that are taken from one answer, and held at all.
pub const MOST: usize = 1_000_000;

/// Characters of a scenario that are kept.
const LONGEST_NAME: usize = 120;

/// Why a decision is not taken: few, so that they can be counted one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// Not an object with a number above 0, a type, a scope, a value and a duration.
    Shape,
    /// A scope that is not taken: a country, a user, or one the settings leave out.
    Scope,
    /// A type that neither denies nor observes.
    Type,
    /// The value is not an address or prefix.
    Value,
    /// IPv6, and the settings leave it out.
    Family,
    /// The duration is not understood.
    Duration,
    /// It was over when it came.
    Over,
    /// There are too many.
    Full,
}

impl Refused {
    /// All of them, in order.
    pub const ALL: [Self; 8] =
        [Self::Shape, Self::Scope, Self::Type, Self::Value, Self::Family, Self::Duration, Self::Over, Self::Full];

    /// Its name, as a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::Scope => "scope",
            Self::Type => "type",
            Self::Value => "value",
            Self::Family => "family",
            Self::Duration => "duration",
            Self::Over => "over",
            Self::Full => "full",
        }
    }
}

/// How many decisions were not taken, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals([u64; Refused::ALL.len()]);

impl Refusals {
    /// Counts one.
    pub fn count(&mut self, why: Refused) {
        for (counter, reason) in self.0.iter_mut().zip(Refused::ALL) {
            *counter = counter.saturating_add(u64::from(reason == why));
        }
    }

    /// Adds all of another's.
    pub fn add(&mut self, other: &Self) {
        for (counter, more) in self.0.iter_mut().zip(other.0) {
            *counter = counter.saturating_add(more);
        }
    }

    /// Each reason and how many.
    pub fn iter(&self) -> impl Iterator<Item = (Refused, u64)> + '_ {
        Refused::ALL.into_iter().zip(self.0)
    }

    /// How many for this reason.
    pub fn of(&self, why: Refused) -> u64 {
        self.iter().find(|(reason, _)| *reason == why).map_or(0, |(_, count)| count)
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// A decision as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its number on the server, above 0.
    pub id: i64,
    /// Whom it is about.
    pub prefix: IpNet,
    /// How long it has yet to live, in seconds, rounded up; above 0.
    pub seconds: u64,
    /// What becomes of it.
    pub enforcement: Enforcement,
    /// Why, for people: the scenario and who decided; `lists:<name>` for a blocklist.
    pub reason: Arc<str>,
    /// Who decided, as a label: `crowdsec`, `cscli`, `CAPI`, `lists:<name>`.
    pub source: Arc<str>,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What is to be in force, in the server's order.
    pub new: Vec<Told>,
    /// Numbers of what is over. Not kept of a whole answer: there it is all that ever was.
    pub deleted: Vec<i64>,
    /// What was not taken.
    pub refusals: Refusals,
}

/// Why an answer is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// It ended before it was complete.
    #[error("the answer is cut short")]
    Cut,
    /// It is JSON, and something else than decisions.
    #[error("the answer holds no list of decisions; is that the address of a CrowdSec server?")]
    NotAPage,
    /// It is no JSON.
    #[error("the answer is not JSON (line {line}, column {column})")]
    NotJson {
        /// Where it stops making sense; from 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// It could not be read to its end.
    #[error(transparent)]
    Read(io::Error),
}

/// Reads an answer to a request for all decisions (`startup`) or for changes.
///
/// # Errors
/// [`PageError`]. The reader's own errors come back as they are.
pub fn read(from: impl io::Read, rules: &Rules, startup: bool) -> Result<Page, PageError> {
    let mut text = serde_json::Deserializer::from_reader(from);
    let page = reader::PageSeed { rules, startup }.deserialize(&mut text).map_err(page_error)?;
    text.end().map_err(page_error)?;
    page.ok_or(PageError::NotAPage)
}

fn page_error(error: serde_json::Error) -> PageError {
    use serde_json::error::Category;
    match error.classify() {
        Category::Io => PageError::Read(error.into()),
        Category::Eof => PageError::Cut,
        Category::Data => PageError::NotAPage,
        Category::Syntax => PageError::NotJson { line: error.line(), column: error.column() },
    }
}

/// Texts that come again and again, each kept once.
#[derive(Debug, Default)]
struct Names(BTreeSet<Arc<str>>);

impl Names {
    fn keep(&mut self, text: &str) -> Arc<str> {
        if let Some(kept) = self.0.get(text) {
            return Arc::clone(kept);
        }
        let kept: Arc<str> = Arc::from(text);
        self.0.insert(Arc::clone(&kept));
        kept
    }
}

/// A server's text, safe to print: few characters, none that moves a terminal's cursor or turns its line around.
fn clean(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(LONGEST_NAME).map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}
