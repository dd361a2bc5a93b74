use std::cell::Cell;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

mod fires;
mod same;

use super::*;
use crate::domain::http::event::{Doubt, EventKind};
use crate::domain::http::finding::{Detector, Finding};

fn rules(text: &str) -> RuleSet {
    let loaded = load(&[RuleFile { name: "test.yml", text, shipped: true }], &Overrides::new());
    assert_eq!(loaded.problems, [], "of {text}");
    loaded.rules
}

fn problems(text: &str, shipped: bool) -> Vec<String> {
    let loaded = load(&[RuleFile { name: "test.yml", text, shipped }], &Overrides::new());
    loaded.problems.iter().map(ToString::to_string).collect()
}

fn request(at_s: i64, uri: &str) -> Event {
    let time = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_700_000_000 + at_s);
    let mut event = Event::new(time, EventKind::HttpRequest);
    event.client = Some([192, 0, 2, 1].into());
    event.method = Some("GET".to_owned());
    event.uri = Some(uri.to_owned());
    event.status = Some(200);
    event.raw = format!("line {at_s} {uri}");
    event
}

fn correlator(rules: RuleSet) -> Correlator {
    Correlator::new(Arc::new(rules), Caps::default())
}

fn feed(correlator: &mut Correlator, event: &Event) -> Vec<Finding> {
    let matches = correlator.rules().matches(event);
    correlator.correlate(event, matches)
}

fn names(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.detector.name()).collect()
}

const SQLI: &str = "
title: SQL injection
id: sqli
description: A query that speaks SQL.
level: HIGH
tags: [attack.initial-access, attack.t1190, attack.T1059.007]
falsepositives: [forums about databases]
logsource: {category: webserver}
detection:
    selection:
        query-decoded|contains: union select
    condition: selection
weir: {confidence: 80, response: deny, for: 2h}
";

#[test]
fn a_detection_finds_with_all_that_its_file_says() {
    let mut correlator = correlator(rules(SQLI));
    assert_eq!(feed(&mut correlator, &request(0, "/?id=1")), []);
    let event = request(1, "/?id=1+%55nion/**/sel%65ct\u{1b}");
    let findings = feed(&mut correlator, &event);
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(finding.detector, Detector::Rule("sqli".into()));
    assert_eq!((&*finding.title, &*finding.description), ("SQL injection", "A query that speaks SQL."));
    assert_eq!((finding.severity, finding.confidence), (Severity::High, 80));
    assert_eq!(*finding.techniques, ["T1190".into(), "T1059.007".into()]);
    assert_eq!(*finding.tags, ["attack.initial-access".into()]);
    assert_eq!(finding.source, event.client);
    assert_eq!(finding.response, Some(Response::Deny { for_s: 7_200 }));
    assert_eq!(finding.indicators, ["query-decoded: id=1 union select\\u{1b}"]);
    assert_eq!(finding.evidence, [event.raw]);
    assert_eq!(correlator.rules().describe()[0].falsepositives, ["forums about databases"]);
}

