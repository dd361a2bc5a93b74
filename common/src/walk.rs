//! From a frame's first byte to what is known of its headers: link layer, network header, extension headers.
//!
//! Nothing here looks at a list or a limit; it only says what the bytes are.
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::addr::{self, Source};
use crate::frame::{Frame, MAX_OFFSET};

/// 802.1Q and 802.1ad tags that are looked behind, in any mix.
pub const MAX_TAGS: u32 = 4;

/// IPv6 extension headers that are walked.
pub const MAX_EXTENSIONS: u32 = 8;

/// Bit of [`Network::fragment`]: others follow.
pub const MORE_FRAGMENTS: u32 = 0x2000;

pub(crate) const ETHERNET_LEN: u32 = 14;
const TAG_LEN: u32 = 4;
/// The furthest a network header can start.
pub const MAX_NETWORK_OFFSET: u32 = ETHERNET_LEN + MAX_TAGS * TAG_LEN;

pub(crate) const IPV4_LEN: u32 = 20;
pub(crate) const IPV6_LEN: u32 = 40;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_8021Q: u16 = 0x8100;
const ETHERTYPE_8021AD: u16 = 0x88a8;

/// Protocol numbers of IANA's registry that the walk tells apart.
pub mod protocol {
    /// IPv6 hop-by-hop options (RFC 8200 §4.3).
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP (RFC 792).
    pub const ICMP: u8 = 1;
    /// IGMP (RFC 3376).
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header (RFC 8200 §4.4).
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header (RFC 8200 §4.5).
    pub const FRAGMENT: u8 = 44;
    /// Authentication header (RFC 4302).
    pub const AUTHENTICATION: u8 = 51;
    /// `ICMPv6` (RFC 4443).
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options (RFC 8200 §4.6).
    pub const DESTINATION: u8 = 60;
    /// Mobility header (RFC 6275).
    pub const MOBILITY: u8 = 135;
    /// Host identity protocol (RFC 7401).
    pub const HIP: u8 = 139;
    /// Shim6 (RFC 5533).
    pub const SHIM6: u8 = 140;
}

/// What the link layer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// An IPv4 header should follow.
    V4,
    /// An IPv6 header should follow.
    V6,
    /// Anything else: passes.
    Other,
    /// The frame ends inside its Ethernet header or a tag.
    Truncated,
    /// More than [`MAX_TAGS`] tags.
    TooManyTags,
}

/// The link layer: what it carries, and where that starts.
///
/// A pair rather than an enum with fields: a field that only some variants have would be an undefined register in the
/// kernel's program, which the verifier refuses to see spilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// What it carries.
    pub kind: LinkKind,
    /// Offset of the network header; without meaning for kinds that have none.
    pub offset: u32,
}

/// A network header that told no lies about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Source address.
    pub source: Source,
    /// Destination address.
    pub destination: Source,
    /// Protocol number behind the network header: for IPv6 the first extension header, if any.
    pub next: u8,
    /// Where it starts.
    pub offset: u32,
    /// Where the packet ends by its own length; at most the frame's end.
    pub end: u32,
    /// TTL or hop limit.
    pub hops: u8,
    /// Of an IPv4 header: where the fragment begins, in units of eight bytes, and [`MORE_FRAGMENTS`]; 0: it is none.
    ///
    /// As it stands there: answers to what it says would be ways that the verifier follows one by one.
    pub fragment: u32,
    /// The number that fragments of one IPv4 packet share.
    pub id: u32,
    /// Where the header itself starts.
    pub start: u32,
}

/// What stands behind the extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// A protocol header.
    Header,
    /// A later fragment: no transport header.
    Later,
    /// More extension headers, or deeper ones, than are walked.
    Budget,
    /// An extension header reaches past the packet's end.
    Malformed,
}

/// The transport header: whether there is one, and where. Numbers beside the kind for the reason that [`Link`] has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// What stands there.
    pub kind: TransportKind,
    /// Its protocol number; without meaning but for a header and a later fragment.
    pub protocol: u8,
    /// Offset of the header; without meaning for other kinds.
    pub offset: u32,
    /// 1 where the packet is the first of several fragments, else 0.
    pub fragment: u32,
    /// The number that its fragments share; 0 where it is none.
    pub id: u32,
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
pub(crate) struct Ipv4Header {
    pub(crate) version_ihl: u8,
    pub(crate) tos: u8,
    pub(crate) total_len: [u8; 2],
    pub(crate) id: [u8; 2],
    pub(crate) fragment: [u8; 2],
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) checksum: [u8; 2],
    pub(crate) source: [u8; 4],
    pub(crate) destination: [u8; 4],
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
pub(crate) struct Ipv6Header {
    pub(crate) version_class: u8,
    pub(crate) class_flow: [u8; 3],
    pub(crate) payload_len: [u8; 2],
    pub(crate) next: u8,
    pub(crate) hop_limit: u8,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
}

