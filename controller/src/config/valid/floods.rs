//! What is held against floods: what makes no sense, cannot be kept to, or would cut the operator off is refused.
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use weir_common::abi::PORT_LIMITS;
use weir_common::traffic::Dimension;

use super::{Fault, choice, each, number, together};
use crate::config::error::Problem;
use crate::config::raw::{
    Raw, RawAmplification, RawIcmp, RawLimits, RawList, RawOffenders, RawPortLimit, RawPortRule, RawProfile, RawRates,
};
use crate::config::types::{FragmentWord, PortAction, PortScope, Switch};
use crate::domain::decision::Enforcement;
use crate::domain::duration;
use crate::domain::floods::{Amplification, FirstFragments, Floods, LaterFragments, MOST_PROFILES};
use crate::domain::limits::{Limit, LimitError, Rate, unit};
use crate::domain::offenders::Consequence;
use crate::domain::ports::{PortLimit, PortRange, PortRule, PortTable, Protocol, rule_of};
use crate::domain::services::{AMPLIFIERS, ICMP_TYPES, IcmpType};

/// The port that SSH is reached at unless somebody moved it.
const SSH: u16 = 22;

/// Everything that is held against floods. Bursts that were not given are written back to `raw`, so that they are shown.
pub(super) fn floods(raw: &mut Raw) -> Result<Floods, Fault> {
    let limits = &mut raw.limits;
    let source = limit("limits.source", &mut limits.source)?;
    let network = limit("limits.network", &mut limits.network)?;
    let global = limit("limits.global", &mut limits.global)?;
    let tight = limit("limits.tight", &mut limits.tight)?;
    let profiles = profiles(&mut limits.profiles)?;
    let port_limits = port_limits(&mut limits.ports)?;
    let port_rules = port_rules(&raw.ports)?;
    let sections = format!("{} rules, {} limits", port_rules.len(), port_limits.len());
    PortTable::new(&port_rules, &port_limits).map_err(|error| Fault::refused("ports", &sections, &error))?;
    let switch: Switch = choice("shape.transport", &raw.shape.transport)?;
    let first: FragmentWord = choice("fragments.first", &raw.fragments.first)?;
    let later: FragmentWord = choice("fragments.later", &raw.fragments.later)?;
    let first_fragments = match first {
        FragmentWord::Pass => FirstFragments::Pass,
        FragmentWord::Drop => FirstFragments::Drop,
        FragmentWord::Matched => {
            let why = "a first fragment has none before it; only `later` can be \"matched\"";
            return Err(Fault::refused("fragments.first", &raw.fragments.first, why));
        }
    };
    let later_fragments = match later {
        FragmentWord::Pass => LaterFragments::Pass,
        FragmentWord::Drop => LaterFragments::Drop,
        FragmentWord::Matched => LaterFragments::Matched,
    };
    let floods = Floods {
        source,
        network,
        global,
        tight,
        profiles,
        port_limits,
        transport: switch.enforcement(),
        first_fragments,
        later_fragments,
        fragments: choice("fragments.enforcement", &raw.fragments.enforcement)?,
        amplification: amplification(&raw.amplification)?,
        icmp: icmp(&raw.icmp)?,
        icmp_enforcement: choice("icmp.enforcement", &raw.icmp.enforcement)?,
        port_rules,
    };
    together::contradictions(&floods)?;
    Ok(floods)
}

/// A limit, or none where no dimension has a rate.
fn limit(section: &str, raw: &mut impl RawRates) -> Result<Option<Limit>, Fault> {
    let enforcement = choice(&format!("{section}.enforcement"), raw.enforcement())?;
    let mut rates = Vec::new();
    for dimension in Dimension::ALL {
        let (rate_key, burst_key, per_second, burst) = raw.rate(dimension);
        let Some(per_second) = NonZeroU64::new(per_second) else {
            if *burst != 0 {
                let why = format!("a burst without a rate limits nothing; set {rate_key} too");
                return Err(Fault::refused(&format!("{section}.{burst_key}"), &burst.to_string(), &why));
            }
            continue;
        };
        let rate = Rate::new(dimension, per_second, NonZeroU64::new(*burst)).map_err(|reason| {
            let key = match reason {
                LimitError::TooFast { .. } => rate_key,
                LimitError::BurstBelowTick { .. } | LimitError::BurstTooLong { .. } => burst_key,
            };
            let key = format!("{section}.{key}");
            Fault { key: key.clone(), problem: Problem::Limit { key, reason } }
        })?;
        *burst = rate.burst().get();
        rates.push((dimension, rate));
    }
    for (dimension, rate) in &rates {
        let packets = rates.iter().find(|(other, _)| *other == Dimension::Packets).map(|(_, rate)| rate);
        let is_part = !matches!(dimension, Dimension::Packets | Dimension::Bytes);
        if let Some(packets) = packets.filter(|_| is_part)
            && rate.per_second() > packets.per_second()
        {
            let (rate_key, ..) = raw.rate(*dimension);
            let why = format!(
                "{} {} a second can never be reached where {} packets of all sorts may pass; lower it, or raise \
                 {section}.packets_per_second",
                rate.per_second(),
                unit(*dimension),
                packets.per_second()
            );
            return Err(Fault::refused(&format!("{section}.{rate_key}"), &rate.per_second().to_string(), &why));
        }
    }
    Ok(Limit::new(rates, enforcement))
}

