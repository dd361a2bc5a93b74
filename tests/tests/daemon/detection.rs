//! From a line or an event to a drop in the kernel, and what is told of it.
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use weir::domain::decision::ListEnforcement;
use weir::domain::report::{AlertList, DeniedUserRow, ExplainEntry};
use weir_tests::frames::V4;
use weir_tests::harness::{PATIENCE, Plan, Site, wait_for};

mod rules;

/// Finds a request for `/probe`, and denies who sent it.
const PROBE: &str = "
title: A probe
id: test-probe
level: high
tags: [attack.t1595]
logsource:
    category: webserver
detection:
    selection:
        cs-uri-stem|contains: /probe
    condition: selection
weir:
    response: deny
    for: FOR
";

/// A log, a folder with one rule, and settings that follow both.
struct Setup {
    site: Site,
    log: PathBuf,
    rules: PathBuf,
}

impl Setup {
    fn new(lasts: &str, more: &str) -> Self {
        let mut setup = Self::idle(lasts, more);
        setup.site.start();
        setup.is_followed();
        setup
    }

    fn idle(lasts: &str, more: &str) -> Self {
        let site = Site::idle(&Plan::default());
        let (log, rules) = (site.place.folder().join("access.log"), site.place.folder().join("rules"));
        fs::write(&log, "").unwrap();
        fs::create_dir(&rules).unwrap();
        fs::write(rules.join("probe.yml"), PROBE.replace("FOR", lasts)).unwrap();
        let setup = Self { site, log, rules };
        setup.configure(more);
        setup
    }

    /// With this response in place of a denial.
    fn responding(response: &str, lasts: &str, more: &str) -> Self {
        let mut setup = Self::idle(lasts, more);
        let rule = PROBE.replace("FOR", lasts).replace("response: deny", &format!("response: {response}"));
        fs::write(setup.rules.join("probe.yml"), rule).unwrap();
        setup.site.start();
        setup.is_followed();
        setup
    }

    fn configure(&self, more: &str) {
        self.site.place.configure(&format!(
            "[rules]\nshipped = false\ndirs = [\"{}\"]\n{more}\n[[logs]]\npath = \"{}\"\n",
            self.rules.display(),
            self.log.display()
        ));
    }

    #[track_caller]
    fn is_followed(&self) {
        wait_for("the log is followed", PATIENCE, || {
            let row = self.site.api().status().detection?;
            row.inputs.iter().any(|input| input.state == "following").then_some(())
        });
    }

    fn write(&self, lines: &[String]) {
        append(&self.log, lines);
    }

    fn alerts(&self) -> AlertList {
        self.site.api().get("/api/alerts?limit=500")
    }

    #[track_caller]
    fn wait_for_alerts(&self, total: u64) -> AlertList {
        wait_for(&format!("{total} alerts"), PATIENCE, || {
            let list = self.alerts();
            (list.total == total).then_some(list)
        })
    }

    #[track_caller]
    fn is(&self, address: &str, verdict: &str) {
        wait_for(&format!("{address} is {verdict}"), PATIENCE, || {
            (self.site.api().explain(address).verdict == verdict).then_some(())
        });
    }

