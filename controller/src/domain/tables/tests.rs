use super::*;
use crate::domain::decision::{Enforcement, EntryInfo, Kind, ListId, Origin};
use crate::domain::desired::{ALLOW, BLOCK};
use crate::domain::prefixes::Prefixes;
use crate::domain::time::{BootSeconds, Expiry};
use jiff::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;
use weir_common::abi::{FILTER_WORDS, NEAR_CLASSES, SLOTS, Slot};
use weir_common::addr::Source;
use weir_common::judge::{Classification, classify};
use weir_common::model::Model;

#[test]
fn a_slot_finds_a_filter_that_no_other_has() {
    let all: Vec<u32> = (0..SLOTS).map(|filter| filter * FILTER_WORDS).collect();
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
    let forecast = |desired: &Desired| Forecast::new(build(desired, &guards, capacity, 0, KEY).unwrap().sizes);
    let fits =
        |desired: &Desired, entries: usize| forecast(desired).surely_fits(More { entries, classes: 0 }, capacity);
    assert!(fits(&desired, 0) && fits(&desired, 1) && !fits(&desired, 2));
    desired.list_mut(BLOCK).unwrap().entries.insert(net("192.0.2.2/32"), info(0, false, false));
    assert!(fits(&desired, 0) && !fits(&desired, 1));
    // Another list, the same address: it is not sure, and it does.
    desired.list_mut(ALLOW).unwrap().entries.insert(net("192.0.2.2/32"), info(0, false, false));
    assert_eq!(build(&desired, &guards, capacity, 0, KEY).unwrap().sizes.addresses, [2, 0]);
    let classes = |more| {
        let vast = Capacity { addresses: 1 << 40, prefixes: 1 << 40, bytes: u64::MAX };
        let known = Forecast::new(Sizes { classes: 60_000, ..Sizes::default() });
        known.surely_fits(More { entries: 0, classes: more }, vast)
    };
    assert!(classes(MAX_CLASSES - 60_000) && !classes(MAX_CLASSES - 59_999));
    let little = Capacity { bytes: 6 << 20, ..capacity };
    assert!(!forecast(&desired).surely_fits(More::default(), little), "memory");
}

/// As the sync task asks before an entry is added, and notes it once it is there.
fn add(desired: &mut Desired, forecast: &mut Forecast, list: ListId, prefix: IpNet, expires: u32) -> bool {
    let rank = desired.list(list).map(|list| list.origin.rank(list.kind));
    let is_new = desired.list(list).unwrap().on(prefix).next().is_none();
    let change = OneChange { prefix, rank, is_new, ends: usize::from(expires != 0) };
    let fits = forecast.surely_fits(forecast.of(desired, &Guards::default(), change, true), PLENTY);
    desired.list_mut(list).unwrap().entries.insert(prefix, info(expires, false, false));
    let change = OneChange { ends: 0, ..change };
    forecast.changed(forecast.of(desired, &Guards::default(), change, true));
    fits
}

const PLENTY: Capacity = Capacity { addresses: 1_000_000, prefixes: 100_000, bytes: 256 << 20 };

/// Nine lists, every set of which is a class: prefixes by thousands are added to them, more than are ever live at once,
/// and beside, on and around what is listed.
#[test]
fn thousands_of_prefixes_beside_hundreds_of_classes_surely_fit() {
    let mut desired = Desired::new();
    for bit in 0..9u32 {
        let id = desired.list_for(&format!("list{bit}"), Kind::Deny, &Origin::Operator).unwrap();
        let sets = (0..1u32 << 9).filter(|set| set >> bit & 1 == 1);
        let addresses = sets.map(|set| IpNet::from(IpAddr::from((10 << 24 | set << 8 | 9).to_be_bytes())));
        desired.list_mut(id).unwrap().imported = Prefixes::new(addresses);
    }
    let sizes = build(&desired, &Guards::default(), PLENTY, 0, KEY).unwrap().sizes;
    assert_eq!(sizes.classes, 512);
    let mut forecast = Forecast::new(sizes);
    for number in 0..6_000u32 {
        // Inside of what is listed, around it, elsewhere, and single addresses.
        let (set, round) = ((number / 4 % 512) << 8, number / 4 / 512);
        let (first, len, expires) = match number % 4 {
            0 => (10 << 24 | set, 25 + round, 0),
            1 => (10 << 24 | set, 24 - round, 0),
            2 => (11 << 24 | number << 8, 24, 1_000 + number),
            _ => (203 << 24 | number, 32, 1_000 + number),
        };
        let prefix = IpNet::new(IpAddr::from(first.to_be_bytes()), u8::try_from(len).unwrap()).unwrap().trunc();
        assert!(add(&mut desired, &mut forecast, BLOCK, prefix, expires), "{prefix}, the {number}th");
    }
    let now = build(&desired, &Guards::default(), PLENTY, 0, KEY).unwrap().sizes.classes;
    assert!(now <= forecast.classes() && now > 512, "{now} classes, {} foreseen", forecast.classes());
}

