//! Who judges the events of files, and remembers what came of them.
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use crate::adapters::{clock, random};
use crate::config::Detection;
use crate::domain::http::alert::{Alert, AlertId};
use crate::domain::http::analyzers::Analyzers;
use crate::domain::http::book::{Book, Change, Folding};
use crate::domain::http::detector::{Detector, Moment};
use crate::domain::http::event::Event;
use crate::domain::http::respond::{Responder, Responses};
use crate::domain::http::rules::{Caps, Correlator, Matches, RuleSet, SAMPLE_EVERY, SlowRule};

/// Alerts that are open to repeats at once: twice those of the daemon, as nobody waits for them.
const OPEN: usize = 20_000;
/// Alerts that are listed.
const LISTED: usize = 20_000;
/// Sources that are told apart when they are counted.
const SOURCES: usize = 1 << 20;
/// Events after which changed alerts are taken out of the book, and analyzers look for what ended by time.
const TAKEN_EVERY: u64 = 1_024;
/// The time of a file that goes by between two looks of analyzers.
const TICK: SignedDuration = SignedDuration::from_secs(60);

/// What rules see in events, each alone: for several threads.
pub(crate) struct Matcher {
    rules: Option<Arc<RuleSet>>,
    seen: AtomicU64,
}

impl Matcher {
    /// What they see in one; some are timed, so that a slow rule is found.
    pub(crate) fn matches(&self, event: &Event) -> Option<Matches> {
        let rules = self.rules.as_ref()?;
        if self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE_EVERY) {
            return Some(rules.timed(event, &clock::thread_cpu_ns));
        }
        Some(rules.matches(event))
    }
}

/// Judges events in their order.
pub(crate) struct Judge<'a> {
    rules: Option<Arc<RuleSet>>,
    detector: Detector,
    guard: &'a (dyn Fn(IpNet) -> Option<String> + Sync),
    kept: Kept,
    sources: HashSet<u64>,
    hasher: RandomState,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    events: u64,
    ticked: Option<Timestamp>,
}

/// What came of them.
pub(crate) struct Observed {
    pub(crate) alerts: Vec<Alert>,
    pub(crate) left_out: u64,
    pub(crate) overflowed: u64,
    pub(crate) sources: u64,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
    pub(crate) slow: Vec<SlowRule>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(
        rules: Option<Arc<RuleSet>>,
        analyzers: Option<Analyzers>,
        responses: Responses,
        detection: &Detection,
        guard: &'a (dyn Fn(IpNet) -> Option<String> + Sync),
    ) -> Self {
        let caps = Caps { groups: detection.rules.max_state, ..Caps::default() };
        let correlator = rules.as_ref().map(|rules| Correlator::new(Arc::clone(rules), caps));
        let folding = Folding { window_s: detection.alerts.fold_s, most: OPEN, ..Folding::default() };
        let alerts = Book::new(folding, random::number());
        Self {
            rules,
            detector: Detector::new(correlator, analyzers, Responder::new(responses), alerts),
            guard,
            kept: Kept::new(LISTED),
            sources: HashSet::new(),
            hasher: RandomState::new(),
            first: None,
            last: None,
            events: 0,
            ticked: None,
        }
    }

    /// What the first stage needs.
    pub(crate) fn matcher(&self) -> Matcher {
        Matcher { rules: self.rules.clone(), seen: AtomicU64::new(0) }
    }

    /// Takes in the next event.
    pub(crate) fn observe(&mut self, mut event: Box<Event>, matches: Option<Matches>) {
        let time = event.time;
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
        if let Some(client) = event.client {
            self.source(client);
        }
        let moment = Moment::replayed(time, self.guard);
        // What would have been done stands on the alerts.
        drop(self.detector.observe(&mut event, matches, &moment));
        if self.ticked.is_none_or(|ticked| time.duration_since(ticked) >= TICK) {
            self.ticked = Some(time);
            drop(self.detector.tick(&moment));
        }
        self.events += 1;
        if self.events.is_multiple_of(TAKEN_EVERY) {
            self.kept.take(self.detector.alerts.take_changed(time));
        }
    }

