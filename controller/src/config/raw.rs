//! Every key with its default, as plain values: the one place that says which keys there are.
mod detection;
mod floods;
mod history;
mod sources;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::domain::http::analyzers::settings::Settings;

pub(super) use self::detection::{RawAlerts, RawEvents, RawLogs, RawOverride, RawRules, analyzers};
pub(super) use self::floods::{
    RawAmplification, RawFragments, RawIcmp, RawLimits, RawOffenders, RawPortLimit, RawPortRule, RawProfile, RawRates,
    RawShape,
};
pub(super) use self::history::{RawAudit, RawPrior, RawPrivacy, RawReputation};
pub(super) use self::sources::{RawCrowdsec, RawFeed, RawGeo};

/// All settings. An empty text means "none", where there is no other value to say so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) interfaces: Vec<String>,
    pub(super) mode: String,
    pub(super) enforcement: String,
    pub(super) state: RawState,
    pub(super) api: RawApi,
    pub(super) limits: RawLimits,
    pub(super) shape: RawShape,
    pub(super) fragments: RawFragments,
    pub(super) amplification: RawAmplification,
    pub(super) icmp: RawIcmp,
    pub(super) ports: Vec<RawPortRule>,
    pub(super) headers: RawHeaders,
    pub(super) samples: RawSamples,
    pub(super) top: RawTop,
    pub(super) protected: RawProtected,
    pub(super) never_block: RawNeverBlock,
    pub(super) lists: Vec<RawList>,
    pub(super) feeds: Vec<RawFeed>,
    pub(super) geo: RawGeo,
    pub(super) crowdsec: RawCrowdsec,
    pub(super) logs: Vec<RawLogs>,
    pub(super) events: RawEvents,
    pub(super) rules: RawRules,
    /// A section for each analyzer, with the parameters it has itself.
    pub(super) analyzers: Table,
    pub(super) alerts: RawAlerts,
    pub(super) reputation: RawReputation,
    pub(super) audit: RawAudit,
    pub(super) privacy: RawPrivacy,
    pub(super) log: RawLog,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            mode: "auto".to_owned(),
            enforcement: "enforce".to_owned(),
            state: RawState::default(),
            api: RawApi::default(),
            limits: RawLimits::default(),
            shape: RawShape::default(),
            fragments: RawFragments::default(),
            amplification: RawAmplification::default(),
            icmp: RawIcmp::default(),
            ports: Vec::new(),
            headers: RawHeaders::default(),
            samples: RawSamples::default(),
            top: RawTop::default(),
            protected: RawProtected::default(),
            never_block: RawNeverBlock::default(),
            lists: Vec::new(),
            feeds: Vec::new(),
            geo: RawGeo::default(),
            crowdsec: RawCrowdsec::default(),
            logs: Vec::new(),
            events: RawEvents::default(),
            rules: RawRules::default(),
            analyzers: analyzers(&Settings::default()),
            alerts: RawAlerts::default(),
            reputation: RawReputation::default(),
            audit: RawAudit::default(),
            privacy: RawPrivacy::default(),
            log: RawLog::default(),
        }
    }
}

/// `[state]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawState {
    pub(super) dir: String,
    pub(super) bpffs: String,
    pub(super) max_addresses: u64,
    pub(super) max_prefixes: u64,
    pub(super) max_table_mib: u64,
    pub(super) max_sources: u64,
}

impl Default for RawState {
    fn default() -> Self {
        Self {
            dir: "/var/lib/weir".to_owned(),
            bpffs: String::new(),
            max_addresses: 2_000_000,
            max_prefixes: 1_000_000,
            max_table_mib: 128,
            max_sources: 65_536,
        }
    }
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawApi {
    pub(super) socket: String,
    pub(super) group: String,
    pub(super) listen: String,
}

impl Default for RawApi {
    fn default() -> Self {
        Self { socket: "/run/weir/weir.sock".to_owned(), group: String::new(), listen: String::new() }
    }
}

/// `[headers]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawHeaders {
    pub(super) over_budget: String,
}

impl Default for RawHeaders {
    fn default() -> Self {
        Self { over_budget: "drop".to_owned() }
    }
}

/// `[samples]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSamples {
    pub(super) per_second: u64,
}

impl Default for RawSamples {
    fn default() -> Self {
        Self { per_second: 100 }
    }
}

/// `[top]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTop {
    pub(super) track: bool,
}

impl Default for RawTop {
    fn default() -> Self {
        Self { track: true }
    }
}

/// `[protected]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawProtected {
    pub(super) addresses: Vec<String>,
    pub(super) login_sessions: bool,
}

impl Default for RawProtected {
    fn default() -> Self {
        Self { addresses: Vec::new(), login_sessions: true }
    }
}

/// `[never_block]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawNeverBlock {
    pub(super) shipped: bool,
    pub(super) files: Vec<String>,
    pub(super) addresses: Vec<String>,
}

impl Default for RawNeverBlock {
    fn default() -> Self {
        Self { shipped: true, files: Vec::new(), addresses: Vec::new() }
    }
}

/// `[[lists]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawList {
    pub(super) name: String,
    pub(super) enforcement: String,
    pub(super) limit: String,
}

impl Default for RawList {
    fn default() -> Self {
        Self { name: String::new(), enforcement: "enforce".to_owned(), limit: String::new() }
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) level: String,
    pub(super) format: String,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: "text".to_owned() }
    }
}

impl Raw {
    /// The settings as a table.
    pub(super) fn to_table(&self) -> Table {
        // Texts, numbers below 2^63 and tables of such always make one.
        Table::try_from(self).unwrap_or_default()
    }
}

/// All keys there are, each with a value of its type: the defaults, and one element in each list of sections. A list
/// without an element is one of texts.
pub(super) fn schema() -> Table {
    let limits = RawLimits {
        profiles: vec![RawProfile::default()],
        ports: vec![RawPortLimit::default()],
        ..RawLimits::default()
    };
    let (lists, feeds, ports) = (vec![RawList::default()], vec![RawFeed::default()], vec![RawPortRule::default()]);
    let rules = RawRules { r#override: vec![RawOverride::default()], ..RawRules::default() };
    let logs = vec![RawLogs::default()];
    let reputation = RawReputation { policy: vec![RawPrior::default()], ..RawReputation::default() };
    Raw { limits, ports, lists, feeds, logs, rules, reputation, ..Raw::default() }.to_table()
}

/// Calls `visit` with every value that is no section, and its key: `state.dir`, `lists[0].name`.
pub(super) fn each_leaf(table: &Table, visit: &mut impl FnMut(&str, &Value)) {
    visit_table(table, "", visit);
}

fn visit_table(table: &Table, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    for (name, value) in table {
        let key = join(path, name);
        match value {
            Value::Table(section) => visit_table(section, &key, visit),
            Value::Array(elements) if is_list_of_sections(elements) => {
                for (at, section) in elements.iter().filter_map(Value::as_table).enumerate() {
                    visit_table(section, &format!("{key}[{at}]"), visit);
                }
            }
            Value::Array(_)
            | Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => visit(&key, value),
        }
    }
}

/// The key of `name` in the section with this key; empty: in no section.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Whether a list is one of sections rather than of texts.
pub(super) fn is_list_of_sections(elements: &[Value]) -> bool {
    elements.first().is_some_and(Value::is_table)
}
