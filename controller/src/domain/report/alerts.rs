//! Alerts, rules and denied users, as the API lists them.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::http::alert::{Alert, AlertId, AlertUpdate, Status};
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
    /// The hunt they belong to.
    pub hunt_id: Option<String>,
    /// The dataset they were found in.
    pub dataset_id: Option<String>,
    /// Last seen then or later.
    pub since: Option<Timestamp>,
}

/// `GET /api/alerts`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlertList {
    /// The alerts of this page, by score, then the newest in front.
    pub alerts: Vec<Alert>,
    /// How many fit the filters.
    pub total: u64,
}

/// How many alerts name a technique.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TechniqueCount {
    /// The MITRE ATT&CK technique.
    pub technique: String,
    /// Alerts.
    pub count: u64,
}

/// `GET /api/alerts/stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// An alert that people make (`POST /api/alerts`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertRequest {
    /// In a few words.
    #[schema(required, min_length = 1)]
    pub title: String,
    /// In more words.
    pub description: String,
    /// How bad it is.
    pub severity: Severity,
    /// How sure one is, in percent; absent: 100.
    #[schema(maximum = 255)]
    pub confidence: Option<u8>,
    /// Whose doing it is, by address.
    #[schema(examples("192.0.2.1"))]
    pub source: Option<String>,
    /// Whose doing it is, or whose account it is about.
    pub user: Option<String>,
    /// What gave it away.
    pub indicators: Vec<String>,
    /// The lines.
    pub evidence: Vec<String>,
    /// MITRE ATT&CK techniques.
    pub technique: Vec<String>,
    /// Other labels.
    pub tags: Vec<String>,
    /// The case it belongs to.
    pub case: Option<String>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// The hunt it belongs to.
    pub hunt_id: Option<String>,
    /// The dataset it was found in.
    pub dataset_id: Option<String>,
}

/// The answer to a change of an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpdateReport {
    /// Whether anything changed (would change, with `dry_run`).
    pub changed: bool,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// What is denied or limited no longer: prefixes, and users.
    pub lifted: Vec<String>,
    /// What is still in force against the same sources, on others' word, in words.
    pub remains: Vec<String>,
    /// The score of the source after it; `null`: it was not touched.
    pub score: Option<u8>,
    /// The alert as it is.
    pub alert: Alert,
}

/// A change of several alerts (`POST /api/alerts/bulk-update`): of all of them, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkUpdate {
    /// Which.
    #[schema(min_items = 1, max_items = 500)]
    pub ids: Vec<AlertId>,
    /// What is to be other about them.
    pub update: AlertUpdate,
}

/// The answer to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkReport {
    /// How many are other than before (would be, with `dry_run`).
    pub updated: u64,
    /// How many were so already.
    pub unchanged: u64,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// What is denied or limited no longer: prefixes, and users.
    pub lifted: Vec<String>,
    /// What is still in force against the same sources, on others' word, in words.
    pub remains: Vec<String>,
}

/// What is to be analysed, and how (`POST /api/alerts/analyze`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyzeRequest {
    /// A dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset_id: Option<String>,
    /// Or all of a hunt's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hunt_id: Option<String>,
    /// Analyzers by name, `rules` among them; none: all.
    pub analyzers: Vec<String>,
    /// What they are set to otherwise: parameters and values by analyzer.
    pub config: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    /// Whether what is found is kept as alerts.
    pub auto_create: bool,
}

impl Default for AnalyzeRequest {
    fn default() -> Self {
        Self { dataset_id: None, hunt_id: None, analyzers: Vec::new(), config: BTreeMap::new(), auto_create: true }
    }
}

/// What an analysis came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalysisReport {
    /// What would be an alert each.
    pub candidates_found: u64,
    /// Alerts that were made of them.
    pub alerts_created: u64,
    /// The first of them, by score, then the newest in front.
    pub alerts: Vec<Alert>,
    /// The rest in figures.
    pub summary: AnalysisSummary,
}

/// An analysis in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnalysisSummary {
    /// Candidates by severity.
    pub by_severity: BTreeMap<String, u64>,
    /// Candidates by analyzer; `rules` are those of all rules.
    pub by_analyzer: BTreeMap<String, u64>,
    /// Events that were looked at.
    pub rows_analyzed: u64,
    /// Whether there were more than could be looked at in the time there is.
    pub truncated: bool,
}
