//! Frames, built header by header.
//!
//! What tells the truth is written by `etherparse`; what must lie (lengths, versions, offsets) is patched in afterwards.
use etherparse::{
    Ethernet2Header, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpAuthHeader, IpFragOffset, IpNumber,
    Ipv4Header, Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader, TcpHeader, UdpHeader,
};

/// What an Ethernet header or tag announces, as it stands in frames.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// 802.1Q tag.
    pub const DOT1Q: u16 = 0x8100;
    /// 802.1ad tag.
    pub const DOT1AD: u16 = 0x88a8;
    /// The tag some switches used before 802.1ad.
    pub const QINQ_9100: u16 = 0x9100;
}

/// Protocol numbers as they stand in frames.
pub mod proto {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// IPv4 in IP.
    pub const IPIP: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 in IP.
    pub const IPV6: u8 = 41;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// GRE.
    pub const GRE: u8 = 47;
    /// Authentication header.
    pub const AUTHENTICATION: u8 = 51;
    /// `ICMPv6`.
    pub const ICMPV6: u8 = 58;
    /// IPv6: nothing follows.
    pub const NO_NEXT: u8 = 59;
    /// IPv6 destination options.
    pub const DESTINATION: u8 = 60;
    /// Mobility header.
    pub const MOBILITY: u8 = 135;
    /// Host identity protocol.
    pub const HIP: u8 = 139;
    /// Shim6.
    pub const SHIM6: u8 = 140;
}

/// The address that fixtures send to.
pub const SERVER_V4: [u8; 4] = [203, 0, 113, 80];
/// The address that fixtures send to.
pub const SERVER_V6: [u8; 16] = v6(0x2001_0db8, 0x0053, 0x80);

/// `2001:db8:…`-like addresses: the first 32 bits, the next 32, and the last 64.
pub const fn v6(first: u32, second: u32, last: u64) -> [u8; 16] {
    (((first as u128) << 96) | ((second as u128) << 64) | last as u128).to_be_bytes()
}

/// A tag: its EtherType and its priority and VLAN number.
pub type Tag = (u16, u16);

/// An Ethernet frame: tags, then the EtherType of `payload`.
pub fn ethernet(tags: &[Tag], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let first = tags.first().map_or(ether_type, |tag| tag.0);
    let header = Ethernet2Header {
        source: [0x02, 0, 0, 0, 0, 0x01],
        destination: [0x02, 0, 0, 0, 0, 0x02],
        ether_type: first.into(),
    };
    let mut frame = header.to_bytes().to_vec();
    for (at, (_, control)) in tags.iter().enumerate() {
        frame.extend(control.to_be_bytes());
        frame.extend(tags.get(at + 1).map_or(ether_type, |tag| tag.0).to_be_bytes());
    }
    frame.extend(payload);
    frame
}

/// An IPv4 packet in the making. What is `None` tells the truth.
#[derive(Clone, Debug)]
pub struct V4 {
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
    /// TTL.
    pub ttl: u8,
    /// Protocol number.
    pub protocol: u8,
    /// Options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// Flags and fragment offset, as they stand in the header.
    pub fragment: u16,
    /// What follows the header.
    pub payload: Vec<u8>,
    /// Version, if not 4.
    pub version: Option<u8>,
    /// Header length in words, if not the true one.
    pub ihl: Option<u8>,
    /// Total length, if not the true one.
    pub total_len: Option<u16>,
    /// Tags in front.
    pub tags: Vec<Tag>,
}

/// More fragments follow.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// Must not be fragmented.
pub const DONT_FRAGMENT: u16 = 0x4000;

impl V4 {
    /// A UDP packet from `source` to the server.
    pub fn from(source: [u8; 4]) -> Self {
        Self {
            source,
            destination: SERVER_V4,
            ttl: 64,
            protocol: proto::UDP,
            options: Vec::new(),
            fragment: DONT_FRAGMENT,
            payload: udp(40_000, 443, b"weir"),
            version: None,
            ihl: None,
            total_len: None,
            tags: Vec::new(),
        }
    }

    /// With another destination.
    pub fn to(mut self, destination: [u8; 4]) -> Self {
        self.destination = destination;
        self
    }

    /// With another protocol and payload.
    pub fn carrying(mut self, protocol: u8, payload: impl Into<Vec<u8>>) -> Self {
        self.protocol = protocol;
        self.payload = payload.into();
        self
    }

    /// With another TTL.
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// With options.
    pub fn options(mut self, options: impl Into<Vec<u8>>) -> Self {
        self.options = options.into();
        self
    }

    /// With flags and fragment offset (in bytes) as given.
    pub fn fragment(mut self, flags: u16, offset: u16) -> Self {
        self.fragment = flags | (offset / 8);
        self
    }

