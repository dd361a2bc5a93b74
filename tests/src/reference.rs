//! A second opinion: what the design says about a packet, written apart from the verdict code.
//!
//! It is slow and plain on purpose. Policy is a list of decisions that is searched from end to end, headers are slices,
//! buckets are levels that drain. It shares no function with `weir_common`, only the names of verdicts.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use weir_common::verdict::{Action, Verdict};

pub mod world;

use world::{Act, Decision, Limit, Live, Policy, World};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    /// What decided.
    pub verdict: Verdict,
    /// What would have dropped it.
    pub observed: Option<Verdict>,
}

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
}

impl Plant {
    /// Every one.
    pub const ALL: [Self; 12] = [
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
    ];
}

/// A bucket: what is in it drains with time, and a packet must fit on top.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    level: u64,
    at: u64,
}

impl Bucket {
    fn drain(&mut self, now: u64) {
        self.level = self.level.saturating_sub(now.saturating_sub(self.at));
        self.at = now;
    }

    fn take(&mut self, now: u64, cost: u64, window: u64) -> bool {
        self.drain(now);
        if self.level + cost > window {
            return false;
        }
        self.level += cost;
        true
    }
}

/// A tracked source.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    key: u64,
    heat: u32,
    own: u64,
    promoted: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Set {
    epoch: u64,
    ways: [Way; 3],
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
    fragment: bool,
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
    /// Keys the hash of tracked sources.
    pub seed: u64,
    essential: Bucket,
    sets: BTreeMap<u64, Set>,
    buckets: BTreeMap<u64, Bucket>,
}

impl Reference {
    /// Judges by `world`, nothing counted so far.
    pub fn new(world: World, bucket_room: usize, seed: u64) -> Self {
        Self {
            world,
            plant: None,
            bucket_room,
            seed,
            essential: Bucket::default(),
            sets: BTreeMap::new(),
            buckets: BTreeMap::new(),
        }
    }

