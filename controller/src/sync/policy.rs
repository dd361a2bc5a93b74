//! Generations: built and written by a worker, flipped by the task, retired after a grace period.
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde_json::json;
use weir_common::abi::{Control, SLOTS};

use super::change::restore;
use super::state::Pending;
use super::{Command, Reply, Settings, State, Sync, SyncError, answer};
use crate::adapters::clock;
use crate::adapters::kernel::writer::WriteError;
use crate::adapters::store::{Change, ClassLists, ListTotals as StoredTotals};
use crate::domain::decision::{Enforcement, EntryInfo, ListId};
use crate::domain::desired::List;
use crate::domain::guard::Guards;
use crate::domain::overlay::{Context, SlotView};
use crate::domain::prefixes::Prefixes;
use crate::domain::report::{ConfigReport, PendingRow, SwitchReport};
use crate::domain::tables::{self, BuildError};

/// Overlay values that start a fold into the tables.
const FOLD_AT: usize = 1_024;
/// Time after which even one overlay value is folded.
const FOLD_AFTER: Duration = Duration::from_secs(60);
/// How long an offender that sends nothing keeps its bucket.
const OFFENDER_IDLE: Duration = Duration::from_secs(120);
/// How often a good copy of the store is made.
const COPY_EVERY: Duration = Duration::from_secs(3_600);

/// Setting under which the enforcement switch is stored.
pub(crate) const ENFORCEMENT_KEY: &str = "enforcement";
/// Setting under which the text of the settings in force is stored.
pub(crate) const CONFIG_KEY: &str = "config";
/// Setting under which a pending change is stored: boot id, deadline, text.
pub(crate) const PENDING_KEY: &str = "config.pending";
/// Setting under which the text is stored that was rolled back, so that a restart does not put it in force.
pub(crate) const REJECTED_KEY: &str = "config.rejected";

/// How a desired state goes back if its flip does not come.
#[derive(Debug)]
pub(super) enum Undo {
    /// Entries as they were.
    Entries(Vec<(ListId, IpNet, Option<EntryInfo>)>),
    /// A list's imported part as it was.
    Imported(ListId, Prefixes, Option<jiff::Timestamp>, u64),
    /// A list that was not there.
    Created(ListId),
    /// The enforcement switch as it was.
    Enforcement(Option<Enforcement>),
    /// Settings as they were.
    Settings(Arc<Settings>, Vec<(ListId, Enforcement)>),
    /// Guards as they were.
    Guards(Guards),
    /// Several.
    All(Vec<Undo>),
    /// Nothing.
    Nothing,
}

impl Undo {
    /// The imported part of a list, as it is now.
    pub(super) fn imported(list: &List) -> Self {
        Self::Imported(list.id, list.imported.clone(), list.imported_at, list.imported_sequence)
    }

    pub(super) fn carry_out(self, state: &mut State) {
        match self {
            Self::Entries(entries) => restore(&mut state.desired, entries),
            Self::Imported(id, prefixes, at, sequence) => {
                if let Some(list) = state.desired.list_mut(id) {
                    list.imported = prefixes;
                    list.imported_at = at;
                    list.imported_sequence = sequence;
                }
            }
            Self::Created(id) => {
                // Entries that came meanwhile keep the list.
                let empty = state.desired.list(id).is_some_and(|list| list.entries.is_empty());
                if empty && !super::change::is_builtin(id) {
                    state.desired.remove_list(id);
                } else if let Some(list) = state.desired.list_mut(id) {
                    list.imported = Prefixes::default();
                }
            }
            Self::Enforcement(old) => state.enforcement = old,
            Self::Settings(old, lists) => {
                state.settings = old;
                for (id, enforcement) in lists {
                    if let Some(list) = state.desired.list_mut(id) {
                        list.enforcement = enforcement;
                    }
                }
            }
            Self::Guards(old) => state.guards = old,
            Self::All(all) => all.into_iter().rev().for_each(|undo| undo.carry_out(state)),
            Self::Nothing => {}
        }
    }
}

type Saves = Box<dyn FnOnce(&mut Sync) + Send>;
type Done = Box<dyn FnOnce(&mut Sync, Result<(), SyncError>) + Send>;

