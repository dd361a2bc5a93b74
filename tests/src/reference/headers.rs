//! From a frame's first byte to its transport header.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::transport::{Piece, Upper};
use super::{Plant, Reference};

/// A network header that told no lies.
pub(super) struct Packet<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) next: u8,
    pub(super) hops: u8,
    /// Offset of what follows the header.
    pub(super) offset: usize,
    /// What follows, to the packet's own end.
    pub(super) body: &'a [u8],
    /// Which part of an IPv4 packet it is.
    pub(super) piece: Piece,
    /// The number that the parts of an IPv4 packet share.
    pub(super) id: u32,
}

/// What stands behind the network header.
pub(super) enum Headers {
    /// Nothing wrong: this follows.
    Fine(Upper),
    /// A header reaches past the packet's end.
    Lie,
    /// More headers, or deeper ones, than are read.
    TooMany,
}

/// What the link layer carries, and where it starts.
pub(super) enum Link {
    V4(usize),
    V6(usize),
    Other,
    Cut,
    TooManyTags,
}

pub(super) fn link(frame: &[u8], most_tags: usize) -> Link {
    for tags in 0..=most_tags {
        let start = 14 + 4 * tags;
        let Some(ethertype) = frame.get(start - 2..start) else { return Link::Cut };
        match ethertype {
            [0x08, 0x00] => return Link::V4(start),
            [0x86, 0xdd] => return Link::V6(start),
            [0x81, 0x00] | [0x88, 0xa8] => {}
            _ => return Link::Other,
        }
    }
    Link::TooManyTags
}

pub(super) fn ipv6(frame: &[u8], offset: usize) -> Option<Packet<'_>> {
    let packet = frame.get(offset..)?;
    let (fixed, rest) = (packet.get(..40)?, packet.get(40..)?);
    let payload_len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let next = fixed[6];
    if fixed[0] >> 4 != 6 {
        return None;
    }
    // A jumbogram says 0 and has a hop-by-hop header: it ends with the frame.
    let body = if payload_len == 0 && next == 0 { rest } else { rest.get(..payload_len)? };
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&fixed[at..at + 16]);
        IpAddr::from(Ipv6Addr::from(octets))
    };
    Some(Packet {
        source: address(8),
        destination: address(24),
        next,
        hops: fixed[7],
        offset: offset + 40,
        body,
        piece: Piece::Whole,
        id: 0,
    })
}

impl Reference {
    pub(super) fn ipv4<'a>(&self, frame: &'a [u8], offset: usize) -> Option<Packet<'a>> {
        let packet = frame.get(offset..)?;
        let fixed = packet.get(..20)?;
        let header_len = usize::from(fixed[0] & 15) * 4;
        let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if fixed[0] >> 4 != 4 || header_len < 20 || total_len < header_len {
            return None;
        }
        if self.planted(Plant::OptionsAreLies) && header_len > 20 {
            return None;
        }
        let body = packet.get(..total_len)?.get(header_len..)?;
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
        let start = usize::from(fragment & 0x1fff) * 8;
        if start + body.len() > 65_535 {
            return None;
        }
        Some(Packet {
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]).into(),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]).into(),
            next: fixed[9],
            hops: fixed[8],
            offset: offset + header_len,
            body,
            piece: match (start, fragment & 0x2000) {
                (0, 0) => Piece::Whole,
                (0, _) => Piece::First,
                _ => Piece::Later,
            },
            id: u32::from(u16::from_be_bytes([fixed[4], fixed[5]])),
        })
    }

    /// Walks IPv6 extension headers; IPv4 has none.
    pub(super) fn headers(&self, packet: &Packet<'_>) -> Headers {
        if packet.source.is_ipv4() {
            return Headers::Fine(Upper { protocol: packet.next, at: 0, piece: packet.piece, id: packet.id });
        }
        let (mut piece, mut id) = (Piece::Whole, 0);
        let most = if self.planted(Plant::NinthHeader) { 9 } else { 8 };
        let mut next = packet.next;
        let mut at = 0;
        let mut walked = 0;
        while [0, 43, 44, 51, 60, 135, 139, 140].contains(&next) {
            if walked == most || packet.offset + at > 512 {
                return Headers::TooMany;
            }
            let header = packet.body.get(at..).unwrap_or_default();
            let [following, len_field, high, low, ..] = header else { return Headers::Lie };
            let len = match next {
                44 => 8,
                51 if !self.planted(Plant::AuthenticationInEights) => (usize::from(*len_field) + 2) * 4,
                _ => (usize::from(*len_field) + 1) * 8,
            };
            if at + len > packet.body.len() {
                return Headers::Lie;
            }
            if let (44, [_, _, _, _, number @ ..]) = (next, header) {
                let [a, b, c, d, ..] = number else { return Headers::Lie };
                id = u32::from_be_bytes([*a, *b, *c, *d]);
                if u16::from_be_bytes([*high, *low]) >> 3 != 0 {
                    // A later fragment: what follows is no header.
                    return Headers::Fine(Upper { protocol: *following, at, piece: Piece::Later, id });
                }
                if low & 1 != 0 {
                    piece = Piece::First;
                }
            }
            next = *following;
            at += len;
            walked += 1;
        }
        Headers::Fine(Upper { protocol: next, at, piece, id })
    }
}
