//! When a feed is asked next, when its silence is an alarm, and when its entries end.
//!
//! Times are seconds since 1970 on the wall clock, because they outlive the process. A clock that is set back puts
//! nothing off for longer than the longest pause.
use serde::{Deserialize, Serialize};

/// Longest pause after a failure, and longest Retry-After that is kept to, in seconds.
pub const LONGEST_PAUSE_S: u64 = 86_400;
/// Longest pause after a failure, in intervals.
pub const LONGEST_PAUSE_INTERVALS: u64 = 8;
/// Intervals without success after which the operator is told.
pub const ALARM_INTERVALS: u64 = 3;
/// Pause after a first failure, in seconds, where the interval and the minimum leave the choice.
const FIRST_PAUSE_S: u64 = 60;
/// Seconds after which a feed is asked without conditions, so that a server which says "not modified" for ever shows.
const IN_FULL_S: u64 = 86_400;
/// Part of the interval by which a refresh is early or late: many machines do not ask at the same moment.
const SPREAD: u64 = 10;

/// How often a feed is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From one refresh to the next, in seconds.
    pub interval_s: u64,
    /// The least there may be between two requests, in seconds, whatever went wrong: the terms of the feed.
    pub min_interval_s: u64,
    /// After this many seconds without success the entries end; none: they stay.
    pub expire_after_s: Option<u64>,
}

/// What became of a feed's requests so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// When the feed was first followed.
    pub since: u64,
    /// The last time the server gave a list that was taken, or said that it is unchanged.
    pub last_success: Option<u64>,
    /// The last time all of it was received.
    pub last_in_full: Option<u64>,
    /// The last request.
    pub last_attempt: Option<u64>,
    /// Failures since the last success.
    pub failures: u32,
    /// When it is asked next.
    pub next: u64,
}

/// What a feed's silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Silence {
    /// It was heard of lately.
    None,
    /// Not for [`ALARM_INTERVALS`] intervals: the entries stay, the operator is told.
    Alarm,
    /// Longer than the operator lets entries stay: they are dropped.
    Expired,
}

impl Schedule {
    /// The interval that is kept to: never below the least, never 0.
    fn interval(&self) -> u64 {
        self.interval_s.max(self.least())
    }

    fn least(&self) -> u64 {
        self.min_interval_s.max(1)
    }

    /// Longest pause after a failure.
    fn longest(&self) -> u64 {
        LONGEST_PAUSE_S.min(self.interval().saturating_mul(LONGEST_PAUSE_INTERVALS)).max(self.least())
    }

    /// Pause after a success: the interval, a tenth sooner or later as `jitter` (any number) says.
    pub fn after_success(&self, jitter: u64) -> u64 {
        let spread = self.interval() / SPREAD;
        let early = self.interval().saturating_sub(spread);
        early.saturating_add(below(jitter, spread.saturating_mul(2))).max(self.least())
    }

    /// Pause after so many failures in a row: doubled each time, its second half drawn by `jitter`, and not shorter
    /// than what the server asked for (`retry_after`, seconds), where that is within reason.
    pub fn after_failure(&self, failures: u32, retry_after: Option<u64>, jitter: u64) -> u64 {
        let first = FIRST_PAUSE_S.min(self.interval()).max(self.least());
        let doublings = failures.saturating_sub(1).min(32);
        let pause = first.saturating_mul(1 << doublings).min(self.longest());
        let drawn = (pause / 2).saturating_add(below(jitter, pause - pause / 2));
        let own = drawn.clamp(self.least(), self.longest());
        match retry_after {
            None => own,
            Some(asked) => {
                let most = LONGEST_PAUSE_S.max(self.least());
                let asked = asked.clamp(self.least(), most);
                own.max(asked.saturating_add(below(jitter, asked / SPREAD))).min(most)
            }
        }
    }
}

/// A number from 0 to `most`.
fn below(jitter: u64, most: u64) -> u64 {
    jitter % most.saturating_add(1).max(1)
}

impl State {
    /// Of a feed that is asked at once.
    pub fn new(now: u64) -> Self {
        Self { since: now, last_success: None, last_in_full: None, last_attempt: None, failures: 0, next: now }
    }

    /// A list was received and taken.
    pub fn changed(&mut self, schedule: &Schedule, now: u64, jitter: u64) {
        self.last_in_full = Some(now);
        self.unchanged(schedule, now, jitter);
    }

    /// The server said that nothing changed.
    pub fn unchanged(&mut self, schedule: &Schedule, now: u64, jitter: u64) {
        self.last_success = Some(now);
        self.last_attempt = Some(now);
        self.failures = 0;
        self.next = now.saturating_add(schedule.after_success(jitter));
    }

    /// Nothing was received, or what was received was refused.
    pub fn failed(&mut self, schedule: &Schedule, now: u64, retry_after: Option<u64>, jitter: u64) {
        self.last_attempt = Some(now);
        self.failures = self.failures.saturating_add(1);
        self.next = now.saturating_add(schedule.after_failure(self.failures, retry_after, jitter));
    }

    /// Nothing was asked: another feed of the same host was, a moment ago.
    pub fn postponed(&mut self, now: u64, wait_s: u64) {
        self.next = now.saturating_add(wait_s.clamp(1, LONGEST_PAUSE_S));
    }

