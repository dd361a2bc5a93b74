//! What is written, when, and what is taken up again.
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::{MOST_UNSAVED, Session, span};
use crate::adapters::clock;
use crate::adapters::store::{EventStore, PastDenial, Save, StoreError};
use crate::domain::http::alert::{Alert, AlertId};
use crate::domain::http::book::{self, Folding};
use crate::domain::http::follow::Checkpoint;

/// What an earlier run left.
#[derive(Debug)]
struct Past {
    /// Alerts that may still be repeated.
    alerts: Vec<Alert>,
    /// Denials that count against their sources, in the order they were made.
    denials: Vec<PastDenial>,
    /// How far logs were read.
    checkpoints: Option<String>,
}

/// What came of what was to be written.
#[derive(Debug)]
pub(in crate::daemon::detection) enum Kept {
    /// All of it is written.
    Saved,
    /// Nothing of it is; it comes back.
    NotSaved(Box<Save>),
}

/// Alerts last seen within `fold`, denials within `memory`.
fn past(store: &EventStore, now: Timestamp, fold: SignedDuration, memory: SignedDuration) -> Result<Past, StoreError> {
    let ago = |span: SignedDuration| now.checked_sub(span).unwrap_or(Timestamp::MIN);
    Ok(Past {
        alerts: store.open_since(ago(fold), Folding::default().most)?,
        denials: store.denials_since(ago(memory))?,
        checkpoints: store.note(CHECKPOINTS)?,
    })
}

/// The note that checkpoints are kept under.
const CHECKPOINTS: &str = "checkpoints";

impl Session<'_> {
    /// Takes up what an earlier run left in the database, if it is open.
    pub(super) async fn take_up(&mut self) {
        let now = clock::now();
        let (fold, memory) =
            (span(self.settings.detection.alerts.fold_s), span(self.detector.responder.responses().memory_s));
        let Ok(past) = self.context.keeper.ask(move |store| past(store, now.wall, fold, memory)).await else { return };
        for alert in past.alerts {
            self.detector.alerts.adopt(alert, now.wall);
        }
        for denial in past.denials {
            // An earlier weir wrote the prefix itself.
            let prefix = denial.who.parse::<IpNet>().ok();
            let who = prefix.map_or(denial.who, |prefix| self.detector.responder.name(prefix));
            self.detector.responder.record(&who, denial.denied_at, denial.for_s, now);
        }
        let stored: Vec<(Arc<str>, Checkpoint)> =
            past.checkpoints.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        for (input, checkpoint) in stored {
            self.checkpoints.entry((input, Arc::clone(&checkpoint.path))).or_insert(checkpoint);
        }
        // What was in work when the task before this one failed is not read again.
        if let Some((input, checkpoint)) = self.context.in_work() {
            self.checkpoints.insert((input, Arc::clone(&checkpoint.path)), checkpoint);
            self.has_new_checkpoints = true;
        }
        self.is_open = true;
    }

    /// Takes over how far logs are acted upon.
    pub(super) fn settle(&mut self) {
        let actions = &self.actions;
        for (_, place, checkpoint) in self.acting.extract_if(.., |(mark, ..)| actions.is_done(*mark)) {
            self.checkpoints.insert(place, checkpoint);
            self.has_new_checkpoints = true;
        }
    }

    /// Hands over what is to be written.
    pub(super) fn write(&mut self) {
        self.settle();
        if self.is_saving {
            return;
        }
        let changed = self.detector.alerts.take_changed(clock::now().wall);
        self.hand_over(changed);
    }

    pub(super) fn hand_over(&mut self, changed: Vec<book::Change>) {
        let mut save = std::mem::take(&mut self.unsaved);
        let has_waited = !save.alerts.is_empty();
        save.alerts.extend(changed);
        if has_waited {
            save.alerts = latest(save.alerts);
        }
        save.denials.append(&mut self.actions.denials);
        if std::mem::take(&mut self.has_new_checkpoints) {
            let all: Vec<(&Arc<str>, &Checkpoint)> =
                self.checkpoints.iter().map(|((input, _), checkpoint)| (input, checkpoint)).collect();
            if let Ok(text) = serde_json::to_string(&all) {
                save.notes = vec![(CHECKPOINTS.to_owned(), text)];
            }
        }
        if save.is_empty() {
            return;
        }
        // Until a database can be opened, what is to be written waits.
        if !self.is_open {
            return self.keep_for_later(save);
        }
        self.is_saving = true;
        let (keeper, tell) = (self.context.keeper.clone(), self.tell_kept.clone());
        tokio::spawn(async move {
            let save = Arc::new(save);
            let written = Arc::clone(&save);
            let outcome = keeper.ask(move |store| store.save(&written)).await;
            let kept = match outcome {
                Ok(()) => Kept::Saved,
                Err(_noted) => Kept::NotSaved(Box::new(Arc::unwrap_or_clone(save))),
            };
            // Who handed it over may have gone.
            let _gone = tell.send(kept);
        });
    }

    /// Hands over the events to be kept.
    pub(super) fn record(&mut self) {
        let (events, left_out) = self.gathered.take();
        if events.is_empty() && left_out == 0 {
            return;
        }
        if let Err((events, left_out)) = self.context.keeper.record(events, left_out) {
            self.gathered.leave_out(left_out);
            for event in events {
                self.gathered.add(event);
            }
        }
    }

    fn keep_for_later(&mut self, mut save: Save) {
        // In the order they were handed over: what comes later replaces what is before.
        save.alerts.append(&mut self.unsaved.alerts);
        let too_many = save.alerts.len().saturating_sub(MOST_UNSAVED);
        save.alerts.drain(..too_many);
        save.denials.append(&mut self.unsaved.denials);
        let too_many = save.denials.len().saturating_sub(MOST_UNSAVED);
        save.denials.drain(..too_many);
        self.unsaved = save;
    }

    pub(super) fn kept_one(&mut self, kept: Kept) {
        self.is_saving = false;
        if let Kept::NotSaved(save) = kept {
            self.keep_for_later(*save);
        }
    }
}

/// Of each alert the latest, which is new if one of them is.
fn latest(changes: Vec<book::Change>) -> Vec<book::Change> {
    let mut latest: BTreeMap<AlertId, book::Change> = BTreeMap::new();
    for change in changes {
        let is_new = change.is_new || latest.get(&change.alert.id).is_some_and(|before| before.is_new);
        latest.insert(change.alert.id, book::Change { is_new, ..change });
    }
    latest.into_values().collect()
}
