//! Many entries of one list changed together, each with an end of its own.
use std::collections::HashSet;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::json;

use super::change::{Added, LIVE_AT_ONCE};
use super::job::{Job, Undo};
use super::{Batch, Batched, Put, Reply, State, Sync, SyncError, answer};
use crate::adapters::clock;
use crate::adapters::store::{Change, ListHeader};
use crate::domain::decision::{Decision, EntryInfo, Kind, ListId};
use crate::domain::guard::bare;
use crate::domain::listfile::Refused as _;

/// Decisions whose prefixes and reasons the audit trail names; of more, it has the counts.
const TOLD_ONE_BY_ONE: u64 = 64;

/// What a batch comes to on a list as it is.
struct Planned {
    put: Vec<(IpNet, Put)>,
    remove: Vec<IpNet>,
    refused: Vec<(IpNet, &'static str)>,
}

impl Sync {
    pub(super) fn batch(&mut self, batch: Batch, actor: &str, reply: Reply<Batched>) {
        match self.try_batch(batch, actor) {
            Ok((batched, None)) => self.answer_saved(reply, batched),
            Ok((batched, Some(job))) => self.queue_job(job.with(move |task, done| match done {
                Ok(()) => {
                    let generation = task.shared.read().generation;
                    task.answer_saved(reply, Batched { generation, ..batched });
                }
                Err(error) => answer(reply, Err(error)),
            })),
            Err(error) => answer(reply, Err(error)),
        }
    }

