//! The configuration file of the firewall bouncer that ships with CrowdSec, so that weir can take its place.
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use yaml_serde::{Mapping, Value};

use super::duration;

/// Largest text that is read.
pub const LARGEST: usize = 64 * 1024;

/// A key of the server's API. Its text is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// Why a text cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// Nothing there.
    #[error("is empty; `cscli bouncers add weir` gives one")]
    Empty,
    /// Left to be filled in from the environment.
    #[error("stands for a variable of the environment, which weir does not fill in; write the key itself")]
    Variable,
    /// Characters no header can hold.
    #[error("holds characters that no key has; it must be printable ASCII on one line")]
    NotAKey,
}

impl ApiKey {
    /// The key in a text, white space around it cut off.
    ///
    /// # Errors
    /// [`ApiKeyError`], without the text.
    pub fn new(text: &str) -> Result<Self, ApiKeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ApiKeyError::Empty);
        }
        if is_variable(text) {
            return Err(ApiKeyError::Variable);
        }
        if text.len() > 1_024 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ApiKeyError::NotAKey);
        }
        Ok(Self(text.to_owned()))
    }

    /// The key itself, for the request's header and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// Why a bouncer's file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BouncerFileError {
    /// More text than any such file.
    #[error("{bytes} bytes are too many for a bouncer's configuration; the most is {LARGEST}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// No YAML.
    #[error("not YAML: {0}")]
    NotYaml(String),
    /// YAML that is no list of keys.
    #[error("keys and their values are wanted, as in `api_url: http://127.0.0.1:8080/`")]
    NotKeys,
    /// A value that its key does not take.
    #[error("{key} must be {wanted}")]
    Wrong {
        /// The key.
        key: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// The API key.
    #[error("api_key {0}")]
    ApiKey(#[from] ApiKeyError),
}

/// What a bouncer's file says of what weir knows too. `None`: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BouncerFile {
    /// Where the server is: an address, or the path of its socket.
    pub api_url: Option<String>,
    /// The key.
    pub api_key: Option<ApiKey>,
    /// File of the client's certificate.
    pub cert_file: Option<String>,
    /// File of the client's private key.
    pub key_file: Option<String>,
    /// File of the certificates that sign the server's.
    pub ca_file: Option<String>,
    /// Whether any certificate of the server will do.
    pub insecure_skip_verify: Option<bool>,
    /// How often to ask.
    pub interval: Option<Duration>,
    /// Scopes that are asked for and taken.
    pub scopes: Option<Vec<String>>,
    /// Origins that are asked for.
    pub origins: Option<Vec<String>>,
    /// Words that scenarios must hold.
    pub scenarios_containing: Option<Vec<String>>,
    /// Words that scenarios must not hold.
    pub scenarios_not_containing: Option<Vec<String>>,
    /// Types that deny.
    pub deny_types: Option<Vec<String>>,
    /// Types that are only observed; the file says so by `mode: dry-run` alone.
    pub observe_types: Option<Vec<String>>,
    /// Whether IPv6 is taken.
    pub ipv6: Option<bool>,
    /// What in the file has no effect here, a sentence each.
    pub notes: Vec<String>,
}

/// Keys that say how the other bouncer does its work, and not what is to be done.
const OF_THE_OTHER: [&str; 17] = [
    "mode",
    "pid_dir",
    "daemonize",
    "log_mode",
    "log_dir",
    "log_level",
    "log_compression",
    "log_max_size",
    "log_max_backups",
    "log_max_age",
    "log_max_files",
    "compress_logs",
    "ipset_type",
    "ipset_size",
    "ipset_disable_timeouts",
    "iptables_chains",
    "piddir",
];

/// Keys whose effect a person may miss, and what is so instead.
const MISSED: [(&str, &str); 12] = [
    ("deny_action", "weir drops; it never answers with a reject"),
    ("deny_log", "weir counts what it drops and samples it; it writes no line for each packet"),
    ("deny_log_prefix", "weir writes no line for each packet"),
    ("blacklists_ipv4", "weir keeps its decisions in its own tables, not in a set of this name"),
    ("blacklists_ipv6", "weir keeps its decisions in its own tables, not in a set of this name"),
    ("iptables_add_rule_comments", "weir makes no rule of the firewall"),
    ("nftables", "weir makes no table of the firewall; end the other bouncer, which takes its own away"),
    ("nftables_hooks", "weir makes no table of the firewall"),
    ("pf", "weir makes no rule of the firewall"),
    ("ipset", "weir makes no set of the firewall"),
    ("prometheus", "weir has its own metrics, under [api]"),
    ("retry_initial_connect", "weir always tries again"),
];

/// Reads a bouncer's file, and the `.yaml.local` beside it, whose keys go before.
///
/// Text that stands for a variable (`${API_KEY}`) is not filled in. Keys without effect here become notes.
///
/// # Errors
/// [`BouncerFileError`]. No error shows the key.
pub fn parse(text: &str, local: Option<&str>) -> Result<BouncerFile, BouncerFileError> {
    let mut keys = mapping(text)?;
    if let Some(local) = local {
        merge(&mut keys, mapping(local)?);
    }
    let mut file = BouncerFile::default();
    let mut only_tries = false;
    for (key, value) in &keys {
        let Value::String(key) = key else {
            return Err(BouncerFileError::NotKeys);
        };
        only_tries |= key == "mode" && value.as_str() == Some("dry-run");
        file.set(key, value)?;
    }
    if only_tries {
        file.observe_types = file.deny_types.replace(Vec::new()).or_else(|| Some(vec!["ban".to_owned()]));
        file.notes.push("mode is dry-run: decisions are only observed".to_owned());
    }
    Ok(file)
}

