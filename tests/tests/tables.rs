//! Whatever is decided, and however lists are switched: tables say what the naive model says.
#![expect(clippy::unwrap_used, reason = "a broken expectation is the test's failure")]
use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use weir::domain::decision::{Kind, ListEnforcement, ListId, Origin};
use weir::domain::desired::{ALLOW, BLOCK, Desired};
use weir::domain::guard::Guards;
use weir::domain::tables::{BuildError, Forecast, Image, OneChange, build, rows};
use weir_tests::tables::{
    BUILT_AT_S, Entry, KEY, LISTS, ROOM, Scenario, check, check_at, desired, info, model, probes,
};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Few distinct bits, so that prefixes nest, touch and repeat.
fn any_prefix() -> impl Strategy<Value = IpNet> {
    let v4 = (0u32..16, 0u8..=32).prop_map(|(bits, len)| {
        let address = std::net::Ipv4Addr::from(bits << 28 | (bits & 3) << 13 | bits);
        IpNet::new(IpAddr::V4(address), len).unwrap().trunc()
    });
    // Differences at the borders of what tables are made of: /3, /20, /26, /64, and the end.
    let v6 = (0u128..16, 0u128..4, 0u128..4, 0u128..4, 0u8..=128).prop_map(|(first, chunk, half, last, len)| {
        let bits = first << 124 | chunk << 107 | chunk << 101 | half << 63 | last;
        IpNet::new(IpAddr::V6(std::net::Ipv6Addr::from(bits)), len).unwrap().trunc()
    });
    prop_oneof![v4, v6]
}

fn entry() -> impl Strategy<Value = Entry> {
    (any_prefix(), 0u8..7, prop_oneof![Just(0u32), 1u32..9], any::<bool>(), any::<bool>())
        .prop_map(|(prefix, list, expires, observe, forced)| Entry { prefix, list, expires, observe, forced })
}

