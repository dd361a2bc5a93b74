//! A second opinion: what the design says about a packet, written apart from the verdict code.
//!
//! It is slow and plain on purpose. Policy is a list of decisions that is searched from end to end, headers are slices,
//! buckets are levels that drain. It shares no function with `weir_common`, only the names of verdicts.
use std::net::IpAddr;

use ipnet::IpNet;
use weir_common::verdict::{Action, Verdict};

mod counted;
pub mod floods;
mod headers;
mod held;
mod plant;
mod transport;
pub mod world;

use counted::{Bucket, Counted};
use floods::{Dimension, Held, Later, Scope};
use headers::{Headers, Link, Packet, ipv6, link};
pub use plant::Plant;
use transport::{Piece, Seen};
use world::{Act, Decision, Live, Policy, World};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    /// What decided.
    pub verdict: Verdict,
    /// What would have dropped it.
    pub observed: Option<Verdict>,
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

    /// Packets over limits, whichever and whatever became of them; one that is over two counts twice.
    pub fn refusals(&self) -> u64 {
        self.refused().map(|(.., packets, _)| packets).sum()
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

    /// The strongest decision that is carried out, and the strongest that is only counted, if it is stronger still.
    fn strongest(&self, policy: &Policy, source: IpAddr) -> (Option<Decision>, Option<Decision>) {
        let covers = |prefix: &IpNet| prefix.contains(&source);
        let lifted = |decision: &Decision| {
            let gone = self.world.overlay.contains(&Live::Lift(source, decision.rank));
            gone && !self.world.unlifted[self.slot()]
                && is_single(decision.prefix)
                && !self.planted(Plant::LiftIsIgnored)
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
}

fn is_single(prefix: IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
}
