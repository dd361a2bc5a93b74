use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use weir_common::abi::{FILTER_WORDS, low};
use weir_common::lookup::{self, HASHED_STEPS, HASHED_WAYS, QUOTIENT_SPILLED, QUOTIENT_WAYS, hash_v6, line_of, mix_v4};
use weir_common::model::Model;

use super::exact::halves;

const KEY: [u64; 2] = [0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321];

/// As many as there can be: the first run is then the first value that a quotient table has no room for.
const CLASSES: u32 = 65_535;
const RUNS: u32 = 1_000;

/// A family whose tables can be asked.
trait Family: Copy + Ord + std::hash::Hash + std::fmt::LowerHex {
    fn put(values: &mut Values, flat: Flat<Self>);
    fn ask(model: &Model, layout: &Layout, address: Self) -> u32;
    fn around(self) -> [Self; 3];
}

impl Family for u32 {
    fn put(values: &mut Values, flat: Flat<Self>) {
        values.v4 = flat;
    }
    fn ask(model: &Model, layout: &Layout, address: Self) -> u32 {
        lookup::v4(model, 0, layout, address).unwrap()
    }
    fn around(self) -> [Self; 3] {
        [self.wrapping_sub(1), self, self.wrapping_add(1)]
    }
}

impl Family for u128 {
    fn put(values: &mut Values, flat: Flat<Self>) {
        values.v6 = flat;
    }
    fn ask(model: &Model, layout: &Layout, address: Self) -> u32 {
        let (upper, lower) = halves(address);
        lookup::v6(model, 0, layout, upper, lower).unwrap()
    }
    fn around(self) -> [Self; 3] {
        [self.wrapping_sub(1), self, self.wrapping_add(1)]
    }
}

/// What the tables are to say, kept so simply that it can only be right.
struct Naive<A> {
    exact: HashMap<A, u32>,
    ranges: BTreeMap<A, u32>,
}

impl<A: Family> Naive<A> {
    fn new(exact: impl IntoIterator<Item = (A, u32)>, ranges: impl IntoIterator<Item = (A, u32)>) -> Self {
        Self { exact: exact.into_iter().collect(), ranges: ranges.into_iter().collect() }
    }

    fn flat(&self) -> Flat<A> {
        let exact: BTreeMap<A, u32> = self.exact.iter().map(|(address, value)| (*address, *value)).collect();
        Flat { exact: exact.into_iter().collect(), ranges: self.ranges.iter().map(|(a, v)| (*a, *v)).collect() }
    }

    /// The value in the tables' own numbers: runs come behind the classes.
    fn value(&self, address: A) -> u32 {
        let exact = self.exact.get(&address);
        let range = || self.ranges.range(..=address).next_back().map(|(_, value)| value);
        let value = exact.or_else(range).copied().unwrap_or(0);
        if value & RUN == 0 { value } else { CLASSES + (value & !RUN) }
    }

    fn laid_out(&self) -> Laid {
        let mut values = Values { runs: (0..u64::from(RUNS)).collect(), classes: CLASSES, ..Values::default() };
        A::put(&mut values, self.flat());
        Laid::new(lay_out(&values, KEY).unwrap())
    }

    /// Both say the same of every address at which anything changes, of its neighbours, and of these.
    #[track_caller]
    fn check(&self, others: impl IntoIterator<Item = A>) -> Laid {
        let laid = self.laid_out();
        for (address, _) in
            self.ranges.iter().chain(&self.exact.iter().map(|(a, v)| (*a, *v)).collect::<BTreeMap<_, _>>())
        {
            for probe in address.around() {
                assert_eq!(A::ask(&laid.model, &laid.layout, probe), self.value(probe), "{probe:x}");
            }
        }
        for probe in others {
            assert_eq!(A::ask(&laid.model, &laid.layout, probe), self.value(probe), "{probe:x}");
        }
        laid
    }
}

/// Tables where packets find them.
struct Laid {
    model: Model,
    layout: Layout,
}

impl Laid {
    fn new(tables: Tables) -> Self {
        let mut model = Model::new();
        model.tables[0].lines = tables.lines;
        model.tables[0].filter = tables.filter;
        Self { model, layout: tables.layout }
    }

    fn lines(&self, first: u32, lines: u32) -> &[Line] {
        &self.model.tables[0].lines[first as usize..(first + lines) as usize]
    }
}

/// Classes small and large, and runs, the first of them at the edge of 16 bits.
fn value() -> impl Strategy<Value = u32> {
    prop_oneof![
        3 => 1..5u32,
        1 => CLASSES - 2..CLASSES,
        2 => (0..RUNS).prop_map(|run| RUN | run),
        1 => prop_oneof![Just(RUN), Just(RUN | 1), Just(RUN | (RUNS - 1))],
    ]
}

