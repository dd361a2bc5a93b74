//! Keys of what is weighed and remembered: reputation, audit, privacy.
use serde::{Deserialize, Serialize};

/// `[reputation]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawReputation {
    pub(in crate::config) enforce: bool,
    pub(in crate::config) half_life: String,
    pub(in crate::config) max_sources: u64,
    pub(in crate::config) limit_at: u64,
    pub(in crate::config) limit_for: String,
    pub(in crate::config) short_at: u64,
    pub(in crate::config) short_for: String,
    pub(in crate::config) deny_at: u64,
    pub(in crate::config) deny_for: String,
    pub(in crate::config) longest: String,
    pub(in crate::config) policy: Vec<RawPrior>,
}

impl Default for RawReputation {
    fn default() -> Self {
        Self {
            enforce: true,
            half_life: "24h".to_owned(),
            max_sources: 65_536,
            limit_at: 40,
            limit_for: "10m".to_owned(),
            short_at: 60,
            short_for: "10m".to_owned(),
            deny_at: 80,
            deny_for: "1h".to_owned(),
            longest: "7d".to_owned(),
            policy: Vec::new(),
        }
    }
}

/// `[[reputation.policy]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawPrior {
    pub(in crate::config) country: String,
    pub(in crate::config) asn: u64,
    pub(in crate::config) points: u64,
}

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawAudit {
    pub(in crate::config) events: String,
    pub(in crate::config) retention: String,
    pub(in crate::config) max_events: u64,
}

impl Default for RawAudit {
    fn default() -> Self {
        Self { events: "security".to_owned(), retention: "30d".to_owned(), max_events: 1_000_000 }
    }
}

/// `[privacy]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawPrivacy {
    pub(in crate::config) hash_addresses: bool,
    pub(in crate::config) drop_requests: bool,
}
