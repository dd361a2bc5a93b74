//! Limits beside each other: which contradict each other, which let one sender cost all others, and what does nothing.
use std::collections::BTreeSet;
use std::fmt::Write as _;

use weir_common::traffic::{Dimension, Scope};

use super::Fault;
use crate::config::raw::Raw;
use crate::config::types::Config;
use crate::domain::decision::Enforcement;
use crate::domain::floods::Floods;
use crate::domain::limits::Limit;
use crate::domain::ports::{PortRange, Protocol};

/// Times a network's rate must be a source's at least, so that a host within its own limit does not use up what the whole
/// network has.
const SOURCES_IN_NETWORK: u64 = 2;

/// A limit, and the section it is set in.
#[derive(Clone, Copy, Debug)]
struct Named<'a> {
    section: &'a str,
    limit: &'a Limit,
}

/// The key of a dimension's rate.
fn rate_key(dimension: Dimension) -> String {
    format!("{}_per_second", dimension.name())
}

/// The key of a dimension's burst.
fn burst_key(dimension: Dimension) -> String {
    if dimension == Dimension::Packets { "burst".to_owned() } else { format!("{}_burst", dimension.name()) }
}

/// Refuses limits of which one sender that keeps to the one uses up the other, which many have together; and a tighter
/// limit that is none.
///
/// # Errors
/// The first such pair, with the way out.
pub(super) fn contradictions(floods: &Floods) -> Result<(), Fault> {
    let named: Vec<(String, &Limit)> =
        floods.profiles.iter().zip(0..).map(|((_, limit), at)| (format!("limits.profiles[{at}]"), limit)).collect();
    let services: Vec<(String, &Limit)> = (0..)
        .zip(&floods.port_limits)
        .filter(|(_, port)| !port.per_source)
        .map(|(at, port): (usize, _)| (format!("limits.ports[{at}]"), &port.limit))
        .collect();
    let of = |section, limit| Named { section, limit };
    let source = floods.source.as_ref().map(|limit| of("limits.source", limit));
    let network = floods.network.as_ref().map(|limit| of("limits.network", limit));
    let global = floods.global.as_ref().map(|limit| of("limits.global", limit));
    let tight = floods.tight.as_ref().map(|limit| of("limits.tight", limit));
    let wide = || network.into_iter().chain(global);
    if let Some(source) = source {
        for wide in wide() {
            let times = if wide.section == "limits.network" { SOURCES_IN_NETWORK } else { 1 };
            wider_is_more(wide, source, times)?;
        }
    }
    if let (Some(global), Some(network)) = (global, network) {
        wider_is_more(global, network, 1)?;
    }
    let services = || services.iter().map(|(section, limit)| of(section, limit));
    for narrow in source.into_iter().chain(tight).chain(named.iter().map(|(section, limit)| of(section, limit))) {
        let wide = wide().filter(|_| narrow.section != "limits.source");
        for wide in wide.chain(services()) {
            wider_is_more(wide, narrow, 1)?;
        }
    }
    if let (Some(tight), Some(source)) = (tight, source) {
        tighter_is_less(tight, source)?;
    }
    Ok(())
}

/// Refuses a limit of what is wider that is below that of what it is made of: one source would cost all others.
fn wider_is_more(wide: Named<'_>, narrow: Named<'_>, times: u64) -> Result<(), Fault> {
    for (dimension, rate) in wide.limit.rates() {
        let Some(least) = narrow.limit.rate(dimension) else { continue };
        let key = rate_key(dimension);
        let needed = least.per_second().get().saturating_mul(times);
        if rate.per_second().get() < needed {
            let why = format!(
                "one that keeps to {}.{key} = {} would use up what all of them have together; use {needed} or more",
                narrow.section,
                least.per_second()
            );
            return Err(Fault::refused(&format!("{}.{key}", wide.section), &rate.per_second().to_string(), &why));
        }
        // A burst is spent as fast as packets come, so that here its size alone counts.
        let (key, needed) = (burst_key(dimension), least.burst());
        if rate.burst() < needed {
            let why = format!(
                "one that keeps to {}.{key} = {needed} would use up at once what all of them have together; use {needed} \
                 or more, or lower that",
                narrow.section
            );
            return Err(Fault::refused(&format!("{}.{key}", wide.section), &rate.burst().to_string(), &why));
        }
    }
    Ok(())
}

