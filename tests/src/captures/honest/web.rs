//! Visits to a web server: whole TCP connections, as far as they arrive.
use std::net::IpAddr;

use etherparse::{PacketBuilderStep, TcpHeader, TcpOptionElement};

use super::{Family, Maker, client, from};

/// Bytes of an answer in one segment.
const SEGMENT: u32 = 1_448;

/// Two visits of ten have more than one request on their connection.
const SECOND_REQUEST_PERCENT: usize = 20;

/// 100 visits over IPv4 and 60 over IPv6, each of a client of its own.
pub(super) fn visits(maker: &mut Maker) {
    for (family, count, group) in [(Family::V4, 100, "http over IPv4"), (Family::V6, 60, "http over IPv6")] {
        for number in 0..count {
            let frames = Visit::new(maker, client(number, family)).frames(maker);
            maker.flow(group, frames);
        }
    }
}

/// The client's side of a connection.
struct Visit {
    client: IpAddr,
    port: u16,
    sequence: u32,
    acknowledged: u32,
    /// The client's clock in milliseconds, and what the server's last said.
    stamps: (u32, u32),
    frames: Vec<Vec<u8>>,
}

impl Visit {
    fn new(maker: &mut Maker, client: IpAddr) -> Self {
        let stamps = (maker.word() >> 1, maker.word() >> 1);
        let (port, sequence, acknowledged) = (maker.port(), maker.word(), maker.word());
        Self { client, port, sequence, acknowledged, stamps, frames: Vec::new() }
    }

    /// SYN; ACK; one request or two, the answers' acknowledgements; FIN; ACK of the server's FIN.
    fn frames(mut self, maker: &mut Maker) -> Vec<Vec<u8>> {
        let (mine, _) = self.stamps;
        let opening = [
            TcpOptionElement::MaximumSegmentSize(if self.client.is_ipv4() { 1_460 } else { 1_440 }),
            TcpOptionElement::SelectiveAcknowledgementPermitted,
            TcpOptionElement::Timestamp(mine, 0),
            TcpOptionElement::Noop,
            TcpOptionElement::WindowScale(7),
        ];
        let syn = from(self.client).tcp(self.port, 80, self.sequence, 64_240).syn();
        self.write(syn.options(&opening).expect("options of forty bytes at most"), &[]);
        self.sequence = self.sequence.wrapping_add(1);
        self.acknowledged = self.acknowledged.wrapping_add(1);
        self.send(&[]);
        let requests = if maker.rng.chance(SECOND_REQUEST_PERCENT) { 2 } else { 1 };
        for page in 0..requests {
            let request = format!(
                "GET /page/{page} HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
                 Accept: text/html\r\nCookie: session={:032x}\r\n\r\n",
                maker.rng.number()
            );
            self.send(request.as_bytes());
            // One acknowledgement for two segments.
            for _ in 0..3 + maker.rng.below(4) {
                self.acknowledged = self.acknowledged.wrapping_add(2 * SEGMENT);
                self.send(&[]);
            }
        }
        let fin = self.segment().fin();
        self.write(fin, &[]);
        self.sequence = self.sequence.wrapping_add(1);
        self.acknowledged = self.acknowledged.wrapping_add(1);
        self.send(&[]);
        self.frames
    }

    fn send(&mut self, payload: &[u8]) {
        let segment = if payload.is_empty() { self.segment() } else { self.segment().psh() };
        self.write(segment, payload);
        self.sequence = self.sequence.wrapping_add(u32::try_from(payload.len()).expect("a request is short"));
    }

    fn segment(&mut self) -> PacketBuilderStep<TcpHeader> {
        self.stamps.0 += 20;
        self.stamps.1 += 20;
        let stamps = TcpOptionElement::Timestamp(self.stamps.0, self.stamps.1);
        let segment = from(self.client).tcp(self.port, 80, self.sequence, 502).ack(self.acknowledged);
        let options = [TcpOptionElement::Noop, TcpOptionElement::Noop, stamps];
        segment.options(&options).expect("options of forty bytes at most")
    }

    fn write(&mut self, segment: PacketBuilderStep<TcpHeader>, payload: &[u8]) {
        let mut frame = Vec::new();
        segment.write(&mut frame, payload).expect("a segment is short");
        self.frames.push(frame);
    }
}
