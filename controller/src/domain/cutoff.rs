//! Whom settings for ports cut off on this very machine: what listens here, who is logged in, what is answered.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::decision::Enforcement;
use super::floods::Floods;
use super::ports::{PortRule, rule_of};
use super::services::AMPLIFIERS;

/// Services whose clients send from the service's own port, so that their answers come back to it.
const ASK_FROM_THEIR_PORT: [&str; 6] = ["ntp", "netbios", "isakmp", "rip", "ssdp", "coap"];

/// Ports that clients send from: what no service has for its own.
const CLIENT_PORTS: RangeInclusive<u16> = 1_024..=u16::MAX;

/// So many of them are no longer single services that answer from a high port: one client in a hundred.
const MANY_CLIENT_PORTS: usize = 645;

/// Ports that a sentence names one by one.
const NAMED: usize = 8;

/// What is reached on this machine, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// TCP ports at which something listens, for others than this machine.
    pub tcp: BTreeSet<u16>,
    /// UDP ports at which something takes packets of whoever sends them.
    pub udp: BTreeSet<u16>,
    /// Login sessions, by the port they came in at.
    pub sessions: Vec<Session>,
    /// Ports that sockets get which ask for none.
    pub given: Option<RangeInclusive<u16>>,
}

/// A login session from afar.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    /// Whose.
    pub user: String,
    /// From where.
    pub address: IpAddr,
    /// The TCP port of this machine that it came in at.
    pub port: u16,
    /// Whether the connection is known to be the session's own, not merely one from the same place.
    pub is_certain: bool,
    /// The interfaces by which its packets may come in, by index; empty: any.
    pub interfaces: BTreeSet<u32>,
}

/// What settings cut off from nobody, however they are.
#[derive(Clone, Copy)]
pub struct Spared<'a> {
    /// The interfaces that weir is on, by index: what comes in elsewhere it does not see. Empty: any.
    pub interfaces: &'a BTreeSet<u32>,
    /// Whether an address is allowed to stay, so that no rule holds for it.
    pub is_allowed: &'a dyn Fn(IpAddr) -> bool,
    /// Rules that are in force: what they cut off already, the same in new settings does not.
    pub in_force: &'a [PortRule],
}

impl Spared<'_> {
    /// Nobody is known to be.
    pub fn nobody() -> Spared<'static> {
        static NONE: BTreeSet<u32> = BTreeSet::new();
        Spared { interfaces: &NONE, is_allowed: &|_| false, in_force: &[] }
    }

    fn spares(&self, session: &Session) -> bool {
        let is_unseen = !self.interfaces.is_empty()
            && !session.interfaces.is_empty()
            && self.interfaces.is_disjoint(&session.interfaces);
        is_unseen || (self.is_allowed)(session.address)
    }
}

impl std::fmt::Debug for Spared<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spared").field("interfaces", &self.interfaces).field("in_force", &self.in_force).finish()
    }
}

/// What settings cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CutOff {
    /// What is not to be put in force: a sentence each, with the way out.
    pub refused: Vec<String>,
    /// What is legal and worth knowing, a sentence each.
    pub warned: Vec<String>,
}

/// What these settings cut off here.
pub fn cut_off(floods: &Floods, here: &Here, spared: &Spared<'_>) -> CutOff {
    let rules = &floods.port_rules;
    let mut found = CutOff::default();
    for session in &here.sessions {
        let Some((at, rule)) = denial_of(rules, false, session.port) else { continue };
        if spared.spares(session) {
            continue;
        }
        let Session { user, address, port, is_certain, interfaces: _ } = session;
        if !is_certain {
            found.warned.push(format!(
                "ports[{at}] cuts off TCP port {port}, to which {address} is connected, from where {user} is logged in"
            ));
            continue;
        }
        let what = format!("ports[{at}] cuts off TCP port {port}, through which {user} is logged in from {address}");
        if rule.is_forced || denial_of(spared.in_force, false, *port).is_some() {
            found.warned.push(what);
        } else {
            found.refused.push(format!(
                "{what}: put a rule that allows port {port} before it, or set force = true in it to give the session up"
            ));
        }
    }
    for (is_udp, listening) in [(false, &here.tcp), (true, &here.udp)] {
        let mut hidden: BTreeMap<usize, Vec<u16>> = BTreeMap::new();
        // Of UDP, askers take packets too; they are spoken of below, all together.
        let is_asker = |port: &u16| is_udp && here.given.as_ref().is_some_and(|given| given.contains(port));
        for port in listening.iter().filter(|port| !is_asker(port)) {
            if let Some((at, _)) = denial_of(rules, is_udp, *port) {
                hidden.entry(at).or_default().push(*port);
            }
        }
        for (at, ports) in hidden {
            found.warned.push(format!("ports[{at}] cuts off {}, where something listens here", named(is_udp, &ports)));
        }
    }
    found.warned.extend(here.given.iter().flat_map(|given| answers(rules, given)));
    found.warned.extend(own_askers(floods, here));
    found.warned.extend(clients(floods, here));
    found
}

