//! The verdicts: one enum that is the counter slot, the metric label and the JSON key.

/// Number of counter slots reserved for verdicts; a power of two above [`Verdict::ALL`]'s length.
pub const VERDICT_SLOTS: usize = 32;

/// What weir decided about a packet, and why.
///
/// Hostile shape fails closed: a frame that lies about itself is [`Verdict::Malformed`] and dropped. weir's own
/// faults fail open: a table that cannot be read makes the packet pass as [`Verdict::Fault`], which is counted and
/// raised as an alarm, because a filter must never become the outage it guards against.
#[must_use]
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing spoke against the packet.
    Pass = 0,
    /// The operator allows the source.
    Allowed = 1,
    /// Not IP: ARP, LLDP and the like.
    NotIp = 2,
    /// Link traffic without which the link dies (neighbour discovery, DHCP, MLD, IGMP).
    Essential = 3,
    /// The operator's bypass switch is on.
    Bypassed = 4,
    /// weir could not read its own tables.
    Fault = 5,
    /// The operator denies the source.
    Denied = 6,
    /// A threat feed denies the source.
    Feed = 7,
    /// The source's country is denied.
    Country = 8,
    /// The source's autonomous system is denied.
    Asn = 9,
    /// The source's reputation score is too bad.
    Reputation = 10,
    /// A detection rule denied the source.
    Rule = 11,
    /// A CrowdSec decision denies the source.
    Crowdsec = 12,
    /// The source broke a limit and is denied for a time.
    Offender = 13,
    /// The headers contradict themselves or the frame's length.
    Malformed = 14,
    /// A source address that cannot be: land, multicast, broadcast, loopback, unspecified.
    Bogon = 15,
    /// More headers than weir reads: over four tags, over eight extension headers, or too deep.
    Budget = 16,
    /// Fragment policy.
    Fragment = 17,
    /// Port policy.
    Port = 18,
    /// A packet filter matched.
    Filter = 19,
    /// Over the source's limit.
    RateSource = 20,
    /// Over the network's limit.
    RateNetwork = 21,
    /// Over the limit for everything.
    RateGlobal = 22,
    /// A SYN answered with a cookie.
    SynCookie = 23,
    /// Under attack, from a source that proved nothing.
    Unverified = 24,
    /// Over the source's connection limit.
    Connections = 25,
    /// Under attack, refused by emergency mode.
    Emergency = 26,
}

/// What the program tells the driver to do with the frame.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Hand the frame to the stack.
    Pass,
    /// Drop the frame.
    Drop,
}

impl Verdict {
    /// Every verdict, in counter-slot order.
    pub const ALL: [Self; 27] = [
        Self::Pass,
        Self::Allowed,
        Self::NotIp,
        Self::Essential,
        Self::Bypassed,
        Self::Fault,
        Self::Denied,
        Self::Feed,
        Self::Country,
        Self::Asn,
        Self::Reputation,
        Self::Rule,
        Self::Crowdsec,
        Self::Offender,
        Self::Malformed,
        Self::Bogon,
        Self::Budget,
        Self::Fragment,
        Self::Port,
        Self::Filter,
        Self::RateSource,
        Self::RateNetwork,
        Self::RateGlobal,
        Self::SynCookie,
        Self::Unverified,
        Self::Connections,
        Self::Emergency,
    ];

    /// The metric label and JSON key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Allowed => "allowed",
            Self::NotIp => "not_ip",
            Self::Essential => "essential",
            Self::Bypassed => "bypassed",
            Self::Fault => "fault",
            Self::Denied => "denied",
            Self::Feed => "feed",
            Self::Country => "country",
            Self::Asn => "asn",
            Self::Reputation => "reputation",
            Self::Rule => "rule",
            Self::Crowdsec => "crowdsec",
            Self::Offender => "offender",
            Self::Malformed => "malformed",
            Self::Bogon => "bogon",
            Self::Budget => "budget",
            Self::Fragment => "fragment",
            Self::Port => "port",
            Self::Filter => "filter",
            Self::RateSource => "rate_source",
            Self::RateNetwork => "rate_network",
            Self::RateGlobal => "rate_global",
            Self::SynCookie => "syn_cookie",
            Self::Unverified => "unverified",
            Self::Connections => "connections",
            Self::Emergency => "emergency",
        }
    }

    /// The verdict in counter slot `slot`, if there is one.
    pub const fn from_slot(slot: u8) -> Option<Self> {
        if (slot as usize) < Self::ALL.len() { Some(Self::ALL[slot as usize]) } else { None }
    }

    /// The counter slot, below [`VERDICT_SLOTS`].
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        self as u32
    }

    /// What is done to the frame when the verdict is enforced.
    #[inline(always)]
    pub const fn action(self) -> Action {
        if self as u8 <= Self::Fault as u8 { Action::Pass } else { Action::Drop }
    }
}

/// Whether a hit drops the packet or is only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Enforcement {
    /// The verdict decides.
    Enforce,
    /// The verdict is counted as "would drop" and the walk goes on.
    Observe,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_names_are_in_step_and_unique() {
        for (i, v) in Verdict::ALL.iter().enumerate() {
            assert_eq!(v.slot() as usize, i);
            assert_eq!(Verdict::from_slot(u8::try_from(v.slot()).unwrap()), Some(*v));
            assert!(Verdict::ALL.iter().filter(|o| o.name() == v.name()).count() == 1);
        }
        assert_eq!(Verdict::from_slot(27), None);
        assert!(Verdict::ALL.len() <= VERDICT_SLOTS);
    }

    #[test]
    fn exactly_the_first_six_let_through() {
        let passing = Verdict::ALL.iter().filter(|v| v.action() == Action::Pass).count();
        assert_eq!(passing, 6);
    }
}
