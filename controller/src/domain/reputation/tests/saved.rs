//! What is written and read back.
use super::*;

fn full() -> Ledger {
    let mut ledger = ledger();
    for rule in 1..=12u32 {
        ledger.add(&alert(1, rule.into(), f64::from(rule)));
        ledger.add(&forged(1, rule.into(), 3.0));
        ledger.add(&good(1, Kind::Calm, -1.0));
    }
    ledger.remove_alert(&who(1).key, id(1), 1.0, at(0));
    ledger.add(&Evidence { who: Who { network: who(1).network, asn: Some(64_500), ..who(2) }, ..alert(2, 1, 40.0) });
    ledger
}

fn keys(saved: &[Saved]) -> Vec<&str> {
    saved.iter().map(|saved| saved.key.as_ref()).collect()
}

fn nobody() -> Vec<Arc<str>> {
    Vec::new()
}

#[test]
fn what_is_read_back_says_the_same() {
    let mut before = full();
    let json = serde_json::to_string(&before.take_changed(9)).unwrap();
    let mut after = ledger();
    after.restore(serde_json::from_str(&json).unwrap(), later(1));
    assert!(json.contains(r#""kind":"correction""#) || json.contains(r#""kind":"merged""#), "{json}");
    for source in [1, 2, 3] {
        let who = Who { network: who(1).network, asn: Some(64_500), ..who(source) };
        let [before, after] = [&before, &after].map(|ledger| ledger.assess(&who, &[], later(2)));
        assert_eq!((before.score, before.proven), (after.score, after.proven));
        near(before.sum, after.sum);
        assert_eq!(shown(&before), shown(&after));
    }
    assert!(after.take_changed(9).is_empty());
    assert_eq!(after.take_gone(), nobody());
}

#[test]
fn a_source_that_changed_twice_is_written_once_and_in_batches() {
    let mut ledger = ledger();
    for source in [3, 1, 2, 1] {
        ledger.add(&alert(source, 1, 5.0));
    }
    assert_eq!(keys(&ledger.take_changed(2)), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(keys(&ledger.take_changed(2)), ["192.0.2.3"]);
    assert!(ledger.take_changed(2).is_empty());
    ledger.add(&alert(2, 1, 0.0));
    assert_eq!(keys(&ledger.take_changed(2)), ["192.0.2.2"]);
}

#[test]
fn who_was_never_written_need_not_be_deleted() {
    let mut ledger = ledger();
    ledger.add(&alert(1, 1, 5.0));
    ledger.reset(&who(1).key);
    assert!(ledger.take_changed(9).is_empty());
    assert_eq!(ledger.take_gone(), nobody());
}

#[test]
fn who_was_written_and_is_forgotten_is_deleted_once_unless_it_is_back() {
    let mut ledger = ledger();
    for source in 1..=4 {
        ledger.add(&alert(source, 1, 5.0));
    }
    ledger.take_changed(9);
    ledger.reset(&who(1).key);
    ledger.reset(&who(2).key);
    ledger.add(&alert(2, 1, 7.0));
    ledger.rename(&who(3).key, &who(9).key);
    assert_eq!(keys(&ledger.take_changed(9)), ["192.0.2.2", "192.0.2.9"]);
    assert_eq!(ledger.take_gone(), [who(1).key, who(3).key]);
    assert_eq!(ledger.take_gone(), nobody());
    ledger.sweep(later(99));
    assert_eq!(ledger.take_gone(), [who(2).key, who(4).key, who(9).key]);
}

#[test]
fn who_comes_back_before_it_was_deleted_is_still_deleted_when_it_goes_again() {
    let mut ledger = ledger();
    ledger.add(&alert(1, 1, 5.0));
    ledger.take_changed(9);
    ledger.reset(&who(1).key);
    ledger.add(&alert(1, 1, 5.0));
    ledger.reset(&who(1).key);
    assert_eq!(ledger.take_gone(), [who(1).key]);
}

#[test]
fn what_has_faded_or_finds_no_room_is_not_read_back_and_gone() {
    let mut before = ledger();
    for (source, points) in [(1, 1.0), (2, 50.0), (3, 40.0)] {
        before.add(&alert(source, 1, points));
    }
    let saved = before.take_changed(9);
    let mut after = ledger_of(2);
    after.restore(saved, later(2));
    assert_eq!(after.keys_with_evidence().collect::<Vec<_>>(), [&who(2).key, &who(3).key]);
    assert_eq!(after.take_gone(), [who(1).key]);
}

#[test]
fn what_is_read_back_is_added_to_what_is_there() {
    let saved = full().take_changed(9);
    let mut after = full();
    after.take_changed(9);
    let sum = after.assess(&who(2), &[], at(0)).sum;
    after.restore(saved, at(0));
    near(after.assess(&who(2), &[], at(0)).sum, sum + 40.0);
    assert_eq!(keys(&after.take_changed(9)), ["192.0.2.1", "192.0.2.2"]);
}

#[test]
fn lines_that_contradict_themselves_are_left_out_and_the_future_is_now() {
    let mut before = ledger();
    before.add(&Evidence { at: later(9), ..alert(1, 1, 8.0) });
    let [saved] = before.take_changed(9).try_into().unwrap();
    let line = saved.lines[0].clone();
    let wrong = [
        Held { class: Class::Good, ..line.clone() },
        Held { kind: Kind::Calm, ..line.clone() },
        Held { points: f64::NAN, ..line.clone() },
        Held { weight: f64::INFINITY, ..line.clone() },
    ];
    let mut after = ledger();
    after.restore(vec![Saved { lines: wrong.to_vec(), ..saved.clone() }], at(0));
    assert!(after.is_empty());
    assert_eq!(after.take_gone(), [who(1).key]);
    after.restore(vec![Saved { lines: vec![Held { points: 1e300, ..line }], ..saved.clone() }], at(0));
    assert_eq!(after.assess(&who(1), &[], at(0)).score, 100);
    after.reset(&who(1).key);
    after.restore(vec![saved], at(0));
    check_sum(&after, 1, later(1), 4.0);
}

#[test]
fn with_another_half_life_all_is_written_again() {
    let mut ledger = full();
    ledger.take_changed(9);
    ledger.set_limits(Limits { most_sources: 9, half_life_s: HALF_LIFE_S }, later(1));
    assert!(ledger.take_changed(9).is_empty());
    ledger.set_limits(Limits { most_sources: 9, half_life_s: 99 }, later(1));
    assert_eq!(ledger.take_changed(9).len(), 2);
}

#[test]
fn what_is_of_the_future_once_the_clock_is_set_back_is_of_now_and_fades() {
    let mut ledger = ledger();
    ledger.add(&alert(1, 1, 40.0));
    ledger.add(&Evidence { at: later(365), ..alert(2, 2, 40.0) });
    assert_eq!(ledger.take_changed(10).len(), 2);
    ledger.set_back(later(1));
    check_sum(&ledger, 1, later(1), 20.0);
    check_sum(&ledger, 2, later(1), 40.0);
    check_sum(&ledger, 2, later(2), 20.0);
    // It is written as it is now.
    let written = ledger.take_changed(10);
    assert_eq!(written.len(), 2);
    assert!(written.iter().flat_map(|row| &row.lines).all(|line| line.at <= later(1) && line.last <= later(1)));
}
