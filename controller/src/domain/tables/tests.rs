use super::*;
use crate::domain::decision::{Enforcement, EntryInfo, Kind, ListId, Origin};
use crate::domain::desired::{ALLOW, BLOCK};
use crate::domain::prefixes::Prefixes;
use crate::domain::time::{BootSeconds, Expiry};
use jiff::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;
use weir_common::abi::{FILTERS_WORDS, NEAR_CLASSES, SLOTS, Slot};
use weir_common::addr::Source;
use weir_common::judge::{Classification, classify};
use weir_common::model::Model;

#[test]
fn a_slot_finds_a_filter_that_no_other_has() {
    let all: Vec<u32> = (0..SLOTS).map(|filter| filter * FILTERS_WORDS).collect();
    for (one, two, three) in triples(&all) {
        let free = free_filter(&[one, two, three]);
        assert!(all.contains(&free) && ![one, two, three].contains(&free), "{free} beside {one}, {two}, {three}");
    }
}

/// All triples, the same twice included.
fn triples(all: &[u32]) -> impl Iterator<Item = (u32, u32, u32)> {
    all.iter().flat_map(move |one| all.iter().flat_map(move |two| all.iter().map(move |three| (*one, *two, *three))))
}

const ROOM: Capacity = Capacity { addresses: 100_000, prefixes: 1000, bytes: 64 << 20 };
const KEY: [u64; 2] = [0x5eed, 0xfeed];

/// Nothing more yet, and all of it on one list.
const ONE_LIST: More = More { addresses: 0, prefixes: 0, lists: 1 };

