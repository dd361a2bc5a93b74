//! What people change, and what is called otherwise or erased.
use super::*;
use crate::domain::http::alert::{Action, Asked, TriageError};
use crate::domain::http::book::Taken;
use crate::domain::http::dataset::{DatasetRequest, HuntRequest};
use crate::domain::http::event::{Event, EventKind};
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
fn alerts_that_ask_for_a_denial_are_found_by_their_target_until_somebody_lifts_it() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    let denies = |number: u32, until: i64| {
        let mut alert = alert(number, Severity::High);
        let until = Some(at(until));
        let (action, target) = (Action::Deny, Some("192.0.2.7/32".to_owned()));
        let asked = until.map(|until| Asked { action, until });
        alert.take(&Taken { action, target, for_s: Some(60), until, asked, refused: None });
        alert
    };
    store.save(&new([denies(0, 100), denies(1, 200), denies(2, 300), alert(3, Severity::High)])).unwrap();
    store.change_alerts(&[id(2)], &to(Status::FalsePositive), at(10), false).unwrap();
    let called = ["192.0.2.7/32".to_owned(), "anon-0".to_owned()];
    let asking = |store: &EventStore, now: i64| {
        let asking = store.asking(&called, at(now)).unwrap();
        asking.iter().map(|alert| alert.id).collect::<Vec<_>>()
    };
    assert_eq!(asking(&store, 50), [id(0), id(1)]);
    assert_eq!(asking(&store, 150), [id(1)]);
    store.unask(&called, at(50)).unwrap();
    assert_eq!(asking(&store, 51), []);
}

