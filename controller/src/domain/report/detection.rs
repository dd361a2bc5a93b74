//! What is read and heard of the web layer, and what came of it.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Part of `status`: logs, events and alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DetectionRow {
    /// Every file and socket that is read.
    pub inputs: Vec<InputRow>,
    /// Events a second, of late.
    pub events_per_second: f64,
    /// Events by type, since the start.
    pub events: BTreeMap<String, u64>,
    /// Lines that were no events, by log and reason.
    pub unparsed: Vec<UnparsedRow>,
    /// Events of applications that were not taken, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Events that name no client.
    pub without_client: u64,
    /// Events too old for anybody to be denied for them.
    pub old: u64,
    /// Findings by who found them, since the start.
    pub findings: Vec<FindingsRow>,
    /// Alerts by severity, made since the start.
    pub alerts: BTreeMap<String, u64>,
    /// Alerts that count up if the same is found again.
    pub open_alerts: u64,
    /// Findings that were counted into an alert of the rest, as there was no room to tell them apart.
    pub overflowed: u64,
    /// What followed, since the start: `deny`, `limit`, `deny_user`, `notify`.
    pub responses: BTreeMap<String, u64>,
    /// What should have followed and did not, by the rule of safety that refused.
    pub refused: BTreeMap<String, u64>,
    /// Users that are denied now.
    pub denied_users: u64,
    /// Rules that are run.
    pub rules_enabled: u64,
    /// Rules there are.
    pub rules: u64,
}

/// A file or a socket that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRow {
    /// Its name in the settings.
    pub name: String,
    /// The path or the socket.
    pub origin: String,
    /// `waiting`, `following`, `unreadable` or `refused`.
    pub state: String,
    /// Bytes that are there and were not read yet.
    pub lag_bytes: u64,
    /// Lines that were read.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Lines that were too long, and cut.
    pub cut: u64,
    /// Datagrams that were dropped.
    pub dropped: u64,
    /// Rotations and truncations.
    pub rotations: u64,
    /// How often lines may have been lost.
    pub losses: u64,
    /// When the last line was read.
    pub last_line_at: Option<Timestamp>,
    /// What is wrong, and the way out.
    pub problem: Option<String>,
}

/// Lines that were no events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnparsedRow {
    /// The log.
    pub log: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub lines: u64,
}

/// What one rule or analyzer found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingsRow {
    /// `rule` or `analyzer`.
    pub kind: String,
    /// Its id or name.
    pub detector: String,
    /// How often.
    pub count: u64,
}

/// A user that is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeniedUserRow {
    /// Who.
    pub user: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}
