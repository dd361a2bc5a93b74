//! Points that fade: half of them are left after each half-life.
use std::cmp::Ordering;
use std::time::Duration;

use jiff::Timestamp;

/// How long half of the points take to fade.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HalfLife {
    seconds: f64,
}

impl HalfLife {
    /// So many seconds, and at least one.
    pub(super) fn new(seconds: u64) -> Self {
        Self { seconds: Duration::from_secs(seconds.max(1)).as_secs_f64() }
    }
}

/// Points as they were at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fading {
    pub(super) points: f64,
    pub(super) at: Timestamp,
}

impl Fading {
    /// What is left `now`: `points * 2^(-elapsed / half_life)`. Before its moment it is what it is then.
    pub(super) fn left(self, now: Timestamp, half_life: HalfLife) -> f64 {
        let elapsed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.points * (-elapsed / half_life.seconds).exp2()
    }

    /// The same, as of a moment that is no earlier than its own.
    pub(super) fn as_of(self, now: Timestamp, half_life: HalfLife) -> Self {
        Self { points: self.left(now, half_life), at: now.max(self.at) }
    }

    /// Both together, as of the later moment: which was there first makes no difference.
    pub(super) fn plus(self, other: Self, half_life: HalfLife) -> Self {
        let at = self.at.max(other.at);
        Self { points: self.left(at, half_life) + other.left(at, half_life), at }
    }

    /// All together; `None` if there are none.
    pub(super) fn total(all: impl IntoIterator<Item = Self>, half_life: HalfLife) -> Option<Self> {
        all.into_iter().reduce(|sum, fading| sum.plus(fading, half_life))
    }

    /// So many times as much.
    pub(super) fn times(self, factor: f64) -> Self {
        Self { points: self.points * factor, ..self }
    }

    /// Where it stands among others.
    pub(super) fn rank(self, half_life: HalfLife) -> Rank {
        let rank = self.points.max(0.0).log2() + seconds(self.at) / half_life.seconds;
        Rank(if rank.is_nan() { f64::NEG_INFINITY } else { rank })
    }
}

/// Who has more points left. As all fade alike, it stays true as time goes by: the binary logarithm of the points, and
/// one more for each half-life that their moment is later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rank(f64);

impl Rank {
    /// Of one who has nothing.
    pub(super) const LEAST: Self = Self(f64::NEG_INFINITY);
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Rank {}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Seconds since 1970.
fn seconds(at: Timestamp) -> f64 {
    at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HALF_LIFE_S: u64 = 3_600;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_790_000_000_000 + millis).unwrap()
    }

    fn is_near(left: f64, right: f64) -> bool {
        (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
    }

    #[test]
    fn half_is_left_after_each_half_life_and_nothing_grows_towards_the_past() {
        let (half_life, fading) = (HalfLife::new(HALF_LIFE_S), Fading { points: 8.0, at: at(0) });
        for (millis, left) in [(-7_200_000, 8.0), (0, 8.0), (3_600_000, 4.0), (10_800_000, 1.0)] {
            assert!(is_near(fading.left(at(millis), half_life), left), "{millis}");
        }
    }

    #[test]
    fn a_half_life_of_nothing_is_one_second() {
        assert_eq!(HalfLife::new(0), HalfLife::new(1));
    }

    #[test]
    fn nothing_and_less_than_nothing_rank_least() {
        let half_life = HalfLife::new(HALF_LIFE_S);
        for points in [0.0, -0.0, -5.0] {
            assert_eq!(Fading { points, at: at(0) }.rank(half_life), Rank::LEAST, "{points}");
        }
        assert!(Fading { points: 1e-300, at: Timestamp::MIN }.rank(half_life) > Rank::LEAST);
    }

    proptest! {
        #[test]
        fn fading_twice_is_fading_once_as_long(
            points in -1e6..1e6f64,
            (first, second) in (0..50_000_000i64, 0..50_000_000i64),
            half_life_s in 60..10_000_000u64,
        ) {
            let half_life = HalfLife::new(half_life_s);
            let fading = Fading { points, at: at(0) };
            let twice = fading.as_of(at(first), half_life).left(at(first + second), half_life);
            prop_assert!(is_near(twice, fading.left(at(first + second), half_life)));
        }

        #[test]
        fn who_ranks_higher_has_more_left_at_any_later_time(
            (a, b) in ((0.1..1e4f64, 0..50_000_000i64), (0.1..1e4f64, 0..50_000_000i64)),
            later in 50_000_000..90_000_000i64,
        ) {
            let half_life = HalfLife::new(HALF_LIFE_S);
            let [a, b] = [a, b].map(|(points, millis)| Fading { points, at: at(millis) });
            let (left_a, left_b) = (a.left(at(later), half_life), b.left(at(later), half_life));
            prop_assume!(!is_near(left_a, left_b));
            prop_assert_eq!(a.rank(half_life) > b.rank(half_life), left_a > left_b);
        }
    }
}