/// A change that comes with a flip.
pub(super) struct Job {
    undo: Undo,
    saves: Saves,
    done: Done,
    /// Undone unless confirmed within so many seconds.
    confirm: Option<(u64, Arc<Settings>)>,
}

impl Job {
    /// A change that is in the desired state already. `saves` queues what the store must hold once it is in force.
    pub(super) fn new(undo: Undo, saves: impl FnOnce(&mut Sync) + Send + 'static) -> Self {
        Self { undo, saves: Box::new(saves), done: Box::new(|_, _| {}), confirm: None }
    }

    /// What follows the flip, or its failure.
    pub(super) fn with(mut self, done: impl FnOnce(&mut Sync, Result<(), SyncError>) + Send + 'static) -> Self {
        self.done = Box::new(done);
        self
    }
}

/// Jobs whose flip is being prepared.
pub(super) struct Running {
    jobs: Vec<Job>,
    view: SlotView,
    started: Instant,
}

/// What a worker made.
#[derive(Debug)]
pub struct Built {
    slot: u32,
    result: Result<BuiltSlot, BuildFailure>,
}

#[derive(Debug)]
struct BuiltSlot {
    class_lists: Vec<Vec<u16>>,
    entries: u64,
}

/// Why a generation could not be made. What was in force still is.
#[derive(Debug, thiserror::Error)]
pub enum BuildFailure {
    /// It does not fit or cannot be expressed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The kernel refused.
    #[error("the kernel refused the change, what was in force still is: {0}")]
    Write(#[from] WriteError),
}

/// A slot that no packet is judged by any more.
#[derive(Debug)]
pub struct Retired {
    slot: Option<u32>,
    result: Result<(), WriteError>,
}

impl Sync {
    /// Puts a job in line and starts a build if none is running; one that runs may not hold the change.
    pub(super) fn queue_job(&mut self, job: Job) {
        self.queue.push_back(job);
        self.start_build();
    }

    /// Starts building the next generation, with every job that waits.
    fn start_build(&mut self) {
        if self.job.is_some() || self.retiring {
            return;
        }
        let jobs: Vec<Job> = self.queue.drain(..).collect();
        let confirm = jobs.iter().find_map(|job| job.confirm.as_ref().map(|(seconds, _)| *seconds));
        let now = clock::now();
        let shared = self.shared.clone();
        let mut state = shared.write();
        let taken: Vec<usize> = state.slots().iter().map(|view| view.slot).collect();
        let Some(slot) =
            (1..=SLOTS as usize).map(|i| (state.current.slot + i) % SLOTS as usize).find(|s| !taken.contains(s))
        else {
            return;
        };
        let view = SlotView { slot, snapshot: state.sequence };
        state.building = Some(view);
        let slots = state.slots();
        let State { overlay, desired, guards, .. } = &mut *state;
        let ops = overlay.refresh(&Context { desired, guards, slots: &slots, now: now.boot });
        let flags = overlay.flags();
        let mut descriptor = state.settings.slot(state.generation + 1, state.enforcement());
        if let Some(seconds) = confirm {
            descriptor.confirm_deadline_s = now.boot.0 + seconds;
            descriptor.fallback = u32::try_from(state.current.slot).unwrap_or(0);
        }
        let (desired, guards, capacity) = (state.desired.clone(), state.guards.clone(), state.settings.capacity);
        drop(state);
        self.job = Some(Running { jobs, view, started: Instant::now() });
        if let Err(error) = self.writer.overlay(&ops, flags) {
            self.problem("kernel", Some(error.to_string()));
        }
        let (writer, to_self) = (Arc::clone(&self.writer), self.to_self.clone());
        let slot = u32::try_from(slot).unwrap_or(0);
        std::thread::spawn(move || {
            let now_s = u32::try_from(now.boot.0).unwrap_or(u32::MAX);
            let result = tables::build(&desired, &guards, capacity, now_s).map_err(BuildFailure::Build);
            drop(desired);
            let result = result.and_then(|image| {
                writer.write_slot(slot, &image, descriptor).map_err(BuildFailure::Write)?;
                let entries = u64::try_from(image.len()).unwrap_or(u64::MAX);
                Ok(BuiltSlot { class_lists: image.class_lists, entries })
            });
            // The task may have stopped; then nobody flips.
            let _stopped = to_self.send(Command::Built(Box::new(Built { slot, result })));
        });
    }

