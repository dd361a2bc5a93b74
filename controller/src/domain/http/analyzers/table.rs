//! A table of fixed size keyed by what outsiders choose.
//!
//! New keys come and go in what room there is, an eighth at the least, and whoever was idle there longest goes first. A key
//! that has done something gets a place for good: it loses that when it is idle, or, where the table is told so, to one that
//! has done more. So however many keys come, and whatever each does, those that were counted already stay.
//!
//! The order is kept the lazy way, with a second chance: to be seen costs a key a mark, and only where room is needed does
//! the oldest that bears one move up. A touch is then one look-up, whatever the size.
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What a table keeps of a key.
pub(super) trait Kept: Default {
    /// How much the key has done, from 0, which is nothing yet, to [`RANKS`] - 1.
    fn rank(&self) -> u8;
}

/// Ranks there are.
pub(super) const RANKS: u8 = 4;

/// The rank that follows from a count: 1, 2 and 3, 4 to 7, more.
pub(super) fn rank_of(count: u32) -> u8 {
    u8::try_from(count.checked_ilog2().unwrap_or(0)).unwrap_or(RANKS).min(RANKS - 1)
}

/// The rank that follows from a number that is large as a rule: below 8, 64, 512, more.
pub(super) fn rank_of_many(count: u32) -> u8 {
    u8::try_from(count.checked_ilog2().unwrap_or(0) / 3).unwrap_or(RANKS).min(RANKS - 1)
}

/// Who may take a place that another has for good, and is not idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// Nobody: each key counts alike, and who is being counted must not be forgotten.
    Kept,
    /// One of a higher rank; the highest replace each other.
    Contested,
}

/// Second chances that are given to make room for one key; then the oldest goes though it was seen.
const CHANCES: usize = 16;

/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    key: u64,
    seen_s: i64,
    older: u32,
    newer: u32,
    // The list it is in: 0 for those without a place, else its rank.
    list: u8,
    is_marked: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    oldest: u32,
    newest: u32,
}

/// Up to so many keys and what is kept of each. Keys are hashes already: see [`super::keys`].
#[derive(Debug)]
pub(super) struct Table<V> {
    places: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    // Apart from the values: keeping the order then touches few cache lines.
    links: Vec<Link>,
    values: Vec<V>,
    ends: [Ends; RANKS as usize],
    most: usize,
    /// Most keys with a place for good, and how many have one.
    most_placed: usize,
    placed: usize,
    places_are: Places,
    idle_s: i64,
    evicted: u64,
}

impl<V: Kept> Table<V> {
    /// Room for so many keys. One that was not seen for `idle_s` seconds of event time has nothing left to lose, whatever its
    /// rank.
    pub(super) fn new(most: u32, idle_s: u64, places_are: Places) -> Self {
        let most = usize::try_from(most.clamp(2, NONE - 1)).unwrap_or(usize::MAX);
        Self {
            places: HashMap::default(),
            links: Vec::new(),
            values: Vec::new(),
            ends: [Ends { oldest: NONE, newest: NONE }; RANKS as usize],
            most,
            most_placed: most - most.div_ceil(8),
            placed: 0,
            places_are,
            idle_s: i64::try_from(idle_s).unwrap_or(i64::MAX),
            evicted: 0,
        }
    }

    /// Changes what is kept of a key, which is made if it is not there.
    pub(super) fn with<R>(&mut self, key: u64, at_s: i64, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let place = self.places.get(&key).copied().or_else(|| self.make(key, at_s))?;
        let value = self.values.get_mut(usize::try_from(place).ok()?)?;
        let result = change(value);
        let rank = value.rank().min(RANKS - 1);
        let link = self.link(place)?;
        (link.seen_s, link.is_marked) = (at_s, true);
        if link.list != rank {
            self.change_rank(place, rank, at_s);
        }
        Some(result)
    }