/// The rule that drops what goes to a port, and its number.
fn denial_of(rules: &[PortRule], is_udp: bool, port: u16) -> Option<(usize, &PortRule)> {
    let rule =
        rule_of(rules, is_udp, port).filter(|rule| rule.is_denied && rule.enforcement == Enforcement::Enforce)?;
    rules.iter().enumerate().find(|(_, one)| std::ptr::eq(*one, rule))
}

/// Rules that drop answers to this machine's own connections: they come to ports that nobody chose.
fn answers(rules: &[PortRule], given: &RangeInclusive<u16>) -> Vec<String> {
    let mut sentences = Vec::new();
    for is_udp in [false, true] {
        let mut dropped: BTreeMap<usize, u32> = BTreeMap::new();
        for port in given.clone() {
            if let Some((at, _)) = denial_of(rules, is_udp, port) {
                *dropped.entry(at).or_default() += 1;
            }
        }
        for (at, count) in dropped {
            sentences.push(format!(
                "ports[{at}] cuts off {count} of the {} ports {}-{} at which this machine's own {} are answered; to keep \
                 them, put a rule that allows these ports before it",
                protocol(is_udp),
                given.start(),
                given.end(),
                if is_udp { "questions" } else { "connections" }
            ));
        }
    }
    sentences
}

/// Services here that may ask others from their own port, whose answers the settings drop.
fn own_askers(floods: &Floods, here: &Here) -> Vec<String> {
    let Some(refused) = &floods.amplification else { return Vec::new() };
    if refused.enforcement != Enforcement::Enforce {
        return Vec::new();
    }
    let services = AMPLIFIERS.iter().filter(|service| ASK_FROM_THEIR_PORT.contains(&service.name));
    let asks = services.flat_map(|service| service.ports.iter().map(move |port| (service.name, *port)));
    let asks = asks.filter(|(_, port)| here.udp.contains(port) && refused.ports.contains(port));
    asks.map(|(name, port)| {
        format!(
            "amplification drops the answers to UDP port {port}, where something here may ask from; if it does, add \
             {name:?} to uses"
        )
    })
    .collect()
}

/// Services here that lose clients, since these send from ports that settings take for those of answers.
fn clients(floods: &Floods, here: &Here) -> Option<String> {
    let refused = floods.amplification.as_ref().filter(|refused| refused.enforcement == Enforcement::Enforce)?;
    let known: BTreeSet<u16> = AMPLIFIERS.iter().flat_map(|service| service.ports).copied().collect();
    let of_clients = refused.ports.iter().filter(|port| CLIENT_PORTS.contains(port) && !known.contains(port)).count();
    if of_clients < MANY_CLIENT_PORTS {
        return None;
    }
    let is_asker = |port: &&u16| here.given.as_ref().is_some_and(|given| given.contains(port));
    let services: Vec<u16> = here.udp.iter().filter(|port| !is_asker(port)).copied().collect();
    if services.is_empty() {
        return None;
    }
    Some(format!(
        "amplification.ports names {of_clients} of the {} ports from {} on, from which clients send: it cuts off clients of \
         {}, where something listens here",
        CLIENT_PORTS.len(),
        CLIENT_PORTS.start(),
        named(true, &services)
    ))
}

fn protocol(is_udp: bool) -> &'static str {
    if is_udp { "UDP" } else { "TCP" }
}

