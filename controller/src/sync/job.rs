//! Changes that come with a flip, and how they go back if it does not come.
use std::sync::Arc;

use ipnet::IpNet;

use super::change::restore;
use super::{Settings, State, Sync, SyncError};
use crate::domain::decision::{Enforcement, EntryInfo, ListEnforcement, ListId};
use crate::domain::desired::List;
use crate::domain::guard::Guards;
use crate::domain::prefixes::Prefixes;

/// How a desired state goes back if its flip does not come.
#[derive(Debug)]
pub(super) enum Undo {
    /// Entries as they were.
    Entries(Vec<(ListId, IpNet, Option<EntryInfo>)>),
    /// A list's imported part, and what becomes of it, as it was.
    Imported(Box<List>),
    /// Lists that were there.
    Removed(Vec<List>),
    /// A list that was not there.
    Created(ListId),
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
    /// The imported part of a list, as it is now.
    pub(super) fn imported(list: &List) -> Self {
        let mut before = list.without_entries();
        before.imported = list.imported.clone();
        Self::Imported(Box::new(before))
    }

    pub(super) fn carry_out(self, state: &mut State) {
        match self {
            Self::Entries(entries) => restore(&mut state.desired, entries),
            Self::Imported(before) => {
                let entries = state.desired.list_mut(before.id).map(|list| std::mem::take(&mut list.entries));
                if let Some(entries) = entries {
                    state.desired.insert(List { entries, ..*before });
                }
            }
            Self::Removed(lists) => lists.into_iter().for_each(|list| state.desired.insert(list)),
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
                for (id, enforcement, profile) in lists {
                    if let Some(list) = state.desired.list_mut(id) {
                        (list.enforcement, list.profile) = (enforcement, profile);
                    }
                }
            }
            Self::Guards(old) => state.guards = old,
            Self::All(all) => all.into_iter().rev().for_each(|undo| undo.carry_out(state)),
            Self::Nothing => {}
        }
    }
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
    /// Undone unless confirmed within so many seconds.
    pub(super) confirm: Option<(u64, Arc<Settings>)>,
}

impl Job {
    /// A change that is in the desired state already. `saves` queues what the store must hold once it is in force.
    pub(super) fn new(undo: Undo, saves: impl FnOnce(&mut Sync) + Send + 'static) -> Self {
        Self { undo, saves: Box::new(saves), done: Box::new(|_, _| {}), keeps_tables: false, confirm: None }
    }

    /// Several changes as one; `None` where there is none.
    pub(super) fn all(jobs: Vec<Self>) -> Option<Self> {
        if jobs.is_empty() {
            return None;
        }
        let (mut undos, mut saves) = (Vec::new(), Vec::new());
        for job in jobs {
            undos.push(job.undo);
            saves.push(job.saves);
        }
        Some(Self::new(Undo::All(undos), move |task| saves.into_iter().for_each(|save| save(task))))
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
