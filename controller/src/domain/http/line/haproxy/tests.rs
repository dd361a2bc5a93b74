use super::super::Format;
use super::super::tests::check;

#[test]
fn httplog_is_read_with_what_was_captured() {
    check(
        Format::Haproxy,
        r#"192.0.2.1:33317 [21/Nov/2026:01:56:33.655] http-in~ static/srv1 10/0/30/69/109 200 +2750 - - ---- 1/1/1/1/0 0/0 {www.example.com|Mozilla/5.0 (X#7C11)|https://a/} {nginx} "GET /i#22x HTTP/1.1""#,
        &[
            "event-type=http_request",
            "c-ip=192.0.2.1",
            "cs-method=GET",
            "cs-uri=/i\"x",
            "cs-version=HTTP/1.1",
            "sc-status=200",
            "sc-bytes=2750",
            "cs-host=www.example.com",
            "cs-referer=https://a/",
            "cs-user-agent=Mozilla/5.0 (X|11)",
            "time-taken=0.109",
            "captured=www.example.com|Mozilla/5.0 (X#7C11)|https://a/",
            "frontend=http-in~",
            "upstream=static/srv1",
        ],
    );
}

#[test]
fn a_request_that_is_none_is_an_event() {
    check(
        Format::Haproxy,
        r#"2001:db8::1:33317 [21/Nov/2026:01:56:33.655] http-in http-in/<NOSRV> -1/-1/-1/-1/0 400 187 - - PR-- 1/1/0/0/0 0/0 "<BADREQ>""#,
        &[
            "event-type=http_request",
            "c-ip=2001:db8::1",
            "cs-uri=<BADREQ>",
            "sc-status=400",
            "sc-bytes=187",
            "time-taken=0",
            "frontend=http-in",
            "upstream=http-in/<NOSRV>",
        ],
    );
    check(
        Format::Haproxy,
        "192.0.2.1:39313 [21/Nov/2026:01:56:33.500] https/1: SSL handshake failure",
        &["event-type=server_message", "c-ip=192.0.2.1", "component=https/1", "message=SSL handshake failure"],
    );
}

/// A name or a host that looks like an address is no client.
#[test]
fn captured_headers_are_never_addresses() {
    check(
        Format::Haproxy,
        r#"192.0.2.1:33317 [21/Nov/2026:01:56:33.655] f b/s 1/0/3/6/10 200 5 - - ---- 1/1/1/1/0 0/0 {203.0.113.9|198.51.100.7} "GET / HTTP/1.1""#,
        &[
            "event-type=http_request",
            "c-ip=192.0.2.1",
            "cs-method=GET",
            "cs-uri=/",
            "cs-version=HTTP/1.1",
            "sc-status=200",
            "sc-bytes=5",
            "cs-host=203.0.113.9",
            "time-taken=0.01",
            "captured=203.0.113.9|198.51.100.7",
            "frontend=f",
            "upstream=b/s",
        ],
    );
}
