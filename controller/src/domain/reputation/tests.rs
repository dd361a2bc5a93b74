use jiff::SignedDuration;

use super::*;

mod neighbours;
mod properties;
mod removal;
mod room;
mod saved;

pub(super) const HALF_LIFE_S: u64 = 86_400;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::constant(1_790_000_000, 0) + SignedDuration::from_secs(second)
}

/// When `half_lives` have passed.
fn later(half_lives: i64) -> Timestamp {
    at(half_lives * HALF_LIFE_S.cast_signed())
}

fn ledger() -> Ledger {
    ledger_of(1_000)
}

fn ledger_of(most_sources: usize) -> Ledger {
    Ledger::new(Limits { most_sources, half_life_s: HALF_LIFE_S })
}

/// 192.0.2.x, in a network of one's own.
fn who(source: u64) -> Who {
    Who { key: format!("192.0.2.{source}").into(), network: format!("network {source}").into(), asn: None }
}

fn id(alert: u128) -> AlertId {
    AlertId::v7(at(0), alert)
}

/// An alert that nobody else can forge.
fn alert(source: u64, alert: u128, points: f64) -> Evidence {
    let (who, kind, rule) = (who(source), Kind::Alert, format!("rule {alert}"));
    Evidence { who, kind, source: rule.into(), alert: Some(id(alert)), points, at: at(0), spoofable: false }
}

fn forged(source: u64, alert_id: u128, points: f64) -> Evidence {
    Evidence { spoofable: true, ..alert(source, alert_id, points) }
}

fn good(source: u64, kind: Kind, points: f64) -> Evidence {
    Evidence { kind, source: "app".into(), alert: None, ..alert(source, 0, points) }
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-6, "{found} instead of {expected}");
}

#[track_caller]
fn check_sum(ledger: &Ledger, source: u64, now: Timestamp, expected: f64) {
    let assessment = ledger.assess(&who(source), &[], now);
    near(assessment.sum, expected);
    near(assessment.lines.iter().map(|line| line.points).sum(), expected);
}

fn shown(assessment: &Assessment) -> Vec<(&str, &str, i32, u64)> {
    let lines = assessment.lines.iter();
    #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
    lines.map(|line| (line.kind.as_str(), line.source.as_str(), line.points.round() as i32, line.count)).collect()
}

#[test]
fn of_a_source_without_evidence_the_score_is_what_the_priors_say() {
    let prior = |kind, points| Prior { kind, source: "x".to_owned(), points };
    let nothing = ledger().assess(&who(1), &[], at(0));
    assert_eq!(nothing, Assessment::default());
    let priors = [prior("feed", 30.0), prior("country", 5.4), prior("asn", f64::NAN), prior("asn", -2.0)];
    let assessment = ledger().assess(&who(1), &priors, later(9));
    assert_eq!((assessment.score, assessment.proven), (33, 33));
    assert_eq!(shown(&assessment), [("feed", "x", 30, 0), ("country", "x", 5, 0), ("asn", "x", -2, 0)]);
}

#[test]
fn half_of_the_score_is_left_after_a_half_life_and_the_weight_is_still_shown() {
    let mut ledger = ledger();
    assert!(ledger.add(&alert(1, 1, 60.0)));
    for (half_lives, score) in [(-1, 60), (0, 60), (1, 30), (2, 15), (9, 0)] {
        let assessment = ledger.assess(&who(1), &[], later(half_lives));
        assert_eq!((assessment.score, assessment.proven), (score, score), "{half_lives}");
        near(assessment.lines[0].weight, 60.0);
    }
}

#[test]
fn repeats_count_up_one_line_and_the_biggest_line_is_first() {
    let mut ledger = ledger();
    for evidence in [alert(1, 1, 12.0), alert(1, 2, 30.0), alert(1, 1, 6.0)] {
        assert!(ledger.add(&evidence));
    }
    assert!(ledger.add(&Evidence { at: at(60), ..alert(1, 1, 0.0) }));
    let assessment = ledger.assess(&who(1), &[], at(0));
    assert_eq!(shown(&assessment), [("alert", "rule 2", 30, 1), ("alert", "rule 1", 18, 3)]);
    let line = &assessment.lines[1];
    assert_eq!((line.first, line.last, line.alert), (Some(at(0)), Some(at(60)), Some(id(1))));
    assert_eq!(ledger.last_bad(&who(1).key), Some(at(60)));
}

#[test]
fn what_says_nothing_is_not_taken() {
    let mut ledger = ledger();
    for points in [0.0, -3.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(!ledger.add(&alert(1, 1, points)), "{points}");
    }
    for kind in [Kind::Correction, Kind::Merged] {
        assert!(!ledger.add(&good(1, kind, 5.0)) && !ledger.add(&good(1, kind, -5.0)), "{kind}");
    }
    assert!(!ledger.add(&good(1, Kind::SignIn, 5.0)));
    assert!(ledger.is_empty() && ledger.overflowed() == 0);
}

#[test]
fn one_piece_of_evidence_is_a_hundred_points_at_the_most_and_the_score_is_too() {
    let mut ledger = ledger();
    ledger.add(&alert(1, 1, 5_000.0));
    check_sum(&ledger, 1, at(0), 100.0);
    ledger.add(&alert(1, 2, 5_000.0));
    check_sum(&ledger, 1, at(0), 200.0);
    assert_eq!(ledger.assess(&who(1), &[], at(0)).score, 100);
}

