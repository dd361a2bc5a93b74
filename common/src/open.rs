//! What becomes of a packet whose source nothing is said about: transport, fragments, ports, answers, limits.
//!
//! Both ways lead here, for both families; all that is known of the packet comes along in a few plain numbers, so that the
//! verifier follows this once.
use crate::abi::{
    FRAGMENT_CELLS, Limit, OffenderKey, PORT_LIMITS, PORT_ROWS, PROFILES, PortRow, SCOPE_SLOTS, Slot, control_word,
    feature, low, port_flag,
};
use crate::addr::{self, Source, SourceKey};
use crate::frame::Frame;
use crate::judge::Hits;
use crate::limit::{self, Charge, FlowPlace, WITHIN};
use crate::tables::{Asked, Tables};
use crate::traffic::{Dimension, Facts, Scope, detail, fact};
use crate::verdict::{Enforcement, Verdict};
use crate::walk::{self, protocol};

/// What is known of a packet that nothing decided about so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    /// The slot it is judged by.
    pub(crate) slot: u32,
    /// Its source's key.
    pub(crate) key: SourceKey,
    /// Which of the slot's limits the source has.
    pub(crate) profile: u32,
    /// What is behind the network header.
    pub(crate) facts: Facts,
    /// Where the network header is.
    pub(crate) start: u32,
    /// Whether it is an IPv6 header.
    pub(crate) is_v6: bool,
    /// What the packet's fragments share, mixed; 0: it is none, or nobody asks.
    pub(crate) fragment: u64,
    /// What the source's packets came to, this one counted ([`limit::unlisted`]); 0: it is not counted yet.
    pub(crate) own: u32,
}

impl Open {
    /// Puts it aside for [`judge`].
    #[inline(always)]
    pub(crate) fn keep<T: Tables>(&self, tables: &T) {
        let Facts { dimensions, bits, protocol, ports } = self.facts;
        let where_ = self.slot | self.profile << 8 | u32::from(self.is_v6) << 15 | self.start << 16;
        let what = dimensions | bits << 8 | protocol << 16;
        tables.keep(11, u64::from(where_) | u64::from(what) << 32);
        tables.keep(12, self.key.word());
        tables.keep(13, u64::from(ports) | u64::from(self.own) << 32);
        tables.keep(14, self.fragment);
    }

    /// What was put aside.
    #[inline(always)]
    fn kept<T: Tables>(tables: &T) -> Self {
        let packed = tables.kept(11);
        let halves = tables.kept(13);
        let (where_, what) = (low(packed), low(packed >> 32));
        Self {
            slot: where_ & 0xff,
            key: SourceKey::from_word(tables.kept(12)),
            profile: where_ >> 8 & 0x7f,
            facts: Facts {
                dimensions: what & 0xff,
                bits: what >> 8 & 0xff,
                protocol: what >> 16 & 0xff,
                ports: low(halves),
            },
            start: where_ >> 16 & 0xff,
            is_v6: where_ & 0x8000 != 0,
            fragment: tables.kept(14),
            own: low(halves >> 32),
        }
    }
}

/// What fragments of one packet share, mixed with the seed; never 0.
///
/// Of IPv4 that is the protocol too (RFC 791 §3.2). Of IPv6 it is not: each fragment may say of itself what follows, and
/// only the first one's word counts (RFC 8200 §4.5).
#[inline(always)]
pub(crate) fn fragment_of<T: Tables>(tables: &T, network: &walk::Network, id: u32) -> u64 {
    let seed = tables.control(control_word::SEED).unwrap_or(0);
    let (source, destination, protocol) = match (network.source, network.destination) {
        (Source::V4(s), Source::V4(d)) => {
            (u64::from(u32::from_be_bytes(s)), u64::from(u32::from_be_bytes(d)), u64::from(network.next))
        }
        (Source::V6(s), Source::V6(d)) => {
            let (from, to) = (addr::halves(s), addr::halves(d));
            (addr::mix(from.0, seed) ^ from.1, addr::mix(to.0, seed) ^ to.1, 0)
        }
        _ => (0, 0, 0),
    };
    let both = addr::mix(source, seed) ^ destination.rotate_left(32);
    addr::mix(both ^ (u64::from(id) << 8 | protocol), seed) | 1
}

