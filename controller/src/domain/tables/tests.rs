use super::*;
use crate::domain::decision::{EntryInfo, Kind, Origin};
use crate::domain::desired::{ALLOW, BLOCK};
use crate::domain::prefixes::Prefixes;
use crate::domain::time::{BootSeconds, Expiry};
use jiff::Timestamp;
use proptest::prelude::*;
use std::sync::Arc;
use weir_common::addr::Source;
use weir_common::judge::classify;
use weir_common::model::Model;

const ROOM: Capacity = Capacity { addresses: 1000, prefixes: 1000 };

fn info(expires: u32, observe: bool, forced: bool) -> EntryInfo {
    EntryInfo {
        reason: Arc::from("test"),
        added_at: Timestamp::UNIX_EPOCH,
        expiry: (expires != 0).then(|| Expiry { boot: BootSeconds(u64::from(expires)), wall: Timestamp::UNIX_EPOCH }),
        enforcement: if observe {
            crate::domain::decision::Enforcement::Observe
        } else {
            crate::domain::decision::Enforcement::Enforce
        },
        forced,
        sequence: 0,
    }
}

/// The image as the kernel would hold it.
pub(crate) fn model(image: &Image, now_s: u32) -> Model {
    let mut model = Model::new();
    for (address, entry) in &image.exact_v4 {
        model.put(0, Source::V4(*address), 32, *entry);
    }
    for (address, entry) in &image.exact_v6 {
        model.put(0, Source::V6(*address), 128, *entry);
    }
    for (key, entry) in &image.prefix_v4 {
        model.put(0, Source::V4(key.address), u8::try_from(key.prefix_len).unwrap(), *entry);
    }
    for (key, entry) in &image.prefix_v6 {
        model.put(0, Source::V6(key.address), u8::try_from(key.prefix_len).unwrap(), *entry);
    }
    model.tables[0].chain.clone_from(&image.chain);
    model.tables[0].classes.clone_from(&image.classes);
    model.boot_seconds.set(u64::from(now_s));
    model
}

/// The image in slot 0 of a model.
pub(crate) fn model_at_zero(image: &Image) -> Model {
    model(image, 0)
}

fn source(address: IpAddr) -> Source {
    match address {
        IpAddr::V4(a) => Source::V4(a.octets()),
        IpAddr::V6(a) => Source::V6(a.octets()),
    }
}

#[test]
fn what_surely_fits_fits_and_what_is_shared_needs_a_build() {
    let net = |text: &str| -> IpNet { text.parse().unwrap() };
    let capacity = Capacity { addresses: 2, prefixes: 1 };
    let guards = Guards::new([(net("192.0.2.1/32"), "own".to_owned())], []);
    let mut desired = Desired::new();
    let fits = |desired: &Desired, more: &[&str]| {
        let more: Vec<IpNet> = more.iter().map(|text| net(text)).collect();
        surely_fit(desired, &guards, &more, capacity)
    };
    assert!(fits(&desired, &[]) && fits(&desired, &["192.0.2.2/32", "2001:db8::1/128", "192.0.2.0/24"]));
    assert!(!fits(&desired, &["192.0.2.2/32", "192.0.2.3/32"]));
    desired.list_mut(BLOCK).unwrap().entries.insert(net("192.0.2.2/32"), info(0, false, false));
    desired.list_mut(ALLOW).unwrap().entries.insert(net("192.0.2.2/32"), info(0, false, false));
    // Two lists, one address: it is not sure, and it does.
    assert!(!fits(&desired, &[]));
    assert!(build(&desired, &guards, capacity, 0).is_ok());
}

#[test]
fn what_does_not_fit_is_refused_with_the_number_and_the_list() {
    let mut desired = Desired::new();
    let id = desired.list_for("big", Kind::Deny, &Origin::Operator).unwrap();
    desired.list_mut(id).unwrap().imported =
        Prefixes::new((0..20u8).map(|i| IpNet::from(IpAddr::from([203, 0, 113, i]))));
    let room = Capacity { addresses: 15, prefixes: 15 };
    let error = build(&desired, &Guards::default(), room, 0).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("5 IPv4 addresses do not fit") && text.contains("big: 20"), "{text}");
}

#[test]
fn one_list_or_a_hundred_over_an_address_are_one_class() {
    let mut desired = Desired::new();
    for i in 0..100 {
        let id = desired.list_for(&format!("list{i}"), Kind::Deny, &Origin::Operator).unwrap();
        desired.list_mut(id).unwrap().imported =
            Prefixes::new((0..50u8).map(|i| IpNet::from(IpAddr::from([203, 0, 113, i]))));
    }
    let image = build(&desired, &Guards::default(), ROOM, 0).unwrap();
    assert_eq!(image.classes.len(), 2);
    assert_eq!(image.class_lists[1].len(), 100);
}

