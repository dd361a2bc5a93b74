//! Fetching a feed: one [`Fetcher`] a daemon.
//!
//! It waits for nothing but the network. Whether a host is asked too soon after another feed of it is said with
//! [`FetchError::TooSoon`] and how long to wait, and waiting is the caller's: a slow host then holds up no other feed.
//! How many feeds are fetched at once is the caller's too; each takes at most the wire bytes and the body bytes of its
//! [`Bounds`] in memory.
mod client;
mod credential;
mod decode;
mod file;
mod http;
mod many;
mod source;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::error::FetchError;
use super::resolve::{Fixed, Hosts};
use client::Clients;
pub use credential::Credential;
pub use source::{Protocol, Source};

/// Hosts whose last request is remembered.
const REMEMBERED_HOSTS: usize = 4_096;

/// What holds for all feeds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The User-Agent header.
    pub user_agent: String,
    /// Time for a connection: name, TCP and TLS.
    pub connect: Duration,
    /// Redirects that are followed.
    pub redirects: usize,
    /// From the start of one request of a host to the next, whichever feeds they are of.
    pub host_interval: Duration,
    /// A proxy for all feeds (`http://host:port`). It resolves the names then, so their addresses cannot be checked
    /// here. The environment's proxies are not used.
    pub proxy: Option<String>,
    /// Certificates of further authorities, PEM.
    pub authorities: Vec<Vec<u8>>,
    /// Names with fixed addresses.
    pub fixed: Fixed,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user_agent: concat!("weir/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect: Duration::from_secs(10),
            redirects: 3,
            host_interval: Duration::from_secs(10),
            proxy: None,
            authorities: Vec::new(),
            fixed: Fixed::new(),
        }
    }
}

/// What one fetch of a feed may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Time in all: names, connections, redirects, body, decompression.
    pub deadline: Duration,
    /// Bytes of bodies as they come, in all.
    pub wire_bytes: u64,
    /// Bytes of the body decompressed, in all.
    pub body_bytes: u64,
    /// Requests for a source of many parts (TAXII pages, MISP events).
    pub requests: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { deadline: Duration::from_mins(2), wire_bytes: 128 << 20, body_bytes: 256 << 20, requests: 2_000 }
    }
}

/// A feed to be fetched.
#[derive(Clone, Debug)]
pub struct Request {
    /// The feed's name.
    pub feed: String,
    /// Where it is.
    pub source: Source,
    /// Headers, sent to the feed's own scheme, host and port only: they may hold a key.
    pub headers: Vec<(String, String)>,
    /// A credential, sent as the headers are.
    pub credential: Option<Credential>,
    /// Whether plain http is allowed.
    pub allow_http: bool,
    /// Whether private, loopback, shared and documentation addresses are allowed.
    pub allow_private: bool,
    /// What it may cost.
    pub bounds: Bounds,
}

impl Request {
    /// A request with nothing allowed that need not be.
    pub fn new(feed: impl Into<String>, source: Source) -> Self {
        Self {
            feed: feed.into(),
            source,
            headers: Vec::new(),
            credential: None,
            allow_http: false,
            allow_private: false,
            bounds: Bounds::default(),
        }
    }

    /// What can be said before anything is asked: the scheme, the address or name in the URL, the headers.
    ///
    /// # Errors
    /// What [`Fetcher::fetch`] would refuse at once.
    pub fn check(&self) -> Result<(), FetchError> {
        credential::own_headers(self)?;
        self.source.url().map_or(Ok(()), |url| http::check_url(url, self))
    }
}

/// What is known of a feed from its last good copy. Without a copy there is none: what is not held cannot be unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What the server said of it.
    pub validators: Validators,
    /// Of the body.
    pub sha256: [u8; 32],
    /// Ask without validators: a server that answers "not modified" for ever is found out this way.
    pub in_full: bool,
}

/// What makes the next request conditional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The `ETag` header.
    pub etag: Option<String>,
    /// The Last-Modified header.
    pub last_modified: Option<String>,
    /// SHA-256 of the MISP manifest.
    pub index: Option<[u8; 32]>,
}

/// What a feed answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether there is something new.
    pub outcome: Outcome,
    /// For the next request.
    pub validators: Validators,
    /// Of the body, the known one or the new one.
    pub sha256: [u8; 32],
    /// Bytes received as bodies.
    pub wire_bytes: u64,
    /// Requests made, redirects included; 0 for a file.
    pub requests: usize,
    /// What the operator should know though it is no error.
    pub notes: Vec<String>,
}

/// Whether there is something new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The content is the known one, by the server's word or by its hash.
    Unchanged,
    /// Another content: this, decompressed.
    Changed(Vec<u8>),
}

/// What was received, before it is compared.
#[derive(Debug, Default)]
struct Received {
    body: Vec<u8>,
    validators: Validators,
}