/// Refuses a tighter limit that lets more through than everybody's.
fn tighter_is_less(tight: Named<'_>, source: Named<'_>) -> Result<(), Fault> {
    for (dimension, rate) in tight.limit.rates() {
        let Some(most) = source.limit.rate(dimension) else { continue };
        if rate.per_second() > most.per_second() {
            let key = rate_key(dimension);
            let why = format!(
                "sources that have it would have more than all others, whose {}.{key} is {most}; use {most} or less, or \
                 give the limit a name of its own in a [[limits.profiles]] section",
                source.section,
                most = most.per_second()
            );
            return Err(Fault::refused(&format!("{}.{key}", tight.section), &rate.per_second().to_string(), &why));
        }
    }
    Ok(())
}

/// What is legal and worth knowing, a sentence each: whom limits cost that one sender can use up, and what does nothing.
pub(super) fn warnings(raw: &Raw, config: &Config) -> Vec<String> {
    let floods = &config.floods;
    let mut warnings = used_up_by_one(floods);
    warnings.extend(looser_by_silence(floods));
    for (at, (name, _)) in raw.limits.profiles.iter().zip(&floods.profiles).map(|(_, known)| known).enumerate() {
        if !raw.lists.iter().any(|list| list.limit == *name) {
            warnings.push(format!("limits.profiles[{at}] does nothing: no [[lists]] section has limit = {name:?}"));
        }
    }
    warnings
        .extend(shadowed("limits.ports", floods.port_limits.iter().map(|one| (one.protocol, one.ports.as_slice()))));
    warnings.extend(shadowed("ports", floods.port_rules.iter().map(|one| (one.protocol, one.ports.as_slice()))));
    if floods.amplification.is_none() {
        for (key, given) in [("uses", &raw.amplification.uses), ("ports", &raw.amplification.ports)] {
            if !given.is_empty() {
                warnings.push(format!("amplification.{key} does nothing: amplification.enforcement is \"off\""));
            }
        }
    }
    let is_limited = floods.source.is_some() || floods.tight.is_some() || !floods.profiles.is_empty();
    let offends = is_limited && floods.enforces(Scope::Source.slot())
        || floods.port_limits.iter().any(|port| port.per_source && port.limit.enforcement() == Enforcement::Enforce);
    if config.offenders.deny_after > 0 && !offends {
        warnings.push(
            "limits.offenders.deny_after does nothing: no limit of single sources is enforced, and where one of \
             [limits.source], [limits.tight] and [[limits.profiles]] is only observed, none of these counts"
                .to_owned(),
        );
    }
    warnings
}

/// The most that one sender who keeps to a limit can send of a dimension to ports of a protocol; `None`: no end.
fn most_of(limit: &Limit, dimension: Dimension, protocol: Protocol) -> Option<u64> {
    let rate = |dimension| limit.rate(dimension).map(|rate| rate.per_second().get());
    let whole = match dimension {
        Dimension::Packets if protocol == Protocol::Udp => rate(Dimension::Udp),
        Dimension::Packets | Dimension::Bytes => None,
        // A new flow begins with a SYN, or is one of UDP.
        Dimension::New => {
            let opened = match protocol {
                Protocol::Tcp => rate(Dimension::Syn),
                Protocol::Udp => rate(Dimension::Udp),
                Protocol::Any => {
                    rate(Dimension::Syn).zip(rate(Dimension::Udp)).map(|(syn, udp)| syn.saturating_add(udp))
                }
            };
            opened.into_iter().chain(rate(Dimension::Packets)).min()
        }
        Dimension::Syn | Dimension::Udp | Dimension::Icmp | Dimension::Fragments => rate(Dimension::Packets),
    };
    rate(dimension).into_iter().chain(whole).min()
}

