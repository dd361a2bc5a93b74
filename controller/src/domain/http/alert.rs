//! Alerts: what was found, as people are told of it and as it is kept.
mod triage;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::book::Taken;
use super::finding::{Detector, Finding, NotAName};
use super::redact::redacted;
use super::severity::Severity;
use crate::domain::erasure::Mentions;

pub use self::triage::{AlertUpdate, Triage, TriageError};

/// The analyzer that alerts of rules are counted under.
pub const RULES: &str = "rules";

/// Lines an alert keeps: the first ones.
pub const MOST_EVIDENCE: usize = 5;
/// Characters of a line it keeps.
pub const EVIDENCE_CHARS: usize = 1_024;
/// Indicators it keeps: the first different ones.
pub const MOST_INDICATORS: usize = 8;
/// Characters of an indicator.
pub const INDICATOR_CHARS: usize = 256;
/// Characters of a user's name, a title, a thing it is about.
pub const NAME_CHARS: usize = 256;
/// Characters of a description.
pub const DESCRIPTION_CHARS: usize = 2_048;
/// Techniques, and tags, it keeps.
pub const MOST_LABELS: usize = 32;

/// An alert's identity: a version 7 UUID, so that later ones sort behind earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = "uuid")]
pub struct AlertId(u128);

/// A text that is not an alert's identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the id of an alert; an id looks like 0192f0c1-7e2a-7c3b-9d4e-5f6a7b8c9d0e")]
pub struct NotAnId(String);

impl AlertId {
    /// The identity of an alert of this moment; the random bits tell it from others of the same millisecond.
    ///
    /// Source: RFC 9562, section 5.7.
    pub fn v7(time: Timestamp, random: u128) -> Self {
        let millis = u128::try_from(time.as_millisecond().max(0)).unwrap_or(0) & 0xffff_ffff_ffff;
        let rand_a = random & 0xfff;
        let rand_b = (random >> 12) & 0x3fff_ffff_ffff_ffff;
        Self(millis << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b)
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        let (time_low, time_high, version) = (id >> 96, id >> 80 & 0xffff, id >> 64 & 0xffff);
        let (variant, node) = (id >> 48 & 0xffff, id & 0xffff_ffff_ffff);
        write!(f, "{time_low:08x}-{time_high:04x}-{version:04x}-{variant:04x}-{node:012x}")
    }
}

impl fmt::Debug for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AlertId {
    type Err = NotAnId;

    /// Reads hexadecimal digits in groups of 8, 4, 4, 4 and 12.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let refused = || NotAnId(text.chars().take(64).collect());
        let groups = text.split('-').map(str::len);
        if text.len() != 36 || !groups.eq([8, 4, 4, 4, 12]) {
            return Err(refused());
        }
        let digits: String = text.split('-').collect();
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(refused());
        }
        u128::from_str_radix(&digits, 16).map(Self).ok().ok_or_else(refused)
    }
}

impl Serialize for AlertId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AlertId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How far people are with an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = AlertStatus)]
pub enum Status {
    /// Nobody looked yet.
    #[default]
    New,
    /// Somebody saw it.
    Acknowledged,
    /// Somebody works on it.
    Investigating,
    /// Dealt with.
    Resolved,
    /// Nothing was wrong.
    FalsePositive,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::New, Self::Acknowledged, Self::Investigating, Self::Resolved, Self::FalsePositive];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Acknowledged => "acknowledged",
            Self::Investigating => "investigating",
            Self::Resolved => "resolved",
            Self::FalsePositive => "false-positive",
        }
    }

    /// Whether nothing is left to be done.
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Resolved | Self::FalsePositive)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Status {
    type Err = NotAName;

    /// In any case; `false_positive` is understood too.
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let lower = text.to_ascii_lowercase().replace('_', "-");
        let found = Self::ALL.into_iter().find(|status| status.name() == lower);
        found.ok_or_else(|| NotAName::new("status", text, Self::ALL.map(Self::name)))
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What was done about an alert: the strongest of what was, the weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing but the alert.
    #[default]
    Observe,
    /// Somebody was told.
    Notify,
    /// The source has the tighter limit.
    Limit,
    /// The user is denied.
    DenyUser,
    /// The source is denied.
    Deny,
}

