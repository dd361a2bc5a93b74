use super::super::tests::{check, context, event, reader};
use super::super::{Format, Line, Unparsed};

#[test]
fn names_of_nginx_and_names_that_people_choose_are_known() {
    let expected = [
        "event-type=http_request",
        "c-ip=192.0.2.1",
        "cs-username=al",
        "cs-method=GET",
        "cs-uri=/a?b",
        "cs-version=HTTP/1.1",
        "sc-status=404",
        "sc-bytes=5",
        "cs-bytes=7",
        "cs-host=h",
        "cs-referer=r",
        "cs-user-agent=a/1",
        "x-forwarded-for=198.51.100.7",
        "time-taken=0.25",
    ];
    for line in [
        r#"{"time_iso8601":"2026-11-21T01:56:33+00:00","remote_addr":"192.0.2.1","remote_user":"al","request":"GET /a?b HTTP/1.1","status":404,"body_bytes_sent":5,"request_length":7,"http_host":"h","http_referer":"r","http_user_agent":"a/1","http_x_forwarded_for":"198.51.100.7","request_time":0.25}"#,
        r#"{"@timestamp":"21/Nov/2026:01:56:33 +0000","clientip":"192.0.2.1","user":"al","method":"GET","uri":"/a","args":"b","protocol":"HTTP/1.1","status":"404","bytes":"5","request_length":"7","host":"h","referrer":"r","agent":"a/1","xff":"198.51.100.7","responsetime":"0.250"}"#,
        r#"{"msec":1795226193.5,"network":{"client":{"ip":"192.0.2.1"}},"remote_user":"al","request_method":"GET","request_uri":"/a?b","server_protocol":"HTTP/1.1","status":404,"bytes_sent":5,"request_length":7,"server_name":"h","referer":"r","user_agent":"a/1","x_forwarded_for":"198.51.100.7","request_time":0.25,"upstream_response_time":,"x":-}"#,
    ] {
        check(Format::NginxJson, line, &expected);
    }
}

#[test]
fn bytes_that_are_no_utf8_pass_through_nginx_and_are_read() {
    let line =
        b"{\"remote_addr\":\"192.0.2.1\",\"request\":\"\\u0016\\u0003\\u0001\\u0000\xa5\xff\\n\",\"status\":400}";
    let read = reader(Format::Auto).read(line, &context());
    let Line::Event(event) = read else { panic!("{read:?}") };
    assert_eq!(event.uri.as_deref(), Some("\u{16}\u{3}\u{1}%00%A5%FF%0A"));
}

#[test]
fn the_real_ip_module_has_counted_the_hops() {
    let line = r#"{"remote_addr":"198.51.100.7","realip_remote_addr":"192.0.2.1","request":"GET / HTTP/1.1"}"#;
    let event = event(Format::NginxJson, line);
    assert_eq!(event.client.map(|ip| ip.to_string()).as_deref(), Some("198.51.100.7"));
    assert_eq!(event.peer.map(|ip| ip.to_string()).as_deref(), Some("192.0.2.1"));
}

#[test]
fn of_two_addresses_neither_of_which_is_nginxs_own_none_is_taken() {
    let line = r#"{"client_ip":"203.0.113.9","remote":"192.0.2.1","request":"GET / HTTP/1.1","status":200}"#;
    let read = reader(Format::NginxJson).read(line.as_bytes(), &context());
    assert_eq!(read, Line::Unparsed(Unparsed::Ambiguous));
}
