//! Hostile servers, files and copies: each with its own error, within its bounds.
mod cases;
mod copies;
mod files;
mod http;
mod many;
mod server;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use super::error::FetchError;
use super::fetch::{Answer, Bounds, Fetcher, Known, Outcome, Protocol, Request, Settings, Source};
use server::{Script, Server, Step};

/// Bounds that are reached within a test.
pub(super) const BOUNDS: Bounds =
    Bounds { deadline: Duration::from_millis(800), wire_bytes: 256 << 10, body_bytes: 1 << 20, requests: 8 };

/// What a client may leave unread in the sockets' buffers of this machine, in bytes.
const SOCKET_BUFFERS: u64 = 16 << 20;

fn settings() -> Settings {
    Settings { connect: Duration::from_millis(400), host_interval: Duration::ZERO, ..Settings::default() }
}

fn fetcher() -> Fetcher {
    Fetcher::new(settings())
}

/// A request that may go to this machine, in plain.
fn request(url: &str, protocol: Protocol) -> Request {
    let mut request = Request::new("test", Source::parse(url, protocol).unwrap());
    request.allow_http = true;
    request.allow_private = true;
    request.bounds = BOUNDS;
    request
}

async fn serve(script: impl Fn(&str, usize) -> Vec<Step> + Send + Sync + 'static) -> Server {
    let script: Script = Arc::new(script);
    Server::start(script).await.unwrap()
}

fn local(server: &Server, path: &str) -> Request {
    request(&format!("http://127.0.0.1:{}{path}", server.port()), Protocol::Plain)
}

fn label(result: &Result<Answer, FetchError>) -> &'static str {
    match result {
        Ok(Answer { outcome: Outcome::Changed(_), .. }) => "changed",
        Ok(Answer { outcome: Outcome::Unchanged, .. }) => "unchanged",
        Err(error) => error.label(),
    }
}

fn body(result: Result<Answer, FetchError>) -> Vec<u8> {
    match result.unwrap().outcome {
        Outcome::Changed(body) => body,
        Outcome::Unchanged => panic!("unchanged"),
    }
}

fn known(etag: Option<&str>, sha256: [u8; 32]) -> Known {
    let mut known = Known { sha256, ..Known::default() };
    known.validators.etag = etag.map(str::to_owned);
    known
}
