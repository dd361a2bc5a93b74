//! Keys of what is followed: feeds, geography, CrowdSec.
use serde::{Deserialize, Serialize};

/// `[[feeds]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawFeed {
    pub(in crate::config) name: String,
    pub(in crate::config) preset: String,
    pub(in crate::config) url: String,
    pub(in crate::config) file: String,
    pub(in crate::config) protocol: String,
    pub(in crate::config) format: String,
    pub(in crate::config) column: String,
    pub(in crate::config) interval: String,
    pub(in crate::config) action: String,
    pub(in crate::config) weight: u64,
    pub(in crate::config) least_score: u64,
    pub(in crate::config) expire: String,
    pub(in crate::config) headers: Vec<String>,
    pub(in crate::config) user: String,
    pub(in crate::config) password_file: String,
    pub(in crate::config) token_file: String,
    pub(in crate::config) key_header: String,
    pub(in crate::config) key_file: String,
    pub(in crate::config) allow_http: bool,
    pub(in crate::config) allow_private: bool,
    pub(in crate::config) most_mib: u64,
    pub(in crate::config) deadline: String,
    pub(in crate::config) widest_v4: u64,
    pub(in crate::config) widest_v6: u64,
    pub(in crate::config) most_entries: u64,
    pub(in crate::config) least_entries: u64,
    pub(in crate::config) most_shrink_percent: u64,
    pub(in crate::config) most_growth_percent: u64,
    pub(in crate::config) most_rejected_percent: u64,
}

impl Default for RawFeed {
    fn default() -> Self {
        Self {
            name: String::new(),
            preset: String::new(),
            url: String::new(),
            file: String::new(),
            protocol: "http".to_owned(),
            format: "auto".to_owned(),
            column: String::new(),
            interval: String::new(),
            action: "deny".to_owned(),
            weight: 50,
            least_score: 0,
            expire: String::new(),
            headers: Vec::new(),
            user: String::new(),
            password_file: String::new(),
            token_file: String::new(),
            key_header: String::new(),
            key_file: String::new(),
            allow_http: false,
            allow_private: false,
            most_mib: 64,
            deadline: "2m".to_owned(),
            widest_v4: 8,
            widest_v6: 19,
            most_entries: 1_000_000,
            least_entries: 1,
            most_shrink_percent: 50,
            most_growth_percent: 300,
            most_rejected_percent: 10,
        }
    }
}

/// `[geo]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawGeo {
    pub(in crate::config) country_file: String,
    pub(in crate::config) asn_file: String,
    pub(in crate::config) deny: Vec<String>,
    pub(in crate::config) observe: Vec<String>,
    pub(in crate::config) limit: Vec<String>,
    pub(in crate::config) allow_only: Vec<String>,
    pub(in crate::config) unknown: String,
}

impl Default for RawGeo {
    fn default() -> Self {
        Self {
            country_file: String::new(),
            asn_file: String::new(),
            deny: Vec::new(),
            observe: Vec::new(),
            limit: Vec::new(),
            allow_only: Vec::new(),
            unknown: "pass".to_owned(),
        }
    }
}

/// `[crowdsec]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawCrowdsec {
    pub(in crate::config) enabled: bool,
    pub(in crate::config) file: String,
    pub(in crate::config) api_url: String,
    pub(in crate::config) api_key_file: String,
    pub(in crate::config) cert_file: String,
    pub(in crate::config) key_file: String,
    pub(in crate::config) ca_file: String,
    pub(in crate::config) insecure_skip_verify: bool,
    pub(in crate::config) interval: String,
    pub(in crate::config) scopes: Vec<String>,
    pub(in crate::config) origins: Vec<String>,
    pub(in crate::config) scenarios_containing: Vec<String>,
    pub(in crate::config) scenarios_not_containing: Vec<String>,
    pub(in crate::config) deny_types: Vec<String>,
    pub(in crate::config) observe_types: Vec<String>,
    pub(in crate::config) metrics_interval: String,
}

impl Default for RawCrowdsec {
    fn default() -> Self {
        Self {
            enabled: false,
            file: String::new(),
            api_url: "http://127.0.0.1:8080".to_owned(),
            api_key_file: String::new(),
            cert_file: String::new(),
            key_file: String::new(),
            ca_file: String::new(),
            insecure_skip_verify: false,
            interval: "10s".to_owned(),
            scopes: vec!["ip".to_owned(), "range".to_owned()],
            origins: Vec::new(),
            scenarios_containing: Vec::new(),
            scenarios_not_containing: Vec::new(),
            deny_types: vec!["ban".to_owned()],
            observe_types: Vec::new(),
            metrics_interval: "30m".to_owned(),
        }
    }
}
