//! Rules at work, and analyzers that rules use.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::adapters::clock;
use crate::domain::http::analyzers::Analyzers;
use crate::domain::http::analyzers::settings::Settings;
use crate::domain::http::event::Event;
use crate::domain::http::finding::{Detector, Finding};
use crate::domain::http::rules::{Matches, RuleSet, SAMPLE_EVERY};
use crate::domain::http::severity::Severity;

/// What rules see in events, each alone.
#[derive(Debug)]
pub(super) struct Matcher {
    set: Arc<RuleSet>,
    seen: AtomicU64,
}

impl Matcher {
    pub(super) fn new(set: Arc<RuleSet>) -> Self {
        Self { set, seen: AtomicU64::new(0) }
    }

    /// What they see in one; some are timed.
    pub(super) fn matches(&self, event: &Event) -> Matches {
        if self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE_EVERY) {
            return self.set.timed(event, &clock::thread_cpu_ns);
        }
        self.set.matches(event)
    }
}

/// A rule that uses an analyzer with settings of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Own {
    pub(super) id: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) description: Arc<str>,
    pub(super) severity: Option<Severity>,
    /// The hunt that its alerts belong to.
    pub(super) hunt_id: Option<String>,
    pub(super) settings: Settings,
}

impl Own {
    /// What the analyzer found, as the rule's.
    fn said(&self, finding: Finding) -> Finding {
        Finding {
            detector: Detector::Rule(Arc::clone(&self.id)),
            title: Arc::clone(&self.name),
            description: if self.description.is_empty() { finding.description } else { Arc::clone(&self.description) },
            severity: self.severity.unwrap_or(finding.severity),
            ..finding
        }
    }
}

/// Such rules at work.
#[derive(Debug, Default)]
pub(super) struct OwnAnalyzers(Vec<(Own, Analyzers)>);

impl OwnAnalyzers {
    /// Others in their place; what those that stay have learned stays.
    pub(super) fn adopt(&mut self, own: &[Own]) {
        let mut before = std::mem::take(&mut self.0);
        for own in own {
            let known = before.iter().position(|(old, _)| old == own);
            let analyzers = known.map(|at| before.swap_remove(at).1);
            self.0.push((own.clone(), analyzers.unwrap_or_else(|| Analyzers::new(&own.settings))));
        }
    }

    /// The hunt that alerts of a rule belong to.
    pub(super) fn hunt_of(&self, rule: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| *own.id == *rule)?.0.hunt_id.as_deref()
    }

    /// What stands out in an event.
    pub(super) fn observe(&mut self, event: &Event) -> Vec<Finding> {
        let found = self.0.iter_mut().flat_map(|(own, analyzers)| {
            let found = analyzers.observe(event);
            found.into_iter().map(|finding| own.said(finding))
        });
        found.collect()
    }

    /// What ended by time.
    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<Finding> {
        let found = self.0.iter_mut().flat_map(|(own, analyzers)| {
            let found = analyzers.tick(now);
            found.into_iter().map(|finding| own.said(finding))
        });
        found.collect()
    }
}
