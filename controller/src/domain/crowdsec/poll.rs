//! When to ask the server, and for what.
//!
//! A server remembers per key what it told last. An answer that was lost on the way is lost for good, so after any doubt
//! everything is asked for anew; and now and then without any, because a decision that the server writes down while it
//! answers may be in neither answer.
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::time::{BootSeconds, Now};

/// Seconds after which everything is asked for anew without any doubt.
const ANEW_EVERY: u64 = 3_600;

/// The first wait after a failure.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait after failures, if the interval is not longer.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// From so many decisions on, an answer with less than half of them is doubted.
const DOUBTED_FROM: usize = 100;

/// Seconds for which a doubtful answer must be repeated until it is believed.
const BELIEVED_AFTER: u64 = 300;

/// The next question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whether to ask for everything.
    pub startup: bool,
    /// How long to wait before.
    pub after: Duration,
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Take {
    /// It tells changes: [`super::Decisions::apply`].
    Changes,
    /// It is all there is: [`super::Decisions::replace`].
    Whole,
    /// It should be all there is, and lacks so much that the server may have failed half way: what it names is added
    /// ([`super::Decisions::apply`]), and nothing ends by it. Asked again, and believed when it stays so.
    Doubtful,
}

/// How it stands with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not answered yet.
    Starting,
    /// It answers.
    Following,
    /// It answers, and what it says is doubted.
    Doubted {
        /// How many decisions are held.
        held: usize,
        /// How many it named.
        told: usize,
    },
    /// It does not answer, or not so that it can be understood.
    Away {
        /// How many times in a row.
        failures: u32,
    },
    /// It does not know the key.
    KeyRejected,
}

/// What became of a question that got no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No answer, a broken one, or an error.
    Away,
    /// The key is not known.
    KeyRejected,
}

/// The questions to a server, one after the other.
#[derive(Clone, Debug)]
pub struct Poll {
    interval: Duration,
    next: Ask,
    standing: Standing,
    anew_at: BootSeconds,
    doubted_since: Option<BootSeconds>,
    /// Whether the next whole answer is believed whatever it lacks.
    believes: bool,
    last_success: Option<Timestamp>,
}

