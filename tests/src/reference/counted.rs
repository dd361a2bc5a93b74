//! What is counted of who sends: sets of the loudest, buckets, known flows, first fragments.
//!
//! All of it is kept in maps that know no size, but where two of the kernel's fixed places are one: there they are one
//! here too.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Plant;
use super::floods::{Dimension, Limit, Scope};

/// A bucket: what is in it drains with time, and a packet must fit on top.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    level: u64,
    at: u64,
}

impl Bucket {
    fn drain(&mut self, now: u64) {
        self.level = self.level.saturating_sub(now.saturating_sub(self.at));
        self.at = now;
    }

    pub(super) fn take(&mut self, now: u64, cost: u64, window: u64) -> bool {
        self.drain(now);
        if self.level + cost > window {
            return false;
        }
        self.level += cost;
        true
    }
}

/// Somebody who is counted.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    key: u64,
    heat: u32,
    own: u64,
    promoted: bool,
}

#[derive(Clone, Debug)]
struct Set {
    epoch: u64,
    ways: Vec<Way>,
}

/// Sets of the loudest, so many in each.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    ways: usize,
    sets: BTreeMap<u64, Set>,
}

impl Lines {
    pub(super) fn new(ways: usize) -> Self {
        Self { ways, sets: BTreeMap::new() }
    }

    /// Counts a packet, in place of the coldest if its sender is new.
    fn touch(&mut self, set: u64, key: u64, pressure: u64, now_ns: u64) -> Way {
        let epoch = now_ns >> 30;
        let empty = || Set { epoch: 0, ways: vec![Way::default(); self.ways] };
        let set = self.sets.entry(set).or_insert_with(empty);
        for _ in 0..(epoch - set.epoch).min(31) {
            for way in &mut set.ways {
                way.heat /= 2;
                way.own /= 2;
            }
        }
        set.epoch = epoch;
        let known = set.ways.iter().position(|way| way.key == key);
        let coldest = (0..self.ways).min_by_key(|way| set.ways[*way].heat).unwrap_or(0);
        let way = &mut set.ways[known.unwrap_or(coldest)];
        if known.is_none() {
            *way = Way { key, heat: way.heat, own: 0, promoted: false };
        }
        way.heat += 1;
        way.own = (way.own + pressure).min((1 << 31) - 1);
        *way
    }

    fn promote(&mut self, set: u64, key: u64) {
        let ways = self.sets.get_mut(&set).map(|set| &mut set.ways);
        for way in ways.into_iter().flatten().filter(|way| way.key == key) {
            way.promoted = true;
        }
    }
}

/// A packet as a limit sees it.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    /// The dimensions it counts in.
    pub(super) counts: [bool; 7],
    /// Its frame's length.
    pub(super) bytes: u64,
    /// When, in nanoseconds.
    pub(super) now_ns: u64,
}

impl Offered {
    /// What it counts a limit for: the dimension, the cost, the burst's window and what it adds to a CPU's count.
    fn charges(&self, limit: &Limit, plant: Option<Plant>) -> Vec<(Dimension, u64, u64, u64)> {
        let counted = limit.each().filter(|(dimension, _)| self.counts[*dimension as usize]);
        let charge = |(dimension, rate): (Dimension, super::floods::Rate)| {
            let is_bytes = dimension == Dimension::Bytes && plant != Some(Plant::BytesAreRounded);
            let units = if is_bytes { self.bytes } else { dimension.token() };
            let cost = rate.cost(dimension) * units / dimension.token();
            let more = if plant == Some(Plant::OneMorePacket) { cost } else { 0 };
            (dimension, cost, rate.window(dimension) + more, rate.pressure(dimension) * units / dimension.token())
        };
        counted.map(charge).collect()
    }

    /// Whether the limit has anything to say about it.
    pub(super) fn concerns(&self, limit: &Limit) -> bool {
        limit.each().any(|(dimension, _)| self.counts[dimension as usize])
    }
}

/// What all packets so far left behind.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    /// Keys the hashes.
    pub(super) seed: u64,
    sources: Lines,
    networks: Lines,
    buckets: BTreeMap<(u64, u64), [Bucket; 7]>,
    shared: BTreeMap<usize, [Bucket; 7]>,
    flows: BTreeSet<(u64, u64, u64)>,
    flows_epoch: u64,
    fragments: BTreeMap<u64, (u64, u64)>,
    /// Packets and bytes over limits: by the limit, the dimension, and whether they were dropped.
    pub(super) refused: BTreeMap<(Scope, Dimension, bool), (u64, u64)>,
}

