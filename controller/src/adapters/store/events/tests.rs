//! Alerts as they come and go.
mod cases;
mod recorded;

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tempfile::TempDir;

use super::*;
use crate::domain::erasure::Mentions;
use crate::domain::http::alert::{AlertUpdate, Status};
use crate::domain::http::finding::{Detector, Finding};
use crate::domain::http::severity::Severity;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn open(folder: &Path) -> EventStore {
    let (store, problem) = EventStore::open(folder, SharedPrivacy::default()).unwrap();
    assert_eq!(problem, None);
    store
}

fn finding(number: u32, severity: Severity) -> Finding {
    Finding {
        detector: if number.is_multiple_of(3) {
            Detector::Analyzer("brute_force")
        } else {
            Detector::Rule(format!("rule-{}", number % 7).into())
        },
        title: "SQL injection".into(),
        description: "".into(),
        severity,
        confidence: 80,
        techniques: ["T1190".into()].into(),
        tags: [].into(),
        source: Some(IpAddr::from(number.wrapping_add(0xc000_0200).to_be_bytes())),
        user: (number.is_multiple_of(5)).then(|| format!("user{}", number % 50)),
        about: None,
        time: at(i64::from(number)),
        value: None,
        threshold: None,
        indicators: Vec::new(),
        evidence: vec![format!("GET /?id={number} HTTP/1.1")],
        response: None,
        spoofable: false,
    }
}

fn alert(number: u32, severity: Severity) -> Alert {
    let time = at(i64::from(number));
    Alert::new(AlertId::v7(time, u128::from(number)), &finding(number, severity), time)
}

fn new(alerts: impl IntoIterator<Item = Alert>) -> Save {
    let alerts = alerts.into_iter().map(|alert| book::Change { alert, is_new: true });
    Save { alerts: alerts.collect(), ..Save::default() }
}

fn severity(number: u32) -> Severity {
    Severity::ALL[number as usize % 4]
}

fn filled(count: u32) -> (TempDir, EventStore) {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    store.save(&new((0..count).map(|number| alert(number, severity(number))))).unwrap();
    (folder, store)
}

#[test]
fn alerts_are_listed_by_score_then_the_newest_first() {
    let (_folder, store) = filled(40);
    let reader = store.reader().unwrap();
    let list = reader.list(&AlertFilter::default(), 500, 0).unwrap();
    assert_eq!((list.alerts.len(), list.total), (40, 40));
    let order: Vec<_> = list.alerts.iter().map(|alert| (alert.score, alert.last_seen)).collect();
    assert!(order.is_sorted_by(|a, b| a >= b), "{order:?}");
    let page = reader.list(&AlertFilter::default(), 10, 25).unwrap();
    assert_eq!(page.alerts, list.alerts[25..35]);
    assert_eq!(reader.list(&AlertFilter::default(), 10, 40).unwrap(), AlertList { alerts: vec![], total: 40 });
}

#[track_caller]
fn check(reader: &EventReader, filter: &AlertFilter, fits: impl Fn(&Alert) -> bool) {
    let all = reader.list(&AlertFilter::default(), 500, 0).unwrap().alerts;
    let wanted: Vec<_> = all.into_iter().filter(fits).collect();
    assert!(!wanted.is_empty());
    let list = reader.list(filter, 500, 0).unwrap();
    assert_eq!((list.total, list.alerts), (wanted.len() as u64, wanted));
}

#[test]
fn each_filter_leaves_what_fits_and_all_of_it() {
    let (_folder, mut store) = filled(200);
    let mut done = alert(7, severity(7));
    done.triage.status = Status::Resolved;
    store.save(&new([done])).unwrap();
    let reader = store.reader().unwrap();
    let filter = AlertFilter::default;
    check(&reader, &AlertFilter { status: Some(Status::Resolved), ..filter() }, |a| {
        a.triage.status == Status::Resolved
    });
    check(&reader, &AlertFilter { severity: Some(Severity::High), ..filter() }, |a| a.severity == Severity::High);
    check(&reader, &AlertFilter { min_severity: Some(Severity::High), ..filter() }, |a| a.severity >= Severity::High);
    let by = |name: &str| AlertFilter { analyzer: Some(name.to_owned()), ..filter() };
    check(&reader, &by("rules"), |a| a.rule.is_some());
    check(&reader, &by("rule-2"), |a| a.rule.as_deref() == Some("rule-2"));
    check(&reader, &by("brute_force"), |a| a.analyzer == "brute_force");
    check(&reader, &AlertFilter { source: Some("192.0.2.9".to_owned()), ..filter() }, |a| {
        a.source.as_deref() == Some("192.0.2.9")
    });
    check(&reader, &AlertFilter { user: Some("user5".to_owned()), ..filter() }, |a| a.user.as_deref() == Some("user5"));
    check(&reader, &AlertFilter { since: Some(at(150)), ..filter() }, |a| a.last_seen >= at(150));
    let several = AlertFilter {
        user: Some("user5".to_owned()),
        since: Some(at(50)),
        min_severity: Some(Severity::Medium),
        ..filter()
    };
    check(&reader, &several, |a| {
        a.user.as_deref() == Some("user5") && a.last_seen >= at(50) && a.severity >= Severity::Medium
    });
    assert_eq!(reader.list(&by("nobody"), 500, 0).unwrap().total, 0);
}

