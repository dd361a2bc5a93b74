use super::super::tests::{check, context, event};
use super::super::{Choice, Format, Line, Reader, Unparsed};

const START: &str = "2026/11/21 01:56:33 [error] 7#7: *1 ";
const END: &str = r#", client: 192.0.2.1, server: www.example.com, request: "GET /a?b HTTP/1.1", host: "h.example""#;

#[track_caller]
fn says(message: &str, kind: &str, user: Option<&str>, component: &str) {
    let line = format!("{START}{message}{END}");
    let user = user.map(|user| format!("cs-username={user}"));
    let (kind, component, message) =
        (format!("event-type={kind}"), format!("component={component}"), format!("message={message}"));
    let expected: Vec<&str> = [kind.as_str(), "c-ip=192.0.2.1"]
        .into_iter()
        .chain(user.as_deref())
        .chain(["cs-method=GET", "cs-uri=/a?b", "cs-version=HTTP/1.1", "cs-host=h.example"])
        .chain([component.as_str(), message.as_str(), "server=www.example.com"])
        .collect();
    check(Format::NginxError, &line, &expected);
}

#[test]
fn messages_are_events_of_their_kinds() {
    says("access forbidden by rule", "permission_denied", None, "access:error");
    says(r#"directory index of "/srv/" is forbidden"#, "permission_denied", None, "autoindex:error");
    says(r#"user "al ice": password mismatch"#, "auth_failed", Some("al ice"), "auth_basic:error");
    says(r#"user "a" was not found in "/etc/pw""#, "auth_failed", Some("a"), "auth_basic:error");
    says("no user/password was provided for basic authentication", "auth_failed", None, "auth_basic:error");
    says("PAM: user 'a' - not authenticated: Authentication failure", "auth_failed", Some("a"), "auth_pam:error");
    says(r#"limiting requests, excess: 1.852 by zone "one""#, "rate_limit_exceeded", None, "limit_req:error");
    says(r#"limiting connections by zone "one""#, "rate_limit_exceeded", None, "limit_conn:error");
    says(r#"delaying request, excess: 0.8, by zone "one""#, "rate_limit_exceeded", None, "limit_req:error");
    says(r#"limiting requests, dry run, excess: 1.8 by zone "one""#, "server_message", None, "http:error");
    says(r#"open() "/srv/x" failed (2: No such file or directory)"#, "server_message", None, "http:error");
    says(r#"ModSecurity: Access denied with code 403 [id "1"]"#, "server_message", None, "modsecurity:error");
}

#[test]
fn fields_hold_what_stands_raw_in_them() {
    let line = format!(
        r#"{START}access forbidden by rule, client: 2001:db8::1, server: , request: "GET /d"q HTTP/1.1", upstream: "http://10.0.0.1/d"q", host: "h"x,y", referrer: "a"b""#
    );
    let event = event(Format::NginxError, &line);
    assert_eq!(event.client.map(|ip| ip.to_string()).as_deref(), Some("2001:db8::1"));
    assert_eq!(event.uri.as_deref(), Some("/d\"q"));
    assert_eq!(event.host.as_deref(), Some("h\"x,y"));
    assert_eq!(event.referer.as_deref(), Some("a\"b"));
    assert_eq!(event.details.get("upstream").map(String::as_str), Some("http://10.0.0.1/d\"q"));
}

#[test]
fn a_handshake_has_a_client_and_no_request() {
    check(
        Format::NginxError,
        "2026/11/21 01:56:33 [crit] 7#7: *1 SSL_do_handshake() failed (SSL: error:1) while SSL handshaking, client: 192.0.2.1, server: 0.0.0.0:443",
        &[
            "event-type=server_message",
            "c-ip=192.0.2.1",
            "component=ssl:crit",
            "message=SSL_do_handshake() failed (SSL: error:1) while SSL handshaking",
            "server=0.0.0.0:443",
        ],
    );
}

#[test]
fn a_name_that_holds_an_entry_of_its_own_is_a_name() {
    let name = r#"test": password mismatch, client: 203.0.113.9, server: test, request: "GET / HTTP/1.1", host: "h""#;
    let event = event(Format::NginxError, &format!(r#"{START}user "{name}": was not found in "/etc/pw"{END}"#));
    assert_eq!(event.client.map(|ip| ip.to_string()).as_deref(), Some("192.0.2.1"));
    assert_eq!(event.user.as_deref(), Some(name));
}

/// The same bytes come of two clients: of one with such a name, and of one with such a referrer.
#[test]
fn what_can_be_read_in_two_ways_names_nobody() {
    let line = format!(
        r#"{START}user "a": password mismatch, client: 203.0.113.9, server: s, request: "GET / HTTP/1.1", host: "h", referrer: "": password mismatch{END}"#
    );
    let read = super::super::tests::reader(Format::NginxError).read(line.as_bytes(), &context());
    assert_eq!(read, Line::Unparsed(Unparsed::Ambiguous));
}

/// nginx cuts an entry at 2,047 bytes: what a client put into the message is then its end.
#[test]
fn an_entry_that_nginx_has_cut_names_nobody_unless_its_message_is_nginx_own() {
    let blamed = |message: &str, end: &str| {
        let line = format!("{START}{message}{end}");
        let cut = line.get(..2_047).unwrap_or(&line);
        match super::super::tests::reader(Format::Auto).read(cut.as_bytes(), &context()) {
            Line::Event(event) => event.client.map(|client| client.to_string()),
            Line::Unparsed(why) => Some(why.name().to_owned()),
            Line::Nothing => None,
        }
    };
    let long = "h".repeat(3_000);
    let forged = format!(r#"open() "/x, client: 203.0.113.9, server: s, request: "GET / HTTP/1.1", host: "{long}"#);
    assert_eq!(blamed(&forged, END).as_deref(), Some("ambiguous"));
    assert_eq!(blamed(&format!("open() \"/{long}"), END).as_deref(), Some("ambiguous"));
    for short in 1_900..2_047 {
        let blamed = blamed(&format!("open() \"/{}\" failed (2: No such file)", "h".repeat(short)), END);
        assert!(matches!(blamed.as_deref(), Some("192.0.2.1" | "ambiguous")), "{short}: {blamed:?}");
    }
    let long = format!(r#", client: 192.0.2.1, server: s, request: "GET /{long} HTTP/1.1""#);
    assert_eq!(blamed("access forbidden by rule", &long).as_deref(), Some("192.0.2.1"));
}

/// A datagram is one entry, whatever line breaks it holds. In a file a header proves nothing: a client may have written it.
#[test]
fn an_entry_is_forgeable_but_by_a_socket() {
    let line = format!("<187>Nov 21 01:56:33 web nginx: {START}user \"a\nb\": password mismatch{END}");
    for mixed in [false, true] {
        let mut reader = Reader::new(&Choice { mixed, ..Choice::default() }).unwrap();
        let Line::Event(event) = reader.read(line.as_bytes(), &context()) else { panic!("no event") };
        assert_eq!(event.user.as_deref(), Some("a%0Ab"));
        assert_eq!(event.is_forgeable(), !mixed);
    }
}