    fn try_batch(&mut self, batch: Batch, actor: &str) -> Result<(Batched, Option<Job>), SyncError> {
        let shared = self.shared.clone();
        let mut state = shared.write();
        let (list, origin, dry_run) = (batch.list.clone(), batch.origin.clone(), batch.dry_run);
        let usual = batch.usual;
        let planned = planned(&state, batch);
        let (puts, removals) = (planned.put.len() as u64, planned.remove.len() as u64);
        let generation = state.generation;
        let told = told(&planned);
        let batched = Batched { put: puts, removed: removals, refused: planned.refused, generation };
        let many = planned.put.len() + planned.remove.len();
        if many == 0 || dry_run {
            return Ok((batched, None));
        }
        if many > LIVE_AT_ONCE
            && let Some(until) = self.on_trial(&state)
        {
            return Err(SyncError::Pending(until));
        }
        // What is live at first must fit into the next build as well; what goes by a build is refused by it.
        let mut live = many <= LIVE_AT_ONCE;
        if live {
            let list = state.desired.named(&list);
            let is_new = |prefix: &IpNet| list.is_none_or(|list| list.on(*prefix).next().is_none());
            let added = planned.put.iter().map(|(prefix, put)| Added {
                prefix: *prefix,
                is_new: is_new(prefix),
                ends: put.expiry.is_some(),
            });
            live = super::change::surely_fits(&state, origin.rank(Kind::Deny), &added.collect::<Vec<_>>());
        }
        let is_new = state.desired.named(&list).is_none();
        let id = state.desired.list_for(&list, Kind::Deny, &origin)?;
        let settings = Arc::clone(&state.settings);
        let mut saves = Vec::new();
        if is_new && let Some(list) = state.desired.list_mut(id) {
            list.usual = usual;
            settings.apply_to(list);
            // Before its entries, and whatever becomes of them.
            self.unsaved.push(Change::PutList(ListHeader::of(list)));
        }
        let mut undo = Vec::new();
        let now = clock::now().wall;
        let brings = planned.put.len();
        let puts = planned.put.into_iter().map(|(prefix, put)| (prefix, Some(put)));
        for (prefix, put) in puts.chain(planned.remove.into_iter().map(|prefix| (prefix, None))) {
            state.sequence += 1;
            let sequence = state.sequence;
            let before = if live { own(&state, id, prefix) } else { Vec::new() };
            let Some(list) = state.desired.list_mut(id) else { continue };
            let old = if let Some(Put { expiry, reason, enforcement }) = put {
                let info = EntryInfo { reason, added_at: now, expiry, enforcement, forced: false, sequence };
                saves.push(Change::PutEntry { list: id, prefix, info: info.clone() });
                list.entries.insert(prefix, info)
            } else {
                saves.push(Change::RemoveEntry { list: id, prefix });
                list.entries.remove(&prefix)
            };
            undo.push((id, prefix, sequence, old));
            match if live { self.make_live(&mut state, prefix, &before, sequence) } else { Ok(Ok(())) } {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => {
                    tracing::info!(%reason, "the change goes by rebuild and flip");
                    live = false;
                }
                Err(error) => return Err(self.not_live(state, Undo::Entries(undo), error)),
            }
        }
        if !live && let Some(until) = self.on_trial(&state) {
            return Err(self.not_live(state, Undo::Entries(undo), SyncError::Pending(until)));
        }
        drop(state);
        let mut detail = json!({"put": batched.put, "removed": batched.removed, "refused": batched.refused.len()});
        if batched.put + batched.removed <= TOLD_ONE_BY_ONE {
            detail["entries"] = told;
        }
        let undo = Undo::Entries(undo);
        if live {
            let saves = self.settle(&undo, saves);
            self.unsaved.extend(saves);
            self.audit(actor, "decisions", &list, &detail);
            return Ok((batched, None));
        }
        let actor = actor.to_owned();
        let job = Job::new(undo, move |task| {
            let saves = task.what_holds(saves);
            task.unsaved.extend(saves);
            task.audit(&actor, "decisions", &list, &detail);
        })
        .of(brings);
        Ok((batched, Some(job)))
    }
}

/// The entries of a batch for the audit trail: whom, why, until when.
fn told(planned: &Planned) -> serde_json::Value {
    let most = usize::try_from(TOLD_ONE_BY_ONE).unwrap_or(usize::MAX);
    let put = planned.put.iter().take(most).map(|(prefix, put)| {
        let until = put.expiry.map(|expiry| expiry.wall.to_string());
        json!({"prefix": bare(*prefix), "reason": &*put.reason, "until": until})
    });
    let gone = planned.remove.iter().take(most).map(|prefix| json!({"prefix": bare(*prefix), "removed": true}));
    put.chain(gone).collect()
}

/// What of a batch may be done and would change something.
fn planned(state: &State, batch: Batch) -> Planned {
    let list = state.desired.named(&batch.list);
    let entry = |prefix: &IpNet| list.and_then(|list| list.entries.get(prefix));
    let mut refused = Vec::new();
    let mut put = batch.put;
    put.retain(|(prefix, _)| match state.guards.admit(*prefix, Kind::Deny, &batch.origin, false) {
        Ok(()) => true,
        Err(refusal) => {
            refused.push((*prefix, refusal.reason()));
            false
        }
    });
    let mut remove = batch.remove;
    if batch.replace {
        let kept: HashSet<IpNet> = put.iter().map(|(prefix, _)| *prefix).collect();
        remove = list.map_or_else(Vec::new, |list| {
            list.entries.keys().filter(|prefix| !kept.contains(*prefix)).copied().collect()
        });
    }
    remove.retain(|prefix| entry(prefix).is_some());
    if let Some(mark) = &batch.only_with {
        let is_marked = |prefix: &IpNet| entry(prefix).is_some_and(|entry| entry.reason.contains(mark));
        put.retain(|(prefix, _)| is_marked(prefix));
        remove.retain(is_marked);
    }
    put.retain(|(prefix, put)| entry(prefix).is_none_or(|old| !is_same(old, put)));
    Planned { put, remove, refused }
}

/// Whether an entry says the same already. An end is counted in whole seconds, so one second is no difference.
fn is_same(old: &EntryInfo, put: &Put) -> bool {
    let same_end = match (old.expiry, put.expiry) {
        (None, None) => true,
        (Some(old), Some(new)) => old.boot.0.abs_diff(new.boot.0) <= 1,
        (None, Some(_)) | (Some(_), None) => false,
    };
    same_end && old.reason == put.reason && old.enforcement == put.enforcement
}

/// The list's own decision on this very prefix.
fn own(state: &State, list: ListId, prefix: IpNet) -> Vec<Decision> {
    state.desired.list(list).map_or_else(Vec::new, |list| list.on(prefix).collect())
}
