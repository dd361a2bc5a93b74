//! How soon a flood was noticed, from counters that were read again and again.

use serde::{Deserialize, Serialize};

use super::scenario::share_of;

/// The flood's counters at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Milliseconds since the flood began.
    pub at_ms: f64,
    /// Packets XDP saw so far.
    pub seen: u64,
    /// Of them dropped.
    pub dropped: u64,
}

/// How soon packets were dropped, in milliseconds since the first was sent; `null`: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The first.
    pub first_drop_ms: Option<f64>,
    /// Nine of ten.
    pub ninety_percent_ms: Option<f64>,
}

/// Over how long a share is taken, at least.
const WINDOW_MS: f64 = 50.0;
/// Fewer packets make no share.
const LEAST: u64 = 20;
const MOST_OF_IT: f64 = 0.9;

/// Reads it from samples in order of time; a share counts from the end of the first window that has it.
pub fn detect(samples: &[Sample]) -> Detection {
    let first = samples.iter().find(|sample| sample.dropped > 0).map(|sample| sample.at_ms);
    let mut start = 0;
    let ninety = samples.iter().enumerate().find_map(|(at, now)| {
        // The latest sample that is a window before this one.
        while samples.get(start + 1).is_some_and(|next| start + 1 < at && now.at_ms - next.at_ms >= WINDOW_MS) {
            start += 1;
        }
        let then = samples.get(start).filter(|then| now.at_ms - then.at_ms >= WINDOW_MS)?;
        let (seen, dropped) = (now.seen.saturating_sub(then.seen), now.dropped.saturating_sub(then.dropped));
        (seen >= LEAST && share_of(dropped, seen) >= MOST_OF_IT).then_some(now.at_ms)
    });
    Detection { first_drop_ms: first, ninety_percent_ms: ninety }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand packets a millisecond, read each two; all are dropped from `from_ms` on.
    fn samples(from_ms: u32) -> Vec<Sample> {
        (0..500u32)
            .map(|at| {
                let ms = at * 2;
                let dropped = u64::from(ms.saturating_sub(from_ms)) * 1_000;
                Sample { at_ms: f64::from(ms), seen: u64::from(ms) * 1_000, dropped }
            })
            .collect()
    }

    #[test]
    fn the_first_drop_and_nine_of_ten_are_told_apart() {
        let found = detect(&samples(100));
        assert_eq!(found.first_drop_ms, Some(102.0));
        // Nine tenths of a window after it.
        assert_eq!(found.ninety_percent_ms, Some(146.0));
    }

    #[test]
    fn what_is_dropped_from_the_start_needs_one_window() {
        assert_eq!(detect(&samples(0)), Detection { first_drop_ms: Some(2.0), ninety_percent_ms: Some(50.0) });
    }

    #[test]
    fn nothing_dropped_is_never() {
        assert_eq!(detect(&samples(10_000)), Detection::default());
        assert_eq!(detect(&[]), Detection::default());
    }

    #[test]
    fn a_few_packets_make_no_share() {
        let few = [(0.0, 0, 0), (60.0, 5, 5), (120.0, 10, 10)];
        let few = few.map(|(at_ms, seen, dropped)| Sample { at_ms, seen, dropped });
        assert_eq!(detect(&few), Detection { first_drop_ms: Some(60.0), ninety_percent_ms: None });
    }
}