fn profiles(raw: &mut [RawProfile]) -> Result<Vec<(String, Limit)>, Fault> {
    let mut profiles: Vec<(String, Limit)> = Vec::new();
    if raw.len() > MOST_PROFILES {
        let why = format!("there is room for {MOST_PROFILES} limits that lists name");
        return Err(Fault::refused(&format!("limits.profiles[{MOST_PROFILES}]"), &raw.len().to_string(), &why));
    }
    for (at, profile) in raw.iter_mut().enumerate() {
        let section = format!("limits.profiles[{at}]");
        let name =
            name(&format!("{section}.name"), &profile.name, "each [[limits.profiles]] section is named by lists")?;
        if profiles.iter().any(|(known, _)| *known == name) {
            return Err(Fault::repeated(&format!("{section}.name"), &name));
        }
        let Some(limit) = limit(&section, profile)? else {
            let why = "it limits nothing; set packets_per_second or another rate";
            return Err(Fault::refused(&format!("{section}.packets_per_second"), "0", why));
        };
        profiles.push((name, limit));
    }
    Ok(profiles)
}

fn name(key: &str, name: &str, why: &'static str) -> Result<String, Fault> {
    if name.is_empty() {
        return Err(Fault { key: key.to_owned(), problem: Problem::Missing { key: key.to_owned(), why } });
    }
    if !super::is_list_name(name) {
        return Err(Fault::refused(key, name, "not a name: 1 to 64 of letters, digits, - _ and ."));
    }
    Ok(name.to_owned())
}

fn port_limits(raw: &mut [RawPortLimit]) -> Result<Vec<PortLimit>, Fault> {
    let mut limits: Vec<PortLimit> = Vec::new();
    if raw.len() > PORT_LIMITS {
        let why = format!("there is room for {PORT_LIMITS} limits of ports");
        return Err(Fault::refused(&format!("limits.ports[{PORT_LIMITS}]"), &raw.len().to_string(), &why));
    }
    for (at, port) in raw.iter_mut().enumerate() {
        let section = format!("limits.ports[{at}]");
        let name = name(&format!("{section}.name"), &port.name, "a limit of ports is shown by its name")?;
        if limits.iter().any(|known| known.name == name) {
            return Err(Fault::repeated(&format!("{section}.name"), &name));
        }
        let per: PortScope = choice(&format!("{section}.per"), &port.per)?;
        let (protocol, ports) = ports_of(&section, &port.protocol, &port.ports)?;
        let Some(limit) = limit(&section, port)? else {
            let why = "it limits nothing; set packets_per_second or another rate";
            return Err(Fault::refused(&format!("{section}.packets_per_second"), "0", why));
        };
        counted_at_ports(&section, protocol, &limit)?;
        limits.push(PortLimit { name, protocol, ports, per_source: per == PortScope::Source, limit });
    }
    Ok(limits)
}

/// Refuses rates of what never goes to ports of a protocol: nothing would be counted.
fn counted_at_ports(section: &str, protocol: Protocol, limit: &Limit) -> Result<(), Fault> {
    for (dimension, rate) in limit.rates() {
        let why = match (dimension, protocol) {
            (Dimension::Udp, Protocol::Tcp) => {
                "nothing that goes to ports of TCP is UDP; set protocol = \"udp\" or \"any\""
            }
            (Dimension::Syn, Protocol::Udp) => {
                "nothing that goes to ports of UDP is a SYN; set protocol = \"tcp\" or \"any\""
            }
            (Dimension::Icmp, _) => "ICMP has no ports, so nothing would be counted; set it in [limits.source]",
            (
                Dimension::Packets
                | Dimension::Bytes
                | Dimension::Syn
                | Dimension::Udp
                | Dimension::New
                | Dimension::Fragments,
                _,
            ) => continue,
        };
        let key = format!("{section}.{}_per_second", dimension.name());
        return Err(Fault::refused(&key, &rate.per_second().to_string(), why));
    }
    Ok(())
}

