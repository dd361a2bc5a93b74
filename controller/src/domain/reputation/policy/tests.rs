use proptest::prelude::*;

use super::*;

pub(in crate::domain::reputation) fn assessment(score: u8, proven: u8) -> Assessment {
    Assessment { score, proven, ..Assessment::default() }
}

#[track_caller]
fn check(policy: &Policy, (score, proven): (u8, u8), grade: Grade) {
    assert_eq!(policy.grade(&assessment(score, proven)), grade, "{score} {proven}");
}

#[test]
fn each_threshold_is_the_first_score_of_its_grade() {
    let policy = Policy::default();
    for (score, grade) in [
        (0, Grade::Nothing),
        (39, Grade::Nothing),
        (40, Grade::Limit),
        (59, Grade::Limit),
        (60, Grade::Short),
        (79, Grade::Short),
        (80, Grade::Long),
        (100, Grade::Long),
    ] {
        check(&policy, (score, score), grade);
    }
}

#[test]
fn a_long_denial_rests_on_proven_evidence() {
    check(&Policy::default(), (100, 79), Grade::Short);
    check(&Policy::default(), (100, 80), Grade::Long);
}

#[test]
fn a_threshold_of_nothing_is_never_reached() {
    check(&Policy { deny_at: 0, ..Policy::default() }, (100, 100), Grade::Short);
    check(&Policy { short_at: 0, ..Policy::default() }, (79, 79), Grade::Limit);
    check(&Policy { short_at: 0, ..Policy::default() }, (100, 0), Grade::Limit);
    check(&Policy { limit_at: 0, ..Policy::default() }, (59, 59), Grade::Nothing);
}

#[test]
fn each_answer_is_twice_as_long_as_the_one_before_up_to_its_longest() {
    let policy = Policy { longest_s: 20_000, ..Policy::default() };
    let times = |grade| [0, 1, 2, 3, 7, u32::MAX].map(|before| policy.answer(grade, before).for_s());
    assert_eq!(times(Grade::Nothing), [0; 6]);
    assert_eq!(times(Grade::Limit), [600, 1_200, 2_400, 4_800, 20_000, 20_000]);
    assert_eq!(times(Grade::Short), [600, 1_200, 2_400, 3_600, 3_600, 3_600]);
    assert_eq!(times(Grade::Long), [3_600, 7_200, 14_400, 20_000, 20_000, 20_000]);
    let policy = Policy { longest_s: 0, deny_for_s: u64::MAX, ..Policy::default() };
    assert_eq!(policy.answer(Grade::Long, 9), Answer::Long { for_s: 1 });
}

proptest! {
    #[test]
    fn a_higher_score_is_never_a_weaker_grade(
        (limit_at, short_at, deny_at) in (0..=101u8, 0..=101u8, 0..=101u8),
        (score, proven) in (0..=100u8, 0..=100u8),
        (more, more_proven) in (0..=100u8, 0..=100u8),
    ) {
        let policy = Policy { limit_at, short_at, deny_at, ..Policy::default() };
        let before = policy.grade(&assessment(score, proven));
        let after = policy.grade(&assessment(score.max(more), proven.max(more_proven)));
        prop_assert!(after >= before);
    }
}