/// What a fetch has cost so far, and what is to be said of it.
#[derive(Debug)]
struct Ledger {
    end: Instant,
    wire_bytes: u64,
    body_bytes: u64,
    requests: usize,
    notes: Vec<String>,
}

impl Ledger {
    fn note(&mut self, note: String) {
        const NOTES: usize = 8;
        if self.notes.len() < NOTES && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// The client of all feeds.
#[derive(Debug)]
pub struct Fetcher {
    settings: Settings,
    clients: Clients,
    hosts: Hosts,
    asked: Mutex<BTreeMap<String, Instant>>,
}

impl Fetcher {
    /// A client. Nothing is opened before the first fetch.
    pub fn new(settings: Settings) -> Self {
        let hosts = Hosts::default();
        let clients = Clients::new(&settings, hosts.clone());
        Self { settings, clients, hosts, asked: Mutex::default() }
    }

    /// The addresses of the hosts that were asked, as they resolved last, with the host's name.
    pub fn hosts(&self) -> Vec<(IpAddr, String)> {
        self.hosts.all()
    }

    /// Forgets the addresses of the hosts that `keep` does not want.
    pub fn retain_hosts(&self, keep: impl FnMut(&str) -> bool) {
        self.hosts.retain(keep);
    }

    /// Fetches the feed. The hash of the content decides whether it changed, whatever the server says of it; only a
    /// "not modified" to what was asked is believed, and only where the caller holds the copy (`known`).
    ///
    /// # Errors
    /// [`FetchError`]; nothing of what was received is given out then.
    pub async fn fetch(&self, request: &Request, known: Option<&Known>) -> Result<Answer, FetchError> {
        let now = Instant::now();
        if let Some(url) = request.source.url() {
            http::check_url(url, request)?;
            let host = source::host(url);
            self.take_slot(&host, now)?;
            self.hosts.follow(&host);
            if let Some(address) = source::literal(url) {
                self.hosts.record(&host, &[address]);
            }
        }
        let deadline = request.bounds.deadline;
        let end = now.checked_add(deadline).unwrap_or(now);
        let mut ledger = Ledger { end, wire_bytes: 0, body_bytes: 0, requests: 0, notes: Vec::new() };
        let received = tokio::time::timeout_at(end, self.receive(request, known, &mut ledger)).await;
        let received = received.unwrap_or_else(|_elapsed| {
            Err(FetchError::Deadline { host: request.source.host(), limit_ms: http::milliseconds(deadline) })
        })?;
        Ok(answer(received, known, ledger))
    }

    async fn receive(
        &self,
        request: &Request,
        known: Option<&Known>,
        ledger: &mut Ledger,
    ) -> Result<Option<Received>, FetchError> {
        match &request.source {
            Source::File(path) => file::read(path, request.bounds.body_bytes, ledger).await.map(Some),
            Source::Http(url) => self.http(request, ledger).await?.conditional(url, None, known).await,
            Source::Taxii(url) => many::taxii(&mut self.http(request, ledger).await?, url).await.map(Some),
            Source::Misp(url) => many::misp(&mut self.http(request, ledger).await?, url, known).await,
        }
    }

    async fn http<'a>(&self, request: &'a Request, ledger: &'a mut Ledger) -> Result<http::Http<'a>, FetchError> {
        let secrets = credential::secrets(request, ledger).await?;
        let client = self.clients.client(request.allow_private)?;
        let connect_ms = http::milliseconds(self.settings.connect);
        Ok(http::Http { client, request, secrets, redirects: self.settings.redirects, connect_ms, ledger })
    }

    /// The host's turn, or how long until it is.
    fn take_slot(&self, host: &str, now: Instant) -> Result<(), FetchError> {
        let interval = self.settings.host_interval;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = asked.get(host) {
            let wait = interval.saturating_sub(now.saturating_duration_since(*last));
            if !wait.is_zero() {
                return Err(FetchError::TooSoon { host: host.to_owned(), wait_ms: http::milliseconds(wait).max(1) });
            }
        }
        if asked.len() >= REMEMBERED_HOSTS {
            asked.retain(|_, last| now.saturating_duration_since(*last) < interval);
        }
        asked.insert(host.to_owned(), now);
        Ok(())
    }
}

fn answer(received: Option<Received>, known: Option<&Known>, ledger: Ledger) -> Answer {
    let Ledger { wire_bytes, requests, notes, .. } = ledger;
    let (outcome, validators, sha256) = match (received, known) {
        (None, known) => {
            let known = known.cloned().unwrap_or_default();
            (Outcome::Unchanged, known.validators, known.sha256)
        }
        (Some(Received { body, validators }), known) => {
            let sha256 = hash(&body);
            let same = known.is_some_and(|known| known.sha256 == sha256);
            (if same { Outcome::Unchanged } else { Outcome::Changed(body) }, validators, sha256)
        }
    };
    Answer { outcome, validators, sha256, wire_bytes, requests, notes }
}

/// SHA-256 of the bytes.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
