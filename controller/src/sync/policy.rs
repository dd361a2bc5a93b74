//! Generations: built and written by a worker, flipped by the task, retired after a grace period.
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use weir_common::abi::{Control, SLOTS, Slot, control_word};

use super::job::{Job, Undo};
use super::state::Pending;
use super::{Command, State, Sync, SyncError};
use crate::adapters::clock;
use crate::adapters::kernel::writer::{KernelWriter, WriteError};
use crate::adapters::store::{Change, ClassLists, ListTotals as StoredTotals};
use crate::domain::decision::ListId;
use crate::domain::desired::Desired;
use crate::domain::guard::Guards;
use crate::domain::overlay::{Context, SlotView};
use crate::domain::tables::{self, BuildError, Capacity, Class, Image, Sizes, Standing};
use crate::domain::time::BootSeconds;

/// Overlay values that start a fold into the tables.
const FOLD_AT: usize = 1_024;
/// Time after which even one overlay value is folded.
const FOLD_AFTER: Duration = Duration::from_mins(1);
/// How long an offender that sends nothing keeps its bucket.
const OFFENDER_IDLE: Duration = Duration::from_mins(2);
/// The same while more than half of the room is taken.
const OFFENDER_CROWDED: Duration = Duration::from_secs(10);
/// How long it takes until a slot that could not be freed is tried again.
const RETIRE_AGAIN: Duration = Duration::from_secs(1);
/// How often a good copy of the store is made.
const COPY_EVERY: Duration = Duration::from_hours(1);

/// Jobs whose flip is being prepared.
pub(super) struct Running {
    pub(super) jobs: Vec<Job>,
    view: SlotView,
    /// Whether the address tables are built anew, of all that is desired.
    has_new_tables: bool,
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
    classes: Arc<Vec<Class>>,
    tables: Sizes,
    is_switchable: bool,
}

/// What a worker is to make.
enum Work {
    /// Everything.
    Tables { desired: Arc<Desired>, guards: Guards, capacity: Capacity, now: BootSeconds, key: [u64; 2] },
    /// Rows beside the address tables of another slot.
    Rows { from: u32, classes: Arc<Vec<Class>>, standing: Standing, tables: Sizes },
}

impl Work {
    fn carry_out(
        self,
        writer: &KernelWriter,
        slot: u32,
        descriptor: &Slot,
        ports: &[u64],
    ) -> Result<BuiltSlot, BuildFailure> {
        match self {
            Self::Tables { desired, guards, capacity, now, key } => {
                let now_s = u32::try_from(now.0).unwrap_or(u32::MAX);
                let image = tables::build(&desired, &guards, capacity, now_s, key)?;
                drop(desired);
                writer.write_slot(slot, &image, *descriptor, ports)?;
                let Image { classes, sizes, is_switchable, .. } = image;
                Ok(BuiltSlot { classes: Arc::new(classes), tables: sizes, is_switchable })
            }
            Self::Rows { from, classes, standing, tables } => {
                let rows: Vec<_> = classes.iter().map(|class| standing.row(class)).collect();
                writer.write_rows(slot, from, &rows, *descriptor, ports)?;
                Ok(BuiltSlot { classes, tables, is_switchable: true })
            }
        }
    }
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
    /// The worker came to no end.
    #[error("the build broke off, what was in force still is: {0}; please report it")]
    Panicked(String),
}

/// Carries a worker's task out, and says so if it panics: who waits for a worker that never answers waits for ever.
fn caught<T>(task: impl FnOnce() -> Result<T, BuildFailure>) -> Result<T, BuildFailure> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(task)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(BuildFailure::Panicked(text.unwrap_or("a panic without words").to_owned()))
    })
}

/// A slot that no packet is judged by any more.
#[derive(Debug)]
pub struct Retired {
    slot: Option<u32>,
    result: Result<(), BuildFailure>,
}

impl Sync {
    /// Puts a job in line and starts a build if none is running; one that runs may not hold the change.
    pub(super) fn queue_job(&mut self, job: Job) {
        self.queue.push_back(job);
        self.start_build();
    }

    /// Until when a change that needs a flip has to wait: settings are on trial, or on their way to be.
    pub(super) fn on_trial(&self, state: &State) -> Option<Timestamp> {
        let building = self.job.iter().flat_map(|running| &running.jobs);
        let coming = || building.chain(&self.queue).find_map(|job| job.confirm.as_ref().map(|(seconds, _)| *seconds));
        let pending = state.pending.as_ref().map(|pending| pending.deadline_wall);
        pending.or_else(|| coming().map(|seconds| clock::now().after(seconds).wall))
    }

    /// Whether guards are on their way into the tables.
    pub(super) fn is_guarding(&self) -> bool {
        let building = self.job.iter().flat_map(|running| &running.jobs);
        building.chain(&self.queue).any(|job| matches!(job.undo, Undo::Guards(_)))
    }

