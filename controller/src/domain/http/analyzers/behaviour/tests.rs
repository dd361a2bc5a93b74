use jiff::Timestamp;

use super::*;
use crate::domain::http::analyzers::Analyzers;
use crate::domain::http::analyzers::settings::Settings;
use crate::domain::http::event::Event;

/// A Monday, 00:00 UTC.
const START_S: i64 = 1_799_625_600;

fn event(day: i64, hour: i64, minute: i64, country: &str, path: &str) -> Event {
    let at_s = START_S + day * DAY_S + hour * 3_600 + minute * 60;
    let mut event = Event::new(Timestamp::from_second(at_s).unwrap(), EventKind::HttpRequest);
    event.user = Some("anna".to_owned());
    event.client = Some("192.0.2.1".parse().unwrap());
    event.country = Some(country.to_owned());
    event.uri = Some(path.to_owned());
    event.status = Some(200);
    event
}

/// Days of work from nine to five, from one country.
fn worked(days: i64) -> Analyzers {
    let mut analyzers = Analyzers::seeded(&Settings::default(), 2);
    for day in 0..days {
        work(&mut analyzers, day);
    }
    analyzers
}

fn work(analyzers: &mut Analyzers, day: i64) {
    for hour in 9..17 {
        for minute in 0..30 {
            let path = match minute % 6 {
                0 | 1 => "/inbox",
                2 => "/orders/17",
                3 => "/orders/18",
                4 => "/search",
                _ => "/help",
            };
            let found = analyzers.observe(&event(day, hour, minute, "DE", path));
            assert!(found.is_empty(), "{day} {hour}: {found:?}");
        }
    }
}

/// Five requests at this hour, from there, for that; the score that was alerted.
fn visit(analyzers: &mut Analyzers, day: i64, hour: i64, country: &str, path: &str) -> Option<f64> {
    let visit = |minute| analyzers.observe(&event(day, hour, minute, country, path));
    (0..5).flat_map(visit).find(|finding| finding.detector.name() == "behaviour").and_then(|finding| finding.value)
}

#[test]
fn all_three_together_are_alerted_and_any_two_are_not_above_seven_tenths() {
    for (hour, country, path, expected) in [
        (3, "BR", "/admin/export", Some(1.0)),
        (3, "BR", "/inbox", None),
        (11, "BR", "/admin/export", None),
        (3, "DE", "/admin/export", None),
        (11, "DE", "/inbox", None),
        (8, "DE", "/orders/99", None),
    ] {
        assert_eq!(visit(&mut worked(14), 14, hour, country, path), expected, "{hour} {country} {path}");
    }
}

#[test]
fn it_is_said_once_a_day_with_what_is_unusual() {
    let mut analyzers = worked(14);
    let all = (0..50).flat_map(|minute| analyzers.observe(&event(14, 3, minute, "BR", "/admin/export")));
    let found: Vec<_> = all.filter(|finding| finding.detector.name() == "behaviour").collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].user.as_deref(), Some("anna"));
    assert_eq!(found[0].indicators, ["unusual hour: 03 UTC", "new country: BR", "unusual mix of endpoints: 100 %"]);
}

#[test]
fn nothing_is_said_before_a_week_was_learned() {
    assert_eq!(visit(&mut worked(6), 6, 3, "BR", "/admin/export"), None);
    // The seventh day is over when the eighth begins.
    assert_eq!(visit(&mut worked(7), 7, 3, "BR", "/admin/export"), Some(1.0));
}

#[test]
fn one_session_makes_no_habit_and_a_week_of_them_does() {
    let mut analyzers = worked(14);
    for day in 14.. {
        // Ten thousand requests weigh no more than a day.
        let floods = (0..10_000).flat_map(|count| analyzers.observe(&event(day, 3, count % 60, "BR", "/admin/export")));
        let is_alerted = floods.filter(|finding| finding.detector.name() == "behaviour").count() == 1;
        assert_eq!(is_alerted, day < 16, "{day}");
        if day == 20 {
            break;
        }
    }
}

#[test]
fn who_fails_to_sign_in_shapes_nobody_elses_profile() {
    let mut analyzers = worked(14);
    for day in 14..30 {
        for minute in 0..50 {
            let mut event = event(day, 3, minute, "BR", "/login");
            event.status = Some(401);
            assert!(analyzers.observe(&event).iter().all(|finding| finding.detector.name() != "behaviour"));
        }
        let mut event = event(day, 3, 55, "BR", "/login");
        (event.kind, event.status) = (EventKind::AuthFailed, None);
        analyzers.observe(&event);
        work(&mut analyzers, day);
    }
    assert_eq!(visit(&mut analyzers, 30, 3, "BR", "/admin/export"), Some(1.0));
}

#[test]
fn a_clock_wrong_by_years_neither_alerts_nor_learns() {
    let mut analyzers = worked(14);
    for wrong in [-4_000, 4_000, 14] {
        let found = analyzers.observe(&event(wrong, 3, 0, "DE", "/inbox"));
        assert!(found.is_empty(), "{wrong}");
    }
    assert!(visit(&mut analyzers, 14, 3, "BR", "/admin/export").is_some());
}
