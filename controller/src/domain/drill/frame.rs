//! Frames, byte by byte: Ethernet, IPv4 (RFC 791), IPv6 (RFC 8200), TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792, RFC 4443).
//!
//! Checksums are right wherever a header has one, so that nothing but what a drill means to be wrong is wrong.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// ICMP, TCP, UDP and `ICMPv6`, as the network headers number them.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// The fragment header of IPv6.
    pub const FRAGMENT: u8 = 44;
    /// `ICMPv6`.
    pub const ICMPV6: u8 = 58;
}

/// Flags of a TCP header.
pub mod flag {
    /// The sender is done.
    pub const FIN: u8 = 0x01;
    /// The first segment of a connection.
    pub const SYN: u8 = 0x02;
    /// The connection is broken off.
    pub const RST: u8 = 0x04;
    /// Hand it on at once.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
}

/// Most bytes of a network packet.
pub const MTU: usize = 1_500;

const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const FRAGMENT_LEN: usize = 8;
const MORE_FRAGMENTS: u16 = 0x2000;

/// Between which interfaces frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// To.
    pub to: Mac,
    /// From.
    pub from: Mac,
}

/// Between which addresses a packet goes, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Between two IPv4 addresses.
    V4 {
        /// Source.
        from: Ipv4Addr,
        /// Destination.
        to: Ipv4Addr,
    },
    /// Between two IPv6 addresses.
    V6 {
        /// Source.
        from: Ipv6Addr,
        /// Destination.
        to: Ipv6Addr,
    },
}

impl Ends {
    /// The source.
    pub fn source(&self) -> IpAddr {
        match self {
            Self::V4 { from, .. } => (*from).into(),
            Self::V6 { from, .. } => (*from).into(),
        }
    }

    /// The number of ICMP in this family.
    pub fn icmp(&self) -> u8 {
        match self {
            Self::V4 { .. } => protocol::ICMP,
            Self::V6 { .. } => protocol::ICMPV6,
        }
    }

    /// The sum of the pseudo header (RFC 9293 §3.1, RFC 8200 §8.1).
    fn pseudo_sum(&self, protocol: u8, len: usize) -> u64 {
        let addresses = match self {
            Self::V4 { from, to } => sum(&from.octets()) + sum(&to.octets()),
            Self::V6 { from, to } => sum(&from.octets()) + sum(&to.octets()),
        };
        addresses + u64::from(protocol) + u64::try_from(len).unwrap_or_default()
    }
}

/// What a TCP header says, beside options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// From port.
    pub from: u16,
    /// To port.
    pub to: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement.
    pub acknowledged: u32,
    /// Of [`flag`].
    pub flags: u8,
}

/// A UDP datagram with its header; empty where it is too long to be one.
pub fn udp(ends: &Ends, from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let Ok(len) = u16::try_from(payload.len() + 8) else { return Vec::new() };
    let mut datagram = Vec::with_capacity(usize::from(len));
    for half in [from, to, len, 0] {
        datagram.extend(half.to_be_bytes());
    }
    datagram.extend(payload);
    let sum = checksum(ends.pseudo_sum(protocol::UDP, datagram.len()) + sum(&datagram));
    // Zero says that there is none, so a sum of zero is written as its other form.
    put(&mut datagram, 6, if sum == 0 { u16::MAX } else { sum });
    datagram
}

/// A TCP segment with its header.
pub fn tcp(ends: &Ends, header: &Tcp, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(payload.len() + 24);
    segment.extend(header.from.to_be_bytes());
    segment.extend(header.to.to_be_bytes());
    segment.extend(header.sequence.to_be_bytes());
    segment.extend(header.acknowledged.to_be_bytes());
    // A first segment says how much its sender takes at once (RFC 9293 §3.7.1), as every honest one does.
    let options: &[u8] = if header.flags & flag::SYN != 0 { &[2, 4, 5, 0xb4] } else { &[] };
    segment.push(if options.is_empty() { 5 << 4 } else { 6 << 4 });
    segment.push(header.flags);
    for half in [64_240u16, 0, 0] {
        segment.extend(half.to_be_bytes());
    }
    segment.extend(options);
    segment.extend(payload);
    let sum = checksum(ends.pseudo_sum(protocol::TCP, segment.len()) + sum(&segment));
    put(&mut segment, 16, sum);
    segment
}

