//! Rules turned wrong on purpose.

/// A rule turned wrong on purpose, to prove that the comparison sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A fifth tag is looked behind.
    FifthTag,
    /// IPv4 options make a packet malformed.
    OptionsAreLies,
    /// A packet from its own destination is fine.
    LandPasses,
    /// Neighbour discovery is believed at any hop limit.
    NeighboursFromAfar,
    /// A ninth extension header is read.
    NinthHeader,
    /// The authentication header's length is read in units of eight bytes.
    AuthenticationInEights,
    /// The weaker origin decides.
    WeakestDecides,
    /// A decision still holds at the second it ends.
    EndsTooLate,
    /// Protection voids forced decisions too.
    ForceIsIgnored,
    /// A lift changes nothing.
    LiftIsIgnored,
    /// The limit lets one packet more through.
    OneMorePacket,
    /// An observed denial is not counted.
    ObservedIsForgotten,
    /// TCP with SYN and FIN is fine.
    WrongFlagPasses,
    /// A UDP length beyond the packet is fine.
    UdpLengthIsBelieved,
    /// TCP from port 0 is fine.
    PortZeroPasses,
    /// A transport header too deep to be read is let through.
    DeepHeaderPasses,
    /// A transport header that is split over fragments is let through.
    SplitHeaderPasses,
    /// A first fragment of IPv6 is none.
    FirstOfIpv6Passes,
    /// A first fragment is remembered for a minute.
    FragmentMemoryTooLong,
    /// A first fragment that was refused is remembered too.
    RefusedFirstIsRemembered,
    /// Fragments of IPv6 must agree on the protocol.
    ProtocolTellsIpv6Apart,
    /// The last rule that names a port decides.
    PortOrderReversed,
    /// An answer nobody asked for passes.
    AnswerPasses,
    /// A type of `ICMPv6` is looked up among those of ICMP.
    OtherFamilysIcmp,
    /// A source in a profile has everybody's limit.
    ProfileIsIgnored,
    /// The network pays for what its source's limit refused.
    NetworkChargedForRefused,
    /// A network is a /25.
    NarrowNetwork,
    /// The limit for everything comes before a port's.
    GlobalBeforePort,
    /// A port's limit is everybody's where it should be each source's.
    PortLimitIsShared,
    /// Each packet's bytes are 1,024.
    BytesAreRounded,
    /// What was counted before promotion is not charged.
    EarlierIsForgotten,
    /// One packet in many dimensions gets buckets at once.
    OnePacketIsPromoted,
    /// A flow is new with each packet.
    NewIsForgotten,
    /// A flow is known though its packet was refused.
    RefusedFlowIsKnown,
    /// A flow is known for good.
    FlowIsKnownForEver,
    /// The last dimension that is over is the one that is counted.
    LastDimensionDecides,
}

impl Plant {
    /// Every one.
    pub const ALL: [Self; 36] = [
        Self::FifthTag,
        Self::OptionsAreLies,
        Self::LandPasses,
        Self::NeighboursFromAfar,
        Self::NinthHeader,
        Self::AuthenticationInEights,
        Self::WeakestDecides,
        Self::EndsTooLate,
        Self::ForceIsIgnored,
        Self::LiftIsIgnored,
        Self::OneMorePacket,
        Self::ObservedIsForgotten,
        Self::WrongFlagPasses,
        Self::UdpLengthIsBelieved,
        Self::PortZeroPasses,
        Self::DeepHeaderPasses,
        Self::SplitHeaderPasses,
        Self::FirstOfIpv6Passes,
        Self::FragmentMemoryTooLong,
        Self::RefusedFirstIsRemembered,
        Self::ProtocolTellsIpv6Apart,
        Self::PortOrderReversed,
        Self::AnswerPasses,
        Self::OtherFamilysIcmp,
        Self::ProfileIsIgnored,
        Self::NetworkChargedForRefused,
        Self::NarrowNetwork,
        Self::GlobalBeforePort,
        Self::PortLimitIsShared,
        Self::BytesAreRounded,
        Self::EarlierIsForgotten,
        Self::OnePacketIsPromoted,
        Self::NewIsForgotten,
        Self::RefusedFlowIsKnown,
        Self::FlowIsKnownForEver,
        Self::LastDimensionDecides,
    ];
}
