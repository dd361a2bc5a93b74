use proptest::prelude::*;
use weir_common::rate::Take;

use super::*;

fn whole(value: u64) -> NonZeroU64 {
    NonZeroU64::new(value).unwrap()
}

fn rate_of(dimension: Dimension, per_second: u64, burst: u64) -> Result<Rate, LimitError> {
    Rate::new(dimension, whole(per_second), Some(whole(burst)))
}

fn limit(dimension: Dimension, per_second: u64, burst: u64) -> Limit {
    Limit::new([(dimension, rate_of(dimension, per_second, burst).unwrap())], Enforcement::Enforce).unwrap()
}

/// Units that the words of a dimension count one token for.
fn token(dimension: Dimension) -> u64 {
    if dimension == Dimension::Bytes { rate::BYTES_A_TOKEN } else { 1 }
}

fn highest(dimension: Dimension) -> u64 {
    if dimension == Dimension::Bytes { HIGHEST_BYTE_RATE } else { HIGHEST_RATE }
}

#[track_caller]
fn check_refused(dimension: Dimension, per_second: u64, burst: u64, message: &str) {
    assert_eq!(rate_of(dimension, per_second, burst).unwrap_err().to_string(), message);
}

#[test]
fn what_the_kernel_could_not_keep_to_is_refused_with_what_works() {
    check_refused(
        Dimension::Packets,
        10_000,
        100,
        "a burst of 100 is too small for 10000 packets a second: the kernel's clock may tick only every 10 ms, and what \
         is earned from one tick to the next must fit into the burst; use 101 or more",
    );
    check_refused(
        Dimension::Packets,
        10,
        36_001,
        "a burst of 36001 takes more than an hour to earn at 10 packets a second; use 36000 or less",
    );
    check_refused(
        Dimension::Packets,
        100_000_001,
        100_000_001,
        "100000001 packets a second is beyond what is measured; the most is 100000000",
    );
    assert!(rate_of(Dimension::Packets, 10_000, 101).is_ok());
    assert!(rate_of(Dimension::Packets, 10, 36_000).is_ok());
    assert!(rate_of(Dimension::Packets, 100_000_000, 100_000_000).is_ok());
}

#[test]
fn a_burst_of_bytes_holds_the_largest_frame_beside_what_a_tick_earns() {
    check_refused(
        Dimension::Bytes,
        1_000_000,
        75_548,
        "a burst of 75548 is too small for 1000000 bytes a second: the kernel's clock may tick only every 10 ms, and \
         what is earned from one tick to the next must fit into the burst; use 75549 or more",
    );
    check_refused(
        Dimension::Bytes,
        125_000_000_001,
        125_000_000_001,
        "125000000001 bytes a second is beyond what is measured; the most is 125000000000",
    );
    assert!(rate_of(Dimension::Bytes, 1_000_000, 75_549).is_ok());
    assert!(rate_of(Dimension::Bytes, HIGHEST_BYTE_RATE, HIGHEST_BYTE_RATE).is_ok());
    // Where an hour earns less than the largest frame, that frame is the longest burst.
    assert!(rate_of(Dimension::Bytes, 1, LARGEST_FRAME + 1).is_ok());
}

#[test]
fn every_dimension_says_what_it_counts_and_all_but_bytes_are_alike() {
    for dimension in Dimension::ALL.into_iter().filter(|dimension| *dimension != Dimension::Bytes) {
        let counted = unit(dimension);
        check_refused(
            dimension,
            100_000_001,
            100_000_001,
            &format!("100000001 {counted} a second is beyond what is measured; the most is 100000000"),
        );
        check_refused(
            dimension,
            10,
            36_001,
            &format!("a burst of 36001 takes more than an hour to earn at 10 {counted} a second; use 36000 or less"),
        );
        let smallest = rate_of(dimension, 10_000, 100).unwrap_err();
        let expected = LimitError::BurstBelowTick { burst: 100, per_second: 10_000, unit: counted, smallest: 101 };
        assert_eq!(smallest, expected);
    }
}

/// Units let through of a sender that fills every tick of a 10 ms clock for a hundred seconds with packets of `size`.
fn passed(dimension: Dimension, size: u64, per_second: u64, burst: u64) -> u64 {
    let words = limit(dimension, per_second, burst).words(1);
    let (cost, window) = (words.cost[dimension.slot()] * size / token(dimension), words.window[dimension.slot()]);
    let (mut tat, mut passed) = (0, 0);
    for tick in 1..=10_000u64 {
        let now = rate::ticks(tick * 10_000_000);
        loop {
            match rate::take(tat, now, cost, window) {
                Take::Set(to) => tat = to,
                Take::Add(by) => tat += by,
                Take::Refused => break,
            }
            passed += size;
        }
    }
    passed
}