fn info(expires: u32, observe: bool, forced: bool) -> EntryInfo {
    EntryInfo {
        reason: Arc::from("test"),
        added_at: Timestamp::UNIX_EPOCH,
        expiry: (expires != 0).then(|| Expiry { boot: BootSeconds(u64::from(expires)), wall: Timestamp::UNIX_EPOCH }),
        enforcement: if observe { Enforcement::Observe } else { Enforcement::Enforce },
        forced,
        sequence: 0,
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn source(address: IpAddr) -> Source {
    match address {
        IpAddr::V4(a) => Source::V4(a.octets()),
        IpAddr::V6(a) => Source::V6(a.octets()),
    }
}

fn ask(model: &Model, address: IpAddr) -> Classification {
    let slot: &Slot = &model.slots[0];
    classify(model, 0, slot, source(address)).unwrap()
}

#[test]
fn what_surely_fits_fits_and_what_is_shared_needs_a_build() {
    let capacity = Capacity { addresses: 2, prefixes: 1, bytes: 64 << 20 };
    let guards = Guards::new([(net("192.0.2.1/32"), "own".to_owned())], []);
    let mut desired = Desired::new();
    let fits = |desired: &Desired, more: usize| {
        build(desired, &guards, capacity, 0, KEY)
            .unwrap()
            .sizes
            .surely_fit(More { addresses: more, ..ONE_LIST }, capacity)
    };
    assert!(fits(&desired, 0) && fits(&desired, 1) && !fits(&desired, 2));
    desired.list_mut(BLOCK).unwrap().entries.insert(net("192.0.2.2/32"), info(0, false, false));
    assert!(fits(&desired, 0) && !fits(&desired, 1));
    // Another list, the same address: it is not sure, and it does.
    desired.list_mut(ALLOW).unwrap().entries.insert(net("192.0.2.2/32"), info(0, false, false));
    assert_eq!(build(&desired, &guards, capacity, 0, KEY).unwrap().sizes.addresses, [2, 0]);
    let fits = |classes, addresses, prefixes, lists| {
        let vast = Capacity { addresses: 1 << 40, prefixes: 1 << 40, bytes: u64::MAX };
        Sizes { classes, ..Sizes::default() }.surely_fit(More { addresses, prefixes, lists }, vast)
    };
    assert!(fits(8_191, 100_000, 1_000, 1) && !fits(8_192, 100_000, 1_000, 1), "classes, by lists");
    assert!(fits(60_000, 615, 0, 9) && !fits(60_000, 616, 0, 9), "classes, by addresses");
    assert!(fits(8_000, 10, 3, 9) && !fits(8_000, 10, 4, 9), "classes, by prefixes");
    let little = Capacity { bytes: 6 << 20, ..capacity };
    assert!(!build(&desired, &guards, little, 0, KEY).unwrap().sizes.surely_fit(ONE_LIST, little), "memory");
}

#[test]
fn what_does_not_fit_is_refused_with_the_number_and_the_list() {
    let mut desired = Desired::new();
    let id = desired.list_for("big", Kind::Deny, &Origin::Operator).unwrap();
    desired.list_mut(id).unwrap().imported =
        Prefixes::new((0..20u8).map(|i| IpNet::from(IpAddr::from([203, 0, 113, i]))));
    let room = Capacity { addresses: 15, prefixes: 15, ..ROOM };
    let error = build(&desired, &Guards::default(), room, 0, KEY).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("5 IPv4 addresses do not fit") && text.contains("big: 20"), "{text}");
    assert!(text.contains("nothing was changed") && text.contains("max_addresses"), "{text}");
}

#[test]
fn tables_of_more_memory_than_they_may_take_are_refused() {
    let mut desired = Desired::new();
    desired.list_mut(BLOCK).unwrap().entries.insert(net("2001:db8::/32"), info(0, false, false));
    let sizes = build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap().sizes;
    let room = |bytes| Capacity { bytes, ..ROOM };
    assert!(build(&desired, &Guards::default(), room(sizes.bytes), 0, KEY).is_ok());
    let error = build(&desired, &Guards::default(), room(sizes.bytes - 1), 0, KEY).unwrap_err();
    assert!(matches!(error, BuildError::TooLarge { wanted, fit, .. } if wanted == sizes.bytes && fit == wanted - 1));
    let text = error.to_string();
    assert!(text.contains("block: 1") && text.contains("max_table_mib"), "{text}");
}

#[test]
fn one_list_or_a_hundred_over_an_address_are_one_class() {
    let mut desired = Desired::new();
    for i in 0..100 {
        let id = desired.list_for(&format!("list{i}"), Kind::Deny, &Origin::Operator).unwrap();
        desired.list_mut(id).unwrap().imported =
            Prefixes::new((0..50u8).map(|i| IpNet::from(IpAddr::from([203, 0, 113, i]))));
    }
    let image = build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap();
    assert_eq!((image.rows.len(), image.classes.len(), image.sizes.classes), (2, 2, 2));
    assert_eq!(image.classes[1].lists().count(), 100);
    assert!(image.is_switchable);
}

#[test]
fn counters_go_to_every_list_of_the_set() {
    let class = |lists: &[u16]| Class {
        flags: 0,
        members: lists.iter().map(|list| Member { list: *list, observe: false, forced: false }).collect(),
    };
    let classes = [class(&[]), class(&[1, 3, 1]), class(&[3])];
    let totals = attribute(&classes, &[(9, 9), (2, 20), (5, 50)]);
    assert_eq!(totals, BTreeMap::from([(1, (2, 20)), (3, (7, 70))]));
}

/// Eight lists over /24s and eight over addresses in them: every set of the sixteen is a class.
fn all_sets_of_sixteen() -> Desired {
    let mut desired = Desired::new();
    let lists: Vec<ListId> =
        (0..16).map(|i| desired.list_for(&format!("list{i}"), Kind::Deny, &Origin::Operator).unwrap()).collect();
    for (bit, id) in lists.into_iter().enumerate() {
        let prefixes = (0..=u8::MAX).filter(|set| set >> (bit % 8) & 1 == 1).flat_map(|set| {
            let narrow = (0..=u8::MAX).map(move |wide| (IpAddr::from([10, 0, wide, set]), 32));
            let all = std::iter::once((IpAddr::from([10, 0, set, 0]), 24)).chain(narrow);
            all.filter(move |(_, len)| (*len == 24) == (bit < 8)).map(|(a, len)| IpNet::new(a, len).unwrap())
        });
        desired.list_mut(id).unwrap().imported = Prefixes::new(prefixes);
    }
    desired
}

#[test]
fn as_many_classes_as_there_are_numbers_fit_and_one_more_is_refused_with_its_lists() {
    let mut desired = all_sets_of_sixteen();
    let error = build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap_err();
    assert_eq!(error, BuildError::TooManyClasses("list9: 32768, list8: 32768, list15: 32768".to_owned()));
    // Address 255 of the last /24 was the only one with all sixteen.
    let last = IpNet::from(IpAddr::from([10, 0, 255, 255]));
    for list in desired.lists_mut() {
        list.imported = Prefixes::new(list.imported.iter().filter(|prefix| *prefix != last));
    }
    let image = build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap();
    assert_eq!(image.classes.len(), MAX_CLASSES);
    let mut model = Model::new();
    model.load(0, image.tables.layout, (&image.tables.lines, &image.tables.filters), &image.rows);
    for (wide, set) in (0..=u8::MAX).flat_map(|wide| (0..=u8::MAX).map(move |set| (wide, set))) {
        let got = ask(&model, IpAddr::from([10, 0, wide, set]));
        let set = if (wide, set) == (255, 255) { 0 } else { set };
        let lists: Vec<u16> = image.classes[got.class as usize].lists().collect();
        let bits = u32::from(wide) | u32::from(set) << 8;
        let wanted: Vec<u16> = (0..16u16).filter(|bit| bits >> bit & 1 == 1).map(|bit| 3 + bit).collect();
        assert_eq!(lists, wanted, "{wide} {set}");
    }
    assert!(image.rows.len() > NEAR_CLASSES);
}

/// A feed that names a network and addresses in it is no other class than one that names addresses.
#[test]
fn prefixes_of_one_list_inside_each_other_are_one_class() {
    let mut desired = Desired::new();
    let nested = (0..=32).map(|len| IpNet::new(IpAddr::from([203, 0, 113, 97]), len).unwrap().trunc());
    desired.list_mut(BLOCK).unwrap().imported = Prefixes::new(nested);
    assert_eq!(build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap().sizes.classes, 2);
}

/// The dearest prefixes there are: each makes half a group of IPv6 differ from its background.
#[test]
fn what_surely_fits_fits_whatever_it_costs() {
    let halves = (0..5_000u128).map(|group| IpNet::new(IpAddr::V6((1 << 125 | group << 108).into()), 21).unwrap());
    let mut desired = Desired::new();
    let empty = build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap().sizes;
    desired.list_mut(BLOCK).unwrap().imported = Prefixes::new(halves);
    let prefixes = 10_000;
    let wanted = build(&desired, &Guards::default(), Capacity { prefixes, ..ROOM }, 0, KEY).unwrap().sizes.bytes;
    assert!(!empty.surely_fit(More { prefixes: 5_000, ..ONE_LIST }, Capacity { prefixes, bytes: wanted - 1, ..ROOM }));
}

#[test]
fn a_generations_keys_are_its_own() {
    assert_eq!(generation_key(7, 1), generation_key(7, 1));
    assert_ne!(generation_key(7, 1), generation_key(7, 2));
    assert_ne!(generation_key(7, 1), generation_key(8, 1));
}
