use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::event::{Event, EventKind};
use super::super::finding::{Finding, Response};
use super::super::severity::Severity;
use super::settings::{NAMES, Settings};
use super::*;

/// 2027-01-15, 08:00 UTC.
const START_S: i64 = 1_800_000_000;

fn at(second: i64, kind: EventKind) -> Event {
    let mut event = Event::new(Timestamp::from_second(START_S + second).unwrap(), kind);
    event.raw = format!("line of second {second}");
    event
}

fn from(source: u32, second: i64, kind: EventKind) -> Event {
    let mut event = at(second, kind);
    event.client = Some(address(source));
    event
}

fn request(source: u32, second: i64, method: &str, uri: &str, status: u16) -> Event {
    let mut event = from(source, second, EventKind::HttpRequest);
    (event.method, event.uri, event.status) = (Some(method.to_owned()), Some(uri.to_owned()), Some(status));
    event
}

fn address(source: u32) -> IpAddr {
    Ipv4Addr::from_bits(0xcb00_7100 + source).into()
}

fn with_user(mut event: Event, user: &str) -> Event {
    event.user = Some(user.to_owned());
    event
}

/// What one analyzer finds with the defaults.
fn found(name: &str, events: impl IntoIterator<Item = Event>) -> Vec<Finding> {
    let mut analyzers = Analyzers::seeded(&Settings::default(), 3);
    let found = run(&mut analyzers, events);
    found.into_iter().filter(|finding| finding.detector.name() == name).collect()
}

fn levels(findings: &[Finding]) -> Vec<(Severity, f64)> {
    findings.iter().map(|finding| (finding.severity, finding.value.unwrap())).collect()
}

#[test]
fn five_failed_sign_ins_in_a_quarter_of_an_hour_deny_the_source() {
    for event in [
        |second| from(1, second, EventKind::AuthFailed),
        |second| request(1, second, "POST", "/login", 401),
        |second| request(1, second, "post", "/wp-login.php?x=1", 403),
        |second| request(1, second, "POST", "/api/v1/Sessions", 401),
        |second| with_user(request(1, second, "GET", "/secret/", 401), "anna"),
    ] {
        assert_eq!(found("brute_force", (0..4).map(|step| event(step * 200))), []);
        // 900 seconds from the first to the fifth.
        let findings = found("brute_force", (0..5).map(|step| event(step * 225)));
        assert_eq!(levels(&findings), [(Severity::High, 5.0)]);
        assert_eq!(findings[0].source, Some(address(1)));
        assert_eq!(findings[0].response, Some(Response::Deny { for_s: 3_600 }));
        assert_eq!(findings[0].evidence.len(), 5);
        // Slower than five in sixteen minutes.
        assert_eq!(found("brute_force", (0..50).map(|step| event(step * 241))), []);
    }
}

#[test]
fn what_is_no_failed_sign_in_is_not_counted() {
    for event in [
        |second| request(1, second, "GET", "/login", 401),
        |second| request(1, second, "POST", "/login", 200),
        |second| request(1, second, "POST", "/blog/logins", 401),
        |second| request(1, second, "POST", "/a?to=/login", 401),
        |second| with_user(request(1, second, "GET", "/", 200), "anna"),
        |second| from(1, second, EventKind::Login),
    ] {
        assert_eq!(found("brute_force", (0..20).map(event)), []);
    }
}

#[test]
fn many_sources_against_one_user_are_told_of_and_nobody_is_denied() {
    let failed = |source: u32| with_user(from(source, i64::from(source), EventKind::AuthFailed), "anna");
    let findings = found("brute_force", (0..9).map(failed));
    assert_eq!(levels(&findings), [(Severity::High, 5.0)]);
    assert_eq!((findings[0].source, findings[0].user.as_deref()), (None, Some("anna")));
    assert_eq!(findings[0].response, Some(Response::Notify));
}

#[test]
fn an_ongoing_brute_force_outlives_a_flood_of_a_million_sources() {
    let mut settings = Settings::default();
    for name in NAMES.into_iter().filter(|name| *name != "brute_force") {
        settings.set(name, "enabled", &parameter::Given::Flag(false)).unwrap();
    }
    settings.brute_force.max_keys = 4_096;
    let mut analyzers = Analyzers::new(&settings);
    let mut failed = |source: u32, second: i64| analyzers.observe(&from(source, second, EventKind::AuthFailed));
    // A million in ten minutes, among them every three minutes the one.
    let mut found = [failed(1, 0), failed(1, 1)].concat();
    let flood = 1_000_000;
    for source in 0..flood {
        let second = i64::from(source) * 600 / i64::from(flood);
        if source % (flood / 3) == flood / 6 {
            found.extend(failed(1, second));
        }
        assert_eq!(failed(source + 2, second), []);
    }
    assert_eq!(levels(&found), [(Severity::High, 5.0)]);
    let size = analyzers.sizes()[0];
    assert!(size.keys == 4_096 && size.bytes < 2_000_000, "{size:?}");
}

