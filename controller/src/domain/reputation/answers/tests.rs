use proptest::prelude::*;

use super::*;
use crate::domain::reputation::policy::{LIMIT_LONGEST_S, SHORT_LONGEST_S};

const DAY: i64 = 86_400;

fn answers() -> Answers {
    Answers::new(Policy::default())
}

fn key(source: u32) -> Arc<str> {
    format!("192.0.2.{source}").into()
}

/// What is said of a source with that score, of which the second number is proven.
fn said(score: u8, proven: u8) -> Assessment {
    Assessment { score, proven, ..Assessment::default() }
}

/// The answer to the first source with that score, all of it proven.
fn ask(answers: &mut Answers, score: u8, now: i64) -> Answer {
    answers.answer(&key(1), &said(score, score), now)
}

fn limit(for_s: u64) -> Answer {
    Answer::Limit { for_s }
}

fn short(for_s: u64) -> Answer {
    Answer::Short { for_s }
}

fn long(for_s: u64) -> Answer {
    Answer::Long { for_s }
}

#[test]
fn who_comes_back_is_denied_twice_as_long_each_time() {
    let mut answers = answers();
    for (now, for_s) in [(0, 3_600), (3_600, 7_200), (20_000, 14_400)] {
        assert_eq!(ask(&mut answers, 90, now), long(for_s));
    }
    assert_eq!(answers.past(&key(1)).map(|past| past.long), Some(Step { times: 3, until: 34_400 }));
    assert_eq!(answers.past(&key(2)), None);
}

#[test]
fn short_denials_and_limits_are_longer_each_time_too_up_to_their_longest() {
    for (score, times) in [(60, [600, 1_200, 2_400, 3_600, 3_600]), (40, [600, 1_200, 2_400, 4_800, 9_600])] {
        let mut answers = answers();
        for (round, for_s) in (0..).zip(times) {
            assert_eq!(ask(&mut answers, score, round * DAY).for_s(), for_s);
        }
    }
}

#[test]
fn what_is_past_its_memory_does_not_count() {
    let mut answers = answers();
    assert_eq!(ask(&mut answers, 90, 0), long(3_600));
    assert_eq!(ask(&mut answers, 90, 3_600 + 30 * DAY), long(7_200));
    assert_eq!(ask(&mut answers, 90, 10_800 + 30 * DAY + 30 * DAY + 1), long(3_600));
    // Each grade has a memory of its own.
    assert_eq!(ask(&mut answers, 60, 80 * DAY), short(600));
    assert_eq!(ask(&mut answers, 90, 109 * DAY), long(3_600));
}

#[test]
fn while_an_answer_is_in_force_it_is_lengthened_and_only_if_that_is_worth_it() {
    let mut answers = answers();
    assert_eq!(ask(&mut answers, 90, 0), long(3_600));
    assert_eq!(ask(&mut answers, 90, 60), Answer::Nothing);
    assert_eq!(ask(&mut answers, 90, 61), long(3_600));
    assert_eq!(ask(&mut answers, 90, 3_661), long(7_200));
}

#[test]
fn what_is_weaker_than_what_is_in_force_is_answered_only_if_it_ends_later() {
    let mut answers = answers();
    assert_eq!(ask(&mut answers, 90, 0), long(3_600));
    assert_eq!(ask(&mut answers, 60, 3_060), Answer::Nothing);
    assert_eq!(ask(&mut answers, 40, 3_060), Answer::Nothing);
    assert_eq!(ask(&mut answers, 40, 3_061), limit(600));
    assert_eq!(ask(&mut answers, 60, 3_061), short(600));
}

#[test]
fn what_is_stronger_is_answered_at_once_and_ends_what_is_weaker() {
    let mut answers = answers();
    assert_eq!(ask(&mut answers, 40, 0), limit(600));
    assert_eq!(ask(&mut answers, 60, 10), short(600));
    assert_eq!(ask(&mut answers, 90, 20), long(3_600));
    let past = answers.past(&key(1)).unwrap();
    assert_eq!([past.limit.until, past.short.until, past.long.until], [10, 20, 3_620]);
    // What has ended counts.
    assert_eq!(ask(&mut answers, 60, 4_000), short(1_200));
}

