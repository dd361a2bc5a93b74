//! Adding and removing entries.
use std::sync::{Arc, RwLockWriteGuard};

use ipnet::IpNet;
use serde_json::json;
use weir_common::abi::{RUN_STEPS, control_word};

use super::job::{Job, Undo};
use super::{Add, Remove, Reply, Sync, SyncError, answer};
use crate::adapters::clock;
use crate::adapters::store::{Change, ListHeader};
use crate::domain::decision::{Decision, Enforcement, EntryInfo, Kind, ListId, Origin};
use crate::domain::desired::{ALLOW, BLOCK, Desired};
use crate::domain::guard::bare;
use crate::domain::overlay::{Context, Op};
use crate::domain::report::{ChangeReport, ChangeRow, SwitchReport};
use crate::domain::tables::{self, More, OneChange};
use crate::domain::time::Expiry;

/// More prefixes than this in one request go by rebuild and flip: cheaper than as many live changes.
pub(super) const LIVE_AT_ONCE: usize = 256;

impl Sync {
    pub(super) fn add(&mut self, add: &Add, actor: &str, reply: Reply<ChangeReport>) {
        match self.try_add(add, actor) {
            Ok((report, None)) => self.answer_saved(reply, report),
            Ok((report, Some(job))) => self.queue_job(job.with(move |task, done| match done {
                Ok(()) => task.answer_saved(reply, report),
                Err(error) => answer(reply, Err(error)),
            })),
            Err(error) => answer(reply, Err(error)),
        }
    }

    fn try_add(&mut self, add: &Add, actor: &str) -> Result<(ChangeReport, Option<Job>), SyncError> {
        let now = clock::now();
        let expiry = add.for_s.map(|seconds| now.after(seconds));
        let mut report = ChangeReport { changed: false, dry_run: add.dry_run, changes: Vec::new(), notes: Vec::new() };
        let shared = self.shared.clone();
        let mut state = shared.write();
        for prefix in &add.prefixes {
            state.guards.admit(*prefix, add.kind, &add.origin, add.force)?;
        }
        if add.kind == Kind::Deny {
            for hit in add.prefixes.iter().flat_map(|prefix| state.guards.spared(*prefix)) {
                report.notes.push(format!("{} ({}) stays reachable", bare(hit.prefix), hit.why));
            }
        }
        let name = list_name(add.kind, &add.origin);
        has_room(&mut state, add, &name, expiry)?;
        let id = self.list_to_add_to(&mut state, add, &name)?;
        let mut undo = Vec::new();
        let mut live = add.prefixes.len() <= LIVE_AT_ONCE;
        let mut why = None;
        let mut saves = Vec::new();
        for prefix in &add.prefixes {
            let old = state.desired.list(id).and_then(|list| list.entries.get(prefix)).cloned();
            let forced = add.force && state.guards.overrides(*prefix);
            let same = old.as_ref().is_some_and(|old| is_same(old, add, forced));
            let change = if same {
                "unchanged"
            } else if old.is_some() {
                "updated"
            } else {
                "added"
            };
            report.changes.push(row(*prefix, change, &name));
            if same {
                continue;
            }
            report.changed = true;
            if add.dry_run {
                continue;
            }
            state.sequence += 1;
            let sequence = state.sequence;
            let before: Vec<Decision> = state.desired.on(*prefix).into_iter().filter(|d| d.list == id).collect();
            let info = EntryInfo {
                reason: Arc::clone(&add.reason),
                added_at: now.wall,
                expiry,
                enforcement: add.enforcement,
                forced,
                sequence,
            };
            saves.push(Change::PutEntry { list: id, prefix: *prefix, info: info.clone() });
            if let Some(list) = state.desired.list_mut(id) {
                list.entries.insert(*prefix, info);
            }
            undo.push((id, *prefix, sequence, old));
            match if live { self.make_live(&mut state, *prefix, &before, sequence) } else { Ok(Ok(())) } {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => (live, why) = (false, Some(reason)),
                Err(error) => return Err(self.not_live(state, Undo::Entries(undo), error)),
            }
        }
        if !report.changed || add.dry_run {
            return Ok((report, None));
        }
        let wait = self.on_trial(&state);
        if !live && let Some(until) = wait {
            // No flip may happen now; what was made live goes back.
            return Err(self.not_live(state, Undo::Entries(undo), SyncError::Pending(until)));
        }
        drop(state);
        let targets: Vec<String> = add.prefixes.iter().take(20).map(|prefix| bare(*prefix)).collect();
        let action = match add.kind {
            Kind::Deny => "block add",
            Kind::Allow => "allow add",
        };
        let detail = json!({"origin": add.origin, "reason": &*add.reason, "for_s": add.for_s, "force": add.force,
            "prefixes": add.prefixes.len()});
        let (undo, entries) = (Undo::Entries(undo), add.prefixes.len());
        if live {
            let saves = self.settle(&undo, saves);
            self.unsaved.extend(saves);
            self.audit(actor, action, &targets.join(" "), &detail);
            return Ok((report, None));
        }
        if let Some(why) = why {
            tracing::info!(%why, "the change goes by rebuild and flip");
        }
        let (actor, action, target) = (actor.to_owned(), action.to_owned(), targets.join(" "));
        Ok((
            report,
            Some(
                Job::new(undo, move |task| {
                    let saves = task.what_holds(saves);
                    task.unsaved.extend(saves);
                    task.audit(&actor, &action, &target, &detail);
                })
                .of(entries),
            ),
        ))
    }