#[test]
fn what_is_wrong_is_said_with_file_and_line_and_the_rest_goes_on() {
    let good = SQLI;
    let rule = |detection: &str| format!("title: T\nlogsource: {{category: webserver}}\ndetection:\n{detection}\n");
    for (text, shipped, expected) in [
        (
            rule("    selection:\n        cs-uri-stam: /a\n    condition: selection"),
            true,
            "test.yml:5: error: no log has a field cs-uri-stam; did you mean cs-uri-stem? (details.NAME for one of an application's own)",
        ),
        (
            rule("    selection:\n        cs-uri-stam: /a\n    condition: selection"),
            false,
            "test.yml:5: warning: no log has a field cs-uri-stam; did you mean cs-uri-stem? (details.NAME for one of an application's own)",
        ),
        (
            rule("    selection:\n        payload|re: '('\n    condition: selection"),
            true,
            "test.yml:5: error: no pattern: regex parse error:     (     ^ error: unclosed group",
        ),
        (
            rule("    selection:\n        payload|re: '(\\w{100}){1000}'\n    condition: selection"),
            true,
            "test.yml:5: error: a pattern of more than 1048576 bytes compiled; write smaller repetitions: (\\w{100}){1000}",
        ),
        (
            rule("    selection:\n        payload|windash: '-a-b-c-d'\n    condition: selection"),
            true,
            "test.yml:5: error: windash with more than 3 dashes stands for too many values: -a-b-c-d",
        ),
        (
            rule(&format!("    selection:\n        payload|contains: {}\n    condition: selection", "a".repeat(513))),
            true,
            "test.yml:5: error: a value of 513 bytes; write at most 512",
        ),
        (
            rule(&format!("    words: [{}]\n    condition: words", vec!["b".repeat(500); 66].join(", "))),
            true,
            "test.yml:3: error: more than 32768 bytes of values in one rule; make several of it",
        ),
        (
            format!("{}level: terrible", rule("    s:\n        payload: a\n    condition: s")),
            true,
            "test.yml:7: error: level: \"terrible\" is no severity: use one of low, medium, high, critical",
        ),
        (
            format!("{}weir: {{confidence: 101}}", rule("    s:\n        payload: a\n    condition: s")),
            true,
            "test.yml:7: error: weir: confidence 101 is more than 100 percent",
        ),
        (
            format!("{}weir: {{response: ban}}", rule("    s:\n        payload: a\n    condition: s")),
            true,
            "test.yml:7: error: weir: response \"ban\" is none of observe, limit, deny, deny_user, notify",
        ),
        (
            rule("    s:\n        payload: a\n    condition: ((((((((((((((((((((((((((((((((((((s))))))))))))))))))))))))))))))))))))"),
            true,
            "test.yml:6: error: condition of 73 characters; write at most 4096, with at most 32 parentheses within each other and \
             words \"not\"",
        ),
        ("title: T\n\tx: y".to_owned(), true, "test.yml:2: error: no YAML: found a tab character that violates indentation at line 2 column 1, while scanning a plain scalar at line 1 column 8"),
        ("- a".to_owned(), true, "test.yml:1: error: no rule: a mapping with a title and a detection is wanted"),
        (SQLI.to_owned(), true, "test.yml:2: error: id sqli is taken by the rule in good.yml:2; give this one its own"),
        (
            "title: C\ncorrelation:\n    type: event_count\n    rules: [sqlj]\n    timespan: 1m\n    condition: {gte: 3}".to_owned(),
            true,
            "test.yml:4: error: counts sqlj, which is no rule here; did you mean sqli?",
        ),
        (
            "title: C\nname: c\ncorrelation:\n    type: event_count\n    rules: [c]\n    timespan: 1m\n    condition: {gte: 3}".to_owned(),
            true,
            "test.yml:2: error: counts itself, by way of the correlations it counts",
        ),
    ] {
        let files = [RuleFile { name: "good.yml", text: good, shipped: true }, RuleFile { name: "test.yml", text: &text, shipped }];
        let loaded = load(&files, &Overrides::new());
        let said: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        assert_eq!(said, [expected], "{text}");
        let found = loaded.rules.matches(&request(0, "/?union+select"));
        assert_eq!(found.hits.len(), 1, "the good rule is used beside {text}");
    }
    assert_eq!(problems(SQLI, true), Vec::<String>::new());
}

const FAILED: &str = "
title: A failed sign-in
name: failed
logsource: {category: webserver}
detection:
    selection:
        sc-status: 401
    condition: selection
level: low
---
title: Brute force
id: brute-force
level: high
correlation:
    type: event_count
    rules: failed
    group-by: c-ip
    timespan: 1m
    condition: {gte: 5}
---
title: Many names
id: names
level: medium
correlation:
    type: value_count
    rules: [failed]
    group-by: [c-ip]
    timespan: 1m
    condition: {field: cs-username, gte: 3}
---
title: Names, then force
id: both
level: critical
correlation:
    type: temporal
    rules: [names, brute-force]
    group-by: [c-ip]
    timespan: 10m
";

#[test]
fn a_correlation_fires_at_its_threshold_and_once_a_window() {
    let mut correlator = correlator(rules(FAILED));
    let mut fired = Vec::new();
    for n in 0..200 {
        let mut event = request(n, "/login");
        event.status = Some(401);
        event.user = Some(format!("user{}", n % 2));
        let mut other = event.clone();
        other.client = Some([198, 51, 100, u8::try_from(n).unwrap()].into());
        assert_eq!(feed(&mut correlator, &other), []);
        for finding in feed(&mut correlator, &event) {
            assert_eq!(finding.source, event.client);
            fired.push((n, finding.detector.name().to_owned(), finding.value, finding.evidence));
        }
    }
    let evidence = |lines: [i64; 3]| lines.map(|n| format!("line {n} /login")).to_vec();
    let brute = "brute-force".to_owned();
    assert_eq!(
        fired,
        [
            (4, brute.clone(), Some(5.0), evidence([0, 3, 4])),
            (64, brute.clone(), Some(61.0), evidence([0, 63, 64])),
            (124, brute.clone(), Some(61.0), evidence([0, 123, 124])),
            (184, brute, Some(61.0), evidence([0, 183, 184])),
        ]
    );
}

