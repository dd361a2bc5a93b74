use proptest::prelude::*;

use super::*;
use crate::domain::prefixes::covering;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Prefixes of few bits, so that they nest, touch and repeat, at the start and at the end of both families.
fn prefixes() -> impl Strategy<Value = Vec<(IpNet, Option<u8>)>> {
    let v4 = (any::<bool>(), 0u32..64, 26u8..=32).prop_map(|(high, low, len)| {
        let address = if high { !low } else { low };
        IpNet::new(IpAddr::from(address.to_be_bytes()), len).unwrap().trunc()
    });
    let v6 = (any::<bool>(), 0u128..64, 122u8..=128).prop_map(|(high, low, len)| {
        let address = if high { !low } else { low };
        IpNet::new(IpAddr::from(address.to_be_bytes()), len).unwrap().trunc()
    });
    let wide = prop_oneof![Just(net("0.0.0.0/0")), Just(net("::/0")), Just(net("128.0.0.0/1"))];
    let one = prop_oneof![6 => v4, 3 => v6, 1 => wide];
    prop::collection::vec((one, prop::option::weighted(0.8, 0u8..4)), 0..40)
}

fn ranges() -> impl Strategy<Value = Vec<(Range, Option<u8>)>> {
    let one = (0u32..64, 0u32..64).prop_map(|(a, b)| Range::V4(a.min(b), a.max(b)));
    prop::collection::vec((one, prop::option::weighted(0.8, 0u8..4)), 0..24)
}

fn addresses() -> impl Iterator<Item = IpAddr> {
    let v4 = (0u32..70).chain((0..70).map(|low| !low)).chain([1 << 31, (1 << 31) - 1]);
    // IPv6 from the lowest on: none of these is IPv4-mapped.
    let v6 = (0u128..70).chain((0..70).map(|low: u128| !low));
    v4.map(|a| IpAddr::from(a.to_be_bytes())).chain(v6.map(|a| IpAddr::from(a.to_be_bytes())))
}

proptest! {
    #[test]
    fn a_layer_answers_as_a_longest_prefix_match(all in prefixes()) {
        let layer = Layer::build(all.iter().map(|(net, value)| (Range::from(*net), *value)));
        for address in addresses() {
            let longest = covering(address.into()).filter_map(|wide| all.iter().rev().find(|(net, _)| *net == wide)).last();
            prop_assert_eq!(layer.get(address), longest.and_then(|(_, value)| *value), "{}", address);
        }
    }

    #[test]
    fn of_overlapping_ranges_the_smallest_and_of_those_the_last_is_right(all in ranges()) {
        let layer = Layer::build(all.iter().copied());
        for address in 0u32..70 {
            let mut best: Option<(u32, Option<u8>)> = None;
            for (range, value) in &all {
                if let Range::V4(first, last) = *range
                    && (first..=last).contains(&address)
                    && best.is_none_or(|(size, _)| last - first <= size)
                {
                    best = Some((last - first, *value));
                }
            }
            prop_assert_eq!(layer.get(IpAddr::from(address.to_be_bytes())), best.and_then(|(_, value)| value));
        }
    }

    #[test]
    fn prefixes_of_a_value_are_its_addresses_and_the_fewest(all in prefixes()) {
        let layer = Layer::build(all.iter().map(|(net, value)| (Range::from(*net), *value)));
        let spaces = layer.spaces(|_| true);
        for (value, space) in &spaces {
            let nets: Vec<IpNet> = space.prefixes().iter().collect();
            prop_assert_eq!(IpNet::aggregate(&nets).len(), nets.len());
            prop_assert_eq!(&layer.space(|other| other == *value), space);
            for address in addresses() {
                prop_assert_eq!(nets.iter().any(|net| net.contains(&address)), layer.get(address) == Some(*value));
            }
        }
        prop_assert_eq!(layer.values(), spaces.into_keys().collect::<Vec<_>>());
    }

    #[test]
    fn the_order_of_disjoint_ranges_does_not_matter(all in prefixes()) {
        let layer = Layer::build(all.iter().map(|(net, value)| (Range::from(*net), *value)));
        let mut ranges: Vec<_> = layer.ranges().map(|(range, value)| (range, Some(value))).collect();
        ranges.reverse();
        let again = Layer::build(ranges);
        prop_assert_eq!(again.ranges().collect::<Vec<_>>(), layer.ranges().collect::<Vec<_>>());
    }
}

#[test]
fn backward_and_mixed_ranges_are_refused() {
    let range = |first: &str, last: &str| Range::new(first.parse().unwrap(), last.parse().unwrap());
    assert!(range("192.0.2.0", "192.0.2.255").is_ok());
    assert_eq!(range("192.0.2.1", "192.0.2.0").unwrap_err().to_string(), "192.0.2.1 comes after 192.0.2.0");
    assert!(range("192.0.2.0", "2001:db8::").unwrap_err().to_string().contains("one family"));
}

#[test]
fn an_empty_layer_knows_nothing() {
    for layer in [Layer::<u8>::default(), Layer::build([]), Layer::build([(Range::from(net("192.0.2.0/24")), None)])] {
        assert!(layer.is_empty());
        assert_eq!((layer.get("192.0.2.1".parse().unwrap()), layer.known_v4()), (None, 0));
    }
}
