use jiff::Timestamp;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn alert(rule: &str, severity: Severity, source: &str) -> LogAlert {
    LogAlert {
        rule: rule.to_owned(),
        analyzer: "rules".to_owned(),
        title: "A title".to_owned(),
        description: String::new(),
        severity,
        score: 60,
        technique: vec!["T1190".to_owned()],
        tags: Vec::new(),
        confidence: 80,
        indicators: vec!["query: id=1 union select \x1b[31m".to_owned()],
        source: Some(source.to_owned()),
        user: None,
        about: None,
        count: 1_234,
        value: None,
        threshold: None,
        first_seen: at("2026-11-28T10:00:00Z"),
        last_seen: at("2026-11-28T11:30:05Z"),
        evidence: Vec::new(),
        action: Action::Observe,
        action_target: None,
        action_for_s: None,
        refused: None,
    }
}

fn text(analysis: &LogAnalysis) -> String {
    let mut text = String::new();
    super::analysis(analysis, Style::Plain, &mut text).unwrap();
    text
}

#[test]
fn the_worst_stand_first_and_what_would_be_done_is_told() {
    let denied = LogAlert {
        action: Action::Deny,
        action_target: Some("192.0.2.7/32".to_owned()),
        action_for_s: Some(3_600),
        ..alert("weir-sqli", Severity::High, "192.0.2.7")
    };
    let refused = LogAlert {
        refused: Some("a proxy".to_owned()),
        user: Some("bob".to_owned()),
        indicators: Vec::new(),
        count: 1,
        last_seen: at("2026-11-28T10:00:00Z"),
        ..alert("brute_force", Severity::Low, "2001:db8::7")
    };
    let analysis = LogAnalysis {
        files: 1,
        lines: 10_000,
        parsed: 9_997,
        unparsed: 3,
        events_per_second: 123_456.0,
        sources: 1_753,
        first: Some(at("2026-11-28T10:00:00Z")),
        last: Some(at("2026-11-29T10:00:00Z")),
        inputs: vec![LogInput {
            file: "access.log".to_owned(),
            format: "combined".to_owned(),
            lines: 10_000,
            parsed: 9_997,
            unparsed: BTreeMap::from([
                ("no_address".to_owned(), Unparsed { lines: 1, first: vec![17] }),
                ("not_a_request".to_owned(), Unparsed { lines: 12, first: vec![2, 30] }),
            ]),
            problem: None,
        }],
        overflowed: 1,
        left_out: 2,
        alerts: vec![denied, refused],
    };
    let expected = "\
severity  what     source             count  first seen            lasted  would be   seen in
high      A title  192.0.2.7          1,234  2026-11-28 10:00:00Z  1h30m   denied 1h  query: id=1 union select \\u{1b}[31m
low       A title  2001:db8::7 (bob)      1  2026-11-28 10:00:00Z  -       refused

10,000 lines of 1 file: 9,997 events of 1,753 sources, 2026-11-28 10:00:00Z to 2026-11-29 10:00:00Z; 123 k events a second
2 alerts: 1 high, 1 low; 1 source would be denied
2 alerts with the lowest scores are not listed
1 finding had no room of their own: see the alerts with the label \"overflow\"
! access.log (combined): 13 lines are no events: 1 no_address (line 17); 12 not_a_request (lines 2, 30, …)
";
    assert_eq!(text(&analysis), expected);
}

#[test]
fn silence_is_said_and_a_wrong_format_is_hinted_at() {
    let input = LogInput {
        file: "x\n.log".to_owned(),
        format: "combined".to_owned(),
        lines: 1,
        unparsed: BTreeMap::from([("no_match".to_owned(), Unparsed { lines: 1, first: vec![1] })]),
        problem: Some("read: broken".to_owned()),
        ..LogInput::default()
    };
    let analysis = LogAnalysis { files: 1, lines: 1, unparsed: 1, inputs: vec![input], ..LogAnalysis::default() };
    let expected = "\
1 line of 1 file: 0 events of 0 sources; 0 events a second
no alerts
! x\\n.log: read: broken
! x\\n.log (combined): 1 line is no event: 1 no_match (line 1)
  not one line is: another --format may fit; `weir logs analyze --help` names them
";
    assert_eq!(text(&analysis), expected);
}
