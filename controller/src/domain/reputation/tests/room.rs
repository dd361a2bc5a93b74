//! Limits of memory.
use super::*;

/// A source that is all made up, seen at some second.
fn made_up(source: u64, points: f64) -> Evidence {
    let key = format!("10.{}.{}.{}", source >> 16, source >> 8 & 255, source & 255);
    let who = Who { key: key.into(), network: "10.0.0.0/24".into(), asn: Some(64_500) };
    Evidence { who, at: at(source.cast_signed() / 1_000), ..forged(0, 1, points) }
}

#[test]
fn a_million_forged_sources_stay_within_limits_and_leave_proven_ones_alone() {
    let most = 4_096;
    let mut ledger = ledger_of(most);
    for source in 0..3_500 {
        assert!(ledger.add(&alert(source, 1, 2.0)));
    }
    let (before, bytes) = (ledger.top(at(0), most, 0).0, ledger.bytes());
    for source in 0..1_000_000 {
        ledger.add(&made_up(source, 90.0));
    }
    assert_eq!(ledger.len(), most);
    assert_eq!(ledger.overflowed(), 1_000_000 - 596);
    for (key, _) in before {
        assert!(ledger.contains(&key));
    }
    assert!(ledger.bytes() < bytes * 2, "{} of {bytes}", ledger.bytes());
    assert!(ledger.take_gone().is_empty());
    assert_eq!(ledger.take_changed(usize::MAX).len(), most);
    assert_eq!(ledger.assess(&made_up(0, 0.0).who, &[], at(1_000)).lines.len(), 0);
}

#[test]
fn sources_of_which_nothing_is_proven_have_a_quarter_of_the_room() {
    let mut ledger = ledger_of(100);
    for source in 0..80 {
        ledger.add(&made_up(source, 10.0));
    }
    assert_eq!((ledger.len(), ledger.overflowed()), (25, 55));
    // The newest are there, and what is less than the least is not taken.
    assert!(ledger.contains(&made_up(79, 0.0).who.key));
    assert!(!ledger.add(&made_up(80, 9.0)));
    assert_eq!((ledger.len(), ledger.overflowed()), (25, 56));
    assert!(ledger.add(&made_up(81, 11.0)));
    assert_eq!((ledger.len(), ledger.overflowed()), (25, 57));
}

#[test]
fn proven_evidence_has_the_place_of_the_least_of_all() {
    let mut ledger = ledger_of(4);
    ledger.add(&forged(1, 1, 5.0));
    for (source, points) in [(2, 4.0), (3, 10.0), (4, 10.0), (5, 3.0)] {
        assert!(ledger.add(&alert(source, 1, points)));
    }
    let keys = |ledger: &Ledger| ledger.keys_with_evidence().map(|key| key.chars().last().unwrap()).collect::<String>();
    assert_eq!(keys(&ledger), "1345");
    ledger.add(&alert(6, 1, 3.0));
    assert_eq!(keys(&ledger), "1346");
    ledger.add(&alert(6, 2, 30.0));
    ledger.add(&alert(7, 1, 3.0));
    assert_eq!(keys(&ledger), "3467");
    // With proven evidence everywhere, nobody makes room for what may be forged.
    assert!(!ledger.add(&forged(8, 1, 90.0)));
    assert_eq!(ledger.overflowed(), 4);
}

#[test]
fn what_is_proven_later_gives_back_the_place_of_a_suspect() {
    let mut ledger = ledger_of(8);
    for source in 1..=2 {
        ledger.add(&forged(source, 1, 10.0));
    }
    ledger.add(&alert(1, 2, 1.0));
    assert!(ledger.add(&forged(3, 1, 10.0)));
    assert_eq!((ledger.len(), ledger.overflowed()), (3, 0));
}

#[test]
fn old_points_make_room_before_new_ones() {
    let mut ledger = ledger_of(2);
    ledger.add(&alert(1, 1, 60.0));
    ledger.add(&Evidence { at: later(3), ..alert(2, 1, 10.0) });
    ledger.add(&Evidence { at: later(3), ..alert(3, 1, 5.0) });
    assert!(!ledger.contains(&who(1).key) && ledger.contains(&who(2).key));
}

#[test]
fn good_behaviour_makes_nobody_the_least() {
    let mut ledger = ledger_of(2);
    ledger.add(&alert(1, 1, 12.0));
    ledger.add(&good(1, Kind::Calm, -10.0));
    ledger.add(&alert(2, 1, 5.0));
    ledger.add(&alert(3, 1, 5.0));
    assert!(ledger.contains(&who(1).key));
}

#[test]
fn less_room_has_the_least_evicted() {
    let mut ledger = ledger_of(100);
    for source in 1..=20u32 {
        ledger.add(&alert(source.into(), 1, f64::from(source)));
        ledger.add(&forged(u64::from(source) + 50, 1, f64::from(source)));
    }
    ledger.set_limits(Limits { most_sources: 8, half_life_s: HALF_LIFE_S }, at(0));
    let (top, _) = ledger.top(at(0), 99, 0);
    let sums: Vec<_> = top.iter().map(|(_, sum)| sum.to_string()).collect();
    assert_eq!(sums, ["20", "20", "19", "19", "18", "17", "16", "15"]);
    ledger.set_limits(Limits { most_sources: 0, half_life_s: 0 }, at(0));
    assert_eq!(ledger.len(), 1);
}

#[test]
fn lines_of_a_source_are_bounded_whatever_comes() {
    let mut ledger = ledger();
    for alert_id in 0..1_000u32 {
        ledger.add(&alert(1, alert_id.into(), f64::from(alert_id % 7 + 1)));
        ledger.add(&forged(1, alert_id.into(), 3.0));
        ledger.add(&Evidence { source: format!("app {alert_id}").into(), ..good(1, Kind::SignIn, -1.0) });
    }
    let assessment = ledger.assess(&who(1), &[], at(0));
    assert!(assessment.lines.len() <= lines::MOST_LINES + 3);
    assert_eq!(assessment.lines.iter().map(|line| line.count).sum::<u64>(), 3_000);
}