/// How long a first fragment is remembered, in epochs of 2^30 ns: as Linux waits for the rest (30 s).
const FRAGMENT_EPOCHS: u64 = 28;

/// A fragment's cell, and what is in it while its first one is remembered: tag and epoch.
#[inline(always)]
fn fragment_cell(fragment: u64, now_ns: u64) -> (u32, u64) {
    (low(fragment >> 8) & (FRAGMENT_CELLS - 1), (fragment & !0xffff_ffff) | ((now_ns >> 30) + 1))
}

/// Judges the rest of the packet that was put aside; the counter slot of its verdict.
#[inline(always)]
pub(crate) fn judge<F: Frame + ?Sized, T: Tables>(frame: &F, tables: &T, hits: &mut Hits) -> u32 {
    let open = Open::kept(tables);
    hits.forget(tables);
    let Some(slot) = tables.slot(open.slot) else { return Verdict::Fault.slot() };
    let bytes = u64::from(frame.len());
    let mut row = 0;
    if slot.features & feature::TRANSPORT != 0 {
        let verdict = transport(frame, tables, &open, slot, hits, &mut row);
        if verdict != Verdict::Pass.slot() {
            limit::track(tables, slot, open.key, bytes, true);
            return verdict;
        }
    }
    hits.forget(tables);
    let row = tables.forget_half(15, row);
    let verdict = rates(tables, &open, slot, row, bytes, hits);
    if verdict == Verdict::Pass.slot()
        && slot.features & feature::MATCH_FRAGMENTS != 0
        && open.facts.bits & fact::FIRST_FRAGMENT != 0
    {
        let (cell, word) = fragment_cell(open.fragment, tables.monotonic_ns());
        tables.set_fragment(cell, word);
    }
    verdict
}

/// Shape, fragments, ports and answers: `pass`, or what drops the packet.
#[inline(always)]
fn transport<F: Frame + ?Sized, T: Tables>(
    frame: &F,
    tables: &T,
    open: &Open,
    slot: &Slot,
    hits: &mut Hits,
    row: &mut u32,
) -> u32 {
    let Facts { bits, protocol, ports, .. } = open.facts;
    let features = slot.features;
    let observed = |bit: u32| if features & bit != 0 { Enforcement::Observe } else { Enforcement::Enforce };
    if features & feature::SHAPE != 0 && bits & fact::LIES != 0 {
        let verdict = Verdict::Malformed.slot();
        if hits.hit(verdict, detail::TRANSPORT, observed(feature::OBSERVE_SHAPE)) {
            return verdict;
        }
    }
    // The host puts the rest of the header together from the next fragment, where nobody reads it.
    let is_split = bits & (fact::FIRST_FRAGMENT | fact::HAS_PORTS | fact::LIES) == fact::FIRST_FRAGMENT | fact::LIES;
    if features & feature::WHOLE_FIRST_FRAGMENTS != 0 && is_split {
        let verdict = Verdict::Malformed.slot();
        if hits.hit(verdict, detail::TRANSPORT, Enforcement::Enforce) {
            return verdict;
        }
    }
    let first = bits & fact::FIRST_FRAGMENT != 0 && features & feature::DROP_FIRST_FRAGMENTS != 0;
    let later = bits & fact::LATER_FRAGMENT != 0
        && (features & feature::DROP_LATER_FRAGMENTS != 0
            || features & feature::MATCH_FRAGMENTS != 0 && !is_behind_first(tables, open));
    if first || later {
        let verdict = Verdict::Fragment.slot();
        let what = if first { detail::FIRST_FRAGMENT } else { detail::LATER_FRAGMENT };
        if hits.hit(verdict, what, observed(feature::OBSERVE_FRAGMENTS)) {
            return verdict;
        }
    }
    if bits & fact::HAS_PORTS == 0 {
        return Verdict::Pass.slot();
    }
    let verdict = Verdict::Port.slot();
    let is_udp = protocol == u32::from(protocol::UDP);
    if is_udp || protocol == u32::from(protocol::TCP) {
        if features & feature::PORTS != 0 {
            *row = tables.port_row(open.slot, is_udp, ports & 0xffff);
            let flags = port_row(tables, slot, *row).flags;
            let enforcement = if flags & port_flag::OBSERVE != 0 { Enforcement::Observe } else { Enforcement::Enforce };
            if flags & port_flag::DENY != 0 && hits.hit(verdict, detail::PORT_RULE, enforcement) {
                return verdict;
            }
        }
        if is_udp && features & feature::ANSWERS != 0 {
            let from = ports >> 16;
            let word = slot.answers[tables.hide(from >> 6) as usize & 1023];
            if word >> (from & 63) & 1 != 0
                && !is_asked_for(frame, tables, open, slot.askers_from)
                && hits.hit(verdict, detail::ANSWER, observed(feature::OBSERVE_ANSWERS))
            {
                return verdict;
            }
        }
        return Verdict::Pass.slot();
    }
    if features & feature::ICMP_TYPES != 0 {
        let place = tables.hide(ports >> 6 & 3) as usize & 3;
        // The other family's protocol number means nothing.
        let types = if open.is_v6 { slot.icmp_v6[place] } else { slot.icmp_v4[place] };
        let is_own = (protocol == u32::from(protocol::ICMPV6)) == open.is_v6;
        if is_own
            && types >> (ports & 63) & 1 != 0
            && hits.hit(verdict, detail::ICMP_TYPE, observed(feature::OBSERVE_ICMP_TYPES))
        {
            return verdict;
        }
    }
    Verdict::Pass.slot()
}

