mod model;

use std::collections::BTreeSet;

use proptest::prelude::*;

use self::model::model;
use super::*;

/// A record with texts of its own.
#[derive(Clone, Debug)]
struct Noted {
    number: i64,
    at: Timestamp,
    class: Class,
    source: Option<String>,
    user: Option<String>,
    country: Option<String>,
    endpoint: Option<String>,
    count: u32,
}

impl Noted {
    fn seen(&self) -> Seen<'_> {
        Seen {
            number: self.number,
            at: self.at,
            class: self.class,
            source: self.source.as_deref(),
            user: self.user.as_deref(),
            country: self.country.as_deref(),
            endpoint: self.endpoint.as_deref(),
            count: self.count,
        }
    }
}

fn tally(records: &[Noted]) -> Tally {
    let mut tally = Tally::new();
    for record in records {
        tally.push(&record.seen());
    }
    tally
}

fn denial(number: i64) -> Noted {
    Noted {
        number,
        at: second(number),
        class: Class::Denial,
        source: Some("192.0.2.7".to_owned()),
        user: None,
        country: None,
        endpoint: None,
        count: 1,
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::new(second, 0).unwrap()
}

fn records() -> impl Strategy<Value = Vec<Noted>> {
    let text = |prefix: &'static str, most: u8| {
        prop::option::weighted(0.8, (0..most).prop_map(move |number| format!("{prefix}{number}")))
    };
    let country = prop::option::of(prop::sample::select(vec!["DE", "FR", "us", "ZZ", "", "D1", "DEU"]));
    let record = (
        (1..4_i64, -20..20_i64, prop::sample::select(Class::ALL.to_vec()), 0..5_u32),
        (text("192.0.2.", 6), text("user", 5), country, text("/", 3)),
    );
    prop::collection::vec(record, 0..80).prop_map(|records| {
        let mut number = -5;
        let noted = records.into_iter().map(|((step, at, class, count), (source, user, country, endpoint))| {
            number += step;
            // Most are younger than the one before, some are late.
            let at = second(number * 5 + at);
            Noted { number, at, class, source, user, country: country.map(str::to_owned), endpoint, count }
        });
        noted.collect()
    })
}

fn passes(record: &Noted, filter: &Filter<'_>) -> bool {
    filter.class.is_none_or(|class| record.class == class)
        && filter.source.is_none_or(|source| record.source.as_deref() == Some(source))
        && filter.user.is_none_or(|user| record.user.as_deref() == Some(user))
        && filter.since.is_none_or(|since| since <= record.at)
        && filter.until.is_none_or(|until| record.at <= until)
}

/// Everything that can be asked of a tally is as if there had never been other records than these.
#[track_caller]
fn check(tally: &Tally, records: &[Noted]) {
    assert_eq!(tally.len(), records.len());
    assert_eq!(tally.is_empty(), records.is_empty());
    assert_eq!(tally.oldest(), records.iter().map(|record| record.at).min());
    let (since, until) = (Timestamp::MIN, Timestamp::MAX);
    assert_eq!(tally.report(since, until, usize::MAX), model(records, since, until, usize::MAX));
    let numbers: Vec<i64> = records.iter().map(|record| record.number).rev().collect();
    let total = numbers.len() as u64;
    assert_eq!(tally.select(&Filter::default(), usize::MAX, 0), (numbers, total));
    for (dictionary, texts) in [
        (&tally.sources, records.iter().filter_map(|record| record.source.as_ref()).collect::<BTreeSet<_>>()),
        (&tally.users, records.iter().filter_map(|record| record.user.as_ref()).collect()),
        (&tally.endpoints, records.iter().filter_map(|record| record.endpoint.as_ref()).collect()),
    ] {
        let held: BTreeSet<String> = (0..100).filter_map(|id| dictionary.text(id)).collect();
        assert_eq!(held, texts.into_iter().cloned().collect());
    }
}

#[test]
fn an_empty_tally_counts_nothing() {
    check(&Tally::new(), &[]);
    assert_eq!(Tally::new().report(second(0), second(1), 10), Counted::default());
    assert_eq!(Counted::default().threat_level(), ThreatLevel::Low);
}

#[test]
fn a_record_that_is_known_is_not_counted_twice() {
    let mut tally = tally(&[denial(1), denial(2), denial(2), denial(1)]);
    check(&tally, &[denial(1), denial(2)]);
    tally.remove(&[2, 1]);
    tally.push(&denial(2).seen());
    check(&tally, &[]);
    tally.push(&denial(3).seen());
    check(&tally, &[denial(3)]);
    tally.clear();
    tally.push(&denial(1).seen());
    check(&tally, &[denial(1)]);
}

