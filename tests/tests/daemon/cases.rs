//! What people do with alerts, datasets and hunts, and what is kept of events and people.
mod kept;

use std::fs;

use serde_json::{Value, json};
use weir::domain::http::alert::{Action, Alert};
use weir::domain::report::{AlertList, AnalysisReport, AuditReport};
use weir_tests::harness::{PATIENCE, Plan, Site, wait_for};

/// A daemon that takes events, with this besides.
fn site(settings: &str) -> Site {
    let mut site = Site::idle(&Plan::default());
    let folder = site.place.folder().display().to_string();
    site.place.configure(&format!(
        "[rules]\nshipped = false\n[events]\napplication = true\n[alerts]\ndataset_dirs = [\"{folder}\"]\n{settings}\n"
    ));
    site.start();
    site
}

fn failed(address: &str, user: &str) -> Value {
    json!({"type": "auth_failed", "address": address, "user": user, "endpoint": "/login"})
}

#[track_caller]
fn tell(site: &Site, events: &[Value]) {
    let answer: Value = site.api().post("/api/events", &events);
    assert_eq!(answer["accepted"], events.len(), "{answer}");
}

#[track_caller]
fn wait_for_alerts(site: &Site, query: &str, total: u64) -> Vec<Alert> {
    wait_for(&format!("{total} alerts of {query}"), PATIENCE, || {
        let list: AlertList = site.api().get(&format!("/api/alerts?{query}"));
        (list.total == total).then_some(list.alerts)
    })
}

/// Asks, and expects this status and these words; the words that came.
#[track_caller]
fn refused(site: &Site, method: &str, path: &str, body: &Value, status: u16, words: &str) {
    let answer = site.api().ask(method, path, body.to_string().as_bytes());
    let problem = answer.problem(status);
    assert!(problem.detail.contains(words), "{}", problem.detail);
}