/// Reads the Ethernet header and up to [`MAX_TAGS`] tags.
#[inline(always)]
pub fn link<F: Frame + ?Sized>(frame: &F) -> Link {
    let mut offset = ETHERNET_LEN;
    let Some(ethertype) = frame.read::<[u8; 2]>(ETHERNET_LEN - 2) else {
        return Link { kind: LinkKind::Truncated, offset };
    };
    let mut ethertype = u16::from_be_bytes(ethertype);
    let mut tags = 0;
    while tags < MAX_TAGS {
        if !is_tag(ethertype) {
            break;
        }
        let Some(inner) = frame.read::<[u8; 2]>(offset + 2) else {
            return Link { kind: LinkKind::Truncated, offset };
        };
        ethertype = u16::from_be_bytes(inner);
        offset += TAG_LEN;
        tags += 1;
    }
    let kind = match ethertype {
        ETHERTYPE_IPV4 => LinkKind::V4,
        ETHERTYPE_IPV6 => LinkKind::V6,
        other if is_tag(other) => LinkKind::TooManyTags,
        _ => LinkKind::Other,
    };
    Link { kind, offset }
}

#[inline(always)]
fn is_tag(ethertype: u16) -> bool {
    ethertype == ETHERTYPE_8021Q || ethertype == ETHERTYPE_8021AD
}

/// Reads the IPv4 header at `offset`; `None` where it lies about its version or lengths (RFC 791 §3.1).
#[inline(always)]
pub fn ipv4<F: Frame + ?Sized>(frame: &F, offset: u32) -> Option<Network> {
    let header = frame.read::<Ipv4Header>(offset)?;
    let header_len = u32::from(header.version_ihl & 0x0f) * 4;
    let total_len = u32::from(u16::from_be_bytes(header.total_len));
    let end = offset + total_len;
    if header.version_ihl >> 4 != 4 || header_len < IPV4_LEN || total_len < header_len || end > frame.len() {
        return None;
    }
    let fragment = u16::from_be_bytes(header.fragment);
    let fragment_start = u32::from(fragment & 0x1fff) * 8;
    // A fragment that would end above 65,535 is the "ping of death".
    if fragment_start + (total_len - header_len) > 0xffff {
        return None;
    }
    Some(Network {
        source: Source::V4(header.source),
        destination: Source::V4(header.destination),
        next: header.protocol,
        offset: offset + header_len,
        end,
        hops: header.ttl,
        fragment: u32::from(fragment & 0x3fff),
        id: u32::from(u16::from_be_bytes(header.id)),
        start: offset,
    })
}

/// Reads the IPv6 header at `offset`; `None` where it lies about its version or length (RFC 8200 §3).
///
/// A payload length of 0 in front of a hop-by-hop header announces a jumbogram (RFC 2675): it ends with the frame.
#[inline(always)]
pub fn ipv6<F: Frame + ?Sized>(frame: &F, offset: u32) -> Option<Network> {
    let header = frame.read::<Ipv6Header>(offset)?;
    let payload_len = u32::from(u16::from_be_bytes(header.payload_len));
    let jumbo = payload_len == 0 && header.next == protocol::HOP_BY_HOP;
    let end = if jumbo { frame.len() } else { offset + IPV6_LEN + payload_len };
    if header.version_class >> 4 != 6 || end > frame.len() {
        return None;
    }
    Some(Network {
        source: Source::V6(header.source),
        destination: Source::V6(header.destination),
        next: header.next,
        offset: offset + IPV6_LEN,
        end,
        hops: header.hop_limit,
        fragment: 0,
        id: 0,
        start: offset,
    })
}

/// Walks to the transport header: at once for IPv4, over at most [`MAX_EXTENSIONS`] headers for IPv6.
///
/// `forget` returns its argument ([`crate::tables::Tables::forget`]; the identity on the host).
#[inline(always)]
pub fn transport<F: Frame + ?Sized>(frame: &F, network: &Network, forget: impl Fn(u32) -> u32) -> Transport {
    let mut found = Transport {
        kind: TransportKind::Header,
        protocol: network.next,
        offset: network.offset,
        fragment: (network.fragment & MORE_FRAGMENTS) / MORE_FRAGMENTS,
        id: network.id,
    };
    if let Source::V4(_) = network.source {
        if network.fragment & !MORE_FRAGMENTS != 0 {
            found.kind = TransportKind::Later;
        }
        return found;
    }
    let mut next = network.next;
    let mut offset = network.offset;
    let mut walked = 0;
    let (mut fragment, mut id) = (0, 0);
    while walked < MAX_EXTENSIONS && is_extension(next) {
        offset = forget(offset);
        if offset > MAX_OFFSET {
            found.kind = TransportKind::Budget;
            return found;
        }
        let Some(header) = frame.read::<[u8; 8]>(offset) else {
            found.kind = TransportKind::Malformed;
            return found;
        };
        let len = match next {
            protocol::FRAGMENT => 8,
            // RFC 4302 §2.2: the length is in 32-bit words, minus 2.
            protocol::AUTHENTICATION => (u32::from(header[1]) + 2) * 4,
            _ => (u32::from(header[1]) + 1) * 8,
        };
        if offset + len > network.end {
            found.kind = TransportKind::Malformed;
            return found;
        }
        if next == protocol::FRAGMENT {
            let field = u16::from_be_bytes([header[2], header[3]]);
            id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            if field & 0xfff8 != 0 {
                found.kind = TransportKind::Later;
                found.protocol = header[0];
                found.id = id;
                return found;
            }
            fragment |= u32::from(field & 1);
        }
        fragment = forget(fragment);
        id = forget(id);
        next = header[0];
        offset += len;
        walked += 1;
    }
    if is_extension(next) {
        found.kind = TransportKind::Budget;
        return found;
    }
    found.protocol = next;
    found.offset = offset;
    found.fragment = fragment;
    found.id = id;
    found
}

