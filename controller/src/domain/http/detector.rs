//! The way of an event: matched by rules, counted by correlations and analyzers, answered, folded into an alert.
//!
//! Two stages. What rules see in one event alone needs no memory: [`RuleSet::matches`](super::rules::RuleSet::matches) may
//! run on several threads, on batches whose order is kept. Everything that remembers runs in the events' order, in
//! [`Detector::observe`].
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::alert::{Action, AlertId};
use super::analyzers::Analyzers;
use super::book::{Book, Folded};
use super::event::{Event, EventKind};
use super::finding::{self, Finding};
use super::respond::{Consequence, Responder, Withheld};
use super::rules::{Correlator, Matches};
use crate::domain::time::{BootSeconds, Now};

/// Unless the settings say otherwise, a live event older than this many seconds is history: it alerts, and nobody is denied for it.
pub const OLDEST_S: u64 = 300;

/// An event whose clock is ahead of ours by more than this is taken to be of now.
const AHEAD: SignedDuration = SignedDuration::from_secs(5);

/// Why a prefix must not be denied or limited, if it must not.
pub type Guard<'a> = &'a dyn Fn(IpNet) -> Option<String>;

/// When and how an event is looked at.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// When.
    pub now: Now,
    is_live: bool,
    is_history: bool,
    guard: Guard<'a>,
}

impl std::fmt::Debug for Moment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Moment").field("now", &self.now).field("is_live", &self.is_live).finish_non_exhaustive()
    }
}

impl<'a> Moment<'a> {
    /// As it happens. `is_history`: the line was there before anybody looked.
    pub fn live(now: Now, is_history: bool, guard: Guard<'a>) -> Self {
        Self { now, is_live: true, is_history, guard }
    }

    /// Afterwards, at the event's own time.
    pub fn replayed(time: Timestamp, guard: Guard<'a>) -> Self {
        let boot = BootSeconds(u64::try_from(time.as_second()).unwrap_or(0));
        Self { now: Now { boot, wall: time }, is_live: false, is_history: false, guard }
    }
}

/// What came of an event, once for each finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What was found.
    pub finding: Finding,
    /// The alert it is part of.
    pub folded: Folded,
    /// What is to be done.
    pub consequence: Consequence,
    /// Why nothing is done about it, whatever it is.
    pub withheld: Option<Withheld>,
}

/// What went through, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events, by kind in the order of [`EventKind::ALL`].
    pub events: [u64; EventKind::ALL.len()],
    /// Events that name no client: they alert, and nobody can be denied for them.
    pub without_client: u64,
    /// Live events too old to deny anybody for.
    pub old: u64,
    /// Live events whose clock was ahead of ours.
    pub ahead: u64,
    /// Lines that are no event, by log and reason.
    pub unparsed: BTreeMap<(Arc<str>, &'static str), u64>,
    /// Findings, by who found them.
    pub findings: BTreeMap<finding::Detector, u64>,
}

impl Counters {
    /// Events of one kind.
    pub fn of(&self, kind: EventKind) -> u64 {
        let at = EventKind::ALL.iter().position(|other| *other == kind);
        at.and_then(|at| self.events.get(at)).copied().unwrap_or(0)
    }

    /// All events.
    pub fn total(&self) -> u64 {
        self.events.iter().sum()
    }

    /// Counts a line that is no event.
    pub fn unparsed(&mut self, log: &Arc<str>, reason: &'static str) {
        let count = self.unparsed.entry((Arc::clone(log), reason)).or_default();
        *count = count.saturating_add(1);
    }

    fn event(&mut self, event: &Event) {
        let at = EventKind::ALL.iter().position(|kind| *kind == event.kind);
        if let Some(count) = at.and_then(|at| self.events.get_mut(at)) {
            *count = count.saturating_add(1);
        }
        self.without_client = self.without_client.saturating_add(u64::from(event.client.is_none()));
    }

    fn finding(&mut self, finding: &Finding) {
        match self.findings.get_mut(&finding.detector) {
            Some(count) => *count = count.saturating_add(1),
            None => {
                self.findings.insert(finding.detector.clone(), 1);
            }
        }
    }
}

