//! What the neighbours of a source did: a weak prior for a network or an autonomous system.
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::fading::{Fading, HalfLife, Rank};

/// Fewer points than this are nothing.
const NOTHING: f64 = 0.01;

/// Points of all networks, or of all autonomous systems: of each a small part of what its sources have.
#[derive(Clone, Debug)]
pub(super) struct Neighbours<K> {
    /// The part of a source's points that counts.
    share: f64,
    /// Most points that a source has on account of others.
    most_points: f64,
    room: usize,
    held: BTreeMap<K, Fading>,
    by_rank: BTreeSet<(Rank, K)>,
}

impl<K: Ord + Clone> Neighbours<K> {
    pub(super) fn new(share: f64, most_points: f64, room: usize) -> Self {
        Self { share, most_points, room: room.max(1), held: BTreeMap::new(), by_rank: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// All of them, by name.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.held.keys()
    }

    /// Adds the share of what a source has: of negative points, takes it back. Where there is no room, the one with the
    /// least points is forgotten.
    pub(super) fn give(&mut self, key: &K, points: Fading, half_life: HalfLife) {
        let given = points.times(self.share);
        let before = self.held.remove(key);
        if let Some(before) = before {
            self.by_rank.remove(&(before.rank(half_life), key.clone()));
        }
        let held = before.map_or(given, |before| before.plus(given, half_life));
        // What is left of many sums and differences is not quite nothing.
        if held.points <= given.points.abs() * 1e-12 {
            return;
        }
        self.make_room(self.room.saturating_sub(1));
        self.by_rank.insert((held.rank(half_life), key.clone()));
        self.held.insert(key.clone(), held);
    }

    /// One is called otherwise from now on. If there is one of that name, both are one.
    pub(super) fn rename(&mut self, old: &K, new: &K, half_life: HalfLife) {
        if old == new {
            return;
        }
        let Some(moved) = self.held.remove(old) else { return };
        self.by_rank.remove(&(moved.rank(half_life), old.clone()));
        let before = self.held.remove(new);
        if let Some(before) = before {
            self.by_rank.remove(&(before.rank(half_life), new.clone()));
        }
        let held = before.map_or(moved, |before| before.plus(moved, half_life));
        self.by_rank.insert((held.rank(half_life), new.clone()));
        self.held.insert(new.clone(), held);
    }

    /// Points of one of its sources on account of the others: `own` is what that source has itself.
    pub(super) fn prior(&self, key: &K, own: Option<Fading>, now: Timestamp, half_life: HalfLife) -> f64 {
        let Some(held) = self.held.get(key) else { return 0.0 };
        // As of one moment, for both fade from their own.
        let now = own.map_or(held.at, |own| own.at).max(held.at).max(now);
        let own = own.map_or(0.0, |own| own.left(now, half_life) * self.share);
        let points = held.left(now, half_life) - own;
        if points < NOTHING { 0.0 } else { points.min(self.most_points) }
    }

    /// Room for so many from now on.
    pub(super) fn set_room(&mut self, room: usize) {
        self.room = room.max(1);
        self.make_room(self.room);
    }

    fn make_room(&mut self, most: usize) {
        while self.held.len() > most {
            let Some((_, key)) = self.by_rank.pop_first() else { return };
            self.held.remove(&key);
        }
    }

    /// Forgets those who have next to nothing left.
    pub(super) fn sweep(&mut self, now: Timestamp, half_life: HalfLife) {
        let nothing = Fading { points: NOTHING, at: now }.rank(half_life);
        while self.by_rank.first().is_some_and(|(rank, _)| *rank < nothing) {
            if let Some((_, key)) = self.by_rank.pop_first() {
                self.held.remove(&key);
            }
        }
    }

    /// Notes what is left `now`, which fades by another half-life from there.
    pub(super) fn refade(&mut self, now: Timestamp, before: HalfLife, after: HalfLife) {
        self.by_rank.clear();
        for (key, held) in &mut self.held {
            *held = held.as_of(now, before);
            self.by_rank.insert((held.rank(after), key.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