#[inline(always)]
fn port_row<T: Tables>(tables: &T, slot: &Slot, row: u32) -> PortRow {
    slot.port_rows[tables.hide(row) as usize & (PORT_ROWS - 1)]
}

/// Whether a later fragment's first one passed.
#[inline(always)]
fn is_behind_first<T: Tables>(tables: &T, open: &Open) -> bool {
    let (cell, word) = fragment_cell(open.fragment, tables.monotonic_ns());
    // The same tag, and an epoch that is not long ago: what would be younger than now wraps to what is very old.
    let age = word.wrapping_sub(tables.fragment(cell));
    age <= FRAGMENT_EPOCHS
}

/// Whether somebody here waits for a packet that looks like an answer.
#[inline(always)]
fn is_asked_for<F: Frame + ?Sized, T: Tables>(frame: &F, tables: &T, open: &Open, askers_from: u32) -> bool {
    let (source, destination) = if open.is_v6 {
        let Some(header) = frame.read::<walk::Ipv6Header>(open.start) else { return false };
        (Source::V6(header.source), Source::V6(header.destination))
    } else {
        let Some(header) = frame.read::<walk::Ipv4Header>(open.start) else { return false };
        (Source::V4(header.source), Source::V4(header.destination))
    };
    match tables.asked(source, destination, open.facts.ports, askers_from) {
        Asked::ThisSender | Asked::AnAsker => true,
        Asked::Nobody | Asked::AService => false,
    }
}