impl Counted {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            sources: Lines::new(3),
            networks: Lines::new(5),
            buckets: BTreeMap::new(),
            shared: BTreeMap::new(),
            flows: BTreeSet::new(),
            flows_epoch: 0,
            fragments: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Counts a packet of a source that no limit holds.
    pub(super) fn track(&mut self, source: IpAddr, now_ns: u64) {
        let key = key(source);
        self.sources.touch(self.set_of(key), key, 0, now_ns);
    }

    fn set_of(&self, key: u64) -> u64 {
        // The set is the hash's lower 13 of its upper 32 bits.
        let mut hash = (key ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(self.seed | 1);
        (hash >> 32) % 8192
    }

    fn mix(&self, word: u64) -> u64 {
        let mut hash = (word ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(self.seed | 1);
        hash ^ (hash >> 29)
    }

    /// The dimension in which a source is over its limit.
    pub(super) fn over_source(
        &mut self,
        limit: &Limit,
        offered: &Offered,
        source: IpAddr,
        room: usize,
        plant: Option<Plant>,
    ) -> Option<Dimension> {
        let key = key(source);
        self.over_counted(limit, offered, (false, self.set_of(key), key), (key, 0), room, plant)
    }

    /// The same of a network (scope 1), or of a source at a port (scope 3 and the limit's number times 256).
    pub(super) fn over_line(
        &mut self,
        limit: &Limit,
        offered: &Offered,
        whose: (u64, u64),
        room: usize,
        plant: Option<Plant>,
    ) -> Option<Dimension> {
        let hash = self.mix(whose.0 ^ (whose.1 << 40));
        // Told apart by the upper 32 bits, of which the lowest is always set.
        self.over_counted(limit, offered, (true, hash % 8192, hash >> 32 | 1), whose, room, plant)
    }

    fn over_counted(
        &mut self,
        limit: &Limit,
        offered: &Offered,
        (in_networks, set, tag): (bool, u64, u64),
        whose: (u64, u64),
        room: usize,
        plant: Option<Plant>,
    ) -> Option<Dimension> {
        let charges = offered.charges(limit, plant);
        let sum = 1 + charges.iter().map(|(_, _, _, pressure)| pressure).sum::<u64>();
        // One packet alone never comes to the whole.
        let most = if plant == Some(Plant::OnePacketIsPromoted) { u64::MAX } else { 1 << 15 };
        let pressure = sum.min(most);
        let lines = if in_networks { &mut self.networks } else { &mut self.sources };
        let way = lines.touch(set, tag, pressure, offered.now_ns);
        if !way.promoted && way.own < 1 << 16 {
            return None;
        }
        if !self.buckets.contains_key(&whose) && self.buckets.len() >= room {
            return if way.own > limit.fallback { charges.first().map(|charge| charge.0) } else { None };
        }
        let now = offered.now_ns * 16;
        let buckets = self.buckets.entry(whose).or_default();
        if !way.promoted && plant != Some(Plant::EarlierIsForgotten) {
            // What this CPU counted before is charged as so many packets like this one, at most the whole burst.
            let earlier = ((way.own - pressure) / pressure).min(1 << 16);
            for (dimension, cost, window, _) in &charges {
                let bucket = &mut buckets[*dimension as usize];
                bucket.drain(now);
                bucket.level += (earlier * cost).min(*window);
            }
        }
        let over = take(buckets, &charges, now, plant);
        lines.promote(set, tag);
        over
    }

    /// The dimension in which everybody together is over a limit: that for everything (0), or a port's (from 1 on).
    pub(super) fn over_shared(
        &mut self,
        limit: &Limit,
        offered: &Offered,
        which: usize,
        plant: Option<Plant>,
    ) -> Option<Dimension> {
        let charges = offered.charges(limit, plant);
        take(self.shared.entry(which).or_default(), &charges, offered.now_ns * 16, plant)
    }

    /// Where a flow is remembered: the line, the word in it and the bit in that.
    pub(super) fn flow(&self, source: IpAddr, ports: (u16, u16), protocol: u8) -> (u64, u64, u64) {
        let ports = u64::from(ports.0) << 16 | u64::from(ports.1);
        let hash = self.mix(key(source) ^ (ports << 13 | u64::from(protocol)));
        (hash % 4096, 1 + (hash >> 32) % 0x1_0000 * 7 / 0x1_0000, (hash >> 48) % 64)
    }

    /// Whether a flow was let through in this epoch of 69 s.
    pub(super) fn knows(&mut self, flow: (u64, u64, u64), now_ns: u64, plant: Option<Plant>) -> bool {
        if self.flows_epoch != now_ns >> 36 && plant != Some(Plant::FlowIsKnownForEver) {
            self.flows.clear();
        }
        self.flows_epoch = now_ns >> 36;
        self.flows.contains(&flow)
    }

    /// Remembers a flow.
    pub(super) fn know(&mut self, flow: (u64, u64, u64)) {
        self.flows.insert(flow);
    }

    /// What fragments of one packet share: addresses, number, and of IPv4 the protocol.
    pub(super) fn fragment(&self, source: IpAddr, destination: IpAddr, protocol: u8, id: u32) -> u64 {
        let half = |address: IpAddr| match address {
            IpAddr::V4(a) => u64::from(u32::from(a)),
            IpAddr::V6(a) => {
                let (upper, lower) = (u128::from(a) >> 64, u128::from(a) & u128::from(u64::MAX));
                let [upper, lower] = [upper, lower].map(|half| u64::try_from(half).unwrap_or(0));
                self.mix(upper) ^ lower
            }
        };
        let both = self.mix(half(source)) ^ half(destination).rotate_left(32);
        self.mix(both ^ (u64::from(id) << 8 | u64::from(protocol))) | 1
    }

    /// Remembers that a first fragment passed.
    pub(super) fn remember(&mut self, fragment: u64, now_ns: u64) {
        self.fragments.insert(cell(fragment), (fragment >> 32, now_ns >> 30));
    }

    /// Whether the first fragment of a packet passed, at most 30 s ago.
    pub(super) fn remembers(&self, fragment: u64, now_ns: u64, plant: Option<Plant>) -> bool {
        let most = if plant == Some(Plant::FragmentMemoryTooLong) { 56 } else { 28 };
        self.fragments.get(&cell(fragment)).is_some_and(|(tag, epoch)| {
            let age = (now_ns >> 30).checked_sub(*epoch);
            *tag == fragment >> 32 && age.is_some_and(|age| age <= most)
        })
    }
}

/// Takes from all buckets, or from none: then the first that has not enough.
fn take(
    buckets: &mut [Bucket; 7],
    charges: &[(Dimension, u64, u64, u64)],
    now: u64,
    plant: Option<Plant>,
) -> Option<Dimension> {
    let is_over = |(dimension, cost, window, _): &&(Dimension, u64, u64, u64)| {
        let mut bucket = buckets[*dimension as usize];
        !bucket.take(now, *cost, *window)
    };
    let mut over = charges.iter().filter(is_over);
    let last = plant == Some(Plant::LastDimensionDecides);
    if let Some((dimension, _, window, _)) = if last { over.next_back() } else { over.next() } {
        let bucket = &mut buckets[*dimension as usize];
        bucket.drain(now);
        // Spent under a limit that held more: twice the burst and a second are owed at most.
        if bucket.level / 2 > window + 8_000_000_000 {
            bucket.level = *window;
        }
        return Some(*dimension);
    }
    for (dimension, cost, window, _) in charges {
        buckets[*dimension as usize].take(now, *cost, *window);
    }
    None
}

fn cell(fragment: u64) -> u64 {
    (fragment >> 8) % (1 << 17)
}

/// What a source's rate is counted by: an IPv4 address, or an IPv6 /64.
pub(super) fn key(source: IpAddr) -> u64 {
    match source {
        IpAddr::V4(a) => 0xffff_ffff << 32 | u64::from(u32::from(a)),
        IpAddr::V6(a) => u64::try_from(u128::from(a) >> 64).unwrap_or(0),
    }
}

/// What its network's rate is counted by: the /24, or the /48.
pub(super) fn network(source: IpAddr, plant: Option<Plant>) -> u64 {
    let narrow = u32::from(plant == Some(Plant::NarrowNetwork));
    // IPv4 lives where IPv6 has multicast, which is no source; where bogons are only observed, one may look like the other.
    let is_v4 = key(source) >> 32 == 0xffff_ffff;
    let bits = if is_v4 { 8 } else { 16 } - narrow;
    key(source) >> bits << bits
}
