//! What is remembered of packets that passed: flows, and first fragments.
use weir_common::verdict::Verdict;
use weir_tests::fixtures::UNLISTED_V6;
use weir_tests::frames::{ACK, Extension, MORE_FRAGMENTS, SYN, V4, V6, proto, tcp, udp};
use weir_tests::kernel::trio::Trio;
use weir_tests::reference::floods::{Dimension, Later, Limit, Rate};
use weir_tests::reference::world::World;

use super::{MILLISECOND, SECOND, check, world};

/// Four new flows a source, and then one in ten seconds.
fn new_flows() -> World {
    let rate = Rate { per_second: 1, burst: 4, promote_at: 2 };
    world(|world| {
        world.slots[0].floods.source = Some(Limit::none().with(Dimension::New, rate));
        // An epoch's beginning: flows are forgotten at its end.
        world.now_ns = 80 << 36;
    })
}

fn datagram(port: u16) -> Vec<u8> {
    V4::from([198, 18, 0, 1]).carrying(proto::UDP, udp(port, 443, &[])).frame()
}

#[test]
fn a_flow_is_new_once_and_one_that_was_refused_is_new_again() {
    let mut trio = Trio::new();
    trio.install(&new_flows());
    for port in 1..=4 {
        for _ in 0..50 {
            check(&mut trio, &datagram(port), Verdict::Pass, None);
        }
    }
    for _ in 0..3 {
        check(&mut trio, &datagram(5), Verdict::RateSource, None);
    }
    check(&mut trio, &datagram(1), Verdict::Pass, None);
    trio.pass(SECOND, 0);
    check(&mut trio, &datagram(5), Verdict::Pass, None);
    check(&mut trio, &datagram(5), Verdict::Pass, None);
    check(&mut trio, &datagram(6), Verdict::RateSource, None);
    trio.audit();
}

#[test]
fn only_a_syn_that_is_no_repetition_is_a_new_connection() {
    let mut trio = Trio::new();
    trio.install(&new_flows());
    let from = |port: u16, flags: u8| V6::from(UNLISTED_V6).carrying(proto::TCP, tcp(port, 443, flags, &[])).frame();
    for port in 1..=4 {
        for _ in 0..5 {
            check(&mut trio, &from(port, SYN), Verdict::Pass, None);
        }
    }
    check(&mut trio, &from(5, SYN), Verdict::RateSource, None);
    for port in 100..200 {
        check(&mut trio, &from(port, ACK), Verdict::Pass, None);
        check(&mut trio, &from(port, SYN | ACK), Verdict::Pass, None);
    }
    trio.audit();
}

#[test]
fn known_flows_are_forgotten_at_the_end_of_their_epoch() {
    let mut trio = Trio::new();
    trio.install(&new_flows());
    for port in 1..=4 {
        check(&mut trio, &datagram(port), Verdict::Pass, None);
    }
    trio.pass((1 << 36) - MILLISECOND, 0);
    // All tokens are there again, and none is taken by what is known.
    for port in 1..=8 {
        check(&mut trio, &datagram(port), Verdict::Pass, None);
    }
    check(&mut trio, &datagram(9), Verdict::RateSource, None);
    trio.pass(MILLISECOND, 0);
    check(&mut trio, &datagram(1), Verdict::RateSource, None);
    trio.audit();
}

#[test]
fn a_first_fragment_is_remembered_for_thirty_seconds_and_not_much_longer() {
    let mut trio = Trio::new();
    let matched = |first_ns: u64| {
        world(|world| {
            world.slots[0].floods.later = Later::Matched;
            world.now_ns = first_ns;
        })
    };
    let mut beginning = udp(40_000, 443, &[0; 24]);
    beginning[4..6].copy_from_slice(&1_400u16.to_be_bytes());
    let v4 = |flags: u16, offset: u16| V4::from([198, 18, 0, 1]).fragment(flags, offset).carrying(17, &beginning[..]);
    let v6 = |offset: u16, more: bool| {
        V6::from(UNLISTED_V6).chain([Extension::fragment(offset, more)]).carrying(17, &beginning[..])
    };
    let firsts = [v4(MORE_FRAGMENTS, 0).frame(), v6(0, true).frame()];
    let laters = [v4(0, 32).frame(), v6(32, false).frame()];
    // Whether the second it falls into has just begun, or is nearly over.
    for begun in [0, (1 << 30) - 1] {
        trio.install(&matched((5_000 << 30) + begun));
        for (first, later) in firsts.iter().zip(&laters) {
            check(&mut trio, later, Verdict::Fragment, None);
            check(&mut trio, first, Verdict::Pass, None);
            check(&mut trio, later, Verdict::Pass, None);
        }
        trio.pass(30 * SECOND, 0);
        for later in &laters {
            check(&mut trio, later, Verdict::Pass, None);
        }
        trio.pass(2 * SECOND, 0);
        for later in &laters {
            check(&mut trio, later, Verdict::Fragment, None);
        }
        trio.audit();
    }
}

#[test]
fn behind_a_first_fragment_that_a_limit_refused_nothing_passes() {
    let mut trio = Trio::new();
    trio.install(&world(|world| {
        let rate = Rate { per_second: 1, burst: 2, promote_at: 2 };
        world.slots[0].floods.later = Later::Matched;
        world.slots[0].floods.source = Some(Limit::none().with(Dimension::Udp, rate));
    }));
    let part = |id: u8, flags: u16, offset: u16| {
        let mut frame =
            V4::from([198, 18, 0, 1]).fragment(flags, offset).carrying(17, udp(40_000, 443, &[0; 24])).frame();
        frame[19] = id;
        frame
    };
    for (id, first, later) in [
        (1, Verdict::Pass, Verdict::Pass),
        (2, Verdict::Pass, Verdict::Pass),
        (3, Verdict::RateSource, Verdict::Fragment),
    ] {
        check(&mut trio, &part(id, MORE_FRAGMENTS, 0), first, None);
        check(&mut trio, &part(id, 0, 32), later, None);
    }
    trio.audit();
}
