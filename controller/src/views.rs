//! Reports made from the state and the kernel's counters.
pub mod audit;
pub mod offenders;
pub mod reputation;
pub mod security;
pub mod top;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use weir_common::abi::{class_flag, control_word, feature};
use weir_common::addr::{Source, SourceKey, SourceNetwork};
use weir_common::traffic::Dimension;
use weir_common::verdict::{Action, Verdict};

use crate::adapters::clock;
use crate::adapters::kernel::query::KernelPolicy;
use crate::adapters::kernel::reader::Counters;
use crate::domain::decision::{Decision, Enforcement, Kind};
use crate::domain::feed::reach::{self, Reach};
use crate::domain::guard::{Guards, WouldHit, bare};
use crate::domain::http::source;
use crate::domain::listfile::PASSED_OVER;
use crate::domain::overlay::Key;
use crate::domain::prefixes::{Prefixes, is_single, single};
use crate::domain::privacy;
use crate::domain::report::{
    EmergencyRow, EntryRow, Explain, ExplainEntry, ExplainRate, Fill, Health, InterfaceRow, ListRow, ReachRow, Status,
    Totals, VerdictRow,
};
use crate::domain::tables::attribute;
use crate::sync::{ListTotals, Shared, State, pending_row};

/// `weir status`.
pub fn status(shared: &Shared) -> Status {
    let counters = shared.reader.counters();
    let state = shared.read();
    let (packets, bytes) = totals(&counters);
    let bypass = shared.reader.word(control_word::BYPASS) != 0;
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: shared.started.elapsed().as_secs(),
        enforcement: state.enforcement(),
        generation: shared.reader.descriptor().generation(),
        bypass,
        pending: pending_row(&state),
        interfaces: state
            .interfaces
            .iter()
            .map(|interface| InterfaceRow {
                name: interface.name.clone(),
                index: interface.index,
                mode: interface.mode.map(|mode| mode.to_string()),
            })
            .collect(),
        emergency: EmergencyRow { state: "off".to_owned(), setting: "off".to_owned(), since: None },
        threat_level: Some(audit::threat_level(shared).name().to_owned()),
        packets,
        bytes,
        verdicts: verdicts(&counters),
        limits: offenders::limited(&counters),
        lists: lists(shared, &state),
        feeds: shared.followed.feed_rows(),
        crowdsec: shared.followed.crowdsec_row(),
        geo: shared.followed.geo_rows(),
        detection: shared.detected.row(),
        capacity: capacity(shared, &state),
        health: health(&state, bypass, &counters),
    }
}

/// Every name under which what is kept of an address may stand; a name that is kept stands for itself, and what is neither
/// has none.
pub fn names_of(shared: &Shared, text: &str) -> Option<Vec<String>> {
    if privacy::is_name(text) {
        return Some(vec![text.to_owned()]);
    }
    let address = text.parse::<IpAddr>().ok()?.to_canonical();
    let names = &shared.detected.privacy.load().names;
    let mut called = names.all_of(source::prefix(address));
    called.extend(names.all_of(single(address)));
    called.sort();
    called.dedup();
    Some(called)
}

/// Whether all is well: what `status` and `readyz` say.
pub fn health(state: &State, bypass: bool, counters: &Counters) -> Health {
    let mut problems: Vec<String> = state.problems.iter().map(|(part, what)| format!("{part}: {what}")).collect();
    for interface in state.interfaces.iter().filter(|interface| interface.index.is_none()) {
        problems.push(format!("interface {}: not attached, its traffic is not filtered", interface.name));
    }
    if bypass {
        problems.push("bypass is on: nothing is filtered; `weir bypass off` ends it".to_owned());
    }
    let faults = counters.enforced[Verdict::Fault as usize].packets;
    if faults > 0 {
        problems.push(format!("{faults} packets passed because weir could not read its own tables"));
    }
    Health { ok: problems.is_empty(), problems }
}

