//! The five drills of the log layer: events in, an alert out, the score moved, a decision made, packets dropped, all of it
//! in the audit, and lifted once somebody says that it was nothing.
use std::net::Ipv4Addr;

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use weir::domain::report::{AlertList, AuditReport, ReputationRow, Threat};
use weir_tests::frames::V4;
use weir_tests::harness::{PATIENCE, Plan, Site, wait_for};

/// Who attacks, in the country that the attacks come from.
const ATTACKER: &str = "45.2.0.9";
/// The user whose account it is about, at home.
const HOME: &str = "45.1.0.7";

const COUNTRIES: &str = "45.1.0.0,45.1.255.255,DE\n45.2.0.0,45.2.255.255,FR\n";

/// Whoever has done anything at all is denied for their score: so the score decides where no rule does.
const STRICT: &str = "[reputation]\nlimit_at = 0\nshort_at = 0\ndeny_at = 1\n";

struct Drill {
    site: Site,
}

impl Drill {
    fn new(settings: &str) -> Self {
        let mut site = Site::idle(&Plan::default());
        let countries = site.place.folder().join("countries");
        std::fs::write(&countries, COUNTRIES).unwrap();
        site.place.configure(&format!(
            "[rules]\nshipped = false\n[events]\napplication = true\n[geo]\ncountry_file = \"{}\"\n{settings}\n",
            countries.display()
        ));
        site.start();
        Self { site }
    }

    #[track_caller]
    fn tell(&self, events: &[Value]) {
        let answer: Value = self.site.api().post("/api/events", &events);
        assert_eq!(answer["accepted"], events.len(), "{answer}");
    }

    fn frame() -> Vec<u8> {
        V4::from(ATTACKER.parse::<Ipv4Addr>().unwrap().octets()).frame()
    }

