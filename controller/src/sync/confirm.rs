//! Settings and switches: applied, confirmed, rolled back.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use weir_common::abi::Control;

use super::job::{Job, Undo};
use super::{Reply, Settings, State, Sync, SyncError, answer};
use crate::adapters::clock;
use crate::adapters::store::Change;
use crate::domain::decision::Enforcement;
use crate::domain::guard::Guards;
use crate::domain::report::{ConfigReport, PendingRow, SwitchReport};

/// Setting under which the enforcement switch is stored.
pub(crate) const ENFORCEMENT_KEY: &str = "enforcement";
/// Setting under which the text of the settings in force is stored.
pub(crate) const CONFIG_KEY: &str = "config";
/// Setting under which a pending change is stored: boot id, deadline, text.
pub(crate) const PENDING_KEY: &str = "config.pending";
/// Setting under which the text is stored that was rolled back, so that a restart does not put it in force.
pub(crate) const REJECTED_KEY: &str = "config.rejected";

/// What `status` says while the file holds settings that are not in force.
pub(crate) const GIVEN_UP: &str = "the file holds settings that were not confirmed in time; those from before are in \
                                   force; `weir config reload` puts the file in force";

/// The part that is wrong while changed guards are not in force.
const GUARDS: &str = "protection";
/// After a build with changed guards failed: not before so long, and later each time.
const GUARDS_AGAIN: Duration = Duration::from_secs(4);

impl Sync {
    pub(super) fn set_enforcement(&mut self, to: Enforcement, actor: &str, reply: Reply<SwitchReport>) {
        let shared = self.shared.clone();
        let mut state = shared.write();
        if let Some(until) = self.on_trial(&state) {
            drop(state);
            return answer(reply, Err(SyncError::Pending(until)));
        }
        let changed = state.enforcement() != to;
        let undo = Undo::Enforcement(state.enforcement);
        state.enforcement = Some(to);
        drop(state);
        let name = match to {
            Enforcement::Enforce => "enforce",
            Enforcement::Observe => "observe",
        };
        let actor = actor.to_owned();
        let job = Job::new(undo, move |task| {
            task.unsaved.push(Change::SetSetting { key: ENFORCEMENT_KEY.to_owned(), value: name.to_owned() });
            task.audit(&actor, "enforcement", name, &json!({}));
        })
        .keeping_tables();
        self.queue_job(job.with(move |task, done| match done {
            Ok(()) => task.answer_saved(reply, SwitchReport { changed, state: name.to_owned() }),
            Err(error) => answer(reply, Err(error)),
        }));
    }

    /// Has other addresses be spared: the doors ask the new set at once, the kernel knows it with the next flip that may
    /// be, which is after a trial. If that fails the old set stands, at the doors as well, and the new one is tried again.
    pub(super) fn set_guards(&mut self, guards: Guards) {
        let is_guarding = self.is_guarding();
        let mut state = self.shared.write();
        if state.guards == guards {
            drop(state);
            if !is_guarding {
                self.guards_again.worked();
                self.problem(GUARDS, None);
            }
            return;
        }
        if !self.guards_again.is_due(Instant::now()) {
            return;
        }
        let undo = Undo::Guards(std::mem::replace(&mut state.guards, guards));
        state.sequence += 1;
        drop(state);
        // One that waits takes along what came after it; how it goes back is how it was before them all.
        if self.queue.iter().any(|job| matches!(job.undo, Undo::Guards(_))) {
            return;
        }
        self.queue_job(Job::new(undo, |_| {}).with(|task, done| match done {
            Ok(()) => {
                task.guards_again.worked();
                task.problem(GUARDS, None);
            }
            Err(error) => {
                task.guards_again.failed(Instant::now(), GUARDS_AGAIN);
                let what = "what must not be cut off has changed, and the kernel goes on with what it was before";
                task.problem(GUARDS, Some(format!("{what}: {error}")));
            }
        }));
    }