#[test]
fn more_events_than_fit_a_small_number_are_counted_too() {
    let records: Vec<Noted> = (1..=3).map(|number| Noted { count: u32::MAX - 5, ..denial(number) }).collect();
    let report = tally(&records).report(Timestamp::MIN, Timestamp::MAX, 10);
    assert_eq!(report, model(&records, Timestamp::MIN, Timestamp::MAX, 10));
    assert_eq!(report.total_events, 3 * u64::from(u32::MAX - 5));
    assert_eq!(report.threat_level(), ThreatLevel::Critical);
}

#[test]
fn memory_comes_back_with_the_records() {
    let mut tally = Tally::new();
    for number in 0..20_000 {
        let (source, user) = (format!("192.0.2.{number}"), format!("user{number}"));
        tally.push(&Seen {
            number,
            at: second(number),
            class: Class::SignIn,
            source: Some(&source),
            user: Some(&user),
            country: None,
            endpoint: Some("/sign-in"),
            count: 1,
        });
    }
    let full = tally.bytes();
    assert!((20_000 * 100..20_000 * 400).contains(&full), "{full}");
    tally.remove_through(9_999);
    let half = tally.bytes();
    assert!(half < full * 5 / 6, "{half} of {full}");
    tally.remove(&(10_000..19_990).collect::<Vec<_>>());
    assert!(tally.bytes() < full / 100, "{} of {full}", tally.bytes());
    assert_eq!((tally.len(), tally.sources.slots()), (10, 11));
}

proptest! {
    #[test]
    fn a_report_says_what_happened(records in records(), since in -60..460_i64, span in -10..300_i64, most in 0..8_usize) {
        let (since, until) = (second(since), second(since + span));
        prop_assert_eq!(tally(&records).report(since, until, most), model(&records, since, until, most));
    }

    #[test]
    fn what_passes_is_selected_the_last_in_front(
        records in records(),
        class in prop::option::of(prop::sample::select(Class::ALL.to_vec())),
        source in prop::option::of("192\\.0\\.2\\.[0-7]"),
        user in prop::option::of("user[0-5]"),
        since in prop::option::of(-60..200_i64),
        until in prop::option::of(0..460_i64),
        (limit, offset) in (0..20_usize, 0..20_usize),
    ) {
        let (since, until) = (since.map(second), until.map(second));
        let filter = Filter { class, source: source.as_deref(), user: user.as_deref(), since, until };
        let passing: Vec<i64> =
            records.iter().rev().filter(|record| passes(record, &filter)).map(|record| record.number).collect();
        let total = passing.len() as u64;
        let page = passing.into_iter().skip(offset).take(limit).collect();
        prop_assert_eq!(tally(&records).select(&filter, limit, offset), (page, total));
    }

    #[test]
    fn everything_of_a_source_or_a_user_is_found(
        records in records(),
        sources in prop::collection::vec("192\\.0\\.2\\.[0-7]", 0..3),
        user in prop::option::of("user[0-5]"),
    ) {
        let is_of = |record: &&Noted| {
            record.source.as_ref().is_some_and(|source| sources.contains(source)) || user.is_some() && record.user == user
        };
        let expected: Vec<i64> = records.iter().filter(is_of).map(|record| record.number).collect();
        prop_assert_eq!(tally(&records).numbers_of(&sources, user.as_slice()), expected);
    }

    #[test]
    fn texts_that_are_changed_are_as_if_they_had_always_been_so(
        records in records(),
        removed in prop::collection::vec(-10..170_i64, 0..10),
        is_alike in any::<bool>(),
    ) {
        let change = |text: &str| match text {
            "user1" | "user3" | "/0" => Some(if is_alike { "user2" } else { "erased" }.to_owned()),
            _ => None,
        };
        let mut tally = tally(&records);
        tally.remove(&removed);
        tally.change_texts(change);
        let of = |text: Option<String>| text.map(|text| change(&text).unwrap_or(text));
        let left = records.into_iter().filter(|record| !removed.contains(&record.number));
        let left: Vec<Noted> =
            left.map(|record| Noted { user: of(record.user), endpoint: of(record.endpoint), ..record }).collect();
        check(&tally, &left);
        // What goes then takes its texts with it.
        let numbers: Vec<i64> = left.iter().map(|record| record.number).collect();
        tally.remove(&numbers);
        check(&tally, &[]);
    }

    #[test]
    fn what_is_removed_is_as_if_it_had_never_been(
        records in records(),
        removals in prop::collection::vec((any::<bool>(), prop::collection::vec(-10..170_i64, 0..25)), 0..6),
    ) {
        let mut tally = Tally::new();
        let mut left: Vec<Noted> = Vec::new();
        let mut parts = records.chunks(records.len() / 4 + 1);
        for (is_through, numbers) in removals {
            for record in parts.next().unwrap_or_default() {
                tally.push(&record.seen());
                left.push(record.clone());
            }
            if is_through {
                let through = numbers.first().map_or(-10, |number| number / 2);
                tally.remove_through(through);
                left.retain(|record| record.number > through);
            } else {
                tally.remove(&numbers);
                left.retain(|record| !numbers.contains(&record.number));
            }
            check(&tally, &left);
        }
    }
}
