//! How bad it is.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finding::NotAName;

/// How bad an alert is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, and mostly nothing.
    #[default]
    Low,
    /// Worth a look.
    Medium,
    /// An attack.
    High,
    /// An attack that may have worked, or would do the most harm.
    Critical,
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Severity {
    type Err = NotAName;

    /// In any case; others' words too: "warning" is medium, "informational" is low.
    fn from_str(text: &str) -> Result<Self, NotAName> {
        match text.to_ascii_lowercase().as_str() {
            "low" | "info" | "informational" => Ok(Self::Low),
            "medium" | "warning" => Ok(Self::Medium),
            "high" => Ok(Self::High),
            "critical" => Ok(Self::Critical),
            _ => Err(NotAName::new("severity", text, Self::ALL.map(Self::name))),
        }
    }
}

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_are_read_in_any_case_and_in_others_words() {
        for (text, severity) in [
            ("low", Severity::Low),
            ("Informational", Severity::Low),
            ("WARNING", Severity::Medium),
            ("High", Severity::High),
            ("critical", Severity::Critical),
        ] {
            assert_eq!(text.parse(), Ok(severity), "{text}");
        }
        assert_eq!("bad".parse::<Severity>().unwrap_err().allowed, ["low", "medium", "high", "critical"]);
    }
}
