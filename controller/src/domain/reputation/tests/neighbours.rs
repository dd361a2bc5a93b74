//! Weak priors of networks and autonomous systems.
use super::*;
use crate::domain::privacy::{Key, Names, is_name};

/// One of many in one network and one autonomous system.
fn neighbour(source: u64) -> Who {
    Who { network: "192.0.2.0/24".into(), asn: Some(64_500), ..who(source) }
}

fn of(who: Who, evidence: Evidence) -> Evidence {
    Evidence { who, ..evidence }
}

/// Points on account of network and autonomous system.
#[track_caller]
fn check(ledger: &Ledger, who: &Who, now: Timestamp, network: f64, asn: f64) {
    let assessment = ledger.assess(who, &[], now);
    let points =
        |kind: &str| assessment.lines.iter().filter(|line| line.kind == kind).fold(0.0, |sum, line| sum + line.points);
    near(points("network"), network);
    near(points("asn"), asn);
    near(assessment.lines.iter().map(|line| line.points).sum(), assessment.sum);
}

#[test]
fn what_a_source_did_counts_against_its_neighbours_and_not_twice_against_itself() {
    let mut ledger = ledger();
    ledger.add(&of(neighbour(1), alert(1, 1, 50.0)));
    ledger.add(&of(neighbour(2), alert(2, 1, 20.0)));
    check(&ledger, &neighbour(1), at(0), 2.0, 0.4);
    check(&ledger, &neighbour(2), at(0), 5.0, 1.0);
    check(&ledger, &neighbour(3), at(0), 7.0, 1.4);
    check(&ledger, &neighbour(3), later(1), 3.5, 0.7);
    check(&ledger, &who(3), at(0), 0.0, 0.0);
    let assessment = ledger.assess(&neighbour(3), &[], at(0));
    assert_eq!(shown(&assessment), [("network", "192.0.2.0/24", 7, 0), ("asn", "AS64500", 1, 0)]);
    assert_eq!((assessment.score, assessment.proven), (8, 8));
}

#[test]
fn what_anybody_can_forge_and_what_is_good_count_for_no_neighbour() {
    let mut ledger = ledger();
    ledger.add(&of(neighbour(1), forged(1, 1, 90.0)));
    check(&ledger, &neighbour(2), at(0), 0.0, 0.0);
    ledger.add(&of(neighbour(1), alert(1, 1, 50.0)));
    ledger.add(&of(neighbour(1), good(1, Kind::Calm, -9.0)));
    check(&ledger, &neighbour(2), at(0), 5.0, 1.0);
    check(&ledger, &neighbour(1), at(0), 0.0, 0.0);
}

#[test]
fn neighbours_are_no_more_than_a_hint() {
    let mut ledger = ledger();
    for source in 1..=20 {
        ledger.add(&of(neighbour(source), alert(source, 1, 100.0)));
    }
    check(&ledger, &neighbour(99), at(0), NETWORK_AT_MOST, ASN_AT_MOST);
}

#[test]
fn a_false_positive_and_a_reset_take_back_what_counted_against_neighbours() {
    let mut ledger = ledger();
    for rule in 1..=12u32 {
        ledger.add(&of(neighbour(1), alert(1, rule.into(), f64::from(rule) * 5.0)));
    }
    check(&ledger, &neighbour(2), at(0), 15.0, 7.8);
    ledger.remove_alert(&who(1).key, id(12), 60.0, later(1));
    check(&ledger, &neighbour(2), at(0), 15.0, 6.6);
    // Merged away.
    ledger.remove_alert(&who(1).key, id(2), 10.0, at(0));
    check(&ledger, &neighbour(2), at(0), 15.0, 6.4);
    check(&ledger, &neighbour(1), at(0), 0.0, 0.0);
    ledger.reset(&who(1).key);
    check(&ledger, &neighbour(2), at(0), 0.0, 0.0);
}

#[test]
fn who_is_elsewhere_now_counts_there_and_who_is_nowhere_where_it_was() {
    let mut ledger = ledger();
    let moved = Who { network: "198.51.100.0/24".into(), asn: Some(64_501), ..who(1) };
    ledger.add(&of(neighbour(1), alert(1, 1, 50.0)));
    ledger.add(&of(moved.clone(), alert(1, 1, 20.0)));
    check(&ledger, &neighbour(2), at(0), 0.0, 0.0);
    check(&ledger, &Who { key: "other".into(), ..moved.clone() }, at(0), 7.0, 1.4);
    check(&ledger, &moved, at(0), 0.0, 0.0);
    ledger.add(&of(Who { asn: None, ..moved.clone() }, alert(1, 1, 10.0)));
    check(&ledger, &Who { key: "other".into(), ..moved.clone() }, at(0), 8.0, 1.6);
    assert_eq!(ledger.who(&moved.key), Some(&moved));
}

#[test]
fn of_two_that_become_one_the_neighbours_are_where_that_one_is() {
    let mut ledger = ledger();
    let elsewhere = Who { network: "198.51.100.0/24".into(), asn: None, ..who(2) };
    ledger.add(&of(neighbour(1), alert(1, 1, 50.0)));
    ledger.add(&of(elsewhere.clone(), alert(2, 1, 20.0)));
    ledger.rename(&who(1).key, &who(2).key);
    check(&ledger, &neighbour(3), at(0), 0.0, 0.0);
    check(&ledger, &Who { key: "other".into(), ..elsewhere.clone() }, at(0), 7.0, 0.0);
    check(&ledger, &elsewhere, at(0), 0.0, 0.0);
}

