use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::cases::{self, LIST, gzip};
use super::server::{answer, path, raw};
use super::*;
use crate::adapters::feeds::fetch::{Credential, hash};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_answer_has_its_own_error_and_is_bounded() {
    let cases = Arc::new(cases::cases());
    let mut wrong = Vec::new();
    assert!(cases.len() >= 40, "{}", cases.len());
    for index in 0..cases.len() {
        let (scripts, port) = (cases.clone(), Arc::new(AtomicU64::new(0)));
        let told = port.clone();
        let server = serve(move |head, _| {
            let asked = path(head).trim_start_matches('/');
            let port = u16::try_from(told.load(Ordering::Relaxed)).unwrap();
            match scripts.iter().find(|case| case.name == asked) {
                Some(case) => (case.steps)(port),
                None => answer("404 Not Found", &[], b""),
            }
        })
        .await;
        port.store(u64::from(server.port()), Ordering::Relaxed);
        let case = &cases[index];
        let started = Instant::now();
        let fetched = fetcher().fetch(&local(&server, &format!("/{}", case.name)), None).await;
        if label(&fetched) != case.wanted {
            wrong.push(format!("{}: {fetched:?}", case.name));
        }
        let took = started.elapsed();
        assert!(took < 3 * BOUNDS.deadline, "{} took {took:?}", case.name);
        assert!(server.sent() < BOUNDS.wire_bytes + SOCKET_BUFFERS, "{}: {} bytes", case.name, server.sent());
        match fetched {
            Ok(answer) => {
                assert!(answer.wire_bytes <= BOUNDS.wire_bytes, "{}", case.name);
                assert!(answer.validators.etag.is_none_or(|etag| etag.len() <= 1_024), "{}", case.name);
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("127.0.0.1") || text.contains("169.254") || text.contains("0.0.0.0"), "{text}");
                assert!(text.len() < 400, "{text}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    eprintln!("{} hostile answers", cases.len());
}

#[tokio::test]
async fn retry_after_is_given_out_as_it_is_or_not_at_all() {
    let rows = [
        ("-1", None),
        ("soon", None),
        ("", None),
        ("0", Some(0)),
        ("315360000", Some(315_360_000)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", Some(0)),
    ];
    for (value, wanted) in rows {
        let server = serve(move |_, _| answer("503 Busy", &[&format!("Retry-After: {value}")], b"")).await;
        let error = fetcher().fetch(&local(&server, "/"), None).await.unwrap_err();
        assert_eq!(error.retry_after_s(), wanted, "{value}");
    }
    let server = serve(|_, _| answer("429 No", &["Retry-After: Thu, 31 Dec 9998 23:59:59 GMT"], b"")).await;
    let error = fetcher().fetch(&local(&server, "/"), None).await.unwrap_err();
    assert!(error.retry_after_s().unwrap() > 1_000_000_000);
}

#[tokio::test]
async fn an_unchanged_list_costs_one_conditional_request() {
    let server = serve(|head, _| {
        let same = head.to_ascii_lowercase().contains("if-none-match: \"1\"");
        if same {
            vec![raw("HTTP/1.1 304 Not Modified\r\nETag: W/\"1\"\r\n\r\n")]
        } else {
            answer("200 OK", &["ETag: \"1\""], LIST)
        }
    })
    .await;
    let (fetcher, request) = (fetcher(), local(&server, "/"));
    let first = fetcher.fetch(&request, None).await.unwrap();
    assert_eq!(first.outcome, Outcome::Changed(LIST.to_vec()));
    assert_eq!((first.sha256, first.wire_bytes, first.requests), (hash(LIST), 20, 1));
    let known = Known { validators: first.validators, sha256: first.sha256, in_full: false };
    let second = fetcher.fetch(&request, Some(&known)).await.unwrap();
    assert_eq!((second.outcome, second.requests, second.wire_bytes), (Outcome::Unchanged, 1, 0));
    assert_eq!((&second.validators, second.sha256), (&known.validators, known.sha256));
    let in_full = Known { in_full: true, ..known };
    let third = fetcher.fetch(&request, Some(&in_full)).await.unwrap();
    assert_eq!((third.outcome, third.wire_bytes), (Outcome::Unchanged, 20));
}

#[tokio::test]
async fn the_hash_decides_whatever_the_server_says() {
    let server = serve(|_, before| answer("200 OK", &[&format!("ETag: \"{before}\"")], LIST)).await;
    let known = known(Some("\"old\""), hash(LIST));
    let answer = fetcher().fetch(&local(&server, "/"), Some(&known)).await.unwrap();
    assert_eq!((answer.outcome, answer.validators.etag.as_deref()), (Outcome::Unchanged, Some("\"0\"")));
}

#[tokio::test]
async fn a_not_modified_that_answers_nothing_is_asked_again_once_without_conditions() {
    // To one who holds a copy without validators, and to one whose validators it does not speak of.
    for (etag, said) in [(None, ""), (Some("\"mine\""), "ETag: \"another\"\r\n")] {
        let server = serve(move |_, before| match before {
            0 => vec![raw(&format!("HTTP/1.1 304 Not Modified\r\n{said}\r\n"))],
            _ => answer("200 OK", &[], LIST),
        })
        .await;
        let answer = fetcher().fetch(&local(&server, "/"), Some(&known(etag, [7; 32]))).await.unwrap();
        assert_eq!((answer.outcome, answer.requests), (Outcome::Changed(LIST.to_vec()), 2));
        let heads = server.heads();
        assert!(!heads[1].to_ascii_lowercase().contains("if-none-match"), "{}", heads[1]);
    }
    let server = serve(|_, _| vec![raw("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n")]).await;
    let fetched = fetcher().fetch(&local(&server, "/"), Some(&known(Some("\"mine\""), [7; 32]))).await;
    assert_eq!((label(&fetched), server.heads().len()), ("unasked_not_modified", 2));
}

#[tokio::test]
async fn validators_that_would_inject_headers_are_not_sent() {
    let server = serve(|_, _| answer("200 OK", &[], LIST)).await;
    let mut known = known(Some("\"a\"\r\nX-Injected: 1"), [7; 32]);
    known.validators.last_modified = Some("now\nX-Injected: 2".to_owned());
    let answer = fetcher().fetch(&local(&server, "/"), Some(&known)).await.unwrap();
    assert_eq!(answer.notes.len(), 2, "{:?}", answer.notes);
    assert!(!server.heads()[0].contains("njected"), "{}", server.heads()[0]);
}

#[tokio::test]
async fn a_request_says_who_asks_and_takes_compressed_answers() {
    let server = serve(|_, _| answer("200 OK", &["Content-Encoding: gzip"], &gzip(LIST))).await;
    let mut request = local(&server, "/list?key=secret");
    request.headers.push(("X-Of-Feed".to_owned(), "1".to_owned()));
    let answer = fetcher().fetch(&request, None).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Changed(LIST.to_vec()));
    let head = server.heads()[0].to_ascii_lowercase();
    for part in
        [&format!("user-agent: weir/{}", env!("CARGO_PKG_VERSION")), "accept-encoding: gzip, br", "x-of-feed: 1"]
    {
        assert!(head.contains(part), "{part} in {head}");
    }
    assert!(!head.contains("cookie") && !head.contains("referer"), "{head}");
}

#[tokio::test]
async fn secrets_go_to_the_feeds_own_host_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "s3cret\n").unwrap();
    let other = serve(|_, _| answer("200 OK", &[], LIST)).await;
    let port = other.port();
    let server = serve(move |head, _| match path(head) {
        "/first" => answer("302 Found", &["Location: /second"], b""),
        _ => answer("302 Found", &[&format!("Location: http://127.0.0.1:{port}/elsewhere")], b""),
    })
    .await;
    let rows = [
        (Credential::Bearer(file.clone()), "authorization: bearer s3cret"),
        (Credential::Basic { user: "me".to_owned(), file: file.clone() }, "authorization: basic bwu6cznjcmv0"),
        (Credential::Header { name: "Key".to_owned(), file: file.clone() }, "key: s3cret"),
    ];
    for (credential, sent) in rows {
        let mut request = local(&server, "/first");
        request.credential = Some(credential);
        request.headers.push(("X-Api-Key".to_owned(), "t0p".to_owned()));
        let before = server.heads().len();
        let answer = fetcher().fetch(&request, None).await.unwrap();
        assert!(answer.notes.iter().any(|note| note.contains("chmod 600")), "{:?}", answer.notes);
        let heads: Vec<String> = server.heads().iter().skip(before).map(|head| head.to_ascii_lowercase()).collect();
        assert_eq!(heads.len(), 2);
        assert!(heads.iter().all(|head| head.contains("x-api-key: t0p")), "{heads:?}");
        assert!(heads.iter().all(|head| head.contains(sent)), "{heads:?}");
    }
    for head in other.heads() {
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("authorization") && !head.contains("key:") && !head.contains("s3cret"), "{head}");
    }
}

