//! Events as they come, are found again, and go.
use super::*;
use crate::domain::http::event::{Event, EventKind};
use crate::domain::http::recorded::{self, Recorded};

fn event(number: u32) -> Recorded {
    let kinds = [EventKind::AuthFailed, EventKind::PermissionDenied, EventKind::Login, EventKind::RateLimitExceeded];
    let mut event = Event::new(at(i64::from(number)), kinds[number as usize % kinds.len()]);
    event.client = Some(IpAddr::from(number.wrapping_add(0xc000_0200).to_be_bytes()));
    event.user = Some(format!("user{}", number % 20));
    event.endpoint = Some("/login".to_owned());
    event.message = Some("no \u{fffd} \"quotes\"\tno".to_owned());
    event.details.insert("colour".to_owned(), "red".to_owned());
    Recorded::of(&event, recorded::class_of(&event), true)
}

#[test]
fn events_are_found_again_as_they_were_and_after_a_restart() {
    let (folder, mut store) = filled(0);
    let events: Vec<Recorded> = (0..50).map(event).collect();
    let heads = store.record(&events).unwrap();
    let numbers: Vec<i64> = heads.iter().map(|head| head.number).collect();
    assert!(numbers.is_sorted());
    let found = store.reader().unwrap().events(&numbers).unwrap();
    assert_eq!(found.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), events);
    drop(store);
    let store = open(folder.path());
    let mut again = Vec::new();
    store.event_heads(|head| again.push(head.clone())).unwrap();
    assert_eq!(again, heads);
}

#[test]
fn what_is_past_its_time_goes_and_its_number_does_not_come_again() {
    let (folder, mut store) = filled(0);
    let heads = store.record(&(0..10).map(event).collect::<Vec<_>>()).unwrap();
    let last = heads.last().unwrap().number;
    assert_eq!(store.let_events_go(last).unwrap(), last);
    drop(store);
    let mut store = open(folder.path());
    let more = store.record(&[event(1)]).unwrap();
    assert!(more[0].number > last, "{} {last}", more[0].number);
    assert_eq!(store.let_events_go(last).unwrap(), last, "nothing is left to go");
}

#[test]
fn the_file_stays_as_large_as_what_is_kept() {
    let (folder, mut store) = filled(0);
    let size = || fs::metadata(folder.path().join(FILE)).unwrap().len();
    let mut largest = 0;
    let mut kept = std::collections::VecDeque::new();
    for round in 0..40 {
        let events: Vec<Recorded> = (0..1_000).map(|number| event(round * 1_000 + number)).collect();
        kept.extend(store.record(&events).unwrap().into_iter().map(|head| head.number));
        while kept.len() > 4_000 {
            let through = kept[999];
            let gone = store.let_events_go(through).unwrap();
            kept.retain(|number| *number > gone);
        }
        if round == 10 {
            largest = size();
        }
    }
    assert!(size() <= largest * 5 / 4, "{} after {largest}", size());
}

#[test]
fn an_event_that_is_not_what_was_written_is_left_out() {
    let (folder, mut store) = filled(0);
    let heads = store.record(&(0..3).map(event).collect::<Vec<_>>()).unwrap();
    drop(store);
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute("UPDATE events SET user = 'somebody else' WHERE number = ?1", [heads[1].number]).unwrap();
    connection.close().unwrap();
    let numbers: Vec<i64> = heads.iter().map(|head| head.number).collect();
    let found = open(folder.path()).reader().unwrap().events(&numbers).unwrap();
    assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [numbers[0], numbers[2]]);
}

#[test]
fn what_can_be_read_of_a_damaged_database_is_taken_over() {
    let (folder, mut store) = filled(20);
    store.record(&(0..2_000).map(event).collect::<Vec<_>>()).unwrap();
    drop(store);
    let path = folder.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() * 3 / 4]).unwrap();
    let (store, problem) = EventStore::open(folder.path(), SharedPrivacy::default()).unwrap();
    let mut left = 0;
    store.event_heads(|_| left += 1).unwrap();
    assert!(problem.is_some() && left > 0 && left < 2_000, "{left} {problem:?}");
}
