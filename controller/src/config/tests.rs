mod detection;
mod environment;
mod floods;
mod history;
mod refused;
mod sources;
mod together;

use std::net::SocketAddr;
use std::path::Path;

use proptest::prelude::*;
use weir_common::traffic::Dimension;

use super::*;
use crate::domain::decision::{Enforcement, ListEnforcement};
use crate::domain::floods::Floods;
use crate::domain::http::finding::Response;
use crate::domain::limits::Limit;
use crate::domain::offenders::Consequence;

const SHIPPED: &str = include_str!("../../../packaging/weir.toml");

fn load(text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(text, "weir.toml", env)
}

#[track_caller]
fn config(text: &str) -> Config {
    match load(text, &[]) {
        Ok(loaded) => loaded.config,
        Err(error) => panic!("{error}"),
    }
}

/// What a limit allows: dimension, rate, burst.
fn rates(limit: &Limit) -> Vec<(Dimension, u64, u64)> {
    limit.rates().map(|(dimension, rate)| (dimension, rate.per_second().get(), rate.burst().get())).collect()
}

/// Settings that are lists of sections, empty.
const LISTS: [&str; 8] =
    ["lists", "feeds", "ports", "limits.profiles", "limits.ports", "logs", "rules.override", "reputation.policy"];

/// Reads a file and expects this error.
#[track_caller]
fn check(text: &str, message: &str) {
    check_env(text, &[], message);
}

#[track_caller]
fn check_env(text: &str, env: &[(&str, &str)], message: &str) {
    match load(text, env) {
        Ok(loaded) => panic!("accepted: {:?}", loaded.config),
        Err(error) => assert_eq!(error.to_string(), message),
    }
}

#[test]
fn nothing_given_is_a_configuration_that_runs() {
    let config = config("");
    assert_eq!(config.interfaces, []);
    assert_eq!((config.mode, config.enforcement), (Mode::Auto, Enforcement::Enforce));
    assert_eq!(config.state.dir, Path::new("/var/lib/weir"));
    assert_eq!(config.state.bpffs, None);
    assert_eq!((config.state.capacity.addresses, config.state.capacity.prefixes), (2_000_000, 1_000_000));
    assert_eq!(config.state.capacity.bytes, 128 << 20);
    assert_eq!(config.state.max_sources, 65_536);
    assert_eq!(config.api.socket, Path::new("/run/weir/weir.sock"));
    assert_eq!((config.api.group, config.api.listen), (None, None));
    assert_eq!(config.floods, Floods::default());
    assert_eq!(config.offenders, Consequence { deny_after: 0, deny_for_s: 60, longest_s: 600 });
    assert!(config.profiles.is_empty());
    assert_eq!(config.headers.over_budget, OverBudget::Drop);
    assert_eq!(config.samples.map(std::num::NonZeroU32::get), Some(100));
    assert!(config.top.track);
    assert_eq!(config.protected, Protected { addresses: vec![], login_sessions: true });
    assert_eq!(config.never_block, NeverBlock { shipped: true, files: vec![], addresses: vec![] });
    assert!(config.lists.is_empty());
    assert_eq!(config.log, Log { level: LogLevel::Info, format: LogFormat::Text });
}

