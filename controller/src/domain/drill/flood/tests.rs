//! Floods are what they are called.
use std::collections::{BTreeMap, BTreeSet};

use etherparse::{NetHeaders, PacketHeaders, TransportHeader};

use super::udp::{REFLECTORS, SERVICES};
use super::*;

const TARGET: Target = Target {
    link: Link { to: [2, 0, 0, 0, 0, 1], from: [2, 0, 0, 0, 0, 2] },
    v4: Ipv4Addr::new(203, 0, 113, 1),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0xd, 0, 0, 0, 0, 1),
    web: 80,
};

fn frames(scenario: Scenario, count: usize) -> Vec<Vec<u8>> {
    Flood::new(scenario, TARGET, 7).take(count).collect()
}

/// Source, protocol, and whether it is a fragment.
fn network(frame: &[u8]) -> (std::net::IpAddr, u8, bool) {
    match PacketHeaders::from_ethernet_slice(frame).unwrap().net.unwrap() {
        NetHeaders::Ipv4(ip, _) => {
            assert_eq!(Ipv4Addr::from(ip.destination), TARGET.v4);
            (Ipv4Addr::from(ip.source).into(), ip.protocol.0, ip.is_fragmenting_payload())
        }
        NetHeaders::Ipv6(ip, extensions) => {
            assert_eq!(Ipv6Addr::from(ip.destination), TARGET.v6);
            let fragment = extensions.fragment.clone();
            let protocol = fragment.as_ref().map_or(ip.next_header, |fragment| fragment.next_header);
            (Ipv6Addr::from(ip.source).into(), protocol.0, fragment.is_some())
        }
        other @ NetHeaders::Arp(_) => panic!("{other:?}"),
    }
}

fn sources(frames: &[Vec<u8>]) -> BTreeSet<std::net::IpAddr> {
    frames.iter().map(|frame| network(frame).0).collect()
}

#[test]
fn every_flood_goes_on_is_the_same_for_its_seed_and_fits_the_wire() {
    for scenario in Scenario::ALL {
        let made = frames(scenario, 2_000);
        assert_eq!(made.len(), 2_000, "{scenario:?}");
        assert_eq!(made, frames(scenario, 2_000), "{scenario:?}");
        assert_ne!(made, Flood::new(scenario, TARGET, 8).take(2_000).collect::<Vec<_>>(), "{scenario:?}");
        for frame in &made {
            assert!((35..=14 + frame::MTU).contains(&frame.len()), "{scenario:?}: {}", frame.len());
            assert_eq!(frame[..12], [TARGET.link.to, TARGET.link.from].concat());
        }
    }
}

#[test]
fn no_flood_names_the_honest_as_its_source() {
    for scenario in Scenario::ALL {
        for source in sources(&frames(scenario, 20_000)) {
            match source {
                std::net::IpAddr::V4(source) => assert!(!same_network(source, TARGET.v4), "{scenario:?}: {source}"),
                std::net::IpAddr::V6(source) => {
                    assert_ne!(source.to_bits() >> 64, TARGET.v6.to_bits() >> 64, "{scenario:?}: {source}");
                }
            }
        }
    }
}

#[test]
fn forged_floods_have_a_source_a_packet_in_both_families() {
    for scenario in [Scenario::Syn, Scenario::Udp, Scenario::Ack] {
        let found = sources(&frames(scenario, 10_000));
        assert!(found.len() > 9_990, "{scenario:?}: {}", found.len());
        let v6 = found.iter().filter(|source| source.is_ipv6()).count();
        assert!((2_000..3_000).contains(&v6), "{scenario:?}: {v6}");
    }
}

#[test]
fn named_sources_are_as_many_as_said() {
    assert_eq!(sources(&frames(Scenario::Loud, 1_000)), BTreeSet::from([LOUD.into()]));
    let hosts = sources(&frames(Scenario::Network, 1_000));
    assert_eq!(hosts.len(), 254);
    assert_eq!(sources(&frames(Scenario::Slow, 40_000)).len(), SLOW_SOURCES as usize);
    let reflectors = sources(&frames(Scenario::Amplification, 60_000)).len();
    assert!((REFLECTORS as usize - 10..=REFLECTORS as usize).contains(&reflectors), "{reflectors}");
}

#[test]
fn syns_go_to_the_web_server() {
    for frame in frames(Scenario::Syn, 100) {
        match PacketHeaders::from_ethernet_slice(&frame).unwrap().transport.unwrap() {
            TransportHeader::Tcp(tcp) => assert!(tcp.syn && !tcp.ack && tcp.destination_port == TARGET.web),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn amplification_comes_from_each_service_and_partly_in_fragments() {
    let mut ports = BTreeMap::<u16, u32>::new();
    let mut fragments = 0;
    for frame in frames(Scenario::Amplification, 5_000) {
        let (_, protocol, is_fragment) = network(&frame);
        assert_eq!(protocol, protocol::UDP);
        fragments += u32::from(is_fragment);
        if let Some(TransportHeader::Udp(udp)) = PacketHeaders::from_ethernet_slice(&frame).unwrap().transport {
            *ports.entry(udp.source_port).or_default() += 1;
        }
    }
    assert!(ports.keys().copied().eq(SERVICES.map(|(port, _)| port).into_iter().collect::<BTreeSet<_>>()), "{ports:?}");
    assert!((1_000..4_000).contains(&fragments), "{fragments}");
}

#[test]
fn fragments_are_all_fragments_of_both_families() {
    let made = frames(Scenario::Fragments, 2_000);
    assert!(made.iter().all(|frame| network(frame).2));
    assert!(made.iter().any(|frame| network(frame).0.is_ipv6()));
}

#[test]
fn icmp_is_icmp_from_many_and_from_one() {
    let made = frames(Scenario::Icmp, 2_000);
    let icmp = |frame: &Vec<u8>| matches!(network(frame).1, protocol::ICMP | protocol::ICMPV6);
    assert!(made.iter().all(icmp));
    let loud = made.iter().filter(|frame| network(frame).0 == std::net::IpAddr::V4(LOUD)).count();
    assert!((400..600).contains(&loud), "{loud}");
    assert!(sources(&made).len() > 1_000);
}

#[test]
fn acks_hold_the_flags_that_mean_nothing() {
    let mut seen = BTreeSet::new();
    for frame in frames(Scenario::Ack, 1_000) {
        if let Some(TransportHeader::Tcp(tcp)) = PacketHeaders::from_ethernet_slice(&frame).unwrap().transport {
            seen.insert((tcp.syn, tcp.fin, tcp.rst, tcp.ack, tcp.psh, tcp.urg));
        }
    }
    assert!(seen.contains(&(false, false, false, false, false, false)), "null");
    assert!(seen.contains(&(false, true, false, false, true, true)), "xmas");
    assert!(seen.contains(&(true, true, false, false, false, false)), "SYN with FIN");
    assert!(!seen.contains(&(true, false, false, false, false, false)), "a plain SYN belongs elsewhere");
}