#[tokio::test]
async fn a_refused_credential_is_named_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "s3cret").unwrap();
    let server = serve(|_, _| answer("403 Forbidden", &[], b"")).await;
    let mut request = local(&server, "/p4th?k=qu3ry");
    request.credential = Some(Credential::Bearer(file.clone()));
    request.headers.push(("X-Key".to_owned(), "h3ader".to_owned()));
    let error = fetcher().fetch(&request, None).await.unwrap_err();
    let text = format!("{error} {error:?} {request:?}").replace("h3ader", "");
    assert!(text.contains(&file.display().to_string()), "{text}");
    for secret in ["s3cret", "qu3ry", "p4th"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn a_credential_that_cannot_be_used_is_an_error_and_nothing_is_asked() {
    let server = serve(|_, _| answer("200 OK", &[], LIST)).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("empty"), "\n").unwrap();
    std::fs::write(path("lines"), "a\nX-Injected: b").unwrap();
    std::fs::write(path("long"), "a".repeat(9_000)).unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    for name in ["empty", "lines", "long", "folder", "missing"] {
        let mut request = local(&server, "/");
        request.credential = Some(Credential::Bearer(path(name)));
        let fetched = fetcher().fetch(&request, None).await;
        assert_eq!(label(&fetched), "credential", "{name}");
    }
    for (name, value) in
        [("Host", "a"), ("Range", "bytes=0-1"), ("X Y", "a"), ("X", "a\r\nY: b"), ("If-None-Match", "*")]
    {
        let mut request = local(&server, "/");
        request.headers.push((name.to_owned(), value.to_owned()));
        assert_eq!(request.check().unwrap_err().label(), "bad_header", "{name}");
        assert_eq!(label(&fetcher().fetch(&request, None).await), "bad_header", "{name}");
    }
    assert_eq!(server.heads().len(), 0);
}