    /// From the alert to the drop, and back.
    #[track_caller]
    fn ends_in_a_drop(&self, analyzer: &str, in_audit: impl Fn(&AuditReport) -> bool) {
        let api = self.site.api();
        let alert = wait_for(&format!("an alert of {analyzer}"), PATIENCE, || {
            let list: AlertList = api.get(&format!("/api/alerts?analyzer={analyzer}&source={ATTACKER}"));
            list.alerts.into_iter().next()
        });
        let known = wait_for("its weight", PATIENCE, || {
            let known: ReputationRow = api.get(&format!("/api/reputation/{ATTACKER}"));
            known.evidence.iter().any(|line| line.alert == Some(alert.id)).then_some(known)
        });
        assert!(known.score > 0, "{known:?}");
        let verdict = wait_for("a denial", PATIENCE, || {
            Some(api.explain(ATTACKER).verdict).filter(|verdict| verdict == "rule" || verdict == "reputation")
        });
        self.site.send(&[Self::frame()]);
        self.site.saw(&[(&*verdict, 1)]);
        let threat = wait_for("its events", PATIENCE, || {
            let threat: Threat = api.get(&format!("/api/security/threat/{ATTACKER}"));
            (threat.recent.events > 0).then_some(threat)
        });
        assert!(threat.blocked && threat.score > 0 && threat.recent.alerts > 0, "{threat:?}");
        let shown = self.site.weir(&["reputation", "show", ATTACKER]).well();
        assert!(shown.contains(analyzer) && shown.contains("sum"), "{shown}");
        let start = Instant::now();
        let audit = loop {
            let audit: AuditReport = api.get("/api/audit?since=1h");
            let denied = |detail: &Value| detail["entries"][0]["prefix"] == ATTACKER;
            let is_denied = audit.changes.iter().any(|change| change.action == "decisions" && denied(&change.detail));
            let is_named = audit.top_threats.iter().any(|row| row.source == ATTACKER);
            if is_denied && is_named && in_audit(&audit) {
                break audit;
            }
            assert!(start.elapsed() < PATIENCE, "{is_denied} {is_named} {audit:?}");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(audit.geographic_analysis.iter().any(|row| row.country == "FR"), "{:?}", audit.geographic_analysis);
        let text = self.site.weir(&["audit", "--since", "1h"]).well();
        assert!(text.contains("threat level") && text.contains(ATTACKER), "{text}");
        self.is_nothing(&known);
    }

    /// All that was found of the attacker was nothing: nothing of it is in force any more.
    #[track_caller]
    fn is_nothing(&self, known: &ReputationRow) {
        let api = self.site.api();
        let list: AlertList = api.get(&format!("/api/alerts?source={ATTACKER}&limit=500"));
        let ids: Vec<String> = list.alerts.iter().map(|alert| alert.id.to_string()).collect();
        let mut args = vec!["alerts", "update"];
        args.extend(ids.iter().map(String::as_str));
        args.extend(["--status", "false-positive", "--note", "a drill"]);
        let said = self.site.weir(&args).well();
        assert!(said.contains(ATTACKER) && said.contains("lifted"), "{said}");
        let now: ReputationRow = api.get(&format!("/api/reputation/{ATTACKER}"));
        assert!(now.score < known.score, "{now:?}");
        assert_eq!(api.explain(ATTACKER).verdict, "pass", "{:?}", api.explain(ATTACKER));
        self.site.send(&[Self::frame()]);
        self.site.saw(&[("pass", 1)]);
        let audit: AuditReport = api.get("/api/audit?since=1h");
        let change = audit.changes.iter().find(|change| change.action == "alert update").unwrap();
        assert!(change.actor.starts_with("uid ") && ids.contains(&change.target), "{change:?}");
        assert_eq!(change.detail["update"]["note"], "a drill");
    }
}

/// Events of a user over the last days, some each day, in the hours around this long ago.
fn habit(days: i64, ago_h: i64, address: &str) -> Vec<Value> {
    let now = Timestamp::now();
    let mut events = Vec::new();
    // The last of them within a day of now: a stream that jumps is not believed at once.
    let last = i64::from(ago_h <= 1);
    for day in (last..=days).rev() {
        for hour in [1, 0, -1] {
            for minute in 0..3 {
                let time =
                    now - SignedDuration::from_hours(day * 24 + ago_h + hour) - SignedDuration::from_mins(minute);
                events.push(json!({"type": "http_request", "time": time, "address": address, "user": "anna",
                    "method": "GET", "endpoint": "/inbox", "status": 200}));
            }
        }
    }
    events
}

fn now(address: &str) -> Value {
    json!({"type": "http_request", "address": address, "user": "anna", "method": "GET", "endpoint": "/inbox",
        "status": 200})
}

#[test]
fn brute_force() {
    let drill = Drill::new("");
    let event = json!({"type": "auth_failed", "address": ATTACKER, "user": "bob", "endpoint": "/login"});
    drill.tell(&vec![event; 8]);
    drill.ends_in_a_drop("brute_force", |audit| {
        audit.summary.failed_authentications == 8
            && audit.failed_authentications[0].user.as_deref() == Some("bob")
            && audit.failed_authentications[0].endpoint.as_deref() == Some("/login")
    });
    let metrics = drill.site.api().ask("GET", "/metrics", b"").text();
    let of = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    assert!(of("weir_events_kept ").is_some_and(|kept| kept >= 1.0), "{metrics}");
    assert!(of("weir_threat_level ").is_some() && of("weir_reputation_sources ").is_some(), "{metrics}");
}

#[test]
fn privilege_escalation() {
    let drill = Drill::new(STRICT);
    let event = json!({"type": "permission_denied", "address": ATTACKER, "user": "bob", "endpoint": "/admin"});
    drill.tell(&vec![event; 12]);
    drill.ends_in_a_drop("privilege_escalation", |audit| audit.summary.permission_denials == 12);
}

#[test]
fn rate_limit_abuse() {
    let drill = Drill::new(STRICT);
    let event = json!({"type": "rate_limit_exceeded", "address": ATTACKER, "endpoint": "/api/search"});
    drill.tell(&vec![event; 5]);
    drill.ends_in_a_drop("rate_limit_abuse", |audit| audit.summary.rate_limit_violations == 5);
}

#[test]
fn geographic_anomaly() {
    let drill = Drill::new(&format!("{STRICT}[analyzers.behaviour]\nthreshold = 0.35\n[audit]\nevents = \"all\""));
    drill.tell(&habit(9, 0, HOME));
    drill.tell(&vec![now(ATTACKER); 4]);
    drill.ends_in_a_drop("behaviour", |audit| {
        audit.unusual_access_patterns.iter().any(|row| row.user.as_deref() == Some("anna"))
    });
}

#[test]
fn time_anomaly() {
    let drill = Drill::new(&format!("{STRICT}[analyzers.behaviour]\nthreshold = 0.25\n[audit]\nevents = \"all\""));
    // Always from there, and never at this time of the day.
    drill.tell(&habit(9, 12, ATTACKER));
    drill.tell(&vec![now(ATTACKER); 4]);
    drill.ends_in_a_drop("behaviour", |audit| {
        audit.unusual_access_patterns.iter().any(|row| row.title.contains("Unusual"))
    });
}
