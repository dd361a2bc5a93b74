//! Limits: what passes, to the packet; whom they hold and whom they spare.
use weir::domain::decision::Enforcement;
use weir::domain::limits::{Limit as Limits, Rate as Rates};
use weir_common::abi::SOURCE_SETS;
use weir_common::addr::Source;
use weir_common::traffic::Dimension as Wanted;
use weir_common::verdict::Verdict;
use weir_tests::fixtures::random::Rng;
use weir_tests::fixtures::{allow, deny, net};
use weir_tests::frames::{MORE_FRAGMENTS, SYN, V4, V6, icmp_echo, icmpv6, proto, tcp, udp, v6};
use weir_tests::kernel::OFFENDERS;
use weir_tests::kernel::image::SEED;
use weir_tests::kernel::trio::Trio;
use weir_tests::reference::floods::{Dimension, Limit, PortLimit, Ports, Profile, Rate};
use weir_tests::reference::world::World;

use super::{MILLISECOND, SECOND, check, from_v4, from_v6, seed, verdict, world};

/// A rate whose buckets begin where the daemon has them begin on two CPUs: at an eighth of the burst, of a count of
/// packets or bytes that no single one reaches.
fn rate(dimension: Dimension, per_second: u64, burst: u64) -> Rate {
    let least = if dimension == Dimension::Bytes { 2 * 1_514 } else { 2 };
    Rate { per_second, burst, promote_at: (burst / 8).max(least) }
}

const PACKETS: Rate = Rate { per_second: 1_000, burst: 200, promote_at: 25 };

fn packets(per_second: u64, burst: u64) -> Limit {
    Limit::none().with(Dimension::Packets, rate(Dimension::Packets, per_second, burst))
}

/// The frames of many senders in turn, each at its own rate for so many seconds: how many of each passed.
///
/// `pause` is the time between two rounds; a sender whose rate is `n` times `SECOND / pause` sends `n` times a round.
fn offer_mixed(trio: &mut Trio, senders: &[(Vec<u8>, u64)], pause: u64, seconds: u64) -> Vec<u64> {
    let mut passed = vec![0; senders.len()];
    for _ in 0..seconds * SECOND / pause {
        for ((frame, times), passed) in senders.iter().zip(&mut passed) {
            for _ in 0..*times {
                *passed += u64::from(verdict(trio, frame).verdict == Verdict::Pass);
            }
        }
        trio.pass(pause, 0);
    }
    trio.audit();
    passed
}

#[track_caller]
fn check_near(passed: u64, want: u64, what: &str) {
    assert!(passed.abs_diff(want) * 50 <= want, "{what}: {passed} of {want} passed");
}

/// A frame of each family that counts in a dimension, another flow each time.
fn counting(dimension: Dimension, number: u16) -> [Vec<u8>; 2] {
    let (four, six) = (V4::from([192, 0, 2, 5]), V6::from(v6(0x2001_0db8, 1, 5)));
    let both = |protocol: u8, payload: &[u8]| {
        [four.clone().carrying(protocol, payload).frame(), six.clone().carrying(protocol, payload).frame()]
    };
    match dimension {
        Dimension::Packets => both(253, &[0; 8]),
        Dimension::Bytes => both(253, &[0; 400]),
        Dimension::Syn => both(proto::TCP, &tcp(40_000, 443, SYN, &[])),
        Dimension::Udp => both(proto::UDP, &udp(40_000, 443, &[])),
        Dimension::New => both(proto::UDP, &udp(number, 443, &[])),
        Dimension::Icmp => {
            [four.carrying(proto::ICMP, icmp_echo()).frame(), six.carrying(proto::ICMPV6, icmpv6(128, 0)).frame()]
        }
        Dimension::Fragments => [
            four.fragment(MORE_FRAGMENTS, 64).carrying(proto::UDP, [0; 64]).frame(),
            six.chain([weir_tests::frames::Extension::fragment(64, true)]).carrying(proto::UDP, [0; 64]).frame(),
        ],
    }
}

