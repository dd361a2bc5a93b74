//! What a packet is to limits and policies: its dimensions, ports, flags, and the lies of its transport header.
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::frame::{Frame, MAX_OFFSET};
use crate::walk::protocol;

/// What a limit counts.
#[must_use]
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// Packets.
    Packets = 0,
    /// Bytes of the frames, without FCS.
    Bytes = 1,
    /// TCP packets that ask for a connection: SYN without ACK.
    Syn = 2,
    /// UDP packets.
    Udp = 3,
    /// ICMP and `ICMPv6` packets.
    Icmp = 4,
    /// New flows: a SYN that is no repetition, and the first packet of a flow of UDP.
    New = 5,
    /// Fragments.
    Fragments = 6,
}

impl Dimension {
    /// Every dimension, in the order of their slots.
    pub const ALL: [Self; 7] =
        [Self::Packets, Self::Bytes, Self::Syn, Self::Udp, Self::Icmp, Self::New, Self::Fragments];

    /// Its place in a limit.
    #[inline(always)]
    pub const fn slot(self) -> usize {
        self as usize
    }

    /// Its bit in a set of dimensions.
    #[inline(always)]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// The metric label and JSON key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::Syn => "syn",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::New => "new",
            Self::Fragments => "fragments",
        }
    }
}

/// Whose limit.
#[must_use]
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Each source's: an IPv4 address, an IPv6 /64.
    Source = 0,
    /// Each network's: a /24, a /48.
    Network = 1,
    /// Everything's.
    Global = 2,
    /// A destination port's.
    Port = 3,
}

impl Scope {
    /// Every scope, in the order of their slots.
    pub const ALL: [Self; 4] = [Self::Source, Self::Network, Self::Global, Self::Port];

    /// Its counter slot.
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        self as u32
    }

    /// The metric label and JSON key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Network => "network",
            Self::Global => "global",
            Self::Port => "port",
        }
    }
}

/// What in particular is behind a verdict that has several causes; 0: nothing more is said.
pub mod detail {
    /// Layer 4 lies, or has flags that cannot be.
    pub const TRANSPORT: u32 = 1;
    /// A rule for the destination port.
    pub const PORT_RULE: u32 = 2;
    /// An answer nobody asked for.
    pub const ANSWER: u32 = 3;
    /// A type of ICMP.
    pub const ICMP_TYPE: u32 = 4;
    /// A first fragment.
    pub const FIRST_FRAGMENT: u32 = 5;
    /// A later fragment.
    pub const LATER_FRAGMENT: u32 = 6;
    /// From here on: a limit, its scope in bits 4 and 5, its dimension in the three lowest.
    pub const LIMIT: u32 = 0x40;

    /// That of a limit.
    #[inline(always)]
    pub const fn limit(scope: u32, dimension: u32) -> u32 {
        LIMIT | scope << 4 | dimension
    }
}

/// What the walk found behind the network header, and what limits and policies ask of it.
///
/// Plain numbers, all of them always set: what only some packets have would be undefined registers in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// A bit for each dimension it counts in, but [`Dimension::New`], which takes a look at known flows.
    pub dimensions: u32,
    /// [`fact`] bits.
    pub bits: u32,
    /// Protocol number; 255 where it is not known, as in a later fragment.
    pub protocol: u32,
    /// Source and destination port, in the upper and lower half; of ICMP, type in the lower one. 0 where there is none.
    pub ports: u32,
}

/// Bits of [`Facts::bits`].
pub mod fact {
    /// The header lies, or its flags cannot be.
    pub const LIES: u32 = 1;
    /// A first fragment.
    pub const FIRST_FRAGMENT: u32 = 2;
    /// A later fragment.
    pub const LATER_FRAGMENT: u32 = 4;
    /// Ports or an ICMP type were read.
    pub const HAS_PORTS: u32 = 8;
    /// It may be the first of a flow: a SYN, or any UDP.
    pub const MAY_BE_NEW: u32 = 16;
}

/// Flags of a TCP header.
mod flag {
    pub(super) const FIN: u8 = 1;
    pub(super) const SYN: u8 = 2;
    pub(super) const RST: u8 = 4;
    pub(super) const ACK: u8 = 16;
}

/// The part of a TCP header that is looked at.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
struct TcpStart {
    ports: [u8; 4],
    numbers: [u8; 8],
    data_offset: u8,
    flags: u8,
}

const TCP_LEN: u32 = 20;
const UDP_LEN: u32 = 8;
const ICMP_LEN: u32 = 8;

/// Where the transport header stands, and where the packet ends by its own length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Protocol number.
    pub protocol: u8,
    /// Offset of the header.
    pub offset: u32,
    /// Offset of the packet's end.
    pub end: u32,
    /// 1 where it is the first of several fragments, so that lengths of the whole do not fit; else 0.
    pub fragment: u32,
}

