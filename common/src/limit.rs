//! Limits: each source's, each network's, a port's, everything's; and who sends, for `top`.
//!
//! The unknown many are counted per CPU in fixed lines, without a lock and without an insertion into a map. Only who comes
//! near a limit gets exact buckets that all CPUs share, and takes along what the CPU had counted, so that a source
//! spread over all queues gets its limit once.
use crate::abi::{
    FLOW_LINES, Limit, NETWORK_SETS, OffenderKey, SOURCE_SETS, Slot, control_word, feature, limit_flag, low,
};
use crate::addr::{self, SourceKey};
use crate::networks;
use crate::rate;
use crate::sources::{self, Touch};
use crate::tables::{Buckets, Tables};
use crate::traffic::{self, Dimension, Scope};

/// Over no limit.
pub(crate) const WITHIN: u32 = u32::MAX;

#[inline(always)]
fn seed<T: Tables>(tables: &T) -> u64 {
    tables.control(control_word::SEED).unwrap_or(0)
}

#[inline(always)]
fn set_of<T: Tables>(tables: &T, key: SourceKey) -> u32 {
    key.hash(seed(tables)) & (SOURCE_SETS - 1)
}

/// Counts a packet of the source for `top`, where that is wanted.
#[inline(always)]
pub(crate) fn track<T: Tables>(tables: &T, slot: &Slot, key: SourceKey, bytes: u64, dropped: bool) {
    if slot.features & feature::TRACK_SOURCES == 0 {
        return;
    }
    let epoch = sources::epoch(tables.monotonic_ns());
    if let Some(mut set) = tables.sources(set_of(tables, key)) {
        sources::touch(&mut set, key.word(), bytes, dropped, 0, epoch, |word| tables.hide_word(word));
    }
}

/// Counts a packet of a source that nothing is said about, where nothing but its limit is asked: what its packets came to,
/// with the mark of those that have buckets.
#[inline(always)]
pub(crate) fn unlisted<T: Tables>(tables: &T, slot: &Slot, key: SourceKey, bytes: u64) -> u32 {
    if slot.features & (feature::TRACK_SOURCES | feature::SOURCE_LIMIT) == 0 {
        return 0;
    }
    let now_ns = tables.monotonic_ns();
    let dimensions = traffic::of_network_only().dimensions;
    let charge = Charge::new(&slot.source_limits[0], dimensions, bytes, now_ns);
    let mut pressure = 0;
    if slot.features & feature::SOURCE_LIMIT != 0 && !charge.is_free() {
        pressure = charge.pressure(tables);
    } else if slot.features & feature::TRACK_SOURCES == 0 {
        return 0;
    }
    let own = touch(tables, key, bytes, pressure, now_ns);
    if pressure == 0 { 0 } else { own }
}

/// Counts a packet for the source in its line; what its packets came to, with [`sources::PROMOTED`].
#[inline(always)]
fn touch<T: Tables>(tables: &T, key: SourceKey, bytes: u64, pressure: u32, now_ns: u64) -> u32 {
    let epoch = sources::epoch(now_ns);
    let Some(mut set) = tables.sources(set_of(tables, key)) else { return 0 };
    let own = sources::touch(&mut set, key.word(), bytes, false, pressure, epoch, |word| tables.hide_word(word));
    // Whichever of its ways it was.
    tables.forget_half(19, own)
}

/// Whether a source's packets came so near to a limit that its buckets must be asked.
#[inline(always)]
pub(crate) const fn is_near(own: u32) -> bool {
    // Those that have buckets have the highest bit.
    own >= sources::PRESSURE
}

/// Adds a drop to a packet of the source that was counted already.
#[inline(always)]
pub(crate) fn refuse<T: Tables>(tables: &T, key: SourceKey) {
    if let Some(mut set) = tables.sources(set_of(tables, key)) {
        sources::refuse(&mut set, key.word());
    }
}

/// What a packet costs a limit, and which of its dimensions it counts in.
#[derive(Clone, Copy)]
pub(crate) struct Charge<'a> {
    limit: &'a Limit,
    /// A bit for each dimension of the limit that the packet counts in.
    dimensions: u32,
    bytes: u64,
    now_ns: u64,
}

