//! The floods, frame by frame: without end, and the same for the same seed.
mod tcp;
mod udp;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::frame::{self, Ends, Link, Part, flag, protocol};
use super::random::Random;
use super::scenario::Scenario;

/// Who is flooded, and who must not be named as a source.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// From whose interface to whose.
    pub link: Link,
    /// The flooded address.
    pub v4: Ipv4Addr,
    /// The flooded address.
    pub v6: Ipv6Addr,
    /// The web server's port.
    pub web: u16,
}

/// The one source of [`Scenario::Loud`], and of half of [`Scenario::Icmp`].
pub const LOUD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);
/// The network of [`Scenario::Network`].
pub const NETWORK: [u8; 3] = [198, 51, 101];
/// The first of the sources of [`Scenario::Slow`], which are one after the other.
pub const SLOW: Ipv4Addr = Ipv4Addr::new(198, 18, 64, 0);
/// How many sources [`Scenario::Slow`] has.
pub const SLOW_SOURCES: u32 = 4_000;

/// A flood's frames.
#[derive(Debug)]
pub struct Flood {
    target: Target,
    parts: &'static [Scenario],
    turn: usize,
    random: Random,
    /// How many times each kind that counts its sources was asked.
    count: u32,
    made: VecDeque<Vec<u8>>,
}

impl Flood {
    /// The frames of a drill.
    pub fn new(scenario: Scenario, target: Target, seed: u64) -> Self {
        let random = Random::new(seed);
        Self { target, parts: scenario.parts(), turn: 0, random, count: 0, made: VecDeque::new() }
    }

    fn make(&mut self) {
        let Some(part) = self.parts.get(self.turn % self.parts.len().max(1)).copied() else { return };
        self.turn = self.turn.wrapping_add(1);
        self.count = self.count.wrapping_add(1);
        match part {
            Scenario::Syn => self.syn(),
            Scenario::Udp => self.udp(),
            Scenario::Amplification => self.amplification(),
            Scenario::Fragments => self.fragments(),
            Scenario::Icmp => self.icmp(),
            Scenario::Ack => self.ack(),
            Scenario::Loud => self.datagram(LOUD, 64),
            Scenario::Slow => self.slow(),
            Scenario::Network => self.network(),
            // Made of the others.
            Scenario::Mixed => {}
        }
    }

    /// A source anybody could forge: none of the honest's network.
    fn forged_v4(&mut self) -> Ipv4Addr {
        loop {
            let address = public_v4(&mut self.random);
            if !same_network(address, self.target.v4) {
                return address;
            }
        }
    }

    /// One of IPv6.
    fn forged_v6(&mut self) -> Ipv6Addr {
        loop {
            let address = public_v6(&mut self.random);
            if address.to_bits() >> 64 != self.target.v6.to_bits() >> 64 {
                return address;
            }
        }
    }

    /// Three of four of IPv4, one of IPv6.
    fn forged(&mut self) -> Ends {
        if self.random.below(4) == 0 {
            Ends::V6 { from: self.forged_v6(), to: self.target.v6 }
        } else {
            Ends::V4 { from: self.forged_v4(), to: self.target.v4 }
        }
    }

    fn one_v4(&self, from: Ipv4Addr) -> Ends {
        Ends::V4 { from, to: self.target.v4 }
    }

    /// A port as a client's system chooses them.
    fn client_port(&mut self) -> u16 {
        1_024 + u16::try_from(self.random.below(64_511)).unwrap_or_default()
    }

    fn push(&mut self, ends: &Ends, protocol: u8, segment: &[u8]) {
        let id = self.random.half();
        self.made.push_back(frame::packet(&self.target.link, ends, protocol, id, segment));
    }

    fn push_fragment(&mut self, ends: &Ends, part: Part, piece: &[u8]) {
        self.made.push_back(frame::fragment(&self.target.link, ends, protocol::UDP, part, piece));
    }

    /// The five ways fragments go wrong, in turn.
    fn fragments(&mut self) {
        let ends = self.forged();
        let id = self.random.half();
        let part = |offset, more| Part { id, offset, more };
        let datagram = frame::udp(&ends, self.client_port(), self.random.half(), &[0x5a; 1_400]);
        let piece = |from: usize, to: usize| datagram.get(from..to).unwrap_or_default().to_vec();
        match self.random.below(5) {
            // A first one that nothing follows: memory is kept for it.
            0 => self.push_fragment(&ends, part(0, true), &piece(0, 1_208)),
            // A first one too short to hold the ports.
            1 => self.push_fragment(&ends, part(0, true), &piece(0, 8)),
            // A later one without its first.
            2 => self.push_fragment(&ends, part(1_208, false), &piece(1_208, 1_408)),
            // Two that lie over each other.
            3 => {
                self.push_fragment(&ends, part(0, true), &piece(0, 800));
                self.push_fragment(&ends, part(400, true), &piece(0, 800));
            }
            // One that would end beyond the longest packet there is.
            _ => self.push_fragment(&ends, part(65_528, false), &piece(0, 64)),
        }
    }

    /// Pings from forged sources, pings from one, redirects.
    fn icmp(&mut self) {
        let which = self.random.below(4);
        let ends = if which == 1 { self.one_v4(LOUD) } else { self.forged() };
        let rest = self.random.word();
        let message = match (which, ends.icmp()) {
            (3, protocol::ICMP) => {
                // To another gateway, about a packet of ours (RFC 792: its header and eight bytes).
                let ours = Ends::V4 { from: self.target.v4, to: self.forged_v4() };
                let quoted = frame::packet(&self.target.link, &ours, protocol::UDP, 1, &[0; 8]);
                frame::icmp(&ends, 5, 1, rest, quoted.get(14..).unwrap_or_default())
            }
            (_, protocol::ICMP) => frame::icmp(&ends, 8, 0, rest, &[0x61; 56]),
            (_, _) => frame::icmp(&ends, 128, 0, rest, &[0x61; 56]),
        };
        self.push(&ends, ends.icmp(), &message);
    }
}

impl Iterator for Flood {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.made.is_empty() {
            self.make();
        }
        self.made.pop_front()
    }
}

/// An IPv4 address that somebody on the Internet could have.
pub fn public_v4(random: &mut Random) -> Ipv4Addr {
    loop {
        let address = Ipv4Addr::from_bits(random.word());
        if is_forgeable(address) {
            return address;
        }
    }
}

/// An IPv6 address that somebody on the Internet could have, in `2000::/3`.
pub fn public_v6(random: &mut Random) -> Ipv6Addr {
    let [high, low] = [random.bits(), random.bits()];
    Ipv6Addr::from_bits(u128::from(high >> 3 | 1 << 61) << 64 | u128::from(low))
}

/// Whether somebody on the Internet could have the address: no network of the machine's own, of documentation where the
/// drill lives, of groups or of the future.
fn is_forgeable(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    !(matches!(first, 0 | 10 | 127 | 224..)
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || first == 198 && (second & 0xfe == 18 || second == 51)
        || matches!(address.octets(), [.., 0 | 255]))
}

fn same_network(one: Ipv4Addr, other: Ipv4Addr) -> bool {
    one.to_bits() >> 8 == other.to_bits() >> 8
}

#[cfg(test)]
mod tests;
