//! Sliding windows in constant memory: the last sixteen parts of a fifteenth of the window each.
//!
//! A window of W counts what came in the last W to W and a fifteenth, never less: no edge at which an allowance starts anew.
//! Every part knows which stretch of time it is for. So events may come in any order within W, and one whose clock is wrong
//! by years costs a key at most one part in sixteen.
use std::array;

/// Parts that are kept.
const PARTS: usize = 16;

/// The same, as distances of stretches of time.
const REACH: i32 = 16;

/// How long a part is, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width(i64);

impl Width {
    /// Of a window of so many seconds.
    pub(super) fn of_window(seconds: u64) -> Self {
        Self(i64::try_from(seconds.saturating_mul(1_000) / 15).unwrap_or(i64::MAX).max(1))
    }

    /// The number of the stretch a time lies in. Wraps, which makes no difference: only distances count.
    fn stretch(self, at_ms: i64) -> u32 {
        u32::try_from(at_ms.div_euclid(self.0).rem_euclid(1 << 32)).unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Part<const N: usize> {
    stretch: u32,
    // Saturating. All 0: nothing is in it.
    counts: [u32; N],
}

/// A window that counts `N` things side by side.
#[derive(Clone, Debug)]
pub(super) struct Window<const N: usize>([Part<N>; PARTS]);

impl<const N: usize> Default for Window<N> {
    fn default() -> Self {
        Self([Part { stretch: 0, counts: [0; N] }; PARTS])
    }
}

impl<const N: usize> Window<N> {
    /// Counts.
    pub(super) fn add(&mut self, width: Width, at_ms: i64, counts: [u32; N]) {
        let stretch = width.stretch(at_ms);
        let Some(part) = usize::try_from(stretch).ok().and_then(|stretch| self.0.get_mut(stretch % PARTS)) else {
            return;
        };
        if part.stretch != stretch {
            *part = Part { stretch, counts: [0; N] };
        }
        for (sum, count) in part.counts.iter_mut().zip(counts) {
            *sum = sum.saturating_add(count);
        }
    }

    /// What was counted in the window that ends with this time. What came a little too early, up to the length of a part, is
    /// among it.
    pub(super) fn sums(&self, width: Width, at_ms: i64) -> [u32; N] {
        let stretch = width.stretch(at_ms);
        let is_in = |part: &&Part<N>| (-1..REACH).contains(&distance(stretch, part.stretch));
        let parts = self.0.iter().filter(is_in);
        parts.fold([0; N], |sums, part| {
            let mut pairs = sums.iter().zip(&part.counts);
            array::from_fn(|_| pairs.next().map_or(0, |(sum, count)| sum.saturating_add(*count)))
        })
    }
}

impl Window<1> {
    /// The most that was counted in any window with this time in it: the same in whichever order events come.
    pub(super) fn most(&self, width: Width, at_ms: i64) -> u32 {
        let stretch = width.stretch(at_ms);
        let mut counts = [0u32; 2 * PARTS - 1];
        for part in &self.0 {
            let place = usize::try_from(REACH - 1 - distance(stretch, part.stretch));
            if let Some(count) = place.ok().and_then(|place| counts.get_mut(place)) {
                // Parts that were never used all say they are for stretch 0, and add nothing.
                *count = part.counts.iter().fold(*count, |sum, count| sum.saturating_add(*count));
            }
        }
        let sums =
            counts.windows(PARTS).map(|window| window.iter().fold(0u32, |sum, count| sum.saturating_add(*count)));
        sums.max().unwrap_or(0)
    }
}

/// How many stretches the second is before the first.
fn distance(stretch: u32, part: u32) -> i32 {
    stretch.wrapping_sub(part).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW_S: u64 = 900;
    const WINDOW_MS: i64 = 900_000;
    const PART_MS: i64 = 60_000;

    fn width() -> Width {
        Width::of_window(WINDOW_S)
    }

    fn counted(times: &[i64]) -> Window<1> {
        let mut window = Window::default();
        for at_ms in times {
            window.add(width(), *at_ms, [1]);
        }
        window
    }

    #[test]
    fn no_edge_starts_an_allowance_anew() {
        // Four just before any edge, four just after: eight in a moment, wherever the moment is.
        for edge in (0..40).map(|part| part * PART_MS / 2) {
            let times = [edge - 1; 4].into_iter().chain([edge + 1; 4]).collect::<Vec<_>>();
            assert_eq!(counted(&times).most(width(), edge + 1), 8, "{edge}");
        }
    }

    #[test]
    fn a_clock_wrong_by_years_costs_one_part() {
        let years = 300 * 365 * 86_400_000;
        for wrong in [years, -years, i64::MAX, i64::MIN] {
            let mut window = Window::default();
            for at_ms in (0..15).map(|part| part * PART_MS) {
                window.add(width(), at_ms, [1]);
            }
            window.add(width(), wrong, [1]);
            assert!(window.most(width(), 14 * PART_MS) >= 14, "{wrong}");
            assert!(window.most(width(), wrong) <= 1, "{wrong}");
        }
    }

    #[test]
    fn counts_saturate() {
        let mut window = Window::default();
        window.add(width(), 0, [u32::MAX]);
        window.add(width(), 0, [5]);
        window.add(width(), PART_MS, [5]);
        assert_eq!(window.most(width(), 0), u32::MAX);
        assert_eq!(window.sums(width(), PART_MS), [u32::MAX]);
    }

    proptest! {
        #[test]
        fn in_order_it_counts_the_window_and_at_most_a_part_more(
            mut times in prop::collection::vec(-3 * WINDOW_MS..3 * WINDOW_MS, 1..200),
        ) {
            times.sort_unstable();
            let mut window = Window::default();
            for (count, at_ms) in times.iter().enumerate() {
                window.add(width(), *at_ms, [1]);
                let within = |length: i64| {
                    let seen = times.iter().take(count + 1);
                    u32::try_from(seen.filter(|time| at_ms - **time <= length).count()).unwrap()
                };
                let [sum] = window.sums(width(), *at_ms);
                prop_assert!((within(WINDOW_MS)..=within(WINDOW_MS + PART_MS)).contains(&sum));
                prop_assert_eq!(window.most(width(), *at_ms), sum);
            }
        }

        #[test]
        fn the_order_within_a_window_makes_no_difference(
            times in prop::collection::vec(0..WINDOW_MS, 1..60),
            threshold in 1u32..20,
            seed in any::<u64>(),
        ) {
            let crosses = |times: &[i64]| {
                let mut window = Window::default();
                times.iter().any(|at_ms| {
                    window.add(width(), *at_ms, [1]);
                    window.most(width(), *at_ms) >= threshold
                })
            };
            let mut shuffled = times.clone();
            shuffled.sort_by_key(|at_ms| (*at_ms).cast_unsigned().wrapping_mul(seed | 1));
            prop_assert_eq!(crosses(&times), crosses(&shuffled));
        }

        #[test]
        fn no_time_stops_it(times in prop::collection::vec(any::<i64>(), 1..50), window_s in any::<u64>()) {
            let width = Width::of_window(window_s);
            let mut window = Window::default();
            for at_ms in times {
                window.add(width, at_ms, [1]);
                prop_assert!(window.most(width, at_ms) >= 1);
                let [sum] = window.sums(width, at_ms);
                prop_assert!(sum >= 1);
            }
        }
    }
}
