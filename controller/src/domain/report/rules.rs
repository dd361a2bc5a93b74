//! Rules and analyzers, as the API lists and changes them.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RejectRow;
use crate::domain::http::finding::Response;
use crate::domain::http::severity::Severity;

/// A rule, as it is listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleRow {
    /// Its id.
    pub id: String,
    /// In a few words.
    pub name: String,
    /// In more words.
    pub description: String,
    /// Where it comes from: `shipped`, `file` or `own` (made by command line or API).
    pub origin: String,
    /// How it finds: `detection`, `repeated`, `correlation` or `analyzer`.
    pub kind: String,
    /// The analyzer it uses; `null`: it is a rule by itself.
    pub analyzer: Option<String>,
    /// How bad what it finds is.
    pub severity: Severity,
    /// How sure it is, in percent.
    pub confidence: u8,
    /// Whether it is run.
    pub enabled: bool,
    /// Whether it alerts by itself, and is not only counted for others.
    pub alerts: bool,
    /// What follows; `null`: an alert and nothing more.
    pub response: Option<Response>,
    /// How many make a finding, where it counts.
    pub threshold: Option<u64>,
    /// Within how many seconds.
    pub within_s: Option<u64>,
    /// MITRE ATT&CK techniques.
    pub technique: Vec<String>,
    /// Its other tags.
    pub tags: Vec<String>,
    /// When it is wrong, as its author knows.
    pub falsepositives: Vec<String>,
    /// The file it is in; empty: none.
    pub file: String,
    /// Its line there.
    pub line: usize,
    /// Whether it is other than its author wrote it.
    pub overridden: bool,
}

/// A rule with all of its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleDetail {
    /// The rule.
    #[serde(flatten)]
    pub rule: RuleRow,
    /// The text it was made from: YAML, or the settings of an analyzer as JSON.
    pub text: String,
    /// What is changed about it.
    pub r#override: Option<OverrideRequest>,
}

/// What is to be other about a rule than its author wrote it; absent: as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OverrideRequest {
    /// Whether it is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How bad what it finds is.
    #[serde(alias = "severity_override", skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// How many make a finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u64>,
    /// Within how many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_s: Option<u64>,
    /// What follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
}

impl OverrideRequest {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// This, and what `later` says in its place.
    #[must_use]
    pub fn with(self, later: Self) -> Self {
        Self {
            enabled: later.enabled.or(self.enabled),
            severity: later.severity.or(self.severity),
            threshold: later.threshold.or(self.threshold),
            within_s: later.within_s.or(self.within_s),
            response: later.response.or(self.response),
        }
    }
}

/// A rule that uses an analyzer with settings of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalyzerRule {
    /// Its name.
    pub name: String,
    /// In more words.
    #[serde(default)]
    pub description: String,
    /// The analyzer.
    pub analyzer: String,
    /// Its settings, those of `[analyzers.NAME]`; absent: as they are there.
    #[serde(default)]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// How bad what it finds is; absent: as the analyzer says.
    #[serde(default)]
    pub severity_override: Option<Severity>,
    /// The hunt that its alerts belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hunt_id: Option<String>,
    /// Whether it is run.
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn yes() -> bool {
    true
}

/// The answer to a change of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleReport {
    /// The rule.
    pub id: String,
    /// Whether anything changed (would change, with `dry_run`).
    pub changed: bool,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// What to know of it, though it is used.
    pub warnings: Vec<RejectRow>,
}

/// An analyzer, as it is listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalyzerRow {
    /// Its name.
    pub name: String,
    /// What it looks for.
    pub description: String,
    /// Whether it runs.
    pub enabled: bool,
    /// Its settings.
    pub parameters: Vec<ParameterRow>,
}

/// A setting of an analyzer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ParameterRow {
    /// Its name.
    pub name: String,
    /// What it means.
    pub description: String,
    /// Its unit; empty: none.
    pub unit: String,
    /// What it is.
    pub value: String,
    /// What it is where nobody sets it.
    pub default: String,
}