#[inline(always)]
fn is_extension(next: u8) -> bool {
    matches!(
        next,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6
    )
}

/// Whether the source address cannot be a source: land (source equal to destination), multicast, broadcast, loopback,
/// IPv4-mapped IPv6 (which the stack would read as IPv4), or unspecified.
#[inline(always)]
pub fn is_bogon(network: &Network) -> bool {
    match (network.source, network.destination) {
        (Source::V4(s), Source::V4(d)) => {
            let first = s[0];
            first == 0 || first == 127 || first & 0xf0 == 0xe0 || u32::from_be_bytes(s) == u32::MAX || s == d
        }
        (Source::V6(s), Source::V6(d)) => {
            let (upper, lower) = addr::halves(s);
            let low_space = upper == 0 && (lower <= 1 || lower >> 32 == 0xffff);
            s[0] == 0xff || low_space || s == d
        }
        _ => true,
    }
}

/// Whether the packet is link traffic without which the link dies.
///
/// Neighbour discovery (`ICMPv6` 133–137, hop limit 255, code 0, no extension header: RFC 4861 §6.1), MLD from a
/// link-local or unspecified source (`ICMPv6` 130–132 and 143 behind one hop-by-hop header, hop limit 1: RFC 3810 §5),
/// DHCP from 0.0.0.0 or to 255.255.255.255, DHCPv6 from a link-local or unspecified source, and IGMP to a group with
/// TTL 1 (RFC 3376 §4). Never a fragment.
///
/// `hide` returns its argument ([`crate::tables::Tables::hide`]): the optimiser knows how deep a header can be and drops the
/// bound, which old verifiers forget on the way and need to see again.
#[inline(always)]
pub fn is_essential<F: Frame + ?Sized>(frame: &F, network: &Network, hide: impl Fn(u32) -> u32) -> bool {
    match (network.source, network.destination) {
        (Source::V4(s), Source::V4(d)) => match network.next {
            protocol::IGMP => network.hops == 1 && d[0] & 0xf0 == 0xe0 && network.fragment == 0,
            protocol::UDP => {
                (s == [0; 4] || d == [255; 4]) && network.fragment == 0 && has_ports(frame, network, (67, 68), hide)
            }
            _ => false,
        },
        (Source::V6(s), Source::V6(_)) => {
            let on_link = (s[0] == 0xfe && s[1] & 0xc0 == 0x80) || s == [0; 16];
            match network.next {
                protocol::ICMPV6 => {
                    let Some([kind, code]) = inside(frame, network, network.offset, &hide) else { return false };
                    network.hops == 255 && code == 0 && matches!(kind, 133..=137)
                }
                protocol::UDP => on_link && has_ports(frame, network, (546, 547), hide),
                protocol::HOP_BY_HOP => {
                    if !on_link || network.hops != 1 {
                        return false;
                    }
                    let Some([next, len]) = inside(frame, network, network.offset, &hide) else { return false };
                    if next != protocol::ICMPV6 || len != 0 {
                        return false;
                    }
                    let Some([kind, code]) = inside(frame, network, network.offset + 8, &hide) else { return false };
                    code == 0 && matches!(kind, 130..=132 | 143)
                }
                _ => false,
            }
        }
        _ => false,
    }
}

/// Two bytes at `offset` that belong to the packet, not to padding behind it.
#[inline(always)]
fn inside<F: Frame + ?Sized>(frame: &F, network: &Network, offset: u32, hide: impl Fn(u32) -> u32) -> Option<[u8; 2]> {
    if offset + 2 > network.end {
        return None;
    }
    frame.read::<[u8; 2]>(hide(offset))
}

/// Whether both UDP ports are among the two given, so that a port of the attacker's choice does not suffice.
#[inline(always)]
fn has_ports<F: Frame + ?Sized>(frame: &F, network: &Network, ports: (u16, u16), hide: impl Fn(u32) -> u32) -> bool {
    if network.offset + 8 > network.end {
        return false;
    }
    let Some(header) = frame.read::<[u8; 4]>(hide(network.offset)) else { return false };
    let source = u16::from_be_bytes([header[0], header[1]]);
    let destination = u16::from_be_bytes([header[2], header[3]]);
    (source == ports.0 || source == ports.1) && (destination == ports.0 || destination == ports.1)
}
