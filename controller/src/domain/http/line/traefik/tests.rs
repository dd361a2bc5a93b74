use super::super::Format;
use super::super::tests::check;

#[test]
fn traefik_is_read_with_its_nanoseconds_and_kept_headers() {
    check(
        Format::TraefikJson,
        r#"{"ClientAddr":"192.0.2.1:51000","ClientHost":"192.0.2.1","ClientPort":"51000","ClientUsername":"al","DownstreamContentSize":5,"DownstreamStatus":401,"Duration":250000000,"OriginStatus":0,"RequestAddr":"h","RequestContentSize":7,"RequestHost":"h","RequestMethod":"GET","RequestPath":"/a?b","RequestProtocol":"HTTP/2.0","RouterName":"site","ServiceURL":"http://10.0.0.5","StartUTC":"2026-11-21T01:56:33.5Z","level":"info","msg":"","request_User-Agent":"a/1","request_Referer":"r","time":"2026-11-21T01:56:34Z"}"#,
        &[
            "event-type=http_request",
            "c-ip=192.0.2.1",
            "cs-username=al",
            "cs-method=GET",
            "cs-uri=/a?b",
            "cs-version=HTTP/2.0",
            "sc-status=401",
            "sc-bytes=5",
            "cs-bytes=7",
            "cs-host=h",
            "cs-referer=r",
            "cs-user-agent=a/1",
            "time-taken=0.25",
            "router=site",
            "upstream=http://10.0.0.5",
        ],
    );
}

/// In the client's place is the first line of the header by which proxies name it: that may be anybody's.
#[test]
fn the_peer_is_the_client_whatever_chain_is_in_its_place() {
    check(
        Format::TraefikJson,
        r#"{"ClientAddr":"192.0.2.1:51000","ClientHost":"203.0.113.9","DownstreamStatus":200,"RequestMethod":"GET","RequestPath":"/"}"#,
        &["event-type=http_request", "c-ip=192.0.2.1", "cs-method=GET", "cs-uri=/", "sc-status=200"],
    );
}
