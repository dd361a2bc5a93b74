//! What is kept of people, and what is known of addresses, as the API tells it.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A source with evidence against it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceRow {
    /// An IPv4 address or an IPv6 /64, by the name that is kept.
    pub source: String,
    /// 0 is good, 100 is bad.
    pub score: u8,
    /// What its own evidence comes to.
    pub sum: f64,
}

/// `GET /api/reputation`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceList {
    /// The sources of this page, the worst in front.
    pub sources: Vec<SourceRow>,
    /// How many there are.
    pub total: u64,
}

/// The answer to forgetting a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResetReport {
    /// Whether there was something to forget.
    pub changed: bool,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// What is denied or limited for its score no longer.
    pub lifted: Vec<String>,
}

/// Whose traces are to be erased (`POST /api/privacy/erase`): an address's or a user's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EraseRequest {
    /// The address.
    #[schema(examples("192.0.2.1"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Change nothing.
    pub dry_run: bool,
}

/// What was erased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EraseReport {
    /// Whether there was anything.
    pub changed: bool,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// Alerts about the person.
    pub alerts: u64,
    /// Alerts about others, their events, datasets and hunts in which the person was named.
    pub mentions: u64,
    /// Events.
    pub events: u64,
    /// Denials that are over.
    pub denials: u64,
    /// Sources of which there was evidence.
    pub reputation: u64,
    /// Records of changes in which the person was named.
    pub changes: u64,
}

/// The answer to another key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotateReport {
    /// Whether there is another.
    pub changed: bool,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// Keys by which what is kept can be found.
    pub keys: usize,
}

/// An event that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KeptEvent {
    /// Its number.
    pub number: i64,
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it counts as.
    pub class: String,
    /// How many alike it stands for.
    pub count: u32,
    /// Who sent it, by the name that is kept.
    pub source: Option<String>,
    /// Who they say they are.
    pub user: Option<String>,
    /// Country, two letters.
    pub country: Option<String>,
    /// What was asked of.
    pub endpoint: Option<String>,
    /// Status of the answer.
    pub status: Option<u16>,
    /// What was said in words.
    pub message: Option<String>,
    /// The file, socket, application or part of weir it came from.
    pub origin: Option<String>,
}

/// `GET /api/events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// The events of this page, the newest in front.
    pub events: Vec<KeptEvent>,
    /// How many fit the filters.
    pub total: u64,
}