#[test]
fn without_enforcement_nothing_is_done_and_remembered() {
    let mut answers = Answers::new(Policy { enforce: false, ..Policy::default() });
    assert_eq!(ask(&mut answers, 100, 0), Answer::Nothing);
    assert!(answers.is_empty());
    answers.set(Policy::default());
    assert_eq!(ask(&mut answers, 39, 0), Answer::Nothing);
    assert!(answers.is_empty());
}

#[test]
fn what_was_lifted_does_not_count_and_what_was_before_does() {
    let mut answers = answers();
    answers.lifted(&key(1), 0);
    assert_eq!(ask(&mut answers, 90, 0), long(3_600));
    answers.lifted(&key(1), 10);
    assert!(answers.is_empty());
    assert_eq!(ask(&mut answers, 90, 20), long(3_600));
    assert_eq!(ask(&mut answers, 90, DAY), long(7_200));
    answers.lifted(&key(1), DAY + 9);
    assert_eq!(ask(&mut answers, 90, DAY + 10), long(7_200));
    answers.lifted(&key(1), 2 * DAY);
    assert_eq!(ask(&mut answers, 90, 2 * DAY), long(14_400));
}

#[test]
fn a_renamed_source_has_its_past_and_the_worse_of_two() {
    let mut answers = answers();
    ask(&mut answers, 90, 0).grade();
    ask(&mut answers, 90, DAY).grade();
    assert!(answers.rename(&key(1), &key(2)));
    assert!(!answers.rename(&key(1), &key(2)));
    assert!(!answers.rename(&key(2), &key(2)));
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&key(2)]);
    assert_eq!((answers.past(&key(1)), answers.len()), (None, 1));
    ask(&mut answers, 60, 2 * DAY).grade();
    answers.rename(&key(1), &key(2));
    let past = answers.past(&key(2)).unwrap();
    assert_eq!((past.long.times, past.short.times, past.limit.times), (2, 1, 0));
    assert!(answers.forget(&key(2)) && !answers.forget(&key(2)));
    assert!(answers.is_empty() && answers.long.is_empty() && answers.others.is_empty());
}

#[test]
fn a_sweep_forgets_whom_nothing_counts_against() {
    let mut answers = answers();
    ask(&mut answers, 60, 0).grade();
    answers.answer(&key(2), &said(90, 90), 0).grade();
    answers.sweep(600 + 30 * DAY);
    assert_eq!(answers.len(), 2);
    answers.sweep(601 + 30 * DAY);
    assert_eq!(answers.past(&key(1)), None);
    answers.sweep(3_601 + 30 * DAY);
    assert!(answers.is_empty());
}

#[test]
fn what_is_saved_counts_in_another_run_of_the_clock() {
    let mut before = answers();
    ask(&mut before, 40, 0).grade();
    ask(&mut before, 90, DAY).grade();
    before.answer(&key(2), &said(60, 0), DAY + 9).grade();
    let json = serde_json::to_string(&before.to_save(DAY + 10)).unwrap();
    let mut after = answers();
    after.restore(serde_json::from_str(&json).unwrap(), 110);
    assert_eq!(after.past(&key(1)).unwrap().long, Step { times: 1, until: 3_700 });
    assert_eq!(after.past(&key(1)).unwrap().limit, Step { times: 1, until: 110 + 600 - DAY - 10 });
    assert_eq!(after.past(&key(2)).unwrap().short, Step { times: 1, until: 709 });
    assert_eq!(after.to_save(110), before.to_save(DAY + 10));
    assert_eq!(ask(&mut after, 90, 120), Answer::Nothing);
    assert_eq!(ask(&mut after, 90, 3_700), long(7_200));
    after.restore(before.to_save(99 * DAY), 99 * DAY);
    assert!(after.is_empty());
}

#[test]
fn where_there_is_no_room_the_answer_that_ends_first_is_forgotten() {
    let mut answers = Answers::new(Policy { most_sources: 2, ..Policy::default() });
    for (source, now) in [(1, 0), (2, 10), (1, 100), (3, 20)] {
        answers.answer(&key(source), &said(60, 60), now).grade();
    }
    assert_eq!([1, 2, 3].map(|source| answers.past(&key(source)).is_some()), [true, false, true]);
    answers.set(Policy { most_sources: 0, ..Policy::default() });
    assert_eq!(answers.len(), 1);
}