#[test]
fn statistics_name_every_severity_and_status() {
    let (_folder, store) = filled(40);
    let stats = store.reader().unwrap().stats().unwrap();
    assert_eq!(stats.total, 40);
    assert_eq!(stats.severity_counts.values().copied().collect::<Vec<_>>(), [10; 4]);
    assert_eq!(stats.status_counts["new"], 40);
    assert_eq!(stats.status_counts["false-positive"], 0);
    assert_eq!((stats.analyzer_counts["brute_force"], stats.analyzer_counts["rules"]), (14, 26));
    assert_eq!(stats.top_mitre, [crate::domain::report::TechniqueCount { technique: "T1190".to_owned(), count: 40 }]);
}

#[test]
fn an_alert_that_counts_up_keeps_what_people_said_of_it() {
    let (folder, mut store) = filled(1);
    let update = AlertUpdate {
        status: Some(Status::Investigating),
        tags: Some(vec!["mine".to_owned()]),
        ..AlertUpdate::default()
    };
    let changed = store.change_alerts(&[alert(0, severity(0)).id], &update, at(30), false).unwrap();
    let Changed { before, after, .. } = changed.into_iter().next().unwrap();
    assert_eq!((before.triage.status, after.triage.acknowledged_at), (Status::New, Some(at(30))));
    let mut again = alert(0, severity(0));
    again.repeat(&finding(60, Severity::High), at(60));
    store
        .save(&Save { alerts: vec![book::Change { alert: again.clone(), is_new: false }], ..Save::default() })
        .unwrap();
    drop(store);
    let found = open(folder.path()).reader().unwrap().get(again.id).unwrap().unwrap();
    assert_eq!((found.triage.status, found.count, found.severity), (Status::Investigating, 2, Severity::High));
    assert_eq!(found, Alert { triage: after.triage, tags: after.tags, ..again });
}

#[test]
fn notes_and_denials_are_there_after_a_restart() {
    let (folder, mut store) = filled(3);
    let denial = |number: u8| PastDenial {
        who: IpAddr::from([192, 0, 2, number]).to_string(),
        denied_at: at(i64::from(number)),
        for_s: 60,
    };
    let notes = vec![("logs".to_owned(), "one".to_owned())];
    store.save(&Save { notes, denials: vec![denial(1), denial(2)], ..Save::default() }).unwrap();
    store.save(&Save { notes: vec![("logs".to_owned(), "two".to_owned())], ..Save::default() }).unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.note("logs").unwrap().as_deref(), Some("two"));
    assert_eq!(store.note("nothing").unwrap(), None);
    assert_eq!(store.denials_since(at(0)).unwrap(), [denial(1), denial(2)]);
    assert_eq!(store.denials_since(at(2)).unwrap(), [denial(2)]);
    let open_ones = store.open_since(at(1), 10).unwrap();
    assert_eq!(open_ones.iter().map(|alert| alert.last_seen).collect::<Vec<_>>(), [at(2), at(1)]);
}

#[test]
fn what_is_too_old_or_too_many_goes_the_oldest_first() {
    let (_folder, mut store) = filled(1_000);
    assert_eq!(store.let_go(1_000, at(0)).unwrap(), 0);
    assert_eq!(store.let_go(1_000, at(100)).unwrap(), 100);
    assert_eq!(store.let_go(300, at(100)).unwrap(), 600);
    let reader = store.reader().unwrap();
    let list = reader.list(&AlertFilter::default(), 500, 0).unwrap();
    assert_eq!((list.total, list.alerts.iter().map(|alert| alert.last_seen).min()), (300, Some(at(700))));
    assert_eq!(reader.stats().unwrap().top_mitre[0].count, 300);
}