    /// How many keys are remembered.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// How many keys were forgotten for want of room.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// What is kept, in no order that means anything.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.values.iter_mut()
    }

    /// What is kept, in no order that means anything.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.values.iter()
    }

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        // The map's buckets are powers of two, filled to 7/8, with a byte of control each.
        let buckets = (self.places.capacity() * 8 / 7).next_power_of_two();
        buckets * (size_of::<(u64, u32)>() + 1)
            + self.links.capacity() * size_of::<Link>()
            + self.values.capacity() * size_of::<V>()
    }

    fn make(&mut self, key: u64, at_s: i64) -> Option<u32> {
        let link = Link { key, seen_s: at_s, older: NONE, newer: NONE, list: 0, is_marked: false };
        let place = if self.links.len() < self.most {
            let place = u32::try_from(self.links.len()).ok()?;
            self.grow();
            self.links.push(link);
            self.values.push(V::default());
            place
        } else {
            let place = self.victim(at_s)?;
            self.unlink(place);
            let at = usize::try_from(place).ok()?;
            self.places.remove(&self.links.get(at)?.key);
            *self.links.get_mut(at)? = link;
            *self.values.get_mut(at)? = V::default();
            self.evicted = self.evicted.saturating_add(1);
            place
        };
        self.places.insert(key, place);
        self.push(place, 0);
        Some(place)
    }

    /// Makes room by doubling, and never for more than it may hold.
    fn grow(&mut self) {
        if self.links.len() == self.links.capacity() {
            let more = self.links.len().max(64).min(self.most - self.links.len());
            self.links.reserve_exact(more);
            self.values.reserve_exact(more);
        }
    }

    /// Gives a key the place its rank asks for, if there is one.
    fn change_rank(&mut self, place: u32, rank: u8, at_s: i64) {
        let is_placed = self.link(place).is_some_and(|link| link.list > 0);
        if !is_placed && rank > 0 && self.placed >= self.most_placed {
            let Some(other) = self.replaceable(rank, at_s) else { return };
            self.unlink(other);
            self.push(other, 0);
        }
        self.unlink(place);
        self.push(place, rank);
    }

    /// Who must give up its place for one of this rank: who is idle, or where places are contested, the oldest of the lowest
    /// rank if that is lower.
    fn replaceable(&mut self, rank: u8, at_s: i64) -> Option<u32> {
        let mut lowest = None;
        for list in 1..RANKS {
            let Some(oldest) = self.oldest(list) else { continue };
            if self.is_idle(oldest, at_s) {
                return Some(oldest);
            }
            lowest = lowest.or(Some((list, oldest)));
        }
        let (list, oldest) = lowest?;
        let is_lower = list < rank || list == RANKS - 1;
        (self.places_are == Places::Contested && is_lower).then_some(oldest)
    }

    /// Who is forgotten for a new key: who is idle, else the oldest of those without a place.
    fn victim(&mut self, at_s: i64) -> Option<u32> {
        for list in 0..RANKS {
            if let Some(oldest) = self.oldest(list)
                && self.is_idle(oldest, at_s)
            {
                return Some(oldest);
            }
        }
        self.oldest(0)
    }

    fn is_idle(&mut self, place: u32, at_s: i64) -> bool {
        let idle_s = self.idle_s;
        self.link(place).is_some_and(|link| at_s.saturating_sub(link.seen_s).saturating_abs() > idle_s)
    }

    /// The oldest of a list, after those that were seen since they were last looked at moved up.
    fn oldest(&mut self, list: u8) -> Option<u32> {
        let oldest = |table: &Self| table.ends.get(usize::from(list)).map(|ends| ends.oldest);
        for _ in 0..CHANCES {
            let place = oldest(self)?;
            let link = self.link(place)?;
            if !link.is_marked {
                break;
            }
            link.is_marked = false;
            self.unlink(place);
            self.push(place, list);
        }
        oldest(self).filter(|place| *place != NONE)
    }

    fn unlink(&mut self, place: u32) {
        let Some(&mut Link { older, newer, list, .. }) = self.link(place) else { return };
        match self.link(older) {
            Some(link) => link.newer = newer,
            None => self.end(list, |ends| ends.oldest = newer),
        }
        match self.link(newer) {
            Some(link) => link.older = older,
            None => self.end(list, |ends| ends.newest = older),
        }
        self.placed -= usize::from(list > 0);
    }

    fn push(&mut self, place: u32, list: u8) {
        let newest = self.ends.get(usize::from(list)).map_or(NONE, |ends| ends.newest);
        match self.link(newest) {
            Some(link) => link.newer = place,
            None => self.end(list, |ends| ends.oldest = place),
        }
        self.end(list, |ends| ends.newest = place);
        if let Some(link) = self.link(place) {
            (link.older, link.newer, link.list) = (newest, NONE, list);
        }
        self.placed += usize::from(list > 0);
    }

    fn link(&mut self, place: u32) -> Option<&mut Link> {
        self.links.get_mut(usize::try_from(place).ok()?)
    }

    fn end(&mut self, list: u8, change: impl FnOnce(&mut Ends)) {
        if let Some(ends) = self.ends.get_mut(usize::from(list)) {
            change(ends);
        }
    }
}

