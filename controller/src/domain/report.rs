//! What weir tells people and programs: the JSON of the API, which the command line prints or renders.
//!
//! Keys are stable. Times are RFC 3339 UTC, prefixes canonical text, what is unknown is `null`.
mod alerts;
mod audit;
mod cases;
mod detection;
mod followed;
mod logs;
mod offenders;
mod rules;
mod security;
mod top;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decision::{Enforcement, Kind, ListEnforcement};
use super::http::alert::Alert;

pub use self::alerts::{
    AlertFilter, AlertList, AlertRequest, AlertStats, AnalysisReport, AnalysisSummary, AnalyzeRequest, BulkReport,
    BulkUpdate, MOST_LISTED, TechniqueCount, UpdateReport,
};
pub use self::audit::{AuditReport, AuditSummary, ChangeRecord, ThreatRow, UnusualRow};
pub use self::cases::{
    EraseReport, EraseRequest, EventList, KeptEvent, ResetReport, RotateReport, SourceList, SourceRow,
};
pub use self::detection::{DeniedUserRow, DetectionRow, FindingsRow, InputRow, UnparsedRow};
pub use self::followed::{
    CrowdsecRow, EvidenceRow, FeedChange, FeedCheck, FeedRow, FeedState, GeoRow, ReachRow, RefreshReport, ReputationRow,
};
pub use self::logs::{LogAlert, LogAnalysis, LogInput, Unparsed};
pub use self::offenders::{LimitedRow, OffenderRow};
pub use self::rules::{AnalyzerRow, AnalyzerRule, OverrideRequest, ParameterRow, RuleDetail, RuleReport, RuleRow};
pub use self::security::{Component, IpEntry, IpRequest, Recent, SecurityStatus, Statistics, Threat};
pub use self::top::{TopBy, TopGroup, TopReport, TopRow};

/// Packets and bytes by what became of them. `seen = passed + dropped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// All that XDP saw.
    pub seen: u64,
    /// Let through.
    pub passed: u64,
    /// Dropped.
    pub dropped: u64,
    /// Let through that would have been dropped, were everything enforced.
    pub would_drop: u64,
    /// Answered from XDP; counted as dropped too.
    pub replied: u64,
}

/// One verdict's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictRow {
    /// Packets it decided.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets let through that it would have dropped.
    pub observed_packets: u64,
}

/// An interface weir is asked to protect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceRow {
    /// Its name.
    pub name: String,
    /// Its index, as the kernel's link says; `null`: not attached.
    pub index: Option<u32>,
    /// `native` or `generic`; `null`: not attached.
    pub mode: Option<String>,
}

/// One list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRow {
    /// Its name.
    pub name: String,
    /// Lets through or drops.
    pub kind: Kind,
    /// On whose word.
    pub origin: String,
    /// Entries.
    pub entries: u64,
    /// Packets from sources it covers.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Carried out or counted.
    pub enforcement: ListEnforcement,
}

/// How full something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// In use.
    pub used: u64,
    /// Fit.
    pub capacity: u64,
}

/// Whether weir does what it should.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Nothing is wrong.
    pub ok: bool,
    /// What is wrong, each with the way out.
    pub problems: Vec<String>,
}

/// Emergency mode. It does not exist yet: always off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyRow {
    /// `on` or `off`.
    pub state: String,
    /// `on`, `off` or `auto`.
    pub setting: String,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// A settings change that is undone unless it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRow {
    /// When it is undone.
    pub deadline: Timestamp,
    /// Seconds until then.
    pub seconds_left: u64,
}

