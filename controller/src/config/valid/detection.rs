//! What the web layer says and what is made of it: logs, events, rules, alerts.
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use toml::{Table, Value};

use crate::config::error::Problem;
use crate::config::raw::{self, Raw, RawAlerts, RawEvents, RawLogs, RawOverride, RawRules};
use crate::config::suggest;
use crate::config::types::{AlertSettings, Detection, Events, LogSource, RuleOverride, RuleSettings};
use crate::domain::http::analyzers::parameter::Given;
use crate::domain::http::analyzers::settings::{SettingError, Settings};
use crate::domain::http::finding::{NotAName, Response};
use crate::domain::http::line::{Choice, Format, Reader};

use super::{Fault, LONGEST_SOCKET_PATH, absolute, each, is_group, is_list_name, number, prefixes, seconds};

/// Most `[[logs]]` sections.
const MOST_LOGS: usize = 256;
/// Most bytes of a grok pattern.
const LONGEST_PATTERN: usize = 8_192;
/// Most groups that correlations may count.
const MOST_STATE: u64 = 1 << 24;
/// Most alerts that may be kept.
const MOST_ALERTS: u64 = 10_000_000;
/// Longest time that anything of this may take: ten years.
pub(super) const LONGEST_S: u64 = 3_650 * 86_400;
/// Longest denial that follows from an alert.
pub(super) const LONGEST_DENIAL_S: u64 = 366 * 86_400;

pub(super) fn detection(raw: &mut Raw) -> Result<Detection, Fault> {
    Ok(Detection {
        logs: logs(&raw.logs)?,
        events: events(&raw.events)?,
        rules: rules(&raw.rules)?,
        analyzers: analyzers(&mut raw.analyzers)?,
        alerts: alerts(&raw.alerts)?,
    })
}

fn logs(raw: &[RawLogs]) -> Result<Vec<LogSource>, Fault> {
    if raw.len() > MOST_LOGS {
        let why = format!("{} are too many; the most is {MOST_LOGS}", raw.len());
        return Err(Fault::refused("logs", "[[logs]]", &why));
    }
    let mut names = BTreeSet::new();
    let mut sections = Vec::new();
    for (at, raw) in raw.iter().enumerate() {
        let key = |name: &str| format!("logs[{at}].{name}");
        let log = log(raw, &key)?;
        if !names.insert(log.name.clone()) {
            let given = if raw.name.is_empty() { "path" } else { "name" };
            return Err(Fault::refused(
                &key(given),
                &log.name,
                "another [[logs]] section has this name; give each a `name` of its own",
            ));
        }
        sections.push(log);
    }
    Ok(sections)
}

fn log(raw: &RawLogs, key: &dyn Fn(&str) -> String) -> Result<LogSource, Fault> {
    let mut paths = Vec::new();
    if !raw.path.is_empty() {
        absolute(&key("path"), &raw.path)?;
        paths.push(raw.path.clone());
    }
    for (at, path) in raw.paths.iter().enumerate() {
        absolute(&format!("{}[{at}]", key("paths")), path)?;
        if paths.contains(path) {
            return Err(Fault::repeated(&format!("{}[{at}]", key("paths")), path));
        }
        paths.push(path.clone());
    }
    let Some(first) = paths.first() else {
        let why = "a [[logs]] section names the file it is about, or several in `paths`";
        return Err(Fault { key: key("path"), problem: Problem::Missing { key: key("path"), why } });
    };
    let name = if raw.name.is_empty() { named_after(first) } else { raw.name.clone() };
    if !is_list_name(&name) || name.is_empty() {
        return Err(Fault::refused(&key("name"), &name, "not a name: 1 to 64 of letters, digits, - _ and ."));
    }
    let pattern = Some(raw.pattern.clone()).filter(|pattern| !pattern.is_empty());
    let format: Format = raw.format.parse().map_err(|error| not_one_of(&key("format"), &error))?;
    if let Some(pattern) = &pattern {
        if pattern.len() > LONGEST_PATTERN {
            let why = format!("{} bytes are too long; a pattern has at most {LONGEST_PATTERN}", pattern.len());
            return Err(Fault::refused(&key("pattern"), "...", &why));
        }
        if !matches!(format, Format::Auto | Format::Grok) {
            return Err(Fault::refused(&key("format"), &raw.format, "a log has either a format or a pattern"));
        }
        let choice = Choice { format: Format::Grok, pattern: Some(Arc::from(pattern.as_str())), ..Choice::default() };
        Reader::new(&choice).map_err(|error| Fault::refused(&key("pattern"), pattern, &error))?;
    } else if format == Format::Grok {
        let why = "the format grok is what its pattern says";
        return Err(Fault { key: key("pattern"), problem: Problem::Missing { key: key("pattern"), why } });
    }
    Ok(LogSource {
        name,
        paths,
        format,
        pattern,
        zone: Some(raw.zone.clone()).filter(|zone| !zone.is_empty()),
        trusted_proxies: prefixes(&key("trusted_proxies"), &raw.trusted_proxies)?,
    })
}