#[tokio::test]
async fn urls_that_may_not_be_asked_are_refused_before_anything_is() {
    let server = serve(|_, _| answer("200 OK", &[], LIST)).await;
    let port = server.port();
    let rows = [
        (format!("http://example.com:{port}/"), "plain_http"),
        (format!("https://user@127.0.0.1:{port}/"), "credentials_in_url"),
        (format!("https://user:pass@example.com:{port}/"), "credentials_in_url"),
        (format!("https://127.0.0.1:{port}/"), "forbidden_address"),
        (format!("https://2130706433:{port}/"), "forbidden_address"),
        (format!("https://0177.0.0.1:{port}/"), "forbidden_address"),
        (format!("https://0x7f.1:{port}/"), "forbidden_address"),
        (format!("https://127.1:{port}/"), "forbidden_address"),
        (format!("https://[::1]:{port}/"), "forbidden_address"),
        (format!("https://[::ffff:127.0.0.1]:{port}/"), "forbidden_address"),
        (format!("https://[::ffff:7f00:1]:{port}/"), "forbidden_address"),
        (format!("https://[64:ff9b::7f00:1]:{port}/"), "forbidden_address"),
        ("https://169.254.169.254/".to_owned(), "forbidden_address"),
        ("https://10.0.0.1/".to_owned(), "forbidden_address"),
        ("https://100.64.0.1/".to_owned(), "forbidden_address"),
        ("https://192.0.2.1/".to_owned(), "forbidden_address"),
        ("https://224.0.0.1/".to_owned(), "forbidden_address"),
        (format!("https://localhost:{port}/"), "forbidden_name"),
        (format!("https://LOCALHOST.:{port}/"), "forbidden_name"),
        (format!("https://a.localhost:{port}/"), "forbidden_name"),
        ("https://metadata.google.internal/".to_owned(), "forbidden_name"),
    ];
    for (url, wanted) in rows {
        let request = Request::new("test", Source::parse(&url, Protocol::Plain).unwrap());
        assert_eq!(request.check().unwrap_err().label(), wanted, "{url}");
        let error = fetcher().fetch(&request, None).await.unwrap_err();
        assert_eq!(error.label(), wanted, "{url}");
        assert!(!error.to_string().contains("pass@"), "{error}");
    }
    for (text, wanted) in [
        ("ftp://example.com/", "scheme"),
        ("data:,x", "scheme"),
        ("gopher://example.com/", "scheme"),
        ("https://", "bad_source"),
        ("https://[::1/", "bad_source"),
        ("https://exa mple.com/", "bad_source"),
        ("https://1.2.3.4.5/", "bad_source"),
        ("https://256.256.256.256/", "bad_source"),
        ("list.txt", "bad_source"),
        ("", "bad_source"),
        ("file://elsewhere/etc/passwd", "bad_source"),
    ] {
        assert_eq!(Source::parse(text, Protocol::Plain).unwrap_err().label(), wanted, "{text}");
    }
    assert_eq!(server.heads().len(), 0);
}

