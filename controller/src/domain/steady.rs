//! The wall clock without its steps: what is kept is let go by it, and evidence fades by it.
//!
//! A clock that is wrong for a while, as before the first answer of a time server, must not take a month of records with
//! it. So a step is believed only once the clock has gone on from there for an hour; until then time goes on from before
//! it, as the boot-time clock counts.
use jiff::{SignedDuration, Timestamp};

use super::time::{BootSeconds, Now};

/// A difference that is no step: clocks are read a moment apart, and are slewed.
const NO_STEP: SignedDuration = SignedDuration::from_mins(1);
const A_DAY: SignedDuration = SignedDuration::from_hours(24);
/// Seconds for which the clock has to go on from where it stepped to.
const BELIEVED_AFTER_S: u64 = 3_600;

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    boot: BootSeconds,
    wall: Timestamp,
}

impl Anchor {
    const fn of(now: Now) -> Self {
        Self { boot: now.boot, wall: now.wall }
    }

    /// The wall clock later, if it does not step.
    fn at(self, boot: BootSeconds) -> Timestamp {
        let since = i64::try_from(boot.0.saturating_sub(self.boot.0)).unwrap_or(i64::MAX);
        self.wall.checked_add(SignedDuration::from_secs(since)).unwrap_or(Timestamp::MAX)
    }

    fn is_gone_on_from(self, now: Now) -> bool {
        now.wall.duration_since(self.at(now.boot)).abs() <= NO_STEP
    }
}

/// The clock. It wants to be looked at at least once a minute.
#[derive(Clone, Copy, Debug)]
pub struct SteadyClock {
    anchor: Anchor,
    /// Since when there was no step.
    since: BootSeconds,
    /// Where the clock stepped to.
    stepped: Option<Anchor>,
}

impl SteadyClock {
    /// One that believes the wall clock as it is `now`.
    pub const fn new(now: Now) -> Self {
        Self { anchor: Anchor::of(now), since: now.boot, stepped: None }
    }

    /// The time, without steps that are not believed yet.
    pub fn look(&mut self, now: Now) -> Timestamp {
        let is_believed = |stepped: &Anchor| {
            stepped.is_gone_on_from(now) && now.boot.0.saturating_sub(stepped.boot.0) >= BELIEVED_AFTER_S
        };
        if self.anchor.is_gone_on_from(now) {
            (self.anchor, self.stepped) = (Anchor::of(now), None);
        } else if let Some(stepped) = self.stepped.filter(is_believed) {
            (self.anchor, self.since, self.stepped) = (Anchor::of(now), stepped.boot, None);
        } else if !self.stepped.is_some_and(|stepped| stepped.is_gone_on_from(now)) {
            self.stepped = Some(Anchor::of(now));
            self.since = now.boot;
        }
        self.anchor.at(now.boot)
    }

    /// Seconds for which there was no step, as far as was looked.
    pub fn steady_for_s(&self, now: Now) -> u64 {
        if self.stepped.is_some() { 0 } else { now.boot.0.saturating_sub(self.since.0) }
    }

    /// Something was kept last at this moment. Where that is less than a day ago, the clock goes on from there, and has been
    /// steady for as long as it matters: whoever starts often must not begin anew each time.
    pub fn goes_on_from(&mut self, at: Timestamp, now: Now) {
        let ago = now.wall.duration_since(at);
        if self.stepped.is_none() && !ago.is_negative() && ago < A_DAY {
            self.since = BootSeconds(0);
        }
    }

    /// It is not earlier than this: something was kept then. A wall clock that is earlier was set back.
    pub fn not_before(&mut self, at: Timestamp, now: Now) {
        if self.look(now) < at {
            self.anchor = Anchor { boot: now.boot, wall: at };
            self.since = now.boot;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECADE: i64 = 10 * 365 * 86_400;

    fn now(boot: u64, wall: i64) -> Now {
        Now { boot: BootSeconds(boot), wall: at(wall) }
    }

    fn at(wall: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + wall).unwrap()
    }

    #[test]
    fn it_is_the_wall_clock_where_that_does_not_step() {
        let mut clock = SteadyClock::new(now(10, 0));
        for second in (0..20_000_i64).step_by(30) {
            // Slewed by a tenth of a percent.
            let slewed = second + second / 1_000;
            assert_eq!(clock.look(now(10 + second.unsigned_abs(), slewed)), at(slewed));
        }
        assert_eq!(clock.steady_for_s(now(20_010, 20_019)), 20_000);
    }

    #[test]
    fn a_step_that_is_taken_back_is_never_seen() {
        for step in [3_600, -3_600, DECADE, -DECADE, -1_800_000_000] {
            let mut clock = SteadyClock::new(now(0, 0));
            assert_eq!(clock.look(now(10, 10 + step)), at(10), "{step}");
            assert_eq!(clock.look(now(3_600, 3_600 + step)), at(3_600));
            assert_eq!(clock.steady_for_s(now(3_600, 3_600 + step)), 0);
            assert_eq!(clock.look(now(3_601, 3_601)), at(3_601));
        }
    }

    #[test]
    fn a_step_is_believed_after_an_hour_and_one_amid_it_begins_anew() {
        let mut clock = SteadyClock::new(now(0, 0));
        clock.look(now(10, 10 + DECADE));
        assert_eq!(clock.look(now(3_000, 3_000 + 2 * DECADE)), at(3_000));
        assert_eq!(clock.look(now(6_599, 6_599 + 2 * DECADE)), at(6_599));
        assert_eq!(clock.look(now(6_600, 6_600 + 2 * DECADE)), at(6_600 + 2 * DECADE));
        assert_eq!(clock.steady_for_s(now(6_700, 6_700 + 2 * DECADE)), 3_700);
    }

    #[test]
    fn who_starts_often_does_not_begin_anew_unless_the_clock_has_jumped() {
        let fresh = || SteadyClock::new(now(90_000, 0));
        for (kept, steady) in [(-10, true), (-86_000, true), (-90_000, false), (10, false), (-DECADE, false)] {
            let mut clock = fresh();
            clock.goes_on_from(at(kept), now(90_001, 1));
            assert_eq!(clock.steady_for_s(now(90_001, 1)) > BELIEVED_AFTER_S, steady, "{kept}");
        }
        let mut stepped = fresh();
        stepped.look(now(90_001, DECADE));
        stepped.goes_on_from(at(DECADE), now(90_002, DECADE + 1));
        assert_eq!(stepped.steady_for_s(now(90_002, DECADE + 1)), 0);
    }

    #[test]
    fn what_was_kept_is_not_of_the_future() {
        // A clock that begins in 1970, and is set later.
        let mut clock = SteadyClock::new(now(5, -1_800_000_000));
        clock.not_before(at(0), now(6, -1_799_999_999));
        assert_eq!(clock.look(now(16, -1_799_999_989)), at(10));
        assert_eq!(clock.look(now(26, 600)), at(20), "is not believed yet");
        assert_eq!(clock.look(now(3_626, 4_200)), at(4_200));
        // What is earlier changes nothing.
        clock.not_before(at(0), now(3_627, 4_201));
        assert_eq!(clock.look(now(3_628, 4_202)), at(4_202));
    }
}