    fn source(&mut self, client: IpAddr) {
        if self.sources.len() < SOURCES {
            self.sources.insert(self.hasher.hash_one(client));
        }
    }

    /// What came of all of them.
    pub(crate) fn finish(mut self) -> Observed {
        let end = self.last.unwrap_or(Timestamp::UNIX_EPOCH);
        drop(self.detector.finish(&Moment::replayed(end, self.guard)));
        self.kept.take(self.detector.alerts.take_all(end));
        let slow = self.detector.rules.as_mut().map(Correlator::take_slow).unwrap_or_default();
        let (alerts, left_out) = self.kept.sorted();
        Observed {
            alerts,
            left_out,
            overflowed: self.detector.alerts.overflowed(),
            sources: self.sources.len() as u64,
            first: self.first,
            last: self.last,
            slow,
        }
    }
}

/// The alerts that will be listed: as they were last, and of too many those with the highest scores.
struct Kept {
    alerts: BTreeMap<AlertId, Alert>,
    most: usize,
    left_out: u64,
}

impl Kept {
    fn new(most: usize) -> Self {
        Self { alerts: BTreeMap::new(), most, left_out: 0 }
    }

    fn take(&mut self, changes: Vec<Change>) {
        for Change { alert, is_new } in changes {
            if self.alerts.insert(alert.id, alert).is_none() && !is_new {
                // It was left out, and is back.
                self.left_out = self.left_out.saturating_sub(1);
            }
        }
        // Now and then, so that sorting is a small part of the work.
        if self.alerts.len() > 2 * self.most {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let mut order: Vec<_> = self.alerts.values().map(|alert| (alert.score, alert.last_seen, alert.id)).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        for (_, _, id) in order.split_off(self.most.min(order.len())) {
            self.alerts.remove(&id);
            self.left_out += 1;
        }
    }

    /// The alerts, by score, then the newest in front.
    fn sorted(mut self) -> (Vec<Alert>, u64) {
        self.cut();
        let mut alerts: Vec<Alert> = self.alerts.into_values().collect();
        alerts.sort_by_key(|alert| std::cmp::Reverse((alert.score, alert.last_seen, alert.id)));
        (alerts, self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::http::finding::{Detector as Who, Finding};
    use crate::domain::http::severity::Severity;

    #[test]
    fn of_too_many_alerts_the_worst_are_kept_as_they_were_last() {
        let mut kept = Kept::new(10);
        let alert = |number: u8, severity, count| {
            let time = Timestamp::UNIX_EPOCH;
            let finding = Finding {
                detector: Who::Rule("r".into()),
                title: "t".into(),
                description: "".into(),
                severity,
                confidence: 50,
                techniques: Arc::from([]),
                tags: Arc::from([]),
                source: None,
                user: None,
                about: None,
                time,
                value: None,
                threshold: None,
                indicators: Vec::new(),
                evidence: Vec::new(),
                response: None,
                spoofable: false,
            };
            let mut alert = Alert::new(AlertId::v7(time, u128::from(number)), &finding, time);
            alert.count = count;
            alert
        };
        for number in 0..100 {
            let severity = if number % 10 == 0 { Severity::High } else { Severity::Low };
            kept.take(vec![Change { alert: alert(number, severity, 1), is_new: true }]);
        }
        kept.take(vec![Change { alert: alert(10, Severity::High, 7), is_new: false }]);
        let (alerts, left_out) = kept.sorted();
        assert!(alerts.iter().all(|alert| alert.severity == Severity::High));
        assert_eq!((alerts.len(), left_out, alerts.iter().map(|alert| alert.count).max()), (10, 90, Some(7)));
    }
}