/// `weir status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// weir's version.
    pub version: String,
    /// Seconds since the daemon started.
    pub uptime_s: u64,
    /// Whether drops are carried out.
    pub enforcement: Enforcement,
    /// The policy's number.
    pub generation: u64,
    /// Whether the bypass switch is on.
    pub bypass: bool,
    /// A change that waits for its confirmation.
    pub pending: Option<PendingRow>,
    /// Interfaces.
    pub interfaces: Vec<InterfaceRow>,
    /// Emergency mode.
    pub emergency: EmergencyRow,
    /// How bad the last day was, by the events that are kept: LOW, MEDIUM, HIGH or CRITICAL.
    pub threat_level: Option<String>,
    /// Packets.
    pub packets: Totals,
    /// Bytes.
    pub bytes: Totals,
    /// Counters by verdict.
    pub verdicts: BTreeMap<String, VerdictRow>,
    /// What limits refused, by whose limit and dimension; only what is not zero.
    #[serde(default)]
    pub limits: Vec<LimitedRow>,
    /// Lists.
    pub lists: Vec<ListRow>,
    /// Feeds.
    pub feeds: Vec<FeedRow>,
    /// The CrowdSec server; `null`: none is asked.
    pub crowdsec: Option<CrowdsecRow>,
    /// GeoIP databases.
    pub geo: Vec<GeoRow>,
    /// Logs, events and alerts; `null`: nothing is read or heard.
    #[serde(default)]
    pub detection: Option<DetectionRow>,
    /// How full the tables are.
    pub capacity: BTreeMap<String, Fill>,
    /// Whether all is well.
    pub health: Health,
}

/// One entry of `block list` or `allow list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// What it covers.
    pub prefix: String,
    /// On whose word.
    pub origin: String,
    /// The list it is on.
    pub list: String,
    /// Why.
    pub reason: String,
    /// When it was added.
    pub added_at: Timestamp,
    /// When it ends; `null`: never by itself.
    pub expires_at: Option<Timestamp>,
    /// Packets it hit: exact while it is live in the overlay, else `null` (the list's total counts them).
    pub packets: Option<u64>,
    /// Carried out or counted.
    pub enforcement: ListEnforcement,
}

/// One decision in the chain behind an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainEntry {
    /// What it covers.
    pub prefix: String,
    /// Its list.
    pub list: String,
    /// On whose word.
    pub origin: String,
    /// Lets through or drops.
    pub kind: Kind,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Carried out or counted.
    pub enforcement: ListEnforcement,
    /// Whether it is the one that decides.
    pub decides: bool,
}

/// The rate limit of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainRate {
    /// Packets a second it may send; `null`: no limit of packets.
    pub limit: Option<u64>,
    /// What its limit is called where it is on a list that limits: `tight`, or a profile's name; `null`: it has everybody's.
    #[serde(default)]
    pub profile: Option<String>,
    /// All that its limit allows, by dimension.
    #[serde(default)]
    pub limits: Vec<ExplainLimit>,
    /// Packets it sent while it is tracked.
    pub offered: u64,
    /// Of these, let through.
    pub passed: u64,
    /// Limits that it, or the network it is in, came near.
    #[serde(default)]
    pub over: Vec<OffenderRow>,
}

/// What a limit allows of one dimension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainLimit {
    /// The dimension: `packets`, `bytes`, `syn`, `udp`, `icmp`, `new` or `fragments`.
    pub dimension: String,
    /// A second, sustained.
    pub per_second: u64,
    /// At once, after a quiet time.
    pub burst: u64,
}

/// `weir explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explain {
    /// The address asked about.
    pub address: IpAddr,
    /// The verdict a well-formed packet from there gets now.
    pub verdict: String,
    /// Why, in a sentence.
    pub reason: String,
    /// Every decision that covers it, the strongest first.
    pub entries: Vec<ExplainEntry>,
    /// Why it is protected.
    pub protected: Option<String>,
    /// Why it is in the never-block set.
    pub never_block: Option<String>,
    /// Country, by the GeoIP database; `null`: not known.
    pub country: Option<String>,
    /// Number of the autonomous system; `null`: not known.
    pub asn: Option<u32>,
    /// Name of the autonomous system.
    pub as_name: Option<String>,
    /// What feeds of evidence say; `null`: nothing.
    pub reputation: Option<ReputationRow>,
    /// Its rate; `null` while it is not tracked.
    pub rate: Option<ExplainRate>,
    /// Alerts that name it, by score, then the newest in front.
    pub alerts: Vec<Alert>,
}