impl<'a> Charge<'a> {
    #[inline(always)]
    pub(crate) fn new(limit: &'a Limit, dimensions: u32, bytes: u64, now_ns: u64) -> Self {
        Self { limit, dimensions: dimensions & limit.dimensions, bytes, now_ns }
    }

    /// Whether the limit has nothing to say about the packet.
    #[inline(always)]
    pub(crate) fn is_free(&self) -> bool {
        self.dimensions == 0
    }

    /// Whether what is over it is only counted.
    #[inline(always)]
    pub(crate) fn is_observed(&self) -> bool {
        self.limit.flags & limit_flag::OBSERVE != 0
    }

    /// 1 for a dimension the packet counts in, else 0: to multiply with, where a choice would be a branch.
    #[inline(always)]
    fn counts(&self, dimension: usize) -> u64 {
        u64::from((self.dimensions >> dimension) & 1)
    }

    /// Whether the packet counts in none from this dimension on: most limits are about the first one or two.
    #[inline(always)]
    fn ends_before(&self, dimension: usize) -> bool {
        dimension == Dimension::ALL.len() || self.dimensions >> dimension == 0
    }

    /// Time the packet costs in a dimension, in 1/16 ns.
    #[inline(always)]
    fn cost(&self, dimension: usize) -> u64 {
        let cost = self.limit.cost[dimension] * self.counts(dimension);
        if dimension == Dimension::Bytes.slot() { rate::cost_of_bytes(cost, self.bytes) } else { cost }
    }

    /// What it adds to what a CPU counts by itself: something, always; and never so much that one packet alone gets buckets,
    /// however many dimensions it counts in. Else a flood of sources that each send one would fill the map of buckets.
    #[inline(always)]
    fn pressure<T: Tables>(&self, tables: &T) -> u32 {
        const MOST: u64 = sources::PRESSURE as u64 / 2;
        let mut sum = 1;
        let mut dimension = 0;
        while !self.ends_before(dimension) {
            let pressure = u64::from(self.limit.pressure[dimension]) * self.counts(dimension);
            let is_bytes = dimension == Dimension::Bytes.slot();
            sum += if is_bytes { rate::cost_of_bytes(pressure, self.bytes) } else { pressure };
            dimension += 1;
        }
        // The lesser of the two, computed: a choice would be two ways for the verifier to follow.
        let room = MOST.wrapping_sub(sum);
        let is_over = tables.hide_word(room >> 63);
        low(sum.wrapping_add(room.wrapping_mul(is_over)))
    }

    /// Charges what a CPU let through by itself, as if all of it had been like this packet; never for more than the whole
    /// burst.
    #[inline(always)]
    fn charge_earlier<B: Buckets>(&self, buckets: &B, packets: u64) {
        let now = rate::ticks(self.now_ns);
        let mut dimension = 0;
        while !self.ends_before(dimension) {
            let window = self.limit.window[dimension];
            let mut spent = self.cost(dimension) * packets;
            if spent > window {
                spent = window;
            }
            charge(buckets, dimension, now, spent);
            dimension += 1;
        }
    }

    /// Takes from every bucket, or from none; the first dimension that is over, else [`WITHIN`].
    #[inline(always)]
    fn take<T: Tables, B: Buckets>(&self, tables: &T, buckets: &B) -> u32 {
        let now = rate::ticks(self.now_ns);
        // Which are over is computed, not chosen: seven choices would be a hundred ways for the verifier to follow.
        let mut over = 0;
        let mut dimension = 0;
        while !self.ends_before(dimension) {
            let used = rate::used(buckets.tat(dimension), now, |word| tables.hide_word(word));
            let room = self.limit.window[dimension].wrapping_sub(used).wrapping_sub(self.cost(dimension));
            over |= tables.hide_word(room >> 63) << dimension;
            dimension += 1;
        }
        let over = low(over) & self.dimensions;
        if over != 0 {
            let first = first_of(over);
            let place = tables.hide(first) as usize & 7;
            // Spent under another limit, which held more: this one's whole burst is all that can be owed.
            let window = self.limit.window[place];
            let used = rate::used(buckets.tat(place), now, |word| tables.hide_word(word));
            if used >> 1 > window.wrapping_add(FORGIVEN) {
                buckets.set_tat(place, now.wrapping_add(window));
            }
            buckets.count_refused(place, self.now_ns);
            return first;
        }
        dimension = 0;
        while !self.ends_before(dimension) {
            charge(buckets, dimension, now, self.cost(dimension));
            dimension += 1;
        }
        buckets.count_passed(self.now_ns);
        WITHIN
    }
}

