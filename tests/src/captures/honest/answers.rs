//! Answers to what the host itself had asked: names and the time.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::datagrams::fragments;
use super::{Maker, udp};

/// The host's resolvers.
const RESOLVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 53)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x53, 0, 0, 0, 0, 0x53))];

/// Time servers it asks.
const CLOCKS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 121)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 122)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x123, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x123, 1, 0, 0, 0, 1)),
];

/// 150 answers with one to eight addresses, each to a port of its own.
pub(super) fn names(maker: &mut Maker) {
    for number in 0..150 {
        let resolver = SocketAddr::new(RESOLVERS[number % RESOLVERS.len()], 53);
        let addresses = 1 + maker.rng.below(8);
        let answer = answer(maker, number, addresses);
        let socket = maker.ask(resolver);
        maker.flow("dns answers", vec![udp(resolver, socket, &answer)]);
    }
}

/// Twenty answers of more than 2,500 bytes, in two fragments each.
pub(super) fn long_names(maker: &mut Maker) {
    for number in 0..20 {
        let resolver = SocketAddr::new(RESOLVERS[number % RESOLVERS.len()], 53);
        let answer = answer(maker, number, 160);
        let socket = maker.ask(resolver);
        let frames = fragments(maker.word(), resolver, socket, &answer);
        maker.train("dns answers in fragments", frames, 1_000);
    }
}

/// A DNS message (RFC 1035, section 4.1): one question, and as many addresses for an answer.
fn answer(maker: &mut Maker, number: usize, addresses: usize) -> Vec<u8> {
    let [_, .., high, low] = maker.word().to_be_bytes();
    let count = u16::try_from(addresses).expect("few addresses").to_be_bytes();
    // Recursion was desired and is available; no error.
    let mut message = vec![high, low, 0x81, 0x80, 0, 1, count[0], count[1], 0, 0, 0, 0];
    for label in [format!("host{number}").as_str(), "example", "com"] {
        message.push(u8::try_from(label.len()).expect("a label is short"));
        message.extend(label.as_bytes());
    }
    // The root, type A, class IN.
    message.extend([0, 0, 1, 0, 1]);
    for _ in 0..addresses {
        // The question's name, type A, class IN, an hour, four bytes.
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, maker.rng.byte()]);
    }
    message
}

/// Four answers of each time server (RFC 5905, section 7.3), to a port of its own each.
pub(super) fn clocks(maker: &mut Maker) {
    for clock in CLOCKS {
        for _ in 0..4 {
            let clock = SocketAddr::new(clock, 123);
            let mut message = maker.rng.bytes(48);
            // No leap second, version 4, a server; of the second stratum.
            message[..4].copy_from_slice(&[0x24, 2, 6, 0xe9]);
            let socket = maker.ask(clock);
            maker.flow("ntp answers", vec![udp(clock, socket, &message)]);
        }
    }
}