#[test]
fn correlations_of_correlations_and_of_distinct_values_fire() {
    let mut correlator = correlator(rules(FAILED));
    let mut fired = Vec::new();
    for n in 0..6 {
        let mut event = request(n, "/login");
        event.status = Some(401);
        event.user = Some(format!("user{n}"));
        fired.extend(
            feed(&mut correlator, &event)
                .into_iter()
                .map(|finding| (n, finding.detector.name().to_owned(), finding.value)),
        );
    }
    let said = |n, name: &str, value| (n, name.to_owned(), Some(value));
    assert_eq!(fired, [said(2, "names", 3.0), said(4, "brute-force", 5.0), said(4, "both", 2.0)]);
}

#[test]
fn a_repeat_counts_by_source_or_by_what_it_says() {
    let text = |group: &str| {
        format!("{SQLI}\n    \n")
            .replace("for: 2h", &format!("for: 2h, group: {group}, repeat: {{count: 3, within: 10m}}"))
    };
    for (group, sources, expected) in
        [("source", false, 1), ("source", true, 0), ("user", true, 1), ("[user, endpoint]", true, 0)]
    {
        let mut correlator = correlator(rules(&text(group)));
        let mut findings = Vec::new();
        for n in 0..3 {
            let mut event = request(n, &format!("/{n}?union+select"));
            event.user = Some("alice".to_owned());
            if sources {
                event.client = Some([192, 0, 2, u8::try_from(n).unwrap()].into());
            }
            findings.extend(feed(&mut correlator, &event));
        }
        assert_eq!(findings.len(), expected, "{group}");
        for finding in findings {
            assert_eq!(finding.source.is_some(), group == "source");
            assert_eq!(
                (finding.value, finding.threshold, finding.user.as_deref()),
                (Some(3.0), Some(3.0), Some("alice"))
            );
            assert_eq!(finding.indicators, ["query-decoded: union select"]);
        }
    }
}

#[test]
fn an_event_without_address_is_counted_for_nobody() {
    let mut correlator = correlator(rules(FAILED));
    for n in 0..20 {
        let mut event = request(n, "/login");
        (event.status, event.client) = (Some(401), None);
        assert_eq!(feed(&mut correlator, &event), []);
    }
    assert_eq!((correlator.counts().subjectless, correlator.counts().groups), (40, 0));
}

#[test]
fn an_attacker_who_chooses_the_keys_fills_no_memory() {
    let rules = Arc::new(rules(FAILED));
    let mut correlator =
        Correlator::new(Arc::clone(&rules), Caps { groups: 100, evidence_bytes: 1_000, ..Caps::default() });
    for n in 0..10_000_u32 {
        let mut event = request(0, "/login");
        event.status = Some(401);
        event.client = Some(std::net::Ipv4Addr::from(n).into());
        event.user = Some(n.to_string());
        feed(&mut correlator, &event);
        let counts = correlator.counts();
        assert!(counts.groups <= 100 && counts.evidence_bytes <= 1_000, "{counts:?}");
    }
    assert_eq!(correlator.counts().evicted, 20_000 - 100);
}

#[test]
fn overrides_change_what_a_rule_does() {
    let change = |id: &str, change: Override| {
        let overrides = Overrides::from([(id.to_owned(), change)]);
        load(&[RuleFile { name: "test.yml", text: FAILED, shipped: true }], &overrides)
    };
    let off = change("brute-force", Override { enabled: Some(false), ..Override::default() });
    let sooner = change(
        "brute-force",
        Override {
            severity: Some(Severity::Low),
            threshold: Some(2),
            within_s: Some(30),
            response: Some(Response::Notify),
            ..Override::default()
        },
    );
    let unknown = change("brut-force", Override::default());
    assert_eq!(
        unknown.problems[0].to_string(),
        "[[rules.override]]: warning: no rule or analyzer is known as brut-force; did you mean brute-force?"
    );
    for (loaded, expected) in [(off, 0), (sooner, 1)] {
        let mut correlator = correlator(loaded.rules);
        let mut findings = Vec::new();
        for n in 0..6 {
            let mut event = request(n, "/login");
            event.status = Some(401);
            findings.extend(feed(&mut correlator, &event));
        }
        assert_eq!(findings.len(), expected);
        for finding in findings {
            assert_eq!(
                (finding.severity, finding.value, finding.response),
                (Severity::Low, Some(2.0), Some(Response::Notify))
            );
        }
    }
}