    pub(super) fn apply(
        &mut self,
        settings: &Arc<Settings>,
        confirm_s: Option<u64>,
        dry_run: bool,
        actor: &str,
        reply: Reply<ConfigReport>,
    ) {
        let shared = self.shared.clone();
        let mut state = shared.write();
        if let Some(until) = self.on_trial(&state) {
            drop(state);
            return answer(reply, Err(SyncError::Pending(until)));
        }
        let notes = state.settings.differences(settings);
        let lowers = settings.capacity.is_below(state.settings.capacity);
        if lowers && let Err(error) = state.tables.check(&state.desired, settings.capacity) {
            drop(state);
            return answer(reply, Err(error.into()));
        }
        let mut report =
            ConfigReport { changed: !notes.is_empty(), dry_run, generation: state.generation, pending: None, notes };
        report.notes.extend(settings.warnings.iter().cloned());
        if dry_run || !report.changed {
            drop(state);
            return answer(reply, Ok(report));
        }
        let old = std::mem::replace(&mut state.settings, Arc::clone(settings));
        let mut lists = Vec::new();
        for list in state.desired.lists_mut() {
            let enforcement = settings.enforcement_of(list);
            if list.enforcement != enforcement || list.profile != settings.profile_of(list) {
                lists.push((list.id, list.enforcement, list.profile));
                settings.apply_to(list);
            }
        }
        drop(state);
        let (actor, text) = (actor.to_owned(), settings.text.to_string());
        let notes = report.notes.clone();
        let boot_id = self.boot_id.clone();
        let mut job = Job::new(Undo::Settings(Arc::clone(&old), lists), move |task| {
            task.problem("configuration", None);
            let mut state = task.shared.write();
            let deadline = state.pending.as_ref().map(|pending| pending.deadline.0);
            if deadline.is_none() {
                state.settled = Arc::clone(&state.settings);
            }
            drop(state);
            match deadline {
                None => {
                    task.unsaved.push(Change::SetSetting { key: CONFIG_KEY.to_owned(), value: text });
                    task.unsaved.push(Change::RemoveSetting { key: REJECTED_KEY.to_owned() });
                }
                Some(deadline) => {
                    let value = json!({"boot_id": boot_id, "deadline": deadline, "text": text}).to_string();
                    task.unsaved.push(Change::SetSetting { key: PENDING_KEY.to_owned(), value });
                }
            }
            task.audit(&actor, "config apply", "", &json!({"changes": notes, "confirm_by": deadline}));
        });
        // What is live beside the tables must fit below lower ceilings as well: a build counts it.
        job.keeps_tables = !lowers;
        // Guards that did not fit may do so now.
        self.guards_again.worked();
        job.confirm = confirm_s.map(|seconds| (seconds, old));
        self.queue_job(job.with(move |task, done| match done {
            Ok(()) => {
                let state = task.shared.read();
                report.generation = state.generation;
                report.pending = pending_row(&state);
                drop(state);
                task.answer_saved(reply, report);
            }
            Err(error) => answer(reply, Err(error)),
        }));
    }

    pub(super) fn confirm(&mut self, actor: &str, reply: Reply<ConfigReport>) {
        let deadline = self.shared.read().pending.as_ref().map(|pending| pending.deadline);
        if deadline.is_some_and(|deadline| clock::now().boot >= deadline) {
            // The kernel has undone it already; what it does is what counts.
            self.fall_back("deadline");
            return answer(reply, Err(SyncError::Nothing("the time to confirm is over: the settings were undone")));
        }
        let mut state = self.shared.write();
        let Some(pending) = state.pending.take() else {
            drop(state);
            return answer(reply, Err(SyncError::Nothing("no settings change waits for a confirmation")));
        };
        let slot = u32::try_from(state.current.slot).unwrap_or(0);
        self.writer.flip(Control::new(slot, state.generation, false));
        state.settled = Arc::clone(&state.settings);
        let text = state.settings.text.to_string();
        let report = report_of(&state, true);
        drop(state);
        self.unsaved.push(Change::SetSetting { key: CONFIG_KEY.to_owned(), value: text });
        self.unsaved.push(Change::RemoveSetting { key: PENDING_KEY.to_owned() });
        self.unsaved.push(Change::RemoveSetting { key: REJECTED_KEY.to_owned() });
        self.audit(actor, "config confirm", "", &json!({}));
        self.retire(Some(u32::try_from(pending.slot.slot).unwrap_or(0)));
        self.answer_saved(reply, report);
    }

    pub(super) fn rollback(&mut self, actor: &str, reply: Reply<ConfigReport>) {
        if self.shared.read().pending.is_none() {
            return answer(
                reply,
                Err(SyncError::Nothing(
                    "no settings change waits for a confirmation; edit the file and `weir config reload` to change settings",
                )),
            );
        }
        self.fall_back(actor);
        let report = report_of(&self.shared.read(), true);
        self.answer_saved(reply, report);
    }

    /// Back to the settings before: the kernel has done so already if the deadline has passed.
    pub(super) fn fall_back(&mut self, actor: &str) {
        let mut state = self.shared.write();
        let Some(pending) = state.pending.take() else { return };
        state.generation += 1;
        let slot = u32::try_from(pending.slot.slot).unwrap_or(0);
        self.writer.flip(Control::new(slot, state.generation, false));
        let given_up = std::mem::replace(&mut state.current, pending.slot);
        let rejected = std::mem::replace(&mut state.settings, pending.fallback);
        let settings = Arc::clone(&state.settings);
        state.settled = Arc::clone(&settings);
        for list in state.desired.lists_mut() {
            settings.apply_to(list);
        }
        drop(state);
        self.unsaved.push(Change::RemoveSetting { key: PENDING_KEY.to_owned() });
        self.unsaved.push(Change::SetSetting { key: REJECTED_KEY.to_owned(), value: rejected.text.to_string() });
        self.audit(actor, "config rollback", "", &json!({}));
        self.problem("configuration", Some(GIVEN_UP.to_owned()));
        self.retire(Some(u32::try_from(given_up.slot).unwrap_or(0)));
        // What was blocked and unblocked meanwhile is in the overlay; the next build holds it all.
        self.queue_job(Job::new(Undo::Nothing, |_| {}));
    }
}

/// The pending change, for people.
pub fn pending_row(state: &State) -> Option<PendingRow> {
    let pending = state.pending.as_ref()?;
    // The second that has begun does not count.
    let left = pending.deadline.0.saturating_sub(clock::now().boot.0).saturating_sub(1);
    Some(PendingRow { deadline: pending.deadline_wall, seconds_left: left })
}

fn report_of(state: &State, changed: bool) -> ConfigReport {
    ConfigReport {
        changed,
        dry_run: false,
        generation: state.generation,
        pending: pending_row(state),
        notes: Vec::new(),
    }
}