#[test]
fn the_smallest_burst_loses_nothing_to_a_slow_clock() {
    for dimension in Dimension::ALL.into_iter().filter(|dimension| *dimension != Dimension::Bytes) {
        for per_second in [1, 2, 10, 99, 100, 101, 150, 199, 200, 300, 999, 1_000, 33_333, 100_000] {
            let burst = Rate::smallest_burst(dimension, whole(per_second)).get();
            let (got, wanted) = (passed(dimension, 1, per_second, burst), per_second * 100 + burst);
            assert!(got.abs_diff(wanted) <= wanted / 1_000 + 1, "{dimension:?} {per_second}/s: {got} of {wanted}");
        }
    }
    for size in [60, 1_514, LARGEST_FRAME] {
        for per_second in [10_000, 1_000_000, 12_345_678, 1_000_000_000] {
            let burst = Rate::smallest_burst(Dimension::Bytes, whole(per_second)).get();
            let (got, wanted) = (passed(Dimension::Bytes, size, per_second, burst), per_second * 100 + burst);
            assert!(got.abs_diff(wanted) <= wanted / 1_000 + size, "{size} bytes, {per_second}/s: {got} of {wanted}");
        }
    }
    // Without the one more, which is refused as a burst: the tick's rounding is lost.
    assert_eq!(passed(Dimension::Packets, 1, 199, 3), 19_901);
    assert!(rate_of(Dimension::Packets, 199, 2).is_err());
}

#[test]
fn without_a_rate_there_is_no_limit() {
    assert_eq!(Limit::new([], Enforcement::Enforce), None);
    assert_eq!(abi::Limit::default().dimensions, 0);
}

#[test]
fn a_limit_has_the_words_of_its_dimensions_and_no_others() {
    let rates = [Dimension::Syn, Dimension::Fragments].map(|one| (one, rate_of(one, 100, 50).unwrap()));
    let limit = Limit::new(rates, Enforcement::Observe).unwrap();
    let words = limit.words(2);
    assert_eq!(words.dimensions, Dimension::Syn.bit() | Dimension::Fragments.bit());
    assert_eq!(words.flags, limit_flag::OBSERVE);
    for dimension in Dimension::ALL {
        let is_limited = limit.rate(dimension).is_some();
        let at = dimension.slot();
        assert_eq!(
            (words.cost[at] != 0, words.window[at] != 0, words.pressure[at] != 0),
            (is_limited, is_limited, is_limited)
        );
    }
    assert_eq!(limit.rates().count(), 2);
}

/// A limit of packets, with the packets that make a CPU ask for exact buckets, and those that it lets through without.
#[track_caller]
fn check_words(per_second: u64, burst: u64, cpus: u32, promote_at: u32, fallback: u64) {
    let words = limit(Dimension::Packets, per_second, burst).words(cpus);
    let cost = rate::cost(per_second);
    let pressure = sources::PRESSURE.div_ceil(promote_at);
    assert_eq!((words.cost[0], words.window[0], words.pressure[0]), (cost, cost * burst, pressure));
    let expected = (fallback * (u64::from(pressure) + 1)).min(u64::from(sources::PROMOTED) - 1);
    assert_eq!(u64::from(words.fallback), expected);
    assert_eq!((words.dimensions, words.flags), (Dimension::Packets.bit(), 0));
}

#[test]
fn words_follow_from_rate_burst_and_cpus() {
    // The burst's quarter is the lower bound, then the epoch's half, then the floor and the ceiling.
    check_words(1_000, 1_000, 2, 125, 4_000);
    check_words(1_000, 100_000, 2, 268, 103_000);
    check_words(1, 2, 64, 2, 5);
    check_words(1_000, 1_000, 0, 250, 4_000);
    check_words(100_000_000, 100_000_000, 1, 1_000_000, 400_000_000);
    check_words(100_000_000, 360_000_000_000, 1, 1_000_000, 360_300_000_000);
}

#[test]
fn bytes_cost_by_the_kibibyte() {
    let words = limit(Dimension::Bytes, 1_000_000, 1_000_000).words(2);
    let at = Dimension::Bytes.slot();
    // A full bucket holds a second's worth, whatever its frames are.
    assert!(words.window[at].abs_diff(rate::ticks(1_000_000_000)) < 1_000_000);
    assert_eq!(rate::cost_of_bytes(words.cost[at], 1_000_000), words.window[at]);
    // A CPU asks for exact buckets after an eighth of the burst.
    let reached = u64::from(words.pressure[at]) * 125_000 / rate::BYTES_A_TOKEN;
    assert!(reached >= u64::from(sources::PRESSURE) && reached < u64::from(sources::PRESSURE) * 101 / 100);
}

fn any_limit() -> impl Strategy<Value = (Dimension, u64, u64)> {
    (proptest::sample::select(Dimension::ALL.to_vec()), any::<u64>(), any::<u64>()).prop_map(
        |(dimension, rate, burst)| {
            // All orders of magnitude alike.
            let per_second = (rate >> (burst % 64)) % highest(dimension) + 1;
            let low = Rate::smallest_burst(dimension, whole(per_second)).get();
            let high = (per_second * LONGEST_BURST_SECONDS).max(low);
            (dimension, per_second, low + (burst >> (rate % 64)) % (high - low + 1))
        },
    )
}

