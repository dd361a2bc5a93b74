//! Floods of TCP.
use super::{Ends, Flood, SLOW, SLOW_SOURCES, flag, frame, protocol};
use std::net::Ipv4Addr;

/// Flags of segments that belong to no connection, and of some that no sender makes.
const FLAGS: [u8; 8] = [
    flag::ACK,
    flag::ACK,
    flag::RST,
    flag::PSH | flag::ACK,
    // Null, xmas, and two that contradict themselves.
    0,
    flag::FIN | flag::PSH | flag::URG,
    flag::SYN | flag::FIN,
    flag::SYN | flag::RST,
];

impl Flood {
    pub(super) fn syn(&mut self) {
        let ends = self.forged();
        self.segment(&ends, flag::SYN, &[]);
    }

    pub(super) fn ack(&mut self) {
        let ends = self.forged();
        let flags = self.random.one_of(&FLAGS).copied().unwrap_or(flag::ACK);
        let payload: &[u8] = if flags & flag::PSH != 0 { &[0x2e; 64] } else { &[] };
        self.segment(&ends, flags, payload);
    }

    /// The sources in turn: a datagram or the first segment of a connection.
    pub(super) fn slow(&mut self) {
        let source = Ipv4Addr::from_bits(SLOW.to_bits() + 256 + self.count % SLOW_SOURCES);
        if self.count.is_multiple_of(2) {
            self.datagram(source, 200);
        } else {
            self.segment(&Ends::V4 { from: source, to: self.target.v4 }, flag::SYN, &[]);
        }
    }

    fn segment(&mut self, ends: &Ends, flags: u8, payload: &[u8]) {
        let header = frame::Tcp {
            from: self.client_port(),
            to: self.target.web,
            sequence: self.random.word(),
            acknowledged: if flags & flag::ACK == 0 { 0 } else { self.random.word() },
            flags,
        };
        let segment = frame::tcp(ends, &header, payload);
        self.push(ends, protocol::TCP, &segment);
    }
}
