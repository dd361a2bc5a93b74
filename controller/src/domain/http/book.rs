//! The alerts that are open to repeats: what is found again of the same subject counts up, and does not alert again.
use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::alert::{Action, Alert, AlertId, Asked, NAME_CHARS, RULES, cut};
use super::finding::{Detector, Finding};
use super::redact::redacted;
use super::source;
use crate::domain::erasure::Mentions;
use crate::domain::privacy::Names;

/// The label of an alert that stands for subjects there was no room to tell apart.
pub const REST: &str = "overflow";

/// An alert that changes is handed out for writing no more often than this.
const WRITTEN_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// What is over is looked for no more often than this.
const SWEPT_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// How findings are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folding {
    /// Seconds after an alert was last seen in which another finding counts it up.
    pub window_s: u64,
    /// Most alerts that are open to repeats at once.
    pub most: usize,
    /// Most of these that one detector may have of one source: who invents users and paths fills no book.
    pub most_of_source: usize,
}

impl Default for Folding {
    fn default() -> Self {
        Self { window_s: 3_600, most: 10_000, most_of_source: 16 }
    }
}

/// What was done about a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// What.
    pub action: Action,
    /// To whom: a prefix, or a user.
    pub target: Option<String>,
    /// For how long, in seconds.
    pub for_s: Option<u64>,
    /// When that ends.
    pub until: Option<Timestamp>,
    /// What was asked for, whatever was in force already.
    pub asked: Option<Asked>,
    /// Why what should have been done was not.
    pub refused: Option<String>,
}

/// Where a finding went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    /// The alert.
    pub id: AlertId,
    /// Whether it is the first of its kind.
    pub is_new: bool,
}

/// An alert that is to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The alert as it is now.
    pub alert: Alert,
    /// Whether it was never handed out before. Of others, people may have changed status and the like meanwhile: what
    /// only detection knows is to be written, see [`Alert::repeat`] and [`Taken`].
    pub is_new: bool,
}

/// Who and what an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    origin: Origin,
    user: Option<String>,
    about: Option<String>,
    /// Whether it stands for all there was no room for.
    is_rest: bool,
}

/// Who found it, and at whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    is_rule: bool,
    detector: String,
    /// By the name that is kept of it.
    source: Option<String>,
}

impl Origin {
    fn of(finding: &Finding, names: &Names) -> Self {
        Self {
            is_rule: matches!(finding.detector, Detector::Rule(_)),
            detector: cut(finding.detector.name(), NAME_CHARS),
            source: finding.source.map(|address| names.prefix(source::prefix(address))),
        }
    }
}

impl Subject {
    fn of(finding: &Finding, names: &Names) -> Self {
        Self {
            origin: Origin::of(finding, names),
            user: finding.user.as_deref().map(|user| cut(user, NAME_CHARS)),
            about: finding.about.as_deref().map(|about| redacted(&cut(about, NAME_CHARS)).into_owned()),
            is_rest: false,
        }
    }

    fn of_alert(alert: &Alert, names: &Names) -> Self {
        // What is kept is an address, or a name already.
        let source = alert.source.as_deref().map(|text| match text.parse::<IpAddr>() {
            Ok(address) => names.prefix(source::prefix(address)),
            Err(_) => text.to_owned(),
        });
        Self {
            origin: Origin {
                is_rule: alert.rule.is_some() && alert.analyzer == RULES,
                detector: alert.detector().to_owned(),
                source,
            },
            user: alert.user.clone(),
            about: alert.about.clone(),
            is_rest: alert.tags.iter().any(|tag| tag == REST),
        }
    }

    /// All of the source there is no room for.
    fn rest_of_source(&self) -> Self {
        Self { origin: self.origin.clone(), user: None, about: None, is_rest: true }
    }

    /// All that the detector finds and there is no room for.
    fn rest(&self) -> Self {
        Self { origin: Origin { source: None, ..self.origin.clone() }, user: None, about: None, is_rest: true }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    subject: Subject,
    alert: Alert,
    /// When it was last folded into, on the clock of who folds.
    touched: Timestamp,
    /// When it was last handed out.
    written: Option<Timestamp>,
    is_changed: bool,
}

/// The alerts that are open to repeats.
///
/// Attackers choose sources, users and paths, so there is room for so many: where it is full, and where one source has
/// its share, findings count up one alert, labelled [`REST`], that stands for all the others; what is open stays.
#[derive(Clone, Debug)]
pub struct Book {
    folding: Folding,
    names: Names,
    seed: u64,
    made: u64,
    entries: BTreeMap<AlertId, Entry>,
    subjects: BTreeMap<Subject, AlertId>,
    of_source: BTreeMap<Origin, usize>,
    changed: Vec<AlertId>,
    /// Changed, and no longer open.
    closed: Vec<Change>,
    swept: Option<Timestamp>,
    overflowed: u64,
}

impl Book {
    /// An empty one. The seed is any number: alerts of another seed have other identities.
    pub fn new(folding: Folding, seed: u64) -> Self {
        Self {
            folding,
            names: Names::plain(),
            seed,
            made: 0,
            entries: BTreeMap::new(),
            subjects: BTreeMap::new(),
            of_source: BTreeMap::new(),
            changed: Vec::new(),
            closed: Vec::new(),
            swept: None,
            overflowed: 0,
        }
    }

