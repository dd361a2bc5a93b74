//! Who came near a limit, from the kernel's buckets.
use std::net::IpAddr;

use weir_common::abi::{Offender, OffenderKey, PORT_LIMITS, class_flag};
use weir_common::addr::{Source, SourceKey};
use weir_common::traffic::{Dimension, Scope};

use super::{network, prefix};
use crate::adapters::clock;
use crate::adapters::kernel::query::KernelPolicy;
use crate::adapters::kernel::reader::Counters;
use crate::domain::floods::Floods;
use crate::domain::guard::Guards;
use crate::domain::limits::Limit;
use crate::domain::report::{ExplainLimit, LimitedRow, OffenderRow};
use crate::domain::time::MonotonicNs;
use crate::sync::{Shared, State};

/// Everybody who came near a limit, those refused most in front; at most so many.
///
/// # Errors
/// The system call's that reads the kernel's map.
pub fn all(shared: &Shared, policy: &KernelPolicy, most: usize) -> std::io::Result<Vec<OffenderRow>> {
    let mut found = shared.reader.all_offenders()?;
    found.sort_by_key(|(key, offender)| (std::cmp::Reverse(offender.buckets.refused.iter().sum::<u64>()), key.key));
    let (floods, guards) = {
        let state = shared.read();
        (std::sync::Arc::clone(&state.settings.floods), state.guards.clone())
    };
    let row = |(key, offender): &(OffenderKey, Offender)| {
        row(shared, (&floods, &guards), *key, offender, profile(policy, *key))
    };
    Ok(found.iter().take(most).map(row).collect())
}

/// The number of the limit that the source behind a key has, in the policy in force.
///
/// Buckets are an IPv6 /64's, and a list may name a part of one: what its first address has is taken then.
fn profile(policy: &KernelPolicy, key: OffenderKey) -> u32 {
    if key.scope != Scope::Source.slot() {
        return 0;
    }
    let source = match prefix(SourceKey::from_word(key.key)).addr() {
        IpAddr::V4(address) => Source::V4(address.octets()),
        IpAddr::V6(address) => Source::V6(address.octets()),
    };
    policy.classify(source, clock::now().boot).map_or(0, |(class, _)| class_flag::profile_of(class.flags))
}

/// What the limit that a key's buckets belong to is called, and what it allows of a dimension each second; `None` where it
/// has no name, or limits that dimension no more.
pub fn named(
    floods: &Floods,
    policy: &KernelPolicy,
    key: OffenderKey,
    dimension: Dimension,
) -> (Option<String>, Option<u64>) {
    let (_, name, limit) = limit_of(floods, key, profile(policy, key));
    (name, limit.and_then(|limit| limit.rate(dimension)).map(|rate| rate.per_second().get()))
}

/// All that a limit allows.
pub(super) fn rates(limit: &Limit) -> Vec<ExplainLimit> {
    let row = |(dimension, rate): (Dimension, crate::domain::limits::Rate)| ExplainLimit {
        dimension: dimension.name().to_owned(),
        per_second: rate.per_second().get(),
        burst: rate.burst().get(),
    };
    limit.rates().map(row).collect()
}

/// What is counted exactly of one source that has the limit of this number, and of the network it is in. The caller holds the
/// state: nothing here asks for it again, which would wait for a writer who waits for the caller.
pub(super) fn of(shared: &Shared, state: &State, key: SourceKey, profile: u32) -> Vec<OffenderRow> {
    let of_scope = |key: SourceKey, scope: u32| OffenderKey { key: key.word(), scope, reserved: 0 };
    let ports = (0..).take(PORT_LIMITS).map(|number: u32| of_scope(key, Scope::Port.slot() | number << 8));
    let own = [of_scope(key, Scope::Source.slot()), of_scope(key.wider(), Scope::Network.slot())];
    let found = own.into_iter().chain(ports);
    let found = found.filter_map(|key| Some((key, shared.reader.offender(&key).ok().flatten()?)));
    let by = (&*state.settings.floods, &state.guards);
    found.map(|(key, offender)| row(shared, by, key, &offender, profile)).collect()
}

fn row(
    shared: &Shared,
    (floods, guards): (&Floods, &Guards),
    key: OffenderKey,
    offender: &Offender,
    profile: u32,
) -> OffenderRow {
    let (scope, name, limit) = limit_of(floods, key, profile);
    let refused: u64 = offender.buckets.refused.iter().sum();
    let worst = Dimension::ALL.into_iter().max_by_key(|dimension| {
        let refused = offender.buckets.refused.get(dimension.slot()).copied().unwrap_or(0);
        // Of equals the first.
        (refused, std::cmp::Reverse(dimension.slot()))
    });
    let first = limit.and_then(|limit| limit.rates().next()).map(|(dimension, _)| dimension);
    let dimension = if refused == 0 { first } else { worst }.unwrap_or(Dimension::Packets);
    let source = SourceKey::from_word(key.key);
    let clocks = clock::Pair::now();
    let (offences, denied_until) =
        if scope == Scope::Network { (0, None) } else { shared.followed.offences_of(key.key) };
    OffenderRow {
        source: if scope == Scope::Network { super::wide_network(source) } else { network(source) },
        scope: scope.name().to_owned(),
        limit: name,
        dimension: dimension.name().to_owned(),
        per_second: limit.and_then(|limit| limit.rate(dimension)).map(|rate| rate.per_second().get()),
        offered: offender.buckets.passed.saturating_add(refused),
        allowed: offender.buckets.passed,
        refused,
        since: clocks.wall_of(MonotonicNs(offender.since_ns)),
        last: clocks.wall_of(MonotonicNs(offender.buckets.seen_ns)),
        offences,
        denied_until,
        never_denied: if scope == Scope::Network { None } else { guards.spares(prefix(source)) },
    }
}

/// The limit that a key's buckets belong to, where the source has the one of this number.
fn limit_of(floods: &Floods, key: OffenderKey, profile: u32) -> (Scope, Option<String>, Option<&Limit>) {
    let scope = Scope::ALL.into_iter().find(|scope| scope.slot() == key.scope & 0xff).unwrap_or(Scope::Source);
    match scope {
        Scope::Network => (scope, None, floods.network.as_ref()),
        Scope::Port => {
            let port = floods.port_limits.get((key.scope >> 8) as usize);
            (scope, port.map(|port| port.name.clone()), port.map(|port| &port.limit))
        }
        Scope::Source => (scope, floods.profile_name(profile).map(str::to_owned), floods.limit_of(profile)),
        Scope::Global => (scope, None, floods.global.as_ref()),
    }
}

/// What limits refused, of what is not zero.
pub(super) fn limited(counters: &Counters) -> Vec<LimitedRow> {
    let mut rows = Vec::new();
    for (scope, (enforced, observed)) in
        Scope::ALL.into_iter().zip(counters.limited.iter().zip(&counters.limited_observed))
    {
        for (dimension, (enforced, observed)) in Dimension::ALL.into_iter().zip(enforced.iter().zip(observed)) {
            if enforced.packets != 0 || observed.packets != 0 {
                rows.push(LimitedRow {
                    scope: scope.name().to_owned(),
                    dimension: dimension.name().to_owned(),
                    packets: enforced.packets,
                    bytes: enforced.bytes,
                    observed_packets: observed.packets,
                });
            }
        }
    }
    rows
}
