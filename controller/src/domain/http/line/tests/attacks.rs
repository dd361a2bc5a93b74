//! Lines as servers write them of what attackers send, who want somebody else's address to be taken for theirs.
//!
//! The true client is 192.0.2.1, everywhere; the address that must never be found is 203.0.113.9.
use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const VICTIM: &str = "203.0.113.9";

/// How servers escape what clients send.
#[derive(Clone, Copy, Debug)]
enum Escape {
    Nginx,
    Apache,
    ApacheError,
    Json,
    Haproxy,
    /// As it came, but for the bytes that servers refuse in the place.
    Raw,
}

fn escaped(text: &[u8], escape: Escape) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in text {
        let plain = (0x20..0x7f).contains(&byte);
        let hex = format!("{byte:02x}");
        match (escape, byte) {
            (Escape::Nginx, b'"' | b'\\') => out.extend(format!("\\x{byte:02X}").bytes()),
            (Escape::Nginx, _) if !plain => out.extend(format!("\\x{byte:02X}").bytes()),
            (Escape::Apache | Escape::Json, b'"' | b'\\') | (Escape::ApacheError, b'\\') => out.extend([b'\\', byte]),
            (Escape::Apache | Escape::ApacheError, b'\n') => out.extend(b"\\n"),
            (Escape::Apache | Escape::ApacheError, _) if !plain => out.extend(format!("\\x{hex}").bytes()),
            (Escape::Json, 0..0x20) => out.extend(format!("\\u00{hex}").bytes()),
            (Escape::Haproxy, b'"' | b'{' | b'}' | b'|' | b'#') => out.extend(format!("#{hex}").bytes()),
            (Escape::Haproxy, _) if !plain => out.extend(format!("#{hex}").bytes()),
            _ => out.push(byte),
        }
    }
    out
}

