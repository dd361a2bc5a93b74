//! Recorded lines of attacks on web servers: each becomes an event, laid at whom it says.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken expectation is the test's failure")]
use std::collections::BTreeMap;
use std::fs;

use jiff::tz::TimeZone;
use serde::Deserialize;
use weir::domain::http::event::Event;
use weir::domain::http::line::{Choice, Context, Line, Reader};
use weir_tests::harness;

/// What becomes of the lines of each file that should count: how many are events of which kind and status.
const FILES: [(&str, &[(&str, usize)]); 16] = [
    ("nginx-bad-request", &[("http_request 400", 8)]),
    ("nginx-botsearch", &[("http_request 404", 8), ("server_message", 6)]),
    ("nginx-forbidden", &[("permission_denied", 2)]),
    ("nginx-http-auth", &[("auth_failed", 10), ("server_message", 7)]),
    ("nginx-limit-req", &[("rate_limit_exceeded", 9)]),
    (
        "apache-auth",
        &[("auth_failed", 27), ("permission_denied", 10), ("rate_limit_exceeded", 1), ("server_message", 3)],
    ),
    ("apache-badbots", &[("http_request 301", 3), ("http_request 403", 1)]),
    ("apache-botsearch", &[("server_message", 17)]),
    ("apache-fakegooglebot", &[("http_request 200", 1), ("http_request 403", 1)]),
    ("apache-modsecurity", &[("server_message", 4)]),
    ("apache-nohome", &[("server_message", 2)]),
    ("apache-noscript", &[("server_message", 13)]),
    ("apache-overflows", &[("server_message", 11)]),
    ("apache-pass", &[("http_request 200", 1)]),
    ("apache-shellshock", &[("server_message", 2)]),
    ("traefik-auth", &[("http_request 401", 3)]),
];

/// What the comment above a line says of it.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(rename = "match")]
    counts: bool,
    host: Option<String>,
    time: Option<String>,
}

/// The lines of a file, each with what is said of it.
fn lines(text: &str) -> Vec<(Said, &str)> {
    let mut lines = Vec::new();
    let mut said: Option<Said> = None;
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# failJSON:") {
            said = Some(serde_json::from_str(comment).unwrap_or_else(|error| panic!("{comment}: {error}")));
        } else if !line.is_empty() && !line.starts_with('#') {
            lines.push((said.take().unwrap_or_else(|| panic!("nothing is said of {line}")), line));
        }
    }
    lines
}

/// The zone that the samples' times are told in.
fn zone() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

/// The event of a line. Files hold samples of several logs, so each line is read by itself.
fn event(line: &str) -> Box<Event> {
    // Times without a year are told as of 2005.
    let context = Context { received: "2005-08-14T12:00:00Z".parse().unwrap(), zone: zone() };
    let mut reader = Reader::new(&Choice { mixed: true, ..Choice::default() }).unwrap();
    match reader.read(line.as_bytes(), &context) {
        Line::Event(event) => event,
        other => panic!("{other:?}: {line}"),
    }
}

/// None of them names a host in place of an address.
#[test]
fn every_line_of_an_attack_is_an_event_of_whom_it_says() {
    let test = "every_line_of_an_attack_is_an_event_of_whom_it_says";
    for (name, expected) in FILES {
        let Some(path) = harness::data(test, &format!("logs/fail2ban/{name}")) else { continue };
        let samples = fs::read_to_string(path).unwrap();
        let mut kinds = BTreeMap::<String, usize>::new();
        for (said, line) in lines(&samples) {
            let event = event(line);
            let source = event.client.map(|client| client.to_string());
            assert!(source.is_some(), "{name}: {line}");
            if !said.counts {
                continue;
            }
            assert_eq!(source, said.host, "{name}: {line}");
            if let Some(time) = said.time {
                let told = event.time.to_zoned(zone()).strftime("%Y-%m-%dT%H:%M:%S").to_string();
                assert_eq!(told, time, "{name}: {line}");
            }
            let status = event.status.map(|status| format!(" {status}")).unwrap_or_default();
            *kinds.entry(format!("{}{status}", event.kind.name())).or_default() += 1;
        }
        let kinds: Vec<(&str, usize)> = kinds.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
        assert_eq!(kinds, expected, "{name}");
    }
}
