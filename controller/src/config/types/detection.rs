//! What the web layer says and what is made of it: logs, events, rules, alerts.
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::domain::http::analyzers::settings::Settings;
use crate::domain::http::finding::Response;
use crate::domain::http::line::Format;
use crate::domain::http::respond::Responses;
use crate::domain::http::severity::Severity;

/// Everything about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Logs that are followed.
    pub logs: Vec<LogSource>,
    /// Events that come by themselves.
    pub events: Events,
    /// Rules.
    pub rules: RuleSettings,
    /// Analyzers.
    pub analyzers: Settings,
    /// Alerts, and what follows from them.
    pub alerts: AlertSettings,
}

impl Detection {
    /// Whether anything is to be read or heard at all.
    pub fn is_on(&self) -> bool {
        let Events { application, syslog, syslog_udp, .. } = &self.events;
        !self.logs.is_empty() || *application || syslog.is_some() || syslog_udp.is_some()
    }

    /// What follows from findings.
    pub fn responses(&self) -> Responses {
        let overrides = self.rules.overrides.iter().filter_map(|rule| Some((rule.id.clone(), rule.response?)));
        Responses { overrides: overrides.collect(), longest_s: self.alerts.longest_s, ..Responses::default() }
    }
}

/// One `[[logs]]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSource {
    /// Its name: unique, a label of metrics.
    pub name: String,
    /// Files, and patterns of files; absolute.
    pub paths: Vec<String>,
    /// How a line is written.
    pub format: Format,
    /// A grok pattern for lines of one's own; `None`: the format says.
    pub pattern: Option<String>,
    /// The time zone of times that name none; `None`: the machine's.
    pub zone: Option<String>,
    /// Proxies whose word on the client counts, beside those of all logs.
    pub trusted_proxies: Vec<IpNet>,
}

/// `[events]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// Whether applications may send events to the API.
    pub application: bool,
    /// A datagram socket that syslog messages are heard at; absolute. `None`: none.
    pub syslog: Option<PathBuf>,
    /// Name of the group that may write to it; `None`: everybody.
    pub syslog_group: Option<String>,
    /// A loopback address that syslog messages are heard at; `None`: none.
    pub syslog_udp: Option<SocketAddr>,
    /// Proxies whose word on the client counts, whatever the source.
    pub trusted_proxies: Vec<IpNet>,
    /// Seconds after which an event is history: it makes alerts and no denials.
    pub oldest_s: u64,
}

/// `[rules]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSettings {
    /// Whether rules are run.
    pub enabled: bool,
    /// Whether those that come with weir are among them.
    pub shipped: bool,
    /// Folders with rules of one's own; absolute.
    pub dirs: Vec<PathBuf>,
    /// Most groups that correlations count at once.
    pub max_state: usize,
    /// Microseconds that a rule may take for each KiB of an event, on average.
    pub budget_us_per_kib: u64,
    /// What is otherwise than rules say.
    pub overrides: Vec<RuleOverride>,
}

/// One `[[rules.override]]` section.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleOverride {
    /// The rule.
    pub id: String,
    /// Whether it is run.
    pub enabled: bool,
    /// How bad what it finds is; `None`: as it says.
    pub severity: Option<Severity>,
    /// How often, for a correlation; `None`: as it says.
    pub threshold: Option<u64>,
    /// Within how many seconds, for a correlation; `None`: as it says.
    pub within_s: Option<u64>,
    /// What follows; `None`: as it says.
    pub response: Option<Response>,
}

/// `[alerts]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    /// Whether denials and limits that follow are carried out; else they are only noted.
    pub enforce: bool,
    /// Seconds within which the same found again is one alert.
    pub fold_s: u64,
    /// Alerts that are kept.
    pub most: u64,
    /// Seconds for which they are kept.
    pub retention_s: u64,
    /// Seconds of the longest denial of one that comes again and again.
    pub longest_s: u64,
    /// Folders that datasets may name files in; absolute.
    pub dataset_dirs: Vec<PathBuf>,
}