#[test]
fn a_database_that_is_damaged_is_put_aside_and_what_can_be_read_is_taken_over() {
    let mut kept_some = 0;
    for (place, _) in (0..40).zip(0..) {
        let (folder, store) = filled(200);
        drop(store);
        let path = folder.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        let from = bytes.len() * place / 40;
        let until = (from + 4_096).min(bytes.len());
        bytes[from..until].fill(0x55);
        fs::write(&path, bytes).unwrap();
        let (store, problem) = EventStore::open(folder.path(), SharedPrivacy::default()).unwrap();
        let total = store.reader().unwrap().list(&AlertFilter::default(), 500, 0).unwrap().alerts.len();
        if let Some(problem) = &problem {
            assert!(problem.contains("was unusable") && problem.contains(&format!("the {total} alerts")), "{problem}");
            assert!(folder.path().join(BROKEN).exists());
            kept_some += usize::from(total > 0);
        } else {
            // The damage is in a row's own bytes, which its seal tells.
            assert!(total < 200 || place > 0, "damage at {from} was not noticed");
        }
    }
    assert!(kept_some > 20, "{kept_some}");
}

#[test]
fn every_truncation_is_noticed() {
    let (folder, store) = filled(200);
    drop(store);
    let whole = fs::read(folder.path().join(FILE)).unwrap();
    for part in 0..20 {
        let other = TempDir::new().unwrap();
        fs::write(other.path().join(FILE), &whole[..whole.len() * part / 20]).unwrap();
        let (store, problem) = EventStore::open(other.path(), SharedPrivacy::default()).unwrap();
        assert!(problem.is_some(), "{part}");
        assert!(store.reader().unwrap().stats().unwrap().total < 200);
    }
}

#[test]
fn a_row_that_is_not_what_was_written_is_left_out() {
    let (folder, store) = filled(10);
    drop(store);
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute("UPDATE alerts SET score = 100 WHERE number = 3", []).unwrap();
    connection.close().unwrap();
    let reader = open(folder.path()).reader().unwrap();
    let list = reader.list(&AlertFilter::default(), 500, 0).unwrap();
    assert_eq!((list.alerts.len(), list.total), (9, 10));
    assert!(reader.get(alert(2, severity(2)).id).is_err());
}

#[test]
fn the_database_of_a_later_weir_is_left_alone() {
    let (folder, store) = filled(1);
    drop(store);
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.pragma_update(None, "user_version", 3).unwrap();
    let seal = seal("events", [ValueRef::Integer(3), ValueRef::Text(b"9.8.7")]);
    connection.execute("UPDATE format SET schema = 3, written_by = '9.8.7', seal = ?1", params![seal]).unwrap();
    connection.close().unwrap();
    let error = EventStore::open(folder.path(), SharedPrivacy::default()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 3, known: 2, .. }), "{error}");
    assert!(!folder.path().join(BROKEN).exists());
}

#[test]
fn as_many_alerts_as_are_kept_are_searched_in_no_time() {
    // All of them where times are held to what is promised.
    let count = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
    let (_folder, mut store) = filled(0);
    let alerts: Vec<_> = (0..count).map(|number| alert(number, severity(number))).collect();
    for part in alerts.chunks(5_000) {
        store.save(&new(part.iter().cloned())).unwrap();
    }
    let reader = store.reader().unwrap();
    let mut slowest = Duration::ZERO;
    let filters = [
        AlertFilter::default(),
        AlertFilter { status: Some(Status::New), ..AlertFilter::default() },
        AlertFilter { min_severity: Some(Severity::High), ..AlertFilter::default() },
        AlertFilter { analyzer: Some("rule-2".to_owned()), ..AlertFilter::default() },
        AlertFilter { user: Some("user5".to_owned()), ..AlertFilter::default() },
        AlertFilter { since: Some(at(15_000)), severity: Some(Severity::Low), ..AlertFilter::default() },
    ];
    for filter in &filters {
        for offset in [0, 1_000] {
            let start = Instant::now();
            let list = reader.list(filter, 100, offset).unwrap();
            slowest = slowest.max(start.elapsed());
            assert!(list.total > 0);
        }
    }
    let start = Instant::now();
    assert_eq!(reader.stats().unwrap().total, u64::from(count));
    let stats = start.elapsed();
    let start = Instant::now();
    let changed = alerts.iter().take(1_000).map(|alert| {
        let mut alert = alert.clone();
        alert.repeat(&finding(100_001, Severity::High), at(100_001) + SignedDuration::from_secs(1));
        book::Change { alert, is_new: false }
    });
    store.save(&Save { alerts: changed.collect(), ..Save::default() }).unwrap();
    let saved = start.elapsed();
    super::super::tests::report(&format!(
        "of {count} alerts: slowest page {slowest:?}, statistics {stats:?}, a thousand written {saved:?}"
    ));
    let most = Duration::from_millis(if cfg!(debug_assertions) { 2_000 } else { 50 });
    assert!(slowest < most && stats < most, "{slowest:?} {stats:?}");
}