/// As above, or unlisted.
fn value_or_none() -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0u32), 3 => value()]
}

/// Where a range begins and where the next one does, as a prefix.
fn prefix_v4(address: u32, len: u32) -> (u32, u32) {
    let size_less_one = u32::MAX.checked_shr(len).unwrap_or(0);
    (address & !size_less_one, (address | size_less_one).wrapping_add(1))
}

fn start_v4() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        // One /18 and its neighbours.
        0xc0a8_0000..0xc0a8_4000u32,
        0xc0a8_0000..0xc0a8_0020u32,
        0xc0a7_fff0..0xc0a8_8010u32,
        // Borders of chunks.
        (0..=0x3ffffu32, -1..2i32).prop_map(|(chunk, by)| (chunk << 14).wrapping_add_signed(by)),
        prop_oneof![Just(0u32), Just(1), Just(u32::MAX), Just(u32::MAX - 1), Just(1 << 31)],
    ]
}

/// Ranges as prefixes leave them, and as they come.
fn ranges_v4() -> impl Strategy<Value = Vec<(u32, u32)>> {
    let prefix =
        (start_v4(), 0..=32u32, value_or_none(), value_or_none()).prop_map(|(address, len, inside, behind)| {
            let (first, next) = prefix_v4(address, len);
            vec![(first, inside), (next, if next == 0 { inside } else { behind })]
        });
    let start = (start_v4(), value_or_none()).prop_map(|start| vec![start]);
    vec(prop_oneof![prefix, start], 0..120).prop_map(|ranges| ranges.concat())
}

fn prefix_v6(address: u128, len: u32) -> (u128, u128) {
    let size_less_one = u128::MAX.checked_shr(len).unwrap_or(0);
    (address & !size_less_one, (address | size_less_one).wrapping_add(1))
}

/// `2001:d80::/26`, where most of what is tried lies.
const HOME: u128 = 0x2001_0d80 << 96;

fn start_v6() -> impl Strategy<Value = u128> {
    prop_oneof![
        any::<u128>(),
        any::<u128>().prop_map(|any| any >> 3 | 1 << 125),
        // One /26, by /64s; few of them, and many.
        (0..1u128 << 38).prop_map(|net| HOME | net << 64),
        (0..40u128).prop_map(|net| HOME | net << 64),
        // Inside of one /64, and of two that touch.
        any::<u64>().prop_map(|lower| HOME | u128::from(lower)),
        (0..16u128).prop_map(|lower| HOME | lower),
        (0..32u128).prop_map(|by| (HOME | 1 << 64) + by - 16),
        // Borders of /20s and /26s.
        (0..1u128 << 17, 0..3u128).prop_map(|(group, by)| (1 << 125 | group << 108) + by - 1),
        (0..200u128, 0..3u128).prop_map(|(chunk, by)| (HOME & !((1 << 108) - 1) | chunk << 102) + by - 1),
        // Borders of the global space, and of everything.
        (0..4u128, 1..3u128).prop_map(|(by, third)| (third << 125) + by - 2),
        (0..4u128).prop_map(|by| by.wrapping_sub(2)),
    ]
}