#[test]
fn each_dimension_gets_rate_times_time_plus_burst_of_five_times_as_much() {
    let mut trio = Trio::new();
    for dimension in Dimension::ALL {
        for family in 0..2 {
            let unit = if dimension == Dimension::Bytes { counting(dimension, 1)[family].len() as u64 } else { 1 };
            let (per_second, burst) = (400, 80);
            let limit = Limit::none().with(dimension, rate(dimension, per_second * unit, burst * unit));
            trio.install(&world(|world| world.slots[0].floods.source = Some(limit)));
            let mut passed = 0;
            for number in 0..per_second * 5 * 10 {
                let frame = &counting(dimension, u16::try_from(1 + number % 60_000).unwrap())[family];
                passed += u64::from(verdict(&mut trio, frame).verdict == Verdict::Pass);
                trio.pass(SECOND / (5 * per_second), 0);
            }
            trio.audit();
            check_near(passed, per_second * 10 + burst, &format!("{dimension:?}, family {family}"));
        }
    }
}

#[test]
fn a_limit_of_one_dimension_costs_packets_of_no_other_kind_anything() {
    let mut trio = Trio::new();
    for limited in [Dimension::Syn, Dimension::Udp, Dimension::Icmp, Dimension::Fragments] {
        let limit = Limit::none().with(limited, rate(limited, 10, 20));
        trio.install(&world(|world| world.slots[0].floods.source = Some(limit)));
        for other in [Dimension::Packets, Dimension::Syn, Dimension::Udp, Dimension::Icmp, Dimension::Fragments] {
            let frame = &counting(other, 1)[0];
            for packet in 0..60 {
                let expected = if other == limited && packet >= 20 { Verdict::RateSource } else { Verdict::Pass };
                check(&mut trio, frame, expected, None);
            }
        }
        trio.audit();
    }
}

fn host(network: u8, last: u8) -> Vec<u8> {
    V4::from([198, 18, network, last]).frame()
}

fn subnet(network: u32, last: u32) -> Vec<u8> {
    V6::from(v6(0x2001_0db8, network << 16 | last, 1)).frame()
}

fn networks(source: Limit, network: Limit) -> World {
    world(|world| {
        world.slots[0].floods.source = Some(source);
        world.slots[0].floods.network = Some(network);
    })
}

#[test]
fn one_bad_host_does_not_cost_its_network_and_is_held_to_its_own_limit() {
    let mut trio = Trio::new();
    trio.install(&networks(packets(500, 100), packets(2_000, 400)));
    // Twenty times its limit, among ten that send a fifth of theirs; the same in IPv6.
    let mut senders = vec![(host(1, 200), 100), (subnet(1, 200), 100)];
    senders.extend((1..=10).map(|last| (host(1, last), 1)));
    senders.extend((1..=10).map(|last| (subnet(1, last), 1)));
    let passed = offer_mixed(&mut trio, &senders, 10 * MILLISECOND, 5);
    check_near(passed[0], 500 * 5 + 100, "the bad host");
    check_near(passed[1], 500 * 5 + 100, "the bad /64");
    assert!(passed[2..].iter().all(|passed| *passed == 100 * 5), "{passed:?}");
}

#[test]
fn a_network_full_of_sources_below_their_limit_is_held_to_its_own() {
    let mut trio = Trio::new();
    trio.install(&networks(packets(500, 100), packets(1_000, 200)));
    let mut senders: Vec<(Vec<u8>, u64)> = (0..50).map(|last| (host(1, last), 1)).collect();
    senders.extend((0..50).map(|last| (subnet(1, last), 1)));
    // Another network beside each, of which nothing is to be seen.
    senders.extend([(host(2, 1), 1), (subnet(2, 1), 1)]);
    let passed = offer_mixed(&mut trio, &senders, 10 * MILLISECOND, 4);
    check_near(passed[..50].iter().sum(), 1_000 * 4 + 200, "the /24");
    check_near(passed[50..100].iter().sum(), 1_000 * 4 + 200, "the /48");
    assert_eq!(passed[100..], [400, 400]);
    check(&mut trio, &host(1, 60), Verdict::Pass, None);
    trio.audit();
}

#[test]
fn a_source_within_its_limits_loses_nothing_while_its_neighbours_flood() {
    let mut trio = Trio::new();
    trio.install(&networks(packets(200, 40), packets(4_000, 800)));
    // Nineteen neighbours at ten times their limit use up nearly all of the network's; one sends a half of its own.
    let mut senders: Vec<(Vec<u8>, u64)> = vec![(host(1, 1), 1)];
    senders.extend((2..=18).map(|last| (host(1, last), 20)));
    let passed = offer_mixed(&mut trio, &senders, 10 * MILLISECOND, 5);
    assert_eq!(passed[0], 100 * 5);
    for neighbour in &passed[1..] {
        check_near(*neighbour, 200 * 5 + 40, "a neighbour");
    }
}

