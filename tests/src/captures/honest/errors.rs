//! What routers say when the host's packets are too long for the way: lost, connections hang.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{Icmpv4Type, Icmpv6Type};

use super::{Family, LINK, Maker, client, from, host, ip};

/// Bytes of a packet that a router of IPv4 quotes: the header and eight more (RFC 792).
const QUOTED_V4: usize = 28;
/// Bytes that one of IPv6 quotes: as many as fit into a packet of 1,280 (RFC 4443, section 3.2).
const QUOTED_V6: usize = 1_280 - 40 - 8;

/// Twenty routers of each family that have tunnels behind them.
pub(super) fn path_mtu(maker: &mut Maker) {
    for number in 0..20u8 {
        let (v4, v6) = (client(number.into(), Family::V4), client(number.into(), Family::V6));
        let router = IpAddr::V4(Ipv4Addr::new(198, 19, 200 + number, 1));
        let too_long = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1_400 };
        let mut frame = Vec::new();
        let quoted = answer(maker, v4, QUOTED_V4);
        let message = from(router).icmpv4(Icmpv4Type::DestinationUnreachable(too_long));
        message.write(&mut frame, &quoted).expect("a message is short");
        maker.flow("path MTU", vec![frame]);

        let router = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x900 + u16::from(number), 0, 0, 0, 0, 1));
        let mut frame = Vec::new();
        let quoted = answer(maker, v6, QUOTED_V6);
        let message = from(router).icmpv6(Icmpv6Type::PacketTooBig { mtu: 1_400 });
        message.write(&mut frame, &quoted).expect("a message is short");
        maker.flow("path MTU", vec![frame]);
    }
}

/// The beginning of a full segment of the host's, on its way to a client.
fn answer(maker: &mut Maker, client: IpAddr, quoted: usize) -> Vec<u8> {
    let segment = ip(host(client), client).tcp(80, maker.port(), maker.word(), 502).ack(maker.word());
    let mut frame = Vec::new();
    let room = if client.is_ipv4() { 1_460 } else { 1_440 };
    segment.write(&mut frame, &maker.rng.bytes(room)).expect("a segment is short");
    frame[LINK..LINK + quoted].to_vec()
}
