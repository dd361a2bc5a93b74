//! What an honest router says about a packet it could not pass on, with the packet's beginning quoted.
use super::frame::{self, Ends, Link, protocol};

/// Bytes of an IPv4 packet that are quoted: its header and eight more (RFC 792).
const QUOTED_V4: usize = 28;
/// Bytes of an IPv6 packet that are quoted: as many as fit are allowed (RFC 4443 §3.1); this holds a TCP header.
const QUOTED_V6: usize = 60;
const ETHERNET: usize = 14;
/// More fragments, and where this one lies.
const OF_FRAGMENTS: u16 = 0x3fff;
/// What the router's next network takes; the path is narrower, and not by much.
const NEXT_MTU: u32 = 1_400;

/// What is quoted of a frame, if it carries TCP from the web server that a message for `ends` would be about: the
/// message goes to whoever sent the packet.
pub fn of_server(frame: &[u8], ends: &Ends, web: u16) -> Option<Vec<u8>> {
    let packet = frame.get(ETHERNET..)?;
    let kind = frame.get(12..ETHERNET)?;
    let (source, is_tcp, transport, quoted) = match ends {
        // No options, and no fragment.
        Ends::V4 { to, .. } => {
            let plain = kind == [8, 0]
                && packet.first()? == &0x45
                && u16::from_be_bytes(packet.get(6..8)?.try_into().ok()?) & OF_FRAGMENTS == 0;
            (packet.get(12..16)? == to.octets(), plain && packet.get(9)? == &protocol::TCP, 20, QUOTED_V4)
        }
        Ends::V6 { to, .. } => {
            let plain = kind == [0x86, 0xdd];
            (packet.get(8..24)? == to.octets(), plain && packet.get(6)? == &protocol::TCP, 40, QUOTED_V6)
        }
    };
    let is_web = packet.get(transport..transport + 2)? == web.to_be_bytes();
    (source && is_tcp && is_web).then(|| packet.get(..quoted).map(<[u8]>::to_vec))?
}

/// The router's messages about a quoted packet: it was too long, and another was too old.
pub fn messages(link: &Link, ends: &Ends, quoted: &[u8]) -> Vec<Vec<u8>> {
    let kinds: [(u8, u8, u32); 2] = match ends {
        // Fragmentation needed (RFC 1191 §4), time exceeded.
        Ends::V4 { .. } => [(3, 4, NEXT_MTU), (11, 0, 0)],
        // Packet too big, time exceeded.
        Ends::V6 { .. } => [(2, 0, NEXT_MTU), (3, 0, 0)],
    };
    let message = |(kind, code, rest)| {
        let message = frame::icmp(ends, kind, code, rest, quoted);
        frame::packet(link, ends, ends.icmp(), 0, &message)
    };
    kinds.map(message).to_vec()
}

/// How many such messages a network namespace received, from its `/proc/net/snmp` and `/proc/net/snmp6`.
pub fn arrived(snmp: &str, snmp6: &str) -> u64 {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Icmp: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let v4 = names.split_whitespace().zip(values.split_whitespace());
    let v6 = snmp6.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?))
    });
    let wanted =
        |name: &str| matches!(name, "InDestUnreachs" | "InTimeExcds" | "Icmp6InPktTooBigs" | "Icmp6InTimeExcds");
    v4.chain(v6).filter(|(name, _)| wanted(name)).filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use etherparse::icmpv4::{DestUnreachableHeader, TimeExceededCode};
    use etherparse::{Icmpv4Type, Icmpv6Type, PacketHeaders, TransportHeader};

    use super::*;

    const LINK: Link = Link { to: [2, 0, 0, 0, 0, 1], from: [2, 0, 0, 0, 0, 2] };

    fn ends(from: &str, to: &str) -> Ends {
        match (from.parse().unwrap(), to.parse().unwrap()) {
            (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => Ends::V4 { from, to },
            (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) => Ends::V6 { from, to },
            other => panic!("{other:?}"),
        }
    }

    fn segment(between: &Ends, from: u16) -> Vec<u8> {
        let header = frame::Tcp { from, to: 40_000, ..frame::Tcp::default() };
        frame::packet(&LINK, between, protocol::TCP, 1, &frame::tcp(between, &header, b"page"))
    }

    #[test]
    fn only_the_servers_own_segments_are_quoted() {
        for (router, server, client) in
            [("192.0.2.254", "192.0.2.1", "192.0.2.2"), ("2001:db8::fe", "2001:db8::1", "2001:db8::2")]
        {
            let to_server = ends(router, server);
            let frame = segment(&ends(server, client), 80);
            let quoted = of_server(&frame, &to_server, 80).unwrap();
            assert_eq!(quoted, frame[14..14 + quoted.len()]);
            assert_eq!(of_server(&segment(&ends(server, client), 81), &to_server, 80), None);
            assert_eq!(of_server(&segment(&ends(client, server), 80), &to_server, 80), None);
            for len in 0..54 {
                assert_eq!(of_server(&frame[..len.min(frame.len())], &to_server, 80).filter(|_| len < 36), None);
            }
        }
        let (v4, v6) = (ends("192.0.2.254", "192.0.2.1"), ends("2001:db8::fe", "2001:db8::1"));
        assert_eq!(of_server(&segment(&ends("192.0.2.1", "192.0.2.2"), 80), &v6, 80), None);
        assert_eq!(of_server(&segment(&ends("2001:db8::1", "2001:db8::2"), 80), &v4, 80), None);
    }

    #[test]
    fn messages_are_those_of_the_rfcs() {
        let v4 = ends("192.0.2.254", "192.0.2.1");
        let found = messages(&LINK, &v4, &[0x45; QUOTED_V4]);
        let kinds = found.iter().map(|frame| match PacketHeaders::from_ethernet_slice(frame).unwrap().transport {
            Some(TransportHeader::Icmpv4(icmp)) => icmp.icmp_type,
            other => panic!("{other:?}"),
        });
        let expected = [
            Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1_400 }),
            Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit),
        ];
        assert_eq!(kinds.collect::<Vec<_>>(), expected);
        let v6 = ends("2001:db8::fe", "2001:db8::1");
        let found = messages(&LINK, &v6, &[0x60; QUOTED_V6]);
        let kinds = found.iter().map(|frame| match PacketHeaders::from_ethernet_slice(frame).unwrap().transport {
            Some(TransportHeader::Icmpv6(icmp)) => icmp.icmp_type,
            other => panic!("{other:?}"),
        });
        let expected = [
            Icmpv6Type::PacketTooBig { mtu: 1_400 },
            Icmpv6Type::TimeExceeded(etherparse::icmpv6::TimeExceededCode::HopLimitExceeded),
        ];
        assert_eq!(kinds.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn arrivals_are_read_from_both_families() {
        let snmp = "Ip: Forwarding\nIp: 1\nIcmp: InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds OutMsgs\n\
            Icmp: 90 1 2 30 4 99\nIcmpMsg: InType3\nIcmpMsg: 77\n";
        let snmp6 = "Ip6InReceives \t100\nIcmp6InPktTooBigs \t500\nIcmp6InTimeExcds\t6000\nIcmp6InErrors 9\n";
        assert_eq!(arrived(snmp, snmp6), 6_534);
        assert_eq!(arrived("", ""), 0);
    }
}
