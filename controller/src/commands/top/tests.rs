//! The state machine and its picture.
mod any;
mod picture;

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{App, Event, Polled, Request};
use super::change::{Deed, Step};
use super::popup::Popup;
use super::view::View;
use crate::adapters::client::TopRequest;
use crate::domain::report::{ChangeReport, ChangeRow, Status, TopBy, TopGroup, TopReport, TopRow};

/// A status with so many packets seen, and so many of them denied, of 60 bytes each.
pub(super) fn status(seen: u64, denied: u64) -> Status {
    let totals = |each: u64| {
        serde_json::json!({"seen": seen * each, "passed": (seen - denied) * each, "dropped": denied * each,
            "would_drop": 0, "replied": 0})
    };
    let document = serde_json::json!({"version": "0.1.0", "uptime_s": 60, "enforcement": "enforce",
        "generation": 3, "bypass": false, "pending": null,
        "interfaces": [{"name": "eth0", "index": 2, "mode": "native"}],
        "emergency": {"state": "off", "setting": "off", "since": null}, "threat_level": null,
        "packets": totals(1), "bytes": totals(60), "verdicts": {
            "denied": {"packets": denied, "bytes": denied * 60, "observed_packets": 0},
            "pass": {"packets": seen - denied, "bytes": (seen - denied) * 60, "observed_packets": 0},
            "rate_source": {"packets": 0, "bytes": 0, "observed_packets": 0}},
        "lists": [], "feeds": [], "crowdsec": null, "geo": [], "capacity": {},
        "health": {"ok": true, "problems": []}});
    serde_json::from_value(document).unwrap()
}

fn row(address: &str, packets_per_second: f64, country: Option<&str>) -> TopRow {
    TopRow {
        address: Some(address.to_owned()),
        packets: 1_000,
        bytes: 60_000,
        dropped: 10,
        packets_per_second,
        bytes_per_second: packets_per_second * 60.0,
        dropped_per_second: packets_per_second / 4.0,
        country: country.map(str::to_owned),
        asn: country.map(|_| 64_496),
        sources: 1,
    }
}

fn report(group: TopGroup, rows: Vec<TopRow>) -> TopReport {
    let packets_per_second = rows.iter().map(|row| row.packets_per_second).sum();
    TopReport {
        group,
        seconds: 0.5,
        counting: true,
        tracked: 1_234,
        lines_used: 2_000,
        lines: 49_152,
        packets_per_second: 200.0,
        matching_packets_per_second: packets_per_second,
        matching: 1_234,
        rows,
    }
}

fn sources() -> TopReport {
    let rows = vec![
        row("192.0.2.7", 60.0, Some("DE")),
        row("2001:db8:7:1::/64", 40.0, None),
        row("198.51.100.9", 20.0, Some("FR")),
    ];
    report(TopGroup::Source, rows)
}

fn answered(at: u64, status: Status, top: Option<TopReport>) -> Event {
    Event::Polled(Duration::from_secs(at), Ok(Box::new(Polled { status, top })))
}

/// A screen that was told of three sources.
fn app() -> App {
    let mut app = App::new((80, 24), 500, TopBy::Packets, TopGroup::Source, "");
    app.update(Event::Tick(Duration::from_secs(1)));
    app.update(answered(1, status(1_000, 100), Some(sources())));
    app
}

