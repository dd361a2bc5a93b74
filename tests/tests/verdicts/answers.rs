//! Answers by UDP, with real sockets in a network of the test's own: who asked gets them.
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;

use weir_common::verdict::Verdict;
use weir_tests::frames::{SERVER_V4, SERVER_V6, V4, V6, proto, udp, v6};
use weir_tests::kernel::image::floods::ASKERS_FROM;
use weir_tests::kernel::trio::Trio;
use weir_tests::reference::floods::{Held, Waiting, Who};

use super::{check, world};

const RESOLVER_V4: [u8; 4] = [198, 51, 100, 53];
const RESOLVER_V6: [u8; 16] = v6(0x2001_0db8, 0x53, 0x53);
const STRANGER_V4: [u8; 4] = [198, 51, 100, 99];
const STRANGER_V6: [u8; 16] = v6(0x2001_0db8, 0x99, 0x99);

/// Ports of the sockets, in both families.
const CONNECTED: u16 = 50_053;
const ASKER: u16 = 50_054;
const SERVICE: u16 = 5_353;
const NOBODY: u16 = 50_055;

/// Runs `ip` in the thread's own network.
fn ip(args: &str) {
    let said = Command::new("ip").args(args.split(' ')).output().expect("iproute2 is there");
    assert!(said.status.success(), "ip {args}: {}", String::from_utf8_lossy(&said.stderr));
}

/// Opens the three sockets at an address.
fn open(at: IpAddr, resolver: IpAddr) -> [UdpSocket; 3] {
    let bind = |port: u16| UdpSocket::bind((at, port)).expect("an address of the test's own");
    let connected = bind(CONNECTED);
    connected.connect((resolver, 53)).expect("a way to it");
    [connected, bind(ASKER), bind(SERVICE)]
}

fn answer(from: IpAddr, to: u16) -> Vec<u8> {
    let payload = udp(53, to, &[0; 40]);
    match from {
        IpAddr::V4(from) => V4::from(from.octets()).carrying(proto::UDP, payload).frame(),
        IpAddr::V6(from) => V6::from(from.octets()).carrying(proto::UDP, payload).frame(),
    }
}

#[test]
fn an_answer_passes_to_who_asked_and_to_no_service_or_closed_port() {
    // The thread is in a network of its own from here on, and what it opens is too.
    let mut trio = Trio::new();
    ip("link set lo up");
    ip("-4 route add default dev lo");
    ip("-6 route add default dev lo");
    let families: [(IpAddr, IpAddr, IpAddr); 2] = [
        (SERVER_V4.into(), RESOLVER_V4.into(), STRANGER_V4.into()),
        (SERVER_V6.into(), RESOLVER_V6.into(), STRANGER_V6.into()),
    ];
    let mut sockets = Vec::new();
    let mut waiting = Vec::new();
    for (server, resolver, stranger) in families {
        // An IPv6 address cannot be bound to while others are asked whether it is theirs.
        let whole = if server.is_ipv4() { "32 dev lo" } else { "128 dev lo nodad" };
        ip(&format!("address add {server}/{whole}"));
        sockets.extend(open(server, resolver));
        let mut add = |from: IpAddr, to: u16, who: Who| {
            let (from, to) = (SocketAddr::from((from, 53)), SocketAddr::from((server, to)));
            waiting.push(Waiting { from, to, who });
        };
        add(resolver, CONNECTED, Who::ThisSender);
        for from in [resolver, stranger] {
            add(from, ASKER, Who::AnAsker);
            add(from, SERVICE, Who::AService);
        }
    }
    assert!(u32::from(SERVICE) < ASKERS_FROM && u32::from(ASKER) >= ASKERS_FROM);
    let mut limits = world(|world| {
        world.slots[0].floods.answers = Held::Enforced;
        world.slots[0].floods.answer_ports = vec![53];
    });
    limits.sockets = waiting;
    trio.install(&limits);
    for (_, resolver, stranger) in families {
        for (from, to, verdict) in [
            (resolver, CONNECTED, Verdict::Pass),
            (stranger, CONNECTED, Verdict::Port),
            (resolver, ASKER, Verdict::Pass),
            // Whom a socket that is connected to nobody asked, nobody knows.
            (stranger, ASKER, Verdict::Pass),
            (resolver, SERVICE, Verdict::Port),
            (stranger, SERVICE, Verdict::Port),
            (resolver, NOBODY, Verdict::Port),
            (stranger, NOBODY, Verdict::Port),
        ] {
            check(&mut trio, &answer(from, to), verdict, None);
        }
    }
    // With nobody waiting any more, nothing passes.
    drop(sockets);
    limits.sockets.clear();
    trio.install(&limits);
    for (_, resolver, _) in families {
        for to in [CONNECTED, ASKER, SERVICE, NOBODY] {
            check(&mut trio, &answer(resolver, to), Verdict::Port, None);
        }
    }
    trio.audit();
}
