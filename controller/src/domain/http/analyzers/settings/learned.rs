//! Settings of what learns.
use super::super::parameter::{Field, Slot};
use super::{HOUR, MINUTE};
use crate::domain::http::finding::Response;

/// `behaviour`.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// Whether it runs.
    pub enabled: bool,
    /// What an unusual hour counts.
    pub hour: f64,
    /// What a country new for the user counts.
    pub country: f64,
    /// What an unusual mix of endpoints counts, at the most.
    pub endpoints: f64,
    /// The sum above which it alerts.
    pub threshold: f64,
    /// Days with a user's activity that are learned before anything is judged.
    pub history_days: u32,
    /// Fewest requests in an hour of which the mix is judged.
    pub minimum: u32,
    /// What is done.
    pub response: Response,
    /// Most users remembered.
    pub max_keys: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            enabled: true,
            hour: 0.3,
            country: 0.4,
            endpoints: 0.3,
            threshold: 0.7,
            history_days: 7,
            minimum: 20,
            response: Response::Notify,
            max_keys: 16_384,
        }
    }
}

impl Behaviour {
    pub(super) fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::enabled(&mut self.enabled),
            Field::new("hour", "what an unusual hour counts", "", Slot::Number(&mut self.hour, 0.0, 1.0)),
            Field::new(
                "country",
                "what a country new for the user counts",
                "",
                Slot::Number(&mut self.country, 0.0, 1.0),
            ),
            Field::new(
                "endpoints",
                "what an unusual mix of endpoints counts at the most",
                "",
                Slot::Number(&mut self.endpoints, 0.0, 1.0),
            ),
            Field::new("threshold", "sum above which it alerts", "", Slot::Number(&mut self.threshold, 0.01, 1.0)),
            Field::new(
                "history_days",
                "days of a user's activity that are learned before anything is judged",
                "",
                Slot::Count(&mut self.history_days, 3, 90),
            ),
            Field::minimum(&mut self.minimum),
            Field::response(&mut self.response),
            Field::max_keys("users", &mut self.max_keys),
        ]
    }
}

/// `anomaly`.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// Whether it runs.
    pub enabled: bool,
    /// The score above which it alerts.
    pub threshold: f64,
    /// Shortest span of a source's requests that is judged, in seconds.
    pub window_s: u64,
    /// Fewest requests that are judged.
    pub minimum: u32,
    /// How often it is trained, in seconds.
    pub retrain_s: u64,
    /// Windows that are learned before anything is judged.
    pub history: u32,
    /// What is done.
    pub response: Response,
    /// Most sources remembered.
    pub max_keys: u32,
}

impl Default for Anomaly {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold: 0.7,
            window_s: 5 * MINUTE,
            minimum: 20,
            retrain_s: HOUR,
            history: 500,
            response: Response::Observe,
            max_keys: 65_536,
        }
    }
}

impl Anomaly {
    pub(super) fn fields(&mut self) -> Vec<Field<'_>> {
        vec![
            Field::enabled(&mut self.enabled),
            Field::new("threshold", "score above which it alerts", "", Slot::Number(&mut self.threshold, 0.01, 0.999)),
            Field::window(&mut self.window_s),
            Field::minimum(&mut self.minimum),
            Field::new(
                "retrain",
                "how often it is trained on the past",
                "s",
                Slot::Seconds(&mut self.retrain_s, MINUTE, 24 * HOUR),
            ),
            Field::new(
                "history",
                "windows of sources, the later ones of a source counting less, that are learned before anything is judged",
                "",
                Slot::Count(&mut self.history, 100, 10_000_000),
            ),
            Field::response(&mut self.response),
            Field::max_keys("sources", &mut self.max_keys),
        ]
    }
}
