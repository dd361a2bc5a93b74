//! What speaks against a source, or for it, and how many points it is.
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::http::alert::AlertId;

/// The most points that one piece of evidence is, either way.
pub const MOST_POINTS: f64 = 100.0;

/// Whose doing it is. The texts are opaque: they may be addresses, or keyed hashes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The source: an IPv4 address, or the /64 of an IPv6 one.
    pub key: Arc<str>,
    /// The wider network it is in: a /24 or a /48.
    pub network: Arc<str>,
    /// The autonomous system it is in, where that is known.
    pub asn: Option<u32>,
}

/// What kind of evidence it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An alert.
    Alert,
    /// A limit was broken.
    Offence,
    /// Somebody signed in: good behaviour.
    SignIn,
    /// Nothing bad for a while: good behaviour.
    Calm,
    /// An alert was false, and its own points had been merged with others. Made by the ledger only.
    Correction,
    /// What there was no room to tell apart. Made by the ledger only.
    Merged,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Alert, Self::Offence, Self::SignIn, Self::Calm, Self::Correction, Self::Merged];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Offence => "offence",
            Self::SignIn => "sign_in",
            Self::Calm => "calm",
            Self::Correction => "correction",
            Self::Merged => "merged",
        }
    }

    /// Whether it speaks for a source.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::SignIn | Self::Calm)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Whose doing it is.
    pub who: Who,
    /// Its kind.
    pub kind: Kind,
    /// What found it: a rule, an analyzer, a limit, by name.
    pub source: Arc<str>,
    /// The alert it is of, if it is of one.
    pub alert: Option<AlertId>,
    /// Points at its time: positive ones are bad, negative ones good. Beyond [`MOST_POINTS`] they are cut.
    pub points: f64,
    /// When.
    pub at: Timestamp,
    /// Whether anybody can forge it in the source's name.
    pub spoofable: bool,
}

/// How many points evidence is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// An alert of low severity, of which the detector is sure.
    pub low: f64,
    /// One of medium severity.
    pub medium: f64,
    /// One of high severity.
    pub high: f64,
    /// One of critical severity.
    pub critical: f64,
    /// A broken limit.
    pub offence: f64,
    /// A sign-in: negative.
    pub sign_in: f64,
    /// A calm while: negative.
    pub calm: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { low: 2.0, medium: 12.0, high: 30.0, critical: 60.0, offence: 10.0, sign_in: -5.0, calm: -2.0 }
    }
}

impl Weights {
    /// Points that an alert adds when its count goes from `counted_before` to `count`: its weight times the confidence
    /// if it is new, and half of that again for each power of ten that the count reaches. Else 0.
    ///
    /// `severity`: 0 is low, 1 medium, 2 high, 3 and above critical. `confidence`: percent; above 100 it is 100.
    pub fn of_alert(&self, severity: u8, confidence: u8, count: u64, counted_before: u64) -> f64 {
        let Some(reached) = count.checked_ilog10().filter(|_| count > counted_before) else { return 0.0 };
        let weight = match severity {
            0 => self.low,
            1 => self.medium,
            2 => self.high,
            _ => self.critical,
        };
        let (is_new, powers) = match counted_before.checked_ilog10() {
            Some(before) => (0.0, reached.saturating_sub(before)),
            None => (1.0, reached),
        };
        weight * f64::from(confidence.min(100)) / 100.0 * (is_new + f64::from(powers) / 2.0)
    }

    /// Points that an alert of this count has added, all in all.
    pub fn estimate(&self, severity: u8, confidence: u8, count: u64) -> f64 {
        self.of_alert(severity, confidence, count, 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(severity: u8, confidence: u8, (before, count): (u64, u64), points: f64) {
        let found = Weights::default().of_alert(severity, confidence, count, before);
        assert!((found - points).abs() < 1e-9, "{found} instead of {points}");
    }

    #[test]
    fn a_new_alert_is_its_weight_by_how_sure_the_detector_is() {
        check(0, 100, (0, 1), 2.0);
        check(1, 50, (0, 1), 6.0);
        check(2, 100, (0, 9), 30.0);
        check(3, 200, (0, 1), 60.0);
        check(9, 100, (0, 1), 60.0);
    }

    #[test]
    fn each_power_of_ten_is_half_of_it_again_and_what_is_between_is_nothing() {
        check(2, 80, (1, 9), 0.0);
        check(2, 80, (9, 10), 12.0);
        check(2, 80, (10, 99), 0.0);
        check(2, 80, (99, 1_000), 24.0);
        check(2, 80, (0, 100), 48.0);
    }

    #[test]
    fn a_count_that_does_not_grow_adds_nothing() {
        check(3, 100, (0, 0), 0.0);
        check(3, 100, (7, 7), 0.0);
        check(3, 100, (1_000, 5), 0.0);
    }

    #[test]
    fn kinds_are_stored_by_the_names_they_are_shown_by() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
    }

    proptest! {
        #[test]
        fn counts_in_steps_or_at_once_are_the_same_points(
            severity in 0..4u8,
            confidence in 0..=100u8,
            mut counts in proptest::collection::vec(1..10_000_000u64, 1..12),
        ) {
            counts.sort_unstable();
            let weights = Weights::default();
            let mut before = 0;
            let mut points = 0.0;
            for count in counts {
                points += weights.of_alert(severity, confidence, count, before);
                before = count;
            }
            prop_assert!((points - weights.estimate(severity, confidence, before)).abs() < 1e-9);
        }
    }
}
