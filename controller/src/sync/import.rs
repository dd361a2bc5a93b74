//! Lists as a whole: their content replaced, or all of them taken away.
use serde_json::json;

use super::job::{Job, Undo};
use super::{Import, Imported, Reply, Sync, SyncError, answer};
use crate::adapters::clock;
use crate::adapters::store::{Change, ListHeader};
use crate::domain::decision::{EntryInfo, ListId};
use crate::domain::tables;

impl Sync {
    pub(super) fn import(&mut self, import: Import, actor: &str, reply: Reply<Imported>) {
        match self.try_import(import, actor) {
            Ok((imported, None)) => answer(reply, Ok(imported)),
            Ok((imported, Some(job))) => self.queue_import(job, imported, reply),
            Err(error) => answer(reply, Err(error)),
        }
    }

    fn queue_import(&mut self, job: Job, imported: Imported, reply: Reply<Imported>) {
        self.queue_job(job.with(move |task, done| match done {
            Ok(()) => {
                let generation = task.shared.read().generation;
                task.answer_saved(reply, Imported { generation, ..imported });
            }
            Err(error) => answer(reply, Err(error)),
        }));
    }

    fn try_import(&mut self, import: Import, actor: &str) -> Result<(Imported, Option<Job>), SyncError> {
        let shared = self.shared.clone();
        let mut state = shared.write();
        let generation = state.generation;
        let existing = state.desired.named(&import.name);
        let is_same = existing.is_some_and(|list| {
            list.kind == import.kind
                && list.origin == import.origin
                && list.usual == import.usual
                && list.imported == import.prefixes
        });
        if is_same && import.ending.is_empty() {
            return Ok((Imported { changed: false, generation }, None));
        }
        let now = clock::now();
        if import.dry_run {
            let mut trial = state.desired.clone();
            let id = trial.list_for(&import.name, import.kind, &import.origin)?;
            if let Some(list) = trial.list_mut(id) {
                list.imported = import.prefixes;
                list.entries.extend(ending(&import.ending, &import.name, state.sequence));
            }
            let now_s = u32::try_from(now.boot.0).unwrap_or(u32::MAX);
            tables::build(&trial, &state.guards, state.settings.capacity, now_s, [0; 2])?;
            return Ok((Imported { changed: true, generation }, None));
        }
        if let Some(until) = self.on_trial(&state) {
            return Err(SyncError::Pending(until));
        }
        let created = existing.is_none();
        let id = state.desired.list_for(&import.name, import.kind, &import.origin)?;
        state.sequence += 1;
        let sequence = state.sequence;
        let settings = std::sync::Arc::clone(&state.settings);
        let entries = import.prefixes.len() + import.ending.len();
        let Some(list) = state.desired.list_mut(id) else { return Err(SyncError::Stopping) };
        let mut undos = vec![if created { Undo::Created(id, sequence) } else { Undo::imported(list, sequence) }];
        let is_derived = list.is_derived();
        list.origin = import.origin;
        list.usual = import.usual;
        settings.apply_to(list);
        list.imported = import.prefixes;
        list.imported_at = Some(now.wall);
        list.imported_sequence = sequence;
        let mut saves = vec![Change::PutList(ListHeader::of(list))];
        if !is_derived {
            saves.push(Change::PutImported { list: id, prefixes: list.imported.clone() });
        }
        let mut before = Vec::new();
        for (prefix, info) in ending(&import.ending, &import.name, sequence) {
            saves.push(Change::PutEntry { list: id, prefix, info: info.clone() });
            before.push((id, prefix, sequence, list.entries.insert(prefix, info)));
        }
        undos.push(Undo::Entries(before));
        let (actor, name) = (actor.to_owned(), import.name);
        let job = Job::new(Undo::All(undos), move |task| {
            let saves = task.what_holds(saves);
            task.unsaved.extend(saves);
            task.audit(&actor, "import", &name, &json!({"entries": entries}));
            if !is_derived {
                task.want_good_copy();
            }
        })
        .of(entries);
        Ok((Imported { changed: true, generation }, Some(job)))
    }

    /// Many lists at once: all of it comes with one flip, or nothing does.
    pub(super) fn lists(&mut self, put: Vec<Import>, remove: &[String], actor: &str, reply: Reply<Imported>) {
        let generation = self.shared.read().generation;
        let (mut jobs, mut failed) = (Vec::new(), None);
        let removed = self.remove_lists(remove, actor);
        match removed {
            Ok(job) => jobs.extend(job),
            Err(error) => failed = Some(error),
        }
        for import in put {
            if failed.is_some() {
                break;
            }
            match self.try_import(import, actor) {
                Ok((_, job)) => jobs.extend(job),
                Err(error) => failed = Some(error),
            }
        }
        let job = Job::all(jobs);
        match (failed, job) {
            (Some(error), job) => {
                if let Some(job) = job {
                    job.undo.carry_out(&mut self.shared.write());
                }
                answer(reply, Err(error));
            }
            (None, None) => answer(reply, Ok(Imported { changed: false, generation })),
            (None, Some(job)) => self.queue_import(job, Imported { changed: true, generation }, reply),
        }
    }

    fn remove_lists(&mut self, names: &[String], actor: &str) -> Result<Option<Job>, SyncError> {
        let shared = self.shared.clone();
        let mut state = shared.write();
        let gone: Vec<ListId> = names
            .iter()
            .filter_map(|name| state.desired.named(name))
            .filter(|list| list.is_derived() && !super::change::is_builtin(list.id))
            .map(|list| list.id)
            .collect();
        if gone.is_empty() {
            return Ok(None);
        }
        if let Some(until) = self.on_trial(&state) {
            return Err(SyncError::Pending(until));
        }
        let lists: Vec<_> = gone.iter().filter_map(|id| state.desired.remove_list(*id)).collect();
        let actor = actor.to_owned();
        let targets: Vec<String> = lists.iter().map(|list| list.name.to_string()).collect();
        Ok(Some(Job::new(Undo::Removed(lists), move |task| {
            let mut state = task.shared.write();
            state.totals.retain(|list, _| !gone.contains(&ListId(*list)));
            drop(state);
            task.unsaved.extend(gone.into_iter().map(Change::RemoveList));
            task.audit(&actor, "remove lists", &targets.join(" "), &json!({}));
        })))
    }
}

/// Entries that end by themselves.
fn ending<'a>(
    ending: &'a [(ipnet::IpNet, u64)],
    reason: &str,
    sequence: u64,
) -> impl Iterator<Item = (ipnet::IpNet, EntryInfo)> + 'a {
    let (now, reason) = (clock::now(), std::sync::Arc::<str>::from(reason));
    ending.iter().map(move |(prefix, left)| {
        let info = EntryInfo {
            reason: std::sync::Arc::clone(&reason),
            added_at: now.wall,
            expiry: Some(now.after(*left)),
            enforcement: crate::domain::decision::Enforcement::Enforce,
            forced: false,
            sequence,
        };
        (*prefix, info)
    })
}
