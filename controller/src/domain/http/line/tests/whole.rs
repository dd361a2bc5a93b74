//! The reader as a whole: recognition, limits, headers.
use super::*;
use crate::domain::http::event::EVIDENCE_BYTES;

const COMBINED: &str = r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "a/1""#;
const VHOST: &str =
    r#"www.example.com:443 192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "a/1""#;
const NGINX_ERROR: &str = r#"2026/11/21 01:56:33 [error] 7#7: *1 access forbidden by rule, client: 192.0.2.1, server: s, request: "GET / HTTP/1.1", host: "h""#;
const APACHE_ERROR: &str =
    "[Sat Nov 21 01:56:33.5 2026] [core:error] [pid 7] [client 192.0.2.1:80] AH00126: Invalid URI in request x";
const NGINX_JSON: &str =
    r#"{"time":"2026-11-21T01:56:33+00:00","remote_addr":"192.0.2.1","request":"GET / HTTP/1.1","status":200}"#;
const CADDY: &str = r#"{"level":"error","ts":1795226193,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"192.0.2.1","method":"GET","uri":"/"},"status":404}"#;
const TRAEFIK: &str =
    r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/2.0" 401 17 "-" "a/1" 72 "r" "http://10.0.0.1" 0ms"#;
const TRAEFIK_JSON: &str = r#"{"ClientAddr":"192.0.2.1:5","ClientHost":"192.0.2.1","DownstreamStatus":200,"RequestMethod":"GET","RequestPath":"/","StartUTC":"2026-11-21T01:56:33Z"}"#;
const HAPROXY: &str = r#"192.0.2.1:33317 [21/Nov/2026:01:56:33.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 "GET / HTTP/1.1""#;

const SAMPLES: [(Format, &str); 9] = [
    (Format::Combined, COMBINED),
    (Format::VhostCombined, VHOST),
    (Format::NginxError, NGINX_ERROR),
    (Format::ApacheError, APACHE_ERROR),
    (Format::NginxJson, NGINX_JSON),
    (Format::Caddy, CADDY),
    (Format::Traefik, TRAEFIK),
    (Format::TraefikJson, TRAEFIK_JSON),
    (Format::Haproxy, HAPROXY),
];

fn kind(line: &Line) -> String {
    match line {
        Line::Event(event) => format!("{:?}", event.client),
        Line::Unparsed(why) => why.name().to_owned(),
        Line::Nothing => "nothing".to_owned(),
    }
}

#[test]
fn every_format_has_a_name_of_its_own_that_leads_back() {
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
        assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{format}\""));
    }
    assert_eq!("common".parse(), Ok(Format::Combined));
    let error = "combind".parse::<Format>().unwrap_err().to_string();
    assert!(error.contains("use combined"), "{error}");
}

#[test]
fn each_format_is_recognised_by_itself_and_behind_every_header() {
    for (format, line) in SAMPLES {
        for header in [
            "",
            "<190>Nov 21 01:56:33 web nginx: ",
            "<190>Nov 21 01:56:33 nginx: ",
            "Nov 21 01:56:33 web nginx[7]: ",
            "2026-11-21T01:56:33.000+00:00 web nginx[7]: ",
            "<134>1 2026-11-21T01:56:33Z web haproxy 14 - - ",
            "web nginx[7]: ",
        ] {
            for chosen in [format, Format::Auto] {
                let mut reader = reader(chosen);
                let read = reader.read(format!("{header}{line}\r\n").as_bytes(), &context());
                assert_eq!(kind(&read), "Some(192.0.2.1)", "{chosen}: {header}{line}");
                assert_eq!(reader.formats(), [format], "{header}{line}");
                let Line::Event(event) = read else { unreachable!() };
                assert_eq!(event.time.as_second(), 1_795_226_193, "{header}{line}");
                assert_eq!(event.raw, format!("{header}{line}"));
            }
        }
    }
}

