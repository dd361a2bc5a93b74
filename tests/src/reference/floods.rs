//! What a policy holds against floods, in the plainest form: limits, and lists of what is refused.
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// Packets.
    Packets,
    /// Bytes of the frames.
    Bytes,
    /// TCP with SYN and without ACK.
    Syn,
    /// UDP.
    Udp,
    /// ICMP of either family.
    Icmp,
    /// The first packets of flows.
    New,
    /// Fragments.
    Fragments,
}

impl Dimension {
    /// Every one; the first that refuses a packet is the one it is counted under.
    pub const ALL: [Self; 7] =
        [Self::Packets, Self::Bytes, Self::Syn, Self::Udp, Self::Icmp, Self::New, Self::Fragments];

    /// What its rates are given in: bytes are counted by the 1,024.
    pub fn token(self) -> u64 {
        if self == Self::Bytes { 1_024 } else { 1 }
    }
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// A source's.
    Source,
    /// A network's.
    Network,
    /// Everything's.
    Global,
    /// A port's.
    Port,
}

/// A rate in one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Sustained, a second.
    pub per_second: u64,
    /// At once.
    pub burst: u64,
    /// A CPU's count at which a source gets exact buckets.
    pub promote_at: u64,
}

impl Rate {
    /// Time a token costs, 1/16 ns.
    pub fn cost(&self, dimension: Dimension) -> u64 {
        (16_000_000_000 * dimension.token() + self.per_second / 2) / self.per_second
    }

    /// Time the burst costs, 1/16 ns.
    pub fn window(&self, dimension: Dimension) -> u64 {
        self.cost(dimension) * self.burst / dimension.token()
    }

    /// What a token adds to a CPU's count; the whole is 2^16.
    pub fn pressure(&self, dimension: Dimension) -> u64 {
        ((1 << 16) * dimension.token()).div_ceil(self.promote_at).min(1 << 16)
    }
}

/// A limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Its rates, by dimension.
    pub rates: [Option<Rate>; 7],
    /// The count up to which a source passes while there is no room for its buckets.
    pub fallback: u64,
    /// Counted only.
    pub observe: bool,
}

impl Limit {
    /// A limit without rates, which holds nobody.
    pub fn none() -> Self {
        Self { fallback: (1 << 31) - 1, ..Self::default() }
    }

    /// With a rate in a dimension.
    pub fn with(mut self, dimension: Dimension, rate: Rate) -> Self {
        self.rates[dimension as usize] = Some(rate);
        self
    }

    /// With room for so many packets beyond which a source without buckets is refused.
    pub fn falling_back_at(mut self, count: u64) -> Self {
        self.fallback = count.min((1 << 31) - 1);
        self
    }

    /// Counted only.
    pub fn observed(mut self) -> Self {
        self.observe = true;
        self
    }

    /// Its rates and what they count.
    pub fn each(&self) -> impl Iterator<Item = (Dimension, Rate)> + '_ {
        Dimension::ALL.into_iter().filter_map(|dimension| Some((dimension, self.rates[dimension as usize]?)))
    }
}

/// A limit of its own, and whose.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The limit; `None`: everybody's.
    pub limit: Option<Limit>,
    /// Whose sources have it.
    pub of: Vec<IpNet>,
}

/// Destination ports of one protocol or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// TCP's are meant.
    pub tcp: bool,
    /// UDP's are meant.
    pub udp: bool,
    /// Which.
    pub range: RangeInclusive<u16>,
}

impl Ports {
    /// Whether a port is among them.
    pub fn names(&self, is_udp: bool, port: u16) -> bool {
        (if is_udp { self.udp } else { self.tcp }) && self.range.contains(&port)
    }
}

/// A rule for ports: the first that names one decides.
#[derive(Clone, Debug)]
pub struct PortRule {
    /// Which.
    pub ports: Ports,
    /// Refused, not let through.
    pub deny: bool,
    /// The refusal is counted only.
    pub observe: bool,
}

/// A limit of ports: the first that names one holds.
#[derive(Clone, Debug)]
pub struct PortLimit {
    /// Which.
    pub ports: Ports,
    /// Each source's, not everybody's together.
    pub per_source: bool,
    /// How much.
    pub limit: Limit,
}

/// Whether something is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Held {
    /// Nobody looks.
    #[default]
    Off,
    /// Counted only.
    Observed,
    /// Refused.
    Enforced,
}