/// An ICMP or `ICMPv6` message; `rest` are the four bytes behind the checksum.
pub fn icmp(ends: &Ends, kind: u8, code: u8, rest: u32, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(payload.len() + 8);
    message.extend([kind, code, 0, 0]);
    message.extend(rest.to_be_bytes());
    message.extend(payload);
    let pseudo = match ends {
        Ends::V4 { .. } => 0,
        Ends::V6 { .. } => ends.pseudo_sum(protocol::ICMPV6, message.len()),
    };
    let sum = checksum(pseudo + sum(&message));
    put(&mut message, 2, sum);
    message
}

/// A frame with a whole packet.
pub fn packet(link: &Link, ends: &Ends, protocol: u8, id: u16, segment: &[u8]) -> Vec<u8> {
    match ends {
        Ends::V4 { from, to } => ipv4(link, *from, *to, protocol, id, 0, segment),
        Ends::V6 { from, to } => ipv6(link, *from, *to, protocol, &[], segment),
    }
}

/// Which part of a packet a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What tells the fragments of one packet from another's.
    pub id: u16,
    /// Where it begins, in bytes; the last three bits do not count.
    pub offset: u16,
    /// Whether more follow.
    pub more: bool,
}

/// A frame with one fragment of a packet.
pub fn fragment(link: &Link, ends: &Ends, protocol: u8, part: Part, piece: &[u8]) -> Vec<u8> {
    match ends {
        Ends::V4 { from, to } => {
            let flags = if part.more { MORE_FRAGMENTS } else { 0 };
            ipv4(link, *from, *to, protocol, part.id, flags | part.offset >> 3, piece)
        }
        Ends::V6 { from, to } => {
            let mut header = Vec::with_capacity(FRAGMENT_LEN);
            header.extend([protocol, 0]);
            header.extend((part.offset & !7 | u16::from(part.more)).to_be_bytes());
            header.extend(u32::from(part.id).to_be_bytes());
            ipv6(link, *from, *to, protocol::FRAGMENT, &header, piece)
        }
    }
}

/// A packet's fragments in order, each as long as a network of [`MTU`] takes; one frame with the whole where it fits.
pub fn fragments(link: &Link, ends: &Ends, protocol: u8, id: u16, segment: &[u8]) -> Vec<Vec<u8>> {
    let room = match ends {
        Ends::V4 { .. } => MTU - IPV4_LEN,
        Ends::V6 { .. } => MTU - IPV6_LEN - FRAGMENT_LEN,
    };
    if segment.len() <= room {
        return vec![packet(link, ends, protocol, id, segment)];
    }
    let step = room & !7;
    let pieces = segment.chunks(step).enumerate();
    pieces
        .map(|(at, piece)| {
            let offset = u16::try_from(at * step).unwrap_or(u16::MAX);
            let more = (at + 1) * step < segment.len();
            fragment(link, ends, protocol, Part { id, offset, more }, piece)
        })
        .collect()
}

fn ethernet(link: &Link, kind: u16, room: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(14 + room);
    frame.extend(link.to);
    frame.extend(link.from);
    frame.extend(kind.to_be_bytes());
    frame
}

fn ipv4(link: &Link, from: Ipv4Addr, to: Ipv4Addr, protocol: u8, id: u16, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let len = IPV4_LEN + payload.len();
    let mut header = Vec::with_capacity(IPV4_LEN);
    header.extend([0x45, 0]);
    for half in [u16::try_from(len).unwrap_or(u16::MAX), id, fragment] {
        header.extend(half.to_be_bytes());
    }
    header.extend([64, protocol, 0, 0]);
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = checksum(sum(&header));
    put(&mut header, 10, sum);
    let mut frame = ethernet(link, 0x0800, len);
    frame.extend(header);
    frame.extend(payload);
    frame
}

fn ipv6(link: &Link, from: Ipv6Addr, to: Ipv6Addr, next: u8, extension: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = extension.len() + payload.len();
    let mut frame = ethernet(link, 0x86dd, IPV6_LEN + len);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
    frame.extend([next, 64]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(extension);
    frame.extend(payload);
    frame
}

/// The sum of 16-bit words (RFC 1071), not folded; an odd last byte is the upper half of one.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|word| match word {
        [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
        [high] => u64::from(*high) << 8,
        _ => 0,
    });
    words.sum()
}

/// The checksum that belongs to a sum.
fn checksum(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
