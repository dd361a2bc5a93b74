use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::http::finding::Detector;
use crate::domain::http::severity::Severity;
use crate::domain::time::BootSeconds;

const DAY: u64 = 86_400;

fn now(second: u64) -> Now {
    let wall = Timestamp::constant(1_790_000_000, 0) + jiff::SignedDuration::from_secs(second.cast_signed());
    Now { boot: BootSeconds(second), wall }
}

fn finding(rule: &str, source: &str, response: Option<Response>) -> Finding {
    Finding {
        detector: Detector::Rule(rule.into()),
        title: "Brute force".into(),
        description: "".into(),
        severity: Severity::High,
        confidence: 80,
        techniques: Arc::from([]),
        tags: Arc::from([]),
        source: source.parse().ok(),
        user: None,
        about: None,
        time: now(0).wall,
        value: None,
        threshold: None,
        indicators: Vec::new(),
        evidence: Vec::new(),
        response,
        spoofable: false,
    }
}

const HOUR: Option<Response> = Some(Response::Deny { for_s: 3_600 });

fn open(_: IpNet) -> Option<String> {
    None
}

fn denied_for(responder: &mut Responder, finding: &Finding, second: u64) -> Option<u64> {
    match responder.respond(finding, now(second), None, &open) {
        Consequence::Deny { for_s, .. } => Some(for_s),
        Consequence::InForce { .. } => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_settings_word_goes_before_the_detectors_and_silence_denies_nobody() {
    let mut responses = Responses::default();
    assert_eq!(responses.wanted(&finding("a", "192.0.2.7", None)), Response::Observe);
    let loud = finding("a", "192.0.2.7", HOUR);
    assert_eq!(responses.wanted(&loud), Response::Deny { for_s: 3_600 });
    responses.overrides.insert("a".to_owned(), Response::Notify);
    assert_eq!(responses.wanted(&loud), Response::Notify);
}

#[test]
fn one_address_is_denied_or_a_64_and_the_reason_names_the_rule() {
    let mut responder = Responder::new(Responses::default());
    for (source, prefix) in [("192.0.2.7", "192.0.2.7/32"), ("2001:db8::7", "2001:db8::/64")] {
        let expected = Consequence::Deny { prefix: prefix.parse().unwrap(), for_s: 3_600, expiry: now(5).after(3_600) };
        assert_eq!(responder.respond(&finding("a", source, HOUR), now(5), None, &open), expected);
    }
}

#[test]
fn who_comes_back_is_denied_twice_as_long_and_no_longer_than_the_longest() {
    let mut responder = Responder::new(Responses { longest_s: 20_000, ..Responses::default() });
    let found = finding("a", "192.0.2.7", HOUR);
    let mut second = 0;
    for expected in [3_600, 7_200, 14_400, 20_000, 20_000] {
        assert_eq!(denied_for(&mut responder, &found, second), Some(expected));
        second += expected + 10;
    }
    // A month of peace later it is the first time again.
    assert_eq!(denied_for(&mut responder, &found, second + 31 * DAY), Some(3_600));
}

#[test]
fn what_is_left_of_a_shortened_denial_is_in_force_and_counts_once() {
    let mut responder = Responder::new(Responses::default());
    let prefix = "192.0.2.7/32".parse().unwrap();
    let (long, short) =
        (finding("a", "192.0.2.7", Some(Response::Deny { for_s: DAY })), finding("b", "192.0.2.7", HOUR));
    assert_eq!(denied_for(&mut responder, &short, 0), Some(3_600));
    assert_eq!(denied_for(&mut responder, &long, 1), Some(DAY));
    responder.shortened(Action::Deny, prefix, now(3_600).wall, now(10));
    // In force until then.
    assert_eq!(denied_for(&mut responder, &finding("c", "192.0.2.7", Some(Response::Deny { for_s: 60 })), 20), None);
    // Then it is the second time.
    assert_eq!(denied_for(&mut responder, &short, 3_700), Some(7_200));
    let mut limited = Responder::new(Responses::default());
    limited.shortened(Action::Limit, prefix, now(100).wall, now(0));
    let limit = finding("l", "192.0.2.7", Some(Response::Limit { for_s: 50 }));
    assert!(matches!(limited.respond(&limit, now(1), None, &open), Consequence::InForce { action: Action::Limit, .. }));
}

#[test]
fn a_denial_in_force_is_not_repeated_but_lengthened() {
    let mut responder = Responder::new(Responses::default());
    let found = finding("a", "192.0.2.7", HOUR);
    assert_eq!(denied_for(&mut responder, &found, 0), Some(3_600));
    for second in [0, 1, 59] {
        assert_eq!(denied_for(&mut responder, &found, second), None);
    }
    // Another rule of the same attack asks for less, then for more.
    assert_eq!(denied_for(&mut responder, &finding("b", "192.0.2.7", Some(Response::Deny { for_s: 60 })), 60), None);
    let more = finding("c", "192.0.2.7", Some(Response::Deny { for_s: 2 * DAY }));
    assert_eq!(denied_for(&mut responder, &more, 60), Some(2 * DAY));
    let in_force = responder.respond(&found, now(61), None, &open);
    let until = now(60 + 2 * DAY).wall;
    // What it asks for by itself is less than what is in force.
    let asked = Asked { action: Action::Deny, until: now(61 + 3_600).wall };
    let prefix = "192.0.2.7/32".parse().unwrap();
    assert_eq!(in_force, Consequence::InForce { action: Action::Deny, prefix, until, asked });
    assert_eq!(in_force.taken().asked, Some(asked));
    assert_eq!((in_force.taken().action, in_force.taken().until), (Action::Deny, Some(until)));
    // It was one offence: the next is the second.
    assert_eq!(denied_for(&mut responder, &found, 61 + 2 * DAY), Some(7_200));
}

#[test]
fn forged_evidence_never_denies_for_long() {
    let mut responder = Responder::new(Responses::default());
    let found = Finding { spoofable: true, ..finding("a", "192.0.2.7", Some(Response::Deny { for_s: 7 * DAY })) };
    let mut second = 0;
    for _ in 0..10 {
        assert_eq!(denied_for(&mut responder, &found, second), Some(SPOOFABLE_LONGEST_S));
        second += SPOOFABLE_LONGEST_S + 1;
    }
}

#[test]
fn nobody_is_denied_for_what_is_past_or_without_an_address_or_a_name() {
    let mut responder = Responder::new(Responses::default());
    let deny_user = Some(Response::DenyUser { for_s: 900 });
    for (found, withheld) in [
        (finding("a", "192.0.2.7", HOUR), Some(Withheld::History)),
        (finding("a", "192.0.2.7", HOUR), Some(Withheld::Forgeable)),
        (finding("a", "nobody", HOUR), None),
        (finding("a", "192.0.2.7", deny_user), None),
    ] {
        let consequence = responder.respond(&found, now(0), withheld, &open);
        assert!(matches!(consequence, Consequence::Refused { .. }), "{consequence:?}");
        assert!(consequence.taken().refused.is_some());
    }
    assert!(responder.is_empty());
    let bob = Finding { user: Some("bob".into()), ..finding("a", "192.0.2.7", deny_user) };
    let expected = Consequence::DenyUser { user: "bob".into(), for_s: 900, expiry: now(0).after(900) };
    assert_eq!(responder.respond(&bob, now(0), None, &open), expected);
}

#[test]
fn who_is_limited_can_still_be_denied_and_not_the_other_way_round() {
    let mut responder = Responder::new(Responses::default());
    let limit = finding("a", "192.0.2.7", Some(Response::Limit { for_s: 600 }));
    assert!(matches!(responder.respond(&limit, now(0), None, &open), Consequence::Limit { for_s: 600, .. }));
    assert!(matches!(
        responder.respond(&limit, now(1), None, &open),
        Consequence::InForce { action: Action::Limit, .. }
    ));
    assert_eq!(denied_for(&mut responder, &finding("b", "192.0.2.7", HOUR), 2), Some(3_600));
    assert!(matches!(
        responder.respond(&limit, now(3), None, &open),
        Consequence::InForce { action: Action::Deny, .. }
    ));
}

#[test]
fn a_lifted_denial_does_not_count_and_can_be_made_again() {
    let mut responder = Responder::new(Responses::default());
    let found = finding("a", "192.0.2.7", HOUR);
    assert_eq!(denied_for(&mut responder, &found, 0), Some(3_600));
    assert_eq!(denied_for(&mut responder, &found, 4_000), Some(7_200));
    responder.lifted(Action::Deny, "192.0.2.7/32".parse().unwrap(), now(4_001));
    assert_eq!(denied_for(&mut responder, &found, 4_001), Some(7_200));
    responder.lifted(Action::Deny, "192.0.2.7/32".parse().unwrap(), now(4_002));
    responder.lifted(Action::Deny, "192.0.2.7/32".parse().unwrap(), now(4_002));
    assert!(responder.is_empty());
}

#[test]
fn a_limit_that_could_not_be_made_takes_no_denial_back() {
    let mut responder = Responder::new(Responses::default());
    let source = "192.0.2.7/32".parse().unwrap();
    assert_eq!(denied_for(&mut responder, &finding("a", "192.0.2.7", HOUR), 0), Some(3_600));
    responder.lifted(Action::Limit, source, now(4_000));
    assert_eq!(denied_for(&mut responder, &finding("a", "192.0.2.7", HOUR), 4_000), Some(7_200), "it comes back");
}

#[test]
fn denials_of_an_earlier_run_count() {
    let mut responder = Responder::new(Responses::default());
    // The machine was started again 100 seconds ago.
    let ago = |seconds: i64| now(100).wall - jiff::SignedDuration::from_secs(seconds);
    responder.record("192.0.2.7", ago(100_000), 3_600, now(100));
    responder.record("192.0.2.7", ago(7_000), 7_200, now(100));
    let found = finding("a", "192.0.2.7", Some(Response::Deny { for_s: 60 }));
    assert_eq!(denied_for(&mut responder, &found, 200), None);
    assert_eq!(denied_for(&mut responder, &found, 301), Some(240));
}

#[test]
fn who_is_forgotten_makes_room() {
    let mut responder = Responder::new(Responses { most_sources: 100, ..Responses::default() });
    let long = finding("a", "192.0.2.7", Some(Response::Deny { for_s: 6 * DAY }));
    assert_eq!(denied_for(&mut responder, &long, 0), Some(6 * DAY));
    for number in 0..1_000u32 {
        let address = IpAddr::from((0xc633_6400 + number).to_be_bytes()).to_string();
        assert_eq!(denied_for(&mut responder, &finding("a", &address, HOUR), 0), Some(3_600));
        assert!(responder.len() <= 100 && responder.by_end.len() == responder.sources.len());
    }
    assert_eq!(denied_for(&mut responder, &long, 1), None, "who is denied longest stays");
    responder.sweep(now(40 * DAY));
    assert!(responder.is_empty() && responder.by_end.is_empty());
}

proptest! {
    #[test]
    fn denials_are_bounded_and_spare_the_guarded(
        steps in prop::collection::vec(
            (0u8..6, 0u64..200_000, 1u64..2_000_000, any::<bool>(), any::<bool>(), any::<bool>()), 1..120
        ),
        longest_s in 1u64..1_000_000,
    ) {
        let responses = Responses { longest_s, most_sources: 4, ..Responses::default() };
        let mut responder = Responder::new(responses);
        let guarded: IpNet = "192.0.2.3/32".parse().unwrap();
        let guard = |prefix: IpNet| (prefix == guarded).then(|| "protected".to_owned());
        let mut second = 0;
        for (host, pause, for_s, spoofable, is_limit, is_history) in steps {
            second += pause;
            let response = if is_limit { Response::Limit { for_s } } else { Response::Deny { for_s } };
            let found = Finding { spoofable, ..finding("a", &format!("192.0.2.{host}"), Some(response)) };
            match responder.respond(&found, now(second), is_history.then_some(Withheld::History), &guard) {
                Consequence::Deny { prefix, for_s, .. } => {
                    prop_assert!(!is_limit && !is_history && prefix != guarded);
                    prop_assert!(for_s >= 1 && for_s <= longest_s);
                    prop_assert!(!spoofable || for_s <= SPOOFABLE_LONGEST_S);
                }
                Consequence::Limit { prefix, for_s, .. } => {
                    prop_assert!(is_limit && !is_history && prefix != guarded && for_s <= longest_s);
                }
                Consequence::InForce { prefix, .. } => prop_assert!(prefix != guarded),
                Consequence::Refused { .. } => prop_assert!(is_history || host == 3),
                other => prop_assert!(false, "{other:?}"),
            }
            prop_assert!(responder.len() <= 4);
        }
    }

    #[test]
    fn an_end_never_moves_forward(
        steps in prop::collection::vec((0u64..50_000, 1u64..100_000, any::<bool>()), 1..60)
    ) {
        let mut responder = Responder::new(Responses::default());
        let (mut second, mut end) = (0, 0);
        for (pause, for_s, spoofable) in steps {
            second += pause;
            let found = Finding { spoofable, ..finding("a", "192.0.2.7", Some(Response::Deny { for_s })) };
            if let Consequence::Deny { expiry, .. } = responder.respond(&found, now(second), None, &open) {
                prop_assert!(expiry.boot.0 > end);
                end = expiry.boot.0;
            }
        }
    }
}