    /// Flips to what the worker built, or takes the jobs' changes back.
    pub(super) fn built(&mut self, built: Built) {
        let Some(running) = self.job.take() else { return };
        match built.result {
            Ok(made) => self.flip(built.slot, made, running),
            Err(failure) => self.take_back(failure, running.jobs),
        }
    }

    fn flip(&mut self, slot: u32, made: BuiltSlot, running: Running) {
        let shared = self.shared.clone();
        let mut state = shared.write();
        let old = state.current;
        state.generation += 1;
        let confirm = running.jobs.iter().find_map(|job| job.confirm.clone());
        self.writer.flip(Control::new(slot, state.generation, confirm.is_some()));
        state.current = running.view;
        state.building = None;
        state.table_entries = made.entries;
        if let Some(lists) = state.class_lists.get_mut(slot as usize) {
            *lists = made.class_lists;
        }
        let mut retire = Some(u32::try_from(old.slot).unwrap_or(0));
        if let Some((seconds, fallback)) = confirm {
            let now = clock::now();
            let expiry = now.after(seconds);
            // The kernel's own deadline was set when the build began.
            let deadline = self.writer.slot(slot).map_or(expiry.boot.0, |slot| slot.confirm_deadline_s);
            state.pending = Some(Pending {
                deadline: crate::domain::time::BootSeconds(deadline),
                deadline_wall: expiry.wall,
                fallback,
                slot: old,
            });
            retire = None;
        }
        tracing::info!(
            generation = state.generation,
            entries = state.table_entries,
            milliseconds = running.started.elapsed().as_millis(),
            "policy in force"
        );
        let generation = state.generation;
        let classes = class_lists_of(state.class_lists.get(slot as usize).map_or(&[], Vec::as_slice));
        // The one before the last is in no slot any more.
        self.unsaved.push(Change::RemoveClassLists { generation: generation.saturating_sub(2) });
        self.unsaved.push(Change::PutClassLists { generation, classes });
        drop(state);
        self.last_flip = Instant::now();
        self.retire(retire);
        for job in running.jobs {
            (job.saves)(self);
            (job.done)(self, Ok(()));
        }
    }

    /// Waits for the grace period aside; the fold follows.
    fn retire(&mut self, slot: Option<u32>) {
        self.retiring = true;
        let (writer, to_self) = (Arc::clone(&self.writer), self.to_self.clone());
        std::thread::spawn(move || {
            let result = match slot {
                Some(slot) => writer.retire(slot),
                None => Ok(()),
            };
            let _stopped = to_self.send(Command::Retired(Retired { slot, result }));
        });
    }

    /// Folds what the slot in force holds out of the overlay, and the retired slot's counters into the totals.
    pub(super) fn retired(&mut self, retired: &Retired) {
        self.retiring = false;
        if let Err(error) = &retired.result {
            self.problem("kernel", Some(format!("a retired policy could not be freed: {error}")));
        }
        if let Some(slot) = retired.slot {
            let hits = self.writer.class_hits(slot);
            let mut state = self.shared.write();
            let lists = state.class_lists.get(slot as usize).cloned().unwrap_or_default();
            for (list, (packets, bytes)) in tables::attribute(&lists, &hits) {
                let total = state.totals.entry(list).or_default();
                total.0 += packets;
                total.1 += bytes;
            }
            if let Some(lists) = state.class_lists.get_mut(slot as usize) {
                lists.clear();
            }
        }
        if let Err(error) = self.refresh_overlay() {
            self.problem("kernel", Some(error.to_string()));
        }
        self.save_totals();
        if !self.queue.is_empty() {
            self.start_build();
        }
    }

    /// Makes every overlay value right for the slots as they are now.
    pub(super) fn refresh_overlay(&self) -> Result<(), SyncError> {
        let mut state = self.shared.write();
        let slots = state.slots();
        let State { overlay, desired, guards, totals, .. } = &mut *state;
        let ops = overlay.refresh(&Context { desired, guards, slots: &slots, now: clock::now().boot });
        self.fold_hits(totals, &ops);
        let flags = overlay.flags();
        Ok(self.writer.overlay(&ops, flags)?)
    }

