//! Changes that come with a flip, and how they go back if it does not come.
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use ipnet::IpNet;

use super::{Settings, State, Sync, SyncError};
use crate::adapters::store::Change;
use crate::domain::decision::{Enforcement, EntryInfo, ListEnforcement, ListId};
use crate::domain::desired::List;
use crate::domain::guard::Guards;
use crate::domain::prefixes::Prefixes;

/// An entry before a change: its list and prefix, the change's number, and what stood there.
pub(super) type Before = (ListId, IpNet, u64, Option<EntryInfo>);

/// How a desired state goes back if its flip does not come.
///
/// Only what is still the change's own goes back. What was changed live meanwhile was answered and stays
/// ([`Sync::settle`]); where a later job has changed it again, it is that job's to take it further back.
#[derive(Debug)]
pub(super) enum Undo {
    /// Entries as they were.
    Entries(Vec<Before>),
    /// A list's imported part as it was before the import of this number.
    Imported(Box<List>, u64),
    /// A prefix that was taken out of a list's imported part, by the change of this number.
    Unlisted(ListId, IpNet, u64),
    /// Lists that were there.
    Removed(Vec<List>),
    /// A list that was not there before the import of this number.
    Created(ListId, u64),
    /// The enforcement switch as it was.
    Enforcement(Option<Enforcement>),
    /// Settings as they were.
    Settings(Arc<Settings>, Vec<(ListId, ListEnforcement, u32)>),
    /// Guards as they were.
    Guards(Guards),
    /// Several.
    All(Vec<Undo>),
    /// Nothing.
    Nothing,
}

impl Undo {
    /// The imported part of a list, as it is before the import of this number.
    pub(super) fn imported(list: &List, sequence: u64) -> Self {
        let mut before = list.without_entries();
        before.imported = list.imported.clone();
        Self::Imported(Box::new(before), sequence)
    }

    /// This and all within it, in the order in which they were done.
    fn each<'a>(&'a self, into: &mut Vec<&'a Self>) {
        match self {
            Self::All(all) => all.iter().for_each(|undo| undo.each(into)),
            one => into.push(one),
        }
    }

    fn each_mut(&mut self, what: &mut dyn FnMut(&mut Self)) {
        match self {
            Self::All(all) => all.iter_mut().for_each(|undo| undo.each_mut(what)),
            one => what(one),
        }
    }

    /// Takes the change back, the last of all that were made.
    pub(super) fn carry_out(self, state: &mut State) {
        self.carry_out_before(state, &mut VecDeque::new());
    }

    /// Takes the change back, with jobs that were made behind it and stay.
    pub(super) fn carry_out_before(self, state: &mut State, later: &mut VecDeque<Job>) {
        match self {
            Self::Entries(entries) => {
                for before in entries.into_iter().rev() {
                    if let Some(before) = handed_on(before, later) {
                        restore(state, before);
                    }
                }
            }
            Self::Imported(before, sequence) => unimport(state, &before, sequence, later),
            Self::Unlisted(id, prefix, sequence) => {
                if let Some(list) = state.desired.list_mut(id) {
                    list.imported.insert(prefix);
                }
                let State { overlay, desired, .. } = state;
                overlay.take_back(desired, id, prefix, sequence);
            }
            Self::Removed(lists) => lists.into_iter().for_each(|list| state.desired.insert(list)),
            Self::Created(id, sequence) => {
                let mut is_handed_on = false;
                for_later(later, &mut |undo| {
                    if let Self::Imported(list, of) = undo
                        && list.id == id
                        && list.imported_sequence == sequence
                    {
                        is_handed_on = true;
                        *undo = Self::Created(id, *of);
                    }
                });
                if is_handed_on {
                    return;
                }
                // Entries that came meanwhile keep the list.
                let empty = state.desired.list(id).is_some_and(|list| list.entries.is_empty());
                if empty && !super::change::is_builtin(id) {
                    state.desired.remove_list(id);
                } else if let Some(list) = state.desired.list_mut(id) {
                    list.imported = Prefixes::default();
                }
                unlisted_before(later, id, sequence, &mut Prefixes::default());
            }
            Self::Enforcement(old) => state.enforcement = old,
            Self::Settings(old, lists) => {
                state.settings = old;
                for (id, enforcement, profile) in lists {
                    if let Some(list) = state.desired.list_mut(id) {
                        (list.enforcement, list.profile) = (enforcement, profile);
                    }
                }
            }
            Self::Guards(old) => state.guards = old,
            Self::All(all) => all.into_iter().rev().for_each(|undo| undo.carry_out_before(state, later)),
            Self::Nothing => {}
        }
    }
}

