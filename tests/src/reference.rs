//! A second opinion: what the design says about a packet, written apart from the verdict code.
//!
//! It is slow and plain on purpose. Policy is a list of decisions that is searched from end to end, headers are slices,
//! buckets are levels that drain. It shares no function with `weir_common`, only the names of verdicts.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use weir_common::verdict::{Action, Verdict};

mod counted;
pub mod floods;
mod plant;
mod transport;
pub mod world;

use counted::{Bucket, Counted, Offered};
use floods::{Dimension, Held, Later, Limit, Scope, Who};
pub use plant::Plant;
use transport::{Header, Piece, Seen, Upper};
use world::{Act, Decision, Live, Policy, World};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    /// What decided.
    pub verdict: Verdict,
    /// What would have dropped it.
    pub observed: Option<Verdict>,
}

/// A network header that told no lies.
struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    next: u8,
    hops: u8,
    /// Offset of what follows the header.
    offset: usize,
    /// What follows, to the packet's own end.
    body: &'a [u8],
    /// Which part of an IPv4 packet it is.
    piece: Piece,
    /// The number that the parts of an IPv4 packet share.
    id: u32,
}

/// What spoke against a packet so far.
struct Hits {
    observe_all: bool,
    observed: Option<Verdict>,
}

impl Hits {
    /// True if the hit drops the packet; else the first is what would have.
    fn hit(&mut self, verdict: Verdict, enforced: bool) -> bool {
        if enforced && !self.observe_all {
            return true;
        }
        self.observed.get_or_insert(verdict);
        false
    }

    /// The same for what may not be looked at; nothing where it lets pass.
    fn held(&mut self, verdict: Verdict, held: Held) -> Option<Verdict> {
        (held != Held::Off && self.hit(verdict, held == Held::Enforced)).then_some(verdict)
    }
}

/// The judge.
#[derive(Clone, Debug)]
pub struct Reference {
    /// What it judges by.
    pub world: World,
    /// A rule that is wrong on purpose.
    pub plant: Option<Plant>,
    /// Buckets that there is room for.
    pub bucket_room: usize,
    essential: Bucket,
    counted: Counted,
}

impl Reference {
    /// Judges by `world`, nothing counted so far; `seed` keys the hashes.
    pub fn new(world: World, bucket_room: usize, seed: u64) -> Self {
        Self { world, plant: None, bucket_room, essential: Bucket::default(), counted: Counted::new(seed) }
    }