/// The name of a log that is given none: its first file's, with what stands for others left out.
fn named_after(path: &str) -> String {
    let file = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let plain = file.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let name: String = plain.take(64).collect();
    name.trim_matches('.').to_owned()
}

fn events(raw: &RawEvents) -> Result<Events, Fault> {
    let syslog = if raw.syslog.is_empty() { None } else { Some(absolute("events.syslog", &raw.syslog)?) };
    if raw.syslog.len() > LONGEST_SOCKET_PATH {
        let why = format!("{} bytes are too long; a socket's path has at most {LONGEST_SOCKET_PATH}", raw.syslog.len());
        return Err(Fault::refused("events.syslog", &raw.syslog, &why));
    }
    if raw.syslog.ends_with('/') {
        return Err(Fault::refused("events.syslog", &raw.syslog, "a socket is a file, and this names a folder"));
    }
    if !is_group(&raw.syslog_group) {
        return Err(Fault::refused("events.syslog_group", &raw.syslog_group, "not the name of a group"));
    }
    let syslog_udp: Option<SocketAddr> = raw.syslog_udp.parse().ok();
    if !raw.syslog_udp.is_empty() {
        let key = "events.syslog_udp";
        match syslog_udp {
            None => {
                let why = "not an address and a port, as in \"127.0.0.1:5514\" or \"[::1]:5514\"";
                return Err(Fault::refused(key, &raw.syslog_udp, why));
            }
            // Whoever can send a datagram here can have others denied.
            Some(address) if !address.ip().is_loopback() => {
                let why =
                    "anybody could send lines there; only an address of this machine itself (127.0.0.1, ::1) is taken";
                return Err(Fault::refused(key, &raw.syslog_udp, why));
            }
            Some(_) => {}
        }
    }
    Ok(Events {
        application: raw.application,
        syslog,
        syslog_group: Some(raw.syslog_group.clone()).filter(|group| !group.is_empty()),
        syslog_udp,
        trusted_proxies: prefixes("events.trusted_proxies", &raw.trusted_proxies)?,
        oldest_s: span("events.oldest", &raw.oldest, 1, LONGEST_S)?,
    })
}

fn rules(raw: &RawRules) -> Result<RuleSettings, Fault> {
    let mut overrides: Vec<RuleOverride> = Vec::new();
    for (at, raw) in raw.r#override.iter().enumerate() {
        let key = |name: &str| format!("rules.override[{at}].{name}");
        let made = rule_override(raw, &key)?;
        if overrides.iter().any(|other| other.id == made.id) {
            return Err(Fault::repeated(&key("id"), &made.id));
        }
        overrides.push(made);
    }
    Ok(RuleSettings {
        enabled: raw.enabled,
        shipped: raw.shipped,
        dirs: each("rules.dirs", &raw.dirs, absolute)?,
        max_state: number("rules.max_state", raw.max_state, 1_000, MOST_STATE)?,
        budget_us_per_kib: number("rules.budget_us_per_kib", raw.budget_us_per_kib, 1, 1_000_000)?,
        overrides,
    })
}