/// What becomes of later fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Later {
    /// They pass.
    #[default]
    Pass,
    /// They pass behind a first one that passed.
    Matched,
    /// They are refused.
    Drop,
}

/// All of it; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct Floods {
    /// Each source's limit.
    pub source: Option<Limit>,
    /// Other limits in its place; of several that cover a source, the first. At most seven.
    pub profiles: Vec<Profile>,
    /// Each network's limit.
    pub network: Option<Limit>,
    /// The limit for everything.
    pub global: Option<Limit>,
    /// Limits of destination ports; at most sixteen.
    pub port_limits: Vec<PortLimit>,
    /// Rules for destination ports.
    pub port_rules: Vec<PortRule>,
    /// Transport headers that lie.
    pub transport: Held,
    /// First fragments are refused.
    pub drop_first: bool,
    /// What becomes of later ones.
    pub later: Later,
    /// What is said of fragments is counted only.
    pub observe_fragments: bool,
    /// Answers by UDP that nobody asked for.
    pub answers: Held,
    /// The source ports that make a packet an answer.
    pub answer_ports: Vec<u16>,
    /// Types of ICMP that are denied.
    pub icmp: Held,
    /// Those of IPv4.
    pub icmp_v4: Vec<u8>,
    /// Those of IPv6.
    pub icmp_v6: Vec<u8>,
}

impl Floods {
    /// Every limit there is.
    pub fn limits(&self) -> impl Iterator<Item = &Limit> {
        let profiles = self.profiles.iter().filter_map(|profile| profile.limit.as_ref());
        let ports = self.port_limits.iter().map(|port| &port.limit);
        self.source.iter().chain(&self.network).chain(&self.global).chain(profiles).chain(ports)
    }

    /// Whether some limit counts this.
    pub fn counts(&self, dimension: Dimension) -> bool {
        self.limits().any(|limit| limit.rates[dimension as usize].is_some())
    }

    /// Whether anything is asked of what stands behind the network header.
    pub fn asks_transport(&self) -> bool {
        const BEHIND: [Dimension; 5] =
            [Dimension::Syn, Dimension::Udp, Dimension::Icmp, Dimension::New, Dimension::Fragments];
        [self.transport, self.answers, self.icmp].iter().any(|held| *held != Held::Off)
            || self.drop_first
            || self.later != Later::Pass
            || !self.port_rules.is_empty()
            || !self.port_limits.is_empty()
            || BEHIND.into_iter().any(|dimension| self.counts(dimension))
    }

    /// Whether what a packet is dropped for may stand in its transport header.
    pub fn goes_by_transport(&self) -> bool {
        const READ: [Dimension; 4] = [Dimension::Syn, Dimension::Udp, Dimension::Icmp, Dimension::New];
        let reads = |limit: &Limit| !limit.observe && READ.iter().any(|one| limit.rates[*one as usize].is_some());
        self.answers == Held::Enforced
            || self.icmp == Held::Enforced && !(self.icmp_v4.is_empty() && self.icmp_v6.is_empty())
            || self.port_rules.iter().any(|rule| rule.deny && !rule.observe)
            || self.port_limits.iter().any(|port| !port.limit.observe)
            || self.limits().any(reads)
    }

    /// Which limit a source has: 0 is everybody's, then the profiles'.
    pub fn profile_of(&self, covers: impl Fn(&IpNet) -> bool) -> usize {
        self.profiles.iter().position(|profile| profile.of.iter().any(&covers)).map_or(0, |at| at + 1)
    }

    /// The limit with a number.
    pub fn limit_of(&self, profile: usize) -> Option<Limit> {
        let own = profile.checked_sub(1).and_then(|at| self.profiles[at].limit);
        own.or(self.source)
    }
}

/// A local socket, as far as one sender and one destination go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Who sends.
    pub from: SocketAddr,
    /// Where to.
    pub to: SocketAddr,
    /// What waits there.
    pub who: Who,
}

/// What waits for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A socket connected to the sender.
    ThisSender,
    /// A socket connected to nobody, on a port that it got by itself.
    AnAsker,
    /// A socket connected to nobody, on a port of its choice.
    AService,
}

/// Who waits for UDP from one place to another.
pub fn waiting(sockets: &[Waiting], from: (IpAddr, u16), to: (IpAddr, u16)) -> Option<Who> {
    let is_it = |socket: &&Waiting| socket.from == SocketAddr::from(from) && socket.to == SocketAddr::from(to);
    sockets.iter().find(is_it).map(|socket| socket.who)
}
