//! Logs, events, rules and alerts.
use std::path::PathBuf;

use weir_common::traffic::Dimension;

use super::*;
use crate::domain::http::severity::Severity;
use crate::domain::limits::Rate;

#[test]
fn nothing_is_read_or_heard_until_it_is_asked_for() {
    let detection = config("").detection;
    assert!(!detection.is_on());
    assert!(detection.rules.enabled && detection.rules.shipped && detection.alerts.enforce);
    assert_eq!((detection.rules.max_state, detection.rules.budget_us_per_kib), (100_000, 50));
    let AlertSettings { fold_s, most, retention_s, longest_s, .. } = detection.alerts;
    assert_eq!((fold_s, most, retention_s, longest_s), (3_600, 100_000, 7 * 86_400, 7 * 86_400));
    for text in [
        "[[logs]]\npath = \"/x\"",
        "events.application = true",
        "events.syslog = \"/run/weir/log.sock\"",
        "events.syslog_udp = \"[::1]:5514\"",
    ] {
        assert!(config(text).detection.is_on(), "{text}");
    }
}

#[test]
fn every_setting_reaches_the_configuration() {
    let detection = config(
        r#"
        [[logs]]
        path = "/var/log/nginx/access.log"
        [[logs]]
        name = "shop"
        path = "/srv/a.log"
        paths = ["/srv/*.log"]
        format = "combined"
        zone = "Europe/Berlin"
        trusted_proxies = ["192.0.2.1"]
        [[logs]]
        name = "own"
        path = "/srv/own"
        pattern = "%{IP:client} %{WORD:method}"
        [events]
        application = true
        syslog = "/run/weir/log.sock"
        syslog_group = "adm"
        syslog_udp = "127.0.0.1:5514"
        trusted_proxies = ["198.51.100.0/24"]
        oldest = "10m"
        [rules]
        enabled = false
        shipped = false
        dirs = ["/etc/weir/rules"]
        max_state = 5_000
        budget_us_per_kib = 5
        [[rules.override]]
        id = "a"
        enabled = false
        [[rules.override]]
        id = "b"
        severity = "HIGH"
        threshold = 7
        within = "2m"
        response = "limit"
        for = "3m"
        [alerts]
        enforce = false
        fold = "2h"
        max = 1_000
        retention = "1d"
        longest = "5m"
        "#,
    )
    .detection;
    let names: Vec<_> = detection.logs.iter().map(|log| log.name.as_str()).collect();
    assert_eq!(names, ["access.log", "shop", "own"]);
    let shop = &detection.logs[1];
    assert_eq!(shop.paths, ["/srv/a.log", "/srv/*.log"]);
    assert_eq!((shop.format.name(), shop.zone.as_deref()), ("combined", Some("Europe/Berlin")));
    assert_eq!(shop.trusted_proxies.len(), 1);
    assert_eq!(detection.logs[2].pattern.as_deref(), Some("%{IP:client} %{WORD:method}"));
    let events = &detection.events;
    assert_eq!((events.application, events.oldest_s), (true, 600));
    assert_eq!(
        (events.syslog.clone(), events.syslog_group.as_deref()),
        (Some("/run/weir/log.sock".into()), Some("adm"))
    );
    assert_eq!(events.syslog_udp, "127.0.0.1:5514".parse().ok());
    let rules = &detection.rules;
    assert_eq!((rules.enabled, rules.shipped, rules.max_state, rules.budget_us_per_kib), (false, false, 5_000, 5));
    assert_eq!(rules.dirs, [PathBuf::from("/etc/weir/rules")]);
    let [off, other] = rules.overrides.as_slice() else { panic!("{:?}", rules.overrides) };
    assert_eq!((off.id.as_str(), off.enabled, off.response), ("a", false, None));
    let wanted = (Some(Severity::High), Some(7), Some(120), Some(Response::Limit { for_s: 180 }));
    assert_eq!((other.severity, other.threshold, other.within_s, other.response), wanted);
    let AlertSettings { enforce, fold_s, most, retention_s, longest_s, dataset_dirs } = detection.alerts;
    assert_eq!(dataset_dirs, [PathBuf::from("/var/log")]);
    assert_eq!((enforce, fold_s, most, retention_s, longest_s), (false, 7_200, 1_000, 86_400, 300));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    for (text, message) in [
        (
            "[[logs]]\nname = \"x\"\n",
            "weir.toml:1:1: \"logs[0].path\" is missing: a [[logs]] section names the file it is about, or several in `paths`",
        ),
        (
            "[[logs]]\npath = \"access.log\"\n",
            "weir.toml:2:8: \"logs[0].path\" is \"access.log\": a path must be absolute, from / on",
        ),
        (
            "[[logs]]\nfile = \"/x\"\n",
            "weir.toml:2:1: unknown key \"file\" in [[logs]]; did you mean \"file\" in [crowdsec]?",
        ),
        (
            "[[logs]]\npath = \"/a/x.log\"\n[[logs]]\npath = \"/b/x.log\"\n",
            "weir.toml:4:8: \"logs[1].path\" is \"x.log\": another [[logs]] section has this name; give each a `name` of its own",
        ),
        (
            "[[logs]]\npath = \"/x\"\npattern = \"%{IP:c-ip}\"\nformat = \"caddy\"\n",
            "weir.toml:4:10: \"logs[0].format\" is \"caddy\": a log has either a format or a pattern",
        ),
        (
            "events.syslog_udp = \"0.0.0.0:514\"\n",
            "weir.toml:1:21: \"events.syslog_udp\" is \"0.0.0.0:514\": anybody could send lines there; only an address of this machine itself (127.0.0.1, ::1) is taken",
        ),
        ("rules.overide = []\n", "weir.toml:1:7: unknown key \"overide\" in [rules]; did you mean \"override\"?"),
        (
            "[[rules.override]]\nid = \"x\"\nseverity = \"hihg\"\n",
            "weir.toml:3:12: \"rules.override[0].severity\" is \"hihg\"; it must be one of low, medium, high, critical; did you mean \"high\"?",
        ),
        (
            "[[rules.override]]\nid = \"x\"\nresponse = \"notify\"\nfor = \"1m\"\n",
            "weir.toml:4:7: \"rules.override[0].for\" is \"1m\": notify is nothing that lasts",
        ),
        (
            "[[rules.override]]\nid = \"x\"\n[[rules.override]]\nid = \"x\"\n",
            "weir.toml:4:6: \"rules.override[1].id\": \"x\" is named twice",
        ),
        (
            "[alerts]\nlongest = \"30s\"\n",
            "weir.toml:2:11: \"alerts.longest\" is 30 seconds; it must be from 60 to 31622400",
        ),
        ("alerts.max = 5\n", "weir.toml:1:14: \"alerts.max\" is 5; it must be from 100 to 10000000"),
    ] {
        check(text, message);
    }
}

#[test]
fn rules_have_a_limit_to_give_unless_one_is_set() {
    let of = |text: &str| {
        let config = config(text);
        let number = config.profiles.get("rules-limit").copied();
        number
            .and_then(|number| config.floods.limit_of(number).copied())
            .and_then(|limit| limit.rate(Dimension::Packets))
    };
    let packets = |rate: Option<Rate>| rate.map(|rate| (rate.per_second().get(), rate.burst().get()));
    assert_eq!(packets(of("")), None, "nothing is limited by itself");
    let logs = "[[logs]]\npaths = [\"/var/log/a.log\"]\n";
    assert_eq!(packets(of(logs)), Some((50, 500)));
    let tight = format!("{logs}[limits.tight]\npackets_per_second = 5\n");
    assert_eq!(packets(of(&tight)), None, "it has the tighter limit");
    let own = format!(
        "{logs}[[limits.profiles]]\nname = \"slow\"\npackets_per_second = 9\nburst = 20\n[[lists]]\nname = \"rules-limit\"\nenforcement = \"limit\"\nlimit = \"slow\"\n"
    );
    assert_eq!(packets(of(&own)), Some((9, 20)));
}
