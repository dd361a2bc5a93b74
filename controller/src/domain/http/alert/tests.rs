use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn finding() -> Finding {
    Finding {
        detector: Detector::Rule("weir-sqli".into()),
        title: "SQL injection".into(),
        description: "".into(),
        severity: Severity::High,
        confidence: 80,
        techniques: Arc::from(["T1190".into()]),
        tags: Arc::from([]),
        source: Some("192.0.2.7".parse().unwrap()),
        user: None,
        about: None,
        time: at("2026-11-28T10:00:00Z"),
        value: None,
        threshold: None,
        indicators: vec!["cs-uri-query: union select".into()],
        evidence: vec!["GET /?id=1+union+select&password=hunter2".into()],
        response: None,
        spoofable: false,
    }
}

fn alert() -> Alert {
    let now = at("2026-11-28T10:00:01Z");
    Alert::new(AlertId::v7(now, 0x1234_5678_9abc_def0_1234), &finding(), now)
}

#[test]
fn an_id_is_a_version_7_uuid_that_leads_back() {
    let id = AlertId::v7(at("2022-02-22T19:22:22Z"), 0xc_c3 | 0x18c4_dc0c_0c07_398f << 12);
    // The example of RFC 9562, A.6.
    assert_eq!(id.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    assert_eq!(id.to_string().parse(), Ok(id));
    for text in ["", "017f22e2", "017f22e279b0-7cc3-98c4-dc0c0c07398f-", "017f22e2-79b0-7cc3-98c4-dc0c0c07398g"] {
        assert!(text.parse::<AlertId>().is_err(), "{text}");
    }
    assert!(AlertId::v7(at("2026-01-01T00:00:00Z"), u128::MAX) < AlertId::v7(at("2026-01-01T00:00:01Z"), 0));
}

#[test]
fn every_status_has_a_name_that_leads_back() {
    for status in Status::ALL {
        assert_eq!(status.name().parse(), Ok(status));
        assert_eq!(serde_json::to_value(status).unwrap(), status.name());
    }
    assert_eq!("False_Positive".parse(), Ok(Status::FalsePositive));
    assert!("open".parse::<Status>().unwrap_err().to_string().contains("acknowledged"));
}

#[test]
fn every_action_is_named_as_it_is_written() {
    for action in Action::ALL {
        assert_eq!(serde_json::to_value(action).unwrap(), action.name());
    }
}

#[test]
fn an_alert_holds_what_was_found_and_no_secret() {
    let alert = alert();
    assert_eq!((alert.detector(), alert.analyzer.as_str(), alert.count), ("weir-sqli", RULES, 1));
    assert_eq!(alert.evidence, ["GET /?id=1+union+select&password=***"]);
    let json = serde_json::to_value(&alert).unwrap();
    for key in ["id", "technique", "severity", "status", "first_seen", "last_seen", "count", "action", "source", "user"]
    {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["technique"][0], "T1190");
    assert_eq!(serde_json::from_value::<Alert>(json).unwrap(), alert);
}

#[test]
fn a_repeat_counts_up_and_keeps_the_worst() {
    let mut alert = alert();
    let before = alert.score;
    let mut again = finding();
    again.severity = Severity::Critical;
    again.time = at("2026-11-28T10:05:00Z");
    again.value = Some(7.0);
    alert.repeat(&again, at("2026-11-28T10:05:01Z"));
    again.severity = Severity::Low;
    again.time = at("2026-11-28T09:00:00Z");
    alert.repeat(&again, at("2026-11-28T10:05:02Z"));
    assert_eq!((alert.count, alert.severity, alert.value), (3, Severity::Critical, Some(7.0)));
    assert_eq!(alert.first_seen, at("2026-11-28T09:00:00Z"));
    assert_eq!(alert.last_seen, at("2026-11-28T10:05:00Z"));
    assert_eq!(alert.evidence.len(), 1, "the same line is kept once");
    assert!(alert.score > before);
}

#[test]
fn however_much_is_found_an_alert_stays_small() {
    let mut alert = alert();
    for number in 0..1_000 {
        let mut more = finding();
        more.indicators = vec![format!("{number}{}", "x".repeat(10_000))];
        more.evidence = vec![format!("{number} password=a {}", "y".repeat(10_000))];
        alert.repeat(&more, at("2026-11-28T10:05:01Z"));
    }
    assert_eq!((alert.indicators.len(), alert.evidence.len()), (MOST_INDICATORS, MOST_EVIDENCE));
    assert!(serde_json::to_string(&alert).unwrap().len() < 12_000);
}

proptest! {
    #[test]
    fn a_worse_alert_always_stands_above_a_milder_one(
        sure in 0u8.., less_sure in 0u8.., often in 0u64.., less_often in 0u64..
    ) {
        let mut last = None;
        for severity in Severity::ALL {
            let (a, b) = (score(severity, sure, often), score(severity, less_sure, less_often));
            prop_assert!(a <= 100 && b <= 100);
            prop_assert!(last.is_none_or(|last| last < a.min(b)));
            last = Some(a.max(b));
        }
        prop_assert!(score(Severity::High, 90, often) >= score(Severity::High, 80, often));
    }
}