    /// Behind tags.
    pub fn tagged(mut self, tags: impl Into<Vec<Tag>>) -> Self {
        self.tags = tags.into();
        self
    }

    /// With a version that lies.
    pub fn version(mut self, version: u8) -> Self {
        self.version = Some(version);
        self
    }

    /// With a header length (in words) that lies.
    pub fn ihl(mut self, words: u8) -> Self {
        self.ihl = Some(words);
        self
    }

    /// With a total length that lies.
    pub fn total_len(mut self, len: u16) -> Self {
        self.total_len = Some(len);
        self
    }

    /// The packet without its Ethernet header.
    pub fn packet(&self) -> Vec<u8> {
        let payload_len = u16::try_from(self.payload.len()).expect("a frame is short");
        let mut header = Ipv4Header::new(payload_len, self.ttl, IpNumber(self.protocol), self.source, self.destination)
            .expect("a frame is short");
        header.options = self.options.as_slice().try_into().expect("options are whole words, at most ten");
        header.set_payload_len(self.payload.len()).expect("a frame is short");
        header.dont_fragment = self.fragment & DONT_FRAGMENT != 0;
        header.more_fragments = self.fragment & MORE_FRAGMENTS != 0;
        header.fragment_offset = IpFragOffset::try_new(self.fragment & 0x1fff).expect("masked");
        header.header_checksum = header.calc_header_checksum();
        let mut packet = header.to_bytes().to_vec();
        if self.fragment & 0x8000 != 0 {
            packet[6] |= 0x80;
        }
        if let Some(version) = self.version {
            packet[0] = packet[0] & 0x0f | version << 4;
        }
        if let Some(words) = self.ihl {
            packet[0] = packet[0] & 0xf0 | words & 0x0f;
        }
        if let Some(len) = self.total_len {
            packet[2..4].copy_from_slice(&len.to_be_bytes());
        }
        packet.extend(&self.payload);
        packet
    }

    /// The frame.
    pub fn frame(&self) -> Vec<u8> {
        ethernet(&self.tags, ethertype::IPV4, &self.packet())
    }
}

/// An extension header, its next-header field still to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its own protocol number.
    pub kind: u8,
    /// Its bytes; the first is the next header's number.
    pub bytes: Vec<u8>,
}

impl Extension {
    /// A header whose length is in units of eight bytes: hop-by-hop, routing, destination, mobility, HIP, Shim6.
    pub fn plain(kind: u8, units_beyond_first: u8) -> Self {
        // PadN (1) over the whole room, so that option headers are well formed.
        let room = usize::from(units_beyond_first) * 8 + 6;
        let mut payload = vec![0; room];
        payload[0] = 1;
        payload[1] = u8::try_from((room - 2).min(255)).expect("bounded");
        let header = Ipv6RawExtHeader::new_raw(IpNumber(0), &payload).expect("whole units");
        Self { kind, bytes: header.to_bytes().to_vec() }
    }

    /// A fragment header; `offset` in bytes.
    pub fn fragment(offset: u16, more: bool) -> Self {
        let offset = IpFragOffset::try_new(offset / 8).expect("thirteen bits");
        let header = Ipv6FragmentHeader::new(IpNumber(0), offset, more, 0x77ee_5511);
        Self { kind: proto::FRAGMENT, bytes: header.to_bytes().to_vec() }
    }

    /// An authentication header with this many words of check value: its length is in words, minus two.
    pub fn authentication(words: usize) -> Self {
        let header = IpAuthHeader::new(IpNumber(0), 1, 1, &vec![0xaa; words * 4]).expect("whole words");
        Self { kind: proto::AUTHENTICATION, bytes: header.to_bytes().to_vec() }
    }

    /// With a length field that lies.
    pub fn len_field(mut self, value: u8) -> Self {
        self.bytes[1] = value;
        self
    }

    /// The usual form of any extension header.
    pub fn usual(kind: u8) -> Self {
        match kind {
            proto::FRAGMENT => Self::fragment(0, false),
            proto::AUTHENTICATION => Self::authentication(3),
            kind => Self::plain(kind, 0),
        }
    }

    /// The kinds that are walked.
    pub const KINDS: [u8; 8] = [
        proto::HOP_BY_HOP,
        proto::ROUTING,
        proto::FRAGMENT,
        proto::AUTHENTICATION,
        proto::DESTINATION,
        proto::MOBILITY,
        proto::HIP,
        proto::SHIM6,
    ];
}