/// Packets and bytes by what became of them.
pub fn totals(counters: &Counters) -> (Totals, Totals) {
    let (mut packets, mut bytes) = (Totals::default(), Totals::default());
    for verdict in Verdict::ALL {
        let tally = counters.enforced[verdict.slot() as usize];
        let (into_packets, into_bytes) = match verdict.action() {
            Action::Pass => (&mut packets.passed, &mut bytes.passed),
            Action::Drop => (&mut packets.dropped, &mut bytes.dropped),
        };
        *into_packets += tally.packets;
        *into_bytes += tally.bytes;
        let observed = counters.observed[verdict.slot() as usize];
        packets.would_drop += observed.packets;
        bytes.would_drop += observed.bytes;
    }
    packets.seen = packets.passed + packets.dropped;
    bytes.seen = bytes.passed + bytes.dropped;
    (packets, bytes)
}

/// Counters of every verdict, by its name.
pub fn verdicts(counters: &Counters) -> BTreeMap<String, VerdictRow> {
    Verdict::ALL
        .iter()
        .map(|verdict| {
            let slot = verdict.slot() as usize;
            let (enforced, observed) = (counters.enforced[slot], counters.observed[slot]);
            let row =
                VerdictRow { packets: enforced.packets, bytes: enforced.bytes, observed_packets: observed.packets };
            (verdict.name().to_owned(), row)
        })
        .collect()
}

/// Every list with its totals: what was folded, what the slots counted, and what is live.
fn lists(shared: &Shared, state: &State) -> Vec<ListRow> {
    let mut totals: ListTotals = state.totals.clone();
    // Beside the slot in force, one on its way out or to fall back to: what it counted is not folded yet.
    for (slot, classes) in state.classes.iter().enumerate().filter(|(_, classes)| !classes.is_empty()) {
        for (list, (packets, bytes)) in attribute(classes, &shared.class_hits(slot)) {
            let total = totals.entry(list).or_default();
            total.0 += packets;
            total.1 += bytes;
        }
    }
    for (counter, list) in state.overlay.counters() {
        let hits = shared.reader.overlay_hits(counter);
        let total = totals.entry(list).or_default();
        total.0 += hits.packets;
        total.1 += hits.bytes;
    }
    state
        .desired
        .lists()
        .map(|list| {
            let (packets, bytes) = totals.get(&list.id.0).copied().unwrap_or_default();
            ListRow {
                name: list.name.to_string(),
                kind: list.kind,
                origin: list.origin.name().to_owned(),
                entries: list.len() as u64,
                packets,
                bytes,
                enforcement: list.enforcement,
            }
        })
        .collect()
}

fn capacity(shared: &Shared, state: &State) -> BTreeMap<String, Fill> {
    let settings = &state.settings;
    let offenders = shared.reader.offenders().map_or(0, |keys| keys.len() as u64);
    BTreeMap::from([
        (
            "tables".to_owned(),
            Fill {
                used: state.tables.entries() as u64,
                capacity: 2 * (settings.capacity.addresses as u64 + settings.capacity.prefixes as u64),
            },
        ),
        ("table bytes".to_owned(), Fill { used: state.tables.bytes, capacity: settings.capacity.bytes }),
        ("overlay".to_owned(), Fill { used: state.overlay.len() as u64, capacity: state.overlay_room }),
        ("offenders".to_owned(), Fill { used: offenders, capacity: state.offender_room }),
    ])
}

/// `block list` and `allow list`: what people and tools put there. What feeds and countries name is theirs to show.
pub fn entries(shared: &Shared, kind: Kind) -> Vec<EntryRow> {
    let state = shared.read();
    let mut rows = Vec::new();
    for list in state.desired.lists().filter(|list| list.kind == kind && !list.is_derived()) {
        let name = list.name.to_string();
        for decision in list.entry_decisions().chain(list.imported_decisions()) {
            rows.push(EntryRow {
                prefix: decision.prefix.to_string(),
                origin: decision.origin.name().to_owned(),
                list: name.clone(),
                reason: decision.info.reason.to_string(),
                added_at: decision.info.added_at,
                expires_at: decision.info.expiry.map(|expiry| expiry.wall),
                packets: live_packets(shared, &state, &decision),
                enforcement: decision.standing(),
            });
        }
    }
    rows
}

