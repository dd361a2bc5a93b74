use super::super::tests::{check, context, event, reader};
use super::super::{Format, Line, Unparsed};

#[test]
fn combined_and_common_are_read_as_nginx_and_apache_write_them() {
    check(
        Format::Combined,
        r#"192.0.2.1 - alice [21/Nov/2026:01:56:33 +0000] "GET /a?b=%20 HTTP/1.1" 200 5316 "https://example.com/" "Mozilla/5.0 (X11)""#,
        &[
            "event-type=http_request",
            "c-ip=192.0.2.1",
            "cs-username=alice",
            "cs-method=GET",
            "cs-uri=/a?b=%20",
            "cs-version=HTTP/1.1",
            "sc-status=200",
            "sc-bytes=5316",
            "cs-referer=https://example.com/",
            "cs-user-agent=Mozilla/5.0 (X11)",
        ],
    );
    check(
        Format::Combined,
        r#"2001:db8::1 - - [21/Nov/2026:01:56:33 +0000] "POST /x HTTP/1.0" 304 -"#,
        &[
            "event-type=http_request",
            "c-ip=2001:db8::1",
            "cs-method=POST",
            "cs-uri=/x",
            "cs-version=HTTP/1.0",
            "sc-status=304",
            "sc-bytes=0",
        ],
    );
}

#[test]
fn escapes_of_both_servers_are_undone() {
    check(
        Format::Combined,
        r#"192.0.2.1 - a\x22 b [21/Nov/2026:01:56:33 +0000] "GET /\x22\x5C\xC0\xAE HTTP/1.1" 200 5 "\x0A" "\"\\\xff""#,
        &[
            "event-type=http_request",
            "c-ip=192.0.2.1",
            "cs-username=a\" b",
            "cs-method=GET",
            "cs-uri=/\"\\%C0%AE",
            "cs-version=HTTP/1.1",
            "sc-status=200",
            "sc-bytes=5",
            "cs-referer=%0A",
            "cs-user-agent=\"\\%FF",
        ],
    );
}

#[test]
fn a_tls_hello_on_a_plain_port_and_an_empty_request_are_events() {
    check(
        Format::Combined,
        r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "\x16\x03\x01\x00\xA5" 400 157 "-" "-""#,
        &[
            "event-type=http_request",
            "c-ip=192.0.2.1",
            "cs-uri=\u{16}\u{3}\u{1}%00%A5",
            "sc-status=400",
            "sc-bytes=157",
        ],
    );
    for request in ["", "-"] {
        check(
            Format::Combined,
            &format!(r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "{request}" 400 0 "-" "-""#),
            &["event-type=http_request", "c-ip=192.0.2.1", "sc-status=400", "sc-bytes=0"],
        );
    }
}

#[test]
fn fields_behind_the_agent_are_read_as_far_as_they_tell_what_they_are() {
    let line = r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "a/1""#;
    for (extra, forwarded_for, seconds) in [
        (r#" "198.51.100.7, 192.0.2.1""#, Some("198.51.100.7, 192.0.2.1"), None),
        (r#" "-" 0.123"#, None, Some(0.123)),
        (" 0.123 0.100 .", None, Some(0.123)),
        (r#" rt=1.500 uct="0.000" urt="0.001""#, None, Some(1.5)),
        (" 123 456", None, None),
        // Which of two it is, nobody knows.
        (r#" "198.51.100.7" "x" 12ms"#, None, Some(0.012)),
        (" + 293 1149 546", None, None),
        (r#" ""#, None, None),
    ] {
        let event = event(Format::Combined, &format!("{line}{extra}"));
        assert_eq!((event.forwarded_for.as_deref(), event.duration_s), (forwarded_for, seconds), "{extra}");
        assert_eq!(event.user_agent.as_deref(), Some("a/1"));
        assert_eq!(event.client.map(|ip| ip.to_string()).as_deref(), Some("192.0.2.1"));
    }
}

#[test]
fn a_virtual_host_comes_first_or_behind_the_time() {
    let expected = [
        "event-type=http_request",
        "c-ip=192.0.2.1",
        "cs-method=GET",
        "cs-uri=/",
        "cs-version=HTTP/1.1",
        "sc-status=200",
        "sc-bytes=5",
        "cs-host=www.example.com",
        "cs-user-agent=a/1",
    ];
    for host in ["www.example.com", "www.example.com:443"] {
        let line = format!(r#"{host} 192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "a/1""#);
        check(Format::VhostCombined, &line, &expected);
    }
    let line = r#"192.0.2.1 - - - [21/Nov/2026:01:56:33 ] www.example.com "GET / HTTP/1.1" 200 5 "-" "a/1" + 1 2"#;
    check(Format::Combined, line, &expected);
}

#[test]
fn traefik_has_more_fields_and_escapes_nothing() {
    check(
        Format::Traefik,
        r#"192.0.2.1 - bob [21/Nov/2026:01:56:33 +0000] "GET /a"b" HTTP/2.0" 401 17 "-" "a/1" 72 "site@docker" "http://10.0.0.5:80" 12ms"#,
        &[
            "event-type=http_request",
            "c-ip=192.0.2.1",
            "cs-username=bob",
            "cs-method=GET",
            "cs-uri=/a\"b\"",
            "cs-version=HTTP/2.0",
            "sc-status=401",
            "sc-bytes=17",
            "cs-user-agent=a/1",
            "time-taken=0.012",
            "router=site@docker",
            "upstream=http://10.0.0.5:80",
        ],
    );
}

/// `$http_host` in front: a blank and an address in it come to stand where the client's address should.
#[test]
fn an_address_that_a_host_brought_along_is_nobodys() {
    let line = r#"x.y 203.0.113.9 192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 400 5 "-" "a/1""#;
    for format in [Format::VhostCombined, Format::Auto] {
        assert_eq!(reader(format).read(line.as_bytes(), &context()), Line::Unparsed(Unparsed::Ambiguous));
    }
}

/// Apache writes a user without a name as two quotation marks.
#[test]
fn a_user_without_a_name_costs_no_line() {
    let line = r#"192.0.2.1 - "" [21/Nov/2026:01:56:33 +0000] "GET /a HTTP/1.1" 401 5 "-" "a/1""#;
    let event = event(Format::Combined, line);
    assert_eq!((event.uri.as_deref(), event.status), (Some("/a"), Some(401)));
}

/// What stands at the end of a line may be the client's: only all of Traefik's fields together are Traefik's.
#[test]
fn a_host_at_the_end_makes_no_line_one_of_traefiks() {
    let start = r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "a/1""#;
    for (end, is_forgeable) in [(" 12ms", false), (r#" "x" 12ms"#, false), (r#" 7 "r@docker" "-" 12ms"#, true)] {
        let Line::Event(event) = reader(Format::Auto).read(format!("{start}{end}").as_bytes(), &context()) else {
            panic!("{end} is no event");
        };
        assert_eq!(event.is_forgeable(), is_forgeable, "{end}");
    }
}
