use super::super::Format;
use super::super::tests::{check, event};

/// Of a message as 2.2 writes it: kind, user, target.
#[track_caller]
fn says(message: &str, kind: &str, user: Option<&str>, uri: Option<&str>) {
    for line in [
        format!("[Sat Nov 21 01:56:33 2026] [error] [client 192.0.2.1] {message}"),
        format!(
            "[Sat Nov 21 01:56:33.123456 2026] [x:error] [pid 1:tid 2] [client 192.0.2.1:51380] AH01618: {message}"
        ),
        format!("[Sat Nov 21 01:56:33.123456 2026] [x:error] [pid 1] [remote [::ffff:192.0.2.1]:51380] {message}"),
        format!(
            "Nov 21 01:56:33 web httpd[1]: [x:error] [pid 1] [client 192.0.2.1:58585] {message}, referer: http://a/"
        ),
    ] {
        let event = event(Format::Auto, &line);
        assert_eq!(event.client.map(|ip| ip.to_string()).as_deref(), Some("192.0.2.1"), "{line}");
        assert_eq!(event.kind.name(), kind, "{line}");
        assert_eq!((event.user.as_deref(), event.uri.as_deref()), (user, uri), "{line}");
    }
}

#[test]
fn messages_are_events_of_their_kinds() {
    says("user alice not found: /x", "auth_failed", Some("alice"), Some("/x"));
    says("user  not found: /x", "auth_failed", None, Some("/x"));
    says("user alice not found", "auth_failed", Some("alice"), None);
    says("user a not found: b not found: /x", "auth_failed", Some("a not found: b"), Some("/x"));
    says("user al: authentication failure for \"/x\": Password Mismatch", "auth_failed", Some("al"), Some("/x"));
    says("user al: authorization failure for \"/x\": ", "permission_denied", Some("al"), Some("/x"));
    says("Digest: user al: password mismatch: /x", "auth_failed", Some("al"), Some("/x"));
    says("Digest: user `al' in realm `r' not found: /x", "auth_failed", Some("al"), Some("/x"));
    says("Digest: invalid qop `auth' received: /x", "auth_failed", None, None);
    says("Digest: realm mismatch - got `a' but expected `b'", "auth_failed", None, None);
    says("Digest: unknown algorithm `a' received: /x", "auth_failed", None, None);
    says("Digest: invalid nonce a received - length is not 52", "auth_failed", None, None);
    says("Digest: invalid nonce a received - hash is not b", "server_message", None, None);
    says("client used wrong authentication scheme: /x", "auth_failed", None, Some("/x"));
    says("Authorization of user al to access /x failed, reason: y", "permission_denied", Some("al"), Some("/x"));
    says("client denied by server configuration: /srv/x", "permission_denied", None, None);
    says("File does not exist: /srv/[client 203.0.113.9] user root not found", "server_message", None, None);
    says("script '/srv/x.php' not found or unable to stat", "server_message", None, None);
    says("invalid URI path (/cgi-bin/.%2e/x)", "server_message", None, Some("/cgi-bin/.%2e/x"));
    says("Invalid URI in request GET /../x HTTP/1.1", "server_message", None, Some("/../x"));
    says(r"Invalid method in request \x16\x03\x01", "server_message", None, None);
}

#[test]
fn what_the_server_says_before_the_client_is_no_client() {
    check(
        Format::ApacheError,
        "[Sat Nov 21 01:56:33.5 2026] [core:error] [pid 1:tid 2] (13)Permission denied: [client 192.0.2.1:80] AH00035: access to /x denied",
        &[
            "event-type=server_message",
            "c-ip=192.0.2.1",
            "component=core:error",
            "message=access to /x denied",
            "code=AH00035",
        ],
    );
    check(
        Format::ApacheError,
        "[Sat Nov 21 01:56:33.5 2026] [core:debug] [pid 1] core.c(123): (2)No such file: [client 192.0.2.1:80] AH00001: x",
        &["event-type=server_message", "c-ip=192.0.2.1", "component=core:debug", "message=x", "code=AH00001"],
    );
}

#[test]
fn mod_evasive_speaks_of_rates() {
    let line = "[Sat Nov 21 01:56:33.5 2026] [evasive20:error] [pid 1] [client 192.0.2.1:80] client denied by server configuration: /x";
    assert_eq!(event(Format::ApacheError, line).kind.name(), "rate_limit_exceeded");
}

#[test]
fn modsecurity_says_which_rule_and_which_target() {
    check(
        Format::ApacheError,
        r#"[Sat Nov 21 01:56:33.5 2026] [:error] [pid 1] [client 192.0.2.1:80] [client 192.0.2.1] ModSecurity: Access denied with code 403. [id "960015"] [msg "No Accept"] [hostname "www.example.com"] [uri "/x"] [unique_id "u"], referer: http://a/"#,
        &[
            "event-type=server_message",
            "c-ip=192.0.2.1",
            "cs-uri=/x",
            "cs-referer=http://a/",
            "component=error",
            r#"message=ModSecurity: Access denied with code 403. [id "960015"] [msg "No Accept"] [hostname "www.example.com"] [uri "/x"] [unique_id "u"]"#,
            "rule-id=960015",
            "rule-message=No Accept",
            "server=www.example.com",
        ],
    );
}
