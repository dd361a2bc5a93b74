//! What is known of a rule, and what its file says to weir beyond Sigma.
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use yaml_serde::Value;

use crate::domain::duration;
use crate::domain::http::finding::Response;
use crate::domain::http::severity::Severity;

/// How a rule finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// By one event.
    Detection,
    /// By one event, as often as it says.
    Repeated,
    /// By what other rules find over time.
    Correlation,
}

/// Everything known of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleInfo {
    /// Its id: what overrides and alerts name it by.
    pub id: Arc<str>,
    /// The name that correlations may refer to it by.
    pub name: Option<String>,
    /// In a few words.
    pub title: Arc<str>,
    /// In more words; may be empty.
    pub description: Arc<str>,
    /// How it finds.
    pub kind: Kind,
    /// How bad what it finds is.
    pub severity: Severity,
    /// How sure it is, in percent.
    pub confidence: u8,
    /// MITRE ATT&CK techniques.
    pub techniques: Arc<[Arc<str>]>,
    /// Its other tags.
    pub tags: Arc<[Arc<str>]>,
    /// When it is wrong, as its author knows.
    pub falsepositives: Vec<String>,
    /// Where more is said.
    pub references: Vec<String>,
    /// Its author.
    pub author: Option<String>,
    /// The file it is in.
    pub file: String,
    /// The line it starts at.
    pub line: usize,
    /// Whether it comes with weir.
    pub shipped: bool,
    /// Whether it is used.
    pub enabled: bool,
    /// Whether it makes findings of its own, and is not only counted for others.
    pub alerts: bool,
    /// What is done about what it finds; `None`: what the settings say.
    pub response: Option<Response>,
    /// What counts as the same subject: `source`, `user`, names of fields.
    pub group: Vec<String>,
    /// How many make a finding, where it counts.
    pub threshold: Option<u64>,
    /// Within how many seconds.
    pub within_s: Option<u64>,
    /// The rules that it counts.
    pub counts: Vec<String>,
    /// The fields shown with a finding; none: those that matched.
    pub indicator_fields: Vec<String>,
}

/// What a file says in its `weir:` mapping.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Extra {
    /// In percent.
    confidence: Option<u8>,
    enabled: Option<bool>,
    response: Option<String>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    group: Option<OneOrMore>,
    repeat: Option<Repeat>,
    indicator_fields: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A count of a rule's own matches.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeat {
    count: u64,
    within: String,
}

/// The same, read.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) confidence: u8,
    pub(super) enabled: bool,
    pub(super) response: Option<Response>,
    pub(super) group: Vec<String>,
    /// How many, within how many seconds.
    pub(super) repeat: Option<(u64, u64)>,
    pub(super) indicator_fields: Vec<String>,
}

/// How sure a rule is that does not say.
const CONFIDENCE: u8 = 50;
/// How long a denial of a source or a limit lasts that does not say.
const SOURCE_S: u64 = 3_600;
/// How long a denial of a user lasts that does not say.
const USER_S: u64 = 900;
/// The longest that is counted over.
pub(super) const LONGEST_S: u64 = 7 * 86_400;
/// The longest that a response lasts.
const LONGEST_RESPONSE_S: u64 = 365 * 86_400;
/// The most that is counted to.
pub(super) const MOST: u64 = 1_000_000;

impl Wanted {
    /// What a document's `weir:` says.
    pub(super) fn read(document: &Value) -> Result<Self, String> {
        let extra = match document.get("weir") {
            None | Some(Value::Null) => Extra::default(),
            Some(value) => Extra::deserialize(value).map_err(|error| format!("weir: {error}"))?,
        };
        let confidence = extra.confidence.unwrap_or(CONFIDENCE);
        if confidence > 100 {
            return Err(format!("weir: confidence {confidence} is more than 100 percent"));
        }
        let lasts = |default: u64| match &extra.lasts {
            None => Ok(default),
            Some(text) => seconds("for", text, LONGEST_RESPONSE_S),
        };
        let response = match extra.response.as_deref() {
            None => None,
            Some("observe") => Some(Response::Observe),
            Some("notify") => Some(Response::Notify),
            Some("limit") => Some(Response::Limit { for_s: lasts(SOURCE_S)? }),
            Some("deny") => Some(Response::Deny { for_s: lasts(SOURCE_S)? }),
            Some("deny_user") => Some(Response::DenyUser { for_s: lasts(USER_S)? }),
            Some(other) => {
                return Err(format!("weir: response {other:?} is none of observe, limit, deny, deny_user, notify"));
            }
        };
        let timeless = matches!(response, None | Some(Response::Observe | Response::Notify));
        if timeless && extra.lasts.is_some() {
            return Err("weir: for belongs to a response of limit, deny or deny_user".to_owned());
        }
        let repeat = extra.repeat.map(|repeat| {
            if (1..=MOST).contains(&repeat.count) {
                Ok((repeat.count, seconds("repeat.within", &repeat.within, LONGEST_S)?))
            } else {
                Err(format!("weir: repeat.count {} is not between 1 and {MOST}", repeat.count))
            }
        });
        Ok(Self {
            confidence,
            enabled: extra.enabled.unwrap_or(true),
            response,
            group: match extra.group {
                None => vec!["source".to_owned()],
                Some(OneOrMore::One(one)) => vec![one],
                Some(OneOrMore::More(more)) => more,
            },
            repeat: repeat.transpose()?,
            indicator_fields: extra.indicator_fields,
        })
    }
}

fn seconds(name: &str, text: &str, longest: u64) -> Result<u64, String> {
    let seconds = duration::parse(text).map_err(|error| format!("weir: {name}: {error}"))?;
    if seconds > longest {
        return Err(format!("weir: {name}: {text} is longer than {}", duration::format(longest)));
    }
    Ok(seconds)
}

/// Words that findings carry.
type Labels = Arc<[Arc<str>]>;

/// Techniques among Sigma's tags, and the others: `attack.t1190` is `T1190`.
pub(super) fn tags(tags: &[String]) -> (Labels, Labels) {
    let technique = |tag: &str| {
        let number = tag.to_ascii_lowercase();
        let number = number.strip_prefix("attack.t")?;
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        plain(number).then(|| Arc::from(format!("T{number}")))
    };
    let techniques = tags.iter().filter_map(|tag| technique(tag)).collect();
    let others = tags.iter().filter(|tag| technique(tag).is_none()).map(|tag| Arc::from(tag.as_str())).collect();
    (techniques, others)
}