    /// The list that entries of the request go to, made if there is none; with `dry_run`, whether it could be made.
    fn list_to_add_to(&mut self, state: &mut super::State, add: &Add, name: &str) -> Result<ListId, SyncError> {
        if add.dry_run {
            // Names and numbers are tried on a copy without entries.
            let mut trial = Desired::default();
            for list in state.desired.lists() {
                trial.insert(list.without_entries());
            }
            return Ok(trial.list_for(name, add.kind, &add.origin)?);
        }
        let is_new = state.desired.named(name).is_none();
        let id = state.desired.list_for(name, add.kind, &add.origin)?;
        let settings = Arc::clone(&state.settings);
        if is_new && let Some(list) = state.desired.list_mut(id) {
            settings.apply_to(list);
            self.unsaved.push(Change::PutList(ListHeader::of(list)));
        }
        Ok(id)
    }

    pub(super) fn remove(&mut self, remove: &Remove, actor: &str, reply: Reply<ChangeReport>) {
        match self.try_remove(remove, actor) {
            Ok((report, None)) => self.answer_saved(reply, report),
            Ok((report, Some(job))) => self.queue_job(job.with(move |task, done| match done {
                Ok(()) => task.answer_saved(reply, report),
                Err(error) => answer(reply, Err(error)),
            })),
            Err(error) => answer(reply, Err(error)),
        }
    }

    fn try_remove(&mut self, remove: &Remove, actor: &str) -> Result<(ChangeReport, Option<Job>), SyncError> {
        let mut report =
            ChangeReport { changed: false, dry_run: remove.dry_run, changes: Vec::new(), notes: Vec::new() };
        let shared = self.shared.clone();
        let mut state = shared.write();
        let mut live = remove.prefixes.len() <= LIVE_AT_ONCE;
        let mut undos = Vec::new();
        let mut saves = Vec::new();
        for prefix in &remove.prefixes {
            let before: Vec<Decision> = state
                .desired
                .on(*prefix)
                .into_iter()
                .filter(|d| d.kind == remove.kind && remove.origin.as_ref().is_none_or(|origin| *origin == d.origin))
                .collect();
            if before.is_empty() {
                report.changes.push(row(*prefix, "unchanged", list_name(remove.kind, &Origin::Operator).as_str()));
                note_what_remains(&state.desired, *prefix, &before, &mut report.notes);
                continue;
            }
            report.changed = true;
            for decision in &before {
                let name = state.desired.list(decision.list).map_or_else(String::new, |list| list.name.to_string());
                report.changes.push(row(*prefix, "removed", &name));
            }
            note_what_remains(&state.desired, *prefix, &before, &mut report.notes);
            if remove.dry_run {
                continue;
            }
            state.sequence += 1;
            let sequence = state.sequence;
            for decision in &before {
                let Some(list) = state.desired.list_mut(decision.list) else { continue };
                if let Some(old) = list.entries.remove(prefix) {
                    undos.push(Undo::Entries(vec![(list.id, *prefix, sequence, Some(old))]));
                    saves.push(Change::RemoveEntry { list: list.id, prefix: *prefix });
                }
                if list.imported.contains(prefix) {
                    undos.push(Undo::Unlisted(list.id, *prefix, sequence));
                    list.imported.remove(prefix);
                    saves.push(Change::PutImported { list: list.id, prefixes: list.imported.clone() });
                }
            }
            match if live { self.make_live(&mut state, *prefix, &before, sequence) } else { Ok(Ok(())) } {
                Ok(made) => live = live && made.is_ok(),
                Err(error) => return Err(self.not_live(state, Undo::All(undos), error)),
            }
        }
        if !report.changed || remove.dry_run {
            return Ok((report, None));
        }
        let wait = self.on_trial(&state);
        let targets: Vec<String> = remove.prefixes.iter().take(20).map(|prefix| bare(*prefix)).collect();
        let action = match remove.kind {
            Kind::Deny => "block remove",
            Kind::Allow => "allow remove",
        };
        let detail = json!({"prefixes": remove.prefixes.len()});
        let undo = Undo::All(undos);
        if !live && let Some(until) = wait {
            return Err(self.not_live(state, undo, SyncError::Pending(until)));
        }
        drop(state);
        if live {
            let saves = self.settle(&undo, saves);
            self.unsaved.extend(saves);
            self.audit(actor, action, &targets.join(" "), &detail);
            return Ok((report, None));
        }
        let (actor, action, target) = (actor.to_owned(), action.to_owned(), targets.join(" "));
        Ok((
            report,
            Some(Job::new(undo, move |task| {
                let saves = task.what_holds(saves);
                task.unsaved.extend(saves);
                task.audit(&actor, &action, &target, &detail);
            })),
        ))
    }

