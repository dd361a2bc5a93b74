use super::*;
use crate::domain::http::alert::Action;
use crate::domain::http::analyzers::settings::Settings;
use crate::domain::http::book::Folding;
use crate::domain::http::respond::Responses;
use crate::domain::http::rules::{Caps, RuleFile, RuleSet, load};

mod forged;

/// A rule for every path that begins with an exclamation mark, and one for three of these from one source.
const RULES: &str = "
title: Bang
id: bang
logsource: {category: webserver}
level: high
detection:
  selection:
    cs-uri-stem|startswith: /!
  condition: selection
---
title: Three bangs
id: three
correlation:
  type: event_count
  rules: [bang]
  group-by: [c-ip]
  timespan: 10m
  generate: true
  condition: {gte: 3}
level: high
weir:
  response: deny
  for: 1h
";

struct Under {
    rules: Arc<RuleSet>,
    detector: Detector,
}

fn under() -> Under {
    let loaded = load(&[RuleFile { name: "test.yml", text: RULES, shipped: false }], &BTreeMap::new());
    assert_eq!(loaded.problems, []);
    let rules = Arc::new(loaded.rules);
    let correlator = Correlator::new(Arc::clone(&rules), Caps::default());
    let alerts = Book::new(Folding::default(), 1);
    let analyzers = Analyzers::seeded(&Settings::default(), 1);
    let responder = Responder::new(Responses::default());
    Under { rules, detector: Detector::new(Some(correlator), Some(analyzers), responder, alerts) }
}

impl Under {
    fn observe(&mut self, event: &mut Event, moment: &Moment<'_>) -> Vec<Outcome> {
        let matches = self.rules.matches(event);
        self.detector.observe(event, Some(matches), moment)
    }

    fn replay(&mut self, mut event: Event) -> Vec<Outcome> {
        let moment = Moment::replayed(event.time, &nobody);
        self.observe(&mut event, &moment)
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::constant(1_790_000_000, 0) + SignedDuration::from_secs(second)
}

fn request(client: &str, uri: &str, second: i64) -> Event {
    let mut event = Event::new(at(second), EventKind::HttpRequest);
    event.client = client.parse().ok();
    event.uri = Some(uri.to_owned());
    event
}

fn nobody(_: IpNet) -> Option<String> {
    None
}

#[test]
fn an_event_becomes_findings_alerts_and_a_denial() {
    let mut under = under();
    assert_eq!(under.replay(request("192.0.2.7", "/", 0)), []);
    for second in 1..3 {
        let outcomes = under.replay(request("192.0.2.7", "/!", second));
        assert_eq!((outcomes.len(), outcomes[0].folded.is_new), (1, second == 1));
        assert_eq!(outcomes[0].consequence, Consequence::Observe);
    }
    let outcomes = under.replay(request("192.0.2.7", "/!", 3));
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().any(|outcome| matches!(&outcome.consequence,
        Consequence::Deny { prefix, for_s: 3_600, .. } if prefix.to_string() == "192.0.2.7/32")));
    let mut alerts: Vec<_> = under.detector.alerts.take_all(at(3)).into_iter().map(|change| change.alert).collect();
    alerts.sort_by(|a, b| a.rule.cmp(&b.rule));
    let told: Vec<_> = alerts.iter().map(|alert| (alert.detector(), alert.count, alert.action)).collect();
    assert_eq!(told, [("bang", 3, Action::Observe), ("three", 1, Action::Deny)]);
    assert_eq!(alerts[1].action_until, Some(at(3 + 3_600)));
}

#[test]
fn everything_is_counted_once() {
    let mut under = under();
    under.replay(request("192.0.2.7", "/!", 0));
    under.replay(request("nobody", "/!", 0));
    for second in 0..5 {
        let mut failed = Event::new(at(second), EventKind::AuthFailed);
        failed.user = Some("bob".to_owned());
        under.replay(failed);
    }
    let log: Arc<str> = "a.log".into();
    under.detector.counters.unparsed(&log, "no_time");
    under.detector.counters.unparsed(&log, "no_time");
    let counters = &under.detector.counters;
    assert_eq!((counters.of(EventKind::HttpRequest), counters.of(EventKind::AuthFailed), counters.total()), (2, 5, 7));
    assert_eq!((counters.without_client, counters.old, counters.ahead), (6, 0, 0));
    assert_eq!(counters.unparsed, BTreeMap::from([((log, "no_time"), 2)]));
    let found: Vec<_> = counters.findings.iter().map(|(detector, count)| (detector.name(), *count)).collect();
    assert_eq!(found, [("bang", 2), ("brute_force", 1)]);
}

#[test]
fn old_lines_alert_and_deny_nobody() {
    let mut under = under();
    let now = Now { boot: BootSeconds(50), wall: at(10_000) };
    for (second, is_history) in [(10_000, true), (9_000, false)] {
        for _ in 0..3 {
            let mut event = request(if is_history { "192.0.2.7" } else { "192.0.2.8" }, "/!", second);
            let outcomes = under.observe(&mut event, &Moment::live(now, is_history, &nobody));
            assert!(outcomes.iter().all(|outcome| !matches!(outcome.consequence, Consequence::Deny { .. })));
        }
    }
    assert_eq!(under.detector.counters.old, 6);
    let refused =
        under.detector.alerts.take_all(at(10_000)).into_iter().filter(|change| change.alert.refused.is_some());
    assert_eq!(refused.count(), 2);
}

#[test]
fn a_clock_ahead_does_not_move_time() {
    let mut under = under();
    let now = Now { boot: BootSeconds(50), wall: at(0) };
    let mut event = request("192.0.2.7", "/!", 1_000_000);
    under.observe(&mut event, &Moment::live(now, false, &nobody));
    assert_eq!((event.time, under.detector.counters.ahead), (at(0), 1));
    assert_eq!(under.detector.alerts.take_all(at(0))[0].alert.last_seen, at(0));
}

#[test]
fn who_is_guarded_is_not_denied_and_the_alert_says_why() {
    let mut under = under();
    let guard = |prefix: IpNet| Some(format!("{prefix} is a proxy's"));
    for second in 0..3 {
        let mut event = request("192.0.2.7", "/!", second);
        let moment = Moment::replayed(event.time, &guard);
        under.observe(&mut event, &moment);
    }
    let alerts = under.detector.alerts.take_all(at(3));
    let three = alerts.iter().find(|change| change.alert.detector() == "three").unwrap();
    assert_eq!(three.alert.action, Action::Observe);
    assert_eq!(three.alert.refused.as_deref(), Some("192.0.2.7/32 is a proxy's"));
}

#[test]
fn a_refusal_at_the_door_is_on_the_alert_and_the_next_denial_is_made_again() {
    let mut under = under();
    let deny = |under: &mut Under| {
        let mut outcomes = (0..3).flat_map(|_| under.replay(request("192.0.2.7", "/!", 0)));
        outcomes.find(|outcome| outcome.finding.detector.name() == "three").unwrap()
    };
    let first = deny(&mut under);
    assert!(matches!(first.consequence, Consequence::Deny { for_s: 3_600, .. }));
    let now = Moment::replayed(at(1), &nobody).now;
    under.detector.refused(first.folded.id, Action::Deny, "192.0.2.7/32".parse().unwrap(), "protected", now);
    let alert = under.detector.alerts.get(first.folded.id).unwrap();
    assert_eq!((alert.action, alert.refused.as_deref()), (Action::Observe, Some("protected")));
    let again = under.detector.responder.respond(&first.finding, now, None, &nobody);
    assert!(matches!(again, Consequence::Deny { for_s: 3_600, .. }), "{again:?}");
}
