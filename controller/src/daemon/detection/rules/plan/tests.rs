//! What a change to the rules comes to, without a daemon.
use std::collections::BTreeMap;

use super::super::compile::compile;
use super::*;
use crate::adapters::rules::Files;
use crate::domain::http::severity::Severity;
use crate::domain::report::OverrideRequest;

const YAML: &str = "title: A door\nid: door\nlevel: high\nlogsource: {category: webserver}\ndetection:\n  sel:\n    \
                    cs-uri-stem|contains: /door\n  condition: sel\n";

fn detection() -> Detection {
    let text = "[[logs]]\npath = \"/x\"\n[[rules.override]]\nid = \"door\"\nseverity = \"low\"\nthreshold = 3\n";
    crate::config::parse(text, "weir.toml", std::iter::empty()).unwrap().config.detection
}

fn text(text: &str) -> RuleChange {
    RuleChange::Text { id: None, text: text.to_owned(), is_json: text.starts_with('{') }
}

/// What is stored after these changes, one after the other; the last one's error.
fn after(changes: &[RuleChange]) -> Result<Stored, RuleError> {
    let detection = detection();
    let mut stored = Stored::default();
    for change in changes {
        let compiled = compile(&detection, &Files::default(), &stored);
        let rows = compiled.set.describe().into_iter().map(|info| super::super::row(info, &Overrides::new()));
        let own = stored.own.iter().filter_map(|(id, made)| match made {
            Made::Analyzer { rule } => Some(super::super::analyzer_row(id, rule)),
            Made::Sigma { .. } => None,
        });
        let known: Vec<RuleRow> = rows.chain(own).collect();
        stored = plan(change, &stored, &known, &detection)?.2;
    }
    Ok(stored)
}

#[track_caller]
fn refused(changes: &[RuleChange], words: &str) {
    let error = after(changes).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn a_rule_is_made_of_yaml_a_form_or_an_analyzer() {
    let form = r#"{"name":"A gate","severity":"low","conditions":[{"field":"cs-uri-stem","values":["/gate"]}]}"#;
    let analyzer = r#"{"name":"Two sign-ins","analyzer":"brute_force","config":{"threshold":2}}"#;
    let wrapped = serde_json::json!({"yaml": YAML.replace("door", "hall")}).to_string();
    let stored = after(&[text(YAML), text(form), text(analyzer), text(&wrapped)]).unwrap();
    assert_eq!(stored.own.keys().collect::<Vec<_>>(), ["a-gate", "door", "hall", "two-sign-ins"]);
    let compiled = compile(&detection(), &Files::default(), &stored);
    assert_eq!((compiled.set.len(), compiled.own.len(), compiled.problems.len()), (3, 1, 0), "{:?}", compiled.problems);
    assert_eq!(compiled.own[0].settings.brute_force.threshold, 2);
    assert!(!compiled.own[0].settings.anomaly.enabled, "that analyzer alone");
}

#[test]
fn what_is_no_rule_is_refused_and_says_why() {
    refused(&[text(&YAML.replace("level: high", "level: hihg"))], "line 3");
    refused(&[text("just text")], "no rule");
    refused(&[text("{")], "EOF");
    refused(&[text(r#"{"name":"x"}"#)], "a rule is YAML (Sigma), a form");
    refused(&[text(r#"{"name":"?!","analyzer":"anomaly"}"#)], "name is missing");
    refused(&[text(r#"{"name":"x","analyzer":"brute_froce"}"#)], "brute_force");
    refused(&[text(r#"{"name":"x","analyzer":"brute_force","config":{"treshold":1}}"#)], "threshold");
    refused(&[text(YAML), text(YAML)], "there is a rule \"door\" already");
    let other = RuleChange::Text { id: Some("nowhere".to_owned()), text: YAML.to_owned(), is_json: false };
    refused(&[text(YAML), other], "there is no rule \"nowhere\"");
    let renamed = YAML.replace("id: door", "id: gate");
    let renamed = RuleChange::Text { id: Some("door".to_owned()), text: renamed, is_json: false };
    refused(&[text(YAML), renamed], "its id is \"gate\"");
    refused(&[RuleChange::Delete("door".to_owned())], "there is no rule");
    refused(&[RuleChange::Override("door".to_owned(), OverrideRequest::default())], "there is no rule");
    let analyzer = text(r#"{"name":"x","analyzer":"anomaly"}"#);
    let change = OverrideRequest { threshold: Some(1), ..OverrideRequest::default() };
    refused(&[analyzer, RuleChange::Override("x".to_owned(), change)], "`config` says these");
}

#[test]
fn what_people_say_goes_before_the_settings_and_adds_up() {
    let change = |change: OverrideRequest| RuleChange::Override("door".to_owned(), change);
    let stored = after(&[
        text(YAML),
        change(OverrideRequest { severity: Some(Severity::Critical), ..OverrideRequest::default() }),
        change(OverrideRequest { enabled: Some(false), ..OverrideRequest::default() }),
    ])
    .unwrap();
    let all = super::super::overrides(&detection(), &stored);
    let door = &all["door"];
    assert_eq!((door.enabled, door.severity, door.threshold), (Some(false), Some(Severity::Critical), Some(3)));
    let stored = after(&[
        text(YAML),
        change(OverrideRequest { enabled: Some(false), ..OverrideRequest::default() }),
        RuleChange::Delete("door".to_owned()),
    ]);
    assert_eq!(stored.unwrap(), Stored::default());
}

#[test]
fn the_store_holds_what_was_made_and_gives_it_back() {
    let change = OverrideRequest { enabled: Some(false), ..OverrideRequest::default() };
    let stored = after(&[
        text(YAML),
        text(r#"{"name":"x","analyzer":"anomaly"}"#),
        RuleChange::Override("door".to_owned(), change),
    ])
    .unwrap();
    let mut rows = BTreeMap::new();
    for change in Stored::default().changes(&stored) {
        if let crate::adapters::store::Change::PutRule { id, rule } = change {
            rows.insert(id, rule);
        }
    }
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["override/door", "own/door", "own/x"]);
    assert_eq!(Stored::read(rows.clone()), (stored.clone(), Vec::new()));
    assert!(stored.changes(&stored).is_empty());
    assert_eq!(stored.changes(&Stored::default()).len(), 3);
    rows.insert("own/bad".to_owned(), "{".to_owned());
    rows.insert("strange".to_owned(), "{}".to_owned());
    let (read, problems) = Stored::read(rows);
    assert_eq!((read, problems.len()), (stored, 2));
}