fn press(app: &mut App, code: KeyCode) -> Option<Request> {
    app.update(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn letter(app: &mut App, letter: char) -> Option<Request> {
    press(app, KeyCode::Char(letter))
}

fn keys(app: &App) -> Vec<&str> {
    app.lines.iter().map(|line| line.key.as_str()).collect()
}

fn asked(request: Option<Request>) -> TopRequest {
    match request {
        Some(Request::Poll(Some(rows))) => rows,
        other => panic!("{other:?} asks for no rows"),
    }
}

fn would(change: &str, dry_run: bool) -> ChangeReport {
    let row = ChangeRow { prefix: "192.0.2.7/32".to_owned(), change: change.to_owned(), list: "block".to_owned() };
    ChangeReport { changed: change != "unchanged", dry_run, changes: vec![row], notes: vec!["a note".to_owned()] }
}

#[test]
fn a_second_asks_once_until_it_is_answered() {
    let mut app = App::new((80, 24), 7, TopBy::Drops, TopGroup::Network, "10.0.0.0/8");
    let tick = |app: &mut App, at| app.update(Event::Tick(Duration::from_secs(at)));
    let rows = asked(tick(&mut app, 1));
    let expected = TopRequest {
        n: 7,
        by: TopBy::Drops,
        reversed: false,
        group: TopGroup::Network,
        filter: "10.0.0.0/8".to_owned(),
    };
    assert_eq!(rows, expected);
    assert_eq!(tick(&mut app, 2), None);
    app.update(Event::Polled(Duration::from_secs(2), Err("no".to_owned())));
    assert!(tick(&mut app, 3).is_some());
}

#[test]
fn a_paused_screen_stands_still() {
    let mut app = app();
    app.update(Event::Tick(Duration::from_secs(2)));
    assert_eq!(letter(&mut app, ' '), None);
    app.update(answered(2, status(9_000, 100), Some(report(TopGroup::Source, Vec::new()))));
    assert_eq!(keys(&app).len(), 3);
    assert_eq!(app.update(Event::Tick(Duration::from_secs(3))), None);
    assert!(letter(&mut app, ' ').is_some() && !app.is_paused);
}

#[test]
fn views_are_chosen_by_number_and_in_turn_and_ask_for_their_rows() {
    let mut app = app();
    assert_eq!(asked(letter(&mut app, '2')).group, TopGroup::Network);
    assert_eq!(asked(press(&mut app, KeyCode::Tab)).group, TopGroup::Country);
    assert_eq!(press(&mut app, KeyCode::Tab), Some(Request::Poll(None)));
    assert_eq!(keys(&app), ["denied", "pass"]);
    assert_eq!(asked(press(&mut app, KeyCode::Tab)).group, TopGroup::Source);
    assert_eq!((press(&mut app, KeyCode::BackTab), app.view), (Some(Request::Poll(None)), View::Verdicts));
    assert_eq!((letter(&mut app, '9'), letter(&mut app, '4')), (None, None));
}

#[test]
fn rows_are_sorted_at_once_and_the_daemon_is_asked_for_the_first_by_that() {
    let mut app = app();
    let rows = asked(letter(&mut app, 'A'));
    assert_eq!((rows.by, rows.reversed), (TopBy::Address, false));
    assert_eq!(keys(&app), ["192.0.2.7", "198.51.100.9", "2001:db8:7:1::/64"]);
    assert!(asked(letter(&mut app, 'A')).reversed);
    assert_eq!(keys(&app), ["2001:db8:7:1::/64", "198.51.100.9", "192.0.2.7"]);
    assert!(!asked(letter(&mut app, 'r')).reversed);
    assert_eq!(asked(letter(&mut app, 's')).by, TopBy::Packets);
    assert_eq!(asked(letter(&mut app, 's')).by, TopBy::Bytes);
    assert_eq!(asked(letter(&mut app, 'S')).by, TopBy::Packets);
    letter(&mut app, 'S');
    assert_eq!(asked(letter(&mut app, 'S')).by, TopBy::Asn);
    assert_eq!(letter(&mut app, 'Z'), None);
}

#[test]
fn the_chosen_row_is_followed_when_rows_change_places() {
    let mut app = app();
    press(&mut app, KeyCode::Down);
    assert_eq!(app.place().at, 1);
    let mut rows = sources();
    rows.rows[1].packets_per_second = 0.0;
    app.update(answered(2, status(1_000, 100), Some(rows.clone())));
    assert_eq!((app.place().at, keys(&app)[2]), (2, "2001:db8:7:1::/64"));
    rows.rows.remove(1);
    app.update(answered(3, status(1_000, 100), Some(rows)));
    assert_eq!(app.place().at, 1);
    press(&mut app, KeyCode::Home);
    assert_eq!((app.place().at, app.place().key.as_deref()), (0, None));
}

#[test]
fn a_long_table_is_scrolled_so_that_the_chosen_row_is_in_sight() {
    let mut app = app();
    let rows = (0..200).map(|last| row(&format!("192.0.2.{last}"), f64::from(300 - last), None)).collect();
    app.update(answered(2, status(1_000, 100), Some(report(TopGroup::Source, rows))));
    for (code, at, offset) in [
        (KeyCode::Down, 1, 0),
        (KeyCode::PageDown, 16, 2),
        (KeyCode::End, 199, 185),
        (KeyCode::Down, 199, 185),
        (KeyCode::Up, 198, 185),
        (KeyCode::PageUp, 183, 183),
        (KeyCode::Home, 0, 0),
        (KeyCode::Up, 0, 0),
    ] {
        press(&mut app, code);
        assert_eq!((app.place().at, app.place().offset), (at, offset), "{code:?}");
    }
}

#[test]
fn a_filter_holds_while_it_is_typed_and_escape_clears_it() {
    let mut app = app();
    assert_eq!(letter(&mut app, '/'), None);
    assert_eq!(asked(letter(&mut app, 'd')).filter, "d");
    assert_eq!(asked(letter(&mut app, 'e')).filter, "de");
    assert_eq!(keys(&app), ["192.0.2.7"]);
    // Letters are text now, not keys.
    assert_eq!(asked(letter(&mut app, 'q')).filter, "deq");
    assert_eq!(asked(press(&mut app, KeyCode::Backspace)).filter, "de");
    assert_eq!((press(&mut app, KeyCode::Enter), app.is_typing), (None, false));
    assert_eq!((asked(press(&mut app, KeyCode::Esc)).filter.as_str(), keys(&app).len()), ("", 3));
    letter(&mut app, '/');
    for typed in "198.51.0.0/16".chars() {
        letter(&mut app, typed);
    }
    assert_eq!(keys(&app), ["198.51.100.9"]);
    press(&mut app, KeyCode::Esc);
    assert_eq!((app.is_typing, app.filter.as_str()), (false, ""));
}

#[test]
fn the_row_is_explained_and_answers_to_another_question_are_not_shown() {
    let mut app = app();
    press(&mut app, KeyCode::Down);
    let address = "2001:db8:7:1::".parse().unwrap();
    assert_eq!(press(&mut app, KeyCode::Enter), Some(Request::Explain(address)));
    app.update(Event::Explained("192.0.2.7".parse().unwrap(), Ok(vec!["another".to_owned()])));
    let text = |app: &App| match &app.popup {
        Popup::Explain(explanation) => explanation.text(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text(&app), ["of 2001:db8:7:1::/64, its first address:", "asking the daemon"]);
    app.update(Event::Explained(address, Err("no".to_owned())));
    assert_eq!(text(&app)[1], "no");
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.popup, Popup::None);
}

/// Types a block of the first row up to what the daemon is asked first.
fn tried(app: &mut App) -> Option<Request> {
    letter(app, 'b');
    press(app, KeyCode::Tab);
    for typed in "too loud".chars() {
        letter(app, typed);
    }
    press(app, KeyCode::Enter)
}

#[test]
fn nothing_is_blocked_before_a_dry_run_and_a_yes() {
    let mut app = app();
    let Some(Request::Change(Deed::Block, first)) = tried(&mut app) else { panic!("the daemon is asked") };
    assert!(first.dry_run && !first.force);
    assert_eq!(
        (first.prefixes, first.for_s, first.reason.as_str()),
        (vec!["192.0.2.7/32".to_owned()], Some(3_600), "too loud")
    );
    // A yes before the answer is none.
    assert_eq!(letter(&mut app, 'y'), None);
    app.update(Event::Changed(Ok(would("added", true))));
    for other in ['Y', 'n', 'b', ' '] {
        assert_eq!(letter(&mut app, other), None);
    }
    let Some(Request::Change(Deed::Block, second)) = letter(&mut app, 'y') else { panic!("the daemon is asked") };
    assert_eq!((second.dry_run, second.for_s, second.reason.as_str()), (false, Some(3_600), "too loud"));
    assert_eq!(letter(&mut app, 'y'), None);
    assert!(app.update(Event::Changed(Ok(would("added", false)))).is_some());
    assert_eq!((&app.popup, app.notice.as_deref()), (&Popup::None, Some("192.0.2.7/32 added (block); note: a note")));
}

#[test]
fn what_was_refused_or_would_change_nothing_cannot_be_confirmed() {
    for answer in [Err("192.0.2.7 is protected".to_owned()), Ok(would("unchanged", true))] {
        let mut app = app();
        tried(&mut app);
        app.update(Event::Changed(answer));
        assert_eq!(letter(&mut app, 'y'), None);
        assert!(matches!(&app.popup, Popup::Change(change) if change.step != Step::Doing));
        // Duration and reason are still there.
        letter(&mut app, 'e');
        assert!(matches!(&app.popup, Popup::Change(change) if change.reason == "too loud"));
        press(&mut app, KeyCode::Esc);
        assert_eq!(app.popup, Popup::None);
    }
}

#[test]
fn a_wrong_duration_asks_nothing_and_none_is_for_good() {
    let mut app = app();
    letter(&mut app, 'b');
    letter(&mut app, 'x');
    assert_eq!(press(&mut app, KeyCode::Enter), None);
    let Popup::Change(change) = &app.popup else { panic!("the dialog stays") };
    assert!(change.lines().iter().any(|line| line.contains("'x'") || line.contains("1hx")), "{:?}", change.lines());
    app.update(Event::Key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL)));
    let Some(Request::Change(_, change)) = press(&mut app, KeyCode::Enter) else { panic!("the daemon is asked") };
    assert_eq!(change.for_s, None);
}