    fn planted(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    /// Judges a frame.
    pub fn judge(&mut self, frame: &[u8]) -> Outcome {
        let mut observed = None;
        let verdict = self.decide(frame, &mut observed);
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

    fn decide(&mut self, frame: &[u8], observed: &mut Option<Verdict>) -> Verdict {
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
        // True if the hit drops the packet.
        let hit = |verdict: Verdict, enforced: bool, observed: &mut Option<Verdict>| {
            if enforced && !policy.observe_all {
                return true;
            }
            observed.get_or_insert(verdict);
            false
        };
        // 3. Network header and shape.
        let packet = match link {
            Link::TooManyTags => {
                let drops = !policy.budget_passes && hit(Verdict::Budget, true, observed);
                return if drops { Verdict::Budget } else { Verdict::Pass };
            }
            Link::V4(offset) => self.ipv4(frame, offset),
            Link::V6(offset) => ipv6(frame, offset),
            Link::Cut | Link::Other => None,
        };
        let Some(packet) = packet else {
            return if hit(Verdict::Malformed, true, observed) { Verdict::Malformed } else { Verdict::Pass };
        };
        let bogon = self.is_bogon(&packet);
        // 4. Essential link traffic, at most 500 a second.
        if (!bogon || packet.source.is_unspecified()) && self.is_essential(&packet) {
            let cost = 16_000_000_000 / 500;
            if self.essential.take(self.world.now_ns * 16, cost, cost * 500) {
                return Verdict::Essential;
            }
        }
        if bogon && hit(Verdict::Bogon, true, observed) {
            return Verdict::Bogon;
        }
        // 5. Source class.
        if policy.torn.contains(&packet.source) {
            return Verdict::Fault;
        }
        let (enforced, only_observed) = self.strongest(&policy, packet.source);
        if let Some(Decision { act: Act::Deny(verdict), .. }) = only_observed {
            hit(verdict, false, observed);
        }
        match enforced.map(|decision| decision.act) {
            Some(Act::Allow) => {
                self.track(&policy, packet.source);
                return Verdict::Allowed;
            }
            Some(Act::Deny(verdict)) if hit(verdict, true, observed) => {
                self.track(&policy, packet.source);
                return verdict;
            }
            Some(Act::Deny(_)) | None => {}
        }
        // 6. Extension headers.
        match self.headers(&packet) {
            Headers::Fine => {}
            Headers::Lie => {
                if hit(Verdict::Malformed, true, observed) {
                    self.track(&policy, packet.source);
                    return Verdict::Malformed;
                }
            }
            Headers::TooMany => {
                if !policy.budget_passes && hit(Verdict::Budget, true, observed) {
                    self.track(&policy, packet.source);
                    return Verdict::Budget;
                }
            }
        }
        // 7. Rates.
        let is_limited = policy.limited.iter().any(|prefix| prefix.contains(&packet.source));
        let Some(limit) = policy.tight.filter(|_| is_limited).or(policy.limit) else {
            self.track(&policy, packet.source);
            return Verdict::Pass;
        };
        let way = self.touch(packet.source, limit.pressure());
        if self.is_over(&limit, packet.source, way) && hit(Verdict::RateSource, !limit.observe, observed) {
            return Verdict::RateSource;
        }
        Verdict::Pass
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
            fragment: start != 0 || fragment & 0x2000 != 0,
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
            (IpAddr::V4(group), 2) => packet.hops == 1 && group.is_multicast() && !packet.fragment,
            (IpAddr::V4(to), 17) => {
                (packet.source.is_unspecified() || to.is_broadcast()) && !packet.fragment && both_ports(67, 68)
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
            return Headers::Fine;
        }
        let most = if self.planted(Plant::NinthHeader) { 9 } else { 8 };
        let mut next = packet.next;
        let mut at = 0;
        let mut walked = 0;
        while [0, 43, 44, 51, 60, 135, 139, 140].contains(&next) {
            if walked == most || packet.offset + at > 512 {
                return Headers::TooMany;
            }
            let Some([following, len_field, high, low, ..]) = packet.body.get(at..) else { return Headers::Lie };
            let len = match next {
                44 => 8,
                51 if !self.planted(Plant::AuthenticationInEights) => (usize::from(*len_field) + 2) * 4,
                _ => (usize::from(*len_field) + 1) * 8,
            };
            if at + len > packet.body.len() {
                return Headers::Lie;
            }
            if next == 44 && u16::from_be_bytes([*high, *low]) >> 3 != 0 {
                // A later fragment: what follows is no header.
                return Headers::Fine;
            }
            next = *following;
            at += len;
            walked += 1;
        }
        Headers::Fine
    }

    /// Counts a packet of the source, in place of the coldest of three if it is new.
    fn track(&mut self, policy: &Policy, source: IpAddr) {
        if policy.tracks {
            self.touch(source, 0);
        }
    }

    fn touch(&mut self, source: IpAddr, pressure: u64) -> Way {
        let (key, index) = (key(source), self.set_of(source));
        let epoch = self.world.now_ns >> 30;
        let set = self.sets.entry(index).or_default();
        for _ in 0..(epoch - set.epoch).min(31) {
            for way in &mut set.ways {
                way.heat /= 2;
                way.own /= 2;
            }
        }
        set.epoch = epoch;
        let known = set.ways.iter().position(|way| way.key == key);
        let coldest = (0..3).min_by_key(|way| set.ways[*way].heat).unwrap_or(0);
        let way = &mut set.ways[known.unwrap_or(coldest)];
        if known.is_none() {
            *way = Way { key, heat: way.heat, own: 0, promoted: false };
        }
        way.heat += 1;
        way.own = (way.own + pressure).min((1 << 31) - 1);
        *way
    }

    fn set_of(&self, source: IpAddr) -> u64 {
        // The set is the hash's lower 13 of its upper 32 bits.
        let mut hash = (key(source) ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(self.seed | 1);
        (hash >> 32) % 8192
    }

    /// Whether the packet, already counted, is over the source's limit.
    fn is_over(&mut self, limit: &Limit, source: IpAddr, way: Way) -> bool {
        if !way.promoted && way.own < 1 << 20 {
            return false;
        }
        let key = key(source);
        let now = self.world.now_ns * 16;
        if !self.buckets.contains_key(&key) && self.buckets.len() >= self.bucket_room {
            return way.own > limit.fallback_pressure();
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket { level: 0, at: now });
        bucket.drain(now);
        if !way.promoted {
            // What this CPU counted before goes along, at most the whole burst.
            let earlier = ((way.own - limit.pressure()) / limit.pressure()).min(1 << 20);
            bucket.level += (earlier * limit.cost()).min(limit.window());
        }
        let more = if self.plant == Some(Plant::OneMorePacket) { limit.cost() } else { 0 };
        let over = !bucket.take(now, limit.cost(), limit.window() + more);
        let index = self.set_of(source);
        if let Some(set) = self.sets.get_mut(&index) {
            for way in set.ways.iter_mut().filter(|way| way.key == key) {
                way.promoted = true;
            }
        }
        over
    }
}

/// What stands behind the network header.
enum Headers {
    /// Nothing wrong.
    Fine,
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
        fragment: false,
    })
}

fn is_single(prefix: IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
}

/// What a source's rate is counted by: an IPv4 address, or an IPv6 /64.
fn key(source: IpAddr) -> u64 {
    match source {
        IpAddr::V4(a) => 0xffff_ffff << 32 | u64::from(u32::from(a)),
        IpAddr::V6(a) => u64::try_from(u128::from(a) >> 64).unwrap_or(0),
    }
}