#[test]
fn every_setting_reaches_the_configuration() {
    let config = config(
        r#"
        interfaces = ["eth0", "lan.1@x"]
        mode = "native"
        enforcement = "observe"
        [state]
        dir = "/srv/weir"
        bpffs = "/mnt/bpf"
        max_addresses = 1_000
        max_prefixes = 0x10
        max_table_mib = 5
        max_sources = 7
        [api]
        socket = "/tmp/w.sock"
        group = "adm"
        listen = "[::1]:9184"
        [limits.source]
        packets_per_second = 1000
        burst = 50
        enforcement = "observe"
        [headers]
        over_budget = "pass"
        [samples]
        per_second = 0
        [top]
        track = false
        [protected]
        addresses = ["192.0.2.1", "2001:db8::7/32"]
        login_sessions = false
        [never_block]
        files = ["/etc/weir/cdn.json"]
        addresses = ["::ffff:198.51.100.0/120"]
        [[lists]]
        name = "ipsum"
        enforcement = "observe"
        [[lists]]
        name = "block"
        [[lists]]
        name = "trial"
        enforcement = "off"
        [log]
        level = "trace"
        format = "json"
        "#,
    );
    assert_eq!(config.interfaces.iter().map(InterfaceName::as_str).collect::<Vec<_>>(), ["eth0", "lan.1@x"]);
    assert_eq!((config.mode, config.enforcement), (Mode::Native, Enforcement::Observe));
    assert_eq!(config.state.dir, Path::new("/srv/weir"));
    assert_eq!(config.state.bpffs.as_deref(), Some(Path::new("/mnt/bpf")));
    assert_eq!((config.state.capacity.addresses, config.state.capacity.prefixes), (1_000, 16));
    assert_eq!(config.state.capacity.bytes, 5 << 20);
    assert_eq!(config.state.max_sources, 7);
    assert_eq!(config.api.socket, Path::new("/tmp/w.sock"));
    assert_eq!(config.api.group.as_deref(), Some("adm"));
    assert_eq!(config.api.listen, Some(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9184))));
    let limit = config.floods.source.unwrap();
    assert_eq!(rates(&limit), [(Dimension::Packets, 1_000, 50)]);
    assert_eq!(limit.enforcement(), Enforcement::Observe);
    assert_eq!(config.headers.over_budget, OverBudget::Pass);
    assert_eq!(config.samples, None);
    assert!(!config.top.track);
    let text = |prefixes: &[ipnet::IpNet]| prefixes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(text(&config.protected.addresses), ["192.0.2.1/32", "2001:db8::/32"]);
    assert!(!config.protected.login_sessions);
    assert_eq!(config.never_block.files, [Path::new("/etc/weir/cdn.json")]);
    assert_eq!(text(&config.never_block.addresses), ["198.51.100.0/24"]);
    let lists: Vec<_> = config.lists.iter().map(|(name, enforcement)| (name.as_str(), *enforcement)).collect();
    let wanted =
        [("block", ListEnforcement::Enforce), ("ipsum", ListEnforcement::Observe), ("trial", ListEnforcement::Off)];
    assert_eq!(lists, wanted);
    assert_eq!(config.log, Log { level: LogLevel::Trace, format: LogFormat::Json });
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_do_not_matter() {
    let loaded =
        parse_bytes(b"\xef\xbb\xbfmode = \"native\"\r\n[log]\r\nlevel = \"warn\"\r\n", "f", std::iter::empty());
    let config = loaded.unwrap().config;
    assert_eq!((config.mode, config.log.level), (Mode::Native, LogLevel::Warn));
}

fn setting(loaded: &Loaded, key: &str) -> (String, Source) {
    let setting = loaded.settings.iter().find(|setting| setting.key == key).unwrap();
    (setting.value.clone(), setting.source.clone())
}

#[test]
fn each_setting_tells_where_it_was_given() {
    let text = "mode = \"native\"\n[limits.source]\npackets_per_second = 300\n[[lists]]\nname = \"x\"\n";
    let loaded = load(text, &[("WEIR_LOG__LEVEL", "warn"), ("WEIR_INTERFACES", "eth0,eth1")]).unwrap();
    assert_eq!(setting(&loaded, "mode"), ("\"native\"".to_owned(), Source::File { line: 1 }));
    assert_eq!(setting(&loaded, "limits.source.packets_per_second"), ("300".to_owned(), Source::File { line: 3 }));
    // What is in force, not what was left out.
    assert_eq!(setting(&loaded, "limits.source.burst"), ("300".to_owned(), Source::Default));
    assert_eq!(setting(&loaded, "lists[0].name"), ("\"x\"".to_owned(), Source::File { line: 5 }));
    assert_eq!(setting(&loaded, "lists[0].enforcement"), ("\"enforce\"".to_owned(), Source::Default));
    assert_eq!(setting(&loaded, "log.level"), ("\"warn\"".to_owned(), Source::Env("WEIR_LOG__LEVEL".to_owned())));
    let interfaces = ("[\"eth0\", \"eth1\"]".to_owned(), Source::Env("WEIR_INTERFACES".to_owned()));
    assert_eq!(setting(&loaded, "interfaces"), interfaces);
    assert_eq!(setting(&loaded, "state.max_prefixes"), ("1000000".to_owned(), Source::Default));
    let keys: Vec<_> = loaded.settings.iter().map(|setting| setting.key.as_str()).collect();
    assert_eq!(keys.get(..4), Some(["enforcement", "feeds", "interfaces", "logs"].as_slice()));
}

#[test]
fn what_is_shown_reads_back_as_the_same() {
    let loaded = load("mode = \"native\"\nlimits.source.packets_per_second = 300\n", &[]).unwrap();
    let shown: Vec<_> = loaded.settings.iter().map(|s| format!("{} = {}", s.key, s.value)).collect();
    assert_eq!(config(&shown.join("\n")), loaded.config);
}

