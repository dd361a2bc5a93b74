//! What people change, and what is called otherwise or erased.
use super::*;
use crate::domain::http::alert::TriageError;
use crate::domain::http::dataset::{DatasetRequest, HuntRequest};
use crate::domain::http::recorded::{self, Recorded};
use crate::domain::privacy::Key;

fn id(number: u32) -> AlertId {
    alert(number, severity(number)).id
}

fn to(status: Status) -> AlertUpdate {
    AlertUpdate { status: Some(status), ..AlertUpdate::default() }
}

fn status_of(store: &EventStore, number: u32) -> Status {
    store.reader().unwrap().get(id(number)).unwrap().unwrap().triage.status
}

#[test]
fn several_are_changed_together_or_not_at_all() {
    let (_folder, mut store) = filled(5);
    store.change_alerts(&[id(1)], &to(Status::FalsePositive), at(10), false).unwrap();
    let error = store.change_alerts(&[id(0), id(1)], &to(Status::Resolved), at(20), false).unwrap_err();
    assert!(matches!(error, CaseError::Triage(alert, TriageError::Transition { .. }) if alert == id(1)), "{error}");
    assert_eq!((status_of(&store, 0), status_of(&store, 1)), (Status::New, Status::FalsePositive));
    let error = store.change_alerts(&[id(0), id(99)], &to(Status::Resolved), at(20), false).unwrap_err();
    assert!(matches!(error, CaseError::NoAlert(_)), "{error}");
    assert_eq!(status_of(&store, 0), Status::New);
    let changed = store.change_alerts(&[id(0), id(2)], &to(Status::Resolved), at(20), true).unwrap();
    assert!(changed.iter().all(|changed| changed.is_changed));
    assert_eq!(status_of(&store, 0), Status::New, "a dry run");
    store.change_alerts(&[id(0), id(2)], &to(Status::Resolved), at(20), false).unwrap();
    assert_eq!((status_of(&store, 0), status_of(&store, 2)), (Status::Resolved, Status::Resolved));
}

#[test]
fn who_is_put_to_a_hunt_is_found_by_it_and_a_hunt_must_exist() {
    let (_folder, mut store) = filled(5);
    let unknown = AlertUpdate { hunt_id: Some("none".to_owned()), ..AlertUpdate::default() };
    let error = store.change_alerts(&[id(0)], &unknown, at(10), false).unwrap_err();
    assert!(matches!(error, CaseError::NoHunt(_)), "{error}");
    let hunt = HuntRequest { name: "April".to_owned(), description: String::new() };
    let hunt = hunt.made("h1".to_owned(), "uid 0".to_owned(), at(0)).unwrap();
    store.add_hunt(&hunt).unwrap();
    let update = AlertUpdate { hunt_id: Some("h1".to_owned()), ..AlertUpdate::default() };
    store.change_alerts(&[id(0), id(3)], &update, at(10), false).unwrap();
    let reader = store.reader().unwrap();
    let filter = AlertFilter { hunt_id: Some("h1".to_owned()), ..AlertFilter::default() };
    let list = reader.list(&filter, 10, 0).unwrap();
    assert_eq!((list.total, list.alerts.iter().all(|alert| alert.triage.hunt_id.as_deref() == Some("h1"))), (2, true));
    let dataset = DatasetRequest {
        name: "d".to_owned(),
        from: Some(at(0)),
        hunt_id: Some("h1".to_owned()),
        ..DatasetRequest::default()
    };
    store.add_dataset(&dataset.made("d1".to_owned(), "uid 0".to_owned(), at(9)).unwrap()).unwrap();
    assert_eq!(reader.datasets().unwrap().len(), 1);
    store.delete_hunt("h1", false).unwrap();
    assert_eq!((reader.hunts().unwrap().len(), reader.datasets().unwrap()[0].hunt_id.clone()), (0, None));
    assert!(matches!(store.delete_hunt("h1", false), Err(CaseError::NoHunt(_))));
    store.delete_dataset("d1", false).unwrap();
    assert!(matches!(store.delete_dataset("d1", false), Err(CaseError::NoDataset(_))));
}

#[test]
fn a_deleted_alert_stays_away_though_detection_goes_on_with_it() {
    let (_folder, mut store) = filled(2);
    store.delete_alert(id(0), false).unwrap();
    let mut again = alert(0, severity(0));
    again.repeat(&finding(60, Severity::High), at(60));
    store.save(&Save { alerts: vec![book::Change { alert: again, is_new: false }], ..Save::default() }).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.get(id(0)).unwrap(), None);
    assert_eq!(reader.stats().unwrap().total, 1);
    assert!(matches!(store.delete_alert(id(0), false), Err(CaseError::NoAlert(_))));
}

