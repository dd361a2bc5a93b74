//! What a ledger says of itself and of its sources.
use std::collections::BTreeSet;
use std::mem::size_of;
use std::sync::Arc;

use jiff::Timestamp;

use super::fading::{Fading, Rank};
use super::lines::Held;
use super::{Entry, Ledger, Who};

/// What an entry of a tree takes besides itself, and what a shared text does, in bytes: about.
const OVERHEAD: usize = 32;

impl Ledger {
    /// Sources.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether nothing is held against anybody.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Memory that it takes, in bytes: about.
    pub fn bytes(&self) -> usize {
        let ranked = size_of::<(Rank, Arc<str>)>() + OVERHEAD;
        let source = size_of::<(Arc<str>, Entry)>() + ranked + 3 * OVERHEAD;
        let of_entry = |entry: &Entry| {
            let texts = entry.who.key.len() + entry.who.network.len();
            source + texts + entry.lines.capacity() * size_of::<Held>()
        };
        let neighbour = size_of::<(Arc<str>, Fading)>() + ranked + OVERHEAD;
        let waiting = (self.changed.len() + self.gone.len()) * (size_of::<Arc<str>>() + OVERHEAD);
        let sources: usize = self.sources.values().map(of_entry).sum();
        sources + waiting + (self.networks.len() + self.asns.len()) * neighbour
    }

    /// How often there was no room: evidence that was not taken, and sources that were evicted.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Whether anything is held against a source.
    pub fn contains(&self, key: &str) -> bool {
        self.sources.contains_key(key)
    }

    /// A source as it was last seen; `None` if nothing is held against it.
    pub fn who(&self, key: &str) -> Option<&Who> {
        self.sources.get(key).map(|entry| &entry.who)
    }

    /// When evidence against a source last came; `None` if there is none.
    pub fn last_bad(&self, key: &str) -> Option<Timestamp> {
        let lines = self.sources.get(key)?.lines.iter();
        lines.filter(|line| line.is_bad()).map(|line| line.last).max()
    }

    /// All sources by name, in order.
    pub fn keys_with_evidence(&self) -> impl Iterator<Item = &Arc<str>> {
        self.sources.keys()
    }

    /// The networks that sources are in, and those that something is held against, by name.
    pub fn networks(&self) -> BTreeSet<Arc<str>> {
        let of_sources = self.sources.values().map(|entry| &entry.who.network);
        of_sources.chain(self.networks.keys()).cloned().collect()
    }

    /// Sources and the points that their own lines add up to `now`, the worst first: at most so many, after the first
    /// `offset` of them. And how many there are in all.
    pub fn top(&self, now: Timestamp, most: usize, offset: usize) -> (Vec<(Arc<str>, f64)>, usize) {
        let sums = self.sources.iter().map(|(key, entry)| (key, entry.lines.sum(now, self.half_life)));
        let mut sums: Vec<_> = sums.collect();
        sums.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let page = sums.iter().skip(offset).take(most).map(|(key, sum)| (Arc::clone(key), *sum));
        (page.collect(), self.sources.len())
    }
}