/// What a bucket may owe beyond twice its burst, in 1/16 ns: a second. CPUs that charge it at once owe less.
const FORGIVEN: u64 = rate::ticks(500_000_000);

/// The lowest bit's place; of what has at most seven.
#[inline(always)]
const fn first_of(bits: u32) -> u32 {
    // All below the lowest bit, counted without a loop.
    let below = (bits & bits.wrapping_neg()) - 1;
    (below & 1) + (below >> 1 & 1) + (below >> 2 & 1) + (below >> 3 & 1) + (below >> 4 & 1) + (below >> 5 & 1)
}

#[inline(always)]
fn charge<B: Buckets>(buckets: &B, dimension: usize, now: u64, cost: u64) {
    if cost == 0 {
        return;
    }
    // Only what is full is set; anything else is added to, so that nothing another CPU took is lost.
    if buckets.tat(dimension) <= now {
        buckets.set_tat(dimension, now + cost);
    } else {
        buckets.add_tat(dimension, cost);
    }
}

/// Counts a packet of the source, unless that was done and it came to `own`, and says which dimension of its limit it is
/// over.
#[inline(always)]
pub(crate) fn over_source<T: Tables>(tables: &T, charge: &Charge<'_>, key: SourceKey, own: u32) -> u32 {
    let pressure = charge.pressure(tables);
    let mut own = own;
    if own == 0 {
        own = touch(tables, key, charge.bytes, pressure, charge.now_ns);
        if !is_near(own) {
            return WITHIN;
        }
    }
    let touch = Touch::of(tables.forget_half(19, own));
    let whose = OffenderKey { key: key.word(), scope: Scope::Source.slot(), reserved: 0 };
    let (over, has_buckets) = by_buckets(tables, charge, whose, touch, pressure);
    if has_buckets
        && !touch.promoted
        && let Some(mut set) = tables.sources(set_of(tables, key))
    {
        sources::promote(&mut set, key.word());
    }
    over
}

/// The same for whom lines are kept without totals: networks, and sources at a port.
#[inline(always)]
pub(crate) fn over_tracked<T: Tables>(tables: &T, charge: &Charge<'_>, whose: OffenderKey) -> u32 {
    let hash = addr::mix(whose.key ^ (u64::from(whose.scope) << 40), seed(tables));
    let (set, tag) = (low(hash) & (NETWORK_SETS - 1), low(hash >> 32) | 1);
    let pressure = charge.pressure(tables);
    let epoch = sources::epoch(charge.now_ns);
    let Some(mut line) = tables.networks(set) else { return WITHIN };
    let own = networks::touch(&mut line, tag, pressure, epoch, |word| tables.hide_word(word));
    drop(line);
    let own = tables.forget_half(19, own);
    if !is_near(own) {
        return WITHIN;
    }
    let touch = Touch::of(own);
    let (over, has_buckets) = by_buckets(tables, charge, whose, touch, pressure);
    if has_buckets
        && !touch.promoted
        && let Some(mut line) = tables.networks(set)
    {
        networks::promote(&mut line, tag);
    }
    over
}

/// Takes from buckets that belong to nobody in particular.
#[inline(always)]
pub(crate) fn over_shared<T: Tables>(tables: &T, charge: &Charge<'_>, index: u32) -> u32 {
    match tables.shared_buckets(index) {
        Some(buckets) => charge.take(tables, &buckets),
        None => WITHIN,
    }
}

/// Takes from exact buckets; `false` beside it where there is no room for them.
#[inline(always)]
fn by_buckets<T: Tables>(
    tables: &T,
    charge: &Charge<'_>,
    whose: OffenderKey,
    touch: Touch,
    pressure: u32,
) -> (u32, bool) {
    let mut known = tables.offender(&whose);
    if known.is_none() {
        if !tables.insert_offender(&whose, charge.now_ns) {
            tables.with_cpu(|cpu| cpu.offenders_full += 1);
            let over = if touch.own > charge.limit.fallback { first_of(charge.dimensions) } else { WITHIN };
            return (over, false);
        }
        known = tables.offender(&whose);
    }
    let Some(buckets) = known else { return (WITHIN, false) };
    if !touch.promoted {
        let earlier = (touch.own - pressure).checked_div(pressure).unwrap_or(0);
        // At most so many, so that their cost fits a word: where there was no room for buckets, more may have come together.
        let most = sources::PRESSURE;
        charge.charge_earlier(&buckets, u64::from(if earlier > most { most } else { earlier }));
    }
    (charge.take(tables, &buckets), true)
}