fn for_later(later: &mut VecDeque<Job>, what: &mut dyn FnMut(&mut Undo)) {
    for job in later {
        job.undo.each_mut(what);
    }
}

/// What stood there before a change is what the next job that changed the entry goes back to; `None` then.
fn handed_on(before: Before, later: &mut VecDeque<Job>) -> Option<Before> {
    let (list, prefix, sequence, old) = before;
    let mut old = Some(old);
    for_later(later, &mut |undo| {
        if let Undo::Entries(entries) = undo {
            let next = entries.iter_mut().find(|(l, p, s, _)| (*l, *p) == (list, prefix) && *s > sequence);
            if let Some((.., theirs)) = next
                && let Some(ours) = old.take()
            {
                *theirs = ours;
            }
        }
    });
    old.map(|old| (list, prefix, sequence, old))
}

/// Puts a list's content back that was replaced by the import of this number.
fn unimport(state: &mut State, before: &List, sequence: u64, later: &mut VecDeque<Job>) {
    let mut is_handed_on = false;
    for_later(later, &mut |undo| {
        if let Undo::Imported(theirs, _) = undo
            && theirs.id == before.id
            && theirs.imported_sequence == sequence
        {
            is_handed_on = true;
            **theirs = before.clone();
        }
    });
    if is_handed_on {
        return;
    }
    let settings = Arc::clone(&state.settings);
    let Some(list) = state.desired.list_mut(before.id).filter(|list| list.imported_sequence == sequence) else {
        return;
    };
    list.origin = before.origin.clone();
    list.usual = before.usual;
    list.imported = before.imported.clone();
    unlisted_before(later, before.id, sequence, &mut list.imported);
    (list.imported_at, list.imported_sequence) = (before.imported_at, before.imported_sequence);
    settings.apply_to(list);
}

/// Takes out of a list's content from before an import what jobs behind that take out of the list; what it had not, they
/// do not bring back.
fn unlisted_before(later: &mut VecDeque<Job>, list: ListId, import: u64, content: &mut Prefixes) {
    for_later(later, &mut |undo| {
        if let Undo::Unlisted(id, prefix, sequence) = undo
            && *id == list
            && *sequence > import
            && !content.remove(prefix)
        {
            *undo = Undo::Nothing;
        }
    });
}

impl Sync {
    /// Every change that comes with a flip and has not come yet, in order.
    fn open(&self) -> Vec<&Undo> {
        let running = self.job.iter().flat_map(|running| &running.jobs);
        let mut all = Vec::new();
        running.chain(&self.queue).for_each(|job| job.undo.each(&mut all));
        all
    }

    /// Has no open job take back what was changed live since: it is in force, and is about to be answered. Says what the
    /// store must hold of it.
    pub(super) fn settle(&mut self, changed: &Undo, saves: Vec<Change>) -> Vec<Change> {
        let mut all = Vec::new();
        changed.each(&mut all);
        let entries: HashSet<(ListId, IpNet)> = all
            .iter()
            .filter_map(|undo| if let Undo::Entries(entries) = undo { Some(entries) } else { None })
            .flatten()
            .map(|(list, prefix, ..)| (*list, *prefix))
            .collect();
        let running = self.job.iter_mut().flat_map(|running| &mut running.jobs);
        for job in running.chain(&mut self.queue) {
            job.undo.each_mut(&mut |open| match open {
                Undo::Entries(open) => open.retain(|(list, prefix, ..)| !entries.contains(&(*list, *prefix))),
                Undo::Imported(before, _) => {
                    for undo in &all {
                        if let Undo::Unlisted(id, prefix, _) = undo
                            && *id == before.id
                        {
                            before.imported.remove(prefix);
                        }
                    }
                }
                _ => {}
            });
        }
        self.what_holds(saves)
    }

