use std::collections::{BTreeMap, BTreeSet};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::*;
use crate::captures::fields::{Fields, Fragment};
use crate::frames::proto;

const START: u64 = 1_632_239_124_430_031_000;

/// As long as the shortest capture, and the longest.
const TIMES: [Duration; 2] = [Duration::from_millis(23), Duration::from_secs(30)];

fn fields(packet: &Packet) -> Fields {
    Fields::of(&packet.frame).unwrap()
}

/// The bytes that a checksum covers, added as RFC 1071 says: right if nothing is left.
fn adds_up(pseudo: &[u8], carried: &[u8]) -> bool {
    let words = |bytes: &[u8]| -> u64 {
        bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum()
    };
    let mut sum = words(pseudo) + words(carried);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum == 0xffff
}

#[test]
fn packets_come_in_order_within_the_time_and_the_same_each_time() {
    for lasts in TIMES {
        let made = honest(START, lasts);
        assert!(made.packets.is_sorted_by_key(|packet| packet.at_ns));
        let end = START + u64::try_from(lasts.as_nanos()).unwrap();
        assert!(made.packets.iter().all(|packet| (START..=end).contains(&packet.at_ns)));
        // Enough for a thousandth to be more than one packet, in all of the time.
        assert!(made.packets.len() > 2_000, "{}", made.packets.len());
        let halves = made.packets.iter().filter(|packet| packet.at_ns < START + (end - START) / 2).count();
        assert!(halves > made.packets.len() / 3 && halves < made.packets.len() * 2 / 3, "{halves}");
        assert_eq!(honest(START, lasts).packets, made.packets);
    }
}