/// Holds the packet against every limit it has: `pass`, or the verdict of the first that drops it.
#[inline(always)]
fn rates<T: Tables>(tables: &T, open: &Open, slot: &Slot, row: u32, bytes: u64, hits: &mut Hits) -> u32 {
    const ANY: u32 = feature::SOURCE_LIMIT | feature::NETWORK_LIMIT | feature::GLOBAL_LIMIT | feature::PORTS;
    let pass = Verdict::Pass.slot();
    if slot.features & ANY == 0 {
        limit::track(tables, slot, open.key, bytes, false);
        return pass;
    }
    let now_ns = tables.monotonic_ns();
    let mut dimensions = open.facts.dimensions;
    let flow = || FlowPlace::of(tables, open.key, open.facts.ports, open.facts.protocol, now_ns);
    let mut is_new = false;
    if slot.features & feature::FLOWS != 0 && open.facts.bits & fact::MAY_BE_NEW != 0 {
        is_new = !flow().is_known(tables);
        dimensions |= if is_new { Dimension::New.bit() } else { 0 };
    }
    let dimensions = tables.forget_half(16, dimensions);
    let charge = |limit| Charge::new(limit, dimensions, bytes, now_ns);

    let usual: &Limit = &slot.source_limits[tables.hide(open.profile) as usize & (PROFILES - 1)];
    let by_source = charge(usual);
    if by_source.is_free() {
        limit::track(tables, slot, open.key, bytes, false);
    } else {
        let over = tables.forget_half(17, limit::over_source(tables, &by_source, open.key, open.own));
        if over != WITHIN && is_dropped(tables, &by_source, Scope::Source, over, Verdict::RateSource, bytes, hits) {
            limit::refuse(tables, open.key);
            return Verdict::RateSource.slot();
        }
    }
    hits.forget(tables);
    if slot.features & feature::NETWORK_LIMIT != 0 {
        let by_network = charge(&slot.network_limit);
        if !by_network.is_free() {
            let whose = OffenderKey { key: open.key.wider().word(), scope: Scope::Network.slot(), reserved: 0 };
            let over = tables.forget_half(17, limit::over_tracked(tables, &by_network, whose));
            if over != WITHIN
                && is_dropped(tables, &by_network, Scope::Network, over, Verdict::RateNetwork, bytes, hits)
            {
                limit::refuse(tables, open.key);
                return Verdict::RateNetwork.slot();
            }
        }
    }
    hits.forget(tables);
    let row = port_row(tables, slot, row);
    if row.limit != 0 {
        let number = tables.hide(row.limit - 1) & 0xff;
        let by_port = charge(&slot.port_limits[number as usize & (PORT_LIMITS - 1)]);
        if !by_port.is_free() {
            let per_source = row.flags & port_flag::PER_SOURCE != 0;
            let (over, verdict) = if per_source {
                let scope = Scope::Port.slot() | number << 8;
                let whose = OffenderKey { key: open.key.word(), scope, reserved: 0 };
                (limit::over_tracked(tables, &by_port, whose), Verdict::RateSource)
            } else {
                (limit::over_shared(tables, &by_port, 1 + number), Verdict::RateGlobal)
            };
            let over = tables.forget_half(17, over);
            if over != WITHIN && is_dropped(tables, &by_port, Scope::Port, over, verdict, bytes, hits) {
                limit::refuse(tables, open.key);
                return verdict.slot();
            }
        }
    }
    hits.forget(tables);
    if slot.features & feature::GLOBAL_LIMIT != 0 {
        let by_all = charge(&slot.global_limit);
        if !by_all.is_free() {
            let over = tables.forget_half(17, limit::over_shared(tables, &by_all, 0));
            if over != WITHIN && is_dropped(tables, &by_all, Scope::Global, over, Verdict::RateGlobal, bytes, hits) {
                limit::refuse(tables, open.key);
                return Verdict::RateGlobal.slot();
            }
        }
    }
    // Only what passes is known from now on: what was refused as new and comes again is new again.
    if is_new {
        flow().remember(tables);
    }
    pass
}

/// Counts a packet that is over a limit, and says whether that drops it.
#[inline(always)]
fn is_dropped<T: Tables>(
    tables: &T,
    charge: &Charge<'_>,
    scope: Scope,
    dimension: u32,
    verdict: Verdict,
    bytes: u64,
    hits: &mut Hits,
) -> bool {
    let enforcement = if charge.is_observed() { Enforcement::Observe } else { Enforcement::Enforce };
    let dropped = hits.hit(verdict.slot(), detail::limit(scope.slot(), dimension), enforcement);
    tables.with_cpu(|cpu| {
        cpu.refusals += 1;
        let scope = scope.slot() as usize & (SCOPE_SLOTS - 1);
        let place = tables.hide(dimension) as usize & 7;
        let tally = if dropped { &mut cpu.limited[scope][place] } else { &mut cpu.limited_observed[scope][place] };
        tally.packets += 1;
        tally.bytes += bytes;
    });
    dropped
}