#[test]
fn who_is_forged_does_not_have_long_denials_forgotten() {
    let mut answers = Answers::new(Policy { most_sources: 100, ..Policy::default() });
    for source in 0..75 {
        answers.answer(&key(source), &said(90, 90), 0).grade();
    }
    for source in 0..10_000 {
        assert_eq!(answers.answer(&key(source + 75), &said(100, 0), DAY), short(600));
    }
    assert_eq!((answers.len(), answers.long.len()), (100, 75));
    assert_eq!(ask(&mut answers, 90, DAY), long(7_200));
    for source in 0..10_000 {
        answers.answer(&key(source + 100_000), &said(90, 90), 2 * DAY).grade();
    }
    assert_eq!((answers.len(), answers.others.len()), (100, 24));
}

proptest! {
    #[test]
    fn nothing_is_longer_than_it_may_be_and_nothing_long_rests_on_what_is_forged(
        asked in prop::collection::vec((0..=100u8, 0..=100u8, 0..100_000i64), 1..60),
        (longest_s, first_s) in (1..1_000_000u64, 0..1_000_000u64),
    ) {
        let policy = Policy { longest_s, deny_for_s: first_s, short_for_s: first_s, limit_for_s: first_s, ..Policy::default() };
        let mut answers = Answers::new(policy);
        let mut now = 0;
        for (score, proven, passed) in asked {
            now += passed;
            let answer = answers.answer(&key(1), &said(score, proven), now);
            prop_assert!(answer.for_s() <= longest_s);
            match answer {
                Answer::Nothing => {}
                Answer::Limit { for_s } => prop_assert!((1..=LIMIT_LONGEST_S).contains(&for_s)),
                Answer::Short { for_s } => prop_assert!((1..=SHORT_LONGEST_S).contains(&for_s)),
                Answer::Long { .. } => prop_assert!(proven >= 80 && score >= 80),
            }
        }
    }

    #[test]
    fn asked_again_within_a_minute_the_answer_is_nothing(
        asked in prop::collection::vec((0..=100u8, 0..=100u8, 0..100_000i64), 1..20),
        again in 0..=60i64,
    ) {
        let mut answers = answers();
        let mut now = 0;
        for (score, proven, passed) in asked {
            now += passed;
            let answer = answers.answer(&key(1), &said(score, proven), now);
            let again = if answer == Answer::Nothing { 0 } else { again };
            let repeated = answers.clone().answer(&key(1), &said(score, proven), now + again);
            prop_assert_eq!(repeated, Answer::Nothing);
        }
    }

    #[test]
    fn of_two_new_sources_the_worse_is_answered_no_less(a in (0..=100u8, 0..=100u8), b in (0..=100u8, 0..=100u8)) {
        let (worse, better) = ((a.0.max(b.0), a.1.max(b.1)), (a.0.min(b.0), a.1.min(b.1)));
        let mut answers = answers();
        let worse = answers.answer(&key(1), &said(worse.0, worse.1), 0);
        let better = answers.answer(&key(2), &said(better.0, better.1), 0);
        prop_assert!(worse.grade() >= better.grade() && worse.for_s() >= better.for_s());
    }

    #[test]
    fn whatever_comes_memory_is_bounded_and_in_order(
        asked in prop::collection::vec((0..30u32, 0..=100u8, 0..100_000i64, 0..8u8), 1..100),
        most_sources in 1..12usize,
    ) {
        let mut answers = Answers::new(Policy { most_sources, ..Policy::default() });
        let mut now = 0;
        for (source, score, passed, deed) in asked {
            now += passed;
            match deed {
                0 => answers.lifted(&key(source), now),
                1 => { answers.rename(&key(source), &key(source + 1)); }
                2 => answers.sweep(now),
                _ => { answers.answer(&key(source), &said(score, score), now).grade(); }
            }
            prop_assert!(answers.len() <= most_sources);
            prop_assert_eq!(answers.len(), answers.long.len() + answers.others.len());
            for (until, key) in answers.long.iter().chain(&answers.others) {
                prop_assert_eq!(answers.past(key).map(Past::until), Some(*until));
            }
        }
    }
}