#[test]
fn every_kind_is_there_in_both_families_where_both_have_it() {
    let made = honest(START, TIMES[1]);
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for packet in &made.packets {
        let kind = kinds.entry(&packet.group).or_default();
        if fields(packet).source.is_ipv4() { kind.0 += 1 } else { kind.1 += 1 }
    }
    let has = |kind: &str| kinds.get(kind).map(|(v4, v6)| (*v4 > 0, *v6 > 0));
    assert_eq!(has("http over IPv4"), Some((true, false)));
    assert_eq!(has("http over IPv6"), Some((false, true)));
    for kind in ["quic", "dns answers", "dns answers in fragments", "ntp answers", "path MTU"] {
        assert_eq!(has(kind), Some((true, true)), "{kind}");
    }
    assert_eq!(has("datagrams in IPv6 fragments"), Some((false, true)));
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

#[test]
fn all_is_sent_to_the_host_from_addresses_set_aside_for_documents() {
    let made = honest(START, TIMES[0]);
    for packet in &made.packets {
        let fields = fields(packet);
        assert_eq!(fields.destination, host(fields.source));
        let documented: bool = match fields.source {
            IpAddr::V4(source) => source.is_documentation() || matches!(source.octets(), [198, 18 | 19, ..]),
            IpAddr::V6(source) => source.segments()[..2] == [0x2001, 0xdb8],
        };
        assert!(documented, "{}", fields.source);
    }
}

/// What a stack would throw away must not be what is counted as lost.
#[test]
fn headers_and_checksums_are_what_a_stack_accepts() {
    for packet in honest(START, TIMES[1]).packets {
        let sliced = SlicedPacket::from_ethernet(&packet.frame).unwrap();
        assert!(packet.frame.len() <= 1_514);
        let pseudo = match sliced.net.as_ref().unwrap() {
            NetSlice::Ipv4(ip) => {
                let header = ip.header();
                assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
                [&header.source()[..], &header.destination()].concat()
            }
            NetSlice::Ipv6(ip) => [&ip.header().source()[..], &ip.header().destination()].concat(),
            NetSlice::Arp(_) => panic!("honest packets are IP"),
        };
        let tail = |bytes: &[u8], protocol: u8| {
            let len = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            [&pseudo[..], &len, &[0, 0, 0, protocol]].concat()
        };
        match sliced.transport {
            None => assert_ne!(fields(&packet).fragment, Fragment::Whole),
            Some(TransportSlice::Tcp(tcp)) => assert!(adds_up(&tail(tcp.slice(), proto::TCP), tcp.slice())),
            Some(TransportSlice::Udp(udp)) => assert!(adds_up(&tail(udp.slice(), proto::UDP), udp.slice())),
            Some(TransportSlice::Icmpv4(icmp)) => assert!(adds_up(&[], icmp.slice())),
            Some(TransportSlice::Icmpv6(icmp)) => assert!(adds_up(&tail(icmp.slice(), proto::ICMPV6), icmp.slice())),
            Some(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn connections_are_whole_and_their_numbers_go_on_where_they_were() {
    let mut connections: BTreeMap<(IpAddr, u16), Vec<Packet>> = BTreeMap::new();
    for packet in honest(START, TIMES[1]).packets {
        let fields = fields(&packet);
        if let (proto::TCP, Some((port, 80))) = (fields.protocol, fields.ports) {
            connections.entry((fields.source, port)).or_default().push(packet);
        }
    }
    assert_eq!(connections.len(), 160);
    for packets in connections.values() {
        let mut next = None;
        let mut acknowledged: Option<u32> = None;
        for (at, packet) in packets.iter().enumerate() {
            let sliced = SlicedPacket::from_ethernet(&packet.frame).unwrap();
            let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
            assert_eq!(tcp.syn(), at == 0);
            assert_eq!(tcp.ack(), at != 0);
            assert_eq!(tcp.fin(), at == packets.len() - 2);
            assert!(!tcp.rst());
            assert!(next.is_none_or(|next| next == tcp.sequence_number()));
            let takes = tcp.payload().len() + usize::from(tcp.syn()) + usize::from(tcp.fin());
            next = Some(tcp.sequence_number().wrapping_add(u32::try_from(takes).unwrap()));
            if at > 1 {
                let further = acknowledged.unwrap().wrapping_sub(tcp.acknowledgment_number());
                assert!(further == 0 || further > u32::MAX / 2, "acknowledgements do not go back");
            }
            acknowledged = Some(tcp.acknowledgment_number());
        }
    }
}

#[test]
fn fragments_follow_their_first_one_and_make_up_a_datagram() {
    let mut datagrams: BTreeMap<(IpAddr, u32), Vec<Packet>> = BTreeMap::new();
    for packet in honest(START, TIMES[0]).packets {
        let fields = fields(&packet);
        if fields.fragment != Fragment::Whole {
            datagrams.entry((fields.source, fields.datagram)).or_default().push(packet);
        }
    }
    assert_eq!(datagrams.len(), 60);
    for ((source, _), packets) in datagrams {
        let mut whole = Vec::new();
        for (at, packet) in packets.iter().enumerate() {
            let expected = if at == 0 { Fragment::First } else { Fragment::Later };
            assert_eq!(fields(packet).fragment, expected);
            let header = LINK + if source.is_ipv4() { 20 } else { 48 };
            whole.extend(&packet.frame[header..]);
        }
        assert_eq!(usize::from(u16::from_be_bytes([whole[4], whole[5]])), whole.len(), "UDP's length is the whole's");
        let address = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let len = u32::try_from(whole.len()).unwrap().to_be_bytes();
        let pseudo = [address(source), address(host(source)), len.to_vec(), vec![0, 0, 0, proto::UDP]].concat();
        assert!(adds_up(&pseudo, &whole));
    }
}

/// Who drops answers that nobody asked for must find the socket of each of these.
#[test]
fn every_answer_has_a_socket_that_had_asked_and_every_socket_an_answer() {
    let made = honest(START, TIMES[1]);
    let mut answered = BTreeSet::new();
    for packet in &made.packets {
        let fields = fields(packet);
        let Some((from @ (53 | 123), to)) = fields.ports.filter(|_| fields.protocol == proto::UDP) else { continue };
        let remote = SocketAddr::new(fields.source, from);
        answered.insert(Socket { local: SocketAddr::new(fields.destination, to), remote });
    }
    assert_eq!(answered, made.sockets.iter().copied().collect());
    let locals: BTreeSet<SocketAddr> = made.sockets.iter().map(|socket| socket.local).collect();
    assert_eq!(locals.len(), made.sockets.len());
}