/// Limits that many have together, and that no other one keeps a single sender from using up.
fn used_up_by_one(floods: &Floods) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut look = |wide: Named<'_>, protocol, narrow: &[Option<&Limit>], costs: &str| {
        // What is only observed costs nobody, and holds nobody where the wider one is carried out.
        let is_harmless = wide.limit.enforcement() == Enforcement::Observe;
        let holds = |limit: &&Limit| is_harmless || limit.enforcement() == Enforcement::Enforce;
        let narrow: Vec<&Limit> = narrow.iter().copied().flatten().filter(holds).collect();
        let open: Vec<(Dimension, u64)> = wide
            .limit
            .rates()
            .map(|(dimension, rate)| (dimension, rate.per_second().get()))
            .filter(|(dimension, rate)| {
                let most = narrow.iter().filter_map(|limit| most_of(limit, *dimension, protocol)).min();
                most.is_none_or(|most| most > *rate)
            })
            .collect();
        if open.is_empty() {
            return;
        }
        let section = wide.section;
        let limits: Vec<String> =
            open.iter().map(|(dimension, rate)| format!("{section}.{} = {rate}", rate_key(*dimension))).collect();
        let keys: Vec<String> = open.iter().map(|(dimension, _)| rate_key(*dimension)).collect();
        let is_observed = floods.source.is_some_and(|source| source.enforcement() == Enforcement::Observe);
        let way_out = if is_observed && narrow.is_empty() {
            "[limits.source] is only observed".to_owned()
        } else {
            format!(
                "set {} in [limits.source], well below {}",
                listed(&keys),
                if keys.len() == 1 { "it" } else { "them" }
            )
        };
        warnings.push(format!("one sender alone can use up {}, and costs {costs} then: {way_out}", listed(&limits)));
    };
    let (source, network) = (floods.source.as_ref(), floods.network.as_ref());
    if let Some(limit) = network {
        let costs = "all others of its network (IPv4 /24, IPv6 /48)";
        look(Named { section: "limits.network", limit }, Protocol::Any, &[source], costs);
    }
    if let Some(limit) = &floods.global {
        look(Named { section: "limits.global", limit }, Protocol::Any, &[source, network], "everybody else");
    }
    for (at, port) in floods.port_limits.iter().enumerate().filter(|(_, port)| !port.per_source) {
        let (section, costs) =
            (format!("limits.ports[{at}]"), format!("everybody else at the ports of {:?}", port.name));
        look(Named { section: &section, limit: &port.limit }, port.protocol, &[source], &costs);
    }
    warnings
}

/// What the tighter limit does not name and everybody's does: its sources have more of it than others.
fn looser_by_silence(floods: &Floods) -> Option<String> {
    let (tight, source) = (floods.tight.as_ref()?, floods.source.as_ref()?);
    let silent = source.rates().filter(|(dimension, rate)| {
        let most = most_of(tight, *dimension, Protocol::Any);
        tight.rate(*dimension).is_none() && most.is_none_or(|most| most > rate.per_second().get())
    });
    let keys: Vec<String> = silent.map(|(dimension, _)| rate_key(dimension)).collect();
    if keys.is_empty() {
        return None;
    }
    let keys = listed(&keys);
    Some(format!(
        "sources that have [limits.tight] may send more than others: it does not name {keys}, as [limits.source] does"
    ))
}

/// Sections of ports whose every port an earlier one names: the first one holds, so that they do nothing.
fn shadowed<'a>(section: &str, sections: impl Iterator<Item = (Protocol, &'a [PortRange])>) -> Vec<String> {
    let mut first: [Vec<Option<usize>>; 2] = [vec![None; 1 << 16], vec![None; 1 << 16]];
    let mut warnings = Vec::new();
    for (at, (protocol, ports)) in sections.enumerate() {
        let mut before = BTreeSet::new();
        let mut is_needed = false;
        for (is_udp, first) in [false, true].into_iter().zip(&mut first) {
            if !protocol.covers(is_udp) {
                continue;
            }
            for port in ports.iter().flat_map(|range| range.ports()) {
                match first.get_mut(usize::from(port)) {
                    Some(Some(other)) if *other != at => {
                        before.insert(*other);
                    }
                    Some(place) => {
                        *place = Some(at);
                        is_needed = true;
                    }
                    None => {}
                }
            }
        }
        if !is_needed {
            let before: Vec<String> = before.iter().map(|other| format!("{section}[{other}]")).collect();
            let (names, it) = if before.len() == 1 { ("names", "it") } else { ("name", "them") };
            let before = listed(&before);
            warnings.push(format!(
                "{section}[{at}] does nothing: {before} {names} all its ports before, and the first one holds; put it \
                 before {it}, or delete it"
            ));
        }
    }
    warnings
}

/// `a`, `a and b`, `a, b and c`.
fn listed(words: &[String]) -> String {
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        let before = match at {
            0 => "",
            at if at + 1 == words.len() => " and ",
            _ => ", ",
        };
        // Writing to a text never fails.
        let _infallible = write!(text, "{before}{word}");
    }
    text
}