fn ports_of(section: &str, protocol: &str, ports: &[String]) -> Result<(Protocol, Vec<PortRange>), Fault> {
    let protocol = choice(&format!("{section}.protocol"), protocol)?;
    let key = format!("{section}.ports");
    if ports.is_empty() {
        let why = "name the ports it is about, as in [\"53\", \"8000-8100\"]";
        return Err(Fault { key: key.clone(), problem: Problem::Missing { key, why } });
    }
    let ports = each(&key, ports, |key, port| port.parse().map_err(|error| Fault::refused(key, port, &error)))?;
    Ok((protocol, ports))
}

fn port_rules(raw: &[RawPortRule]) -> Result<Vec<PortRule>, Fault> {
    let mut rules = Vec::new();
    for (at, rule) in raw.iter().enumerate() {
        let section = format!("ports[{at}]");
        let (protocol, ports) = ports_of(&section, &rule.protocol, &rule.ports)?;
        let action: PortAction = choice(&format!("{section}.action"), &rule.action)?;
        rules.push(PortRule {
            protocol,
            ports,
            is_denied: action == PortAction::Deny,
            enforcement: choice(&format!("{section}.enforcement"), &rule.enforcement)?,
            is_forced: rule.force,
        });
    }
    // What is only observed cuts nobody off.
    let hides = |rule: &&PortRule| rule.is_denied && rule.enforcement == Enforcement::Enforce && !rule.is_forced;
    if let Some(hiding) = rule_of(&rules, false, SSH).filter(hides) {
        let at = rules.iter().position(|rule| std::ptr::eq(rule, hiding)).unwrap_or(0);
        let why = "it cuts off SSH (TCP port 22): put a rule that allows port 22 before it, or set force = true in it if \
                   nobody comes in that way";
        let text: Vec<String> = hiding.ports.iter().map(ToString::to_string).collect();
        return Err(Fault::refused(&format!("ports[{at}].ports"), &text.join(", "), why));
    }
    Ok(rules)
}

fn amplification(raw: &RawAmplification) -> Result<Option<Amplification>, Fault> {
    let switch: Switch = choice("amplification.enforcement", &raw.enforcement)?;
    let uses = each("amplification.uses", &raw.uses, |key, name| {
        let known = AMPLIFIERS.iter().find(|service| service.name == name);
        known.map(|service| service.name).ok_or_else(|| not_one_of(key, name, AMPLIFIERS.iter().map(|one| one.name)))
    })?;
    let ports = each("amplification.ports", &raw.ports, |key, port| {
        let range: PortRange = port.parse().map_err(|error| Fault::refused(key, port, &error))?;
        Ok(range)
    })?;
    let ports: Vec<u16> = ports.iter().flat_map(|range| range.ports()).collect();
    Ok(switch.enforcement().map(|enforcement| Amplification::new(enforcement, &uses, &ports)))
}

fn icmp(raw: &RawIcmp) -> Result<Vec<IcmpType>, Fault> {
    each("icmp.deny", &raw.deny, |key, name| {
        let Some(kind) = ICMP_TYPES.iter().find(|kind| kind.name == name) else {
            return Err(not_one_of(key, name, ICMP_TYPES.iter().map(|kind| kind.name)));
        };
        if !kind.needed.is_empty() {
            return Err(Fault::refused(key, name, kind.needed));
        }
        Ok(*kind)
    })
}

fn not_one_of(key: &str, value: &str, choices: impl Iterator<Item = &'static str>) -> Fault {
    let choices: Vec<&'static str> = choices.collect();
    let suggestion = super::suggest::nearest(value, choices.iter().copied()).map(|word| format!("{word:?}"));
    let problem = Problem::NotOneOf { key: key.to_owned(), value: value.to_owned(), choices, suggestion };
    Fault { key: key.to_owned(), problem }
}

