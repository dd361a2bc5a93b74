//! `GET /api/audit`: what happened, and who changed what.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::audit::{CountryRow, Row, ThreatLevel, UserRow};
use crate::domain::http::alert::AlertId;
use crate::domain::http::severity::Severity;

/// What happened in a span of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditReport {
    /// The span, as it was asked for.
    pub time_range: String,
    /// When it begins.
    pub start_time: Timestamp,
    /// When it ends.
    pub end_time: Timestamp,
    /// The oldest event that is kept; `null`: none is. Where this is later than the beginning, what was before it is not
    /// known.
    pub events_since: Option<Timestamp>,
    /// Events that should have been kept since the daemon started, and are not.
    pub left_out: u64,
    /// In figures.
    pub summary: AuditSummary,
    /// Who failed to sign in most, and where.
    pub failed_authentications: Vec<Row>,
    /// Who was refused most.
    pub permission_denials: Vec<Row>,
    /// Who was over a limit most.
    pub rate_limit_violations: Vec<Row>,
    /// What stood out: alerts of analyzers that learn what is usual.
    pub unusual_access_patterns: Vec<UnusualRow>,
    /// The sources that did most.
    pub top_threats: Vec<ThreatRow>,
    /// What users did.
    pub user_activity: Vec<UserRow>,
    /// Where from.
    pub geographic_analysis: Vec<CountryRow>,
    /// Who changed what, the latest in front.
    pub changes: Vec<ChangeRecord>,
    /// How many changes that were.
    pub changes_total: u64,
}

/// A span in figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditSummary {
    /// All events that are kept.
    pub total_events: u64,
    /// Failed sign-ins.
    pub failed_authentications: u64,
    /// Refusals.
    pub permission_denials: u64,
    /// Limits that were broken: those of applications, and weir's own.
    pub rate_limit_violations: u64,
    /// Users that were named.
    pub unique_users: u64,
    /// Sources, by the name that is kept.
    pub unique_ips: u64,
    /// How bad it was: 0.3 for each failed sign-in, 0.2 for each refusal, 0.1 for each limit; from 10 on it is MEDIUM, from
    /// 20 on HIGH, from 50 on CRITICAL.
    pub threat_level: ThreatLevel,
}

/// Something that stood out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UnusualRow {
    /// The alert.
    pub id: AlertId,
    /// In a few words.
    pub title: String,
    /// Who found it.
    pub analyzer: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whose doing, by address.
    pub source: Option<String>,
    /// Whose doing, or whose account.
    pub user: Option<String>,
    /// How often.
    pub count: u64,
    /// When it was last seen.
    pub last_seen: Timestamp,
}

/// A source that did much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ThreatRow {
    /// The source, by the name that is kept.
    pub source: String,
    /// Country, two letters.
    pub country: Option<String>,
    /// Failed sign-ins.
    pub failed_authentications: u64,
    /// Refusals.
    pub permission_denials: u64,
    /// Limits that were broken.
    pub rate_limit_violations: u64,
    /// All events that are kept.
    pub events: u64,
    /// These, weighted as for the threat level.
    pub weight: f64,
    /// Its score, 0 good to 100 bad.
    pub score: u8,
    /// When it was last seen.
    pub last_seen: Timestamp,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeRecord {
    /// When.
    pub at: Timestamp,
    /// Who, and from where: a user and process of this machine, or a part of weir.
    pub actor: String,
    /// Did what.
    pub action: String,
    /// To what; may be empty.
    pub target: String,
    /// The rest, the reason among it.
    pub detail: serde_json::Value,
}
