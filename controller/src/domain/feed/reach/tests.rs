use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn list(texts: &[&str]) -> Prefixes {
    Prefixes::new(texts.iter().map(|text| net(text)))
}

fn none() -> std::iter::Empty<(IpNet, u64)> {
    std::iter::empty()
}

#[test]
fn an_address_in_two_prefixes_counts_once() {
    let list = list(&["198.51.100.0/24", "198.51.100.7/32", "198.51.101.0/24", "203.0.113.1/32", "2001:db8::/32"]);
    let reach = reach(&list, [], [], none());
    assert_eq!((reach.prefixes_v4, reach.prefixes_v6, reach.addresses_v4), (4, 1, 513));
}

#[test]
fn all_of_ipv4_is_a_share_of_one() {
    let reach = reach(&list(&["0.0.0.0/0"]), [], [], none());
    assert_eq!(reach.addresses_v4, 1 << 32);
    assert!((reach.share_v4 - 1.0).abs() < 1e-12 && (reach.share_routable_v4 - 1.0).abs() < 1e-12);
    let private = super::reach(&list(&["10.0.0.0/8"]), [], [], none());
    assert!((private.share_v4 - 1.0 / 256.0).abs() < 1e-12 && private.share_routable_v4 == 0.0);
}

#[test]
fn guarded_prefixes_are_found_inside_and_around() {
    let list = list(&["198.51.100.0/25", "198.51.100.128/25", "203.0.113.9/32", "2001:db8:1::/48"]);
    let protected = [net("198.51.100.0/24"), net("192.0.2.1/32"), net("2001:db8:1::1/128")];
    let reach = reach(&list, protected, [net("203.0.113.0/24"), net("2001:db8::/32")], none());
    assert_eq!((reach.protected.covered, reach.protected.touched, reach.protected.entries), (2, 0, 3));
    assert_eq!(reach.protected.first, [net("198.51.100.0/24"), net("2001:db8:1::1/128")]);
    assert_eq!((reach.never_block.covered, reach.never_block.touched, reach.never_block.entries), (0, 2, 2));
}

#[test]
fn well_behaved_sources_are_counted_with_their_packets() {
    let sources = [(net("198.51.100.1/32"), 10), (net("192.0.2.1/32"), 100), (net("2001:db8:1::/64"), 5)];
    let reach = reach(&list(&["198.51.100.0/24", "2001:db8::/32"]), [], [], sources);
    assert_eq!((reach.well_behaved.total(), reach.well_behaved_packets), (2, 15));
}

#[test]
fn a_change_counts_what_came_and_went() {
    let before = list(&["192.0.2.1/32", "192.0.2.2/32", "2001:db8::/32"]);
    let after = list(&["192.0.2.2/32", "192.0.2.2/31", "2001:db8::/33", "203.0.113.0/24"]);
    assert_eq!(change(&before, &after), Change { added: 3, removed: 2 });
    assert_eq!(change(&before, &before), Change::default());
}

/// Prefixes close to each other, so that they overlap.
fn near() -> impl Strategy<Value = IpNet> {
    let v4 = (0u32..512, 22u8..=32)
        .prop_map(|(low, len)| IpNet::V4(Ipv4Net::new((0xc633_6400 + low).into(), len).unwrap().trunc()));
    let v6 = (0u128..64, 122u8..=128)
        .prop_map(|(low, len)| IpNet::V6(Ipv6Net::new(((0x2001_0db8_u128 << 96) + low).into(), len).unwrap().trunc()));
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn reach_says_what_a_walk_over_every_address_says(
        nets in prop::collection::vec(near(), 0..20), set in prop::collection::vec(near(), 0..20),
    ) {
        let list = Prefixes::new(nets);
        let addresses = |nets: &mut dyn Iterator<Item = IpNet>| -> BTreeSet<std::net::IpAddr> {
            nets.flat_map(|net| match net {
                IpNet::V4(net) => (net.network().to_bits()..=net.broadcast().to_bits())
                    .map(|bits| std::net::Ipv4Addr::from_bits(bits).into()).collect::<Vec<_>>(),
                IpNet::V6(net) => (net.network().to_bits()..=net.broadcast().to_bits())
                    .map(|bits| std::net::Ipv6Addr::from_bits(bits).into()).collect(),
            }).collect()
        };
        let denied = addresses(&mut list.iter());
        let reach = reach(&list, set.clone(), [], none());
        prop_assert_eq!(reach.addresses_v4, denied.iter().filter(|a| a.is_ipv4()).count() as u64);
        let inside = |net: &IpNet| addresses(&mut std::iter::once(*net)).iter().filter(|a| denied.contains(a)).count();
        let whole = |net: &IpNet| addresses(&mut std::iter::once(*net)).len();
        let covered = set.iter().filter(|net| inside(net) == whole(net)).count() as u64;
        let touched = set.iter().filter(|net| inside(net) > 0 && inside(net) < whole(net)).count() as u64;
        prop_assert_eq!((reach.protected.covered, reach.protected.touched), (covered, touched));
        let meets = |entry: &IpNet| set.iter().any(|net| net.contains(entry) || entry.contains(net));
        prop_assert_eq!(reach.protected.entries, list.iter().filter(meets).count() as u64);
    }

    #[test]
    fn a_change_is_the_difference_of_the_sets(
        before in prop::collection::btree_set(near(), 0..30), after in prop::collection::btree_set(near(), 0..30),
    ) {
        let change = change(&Prefixes::new(before.iter().copied()), &Prefixes::new(after.iter().copied()));
        prop_assert_eq!(change.added, after.difference(&before).count() as u64);
        prop_assert_eq!(change.removed, before.difference(&after).count() as u64);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it takes is the claim")]
fn a_million_entries_against_a_hundred_thousand_take_no_second() {
    // A multiplicative generator: spread over all of IPv4, the same each time.
    let spread = |number: u32| number.wrapping_mul(0x9e37_79b1);
    let list = Prefixes::new((0..1_000_000u32).map(|n| IpNet::from(std::net::IpAddr::from(spread(n).to_be_bytes()))));
    let around =
        (0..60_000u32).map(|n| IpNet::V4(Ipv4Net::new(spread(n.wrapping_mul(77)).into(), 24).unwrap().trunc()));
    let sources = (0..65_536u32).map(|n| (IpNet::from(std::net::IpAddr::from(spread(n * 31).to_be_bytes())), 1));
    let started = std::time::Instant::now();
    let reach = reach(&list, [], around.collect::<Vec<_>>(), sources);
    let took = started.elapsed();
    assert_eq!(reach.addresses_v4, 1_000_000);
    assert!(reach.well_behaved.covered > 30_000 && reach.never_block.any());
    let started = std::time::Instant::now();
    assert_eq!(change(&list, &list), Change::default());
    eprintln!("reach {took:?}, change {:?}", started.elapsed());
    if !cfg!(debug_assertions) {
        assert!(took.as_millis() < 1_000, "{took:?}");
    }
}
