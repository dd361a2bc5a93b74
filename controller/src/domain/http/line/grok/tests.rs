use std::sync::Arc;

use super::super::tests::{context, said};
use super::super::{Choice, Format, Reader, ReaderError};
use super::*;

fn reader(pattern: &str) -> Result<Reader, ReaderError> {
    Reader::new(&Choice { format: Format::Grok, pattern: Some(Arc::from(pattern)), ..Choice::default() })
}

#[track_caller]
fn check(pattern: &str, line: &str, expected: &[&str]) {
    let read = reader(pattern).unwrap().read(line.as_bytes(), &context());
    let Line::Event(event) = read else { panic!("{read:?}: {line}") };
    assert_eq!(said(&event), expected.join("\n"), "{pattern}: {line}");
}

#[test]
fn captures_become_the_fields_they_name_and_others_details() {
    check(
        r"%{IPORHOST:client} \[%{HTTPDATE:time}\] %{WORD:method} %{NOTSPACE:uri} %{INT:status} %{NUMBER:time-taken} %{WORD:zone}",
        "192.0.2.1 [21/Nov/2026:01:56:33 +0000] GET /a?b 404 0.25 eu",
        &[
            "event-type=http_request",
            "c-ip=192.0.2.1",
            "cs-method=GET",
            "cs-uri=/a?b",
            "sc-status=404",
            "time-taken=0.25",
            "zone=eu",
        ],
    );
    check(
        "%{COMBINEDAPACHELOG}",
        r#"192.0.2.1 - al [21/Nov/2026:01:56:33 +0000] "GET /a HTTP/1.1" 200 5 "-" "a/1""#,
        &[
            "event-type=http_request",
            "c-ip=192.0.2.1",
            "cs-username=al",
            "cs-method=GET",
            "cs-uri=/a",
            "cs-version=1.1",
            "sc-status=200",
            "sc-bytes=5",
            "cs-user-agent=a/1",
        ],
    );
    check(
        r"(?<event_type>auth_failed) for (?<user>\S+) from (?<client>\S+)",
        "<13>Nov 21 01:56:33 web app[1]: auth_failed for al from 192.0.2.1 port 22",
        &["event-type=auth_failed", "c-ip=192.0.2.1", "cs-username=al"],
    );
}

#[test]
fn a_pattern_is_held_against_the_start_of_a_line() {
    let mut reader = reader("from %{IP:client}").unwrap();
    let read = reader.read(b"GET /from 203.0.113.9 from 192.0.2.1", &context());
    assert_eq!(read, Line::Unparsed(Unparsed::Format));
}

#[test]
fn a_pattern_that_is_none_says_where() {
    for (pattern, expected) in [
        ("%{IP:client} %{NOPE:x}", "pattern, column 14: no pattern is named NOPE"),
        ("%{IP:client} (a", "pattern, column 14: unclosed group"),
        ("%{IP:client} a)", "pattern, column 15: unopened group"),
        ("é%{IP:client} *+[", "pattern, column 17: unclosed character class"),
        ("%{IP:client", "pattern, column 1: no %{NAME}, %{NAME:field} or %{NAME:field=definition}"),
        (
            "%{IP:client} (?<=a)b",
            "pattern, column 14: look-around, including look-ahead and look-behind, is not supported",
        ),
        (
            "%{IP:client} (a{1000}){1000}",
            "pattern, column 1: compiled, it is too large: use fewer or smaller repetitions",
        ),
        ("abc", "pattern, column 1: it captures no field of an event: name the address as in %{IPORHOST:client}"),
        ("", "pattern, column 1: it captures no field of an event: name the address as in %{IPORHOST:client}"),
    ] {
        assert_eq!(reader(pattern).unwrap_err().to_string(), expected, "{pattern}");
    }
    let long = "a".repeat(LONGEST_PATTERN + 1);
    assert!(reader(&long).unwrap_err().to_string().ends_with("more than 4096 bytes"));
    let many = "%{IP}".repeat(MOST_PARTS + 1);
    assert!(reader(&many).unwrap_err().to_string().ends_with("more than 128 patterns in one"));
}