    /// The same changes with what is in force instead of what was wanted when they were made: since then some of it was
    /// changed live, and some will change with a flip that has not come.
    pub(super) fn what_holds(&self, saves: Vec<Change>) -> Vec<Change> {
        let open = self.open();
        let state = self.shared.read();
        let entry = |list: ListId, prefix: IpNet| {
            let before = open.iter().find_map(|undo| {
                let Undo::Entries(entries) = undo else { return None };
                entries.iter().find(|(l, p, ..)| (*l, *p) == (list, prefix)).map(|(.., old)| old.clone())
            });
            let now = || state.desired.list(list).and_then(|list| list.entries.get(&prefix)).cloned();
            match before.unwrap_or_else(now) {
                Some(info) => Change::PutEntry { list, prefix, info },
                None => Change::RemoveEntry { list, prefix },
            }
        };
        let held = saves.into_iter().filter_map(|save| match save {
            Change::PutEntry { list, prefix, .. } | Change::RemoveEntry { list, prefix } => Some(entry(list, prefix)),
            Change::PutImported { list, .. } => {
                let prefixes = imported(&open, state.desired.list(list)?)?;
                Some(Change::PutImported { list, prefixes })
            }
            other => Some(other),
        });
        held.collect()
    }
}

/// A list's imported part that is in force; `None` where the list itself is not yet.
fn imported(open: &[&Undo], list: &List) -> Option<Prefixes> {
    let mut unlisted = Vec::new();
    for undo in open {
        match undo {
            Undo::Unlisted(id, prefix, _) if *id == list.id => unlisted.push(*prefix),
            Undo::Created(id, _) if *id == list.id => return None,
            Undo::Imported(before, _) if before.id == list.id => return Some(with(before.imported.clone(), &unlisted)),
            _ => {}
        }
    }
    Some(with(list.imported.clone(), &unlisted))
}

fn with(mut prefixes: Prefixes, more: &[IpNet]) -> Prefixes {
    for prefix in more {
        prefixes.insert(*prefix);
    }
    prefixes
}

/// Puts an entry back as it was, unless it has changed again.
pub(super) fn restore(state: &mut State, (id, prefix, sequence, old): Before) {
    let State { overlay, desired, .. } = state;
    let Some(list) = desired.list_mut(id) else { return };
    if list.entries.get(&prefix).is_some_and(|now| now.sequence > sequence) {
        return;
    }
    match old {
        Some(info) => list.entries.insert(prefix, info),
        None => list.entries.remove(&prefix),
    };
    overlay.take_back(desired, id, prefix, sequence);
}

pub(super) type Saves = Box<dyn FnOnce(&mut Sync) + Send>;
pub(super) type Done = Box<dyn FnOnce(&mut Sync, Result<(), SyncError>) + Send>;

/// A change that comes with a flip.
pub(super) struct Job {
    pub(super) undo: Undo,
    /// Queues what the store must hold.
    pub(super) saves: Saves,
    /// What follows.
    pub(super) done: Done,
    /// Whether the address tables stay as they are: settings changed, or what becomes of lists as a whole.
    pub(super) keeps_tables: bool,
    /// Entries that it brings: of several jobs that do not fit together, the one with the most has to wait.
    pub(super) entries: usize,
    /// Undone unless confirmed within so many seconds.
    pub(super) confirm: Option<(u64, Arc<Settings>)>,
}

impl Job {
    /// A change that is in the desired state already. `saves` queues what the store must hold once it is in force.
    pub(super) fn new(undo: Undo, saves: impl FnOnce(&mut Sync) + Send + 'static) -> Self {
        Self { undo, saves: Box::new(saves), done: Box::new(|_, _| {}), keeps_tables: false, entries: 0, confirm: None }
    }

    /// Several changes as one; `None` where there is none.
    pub(super) fn all(jobs: Vec<Self>) -> Option<Self> {
        if jobs.is_empty() {
            return None;
        }
        let (mut undos, mut saves) = (Vec::new(), Vec::new());
        let entries = jobs.iter().map(|job| job.entries).sum();
        for job in jobs {
            undos.push(job.undo);
            saves.push(job.saves);
        }
        Some(Self::new(Undo::All(undos), move |task| saves.into_iter().for_each(|save| save(task))).of(entries))
    }

    /// The same change, which brings so many entries.
    pub(super) fn of(mut self, entries: usize) -> Self {
        self.entries = entries;
        self
    }

    /// The same change, of settings or of what becomes of lists as a whole: the address tables stay as they are.
    pub(super) fn keeping_tables(mut self) -> Self {
        self.keeps_tables = true;
        self
    }

    /// What follows the flip, or its failure.
    pub(super) fn with(mut self, done: impl FnOnce(&mut Sync, Result<(), SyncError>) + Send + 'static) -> Self {
        self.done = Box::new(done);
        self
    }
}
