//! Which samples are wanted, and what is said of them.
use super::*;

fn sample(verdict: &str, list: Option<&str>) -> SampleRow {
    SampleRow {
        at: Timestamp::UNIX_EPOCH,
        interface: 2,
        interface_name: Some("eth0".to_owned()),
        verdict: verdict.to_owned(),
        observed: false,
        list: list.map(str::to_owned),
        detail: None,
        length: 60,
        bytes: String::new(),
    }
}

#[test]
fn a_comment_says_verdict_list_and_whether_it_was_carried_out() {
    assert_eq!(comment(&sample("feed", Some("ipsum"))), "verdict=feed list=ipsum enforced");
    assert_eq!(comment(&sample("bogon", None)), "verdict=bogon enforced");
    assert_eq!(
        comment(&SampleRow { observed: true, ..sample("country", Some("country-DE")) }),
        "verdict=country list=country-DE observed"
    );
}

#[test]
fn verdicts_that_pass_and_words_that_are_none_are_told_apart() {
    assert_eq!("bogon".parse::<DropVerdict>().map(DropVerdict::name), Ok("bogon"));
    for name in ["pass", "allowed", "not_ip", "essential", "bypassed", "fault"] {
        let error = name.parse::<DropVerdict>().unwrap_err();
        assert_eq!(error, DropVerdictError::Passes(name));
        assert!(error.to_string().contains("only drops are sampled"), "{error}");
    }
    let error = "bogus".parse::<DropVerdict>().unwrap_err().to_string();
    assert!(error.contains("\"bogus\" is no verdict") && error.contains("bogon, "), "{error}");
    assert_eq!(DropVerdict::all().count(), 21);
}

#[test]
fn a_sample_is_wanted_where_verdict_and_list_are() {
    #[track_caller]
    fn check(verdicts: &str, lists: &str, expected: [bool; 4]) {
        let filter = Filter::read(verdicts, lists).unwrap();
        let samples =
            [sample("feed", Some("a")), sample("feed", Some("b")), sample("bogon", None), sample("denied", Some("a"))];
        assert_eq!(samples.each_ref().map(|sample| filter.wants(sample)), expected, "{verdicts:?} {lists:?}");
        let words = (filter.verdict_words(), filter.list_words());
        assert_eq!(Filter::read(&words.0, &words.1), Ok(filter), "a query says the same");
    }
    check("", "", [true; 4]);
    check("feed", "", [true, true, false, false]);
    check("feed, bogon,", "", [true, true, true, false]);
    check("", "a", [true, false, false, true]);
    check("feed", "a,c", [true, false, false, false]);
    check("bogon", "a", [false; 4]);
    assert_eq!(Filter::read("feed,pass", ""), Err(DropVerdictError::Passes("pass")));
}

fn counters(at: i64, taken: u64, lost: u64, verdicts: &[(&str, u64, u64)]) -> SampleCounters {
    let row = |packets, observed_packets| VerdictRow { packets, bytes: packets * 60, observed_packets };
    SampleCounters {
        at: Timestamp::from_second(at).unwrap(),
        per_second: 100,
        bypass: false,
        taken,
        lost,
        verdicts: verdicts.iter().map(|(name, packets, seen)| ((*name).to_owned(), row(*packets, *seen))).collect(),
    }
}

#[test]
fn a_report_is_about_what_happened_meanwhile_and_what_was_asked_for() {
    let first = counters(100, 50, 1, &[("feed", 1_000, 5), ("denied", 7, 0)]);
    let last = counters(112, 90, 3, &[("feed", 1_200, 9), ("denied", 8, 0), ("bogon", 40, 0)]);
    let report = |filter: &str| {
        let filter = Filter::read(filter, "").unwrap();
        CaptureReport::new("x".to_owned(), (30, 4), End::Count, &filter, (&first, &last))
    };
    let all = report("");
    assert_eq!((all.dropped, all.observed, all.sampled), (241, 4, 40));
    assert_eq!((all.written, all.lost_in_kernel, all.lost_in_reading, all.per_second), (30, 2, 4, 100));
    assert_eq!((all.started_at, all.ended_at), (first.at, last.at));
    let bogon = report("bogon");
    assert_eq!((bogon.dropped, bogon.observed, bogon.sampled), (40, 0, 40));
    assert_eq!((all.verdicts, bogon.verdicts), (Vec::new(), vec!["bogon".to_owned()]));
}

#[test]
fn counters_that_began_anew_count_as_nothing() {
    let (first, last) = (counters(1, 50, 5, &[("feed", 10, 0)]), counters(2, 3, 0, &[("feed", 1, 0)]));
    let report = CaptureReport::new("x".to_owned(), (0, 0), End::Daemon, &Filter::default(), (&first, &last));
    assert_eq!((report.dropped, report.sampled, report.lost_in_kernel), (0, 0, 0));
}

#[test]
fn lines_name_what_they_are() {
    let line = |line: &SampleLine| serde_json::to_value(line).unwrap();
    assert_eq!(line(&SampleLine::Lost(7)), serde_json::json!({"lost": 7}));
    let value = line(&SampleLine::Sample(sample("feed", Some("a"))));
    assert_eq!((&value["sample"]["verdict"], &value["sample"]["interface_name"]), (&"feed".into(), &"eth0".into()));
    assert_eq!(line(&SampleLine::Counters(counters(0, 1, 0, &[])))["counters"]["at"], "1970-01-01T00:00:00Z");
}