fn ranges_v6() -> impl Strategy<Value = Vec<(u128, u32)>> {
    let prefix =
        (start_v6(), 0..=128u32, value_or_none(), value_or_none()).prop_map(|(address, len, inside, behind)| {
            let (first, next) = prefix_v6(address, len);
            vec![(first, inside), (next, if next == 0 { inside } else { behind })]
        });
    let start = (start_v6(), value_or_none()).prop_map(|start| vec![start]);
    vec(prop_oneof![prefix, start], 0..120).prop_map(|ranges| ranges.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn ipv4_tables_say_what_they_are_to_say(
        ranges in ranges_v4(), exact in vec((start_v4(), value()), 0..60), others in vec(start_v4(), 40),
    ) {
        Naive::new(exact, ranges).check(others);
    }

    #[test]
    fn ipv6_tables_say_what_they_are_to_say(
        ranges in ranges_v6(), exact in vec((start_v6(), value()), 0..60), others in vec(start_v6(), 40),
    ) {
        Naive::new(exact, ranges).check(others);
    }
}

#[test]
fn no_entries_are_no_tables() {
    let tables = lay_out(&Values { classes: 1, ..Values::default() }, KEY).unwrap();
    assert_eq!(tables.lines.len(), 1);
    let laid = Laid::new(tables);
    for address in [0, 1, u32::MAX] {
        assert_eq!(u32::ask(&laid.model, &laid.layout, address), 0);
    }
    for address in [0, HOME, u128::MAX] {
        assert_eq!(u128::ask(&laid.model, &laid.layout, address), 0);
    }
}

#[test]
fn a_chunk_in_which_every_address_differs_is_searched() {
    let chunk = 0xc0a8_0000u32;
    let ranges = (0..1 << 14).map(|offset| (chunk + offset, 1 + offset % 7)).chain([(chunk + (1 << 14), 0)]);
    Naive::new([], ranges).check([]);
}

#[test]
fn a_64_in_which_every_address_differs_is_searched_and_the_next_one_too() {
    let ranges = (0..6_000u128).map(|offset| (HOME - 3_000 + offset, 1 + low_of(offset) % 7));
    let laid = Naive::new([], ranges.chain([(HOME + 3_000, 0)])).check([]);
    assert_ne!(laid.layout.deep, 0);
}

#[test]
fn a_26_with_many_64s_is_searched_and_its_neighbours_keep_their_lines() {
    let nets = (0..5_000u128).map(|net| (HOME | net << 70, 1 + low_of(net) % 7));
    let neighbours = [(HOME - (1 << 102), 9), (HOME - (1 << 101), 0), (HOME + (1 << 102), 8), (HOME + (3 << 101), 0)];
    Naive::new([], nets.chain(neighbours)).check([]);
}

/// Lines of a background take no room: a /3 with a hole is a chunk of its own, not eight million.
#[test]
fn most_of_a_group_is_its_background() {
    let ranges = [(1 << 125, 3), (HOME, 5), (HOME + (1 << 80), 3), (2 << 125, 0)];
    let laid = Naive::new([], ranges).check([1 << 125, (2 << 125) - 1, u128::MAX]);
    let chunks = laid.layout.runs - laid.layout.chunks_v6;
    assert_eq!((chunks, laid.layout.elsewhere_v6_lines), (1, 0));
}

/// A chunk with one prefix is a word, and a line only where its value is too large for that or what is around the prefix is
/// not what is around the chunk.
#[test]
fn a_26_with_one_prefix_inside_has_no_line() {
    // Line 0, the bitmap, the ranks, the chunk's word, and the runs that every one of these has.
    let least = 1 + (1 << 14) + (1 << 13) + 1 + RUNS.div_ceil(8) as usize;
    for len in 27..=64 {
        let size = 1u128 << (128 - len);
        // At the beginning of the chunk, at its end, and between.
        for start in [HOME, HOME + (1 << 102) - size, HOME + (1 << 101)] {
            let laid = Naive::new([], [(start, 5), (start + size, 0)]).check([start - 1, start + size / 2]);
            assert_eq!(laid.model.tables[0].lines.len(), least, "/{len} at {start:x}");
        }
    }
    let around = [(HOME, 9), (HOME + (1 << 90), 5), (HOME + (2 << 90), 9), (HOME + (1 << 102), 0)];
    let laid = Naive::new([], around).check([]);
    assert_eq!(laid.model.tables[0].lines.len(), least + 1, "9 is not around the chunk");
}

#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
fn low_of(number: u128) -> u32 {
    number as u32
}

/// Addresses that a table of so many lines has on its first one.
fn crowd_v4(lines: u32) -> impl Iterator<Item = u32> {
    (0..u32::MAX).filter(move |address| line_of(mix_v4(&KEY, *address), lines) == 0)
}

fn hash_of(address: u128) -> u64 {
    let (upper, lower) = halves(address);
    hash_v6(&KEY, upper, lower)
}

fn crowd_v6(lines: u32) -> impl Iterator<Item = u128> {
    (0..u128::MAX).map(|by| HOME + by).filter(move |address| line_of(low(hash_of(*address) >> 32), lines) == 0)
}

/// As many as a line and those it links to can hold.
const CROWD: usize = HASHED_STEPS as usize * HASHED_WAYS;
/// Lines of a table of that many.
const CROWD_LINES: u32 = 14;

#[test]
fn addresses_that_meet_in_one_line_go_on_in_others() {
    let exact: Vec<(u32, u32)> = crowd_v4(CROWD_LINES).take(CROWD).zip(1..).collect();
    let laid = Naive::new(exact, []).check(crowd_v4(CROWD_LINES).take(2 * CROWD));
    assert_eq!((laid.layout.spill_v4_lines, laid.layout.key), (CROWD_LINES, KEY));
    let exact: Vec<(u128, u32)> = crowd_v6(CROWD_LINES).take(CROWD).zip(1..).collect();
    let laid = Naive::new(exact, []).check(crowd_v6(CROWD_LINES).take(2 * CROWD));
    assert_eq!((laid.layout.exact_v6_lines, laid.layout.key), (CROWD_LINES, KEY));
}

#[test]
fn a_key_that_crowds_a_line_is_given_up_for_another() {
    let exact: Vec<(u32, u32)> = crowd_v4(CROWD_LINES).take(CROWD + 1).zip(1..).collect();
    let laid = Naive::new(exact, []).check(crowd_v4(CROWD_LINES).take(2 * CROWD));
    assert_ne!(laid.layout.key, KEY);
    let exact: Vec<(u128, u32)> = crowd_v6(CROWD_LINES).take(CROWD + 1).zip(1..).collect();
    let laid = Naive::new(exact, []).check(crowd_v6(CROWD_LINES).take(2 * CROWD));
    assert_ne!(laid.layout.key, KEY);
}

/// Neighbours under keys whose parts do nothing: the first key fails, and what follows has none of it.
#[test]
fn a_weak_key_is_given_up_for_one_that_has_nothing_of_it() {
    for key in [[0, 0], [0x5eed, 0xfeed], [u64::MAX, 0], [0, u64::MAX]] {
        let exact: Vec<(u32, u32)> = (0..3_000).map(|by| (0x0a00_0000 + by, 1 + by)).collect();
        let values =
            Values { v4: Flat { exact: exact.clone(), ranges: Vec::new() }, classes: 4_000, ..Values::default() };
        let laid = Laid::new(lay_out(&values, key).unwrap());
        for (address, value) in exact {
            assert_eq!(u32::ask(&laid.model, &laid.layout, address), value);
        }
    }
}

/// A fingerprint has 32 bits, and whoever has a /64 can try them all.
#[test]
fn two_addresses_with_one_fingerprint_are_told_apart() {
    let mut seen: HashMap<u32, u128> = HashMap::new();
    let (one, other) =
        (HOME..).find_map(|address| seen.insert(low(hash_of(address)), address).map(|one| (one, address))).unwrap();
    let laid = Naive::new([(one, 5)], []).check([other]);
    assert_eq!(laid.layout.key, KEY);
    Naive::new([(one, 5)], [(HOME, 3)]).check([other]);
    // Both: a key is found under which they differ.
    let laid = Naive::new([(one, 5), (other, 6)], []).check([]);
    assert_ne!(laid.layout.key, KEY);
}

/// One address in each of so many steps over the whole space, in no order.
fn scattered(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| number.wrapping_mul(0x9e37_79b1))
}

