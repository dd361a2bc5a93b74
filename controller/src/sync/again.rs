//! What failed is tried again, later and later.
use std::time::{Duration, Instant};

/// The longest time between two tries.
const AT_MOST: Duration = Duration::from_mins(1);

/// When something that failed is tried again. At first it is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Again(Option<(Instant, Duration)>);

impl Again {
    /// Whether it may be tried.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.0.is_none_or(|(failed, wait)| now.saturating_duration_since(failed) >= wait)
    }

    /// It failed: not before so long, twice as long each time it fails again, a minute at the most.
    pub(super) fn failed(&mut self, now: Instant, wait: Duration) {
        let wait = self.0.map_or(wait, |(_, before)| before.saturating_mul(2));
        self.0 = Some((now, wait.min(AT_MOST)));
    }

    /// It worked, or what it failed of has changed: it is due at once.
    pub(super) fn worked(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_is_tried_later_and_later_and_each_minute_at_the_least() {
        let (start, first) = (Instant::now(), Duration::from_secs(4));
        let mut again = Again::default();
        assert!(again.is_due(start), "at first");
        let mut now = start;
        for wait in [4, 8, 16, 32, 60, 60].map(Duration::from_secs) {
            again.failed(now, first);
            let (early, due) = (now + wait.saturating_sub(Duration::from_millis(1)), now + wait);
            assert!(!again.is_due(early) && again.is_due(due), "{wait:?}");
            now = due;
        }
        again.worked();
        assert!(again.is_due(now));
        again.failed(now, first);
        assert!(!again.is_due(now) && again.is_due(now + first), "as at first");
    }
}