#[test]
fn nothing_is_said_by_empty_lines_comments_and_notices() {
    for line in [
        "",
        "  ",
        "\r\n",
        "# a comment",
        "#Fields: date time",
        "2026/11/21 01:56:33 [notice] 7#7: start worker process 8",
        "2026/11/21 01:56:33 [info] 7#7: *1 client 192.0.2.1 closed keepalive connection",
        "[Sat Nov 21 01:56:33 2026] [notice] caught SIGTERM, shutting down",
        "[Sat Nov 21 01:56:33.5 2026] [mpm_event:notice] [pid 1:tid 2] AH00489: Apache/2.4 configured",
        r#"{"level":"info","ts":1795226193.5,"logger":"http.log.error","msg":"x","request":{"remote_ip":"192.0.2.1"}}"#,
        "192.0.2.1:33313 [21/Nov/2026:01:56:33.443] fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0",
    ] {
        assert_eq!(kind(&reader(Format::Auto).read(line.as_bytes(), &context())), "nothing", "{line}");
    }
    let mut haproxy = reader(Format::Haproxy);
    for line in ["Proxy http-in started.", "<134>Nov 21 01:56:33 haproxy[1]: Server b/s is DOWN, reason: Layer4"] {
        assert_eq!(kind(&haproxy.read(line.as_bytes(), &context())), "nothing", "{line}");
    }
}