#[test]
fn another_half_life_is_the_neighbours_too() {
    let mut ledger = ledger();
    ledger.add(&of(neighbour(1), alert(1, 1, 80.0)));
    ledger.set_limits(Limits { most_sources: 9, half_life_s: 10 }, later(1));
    check(&ledger, &neighbour(2), later(1) + SignedDuration::from_secs(10), 2.0, 0.4);
    check(&ledger, &neighbour(1), later(1) + SignedDuration::from_secs(10), 0.0, 0.0);
}

#[test]
fn an_evicted_source_is_still_held_against_its_network_until_that_has_faded() {
    let mut ledger = ledger_of(1);
    ledger.add(&of(neighbour(1), alert(1, 1, 50.0)));
    ledger.add(&of(neighbour(2), alert(2, 1, 20.0)));
    assert_eq!(ledger.keys_with_evidence().collect::<Vec<_>>(), [&who(2).key]);
    check(&ledger, &neighbour(2), at(0), 5.0, 1.0);
    ledger.sweep(later(20));
    check(&ledger, &neighbour(2), at(0), 0.0, 0.0);
}

fn renamed<const N: usize>(pairs: [(&str, &str); N]) -> Renamed {
    pairs.into_iter().map(|(old, new)| (old.into(), new.into())).collect()
}

#[test]
fn a_renamed_network_has_what_its_sources_did_and_two_become_one() {
    let network = |name: &str| Who { network: name.into(), ..neighbour(9) };
    let mut ledger = ledger();
    ledger.add(&of(neighbour(1), alert(1, 1, 50.0)));
    ledger.add(&of(Who { network: "new".into(), ..neighbour(2) }, alert(2, 1, 20.0)));
    ledger.rename_networks(&renamed([("192.0.2.0/24", "new"), ("nobody", "new"), ("new", "new")]), &Renamed::new());
    check(&ledger, &network("192.0.2.0/24"), at(0), 0.0, 1.4);
    check(&ledger, &network("new"), at(0), 7.0, 1.4);
    check(&ledger, &Who { key: who(1).key, ..network("new") }, at(0), 2.0, 0.4);
    assert_eq!(ledger.who(&who(1).key).map(|who| who.network.as_ref()), Some("new"));
    assert_eq!(ledger.networks().into_iter().collect::<Vec<_>>(), ["new".into()]);
    // What is taken back of a source is taken from the network it is in by that name.
    ledger.reset(&who(1).key);
    check(&ledger, &network("new"), at(0), 2.0, 0.4);
    ledger.reset(&who(2).key);
    check(&ledger, &network("new"), at(0), 0.0, 0.0);
}

#[test]
fn sources_of_a_renamed_network_are_written_again_once() {
    let mut ledger = ledger();
    for source in [1, 2] {
        ledger.add(&of(neighbour(source), alert(source, 1, 50.0)));
    }
    assert_eq!(ledger.take_changed(9).len(), 2);
    let sources = renamed([(&*who(1).key, "anon")]);
    ledger.rename_networks(&renamed([("192.0.2.0/24", "new")]), &sources);
    assert_eq!(
        ledger.take_changed(9).iter().map(|row| (&*row.key, &*row.network)).collect::<Vec<_>>(),
        [("192.0.2.2", "new")]
    );
    for (old, new) in &sources {
        ledger.rename(old, new);
    }
    let rows = ledger.take_changed(9);
    assert_eq!(rows.iter().map(|row| (&*row.key, &*row.network)).collect::<Vec<_>>(), [("anon", "new")]);
    assert_eq!(ledger.take_gone(), [who(1).key]);
    ledger.rename_networks(&renamed([("192.0.2.0/24", "new")]), &sources);
    assert!(ledger.take_changed(9).is_empty());
}

#[test]
fn what_was_called_by_its_address_is_called_by_its_name_and_is_the_same_as_who_has_that_already() {
    let names = Names::keyed(vec![Key::new([7; 32], at(0))]);
    let name = |called: &str| Arc::<str>::from(names.renamed(called).unwrap());
    let hashed = |who: Who| Who { key: name(&who.key), network: name(&who.network), ..who };
    let mut ledger = ledger();
    ledger.add(&of(neighbour(1), alert(1, 1, 30.0)));
    ledger.add(&of(neighbour(2), alert(2, 1, 20.0)));
    ledger.add(&of(hashed(neighbour(2)), alert(2, 2, 10.0)));
    let all = |called: &Arc<str>| Some((Arc::clone(called), names.renamed(called)?.into()));
    for _ in 0..2 {
        let sources: Renamed = ledger.keys_with_evidence().filter_map(all).collect();
        let networks: Renamed = ledger.networks().iter().filter_map(all).collect();
        ledger.rename_networks(&networks, &sources);
        for (old, new) in &sources {
            ledger.rename(old, new);
        }
    }
    assert_eq!(ledger.len(), 2);
    assert!(ledger.keys_with_evidence().chain(&ledger.networks()).all(|name| is_name(name)));
    check(&ledger, &hashed(neighbour(3)), at(0), 6.0, 1.2);
    near(ledger.assess(&hashed(neighbour(1)), &[], at(0)).sum, 30.0 + 3.0 + 0.6);
    near(ledger.assess(&hashed(neighbour(2)), &[], at(0)).sum, 30.0 + 3.0 + 0.6);
}