#[test]
fn what_is_being_done_is_watched_to_its_end() {
    let mut app = app();
    tried(&mut app);
    app.update(Event::Changed(Ok(would("added", true))));
    letter(&mut app, 'y');
    press(&mut app, KeyCode::Esc);
    assert!(matches!(app.popup, Popup::Change(_)));
    app.update(Event::Changed(Err("the daemon broke the connection off".to_owned())));
    assert!(matches!(&app.popup, Popup::Change(change) if matches!(change.step, Step::Refused(_))));
}

#[test]
fn unblocking_is_tried_first_too() {
    let mut app = app();
    let Some(Request::Change(Deed::Unblock, first)) = letter(&mut app, 'u') else { panic!("the daemon is asked") };
    assert!(first.dry_run);
    app.update(Event::Changed(Ok(would("removed", true))));
    let Some(Request::Change(Deed::Unblock, second)) = letter(&mut app, 'y') else { panic!("the daemon is asked") };
    assert!(!second.dry_run);
}

#[test]
fn networks_are_blocked_whole_and_countries_and_verdicts_not_here() {
    let mut app = app();
    letter(&mut app, '2');
    let networks = vec![row("198.51.100.0/24", 9.0, None), row("2001:db8:7::/48", 1.0, None)];
    app.update(answered(2, status(1_000, 100), Some(report(TopGroup::Network, networks))));
    press(&mut app, KeyCode::End);
    letter(&mut app, 'b');
    let Some(Request::Change(_, change)) = press(&mut app, KeyCode::Enter) else { panic!("the daemon is asked") };
    assert_eq!(change.prefixes, ["2001:db8:7::/48"]);
    press(&mut app, KeyCode::Esc);
    letter(&mut app, '3');
    let countries = vec![TopRow { address: None, ..row("", 9.0, Some("DE")) }];
    app.update(answered(3, status(1_000, 100), Some(report(TopGroup::Country, countries))));
    for view in ['3', '4'] {
        letter(&mut app, view);
        for key in ['b', 'u', 'e'] {
            assert_eq!(letter(&mut app, key), None);
            assert!(app.popup == Popup::None && app.notice.is_some(), "{view} {key}");
        }
    }
}