impl BouncerFile {
    fn set(&mut self, key: &str, value: &Value) -> Result<(), BouncerFileError> {
        match key {
            "api_url" => self.api_url = text(key, value)?,
            "api_key" => self.api_key = text(key, value)?.map(|key| ApiKey::new(&key)).transpose()?,
            "cert_path" => self.cert_file = text(key, value)?,
            "key_path" => self.key_file = text(key, value)?,
            "ca_cert_path" => self.ca_file = text(key, value)?,
            "insecure_skip_verify" => self.insecure_skip_verify = truth(key, value)?,
            "disable_ipv6" => self.ipv6 = truth(key, value)?.map(|disabled| !disabled),
            "update_frequency" => self.interval = interval(key, value)?,
            "supported_decisions_types" | "supported_decision_types" => self.deny_types = texts(key, value)?,
            "scopes" => self.scopes = texts(key, value)?,
            "origins" => self.origins = texts(key, value)?,
            "scenarios_containing" => self.scenarios_containing = texts(key, value)?,
            "scenarios_not_containing" => self.scenarios_not_containing = texts(key, value)?,
            known if OF_THE_OTHER.contains(&known) => {}
            _ => self.note(key, value),
        }
        Ok(())
    }

    fn note(&mut self, key: &str, value: &Value) {
        let is_default = match key {
            "deny_action" => value.as_str().is_some_and(|action| action.eq_ignore_ascii_case("drop")),
            "deny_log" | "retry_initial_connect" => value.as_bool().is_some(),
            "pf" | "nftables" | "prometheus" | "blacklists_ipv4" | "blacklists_ipv6" => value.is_null(),
            _ => false,
        };
        let logs = key == "deny_log" && value.as_bool() == Some(true);
        if is_default && !logs {
            return;
        }
        let shown: String = key.chars().filter(|c| !c.is_control()).take(60).collect();
        self.notes.push(match MISSED.iter().find(|(known, _)| *known == key) {
            Some((_, instead)) => format!("{shown} has no effect: {instead}"),
            None => format!("{shown} is not known and has no effect"),
        });
    }
}

fn mapping(text: &str) -> Result<Mapping, BouncerFileError> {
    if text.len() > LARGEST {
        return Err(BouncerFileError::TooLarge { bytes: text.len() });
    }
    match yaml_serde::from_str(text) {
        Ok(Value::Mapping(keys)) => Ok(keys),
        Ok(Value::Null) => Ok(Mapping::new()),
        Ok(_) => Err(BouncerFileError::NotKeys),
        Err(error) => Err(BouncerFileError::NotYaml(place(&error))),
    }
}

/// Where the text stops being YAML. The library's own words may repeat the text, and with it the key.
fn place(error: &yaml_serde::Error) -> String {
    let at = error.location();
    at.map_or_else(|| "look at its end".to_owned(), |at| format!("look at line {}, column {}", at.line(), at.column()))
}

/// Sections are merged key by key, all else is replaced.
fn merge(into: &mut Mapping, over: Mapping) {
    for (key, value) in over {
        match (into.get_mut(&key), value) {
            (Some(Value::Mapping(section)), Value::Mapping(over)) => merge(section, over),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn wrong(key: &str, wanted: &'static str) -> BouncerFileError {
    BouncerFileError::Wrong { key: key.to_owned(), wanted }
}

fn is_variable(text: &str) -> bool {
    text.starts_with('$') || text.contains("${")
}

/// A text; an empty one and none at all are the same.
fn text(key: &str, value: &Value) -> Result<Option<String>, BouncerFileError> {
    match value {
        Value::Null => Ok(None),
        // The key has an error of its own.
        Value::String(text) if key != "api_key" && is_variable(text) => {
            Err(wrong(key, "written out: weir fills in no variable of the environment"))
        }
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        // Digits alone, or with an `e` between them, are a number to YAML, and not the same text any more.
        Value::Number(_) => Err(wrong(key, "a text; put it in quotes")),
        _ => Err(wrong(key, "a text")),
    }
}

fn truth(key: &str, value: &Value) -> Result<Option<bool>, BouncerFileError> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(is) => Ok(Some(*is)),
        _ => Err(wrong(key, "true or false")),
    }
}

/// A list of texts; one text alone is a list of it, and an empty list says nothing.
fn texts(key: &str, value: &Value) -> Result<Option<Vec<String>>, BouncerFileError> {
    let texts: Vec<String> = match value {
        Value::Sequence(list) => {
            list.iter().map(|item| text(key, item)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
        one => text(key, one)?.into_iter().collect(),
    };
    // They go to the server in one parameter with commas between them.
    if texts.iter().any(|text| text.contains(',')) {
        return Err(wrong(key, "a list of words without commas"));
    }
    Ok((!texts.is_empty()).then_some(texts))
}

fn interval(key: &str, value: &Value) -> Result<Option<Duration>, BouncerFileError> {
    let Some(text) = text(key, value)? else { return Ok(None) };
    let seconds = duration::parse(&text).ok().and_then(|seconds| u64::try_from(seconds).ok());
    match seconds.filter(|seconds| (1..=86_400).contains(seconds)) {
        Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
        None => Err(wrong(key, "a duration from 1s to 24h, such as 10s")),
    }
}