/// What a running build does not hold counts on top of it, and a build that was tried holds as long as all of it stays.
#[test]
fn what_is_foreseen_begins_anew_with_each_build() {
    let sizes = |classes| Sizes { classes, ..Sizes::default() };
    let more = |classes| More { entries: 1, classes };
    let mut forecast = Forecast::new(sizes(10));
    forecast.changed(more(5));
    forecast.begins();
    forecast.changed(more(7));
    assert_eq!(forecast.classes(), 22);
    forecast.built(sizes(12));
    assert_eq!(forecast.classes(), 19);
    forecast.tried(sizes(13));
    forecast.changed(more(2));
    assert_eq!(forecast.classes(), 15);
    forecast.undone();
    assert_eq!(forecast.classes(), 21);
}

#[test]
fn tables_are_held_against_ceilings_as_a_build_holds_them() {
    let mut desired = Desired::new();
    let id = desired.list_for("big", Kind::Deny, &Origin::Operator).unwrap();
    let all = (0..20u8).flat_map(|i| [(IpAddr::from([203, 0, 113, i]), 32), (IpAddr::from([10, i, 0, 0]), 16)]);
    desired.list_mut(id).unwrap().imported = Prefixes::new(all.map(|(first, len)| IpNet::new(first, len).unwrap()));
    let sizes = build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap().sizes;
    let least = Capacity { addresses: 20, prefixes: 20, bytes: sizes.bytes };
    assert_eq!(sizes.check(&desired, least), Ok(()));
    for less in [
        Capacity { addresses: 19, ..least },
        Capacity { prefixes: 19, ..least },
        Capacity { bytes: least.bytes - 1, ..least },
    ] {
        assert!(less.is_below(least) && !least.is_below(less), "{less:?}");
        let refused = build(&desired, &Guards::default(), less, 0, KEY).unwrap_err();
        assert_eq!(sizes.check(&desired, less), Err(refused), "{less:?}");
    }
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
    assert!(matches!(&error, BuildError::TooManyClasses(lists) if lists.contains("list")), "{error}");
    // Address 255 of the last /24 was the only one with all sixteen.
    let last = IpNet::from(IpAddr::from([10, 0, 255, 255]));
    for list in desired.lists_mut() {
        list.imported = Prefixes::new(list.imported.iter().filter(|prefix| *prefix != last));
    }
    let image = build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap();
    assert_eq!(image.classes.len(), MAX_CLASSES);
    let mut model = Model::new();
    model.load(0, image.tables.layout, (&image.tables.lines, &image.tables.filter), &image.rows);
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

#[test]
fn too_many_classes_are_blamed_on_the_lists_that_overlap_and_not_on_the_largest() {
    let mut desired = all_sets_of_sixteen();
    for big in 0..3u8 {
        let id = desired.list_for(&format!("big{big}"), Kind::Deny, &Origin::Operator).unwrap();
        let addresses = (0..40_000u32).map(|i| IpNet::from(IpAddr::from((u32::from(big + 1) << 24 | i).to_be_bytes())));
        desired.list_mut(id).unwrap().imported = Prefixes::new(addresses);
    }
    let text = build(&desired, &Guards::default(), Capacity { addresses: 1 << 20, ..ROOM }, 0, KEY).unwrap_err();
    let text = text.to_string();
    assert!(text.contains("list") && text.contains("of them)") && !text.contains("big"), "{text}");
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
    let empty = Forecast::new(build(&desired, &Guards::default(), ROOM, 0, KEY).unwrap().sizes);
    desired.list_mut(BLOCK).unwrap().imported = Prefixes::new(halves);
    let prefixes = 10_000;
    let wanted = build(&desired, &Guards::default(), Capacity { prefixes, ..ROOM }, 0, KEY).unwrap().sizes.bytes;
    let more = More { entries: 5_000, classes: 5_000 };
    assert!(!empty.surely_fits(more, Capacity { prefixes, bytes: wanted - 1, ..ROOM }));
}

#[test]
fn a_generations_keys_are_its_own() {
    assert_eq!(generation_key(7, 1), generation_key(7, 1));
    assert_ne!(generation_key(7, 1), generation_key(7, 2));
    assert_ne!(generation_key(7, 1), generation_key(8, 1));
}