#[test]
fn what_a_source_is_refused_costs_neither_its_network_nor_port_nor_everything() {
    let mut trio = Trio::new();
    let port = |per_source: bool, burst: u64| PortLimit {
        ports: Ports { tcp: false, udp: true, range: 443..=443 },
        per_source,
        limit: packets(1, burst),
    };
    let mut limits = networks(packets(1, 4), packets(1, 6));
    limits.slots[0].floods.port_limits = vec![port(false, 8)];
    limits.slots[0].floods.global = Some(packets(1, 10));
    trio.install(&limits);
    let mut offer = |source: [u8; 4], expected: [(Verdict, usize); 2]| {
        for (verdict, times) in expected {
            for _ in 0..times {
                check(&mut trio, &V4::from(source).frame(), verdict, None);
            }
        }
    };
    offer([198, 18, 1, 1], [(Verdict::Pass, 4), (Verdict::RateSource, 20)]);
    offer([198, 18, 1, 2], [(Verdict::Pass, 2), (Verdict::RateNetwork, 2)]);
    offer([198, 18, 2, 1], [(Verdict::Pass, 2), (Verdict::RateGlobal, 2)]);
    // The port is used up; what goes to another has two packets of everything's left.
    let other = V4::from([198, 18, 3, 1]).carrying(proto::UDP, udp(40_000, 53, &[])).frame();
    for verdict in [Verdict::Pass, Verdict::Pass, Verdict::RateGlobal] {
        check(&mut trio, &other, verdict, None);
    }
    trio.audit();
}

#[test]
fn a_port_has_its_limit_for_all_or_for_each_source() {
    let mut trio = Trio::new();
    let limits = |per_source: bool| {
        world(|world| {
            let ports = Ports { tcp: false, udp: true, range: 53..=53 };
            world.slots[0].floods.port_limits = vec![PortLimit { ports, per_source, limit: packets(100, 20) }];
        })
    };
    let asks = |last: u8, port: u16| V4::from([198, 18, 1, last]).carrying(proto::UDP, udp(40_000, port, &[])).frame();
    let senders = [(asks(1, 53), 5), (asks(2, 53), 5), (asks(3, 54), 5)];
    trio.install(&limits(false));
    let passed = offer_mixed(&mut trio, &senders, 10 * MILLISECOND, 4);
    check_near(passed[0] + passed[1], 100 * 4 + 20, "the port");
    assert_eq!(passed[2], 5 * 400);
    check(&mut trio, &asks(9, 53), Verdict::Pass, None);
    check(&mut trio, &asks(9, 53), Verdict::RateGlobal, None);
    trio.install(&limits(true));
    let passed = offer_mixed(&mut trio, &senders, 10 * MILLISECOND, 4);
    check_near(passed[0], 100 * 4 + 20, "the first at the port");
    check_near(passed[1], 100 * 4 + 20, "the second at the port");
    assert_eq!(passed[2], 5 * 400);
}

#[test]
fn a_profile_holds_the_sources_of_its_list_and_no_other() {
    let mut trio = Trio::new();
    let profile = |prefix: &str, per_second: u64| Profile {
        limit: Some(packets(per_second, per_second / 5)),
        of: vec![net(prefix)],
    };
    trio.install(&world(|world| {
        world.slots[0].floods.source = Some(packets(500, 100));
        world.slots[0].floods.profiles =
            vec![profile("198.18.1.0/24", 100), profile("2001:db8:2::/48", 200), profile("198.18.3.3", 1_000)];
    }));
    let senders = [host(1, 1), host(1, 255), host(2, 1), subnet(2, 7), subnet(3, 7), host(3, 3), host(3, 4)]
        .map(|host| (host, 20));
    let passed = offer_mixed(&mut trio, &senders, 10 * MILLISECOND, 4);
    for (passed, per_second) in passed.into_iter().zip([100, 100, 500, 200, 500, 1_000, 500]) {
        check_near(passed, per_second * 4 + per_second / 5, "a source");
    }
}

/// All dimensions limited as tightly as can be.
fn tightest() -> Limit {
    Dimension::ALL.into_iter().fold(Limit::none(), |limit, dimension| {
        let (per_second, burst) = if dimension == Dimension::Bytes { (9_000, 9_000) } else { (1, 4) };
        limit.with(dimension, rate(dimension, per_second, burst))
    })
}