    /// Carries a change into the overlay. The inner error says that it has to go by rebuild.
    pub(super) fn make_live(
        &self,
        state: &mut super::State,
        prefix: IpNet,
        before: &[Decision],
        sequence: u64,
    ) -> Result<Result<(), crate::domain::overlay::NeedsRebuild>, SyncError> {
        let slots = state.slots();
        let context = Context { desired: &state.desired, guards: &state.guards, slots: &slots, now: clock::now().boot };
        match state.overlay.change(&context, prefix, before, sequence) {
            Ok(ops) => {
                note(state, prefix, before, sequence);
                self.fold_hits(&mut state.totals, &ops);
                self.writer.overlay(&ops, state.overlay.flags())?;
                Ok(Ok(()))
            }
            Err(reason) => Ok(Err(reason)),
        }
    }

    /// Takes back a change of which some may be live, for this reason: it is answered as not done, so it is not.
    pub(super) fn not_live(
        &self,
        mut state: RwLockWriteGuard<'_, super::State>,
        undo: Undo,
        why: SyncError,
    ) -> SyncError {
        undo.carry_out(&mut state);
        drop(state);
        if let Err(error) = self.refresh_overlay() {
            self.problem("kernel", Some(error.to_string()));
        }
        why
    }

    /// Keeps what the values counted that are about to go.
    pub(super) fn fold_hits(&self, totals: &mut super::ListTotals, ops: &[Op]) {
        for op in ops {
            if let Op::Remove(_, counter, list) = op {
                let hits = self.shared.reader.overlay_hits(*counter);
                if hits.packets > 0 {
                    let total = totals.entry(*list).or_default();
                    total.0 += hits.packets;
                    total.1 += hits.bytes;
                }
            }
        }
    }

    pub(super) fn set_bypass(&mut self, on: bool, actor: &str, reply: Reply<SwitchReport>) {
        let was = self.writer.word(control_word::BYPASS) != 0;
        self.writer.set_word(control_word::BYPASS, u64::from(on));
        if was != on {
            self.audit(actor, "bypass", if on { "on" } else { "off" }, &json!({}));
        }
        let state = if on { "on" } else { "off" };
        self.answer_saved(reply, SwitchReport { changed: was != on, state: state.to_owned() });
    }
}

/// Whether adding would change nothing. What ends is never the same: it would end later.
fn is_same(old: &EntryInfo, add: &Add, forced: bool) -> bool {
    old.reason == add.reason
        && old.enforcement == add.enforcement
        && old.forced == forced
        && old.expiry.is_none()
        && add.for_s.is_none()
}

