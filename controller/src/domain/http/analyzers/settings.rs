//! What can be set about the analyzers: plain values with their defaults, one table of names, units and allowed ranges
//! for the configuration, stored rules, the API's list and the documentation.
mod counted;
mod learned;
mod measured;

use super::super::finding::NotAName;
use super::parameter::{Field, Given, Parameter};
use super::statuses::NotAStatus;

pub use counted::{BruteForce, PrivilegeEscalation, RateLimitAbuse, UnauthorizedAccess};
pub use learned::{Anomaly, Behaviour};
pub use measured::{ErrorRate, ResponseTime, UsageSpike};

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

/// All analyzers' settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// `[analyzers.response_time]`
    pub response_time: ResponseTime,
    /// `[analyzers.error_rate]`
    pub error_rate: ErrorRate,
    /// `[analyzers.usage_spike]`
    pub usage_spike: UsageSpike,
    /// `[analyzers.unauthorized_access]`
    pub unauthorized_access: UnauthorizedAccess,
    /// `[analyzers.brute_force]`
    pub brute_force: BruteForce,
    /// `[analyzers.privilege_escalation]`
    pub privilege_escalation: PrivilegeEscalation,
    /// `[analyzers.rate_limit_abuse]`
    pub rate_limit_abuse: RateLimitAbuse,
    /// `[analyzers.behaviour]`
    pub behaviour: Behaviour,
    /// `[analyzers.anomaly]`
    pub anomaly: Anomaly,
}

/// The analyzers' names, in the order they are listed in.
pub const NAMES: [&str; 9] = [
    "response_time",
    "error_rate",
    "usage_spike",
    "unauthorized_access",
    "brute_force",
    "privilege_escalation",
    "rate_limit_abuse",
    "behaviour",
    "anomaly",
];

/// Why a setting is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// There is no such analyzer.
    #[error(transparent)]
    NoAnalyzer(NotAName),
    /// The analyzer has no such parameter.
    #[error("analyzers.{analyzer}: {name}")]
    NoParameter {
        /// The analyzer.
        analyzer: &'static str,
        /// What it was called, and what there is.
        name: NotAName,
    },
    /// Another kind of value is wanted.
    #[error("{key}: {wanted} is wanted")]
    Kind {
        /// The key.
        key: String,
        /// What is wanted, with an example.
        wanted: &'static str,
    },
    /// A number outside of its range.
    #[error("{key}: {found} is out of range; it may be from {least} to {most}")]
    Range {
        /// The key.
        key: String,
        /// The number.
        found: String,
        /// The least it may be.
        least: String,
        /// The most it may be.
        most: String,
    },
    /// The critical level does not lie above the warning level.
    #[error("{key}: {critical} is not above the warning level of {warning}")]
    Levels {
        /// The key of the critical level.
        key: String,
        /// The warning level.
        warning: f64,
        /// The critical level.
        critical: f64,
    },
    /// No set of statuses.
    #[error("{key}: {problem}")]
    Status {
        /// The key.
        key: String,
        /// The word.
        problem: NotAStatus,
    },
    /// A list that is too long or has a word that is empty or too long.
    #[error("{key}: at most {most} words of 1 to {longest} bytes are allowed")]
    Words {
        /// The key.
        key: String,
        /// Most words.
        most: usize,
        /// Bytes of the longest.
        longest: usize,
    },
}

impl Settings {
    /// What is wrong with them; empty: nothing.
    pub fn validate(&self) -> Vec<SettingError> {
        let mut copy = self.clone();
        let mut errors = Vec::new();
        for name in NAMES {
            for field in copy.fields(name) {
                errors.extend(field.validate(&format!("analyzers.{name}.{}", field.key)).err());
            }
        }
        errors.extend(self.levels());
        errors
    }

    /// Sets one parameter by the names that configuration and stored rules use. What is refused changes nothing.
    ///
    /// Whether the levels lie in order is for [`Self::validate`], when all are set.
    ///
    /// # Errors
    /// [`SettingError`] with the nearest known name, the kind of value wanted, or the range.
    pub fn set(&mut self, analyzer: &str, key: &str, value: &Given) -> Result<(), SettingError> {
        let analyzer = analyzer_named(analyzer).map_err(SettingError::NoAnalyzer)?;
        let mut fields = self.fields(analyzer);
        let Some(field) = fields.iter_mut().find(|field| field.key == key) else {
            let name = NotAName::new("parameter", key, fields.iter().map(|field| field.key));
            return Err(SettingError::NoParameter { analyzer, name });
        };
        field.set(&format!("analyzers.{analyzer}.{key}"), value)
    }

    /// The parameters of one analyzer with their values and defaults; none of one that is not.
    pub fn parameters(&self, analyzer: &str) -> Vec<Parameter> {
        let (mut copy, mut defaults) = (self.clone(), Self::default());
        let fields = copy.fields(analyzer).into_iter().zip(defaults.fields(analyzer));
        fields.map(|(field, default)| field.describe(&default)).collect()
    }

    /// The parameters of one analyzer as a configuration file gives them: name, value, and whether it is a whole number.
    pub fn given(&self, analyzer: &str) -> Vec<(&'static str, Given, bool)> {
        let mut copy = self.clone();
        copy.fields(analyzer).iter().map(|field| (field.key, field.given(), field.is_whole())).collect()
    }

    fn levels(&self) -> impl Iterator<Item = SettingError> {
        let pairs = [
            ("response_time.critical", self.response_time.warning_s, self.response_time.critical_s),
            ("error_rate.critical", self.error_rate.warning, self.error_rate.critical),
            ("usage_spike.critical", self.usage_spike.warning, self.usage_spike.critical),
        ];
        let is_wrong = |(_, warning, critical): &(&str, f64, f64)| critical <= warning;
        pairs.into_iter().filter(is_wrong).map(|(key, warning, critical)| SettingError::Levels {
            key: format!("analyzers.{key}"),
            warning,
            critical,
        })
    }

    pub(super) fn fields(&mut self, analyzer: &str) -> Vec<Field<'_>> {
        match analyzer {
            "response_time" => self.response_time.fields(),
            "error_rate" => self.error_rate.fields(),
            "usage_spike" => self.usage_spike.fields(),
            "unauthorized_access" => self.unauthorized_access.fields(),
            "brute_force" => self.brute_force.fields(),
            "privilege_escalation" => self.privilege_escalation.fields(),
            "rate_limit_abuse" => self.rate_limit_abuse.fields(),
            "behaviour" => self.behaviour.fields(),
            "anomaly" => self.anomaly.fields(),
            _ => Vec::new(),
        }
    }
}

/// The analyzer of this name.
///
/// # Errors
/// [`NotAName`], which knows the nearest.
pub fn analyzer_named(name: &str) -> Result<&'static str, NotAName> {
    NAMES.into_iter().find(|known| *known == name).ok_or_else(|| NotAName::new("analyzer", name, NAMES))
}

#[cfg(test)]
mod tests;
