//! Rules of one's own: made, changed, switched, broken.
use weir::domain::report::{RuleDetail, RuleRow};

use super::*;

/// A rule of one's own as a form.
fn form(name: &str, path: &str) -> Value {
    json!({
        "name": name,
        "severity": "critical",
        "conditions": [{"field": "cs-uri-stem", "compare": "startswith", "values": [path]}],
        "response": {"do": "deny", "for_s": 3600},
    })
}

#[test]
fn rules_of_ones_own_are_made_changed_switched_and_outlive_a_restart() {
    let mut setup = Setup::new("1h", "");
    let made: Value = setup.site.api().post("/api/alerts/rules", &form("Secret door", "/door"));
    assert_eq!((&made["id"], &made["changed"]), (&json!("secret-door"), &json!(true)));
    setup.write(&[line("192.0.2.30", "/door")]);
    setup.is("192.0.2.30", "rule");
    let again = setup.site.api().ask("POST", "/api/alerts/rules", form("Secret door", "/x").to_string().as_bytes());
    assert_eq!(again.status, 409, "{}", again.text());
    // In YAML, through the command line; with a dry run first.
    let yaml = setup
        .site
        .place
        .file("own.yml", PROBE.replace("FOR", "1h").replace("/probe", "/gate").replace("test-probe", "gate"));
    setup.site.weir(&["rules", "create", &yaml, "--dry-run"]).well();
    assert!(setup.site.api().get::<Vec<RuleRow>>("/api/alerts/rules").iter().all(|row| row.id != "gate"));
    setup.site.weir(&["rules", "create", &yaml]).well();
    setup.site.weir(&["rules", "update", "test-probe", "--severity", "low", "--response", "observe"]).well();
    setup.site.weir(&["rules", "disable", "secret-door"]).well();
    setup.site.kill();
    setup.site.start();
    setup.is_followed();
    let rows: Vec<RuleRow> = setup.site.api().get("/api/alerts/rules");
    let row = |id: &str| rows.iter().find(|row| row.id == id).unwrap();
    assert_eq!((row("gate").origin.as_str(), row("gate").enabled), ("own", true));
    assert_eq!((row("secret-door").enabled, row("test-probe").overridden), (false, true));
    assert_eq!(setup.site.api().get::<Vec<RuleRow>>("/api/alerts/rules/list?enabled=false").len(), 1);
    setup.write(&[line("192.0.2.31", "/gate"), line("192.0.2.32", "/door"), line("192.0.2.33", "/probe")]);
    setup.is("192.0.2.31", "rule");
    assert_eq!(setup.site.api().explain("192.0.2.32").verdict, "pass");
    assert_eq!(setup.site.api().explain("192.0.2.33").verdict, "pass");
    let detail: RuleDetail = setup.site.api().get("/api/alerts/rules/gate");
    assert!(detail.text.contains("/gate"), "{}", detail.text);
    setup.site.weir(&["rules", "show", "test-probe"]).well();
    setup.site.weir(&["rules", "delete", "gate"]).well();
    setup.site.weir(&["rules", "delete", "test-probe"]).well();
    setup.site.weir(&["rules", "show", "gate"]).badly(3, &["there is no rule"]);
    setup.write(&[line("192.0.2.34", "/gate"), line("192.0.2.35", "/probe")]);
    setup.is("192.0.2.35", "rule");
    assert_eq!(setup.site.api().explain("192.0.2.34").verdict, "pass");
}

#[test]
fn what_is_no_rule_is_refused_with_its_line() {
    let setup = Setup::new("1h", "");
    let bad = PROBE.replace("FOR", "1h").replace("test-probe", "bad").replace("level: high", "level: hihg");
    let file = setup.site.place.file("bad.yml", &bad);
    let line = bad.lines().position(|line| line.starts_with("level")).unwrap() + 1;
    setup.site.weir(&["rules", "create", &file]).badly(1, &["hihg", &format!("line {line}")]);
    setup.site.weir(&["rules", "check", &file]).badly(1, &["not all of it is well"]);
    let unknown = json!({"name": "x", "analyzer": "brute_froce"});
    let answer = setup.site.api().ask("POST", "/api/alerts/rules", unknown.to_string().as_bytes());
    assert!(answer.status == 400 && answer.text().contains("brute_force"), "{}", answer.text());
    assert_eq!(setup.site.api().ask("PUT", "/api/alerts/rules/nowhere", b"{\"enabled\":true}").status, 404);
    assert_eq!(setup.site.api().ask("DELETE", "/api/alerts/rules/nowhere", b"").status, 404);
}

#[test]
fn a_rule_may_use_an_analyzer_with_settings_of_its_own() {
    let setup = Setup::new("1h", "[events]\napplication = true\n[analyzers.brute_force]\nenabled = false");
    let rule =
        json!({"name": "Two sign-ins", "analyzer": "brute_force", "config": {"threshold": 2, "response": "deny 1h"}});
    let made: Value = setup.site.api().post("/api/alerts/rules", &rule);
    assert_eq!(made["id"], "two-sign-ins");
    let event = json!({"type": "auth_failed", "address": "192.0.2.7", "user": "bob"});
    let _: Value = setup.site.api().post("/api/events", &vec![event; 2]);
    setup.is("192.0.2.7", "rule");
    wait_for("its alert", PATIENCE, || {
        let list: AlertList = setup.site.api().get("/api/alerts?analyzer=two-sign-ins");
        (list.total >= 1).then_some(())
    });
}

#[test]
fn a_reload_with_a_broken_rule_changes_nothing_and_names_it() {
    let setup = Setup::new("1h", "");
    fs::write(setup.rules.join("broken.yml"), "title: x\ndetection: [\n").unwrap();
    fs::write(setup.rules.join("probe.yml"), PROBE.replace("FOR", "1h").replace("/probe", "/other")).unwrap();
    setup.site.weir(&["config", "reload"]).badly(1, &["broken.yml:", "the rules before stay"]);
    setup.write(&[line("192.0.2.9", "/probe")]);
    setup.is("192.0.2.9", "rule");
    // Mended, what is new is in force.
    fs::remove_file(setup.rules.join("broken.yml")).unwrap();
    setup.site.weir(&["config", "reload"]).well();
    wait_for("the other rule", PATIENCE, || {
        setup.write(&[line("192.0.2.10", "/other")]);
        (setup.site.api().explain("192.0.2.10").verdict == "rule").then_some(())
    });
}

#[test]
fn at_a_start_a_broken_rule_is_named_and_the_others_are_used() {
    let mut setup = Setup::idle("1h", "");
    fs::write(setup.rules.join("broken.yml"), "title: x\ndetection: [\n").unwrap();
    setup.site.start();
    setup.is_followed();
    setup.problem("broken.yml:");
    setup.write(&[line("192.0.2.9", "/probe")]);
    setup.is("192.0.2.9", "rule");
}