/// `TCP port 443`, `UDP ports 53 and 853`, `TCP ports 1, 2, 3, 4, 5, 6, 7, 8 and 3 more`.
fn named(is_udp: bool, ports: &[u16]) -> String {
    let mut text = format!("{} port{} ", protocol(is_udp), if ports.len() == 1 { "" } else { "s" });
    let shown = ports.len().min(NAMED);
    for (at, port) in ports.iter().take(shown).enumerate() {
        let before = match at {
            0 => "",
            at if at + 1 == ports.len() => " and ",
            _ => ", ",
        };
        // Writing to a text never fails.
        let _infallible = write!(text, "{before}{port}");
    }
    if ports.len() > shown {
        let _infallible = write!(text, " and {} more", ports.len() - shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::floods::Amplification;
    use crate::domain::ports::Protocol;

    fn rule(protocol: Protocol, ports: &str, is_denied: bool) -> PortRule {
        let ports = ports.split(',').map(|port| port.parse().unwrap()).collect();
        PortRule { protocol, ports, is_denied, enforcement: Enforcement::Enforce, is_forced: false }
    }

    fn here() -> Here {
        Here { tcp: BTreeSet::from([22, 80, 443]), udp: BTreeSet::from([53, 123, 40_000]), ..Here::default() }
    }

    #[track_caller]
    fn check(rules: &[PortRule], here: &Here, warned: &[&str]) {
        let found = cut_off(&Floods { port_rules: rules.to_vec(), ..Floods::default() }, here, &Spared::nobody());
        assert_eq!(found, CutOff { refused: vec![], warned: warned.iter().map(|one| (*one).to_owned()).collect() });
    }

    #[test]
    fn what_nobody_listens_at_is_cut_off_from_nobody() {
        check(&[], &here(), &[]);
        check(&[rule(Protocol::Any, "1900,11211", true)], &here(), &[]);
        check(&[rule(Protocol::Tcp, "53", true), rule(Protocol::Udp, "443", true)], &here(), &[]);
        check(&[rule(Protocol::Any, "1-65535", true)], &Here::default(), &[]);
    }

    #[test]
    fn ports_that_something_listens_at_are_named_with_the_rule_that_decides() {
        check(
            &[rule(Protocol::Tcp, "22", false), rule(Protocol::Udp, "53", true), rule(Protocol::Any, "1-1023", true)],
            &here(),
            &[
                "ports[2] cuts off TCP ports 80 and 443, where something listens here",
                "ports[1] cuts off UDP port 53, where something listens here",
                "ports[2] cuts off UDP port 123, where something listens here",
            ],
        );
        let many = Here { tcp: (1..=11).collect(), ..Here::default() };
        check(
            &[rule(Protocol::Any, "1-1023", true)],
            &many,
            &["ports[0] cuts off TCP ports 1, 2, 3, 4, 5, 6, 7, 8 and 3 more, where something listens here"],
        );
    }

    #[test]
    fn what_is_allowed_before_or_only_observed_is_not_cut_off() {
        check(&[rule(Protocol::Any, "1-1023", false), rule(Protocol::Any, "1-1023", true)], &here(), &[]);
        let observed = PortRule { enforcement: Enforcement::Observe, ..rule(Protocol::Any, "1-1023", true) };
        check(std::slice::from_ref(&observed), &here(), &[]);
        // The first that names a port decides, observed or not.
        check(&[observed, rule(Protocol::Any, "1-1023", true)], &here(), &[]);
    }

    #[test]
    fn answers_to_our_own_connections_are_thought_of() {
        let here = Here { given: Some(32_768..=60_999), ..here() };
        check(
            &[rule(Protocol::Any, "22,53,80,123,443", false), rule(Protocol::Any, "1-65535", true)],
            &here,
            &[
                "ports[1] cuts off 28232 of the TCP ports 32768-60999 at which this machine's own connections are \
                 answered; to keep them, put a rule that allows these ports before it",
                "ports[1] cuts off 28232 of the UDP ports 32768-60999 at which this machine's own questions are answered; \
                 to keep them, put a rule that allows these ports before it",
            ],
        );
        check(&[rule(Protocol::Any, "1-32767", false), rule(Protocol::Any, "61000-65535", true)], &here, &[]);
    }

    fn session(port: u16, is_certain: bool) -> Here {
        let address = "198.51.100.7".parse().unwrap();
        let interfaces = BTreeSet::from([3]);
        let session = Session { user: "alice".to_owned(), address, port, is_certain, interfaces };
        Here { sessions: vec![session], ..Here::default() }
    }

    #[test]
    fn the_way_a_session_came_in_is_not_cut_off_unless_it_is_forced() {
        let rules = vec![rule(Protocol::Tcp, "80", true), rule(Protocol::Tcp, "2000-3000", true)];
        let floods = |port_rules: Vec<PortRule>| Floods { port_rules, ..Floods::default() };
        let found = cut_off(&floods(rules.clone()), &session(2_222, true), &Spared::nobody());
        let what = "ports[1] cuts off TCP port 2222, through which alice is logged in from 198.51.100.7";
        let way_out = "put a rule that allows port 2222 before it, or set force = true in it to give the session up";
        assert_eq!(found, CutOff { refused: vec![format!("{what}: {way_out}")], warned: vec![] });
        let mut forced = rules.clone();
        forced[1].is_forced = true;
        assert_eq!(
            cut_off(&floods(forced), &session(2_222, true), &Spared::nobody()),
            CutOff { refused: vec![], warned: vec![what.to_owned()] }
        );
        check(&rules, &session(22, true), &[]);
        check(
            &rules,
            &session(2_222, false),
            &["ports[1] cuts off TCP port 2222, to which 198.51.100.7 is connected, from where alice is logged in"],
        );
    }

    #[test]
    fn services_that_ask_from_their_own_port_are_thought_of() {
        let with = |enforcement, uses: &[&str]| {
            let amplification = Some(Amplification::new(enforcement, uses, &[]));
            cut_off(&Floods { amplification, ..Floods::default() }, &here(), &Spared::nobody()).warned
        };
        let sentence = "amplification drops the answers to UDP port 123, where something here may ask from; if it does, \
                        add \"ntp\" to uses";
        assert_eq!(with(Enforcement::Enforce, &[]), [sentence]);
        assert_eq!(with(Enforcement::Enforce, &["ntp"]), Vec::<String>::new());
        assert_eq!(with(Enforcement::Observe, &[]), Vec::<String>::new());
    }
    #[test]
    fn who_is_allowed_comes_in_elsewhere_or_is_cut_off_already_refuses_nothing() {
        let rules = vec![rule(Protocol::Any, "1-65535", true)];
        let floods = Floods { port_rules: rules.clone(), ..Floods::default() };
        let found = |here: &Here, spared: &Spared<'_>| {
            let CutOff { refused, warned } = cut_off(&floods, here, spared);
            (refused.len(), warned.len())
        };
        let on = |index: u32| BTreeSet::from([index]);
        let here = session(2_222, true);
        let nobody = Spared::nobody();
        let friend = |address: IpAddr| address == IpAddr::from([198, 51, 100, 7]);
        assert_eq!(found(&here, &nobody), (1, 0));
        assert_eq!(found(&here, &Spared { interfaces: &on(3), ..nobody }), (1, 0));
        assert_eq!(found(&here, &Spared { interfaces: &on(2), ..nobody }), (0, 0));
        assert_eq!(found(&here, &Spared { is_allowed: &friend, ..nobody }), (0, 0));
        assert_eq!(found(&session(2_222, false), &Spared { interfaces: &on(2), ..nobody }), (0, 0));
        // What is in force is no change, and is said nevertheless.
        assert_eq!(found(&here, &Spared { in_force: &rules, ..nobody }), (0, 1));
        let others = [rule(Protocol::Any, "80", true)];
        assert_eq!(found(&here, &Spared { in_force: &others, ..nobody }), (1, 0));
        // Where it comes in is not known.
        let mut anywhere = here.clone();
        anywhere.sessions[0].interfaces.clear();
        assert_eq!(found(&anywhere, &Spared { interfaces: &on(2), ..nobody }), (1, 0));
    }

    #[test]
    fn ports_that_clients_send_from_are_thought_of() {
        let with = |enforcement, further: RangeInclusive<u16>, here: &Here| {
            let further: Vec<u16> = further.collect();
            let uses: Vec<&str> = AMPLIFIERS.iter().map(|service| service.name).collect();
            let amplification = Some(Amplification::new(enforcement, &uses, &further));
            cut_off(&Floods { amplification, ..Floods::default() }, here, &Spared::nobody()).warned
        };
        let (enforce, range) = (Enforcement::Enforce, 1_024..=u16::MAX);
        let here = Here { given: Some(32_768..=60_999), ..here() };
        let found = with(enforce, range.clone(), &here);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("cuts off clients of UDP ports 53 and 123, where something listens here"),
            "{found:?}"
        );
        assert_eq!(with(Enforcement::Observe, range.clone(), &here), Vec::<String>::new());
        assert_eq!(with(enforce, 37_810..=37_810, &here), Vec::<String>::new());
        assert_eq!(with(enforce, range, &Here { udp: BTreeSet::from([40_000]), ..here }), Vec::<String>::new());
    }
}