fn live_packets(shared: &Shared, state: &State, decision: &Decision) -> Option<u64> {
    let key = if is_single(&decision.prefix) {
        Key::Address(decision.prefix.addr())
    } else {
        Key::Prefix(decision.kind, decision.prefix)
    };
    state.overlay.counter(&key).map(|counter| shared.reader.overlay_hits(counter).packets)
}

/// `weir explain`: the kernel's own answer, and the decisions behind it.
pub fn explain(shared: &Shared, policy: &KernelPolicy, address: IpAddr) -> Explain {
    let address = address.to_canonical();
    let source = match address {
        IpAddr::V4(a) => Source::V4(a.octets()),
        IpAddr::V6(a) => Source::V6(a.octets()),
    };
    let now = clock::now();
    let place = shared.followed.place(address);
    let alerts = shared.detected.alerts_of(address);
    let known = reputation::row(&reputation::assess(shared, address));
    let state = shared.read();
    let mut decisions: Vec<Decision> = state
        .desired
        .covering(single(address))
        .into_iter()
        .filter(|decision| decision.info.expiry.is_none_or(|expiry| !expiry.is_over(now.boot)))
        .collect();
    decisions.sort_by_key(Decision::order);
    let mut decider = None;
    let mut profile = 0;
    let (verdict, reason) = if shared.reader.word(control_word::BYPASS) != 0 {
        (Verdict::Bypassed, "the bypass switch is on: everything passes".to_owned())
    } else {
        match policy.classify(source, now.boot) {
            Err(_) => (Verdict::Fault, "weir could not read its own tables: packets pass, and are counted".to_owned()),
            Ok((class, slot)) => {
                let enforced = class.enforced();
                profile = class_flag::profile_of(class.flags);
                let observing = slot.features & feature::OBSERVE_ALL != 0;
                let guarded = class.flags & class_flag::PROTECTED != 0;
                decider = decisions.iter().position(|d| {
                    d.list.0 == enforced.list()
                        && d.origin.rank(d.kind) == enforced.rank()
                        && d.info.enforcement == Enforcement::Enforce
                        && !enforced.is_none()
                        && (!guarded || d.kind == Kind::Allow || d.info.forced)
                });
                judged(&state, &class, observing, decider.and_then(|at| decisions.get(at)))
            }
        }
    };
    Explain {
        address,
        verdict: verdict.name().to_owned(),
        reason,
        entries: decisions
            .iter()
            .enumerate()
            .map(|(at, decision)| ExplainEntry {
                prefix: decision.prefix.to_string(),
                list: state.desired.list(decision.list).map_or_else(String::new, |list| list.name.to_string()),
                origin: decision.origin.name().to_owned(),
                kind: decision.kind,
                reason: decision.info.reason.to_string(),
                expires_at: decision.info.expiry.map(|expiry| expiry.wall),
                enforcement: decision.standing(),
                decides: decider == Some(at),
            })
            .collect(),
        protected: state.guards.protects(address).map(str::to_owned),
        never_block: state.guards.never_blocks(address).map(str::to_owned),
        country: place.country.map(|country| country.to_string()),
        asn: place.asn,
        as_name: place.as_name.map(|name| name.to_string()),
        reputation: known,
        rate: rate_of(shared, &state, profile, source.key()),
        alerts,
    }
}

fn judged(
    state: &State,
    class: &weir_common::judge::Classification,
    observing: bool,
    decider: Option<&Decision>,
) -> (Verdict, String) {
    let enforced = class.enforced();
    let by = decider.map_or_else(
        || "an entry that was just removed or replaced".to_owned(),
        |decision| {
            let list = state.desired.list(decision.list).map_or("?", |list| &*list.name);
            format!("{} on list {list} of {}", bare(decision.prefix), decision.origin)
        },
    );
    let observed = class.observed();
    if enforced.is_allow() {
        return (Verdict::Allowed, format!("allowed by {by}"));
    }
    if enforced.is_deny() {
        let slot = u8::try_from(enforced.verdict_slot()).unwrap_or(0);
        let verdict = Verdict::from_slot(slot).unwrap_or(Verdict::Denied);
        if observing {
            return (Verdict::Pass, format!("would be dropped as {} by {by}, but weir only observes", verdict.name()));
        }
        return (verdict, format!("denied by {by}"));
    }
    if !observed.is_none() {
        return (Verdict::Pass, "passes: it is on a list that is only observed".to_owned());
    }
    let profile = class_flag::profile_of(class.flags);
    if profile != 0 {
        let floods = &state.settings.floods;
        let named = floods.profile_name(profile);
        if let Some(name) = named {
            return (Verdict::Pass, format!("passes, within the limit {name} of a list it is on"));
        }
    }
    (Verdict::Pass, "no list names it; limits apply".to_owned())
}