    /// A build failed: nothing was flipped, and what the jobs wanted goes back.
    fn take_back(&mut self, failure: BuildFailure, jobs: Vec<Job>) {
        {
            let mut state = self.shared.write();
            state.building = None;
        }
        let failure = Arc::new(failure);
        let mut dones = Vec::new();
        for job in jobs.into_iter().rev() {
            job.undo.carry_out(&mut self.shared.write());
            dones.push(job.done);
        }
        if let Err(error) = self.refresh_overlay() {
            self.problem("kernel", Some(error.to_string()));
        }
        if dones.is_empty() {
            // A fold of live changes: they stay live, and the next try comes with the next change or minute.
            self.problem("policy", Some(format!("live changes could not be folded into the tables: {failure}")));
            self.last_flip = Instant::now();
        }
        for done in dones.into_iter().rev() {
            done(self, Err(SyncError::Build(Arc::clone(&failure))));
        }
        if !self.queue.is_empty() {
            self.start_build();
        }
    }

    pub(super) fn set_enforcement(&mut self, to: Enforcement, actor: &str, reply: Reply<SwitchReport>) {
        let mut state = self.shared.write();
        if let Some(pending) = &state.pending {
            let until = pending.deadline_wall;
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
        });
        self.queue_job(job.with(move |task, done| match done {
            Ok(()) => task.answer_saved(reply, SwitchReport { changed, state: name.to_owned() }),
            Err(error) => answer(reply, Err(error)),
        }));
    }

    pub(super) fn set_guards(&mut self, guards: Guards) {
        let mut state = self.shared.write();
        if state.guards == guards {
            return;
        }
        let undo = Undo::Guards(std::mem::replace(&mut state.guards, guards));
        state.sequence += 1;
        let pending = state.pending.is_some();
        drop(state);
        if pending {
            // In force with the next flip; the doors ask the new set at once.
            return;
        }
        self.queue_job(Job::new(undo, |_| {}));
    }