    /// How findings are folded from now on.
    pub fn set_folding(&mut self, folding: Folding) {
        self.folding = folding;
    }

    /// What sources are called from now on.
    pub fn set_names(&mut self, names: Names) {
        self.names = names;
    }

    /// Alerts that are open.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Findings there was no room to tell apart.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// An open alert.
    pub fn get(&self, id: AlertId) -> Option<&Alert> {
        self.entries.get(&id).map(|entry| &entry.alert)
    }

    /// Takes in a finding and what was done about it, `now`: which for a file that is read afterwards is the latest of the
    /// file's own times.
    pub fn fold(&mut self, finding: &Finding, taken: &Taken, now: Timestamp) -> Folded {
        self.sweep(now);
        let mut subject = Subject::of(finding, &self.names);
        if let Some(folded) = self.repeat(&subject, finding, taken, now) {
            return folded;
        }
        let has_share = self.of_source.get(&subject.origin).is_some_and(|count| *count >= self.folding.most_of_source);
        if has_share && subject.origin.source.is_some() {
            subject = subject.rest_of_source();
        }
        if self.entries.len() >= self.folding.most && !self.subjects.contains_key(&subject) {
            subject = subject.rest();
        }
        if subject.is_rest {
            self.overflowed = self.overflowed.saturating_add(1);
            if let Some(folded) = self.repeat(&subject, finding, taken, now) {
                return folded;
            }
        }
        self.open(subject, finding, taken, now)
    }

    fn repeat(&mut self, subject: &Subject, finding: &Finding, taken: &Taken, now: Timestamp) -> Option<Folded> {
        let id = *self.subjects.get(subject)?;
        let entry = self.entries.get_mut(&id)?;
        let window = seconds(self.folding.window_s);
        let since = finding.time.duration_since(entry.alert.last_seen);
        let until = entry.alert.first_seen.duration_since(finding.time);
        if since > window || until > window {
            self.close(id);
            return None;
        }
        entry.alert.repeat(finding, now);
        entry.alert.take(taken);
        entry.touched = entry.touched.max(now);
        if !entry.is_changed {
            entry.is_changed = true;
            self.changed.push(id);
        }
        Some(Folded { id, is_new: false })
    }

    fn open(&mut self, subject: Subject, finding: &Finding, taken: &Taken, now: Timestamp) -> Folded {
        let id = self.next_id(now);
        let mut alert = Alert::new(id, finding, now);
        alert.take(taken);
        if subject.is_rest {
            alert.tags.push(REST.to_owned());
            (alert.user, alert.about) = (None, None);
            if subject.origin.source.is_none() {
                alert.source = None;
            }
        }
        self.insert(Entry { subject, alert, touched: now, written: None, is_changed: true });
        self.changed.push(id);
        Folded { id, is_new: true }
    }

    fn insert(&mut self, entry: Entry) {
        let id = entry.alert.id;
        *self.of_source.entry(entry.subject.origin.clone()).or_default() += 1;
        self.subjects.insert(entry.subject.clone(), id);
        self.entries.insert(id, entry);
    }

    fn next_id(&mut self, now: Timestamp) -> AlertId {
        self.made = self.made.wrapping_add(1);
        let low = mixed(self.seed ^ self.made);
        let high = mixed(low ^ self.seed.rotate_left(32));
        AlertId::v7(now, u128::from(high) << 64 | u128::from(low))
    }

    /// Opens an alert of an earlier run again, as it was written, if it can still be repeated and there is room.
    pub fn adopt(&mut self, alert: Alert, now: Timestamp) {
        let is_over = now.duration_since(alert.last_seen) > seconds(self.folding.window_s);
        let subject = Subject::of_alert(&alert, &self.names);
        if is_over || self.entries.len() >= self.folding.most || self.subjects.contains_key(&subject) {
            return;
        }
        let touched = alert.last_seen.min(now);
        self.insert(Entry { subject, alert, touched, written: Some(now), is_changed: false });
    }

    /// A denial that was decided was refused at the door, or could not be made: the alert says so.
    pub fn refused(&mut self, id: AlertId, why: &str, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let refused = Taken { refused: Some(cut(why, NAME_CHARS)), ..Taken::default() };
        if matches!(entry.alert.action, Action::Deny | Action::Limit) {
            entry.alert.action = Action::Observe;
            (entry.alert.action_target, entry.alert.action_for_s, entry.alert.action_until) = (None, None, None);
            entry.alert.asked = None;
        }
        entry.alert.take(&refused);
        entry.alert.updated_at = entry.alert.updated_at.max(now);
        if !entry.is_changed {
            entry.is_changed = true;
            self.changed.push(id);
        }
    }

