use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::http::severity::Severity;

const START: Timestamp = Timestamp::constant(1_790_000_000, 0);

fn at(second: i64) -> Timestamp {
    START + SignedDuration::from_secs(second)
}

fn finding(rule: &str, source: &str, second: i64) -> Finding {
    Finding {
        detector: Detector::Rule(rule.into()),
        title: rule.into(),
        description: "".into(),
        severity: Severity::High,
        confidence: 80,
        techniques: Arc::from([]),
        tags: Arc::from([]),
        source: source.parse().ok(),
        user: None,
        about: None,
        time: at(second),
        value: None,
        threshold: None,
        indicators: Vec::new(),
        evidence: vec![format!("line {second}")],
        response: None,
        spoofable: false,
    }
}

fn book(most: usize) -> Book {
    Book::new(Folding { most, ..Folding::default() }, 7)
}

fn fold(book: &mut Book, finding: &Finding) -> Folded {
    let now = finding.time;
    book.fold(finding, &Taken::default(), now)
}

#[test]
fn repeats_within_the_window_count_up_one_alert() {
    let mut book = book(10);
    let first = fold(&mut book, &finding("a", "192.0.2.7", 0));
    assert!(first.is_new);
    // Each within an hour of the one before, the last two hours after the first.
    for second in [10, 3_600, 7_000] {
        assert_eq!(fold(&mut book, &finding("a", "192.0.2.7", second)), Folded { id: first.id, is_new: false });
    }
    assert_eq!(book.get(first.id).unwrap().count, 4);
    let later = fold(&mut book, &finding("a", "192.0.2.7", 7_000 + 3_601));
    assert!(later.is_new && later.id > first.id);
    let earlier = fold(&mut book, &finding("a", "192.0.2.7", 0));
    assert!(earlier.is_new, "what was long before is no repeat either");
}

#[test]
fn detectors_sources_users_and_subjects_are_told_apart() {
    let mut book = book(10);
    let base = finding("a", "192.0.2.7", 0);
    let user = Finding { user: Some("bob".into()), ..base.clone() };
    let about = Finding { about: Some("/login".into()), ..base.clone() };
    let analyzer = Finding { detector: Detector::Analyzer("a"), ..base.clone() };
    let of = [base, finding("b", "192.0.2.7", 0), finding("a", "192.0.2.8", 0), user, about, analyzer];
    for finding in &of {
        assert!(fold(&mut book, finding).is_new);
    }
    for finding in &of {
        assert!(!fold(&mut book, finding).is_new);
    }
}

#[test]
fn addresses_of_one_64_are_one_source() {
    let mut book = book(10);
    let first = fold(&mut book, &finding("a", "2001:db8::1", 0));
    assert_eq!(fold(&mut book, &finding("a", "2001:db8::ffff:2", 1)), Folded { id: first.id, is_new: false });
    assert!(fold(&mut book, &finding("a", "2001:db8:0:1::1", 1)).is_new);
}

#[test]
fn who_invents_users_has_a_share_of_the_book_and_no_more() {
    let mut book = book(1_000);
    for number in 0..500 {
        let invented = Finding { user: Some(format!("user{number}")), ..finding("a", "192.0.2.7", 0) };
        fold(&mut book, &invented);
    }
    let share = Folding::default().most_of_source;
    assert_eq!((book.len(), book.overflowed()), (share + 1, 500 - share as u64));
    let rest: Vec<_> = book.entries.values().filter(|entry| entry.subject.is_rest).collect();
    assert_eq!(rest.len(), 1);
    assert_eq!((rest[0].alert.count, rest[0].alert.user.clone()), (500 - share as u64, None));
    assert_eq!(rest[0].alert.source.as_deref(), Some("192.0.2.7"));
    assert!(rest[0].alert.tags.iter().any(|tag| tag == REST));
}

#[test]
fn a_full_book_keeps_what_it_has_and_counts_the_rest() {
    let mut book = book(10);
    let kept = fold(&mut book, &finding("a", "192.0.2.1", 0));
    for number in 0..1_000u32 {
        fold(&mut book, &finding("a", &std::net::Ipv4Addr::from(0xc633_6400 + number).to_string(), 1));
    }
    assert_eq!((book.len(), book.overflowed()), (11, 991));
    assert!(!fold(&mut book, &finding("a", "192.0.2.1", 2)).is_new);
    assert_eq!(book.get(kept.id).unwrap().count, 2);
    // Another detector has a rest of its own.
    assert!(fold(&mut book, &finding("b", "192.0.2.1", 2)).is_new);
    assert!(!fold(&mut book, &finding("b", "192.0.2.2", 2)).is_new);
    // What is over makes room.
    book.sweep(at(4_000));
    assert!(book.is_empty() && book.of_source.is_empty() && book.subjects.is_empty());
}

#[test]
fn a_new_alert_is_written_at_once_and_a_change_once_a_second() {
    let mut book = book(10);
    let first = fold(&mut book, &finding("a", "192.0.2.7", 0));
    let written = book.take_changed(at(0));
    assert_eq!((written.len(), written[0].is_new, written[0].alert.id), (1, true, first.id));
    for _ in 0..1_000 {
        fold(&mut book, &finding("a", "192.0.2.7", 0));
    }
    assert_eq!(book.take_changed(at(0)), [], "not within the second");
    let written = book.take_changed(at(1));
    assert_eq!((written.len(), written[0].is_new, written[0].alert.count), (1, false, 1_001));
    assert_eq!(book.take_changed(at(5)), [], "nothing changed");
    fold(&mut book, &finding("a", "192.0.2.7", 1));
    assert_eq!(book.take_all(at(1)).len(), 1, "all that is left, at the end");
}