/// A request to add or remove entries (`POST` and `DELETE` on `/api/block` and `/api/allow`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// Addresses and prefixes.
    pub prefixes: Vec<String>,
    /// Seconds until it ends; absent: never by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// On whose word; absent: `operator` when adding, any when removing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Count instead of drop.
    #[serde(default)]
    pub observe: bool,
    /// Override protection for what is named.
    #[serde(default)]
    pub force: bool,
    /// Say what would change, change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of one prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeRow {
    /// The prefix, canonical.
    pub prefix: String,
    /// `added`, `updated`, `removed` or `unchanged`.
    pub change: String,
    /// The list.
    pub list: String,
}

/// The answer to a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeReport {
    /// Whether anything changed (would change, with `dry_run`).
    pub changed: bool,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// Each prefix.
    pub changes: Vec<ChangeRow>,
    /// What the operator should know: what shows through beneath, what could not be saved.
    pub notes: Vec<String>,
}

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectRow {
    /// Its number, from 1.
    pub line: u64,
    /// Its text, cut and escaped.
    pub text: String,
    /// Why.
    pub why: String,
}

/// The answer to an import.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportReport {
    /// The list.
    pub list: String,
    /// The format it was read as.
    pub format: String,
    /// Lines read.
    pub lines: u64,
    /// Entries taken.
    pub accepted: u64,
    /// Lines refused.
    pub rejected: u64,
    /// The first refused lines.
    pub rejects: Vec<RejectRow>,
    /// Entries that end by themselves, as the file says.
    #[serde(default)]
    pub ending: u64,
    /// Refused lines by reason.
    #[serde(default)]
    pub reasons: BTreeMap<String, u64>,
    /// Whom it hits.
    #[serde(flatten)]
    pub reach: ReachRow,
    /// Whether the list changed (would change, with `dry_run`).
    pub changed: bool,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// The policy in force afterwards.
    pub generation: u64,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingRow {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Where it came from: `default`, `weir.toml:12`, `WEIR_MODE`.
    pub source: String,
}

/// The answer to a change of settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReport {
    /// Whether anything changed (would change, with `dry_run`).
    pub changed: bool,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// The policy in force afterwards.
    pub generation: u64,
    /// The change that now waits for its confirmation.
    pub pending: Option<PendingRow>,
    /// What changed, and what takes effect only with a restart.
    pub notes: Vec<String>,
}

/// The answer to a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchReport {
    /// Whether it was in the other position before.
    pub changed: bool,
    /// Its position now.
    pub state: String,
}

/// A sampled drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRow {
    /// When.
    pub at: Timestamp,
    /// The interface's index.
    pub interface: u32,
    /// Its name; `null`: weir is on it no more.
    pub interface_name: Option<String>,
    /// The verdict.
    pub verdict: String,
    /// Whether it was only observed.
    pub observed: bool,
    /// The list behind it.
    pub list: Option<String>,
    /// What in particular: a limit and its dimension, a rule; `null`: nothing more is to be said.
    #[serde(default)]
    pub detail: Option<String>,
    /// Bytes of the frame.
    pub length: u32,
    /// Its first bytes, hexadecimal.
    pub bytes: String,
}

/// An error, as RFC 9457 has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`, or `urn:weir:refused` where a safety rule refused.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What, where, and the way out.
    pub detail: String,
    /// Refused lines, where the problem is a list's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejects: Vec<RejectRow>,
    /// Whom a denial would have hit: prefix and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hits: Vec<ProblemHit>,
}

/// Someone a denial would have hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemHit {
    /// The protected prefix.
    #[schema(value_type = String)]
    pub prefix: IpNet,
    /// Why it is.
    pub why: String,
}

/// [`Problem::kind`] where a safety rule refused.
pub const REFUSED: &str = "urn:weir:refused";
