//! Rates of all traffic, from one status to the next, and how they were lately.
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::domain::report::Status;

/// Seconds that are kept.
pub(super) const KEPT: usize = 120;
/// From two statuses further apart than this no rate is made: it would hide what was in between.
const FARTHEST: Duration = Duration::from_secs(5);

/// What is counted in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// Packets seen.
    pub(super) seen: f64,
    /// Packets passed.
    pub(super) passed: f64,
    /// Packets dropped.
    pub(super) dropped: f64,
    /// Packets that would be dropped, were everything enforced.
    pub(super) would_drop: f64,
    /// Bits.
    pub(super) bits: f64,
}

/// Makes rates of totals.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    last: Option<(Duration, Status)>,
    rates: Option<Rates>,
    verdicts: BTreeMap<String, (f64, f64)>,
    seconds: VecDeque<(u64, Rates)>,
}

/// Which line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Series {
    /// What passed.
    Passed,
    /// What was dropped.
    Dropped,
}

impl Meter {
    /// Takes a status that was read at a moment.
    pub(super) fn take(&mut self, at: Duration, status: &Status) {
        let before = self.last.replace((at, status.clone()));
        (self.rates, self.verdicts) = (None, BTreeMap::new());
        let Some((then, before)) = before else { return };
        let between = at.saturating_sub(then);
        // Counters that went back are others: weir was detached in between.
        if between.is_zero() || between > FARTHEST || status.packets.seen < before.packets.seen {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_second = |now: u64, then: u64| now.saturating_sub(then) as f64 / between.as_secs_f64();
        let rates = Rates {
            seen: per_second(status.packets.seen, before.packets.seen),
            passed: per_second(status.packets.passed, before.packets.passed),
            dropped: per_second(status.packets.dropped, before.packets.dropped),
            would_drop: per_second(status.packets.would_drop, before.packets.would_drop),
            bits: 8.0 * per_second(status.bytes.seen, before.bytes.seen),
        };
        for (name, now) in &status.verdicts {
            let then = before.verdicts.get(name).copied().unwrap_or_default();
            let rates = (per_second(now.packets, then.packets), per_second(now.bytes, then.bytes));
            self.verdicts.insert(name.clone(), rates);
        }
        self.rates = Some(rates);
        // The rate holds for each second that ended since.
        self.seconds.extend((then.as_secs() + 1..=at.as_secs()).map(|second| (second, rates)));
        while self.seconds.len() > KEPT {
            self.seconds.pop_front();
        }
    }

    /// Forgets the last status: what follows begins anew, and the time in between stays empty.
    pub(super) fn pause(&mut self) {
        self.last = None;
    }

    /// The latest rates.
    pub(super) fn rates(&self) -> Option<Rates> {
        self.rates
    }

    /// A verdict's packets and bytes a second.
    pub(super) fn verdict(&self, name: &str) -> Option<(f64, f64)> {
        self.verdicts.get(name).copied()
    }

    /// The last `width` seconds that are known, the latest at the end; `None` where nothing is known.
    pub(super) fn series(&self, which: Series, width: usize) -> Vec<Option<u64>> {
        let (Some((first, _)), Some((latest, _))) = (self.seconds.front(), self.seconds.back()) else {
            return Vec::new();
        };
        let width = width.min(KEPT) as u64;
        let mut series = Vec::new();
        let mut known = self.seconds.iter().skip_while(|(second, _)| *second + width <= *latest).peekable();
        for second in (latest + 1).saturating_sub(width).max(*first)..=*latest {
            let value = known.next_if(|(at, _)| *at == second).map(|(_, rates)| match which {
                Series::Passed => rates.passed,
                Series::Dropped => rates.dropped,
            });
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "packets of a second")]
            series.push(value.map(|value| value.round() as u64));
        }
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::top::tests::status;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_rate_is_what_was_counted_over_the_time_between() {
        let mut meter = Meter::default();
        meter.take(at(500), &status(100, 40));
        assert_eq!(meter.rates(), None);
        meter.take(at(2_500), &status(300, 140));
        let rates = meter.rates().unwrap();
        assert_eq!((rates.seen, rates.passed, rates.dropped, rates.bits), (100.0, 50.0, 50.0, 100.0 * 60.0 * 8.0));
        assert_eq!(meter.verdict("denied"), Some((50.0, 3_000.0)));
        assert_eq!(meter.series(Series::Dropped, 60), [Some(50), Some(50)]);
    }

    #[test]
    fn what_is_not_known_stays_empty() {
        let mut meter = Meter::default();
        meter.take(at(0), &status(0, 0));
        meter.take(at(1_000), &status(10, 0));
        meter.pause();
        meter.take(at(3_000), &status(90, 0));
        meter.take(at(4_000), &status(110, 0));
        assert_eq!(meter.series(Series::Passed, 60), [Some(10), None, None, Some(20)]);
    }

    #[test]
    fn counters_that_went_back_and_long_silences_make_no_rate() {
        let mut meter = Meter::default();
        meter.take(at(0), &status(1_000, 0));
        meter.take(at(1_000), &status(10, 0));
        assert_eq!(meter.rates(), None);
        meter.take(at(9_000), &status(20, 0));
        assert_eq!(meter.rates(), None);
    }

    #[test]
    fn two_minutes_are_kept() {
        let mut meter = Meter::default();
        for second in 0..500 {
            meter.take(at(second * 1_000), &status(second * second, 0));
        }
        assert_eq!(meter.series(Series::Passed, 1_000).len(), KEPT);
        assert_eq!(meter.series(Series::Passed, 3), [Some(993), Some(995), Some(997)]);
    }
}