/// So many that the quotient table is as full as it gets, and lines overflow.
const MANY: u32 = 1_100_000;

#[test]
fn every_address_of_a_quotient_table_is_found_and_no_other() {
    let value = |number: u32| match number % 100 {
        0 => RUN | (number / 100 % RUNS),
        1 => 255 + number / 100,
        _ => 1 + number % 254,
    };
    let mut exact: Vec<(u32, u32)> = scattered(MANY).zip((0..).map(value)).collect();
    exact.sort_unstable();
    let values = Values {
        v4: Flat { exact: exact.clone(), ranges: Vec::new() },
        runs: (0..u64::from(RUNS)).collect(),
        classes: CLASSES,
        ..Values::default()
    };
    let laid = Laid::new(lay_out(&values, KEY).unwrap());
    assert!(laid.layout.exact_v4_lines > weir_common::abi::QUOTIENT_LINES);
    for (address, value) in &exact {
        let wanted = if value & RUN == 0 { *value } else { CLASSES + (value & !RUN) };
        assert_eq!(u32::ask(&laid.model, &laid.layout, *address), wanted, "{address:x}");
    }
    for other in scattered(MANY + 300_000).skip(MANY as usize) {
        assert_eq!(u32::ask(&laid.model, &laid.layout, other), 0, "{other:x}");
    }
    // Both ways into the spill were gone: lines that were full, and values of more than a byte.
    let spill = &laid.model.tables[0].lines[laid.layout.spill_v4 as usize..];
    let values: Vec<u64> = spill.iter().flat_map(|line| &line.words[1..]).map(|word| word & 0xffff_ffff).collect();
    let (wide, narrow): (Vec<u64>, Vec<u64>) =
        values.into_iter().filter(|value| *value != 0).partition(|value| *value >= QUOTIENT_SPILLED);
    assert_eq!(wide.len(), MANY as usize / 50);
    assert!(!narrow.is_empty());
    let lines = laid.lines(laid.layout.exact_v4, laid.layout.exact_v4_lines);
    let full = lines.iter().filter(|line| values_of(line).filter(|value| *value != 0).count() == QUOTIENT_WAYS).count();
    assert!(full > lines.len() / 20 && full < lines.len() / 5, "{full} of {}", lines.len());
}