    /// Packets and bytes over limits: by the limit, the dimension, and whether they were dropped.
    pub fn refused(&self) -> impl Iterator<Item = (Scope, Dimension, bool, u64, u64)> + '_ {
        let refused = self.counted.refused.iter();
        refused.map(|((scope, dimension, dropped), (packets, bytes))| (*scope, *dimension, *dropped, *packets, *bytes))
    }

    fn planted(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// Judges a frame.
    pub fn judge(&mut self, frame: &[u8]) -> Outcome {
        let mut hits = Hits { observe_all: false, observed: None };
        let verdict = self.decide(frame, &mut hits);
        let mut observed = hits.observed;
        if verdict.action() == Action::Drop || self.planted(Plant::ObservedIsForgotten) {
            observed = None;
        }
        Outcome { verdict, observed }
    }

    /// The slot a packet is judged by.
    fn slot(&self) -> usize {
        match self.world.confirm {
            Some(confirm) if self.world.now_s >= confirm.deadline_s => confirm.fallback,
            _ => self.world.in_force,
        }
    }

    fn decide(&mut self, frame: &[u8], hits: &mut Hits) -> Verdict {
        // 1. Link layer.
        let tags = if self.planted(Plant::FifthTag) { 5 } else { 4 };
        let link = link(frame, tags);
        if matches!(link, Link::Other) {
            return Verdict::NotIp;
        }
        // 2. Bypass.
        if self.world.bypass {
            return Verdict::Bypassed;
        }
        let slot = self.slot();
        let policy = self.world.slots[slot].clone();
        hits.observe_all = policy.observe_all;
        // 3. Network header and shape.
        let packet = match link {
            Link::TooManyTags => {
                let drops = !policy.budget_passes && hits.hit(Verdict::Budget, true);
                return if drops { Verdict::Budget } else { Verdict::Pass };
            }
            Link::V4(offset) => self.ipv4(frame, offset),
            Link::V6(offset) => ipv6(frame, offset),
            Link::Cut | Link::Other => None,
        };
        let Some(packet) = packet else {
            return if hits.hit(Verdict::Malformed, true) { Verdict::Malformed } else { Verdict::Pass };
        };
        let bogon = self.is_bogon(&packet);
        // 4. Essential link traffic, at most 500 a second.
        if (!bogon || packet.source.is_unspecified()) && self.is_essential(&packet) {
            let cost = 16_000_000_000 / 500;
            if self.essential.take(self.world.now_ns * 16, cost, cost * 500) {
                return Verdict::Essential;
            }
        }
        if bogon && hits.hit(Verdict::Bogon, true) {
            return Verdict::Bogon;
        }
        // 5. Source class.
        if policy.torn.contains(&packet.source) {
            return Verdict::Fault;
        }
        let (enforced, only_observed) = self.strongest(&policy, packet.source);
        if let Some(Decision { act: Act::Deny(verdict), .. }) = only_observed {
            hits.hit(verdict, false);
        }
        match enforced.map(|decision| decision.act) {
            Some(Act::Allow) => {
                self.track(&policy, packet.source);
                return Verdict::Allowed;
            }
            Some(Act::Deny(verdict)) if hits.hit(verdict, true) => {
                self.track(&policy, packet.source);
                return verdict;
            }
            Some(Act::Deny(_)) | None => {}
        }
        // 6. Extension headers and transport.
        let asks = policy.floods.asks_transport();
        let mut seen = Seen::nothing();
        let mut fragment = None;
        let (verdict, drops) = match self.headers(&packet) {
            Headers::Fine(upper) if asks && self.is_too_deep(&packet, upper) => {
                (Verdict::Budget, !policy.budget_passes && hits.hit(Verdict::Budget, true))
            }
            Headers::Fine(upper) => {
                if asks {
                    seen = Seen::of(packet.body, upper, self.plant);
                    fragment = Some(self.fragment(&packet, upper));
                }
                (Verdict::Pass, false)
            }
            Headers::Lie => (Verdict::Malformed, hits.hit(Verdict::Malformed, true)),
            Headers::TooMany => (Verdict::Budget, !policy.budget_passes && hits.hit(Verdict::Budget, true)),
        };
        let drop = if drops { Some(verdict) } else { self.shape(&policy, &packet, &seen, fragment, hits) };
        if let Some(verdict) = drop {
            self.track(&policy, packet.source);
            if self.planted(Plant::RefusedFirstIsRemembered) && seen.piece == Piece::First {
                self.counted.remember(fragment.unwrap_or(0), self.world.now_ns);
            }
            return verdict;
        }
        // 7. Rates.
        if let Some(verdict) = self.rates(&policy, &packet, &seen, frame.len(), hits) {
            return verdict;
        }
        if seen.piece == Piece::First && policy.floods.later == Later::Matched {
            self.counted.remember(fragment.unwrap_or(0), self.world.now_ns);
        }
        Verdict::Pass
    }

    /// A transport header beyond what is read.
    fn is_too_deep(&self, packet: &Packet<'_>, upper: Upper) -> bool {
        upper.piece != Piece::Later && packet.offset + upper.at > 512 && !self.planted(Plant::DeepHeaderPasses)
    }

    /// What the parts of a packet share.
    fn fragment(&self, packet: &Packet<'_>, upper: Upper) -> u64 {
        let tells = packet.source.is_ipv4() || self.planted(Plant::ProtocolTellsIpv6Apart);
        let protocol = if tells { upper.protocol } else { 0 };
        self.counted.fragment(packet.source, packet.destination, protocol, upper.id)
    }

    /// Transport, fragments, ports, answers and types of ICMP: what drops the packet.
    fn shape(
        &mut self,
        policy: &Policy,
        packet: &Packet<'_>,
        seen: &Seen,
        fragment: Option<u64>,
        hits: &mut Hits,
    ) -> Option<Verdict> {
        let floods = &policy.floods;
        if seen.lies
            && let Some(verdict) = hits.held(Verdict::Malformed, floods.transport)
        {
            return Some(verdict);
        }
        let skips_first = packet.source.is_ipv6() && self.planted(Plant::FirstOfIpv6Passes);
        let refused = match (seen.piece, floods.later) {
            (Piece::Whole, _) | (Piece::Later, Later::Pass) => false,
            (Piece::First, _) => floods.drop_first && !skips_first,
            (Piece::Later, Later::Drop) => true,
            (Piece::Later, Later::Matched) => {
                !self.counted.remembers(fragment.unwrap_or(0), self.world.now_ns, self.plant)
            }
        };
        if refused && hits.hit(Verdict::Fragment, !floods.observe_fragments) {
            return Some(Verdict::Fragment);
        }
        let (is_udp, from, to) = match seen.header? {
            Header::Tcp(ports) => (false, ports.0, ports.1),
            Header::Udp(ports) => (true, ports.0, ports.1),
            Header::Icmp(kind, is_v6) => {
                let is_listed = match (packet.source.is_ipv6(), is_v6) {
                    (true, true) if self.planted(Plant::OtherFamilysIcmp) => floods.icmp_v4.contains(&kind),
                    (true, true) => floods.icmp_v6.contains(&kind),
                    (false, false) => floods.icmp_v4.contains(&kind),
                    // The other family's protocol means nothing.
                    (true, false) | (false, true) => false,
                };
                return if is_listed { hits.held(Verdict::Port, floods.icmp) } else { None };
            }
        };
        let mut rules = floods.port_rules.iter().filter(|rule| rule.ports.names(is_udp, to));
        let rule = if self.planted(Plant::PortOrderReversed) { rules.next_back() } else { rules.next() };
        if rule.is_some_and(|rule| rule.deny && hits.hit(Verdict::Port, !rule.observe)) {
            return Some(Verdict::Port);
        }
        if is_udp && floods.answer_ports.contains(&from) && !self.planted(Plant::AnswerPasses) {
            let who = floods::waiting(&self.world.sockets, (packet.source, from), (packet.destination, to));
            return match who {
                Some(Who::ThisSender | Who::AnAsker) => None,
                Some(Who::AService) | None => hits.held(Verdict::Port, floods.answers),
            };
        }
        None
    }

    /// The source's limit, its network's, the port's, everything's: the verdict of the first that drops the packet. What
    /// is refused by one takes nothing of the next.
    fn rates(
        &mut self,
        policy: &Policy,
        packet: &Packet<'_>,
        seen: &Seen,
        len: usize,
        hits: &mut Hits,
    ) -> Option<Verdict> {
        let (floods, source) = (&policy.floods, packet.source);
        let now_ns = self.world.now_ns;
        let mut offered = Offered { counts: seen.counts, bytes: u64::try_from(len).unwrap_or(u64::MAX), now_ns };
        let mut new = None;
        let flow = match seen.header {
            Some(Header::Tcp(ports)) => Some(self.counted.flow(source, ports, 6)),
            Some(Header::Udp(ports)) => Some(self.counted.flow(source, ports, 17)),
            Some(Header::Icmp(..)) | None => None,
        };
        if let Some(flow) = flow.filter(|_| seen.may_be_new && floods.counts(Dimension::New))
            && !self.counted.knows(flow, now_ns, self.plant)
        {
            offered.counts[Dimension::New as usize] = true;
            new = Some(flow);
        }
        let known = |this: &mut Self| {
            if let Some(flow) = new.filter(|_| !this.planted(Plant::NewIsForgotten)) {
                this.counted.know(flow);
            }
        };
        let profile = floods.profile_of(|prefix| prefix.contains(&source) && !self.planted(Plant::ProfileIsIgnored));
        match floods.limit_of(profile).filter(|limit| offered.concerns(limit)) {
            None => self.track(policy, source),
            Some(limit) => {
                let over = self.counted.over_source(&limit, &offered, source, self.bucket_room, self.plant);
                if self.is_dropped(&limit, Scope::Source, over, Verdict::RateSource, &offered, hits) {
                    if let Some(network) = floods.network.filter(|_| self.planted(Plant::NetworkChargedForRefused)) {
                        let whose = (counted::network(source, self.plant), 1);
                        self.counted.over_line(&network, &offered, whose, self.bucket_room, self.plant);
                    }
                    if self.planted(Plant::RefusedFlowIsKnown) {
                        known(self);
                    }
                    return Some(Verdict::RateSource);
                }
            }
        }
        if let Some(limit) = floods.network.filter(|limit| offered.concerns(limit)) {
            let whose = (counted::network(source, self.plant), 1);
            let over = self.counted.over_line(&limit, &offered, whose, self.bucket_room, self.plant);
            if self.is_dropped(&limit, Scope::Network, over, Verdict::RateNetwork, &offered, hits) {
                return Some(Verdict::RateNetwork);
            }
        }
        let port = match seen.header {
            Some(Header::Tcp((_, to))) => Some((false, to)),
            Some(Header::Udp((_, to))) => Some((true, to)),
            Some(Header::Icmp(..)) | None => None,
        };
        let of_port = |this: &mut Self, hits: &mut Hits| {
            let (is_udp, to) = port?;
            let at = floods.port_limits.iter().position(|limit| limit.ports.names(is_udp, to))?;
            let port = &floods.port_limits[at];
            if !offered.concerns(&port.limit) {
                return None;
            }
            let is_source = port.per_source && !this.planted(Plant::PortLimitIsShared);
            let over = if is_source {
                let scope = 3 + 256 * u64::try_from(at).unwrap_or(0);
                let whose = (counted::key(source), scope);
                this.counted.over_line(&port.limit, &offered, whose, this.bucket_room, this.plant)
            } else {
                this.counted.over_shared(&port.limit, &offered, at + 1, this.plant)
            };
            let verdict = if port.per_source { Verdict::RateSource } else { Verdict::RateGlobal };
            this.is_dropped(&port.limit, Scope::Port, over, verdict, &offered, hits).then_some(verdict)
        };
        let of_all = |this: &mut Self, hits: &mut Hits| {
            let limit = floods.global.filter(|limit| offered.concerns(limit))?;
            let over = this.counted.over_shared(&limit, &offered, 0, this.plant);
            let verdict = Verdict::RateGlobal;
            this.is_dropped(&limit, Scope::Global, over, verdict, &offered, hits).then_some(verdict)
        };
        let over = if self.planted(Plant::GlobalBeforePort) {
            of_all(self, hits).or_else(|| of_port(self, hits))
        } else {
            of_port(self, hits).or_else(|| of_all(self, hits))
        };
        if over.is_none() {
            known(self);
        }
        over
    }

    /// Counts a packet that is over a limit, and says whether that drops it.
    fn is_dropped(
        &mut self,
        limit: &Limit,
        scope: Scope,
        over: Option<Dimension>,
        verdict: Verdict,
        offered: &Offered,
        hits: &mut Hits,
    ) -> bool {
        let Some(dimension) = over else { return false };
        let dropped = hits.hit(verdict, !limit.observe);
        let (packets, bytes) = self.counted.refused.entry((scope, dimension, dropped)).or_default();
        *packets += 1;
        *bytes += offered.bytes;
        dropped
    }

    /// Counts a packet of the source, in place of the coldest of three if it is new.
    fn track(&mut self, policy: &Policy, source: IpAddr) {
        if policy.tracks {
            self.counted.track(source, self.world.now_ns);
        }
    }

    /// The strongest decision that is carried out, and the strongest that is only counted, if it is stronger still.
    fn strongest(&self, policy: &Policy, source: IpAddr) -> (Option<Decision>, Option<Decision>) {
        let covers = |prefix: &IpNet| prefix.contains(&source);
        let lifted = |decision: &Decision| {
            let gone = self.world.overlay.contains(&Live::Lift(source, decision.rank));
            gone && is_single(decision.prefix) && !self.planted(Plant::LiftIsIgnored)
        };
        let added = self.world.overlay.iter().filter_map(|live| match live {
            Live::Add(decision) => Some(*decision),
            Live::Lift(..) => None,
        });
        let protected = policy.protected.iter().any(covers);
        let never_block = policy.never_block.iter().any(covers);
        let now_s = self.world.now_s - u64::from(self.planted(Plant::EndsTooLate));
        let mut live: Vec<Decision> = policy.decisions.iter().filter(|d| !lifted(d)).copied().chain(added).collect();
        live.retain(|decision| {
            let forced = decision.forced && !self.planted(Plant::ForceIsIgnored);
            let decision = Decision { forced, ..*decision };
            covers(&decision.prefix) && decision.is_live(now_s) && decision.stands(protected, never_block)
        });
        // Within an origin the longest prefix decides.
        live.sort_by_key(|decision| (decision.rank, u8::MAX - decision.prefix.prefix_len()));
        if self.planted(Plant::WeakestDecides) {
            live.reverse();
        }
        let enforced = live.iter().find(|decision| !decision.observe).copied();
        let observed = live.iter().find(|decision| decision.observe && decision.act != Act::Allow).copied();
        let stronger = observed.filter(|o| enforced.is_none_or(|e| o.rank < e.rank));
        (enforced, stronger)
    }

    fn ipv4<'a>(&self, frame: &'a [u8], offset: usize) -> Option<Packet<'a>> {
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

    /// A source that cannot be one.
    fn is_bogon(&self, packet: &Packet<'_>) -> bool {
        let land = packet.source == packet.destination && !self.planted(Plant::LandPasses);
        land || match packet.source {
            IpAddr::V4(a) => a.octets()[0] == 0 || a.is_loopback() || a.is_multicast() || a.is_broadcast(),
            IpAddr::V6(a) => a.is_unspecified() || a.is_loopback() || a.is_multicast() || a.to_ipv4_mapped().is_some(),
        }
    }

    /// Link traffic without which the link dies.
    fn is_essential(&self, packet: &Packet<'_>) -> bool {
        let on_link = match packet.source {
            IpAddr::V4(_) => false,
            IpAddr::V6(a) => a.is_unspecified() || a.is_unicast_link_local(),
        };
        let both_ports = |a: u16, b: u16| match packet.body {
            [s0, s1, d0, d1, _, _, _, _, ..] => {
                let ports = [u16::from_be_bytes([*s0, *s1]), u16::from_be_bytes([*d0, *d1])];
                ports.iter().all(|port| *port == a || *port == b)
            }
            _ => false,
        };
        match (packet.destination, packet.next) {
            (IpAddr::V4(group), 2) => packet.hops == 1 && group.is_multicast() && packet.piece == Piece::Whole,
            (IpAddr::V4(to), 17) => {
                (packet.source.is_unspecified() || to.is_broadcast())
                    && packet.piece == Piece::Whole
                    && both_ports(67, 68)
            }
            (IpAddr::V6(_), 17) => on_link && both_ports(546, 547),
            (IpAddr::V6(_), 58) => {
                let near = packet.hops == 255 || self.planted(Plant::NeighboursFromAfar);
                near && matches!(packet.body, [133..=137, 0, ..])
            }
            (IpAddr::V6(_), 0) => {
                // One hop-by-hop header of eight bytes, then MLD.
                let listener = matches!(packet.body.get(8..), Some([130..=132 | 143, 0, ..]));
                on_link && packet.hops == 1 && matches!(packet.body, [58, 0, ..]) && listener
            }
            _ => false,
        }
    }

    /// Walks IPv6 extension headers; IPv4 has none.
    fn headers(&self, packet: &Packet<'_>) -> Headers {
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

/// What stands behind the network header.
enum Headers {
    /// Nothing wrong: this follows.
    Fine(Upper),
    /// A header reaches past the packet's end.
    Lie,
    /// More headers, or deeper ones, than are read.
    TooMany,
}

/// What the link layer carries, and where it starts.
enum Link {
    V4(usize),
    V6(usize),
    Other,
    Cut,
    TooManyTags,
}

fn link(frame: &[u8], most_tags: usize) -> Link {
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

fn ipv6(frame: &[u8], offset: usize) -> Option<Packet<'_>> {
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

fn is_single(prefix: IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
}