/// All that remembers between events.
#[derive(Debug)]
pub struct Detector {
    /// What counts for the rules; `None`: there are none.
    pub rules: Option<Correlator>,
    /// The analyzers; `None`: there are none.
    pub analyzers: Option<Analyzers>,
    /// What follows from findings.
    pub responder: Responder,
    /// The alerts that are open to repeats.
    pub alerts: Book,
    /// What went through.
    pub counters: Counters,
    /// Seconds after which a live event is history: it alerts, and nobody is denied for it.
    pub oldest_s: u64,
}

impl Detector {
    /// One that has seen nothing.
    pub fn new(rules: Option<Correlator>, analyzers: Option<Analyzers>, responder: Responder, alerts: Book) -> Self {
        Self { rules, analyzers, responder, alerts, counters: Counters::default(), oldest_s: OLDEST_S }
    }

    /// Takes in an event and what the rules saw in it (`None`: they were not asked), in the events' order, and says what is
    /// to be done.
    ///
    /// A live event's time is set to now where its clock is ahead: what counts in windows of time must not be moved by
    /// a clock somewhere else.
    pub fn observe(&mut self, event: &mut Event, matches: Option<Matches>, moment: &Moment<'_>) -> Vec<Outcome> {
        let mut is_history = moment.is_history;
        if moment.is_live {
            let age = moment.now.wall.duration_since(event.time);
            if age < -AHEAD {
                event.time = moment.now.wall;
                self.counters.ahead = self.counters.ahead.saturating_add(1);
            }
            is_history |= age > SignedDuration::from_secs(i64::try_from(self.oldest_s).unwrap_or(i64::MAX));
            self.counters.old = self.counters.old.saturating_add(u64::from(is_history));
        }
        self.counters.event(event);
        let mut found = match (&mut self.rules, matches) {
            (Some(rules), Some(matches)) => rules.correlate(event, matches),
            _ => Vec::new(),
        };
        if let Some(analyzers) = &mut self.analyzers {
            found.extend(analyzers.observe(event));
        }
        let forgeable = event.is_forgeable().then_some(Withheld::Forgeable);
        self.answered(found, withheld(is_history).or(forgeable), moment)
    }

    /// Judges what ended by time, such as a source that fell silent. To be called once a minute or so.
    pub fn tick(&mut self, moment: &Moment<'_>) -> Vec<Outcome> {
        let found = self.analyzers.as_mut().map(|analyzers| analyzers.tick(moment.now.wall));
        self.answered(found.unwrap_or_default(), withheld(moment.is_history), moment)
    }

    /// Judges what is still open, where no more events will come: at the end of a file.
    pub fn finish(&mut self, moment: &Moment<'_>) -> Vec<Outcome> {
        let found = self.analyzers.as_mut().map(Analyzers::finish);
        self.answered(found.unwrap_or_default(), withheld(moment.is_history), moment)
    }

    /// What follows from findings: those of an event just taken in, or of somebody else who watches.
    pub fn answered(&mut self, found: Vec<Finding>, withheld: Option<Withheld>, moment: &Moment<'_>) -> Vec<Outcome> {
        let outcome = |finding: Finding| {
            self.counters.finding(&finding);
            let consequence = self.responder.respond(&finding, moment.now, withheld, moment.guard);
            let folded = self.alerts.fold(&finding, &consequence.taken(), moment.now.wall);
            Outcome { finding, folded, consequence, withheld }
        };
        found.into_iter().map(outcome).collect()
    }

    /// A denial or limit that was decided for an alert was refused at the door: the alert says why, and the source does
    /// not count as denied.
    pub fn refused(&mut self, alert: AlertId, action: Action, prefix: IpNet, why: &str, now: Now) {
        self.responder.lifted(action, prefix, now);
        self.alerts.refused(alert, why, now.wall);
    }
}

fn withheld(is_history: bool) -> Option<Withheld> {
    is_history.then_some(Withheld::History)
}

#[cfg(test)]
mod tests;
