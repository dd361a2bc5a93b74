use super::server::{answer, path};
use super::*;

const FIRST: &str = "00000000-0000-4000-8000-000000000001";
const SECOND: &str = "00000000-0000-4000-8000-000000000002";

async fn json(script: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> Server {
    serve(move |head, before| match script(path(head), before) {
        text if text.is_empty() => answer("404 Not Found", &[], b""),
        text => answer("200 OK", &["Content-Type: application/json"], text.as_bytes()),
    })
    .await
}

fn of(server: &Server, path: &str, protocol: Protocol) -> Request {
    request(&format!("http://127.0.0.1:{}{path}", server.port()), protocol)
}

#[tokio::test]
async fn the_pages_of_a_collection_become_one_envelope() {
    let server = json(|path, _| match path {
        "/objects/?match%5Btype%5D=indicator" => r#"{"more":true,"next":"a b&c","objects":[{"n":1}]}"#.to_owned(),
        "/objects/?match%5Btype%5D=indicator&next=a+b%26c" => r#"{"objects":[{"n":2}]}"#.to_owned(),
        _ => String::new(),
    })
    .await;
    let request = of(&server, "/objects/?match%5Btype%5D=indicator", Protocol::Taxii);
    let answer = fetcher().fetch(&request, None).await.unwrap();
    let wanted = r#"{"objects":[{"n":1},{"n":2}]}"#;
    assert_eq!(answer.outcome, Outcome::Changed(wanted.as_bytes().to_vec()));
    assert!(server.heads().iter().all(|head| head.contains("accept: application/taxii+json;version=2.1")));
}

#[tokio::test]
async fn a_collection_without_end_or_sense_is_refused() {
    type Page = fn(usize) -> String;
    let rows: [(Page, &str); 8] = [
        (|before| format!(r#"{{"more":true,"next":"{before}","objects":[{{}}]}}"#), "too_many_requests"),
        (|_| r#"{"more":true,"next":"x","objects":[{}]}"#.to_owned(), "shape"),
        (|_| r#"{"more":true,"objects":[{}]}"#.to_owned(), "shape"),
        (|before| format!(r#"{{"more":true,"next":"{before}","objects":[]}}"#), "shape"),
        (|_| r#"{"objects":{}}"#.to_owned(), "shape"),
        (|_| "[true,null,[]]".to_owned(), "shape"),
        (|_| r#"{"objects":[{}"#.to_owned(), "shape"),
        (
            |before| format!(r#"{{"more":true,"next":"{before}","objects":["{}"]}}"#, "a".repeat(200_000)),
            "too_many_bytes",
        ),
    ];
    for (page, wanted) in rows {
        let server = json(move |_, before| page(before)).await;
        let fetched = fetcher().fetch(&of(&server, "/", Protocol::Taxii), None).await;
        assert_eq!(label(&fetched), wanted, "{fetched:?}");
        assert!(server.heads().len() <= BOUNDS.requests);
    }
}

#[tokio::test]
async fn the_events_of_a_misp_feed_become_one_array_and_an_unchanged_manifest_costs_one_request() {
    let server = json(|path, _| match path.strip_prefix("/feed/").unwrap_or_default() {
        "manifest.json" => format!(r#"{{"{SECOND}":{{"info":"b"}},"{FIRST}":{{"info":"a"}}}}"#),
        name if name == format!("{FIRST}.json") => "{\"Event\":1}\n".to_owned(),
        name if name == format!("{SECOND}.json") => "{\"Event\":2}".to_owned(),
        _ => String::new(),
    })
    .await;
    for path in ["/feed", "/feed/", "/feed/manifest.json"] {
        let fetcher = fetcher();
        let request = of(&server, path, Protocol::Misp);
        let answer = fetcher.fetch(&request, None).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Changed(br#"[{"Event":1},{"Event":2}]"#.to_vec()));
        let known = Known { validators: answer.validators, sha256: answer.sha256, in_full: false };
        let again = fetcher.fetch(&request, Some(&known)).await.unwrap();
        assert_eq!((again.outcome, again.requests), (Outcome::Unchanged, 1));
    }
}

#[tokio::test]
async fn a_misp_feed_that_leads_astray_is_refused() {
    let many = |count: usize| {
        let events: Vec<String> = (0..count).map(|n| format!(r#""00000000-0000-4000-8000-{n:012}":{{}}"#)).collect();
        format!("{{{}}}", events.join(","))
    };
    let rows = [
        (r#"{"../../etc/passwd":{}}"#.to_owned(), "shape"),
        (r#"{"http://169.254.169.254/":{}}"#.to_owned(), "shape"),
        (r#"{"00000000-0000-4000-8000-00000000000?":{}}"#.to_owned(), "shape"),
        (r#"{"":{}}"#.to_owned(), "shape"),
        (format!(r#"["{FIRST}"]"#), "shape"),
        (many(1_000), "too_many_requests"),
        (many(1), "not_found"),
        (format!(r#"{{"{FIRST}":{{}}}}"#), "shape"),
    ];
    for (manifest, wanted) in rows {
        let shown = manifest.chars().take(60).collect::<String>();
        let server = json(move |path, _| match path {
            "/manifest.json" => manifest.clone(),
            path if path == format!("/{FIRST}.json") => "{\"Event\":".to_owned(),
            _ => String::new(),
        })
        .await;
        let fetched = fetcher().fetch(&of(&server, "/", Protocol::Misp), None).await;
        assert_eq!(label(&fetched), wanted, "{shown}: {fetched:?}");
    }
}
