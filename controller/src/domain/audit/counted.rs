//! What a report says.
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Class;

/// What the country of a source is called that has none.
pub const UNKNOWN_COUNTRY: &str = "unknown";

/// What happened in a span of time. Records are counted as often as they say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// Events in all.
    pub total_events: u64,
    /// Of these, by class.
    pub by_class: ByClass,
    /// Users that are named.
    pub unique_users: u64,
    /// Sources that are named.
    pub unique_sources: u64,
    /// Failed sign-ins by source and user, most first.
    pub failed_sign_ins: Vec<Row>,
    /// Denials by source and user, most first.
    pub denials: Vec<Row>,
    /// Broken limits by source and user, most first.
    pub rate_limits: Vec<Row>,
    /// Sources, the heaviest first; of two as heavy, the one with more events.
    pub top_sources: Vec<SourceRow>,
    /// Users, most events first. A failed sign-in counts twice here.
    pub user_activity: Vec<UserRow>,
    /// All countries, most events first.
    pub geographic: Vec<CountryRow>,
}

impl Counted {
    /// How bad it is.
    pub fn threat_level(&self) -> ThreatLevel {
        ThreatLevel::of(self.by_class.failed_sign_in, self.by_class.denial, self.by_class.rate_limit)
    }
}

/// Events by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByClass {
    /// Of [`Class::SignIn`].
    pub sign_in: u64,
    /// Of [`Class::FailedSignIn`].
    pub failed_sign_in: u64,
    /// Of [`Class::Denial`].
    pub denial: u64,
    /// Of [`Class::RateLimit`].
    pub rate_limit: u64,
    /// Of [`Class::Anomaly`].
    pub anomaly: u64,
    /// Of [`Class::Request`].
    pub request: u64,
    /// Of [`Class::Message`].
    pub message: u64,
    /// Of [`Class::Other`].
    pub other: u64,
}

impl ByClass {
    /// Those of a class.
    pub const fn of(&self, class: Class) -> u64 {
        match class {
            Class::SignIn => self.sign_in,
            Class::FailedSignIn => self.failed_sign_in,
            Class::Denial => self.denial,
            Class::RateLimit => self.rate_limit,
            Class::Anomaly => self.anomaly,
            Class::Request => self.request,
            Class::Message => self.message,
            Class::Other => self.other,
        }
    }

    pub(super) const fn of_mut(&mut self, class: Class) -> &mut u64 {
        match class {
            Class::SignIn => &mut self.sign_in,
            Class::FailedSignIn => &mut self.failed_sign_in,
            Class::Denial => &mut self.denial,
            Class::RateLimit => &mut self.rate_limit,
            Class::Anomaly => &mut self.anomaly,
            Class::Request => &mut self.request,
            Class::Message => &mut self.message,
            Class::Other => &mut self.other,
        }
    }
}

/// What one user did from one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditRow)]
pub struct Row {
    /// From where.
    pub source: Option<String>,
    /// Who.
    pub user: Option<String>,
    /// What was asked of last.
    pub endpoint: Option<String>,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
}

/// What came from one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRow {
    /// From where.
    pub source: String,
    /// Its country, as last known.
    pub country: Option<String>,
    /// Failed sign-ins.
    pub failed_sign_ins: u64,
    /// Denials.
    pub denials: u64,
    /// Broken limits.
    pub rate_limits: u64,
    /// What was odd.
    pub anomalies: u64,
    /// Events of every class.
    pub events: u64,
    /// What they weigh: as for the threat level.
    pub weight: f64,
    /// The first event.
    pub first: Timestamp,
    /// The last event.
    pub last: Timestamp,
}

/// What one user did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserRow {
    /// Who.
    pub user: String,
    /// Events of every class.
    pub events: u64,
    /// Failed sign-ins.
    pub failed_sign_ins: u64,
    /// Sign-ins.
    pub sign_ins: u64,
    /// Denials.
    pub denials: u64,
    /// Sources they came from.
    pub sources: u64,
    /// The first event.
    pub first: Timestamp,
    /// The last event.
    pub last: Timestamp,
}

/// What came from one country.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountryRow {
    /// Two letters, or [`UNKNOWN_COUNTRY`].
    pub country: String,
    /// Events of every class.
    pub events: u64,
    /// Sources they came from.
    pub sources: u64,
    /// Failed sign-ins.
    pub failed_sign_ins: u64,
    /// Denials.
    pub denials: u64,
    /// Broken limits.
    pub rate_limits: u64,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ThreatLevel {
    /// Less than 10 in weight.
    Low,
    /// 10 and more.
    Medium,
    /// 20 and more.
    High,
    /// 50 and more.
    Critical,
}

impl ThreatLevel {
    /// Of what happened: a failed sign-in weighs 0.3, a denial 0.2, a broken limit 0.1.
    pub const fn of(failed_sign_ins: u64, denials: u64, rate_limits: u64) -> Self {
        match weight(failed_sign_ins, denials, rate_limits) {
            0..100 => Self::Low,
            100..200 => Self::Medium,
            200..500 => Self::High,
            500.. => Self::Critical,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }
}

impl fmt::Display for ThreatLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What it weighs, in tenths: whole numbers, so that nothing is lost.
pub(super) const fn weight(failed_sign_ins: u64, denials: u64, rate_limits: u64) -> u64 {
    failed_sign_ins.saturating_mul(3).saturating_add(denials.saturating_mul(2)).saturating_add(rate_limits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels_begin_where_they_say() {
        use ThreatLevel::{Critical, High, Low, Medium};
        for (failed, denials, limits, expected) in [
            (0, 0, 0, Low),
            (33, 0, 0, Low),
            (34, 0, 0, Medium),
            (0, 49, 1, Low),
            (0, 50, 0, Medium),
            (30, 5, 0, Medium),
            (0, 0, 99, Low),
            (0, 0, 100, Medium),
            (0, 0, 199, Medium),
            (66, 1, 0, High),
            (0, 0, 200, High),
            (0, 0, 499, High),
            (166, 1, 0, Critical),
            (0, 0, 500, Critical),
            (u64::MAX, u64::MAX, u64::MAX, Critical),
        ] {
            assert_eq!(ThreatLevel::of(failed, denials, limits), expected, "{failed} {denials} {limits}");
        }
    }

    #[test]
    fn levels_have_one_name() {
        for level in [ThreatLevel::Low, ThreatLevel::Medium, ThreatLevel::High, ThreatLevel::Critical] {
            assert_eq!(serde_json::to_string(&level).unwrap(), format!("\"{level}\""));
        }
        for class in Class::ALL {
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("{:?}", class.name()));
            assert_eq!(Class::named(class.name()), Some(class));
        }
        assert_eq!(Class::named("login"), None);
    }

    proptest! {
        #[test]
        fn more_is_never_less_bad(counts in any::<[u32; 3]>(), more in any::<[u32; 3]>()) {
            let [failed, denials, limits] = counts.map(u64::from);
            let [more_failed, more_denials, more_limits] = more.map(u64::from);
            let before = ThreatLevel::of(failed, denials, limits);
            prop_assert!(before <= ThreatLevel::of(failed + more_failed, denials + more_denials, limits + more_limits));
        }
    }
}
