//! The table that says what each packet of a capture is.
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::Packet;
use super::fields::{Fields, Fragment};
use super::file::Captured;
use super::sockets::Socket;
use crate::frames::proto;

/// The captures that are labelled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Each of them.
    pub captures: Vec<Recorded>,
}

/// What is known of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The file's name.
    pub file: String,
    /// What kind of attack it is.
    pub kind: Kind,
    /// Packets in the file.
    pub packets: usize,
    /// What was recorded, in words.
    pub what: String,
    /// Every packet is in one of them.
    pub groups: Vec<Group>,
    /// Who had asked for answers that came.
    #[serde(default)]
    pub asked: Vec<Asked>,
}

/// Kinds of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Answers, whole or in fragments, to requests that others sent in the victim's name.
    Amplification,
    /// Openings of connections from forged sources.
    SynFlood,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Part of the attack.
    Attack,
    /// In the capture, and no part of the attack.
    Other,
    /// Mixed in by the tests.
    #[serde(skip)]
    Honest,
}

/// Packets of a capture that are the same for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What its packets are.
    pub label: Label,
    /// How many there are.
    pub packets: usize,
    /// Why they are what they are said to be.
    pub why: String,
    /// Which they are.
    #[serde(rename = "match")]
    pub filter: Filter,
}

/// Fields that must all be as said; what is not said may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// 4 or 6.
    pub family: Option<u8>,
    /// What is carried.
    pub protocol: Option<Protocol>,
    /// What part of a datagram it is.
    pub fragment: Option<Fragment>,
    /// One of these source ports.
    pub source_ports: Vec<u16>,
    /// A source port that is none of these.
    pub not_source_ports: Vec<u16>,
    /// One of these destination ports.
    pub destination_ports: Vec<u16>,
    /// A destination port that is none of these.
    pub not_destination_ports: Vec<u16>,
    /// One of these sources.
    pub sources: Vec<IpAddr>,
    /// None of these sources.
    pub not_sources: Vec<IpAddr>,
    /// A part of TCP.
    pub tcp: Option<Tcp>,
    /// One of these types of ICMP message.
    pub icmp: Vec<u8>,
    /// What the packet carried that an ICMP error quotes.
    pub quotes: Option<Protocol>,
}

/// Protocols by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP of IPv4.
    Icmp,
    /// GRE.
    Gre,
}

/// Parts of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tcp {
    /// SYN without ACK.
    Opening,
    /// Everything else.
    Rest,
}

/// Sockets of the protected host that had asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Whom.
    pub of: SocketAddr,
    /// The address that the answers came to.
    pub address: IpAddr,
    /// The ports they came to.
    pub ports: Vec<u16>,
}

impl Protocol {
    fn number(self) -> u8 {
        match self {
            Self::Tcp => proto::TCP,
            Self::Udp => proto::UDP,
            Self::Icmp => proto::ICMP,
            Self::Gre => proto::GRE,
        }
    }
}

impl Filter {
    /// Whether a packet with these fields is meant.
    pub fn takes(&self, fields: &Fields) -> bool {
        let among = |value: Option<u16>, wanted: &[u16], unwanted: &[u16]| match value {
            Some(value) => (wanted.is_empty() || wanted.contains(&value)) && !unwanted.contains(&value),
            None => wanted.is_empty() && unwanted.is_empty(),
        };
        let opens = |flags: u8| flags & 0x12 == 0x02;
        let family = if fields.source.is_ipv4() { 4 } else { 6 };
        self.family.is_none_or(|wanted| wanted == family)
            && self.protocol.is_none_or(|wanted| wanted.number() == fields.protocol)
            && self.fragment.is_none_or(|wanted| wanted == fields.fragment)
            && among(fields.ports.map(|ports| ports.0), &self.source_ports, &self.not_source_ports)
            && among(fields.ports.map(|ports| ports.1), &self.destination_ports, &self.not_destination_ports)
            && (self.sources.is_empty() || self.sources.contains(&fields.source))
            && !self.not_sources.contains(&fields.source)
            && self.tcp.is_none_or(|part| fields.tcp_flags.is_some_and(|flags| opens(flags) == (part == Tcp::Opening)))
            && (self.icmp.is_empty() || fields.icmp.is_some_and(|kind| self.icmp.contains(&kind)))
            && self.quotes.is_none_or(|wanted| fields.quotes == Some(wanted.number()))
    }
}

