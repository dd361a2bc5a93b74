//! Token buckets, as pure arithmetic on one word.
//!
//! A bucket is its *theoretical arrival time* (the generic cell rate algorithm): the moment at which all tokens taken
//! so far would have been earned back. One word is all the state, so CPUs share a bucket with one atomic addition:
//! under load every packet adds its cost, none is lost, and two CPUs that both see the last token overshoot by one
//! packet that the next ones pay for. Only a bucket that is full again is set outright.

/// Fraction bits of [`ticks`]: 1/16 ns, so that a million packets a second is still exact to 0.01 %.
const FRACTION_BITS: u32 = 4;

/// Nanoseconds as sixteenths, the unit buckets count in.
#[inline(always)]
pub const fn ticks(ns: u64) -> u64 {
    ns << FRACTION_BITS
}

/// Time one token costs at `per_second` tokens a second, in 1/16 ns; 0 for a rate of 0 (no limit).
pub const fn cost(per_second: u64) -> u64 {
    if per_second == 0 {
        return 0;
    }
    let second = ticks(1_000_000_000);
    // Rounded to the nearest, never to zero: a rate above what ticks resolve is held at one token a tick.
    let cost = (second + per_second / 2) / per_second;
    if cost == 0 { 1 } else { cost }
}

/// Bytes that one token of a limit of bytes is worth: one byte by itself would cost too little to count in.
pub const BYTES_A_TOKEN: u64 = 1 << 10;

/// What so many bytes cost, where [`BYTES_A_TOKEN`] cost `cost`.
#[inline(always)]
pub const fn cost_of_bytes(cost: u64, bytes: u64) -> u64 {
    cost.wrapping_mul(bytes) / BYTES_A_TOKEN
}

/// Tokens in use, as time: what was taken and not yet earned back. `hide` keeps it arithmetic
/// ([`crate::tables::Tables::hide_word`]).
#[inline(always)]
pub fn used(tat: u64, now: u64, hide: impl Fn(u64) -> u64) -> u64 {
    let ahead = tat.wrapping_sub(now);
    // All ones where the bucket is full again.
    let is_past = hide(ahead >> 63).wrapping_neg();
    ahead & !is_past
}

/// What a packet does to its bucket.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Let through; the bucket was full, so it is set to this.
    Set(u64),
    /// Let through; this is added, atomically where CPUs share the bucket.
    Add(u64),
    /// Refused: no token left. The bucket does not change.
    Refused,
}

/// Takes one token of `cost` from the bucket at `tat`, which holds `window` (burst × cost) when full.
///
/// `now`, `tat`, `cost` and `window` are in 1/16 ns; a clock that steps back means that no time has passed.
#[inline(always)]
pub const fn take(tat: u64, now: u64, cost: u64, window: u64) -> Take {
    if tat <= now {
        return Take::Set(now.wrapping_add(cost));
    }
    // Tokens in use, as time: what was taken and not yet earned back.
    let used = tat - now;
    if used.saturating_add(cost) > window {
        return Take::Refused;
    }
    Take::Add(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers packets at the given moments and counts those let through.
    fn passed(moments: impl Iterator<Item = u64>, per_second: u64, burst: u64) -> u64 {
        let cost = cost(per_second);
        let mut tat = 0;
        let mut passed = 0;
        for now in moments {
            match take(tat, ticks(now), cost, burst * cost) {
                Take::Set(to) => tat = to,
                Take::Add(by) => tat += by,
                Take::Refused => continue,
            }
            passed += 1;
        }
        passed
    }

    #[test]
    fn an_idle_bucket_gives_its_burst_at_once_and_no_more() {
        assert_eq!(passed((0..1000).map(|_| 5_000_000_000), 100, 50), 50);
    }

    #[test]
    fn offered_five_times_the_rate_passes_rate_times_time_plus_burst() {
        for rate in [1u64, 10, 1_000, 33_333, 1_000_000] {
            let burst = rate;
            let offered = 5 * rate;
            let moments = (0..offered * 10).map(|i| 1_000_000_000 + i * 1_000_000_000 / offered);
            let got = passed(moments, rate, burst);
            let want = rate * 10 + burst;
            assert!(got.abs_diff(want) <= want / 500 + 1, "rate {rate}: {got} of {want}");
        }
    }

    #[test]
    fn ten_years_idle_earn_no_more_than_the_burst() {
        let years = 10 * 365 * 86_400 * 1_000_000_000u64;
        let moments = [1u64].into_iter().chain((0..100).map(move |_| years));
        assert_eq!(passed(moments, 10, 20), 21);
    }

    #[test]
    fn a_clock_that_steps_back_earns_nothing_and_loses_nothing() {
        let moments = [10_000_000_000u64, 9_000_000_000, 8_000_000_000, 10_000_000_000];
        assert_eq!(passed(moments.into_iter(), 1, 3), 3);
    }

    #[test]
    fn no_rate_costs_nothing_and_any_rate_costs_something() {
        assert_eq!(cost(0), 0);
        assert_eq!(cost(1), ticks(1_000_000_000));
        assert_eq!(cost(u64::MAX), 1);
    }
}
