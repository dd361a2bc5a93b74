//! The few header fields that labels look at, read apart from weir's own code.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::frames::{ethertype, proto};

/// What part of a datagram a packet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fragment {
    /// All of it.
    Whole,
    /// Its beginning.
    First,
    /// Something behind its beginning.
    Later,
}

/// What stands in an IP packet's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Protocol number of what is carried.
    pub protocol: u8,
    /// What part of a datagram it is.
    pub fragment: Fragment,
    /// Number of the datagram that a fragment is part of.
    pub datagram: u32,
    /// Source and destination port of TCP and UDP, where they are in this packet.
    pub ports: Option<(u16, u16)>,
    /// Flags of TCP.
    pub tcp_flags: Option<u8>,
    /// Type of an ICMP message.
    pub icmp: Option<u8>,
    /// Protocol number of the packet that an ICMP error quotes.
    pub quotes: Option<u8>,
}

impl Fields {
    /// Those of an Ethernet frame; `None` where it carries no IP, or less than its headers.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(14..)?;
        match word(frame, 12)? {
            ethertype::IPV4 => Self::v4(packet),
            ethertype::IPV6 => Self::v6(packet),
            _ => None,
        }
    }

    fn v4(packet: &[u8]) -> Option<Self> {
        let offset = word(packet, 6)?;
        let source = Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?);
        let destination = Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?);
        let carried = packet.get(usize::from(packet.first()? & 0x0f) * 4..usize::from(word(packet, 2)?))?;
        let fields = Self {
            source: source.into(),
            destination: destination.into(),
            protocol: *packet.get(9)?,
            fragment: fragment(offset & 0x1fff, offset & 0x2000 != 0),
            datagram: u32::from(word(packet, 4)?),
            ports: None,
            tcp_flags: None,
            icmp: None,
            quotes: None,
        };
        fields.carrying(carried)
    }

    /// Reads one extension header, the fragment's, and no other.
    fn v6(packet: &[u8]) -> Option<Self> {
        let source = Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?);
        let destination = Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?);
        let carried = packet.get(40..40 + usize::from(word(packet, 4)?))?;
        let mut fields = Self {
            source: source.into(),
            destination: destination.into(),
            protocol: *packet.get(6)?,
            fragment: Fragment::Whole,
            datagram: 0,
            ports: None,
            tcp_flags: None,
            icmp: None,
            quotes: None,
        };
        if fields.protocol != proto::FRAGMENT {
            return fields.carrying(carried);
        }
        fields.protocol = *carried.first()?;
        let offset = word(carried, 2)?;
        fields.fragment = fragment(offset >> 3, offset & 1 != 0);
        fields.datagram = u32::from_be_bytes(*carried.get(4..)?.first_chunk::<4>()?);
        fields.carrying(carried.get(8..)?)
    }

    fn carrying(mut self, carried: &[u8]) -> Option<Self> {
        if self.fragment == Fragment::Later {
            return Some(self);
        }
        match self.protocol {
            proto::TCP => {
                self.ports = Some((word(carried, 0)?, word(carried, 2)?));
                self.tcp_flags = Some(*carried.get(13)?);
            }
            proto::UDP => self.ports = Some((word(carried, 0)?, word(carried, 2)?)),
            proto::ICMP => {
                self.icmp = carried.first().copied();
                let is_error = matches!(self.icmp, Some(3 | 5 | 11));
                self.quotes = carried.get(8 + 9).copied().filter(|_| is_error);
            }
            proto::ICMPV6 => {
                self.icmp = carried.first().copied();
                let is_error = self.icmp.is_some_and(|kind| kind < 128);
                self.quotes = carried.get(8 + 6).copied().filter(|_| is_error);
            }
            _ => {}
        }
        Some(self)
    }
}

fn fragment(offset: u16, more: bool) -> Fragment {
    match (offset, more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{self, Extension, MORE_FRAGMENTS, SYN, V4, V6, v6};

    #[test]
    fn ports_are_read_of_whole_packets_and_first_fragments_only() {
        let udp = frames::udp(53, 4_000, &[0; 64]);
        let from = [198, 51, 100, 1];
        let cases = [
            (V4::from(from).carrying(proto::UDP, udp.clone()), Fragment::Whole, Some((53, 4_000))),
            (
                V4::from(from).carrying(proto::UDP, udp.clone()).fragment(MORE_FRAGMENTS, 0),
                Fragment::First,
                Some((53, 4_000)),
            ),
            (V4::from(from).carrying(proto::UDP, udp.clone()).fragment(MORE_FRAGMENTS, 1_480), Fragment::Later, None),
            (V4::from(from).carrying(proto::UDP, udp).fragment(0, 1_480), Fragment::Later, None),
        ];
        for (packet, fragment, ports) in cases {
            let fields = Fields::of(&packet.frame()).unwrap();
            assert_eq!((fields.fragment, fields.ports, fields.protocol), (fragment, ports, proto::UDP));
            assert_eq!(fields.source, IpAddr::from(from));
        }
    }

    #[test]
    fn ipv6_is_read_behind_a_fragment_header() {
        let packet = V6::from(v6(0x2001_0db8, 1, 5));
        let tcp = frames::tcp(4_000, 80, SYN, &[]);
        let plain = Fields::of(&packet.clone().carrying(proto::TCP, tcp).frame()).unwrap();
        assert_eq!((plain.tcp_flags, plain.ports, plain.fragment), (Some(SYN), Some((4_000, 80)), Fragment::Whole));
        let chain = vec![Extension::fragment(1_448, true)];
        let later = Fields::of(&packet.chain(chain).carrying(proto::UDP, vec![0; 16]).frame()).unwrap();
        assert_eq!((later.protocol, later.fragment, later.ports), (proto::UDP, Fragment::Later, None));
    }

    #[test]
    fn what_an_error_quotes_is_read_and_nothing_of_what_is_no_error() {
        let quoted = V4::from([192, 0, 2, 1]).carrying(proto::TCP, frames::tcp(1, 2, SYN, &[])).packet();
        let of = |kind: u8| {
            let mut message = vec![kind, 3, 0, 0, 0, 0, 0, 0];
            message.extend(&quoted);
            Fields::of(&V4::from([198, 51, 100, 1]).carrying(proto::ICMP, message).frame()).unwrap()
        };
        assert_eq!((of(3).icmp, of(3).quotes), (Some(3), Some(proto::TCP)));
        assert_eq!((of(8).icmp, of(8).quotes), (Some(8), None));
    }

    #[test]
    fn what_is_cut_or_no_ip_has_no_fields() {
        let frame = V4::from([198, 51, 100, 1]).carrying(proto::UDP, frames::udp(1, 2, &[])).frame();
        for len in 0..frame.len() {
            assert_eq!(Fields::of(&frame[..len]), None, "{len}");
        }
        assert!(Fields::of(&frame).is_some());
        assert_eq!(Fields::of(&frames::ethernet(&[], ethertype::ARP, &[0; 46])), None);
    }
}