impl Recorded {
    /// Says of each packet what it is.
    ///
    /// # Errors
    /// Where a packet is in no group or in two, or a group has more or fewer than the table says.
    pub fn label(&self, captured: Vec<Captured>) -> Result<Vec<Packet>> {
        ensure!(captured.len() == self.packets, "{} packets, and the table says {}", captured.len(), self.packets);
        let names: Vec<Arc<str>> = self.groups.iter().map(|group| Arc::from(group.name.as_str())).collect();
        let mut counts = vec![0; self.groups.len()];
        let mut packets = Vec::with_capacity(captured.len());
        for (number, Captured { at_ns, frame }) in (1..).zip(captured) {
            let fields = Fields::of(&frame).with_context(|| format!("packet {number} is no IP packet"))?;
            let takers: Vec<usize> =
                (0..self.groups.len()).filter(|at| self.groups[*at].filter.takes(&fields)).collect();
            let [at] = takers.as_slice() else {
                let names: Vec<&Arc<str>> = takers.iter().map(|at| &names[*at]).collect();
                bail!("packet {number} is in {} groups, {names:?}: {fields:?}", names.len())
            };
            counts[*at] += 1;
            let (label, group) = (self.groups[*at].label, Arc::clone(&names[*at]));
            packets.push(Packet { at_ns, frame, label, group });
        }
        for (group, count) in self.groups.iter().zip(counts) {
            ensure!(
                count == group.packets,
                "{count} packets of {:?}, and the table says {}",
                group.name,
                group.packets
            );
        }
        Ok(packets)
    }

    /// The sockets that must be open for answers to be answers.
    pub fn sockets(&self) -> Vec<Socket> {
        let sockets = |asked: &Asked| -> Vec<Socket> {
            let (address, remote) = (asked.address, asked.of);
            asked.ports.iter().map(|port| Socket { local: SocketAddr::new(address, *port), remote }).collect()
        };
        self.asked.iter().flat_map(sockets).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{self, SYN, V4};

    fn capture(groups: &str) -> Recorded {
        let text = format!("file = 'x'\nkind = 'amplification'\npackets = 2\nwhat = 'two'\n{groups}");
        toml::from_str(&text).unwrap()
    }

    fn two() -> Vec<Captured> {
        let from = V4::from([198, 51, 100, 1]);
        let answer = from.clone().carrying(proto::UDP, frames::udp(53, 22, &[])).frame();
        let opening = from.carrying(proto::TCP, frames::tcp(4_000, 80, SYN, &[])).frame();
        vec![Captured { at_ns: 1, frame: answer }, Captured { at_ns: 2, frame: opening }]
    }

    #[track_caller]
    fn check(groups: &str, expected: Result<&[(Label, &str)], &str>) {
        match (capture(groups).label(two()), expected) {
            (Ok(packets), Ok(expected)) => {
                let found: Vec<(Label, &str)> = packets.iter().map(|packet| (packet.label, &*packet.group)).collect();
                assert_eq!(found, expected);
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    fn group(name: &str, label: &str, packets: usize, filter: &str) -> String {
        format!("[[groups]]\nname = '{name}'\nlabel = '{label}'\npackets = {packets}\nwhy = ''\nmatch = {{{filter}}}\n")
    }

    #[test]
    fn every_packet_is_in_exactly_one_group_of_the_size_that_is_said() {
        let answers = group("answers", "attack", 1, "protocol = 'udp', source_ports = [53], destination_ports = [22]");
        let rest = group("rest", "other", 1, "protocol = 'tcp', tcp = 'opening'");
        check(&format!("{answers}{rest}"), Ok(&[(Label::Attack, "answers"), (Label::Other, "rest")]));
        check(&answers, Err("packet 2 is in 0 groups"));
        check(&format!("{answers}{rest}{}", group("all", "other", 2, "")), Err("packet 1 is in 2 groups"));
        check(&group("all", "other", 3, ""), Err("2 packets of \"all\", and the table says 3"));
    }

    #[test]
    fn ports_that_are_not_there_are_neither_wanted_nor_unwanted() {
        let later = V4::from([198, 51, 100, 1]).carrying(proto::UDP, vec![0; 16]).fragment(0, 1_480).frame();
        let fields = Fields::of(&later).unwrap();
        let wanted = Filter { source_ports: vec![53], ..Filter::default() };
        let unwanted = Filter { not_source_ports: vec![53], ..Filter::default() };
        assert!(!wanted.takes(&fields) && !unwanted.takes(&fields) && Filter::default().takes(&fields));
    }

    #[test]
    fn the_tests_own_traffic_is_no_label_of_a_table() {
        let text = group("x", "honest", 1, "");
        assert!(
            toml::from_str::<Recorded>(&format!("file='x'\nkind='syn_flood'\npackets=1\nwhat=''\n{text}")).is_err()
        );
    }
}