impl Action {
    /// All of them, the weakest first.
    pub const ALL: [Self; 5] = [Self::Observe, Self::Notify, Self::Limit, Self::DenyUser, Self::Deny];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Notify => "notify",
            Self::Limit => "limit",
            Self::DenyUser => "deny_user",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What an alert asks for by itself: in force may be more, for others' sake. The weaker is the lesser; of two alike, the
/// one that ends earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Asked {
    /// What.
    pub action: Action,
    /// Until when.
    pub until: Timestamp,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Its identity.
    pub id: AlertId,
    /// In a few words.
    pub title: String,
    /// In more words; may be empty.
    pub description: String,
    /// How bad it is: the worst of what was folded into it.
    pub severity: Severity,
    /// What people make of it.
    #[serde(flatten)]
    pub triage: Triage,
    /// The analyzer that found it; [`RULES`] if it was a rule.
    pub analyzer: String,
    /// The rule that found it, by id.
    pub rule: Option<String>,
    /// 0 to 100: alerts are listed by it. Severity, then confidence, then how often.
    pub score: u8,
    /// How sure the detector is, in percent.
    pub confidence: u8,
    /// What gave it away.
    pub indicators: Vec<String>,
    /// The first lines, what is secret in them blotted out.
    pub evidence: Vec<String>,
    /// MITRE ATT&CK techniques.
    #[serde(rename = "technique")]
    pub techniques: Vec<String>,
    /// Other labels.
    pub tags: Vec<String>,
    /// Whose doing it is, by address.
    pub source: Option<String>,
    /// Whose doing it is, or whose account it is about.
    pub user: Option<String>,
    /// What it is about besides, such as an endpoint.
    pub about: Option<String>,
    /// What was measured, the last time.
    pub value: Option<f64>,
    /// What it was held against.
    pub threshold: Option<f64>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// How often.
    pub count: u64,
    /// When the alert was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What was done about it.
    pub action: Action,
    /// To whom: a prefix, or a user.
    pub action_target: Option<String>,
    /// For how long, in seconds.
    pub action_for_s: Option<u64>,
    /// When that ends.
    pub action_until: Option<Timestamp>,
    /// What it asks for by itself, where somebody is denied or limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// Why what should have been done was not.
    pub refused: Option<String>,
}

impl Alert {
    /// The alert of a first finding, made `now`.
    pub fn new(id: AlertId, finding: &Finding, now: Timestamp) -> Self {
        let (analyzer, rule) = match &finding.detector {
            Detector::Rule(rule) => (RULES.to_owned(), Some(cut(rule, NAME_CHARS))),
            Detector::Analyzer(name) => ((*name).to_owned(), None),
        };
        let labels = |labels: &[std::sync::Arc<str>]| {
            labels.iter().take(MOST_LABELS).map(|label| cut(label, NAME_CHARS)).collect()
        };
        let mut alert = Self {
            id,
            title: cut(&finding.title, NAME_CHARS),
            description: cut(&finding.description, DESCRIPTION_CHARS),
            severity: finding.severity,
            triage: Triage::default(),
            analyzer,
            rule,
            score: 0,
            confidence: finding.confidence.min(100),
            indicators: Vec::new(),
            evidence: Vec::new(),
            techniques: labels(&finding.techniques),
            tags: labels(&finding.tags),
            source: finding.source.map(|source| source.to_string()),
            user: finding.user.as_deref().map(|user| cut(user, NAME_CHARS)),
            about: finding.about.as_deref().map(|about| redacted(&cut(about, NAME_CHARS)).into_owned()),
            value: None,
            threshold: None,
            first_seen: finding.time,
            last_seen: finding.time,
            count: 0,
            created_at: now,
            updated_at: now,
            action: Action::Observe,
            action_target: None,
            action_for_s: None,
            action_until: None,
            asked: None,
            refused: None,
        };
        alert.repeat(finding, now);
        alert
    }

    /// Takes in another finding of the same thing.
    pub fn repeat(&mut self, finding: &Finding, now: Timestamp) {
        self.count = self.count.saturating_add(1);
        self.severity = self.severity.max(finding.severity);
        self.confidence = self.confidence.max(finding.confidence.min(100));
        self.first_seen = self.first_seen.min(finding.time);
        self.last_seen = self.last_seen.max(finding.time);
        self.updated_at = self.updated_at.max(now);
        if finding.value.is_some() {
            self.value = finding.value;
        }
        if finding.threshold.is_some() {
            self.threshold = finding.threshold;
        }
        keep(&mut self.indicators, &finding.indicators, MOST_INDICATORS, INDICATOR_CHARS);
        keep(&mut self.evidence, &finding.evidence, MOST_EVIDENCE, EVIDENCE_CHARS);
        self.score = score(self.severity, self.confidence, self.count);
    }

    /// Notes what was done about the last finding. The strongest stays; of two alike, the one that ends later.
    pub fn take(&mut self, taken: &Taken) {
        if taken.refused.is_some() {
            self.refused.clone_from(&taken.refused);
        }
        self.asked = self.asked.max(taken.asked);
        let is_stronger = taken.action > self.action;
        let is_longer = taken.action == self.action && taken.until > self.action_until;
        if is_stronger || is_longer {
            self.action = taken.action;
            self.action_target.clone_from(&taken.target);
            // What was in force already says not for how long it was made.
            let before = self.action_for_s.filter(|_| !is_stronger);
            (self.action_for_s, self.action_until) = (taken.for_s.or(before), taken.until);
        }
    }

