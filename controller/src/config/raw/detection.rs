//! Keys of what the web layer says and what is made of it: logs, events, rules, alerts.
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::domain::http::analyzers::parameter::Given;
use crate::domain::http::analyzers::settings::{NAMES, Settings};

/// `[[logs]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawLogs {
    pub(in crate::config) name: String,
    pub(in crate::config) path: String,
    pub(in crate::config) paths: Vec<String>,
    pub(in crate::config) format: String,
    pub(in crate::config) pattern: String,
    pub(in crate::config) zone: String,
    pub(in crate::config) trusted_proxies: Vec<String>,
}

impl Default for RawLogs {
    fn default() -> Self {
        Self {
            name: String::new(),
            path: String::new(),
            paths: Vec::new(),
            format: "auto".to_owned(),
            pattern: String::new(),
            zone: String::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// `[events]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawEvents {
    pub(in crate::config) application: bool,
    pub(in crate::config) syslog: String,
    pub(in crate::config) syslog_group: String,
    pub(in crate::config) syslog_udp: String,
    pub(in crate::config) trusted_proxies: Vec<String>,
    pub(in crate::config) oldest: String,
}

impl Default for RawEvents {
    fn default() -> Self {
        Self {
            application: false,
            syslog: String::new(),
            syslog_group: String::new(),
            syslog_udp: String::new(),
            trusted_proxies: Vec::new(),
            oldest: "5m".to_owned(),
        }
    }
}

/// `[rules]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawRules {
    pub(in crate::config) enabled: bool,
    pub(in crate::config) shipped: bool,
    pub(in crate::config) dirs: Vec<String>,
    pub(in crate::config) max_state: u64,
    pub(in crate::config) budget_us_per_kib: u64,
    pub(in crate::config) r#override: Vec<RawOverride>,
}

impl Default for RawRules {
    fn default() -> Self {
        Self {
            enabled: true,
            shipped: true,
            dirs: Vec::new(),
            max_state: 100_000,
            budget_us_per_kib: 50,
            r#override: Vec::new(),
        }
    }
}

/// `[[rules.override]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawOverride {
    pub(in crate::config) id: String,
    pub(in crate::config) enabled: bool,
    pub(in crate::config) severity: String,
    pub(in crate::config) threshold: u64,
    pub(in crate::config) within: String,
    pub(in crate::config) response: String,
    pub(in crate::config) r#for: String,
}

impl Default for RawOverride {
    fn default() -> Self {
        Self {
            id: String::new(),
            enabled: true,
            severity: String::new(),
            threshold: 0,
            within: String::new(),
            response: String::new(),
            r#for: String::new(),
        }
    }
}

/// `[alerts]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RawAlerts {
    pub(in crate::config) enforce: bool,
    pub(in crate::config) fold: String,
    pub(in crate::config) max: u64,
    pub(in crate::config) retention: String,
    pub(in crate::config) longest: String,
    pub(in crate::config) dataset_dirs: Vec<String>,
}

impl Default for RawAlerts {
    fn default() -> Self {
        Self {
            enforce: true,
            fold: "1h".to_owned(),
            max: 100_000,
            retention: "7d".to_owned(),
            longest: "7d".to_owned(),
            dataset_dirs: vec!["/var/log".to_owned()],
        }
    }
}

/// `[analyzers.NAME]`, all of them.
pub(in crate::config) fn analyzers(settings: &Settings) -> Table {
    let section = |name: &str| {
        let keys =
            settings.given(name).into_iter().map(|(key, given, is_whole)| (key.to_owned(), value(given, is_whole)));
        Value::Table(keys.collect())
    };
    NAMES.iter().map(|name| ((*name).to_owned(), section(name))).collect()
}

fn value(given: Given, is_whole: bool) -> Value {
    match given {
        Given::Flag(flag) => Value::Boolean(flag),
        #[expect(clippy::cast_possible_truncation, reason = "a count, which is a u32")]
        Given::Number(number) if is_whole => Value::Integer(number as i64),
        Given::Number(number) => Value::Float(number),
        Given::Text(text) => Value::String(text),
        Given::List(words) => Value::Array(words.into_iter().map(Value::String).collect()),
    }
}