/// The shipped file with every setting's `#` removed; comments are followed by a space.
fn uncommented(prefix: &str) -> String {
    let lines = SHIPPED.lines().map(|line| match line.strip_prefix(prefix) {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest,
        _ => line,
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_shipped_file_says_the_defaults() {
    let defaults = load("", &[]).unwrap();
    assert_eq!(config(SHIPPED), defaults.config);
    let loaded = load(&uncommented("#"), &[]).unwrap();
    assert_eq!(loaded.config, defaults.config);
    // Every key is there, and has the value it has without a file.
    for (shown, default) in loaded.settings.iter().zip(&defaults.settings) {
        assert_eq!((&shown.key, &shown.value), (&default.key, &default.value));
        let is_example = LISTS.contains(&shown.key.as_str());
        assert!(is_example || shown.source != Source::Default, "{} is not in the shipped file", shown.key);
    }
}

#[test]
fn the_examples_of_the_shipped_file_hold() {
    let config = config(&uncommented("#     "));
    let lists: Vec<_> = config.lists.iter().map(|(name, enforcement)| (name.as_str(), *enforcement)).collect();
    assert_eq!(lists, [("ipsum", ListEnforcement::Observe), ("partner", ListEnforcement::Limit)]);
    assert_eq!(
        config.profiles.into_iter().collect::<Vec<_>>(),
        [("partner".to_owned(), 2), ("reputation-limit".to_owned(), 3), ("rules-limit".to_owned(), 3)]
    );
    let port_limits: Vec<_> =
        config.floods.port_limits.iter().map(|port| (port.name.as_str(), port.per_source)).collect();
    assert_eq!((port_limits, config.floods.port_rules.len()), (vec![("dns", true)], 1));
    let feeds: Vec<_> = config.feeds.iter().map(|feed| (feed.name.as_str(), feed.action, feed.interval_s)).collect();
    assert_eq!(feeds, [("spamhaus-drop-v4", FeedAction::Deny, 43_200), ("partner", FeedAction::Observe, 3_600)]);
    let logs: Vec<_> = config.detection.logs.iter().map(|log| (log.name.as_str(), log.format.name())).collect();
    assert_eq!(logs, [("access.log", "auto"), ("shop", "combined")]);
    let overrides: Vec<_> =
        config.detection.rules.overrides.iter().map(|rule| (rule.id.as_str(), rule.response)).collect();
    assert_eq!(overrides, [("sqli-union", Some(Response::Deny { for_s: 21_600 }))]);
    let priors: Vec<u8> = config.reputation.priors.iter().map(|prior| prior.points).collect();
    assert_eq!(priors, [10, 15]);
}

#[test]
fn modes_and_levels_are_named() {
    for mode in [Mode::Auto, Mode::Native, Mode::Generic] {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    let error = "fast".parse::<Mode>().unwrap_err();
    assert_eq!(error.to_string(), "mode \"fast\" is not known; the modes are auto, native and generic");
}

fn fragment() -> impl Strategy<Value = String> {
    let keys = prop_oneof![
        Just("interfaces"),
        Just("mode"),
        Just("enforcement"),
        Just("dir"),
        Just("state"),
        Just("limits.source"),
        Just("packets_per_second"),
        Just("burst"),
        Just("addresses"),
        Just("name"),
        Just("level"),
        Just("x"),
    ];
    let values = prop_oneof![
        Just("1".to_owned()),
        Just("-1".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("[\"eth0\"]".to_owned()),
        Just("\"auto\"".to_owned()),
        Just("{ name = \"x\" }".to_owned()),
        Just("1.5".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        "\"[a-z/.:0-9]{0,20}\"",
        "\\PC{0,10}",
    ];
    prop_oneof![
        (keys.clone(), values).prop_map(|(key, value)| format!("{key} = {value}\n")),
        keys.prop_map(|key| format!("[{key}]\n")),
        Just("[[lists]]\n".to_owned()),
        "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_bytes_stop_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Err(error) = parse_bytes(&bytes, "f", std::iter::empty()) {
            prop_assert!(!error.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn no_text_stops_the_reader(fragments in proptest::collection::vec(fragment(), 0..8)) {
        match load(&fragments.concat(), &[]) {
            Err(error) => prop_assert!(!error.to_string().chars().any(char::is_control)),
            Ok(loaded) => prop_assert!(loaded.config.state.max_sources > 0),
        }
    }

    #[test]
    fn no_environment_stops_the_reader(name in "WEIR_[A-Z_]{0,20}", value in "\\PC{0,20}") {
        if let Err(error) = load("", &[(&name, &value)]) {
            prop_assert!(error.to_string().starts_with(&name));
        }
    }
}