#[test]
fn five_answers_of_401_in_an_hour_limit_the_source() {
    let event = |second| request(1, second, "GET", "/", 401);
    assert_eq!(found("unauthorized_access", (0..4).map(event)), []);
    let findings = found("unauthorized_access", (0..5).map(|step| event(step * 900)));
    assert_eq!(levels(&findings), [(Severity::Medium, 5.0)]);
    assert_eq!(findings[0].response, Some(Response::Limit { for_s: 3_600 }));
    assert_eq!(found("unauthorized_access", (0..20).map(|step| event(step * 961))), []);
}

#[test]
fn ten_denials_in_an_hour_deny_the_user_or_limit_the_source() {
    let denied = |second| with_user(from(1, second, EventKind::PermissionDenied), "anna");
    assert_eq!(found("privilege_escalation", (0..9).map(denied)), []);
    let findings = found("privilege_escalation", (0..10).map(denied));
    assert_eq!(levels(&findings), [(Severity::High, 10.0)]);
    assert_eq!((findings[0].user.as_deref(), findings[0].source), (Some("anna"), Some(address(1))));
    assert_eq!(findings[0].response, Some(Response::DenyUser { for_s: 900 }));

    let findings = found("privilege_escalation", (0..10).map(|second| request(1, second, "GET", "/admin", 403)));
    assert_eq!(levels(&findings), [(Severity::Medium, 10.0)]);
    assert_eq!(findings[0].response, Some(Response::Limit { for_s: 3_600 }));
    assert_eq!(found("privilege_escalation", (0..50).map(|second| request(1, second, "POST", "/login", 403))), []);
}

#[test]
fn three_limits_broken_in_ten_minutes_limit_the_source() {
    for event in [|second| request(1, second, "GET", "/", 429), |second| from(1, second, EventKind::RateLimitExceeded)]
    {
        assert_eq!(found("rate_limit_abuse", (0..2).map(event)), []);
        let findings = found("rate_limit_abuse", (0..3).map(|step| event(step * 300)));
        assert_eq!(levels(&findings), [(Severity::Medium, 3.0)]);
        assert_eq!(findings[0].response, Some(Response::Limit { for_s: 3_600 }));
    }
    let shared = |source: u32| {
        let mut event = request(source, i64::from(source), "GET", "/", 429);
        event.api_key_id = Some("k1".to_owned());
        event
    };
    let findings = found("rate_limit_abuse", (0..5).map(shared));
    assert_eq!((findings.len(), findings[0].source, findings[0].response), (1, None, Some(Response::Notify)));
    assert_eq!(findings[0].about.as_deref(), Some("API key k1"));
}

#[test]
fn a_finding_comes_once_in_a_window_with_the_count_so_far() {
    let findings = found("brute_force", (0..3_600).map(|second| from(1, second, EventKind::AuthFailed)));
    let seen: Vec<(i64, f64)> =
        findings.iter().map(|finding| (finding.time.as_second() - START_S, finding.value.unwrap())).collect();
    assert_eq!(seen.iter().map(|(second, _)| *second).collect::<Vec<_>>(), [4, 904, 1_804, 2_704]);
    assert!(seen[1..].iter().all(|(_, count)| (900.0..=960.0).contains(count)), "{seen:?}");
}

fn answered(second: i64, seconds: f64) -> Event {
    let mut event = request(1, second, "GET", &format!("/orders/{second}"), 200);
    event.duration_s = Some(seconds);
    event
}

