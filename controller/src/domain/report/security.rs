//! The security view: how the parts do, and what is known of one address.
use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ExplainEntry, ReputationRow};
use crate::domain::http::alert::Alert;

/// How a part of weir does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Component {
    /// `ok`, `off`, or `failing`.
    pub state: String,
    /// What is wrong, or what there is to say.
    pub detail: Option<String>,
}

/// What was seen and stopped. Packets, but for the last: the network card sees packets and not requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Statistics {
    /// Packets that XDP saw.
    pub total_requests: u64,
    /// Packets that were dropped.
    pub blocked_requests: u64,
    /// Packets over a limit.
    pub rate_limited: u64,
    /// Packets over a limit, or of a shape that floods have: fragments, ports, amplification, what lies about itself.
    pub ddos_blocked: u64,
    /// Packets of sources that are denied: by a list, a country, a rule, a score.
    pub ip_blocked: u64,
    /// Alerts that were made since the start.
    pub threat_detected: u64,
}

/// `GET /api/security/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecurityStatus {
    /// Whether all is well.
    pub ok: bool,
    /// How bad the last day was: LOW, MEDIUM, HIGH or CRITICAL.
    pub threat_level: String,
    /// Each part by its name.
    pub components: BTreeMap<String, Component>,
    /// What is set, in a few words each.
    pub configuration: BTreeMap<String, serde_json::Value>,
    /// What was seen and stopped.
    pub statistics: Statistics,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// What an address did of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recent {
    /// Events that are kept.
    pub events: u64,
    /// Alerts that are kept.
    pub alerts: u64,
}

/// `GET /api/security/threat/{ip}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Threat {
    /// The address.
    #[schema(value_type = String)]
    pub ip: IpAddr,
    /// 0 is good, 100 is bad.
    pub score: u8,
    /// The same in a word: LOW below 40, MEDIUM below 60, HIGH below 80, CRITICAL.
    pub level: String,
    /// The verdict a packet from there gets now.
    pub verdict: String,
    /// Why, in a sentence.
    pub reason: String,
    /// Whether such a packet is dropped.
    pub blocked: bool,
    /// Whether it is on an allow list.
    pub allowed: bool,
    /// Why no decision may deny it.
    pub protected: Option<String>,
    /// Country, two letters.
    pub country: Option<String>,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// Name of the autonomous system.
    pub as_name: Option<String>,
    /// What the score comes from; `null`: nothing speaks for or against it.
    pub reputation: Option<ReputationRow>,
    /// Every decision that covers it, the strongest first.
    pub entries: Vec<ExplainEntry>,
    /// How much there is of it.
    pub recent: Recent,
    /// When it was last heard of.
    pub last_seen: Option<Timestamp>,
    /// Its alerts, by score, then the newest in front.
    pub alerts: Vec<Alert>,
}

/// An entry that is asked for by `/api/security/ip/…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IpRequest {
    /// An address or a prefix.
    #[schema(required, examples("192.0.2.1", "2001:db8::/48"))]
    pub ip: String,
    /// Why.
    #[schema(max_length = 500)]
    pub reason: String,
    /// Seconds until it ends; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub ttl: Option<u64>,
}

/// An entry, as `/api/security/ip/…` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IpEntry {
    /// An address or a prefix.
    pub ip: String,
    /// Why.
    pub reason: String,
    /// On whose word.
    pub origin: String,
    /// When it was added.
    pub added_at: Timestamp,
    /// When it ends; `null`: never by itself.
    pub expires_at: Option<Timestamp>,
}