#[test]
fn alerts_of_an_earlier_schema_are_as_they_were() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE);
    fs::write(&path, include_bytes!("data/schema-1.db")).unwrap();
    let (store, problem) = EventStore::open(folder.path(), SharedPrivacy::default()).unwrap();
    assert_eq!(problem, None);
    let list = store.reader().unwrap().list(&AlertFilter::default(), 10, 0).unwrap();
    assert_eq!((list.total, list.alerts.len()), (3, 3));
    assert_eq!(store.denials_since(at(-1_000_000_000)).unwrap()[0].who, "192.0.2.7/32");
}

fn hashed() -> SharedPrivacy {
    let names = Names::keyed(vec![Key::new([7; 32], at(0))]);
    Arc::new(ArcSwap::from_pointee(Privacy { names, drop_requests: false }))
}

/// All bytes of the files of a database.
fn bytes(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.flatten().collect()
}

fn holds(folder: &Path, text: &str) -> bool {
    bytes(folder).windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn where_addresses_are_hashed_none_is_in_the_file_and_all_are_found_by_them() {
    let folder = TempDir::new().unwrap();
    let (mut store, _) = EventStore::open(folder.path(), hashed()).unwrap();
    let mut told = alert(7, Severity::High);
    told.evidence = vec!["192.0.2.7 - bob \"GET / HTTP/1.1\" 403".to_owned()];
    told.indicators = vec!["c-ip: 192.0.2.7".to_owned()];
    (told.action_target, told.refused) = (Some("192.0.2.7/32".to_owned()), Some("192.0.2.7 is protected".to_owned()));
    store.save(&new([told.clone(), alert(8, Severity::Low)])).unwrap();
    let event = crate::domain::http::event::Event {
        client: Some("192.0.2.7".parse().unwrap()),
        message: Some("from 192.0.2.7".to_owned()),
        ..crate::domain::http::event::Event::new(at(1), crate::domain::http::event::EventKind::AuthFailed)
    };
    let heads = store.record(&[Recorded::of(&event, recorded::class_of(&event), true)]).unwrap();
    let reader = store.reader().unwrap();
    let filter = AlertFilter { source: Some("192.0.2.7".to_owned()), ..AlertFilter::default() };
    let found = reader.list(&filter, 10, 0).unwrap();
    assert_eq!((found.total, found.alerts[0].id), (1, told.id));
    // What is kept of the address joins: alert and event call it the same.
    assert_eq!(found.alerts[0].source, heads[0].source);
    assert!(found.alerts[0].source.as_ref().unwrap().starts_with("anon-"));
    drop((store, reader));
    assert!(!holds(folder.path(), "192.0.2.7"));
    assert!(holds(folder.path(), "anon-"));
}

#[test]
fn where_requests_are_dropped_alerts_say_who_and_how_often_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let privacy = Privacy { drop_requests: true, ..Privacy::default() };
    let (mut store, _) = EventStore::open(folder.path(), Arc::new(ArcSwap::from_pointee(privacy))).unwrap();
    store.save(&new([alert(7, Severity::High)])).unwrap();
    let list = store.reader().unwrap().list(&AlertFilter::default(), 10, 0).unwrap();
    assert_eq!((list.alerts[0].evidence.len(), list.alerts[0].source.as_deref()), (0, Some("192.0.2.7")));
    drop(store);
    assert!(!holds(folder.path(), "GET /?id=7"));
}

#[test]
fn what_is_erased_is_nowhere_in_the_files() {
    let folder = TempDir::new().unwrap();
    let (mut store, _) = EventStore::open(folder.path(), SharedPrivacy::default()).unwrap();
    let mut other = alert(8, Severity::Low);
    other.evidence = vec!["192.0.2.8 asked for 192.0.2.7, and 192.0.2.70".to_owned()];
    let denials = vec![PastDenial { who: "192.0.2.7".to_owned(), denied_at: at(0), for_s: 60 }];
    store.save(&Save { denials, ..new([alert(7, Severity::High), other.clone(), alert(70, Severity::Low)]) }).unwrap();
    let event = crate::domain::http::event::Event {
        client: Some("192.0.2.7".parse().unwrap()),
        ..crate::domain::http::event::Event::new(at(1), crate::domain::http::event::EventKind::AuthFailed)
    };
    let heads = store.record(&[Recorded::of(&event, recorded::class_of(&event), true)]).unwrap();
    let names = ["192.0.2.7".to_owned(), "192.0.2.7/32".to_owned()];
    let erased = store.erase(&names, None, &[heads[0].number]).unwrap();
    assert_eq!((erased.alerts, erased.mentions, erased.events, erased.denials), (1, 1, 1, 1));
    let reader = store.reader().unwrap();
    let found = reader.get(other.id).unwrap().unwrap();
    assert_eq!(found.evidence, ["192.0.2.8 asked for erased, and 192.0.2.70"]);
    assert_eq!(reader.stats().unwrap().total, 2);
    drop((store, reader));
    let bytes = bytes(folder.path());
    let whole = |at: usize| !bytes.get(at + 9).is_some_and(u8::is_ascii_digit);
    let left = bytes.windows(9).enumerate().filter(|(at, window)| *window == b"192.0.2.7" && whole(*at)).count();
    assert_eq!(left, 0, "it stands in the files");
}