#[test]
fn counters_go_to_every_list_of_the_set() {
    let totals = attribute(&[vec![], vec![1, 3], vec![3]], &[(9, 9), (2, 20), (5, 50)]);
    assert_eq!(totals, BTreeMap::from([(1, (2, 20)), (3, (7, 70))]));
}

fn any_prefix() -> impl Strategy<Value = IpNet> {
    // Few distinct bits, so that prefixes nest, touch and repeat.
    let v4 = (0u32..16, 0u8..=32).prop_map(|(bits, len)| {
        let address = std::net::Ipv4Addr::from(bits << 28 | bits);
        IpNet::new(IpAddr::V4(address), len).unwrap().trunc()
    });
    let v6 = (0u128..16, 0u8..=128).prop_map(|(bits, len)| {
        let address = std::net::Ipv6Addr::from(bits << 124 | bits << 62 | bits);
        IpNet::new(IpAddr::V6(address), len).unwrap().trunc()
    });
    prop_oneof![v4, v6]
}

#[derive(Clone, Debug)]
struct Made {
    prefix: IpNet,
    list: u8,
    expires: u32,
    observe: bool,
    forced: bool,
}

fn made() -> impl Strategy<Value = Made> {
    (any_prefix(), 0u8..5, prop_oneof![Just(0u32), 1u32..8], any::<bool>(), any::<bool>())
        .prop_map(|(prefix, list, expires, observe, forced)| Made { prefix, list, expires, observe, forced })
}

fn desired_of(all: &[Made]) -> Desired {
    let mut desired = Desired::new();
    let automation: Origin = "robot".parse().unwrap();
    let robot = desired.list_for("robot", Kind::Deny, &automation).unwrap();
    let named = desired.list_for("named", Kind::Deny, &Origin::Operator).unwrap();
    let mut imported = Vec::new();
    for m in all {
        let id = match m.list {
            0 => ALLOW,
            1 => BLOCK,
            2 => robot,
            3 => named,
            _ => {
                imported.push(m.prefix);
                continue;
            }
        };
        let observe = m.observe && id != ALLOW;
        let forced = m.forced && id != robot;
        desired.list_mut(id).unwrap().entries.insert(m.prefix, info(m.expires, observe, forced));
    }
    desired.list_mut(named).unwrap().imported = Prefixes::new(imported);
    desired
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn tables_say_what_the_decisions_say(
        all in proptest::collection::vec(made(), 0..14),
        protected in proptest::collection::vec(any_prefix(), 0..2),
        never in proptest::collection::vec(any_prefix(), 0..2),
        probes in proptest::collection::vec((0u128..16, 0u128..16), 12),
    ) {
        let desired = desired_of(&all);
        let guards = Guards::new(
            protected.iter().map(|p| (*p, "p".to_owned())), never.iter().map(|p| (*p, "n".to_owned())));
        let Ok(image) = build(&desired, &guards, ROOM, 0) else { return Ok(()) };
        for now_s in [0u32, 1, 3, 7, 8, 100] {
            let model = model(&image, now_s);
            let slot = model.slots[0];
            for (high, low) in &probes {
                let v4 = IpAddr::V4(std::net::Ipv4Addr::from(u32::try_from(high << 28 | low).unwrap()));
                let v6 = IpAddr::V6(std::net::Ipv6Addr::from(high << 124 | low << 62 | low));
                for address in [v4, v6] {
                    let got = classify(&model, 0, &slot, source(address)).unwrap();
                    // The naive model: every live decision that covers the address and stands, the best order wins.
                    let covering: Vec<Item> = desired.covering(prefixes::single(address)).iter().map(Item::from).collect();
                    let flags = guards.flags(prefixes::single(address));
                    let best = |observe: bool| covering.iter()
                        .filter(|i| i.is_live(now_s.max(1)) || (now_s == 0))
                        .filter(|i| i.observe == observe && i.stands(flags))
                        .min_by_key(|i| (i.rank, u8::MAX - i.len)).map(|i| (i.rank, i.kind));
                    let enforced = got.enforced();
                    let seen = (!enforced.is_none()).then(|| (enforced.rank(), if enforced.is_allow() { Kind::Allow } else { Kind::Deny }));
                    prop_assert_eq!(seen, best(false), "{} at {}", address, now_s);
                    let weaker = |rank: u16| !enforced.is_none() && enforced.rank() <= rank;
                    let want = best(true).map(|(rank, _)| rank).filter(|rank| !weaker(*rank));
                    let observed = got.observed();
                    prop_assert_eq!((!observed.is_none()).then(|| observed.rank()), want, "{} at {}", address, now_s);
                }
            }
        }
    }
}
