//! What becomes of a packet whose source nothing is said about: transport, fragments, ports, answers, limits.
use weir_common::verdict::Verdict;

use super::counted::{self, Offered};
use super::floods::{self, Dimension, Later, Limit, Scope, Who};
use super::transport::{Header, Piece, Seen, Upper};
use super::world::Policy;
use super::{Hits, IpAddr, Packet, Plant, Reference};

impl Reference {
    /// A transport header beyond what is read.
    pub(super) fn is_too_deep(&self, packet: &Packet<'_>, upper: Upper) -> bool {
        upper.piece != Piece::Later && packet.offset + upper.at > 512 && !self.planted(Plant::DeepHeaderPasses)
    }

    /// What the parts of a packet share.
    pub(super) fn fragment(&self, packet: &Packet<'_>, upper: Upper) -> u64 {
        let tells = packet.source.is_ipv4() || self.planted(Plant::ProtocolTellsIpv6Apart);
        let protocol = if tells { upper.protocol } else { 0 };
        self.counted.fragment(packet.source, packet.destination, protocol, upper.id)
    }

    /// Transport, fragments, ports, answers and types of ICMP: what drops the packet.
    pub(super) fn shape(
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
        let is_split = seen.piece == Piece::First && seen.lies && seen.header.is_none();
        if is_split && floods.goes_by_transport() && !self.planted(Plant::SplitHeaderPasses) {
            let verdict = Verdict::Malformed;
            if hits.hit(verdict, true) {
                return Some(verdict);
            }
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
    pub(super) fn rates(
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
    pub(super) fn track(&mut self, policy: &Policy, source: IpAddr) {
        if policy.tracks {
            self.counted.track(source, self.world.now_ns);
        }
    }
}