#[test]
fn what_changed_is_written_although_it_is_over() {
    let mut book = book(10);
    fold(&mut book, &finding("a", "192.0.2.7", 0));
    fold(&mut book, &finding("a", "192.0.2.7", 9_000));
    let counts: Vec<_> =
        book.take_changed(at(9_000)).iter().map(|change| (change.alert.count, change.is_new)).collect();
    assert_eq!(counts, [(1, true), (1, true)]);
}

#[test]
fn the_strongest_action_stays_and_a_refusal_is_said() {
    let mut book = book(10);
    let deny = |until| Taken {
        action: Action::Deny,
        target: Some("192.0.2.7/32".into()),
        for_s: Some(3_600),
        until: Some(at(until)),
        asked: Some(Asked { action: Action::Deny, until: at(until) }),
        refused: None,
    };
    let found = finding("a", "192.0.2.7", 0);
    let id = book.fold(&found, &Taken::default(), at(0)).id;
    book.fold(&found, &deny(3_600), at(0));
    book.fold(&found, &Taken::default(), at(1));
    book.fold(&found, &deny(60), at(1));
    let alert = book.get(id).unwrap();
    assert_eq!((alert.action, alert.action_until), (Action::Deny, Some(at(3_600))));
    let asked = |until| Some(Asked { action: Action::Deny, until: at(until) });
    assert_eq!(alert.asks(at(1)), asked(3_600));
    assert_eq!(alert.asks(at(3_600)), None, "its time is over");
    book.fold(&found, &Taken { for_s: None, asked: asked(3_600), ..deny(3_601) }, at(2));
    assert_eq!(book.of_target(&["192.0.2.7/32".to_owned()]).next().unwrap().asks(at(2)), asked(3_600), "for itself");
    let alert = book.get(id).unwrap();
    assert_eq!((alert.action_for_s, alert.action_until), (Some(3_600), Some(at(3_601))), "it is in force already");
    book.take_changed(at(2));
    book.unask(&["192.0.2.7/32".to_owned()], at(2));
    assert_eq!((book.get(id).unwrap().asks(at(2)), book.take_changed(at(4)).len()), (None, 1), "lifted by hand");
    book.fold(&found, &deny(3_602), at(4));
    assert_eq!(book.get(id).unwrap().asks(at(4)), asked(3_602), "found again");
    book.take_changed(at(6));
    book.refused(id, "192.0.2.7/32 is protected", at(2));
    let changed = book.take_changed(at(8)).remove(0).alert;
    assert_eq!((changed.action, changed.action_until, changed.asked), (Action::Observe, None, None));
    assert_eq!(changed.refused.as_deref(), Some("192.0.2.7/32 is protected"));
}

#[test]
fn an_alert_of_an_earlier_run_counts_on() {
    let mut before = book(10);
    let found = Finding { user: Some("bob".into()), ..finding("a", "2001:db8::1", 0) };
    let id = fold(&mut before, &found).id;
    let alert = before.get(id).unwrap().clone();

    let mut after = Book::new(Folding::default(), 8);
    after.adopt(alert.clone(), at(60));
    assert_eq!(after.take_changed(at(60)), []);
    assert_eq!(after.fold(&found, &Taken::default(), at(60)), Folded { id, is_new: false });
    assert!(!after.take_changed(at(62))[0].is_new);

    let mut much_later = book(10);
    much_later.adopt(alert, at(9_000));
    assert!(much_later.is_empty());
}

#[test]
fn a_forgotten_alert_is_made_anew() {
    let mut book = book(10);
    let id = fold(&mut book, &finding("a", "192.0.2.7", 0)).id;
    book.forget(id);
    assert_eq!(book.take_changed(at(0)), []);
    assert!(fold(&mut book, &finding("a", "192.0.2.7", 1)).is_new);
}

proptest! {
    #[test]
    fn nothing_is_lost_and_the_book_stays_bounded(
        found in prop::collection::vec((0u8..3, 0u8..40, prop::option::of(0u8..40), -5_000i64..5_000, 0i64..20_000), 0..300)
    ) {
        let folding = Folding { most: 20, most_of_source: 3, window_s: 3_600 };
        let mut book = Book::new(folding, 1);
        let mut written = BTreeMap::new();
        let mut keep = |changes: Vec<Change>| for change in changes {
            let known = written.insert(change.alert.id, change.alert.count);
            assert_eq!(known.is_none(), change.is_new);
        };
        for (rule, host, user, time, now) in &found {
            let user = user.map(|user| format!("u{user}"));
            let finding = Finding { user, ..finding(&format!("r{rule}"), &format!("192.0.2.{host}"), *time) };
            book.fold(&finding, &Taken::default(), at(*now));
            // A rest for each of three detectors may lie above.
            prop_assert!(book.len() <= 20 + 3);
            prop_assert_eq!(book.entries.len(), book.subjects.len());
            prop_assert_eq!(book.entries.len(), book.of_source.values().sum::<usize>());
            keep(book.take_changed(at(*now)));
        }
        keep(book.take_all(at(0)));
        prop_assert_eq!(written.values().sum::<u64>(), found.len() as u64);
    }
}