proptest! {
    #[test]
    fn every_limit_has_words_that_cannot_wrap((dimension, per_second, burst) in any_limit(), cpus in 0..5_000u32) {
        let words = limit(dimension, per_second, burst).words(cpus);
        let at = dimension.slot();
        let (cost, window, pressure) = (words.cost[at], words.window[at], words.pressure[at]);
        prop_assert!(cost > 0 && pressure > 0 && pressure <= sources::PRESSURE);
        prop_assert_eq!(u128::from(window), u128::from(cost) * u128::from(burst) / u128::from(token(dimension)));
        // A burst of bytes may be the largest frame at a byte a second, which is eighteen hours.
        let longest = if dimension == Dimension::Bytes { 1 << 51 } else { 1 << 46 };
        prop_assert!(window < longest);
        // What the kernel multiplies: a frame's cost, by all the packets like it that a CPU may have let through by itself.
        for size in if dimension == Dimension::Bytes { [60, LARGEST_FRAME] } else { [1, 1] } {
            prop_assert!(cost.checked_mul(size).is_some());
            let of_packet = 1 + u64::from(pressure) * size / token(dimension);
            prop_assert!(of_packet < u64::from(sources::PROMOTED) / 2);
            let earlier = (u64::from(sources::PROMOTED) / of_packet).min(u64::from(sources::PRESSURE));
            prop_assert!((cost * size / token(dimension)).checked_mul(earlier).is_some_and(|spent| spent < 1 << 62));
        }
        prop_assert!(words.fallback < sources::PROMOTED);
    }

    #[test]
    fn what_a_cpu_lets_through_by_itself_is_at_most_a_quarter_of_the_burst(
        (dimension, per_second, burst) in any_limit(),
        cpus in 1..256u32,
    ) {
        let words = limit(dimension, per_second, burst).words(cpus);
        let pressure = u64::from(words.pressure[dimension.slot()]);
        let least = if dimension == Dimension::Bytes { 2 * 1_514 } else { 2 };
        let unseen = (u64::from(sources::PRESSURE) * token(dimension)).div_ceil(pressure);
        // Where that is too little for the count to tell who is over, a few packets more: a hundredth of a burst that is
        // as much as a tenth of the rate.
        let count = within(per_second, burst) / 15_360;
        prop_assert!(unseen <= (burst / (4 * u64::from(cpus))).max(least).max(count), "{unseen} of {burst}");
    }

    /// Bursts of half a minute on any machine, of an hour on a pair of CPUs.
    #[test]
    fn without_room_for_buckets_who_is_over_is_told(
        (dimension, per_second, burst) in any_limit(),
        cpus in 1..256u32,
    ) {
        // Beyond, a source is as fast as a machine.
        let packets = within(per_second, burst) / if dimension == Dimension::Bytes { SMALLEST_FRAME } else { 1 };
        prop_assume!(packets < 1 << 29 && burst <= per_second.saturating_mul(8_000 / u64::from(cpus)));
        let words = limit(dimension, per_second, burst).words(cpus);
        prop_assert!(words.fallback < sources::PROMOTED - 1, "{}", words.fallback);
    }

    #[test]
    fn without_room_for_buckets_who_is_over_is_told_in_all_dimensions_together(
        rates in proptest::collection::vec((1..1_000_000u64, 1..30u64), 7),
        cpus in 1..32u32,
    ) {
        let rates = Dimension::ALL.into_iter().zip(rates).map(|(dimension, (per_second, seconds))| {
            let per_second = if dimension == Dimension::Bytes { per_second * 1_000 } else { per_second };
            let burst = (per_second * seconds).max(Rate::smallest_burst(dimension, whole(per_second)).get());
            (dimension, rate_of(dimension, per_second, burst).unwrap())
        });
        let words = Limit::new(rates, Enforcement::Enforce).unwrap().words(cpus);
        prop_assert!(words.fallback < sources::PROMOTED - 1, "{}", words.fallback);
    }

    #[test]
    fn without_room_for_buckets_two_epochs_of_the_rate_pass(
        (dimension, per_second, burst) in any_limit(),
        cpus in 0..5_000u32,
    ) {
        let words = limit(dimension, per_second, burst).words(cpus);
        // Each packet adds one beside what it is worth; the smallest frame is where that is most.
        let (units, packets) = (2 * u128::from(epoch_units(per_second)), if dimension == Dimension::Bytes { 60 } else { 1 });
        let pressure = u128::from(words.pressure[dimension.slot()]);
        let counted = units * pressure / u128::from(token(dimension)) + units / packets;
        prop_assert!(u128::from(words.fallback) >= counted.min((1 << 31) - 1));
    }

    #[test]
    fn the_usual_burst_makes_every_rate_a_rate((dimension, per_second, _) in any_limit()) {
        prop_assert!(Rate::new(dimension, whole(per_second), None).is_ok());
        let burst = Rate::usual_burst(dimension, whole(per_second));
        prop_assert!(burst >= Rate::smallest_burst(dimension, whole(per_second)) && burst.get() >= per_second);
    }
}