    /// Waits until a source is limited, by the kernel's word; its entry.
    #[track_caller]
    fn is_limited(&self, address: &str) -> ExplainEntry {
        let start = Instant::now();
        loop {
            let explained = self.site.api().explain(address);
            let is_in_force = explained.reason.contains("limit tight");
            let entry = explained.entries.iter().find(|entry| entry.list == "rules-limit");
            if let Some(entry) = entry.filter(|_| is_in_force) {
                return entry.clone();
            }
            assert!(start.elapsed() < PATIENCE, "{address} is not limited: {explained:?} {:?}", self.alerts());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends three hundred packets of a source at once, and says how many of them were over its limit.
    #[track_caller]
    fn over_limit(&self, last: u8) -> u64 {
        let counted = || {
            let status = self.site.api().status();
            (status.packets.seen, status.verdicts.get("rate_source").map_or(0, |row| row.packets))
        };
        let before = counted();
        self.site.send(&vec![from(last); 300]);
        wait_for("three hundred packets", PATIENCE, || {
            let now = counted();
            (now.0 == before.0 + 300).then(|| now.1 - before.1)
        })
    }

    fn denied_users(&self) -> Vec<DeniedUserRow> {
        self.site.api().get("/api/users/denied")
    }

    #[track_caller]
    fn problem(&self, words: &str) -> String {
        wait_for(&format!("a problem with {words:?}"), PATIENCE, || {
            self.site.api().status().health.problems.into_iter().find(|problem| problem.contains(words))
        })
    }
}

fn append(log: &Path, lines: &[String]) {
    let mut file = OpenOptions::new().append(true).create(true).open(log).unwrap();
    file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
}

/// A line of a combined log, of this long ago.
fn line_of(source: &str, path: &str, ago_s: i64) -> String {
    let at = Timestamp::now() - SignedDuration::from_secs(ago_s);
    let at = at.strftime("%d/%b/%Y:%H:%M:%S +0000");
    format!("{source} - - [{at}] \"GET {path} HTTP/1.1\" 404 153 \"-\" \"Mozilla/5.0\"")
}

fn line(source: &str, path: &str) -> String {
    line_of(source, path, 0)
}

fn from(last: u8) -> Vec<u8> {
    V4::from([192, 0, 2, last]).frame()
}

#[test]
fn a_line_in_a_followed_log_becomes_an_alert_and_a_drop_that_ends() {
    let setup = Setup::new("3s", "");
    setup.site.send(&[from(9)]);
    setup.site.saw(&[("pass", 1)]);
    setup.write(&[line("192.0.2.8", "/"), line("192.0.2.9", "/probe?x=1")]);
    setup.is("192.0.2.9", "rule");
    setup.site.send(&[from(9), from(8)]);
    setup.site.saw(&[("rule", 1), ("pass", 1)]);
    let list = setup.wait_for_alerts(1);
    let alert = &list.alerts[0];
    assert_eq!(
        (alert.rule.as_deref(), alert.source.as_deref(), alert.count),
        (Some("test-probe"), Some("192.0.2.9"), 1)
    );
    assert_eq!((alert.severity.name(), alert.techniques.as_slice()), ("high", ["T1595".to_owned()].as_slice()));
    assert_eq!((alert.action.name(), alert.action_target.as_deref()), ("deny", Some("192.0.2.9/32")));
    assert!(alert.evidence[0].contains("GET /probe?x=1"), "{:?}", alert.evidence);
    let explained = setup.site.api().explain("192.0.2.9");
    let entry = explained.entries.iter().find(|entry| entry.decides).unwrap();
    assert_eq!((entry.list.as_str(), entry.origin.as_str()), ("rules", "rule"));
    let id = alert.id.to_string();
    assert!(entry.reason.contains("test-probe") && entry.reason.contains(&id), "{}", entry.reason);
    assert_eq!(
        explained.alerts.iter().map(|alert| alert.id.to_string()).collect::<Vec<_>>(),
        std::slice::from_ref(&id)
    );
    let text = setup.site.weir(&["explain", "192.0.2.9"]).well();
    assert!(text.contains("test-probe") && text.contains(&id), "{text}");
    let shown = setup.site.weir(&["alerts", "show", &id]).well();
    assert!(shown.contains("A probe") && shown.contains("deny 192.0.2.9/32"), "{shown}");
    // The kernel ends it by itself.
    setup.is("192.0.2.9", "pass");
    setup.site.send(&[from(9)]);
    setup.site.saw(&[("pass", 1)]);
}

#[test]
fn repeats_are_one_alert_and_one_denial() {
    let setup = Setup::new("1h", "");
    let lines: Vec<String> = (0..500).map(|n| line("192.0.2.9", &format!("/probe/{n}"))).collect();
    setup.write(&lines);
    let list = wait_for("all of them in one alert", PATIENCE, || {
        let list = setup.alerts();
        (list.alerts.first()?.count == 500).then_some(list)
    });
    assert_eq!(list.total, 1);
    let entries: Vec<Value> = setup.site.api().get("/api/block");
    assert_eq!(entries.len(), 1, "{entries:?}");
    let stats: Value = setup.site.api().get("/api/alerts/stats");
    assert_eq!(
        (&stats["total"], &stats["severity_counts"]["high"], &stats["status_counts"]["new"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(stats["top_mitre"], json!([{"technique": "T1595", "count": 1}]));
}

#[test]
fn failed_sign_ins_of_an_application_deny_their_source() {
    let setup = Setup::new("1h", "[events]\napplication = true");
    let event = json!({"type": "auth_failed", "address": "192.0.2.7", "user": "bob", "endpoint": "/login"});
    let answer: Value = setup.site.api().post("/api/events", &vec![event; 6]);
    assert_eq!(answer, json!({"accepted": 6, "rejected": []}));
    setup.is("192.0.2.7", "rule");
    setup.site.send(&[from(7)]);
    setup.site.saw(&[("rule", 1)]);
    wait_for("its alert", PATIENCE, || {
        let query = "analyzer=brute_force&source=192.0.2.7&min_severity=LOW&since=1h";
        let list: AlertList = setup.site.api().get(&format!("/api/alerts?{query}"));
        (list.total >= 1).then_some(())
    });
    wait_for("they are counted", PATIENCE, || {
        (setup.site.api().status().detection?.events["auth_failed"] == 6).then_some(())
    });
}

#[test]
fn events_that_cannot_be_taken_are_told_each_by_itself() {
    let setup = Setup::new("1h", "");
    let ask = |body: &Value| setup.site.api().ask("POST", "/api/events", body.to_string().as_bytes());
    let off = ask(&json!({"type": "login", "user": "x"}));
    assert_eq!(off.status, 409, "{}", off.text());
    setup.configure("[events]\napplication = true");
    setup.site.weir(&["config", "reload"]).well();
    let wrong = ask(&json!({"type": "auth_faild", "user": "x"}));
    assert!(wrong.status == 400 && wrong.text().contains("auth_failed"), "{}", wrong.text());
    let some =
        ask(&json!([{"type": "login", "user": "x"}, {"type": "login"}, {"type": "login", "address": "nowhere"}]));
    let some: Value = serde_json::from_str(&some.text()).unwrap();
    assert_eq!((&some["accepted"], some["rejected"].as_array().unwrap().len()), (&json!(1), 2));
    assert_eq!(some["rejected"][0]["index"], 1);
    assert_eq!(ask(&json!(vec![json!(0); 10_001])).status, 400);
    assert_eq!(setup.site.api().ask("POST", "/api/events", &vec![b' '; (1 << 20) + 1]).status, 413);
    wait_for("they are counted", PATIENCE, || {
        let row = setup.site.api().status().detection?;
        (row.rejected.get("nobody") == Some(&1) && row.rejected.get("address") == Some(&1)).then_some(())
    });
}

#[test]
fn a_server_may_log_to_a_socket() {
    let setup = Setup::idle("1h", "");
    let socket = setup.site.place.folder().join("log.sock");
    setup.configure(&format!("[events]\nsyslog = \"{}\"", socket.display()));
    let mut setup = setup;
    setup.site.start();
    wait_for("the socket", PATIENCE, || socket.exists().then_some(()));
    let sender = UnixDatagram::unbound().unwrap();
    let message = format!("<190>Nov 28 15:00:00 web nginx: {}", line("192.0.2.9", "/probe"));
    sender.send_to(message.as_bytes(), &socket).unwrap();
    setup.is("192.0.2.9", "rule");
}

#[test]
fn a_restart_neither_misses_nor_doubles_and_old_lines_deny_nobody() {
    let mut setup = Setup::new("1h", "");
    setup.write(&[line("192.0.2.10", "/probe")]);
    setup.is("192.0.2.10", "rule");
    setup.wait_for_alerts(1);
    setup.site.terminate();
    // What comes meanwhile: one of now, and one that is long past.
    setup.write(&[line("192.0.2.11", "/probe"), line_of("192.0.2.12", "/probe", 7_200)]);
    setup.site.start();
    setup.is("192.0.2.11", "rule");
    let list = setup.wait_for_alerts(3);
    assert!(list.alerts.iter().all(|alert| alert.count == 1), "{list:?}");
    assert_eq!(setup.site.api().explain("192.0.2.12").verdict, "pass");
    let old = list.alerts.iter().find(|alert| alert.source.as_deref() == Some("192.0.2.12")).unwrap();
    assert!(old.refused.is_some(), "{old:?}");
    // And what an alert of before was about goes on in it.
    setup.write(&[line("192.0.2.10", "/probe")]);
    wait_for("it counts up", PATIENCE, || {
        setup
            .alerts()
            .alerts
            .iter()
            .any(|alert| alert.source.as_deref() == Some("192.0.2.10") && alert.count == 2)
            .then_some(())
    });
    assert_eq!(setup.alerts().total, 3);
}

#[test]
fn killed_at_any_time_it_loses_no_decision_in_force() {
    let mut setup = Setup::new("1h", "");
    for round in 0..3u8 {
        let source = format!("192.0.2.{}", 20 + round);
        setup.write(&[line(&source, "/probe")]);
        setup.is(&source, "rule");
        setup.site.kill();
        setup.site.start();
        setup.is(&source, "rule");
        setup.is_followed();
    }
    let list = setup.wait_for_alerts(3);
    assert!(list.alerts.iter().all(|alert| alert.action.name() == "deny"), "{list:?}");
}

#[test]
fn the_client_behind_a_trusted_proxy_is_denied_and_the_proxy_never() {
    let setup = Setup::new("1h", "[events]\ntrusted_proxies = [\"192.0.2.50\"]");
    let at = Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
    let behind =
        |peer: &str, chain: &str| format!("{peer} - - [{at}] \"GET /probe HTTP/1.1\" 404 1 \"-\" \"x\" \"{chain}\"");
    setup.write(&[behind("192.0.2.50", "192.0.2.99, 192.0.2.51")]);
    setup.is("192.0.2.51", "rule");
    assert_eq!(
        setup.site.api().explain("192.0.2.99").verdict,
        "pass",
        "what stands left of the client is its own word"
    );
    // Whoever is no trusted proxy speaks for itself alone.
    setup.write(&[behind("192.0.2.52", "192.0.2.53")]);
    setup.is("192.0.2.52", "rule");
    assert_eq!(setup.site.api().explain("192.0.2.53").verdict, "pass");
    // The proxy itself, and an address of a CDN.
    setup.write(&[line("192.0.2.50", "/probe"), line("9.9.9.9", "/probe")]);
    let list = setup.wait_for_alerts(4);
    for guarded in ["192.0.2.50", "9.9.9.9"] {
        let alert = list.alerts.iter().find(|alert| alert.source.as_deref() == Some(guarded)).unwrap();
        assert!(alert.refused.as_deref().is_some_and(|why| why.contains("never blocked")), "{alert:?}");
        assert_eq!((alert.action.name(), setup.site.api().explain(guarded).verdict.as_str()), ("observe", "pass"));
    }
    wait_for("they are counted", PATIENCE, || {
        (setup.site.api().status().detection?.refused.get("never_block") == Some(&2)).then_some(())
    });
    let metrics = setup.site.api().ask("GET", "/metrics", b"").text();
    assert!(metrics.contains("weir_responses_refused_total{reason=\"never_block\"} 2"), "{metrics}");
    assert!(!metrics.contains("192.0.2.5"), "an address is in the metrics");
    super::endpoints::pleases_promtool(&metrics);
}

#[test]
fn what_is_lifted_by_hand_is_denied_again_when_it_comes_again() {
    let setup = Setup::new("1h", "");
    setup.write(&[line("192.0.2.9", "/probe")]);
    setup.is("192.0.2.9", "rule");
    setup.site.weir(&["block", "remove", "192.0.2.9"]).well();
    setup.is("192.0.2.9", "pass");
    wait_for("it is denied again", PATIENCE, || {
        setup.write(&[line("192.0.2.9", "/probe")]);
        (setup.site.api().explain("192.0.2.9").verdict == "rule").then_some(())
    });
}

#[test]
fn without_enforcement_denials_are_only_counted() {
    let setup = Setup::new("1h", "[alerts]\nenforce = false");
    setup.write(&[line("192.0.2.9", "/probe")]);
    wait_for("the entry", PATIENCE, || {
        let entries: Vec<Value> = setup.site.api().get("/api/block");
        (entries.first()?["enforcement"] == "observe").then_some(())
    });
    setup.site.send(&[from(9)]);
    setup.site.saw(&[("pass", 1), ("would rule", 1)]);
}

/// The limit of sources that a rule limits.
const TIGHT: &str = "[limits.tight]\npackets_per_second = 10\nburst = 20";

#[test]
fn a_limited_source_has_the_tighter_limit_also_after_a_restart() {
    let mut setup = Setup::responding("limit", "1h", TIGHT);
    setup.write(&[line("192.0.2.9", "/probe")]);
    let entry = setup.is_limited("192.0.2.9");
    assert_eq!((entry.origin.as_str(), entry.enforcement, entry.decides), ("rule", ListEnforcement::Limit, false));
    assert!(entry.reason.contains("test-probe") && entry.expires_at.is_some(), "{entry:?}");
    let list = setup.wait_for_alerts(1);
    let alert = &list.alerts[0];
    assert_eq!((alert.action.name(), alert.action_target.as_deref()), ("limit", Some("192.0.2.9/32")));
    let text = setup.site.weir(&["explain", "192.0.2.9"]).well();
    assert!(text.contains("rules-limit") && text.contains(&alert.id.to_string()), "{text}");
    // The burst, and what a busy machine's moment earns.
    let over = setup.over_limit(9);
    assert!((240..=280).contains(&over), "{over}");
    assert_eq!(setup.over_limit(8), 0, "nobody else is limited");
    let explained = setup.site.api().explain("192.0.2.9");
    assert_eq!((explained.verdict.as_str(), explained.rate.and_then(|rate| rate.limit)), ("pass", Some(10)));
    setup.site.kill();
    setup.site.start();
    let again = setup.is_limited("192.0.2.9");
    assert_eq!((again.prefix, again.origin), (entry.prefix, entry.origin));
    // What it had left of its burst may not have come back yet.
    let over = setup.over_limit(9);
    assert!((240..=300).contains(&over), "{over}");
    assert_eq!(setup.over_limit(8), 0, "nobody else is limited");
}

#[test]
fn a_limit_ends_by_time() {
    let setup = Setup::responding("limit", "5s", TIGHT);
    setup.write(&[line("192.0.2.9", "/probe")]);
    setup.is_limited("192.0.2.9");
    let over = setup.over_limit(9);
    assert!((240..=280).contains(&over), "{over}");
    wait_for("the limit's end", PATIENCE, || {
        let explained = setup.site.api().explain("192.0.2.9");
        (explained.entries.is_empty() && !explained.reason.contains("limit tight")).then_some(())
    });
    assert_eq!(setup.over_limit(9), 0);
}

#[test]
fn a_denied_user_is_told_of_outlives_a_restart_and_can_be_let_in_again() {
    let mut setup = Setup::responding("deny_user", "1h", "");
    // Without a name there is nobody to deny.
    setup.write(&[line("192.0.2.8", "/probe"), line("192.0.2.9", "/probe").replacen(" - - ", " - bob ", 1)]);
    let before = wait_for("a denied user", PATIENCE, || setup.denied_users().pop());
    let left = before.until.duration_since(Timestamp::now()).as_secs();
    assert!(before.user == "bob" && before.reason.contains("test-probe"), "{before:?}");
    assert!((3_500..=3_601).contains(&left), "{left} s");
    let list = setup.wait_for_alerts(2);
    let of = |source: &str| list.alerts.iter().find(|alert| alert.source.as_deref() == Some(source)).unwrap();
    let (named, nameless) = (of("192.0.2.9"), of("192.0.2.8"));
    assert_eq!((named.action.name(), named.action_target.as_deref()), ("deny_user", Some("bob")));
    assert!(nameless.action.name() == "observe" && nameless.refused.is_some(), "{nameless:?}");
    // Nothing in the kernel knows users.
    let explained = setup.site.api().explain("192.0.2.9");
    assert_eq!((explained.verdict.as_str(), explained.entries.len()), ("pass", 0));
    setup.site.send(&[from(9), from(8)]);
    setup.site.saw(&[("pass", 2)]);
    wait_for("it is counted", PATIENCE, || (setup.site.api().status().detection?.denied_users == 1).then_some(()));
    setup.site.terminate();
    setup.site.start();
    let after = setup.denied_users();
    assert_eq!(after.iter().map(|row| (&row.user, &row.reason)).collect::<Vec<_>>(), [(&before.user, &before.reason)]);
    assert!((after[0].until.as_second() - before.until.as_second()).abs() <= 1, "{before:?} {after:?}");
    let told = setup.site.weir(&["-o", "json", "alerts", "users", "list"]).well();
    assert_eq!(serde_json::from_str::<Vec<DeniedUserRow>>(&told).unwrap(), after);
    let told = setup.site.weir(&["alerts", "users", "list"]).well();
    assert!(told.contains("bob") && told.contains("test-probe") && told.contains("in "), "{told}");
    let told = setup.site.weir(&["alerts", "users", "lift", "bob", "--dry-run"]).well();
    assert!(told.contains("would be let in again") && setup.denied_users().len() == 1, "{told}");
    let told = setup.site.weir(&["alerts", "users", "lift", "bob"]).well();
    assert!(told.contains("is let in again"), "{told}");
    assert_eq!(setup.denied_users(), []);
    let answer = setup.site.api().ask("DELETE", "/api/users/denied/bob", b"");
    assert_eq!(answer.document::<Value>()["changed"], false, "there is nobody to lift any more");
    setup.site.terminate();
    setup.site.start();
    assert_eq!(setup.denied_users(), []);
    let told = setup.site.weir(&["alerts", "users", "list"]).well();
    assert!(told.contains("no user is denied"), "{told}");
}

#[test]
fn a_log_that_cannot_be_read_is_named_and_the_rest_goes_on() {
    let setup = Setup::idle("1h", "");
    let folder = setup.site.place.folder().join("no.log");
    fs::create_dir(&folder).unwrap();
    setup.configure(&format!("[[logs]]\nname = \"no\"\npath = \"{}\"", folder.display()));
    let mut setup = setup;
    setup.site.start();
    setup.is_followed();
    setup.problem("no.log");
    setup.write(&[line("192.0.2.9", "/probe")]);
    setup.is("192.0.2.9", "rule");
    let text = setup.site.weir(&["status"]).well();
    assert!(text.contains("access.log") && text.contains("following") && text.contains("no.log"), "{text}");
    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, "").unwrap();
    wait_for("the problem is over", PATIENCE, || {
        setup.site.api().status().health.problems.iter().all(|problem| !problem.contains("no.log")).then_some(())
    });
}

#[test]
fn a_database_of_alerts_that_cannot_be_written_stops_no_denial() {
    let mut setup = Setup::idle("1h", "");
    // Something is in its place that cannot be put aside.
    let path = setup.site.place.state().join("events.db");
    fs::create_dir_all(path.join("x")).unwrap();
    fs::set_permissions(setup.site.place.state(), fs::Permissions::from_mode(0o700)).unwrap();
    setup.site.start();
    setup.is_followed();
    setup.problem("events store");
    setup.write(&[line("192.0.2.9", "/probe")]);
    setup.is("192.0.2.9", "rule");
    assert_eq!(setup.site.api().ask("GET", "/api/alerts", b"").status, 503);
}

#[test]
fn filters_that_make_no_sense_are_refused_with_the_words_there_are() {
    let setup = Setup::new("1h", "");
    let ask = |query: &str| setup.site.api().ask("GET", &format!("/api/alerts?{query}"), b"");
    for (query, words) in [
        ("severity=hihg", "high"),
        ("status=done", "resolved"),
        ("limit=501", "1 to 500"),
        ("limit=0", "1 to 500"),
        ("since=yesterday", "24h"),
        ("source=example.org", "not an address"),
        ("wrong=1", "wrong"),
    ] {
        let answer = ask(query);
        assert!(answer.status == 400 && answer.text().contains(words), "{query}: {}", answer.text());
    }
    assert_eq!(setup.site.api().ask("GET", "/api/alerts/nonsense", b"").status, 404);
    let analyzers: Vec<Value> = setup.site.api().get("/api/alerts/analyzers/list");
    assert_eq!(analyzers.len(), 9);
    let lines = [
        setup.site.weir(&["alerts", "list", "--severity", "bad"]).badly(2, &["critical"]),
        setup.site.weir(&["alerts", "show", "0192f0c1-7e2a-7c3b-9d4e-5f6a7b8c9d0e"]).badly(3, &["there is no alert"]),
    ];
    drop(lines);
}

#[test]
fn nothing_runs_until_something_is_to_be_heard() {
    let site = Site::new("");
    assert_eq!(site.api().status().detection, None);
    assert!(!site.place.state().join("events.db").exists());
}
