//! Datagrams of clients: as large as QUIC's, and too large for one packet.
use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, UdpHeader,
};

use super::{Family, HOPS, Maker, client, host, udp};

/// Bytes of a datagram in one fragment: what fits behind the headers of both families, in units of eight.
const PIECE: usize = 1_448;

/// Forty clients that upload a little: two packets as a connection begins, ten more, each of 1,200 bytes.
pub(super) fn quic(maker: &mut Maker) {
    for number in 0..40 {
        let family = if number % 2 == 0 { Family::V4 } else { Family::V6 };
        let client = SocketAddr::new(client(200 + number, family), maker.port());
        let server = SocketAddr::new(host(client.ip()), 443);
        let frames = (0..12).map(|at| udp(client, server, &packet(maker, at < 2))).collect();
        maker.flow("quic", frames);
    }
}

/// A packet with a long header (RFC 9000, section 17.2), or a short one, and what is encrypted.
fn packet(maker: &mut Maker, opens: bool) -> Vec<u8> {
    let mut packet = maker.rng.bytes(1_200);
    let header: &[u8] = if opens { &[0xc3, 0, 0, 0, 1, 8] } else { &[0x43] };
    packet[..header.len()].copy_from_slice(header);
    packet
}

/// Forty datagrams of 3,000 bytes over IPv6, three fragments each, one behind the other as the sender's card puts them.
pub(super) fn long(maker: &mut Maker) {
    for number in 0..40 {
        let client = SocketAddr::new(client(300 + number, Family::V6), maker.port());
        let server = SocketAddr::new(host(client.ip()), 4_500 + number);
        let frames = fragments(maker.word(), client, server, &maker.rng.bytes(3_000));
        maker.train("datagrams in IPv6 fragments", frames, 1_000);
    }
}

/// The frames of a UDP datagram that does not fit into one.
pub(super) fn fragments(number: u32, source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<Vec<u8>> {
    let (source_port, destination_port) = (source.port(), destination.port());
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let [high, low, ..] = number.to_be_bytes();
            let mut header = Ipv4Header::new(0, HOPS, IpNumber::UDP, source.octets(), destination.octets())
                .expect("nothing is short enough");
            header.dont_fragment = false;
            header.identification = u16::from_be_bytes([high, low]);
            let udp = UdpHeader::with_ipv4_checksum(source_port, destination_port, &header, payload);
            let datagram = [&udp.expect("a datagram is short").to_bytes(), payload].concat();
            pieces(&datagram, |offset, more, piece| {
                header.fragment_offset = offset;
                header.more_fragments = more;
                header.set_payload_len(piece.len()).expect("a piece is short");
                header.header_checksum = header.calc_header_checksum();
                [&link(EtherType::IPV4), header.to_bytes().as_slice(), piece].concat()
            })
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = Ipv6Header {
                hop_limit: HOPS,
                next_header: IpNumber::IPV6_FRAGMENTATION_HEADER,
                source: source.octets(),
                destination: destination.octets(),
                ..Ipv6Header::default()
            };
            let udp = UdpHeader::with_ipv6_checksum(source_port, destination_port, &header, payload);
            let datagram = [&udp.expect("a datagram is short").to_bytes(), payload].concat();
            pieces(&datagram, |offset, more, piece| {
                let fragment = Ipv6FragmentHeader::new(IpNumber::UDP, offset, more, number).to_bytes();
                header.set_payload_length(fragment.len() + piece.len()).expect("a piece is short");
                [&link(EtherType::IPV6), header.to_bytes().as_slice(), &fragment, piece].concat()
            })
        }
        (source, destination) => panic!("{source} and {destination} are of one family"),
    }
}

fn pieces(datagram: &[u8], mut frame: impl FnMut(IpFragOffset, bool, &[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let last = datagram.len().div_ceil(PIECE) - 1;
    let offset = |at: usize| {
        let units = u16::try_from(at * PIECE / 8).ok().and_then(|units| IpFragOffset::try_new(units).ok());
        units.expect("a datagram is short")
    };
    datagram.chunks(PIECE).enumerate().map(|(at, piece)| frame(offset(at), at < last, piece)).collect()
}

fn link(ether_type: EtherType) -> [u8; Ethernet2Header::LEN] {
    Ethernet2Header { source: [2, 0, 0, 0, 0, 1], destination: [2, 0, 0, 0, 0, 2], ether_type }.to_bytes()
}