/// What ends the look-up of a forged source at one line, and costs a listed one nothing but that line.
#[test]
fn a_filter_passes_every_address_and_few_others() {
    let exact: BTreeMap<u32, u32> = scattered(MANY).map(|address| (address, 1)).collect();
    let v4 = Flat { exact: exact.into_iter().collect(), ranges: Vec::new() };
    let tables = lay_out(&Values { v4, classes: 2, ..Values::default() }, KEY).unwrap();
    let laid = Laid::new(tables);
    let words = &laid.model.tables[0].filter;
    assert_eq!((words.len(), laid.layout.filter_v4_words), (FILTER_WORDS as usize, FILTER_WORDS));
    let passes = |address: &u32| {
        let (word, bits) = lookup::filter(mix_v4(&KEY, *address), laid.layout.filter_v4_words);
        !words[word as usize] & bits == 0
    };
    assert!(scattered(MANY).all(|address| passes(&address)));
    let others = 300_000;
    let let_through = scattered(MANY + others).skip(MANY as usize).filter(passes).count();
    assert!(let_through < others as usize / 20, "{let_through} of {others}");
}

/// With few addresses the tables themselves are as near as a filter would be.
#[test]
fn few_addresses_have_no_filter() {
    let v4 = |count| Flat { exact: (0..count).map(|address| (address, 1)).collect(), ranges: Vec::new() };
    let words = |count| {
        let values = Values { v4: v4(count), classes: 2, ..Values::default() };
        lay_out(&values, KEY).unwrap().layout.filter_v4_words
    };
    assert_eq!((words(49_999), words(50_000)), (0, 6_250));
}

/// The values of a quotient table's line, 0 where a way is empty.
fn values_of(line: &Line) -> impl Iterator<Item = u64> {
    (0..QUOTIENT_WAYS).map(|way| {
        let (_, at) = lookup::way(way);
        (line.words[at / 8] >> (8 * (at % 8))) & 0xff
    })
}

/// What is more than half of 2^20 addresses, side by side: what a list of whole networks by address looks like.
#[test]
fn addresses_side_by_side_spread_as_well_as_any() {
    let exact = (0..310_000u32).map(|by| (0x0a00_0000 + by, 1 + by % 50));
    let flat = Flat { exact: exact.clone().collect(), ranges: vec![(0x0a00_0000, 77), (0x0b00_0000, 0)] };
    let laid = Laid::new(lay_out(&Values { v4: flat, classes: 100, ..Values::default() }, KEY).unwrap());
    for (address, value) in exact {
        assert_eq!(u32::ask(&laid.model, &laid.layout, address), value);
    }
    for address in 0x0a00_0000 + 310_000..0x0a00_0000 + 400_000 {
        assert_eq!(u32::ask(&laid.model, &laid.layout, address), 77);
    }
    assert_eq!(u32::ask(&laid.model, &laid.layout, 0x0b00_0000), 0);
}

#[test]
fn the_same_key_makes_the_same_tables_and_another_key_others() {
    let exact: Vec<(u32, u32)> = scattered(1_000).zip(1..).collect::<BTreeMap<_, _>>().into_iter().collect();
    let flat = Flat { exact, ranges: vec![(1 << 20, 3), (1 << 21, 0)] };
    let values = Values { v4: flat, classes: 2_000, ..Values::default() };
    assert_eq!(lay_out(&values, KEY).unwrap(), lay_out(&values, KEY).unwrap());
    let keys: HashSet<[u64; 2]> =
        [[1, 2], [2, 1], [3, 3]].map(|key| lay_out(&values, key).unwrap().layout.key).into_iter().collect();
    assert_eq!(keys.len(), 3);
}

#[test]
fn more_values_than_a_word_has_bits_for_are_refused() {
    let values = |classes| Values {
        v6: Flat { exact: Vec::new(), ranges: vec![(HOME + 1, 1), (HOME + 2, 0)] },
        classes,
        ..Values::default()
    };
    let most = u32::try_from(VALUE_MASK).unwrap() - 1;
    assert!(lay_out(&values(most), KEY).is_ok());
    assert_eq!(lay_out(&values(most + 1), KEY), Err(LayoutError::TooManyValues));
}
