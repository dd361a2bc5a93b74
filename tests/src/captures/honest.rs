//! An honest capture, made: what arrives at a host that serves the web, resolves names and keeps its clock, while an
//! attack on somebody else is recorded.
//!
//! Addresses are those set aside for documentation and benchmarks (RFC 5737, RFC 3849, RFC 2544), so no recorded packet
//! has them. Everything is as a stack sends it, checksums included, in the order it was sent.
mod answers;
mod datagrams;
mod errors;
mod web;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use etherparse::{Ethernet2Header, IpHeaders, PacketBuilder, PacketBuilderStep};

use super::Packet;
use super::labels::Label;
use super::sockets::Socket;
use crate::fixtures::random::Rng;

/// The host's address.
pub const HOST_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);
/// The host's address.
pub const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x80, 0, 0, 0, 0, 0x80);

/// Time from a packet of a client to its next one, which waits for an answer; less where the capture is too short.
const ROUND_TRIP_NS: u64 = 20_000_000;

/// Hop limit of what came some way.
const HOPS: u8 = 55;

/// Honest packets, and the sockets they are meant for.
#[derive(Clone, Debug)]
pub struct Honest {
    /// In order of time.
    pub packets: Vec<Packet>,
    /// Open at the host: each had asked what an answer among the packets says.
    pub sockets: Vec<Socket>,
}

/// Honest traffic from a moment (nanoseconds since the epoch) on for a time; the same for the same arguments.
///
/// How much there is does not depend on the time: in a shorter one more clients are there at once, and none sends more.
pub fn honest(from_ns: u64, lasts: Duration) -> Honest {
    let lasts_ns = u64::try_from(lasts.as_nanos()).expect("a capture is shorter than centuries");
    let rng = Rng::new(from_ns);
    let mut maker = Maker { rng, from_ns, lasts_ns, packets: Vec::new(), sockets: Vec::new() };
    web::visits(&mut maker);
    datagrams::quic(&mut maker);
    datagrams::long(&mut maker);
    answers::names(&mut maker);
    answers::long_names(&mut maker);
    answers::clocks(&mut maker);
    errors::path_mtu(&mut maker);
    maker.packets.sort_by_key(|packet| packet.at_ns);
    Honest { packets: maker.packets, sockets: maker.sockets }
}

/// What the honest packets are made with.
struct Maker {
    rng: Rng,
    from_ns: u64,
    lasts_ns: u64,
    packets: Vec<Packet>,
    sockets: Vec<Socket>,
}

impl Maker {
    /// Lets frames arrive one round trip after the other, from a moment of its own choice on.
    fn flow(&mut self, group: &str, frames: Vec<Vec<u8>>) {
        let gaps = u64::try_from(frames.len().saturating_sub(1)).expect("a flow is short");
        // At most half of the time, so that flows do not all begin at once.
        let step = ROUND_TRIP_NS.min(self.lasts_ns / 2 / gaps.max(1));
        self.train(group, frames, step);
    }

    /// Lets frames arrive at a step from each other, from a moment of its own choice on.
    fn train(&mut self, group: &str, frames: Vec<Vec<u8>>, step: u64) {
        let gaps = u64::try_from(frames.len().saturating_sub(1)).expect("a flow is short");
        let room = self.lasts_ns.saturating_sub(step * gaps) + 1;
        let start = self.from_ns + self.rng.number() % room;
        let group: Arc<str> = Arc::from(group);
        for (at, frame) in (0..).zip(frames) {
            let group = Arc::clone(&group);
            self.packets.push(Packet { at_ns: start + at * step, frame, label: Label::Honest, group });
        }
    }

    /// A port that a stack takes for a connection of its own.
    fn port(&mut self) -> u16 {
        u16::try_from(32_768 + self.rng.below(28_000)).expect("a port")
    }

    /// A number of 32 bits.
    fn word(&mut self) -> u32 {
        u32::try_from(self.rng.number() >> 32).expect("32 bits")
    }

    /// Opens a socket of the host, on a port that is not taken, that has asked `remote`.
    fn ask(&mut self, remote: SocketAddr) -> SocketAddr {
        loop {
            let local = SocketAddr::new(host(remote.ip()), self.port());
            if self.sockets.iter().all(|socket| socket.local != local) {
                self.sockets.push(Socket { local, remote });
                return local;
            }
        }
    }
}

/// The client of a number: four in each /24, and four /64 in each /48.
fn client(number: u16, family: Family) -> IpAddr {
    let [high, low] = (number / 4).to_be_bytes();
    match family {
        Family::V4 => Ipv4Addr::new(198, 18 + high, low, 10 + u8::try_from(number % 4).expect("below four")).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0x100 + number / 4, number % 4, 0, 0, 0, 5).into(),
    }
}

/// Which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// The host's address for who has this one.
fn host(of: IpAddr) -> IpAddr {
    if of.is_ipv4() { HOST_V4.into() } else { HOST_V6.into() }
}

/// An IP packet from somebody to the host, as far as its network header.
fn from(source: IpAddr) -> PacketBuilderStep<IpHeaders> {
    ip(source, host(source))
}

/// An IP packet as far as its network header.
fn ip(source: IpAddr, destination: IpAddr) -> PacketBuilderStep<IpHeaders> {
    let link = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => link.ipv4(source.octets(), destination.octets(), HOPS),
        (IpAddr::V6(source), IpAddr::V6(destination)) => link.ipv6(source.octets(), destination.octets(), HOPS),
        _ => panic!("{source} and {destination} are of one family"),
    }
}

/// A UDP datagram's frame.
fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let packet = ip(source.ip(), destination.ip()).udp(source.port(), destination.port());
    packet.write(&mut frame, payload).expect("a datagram is short");
    frame
}

/// Length of an Ethernet header.
const LINK: usize = Ethernet2Header::LEN;

#[cfg(test)]
mod tests;
