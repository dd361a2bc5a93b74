//! Findings: what a rule or an analyzer says of an event, before anybody decides what follows.
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::severity::Severity;

/// A word that is none of the allowed ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAName {
    /// What the word should have named.
    pub what: &'static str,
    /// The word.
    pub found: String,
    /// The words there are.
    pub allowed: Vec<&'static str>,
}

impl NotAName {
    /// `found` is no `what`.
    pub fn new(what: &'static str, found: &str, allowed: impl IntoIterator<Item = &'static str>) -> Self {
        Self { what, found: found.chars().take(64).collect(), allowed: allowed.into_iter().collect() }
    }

    /// The allowed word most like it, if one is.
    pub fn nearest(&self) -> Option<&'static str> {
        let likeness = |word: &&str| strsim::jaro_winkler(&self.found.to_lowercase(), word);
        let nearest = self.allowed.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        nearest.filter(|word| likeness(word) > 0.7)
    }
}

impl std::fmt::Display for NotAName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} is no {}: use ", self.found, self.what)?;
        match self.nearest() {
            Some(nearest) => write!(f, "{nearest}, or another of {}", self.allowed.join(", ")),
            None => write!(f, "one of {}", self.allowed.join(", ")),
        }
    }
}

impl std::error::Error for NotAName {}

/// Whose word a finding is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detector {
    /// A rule, by its id.
    Rule(Arc<str>),
    /// An analyzer, by its name.
    Analyzer(&'static str),
}

impl Detector {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Rule(id) => id,
            Self::Analyzer(name) => name,
        }
    }
}

/// What a rule or an analyzer wants done about what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "do")]
#[schema(as = RuleResponse)]
pub enum Response {
    /// An alert, and nothing else.
    Observe,
    /// The source has the tighter limit for a time.
    Limit {
        /// How long, in seconds.
        for_s: u64,
    },
    /// The source is denied for a time.
    Deny {
        /// How long the first time, in seconds.
        for_s: u64,
    },
    /// The user is denied for a time; whoever asks about users is told.
    DenyUser {
        /// How long, in seconds.
        for_s: u64,
    },
    /// Somebody is told.
    Notify,
}

impl Response {
    /// The names there are.
    pub const NAMES: [&'static str; 5] = ["observe", "limit", "deny", "deny_user", "notify"];

    /// How long one lasts that is named without a time, in seconds.
    const USUAL_LIMIT_S: u64 = 600;
    const USUAL_DENIAL_S: u64 = 3_600;
    const USUAL_USER_S: u64 = 900;

    /// The response of this name, for so many seconds; `None`: as long as is usual for it.
    ///
    /// # Errors
    /// [`NotAName`].
    pub fn named(name: &str, for_s: Option<u64>) -> Result<Self, NotAName> {
        match name.to_ascii_lowercase().as_str() {
            "observe" => Ok(Self::Observe),
            "limit" => Ok(Self::Limit { for_s: for_s.unwrap_or(Self::USUAL_LIMIT_S) }),
            "deny" => Ok(Self::Deny { for_s: for_s.unwrap_or(Self::USUAL_DENIAL_S) }),
            "deny_user" => Ok(Self::DenyUser { for_s: for_s.unwrap_or(Self::USUAL_USER_S) }),
            "notify" => Ok(Self::Notify),
            _ => Err(NotAName::new("response", name, Self::NAMES)),
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Limit { .. } => "limit",
            Self::Deny { .. } => "deny",
            Self::DenyUser { .. } => "deny_user",
            Self::Notify => "notify",
        }
    }

    /// How long it lasts, in seconds; `None`: it does not last.
    pub const fn for_s(self) -> Option<u64> {
        match self {
            Self::Observe | Self::Notify => None,
            Self::Limit { for_s } | Self::Deny { for_s } | Self::DenyUser { for_s } => Some(for_s),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Who found it.
    pub detector: Detector,
    /// In a few words.
    pub title: Arc<str>,
    /// In more words; may be empty.
    pub description: Arc<str>,
    /// How bad it is.
    pub severity: Severity,
    /// How sure the detector is, in percent.
    pub confidence: u8,
    /// MITRE ATT&CK techniques, such as `T1190`.
    pub techniques: Arc<[Arc<str>]>,
    /// Other labels.
    pub tags: Arc<[Arc<str>]>,
    /// Whose doing it is, by address; `None` where no address is known.
    pub source: Option<IpAddr>,
    /// Whose doing it is, or whose account it is about.
    pub user: Option<String>,
    /// What it is about besides, where findings about different things must not be folded into one: an endpoint.
    pub about: Option<String>,
    /// When.
    pub time: Timestamp,
    /// What was measured: a count, a share, seconds, a score.
    pub value: Option<f64>,
    /// What it was held against.
    pub threshold: Option<f64>,
    /// What gave it away: the field and the part of it that matched, the features that stood out. Decoded, short.
    pub indicators: Vec<String>,
    /// The lines.
    pub evidence: Vec<String>,
    /// What is to be done; `None`: what the settings say for the detector.
    pub response: Option<Response>,
    /// Whether the evidence can be forged by somebody who cannot receive answers; then no denial is long.
    pub spoofable: bool,
}