    /// Whether it is to be asked now. A `next` that lies further away than any pause is of a clock that was set back.
    pub fn is_due(&self, schedule: &Schedule, now: u64) -> bool {
        let longest = schedule.longest().max(LONGEST_PAUSE_S).max(schedule.interval().saturating_mul(2));
        now >= self.next || self.next.saturating_sub(now) > longest
    }

    /// Whether it is to be asked without conditions.
    pub fn in_full(&self, now: u64) -> bool {
        self.last_in_full.is_none_or(|last| now.saturating_sub(last) >= IN_FULL_S)
    }

    /// What its silence means now.
    pub fn silence(&self, schedule: &Schedule, now: u64) -> Silence {
        let silent = now.saturating_sub(self.last_success.unwrap_or(self.since));
        if schedule.expire_after_s.is_some_and(|most| silent >= most) {
            Silence::Expired
        } else if silent >= schedule.interval().saturating_mul(ALARM_INTERVALS) {
            Silence::Alarm
        } else {
            Silence::None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOURLY: Schedule = Schedule { interval_s: 3_600, min_interval_s: 300, expire_after_s: None };

    #[test]
    fn a_success_is_followed_by_the_interval_and_a_little_jitter() {
        let mut state = State::new(1_000);
        assert!(state.is_due(&HOURLY, 1_000));
        state.changed(&HOURLY, 1_000, 0);
        assert_eq!(state.next, 1_000 + 3_240);
        state.unchanged(&HOURLY, 5_000, 720);
        assert_eq!(state.next, 5_000 + 3_960);
        assert_eq!((state.last_success, state.last_in_full), (Some(5_000), Some(1_000)));
    }

    #[test]
    fn failures_double_the_pause_up_to_eight_intervals() {
        let mut state = State::new(0);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            state.failed(&HOURLY, 0, None, 0);
            pauses.push(state.next);
        }
        assert_eq!(pauses, [300, 300, 600, 1_200, 2_400, 4_800, 9_600, 14_400, 14_400, 14_400, 14_400, 14_400]);
        state.unchanged(&HOURLY, 0, 0);
        assert_eq!(state.failures, 0);
    }

    #[test]
    fn retry_after_is_kept_to_within_reason() {
        assert_eq!(HOURLY.after_failure(1, Some(0), 0), 300);
        assert_eq!(HOURLY.after_failure(1, Some(7_200), 0), 7_200);
        assert_eq!(HOURLY.after_failure(1, Some(315_360_000), 77), LONGEST_PAUSE_S);
        assert_eq!(HOURLY.after_failure(1, Some(u64::MAX), 0), LONGEST_PAUSE_S);
    }

    #[test]
    fn a_feed_away_for_long_alarms_and_keeps_its_entries_unless_told_otherwise() {
        let mut state = State::new(0);
        state.changed(&HOURLY, 100, 0);
        assert_eq!(state.silence(&HOURLY, 100 + 3 * 3_600 - 1), Silence::None);
        assert_eq!(state.silence(&HOURLY, 100 + 3 * 3_600), Silence::Alarm);
        assert_eq!(state.silence(&HOURLY, 30 * 86_400), Silence::Alarm);
        let ending = Schedule { expire_after_s: Some(86_400), ..HOURLY };
        assert_eq!(state.silence(&ending, 100 + 86_399), Silence::Alarm);
        assert_eq!(state.silence(&ending, 100 + 86_400), Silence::Expired);
    }

    #[test]
    fn a_clock_set_back_by_a_year_does_not_stop_the_feed() {
        let mut state = State::new(0);
        state.changed(&HOURLY, 40_000_000, 0);
        assert!(!state.is_due(&HOURLY, 40_000_000));
        assert!(state.is_due(&HOURLY, 8_000_000));
        assert_eq!(state.silence(&HOURLY, 8_000_000), Silence::None);
    }

    #[test]
    fn once_a_day_all_of_it_is_asked_for() {
        let mut state = State::new(0);
        assert!(state.in_full(0));
        state.changed(&HOURLY, 0, 0);
        assert!(!state.in_full(86_399));
        assert!(state.in_full(86_400));
    }

    proptest! {
        #[test]
        fn no_pause_is_shorter_than_the_least_or_longer_than_the_most(
            interval_s in any::<u64>(), min_interval_s in any::<u64>(), failures in any::<u32>(),
            retry_after in any::<Option<u64>>(), jitter in any::<u64>(),
        ) {
            let schedule = Schedule { interval_s, min_interval_s, expire_after_s: None };
            let pause = schedule.after_failure(failures, retry_after, jitter);
            prop_assert!(pause >= min_interval_s.max(1));
            prop_assert!(pause <= LONGEST_PAUSE_S.max(min_interval_s));
            let pause = schedule.after_success(jitter);
            prop_assert!(pause >= min_interval_s.max(1));
            let mut state = State::new(jitter);
            state.failed(&schedule, interval_s, retry_after, jitter);
            state.unchanged(&schedule, interval_s, jitter);
            prop_assert!(state.next >= interval_s);
        }
    }
}