/// Where a client's text comes to stand in a line: `@` in a template.
const PLACES: [(Format, Escape, &str); 30] = [
    (Format::Combined, Escape::Nginx, r#"192.0.2.1 - @ [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 401 5 "-" "a/1""#),
    (
        Format::Combined,
        Escape::Apache,
        r#"192.0.2.1 - @ [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 401 5 "-" "a/1""#,
    ),
    (
        Format::Combined,
        Escape::Apache,
        r#"192.0.2.1 @ - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 401 5 "-" "a/1""#,
    ),
    (Format::Combined, Escape::Nginx, r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "@" 400 5 "-" "a/1""#),
    (
        Format::Combined,
        Escape::Nginx,
        r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET /@ HTTP/1.1" 200 5 "-" "a/1""#,
    ),
    (Format::Combined, Escape::Apache, r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET /@ HTTP/1.1" 200 5 "@" "@""#),
    (Format::Combined, Escape::Nginx, r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "@" "a/1""#),
    (Format::Combined, Escape::Nginx, r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "@""#),
    (
        Format::Combined,
        Escape::Nginx,
        r#"192.0.2.1 - - [21/Nov/2026:01:56:33 +0000] "GET / HTTP/1.1" 200 5 "-" "-" "@" 0.1"#,
    ),
    (
        Format::VhostCombined,
        Escape::Apache,
        r#"www.example.com:80 192.0.2.1 - @ [21/Nov/2026:01:56:33 +0000] "GET /@ HTTP/1.1" 200 5 "@" "@""#,
    ),
    (
        Format::Traefik,
        Escape::Raw,
        r#"192.0.2.1 - @ [21/Nov/2026:01:56:33 +0000] "GET /@ HTTP/2.0" 401 17 "@" "@" 72 "r" "http://10.0.0.1" 0ms"#,
    ),
    (
        Format::ApacheError,
        Escape::ApacheError,
        "[Sat Nov 21 01:56:33 2026] [error] [client 192.0.2.1] user @ not found: /@, referer: @",
    ),
    (
        Format::ApacheError,
        Escape::ApacheError,
        "[Sat Nov 21 01:56:33 2026] [error] [client 192.0.2.1] File does not exist: /var/www/@",
    ),
    (
        Format::ApacheError,
        Escape::ApacheError,
        "[Sat Nov 21 01:56:33.5 2026] [auth_basic:error] [pid 1:tid 2] [client [::ffff:192.0.2.1]:80] AH01617: user @: authentication failure for \"/@\": Password Mismatch",
    ),
    (
        Format::ApacheError,
        Escape::ApacheError,
        "[Sat Nov 21 01:56:33.5 2026] [core:error] [pid 1] (36)File name too long: [client 192.0.2.1:80] AH00036: access to /@ failed",
    ),
    (
        Format::ApacheError,
        Escape::ApacheError,
        "[Sat Nov 21 01:56:33.5 2026] [:error] [pid 1] [client 192.0.2.1:80] [client 192.0.2.1] ModSecurity: Access denied [uri \"/@\"] [data \"@\"]",
    ),
    (
        Format::NginxJson,
        Escape::Json,
        r#"{"remote_addr":"192.0.2.1","remote_user":"@","request":"GET /@ HTTP/1.1","http_user_agent":"@","http_referer":"@","http_x_forwarded_for":"@"}"#,
    ),
    (
        Format::NginxJson,
        Escape::Json,
        r#"{"request":"@","host":"@","time":"2026-11-21T01:56:33+00:00","remote_addr":"192.0.2.1","status":400}"#,
    ),
    (
        Format::NginxJson,
        Escape::Nginx,
        r#"{"request":"@","host":"@","time":"2026-11-21T01:56:33+00:00","remote_addr":"192.0.2.1","status":400}"#,
    ),
    (
        Format::Caddy,
        Escape::Json,
        r#"{"ts":1795226193,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"192.0.2.1","client_ip":"192.0.2.1","method":"@","host":"@","uri":"/@","headers":{"X-Forwarded-For":["@"],"User-Agent":["@","@"]}},"user_id":"@","status":404}"#,
    ),
    (
        Format::Caddy,
        Escape::Json,
        r#"{"ts":1795226193,"logger":"http.log.access","msg":"handled request","request":{"headers":{"@":["@"],"Remote_ip":["203.0.113.9"],"Client_ip":["203.0.113.9"]},"remote_ip":"192.0.2.1"},"remote_ip":"@"}"#,
    ),
    (
        Format::TraefikJson,
        Escape::Json,
        r#"{"ClientAddr":"192.0.2.1:5","ClientHost":"@","ClientUsername":"@","DownstreamStatus":200,"RequestMethod":"GET","RequestPath":"/@","request_User-Agent":"@","request_ClientAddr":"203.0.113.9","StartUTC":"2026-11-21T01:56:33Z"}"#,
    ),
    (
        Format::Haproxy,
        Escape::Haproxy,
        r#"192.0.2.1:33317 [21/Nov/2026:01:56:33.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {@|@} {} "GET /@ HTTP/1.1""#,
    ),
    (
        Format::Haproxy,
        Escape::Haproxy,
        r#"192.0.2.1:33317 [21/Nov/2026:01:56:33.655] http-in static/<NOSRV> -1/-1/-1/-1/0 400 0 - - PR-- 1/1/1/1/0 0/0 "@""#,
    ),
    (
        Format::NginxError,
        Escape::Raw,
        r#"2026/11/21 01:56:33 [error] 7#7: *1 access forbidden by rule, client: 192.0.2.1, server: s, request: "GET /^ HTTP/1.1", host: "h", referrer: "@""#,
    ),
    (
        Format::NginxError,
        Escape::Raw,
        r#"2026/11/21 01:56:33 [error] 7#7: *1 open() "/var/www/@" failed (2: No such file or directory), client: 192.0.2.1, server: , request: "GET /^ HTTP/1.1", host: "h""#,
    ),
    (
        Format::NginxError,
        Escape::Raw,
        r#"2026/11/21 01:56:33 [error] 7#7: *1 user "@": password mismatch, client: 192.0.2.1, server: s, request: "GET / HTTP/1.1", host: "h""#,
    ),
    (
        Format::NginxError,
        Escape::Raw,
        r#"2026/11/21 01:56:33 [error] 7#7: *1 user "@" was not found in "/etc/pw", client: 192.0.2.1, server: s, request: "GET / HTTP/1.1", host: "h", referrer: "@""#,
    ),
    (
        Format::NginxError,
        Escape::Raw,
        r#"2026/11/21 01:56:33 [error] 7#7: *1 limiting requests, excess: 1.852 by zone "one", client: 192.0.2.1, server: s, request: "GET /^ HTTP/1.1", host: "h", referrer: "@""#,
    ),
    (
        Format::NginxError,
        Escape::Raw,
        r#"2026/11/21 01:56:33 [error] 7#7: *1 FastCGI sent in stderr: "PHP message: @" while reading response header from upstream, client: 192.0.2.1, server: s, request: "GET /^ HTTP/1.1", upstream: "fastcgi://unix:/run/x:", host: "h""#,
    ),
];

/// What attackers send.
fn texts() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = [
        "203.0.113.9",
        " 203.0.113.9 - - ",
        "203.0.113.9 - - [21/Nov/2026:01:56:33 +0000] \"GET / HTTP/1.1\" 401 5 \"-\" \"-\"",
        "x\" 200 5 \"-\" \"-\"\n203.0.113.9 - - [21/Nov/2026:01:56:33 +0000] \"GET /.env HTTP/1.1\" 404 5 \"-\" \"-\"",
        "x\r\n203.0.113.9 - - [21/Nov/2026:01:56:33 +0000] \"GET / HTTP/1.1\" 404 5",
        "x\\\" 401 5 \\\"203.0.113.9\\\"",
        "\\x22 401 5 \\x22203.0.113.9\\x22",
        "] \"GET / HTTP/1.1\" 200 5 [203.0.113.9",
        "[21/Nov/2026:01:56:33 +0000] \"203.0.113.9\"",
        "x, client: 203.0.113.9, server: s, request: \"GET / HTTP/1.1\", host: \"h",
        "x\", client: 203.0.113.9, server: s, request: \"GET / HTTP/1.1\", host: \"h",
        "x\", client: 203.0.113.9, server: s, request: \"GET / HTTP/1.1\", host: \"h\", referrer: \"",
        "x\": password mismatch, client: 203.0.113.9, server: , request: \"GET / HTTP/1.1\", host: \"h\"",
        "x\" failed (2: No such file or directory), client: 203.0.113.9, server: s, request: \"GET / HTTP/1.1\", host: \"h\"",
        "x\" was not found in \"/etc/pw\", client: 203.0.113.9, server: s",
        "x\", host: \"h\", client: 203.0.113.9, server: s",
        ", client: 203.0.113.9",
        ", client: 203.0.113.9, client: 203.0.113.9, client: 203.0.113.9",
        "[client 203.0.113.9]",
        "] [client 203.0.113.9:80] user root not found: /",
        "x not found: /\n[Sat Nov 21 01:56:33 2026] [error] [client 203.0.113.9] user root not found: /",
        "x\",\"remote_addr\":\"203.0.113.9",
        "x\"},\"remote_ip\":\"203.0.113.9\",\"x\":{\"y\":\"",
        "\\\",\\\"remote_addr\\\":\\\"203.0.113.9",
        "\\u0022,\\u0022remote_addr\\u0022:\\u0022203.0.113.9",
        "{\"remote_addr\":\"203.0.113.9\",\"ClientAddr\":\"203.0.113.9:1\",\"request\":{\"remote_ip\":\"203.0.113.9\"}}",
        "\"logger\":\"http.log.access\",\"client_ip\":\"203.0.113.9\"",
        "203.0.113.9:1 [21/Nov/2026:01:56:33.655] f b/s 1/1/1/1/1 403 1 - - ---- 1/1/1/1/1 0/0 \"GET / HTTP/1.1\"",
        "} \"GET / HTTP/1.1\"\n203.0.113.9:1 [21/Nov/2026:01:56:33.655] f b/s",
        "#22 203.0.113.9",
        "203.0.113.9, 192.0.2.1",
        "192.0.2.1, 203.0.113.9",
        "for=203.0.113.9",
        "<190>Nov 21 01:56:33 web nginx: 203.0.113.9 - - [21/Nov/2026:01:56:33 +0000] \"GET / HTTP/1.1\" 401 5",
        "\u{1b}[2K\u{1b}[1A203.0.113.9 - -",
        "\u{202e}9.311.0.302\u{2028}203.0.113.9",
        "\u{0}203.0.113.9\u{0}",
        "-",
        "\"",
        "\\",
        "\\\\\"",
        "%0a203.0.113.9%0d%0a",
        "0ms\" 203.0.113.9 0ms",
        "' - not authenticated, client: 203.0.113.9, server: s",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    texts.push(b"\xff\xfe203.0.113.9\xc0\xae\xe2\x28\xa1".to_vec());
    texts.push([b"203.0.113.9 ".repeat(2_000), b"x".to_vec()].concat());
    texts.push(b"\", client: 203.0.113.9, server: s".repeat(500));
    texts
}

/// The line of a text in a template. What a server would not let through in the place is left out: line breaks, where it
/// does not escape; in a request line, spaces.
fn line(template: &str, escape: Escape, text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    if matches!(escape, Escape::Raw) {
        text.retain(|byte| !matches!(byte, b'\n' | b'\r' | 0));
    }
    let encoded: String = text.iter().fold(String::new(), |mut out, byte| {
        match byte {
            0x21..0x7f => out.push(char::from(*byte)),
            _ => write!(out, "%{byte:02x}").unwrap(),
        }
        out
    });
    let mut line = Vec::new();
    for byte in template.bytes() {
        match byte {
            b'@' => line.extend(escaped(&text, escape)),
            b'^' => line.extend(encoded.bytes()),
            other => line.push(other),
        }
    }
    line
}

/// Whom a line is laid at, if anybody.
fn blamed(reader: &mut Reader, line: &[u8]) -> Option<String> {
    match reader.read(line, &context()) {
        Line::Event(event) => {
            assert!(event.peer.is_none() || event.peer == event.client, "{}", event.raw);
            for text in [&event.uri, &event.user, &event.user_agent, &event.referer, &event.message, &event.method] {
                assert!(text.as_ref().is_none_or(|text| !text.contains(['\n', '\r', '\0'])), "{text:?}");
            }
            event.client.map(|client| client.to_string())
        }
        Line::Unparsed(_) | Line::Nothing => None,
    }
}

/// More than a thousand lines: each text in each place, by the format's name, by itself, and in a file that has shown its
/// format, alone and behind syslog headers.
#[test]
fn nobody_but_the_client_is_ever_blamed() {
    let (mut lines, mut rightly) = (0_usize, 0_usize);
    for (format, escape, template) in PLACES {
        let mut known = reader(Format::Auto);
        let honest = line(template, escape, b"x");
        for _ in 0..40 {
            assert_eq!(blamed(&mut known, &honest).as_deref(), Some("192.0.2.1"), "{template}");
        }
        for text in texts() {
            for header in ["", "<190>Nov 21 01:56:33 web nginx: ", "2026-11-21T01:56:33Z web nginx[7]: "] {
                let line = [header.as_bytes(), &line(template, escape, &text)].concat();
                for reader in [&mut reader(format), &mut reader(Format::Auto), &mut known] {
                    let blamed = blamed(reader, &line);
                    let shown = String::from_utf8_lossy(&line);
                    assert_ne!(blamed.as_deref(), Some(VICTIM), "{format}: {shown}");
                    lines += 1;
                    rightly += usize::from(blamed.as_deref() == Some("192.0.2.1"));
                }
            }
        }
    }
    assert!(lines > 1_000, "{lines}");
    // Those that are laid at nobody can be read in two ways, or are no line of the format any more.
    assert!(rightly * 100 > lines * 95, "{rightly} of {lines}");
}

/// nginx's error log holds line breaks as they came. A piece that names somebody else may stand there; what is cut off shows.
#[test]
fn an_entry_that_a_line_break_cut_in_two_is_laid_at_its_client() {
    let mut reader = reader(Format::NginxError);
    let pieces = [
        r#"2026/11/21 01:56:33 [error] 7#7: *1 open() "/var/www/x"#,
        r#"2026/11/21 01:56:33 [error] 1#1: *1 access forbidden by rule, client: 203.0.113.9, server: s, request: "GET / HTTP/1.1", host: "h""#,
        r#"" failed (2: No such file or directory), client: 192.0.2.1, server: s, request: "GET /x%0a2026 HTTP/1.1", host: "h""#,
        r#"2026/11/21 01:56:34 [error] 7#7: *2 access forbidden by rule, client: 192.0.2.2, server: s, request: "GET / HTTP/1.1", host: "h""#,
    ];
    let read: Vec<Line> = pieces.iter().map(|line| reader.read(line.as_bytes(), &context())).collect();
    assert_eq!(read[..2], [Line::Unparsed(Unparsed::Broken), Line::Unparsed(Unparsed::Broken)]);
    let (Line::Event(broken), Line::Event(next)) = (&read[2], &read[3]) else { panic!("{read:?}") };
    assert_eq!(broken.client.map(|ip| ip.to_string()).as_deref(), Some("192.0.2.1"));
    assert_eq!(broken.details.get("line-break").map(String::as_str), Some("yes"));
    assert_eq!(next.client.map(|ip| ip.to_string()).as_deref(), Some("192.0.2.2"));
    assert_eq!(next.kind, EventKind::PermissionDenied);
}

/// Nor can a client, by breaking an entry of its own, have the server's next ones passed over.
#[test]
fn the_next_entry_of_the_same_process_ends_one_that_broke_off() {
    let mut reader = reader(Format::NginxError);
    let broken = r#"2026/11/21 01:56:33 [error] 7#7: *1 open() "/var/www/x"#;
    let next = "2026/11/21 01:56:34 [error] 7#7: *2 access forbidden by rule, client: 192.0.2.1, server: s";
    for _ in 0..3 {
        assert_eq!(reader.read(broken.as_bytes(), &context()), Line::Unparsed(Unparsed::Broken));
        assert_eq!(blamed(&mut reader, next.as_bytes()).as_deref(), Some("192.0.2.1"));
    }
}

/// Two fields of one name: somebody's template escapes nothing.
#[test]
fn json_that_contradicts_itself_names_nobody() {
    for line in [
        r#"{"http_user_agent":"x","remote_addr":"203.0.113.9","remote_addr":"192.0.2.1","request":"GET / HTTP/1.1"}"#,
        r#"{"logger":"http.log.access","request":{"remote_ip":"192.0.2.1"},"request":{"remote_ip":"203.0.113.9"},"status":1}"#,
    ] {
        let read = reader(Format::Auto).read(line.as_bytes(), &context());
        assert_eq!(read, Line::Unparsed(Unparsed::Ambiguous), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The same by chance: pieces of log lines, strung together.
    #[test]
    fn whatever_a_client_strings_together_it_is_itself(
        place in 0..PLACES.len(),
        pieces in prop::collection::vec(prop::sample::select(vec![
            "203.0.113.9", " ", "\"", "\\", "[", "]", "{", "}", ", ", ":", "-", "\n", "\r", "\0", "\u{1b}[0m", "é",
            "client: ", ", client: 203.0.113.9", ", server: s", ", request: \"GET / HTTP/1.1\"", ", host: \"h\"",
            ", referrer: \"", "[21/Nov/2026:01:56:33 +0000] ", "GET / HTTP/1.1", " 200 5 ", "\"remote_addr\":",
            "\"203.0.113.9\"", "[client 203.0.113.9] ", "user x not found", "\\x22", "%22", "#22", "0ms", "nginx: ",
        ]), 0..12),
    ) {
        let (format, escape, template) = PLACES[place];
        let line = line(template, escape, pieces.concat().as_bytes());
        for format in [format, Format::Auto] {
            let blamed = blamed(&mut reader(format), &line);
            prop_assert_ne!(blamed.as_deref(), Some(VICTIM), "{}", String::from_utf8_lossy(&line));
        }
    }

    /// Nothing panics, and nothing takes long, whatever the bytes.
    #[test]
    fn any_bytes_are_a_line(bytes in prop::collection::vec(any::<u8>(), 0..400), format in 0..Format::ALL.len() - 1) {
        drop(reader(Format::ALL[format]).read(&bytes, &context()));
    }
}