/// The hash of a key that is one: itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Count(u32);

    impl Kept for Count {
        fn rank(&self) -> u8 {
            rank_of(self.0)
        }
    }

    fn add(table: &mut Table<Count>, key: u64, at_s: i64) -> u32 {
        let count = |count: &mut Count| {
            count.0 += 1;
            count.0
        };
        table.with(key, at_s, count).unwrap()
    }

    #[test]
    fn who_has_no_place_goes_first_and_the_oldest_of_them() {
        let mut table = Table::new(4, 1_000, Places::Kept);
        for key in [1, 1, 2, 3, 4, 5, 6] {
            add(&mut table, key, 0);
        }
        // 2 and 3 had to go, in this order; 1 was seen twice.
        assert_eq!((table.len(), table.evicted()), (4, 2));
        assert_eq!([1, 4, 5, 6].map(|key| add(&mut table, key, 0)), [3, 2, 2, 2]);
    }

    #[test]
    fn a_flood_of_keys_pushes_out_none_that_was_counted_before_whatever_they_do() {
        for times in 1..=8 {
            let mut table = Table::new(1_024, 900, Places::Kept);
            assert_eq!([1, 1].map(|key| add(&mut table, key, 0)), [1, 2]);
            for key in 0..100_000u64 {
                let flood = (key + 2).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (0..times).for_each(|_| assert!(add(&mut table, flood, i64::try_from(key / 200).unwrap()) <= times));
            }
            assert_eq!(add(&mut table, 1, 500), 3, "{times}");
            assert_eq!(table.len(), 1_024);
        }
    }

    #[test]
    fn where_places_are_contested_who_does_more_gets_one() {
        for (places, expected) in [(Places::Contested, 5), (Places::Kept, 1)] {
            let mut table = Table::new(16, 900, places);
            for key in (0..16).flat_map(|key| [key, key]).chain([100; 4]).chain(200..300) {
                add(&mut table, key, 0);
            }
            assert_eq!(add(&mut table, 100, 0), expected, "{places:?}");
        }
    }

    #[test]
    fn what_was_idle_too_long_makes_room_whatever_its_rank() {
        let mut table = Table::new(2, 100, Places::Kept);
        for _ in 0..9 {
            add(&mut table, 1, 0);
        }
        add(&mut table, 2, 150);
        add(&mut table, 3, 150);
        assert_eq!([2, 3].map(|key| add(&mut table, key, 150)), [2, 2]);
    }

    #[test]
    fn an_event_years_ahead_costs_one_key_and_only_where_there_is_no_room() {
        let mut table = Table::new(100, 100, Places::Kept);
        for key in 0..100 {
            add(&mut table, key, 0);
        }
        add(&mut table, 5, i64::MAX);
        add(&mut table, 5, i64::MIN);
        assert_eq!(table.evicted(), 0);
        add(&mut table, 1_000, i64::MAX);
        assert_eq!((table.len(), table.evicted()), (100, 1));
    }

    proptest! {
        #[test]
        fn it_is_a_map_as_long_as_there_is_room(keys in prop::collection::vec(0u64..40, 0..400)) {
            let mut table = Table::new(40, 10, Places::Contested);
            let mut model = BTreeMap::new();
            for key in keys {
                let count = model.entry(key).or_insert(0);
                *count += 1;
                prop_assert_eq!(add(&mut table, key, 0), *count);
            }
            prop_assert_eq!(table.len(), model.len());
        }

        #[test]
        fn it_never_outgrows_its_room_and_loses_count_of_nobody(
            keys in prop::collection::vec((0u64..100, -50i64..50), 0..600),
            most in 2u32..20,
            is_contested in any::<bool>(),
        ) {
            let places = if is_contested { Places::Contested } else { Places::Kept };
            let mut table = Table::new(most, 20, places);
            for (key, at_s) in keys {
                add(&mut table, key, at_s);
                let listed: usize = (0..RANKS).map(|rank| {
                    let mut place = table.ends[usize::from(rank)].oldest;
                    let mut length = 0;
                    while let Some(link) = table.link(place) {
                        assert_eq!(link.list, rank);
                        place = link.newer;
                        length += 1;
                    }
                    length
                }).sum();
                prop_assert_eq!(listed, table.len());
                let placed = table.links.iter().filter(|link| link.list > 0).count();
                prop_assert!(placed == table.placed && placed <= table.most_placed);
                prop_assert_eq!(table.places.len(), table.len());
                prop_assert!(table.len() <= usize::try_from(most).unwrap());
            }
        }
    }
}
