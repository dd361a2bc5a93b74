//! What keeps a ledger within its limits.
use std::sync::Arc;

use jiff::Timestamp;

use super::fading::{Fading, HalfLife};
use super::{Entry, Ledger, Limits, Renamed};

/// Who has fewer points left is forgotten.
const FADED: f64 = 0.5;

impl Ledger {
    /// Other limits from `now` on. What is left now stays, and fades by the new half-life.
    pub fn set_limits(&mut self, limits: Limits, now: Timestamp) {
        let (before, after) = (self.half_life, HalfLife::new(limits.half_life_s));
        (self.limits, self.half_life) = (limits, after);
        if before != after {
            self.ranks.clear();
            for (key, entry) in &mut self.sources {
                entry.lines.settle(now, before);
                entry.note_rank(after);
                self.ranks.insert(entry);
                self.changed.insert(Arc::clone(key));
            }
            self.networks.refade(now, before, after);
            self.asns.refade(now, before, after);
        }
        self.networks.set_room(limits.most_sources);
        self.trim();
    }

    /// Forgets whoever has next to nothing left `now`. What they added to what is held against their neighbours stays.
    pub fn sweep(&mut self, now: Timestamp) {
        let faded = Fading { points: FADED, at: now }.rank(self.half_life);
        while let Some((_, key)) = self.ranks.least().filter(|(rank, _)| *rank < faded).cloned() {
            self.drop_source(&key);
        }
        self.networks.sweep(now, self.half_life);
        self.asns.sweep(now, self.half_life);
    }

    /// A source is called otherwise from now on. If there is one of that name, both are one, and it is where that one is.
    pub fn rename(&mut self, old: &str, new: &Arc<str>) {
        if old == new.as_ref() {
            return;
        }
        let Some(mut entry) = self.take_out(old) else { return };
        self.forget(&entry);
        let Some(mut other) = self.take_out(new) else {
            entry.who.key = Arc::clone(new);
            entry.is_saved = self.gone.contains(new);
            self.put(entry);
            return;
        };
        if let Some(own) = entry.lines.proven(self.half_life) {
            self.give(&entry.who, own.times(-1.0));
            self.give(&other.who, own);
        }
        for line in entry.lines.iter() {
            other.lines.add(line, self.half_life);
        }
        other.note_rank(self.half_life);
        self.put(other);
    }

    /// Networks are called otherwise from now on, by what they are called now. Sources in them are written again, but for
    /// those that `sources` names: they are renamed as well, and written then.
    pub fn rename_networks(&mut self, networks: &Renamed, sources: &Renamed) {
        for (old, new) in networks {
            self.networks.rename(old, new, self.half_life);
        }
        for (key, entry) in &mut self.sources {
            let Some(new) = networks.get(&entry.who.network) else { continue };
            entry.who.network = Arc::clone(new);
            if !sources.contains_key(key) {
                self.changed.insert(Arc::clone(key));
            }
        }
    }

    /// Takes a source out, to be changed and put back or forgotten.
    pub(super) fn take_out(&mut self, key: &str) -> Option<Entry> {
        let entry = self.sources.remove(key)?;
        self.ranks.remove(&entry);
        Some(entry)
    }

    /// Puts a source in that is changed.
    pub(super) fn put(&mut self, entry: Entry) {
        let key = Arc::clone(&entry.who.key);
        self.gone.remove(&key);
        self.changed.insert(Arc::clone(&key));
        self.ranks.insert(&entry);
        self.sources.insert(key, entry);
    }

    /// Notes that a source that was taken out does not come back.
    pub(super) fn forget(&mut self, entry: &Entry) {
        self.changed.remove(&entry.who.key);
        if entry.is_saved {
            self.gone.insert(Arc::clone(&entry.who.key));
        }
    }

    fn drop_source(&mut self, key: &str) {
        if let Some(entry) = self.take_out(key) {
            self.forget(&entry);
        }
    }

    fn evict(&mut self, key: &str) {
        self.drop_source(key);
        self.overflowed = self.overflowed.saturating_add(1);
    }

    fn room(&self) -> usize {
        self.limits.most_sources.max(1)
    }

    fn spoofable_room(&self) -> usize {
        (self.room() / 4).max(1)
    }

    /// Makes room for a new source. Returns whether there is some.
    pub(super) fn make_room(&mut self, entry: &Entry) -> bool {
        if entry.is_proven {
            self.evict_down_to(self.room().saturating_sub(1));
            return true;
        }
        while self.sources.len() >= self.room() || self.ranks.spoofable() >= self.spoofable_room() {
            let least = self.ranks.least_spoofable().filter(|(rank, _)| *rank <= entry.rank).cloned();
            let Some((_, key)) = least else { return false };
            self.evict(&key);
        }
        true
    }

    /// Evicts who is too many, after limits or classes changed.
    pub(super) fn trim(&mut self) {
        while self.ranks.spoofable() > self.spoofable_room() {
            let Some((_, key)) = self.ranks.least_spoofable().cloned() else { break };
            self.evict(&key);
        }
        self.evict_down_to(self.room());
    }

    fn evict_down_to(&mut self, most: usize) {
        while self.sources.len() > most {
            let Some((_, key)) = self.ranks.least().cloned() else { break };
            self.evict(&key);
        }
    }
}
