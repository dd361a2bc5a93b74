//! What is followed: feeds, GeoIP databases, a CrowdSec server; and whom a list would hit.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RejectRow;
use crate::domain::http::alert::AlertId;

/// One piece of evidence against an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceRow {
    /// What it is: `alert`, `offence`, `sign_in`, `calm`, `correction`, `merged`, `feed`, `country`, `asn` or `network`.
    pub kind: String,
    /// Whose word: a rule, an analyzer, a limit, a feed, a country, a network.
    pub source: String,
    /// The alert behind it.
    #[serde(default)]
    pub alert: Option<AlertId>,
    /// How much it weighed when it came, all in all.
    pub weight: f64,
    /// What is left of that: these add up to the sum.
    pub points: f64,
    /// How often it came; 0: it is not counted.
    #[serde(default)]
    pub count: u64,
    /// When it came first.
    #[serde(default)]
    pub first: Option<Timestamp>,
    /// When it came last.
    #[serde(default)]
    pub last: Option<Timestamp>,
    /// Whether anybody could have forged it: then no long denial follows from it.
    #[serde(default)]
    pub spoofable: bool,
}

/// What is known of an address's behaviour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReputationRow {
    /// 0 is good, 100 is bad: the sum, within these bounds.
    pub score: u8,
    /// What the points come to.
    pub sum: f64,
    /// What it comes from.
    pub evidence: Vec<EvidenceRow>,
}

/// How many entries came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedChange {
    /// Came.
    pub added: u64,
    /// Went.
    pub removed: u64,
}

/// How a feed does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedState {
    /// Not asked yet, or its first answer is on its way.
    #[default]
    Waiting,
    /// The last answer is in force.
    Ok,
    /// The last answer was not taken: what was in force before still is.
    Refused,
    /// It cannot be asked: what was in force before still is.
    Failing,
    /// It could not be asked for so long that its entries ended.
    Expired,
}

/// One feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedRow {
    /// Its name, which is also its list's.
    pub name: String,
    /// How it does.
    pub state: FeedState,
    /// Its host or file.
    pub source: String,
    /// `deny`, `observe`, `reputation` or `allow`.
    pub action: String,
    /// How it is written; `null`: not read yet.
    pub format: Option<String>,
    /// When it was last found good, changed or not.
    pub last_success: Option<Timestamp>,
    /// When it is asked next.
    pub next: Option<Timestamp>,
    /// Entries in force.
    pub entries: u64,
    /// Lines of the last good answer that were refused.
    pub rejected: u64,
    /// The same by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Bytes of the last good answer, unpacked.
    pub bytes: u64,
    /// What the last change was; `null`: there was none since the daemon started.
    pub change: Option<FeedChange>,
    /// Requests since the daemon started, by what came of them: `changed`, `unchanged`, and the labels of failures and
    /// doubts.
    pub outcomes: BTreeMap<String, u64>,
    /// What is wrong.
    pub problem: Option<String>,
    /// Who publishes it under which terms, where it is one of those that weir knows.
    pub terms: Option<String>,
}

/// What became of asking feeds at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshReport {
    /// Whether any of them changed.
    pub changed: bool,
    /// Each feed that was asked, as it is now.
    pub feeds: Vec<FeedRow>,
}

/// The CrowdSec server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrowdsecRow {
    /// Where it is.
    pub server: String,
    /// Whether the last question was answered.
    pub ok: bool,
    /// When it last answered.
    pub last_success: Option<Timestamp>,
    /// Decisions it has told of that have not ended.
    pub decisions: u64,
    /// Addresses and prefixes in force.
    pub entries: u64,
    /// Decisions that are not carried out, by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Questions since the daemon started, by what came of them.
    pub outcomes: BTreeMap<String, u64>,
    /// What of the settings has no effect.
    pub notes: Vec<String>,
    /// What is wrong.
    pub problem: Option<String>,
}

/// A GeoIP database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeoRow {
    /// Its file.
    pub file: String,
    /// What it knows: `country` or `asn`.
    pub knows: String,
    /// When it was read.
    pub loaded_at: Option<Timestamp>,
    /// When it was built, where it says so.
    pub built_at: Option<Timestamp>,
    /// Ranges in it.
    pub ranges: u64,
    /// What is wrong: the one read before is still in use.
    pub problem: Option<String>,
}

/// Whom a list would hit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReachRow {
    /// Prefixes of IPv4, single addresses included.
    pub prefixes_v4: u64,
    /// Prefixes of IPv6.
    pub prefixes_v6: u64,
    /// IPv4 addresses covered, each once.
    pub addresses_v4: u64,
    /// Their share of all IPv4 addresses, in percent.
    pub share_v4_percent: f64,
    /// Protected prefixes that refused lines would have hit, the first of them, each with why it is protected.
    #[serde(default)]
    pub protected_hit: BTreeMap<String, String>,
    /// The same of the never-block set.
    #[serde(default)]
    pub never_block_hit: BTreeMap<String, String>,
    /// Sources that pass packets now, none of them dropped, that it would hit; `null`: no daemon was asked.
    pub well_behaved: Option<u64>,
    /// The first of them.
    pub well_behaved_first: Vec<String>,
}

/// `weir feeds check`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedCheck {
    /// How it was read.
    pub format: String,
    /// Entries that would be accepted.
    pub accepted: u64,
    /// Lines refused.
    pub rejected: u64,
    /// The same by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Lines refused because they would hit a protected address.
    pub protected: u64,
    /// Lines refused because they would hit the never-block set.
    pub never_block: u64,
    /// Whom it would hit.
    #[serde(flatten)]
    pub reach: ReachRow,
    /// Why the feed as a whole would be refused; `null`: it would be taken.
    pub refused: Option<String>,
    /// The first refused lines.
    pub rejects: Vec<RejectRow>,
}