fn standing() -> impl Strategy<Value = [ListEnforcement; LISTS]> {
    let one = prop_oneof![
        2 => Just(ListEnforcement::Enforce),
        1 => Just(ListEnforcement::Observe),
        1 => Just(ListEnforcement::Limit),
        1 => Just(ListEnforcement::Off),
    ];
    proptest::collection::vec(one, LISTS).prop_map(|all| all.try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// Switching needs new rows only: that is what lets a list be switched without building tables.
    #[test]
    fn tables_say_what_the_decisions_say_and_new_rows_what_they_say_once_lists_are_switched(
        entries in proptest::collection::vec(entry(), 0..16),
        protected in proptest::collection::vec(any_prefix(), 0..2),
        never in proptest::collection::vec(any_prefix(), 0..2),
        before in standing(),
        after in standing(),
    ) {
        let scenario = Scenario { entries, crowd: 0, protected, never, before, after };
        scenario.check().map_err(TestCaseError::fail)?;
    }

    /// What is let in without a build must not keep the next one from being built.
    #[test]
    fn ends_over_an_address_are_never_counted_short(
        entries in proptest::collection::vec(entry(), 0..24), prefix in any_prefix(),
    ) {
        let desired = desired(entries.iter(), 0);
        let counted = desired.ends_within(prefix, usize::MAX - 1);
        let decisions: Vec<_> = desired.decisions().filter(|decision| decision.info.expiry.is_some()).collect();
        for address in probes(entries.iter().map(|entry| &entry.prefix).chain([&prefix])) {
            let over = decisions.iter().filter(|decision| decision.prefix.contains(&address)).count();
            prop_assert!(!prefix.contains(&address) || over <= counted, "{over} over {address}, {counted} counted");
        }
    }

    /// Nor may what is foreseen of live changes fall short of what the build of them all comes to.
    #[test]
    fn classes_of_changes_are_never_foreseen_short(
        entries in proptest::collection::vec(entry(), 0..16),
        never in proptest::collection::vec(any_prefix(), 0..2),
        changes in proptest::collection::vec((entry(), any::<bool>()), 1..12),
    ) {
        let guards = Guards::new([], never.into_iter().map(|prefix| (prefix, String::new())));
        let mut desired = desired(entries.iter(), 0);
        let image = build(&desired, &guards, ROOM, BUILT_AT_S, KEY).unwrap();
        let mut forecast = Forecast::new(image.sizes);
        for (Entry { prefix, list, expires, observe, forced }, is_removal) in changes {
            let list = desired.list_mut(ListId(u16::from(list.max(1)))).unwrap();
            let rank = list.origin.rank(list.kind);
            let before = list.on(prefix).count();
            if is_removal {
                list.entries.remove(&prefix);
            } else {
                list.entries.insert(prefix, info(expires, observe && list.kind == Kind::Deny, forced));
            }
            let change = OneChange { prefix, rank: (before < 2).then_some(rank), is_new: before == 0, ends: 0 };
            forecast.changed(forecast.of(&desired, &guards, change, image.is_switchable));
            let classes = build(&desired, &guards, ROOM, BUILT_AT_S, KEY).unwrap().sizes.classes;
            prop_assert!(classes <= forecast.classes(), "{classes}, {} foreseen: {change:?}", forecast.classes());
        }
    }

    #[test]
    fn the_order_in_which_decisions_came_does_not_matter(
        all in proptest::collection::vec(entry(), 0..40), by in any::<prop::sample::Index>(),
    ) {
        let mut all = all;
        all.sort_by_key(|entry| (entry.list, entry.prefix));
        all.dedup_by_key(|entry| (entry.list, entry.prefix));
        let image = build(&desired(all.iter(), 0), &Guards::default(), ROOM, BUILT_AT_S, KEY);
        let at = if all.is_empty() { 0 } else { by.index(all.len()) };
        let turned = all[at..].iter().rev().chain(&all[..at]);
        prop_assert_eq!(build(&desired(turned, 0), &Guards::default(), ROOM, BUILT_AT_S, KEY), image);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Behind a filter, and by quotient.
    #[test]
    fn tables_say_what_the_decisions_say_beside_a_crowd(
        entries in proptest::collection::vec(entry(), 0..16),
        crowd in prop_oneof![Just(60_000), Just(310_000)],
        before in standing(),
        after in standing(),
    ) {
        let scenario = Scenario { entries, crowd, protected: Vec::new(), never: Vec::new(), before, after };
        scenario.check().map_err(TestCaseError::fail)?;
    }
}

/// Both ends of the space, beside the shortest prefixes there are.
#[test]
fn half_the_internet_and_single_addresses_do_not_mix() {
    let mut desired = Desired::new();
    let wide = ["0.0.0.0/1", "::/1", "0.0.0.0/0", "::/0"];
    let narrow = ["0.0.0.0/32", "127.255.255.255/32", "128.0.0.0/32", "255.255.255.255/32", "::/128"];
    let deep = ["7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "8000::/128", "8000::/127", "ffff::/64", "2000::/3"];
    let prefixes: Vec<IpNet> = [&wide[..], &narrow, &deep].concat().into_iter().map(net).collect();
    let id = desired.list_for("named", Kind::Deny, &Origin::Operator).unwrap();
    for (at, prefix) in prefixes.iter().enumerate() {
        let list = [ALLOW, BLOCK, id][at % 3];
        desired.list_mut(list).unwrap().entries.insert(*prefix, info(0, false, false));
        let image = build(&desired, &Guards::default(), ROOM, BUILT_AT_S, KEY).unwrap();
        check(&model(&image, &image.rows), &desired, &Guards::default(), &probes(prefixes.iter())).unwrap();
    }
}

#[test]
fn every_length_begins_and_ends_where_it_should() {
    let mut desired = Desired::new();
    let v4 = (0..=32).map(|len| IpNet::new(IpAddr::from([203, 0, 113, 97]), len).unwrap().trunc());
    let v6 = IpAddr::V6(std::net::Ipv6Addr::from(0x2001_0db8_5555_aaaa_5555_aaaa_5555_aaaa));
    let all: Vec<IpNet> = v4.chain((0..=128).map(|len| IpNet::new(v6, len).unwrap().trunc())).collect();
    let id = desired.list_for("named", Kind::Deny, &Origin::Operator).unwrap();
    for prefix in &all {
        let list = if prefix.prefix_len().is_multiple_of(2) { BLOCK } else { id };
        desired.list_mut(list).unwrap().entries.insert(*prefix, info(0, false, false));
    }
    let image = build(&desired, &Guards::default(), ROOM, BUILT_AT_S, KEY).unwrap();
    check(&model(&image, &image.rows), &desired, &Guards::default(), &probes(all.iter())).unwrap();
}

/// Tables have room for small numbers: what most addresses have in common gets them, whoever came first, and what ends
/// still says the right ones.
#[test]
fn classes_of_most_addresses_come_first_and_runs_follow_them() {
    let mut desired = Desired::new();
    let address = |third: u8, last: u16| {
        let [high, low] = last.to_be_bytes();
        IpNet::from(IpAddr::from([10, third, high, low]))
    };
    for number in 0..400u16 {
        let id = desired.list_for(&format!("list{number}"), Kind::Deny, &Origin::Operator).unwrap();
        let list = desired.list_mut(id).unwrap();
        list.entries.insert(address(0, number), info(0, false, false));
        // Two ends over one address, with a third list underneath.
        list.entries.insert(address(1, number), info(5, false, false));
        list.entries.insert(address(1, number + 1), info(8, false, false));
    }
    let most: Vec<IpNet> = (0..2_000).map(|number| address(2, number)).collect();
    let id = desired.list_for("most", Kind::Deny, &Origin::Operator).unwrap();
    desired.list_mut(id).unwrap().imported = weir::domain::prefixes::Prefixes::new(most.iter().copied());
    let wide = desired.list_for("wide", Kind::Deny, &Origin::Operator).unwrap();
    desired.list_mut(wide).unwrap().entries.insert(net("10.1.0.0/16"), info(0, false, false));

    let image = build(&desired, &Guards::default(), ROOM, BUILT_AT_S, KEY).unwrap();
    assert!(image.classes.len() > 800, "{}", image.classes.len());
    assert_eq!(image.classes[0].lists().count(), 0);
    assert_eq!(image.classes[1].lists().collect::<Vec<_>>(), [id.0]);
    let prefixes: Vec<IpNet> = desired.decisions().map(|decision| decision.prefix).collect();
    check(&model(&image, &image.rows), &desired, &Guards::default(), &probes(prefixes.iter())).unwrap();
}

/// An address covered by so many entries that end one after the other, the narrowest first; `list` says whose each is.
fn ends(count: u8, list: impl Fn(u8) -> ListId) -> Desired {
    let mut desired = Desired::new();
    assert_eq!(desired.list_for("named", Kind::Deny, &Origin::Operator), Ok(ListId(3)));
    for i in 0..count {
        let prefix = IpNet::new(IpAddr::from([203, 0, 113, 0]), 32 - i).unwrap();
        desired.list_mut(list(i)).unwrap().entries.insert(prefix, info(10 + u32::from(i), false, false));
    }
    desired
}

#[track_caller]
fn check_ends(image: &Image, desired: &Desired) {
    let address = IpAddr::from([203, 0, 113, 0]);
    check_at(&model(image, &image.rows), desired, &Guards::default(), &[address], &(0..40).collect::<Vec<u32>>())
        .unwrap();
}

#[test]
fn many_ends_on_one_list_are_one_whatever_becomes_of_the_list() {
    let mut desired = ends(20, |_| BLOCK);
    let image = build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap();
    check_ends(&image, &desired);
    assert!(image.is_switchable);
    assert_eq!(image.sizes.classes, 2);
    desired.list_mut(BLOCK).unwrap().enforcement = ListEnforcement::Observe;
    check_ends(&Image { rows: rows(&image.classes, &desired), ..image }, &desired);
}

/// They are told apart no longer, so a switch of one of the lists needs a build.
#[test]
fn many_ends_that_decide_alike_as_the_lists_stand_are_one() {
    let mut desired = ends(0, |_| BLOCK);
    let prefix = net("203.0.113.0/24");
    desired.list_mut(BLOCK).unwrap().entries.insert(prefix, info(0, false, false));
    for i in 0..12u8 {
        let origin: Origin = format!("robot{i}").parse().unwrap();
        let id = desired.list_for(origin.name(), Kind::Deny, &origin).unwrap();
        desired.list_mut(id).unwrap().entries.insert(prefix, info(10 + u32::from(i), false, false));
    }
    let image = build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap();
    check_ends(&image, &desired);
    assert!(!image.is_switchable);
    desired.list_mut(BLOCK).unwrap().enforcement = ListEnforcement::Off;
    let error = build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap_err();
    assert_eq!(error, BuildError::TooManyEnds { prefix, ends: 12 });
}

#[test]
fn more_ends_than_the_kernel_follows_are_refused_with_the_prefix() {
    let in_turn = |i: u8| if i.is_multiple_of(2) { BLOCK } else { ListId(3) };
    assert!(build(&ends(8, in_turn), &Guards::default(), ROOM, 0, KEY).is_ok());
    let error = build(&ends(9, in_turn), &Guards::default(), ROOM, 0, KEY).unwrap_err();
    assert_eq!(error, BuildError::TooManyEnds { prefix: net("203.0.113.0/32"), ends: 9 });
    // Once the first is over they are few enough.
    assert!(build(&ends(9, in_turn), &Guards::default(), ROOM, 10, KEY).is_ok());
}