fn rate_of(shared: &Shared, state: &State, profile: u32, key: SourceKey) -> Option<ExplainRate> {
    let tracked = shared.reader.source(key);
    let floods = &state.settings.floods;
    let over = offenders::of(shared, state, key, profile);
    if tracked.is_none() && over.is_empty() {
        return None;
    }
    let tracked = tracked.unwrap_or_default();
    let limit = floods.limit_of(profile);
    let packets = limit.and_then(|limit| limit.rate(Dimension::Packets));
    Some(ExplainRate {
        limit: packets.map(|rate| rate.per_second().get()),
        profile: floods.profile_name(profile).map(str::to_owned),
        limits: limit.map(offenders::rates).unwrap_or_default(),
        offered: tracked.packets,
        passed: tracked.packets.saturating_sub(tracked.dropped),
        over,
    })
}

/// Sources that pass packets now, none of them dropped, with their packets.
pub fn well_behaved(shared: &Shared) -> Vec<(IpNet, u64)> {
    let sources = shared.reader.sources();
    let passing = sources.into_iter().filter(|(_, source)| source.dropped == 0 && source.packets > 0);
    passing.map(|(key, source)| (prefix(SourceKey::from_word(key)), source.packets)).collect()
}

/// Whom a list would hit, those who behave well now among them.
pub fn reach(shared: &Shared, guards: &Guards, prefixes: &Prefixes, would_hit: &WouldHit) -> ReachRow {
    let found =
        reach::reach(prefixes, guards.protected_prefixes(), guards.never_block_prefixes(), well_behaved(shared));
    ReachRow { well_behaved: Some(found.well_behaved.total()), ..reach_row(&found, would_hit) }
}

/// The same for the API; who behaves well is not known.
pub fn reach_row(found: &Reach, would_hit: &WouldHit) -> ReachRow {
    let named = |set: &BTreeMap<IpNet, String>| {
        set.iter().map(|(prefix, why)| (bare(*prefix), why.clone())).collect::<BTreeMap<_, _>>()
    };
    ReachRow {
        protected_hit: named(&would_hit.protected),
        never_block_hit: named(&would_hit.never_block),
        prefixes_v4: found.prefixes_v4 as u64,
        prefixes_v6: found.prefixes_v6 as u64,
        addresses_v4: found.addresses_v4,
        share_v4_percent: found.share_v4 * 100.0,
        well_behaved: None,
        well_behaved_first: found.well_behaved.first.iter().map(|prefix| bare(*prefix)).collect(),
    }
}

/// Refused lines by reason; what is in order and yet left out is no refusal.
pub fn reasons(reasons: &BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    let refused = reasons.iter().filter(|(reason, _)| !PASSED_OVER.contains(reason));
    refused.map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
}

fn prefix(key: SourceKey) -> IpNet {
    match key.network() {
        SourceNetwork::V4(a) => single(IpAddr::from(a)),
        SourceNetwork::V6(upper) => {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&upper);
            Ipv6Net::new_assert(Ipv6Addr::from(octets), 64).into()
        }
    }
}

/// The /24 or /48 that a network's key stands for.
fn wide_network(key: SourceKey) -> String {
    let wide = match prefix(key) {
        IpNet::V4(one) => Ipv4Net::new(one.addr(), 24).map(IpNet::from),
        IpNet::V6(one) => Ipv6Net::new(one.addr(), 48).map(IpNet::from),
    };
    wide.map_or_else(|_| network(key), bare)
}

fn network(key: SourceKey) -> String {
    bare(prefix(key))
}
