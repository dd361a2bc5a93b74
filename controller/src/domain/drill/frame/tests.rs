//! Frames against another reader of headers.
use etherparse::{PacketHeaders, TransportHeader};

use super::*;

const LINK: Link = Link { to: [2, 0, 0, 0, 0, 1], from: [2, 0, 0, 0, 0, 2] };

fn v4() -> Ends {
    Ends::V4 { from: Ipv4Addr::new(192, 0, 2, 1), to: Ipv4Addr::new(198, 51, 100, 2) }
}

fn v6() -> Ends {
    Ends::V6 { from: "2001:db8::1".parse().unwrap(), to: "2001:db8::2".parse().unwrap() }
}

/// Has another library read a frame, and compute the checksum anew.
#[track_caller]
fn check(frame: &[u8]) {
    let read = PacketHeaders::from_ethernet_slice(frame).unwrap();
    let net = read.net.clone().unwrap();
    if let etherparse::NetHeaders::Ipv4(header, _) = &net {
        assert_eq!(header.header_checksum, header.calc_header_checksum());
    }
    let payload = read.payload.slice();
    let transport = read.transport.unwrap();
    let (found, wanted) = match (&transport, &net) {
        (TransportHeader::Udp(udp), etherparse::NetHeaders::Ipv4(ip, _)) => {
            (udp.checksum, udp.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (TransportHeader::Udp(udp), etherparse::NetHeaders::Ipv6(ip, _)) => {
            (udp.checksum, udp.calc_checksum_ipv6(ip, payload).unwrap())
        }
        (TransportHeader::Tcp(tcp), etherparse::NetHeaders::Ipv4(ip, _)) => {
            (tcp.checksum, tcp.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (TransportHeader::Tcp(tcp), etherparse::NetHeaders::Ipv6(ip, _)) => {
            (tcp.checksum, tcp.calc_checksum_ipv6(ip, payload).unwrap())
        }
        (TransportHeader::Icmpv4(icmp), etherparse::NetHeaders::Ipv4(..)) => {
            (icmp.checksum, icmp.icmp_type.calc_checksum(payload))
        }
        (TransportHeader::Icmpv6(icmp), etherparse::NetHeaders::Ipv6(ip, _)) => {
            (icmp.checksum, icmp.icmp_type.calc_checksum(ip.source, ip.destination, payload).unwrap())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(found, wanted, "{transport:?}");
}

#[test]
fn checksums_are_those_another_library_computes() {
    for ends in [v4(), v6()] {
        for payload in [&b""[..], b"a", b"four", &[0xff; 1_200]] {
            check(&packet(&LINK, &ends, protocol::UDP, 7, &udp(&ends, 53, 40_000, payload)));
            let header = Tcp { from: 40_000, to: 80, sequence: u32::MAX, acknowledged: 9, flags: flag::SYN };
            check(&packet(&LINK, &ends, protocol::TCP, 7, &tcp(&ends, &header, payload)));
            let (kind, too_big, code) = if ends.icmp() == protocol::ICMP { (8, 3, 4) } else { (128, 2, 0) };
            check(&packet(&LINK, &ends, ends.icmp(), 7, &icmp(&ends, kind, 0, 0x0001_0002, payload)));
            check(&packet(&LINK, &ends, ends.icmp(), 7, &icmp(&ends, too_big, code, 1_280, payload)));
        }
    }
}

#[test]
fn a_checksum_of_zero_is_written_as_its_other_form() {
    let ends = v4();
    // A payload that brings the sum to zero: what is missing from it.
    let datagram = udp(&ends, 1, 2, &[0, 0]);
    let missing = u16::from_be_bytes([datagram[6], datagram[7]]);
    let datagram = udp(&ends, 1, 2, &missing.to_be_bytes());
    assert_eq!(&datagram[6..8], [0xff, 0xff]);
}

#[test]
fn fragments_hold_the_whole_once_and_fit() {
    for ends in [v4(), v6()] {
        let segment = udp(&ends, 1, 2, &(0..4_000u32).map(|at| at.to_le_bytes()[0]).collect::<Vec<_>>());
        let frames = fragments(&LINK, &ends, protocol::UDP, 77, &segment);
        let header = 14 + if ends.icmp() == protocol::ICMP { 20 } else { 48 };
        assert!(frames.len() == 3 && frames.iter().all(|frame| frame.len() <= 14 + MTU));
        let whole: Vec<u8> = frames.iter().flat_map(|frame| frame[header..].to_vec()).collect();
        assert_eq!(whole, segment);
        for (at, frame) in frames.iter().enumerate() {
            let read = PacketHeaders::from_ethernet_slice(frame).unwrap();
            let (offset, more) = match read.net.unwrap() {
                etherparse::NetHeaders::Ipv4(ip, _) => (ip.fragment_offset, ip.more_fragments),
                etherparse::NetHeaders::Ipv6(_, extensions) => {
                    let fragment = extensions.fragment.unwrap();
                    (fragment.fragment_offset, fragment.more_fragments)
                }
                other @ etherparse::NetHeaders::Arp(_) => panic!("{other:?}"),
            };
            assert_eq!(usize::from(offset.value()) * 8, at * ((MTU - header + 14) & !7));
            assert_eq!(more, at < 2);
        }
        assert_eq!(fragments(&LINK, &ends, protocol::UDP, 77, &segment[..100]).len(), 1);
    }
}

#[test]
fn what_is_too_long_for_a_datagram_is_none() {
    assert!(udp(&v4(), 1, 2, &vec![0; 65_536]).is_empty());
}