/// Where a flow is remembered: its line, and its bit among the 448 of it.
///
/// A line of which half is set begins anew: with more, a flood of flows would make every new one look like one that is
/// known, and the limit of new ones would be none.
#[derive(Clone, Copy)]
pub(crate) struct FlowPlace {
    line: u32,
    word: u32,
    bit: u32,
    epoch: u64,
}

/// Bits of a line that are set at most.
const FLOWS_AT_MOST: u64 = 224;
/// Where in a line's first word the number of its bits begins; below is its epoch.
const FLOWS_SHIFT: u32 = 48;

/// Length of the epoch after which flows are forgotten, as a shift of nanoseconds: 69 s.
const FLOW_EPOCH_SHIFT: u32 = 36;

impl FlowPlace {
    #[inline(always)]
    pub(crate) fn of<T: Tables>(tables: &T, key: SourceKey, ports: u32, protocol: u32, now_ns: u64) -> Self {
        let hash = addr::mix(key.word() ^ (u64::from(ports) << 13 | u64::from(protocol)), seed(tables));
        // Words 1 to 7: word 0 is the epoch.
        let word = 1 + (low(hash >> 32) & 0xffff) * 7 / 0x1_0000;
        let bit = low(hash >> 48) & 63;
        Self { line: low(hash) & (FLOW_LINES - 1), word, bit, epoch: (now_ns >> FLOW_EPOCH_SHIFT) + 1 }
    }

    /// Whether the flow was seen in this epoch.
    #[inline(always)]
    pub(crate) fn is_known<T: Tables>(self, tables: &T) -> bool {
        let Some(line) = tables.flows(self.line) else { return false };
        let word = line.words[tables.hide(self.word) as usize & 7];
        line.words[0] << (64 - FLOWS_SHIFT) == self.epoch << (64 - FLOWS_SHIFT) && word >> self.bit & 1 != 0
    }

    /// Remembers the flow.
    #[inline(always)]
    pub(crate) fn remember<T: Tables>(self, tables: &T) {
        if let Some(mut line) = tables.flows(self.line) {
            let head = line.words[0];
            if head << (64 - FLOWS_SHIFT) != self.epoch << (64 - FLOWS_SHIFT) || head >> FLOWS_SHIFT >= FLOWS_AT_MOST {
                line.words = [self.epoch, 0, 0, 0, 0, 0, 0, 0];
            }
            let place = tables.hide(self.word) as usize & 7;
            let word = line.words[place];
            line.words[0] += (!word >> self.bit & 1) << FLOWS_SHIFT;
            line.words[place] = word | 1 << self.bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    fn flow(model: &Model, number: u32, now_ns: u64) -> FlowPlace {
        FlowPlace::of(model, SourceKey::v4(number.wrapping_mul(0x9e37_79b1)), number, 17, now_ns)
    }

    #[test]
    fn however_many_flows_there_are_most_new_ones_are_new_and_the_last_ones_known() {
        let model = Model::new();
        let now_ns = 1 << FLOW_EPOCH_SHIFT;
        let (mut seen, mut unknown) = (0u32, 0);
        for number in 0..4_000_000 {
            let flow = flow(&model, number, now_ns);
            if number >= 2_000_000 {
                seen += 1;
                unknown += u32::from(!flow.is_known(&model));
            }
            flow.remember(&model);
            assert!(flow.is_known(&model));
        }
        assert!(unknown > seen / 100 * 70, "{unknown} of {seen}");
        // A few that last, in a table that is nearly empty.
        let later = now_ns << 1;
        for number in 0..1_000 {
            assert!(!flow(&model, number, later).is_known(&model), "another epoch");
            flow(&model, number, later).remember(&model);
        }
        let known = (0..1_000).filter(|number| flow(&model, *number, later).is_known(&model)).count();
        assert_eq!(known, 1_000);
    }
}
