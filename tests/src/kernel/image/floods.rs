//! What is held against floods, in the words of a slot; and the table of ports.
use weir_common::abi::{self, PORT_WORDS, PortRow, Slot, feature, limit_flag, port_flag};

use crate::reference::floods::{Dimension, Floods, Held, Later, Limit, Ports};

/// The lowest port that a socket gets without asking for it, as Linux has it by default.
pub const ASKERS_FROM: u32 = 32_768;

/// A limit in the kernel's words.
pub fn words(limit: &Limit) -> abi::Limit {
    let mut words = abi::Limit::default();
    for (dimension, rate) in limit.each() {
        let at = dimension as usize;
        words.cost[at] = rate.cost(dimension);
        words.window[at] = rate.window(dimension);
        words.pressure[at] = u32::try_from(rate.pressure(dimension)).expect("a part of the whole");
        words.dimensions |= 1 << at;
    }
    words.fallback = u32::try_from(limit.fallback).expect("31 bits");
    words.flags = if limit.observe { limit_flag::OBSERVE } else { 0 };
    words
}

fn held(held: Held, bit: u32, observed: u32) -> u32 {
    match held {
        Held::Off => 0,
        Held::Observed => bit | observed,
        Held::Enforced => bit,
    }
}

/// Writes it into a slot; what the table of ports holds is the result, a byte for each port of TCP, then of UDP, empty
/// where no port leads anywhere.
pub fn fill(slot: &mut Slot, floods: &Floods) -> Vec<u8> {
    let mut set = |bits: u32, when: bool| slot.features |= if when { bits } else { 0 };
    set(feature::TRANSPORT, floods.asks_transport());
    set(feature::WHOLE_FIRST_FRAGMENTS, floods.goes_by_transport());
    set(feature::FLOWS, floods.counts(Dimension::New));
    set(feature::NETWORK_LIMIT, floods.network.is_some());
    set(feature::GLOBAL_LIMIT, floods.global.is_some());
    set(feature::PORTS, !floods.port_rules.is_empty() || !floods.port_limits.is_empty());
    set(feature::DROP_FIRST_FRAGMENTS, floods.drop_first);
    set(feature::DROP_LATER_FRAGMENTS, floods.later == Later::Drop);
    set(feature::MATCH_FRAGMENTS, floods.later == Later::Matched);
    set(feature::OBSERVE_FRAGMENTS, floods.observe_fragments);
    slot.features |= held(floods.transport, feature::SHAPE, feature::OBSERVE_SHAPE)
        | held(floods.answers, feature::ANSWERS, feature::OBSERVE_ANSWERS)
        | held(floods.icmp, feature::ICMP_TYPES, feature::OBSERVE_ICMP_TYPES);
    for (number, place) in slot.source_limits.iter_mut().enumerate() {
        let own = if number <= floods.profiles.len() { number } else { 0 };
        if let Some(limit) = floods.limit_of(own) {
            *place = words(&limit);
            slot.features |= feature::SOURCE_LIMIT;
        }
    }
    slot.network_limit = floods.network.as_ref().map(words).unwrap_or_default();
    slot.global_limit = floods.global.as_ref().map(words).unwrap_or_default();
    for (place, port) in slot.port_limits.iter_mut().zip(&floods.port_limits) {
        *place = words(&port.limit);
    }
    slot.askers_from = ASKERS_FROM;
    for port in &floods.answer_ports {
        slot.answers[usize::from(*port) / 64] |= 1 << (port % 64);
    }
    for (bits, types) in [(&mut slot.icmp_v4, &floods.icmp_v4), (&mut slot.icmp_v6, &floods.icmp_v6)] {
        for kind in types {
            bits[usize::from(*kind) / 64] |= 1 << (kind % 64);
        }
    }
    ports(slot, floods)
}

/// Between two ports at which any rule begins or ends, all are alike.
fn ports(slot: &mut Slot, floods: &Floods) -> Vec<u8> {
    let all: Vec<&Ports> = floods
        .port_rules
        .iter()
        .map(|rule| &rule.ports)
        .chain(floods.port_limits.iter().map(|limit| &limit.ports))
        .collect();
    if all.is_empty() {
        return Vec::new();
    }
    let ends = all.iter().flat_map(|ports| [u32::from(*ports.range.start()), u32::from(*ports.range.end()) + 1]);
    let mut starts: Vec<u32> = ends.chain([0, 1 << 16]).collect();
    starts.sort_unstable();
    starts.dedup();
    let mut rows = vec![PortRow::default()];
    let mut table = vec![0; PORT_WORDS as usize * 8];
    for (is_udp, half) in [false, true].into_iter().zip(table.chunks_mut(1 << 16)) {
        for pair in starts.windows(2) {
            let row = row(floods, is_udp, u16::try_from(pair[0]).expect("below the last"));
            let number = rows.iter().position(|known| *known == row).unwrap_or_else(|| {
                rows.push(row);
                rows.len() - 1
            });
            half[pair[0] as usize..pair[1] as usize].fill(u8::try_from(number).expect("few rows"));
        }
    }
    slot.port_rows[..rows.len()].copy_from_slice(&rows);
    table
}

fn row(floods: &Floods, is_udp: bool, port: u16) -> PortRow {
    let mut row = PortRow::default();
    if let Some(rule) = floods.port_rules.iter().find(|rule| rule.ports.names(is_udp, port)) {
        row.flags |= if rule.deny { port_flag::DENY } else { 0 };
        row.flags |= if rule.observe { port_flag::OBSERVE } else { 0 };
    }
    if let Some(at) = floods.port_limits.iter().position(|limit| limit.ports.names(is_udp, port)) {
        row.flags |= if floods.port_limits[at].per_source { port_flag::PER_SOURCE } else { 0 };
        row.limit = u32::try_from(at + 1).expect("few limits");
    }
    row
}
