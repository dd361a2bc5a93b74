//! `weir logs analyze`.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::http::alert::{Action, Alert};
use crate::domain::http::severity::Severity;

/// What rules and analyzers make of log files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogAnalysis {
    /// Files that were read.
    pub files: u64,
    /// Lines in them.
    pub lines: u64,
    /// Lines that are events.
    pub parsed: u64,
    /// Lines that are none.
    pub unparsed: u64,
    /// Events a second, as fast as they were judged.
    pub events_per_second: f64,
    /// Addresses that events came from.
    pub sources: u64,
    /// When the first event was.
    pub first: Option<Timestamp>,
    /// When the last was.
    pub last: Option<Timestamp>,
    /// File by file, in the order they were named.
    pub inputs: Vec<LogInput>,
    /// Findings that were counted into alerts of a rule or source as a whole, as there was no room to tell them apart.
    pub overflowed: u64,
    /// Alerts that are not listed, as there are too many: those with the lowest scores.
    pub left_out: u64,
    /// The alerts, by score, then the newest in front.
    pub alerts: Vec<LogAlert>,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogInput {
    /// Its name, as it was said.
    pub file: String,
    /// How its lines are written.
    pub format: String,
    /// Its lines.
    pub lines: u64,
    /// Those that are events.
    pub parsed: u64,
    /// Those that are none, by reason.
    pub unparsed: BTreeMap<String, Unparsed>,
    /// Why it was not read to its end.
    pub problem: Option<String>,
}

/// Lines of a file that are no events, for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unparsed {
    /// How many.
    pub lines: u64,
    /// The numbers of the first.
    pub first: Vec<u64>,
}

/// Numbers of lines that are kept for each reason.
const FIRST_LINES: usize = 5;

impl Unparsed {
    /// Counts a line.
    pub fn note(&mut self, line: u64) {
        self.lines = self.lines.saturating_add(1);
        if self.first.len() < FIRST_LINES {
            self.first.push(line);
        }
    }
}

/// An alert, and what would have been done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogAlert {
    /// The rule's id, else the analyzer's name.
    pub rule: String,
    /// The analyzer's name; `rules` for a rule.
    pub analyzer: String,
    /// In a few words.
    pub title: String,
    /// In more words.
    pub description: String,
    /// How bad it is.
    pub severity: Severity,
    /// 0 to 100: what the alerts are sorted by.
    pub score: u8,
    /// MITRE ATT&CK techniques.
    pub technique: Vec<String>,
    /// Other labels.
    pub tags: Vec<String>,
    /// How sure, in percent.
    pub confidence: u8,
    /// What gave it away.
    pub indicators: Vec<String>,
    /// Whose doing, by address.
    pub source: Option<String>,
    /// Whose doing, or whose account.
    pub user: Option<String>,
    /// What it is about besides.
    pub about: Option<String>,
    /// How often.
    pub count: u64,
    /// What was measured.
    pub value: Option<f64>,
    /// What it was held against.
    pub threshold: Option<f64>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// The first lines, secrets blotted out.
    pub evidence: Vec<String>,
    /// What would have been done.
    pub action: Action,
    /// To whom.
    pub action_target: Option<String>,
    /// For how long, in seconds.
    pub action_for_s: Option<u64>,
    /// Why what was wanted would not have been done.
    pub refused: Option<String>,
}

impl From<Alert> for LogAlert {
    fn from(alert: Alert) -> Self {
        Self {
            rule: alert.detector().to_owned(),
            analyzer: alert.analyzer,
            title: alert.title,
            description: alert.description,
            severity: alert.severity,
            score: alert.score,
            technique: alert.techniques,
            tags: alert.tags,
            confidence: alert.confidence,
            indicators: alert.indicators,
            source: alert.source,
            user: alert.user,
            about: alert.about,
            count: alert.count,
            value: alert.value,
            threshold: alert.threshold,
            first_seen: alert.first_seen,
            last_seen: alert.last_seen,
            evidence: alert.evidence,
            action: alert.action,
            action_target: alert.action_target,
            action_for_s: alert.action_for_s,
            refused: alert.refused,
        }
    }
}