fn rule_override(raw: &RawOverride, key: &dyn Fn(&str) -> String) -> Result<RuleOverride, Fault> {
    if raw.id.is_empty() {
        let why = "each [[rules.override]] section is about the rule it names";
        return Err(Fault { key: key("id"), problem: Problem::Missing { key: key("id"), why } });
    }
    let severity = match raw.severity.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|error| not_one_of(&key("severity"), &error))?),
    };
    let within_s = seconds(&key("within"), &raw.within, 1, 86_400)?;
    let for_s = seconds(&key("for"), &raw.r#for, 1, LONGEST_DENIAL_S)?;
    let response = match (raw.response.as_str(), for_s) {
        ("", None) => None,
        ("", Some(_)) => {
            let why = "`for` says how long a response lasts";
            return Err(Fault { key: key("response"), problem: Problem::Missing { key: key("response"), why } });
        }
        (word, for_s) => {
            let response = Response::named(word, for_s).map_err(|error| not_one_of(&key("response"), &error))?;
            if for_s.is_some() && response.for_s().is_none() {
                return Err(Fault::refused(&key("for"), &raw.r#for, &format!("{word} is nothing that lasts")));
            }
            Some(response)
        }
    };
    Ok(RuleOverride {
        id: raw.id.clone(),
        enabled: raw.enabled,
        severity,
        threshold: Some(raw.threshold).filter(|threshold| *threshold > 0),
        within_s,
        response,
    })
}

/// The fault of a word that is none of those there are.
pub(super) fn not_one_of(key: &str, error: &NotAName) -> Fault {
    let suggestion = suggest::nearest(&error.found, error.allowed.iter().copied()).map(|word| format!("{word:?}"));
    let problem = Problem::NotOneOf {
        key: key.to_owned(),
        value: error.found.clone(),
        choices: error.allowed.clone(),
        suggestion,
    };
    Fault { key: key.to_owned(), problem }
}

/// The analyzers' settings. What was not given is written back to `raw`, so that it is shown.
fn analyzers(raw: &mut Table) -> Result<Settings, Fault> {
    let wrong = |key: String, error: &SettingError| Fault { key, problem: Problem::Analyzer(error.to_string()) };
    let mut settings = Settings::default();
    for (name, section) in raw.iter() {
        for (parameter, value) in section.as_table().into_iter().flatten() {
            let key = format!("analyzers.{name}.{parameter}");
            settings.set(name, parameter, &given(value)).map_err(|error| wrong(key, &error))?;
        }
    }
    if let Some(error) = settings.validate().first() {
        let text = error.to_string();
        let key = text.split(':').next().unwrap_or_default().to_owned();
        return Err(wrong(key, error));
    }
    *raw = raw::analyzers(&settings);
    Ok(settings)
}

/// A value as analyzers take it. Types have been held against those of the schema.
fn given(value: &Value) -> Given {
    match value {
        Value::Boolean(flag) => Given::Flag(*flag),
        Value::Float(number) => Given::Number(*number),
        #[expect(clippy::cast_precision_loss, reason = "analyzers' counts end far below 2^53, and say so")]
        Value::Integer(number) => Given::Number(*number as f64),
        Value::String(text) => Given::Text(text.clone()),
        Value::Array(words) => Given::List(words.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        Value::Datetime(_) | Value::Table(_) => Given::List(Vec::new()),
    }
}

fn alerts(raw: &RawAlerts) -> Result<AlertSettings, Fault> {
    Ok(AlertSettings {
        enforce: raw.enforce,
        fold_s: span("alerts.fold", &raw.fold, 1, 30 * 86_400)?,
        most: number("alerts.max", raw.max, 100, MOST_ALERTS)?,
        retention_s: span("alerts.retention", &raw.retention, 3_600, LONGEST_S)?,
        longest_s: span("alerts.longest", &raw.longest, 60, LONGEST_DENIAL_S)?,
        dataset_dirs: each("alerts.dataset_dirs", &raw.dataset_dirs, absolute)?,
    })
}

/// Seconds of a duration that must be given.
pub(super) fn span(key: &str, text: &str, least: u64, most: u64) -> Result<u64, Fault> {
    let why = "a duration, as in 90s, 15m, 12h or 7d";
    seconds(key, text, least, most)?
        .ok_or_else(|| Fault { key: key.to_owned(), problem: Problem::Missing { key: key.to_owned(), why } })
}