#[test]
fn what_is_not_understood_says_why() {
    for (line, expected) in [
        ("hello", "format"),
        ("\u{0}\u{0}\u{0}", "format"),
        ("192.0.2.1", "format"),
        (r#"192.0.2.1 - - [99/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5"#, "time"),
        (r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" abc 5"#, "format"),
        (r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1""#, "format"),
        (r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1"#, "format"),
        (r#"203.0.113.9 192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5"#, "ambiguous"),
        ("{\"a\":", "json"),
        ("{}", "format"),
        ("2026/99/21 01:56:33 [error] 7#7: *1 x, client: 192.0.2.1, server: s", "time"),
        ("[Sat Nov 99 01:56:33 2026] [error] [client 192.0.2.1] x", "time"),
    ] {
        assert_eq!(kind(&reader(Format::Auto).read(line.as_bytes(), &context())), expected, "{line}");
    }
    for why in Unparsed::ALL {
        assert!(!why.name().is_empty() && !why.to_string().is_empty());
    }
}

/// Junk at the start decides nothing; afterwards a line of another format is not the file's, until the file is another.
#[test]
fn the_first_lines_of_a_file_decide_and_many_others_decide_anew() {
    let mut reader = reader(Format::Auto);
    for _ in 0..100 {
        assert_eq!(kind(&reader.read(b"junk", &context())), "format");
    }
    for _ in 0..LEARNED_FROM {
        assert_eq!(kind(&reader.read(COMBINED.as_bytes(), &context())), "Some(192.0.2.1)");
    }
    for _ in 0..LEARNED_ANEW - 1 {
        assert_eq!(kind(&reader.read(NGINX_JSON.as_bytes(), &context())), "foreign");
    }
    assert_eq!(kind(&reader.read(COMBINED.as_bytes(), &context())), "Some(192.0.2.1)");
    for _ in 0..LEARNED_ANEW - 1 {
        assert_eq!(kind(&reader.read(NGINX_JSON.as_bytes(), &context())), "foreign");
    }
    assert_eq!(kind(&reader.read(NGINX_JSON.as_bytes(), &context())), "Some(192.0.2.1)");
    assert_eq!(reader.formats(), [Format::NginxJson]);
}

#[test]
fn by_a_socket_every_line_is_looked_at_by_itself() {
    let mut reader = Reader::new(&Choice { mixed: true, ..Choice::default() }).unwrap();
    for _ in 0..100 {
        for (_, line) in SAMPLES {
            assert_eq!(kind(&reader.read(line.as_bytes(), &context())), "Some(192.0.2.1)", "{line}");
        }
    }
}

#[test]
fn a_line_too_long_is_cut_and_says_so() {
    let path = "a".repeat(10 << 20);
    let line = COMBINED.replace("GET /", &format!("GET /{path}"));
    let read = event(Format::Auto, &line);
    assert_eq!(read.client.map(|ip| ip.to_string()).as_deref(), Some("192.0.2.1"));
    assert!(read.uri.as_ref().unwrap().len() < LONGEST_LINE);
    assert!(read.raw.len() <= EVIDENCE_BYTES);
    assert_eq!(read.details.get("cut").unwrap(), &format!("{} bytes, {LONGEST_LINE} read", line.len()));
    let line = NGINX_JSON.replace("\"status\"", &format!("\"x\":\"{path}\",\"status\""));
    let read = event(Format::Auto, &line);
    assert_eq!((read.uri.as_deref(), read.status), (Some("/"), None));
    assert!(read.details.contains_key("cut"));
    for (format, line) in SAMPLES {
        let long = format!("{line}{}", "a".repeat(2 * LONGEST_LINE));
        drop(reader(format).read(long.as_bytes(), &context()));
    }
}

#[test]
fn a_choice_that_cannot_be_read_by_says_why() {
    let error = |format, pattern: Option<&str>| {
        let choice = Choice { format, pattern: pattern.map(Arc::from), ..Choice::default() };
        Reader::new(&choice).unwrap_err().to_string()
    };
    assert_eq!(error(Format::Grok, None), "format grok needs a pattern");
    assert_eq!(error(Format::Caddy, Some("x")), "a pattern needs format grok, and the format is caddy");
}

/// Of a name there is no address, and none is looked up.
#[test]
fn names_in_place_of_addresses_are_events_without_an_address() {
    for line in [
        r#"host.example.com - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "203.0.113.9""#,
        r#"203.0.113.9.example.com - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "-""#,
        r#"- - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "-""#,
        r#"unix: - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "-" "203.0.113.9""#,
        "[Sat Nov 21 01:56:33 2026] [error] [client host.example.com] user 203.0.113.9 not found: /",
        r#"2026/11/21 01:56:33 [error] 7#7: *1 access forbidden by rule, client: unix:, server: s, request: "GET / HTTP/1.1""#,
        r#"{"remote_addr":"host.example.com","request":"GET / HTTP/1.1"}"#,
        r#"{"remote_addr":"203.0.113.9, 192.0.2.1","request":"GET / HTTP/1.1"}"#,
    ] {
        assert_eq!(event(Format::Auto, line).client, None, "{line}");
    }
    // A list of addresses is none either, whichever of them the list is about.
    let list = r#"203.0.113.9, 192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "-""#;
    assert_eq!(event(Format::Combined, list).client, None);
    assert_eq!(kind(&reader(Format::Auto).read(list.as_bytes(), &context())), "format");
}

#[test]
fn behind_trusted_proxies_the_client_is_counted_from_the_right() {
    let trusted = TrustedProxies::new(["192.0.2.0/24".parse().unwrap()]).with_unix();
    let choice = Choice { trusted, ..Choice::default() };
    let chain = "203.0.113.9, 198.51.100.7";
    for (line, expected) in [
        (format!("{COMBINED} \"{chain}\""), "Some(198.51.100.7)"),
        (format!("{COMBINED} \"{chain}\" 0.001").replacen("192.0.2.1", "unix:", 1), "Some(198.51.100.7)"),
        (format!("{COMBINED} \"{chain}\"").replacen("192.0.2.1", "203.0.113.1", 1), "Some(203.0.113.1)"),
        (
            NGINX_JSON.replace("\"status\"", &format!("\"http_x_forwarded_for\":\"{chain}\",\"status\"")),
            "Some(198.51.100.7)",
        ),
        (
            CADDY.replace("\"method\"", &format!("\"headers\":{{\"X-Forwarded-For\":[\"{chain}\"]}},\"method\"")),
            "Some(198.51.100.7)",
        ),
        (CADDY.replace("\"method\"", "\"client_ip\":\"198.51.100.8\",\"method\""), "Some(198.51.100.8)"),
        (
            TRAEFIK_JSON.replace("\"ClientHost\":\"192.0.2.1\"", &format!("\"request_X-Forwarded-For\":\"{chain}\"")),
            "Some(198.51.100.7)",
        ),
    ] {
        let read = Reader::new(&choice).unwrap().read(line.as_bytes(), &context());
        assert_eq!(kind(&read), expected, "{line}");
    }
}

/// Where the field behind the agent is another than X-Forwarded-For, it names nobody.
#[test]
fn a_further_field_that_is_no_chain_of_proxies_is_believed_no_more() {
    let trusted = TrustedProxies::new(["192.0.2.0/24".parse().unwrap()]);
    let mut reader = Reader::new(&Choice { trusted, ..Choice::default() }).unwrap();
    let mut read = |host: &str| kind(&reader.read(format!("{COMBINED} \"{host}\"").as_bytes(), &context()));
    assert_eq!(read("-"), "Some(192.0.2.1)");
    assert_eq!(read("www.example.com"), "Some(192.0.2.1)");
    assert_eq!(read("203.0.113.9"), "Some(192.0.2.1)");
}
