//! Analyzers: what watches events beside the rules, by counting and by learning.
//!
//! Each is a file of its own. What they remember is kept in tables of fixed size under keys that nobody can foresee, and
//! every time is an event's own: events may come out of order, and one whose clock is wrong by years moves nothing but its
//! own part of a window.
mod anomaly;
mod behaviour;
mod brute_force;
mod clock;
mod counting;
mod error_rate;
mod keys;
pub mod parameter;
mod privilege_escalation;
mod rate_limit_abuse;
mod response_time;
mod saying;
pub mod settings;
pub mod statuses;
mod table;
mod unauthorized_access;
mod usage_spike;
mod window;

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::event::Event;
use super::finding::Finding;
use anomaly::Anomaly;
use behaviour::Behaviour;
use brute_force::BruteForce;
use counting::Counter;
use error_rate::ErrorRate;
use keys::{Seed, Seen};
use parameter::Parameter;
use privilege_escalation::PrivilegeEscalation;
use rate_limit_abuse::RateLimitAbuse;
use response_time::ResponseTime;
use settings::{NAMES, Settings};
use table::{Kept, Table};
use unauthorized_access::UnauthorizedAccess;
use usage_spike::UsageSpike;

/// The analyzers that run.
#[derive(Debug)]
pub struct Analyzers {
    seed: Seed,
    response_time: Option<ResponseTime>,
    error_rate: Option<ErrorRate>,
    usage_spike: Option<UsageSpike>,
    unauthorized_access: Option<UnauthorizedAccess>,
    brute_force: Option<BruteForce>,
    privilege_escalation: Option<PrivilegeEscalation>,
    rate_limit_abuse: Option<RateLimitAbuse>,
    behaviour: Option<Behaviour>,
    anomaly: Option<Anomaly>,
}

/// An analyzer, for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Whether it runs.
    pub enabled: bool,
    /// What can be set.
    pub parameters: Vec<Parameter>,
}

/// What an analyzer remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Its name.
    pub name: &'static str,
    /// Keys it remembers.
    pub keys: usize,
    /// Keys it forgot for want of room, since the start.
    pub forgotten: u64,
    /// Bytes it takes.
    pub bytes: usize,
}

impl Analyzers {
    /// Those that are enabled; they have seen nothing. The settings are valid: see [`Settings::validate`].
    pub fn new(settings: &Settings) -> Self {
        Self::with(settings, Seed::random())
    }

    /// The same with keys that follow from a number, so that a run can be repeated.
    pub fn seeded(settings: &Settings, seed: u64) -> Self {
        Self::with(settings, Seed::fixed(seed))
    }

    fn with(settings: &Settings, seed: Seed) -> Self {
        let login_paths = &settings.brute_force.login_paths;
        let (response_time, error_rate) = (&settings.response_time, &settings.error_rate);
        let (usage_spike, unauthorized_access) = (&settings.usage_spike, &settings.unauthorized_access);
        let (brute_force, privilege_escalation) = (&settings.brute_force, &settings.privilege_escalation);
        let (rate_limit_abuse, behaviour) = (&settings.rate_limit_abuse, &settings.behaviour);
        let anomaly = &settings.anomaly;
        Self {
            seed,
            response_time: response_time.enabled.then(|| ResponseTime::new(response_time)),
            error_rate: error_rate.enabled.then(|| ErrorRate::new(error_rate)),
            usage_spike: usage_spike.enabled.then(|| UsageSpike::new(usage_spike)),
            unauthorized_access: unauthorized_access.enabled.then(|| UnauthorizedAccess::new(unauthorized_access)),
            brute_force: brute_force.enabled.then(|| BruteForce::new(brute_force)),
            privilege_escalation: privilege_escalation
                .enabled
                .then(|| PrivilegeEscalation::new(privilege_escalation, login_paths)),
            rate_limit_abuse: rate_limit_abuse.enabled.then(|| RateLimitAbuse::new(rate_limit_abuse)),
            behaviour: behaviour.enabled.then(|| Behaviour::new(behaviour)),
            anomaly: anomaly.enabled.then(|| Anomaly::new(anomaly)),
        }
    }

    /// What stands out, given what came before.
    pub fn observe(&mut self, event: &Event) -> Vec<Finding> {
        let mut found = Vec::new();
        // Nobody's count or habits are moved by what anybody may have written.
        if event.is_forgeable() {
            return found;
        }
        let seen = Seen::new(&self.seed, event);
        if let Some(analyzer) = &mut self.response_time {
            analyzer.observe(&seen, &mut found);
        }
        if let Some(analyzer) = &mut self.error_rate {
            analyzer.observe(&seen, &mut found);
        }
        if let Some(analyzer) = &mut self.usage_spike {
            analyzer.observe(&seen, &mut found);
        }
        if let Some(analyzer) = &mut self.unauthorized_access {
            analyzer.observe(&seen, &mut found);
        }
        if let Some(analyzer) = &mut self.brute_force {
            analyzer.observe(&seen, &mut found);
        }
        if let Some(analyzer) = &mut self.privilege_escalation {
            analyzer.observe(&seen, &mut found);
        }
        if let Some(analyzer) = &mut self.rate_limit_abuse {
            analyzer.observe(&seen, &mut found);
        }
        if let Some(analyzer) = &mut self.behaviour {
            analyzer.observe(&seen, &mut found);
        }
        if let Some(analyzer) = &mut self.anomaly {
            analyzer.observe(&seen, &mut found);
        }
        found
    }