#[tokio::test]
async fn a_name_that_resolves_to_this_machine_is_refused_at_the_connection() {
    let server = serve(|_, _| answer("200 OK", &[], LIST)).await;
    for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1"] {
        let mut settings = settings();
        settings.fixed.insert("feeds.example.com".to_owned(), vec![address.parse().unwrap()]);
        let fetcher = Fetcher::new(settings);
        let url = format!("http://feeds.example.com:{}/", server.port());
        let mut request = request(&url, Protocol::Plain);
        request.allow_private = false;
        let result = fetcher.fetch(&request, None).await;
        assert_eq!(label(&result), "forbidden_address", "{address}: {result:?}");
        assert!(fetcher.hosts().is_empty());
    }
    assert_eq!(server.heads().len(), 0);
}

#[tokio::test]
async fn the_hosts_of_feeds_are_kept_and_those_they_redirect_to_are_not() {
    let mut settings = settings();
    let address = "127.0.0.1".parse().unwrap();
    for name in ["own.example.com", "other.example.com"] {
        settings.fixed.insert(name.to_owned(), vec![address]);
    }
    let fetcher = Fetcher::new(settings);
    let server = serve(|head, _| {
        if path(head) == "/end" {
            return answer("200 OK", &[], LIST);
        }
        let port = head.split("own.example.com:").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or("1");
        answer("302 Found", &[&format!("Location: http://other.example.com:{port}/end")], b"")
    })
    .await;
    let request = request(&format!("http://own.example.com:{}/", server.port()), Protocol::Plain);
    assert_eq!(label(&fetcher.fetch(&request, None).await), "changed");
    assert_eq!(fetcher.hosts(), [(address, "own.example.com".to_owned())]);
    fetcher.retain_hosts(|_| false);
    assert!(fetcher.hosts().is_empty());
}

#[tokio::test]
async fn a_name_without_address_and_a_port_without_server_are_told_apart() {
    let mut settings = settings();
    settings.fixed.insert("gone.example.com".to_owned(), vec!["127.0.0.1".parse().unwrap()]);
    let fetcher = Fetcher::new(settings);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = request(&format!("http://gone.example.com:{closed}/"), Protocol::Plain);
    assert_eq!(label(&fetcher.fetch(&gone, None).await), "connect");
    let unknown = request("http://no-such-name.invalid/", Protocol::Plain);
    let result = fetcher.fetch(&unknown, None).await;
    assert!(["resolve", "connect_deadline"].contains(&label(&result)), "{result:?}");
}

#[tokio::test]
async fn feeds_of_one_host_wait_for_each_other() {
    let server = serve(|_, _| answer("200 OK", &[], LIST)).await;
    let fetcher = Fetcher::new(Settings { host_interval: Duration::from_mins(1), ..settings() });
    assert_eq!(label(&fetcher.fetch(&local(&server, "/a"), None).await), "changed");
    match fetcher.fetch(&local(&server, "/b"), None).await {
        Err(FetchError::TooSoon { wait_ms, .. }) => assert!((1..=60_000).contains(&wait_ms)),
        other => panic!("{other:?}"),
    }
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn a_silent_server_holds_up_no_other_feed() {
    let (silent, honest) = (serve(|_, _| vec![Step::Hang]).await, serve(|_, _| answer("200 OK", &[], LIST)).await);
    let (fetcher, first, second) = (fetcher(), local(&silent, "/"), local(&honest, "/"));
    let slow = fetcher.fetch(&first, None);
    let fast = async {
        let started = Instant::now();
        let result = fetcher.fetch(&second, None).await;
        (label(&result), started.elapsed())
    };
    let (slow, (fast, took)) = tokio::join!(slow, fast);
    assert_eq!((label(&slow), fast), ("deadline", "changed"));
    assert!(took < BOUNDS.deadline / 2, "{took:?}");
}
