//! Floods of UDP.
use std::net::Ipv4Addr;

use super::{Flood, NETWORK, frame, protocol};

/// Services that answer more than they are asked: source port, and how long the answers are.
pub(super) const SERVICES: [(u16, u32); 8] = [
    // DNS, NTP (monlist), SSDP, memcached, CLDAP, SNMP, chargen, ISAKMP.
    (53, 3_200),
    (123, 440),
    (1_900, 320),
    (11_211, 1_400),
    (389, 3_000),
    (161, 1_200),
    (19, 1_024),
    (500, 600),
];

/// How many reflectors answer.
pub(super) const REFLECTORS: u32 = 3_000;
/// Spreads numbers from 0 over all 32 bits, each to another (Knuth, The Art of Computer Programming, 6.4).
const SPREAD: u32 = 2_654_435_761;

impl Flood {
    pub(super) fn udp(&mut self) {
        let ends = self.forged();
        let payload = vec![0x55; self.random.below(1_200) as usize];
        let datagram = frame::udp(&ends, self.client_port(), self.random.half(), &payload);
        self.push(&ends, protocol::UDP, &datagram);
    }

    pub(super) fn amplification(&mut self) {
        let number = self.random.below(REFLECTORS);
        let service = SERVICES.get(number as usize % SERVICES.len()).copied();
        let Some((port, longest)) = service else { return };
        let from = reflector(number, self.target.v4);
        let ends = self.one_v4(from);
        let length = longest / 4 + self.random.below(longest / 4 * 3);
        let payload = vec![0x41; length as usize];
        let datagram = frame::udp(&ends, port, self.client_port(), &payload);
        let id = self.random.half();
        self.made.extend(frame::fragments(&self.target.link, &ends, protocol::UDP, id, &datagram));
    }

    pub(super) fn network(&mut self) {
        let [a, b, c] = NETWORK;
        let host = u8::try_from(self.count % 254).unwrap_or_default() + 1;
        self.datagram(Ipv4Addr::new(a, b, c, host), 200);
    }

    /// A datagram from one source to any port.
    pub(super) fn datagram(&mut self, from: Ipv4Addr, length: usize) {
        let ends = self.one_v4(from);
        let datagram = frame::udp(&ends, self.client_port(), self.random.half(), &vec![0x55; length]);
        self.push(&ends, protocol::UDP, &datagram);
    }
}

/// The address of a reflector: always the same for its number, spread over the Internet.
fn reflector(number: u32, target: Ipv4Addr) -> Ipv4Addr {
    let mut bits = (number + 1).wrapping_mul(SPREAD);
    loop {
        let address = Ipv4Addr::from_bits(bits);
        if super::is_forgeable(address) && !super::same_network(address, target) {
            return address;
        }
        bits = bits.wrapping_mul(SPREAD).wrapping_add(SPREAD);
    }
}