#[test]
fn forged_sources_that_send_one_packet_each_never_get_buckets() {
    let mut trio = Trio::new();
    trio.install(&world(|world| {
        world.slots[0].floods.source = Some(tightest());
        let ports = Ports { tcp: true, udp: true, range: 1..=u16::MAX };
        world.slots[0].floods.port_limits = vec![PortLimit { ports, per_source: true, limit: tightest() }];
    }));
    for number in 0..20_000u32 {
        let source = (u32::from_be_bytes([198, 18, 0, 0]) + number).to_be_bytes();
        let payload = if number % 2 == 0 {
            (proto::UDP, udp(40_000, 443, &[0; 1_400]))
        } else {
            (proto::TCP, tcp(40_000, 443, SYN, &[0; 1_400]))
        };
        let frame = V4::from(source).carrying(payload.0, payload.1).frame();
        check(&mut trio, &frame, Verdict::Pass, None);
        trio.pass(10_000, 0);
    }
    assert_eq!(trio.offenders(), 0);
    // Who comes again does, and is held.
    for expected in [Verdict::Pass, Verdict::Pass, Verdict::Pass, Verdict::Pass, Verdict::RateSource] {
        check(&mut trio, &from_v4(5), expected, None);
    }
    assert_eq!(trio.offenders(), 2);
    trio.audit();
}

#[test]
fn what_a_cpu_counted_before_promotion_is_charged_to_the_packet() {
    let mut trio = Trio::new();
    for promote_at in [2, 3, 7, 50, 100] {
        let limit = Limit::none().with(Dimension::Packets, Rate { per_second: 1, burst: 100, promote_at });
        trio.install(&world(|world| world.slots[0].floods.source = Some(limit)));
        for packet in 0..150 {
            let expected = if packet < 100 { Verdict::Pass } else { Verdict::RateSource };
            check(&mut trio, &from_v6(5), expected, None);
        }
        trio.audit();
    }
}

fn limited(observe: bool) -> World {
    world(|world| {
        let limit = packets(1_000, 200).falling_back_at(3_200 * (PACKETS.pressure(Dimension::Packets) + 1));
        world.slots[0].floods.source = Some(Limit { observe, ..limit });
        world.slots[0].decisions = vec![allow("192.0.2.10"), deny("192.0.2.66")];
    })
}

/// Offers each source `rate` packets a second for `seconds`; says how many of all passed.
fn offer(trio: &mut Trio, sources: &[Vec<u8>], rate: u64, seconds: u64) -> u64 {
    let mut passed = 0;
    for _ in 0..rate * seconds {
        for frame in sources {
            let outcome = verdict(trio, frame);
            passed += u64::from(outcome.verdict == Verdict::Pass);
        }
        trio.pass(SECOND / rate, 0);
    }
    trio.audit();
    passed
}

#[test]
fn a_source_at_five_times_its_limit_gets_rate_times_time_plus_burst() {
    let mut trio = Trio::new();
    trio.install(&limited(false));
    for source in [vec![from_v4(5)], vec![from_v6(5)]] {
        let passed = offer(&mut trio, &source, 5_000, 10);
        let want = 1_000 * 10 + 200;
        assert!(passed.abs_diff(want) * 50 <= want, "{passed} of {want} passed");
    }
}

#[test]
fn twenty_sources_get_their_limit_each_and_a_subnet_of_64_bits_is_one_source() {
    let mut trio = Trio::new();
    trio.install(&limited(false));
    let many: Vec<Vec<u8>> = (100..120).map(from_v4).collect();
    let passed = offer(&mut trio, &many, 5_000, 1);
    let want = 20 * (1_000 + 200);
    assert!(passed.abs_diff(want) * 50 <= want, "{passed} of {want} passed");
    let one: Vec<Vec<u8>> = (100..120).map(from_v6).collect();
    let passed = offer(&mut trio, &one, 500, 1);
    let want = 1_000 + 200;
    assert!(passed.abs_diff(want) * 50 <= want, "{passed} of {want} passed");
}

#[test]
fn a_source_below_its_limit_never_loses_a_packet() {
    let mut trio = Trio::new();
    trio.install(&limited(false));
    assert_eq!(offer(&mut trio, &[from_v4(5), from_v6(5)], 990, 5), 2 * 990 * 5);
}

#[test]
fn the_limit_is_only_counted_where_it_is_observed_and_knows_no_allowed_or_denied_source() {
    let mut trio = Trio::new();
    trio.install(&limited(true));
    assert_eq!(offer(&mut trio, &[from_v4(5)], 5_000, 1), 5_000);
    check(&mut trio, &from_v4(5), Verdict::Pass, Some(Verdict::RateSource));
    trio.install(&limited(false));
    for _ in 0..1_000 {
        check(&mut trio, &from_v4(10), Verdict::Allowed, None);
        check(&mut trio, &from_v4(66), Verdict::Denied, None);
    }
    trio.audit();
}