#[test]
fn what_was_counted_outlives_a_change_of_other_rules() {
    let mut correlator = correlator(rules(FAILED));
    let mut event = request(0, "/login");
    event.status = Some(401);
    for _ in 0..4 {
        assert_eq!(feed(&mut correlator, &event), []);
    }
    correlator.adopt(Arc::new(rules(&format!("{SQLI}---{FAILED}"))));
    assert_eq!(names(&feed(&mut correlator, &event)), ["brute-force"]);
    let changed = FAILED.replace("gte: 5", "gte: 6");
    correlator.adopt(Arc::new(rules(&changed)));
    for _ in 0..5 {
        assert_eq!(feed(&mut correlator, &event), []);
    }
    assert_eq!(names(&feed(&mut correlator, &event)), ["brute-force"]);
}

#[test]
fn who_counts_anothers_rule_is_told_that_it_is_silent() {
    let correlation = "
title: Much SQL
correlation:
    type: event_count
    rules: [sqli]
    timespan: 1m
    condition: {gte: 3}
";
    let files = |text| {
        [RuleFile { name: "a.yml", text: SQLI, shipped: true }, RuleFile { name: "b.yml", text, shipped: false }]
    };
    let silent = load(&files(correlation), &Overrides::new());
    assert_eq!(
        silent.problems[0].to_string(),
        "b.yml:1: warning: SQL injection no longer alerts by itself, as Much SQL counts it; add generate: true to have both"
    );
    let both = load(&files(&format!("{correlation}generate: true\n")), &Overrides::new());
    assert_eq!(both.problems, []);
    assert_eq!(names(&feed(&mut correlator(both.rules), &request(0, "/?union+select"))), ["sqli"]);
}

#[test]
fn a_filter_excludes() {
    let filter = "
title: Not the scanner of our own
filter:
    rules: [sqli]
    selection:
        c-ip|cidr: 192.0.2.0/24
    condition: not selection
";
    let rules = rules(&format!("{SQLI}---{filter}"));
    let mut event = request(0, "/?union+select");
    assert!(rules.matches(&event).is_empty());
    event.client = Some([198, 51, 100, 1].into());
    assert!(!rules.matches(&event).is_empty());
}

#[test]
fn a_slow_rule_is_taken_out_of_use_and_reported_once() {
    let mut correlator = correlator(rules(SQLI));
    let now = Cell::new(0);
    let clock = || {
        now.set(now.get() + 60_000);
        now.get()
    };
    let event = request(0, "/?union+select");
    for n in 0..31 {
        let matches = correlator.rules().timed(&event, &clock);
        assert_eq!(correlator.correlate(&event, matches).len(), 1, "{n}");
        assert_eq!(correlator.take_slow(), []);
    }
    let matches = correlator.rules().timed(&event, &clock);
    correlator.correlate(&event, matches);
    let slow = SlowRule { id: "sqli".into(), mean_ns: 60_000, budget_ns: RUN_BUDGET_NS };
    assert_eq!(correlator.take_slow(), [slow]);
    assert!(correlator.rules().matches(&event).is_empty());
    assert!(!correlator.rules().describe()[0].enabled);
    assert_eq!(correlator.take_slow(), []);
}

#[test]
fn a_check_names_rules_that_take_too_long() {
    let now = Cell::new(0);
    let clock = || {
        now.set(now.get() + 5_000_000);
        now.get()
    };
    let file = RuleFile { name: "test.yml", text: SQLI, shipped: true };
    let report = check::check(&[file], &clock);
    assert!(report.costs[0].over && !report.is_good());
    let report = check::check(&[file], &|| 0);
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.rules.len(), 1);
}