#[test]
fn slow_answers_of_an_endpoint_warn_above_one_second_and_are_critical_above_two() {
    let nine_in_ten =
        |slow: f64| (0..100).map(move |second| answered(second, if second % 10 == 9 { slow } else { 0.1 }));
    assert_eq!(found("response_time", nine_in_ten(1.0)), []);
    let findings = found("response_time", nine_in_ten(1.4));
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].severity, findings[0].source), (Severity::Medium, None));
    assert_eq!(findings[0].about.as_deref(), Some("/orders/*"));
    assert!((1.0..1.5).contains(&findings[0].value.unwrap()));
    let findings = found("response_time", nine_in_ten(30.0));
    assert_eq!((findings.len(), findings[0].severity), (1, Severity::Critical));
    assert!(findings[0].value.unwrap() > 15.0);
    // Both, one after the other.
    let worse = nine_in_ten(1.4).chain(nine_in_ten(3.0)).chain(nine_in_ten(3.0)).enumerate();
    let worse = worse.map(|(second, event)| answered(i64::try_from(second).unwrap(), event.duration_s.unwrap()));
    let severities: Vec<Severity> = found("response_time", worse).iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Medium, Severity::Critical]);
}

#[test]
fn few_slow_answers_and_impossible_times_are_nothing() {
    assert_eq!(found("response_time", (0..19).map(|second| answered(second, 9.0))), []);
    assert_eq!(
        found("response_time", (0..100).map(|second| answered(second, if second % 25 == 24 { 9.0 } else { 0.1 }))),
        []
    );
    for impossible in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -3.0] {
        assert_eq!(found("response_time", (0..100).map(|second| answered(second, impossible))), []);
    }
}

#[test]
fn errors_warn_above_one_in_twenty_and_are_critical_above_one_in_ten() {
    let mixed = |one_in: i64, status: u16| {
        (1..=200).map(move |second| request(1, second, "GET", "/", if second % one_in == 0 { status } else { 200 }))
    };
    assert_eq!(found("error_rate", mixed(20, 500)), []);
    assert_eq!(levels(&found("error_rate", mixed(15, 500)))[0].0, Severity::Medium);
    assert_eq!(levels(&found("error_rate", mixed(5, 422)))[0].0, Severity::Critical);
    for status in [401, 403, 404, 410, 416, 429, 499, 304] {
        assert_eq!(found("error_rate", mixed(2, status)), [], "{status}");
    }
    assert_eq!(found("error_rate", (0..19).map(|second| request(1, second, "GET", "/", 500))), []);
    assert_eq!(
        levels(&found("error_rate", (0..20).map(|second| request(1, second, "GET", "/", 500)))),
        [(Severity::Critical, 1.0)]
    );
}

#[test]
fn an_api_key_has_an_error_rate_of_its_own() {
    let keyed = |second: i64, key: &str| {
        let mut event = request(1, second, "GET", "/", if key == "bad" { 500 } else { 200 });
        event.api_key_id = Some(key.to_owned());
        event
    };
    let findings =
        found("error_rate", (0..200).map(|second| keyed(second, if second % 10 == 0 { "bad" } else { "good" })));
    assert_eq!(levels(&findings), [(Severity::Critical, 1.0)]);
    assert_eq!(findings[0].about.as_deref(), Some("API key bad"));
}

/// So many requests on each of these days, of one user; the last is today.
fn used(days: &[u32]) -> Vec<Finding> {
    let of_day = |(day, count): (usize, &u32)| {
        let (start, count) = (i64::try_from(day).unwrap() * 86_400, i64::from(*count));
        (0..count).map(move |number| with_user(request(1, start + number * 40_000 / count, "GET", "/", 200), "anna"))
    };
    found("usage_spike", days.iter().enumerate().flat_map(of_day))
}

#[test]
fn today_is_held_against_the_mean_of_the_seven_days_before() {
    let week = [100, 120, 80, 140, 0, 140, 120];
    let with_today = |today| used(&[week.as_slice(), &[today]].concat());
    assert_eq!(with_today(200), []);
    assert_eq!(levels(&with_today(299)), [(Severity::Medium, 2.01)]);
    assert_eq!(levels(&with_today(900)), [(Severity::Medium, 2.01), (Severity::Critical, 3.01)]);
    // What was before the week does not count.
    assert_eq!(levels(&used(&[[100_000].as_slice(), &week, &[250]].concat())), [(Severity::Medium, 2.01)]);
}

#[test]
fn without_history_or_with_little_use_there_is_no_spike() {
    assert_eq!(used(&[5_000]), []);
    assert_eq!(used(&[10, 10, 5_000]), []);
    assert_eq!(used(&[2, 2, 2, 2, 2, 2, 2, 19]), []);
    assert_eq!(levels(&used(&[10, 10, 10, 25])), [(Severity::Medium, 2.1)]);
}