#[test]
fn sources_that_find_no_room_for_a_bucket_are_held_by_their_count_alone() {
    let mut trio = Trio::new();
    trio.install(&limited(false));
    let room = u64::from(OFFENDERS);
    for packet in 0..4_000u64 {
        for source in (0..room + 6).map(|host| V4::from([198, 51, 100, u8::try_from(host).unwrap()]).frame()) {
            let outcome = verdict(&mut trio, &source);
            let has_bucket = source[29] < u8::try_from(room).unwrap();
            let most = if has_bucket { 200 } else { 3_200 };
            let expected = if packet < most { Verdict::Pass } else { Verdict::RateSource };
            assert_eq!(outcome.verdict, expected, "packet {packet} of host {}", source[29]);
        }
    }
    trio.audit();
}

/// The smallest burst that there can be, with the words the daemon makes of it: the count must reach what it is held by.
#[test]
fn a_source_with_the_smallest_burst_is_held_by_its_count_alone_too() {
    let (per_second, burst) = (10_000, 101);
    let rate = Rates::new(Wanted::Packets, per_second.try_into().unwrap(), Some(burst.try_into().unwrap())).unwrap();
    let words = Limits::new([(Wanted::Packets, rate)], Enforcement::Enforce).unwrap().words(2);
    let rate = Rate { per_second, burst, promote_at: 12 };
    assert_eq!(u64::from(words.pressure[0]), rate.pressure(Dimension::Packets));
    let limit = Limit::none().with(Dimension::Packets, rate).falling_back_at(words.fallback.into());
    let mut trio = Trio::new();
    trio.install(&world(|world| world.slots[0].floods.source = Some(limit)));
    let room = u8::try_from(OFFENDERS).unwrap();
    for source in 0..room {
        for _ in 0..2 * rate.promote_at {
            let _agreed = verdict(&mut trio, &from_v4(source));
        }
    }
    // All of it in one epoch: nothing halves the count.
    let passed = (0..60_000).filter(|_| verdict(&mut trio, &from_v4(room)).verdict == Verdict::Pass).count();
    assert!((30_000..40_000).contains(&passed), "{passed}: a burst, and three seconds of the rate");
    trio.audit();
}

/// What was spent under a limit that held more is owed for two bursts and a second at most.
#[test]
fn a_limit_that_is_changed_forgives_what_the_old_one_let_through() {
    let (huge, small) = (rate(Dimension::Packets, 1_000, 100_000), rate(Dimension::Packets, 10_000, 1_000));
    let limit = |rate| Limit::none().with(Dimension::Packets, rate);
    for everybody in [false, true] {
        let limited = |world: &mut World, rate| {
            let floods = &mut world.slots[0].floods;
            let place = if everybody { &mut floods.global } else { &mut floods.source };
            *place = Some(limit(rate));
        };
        let mut trio = Trio::new();
        trio.install(&world(|world| limited(world, huge)));
        // A hundred seconds' worth at once.
        while verdict(&mut trio, &from_v4(5)).verdict == Verdict::Pass {}
        trio.change(|world| limited(world, small));
        let passed = offer(&mut trio, &[from_v4(5)], 20_000, 2);
        assert!((18_000..=22_000).contains(&passed), "{passed} of 20,000 in two seconds, everybody's: {everybody}");
    }
}

#[test]
fn sources_that_share_a_set_keep_their_limits_and_push_each_other_out_alike() {
    let mut trio = Trio::new();
    trio.install(&limited(false));
    let set = |host: u32| Source::V4(host.to_be_bytes()).key().hash(SEED) % SOURCE_SETS;
    let first = u32::from_be_bytes([198, 18, 0, 0]);
    let crowd: Vec<Vec<u8>> =
        (first..).filter(|host| set(*host) == 7).take(6).map(|host| V4::from(host.to_be_bytes()).frame()).collect();
    let mut rng = Rng::new(seed());
    for _ in 0..60_000 {
        // The first three send ten times what the others do.
        let one = if rng.chance(90) { rng.below(3) } else { rng.below(6) };
        let _agreed = verdict(&mut trio, &crowd[one]);
        trio.pass(rng.number() % (400 * MILLISECOND / 1_000), 0);
    }
    trio.audit();
}
