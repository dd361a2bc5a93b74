use std::error::Error as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};

use super::*;
use crate::domain::crowdsec::PageError;
use crate::domain::crowdsec::poll::Trouble;

const LIMITS: Limits =
    Limits { bytes: 100_000, whole_within: Duration::from_secs(20), changes_within: Duration::from_secs(20) };
const DECISION: &str =
    r#"{"id":1,"origin":"cscli","type":"ban","scope":"Ip","value":"192.0.2.1","duration":"1h","scenario":"x"}"#;

/// What a server does with one connection, after it has read the request.
enum Reply {
    /// Writes this and closes.
    Say(Vec<u8>),
    /// Writes this and stays silent until the client goes.
    Hang(Vec<u8>),
    /// Writes this over and over until the client goes.
    Flood(Vec<u8>),
}

fn http(head: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Say(format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes())
}

fn json(body: &str) -> Reply {
    http("200 OK\r\nContent-Type: application/json; charset=utf-8", body)
}

/// A server that gives one answer to each connection, and keeps what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::default();
        let told = Arc::clone(&asked);
        tokio::spawn(async move {
            for reply in replies {
                let (stream, _) = listener.accept().await.unwrap();
                answer(stream, reply, &told).await;
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: Reply, asked: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut piece = [0; 4_096];
    let ends = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        body.len() >= length.unwrap_or(0)
    };
    while !ends(&request) {
        match stream.read(&mut piece).await.unwrap() {
            0 => return,
            read => request.extend(&piece[..read]),
        }
    }
    asked.lock().unwrap().push(String::from_utf8(request).unwrap());
    match reply {
        Reply::Say(bytes) => stream.write_all(&bytes).await.unwrap(),
        Reply::Hang(bytes) => {
            stream.write_all(&bytes).await.unwrap();
            drop(stream.read(&mut piece).await);
        }
        Reply::Flood(bytes) => while stream.write_all(&bytes).await.is_ok() {},
    }
}

fn connection(url: &str) -> Connection {
    Connection {
        api_url: url.to_owned(),
        api_key: Some(ApiKey::new("SECRET-KEY").unwrap()),
        cert_file: None,
        key_file: None,
        ca_file: None,
        insecure_skip_verify: false,
        filters: Filters::default(),
        rules: Rules::default(),
    }
}

fn client(url: &str, limits: Limits) -> Client {
    Client::within(connection(url), limits).unwrap()
}

async fn ask(reply: Reply) -> Result<Page, LapiError> {
    let server = Server::start(vec![reply]).await;
    client(&server.url, LIMITS).stream(true).await
}

#[track_caller]
fn check(error: &LapiError, name: &str, words: &str) {
    let text = format!("{error}");
    assert_eq!(error.name(), name, "{text}");
    assert!(text.contains(words), "{text}");
    let rejected = name == "key_rejected";
    assert_eq!(error.trouble(), if rejected { Trouble::KeyRejected } else { Trouble::Away });
    let mut all = format!("{error:?} {text}");
    let mut cause = error.source();
    while let Some(error) = cause {
        all.push_str(&error.to_string());
        cause = error.source();
    }
    assert!(!all.contains("SECRET"), "{all}");
}

#[tokio::test]
async fn the_request_names_weir_its_key_and_what_it_wants() {
    let server = Server::start(vec![json(r#"{"new":null,"deleted":null}"#), json(r#"{"new":[],"deleted":[]}"#)]).await;
    let client = client(&format!("{}/", server.url), LIMITS);
    assert_eq!(client.stream(true).await.unwrap(), Page::default());
    assert_eq!(client.stream(false).await.unwrap(), Page::default());
    let asked = server.asked();
    let (first, head) = asked[0].split_once("\r\n").unwrap();
    assert_eq!(first, "GET /v1/decisions/stream?startup=true&dedup=false&scopes=ip%2Crange HTTP/1.1");
    let agent = format!("user-agent: crowdsec-weir-bouncer/v{}\r\n", env!("CARGO_PKG_VERSION"));
    assert!(head.contains(&agent) && head.contains("x-api-key: SECRET-KEY\r\n"), "{head}");
    assert!(asked[1].starts_with("GET /v1/decisions/stream?startup=false&"), "{}", asked[1]);
    assert!(!format!("{client:?}").contains("SECRET"), "{client:?}");
}

#[tokio::test]
async fn a_server_behind_a_path_is_asked_there() {
    let server = Server::start(vec![json(r#"{"new":[]}"#)]).await;
    client(&format!("{}/lapi/", server.url), LIMITS).stream(true).await.unwrap();
    assert!(server.asked()[0].starts_with("GET /lapi/v1/decisions/stream?"));
}

#[tokio::test]
async fn an_answer_in_pieces_is_read() {
    let body = format!(r#"{{"new": [{DECISION}], "deleted": []}}"#);
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.as_bytes().chunks(7) {
        bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    let mut whole = bytes.clone();
    whole.extend(b"0\r\n\r\n");
    assert_eq!(ask(Reply::Say(whole)).await.unwrap().new.len(), 1);
    // The text is complete and its last piece is not: the server may have had more to say.
    check(&ask(Reply::Say(bytes)).await.unwrap_err(), "lost", "lost on the way");
}

#[tokio::test]
async fn an_answer_that_is_cut_is_lost_wherever_it_is() {
    let body = format!(r#"{{"new":[{DECISION}],"deleted":[]}}"#);
    let Reply::Say(whole) = json(&body) else { unreachable!() };
    let head = whole.len() - body.len();
    for end in (head..whole.len()).step_by(11) {
        check(&ask(Reply::Say(whole[..end].to_vec())).await.unwrap_err(), "lost", "lost on the way");
    }
    check(&ask(Reply::Say(b"HTTP/1.1 200 OK\r\nConte".to_vec())).await.unwrap_err(), "lost", "lost on the way");
    check(&ask(Reply::Say(Vec::new())).await.unwrap_err(), "lost", "lost on the way");
    check(&ask(json(r#"{"new":[{"id":1"#)).await.unwrap_err(), "page", "cut short");
}

#[tokio::test]
async fn what_is_no_answer_of_a_crowdsec_server_is_refused() {
    check(&ask(http("200 OK\r\nContent-Type: text/html", "<html>")).await.unwrap_err(), "not_json", "\"text/html\"");
    check(&ask(http("200 OK", r#"{"new":[]}"#)).await.unwrap_err(), "not_json", "not with JSON");
    check(&ask(json("<html>hello")).await.unwrap_err(), "page", "not JSON");
    check(&ask(json(r#"{"message":"nothing here"}"#)).await.unwrap_err(), "page", "no list of decisions");
    check(&ask(json("")).await.unwrap_err(), "page", "cut short");
    check(&ask(http("500 Internal Server Error", "{}")).await.unwrap_err(), "status", "status 500");
    check(&ask(http("404 Not Found", "")).await.unwrap_err(), "status", "status 404");
    check(&ask(http("204 No Content", "")).await.unwrap_err(), "status", "status 204");
    check(&ask(Reply::Say(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())).await.unwrap_err(), "lost", "lost on the way");
}

#[tokio::test]
async fn a_rejected_key_says_which_command_gives_another() {
    for status in ["403 Forbidden", "401 Unauthorized"] {
        let reply = http(&format!("{status}\r\nContent-Type: application/json"), r#"{"message":"access forbidden"}"#);
        check(&ask(reply).await.unwrap_err(), "key_rejected", "cscli bouncers add weir");
    }
}

#[tokio::test]
async fn the_key_follows_no_redirect() {
    let other = Server::start(vec![json(r#"{"new":[]}"#)]).await;
    let reply = http(&format!("302 Found\r\nLocation: {}/", other.url), "");
    check(&ask(reply).await.unwrap_err(), "redirected", &format!("sends weir on to {}/", other.url));
    assert_eq!(other.asked().len(), 0);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off_by_its_size() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"new\":[".to_vec();
    // The head comes over and over, which is no JSON any more: the reader stops, or the bound does, whichever is first.
    let error = ask(Reply::Flood(head)).await.unwrap_err();
    assert!(matches!(error, LapiError::Page { cause: PageError::NotJson { .. }, .. } | LapiError::TooLarge { .. }));
    let spaces = [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".to_vec(), vec![b' '; 200_000]].concat();
    check(&ask(Reply::Hang(spaces)).await.unwrap_err(), "too_large", "more than 100000 bytes");
    let told = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100001\r\n\r\n".to_vec();
    check(&ask(Reply::Hang(told)).await.unwrap_err(), "too_large", "scopes, origins or scenarios");
}

#[tokio::test]
async fn silence_is_ended_by_the_deadline_wherever_it_begins() {
    let limits = Limits { whole_within: Duration::from_millis(200), ..LIMITS };
    for begin in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"new\":["] {
        let server = Server::start(vec![Reply::Hang(begin.as_bytes().to_vec())]).await;
        check(&client(&server.url, limits).stream(true).await.unwrap_err(), "deadline", "did not finish");
    }
}

#[tokio::test]
async fn after_a_restart_the_same_client_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = client(&format!("http://{address}"), LIMITS);
    drop(listener);
    check(&client.stream(true).await.unwrap_err(), "connect", "is it running");
    let listener = TcpListener::bind(address).await.unwrap();
    let asked = Mutex::default();
    let (page, ()) = tokio::join!(client.stream(true), async {
        let (stream, _) = listener.accept().await.unwrap();
        answer(stream, json(r#"{"new":[]}"#), &asked).await;
    });
    assert_eq!(page.unwrap(), Page::default());
}

#[tokio::test]
async fn a_server_behind_a_socket_is_asked_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lapi.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let client = client(&path.display().to_string(), LIMITS);
    let asked = Mutex::default();
    let (page, ()) = tokio::join!(client.stream(true), async {
        let (stream, _) = listener.accept().await.unwrap();
        answer(stream, json(&format!(r#"{{"new":[{DECISION}]}}"#)), &asked).await;
    });
    assert_eq!((page.unwrap().new.len(), client.shows_its_key()), (1, false));
}

#[tokio::test]
async fn usage_is_pushed_and_an_old_server_knows_no_such_thing() {
    let server =
        Server::start(vec![http("201 Created", ""), http("404 Not Found", ""), http("422 Unprocessable", "")]).await;
    let client = client(&server.url, LIMITS);
    let payload = serde_json::json!({ "remediation_components": [] });
    assert_eq!(client.push_metrics(&payload).await.unwrap(), Pushed::Taken);
    assert_eq!(client.push_metrics(&payload).await.unwrap(), Pushed::Unknown);
    check(&client.push_metrics(&payload).await.unwrap_err(), "status", "status 422");
    let asked = server.asked();
    assert!(asked[0].starts_with("POST /v1/usage-metrics HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].ends_with("\r\n\r\n{\"remediation_components\":[]}"), "{}", asked[0]);
}

#[tokio::test]
async fn plain_text_where_tls_is_wanted_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let skip = Connection { insecure_skip_verify: true, ..connection(&url) };
    let client = Client::within(skip, LIMITS).unwrap();
    check(&client.stream(true).await.unwrap_err(), "connect", "cannot be reached");
}

#[test]
fn an_address_that_is_none_is_refused_and_its_password_is_not_shown() {
    for (url, words) in [
        ("127.0.0.1:8080", "it is not an address"),
        ("", "it is not an address"),
        ("ftp://192.0.2.1", "must begin with http://"),
        ("http://name:SECRET@192.0.2.1/", "no name and password"),
        ("http://192.0.2.1/?x=y", "must end with"),
    ] {
        let error = Client::new(connection(url)).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("SECRET"), "{error}");
    }
}

#[test]
fn what_a_bouncers_file_says_goes_before_and_the_rest_stays() {
    let file =
        crate::domain::crowdsec::bouncer_file::parse("api_url: /run/lapi.sock\nscopes: [ip]\ndisable_ipv6: true", None);
    let own = Connection { insecure_skip_verify: true, ..connection("http://127.0.0.1") };
    let both = own.clone().under(file.unwrap());
    assert_eq!((both.api_url.as_str(), both.insecure_skip_verify), ("/run/lapi.sock", true));
    assert_eq!(
        (both.filters.scopes.as_slice(), both.rules.scopes.as_slice()),
        (&["ip".to_owned()][..], &["ip".to_owned()][..])
    );
    assert_eq!((both.rules.ipv6, both.rules.deny_types, both.api_key), (false, own.rules.deny_types, own.api_key));
}

#[test]
fn a_key_in_the_clear_is_noticed_where_others_may_read_it() {
    for (url, shows) in [
        ("http://127.0.0.1:8080", false),
        ("http://localhost:8080", false),
        ("http://[::1]:8080", false),
        ("http://10.0.0.1", false),
        ("http://203.0.113.1:8080", true),
        ("http://[2001:db8::1]:8080", true),
    ] {
        assert_eq!(client(url, LIMITS).shows_its_key(), shows, "{url}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let refused = |connection: Connection, words: &str| {
        let error = Client::new(connection).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let tls = || connection("https://192.0.2.1");
    refused(Connection { api_key: None, ..connection("http://127.0.0.1") }, "cscli bouncers add weir");
    refused(Connection { cert_file: file("cert", ""), ..tls() }, "key_file is missing");
    refused(Connection { key_file: file("key", ""), ..tls() }, "cert_file is missing");
    refused(Connection { cert_file: file("c", "x"), key_file: file("k", "x"), ..tls() }, "in PEM form");
    refused(Connection { ca_file: Some(folder.path().join("none")), ..tls() }, "cannot read");
    refused(Connection { cert_file: file("c", &"x".repeat(1_100_000)), key_file: file("k", ""), ..tls() }, "too large");
}

#[test]
fn a_key_and_a_bouncers_file_are_read_with_what_stands_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &[u8]| std::fs::write(path(name), text).unwrap();
    write("key", b"abc\n");
    assert_eq!(files::key(&path("key")).unwrap().reveal(), "abc");
    write("key", b"SECRET KEY");
    let error = files::key(&path("key")).unwrap_err().to_string();
    assert!(error.contains("printable ASCII") && !error.contains("SECRET"), "{error}");
    write("b.yaml", b"api_key: ${API_KEY}\napi_url: http://127.0.0.1:8080/\n");
    let bouncer = |name: &str| files::bouncer(Path::new(&path(name)));
    assert!(bouncer("b.yaml").unwrap_err().to_string().contains("b.yaml: api_key stands for a variable"));
    write("b.yaml.local", b"mode: nftables\napi_key: abc\n");
    let file = bouncer("b.yaml").unwrap();
    assert_eq!((file.api_key.unwrap().reveal(), file.api_url.as_deref()), ("abc", Some("http://127.0.0.1:8080/")));
    write("b.yaml.local", b"\xff");
    assert!(matches!(bouncer("b.yaml").unwrap_err(), ClientError::NotText { .. }));
    assert!(matches!(bouncer("none.yaml").unwrap_err(), ClientError::Read { .. }));
}
