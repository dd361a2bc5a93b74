//! Who has the least points: they go first where there is no room.
use std::collections::BTreeSet;
use std::sync::Arc;

use super::Entry;
use super::fading::Rank;

/// All sources, the least first: those against which something is proven, and those against which nothing is.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranks {
    proven: BTreeSet<(Rank, Arc<str>)>,
    spoofable: BTreeSet<(Rank, Arc<str>)>,
}

impl Ranks {
    pub(super) fn insert(&mut self, entry: &Entry) {
        self.of(entry.is_proven).insert((entry.rank, Arc::clone(&entry.who.key)));
    }

    pub(super) fn remove(&mut self, entry: &Entry) {
        self.of(entry.is_proven).remove(&(entry.rank, Arc::clone(&entry.who.key)));
    }

    pub(super) fn clear(&mut self) {
        self.proven.clear();
        self.spoofable.clear();
    }

    fn of(&mut self, is_proven: bool) -> &mut BTreeSet<(Rank, Arc<str>)> {
        if is_proven { &mut self.proven } else { &mut self.spoofable }
    }

    /// Sources against which nothing is proven.
    pub(super) fn spoofable(&self) -> usize {
        self.spoofable.len()
    }

    /// The least of all.
    pub(super) fn least(&self) -> Option<&(Rank, Arc<str>)> {
        match (self.proven.first(), self.spoofable.first()) {
            (Some(proven), Some(spoofable)) => Some(proven.min(spoofable)),
            (proven, spoofable) => proven.or(spoofable),
        }
    }

    /// The least of those against which nothing is proven.
    pub(super) fn least_spoofable(&self) -> Option<&(Rank, Arc<str>)> {
        self.spoofable.first()
    }
}