/// Most of grok's patterns are for other logs than these; of those that web logs are made of, every one compiles.
#[test]
fn groks_own_patterns_for_web_logs_all_compile() {
    let patterns = known();
    for name in [
        "USERNAME",
        "USER",
        "EMAILADDRESS",
        "INT",
        "BASE10NUM",
        "NUMBER",
        "BASE16NUM",
        "BASE16FLOAT",
        "POSINT",
        "NONNEGINT",
        "WORD",
        "NOTSPACE",
        "SPACE",
        "DATA",
        "GREEDYDATA",
        "QUOTEDSTRING",
        "UUID",
        "URN",
        "MAC",
        "IPV6",
        "IPV4",
        "IP",
        "HOSTNAME",
        "IPORHOST",
        "HOSTPORT",
        "PATH",
        "UNIXPATH",
        "WINPATH",
        "URIPROTO",
        "URIHOST",
        "URIPATH",
        "URIPARAM",
        "URIPATHPARAM",
        "URI",
        "MONTH",
        "MONTHNUM",
        "MONTHDAY",
        "DAY",
        "YEAR",
        "HOUR",
        "MINUTE",
        "SECOND",
        "TIME",
        "DATE_US",
        "DATE_EU",
        "ISO8601_TIMEZONE",
        "TIMESTAMP_ISO8601",
        "DATE",
        "DATESTAMP",
        "TZ",
        "DATESTAMP_RFC822",
        "DATESTAMP_RFC2822",
        "SYSLOGTIMESTAMP",
        "PROG",
        "SYSLOGPROG",
        "SYSLOGHOST",
        "HTTPDATE",
        "QS",
        "SYSLOGBASE",
        "LOGLEVEL",
        "HTTPDUSER",
        "HTTPDERROR_DATE",
        "COMMONAPACHELOG",
        "COMBINEDAPACHELOG",
        "HTTPD_ERRORLOG",
        "HAPROXYHTTP",
        "HAPROXYTIME",
    ] {
        if let Err(error) = patterns.compile(&format!("%{{{name}}}"), true) {
            panic!("{name}: {error}");
        }
    }
}

/// A user's name may hold what comes behind it.
#[test]
fn an_address_that_could_stand_elsewhere_is_nobodys() {
    for pattern in [
        "failed user=%{DATA:user} from=%{IP:client}",
        "failed user=%{GREEDYDATA:user} from=%{IP:client}",
        "failed %{GREEDYDATA:message} from=%{IP:client}$",
        "failed user=%{NOTSPACE:user} %{DATA:what} from=%{IP:client} %{GREEDYDATA:message}",
        "failed %{GREEDYDATA:what}=%{DATA:user} from=%{IP:client}",
        "failed %{DATA:what}=%{GREEDYDATA:user} from=%{IP:client} port %{INT:port}",
    ] {
        let mut reader = reader(pattern).unwrap();
        let honest = reader.read(b"failed user=al x from=192.0.2.1 port 22", &context());
        if pattern.ends_with('$') {
            assert_eq!(honest, Line::Unparsed(Unparsed::Format), "{pattern}");
        } else {
            let Line::Event(event) = honest else { panic!("{pattern}: {honest:?}") };
            assert_eq!(event.client.map(|client| client.to_string()).as_deref(), Some("192.0.2.1"), "{pattern}");
        }
        for name in ["a from=203.0.113.9", "a x from=203.0.113.9 port 1 failed", "from=203.0.113.9 from=203.0.113.9"] {
            let line = format!("failed user={name} x from=192.0.2.1 port 22");
            let read = reader.read(line.as_bytes(), &context());
            let client = match &read {
                Line::Event(event) => event.client,
                _ => None,
            };
            assert!(client.is_none_or(|client| client.to_string() == "192.0.2.1"), "{pattern}: {line}: {read:?}");
        }
    }
}
