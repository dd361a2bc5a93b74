//! Alerts, rules and denied users, as the API lists them.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::http::alert::{Alert, Status};
use crate::domain::http::severity::Severity;

/// Most alerts in one answer.
pub const MOST_LISTED: usize = 500;

/// Which alerts are meant: all that fit everything that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// How far people are with them.
    pub status: Option<Status>,
    /// Exactly as bad.
    pub severity: Option<Severity>,
    /// As bad or worse.
    pub min_severity: Option<Severity>,
    /// Who found them: an analyzer, or `rules`, or a rule's id.
    pub analyzer: Option<String>,
    /// Whose doing, by address.
    pub source: Option<String>,
    /// Whose doing, or whose account.
    pub user: Option<String>,
    /// Last seen then or later.
    pub since: Option<Timestamp>,
}

/// `GET /api/alerts`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertList {
    /// The alerts of this page, by score, then the newest in front.
    pub alerts: Vec<Alert>,
    /// How many fit the filters.
    pub total: u64,
}

/// How many alerts name a technique.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TechniqueCount {
    /// The MITRE ATT&CK technique.
    pub technique: String,
    /// Alerts.
    pub count: u64,
}

/// `GET /api/alerts/stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertStats {
    /// All alerts that are kept.
    pub total: u64,
    /// By severity, each of them named.
    pub severity_counts: BTreeMap<String, u64>,
    /// By status, each of them named.
    pub status_counts: BTreeMap<String, u64>,
    /// By analyzer; `rules` are those of all rules.
    pub analyzer_counts: BTreeMap<String, u64>,
    /// The techniques named most, the first in front.
    pub top_mitre: Vec<TechniqueCount>,
}