impl Poll {
    /// Asks for everything at once, then for changes each `interval`.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            next: Ask { startup: true, after: Duration::ZERO },
            standing: Standing::Starting,
            anew_at: BootSeconds(0),
            doubted_since: None,
            believes: false,
            last_success: None,
        }
    }

    /// Believes the first whole answer, whatever it lacks: for settings that ask for less than those before.
    #[must_use]
    pub fn believing(mut self) -> Self {
        self.believes = true;
        self
    }

    /// What to ask next, and when.
    pub fn ask(&self) -> Ask {
        self.next
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// When the server last answered so that it was understood.
    pub fn last_success(&self) -> Option<Timestamp> {
        self.last_success
    }

    /// An answer to [`Poll::ask`] came: it names `told` decisions, where `held` are held now.
    pub fn answered(&mut self, told: usize, held: usize, now: Now) -> Take {
        self.last_success = Some(now.wall);
        let take = self.judge(told, held, now.boot);
        let startup = match take {
            Take::Doubtful => {
                self.standing = Standing::Doubted { held, told };
                true
            }
            Take::Whole => {
                (self.standing, self.doubted_since, self.believes) = (Standing::Following, None, false);
                self.anew_at = BootSeconds(now.boot.0.saturating_add(ANEW_EVERY));
                false
            }
            Take::Changes => {
                self.standing = Standing::Following;
                now.boot >= self.anew_at
            }
        };
        self.next = Ask { startup, after: self.interval };
        take
    }

    fn judge(&mut self, told: usize, held: usize, now: BootSeconds) -> Take {
        if !self.next.startup {
            return Take::Changes;
        }
        if self.believes || held < DOUBTED_FROM || told >= held / 2 {
            return Take::Whole;
        }
        let since = *self.doubted_since.get_or_insert(now);
        if now.0.saturating_sub(since.0) < BELIEVED_AFTER { Take::Doubtful } else { Take::Whole }
    }

    /// No answer came that could be used. `jitter` is any number, evenly spread: so that many do not ask at once.
    pub fn failed(&mut self, trouble: Trouble, jitter: u32) {
        let failures = match self.standing {
            Standing::Away { failures } => failures.saturating_add(1),
            Standing::Starting | Standing::Following | Standing::Doubted { .. } | Standing::KeyRejected => 1,
        };
        let longest = LONGEST_WAIT.max(self.interval);
        let wait = match trouble {
            Trouble::Away => {
                self.standing = Standing::Away { failures };
                let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
                FIRST_WAIT.saturating_mul(doubled).min(longest)
            }
            Trouble::KeyRejected => {
                self.standing = Standing::KeyRejected;
                longest
            }
        };
        // From half of it to all of it.
        let half = wait / 2;
        let more = half.mul_f64(f64::from(jitter) / f64::from(u32::MAX));
        self.next = Ask { startup: true, after: half.saturating_add(more) };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn at(second: u64) -> Now {
        Now { boot: BootSeconds(second), wall: Timestamp::UNIX_EPOCH }
    }

    #[track_caller]
    fn asks(poll: &Poll, startup: bool, seconds: f64) {
        assert_eq!(poll.ask(), Ask { startup, after: Duration::from_secs_f64(seconds) });
    }

    #[test]
    fn everything_is_asked_for_once_and_then_changes() {
        let mut poll = Poll::new(INTERVAL);
        asks(&poll, true, 0.0);
        assert_eq!(poll.answered(5, 0, at(100)), Take::Whole);
        asks(&poll, false, 10.0);
        assert_eq!(poll.answered(0, 5, at(110)), Take::Changes);
        asks(&poll, false, 10.0);
        assert_eq!(poll.standing(), Standing::Following);
    }

    #[test]
    fn after_a_lost_answer_everything_is_asked_for_sooner_than_the_interval() {
        let mut poll = Poll::new(INTERVAL);
        assert_eq!(poll.answered(5, 0, at(100)), Take::Whole);
        poll.failed(Trouble::Away, u32::MAX);
        asks(&poll, true, 1.0);
        poll.failed(Trouble::Away, 0);
        asks(&poll, true, 1.0);
        poll.failed(Trouble::Away, u32::MAX);
        asks(&poll, true, 4.0);
        assert_eq!(poll.standing(), Standing::Away { failures: 3 });
        assert_eq!(poll.answered(5, 5, at(110)), Take::Whole);
        asks(&poll, false, 10.0);
        poll.failed(Trouble::Away, u32::MAX);
        asks(&poll, true, 1.0);
    }

    #[test]
    fn the_wait_grows_to_a_minute_or_the_interval() {
        for (interval, seconds) in [(INTERVAL, 60.0), (Duration::from_mins(10), 600.0)] {
            let mut poll = Poll::new(interval);
            for _ in 0..100 {
                poll.failed(Trouble::Away, u32::MAX);
            }
            asks(&poll, true, seconds);
        }
    }

    #[test]
    fn a_rejected_key_is_tried_again_each_minute() {
        let mut poll = Poll::new(INTERVAL);
        poll.failed(Trouble::KeyRejected, u32::MAX);
        asks(&poll, true, 60.0);
        assert_eq!(poll.standing(), Standing::KeyRejected);
    }

    #[test]
    fn everything_is_asked_for_anew_each_hour() {
        let mut poll = Poll::new(INTERVAL);
        assert_eq!(poll.answered(5, 0, at(100)), Take::Whole);
        assert_eq!(poll.answered(0, 5, at(3_699)), Take::Changes);
        asks(&poll, false, 10.0);
        assert_eq!(poll.answered(0, 5, at(3_700)), Take::Changes);
        asks(&poll, true, 10.0);
        assert_eq!(poll.answered(5, 5, at(3_710)), Take::Whole);
        asks(&poll, false, 10.0);
    }

    #[test]
    fn new_settings_may_ask_for_less_once() {
        let mut poll = Poll::new(INTERVAL).believing();
        poll.failed(Trouble::Away, 0);
        assert_eq!(poll.answered(0, 1_000, at(100)), Take::Whole);
        poll.failed(Trouble::Away, 0);
        assert_eq!(poll.answered(0, 1_000, at(110)), Take::Doubtful);
    }

    #[test]
    fn an_answer_that_lacks_most_is_believed_only_when_it_stays_so() {
        let mut poll = Poll::new(INTERVAL);
        assert_eq!(poll.answered(49, 100, at(100)), Take::Doubtful);
        assert_eq!(poll.standing(), Standing::Doubted { held: 100, told: 49 });
        asks(&poll, true, 10.0);
        assert_eq!(poll.answered(50, 100, at(110)), Take::Whole);
        poll.failed(Trouble::Away, 0);
        assert_eq!(poll.answered(0, 1_000, at(200)), Take::Doubtful);
        poll.failed(Trouble::Away, 0);
        assert_eq!(poll.answered(0, 1_000, at(499)), Take::Doubtful);
        assert_eq!(poll.answered(0, 1_000, at(500)), Take::Whole);
        asks(&poll, false, 10.0);
        // Few decisions may all go at once: someone cleared them.
        poll.failed(Trouble::Away, 0);
        assert_eq!(poll.answered(0, 99, at(600)), Take::Whole);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_its_bound(failures in 1u32..200, jitter: u32, seconds in 1u64..100_000) {
            let mut poll = Poll::new(Duration::from_secs(seconds));
            for _ in 0..failures {
                poll.failed(Trouble::Away, jitter);
            }
            let after = poll.ask().after;
            prop_assert!(after >= FIRST_WAIT / 2 && after <= LONGEST_WAIT.max(Duration::from_secs(seconds)));
        }
    }
}