    /// Judges what ended by time: sources that fell silent, after which no event of theirs would. To be called once a minute
    /// or so; more often costs nothing.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(analyzer) = &mut self.anomaly {
            analyzer.tick(now, &mut found);
        }
        found
    }

    /// Judges what is still open, where no more events will come: at the end of a file. What was too little to learn from as
    /// it came is learned from now.
    pub fn finish(&mut self) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(analyzer) = &mut self.anomaly {
            analyzer.finish(&mut found);
        }
        found
    }

    /// The sources that stood out most in the last day of events, with the scores that `anomaly` gave them, the highest first.
    pub fn ranking(&self, most: usize) -> Vec<(IpAddr, f64)> {
        self.anomaly.as_ref().map(|anomaly| anomaly.ranking(most)).unwrap_or_default()
    }

    /// What each that runs remembers.
    pub fn sizes(&self) -> Vec<Size> {
        fn of<V: Kept>(name: &'static str, table: &Table<V>, more: usize) -> Size {
            Size { name, keys: table.len(), forgotten: table.evicted(), bytes: table.bytes() + more }
        }
        fn both(name: &'static str, counters: [&Counter; 2]) -> Size {
            let [(keys, forgotten, bytes), (more, too, also)] = counters.map(Counter::size);
            Size { name, keys: keys + more, forgotten: forgotten.saturating_add(too), bytes: bytes + also }
        }
        let lines = saying::Lines::most_bytes();
        let sizes = [
            self.response_time.as_ref().map(|analyzer| of("response_time", &analyzer.table, lines)),
            self.error_rate.as_ref().map(|analyzer| of("error_rate", &analyzer.table, lines)),
            self.usage_spike.as_ref().map(|analyzer| of("usage_spike", &analyzer.table, 0)),
            self.unauthorized_access.as_ref().map(|analyzer| {
                let (keys, forgotten, bytes) = analyzer.counter.size();
                Size { name: "unauthorized_access", keys, forgotten, bytes }
            }),
            self.brute_force.as_ref().map(|analyzer| both("brute_force", [&analyzer.sources, &analyzer.users])),
            self.privilege_escalation
                .as_ref()
                .map(|analyzer| both("privilege_escalation", [&analyzer.sources, &analyzer.users])),
            self.rate_limit_abuse
                .as_ref()
                .map(|analyzer| both("rate_limit_abuse", [&analyzer.sources, &analyzer.owners])),
            self.behaviour.as_ref().map(|analyzer| of("behaviour", &analyzer.table, 0)),
            self.anomaly.as_ref().map(|analyzer| of("anomaly", &analyzer.table, analyzer.model_bytes())),
        ];
        sizes.into_iter().flatten().collect()
    }
}

/// What is found in stored events, in their order, by these analyzers.
pub fn run<E: std::borrow::Borrow<Event>>(
    analyzers: &mut Analyzers,
    events: impl IntoIterator<Item = E>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for event in events {
        found.extend(analyzers.observe(event.borrow()));
    }
    found.extend(analyzers.finish());
    found
}

/// All analyzers with what can be set about them.
pub fn describe(settings: &Settings) -> Vec<Description> {
    let describe = |name| {
        let parameters = settings.parameters(name);
        let is_on = |parameter: &Parameter| parameter.name == "enabled" && parameter.value == "true";
        let enabled = parameters.iter().any(is_on);
        Description { name, description: about(name), enabled, parameters }
    };
    NAMES.into_iter().map(describe).collect()
}

/// What an analyzer does.
fn about(name: &str) -> &'static str {
    match name {
        "response_time" => "answers of an endpoint take long: more than one in twenty above a level",
        "error_rate" => "many requests of an API key, or else a source, are answered with an error",
        "usage_spike" => {
            "an API key, or else a user, or else a source has asked for several times as much today as on a mean day of the \
             seven before"
        }
        "unauthorized_access" => "a source is answered with 401 again and again",
        "brute_force" => "sign-ins of a source, or to one user, fail again and again",
        "privilege_escalation" => "a user or a source is denied again and again what it may not do",
        "rate_limit_abuse" => "a source, an API key or a user breaks limits again and again",
        "behaviour" => "a user does not act as they use to: hour, country, mix of endpoints",
        "anomaly" => {
            "a source does not act as sources use to: rate, errors, distinct paths, agent changes, timing regularity, bytes"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests;