    /// Starts building the next generation, with the jobs that wait. While settings are on trial all of them wait on: a
    /// flip would take the deadline from the kernel. Settings that go on trial have a flip of their own, so that what
    /// came before is not undone with them.
    fn start_build(&mut self) {
        if self.job.is_some() || self.retiring || self.shared.read().pending.is_some() {
            return;
        }
        let trial = self.queue.iter().position(|job| job.confirm.is_some());
        let count = trial.map_or(self.queue.len(), |before| before.max(1));
        let jobs: Vec<Job> = self.queue.drain(..count).collect();
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
        // Where lists are only switched, the tables in force serve on; what is live beside them stays live.
        let keeps_tables = state.is_switchable && !jobs.is_empty() && jobs.iter().all(|job| job.keeps_tables);
        let view = if keeps_tables {
            let base = Arc::new(state.current.base.standing_as_in(&state.desired));
            SlotView { slot, snapshot: state.current.snapshot, base }
        } else {
            SlotView { slot, snapshot: state.sequence, base: Arc::new(state.desired.clone()) }
        };
        state.building = Some(view.clone());
        let slots = state.slots();
        let State { overlay, desired, guards, .. } = &mut *state;
        let ops = overlay.refresh(&Context { desired, guards, slots: &slots, now: now.boot });
        let flags = overlay.flags();
        let ports = Arc::clone(&state.settings.ports);
        let mut descriptor = state.settings.slot(state.generation + 1, state.enforcement());
        if let Some(seconds) = confirm {
            descriptor.confirm_deadline_s = now.after(seconds).boot.0;
            descriptor.fallback = u32::try_from(state.current.slot).unwrap_or(0);
        }
        let slot = u32::try_from(slot).unwrap_or(0);
        let work = if keeps_tables {
            Work::Rows {
                from: u32::try_from(state.current.slot).unwrap_or(0),
                classes: state.classes.get(state.current.slot).cloned().unwrap_or_default(),
                standing: Standing::of(&state.desired),
                tables: state.tables,
            }
        } else {
            let key = tables::generation_key(self.writer.word(control_word::SEED), state.generation + 1);
            state.forecast.begins();
            let (desired, guards) = (Arc::clone(&view.base), state.guards.clone());
            Work::Tables { desired, guards, capacity: state.settings.capacity, now: now.boot, key }
        };
        drop(state);
        self.job = Some(Running { jobs, view, has_new_tables: !keeps_tables, started: Instant::now() });
        if let Err(error) = self.writer.overlay(&ops, flags) {
            self.problem("kernel", Some(error.to_string()));
        }
        let (writer, to_self) = (Arc::clone(&self.writer), self.to_self.clone());
        std::thread::spawn(move || {
            let result = caught(|| work.carry_out(&writer, slot, &descriptor, &ports.words));
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
        let old = std::mem::replace(&mut state.current, running.view);
        let has_new_tables = running.has_new_tables;
        state.generation += 1;
        let confirm = running.jobs.iter().find_map(|job| job.confirm.clone());
        self.writer.flip(Control::new(slot, state.generation, confirm.is_some()));
        state.building = None;
        state.tables = made.tables;
        if has_new_tables {
            state.forecast.built(made.tables);
        }
        state.is_switchable = made.is_switchable;
        if let Some(classes) = state.classes.get_mut(slot as usize) {
            *classes = made.classes;
        }
        let mut retire = Some(u32::try_from(old.slot).unwrap_or(0));
        if let Some((seconds, fallback)) = confirm {
            let now = clock::now();
            let expiry = now.after(seconds);
            // The kernel's own deadline was set when the build began.
            let deadline = self.writer.slot(slot).map_or(expiry.boot.0, |slot| slot.confirm_deadline_s);
            state.pending =
                Some(Pending { deadline: BootSeconds(deadline), deadline_wall: expiry.wall, fallback, slot: old });
            retire = None;
        }
        tracing::info!(
            generation = state.generation,
            entries = state.tables.entries(),
            bytes = state.tables.bytes,
            milliseconds = running.started.elapsed().as_millis(),
            "policy in force"
        );
        let generation = state.generation;
        let classes = class_lists_of(state.classes.get(slot as usize).map_or(&[], |classes| classes.as_slice()));
        // The one before the last is in no slot any more.
        self.unsaved.push(Change::RemoveClassLists { generation: generation.saturating_sub(2) });
        self.unsaved.push(Change::PutClassLists { generation, classes });
        drop(state);
        self.problem("policy", None);
        self.last_flip = Instant::now();
        if has_new_tables {
            self.fold_again.worked();
            self.problem("policy", None);
        }
        self.retire(retire);
        for job in running.jobs {
            (job.saves)(self);
            (job.done)(self, Ok(()));
        }
    }

    /// Waits for the grace period aside; the fold follows.
    pub(super) fn retire(&mut self, slot: Option<u32>) {
        self.retiring = true;
        let (writer, to_self) = (Arc::clone(&self.writer), self.to_self.clone());
        std::thread::spawn(move || {
            let result = caught(|| Ok(slot.map_or(Ok(()), |slot| writer.retire(slot))?));
            if result.is_err() {
                std::thread::sleep(RETIRE_AGAIN);
            }
            let _stopped = to_self.send(Command::Retired(Retired { slot, result }));
        });
    }

    /// Folds what the slot in force holds out of the overlay, and the retired slot's counters into the totals.
    pub(super) fn retired(&mut self, retired: &Retired) {
        if let Err(error) = &retired.result {
            // There was no grace period: a packet may still be judged by the old slot, so nothing is folded and nothing
            // built.
            self.problem(
                "old policy",
                Some(format!("it could not be freed, and nothing new is built until it is: {error}")),
            );
            return self.retire(retired.slot);
        }
        self.problem("old policy", None);
        self.retiring = false;
        if let Some(slot) = retired.slot {
            let hits = self.writer.class_hits(slot);
            let mut state = self.shared.write();
            let classes = state.classes.get(slot as usize).cloned().unwrap_or_default();
            for (list, (packets, bytes)) in tables::attribute(&classes, &hits) {
                let total = state.totals.entry(list).or_default();
                total.0 += packets;
                total.1 += bytes;
            }
            if let Some(classes) = state.classes.get_mut(slot as usize) {
                *classes = Arc::default();
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
    ///
    /// Where several do not fit together, the one that brings the most goes back, and the others are tried without it.
    fn take_back(&mut self, failure: BuildFailure, mut jobs: Vec<Job>) {
        if let BuildFailure::Panicked(_) = &failure {
            self.problem("policy", Some(failure.to_string()));
        }
        let largest = (0..jobs.len()).max_by_key(|at| jobs.get(*at).map(|job| job.entries));
        if let (BuildFailure::Build(_), true, Some(largest)) = (&failure, jobs.len() > 1, largest)
            && jobs.get(largest).is_some_and(|job| job.entries > 0)
        {
            let others = jobs.split_off(largest + 1);
            let largest = jobs.split_off(largest);
            jobs.into_iter().chain(others).rev().for_each(|job| self.queue.push_front(job));
            jobs = largest;
        }
        let shared = self.shared.clone();
        let mut state = shared.write();
        state.building = None;
        state.forecast.undone();
        let failure = Arc::new(failure);
        let mut dones = Vec::new();
        for job in jobs.into_iter().rev() {
            job.undo.carry_out_before(&mut state, &mut self.queue);
            dones.push(job.done);
        }
        drop(state);
        if let Err(error) = self.refresh_overlay() {
            self.problem("kernel", Some(error.to_string()));
        }
        if dones.is_empty() {
            // A fold of live changes: they stay live, and the next try comes with the next change or minute.
            self.problem("policy", Some(format!("live changes could not be folded into the tables: {failure}")));
            self.fold_again.failed(Instant::now(), FOLD_AFTER);
        }
        for done in dones.into_iter().rev() {
            done(self, Err(SyncError::Build(Arc::clone(&failure))));
        }
        if !self.queue.is_empty() {
            self.start_build();
        }
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
        if due && self.fold_again.is_due(Instant::now()) && !pending && self.job.is_none() && !self.retiring {
            self.start_build();
        }
        if self.last_sweep.elapsed() >= Duration::from_secs(10) {
            self.last_sweep = Instant::now();
            let swept = self.writer.sweep_offenders(clock::monotonic(), OFFENDER_IDLE, OFFENDER_CROWDED);
            if let Err(error) = swept {
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
        let State { overlay, desired, guards, totals, .. } = &mut *state;
        let context = Context { desired, guards, slots: &slots, now };
        for (_, prefix) in &gone {
            let ops = overlay.ended(&context, *prefix);
            if ops.is_empty() {
                continue;
            }
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
        let changes = totals_of(&self.shared.read());
        self.unsaved.extend(changes);
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

/// What every list has counted so far, as the store keeps it.
pub fn totals_of(state: &State) -> Vec<Change> {
    // What counted for a list that is gone is nobody's.
    let totals = state.totals.iter().filter(|(list, _)| state.desired.list(ListId(**list)).is_some());
    totals
        .map(|(list, (packets, bytes))| Change::SetTotals {
            list: ListId(*list),
            totals: StoredTotals { packets: *packets, bytes: *bytes },
        })
        .collect()
}

/// The lists of a generation's classes, as the store keeps them.
pub fn class_lists_of(classes: &[Class]) -> ClassLists {
    (0u32..).zip(classes).map(|(number, class)| (number, class.lists().map(ListId).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_panics_answers_all_the_same() {
        assert_eq!(caught(|| Ok(7)).unwrap(), 7);
        for (task, words) in [
            ((|| panic!("in so many words")) as fn() -> Result<(), BuildFailure>, "in so many words"),
            (|| panic!("{} words", 2), "2 words"),
            (|| std::panic::panic_any(2), "without words"),
        ] {
            let failure = caught(task).unwrap_err();
            assert!(matches!(failure, BuildFailure::Panicked(_)) && failure.to_string().contains(words), "{failure}");
        }
    }
}