/// What becomes of those that break limits again and again.
pub(super) fn offenders(raw: &RawOffenders) -> Result<Consequence, Fault> {
    const MOST_OFFENCES: u64 = 1_000;
    let seconds = |name: &str, value: &str| -> Result<u64, Fault> {
        let key = format!("limits.offenders.{name}");
        let length = duration::parse(value).map_err(|error| Fault::refused(&key, value, &error))?;
        if !(1..=LONGEST_DENIAL_S).contains(&length) {
            let why = "who sends can be forged, so a denial that follows from a limit is short: from 1s to 1h";
            return Err(Fault::refused(&key, value, why));
        }
        Ok(length)
    };
    let (deny_for_s, longest_s) = (seconds("deny_for", &raw.deny_for)?, seconds("longest", &raw.longest)?);
    if longest_s < deny_for_s {
        let why = format!("the longest denial is shorter than the first, deny_for = {:?}", raw.deny_for);
        return Err(Fault::refused("limits.offenders.longest", &raw.longest, &why));
    }
    let deny_after = number("limits.offenders.deny_after", raw.deny_after, 0, MOST_OFFENCES)?;
    Ok(Consequence { deny_after, deny_for_s, longest_s })
}

/// Longest time that a broken limit alone may deny a source: its evidence can be forged.
const LONGEST_DENIAL_S: u64 = 3_600;

/// The list of sources that rules and analyzers limit.
const LIMITED: &str = "rules-limit";
/// The list of sources that have it for their score.
const LIMITED_BY_SCORE: &str = "reputation-limit";

/// What a source that is to have a tighter limit has where nothing is said of it: a page with all that belongs to it, and
/// then one packet in twenty milliseconds.
const LIMITED_RATE: (u64, u64) = (50, 500);

fn usual_limit() -> Option<Limit> {
    let (rate, burst) = LIMITED_RATE;
    let rate = Rate::new(Dimension::Packets, NonZeroU64::new(rate)?, NonZeroU64::new(burst)).ok()?;
    Limit::new([(Dimension::Packets, rate)], Enforcement::Enforce)
}

/// Gives the sources of lists, feeds and countries that limit and name no limit of their own a tighter one, where the
/// settings have none: else whom a list denied would pass as soon as it is to limit. It is written back to `raw`, so
/// that it is shown. Everybody's own limit stays where it is as tight.
pub(super) fn limit_of_lists(raw: &mut RawLimits, floods: &mut Floods, is_needed: bool) {
    let (rate, burst) = LIMITED_RATE;
    let of_source = floods.source.as_ref().and_then(|source| source.rate(Dimension::Packets));
    if !is_needed || floods.tight.is_some() || of_source.is_some_and(|source| source.per_second().get() <= rate) {
        return;
    }
    floods.tight = usual_limit();
    (raw.tight.packets_per_second, raw.tight.burst) = (rate, burst);
}

/// Gives the sources that rules or their scores limit a limit, where the settings have none for them.
pub(super) fn limit_of_rules(floods: &mut Floods, profiles: &mut BTreeMap<String, u32>) {
    if floods.tight.is_some() || profiles.contains_key(LIMITED) || floods.profiles.len() >= MOST_PROFILES {
        return;
    }
    let Some(limit) = usual_limit() else { return };
    if floods.profile(LIMITED).is_none() {
        floods.profiles.push((LIMITED.to_owned(), limit));
    }
    let number = floods.profile(LIMITED);
    for list in [LIMITED, LIMITED_BY_SCORE] {
        profiles.extend(number.filter(|_| !profiles.contains_key(list)).map(|number| (list.to_owned(), number)));
    }
}

/// The limits that lists name, by number.
pub(super) fn profiles_of(lists: &[RawList], floods: &Floods) -> Result<BTreeMap<String, u32>, Fault> {
    let mut numbers = BTreeMap::new();
    let known: BTreeSet<&str> = floods.profiles.iter().map(|(name, _)| name.as_str()).collect();
    for (at, list) in lists.iter().enumerate().filter(|(_, list)| !list.limit.is_empty()) {
        let key = format!("lists[{at}].limit");
        let Some(number) = floods.profile(&list.limit) else {
            let known: Vec<&str> = known.iter().copied().collect();
            let why = if known.is_empty() {
                "there is no limit of this name; name it in a [[limits.profiles]] section".to_owned()
            } else {
                format!("there is no [[limits.profiles]] section of this name; there are {}", known.join(", "))
            };
            return Err(Fault::refused(&key, &list.limit, &why));
        };
        numbers.insert(list.name.clone(), number);
    }
    Ok(numbers)
}
