//! Rules: Sigma detections and correlations, what they find, and how much they may cost.
//!
//! [`RuleSet`] judges single events and may be shared by threads; [`Correlator`] counts what it finds over time, one event
//! after the other, and says what follows.
pub mod check;
mod correlate;
mod engine;
pub mod fields;
mod form;
mod groups;
mod info;
mod judge;
mod literals;
mod load;
mod prefilter;
mod subject;
mod window;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

pub use correlate::{Caps, Correlator, Counts, RUN_BUDGET_NS, SAMPLE_EVERY, SlowRule};
pub use engine::RuleEngine;
pub use form::{Compare, Condition, Form, FormError};
pub use info::{Kind, RuleInfo};
pub use load::{Loaded, OVERRIDES, Problem, RuleFile, Weight, load};

use super::decode::Views;
use super::event::Event;
use super::finding::Response;
use super::severity::Severity;
use correlate::Counting;

/// What somebody has changed of a rule without changing its file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Override {
    /// Whether the rule is used.
    pub enabled: Option<bool>,
    /// How bad what it finds is.
    pub severity: Option<Severity>,
    /// How many make a finding of a rule that counts.
    pub threshold: Option<u64>,
    /// Within how many seconds.
    pub within_s: Option<u64>,
    /// What is done about it.
    pub response: Option<Response>,
}

/// Overrides by rules' ids.
pub type Overrides = BTreeMap<String, Override>;

/// Rules in use: what they look for, and what they say.
#[derive(Debug)]
pub struct RuleSet {
    /// Everything known of each rule: the detections first, in the engine's order.
    infos: Vec<RuleInfo>,
    engine: Box<dyn RuleEngine>,
    /// What is counted, by its number.
    countings: Vec<Counting>,
    /// For each detection, what it is counted for.
    feeds: Vec<Vec<correlate::Feed>>,
    /// For each counting, what its own findings are counted for.
    chains: Vec<Vec<correlate::Feed>>,
    /// Detections that are out of use: overridden, or found to be slow.
    disabled: Vec<AtomicBool>,
}

/// What a rule found in one event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hit {
    rule: usize,
    indicators: Vec<String>,
}

/// What rules found in one event, before anything is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    hits: Vec<Hit>,
    /// Nanoseconds for each KiB of each rule that was judged by, if they were taken.
    costs: Option<Vec<(usize, u64)>>,
}

impl Matches {
    /// Whether nothing was found and nothing measured: then nothing is to be counted.
    pub const fn is_empty(&self) -> bool {
        self.hits.is_empty() && self.costs.is_none()
    }
}

impl RuleSet {
    /// What is found in an event, by itself. Costs no state; threads may share the rules.
    pub fn matches(&self, event: &Event) -> Matches {
        let views = Views::new(event);
        let mut found = Matches::default();
        self.each_candidate(&views, |rule| {
            if self.engine.matches(rule, &views) {
                found.hits.push(self.hit(rule, &views));
            }
        });
        found
    }

    /// The same by every rule there is, whether it is worth it or not: what [`RuleSet::matches`] is held against.
    pub fn matches_all(&self, event: &Event) -> Matches {
        let views = Views::new(event);
        let used = |rule: &usize| self.disabled.get(*rule).is_some_and(|disabled| !disabled.load(Ordering::Relaxed));
        let matching = (0..self.detections()).filter(used).filter(|rule| self.engine.matches(*rule, &views));
        Matches { hits: matching.map(|rule| self.hit(rule, &views)).collect(), costs: None }
    }

    /// The same, with the time each rule takes by a clock of nanoseconds: for every [`SAMPLE_EVERY`]th event.
    pub fn timed(&self, event: &Event, clock: &dyn Fn() -> u64) -> Matches {
        let views = Views::new(event);
        // Decoding is nobody's cost: the first rule that asks would pay for all.
        views.warm();
        let mut found = Matches::default();
        let mut costs = Vec::new();
        self.each_candidate(&views, |rule| {
            let before = clock();
            let matches = self.engine.matches(rule, &views);
            costs.push((rule, check::per_kib(clock().saturating_sub(before), event)));
            if matches {
                found.hits.push(self.hit(rule, &views));
            }
        });
        found.costs = Some(costs);
        found
    }

    fn each_candidate(&self, views: &Views<'_>, mut judge: impl FnMut(usize)) {
        for (at, mut word) in self.engine.candidates(views).into_iter().enumerate() {
            while word != 0 {
                let rule = at * 64 + word.trailing_zeros() as usize;
                word &= word - 1;
                if self.disabled.get(rule).is_some_and(|disabled| !disabled.load(Ordering::Relaxed)) {
                    judge(rule);
                }
            }
        }
    }

    fn hit(&self, rule: usize, views: &Views<'_>) -> Hit {
        let alerts = self.infos.get(rule).is_some_and(|info| info.alerts);
        Hit { rule, indicators: if alerts { self.indicators(rule, views) } else { Vec::new() } }
    }

    /// What gave an event away to a detection, fit to show.
    fn indicators(&self, rule: usize, views: &Views<'_>) -> Vec<String> {
        let Some(info) = self.infos.get(rule) else { return Vec::new() };
        let found = if info.indicator_fields.is_empty() {
            self.engine.indicators(rule, views)
        } else {
            let value = |field: &String| subject::shown(views, field).map(|value| (field.clone(), value));
            info.indicator_fields.iter().filter_map(value).collect()
        };
        found.into_iter().map(|(field, part)| format!("{field}: {}", shown(&part))).collect()
    }

    /// Every rule with all that is known of it, in the order of files.
    pub fn describe(&self) -> Vec<RuleInfo> {
        let mut all = self.infos.clone();
        for (info, disabled) in all.iter_mut().zip(&self.disabled) {
            info.enabled = info.enabled && !disabled.load(Ordering::Relaxed);
            info.alerts = info.alerts || info.kind == Kind::Repeated;
        }
        all.sort_by(|a, b| (!a.shipped, &a.file, a.line).cmp(&(!b.shipped, &b.file, b.line)));
        all
    }

    /// How many rules judge single events.
    fn detections(&self) -> usize {
        self.infos.iter().take_while(|info| info.kind != Kind::Correlation).count()
    }

    /// How many rules there are.
    pub const fn len(&self) -> usize {
        self.infos.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.infos.is_empty()
    }
}

/// Characters of an indicator.
const SHOWN: usize = 200;

/// A text fit to show: short, and without characters that would do something to a terminal.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut left = SHOWN;
    for c in text.chars() {
        let hidden =
            c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let len = if hidden { c.escape_unicode().count() } else { 1 };
        if len > left {
            break;
        }
        left -= len;
        if hidden {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests;