#[test]
fn a_form_is_a_rule() {
    let form = Form {
        name: "Shop: \"orders\" by *bots*".to_owned(),
        description: String::new(),
        severity: Severity::Medium,
        conditions: vec![
            Condition {
                field: "cs-uri-stem".to_owned(),
                compare: Compare::StartsWith,
                values: vec!["/order*".to_owned()],
            },
            Condition {
                field: "cs-user-agent".to_owned(),
                compare: Compare::Contains,
                values: vec!["bot".to_owned(), "spider".to_owned()],
            },
            Condition { field: "sc-status".to_owned(), compare: Compare::Gte, values: vec!["400".to_owned()] },
            Condition { field: "sc-status".to_owned(), compare: Compare::Gte, values: vec!["401".to_owned()] },
        ],
        threshold: Some(2),
        within_s: Some(60),
        response: Some(Response::Limit { for_s: 600 }),
    };
    let yaml = form.to_yaml("own-1").unwrap();
    let mut correlator = correlator(rules(&yaml));
    let hit =
        |uri: &str, status| Event { status: Some(status), user_agent: Some("SpiderBot".to_owned()), ..request(0, uri) };
    for (event, expected) in
        [(hit("/order*1", 404), 0), (hit("/orders", 404), 0), (hit("/order*1", 400), 0), (hit("/order*1", 403), 1)]
    {
        assert_eq!(feed(&mut correlator, &event).len(), expected, "{:?}", event.uri);
    }
    let wrong = |change: fn(&mut Form)| {
        let mut form = form.clone();
        change(&mut form);
        form.to_yaml("x").unwrap_err().to_string()
    };
    assert_eq!(wrong(|form| form.name.clear()), "name is missing");
    assert_eq!(wrong(|form| form.threshold = None), "threshold and within_s belong together: give both or neither");
    assert_eq!(
        wrong(|form| form.conditions[0].field = "path".to_owned()),
        "no log has a field path; did you mean path-decoded?"
    );
}

/// The other engine there is: patterns are parts of the path.
#[derive(Debug)]
struct Parts(Vec<&'static str>);

impl RuleEngine for Parts {
    fn candidates(&self, _: &Views<'_>) -> Box<[u64]> {
        vec![u64::MAX].into()
    }

    fn matches(&self, rule: usize, views: &Views<'_>) -> bool {
        let path = views.event().path().unwrap_or_default();
        self.0.get(rule).is_some_and(|part| path.contains(part))
    }

    fn indicators(&self, rule: usize, _: &Views<'_>) -> Vec<(String, String)> {
        vec![("path".to_owned(), self.0[rule].to_owned())]
    }
}

#[test]
fn what_is_counted_does_not_depend_on_the_engine() {
    let mut rules = rules(FAILED);
    rules.engine = Box::new(Parts(vec!["/login"]));
    let mut correlator = correlator(rules);
    let fired = (0..5).flat_map(|n| feed(&mut correlator, &request(n, "/a/login"))).collect::<Vec<_>>();
    assert_eq!(names(&fired), ["brute-force"]);
    assert_eq!(fired[0].indicators, ["path: /login"]);
}

#[test]
fn what_anybody_may_have_written_never_adds_to_what_a_source_did() {
    const FAILED: &str = "
title: Failed sign-ins
name: failed
logsource: {category: webserver}
detection:
    selection: {sc-status: 401}
    condition: selection
weir: {repeat: {count: 3, within: 10m}}
";
    let mut correlator = correlator(rules(FAILED));
    let mut failed = |at_s, is_forgeable: bool| {
        let mut event = request(at_s, "/members/");
        event.status = Some(401);
        event.doubt = is_forgeable.then_some(Doubt::Forgeable);
        names(&feed(&mut correlator, &event)).len()
    };
    assert_eq!([failed(0, true), failed(1, false), failed(2, true), failed(3, false)], [0, 0, 0, 0]);
    assert_eq!(failed(4, true), 1, "three of those anybody may have written are told of");
    assert_eq!(failed(5, false), 1, "and three true ones too");
}

#[test]
fn a_rule_is_known_by_its_name_if_it_has_one() {
    let named = SQLI.replace("id: sqli", "id: 0b1a2f6e-6c1e-4f0b-9a3b-7d4f3c2b1a00\nname: sqli-union");
    let mut correlator = correlator(rules(&named));
    assert_eq!(names(&feed(&mut correlator, &request(0, "/?id=1+union+select"))), ["sqli-union"]);
}