fn made(site: &Site, title: &str, severity: &str) -> String {
    let alert: Value = site.api().post("/api/alerts", &json!({"title": title, "severity": severity}));
    alert["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_alert_is_a_case_that_people_take_up_and_close() {
    let site = site("");
    let id = made(&site, "Somebody rang", "warning");
    let alert: Alert = site.api().get(&format!("/api/alerts/{id}"));
    assert_eq!((alert.severity.name(), alert.triage.status.name()), ("medium", "new"));
    let hunt: Value = site.api().post("/api/hunts", &json!({"name": "April"}));
    let hunt = hunt["id"].as_str().unwrap();
    let args =
        ["alerts", "update", &id, "--status", "investigating", "--assignee", "bob", "--case", "C-7", "--hunt", hunt];
    site.weir(&args).well();
    let alert: Alert = site.api().get(&format!("/api/alerts/{id}"));
    let triage = &alert.triage;
    assert_eq!((triage.assignee.as_deref(), triage.case.as_deref()), (Some("bob"), Some("C-7")));
    assert!(triage.acknowledged_at.is_some() && triage.resolved_at.is_none());
    assert_eq!(wait_for_alerts(&site, &format!("hunt_id={hunt}"), 1)[0].id, alert.id);
    let shown = site.weir(&["alerts", "show", &id]).well();
    assert!(shown.contains("investigating") && shown.contains("C-7") && shown.contains("bob"), "{shown}");
    site.weir(&["alerts", "update", &id, "--status", "resolved", "--note", "a test"]).well();
    let after: Alert = site.api().get(&format!("/api/alerts/{id}"));
    assert_eq!((after.triage.acknowledged_at, after.triage.note.as_deref()), (triage.acknowledged_at, Some("a test")));
    assert!(after.triage.resolved_at.is_some());
    // Impossible, unknown, too large, not understood: each says so, and changes nothing.
    let path = format!("/api/alerts/{id}");
    refused(&site, "PUT", &path, &json!({"status": "new"}), 409, "cannot become new");
    refused(&site, "PUT", &path, &json!({"status": "done"}), 400, "false-positive");
    refused(&site, "PUT", &path, &json!({"hunt_id": "none"}), 404, "there is no hunt");
    refused(&site, "PUT", &path, &json!({}), 400, "nothing is to be changed");
    refused(&site, "PUT", &path, &json!({"note": "x".repeat(3_000)}), 400, "2000 are the most");
    refused(&site, "PUT", &path, &json!({"note": "x".repeat(2 << 20)}), 413, "");
    let unknown = "0192f0c1-7e2a-7c3b-9d4e-5f6a7b8c9d0e";
    refused(&site, "PUT", &format!("/api/alerts/{unknown}"), &json!({"case": "x"}), 404, "there is no alert");
    refused(&site, "GET", "/api/alerts?severity=dire", &json!(null), 400, "critical");
    refused(&site, "GET", "/api/alerts?colour=red", &json!(null), 400, "");
    assert_eq!(site.api().get::<Alert>(&path), after);
    site.weir(&["alerts", "show", unknown]).badly(3, &["there is no alert"]);
    site.weir(&["alerts", "delete", &id]).well();
    refused(&site, "GET", &path, &json!(null), 404, "there is no alert");
    let audit: AuditReport = site.api().get("/api/audit");
    let done: Vec<&str> = audit.changes.iter().map(|change| change.action.as_str()).collect();
    assert_eq!(done, ["alert delete", "alert update", "alert update", "hunt create", "alert create"]);
}

/// The end of the denial, or limit, that is in force.
fn ends(site: &Site, address: &str) -> Option<jiff::Timestamp> {
    let entries = site.api().explain(address).entries;
    entries.iter().find(|entry| entry.list == "rules").and_then(|entry| entry.expires_at)
}

#[test]
fn a_false_positive_leaves_what_other_alerts_of_the_source_ask_for() {
    let site = site("[limits.tight]\npackets_per_second = 100\nburst = 100\n");
    for (name, threshold, response) in
        [("Limited", 2, "limit 6h"), ("Denied", 3, "deny 2h"), ("For a day", 4, "deny 24h")]
    {
        let config = json!({"threshold": threshold, "response": response});
        let rule = json!({"name": name, "analyzer": "brute_force", "config": config});
        let _: Value = site.api().post("/api/alerts/rules", &rule);
    }
    tell(&site, &vec![failed("203.0.113.9", "bob"); 4]);
    let id = |rule: &str| {
        wait_for(&format!("an alert of {rule}"), PATIENCE, || {
            let list: AlertList = site.api().get("/api/alerts?source=203.0.113.9");
            let of_rule = list.alerts.iter().find(|alert| alert.rule.as_deref() == Some(rule));
            of_rule.filter(|alert| alert.action != Action::Observe).map(|alert| alert.id.to_string())
        })
    };
    let (limited, denied, for_a_day) = (id("limited"), id("denied"), id("for-a-day"));
    let in_hours = |hours: i64| {
        let now = jiff::Timestamp::now();
        (now + jiff::SignedDuration::from_hours(hours)).duration_since(ends(&site, "203.0.113.9").unwrap()).abs()
    };
    let a_minute = jiff::SignedDuration::from_mins(1);
    wait_for("a day", PATIENCE, || (ends(&site, "203.0.113.9").is_some() && in_hours(24) < a_minute).then_some(()));
    let nothing = |id: &str| site.weir(&["alerts", "update", id, "--status", "false-positive"]).well();
    // Two hours are left, on another alert's word.
    let said = nothing(&for_a_day);
    assert!(said.contains("remains: 203.0.113.9 is denied until") && said.contains(&denied), "{said}");
    assert!(in_hours(2) < a_minute, "{:?}", ends(&site, "203.0.113.9"));
    let explain = site.api().explain("203.0.113.9");
    assert_eq!(explain.verdict, "rule");
    let why = format!("{:?}", explain.entries);
    assert!(why.contains(&denied) && !why.contains(&for_a_day), "{why}");
    // Who was denied needed no limit; now the limit is asked for.
    let said = nothing(&denied);
    assert!(said.contains("remains: 203.0.113.9 is limited until") && said.contains(&limited), "{said}");
    assert!(!said.contains("lifted") && !said.contains("is denied"), "{said}");
    assert_ne!(site.api().explain("203.0.113.9").verdict, "rule");
    let is_limited = || site.api().explain("203.0.113.9").entries.iter().any(|entry| entry.list == "rules-limit");
    assert!(is_limited());
    let said = nothing(&limited);
    assert!(said.contains("lifted: 203.0.113.9/32") && !said.contains("remains"), "{said}");
    assert!(!is_limited());
    // What is found again counts anew.
    tell(&site, &vec![failed("203.0.113.9", "bob"); 4]);
    wait_for("a day again", PATIENCE, || (ends(&site, "203.0.113.9").is_some()).then_some(()));
}

#[test]
fn a_score_that_falls_with_a_false_positive_has_what_it_asks_for_then() {
    let site = site(
        "[reputation]\nlimit_at = 10\nshort_at = 30\ndeny_at = 60\n[limits.tight]\npackets_per_second = 100\nburst = 100\n\
         [analyzers.brute_force]\nenabled = false\n",
    );
    for name in ["One", "Two", "Three"] {
        let config = json!({"threshold": 2, "response": "observe"});
        let rule = json!({"name": name, "analyzer": "brute_force", "config": config});
        let _: Value = site.api().post("/api/alerts/rules", &rule);
    }
    tell(&site, &vec![failed("203.0.113.9", "bob"); 2]);
    let answered = |list: &str| {
        let entries = site.api().explain("203.0.113.9").entries;
        let minutes = |until: jiff::Timestamp| until.duration_since(jiff::Timestamp::now()).as_mins();
        entries.iter().find(|entry| entry.list == list).and_then(|entry| entry.expires_at).map(minutes)
    };
    wait_for("an hour", PATIENCE, || answered("reputation").filter(|minutes| *minutes >= 58));
    let list: AlertList = site.api().get("/api/alerts?source=203.0.113.9");
    let ids: Vec<String> = list.alerts.iter().map(|alert| alert.id.to_string()).collect();
    let nothing = |id: &str| site.weir(&["alerts", "update", id, "--status", "false-positive"]).well();
    let said = nothing(&ids[0]);
    assert!(!said.contains("lifted"), "{said}");
    // On the way to an hour it may have been denied for ten minutes already: then it is twice as long.
    assert!(answered("reputation").is_some_and(|minutes| (8..=20).contains(&minutes)), "{:?}", answered("reputation"));
    let said = nothing(&ids[1]);
    assert!(!said.contains("lifted"), "it is limited: {said}");
    assert_eq!(answered("reputation"), None);
    assert!(answered("reputation-limit").is_some());
    let said = nothing(&ids[2]);
    assert!(said.contains("lifted: 203.0.113.9/32"), "{said}");
    assert_eq!((answered("reputation"), answered("reputation-limit")), (None, None));
}

#[test]
fn several_alerts_are_changed_together_or_not_at_all() {
    let site = site("");
    let ids = ["one", "two", "three"].map(|title| made(&site, title, "low"));
    site.weir(&["alerts", "update", &ids[0], "--status", "false-positive"]).well();
    let bulk = |ids: &[String], status: &str| json!({"ids": ids, "update": {"status": status}});
    refused(&site, "POST", "/api/alerts/bulk-update", &bulk(&ids, "resolved"), 409, &ids[0]);
    let stats: Value = site.api().get("/api/alerts/stats");
    assert_eq!(stats["status_counts"]["new"], 2);
    let done: Value = site.api().post("/api/alerts/bulk-update", &bulk(&ids[1..], "resolved"));
    assert_eq!((&done["updated"], &done["unchanged"]), (&json!(2), &json!(0)));
    let done: Value = site.api().post("/api/alerts/bulk-update", &bulk(&ids[1..], "resolved"));
    assert_eq!((&done["updated"], &done["unchanged"]), (&json!(0), &json!(2)));
    refused(&site, "POST", "/api/alerts/bulk-update", &bulk(&[], "resolved"), 400, "from 1 to 500");
}

/// A log with somebody who looks for passwords.
fn log(site: &Site, name: &str) -> String {
    let line = |number: u32| {
        format!(
            "203.0.113.9 - - [28/Nov/2026:12:00:{:02} +0000] \"POST /login HTTP/1.1\" 401 15 \"-\" \"x\"\n",
            number % 60
        )
    };
    site.place.file(name, (0..40).map(line).collect::<String>())
}

#[test]
fn a_log_file_is_analysed_and_what_is_found_becomes_alerts_that_deny_nobody() {
    let site = site("");
    let path = log(&site, "old.log");
    site.weir(&["hunts", "create", "April", "--description", "who looked for passwords"]).well();
    let hunts: Value = site.api().get("/api/hunts");
    let hunt = hunts[0]["id"].as_str().unwrap();
    site.weir(&["datasets", "create", "old", "--file", &path, "--hunt", hunt]).well();
    let datasets: Value = site.api().get("/api/datasets");
    let dataset = datasets[0]["id"].as_str().unwrap();
    let tried: AnalysisReport =
        site.api().post("/api/alerts/analyze", &json!({"dataset_id": dataset, "auto_create": false}));
    assert!(tried.candidates_found > 0 && tried.alerts_created == 0, "{tried:?}");
    assert_eq!(tried.summary.rows_analyzed, 40);
    wait_for_alerts(&site, "", 0);
    let only = json!({"hunt_id": hunt, "analyzers": ["brute_force"], "config": {"brute_force": {"threshold": 30}}});
    let found: AnalysisReport = site.api().post("/api/alerts/analyze", &only);
    assert_eq!(found.summary.by_analyzer.keys().collect::<Vec<_>>(), ["brute_force"]);
    let alerts = wait_for_alerts(&site, &format!("dataset_id={dataset}&hunt_id={hunt}"), found.alerts_created);
    assert_eq!(alerts[0].source.as_deref(), Some("203.0.113.9"));
    assert!(alerts[0].refused.as_deref().is_some_and(|why| why.contains("past")), "{alerts:?}");
    assert_eq!(site.api().explain("203.0.113.9").verdict, "pass");
    let text = site.weir(&["alerts", "analyze", "--dataset", dataset, "--no-alerts"]).well();
    assert!(text.contains("40 events looked at"), "{text}");
    // What cannot be analysed says so, with the way out.
    let analyze = "/api/alerts/analyze";
    refused(&site, "POST", analyze, &json!({}), 400, "dataset_id or hunt_id");
    refused(&site, "POST", analyze, &json!({"dataset_id": "none"}), 404, "there is no dataset");
    refused(&site, "POST", analyze, &json!({"dataset_id": dataset, "analyzers": ["x"]}), 400, "brute_force");
    let config = json!({"dataset_id": dataset, "config": {"brute_force": {"thresold": 1}}});
    refused(&site, "POST", analyze, &config, 400, "threshold");
    fs::remove_file(&path).unwrap();
    refused(&site, "POST", analyze, &json!({"dataset_id": dataset}), 404, "there is no file");
    refused(&site, "POST", "/api/datasets", &json!({"name": "x", "path": "/etc/shadow"}), 400, "dataset_dirs");
    // Whatever is put in its place meanwhile leads nowhere, and is not waited for.
    std::os::unix::fs::symlink("/etc/shadow", &path).unwrap();
    refused(&site, "POST", analyze, &json!({"dataset_id": dataset}), 400, "dataset_dirs");
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    refused(&site, "POST", analyze, &json!({"dataset_id": dataset}), 400, "is not a file");
    fs::remove_file(&path).unwrap();
    refused(&site, "POST", "/api/datasets", &json!({"name": "x", "path": path}), 404, "there is no file");
    site.weir(&["hunts", "delete", hunt]).well();
    assert_eq!(site.api().get::<Value>("/api/datasets")[0]["hunt_id"], Value::Null);
    site.weir(&["datasets", "delete", dataset]).well();
    site.weir(&["datasets", "delete", dataset]).badly(3, &["there is no dataset"]);
}

#[test]
fn a_span_of_kept_events_is_analysed_with_other_settings() {
    let site = site("[analyzers.brute_force]\nthreshold = 50\n");
    tell(&site, &vec![failed("203.0.113.9", "bob"); 12]);
    wait_for("they are kept", PATIENCE, || {
        (site.api().get::<Value>("/api/events?class=failed_sign_in")["total"].as_u64() > Some(0)).then_some(())
    });
    let dataset: Value = site.api().post("/api/datasets", &json!({"name": "today", "from": "2020-01-01T00:00:00Z"}));
    let request = json!({"dataset_id": dataset["id"], "analyzers": ["brute_force"],
        "config": {"brute_force": {"threshold": 10}}});
    let found: AnalysisReport = site.api().post("/api/alerts/analyze", &request);
    assert_eq!((found.alerts_created > 0, found.summary.rows_analyzed), (true, 12), "{found:?}");
    let empty: Value = site.api().post(
        "/api/datasets",
        &json!({"name": "long ago", "from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}),
    );
    refused(&site, "POST", "/api/alerts/analyze", &json!({"dataset_id": empty["id"]}), 404, "no rows");
}

#[test]
fn alerts_of_a_rule_that_belongs_to_a_hunt_belong_to_it_too() {
    let site = site("");
    let hunt: Value = site.api().post("/api/hunts", &json!({"name": "April"}));
    let rule = json!({"name": "Two sign-ins", "analyzer": "brute_force", "config": {"threshold": 2},
        "hunt_id": hunt["id"], "severity_override": "critical"});
    let _: Value = site.api().post("/api/alerts/rules", &rule);
    tell(&site, &vec![failed("203.0.113.9", "bob"); 3]);
    let id = hunt["id"].as_str().unwrap();
    let alerts = wait_for("its alerts", PATIENCE, || {
        let list: AlertList = site.api().get(&format!("/api/alerts?hunt_id={id}"));
        (list.total > 0).then_some(list.alerts)
    });
    assert!(alerts.iter().all(|alert| alert.rule.as_deref() == Some("two-sign-ins")), "{alerts:?}");
    assert_eq!(alerts[0].severity.name(), "critical");
}

#[test]
fn lists_answer_to_their_other_names_too() {
    let site = site("");
    let (white, black) = ("/api/security/ip/whitelist", "/api/security/ip/blacklist");
    let _: Value = site.api().post(black, &json!({"ip": "198.51.100.0/24", "reason": "a test", "ttl": 3600}));
    let _: Value = site.api().post(white, &json!({"ip": "198.51.100.9"}));
    assert_eq!(site.api().explain("198.51.100.8").verdict, "denied");
    assert_eq!(site.api().explain("198.51.100.9").verdict, "allowed");
    let rows: Value = site.api().get(black);
    assert_eq!((&rows[0]["ip"], &rows[0]["reason"]), (&json!("198.51.100.0/24"), &json!("a test")));
    refused(&site, "POST", black, &json!({"ip": "nowhere"}), 400, "no address");
    let gone = site.api().ask("DELETE", &format!("{black}?ip=198.51.100.0/24"), b"");
    assert_eq!(gone.status, 200, "{}", gone.text());
    let gone = site.api().ask("DELETE", white, json!({"ip": "198.51.100.9"}).to_string().as_bytes());
    assert_eq!(gone.status, 200, "{}", gone.text());
    assert_eq!(site.api().explain("198.51.100.9").verdict, "pass");
    let status: Value = site.api().get("/api/security/status");
    assert_eq!((&status["components"]["filter"]["state"], &status["ok"]), (&json!("ok"), &json!(true)), "{status}");
    for key in ["total_requests", "blocked_requests", "rate_limited", "ddos_blocked", "ip_blocked", "threat_detected"] {
        assert!(status["statistics"][key].is_u64(), "{status}");
    }
}
