//! Settings of what measures: times, shares, totals.
use super::super::parameter::{Field, Slot};
use super::super::statuses::Statuses;
use super::{HOUR, MINUTE};
use crate::domain::http::finding::Response;

/// `response_time`.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseTime {
    /// Whether it runs.
    pub enabled: bool,
    /// The 95th percentile above which it warns, in seconds.
    pub warning_s: f64,
    /// The 95th percentile above which it is critical, in seconds.
    pub critical_s: f64,
    /// Length of the window, in seconds.
    pub window_s: u64,
    /// Fewest answers that are judged.
    pub minimum: u32,
    /// What is done.
    pub response: Response,
    /// Most endpoints remembered.
    pub max_keys: u32,
}

impl Default for ResponseTime {
    fn default() -> Self {
        Self {
            enabled: true,
            warning_s: 1.0,
            critical_s: 2.0,
            window_s: 5 * MINUTE,
            minimum: 20,
            response: Response::Notify,
            max_keys: 4_096,
        }
    }
}

impl ResponseTime {
    pub(super) fn fields(&mut self) -> Vec<Field<'_>> {
        let seconds = "95th percentile of the answers' times above which it is";
        vec![
            Field::enabled(&mut self.enabled),
            Field::new("warning", seconds, "s", Slot::Number(&mut self.warning_s, 0.001, 3_600.0)),
            Field::new("critical", seconds, "s", Slot::Number(&mut self.critical_s, 0.001, 3_600.0)),
            Field::window(&mut self.window_s),
            Field::minimum(&mut self.minimum),
            Field::response(&mut self.response),
            Field::max_keys("endpoints", &mut self.max_keys),
        ]
    }
}

/// `error_rate`.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorRate {
    /// Whether it runs.
    pub enabled: bool,
    /// The share of errors above which it warns.
    pub warning: f64,
    /// The share of errors above which it is critical.
    pub critical: f64,
    /// Length of the window, in seconds.
    pub window_s: u64,
    /// Fewest requests that are judged.
    pub minimum: u32,
    /// The statuses that are errors.
    pub statuses: Statuses,
    /// What is done.
    pub response: Response,
    /// Most keys and sources remembered.
    pub max_keys: u32,
}

impl Default for ErrorRate {
    fn default() -> Self {
        // Being refused, not finding and asking too often have watchers of their own; 410 and 416 are answers that
        // browsers and download tools get in the ordinary way, and 499 is the client's own hanging up.
        let errors = ["4xx", "5xx", "!401", "!403", "!404", "!410", "!416", "!429", "!499"];
        Self {
            enabled: true,
            warning: 0.05,
            critical: 0.10,
            window_s: HOUR,
            minimum: 20,
            statuses: Statuses::parse(&errors).unwrap_or_else(|_| Statuses::none()),
            response: Response::Notify,
            max_keys: 65_536,
        }
    }
}

impl ErrorRate {
    pub(super) fn fields(&mut self) -> Vec<Field<'_>> {
        let share = "share of requests answered with an error above which it is";
        vec![
            Field::enabled(&mut self.enabled),
            Field::new("warning", share, "", Slot::Number(&mut self.warning, 0.0, 1.0)),
            Field::new("critical", share, "", Slot::Number(&mut self.critical, 0.0, 1.0)),
            Field::window(&mut self.window_s),
            Field::minimum(&mut self.minimum),
            Field::new("statuses", "statuses that are errors", "", Slot::Statuses(&mut self.statuses)),
            Field::response(&mut self.response),
            Field::max_keys("API keys and sources", &mut self.max_keys),
        ]
    }
}

/// `usage_spike`.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageSpike {
    /// Whether it runs.
    pub enabled: bool,
    /// How many times the daily mean warns.
    pub warning: f64,
    /// How many times the daily mean is critical.
    pub critical: f64,
    /// Fewest requests today that are judged, of an API key or a user.
    pub minimum: u32,
    /// Fewest requests today that are judged, of a bare address.
    pub minimum_source: u32,
    /// Of the seven days before today, fewest with requests.
    pub history_days: u32,
    /// What is done.
    pub response: Response,
    /// Most keys, users and sources remembered.
    pub max_keys: u32,
}

impl Default for UsageSpike {
    fn default() -> Self {
        Self {
            enabled: true,
            warning: 2.0,
            critical: 3.0,
            minimum: 20,
            minimum_source: 100,
            history_days: 3,
            response: Response::Notify,
            max_keys: 65_536,
        }
    }
}

impl UsageSpike {
    pub(super) fn fields(&mut self) -> Vec<Field<'_>> {
        let times = "requests so far today, in daily means of the seven days before, above which it is";
        vec![
            Field::enabled(&mut self.enabled),
            Field::new("warning", times, "", Slot::Number(&mut self.warning, 1.0, 1_000.0)),
            Field::new("critical", times, "", Slot::Number(&mut self.critical, 1.0, 1_000.0)),
            Field::minimum(&mut self.minimum),
            Field::new(
                "minimum_source",
                "fewest requests today that are judged where nothing but an address is known",
                "",
                Slot::Count(&mut self.minimum_source, 1, 1_000_000),
            ),
            Field::new(
                "history_days",
                "days with requests, of the seven before today, without which nothing is judged",
                "",
                Slot::Count(&mut self.history_days, 1, 7),
            ),
            Field::response(&mut self.response),
            Field::max_keys("API keys, users and sources", &mut self.max_keys),
        ]
    }
}