/// Whether the tables have room for what is to be added, until then: what is live at first is folded into them, and a
/// restart begins with them. What goes by a build is refused by it, unless nothing is to be changed.
fn has_room(state: &mut super::State, add: &Add, name: &str, expiry: Option<Expiry>) -> Result<(), SyncError> {
    let is_live = add.prefixes.len() <= LIVE_AT_ONCE;
    let rank = add.origin.rank(add.kind);
    let list = state.desired.named(name);
    let is_new = |prefix: &IpNet| list.is_none_or(|list| list.on(*prefix).next().is_none());
    let change = |prefix: &IpNet| Added { prefix: *prefix, is_new: is_new(prefix), ends: expiry.is_some() };
    if is_live && surely_fits(state, rank, &add.prefixes.iter().map(change).collect::<Vec<_>>()) {
        return Ok(());
    }
    if !is_live && !add.dry_run {
        return Ok(());
    }
    let mut trial = state.desired.clone();
    let id = trial.list_for(name, add.kind, &add.origin)?;
    let now = clock::now();
    let info = EntryInfo {
        reason: Arc::clone(&add.reason),
        added_at: now.wall,
        expiry,
        enforcement: add.enforcement,
        forced: false,
        sequence: state.sequence,
    };
    if let Some(list) = trial.list_mut(id) {
        list.entries.extend(add.prefixes.iter().map(|prefix| (*prefix, info.clone())));
    }
    let now_s = u32::try_from(now.boot.0).unwrap_or(u32::MAX);
    let image = tables::build(&trial, &state.guards, state.capacity(), now_s, [0; 2])?;
    if !add.dry_run {
        // The next adds need no trial of their own.
        state.forecast.tried(image.sizes);
    }
    Ok(())
}

/// An entry that is to be added.
pub(super) struct Added {
    pub(super) prefix: IpNet,
    /// Whether its list has nothing on the prefix yet.
    pub(super) is_new: bool,
    /// Whether it ends by itself.
    pub(super) ends: bool,
}

/// Whether the next build surely has room for these, on lists of a rank, on top of what is live: that is folded into it.
pub(super) fn surely_fits(state: &super::State, rank: u16, added: &[Added]) -> bool {
    let steps = RUN_STEPS as usize;
    let mut more = More::default();
    let mut ends_fit = true;
    for one in added {
        let Added { prefix, is_new, ends } = *one;
        // Those of one request lie over each other as well, and may end at different moments.
        let meets = |other: &&Added| other.ends && (other.prefix.contains(&prefix) || prefix.contains(&other.prefix));
        let together = added.iter().filter(meets).count();
        ends_fit = ends_fit && (!ends || state.desired.ends_within(prefix, steps) + together <= steps);
        more += state.more(OneChange { prefix, rank: Some(rank), is_new, ends: together });
    }
    ends_fit && state.forecast.surely_fits(more, state.capacity())
}

/// Has the forecast know of a change that was made: `before` is what was on the prefix and is not any more.
fn note(state: &mut super::State, prefix: IpNet, before: &[Decision], sequence: u64) {
    let rank = |decision: &Decision| decision.origin.rank(decision.kind);
    let new = state.desired.on(prefix).into_iter().find(|decision| decision.info.sequence == sequence);
    let rank = match before {
        [] => new.as_ref().map(rank),
        [one] => Some(rank(one)),
        _ => None,
    };
    let more = state.more(OneChange { prefix, rank, is_new: before.is_empty(), ends: 0 });
    state.forecast.changed(more);
}

/// The list that an origin's single entries are on.
fn list_name(kind: Kind, origin: &Origin) -> String {
    match (origin, kind) {
        (Origin::Operator, Kind::Deny) => "block".to_owned(),
        (Origin::Operator, Kind::Allow) => "allow".to_owned(),
        (origin, Kind::Deny) => origin.name().to_owned(),
        (origin, Kind::Allow) => format!("{}-allow", origin.name()),
    }
}

fn row(prefix: IpNet, change: &str, list: &str) -> ChangeRow {
    ChangeRow { prefix: prefix.to_string(), change: change.to_owned(), list: list.to_owned() }
}

/// Says what still covers a prefix once `gone` is gone: removing an entry rarely means what one thinks if a wider one
/// stands beneath.
fn note_what_remains(desired: &Desired, prefix: IpNet, gone: &[Decision], notes: &mut Vec<String>) {
    let remaining = desired.covering(prefix).into_iter().filter(|d| !gone.contains(d)).min_by_key(Decision::order);
    let Some(decision) = remaining else { return };
    let list = desired.list(decision.list).map_or("?", |list| &*list.name);
    let what = match (decision.kind, decision.info.enforcement) {
        (Kind::Deny, Enforcement::Observe) => "observed",
        (Kind::Deny, Enforcement::Enforce) => "denied",
        (Kind::Allow, _) => "allowed",
    };
    notes.push(format!("{} is still {what} by {} (list {list})", bare(prefix), bare(decision.prefix)));
}

/// The two lists that are never removed.
pub(super) fn is_builtin(id: ListId) -> bool {
    id == BLOCK || id == ALLOW
}