#[test]
fn good_behaviour_makes_no_entry_and_counts_for_twenty_points_at_the_most() {
    let mut ledger = ledger();
    assert!(!ledger.add(&good(1, Kind::SignIn, -5.0)));
    assert!(ledger.is_empty());
    ledger.add(&alert(1, 1, 50.0));
    for _ in 0..9 {
        assert!(ledger.add(&good(1, Kind::SignIn, -5.0)));
        assert!(ledger.add(&good(1, Kind::Calm, -15.0)));
    }
    let assessment = ledger.assess(&who(1), &[], at(0));
    assert_eq!((assessment.score, assessment.proven), (30, 30));
    assert_eq!(shown(&assessment), [("alert", "rule 1", 50, 1), ("calm", "app", -15, 9), ("sign_in", "app", -5, 9)]);
    check_sum(&ledger, 1, at(0), 30.0);
    assert_eq!(ledger.last_bad(&who(1).key), Some(at(0)));
}

#[test]
fn what_anybody_can_forge_proves_nothing_even_of_the_same_rule() {
    let mut ledger = ledger();
    ledger.add(&alert(1, 1, 20.0));
    ledger.add(&forged(1, 1, 50.0));
    ledger.add(&good(1, Kind::Calm, -2.0));
    let priors = [Prior { kind: "feed", source: "x".to_owned(), points: 7.0 }];
    let assessment = ledger.assess(&who(1), &priors, at(0));
    assert_eq!((assessment.score, assessment.proven), (75, 25));
    let flags: Vec<_> = assessment.lines.iter().map(|line| line.spoofable).collect();
    assert_eq!(flags, [true, false, false, false]);
}

#[test]
fn a_ninth_line_has_the_least_merged_away_and_nothing_is_lost() {
    let mut ledger = ledger();
    for rule in 1..=10u32 {
        ledger.add(&alert(1, rule.into(), f64::from(rule)));
    }
    let assessment = ledger.assess(&who(1), &[], at(0));
    assert_eq!(assessment.lines.len(), 9);
    assert!(shown(&assessment).contains(&("merged", "proven", 3, 2)));
    check_sum(&ledger, 1, at(0), 55.0);
}

#[test]
fn a_renamed_source_is_the_same_and_two_become_one() {
    let mut ledger = ledger();
    let new = who(2).key;
    ledger.rename(&who(1).key, &new);
    assert!(ledger.is_empty());
    ledger.add(&alert(1, 1, 30.0));
    ledger.rename(&who(1).key, &new);
    assert!(!ledger.contains(&who(1).key));
    check_sum(&ledger, 2, at(0), 30.0);
    ledger.rename(&new, &new);
    check_sum(&ledger, 2, at(0), 30.0);
    ledger.add(&alert(1, 1, 4.0));
    ledger.add(&alert(1, 2, 5.0));
    ledger.rename(&who(1).key, &new);
    check_sum(&ledger, 2, at(0), 39.0);
    assert_eq!(ledger.len(), 1);
}

#[test]
fn with_another_half_life_what_is_left_stays_and_fades_by_that_one() {
    let mut ledger = ledger();
    ledger.add(&alert(1, 1, 80.0));
    ledger.add(&alert(2, 1, 79.0));
    ledger.set_limits(Limits { most_sources: 1_000, half_life_s: 10 }, later(1));
    check_sum(&ledger, 1, later(1), 40.0);
    check_sum(&ledger, 1, later(1) + SignedDuration::from_secs(10), 20.0);
    let (top, _) = ledger.top(later(1) + SignedDuration::from_secs(10), 9, 0);
    assert_eq!(top.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&who(1).key, &who(2).key]);
}

#[test]
fn who_has_faded_is_swept() {
    let mut ledger = ledger();
    ledger.add(&alert(1, 1, 4.0));
    ledger.add(&alert(2, 1, 7.9));
    ledger.add(&alert(2, 2, 0.2));
    ledger.add(&forged(3, 1, 4.0));
    ledger.sweep(later(3) - SignedDuration::from_secs(1));
    assert_eq!(ledger.len(), 3);
    ledger.sweep(later(3) + SignedDuration::from_secs(1));
    assert_eq!(ledger.keys_with_evidence().collect::<Vec<_>>(), [&who(2).key]);
}

#[test]
fn the_worst_come_first_page_by_page() {
    let mut ledger = ledger();
    for (source, points) in [(1, 10.0), (2, 30.0), (3, 20.0), (4, 30.0)] {
        ledger.add(&alert(source, 1, points));
    }
    ledger.add(&good(2, Kind::Calm, -15.0));
    let page = |most, offset| {
        let (page, all) = ledger.top(at(0), most, offset);
        assert_eq!(all, 4);
        page.iter().map(|(key, _)| key.chars().last().unwrap()).collect::<String>()
    };
    assert_eq!(page(9, 0), "4321");
    assert_eq!(page(2, 1), "32");
    assert_eq!(page(2, 4), "");
    near(ledger.top(at(0), 1, 2).0[0].1, 15.0);
}

#[test]
fn who_is_reset_is_as_if_never_seen() {
    let mut ledger = ledger();
    ledger.add(&alert(1, 1, 30.0));
    assert!(ledger.reset(&who(1).key));
    assert!(!ledger.reset(&who(1).key));
    assert_eq!(ledger.assess(&who(1), &[], at(0)), Assessment::default());
    assert_eq!((ledger.who(&who(1).key), ledger.last_bad(&who(1).key)), (None, None));
}