/// Facts of a later fragment: it has no transport header.
#[inline(always)]
pub const fn of_later_fragment() -> Facts {
    Facts {
        dimensions: Dimension::Packets.bit() | Dimension::Bytes.bit() | Dimension::Fragments.bit(),
        bits: fact::LATER_FRAGMENT,
        protocol: 255,
        ports: 0,
    }
}

/// Facts of a packet whose transport header nobody asks for, or where it could not be reached.
#[inline(always)]
pub const fn of_network_only() -> Facts {
    Facts { dimensions: Dimension::Packets.bit() | Dimension::Bytes.bit(), bits: 0, protocol: 255, ports: 0 }
}

/// Reads the transport header.
///
/// A header that does not fit into the packet lies; in a first fragment too, which must hold the whole of it
/// (RFC 1858 §4, RFC 7112 §5). Flags that no stack sends are lies (RFC 9293 §3.5): none, SYN with FIN or RST, FIN with
/// RST, and FIN without ACK. So is a port 0.
#[inline(always)]
pub fn facts<F: Frame + ?Sized>(frame: &F, place: Place) -> Facts {
    let Place { protocol, offset, end, fragment } = place;
    let mut facts = Facts { protocol: u32::from(protocol), ..of_network_only() };
    facts.dimensions |= fragment * Dimension::Fragments.bit();
    facts.bits |= fragment * fact::FIRST_FRAGMENT;
    match protocol {
        protocol::TCP => {
            let Some(tcp) = inside::<TcpStart, F>(frame, offset, end) else { return lying(facts) };
            facts.ports = u32::from_be_bytes(tcp.ports);
            facts.bits |= fact::HAS_PORTS;
            let header_len = u32::from(tcp.data_offset >> 4) * 4;
            let kind = tcp.flags & (flag::FIN | flag::SYN | flag::RST | flag::ACK);
            if kind & (flag::SYN | flag::ACK) == flag::SYN {
                facts.dimensions |= Dimension::Syn.bit();
                facts.bits |= fact::MAY_BE_NEW;
            }
            // One bit for each combination that cannot be: none, FIN, SYN+FIN, RST+FIN and the same with ACK and more.
            let lies = 1u32 << kind & NEVER_SENT != 0;
            if lies || header_len < TCP_LEN || offset + header_len > end || has_port_zero(facts.ports) {
                return lying(facts);
            }
        }
        protocol::UDP => {
            facts.dimensions |= Dimension::Udp.bit();
            let Some(udp) = inside::<[u8; 8], F>(frame, offset, end) else { return lying(facts) };
            facts.ports = u32::from_be_bytes([udp[0], udp[1], udp[2], udp[3]]);
            facts.bits |= fact::HAS_PORTS | fact::MAY_BE_NEW;
            let len = u32::from(u16::from_be_bytes([udp[4], udp[5]]));
            // What its 16 bits cannot say is 0 (RFC 2675 §4).
            let is_jumbo = len == 0 && end - offset > 0xffff;
            let fits = len >= UDP_LEN && (fragment != 0 || offset + len <= end) || is_jumbo;
            // A source port of 0 is allowed: it says that no answer is wanted (RFC 768).
            if !fits || facts.ports << 16 == 0 {
                return lying(facts);
            }
        }
        protocol::ICMP | protocol::ICMPV6 => {
            facts.dimensions |= Dimension::Icmp.bit();
            let Some(icmp) = inside::<[u8; 2], F>(frame, offset, end) else { return lying(facts) };
            facts.ports = u32::from(icmp[0]);
            facts.bits |= fact::HAS_PORTS;
            if offset + ICMP_LEN > end && protocol == protocol::ICMP {
                return lying(facts);
            }
        }
        _ => {}
    }
    facts
}

/// Combinations of FIN, SYN, RST and ACK, as the bits of a set.
const NEVER_SENT: u32 = {
    const FIN: u32 = flag::FIN as u32;
    const SYN: u32 = flag::SYN as u32;
    const RST: u32 = flag::RST as u32;
    const ACK: u32 = flag::ACK as u32;
    1 | 1 << FIN
        | 1 << (SYN | FIN)
        | 1 << (SYN | RST)
        | 1 << (SYN | FIN | RST)
        | 1 << (FIN | RST)
        | 1 << (ACK | SYN | FIN)
        | 1 << (ACK | SYN | RST)
        | 1 << (ACK | SYN | FIN | RST)
        | 1 << (ACK | FIN | RST)
};

#[inline(always)]
const fn lying(facts: Facts) -> Facts {
    Facts { bits: facts.bits | fact::LIES, ..facts }
}

#[inline(always)]
const fn has_port_zero(ports: u32) -> bool {
    ports << 16 == 0 || ports >> 16 == 0
}

/// A header at `offset` that belongs to the packet, not to padding behind it.
#[inline(always)]
fn inside<T: FromBytes + Immutable + KnownLayout + Copy, F: Frame + ?Sized>(
    frame: &F,
    offset: u32,
    end: u32,
) -> Option<T> {
    if offset > MAX_OFFSET || offset as usize + size_of::<T>() > end as usize {
        return None;
    }
    frame.read::<T>(offset)
}