#[test]
fn one_past_denial_goes_or_ends_earlier_by_whatever_name_it_has() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    let denial =
        |who: &str, denied_at: i64| PastDenial { who: who.to_owned(), denied_at: at(denied_at), for_s: 86_400 };
    let denials = vec![denial("192.0.2.7/32", 0), denial("192.0.2.9/32", 5), denial("anon-1", 10)];
    store.save(&Save { denials, ..Save::default() }).unwrap();
    let called = ["192.0.2.7/32".to_owned(), "anon-1".to_owned()];
    store.denial_ends(&called, Some(at(3_610)), at(20)).unwrap();
    let kept = |store: &EventStore| {
        let denials = store.denials_since(at(-1)).unwrap();
        denials.into_iter().map(|denial| (denial.who, denial.for_s)).collect::<Vec<_>>()
    };
    let (first, other) = (("192.0.2.7/32".to_owned(), 86_400), ("192.0.2.9/32".to_owned(), 86_400));
    assert_eq!(kept(&store), [first.clone(), other.clone(), ("anon-1".to_owned(), 3_600)]);
    store.denial_ends(&called, None, at(20)).unwrap();
    assert_eq!(kept(&store), [first, other]);
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
    let event = Event {
        client: Some("192.0.2.7".parse().unwrap()),
        message: Some("from 192.0.2.7".to_owned()),
        ..Event::new(at(1), EventKind::AuthFailed)
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
    let event = Event { client: Some("192.0.2.7".parse().unwrap()), ..Event::new(at(1), EventKind::AuthFailed) };
    let heads = store.record(&[Recorded::of(&event, recorded::class_of(&event), true)]).unwrap();
    let who = Mentions::of_address("192.0.2.7".parse().unwrap(), &Names::plain());
    let erased = store.erase(&who, &[heads[0].number]).unwrap();
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

/// What a source said, as it is kept.
fn said(client: &str, change: impl FnOnce(&mut Event)) -> Recorded {
    let mut event = Event::new(at(1), EventKind::AuthFailed);
    event.client = Some(client.parse().unwrap());
    event.endpoint = Some("/login".to_owned());
    change(&mut event);
    Recorded::of(&event, recorded::class_of(&event), true)
}

fn numbers(heads: &[EventHead]) -> Vec<i64> {
    heads.iter().map(|head| head.number).collect()
}

#[test]
fn an_address_is_blotted_out_of_what_others_did_however_it_is_written() {
    let folder = TempDir::new().unwrap();
    let (mut store, _) = EventStore::open(folder.path(), SharedPrivacy::default()).unwrap();
    let spellings = [
        "2001:db8::7",
        "2001:DB8::7",
        "2001:0db8:0000:0000:0000:0000:0000:0007",
        "2001:db8:0:0:0:0:0:7",
        "2001:db8::/64",
        "2001%3Adb8%3A%3A7",
    ];
    let told = |text: &str| format!("by \"{text}\"\tand 2001:db8::70");
    let mentioned = spellings.iter().flat_map(|text| {
        [
            said("192.0.2.8", |event| event.endpoint = Some(format!("/of/{text}"))),
            said("192.0.2.8", |event| event.message = Some(told(text))),
            said("192.0.2.8", |event| event.user = Some(format!("eve@[{text}]"))),
            said("192.0.2.8", |event| drop(event.details.insert("peer".to_owned(), (*text).to_owned()))),
            said("192.0.2.8", |event| drop(event.details.insert(format!("[{text}]"), "peer".to_owned()))),
        ]
    });
    let mentioned: Vec<Recorded> = mentioned.collect();
    let other = said("192.0.2.9", |event| event.message = Some("2001:db8::70 2001:db8:0:1::7".to_owned()));
    let heads = store.record(&[mentioned.as_slice(), std::slice::from_ref(&other)].concat()).unwrap();
    let mut evidence = alert(8, Severity::Low);
    evidence.evidence = spellings.map(told).to_vec();
    store.save(&new([evidence.clone()])).unwrap();
    let dataset = |id: &str, name: &str, path: Option<&str>| {
        let from = path.is_none().then(|| at(0));
        let path = path.map(str::to_owned);
        let request = DatasetRequest { name: name.to_owned(), from, path, ..DatasetRequest::default() };
        request.made(id.to_owned(), "uid 0".to_owned(), at(9)).unwrap()
    };
    store.add_dataset(&dataset("d1", "of 2001:DB8::7", None)).unwrap();
    store.add_dataset(&dataset("d2", "a file", Some("/var/log/2001:0db8::7/a.log"))).unwrap();
    store.add_dataset(&dataset("d3", "of 2001:db8::70", None)).unwrap();
    let hunt = HuntRequest { name: "April".to_owned(), description: "who is 2001:db8:0::7?".to_owned() };
    store.add_hunt(&hunt.made("h1".to_owned(), "uid 0".to_owned(), at(0)).unwrap()).unwrap();

    let who = Mentions::of_address("2001:db8::7".parse().unwrap(), &Names::plain());
    let erased = store.erase(&who, &[]).unwrap();
    assert_eq!(erased, Erased { mentions: mentioned.len() as u64 + 1 + 2 + 1, ..Erased::default() });
    let reader = store.reader().unwrap();
    let found = reader.events(&numbers(&heads)).unwrap();
    assert_eq!(found.len(), heads.len(), "what is written again is as it was written");
    assert_eq!(found.last().unwrap().1, other);
    let [(_, endpoint), (_, message), (_, user), ..] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(endpoint.endpoint.as_deref(), Some("/of/erased"));
    assert_eq!(message.particulars.message.as_deref(), Some("by \"erased\"\tand 2001:db8::70"));
    assert_eq!((user.user.as_deref(), user.at, user.class), (Some("eve@[erased]"), at(1), other.class));
    let evidence = reader.get(evidence.id).unwrap().unwrap().evidence;
    assert!(evidence.iter().all(|line| line == "by \"erased\"\tand 2001:db8::70"), "{evidence:?}");
    let datasets: Vec<String> = reader.datasets().unwrap().into_iter().map(|dataset| dataset.name).collect();
    assert_eq!(datasets, ["of erased", "a file", "of 2001:db8::70"]);
    assert_eq!(reader.hunts().unwrap()[0].description, "who is erased?");
    assert_eq!(store.erase(&who, &[]).unwrap(), Erased::default(), "once is enough");
    let mut again = Vec::new();
    store.event_heads(|head| again.push(head.clone())).unwrap();
    assert!(again.iter().all(|head| who.blotted(&format!("{head:?}")).is_none()), "{again:?}");
    drop((store, reader));
    let bytes = bytes(folder.path());
    for text in spellings.iter().chain(&["2001:0db8::7", "2001:db8:0::7"]) {
        let is_whole = |at: usize| !bytes.get(at + text.len()).is_some_and(u8::is_ascii_hexdigit);
        let windows = bytes.windows(text.len()).enumerate();
        let left = windows.filter(|(at, window)| *window == text.as_bytes() && is_whole(*at)).count();
        assert_eq!(left, 0, "{text} stands in the files");
    }
}

#[test]
fn a_user_is_blotted_out_of_what_others_did_row_by_row() {
    let folder = TempDir::new().unwrap();
    let (mut store, _) = EventStore::open(folder.path(), hashed()).unwrap();
    let user = "b\"ob\u{e9}";
    let event = |number: u32| {
        said("192.0.2.8", |event| {
            event.user = Some("eve".to_owned());
            let who = if number.is_multiple_of(3) { user } else { "b\"ob\u{e9}by" };
            event.message = Some(format!("{number}: {who}@192.0.2.7"));
        })
    };
    // More than are read together.
    let heads = store.record(&(0..2_500).map(event).collect::<Vec<_>>()).unwrap();
    let other = store.record(&[said("192.0.2.9", |event| event.user = Some(format!("{user}@192.0.2.7")))]).unwrap();
    let names = hashed().load().names.clone();
    let name = names.address("192.0.2.7".parse().unwrap());
    let who = Mentions::of_user(user, &names);
    assert_eq!(store.erase(&who, &[]).unwrap(), Erased { mentions: 834 + 1, ..Erased::default() });
    let reader = store.reader().unwrap();
    let found = reader.events(&numbers(&heads)).unwrap();
    assert_eq!(found.len(), 2_500);
    for ((_, event), number) in found.iter().zip(0_u32..) {
        let who = if number.is_multiple_of(3) { "erased" } else { "b\"ob\u{e9}by" };
        assert_eq!(event.particulars.message, Some(format!("{number}: {who}@{name}")));
    }
    let found = reader.events(&numbers(&other)).unwrap();
    assert_eq!(found[0].1.user, Some(format!("erased@{name}")));
    drop((store, reader));
    assert!(!holds(folder.path(), "b\\\"ob\u{e9}@") && holds(folder.path(), "b\\\"ob\u{e9}by@"));
}

#[test]
fn an_event_that_is_blotted_is_called_as_before_though_addresses_have_other_names_now() {
    let folder = TempDir::new().unwrap();
    let (mut store, _) = EventStore::open(folder.path(), SharedPrivacy::default()).unwrap();
    let heads = store.record(&[said("192.0.2.8", |event| event.message = Some("bob, 192.0.2.9".to_owned()))]).unwrap();
    drop(store);
    let (mut store, _) = EventStore::open(folder.path(), hashed()).unwrap();
    let who = Mentions::of_user("bob", &hashed().load().names);
    assert_eq!(store.erase(&who, &[]).unwrap().mentions, 1);
    let found = store.reader().unwrap().events(&numbers(&heads)).unwrap();
    assert_eq!(found[0].1, said("192.0.2.8", |event| event.message = Some("erased, 192.0.2.9".to_owned())));
}

#[test]
fn a_row_that_mentions_somebody_and_cannot_be_read_goes() {
    let (folder, mut store) = filled(0);
    let told = |text: &str| said("192.0.2.8", |event| event.message = Some(text.to_owned()));
    let heads = store.record(&[told("of bob"), told("of bob, too"), told("of eve")]).unwrap();
    drop(store);
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute("UPDATE events SET user = 'eve' WHERE number != ?1", [heads[1].number]).unwrap();
    connection.close().unwrap();
    let mut store = open(folder.path());
    let who = Mentions::of_user("bob", &Names::plain());
    assert_eq!(store.erase(&who, &[]).unwrap().mentions, 2);
    let found = store.reader().unwrap().events(&numbers(&heads)).unwrap();
    assert_eq!(found, [(heads[1].number, told("of erased, too"))]);
    let mut left = Vec::new();
    store.event_heads(|head| left.push(head.number)).unwrap();
    assert_eq!(left, [heads[1].number, heads[2].number], "that of another stays");
    drop(store);
    assert!(!holds(folder.path(), "of bob"));
}

#[test]
fn all_names_of_a_user_are_erased() {
    let folder = TempDir::new().unwrap();
    let (mut store, _) = EventStore::open(folder.path(), hashed()).unwrap();
    let user = format!("{}@192.0.2.7", "u".repeat(300));
    let mut told = alert(7, Severity::High);
    told.user = Some(user.chars().take(256).collect());
    let mut short = alert(8, Severity::High);
    short.user = Some("bob@192.0.2.7".to_owned());
    store.save(&new([told, short])).unwrap();
    let names = hashed().load().names.clone();
    for user in [user.as_str(), "bob@192.0.2.7"] {
        let who = Mentions::of_user(user, &names);
        assert_eq!(store.reader().unwrap().named(&who).unwrap(), 1);
        assert_eq!(store.erase(&who, &[]).unwrap().alerts, 1);
    }
    drop(store);
    assert!(!holds(folder.path(), "uuuu") && !holds(folder.path(), "bob@"));
}
