//! False positives.
use super::*;

/// Eight lines of 50 points and more, and two of 10 and 20 points that were merged away.
fn crowded() -> Ledger {
    let mut ledger = ledger();
    for rule in 11..=18u32 {
        ledger.add(&alert(1, rule.into(), f64::from(rule) + 40.0));
    }
    ledger.add(&alert(1, 1, 10.0));
    ledger.add(&alert(1, 2, 20.0));
    let assessment = ledger.assess(&who(1), &[], at(0));
    assert!(shown(&assessment).contains(&("merged", "proven", 30, 2)));
    near(assessment.sum, EIGHT + 30.0);
    ledger
}

const EIGHT: f64 = 8.0 * 54.5;

#[test]
fn a_false_positive_takes_its_own_line_away_and_nothing_else() {
    let mut ledger = ledger();
    ledger.add(&alert(1, 1, 30.0));
    ledger.add(&forged(1, 1, 5.0));
    ledger.add(&alert(1, 2, 20.0));
    near(ledger.remove_alert(&who(1).key, id(1), 99.0, later(1)), 17.5);
    check_sum(&ledger, 1, at(0), 20.0);
    near(ledger.remove_alert(&who(1).key, id(3), 99.0, at(0)), 0.0);
    near(ledger.remove_alert(&who(2).key, id(2), 99.0, at(0)), 0.0);
    check_sum(&ledger, 1, at(0), 20.0);
}

#[test]
fn a_source_of_false_positives_only_is_forgotten() {
    let mut ledger = ledger();
    ledger.add(&alert(1, 1, 30.0));
    ledger.add(&good(1, Kind::SignIn, -5.0));
    near(ledger.remove_alert(&who(1).key, id(1), 30.0, at(0)), 30.0);
    assert!(ledger.is_empty());
    check_sum(&ledger, 1, at(0), 0.0);
}

#[test]
fn a_false_positive_that_was_merged_away_is_corrected_once() {
    let mut ledger = crowded();
    near(ledger.remove_alert(&who(1).key, id(2), 20.0, at(0)), 20.0);
    check_sum(&ledger, 1, at(0), EIGHT + 10.0);
    check_sum(&ledger, 1, later(2), (EIGHT + 10.0) / 4.0);
    // The correction is the smallest line: it is merged away itself.
    near(ledger.remove_alert(&who(1).key, id(1), 10.0, at(0)), 10.0);
    check_sum(&ledger, 1, at(0), EIGHT);
}

#[test]
fn a_correction_takes_no_more_than_was_merged() {
    let mut ledger = crowded();
    near(ledger.remove_alert(&who(1).key, id(2), 9_999.0, at(0)), 30.0);
    near(ledger.remove_alert(&who(1).key, id(1), 9_999.0, later(1)), 0.0);
    check_sum(&ledger, 1, at(0), EIGHT);
    check_sum(&ledger, 1, later(2), EIGHT / 4.0);
}

#[test]
fn estimates_fade_from_the_time_of_their_alert() {
    let mut ledger = crowded();
    ledger.add(&Evidence { at: later(1), ..alert(1, 3, 5.0) });
    // As of the last that was merged, where 10 of 20 points are left.
    near(ledger.remove_alert(&who(1).key, id(2), 20.0, at(0)), 10.0);
    check_sum(&ledger, 1, later(1), EIGHT / 2.0 + 5.0 + 5.0);
}

#[test]
fn what_is_no_estimate_corrects_nothing() {
    let mut ledger = crowded();
    for estimate in [f64::NAN, f64::INFINITY, 0.0, -7.0] {
        near(ledger.remove_alert(&who(1).key, id(2), estimate, at(0)), 0.0);
    }
    check_sum(&ledger, 1, at(0), EIGHT + 30.0);
}

#[test]
fn a_correction_goes_to_what_is_proven_before_what_is_not() {
    let mut ledger = crowded();
    for rule in 1..=3 {
        ledger.add(&forged(1, rule, 10.0));
    }
    near(ledger.remove_alert(&who(1).key, id(9), 45.0, at(0)), 45.0);
    let assessment = ledger.assess(&who(1), &[], at(0));
    near(assessment.lines.iter().filter(|line| line.spoofable).map(|line| line.points).sum(), 15.0);
    near(assessment.sum, EIGHT + 15.0);
}

#[test]
fn without_its_proven_evidence_a_source_has_a_place_among_those_of_which_nothing_is_proven() {
    let mut ledger = ledger_of(8);
    for source in 1..=3 {
        ledger.add(&alert(source, 1, 30.0));
        ledger.add(&forged(source, 2, f64::from(u32::try_from(source).unwrap())));
    }
    for source in 1..=3 {
        ledger.remove_alert(&who(source).key, id(1), 30.0, at(0));
    }
    assert_eq!(ledger.keys_with_evidence().collect::<Vec<_>>(), [&who(2).key, &who(3).key]);
    assert_eq!(ledger.overflowed(), 1);
}
