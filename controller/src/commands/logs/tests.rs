use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::commands::tests::{Ended, run_with};

/// A rule for one request, and one for three of these within ten minutes.
const RULES: &str = "
title: Bang
id: bang
logsource: {category: webserver}
level: low
tags: [attack.t1190]
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

const CONFIG: &str = "[rules]\nshipped = false\n";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.0.path().join("rules")).unwrap();
        place.put("rules/test.yml", RULES.as_bytes());
        place.put("weir.toml", CONFIG.as_bytes());
        place
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    fn analyze(&self, args: &str, input: &'static str) -> Ended {
        let folder = self.0.path().display().to_string();
        let args = args.replace("DIR/", &format!("{folder}/"));
        let line = format!("-c {folder}/weir.toml logs analyze --rules {folder}/rules --without analyzers {args}");
        run_with(&line, std::path::Path::new("/nonexistent"), input)
    }
}

fn line(source: &str, minute: u32, target: &str) -> String {
    format!("{source} - - [28/Nov/2026:10:{minute:02}:00 +0000] \"GET {target} HTTP/1.1\" 404 9 \"-\" \"curl/8\"\n")
}

fn lines(of: &[(&str, u32, &str)]) -> String {
    of.iter().map(|(source, minute, target)| line(source, *minute, target)).collect()
}

fn alerts(document: &Value) -> Vec<(String, String, u64, String)> {
    let text = |alert: &Value, key: &str| alert[key].as_str().unwrap_or("-").to_owned();
    let alerts = document["alerts"].as_array().unwrap();
    let row = |alert: &Value| {
        (text(alert, "rule"), text(alert, "source"), alert["count"].as_u64().unwrap(), text(alert, "action"))
    };
    alerts.iter().map(row).collect()
}

#[test]
fn every_alert_is_listed_the_worst_first_with_what_would_have_been_done() {
    let place = Place::new();
    let log =
        [("192.0.2.7", 0, "/!a"), ("192.0.2.7", 1, "/!b"), ("192.0.2.8", 1, "/!c"), ("192.0.2.7", 2, "/!d?pass=x")];
    place.put("access.log", format!("{}no line\n", lines(&log)).as_bytes());
    let document = place.analyze("DIR/access.log -o json", "").well().json();
    let expected =
        [("three", "192.0.2.7", 1, "deny"), ("bang", "192.0.2.7", 3, "observe"), ("bang", "192.0.2.8", 1, "observe")];
    let expected: Vec<_> = expected
        .iter()
        .map(|(rule, source, count, action)| (rule.to_string(), source.to_string(), *count, action.to_string()))
        .collect();
    assert_eq!(alerts(&document), expected);
    for (key, value) in [("files", 1), ("lines", 5), ("parsed", 4), ("unparsed", 1), ("sources", 2), ("left_out", 0)] {
        assert_eq!(document[key], value, "{key}");
    }
    let worst = &document["alerts"][0];
    assert_eq!((worst["severity"].as_str(), worst["action_for_s"].as_u64()), (Some("high"), Some(3_600)));
    assert_eq!(worst["first_seen"], "2026-11-28T10:02:00Z");
    let bang = &document["alerts"][1];
    assert_eq!((bang["technique"][0].as_str(), bang["title"].as_str()), (Some("T1190"), Some("Bang")));
    assert!(bang["evidence"][2].as_str().unwrap().contains("/!d?pass=*** HTTP"), "{bang}");
    assert_eq!(document["inputs"][0]["unparsed"]["format"]["first"][0], 5);
    let text = place.analyze("DIR/access.log", "").well().out;
    assert!(text.contains("1 source would be denied") && text.contains("line 5"), "{text}");
}

#[test]
fn a_rotated_set_is_one_log_whatever_the_order_of_its_names() {
    let place = Place::new();
    place.put("access.log", lines(&[("192.0.2.7", 20, "/!c"), ("192.0.2.7", 30, "/")]).as_bytes());
    place.put("access.log.1", lines(&[("192.0.2.7", 15, "/!b")]).as_bytes());
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(lines(&[("192.0.2.7", 0, "/"), ("192.0.2.7", 12, "/!a")]).as_bytes()).unwrap();
    place.put("access.log.2.gz", &packed.finish().unwrap());
    let args = "DIR/access.log DIR/access.log.1 DIR/access.log.2.gz -o json";
    let document = place.analyze(args, "").well().json();
    // Within ten minutes of each other, if they are read in the order of time.
    assert_eq!(alerts(&document)[0].0, "three");
    assert_eq!(document["first"], "2026-11-28T10:00:00Z");
    assert_eq!(document["files"], 3);
}

#[test]
fn standard_input_is_a_file_too() {
    let place = Place::new();
    let line = "192.0.2.7 - - [28/Nov/2026:10:00:00 +0000] \"GET /! HTTP/1.1\" 404 9 \"-\" \"curl/8\"";
    let document = place.analyze("- -o json", line).well().json();
    assert_eq!((document["lines"].as_u64(), alerts(&document).len()), (Some(1), 1));
}

#[test]
fn a_file_that_cannot_be_read_fails_and_the_rest_is_judged() {
    let place = Place::new();
    place.put("access.log", line("192.0.2.7", 0, "/!").as_bytes());
    let ended = place.analyze("DIR/none.log DIR/access.log DIR/rules -o json", "").with(1, "none.log");
    assert!(ended.err.contains("rules") && ended.err.contains("what could be read was judged"), "{ended:?}");
    let document = ended.json();
    assert_eq!(alerts(&document).len(), 1);
    assert!(document["inputs"][0]["problem"].as_str().unwrap().contains("No such file"));
    assert!(document["inputs"][2]["problem"].as_str().unwrap().contains("folder"));
}

#[test]
fn a_trusted_proxy_is_not_denied_and_names_the_client() {
    let place = Place::new();
    let log = lines(&[("192.0.2.7", 0, "/!"), ("192.0.2.7", 1, "/!"), ("192.0.2.7", 2, "/!")]);
    place.put("access.log", log.as_bytes());
    let document = place.analyze("DIR/access.log --trusted-proxy 192.0.2.0/28 -o json", "").well().json();
    let worst = &document["alerts"][0];
    assert_eq!((worst["rule"].as_str(), worst["action"].as_str()), (Some("three"), Some("observe")));
    assert!(worst["refused"].as_str().unwrap().contains("trusted proxy"), "{worst}");
}

#[test]
fn the_configuration_says_what_is_otherwise_about_rules() {
    let place = Place::new();
    let changed = format!("{CONFIG}[[rules.override]]\nid = \"bang\"\nseverity = \"critical\"\n");
    place.put("weir.toml", changed.as_bytes());
    place.put("access.log", line("192.0.2.7", 0, "/!").as_bytes());
    let document = place.analyze("DIR/access.log -o json", "").well().json();
    assert_eq!(document["alerts"][0]["severity"], "critical");
    let document = place.analyze("DIR/access.log --without rules -o json", "").well().json();
    assert_eq!(alerts(&document), []);
}

#[test]
fn what_cannot_be_meant_is_told_before_anything_is_read() {
    let place = Place::new();
    place.analyze("- --format grok", "").with(2, "grok");
    place.analyze("- --format combind", "").with(2, "combined");
    place.analyze("- --zone Mars/Olympus", "").with(1, "Mars/Olympus");
    place.analyze("- --rules /nonexistent", "").with(1, "/nonexistent");
}
