use super::super::Format;
use super::super::tests::{check, event};

#[test]
fn caddy_is_read_with_its_headers_and_whatever_its_level() {
    for level in ["info", "error"] {
        let line = format!(
            r#"{{"level":"{level}","ts":1795226193.25,"logger":"http.log.access.log0","msg":"handled request","request":{{"remote_ip":"192.0.2.1","remote_port":"51000","client_ip":"192.0.2.1","proto":"HTTP/2.0","method":"GET","host":"h","uri":"/a?b","headers":{{"User-Agent":["a/1"],"referer":["r"],"Cookie":["c=1"],"X-Forwarded-For":["198.51.100.7","198.51.100.8"]}}}},"bytes_read":7,"user_id":"al","duration":0.5,"size":5,"status":404,"resp_headers":{{"Server":["Caddy"]}}}}"#
        );
        check(
            Format::Caddy,
            &line,
            &[
                "event-type=http_request",
                "c-ip=192.0.2.1",
                "cs-username=al",
                "cs-method=GET",
                "cs-uri=/a?b",
                "cs-version=HTTP/2.0",
                "sc-status=404",
                "sc-bytes=5",
                "cs-bytes=7",
                "cs-host=h",
                "cs-referer=r",
                "cs-user-agent=a/1",
                "cs-cookie=c=1",
                "x-forwarded-for=198.51.100.7, 198.51.100.8",
                "time-taken=0.5",
            ],
        );
    }
}

#[test]
fn the_client_that_caddy_names_comes_before_its_peer() {
    let line = r#"{"ts":1795226193,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"192.0.2.1","client_ip":"198.51.100.7","method":"GET","uri":"/"},"status":200}"#;
    check(
        Format::Caddy,
        line,
        &["event-type=http_request", "c-ip=198.51.100.7", "cs-method=GET", "cs-uri=/", "sc-status=200"],
    );
}

/// However many headers a client makes up, what counts is read.
#[test]
fn headers_of_a_clients_own_take_no_room() {
    let own: Vec<String> = (0..400).map(|at| format!(r#""A.{at}.b":["x"],"C{at}":["x"]"#)).collect();
    let line = format!(
        r#"{{"ts":1795226193,"logger":"http.log.access","msg":"handled request","request":{{"remote_ip":"192.0.2.1","method":"GET","uri":"/a","headers":{{{},"User-Agent":["sqlmap/1.7"]}}}},"status":404}}"#,
        own.join(",")
    );
    let event = event(Format::Caddy, &line);
    assert_eq!((event.user_agent.as_deref(), event.status), (Some("sqlmap/1.7"), Some(404)));
}