    pub(super) fn apply(
        &mut self,
        settings: &Arc<Settings>,
        confirm_s: Option<u64>,
        dry_run: bool,
        actor: &str,
        reply: Reply<ConfigReport>,
    ) {
        let mut state = self.shared.write();
        if let Some(pending) = &state.pending {
            let until = pending.deadline_wall;
            drop(state);
            return answer(reply, Err(SyncError::Pending(until)));
        }
        let notes = state.settings.differences(settings);
        let mut report =
            ConfigReport { changed: !notes.is_empty(), dry_run, generation: state.generation, pending: None, notes };
        if dry_run || !report.changed {
            drop(state);
            return answer(reply, Ok(report));
        }
        let old = std::mem::replace(&mut state.settings, Arc::clone(settings));
        let mut lists = Vec::new();
        for list in state.desired.lists_mut() {
            let enforcement = settings.lists.get(&*list.name).copied().unwrap_or_default();
            if list.enforcement != enforcement {
                lists.push((list.id, std::mem::replace(&mut list.enforcement, enforcement)));
            }
        }
        drop(state);
        let (actor, text) = (actor.to_owned(), settings.text.to_string());
        let notes = report.notes.clone();
        let boot_id = self.boot_id.clone();
        let mut job = Job::new(Undo::Settings(Arc::clone(&old), lists), move |task| {
            let deadline = task.shared.read().pending.as_ref().map(|pending| pending.deadline.0);
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
        let mut state = self.shared.write();
        let Some(pending) = state.pending.take() else {
            drop(state);
            return answer(reply, Err(SyncError::Nothing("no settings change waits for a confirmation")));
        };
        let slot = u32::try_from(state.current.slot).unwrap_or(0);
        self.writer.flip(Control::new(slot, state.generation, false));
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
                    "no settings change waits for a confirmation; edit the file and `weir config apply` to change settings",
                )),
            );
        }
        self.fall_back(actor);
        let report = report_of(&self.shared.read(), true);
        self.answer_saved(reply, report);
    }

    /// Back to the settings before: the kernel has done so already if the deadline has passed.
    fn fall_back(&mut self, actor: &str) {
        let mut state = self.shared.write();
        let Some(pending) = state.pending.take() else { return };
        state.generation += 1;
        let slot = u32::try_from(pending.slot.slot).unwrap_or(0);
        self.writer.flip(Control::new(slot, state.generation, false));
        let given_up = std::mem::replace(&mut state.current, pending.slot);
        let rejected = std::mem::replace(&mut state.settings, pending.fallback);
        let settings = Arc::clone(&state.settings);
        for list in state.desired.lists_mut() {
            list.enforcement = settings.lists.get(&*list.name).copied().unwrap_or_default();
        }
        drop(state);
        self.unsaved.push(Change::RemoveSetting { key: PENDING_KEY.to_owned() });
        self.unsaved.push(Change::SetSetting { key: REJECTED_KEY.to_owned(), value: rejected.text.to_string() });
        self.audit(actor, "config rollback", "", &json!({}));
        self.retire(Some(u32::try_from(given_up.slot).unwrap_or(0)));
        // What was blocked and unblocked meanwhile is in the overlay; the next build holds it all.
        self.queue_job(Job::new(Undo::Nothing, |_| {}));
    }

    /// What time alone brings: deadlines, expiries, folds, sweeps, copies.
    pub(super) fn tick(&mut self) {
        let now = clock::now();
        let overdue = self.shared.read().pending.as_ref().is_some_and(|pending| now.boot >= pending.deadline);
        if overdue {
            tracing::warn!("a settings change was not confirmed in time and is undone");
            self.fall_back("deadline");
        }
        if self.last_expiry.elapsed() >= Duration::from_secs(1) {
            self.last_expiry = Instant::now();
            self.expire();
        }
        let overlay = self.shared.read().overlay.len();
        let pending = self.shared.read().pending.is_some();
        let due = overlay >= FOLD_AT || (overlay > 0 && self.last_flip.elapsed() >= FOLD_AFTER);
        if due && !pending && self.job.is_none() && !self.retiring {
            self.start_build();
        }
        if self.last_sweep.elapsed() >= Duration::from_secs(10) {
            self.last_sweep = Instant::now();
            let before =
                clock::monotonic().0.saturating_sub(u64::try_from(OFFENDER_IDLE.as_nanos()).unwrap_or(u64::MAX));
            if let Err(error) = self.writer.sweep_offenders(before) {
                self.problem("kernel", Some(error.to_string()));
            }
        }
        if self.last_copy.elapsed() >= COPY_EVERY {
            self.want_good_copy();
        }
    }

    /// Takes out what has ended. The kernel has stopped heeding it by itself.
    fn expire(&mut self) {
        let now = clock::now().boot;
        let mut state = self.shared.write();
        let gone = state.desired.expire(now);
        if gone.is_empty() {
            return;
        }
        let slots = state.slots();
        let State { overlay, desired, guards, totals, sequence, .. } = &mut *state;
        let context = Context { desired, guards, slots: &slots, now };
        for (_, prefix) in &gone {
            let Ok(ops) = overlay.change(&context, *prefix, &[], *sequence) else { continue };
            self.fold_hits(totals, &ops);
            if let Err(error) = self.writer.overlay(&ops, overlay.flags()) {
                tracing::warn!(%error, "an ended entry stays in the overlay until the next build");
            }
        }
        drop(state);
        tracing::info!(entries = gone.len(), "entries ended");
        self.unsaved.extend(gone.into_iter().map(|(list, prefix)| Change::RemoveEntry { list, prefix }));
    }

    /// Has the totals saved with the next transaction.
    pub(super) fn save_totals(&mut self) {
        let totals = self.shared.read().totals.clone();
        for (list, (packets, bytes)) in totals {
            if list != 0 {
                self.unsaved.push(Change::SetTotals { list: ListId(list), totals: StoredTotals { packets, bytes } });
            }
        }
    }

    /// Copies the store aside once what is unsaved is saved.
    pub(super) fn want_good_copy(&mut self) {
        self.last_copy = Instant::now();
        self.save();
        if let Err(error) = self.store.save_good_copy() {
            self.problem("store copy", Some(error.to_string()));
        } else {
            self.problem("store copy", None);
        }
    }
}

/// The lists of a generation's classes, as the store keeps them.
pub fn class_lists_of(classes: &[Vec<u16>]) -> ClassLists {
    (0u32..).zip(classes).map(|(class, lists)| (class, lists.iter().map(|list| ListId(*list)).collect())).collect()
}

/// The pending change, for people.
pub fn pending_row(state: &State) -> Option<PendingRow> {
    let pending = state.pending.as_ref()?;
    let left = pending.deadline.0.saturating_sub(clock::now().boot.0);
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