/// An IPv6 packet in the making. What is `None` tells the truth.
#[derive(Clone, Debug)]
pub struct V6 {
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Hop limit.
    pub hops: u8,
    /// Extension headers.
    pub chain: Vec<Extension>,
    /// Protocol number behind them.
    pub protocol: u8,
    /// What follows the headers.
    pub payload: Vec<u8>,
    /// Version, if not 6.
    pub version: Option<u8>,
    /// Payload length, if not the true one.
    pub payload_len: Option<u16>,
    /// Tags in front.
    pub tags: Vec<Tag>,
}

impl V6 {
    /// A UDP packet from `source` to the server.
    pub fn from(source: [u8; 16]) -> Self {
        Self {
            source,
            destination: SERVER_V6,
            hops: 64,
            chain: Vec::new(),
            protocol: proto::UDP,
            payload: udp(40_000, 443, b"weir"),
            version: None,
            payload_len: None,
            tags: Vec::new(),
        }
    }

    /// With another destination.
    pub fn to(mut self, destination: [u8; 16]) -> Self {
        self.destination = destination;
        self
    }

    /// With another protocol and payload.
    pub fn carrying(mut self, protocol: u8, payload: impl Into<Vec<u8>>) -> Self {
        self.protocol = protocol;
        self.payload = payload.into();
        self
    }

    /// With another hop limit.
    pub fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// With extension headers.
    pub fn chain(mut self, chain: impl Into<Vec<Extension>>) -> Self {
        self.chain = chain.into();
        self
    }

    /// With extension headers of these kinds, in their usual form.
    pub fn kinds(self, kinds: &[u8]) -> Self {
        let chain: Vec<Extension> = kinds.iter().map(|kind| Extension::usual(*kind)).collect();
        self.chain(chain)
    }

    /// Behind tags.
    pub fn tagged(mut self, tags: impl Into<Vec<Tag>>) -> Self {
        self.tags = tags.into();
        self
    }

    /// With a version that lies.
    pub fn version(mut self, version: u8) -> Self {
        self.version = Some(version);
        self
    }

    /// With a payload length that lies.
    pub fn payload_len(mut self, len: u16) -> Self {
        self.payload_len = Some(len);
        self
    }

    /// The packet without its Ethernet header.
    pub fn packet(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (at, extension) in self.chain.iter().enumerate() {
            let start = body.len();
            body.extend(&extension.bytes);
            body[start] = self.chain.get(at + 1).map_or(self.protocol, |next| next.kind);
        }
        body.extend(&self.payload);
        let header = Ipv6Header {
            payload_length: u16::try_from(body.len()).expect("a frame is short"),
            next_header: IpNumber(self.chain.first().map_or(self.protocol, |first| first.kind)),
            hop_limit: self.hops,
            source: self.source,
            destination: self.destination,
            ..Ipv6Header::default()
        };
        let mut packet = header.to_bytes().to_vec();
        if let Some(version) = self.version {
            packet[0] = packet[0] & 0x0f | version << 4;
        }
        if let Some(len) = self.payload_len {
            packet[4..6].copy_from_slice(&len.to_be_bytes());
        }
        packet.extend(body);
        packet
    }

    /// The frame.
    pub fn frame(&self) -> Vec<u8> {
        ethernet(&self.tags, ethertype::IPV6, &self.packet())
    }
}

/// A UDP header and its payload; the checksum is left out, which nothing here depends on.
pub fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).expect("a frame is short");
    let header = UdpHeader { source_port: source, destination_port: destination, length, checksum: 0 };
    [&header.to_bytes()[..], payload].concat()
}

/// A TCP header with these flags (`FIN` is bit 0, `CWR` bit 7), and its payload.
pub fn tcp(source: u16, destination: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = TcpHeader::new(source, destination, 1, 65_535).to_bytes().to_vec();
    bytes[13] = flags;
    bytes.extend(payload);
    bytes
}

/// `SYN`, as [`tcp`] takes it.
pub const SYN: u8 = 2;

/// `ACK`, as [`tcp`] takes it.
pub const ACK: u8 = 16;

/// An ICMP echo request.
pub fn icmp_echo() -> Vec<u8> {
    let echo = etherparse::IcmpEchoHeader { id: 7, seq: 1 };
    Icmpv4Header::new(Icmpv4Type::EchoRequest(echo)).to_bytes().to_vec()
}

/// An `ICMPv6` message of any type and code, with room for a neighbour solicitation's target.
pub fn icmpv6(kind: u8, code: u8) -> Vec<u8> {
    let unknown = Icmpv6Type::Unknown { type_u8: kind, code_u8: code, bytes5to8: [0; 4] };
    let mut bytes = Icmpv6Header::new(unknown).to_bytes().to_vec();
    bytes.extend([0; 16]);
    bytes
}

/// An IGMP membership report for a group.
pub fn igmp(group: [u8; 4]) -> Vec<u8> {
    [&[0x16, 0, 0, 0][..], &group].concat()
}