#[test]
fn a_daemon_that_goes_away_is_asked_on_and_comes_back() {
    let mut app = app();
    for at in [2, 3] {
        assert!(app.update(Event::Tick(Duration::from_secs(at))).is_some());
        app.update(Event::Polled(Duration::from_secs(at), Err("nobody listens".to_owned())));
    }
    let lost = app.lost.clone().unwrap();
    assert_eq!((lost.since, lost.why.as_str(), keys(&app).len()), (Duration::from_secs(2), "nobody listens", 3));
    app.update(answered(4, status(1_500, 100), Some(sources())));
    assert_eq!(app.lost, None);
}

#[test]
fn only_q_and_ctrl_c_leave_and_ctrl_c_from_everywhere() {
    let ctrl = |letter| Event::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL));
    for opened in ["", "/", "b", "?", "e"] {
        let mut app = app();
        opened.chars().for_each(|key| drop(letter(&mut app, key)));
        assert_eq!(app.update(ctrl('q')), None);
        assert_eq!(app.update(ctrl('c')), Some(Request::Quit), "{opened:?}");
    }
    assert_eq!(letter(&mut app(), 'q'), Some(Request::Quit));
    let mut helped = app();
    letter(&mut helped, '?');
    assert_eq!((letter(&mut helped, 'q'), helped.popup), (None, Popup::None));
}
