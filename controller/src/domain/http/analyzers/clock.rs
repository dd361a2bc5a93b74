//! Which times are to be believed by what learns.
//!
//! A profile folds a day when the next begins. One event from another year must not do that; a log that was silent for a
//! month, or a clock that was set right, must.

/// Times this far from the last are believed at once, in milliseconds.
const SLACK_MS: i64 = 86_400_000;

/// So many in a row that agree are believed whatever they say.
const AGREEING: u32 = 16;

/// The time of a stream of events.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    now_ms: Option<i64>,
    elsewhere_ms: i64,
    agreeing: u32,
}

impl Clock {
    /// Whether a time is to be believed.
    pub(super) fn believes(&mut self, at_ms: i64) -> bool {
        let is_near = |then: i64| at_ms.saturating_sub(then).saturating_abs() <= SLACK_MS;
        match self.now_ms {
            Some(now_ms) if is_near(now_ms) => {
                self.now_ms = Some(now_ms.max(at_ms));
                self.agreeing = 0;
                return true;
            }
            None => {
                self.now_ms = Some(at_ms);
                return true;
            }
            Some(_) => {}
        }
        self.agreeing = if self.agreeing > 0 && is_near(self.elsewhere_ms) { self.agreeing + 1 } else { 1 };
        self.elsewhere_ms = at_ms;
        if self.agreeing < AGREEING {
            return false;
        }
        self.agreeing = 0;
        self.now_ms = Some(at_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn believed(times: impl IntoIterator<Item = i64>) -> Vec<bool> {
        let mut clock = Clock::default();
        times.into_iter().map(|at_ms| clock.believes(at_ms)).collect()
    }

    #[test]
    fn one_time_far_off_is_not_believed_and_moves_nothing() {
        for wrong in [400 * DAY_MS, -400 * DAY_MS, i64::MAX, i64::MIN] {
            assert_eq!(believed([0, 1_000, wrong, 2_000, wrong, 3_000]), [true, true, false, true, false, true]);
        }
    }

    #[test]
    fn a_gap_a_clock_set_right_and_a_first_wrong_time_are_got_over() {
        for (first, then) in [(0, 90 * DAY_MS), (90 * DAY_MS, 0), (i64::MAX, 0)] {
            let times = [first].into_iter().chain((0..20).map(|step| then + step));
            let believed = believed(times);
            assert_eq!(believed.iter().filter(|believed| !**believed).count(), 15);
            assert!(believed[17..].iter().all(|believed| *believed));
        }
    }
}