    /// Alerts that are open, or still to be written, of a source by any of its names.
    pub fn of_target(&self, names: &[String]) -> impl Iterator<Item = &Alert> {
        let open = self.entries.values().map(|entry| &entry.alert);
        let is_meant = |alert: &&Alert| alert.action_target.as_ref().is_some_and(|target| names.contains(target));
        open.chain(self.closed.iter().map(|change| &change.alert)).filter(is_meant)
    }

    /// Somebody lifted by hand what was asked for of a source by these names: nothing of it is asked for any more.
    pub fn unask(&mut self, names: &[String], now: Timestamp) {
        let is_meant = |alert: &Alert| alert.action_target.as_ref().is_some_and(|target| names.contains(target));
        for change in self.closed.iter_mut().filter(|change| is_meant(&change.alert)) {
            change.alert.unask(now);
        }
        for (id, entry) in self.entries.iter_mut().filter(|(_, entry)| is_meant(&entry.alert)) {
            entry.alert.unask(now);
            if !entry.is_changed {
                entry.is_changed = true;
                self.changed.push(*id);
            }
        }
    }

    /// Has a new alert belong to a hunt, before it is written for the first time.
    pub fn put_to_hunt(&mut self, id: AlertId, hunt: &str) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.written.is_none()) {
            entry.alert.triage.hunt_id = Some(hunt.to_owned());
        }
    }

    /// Takes an alert out, as when somebody has resolved or deleted it: what comes next alerts anew.
    pub fn forget(&mut self, id: AlertId) {
        self.remove(id);
    }

    /// Takes out all alerts about them.
    pub fn forget_about(&mut self, who: &Mentions) {
        let is_meant = |subject: &Subject| {
            let by_source = subject.origin.source.as_ref().is_some_and(|source| who.names().contains(source));
            by_source || subject.user.as_ref().is_some_and(|user| who.users().contains(user))
        };
        let meant: Vec<AlertId> =
            self.subjects.iter().filter(|(subject, _)| is_meant(subject)).map(|(_, id)| *id).collect();
        for id in meant {
            self.remove(id);
        }
    }

    /// Blots out who is to be mentioned nowhere in all alerts that are open or still to be written.
    pub fn blot(&mut self, mentions: &Mentions) {
        let open = self.entries.values_mut().map(|entry| &mut entry.alert);
        for alert in open.chain(self.closed.iter_mut().map(|change| &mut change.alert)) {
            alert.blot(mentions);
        }
    }

    fn remove(&mut self, id: AlertId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.subjects.remove(&entry.subject);
        if let Some(count) = self.of_source.get_mut(&entry.subject.origin) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_source.remove(&entry.subject.origin);
            }
        }
        Some(entry)
    }

    fn close(&mut self, id: AlertId) {
        let Some(entry) = self.remove(id) else { return };
        if entry.is_changed {
            self.closed.push(Change { is_new: entry.written.is_none(), alert: entry.alert });
        }
    }

    /// Closes what can no longer be repeated.
    pub fn sweep(&mut self, now: Timestamp) {
        let is_due = self.swept.is_none_or(|swept| now.duration_since(swept).abs() >= SWEPT_EVERY);
        if !is_due {
            return;
        }
        self.swept = Some(now);
        let window = seconds(self.folding.window_s);
        let over = self.entries.iter().filter(|(_, entry)| now.duration_since(entry.touched) > window);
        let over: Vec<AlertId> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.close(id);
        }
    }

    /// What is to be written `now`: new alerts at once, each other that changed no more often than once a second.
    pub fn take_changed(&mut self, now: Timestamp) -> Vec<Change> {
        self.take(|written| written.is_none_or(|written| now.duration_since(written).abs() >= WRITTEN_EVERY), now)
    }

    /// Everything that was not written yet, as before an end.
    pub fn take_all(&mut self, now: Timestamp) -> Vec<Change> {
        self.take(|_| true, now)
    }

    fn take(&mut self, is_due: impl Fn(Option<Timestamp>) -> bool, now: Timestamp) -> Vec<Change> {
        self.sweep(now);
        let mut changes = std::mem::take(&mut self.closed);
        let entries = &mut self.entries;
        self.changed.retain(|id| {
            let Some(entry) = entries.get_mut(id) else { return false };
            if !is_due(entry.written) {
                return true;
            }
            changes.push(Change { alert: entry.alert.clone(), is_new: entry.written.is_none() });
            (entry.written, entry.is_changed) = (Some(now), false);
            false
        });
        changes
    }
}

fn seconds(seconds: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// A number spread over all bits (the finaliser of `SplitMix64`).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests;