#[test]
fn every_analyzer_is_described_with_what_can_be_set() {
    let descriptions = describe(&Settings::default());
    assert_eq!(descriptions.iter().map(|description| description.name).collect::<Vec<_>>(), NAMES);
    for description in &descriptions {
        assert!(description.enabled && !description.description.is_empty() && !description.parameters.is_empty());
    }
    let sizes = Analyzers::new(&Settings::default()).sizes();
    assert_eq!(sizes.iter().map(|size| size.name).collect::<Vec<_>>(), NAMES);
}

#[test]
fn what_is_disabled_does_not_run() {
    let mut settings = Settings::default();
    settings.brute_force.enabled = false;
    let mut analyzers = Analyzers::new(&settings);
    let found = run(&mut analyzers, (0..50).map(|second| from(1, second, EventKind::AuthFailed)));
    assert_eq!(found, []);
    assert!(!describe(&settings)[4].enabled);
    assert_eq!(analyzers.sizes().len(), NAMES.len() - 1);
}

fn any_text() -> impl Strategy<Value = Option<String>> {
    prop_oneof![Just(None), "[/a-z0-9.-]{0,20}".prop_map(Some), "\\PC{0,20}".prop_map(Some)]
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        4 => (0..20_000i64).prop_map(|second| Timestamp::from_second(START_S + second).unwrap()),
        1 => (Timestamp::MIN.as_second()..Timestamp::MAX.as_second())
            .prop_map(|second| Timestamp::from_second(second).unwrap()),
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let kind = prop::sample::select(EventKind::ALL.as_slice());
    let numbers = (any::<Option<u16>>(), any::<Option<u64>>(), prop_oneof![any::<Option<f64>>(), Just(Some(f64::NAN))]);
    let client = prop::option::of(prop_oneof![
        (0..4u32).prop_map(address),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        any::<[u8; 4]>().prop_map(IpAddr::from)
    ]);
    let texts = prop::array::uniform8(any_text());
    (any_time(), kind, client, numbers, texts, 0..5usize).prop_map(|(time, kind, client, numbers, texts, status)| {
        let mut event = Event::new(time, kind);
        event.client = client;
        (event.status, event.bytes_sent, event.duration_s) = numbers;
        if let Some(known) = [200, 401, 403, 429].get(status) {
            event.status = Some(*known);
        }
        let [uri, method, agent, user, key, endpoint, country, raw] = texts;
        (event.uri, event.method, event.user_agent, event.user) = (uri, method, agent, user);
        (event.api_key_id, event.endpoint, event.country) = (key, endpoint, country);
        event.raw = raw.unwrap_or_default();
        event
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_event_stops_them(events in prop::collection::vec(any_event(), 0..300), ticks in prop::collection::vec(any_time(), 3)) {
        let mut settings = Settings::default();
        (settings.anomaly.history, settings.anomaly.minimum, settings.behaviour.history_days) = (1, 1, 0);
        (settings.brute_force.max_keys, settings.anomaly.max_keys) = (2, 2);
        let mut analyzers = Analyzers::new(&settings);
        for (number, event) in events.iter().enumerate() {
            for finding in analyzers.observe(event) {
                prop_assert!(finding.value.is_some_and(f64::is_finite), "{:?}", finding);
                prop_assert!(finding.confidence <= 100 && finding.evidence.len() <= 5);
            }
            if let Some(tick) = ticks.get(number / 100) {
                analyzers.tick(*tick);
            }
        }
        analyzers.finish();
    }

    #[test]
    fn the_order_of_neighbours_makes_no_difference(
        gaps in prop::collection::vec((0u32..3, 0i64..400), 1..120),
        seed in any::<u64>(),
    ) {
        // Reordered by up to some seconds: what is found is found about the same sources.
        let mut second = 0;
        let mut events: Vec<Event> = gaps.iter().map(|(source, gap)| {
            second += gap;
            from(*source, second, EventKind::AuthFailed)
        }).collect();
        let sources = |events: &[Event]| {
            let mut sources: Vec<_> = found("brute_force", events.to_vec()).iter().map(|finding| finding.source).collect();
            sources.sort_unstable();
            sources.dedup();
            sources
        };
        let in_order = sources(&events);
        events.sort_by_key(|event| {
            let shift = event.time.as_second().cast_unsigned().wrapping_mul(seed | 1) >> 61;
            event.time.as_second() + i64::try_from(shift).unwrap()
        });
        prop_assert_eq!(sources(&events), in_order);
    }
}
