//! What is written, when, and what is taken up again.
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{MOST_UNSAVED, STORE_PART, STORE_START_PART, Session, span};
use crate::adapters::clock;
use crate::adapters::store::Save;
use crate::daemon::detection::keeper::{self, CHECKPOINTS, Keeper, Kept};
use crate::domain::http::alert::AlertId;
use crate::domain::http::book::{self, Folding};
use crate::domain::http::follow::Checkpoint;

impl Session<'_> {
    /// Opens the database, and takes up what an earlier run left there.
    pub(super) async fn open_store(&mut self) {
        let now = clock::now();
        let responses = self.detector.responder.responses();
        let spans = (span(self.settings.detection.alerts.fold_s), span(responses.memory_s));
        let (folder, most) = (self.context.state.clone(), Folding::default().most);
        let opened = tokio::task::spawn_blocking(move || keeper::open(&folder, now.wall, spans, most)).await;
        match opened.unwrap_or_else(|error| Err(error.to_string())) {
            Ok((keeper, past)) => {
                for alert in past.alerts {
                    self.detector.alerts.adopt(alert, now.wall);
                }
                for denial in past.denials {
                    self.detector.responder.record(denial.prefix, denial.denied_at, denial.for_s, now);
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
                self.context.shared.detected.set_alerts(past.reader);
                self.keeper = Some(keeper);
                self.problem(STORE_PART, None);
                if let Some(problem) = past.problem {
                    self.problem(STORE_START_PART, Some(problem));
                }
            }
            Err(problem) => {
                let text = format!("alerts are made and acted upon, and not kept: {problem}");
                self.problem(STORE_PART, Some(text));
            }
        }
    }

    pub(super) async fn kept(keeper: &mut Option<Keeper>) -> Option<Kept> {
        match keeper {
            Some(keeper) => keeper.kept.recv().await,
            None => std::future::pending().await,
        }
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
        let Some(keeper) = &self.keeper else { return self.keep_for_later(save) };
        match keeper.save(save) {
            Ok(()) => self.is_saving = true,
            Err(save) => self.keep_for_later(*save),
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
        match kept {
            Kept::Saved => {
                self.is_saving = false;
                self.problem(STORE_PART, None);
            }
            Kept::NotSaved(save, why) => {
                self.is_saving = false;
                self.keep_for_later(*save);
                self.problem(STORE_PART, Some(format!("alerts are made and acted upon, and not kept: {why}")));
            }
            Kept::LetGo(Ok(0)) => {}
            // There may be more of them.
            Kept::LetGo(Ok(_)) => self.let_go(),
            Kept::LetGo(Err(why)) => tracing::warn!(why, "old alerts stay"),
        }
    }

    pub(super) fn let_go(&self) {
        let alerts = &self.settings.detection.alerts;
        let oldest = clock::now().wall.checked_sub(span(alerts.retention_s)).unwrap_or(Timestamp::MIN);
        if let Some(keeper) = &self.keeper {
            keeper.let_go(alerts.most, oldest);
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