    /// Takes over what people say of it `now`, all of it or nothing; whether anything is other than before.
    ///
    /// # Errors
    /// [`TriageError`].
    pub fn change(&mut self, update: &AlertUpdate, now: Timestamp) -> Result<bool, TriageError> {
        let mut changed = self.triage.apply(update, now)?;
        if let Some(tags) = update.tags.as_ref().filter(|tags| **tags != self.tags) {
            self.tags.clone_from(tags);
            changed = true;
        }
        if changed {
            self.updated_at = self.updated_at.max(now);
        }
        Ok(changed)
    }

    /// Blots out who is to be mentioned nowhere; whose doing it is stays. Whether they were mentioned.
    pub fn blot(&mut self, mentions: &Mentions) -> bool {
        let triage = &mut self.triage;
        let options = [&mut self.about, &mut self.refused, &mut self.action_target, &mut self.user]
            .into_iter()
            .chain([&mut triage.note, &mut triage.case, &mut triage.assignee])
            .flatten();
        let lists = self.evidence.iter_mut().chain(&mut self.indicators).chain(&mut self.tags);
        mentions.blot_all(options.chain(lists).chain([&mut self.title, &mut self.description]))
    }

    /// What is still asked for by it `now`, of its source: nothing where it was found to be nothing.
    pub fn asks(&self, now: Timestamp) -> Option<Asked> {
        // An earlier weir wrote only what was in force.
        let done = self.action_until.map(|until| Asked { action: self.action, until });
        let asked = self.asked.or(done)?;
        let is_of_source = matches!(asked.action, Action::Deny | Action::Limit);
        (is_of_source && asked.until > now && self.triage.status != Status::FalsePositive).then_some(asked)
    }

    /// Nothing is asked for by it from `now` on: somebody lifted by hand what was.
    pub fn unask(&mut self, now: Timestamp) {
        self.asked = Some(Asked { action: Action::Observe, until: now });
    }

    /// Why somebody is denied or limited for it, in the words of a list's entry: its mark is at their end.
    pub fn reason(&self) -> String {
        reason(&self.title, self.detector(), self.id)
    }

    /// The rule's id, else the analyzer's name.
    pub fn detector(&self) -> &str {
        self.rule.as_deref().unwrap_or(&self.analyzer)
    }
}

/// Why somebody is denied or limited for an alert. What names it is cut, so that the alert is named whatever that is: what
/// it caused is found by its mark.
pub fn reason(title: &str, detector: &str, id: AlertId) -> String {
    format!("{} ({}), {}", cut(title, REASON_CHARS), cut(detector, REASON_CHARS), mark(id))
}

/// Of alerts that ask `now` for this of their source, the one that asks for longest, and until when.
pub fn longest(alerts: &[Alert], action: Action, now: Timestamp) -> Option<(Timestamp, &Alert)> {
    let asking = alerts.iter().filter_map(|alert| Some((alert.asks(now)?, alert)));
    let asking = asking.filter(|(asked, _)| asked.action == action).map(|(asked, alert)| (asked.until, alert));
    asking.max_by_key(|(until, _)| *until)
}

/// What an entry that an alert caused is known by.
pub fn mark(id: AlertId) -> String {
    format!("alert {id}")
}

/// Characters of a title or of a rule's name in the reason of an entry.
const REASON_CHARS: usize = 80;

/// Where an alert stands among others, 0 to 100: each severity has a quarter of the scale, and within it seven tenths are
/// confidence and three tenths how often it was seen, a thousand times and more being most.
pub fn score(severity: Severity, confidence: u8, count: u64) -> u8 {
    let base = match severity {
        Severity::Low => 0,
        Severity::Medium => 25,
        Severity::High => 50,
        Severity::Critical => 75,
    };
    let often = match count {
        0 | 1 => 0,
        2..=9 => 3,
        10..=99 => 5,
        100..=999 => 6,
        _ => 7,
    };
    let sure = u16::from(confidence.min(100)) * 17 / 100;
    base + u8::try_from(sure).unwrap_or(17) + often
}

/// Adds what is new, as long as there is room, cut and with secrets blotted out.
fn keep(kept: &mut Vec<String>, more: &[String], most: usize, chars: usize) {
    for text in more {
        if kept.len() >= most {
            return;
        }
        // Cut first, so that the work is bounded; again, because what is blotted out may be longer than it was.
        let text = cut(&redacted(&cut(text, chars)), chars);
        if !kept.contains(&text) {
            kept.push(text);
        }
    }
}

/// The first characters of a text.
pub(crate) fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests;
