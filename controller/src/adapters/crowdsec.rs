//! The way to a CrowdSec server: its local API, over HTTP, TLS or a UNIX socket.
//!
//! What comes back is read as it comes, under a deadline and a bound on its size. Whatever is wrong with it, the answer
//! is an error and nothing of it is taken: the caller keeps what it has and asks for everything anew.
pub mod error;
pub mod files;
mod stream;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, Identity, Method, Response, StatusCode, Url};
use serde_json::Value;

pub use self::error::{ClientError, LapiError};
use crate::domain::crowdsec::bouncer_file::{ApiKey, BouncerFile};
use crate::domain::crowdsec::{COMPONENT_TYPE, Filters, Page, Rules};

/// Most bytes of an answer: a million decisions have about 220 MB.
pub const LARGEST_ANSWER: u64 = 256 * 1024 * 1024;

/// How long an answer with everything may take, and one with changes.
const WHOLE_WITHIN: Duration = Duration::from_mins(2);
const CHANGES_WITHIN: Duration = Duration::from_secs(30);
/// How long making a connection may take, and silence on it.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const SILENT_FOR: Duration = Duration::from_secs(20);

/// Where a server is, how the two know each other, and what is asked.
#[derive(Clone, Debug)]
pub struct Connection {
    /// `http://…`, `https://…`, or the path of the server's socket.
    pub api_url: String,
    /// The key; `None` where a certificate stands in for it.
    pub api_key: Option<ApiKey>,
    /// PEM file of our certificate; its key is the next.
    pub cert_file: Option<PathBuf>,
    /// PEM file of our certificate's key.
    pub key_file: Option<PathBuf>,
    /// PEM file of who may sign the server's certificate; `None`: whom the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Whether any certificate of the server will do.
    pub insecure_skip_verify: bool,
    /// What the server is to leave out.
    pub filters: Filters,
    /// What is taken.
    pub rules: Rules,
}

impl Connection {
    /// This connection, where what a firewall bouncer's file says goes before.
    #[must_use]
    pub fn under(self, file: BouncerFile) -> Self {
        let path = |text: Option<String>, own: Option<PathBuf>| text.map(PathBuf::from).or(own);
        let scopes = file.scopes.unwrap_or(self.filters.scopes);
        Self {
            api_url: file.api_url.unwrap_or(self.api_url),
            api_key: file.api_key.or(self.api_key),
            cert_file: path(file.cert_file, self.cert_file),
            key_file: path(file.key_file, self.key_file),
            ca_file: path(file.ca_file, self.ca_file),
            insecure_skip_verify: file.insecure_skip_verify.unwrap_or(self.insecure_skip_verify),
            filters: Filters {
                scopes: scopes.clone(),
                origins: file.origins.unwrap_or(self.filters.origins),
                scenarios_containing: file.scenarios_containing.unwrap_or(self.filters.scenarios_containing),
                scenarios_not_containing: file
                    .scenarios_not_containing
                    .unwrap_or(self.filters.scenarios_not_containing),
            },
            rules: Rules {
                scopes,
                deny_types: file.deny_types.unwrap_or(self.rules.deny_types),
                observe_types: file.observe_types.unwrap_or(self.rules.observe_types),
                ipv6: file.ipv6.unwrap_or(self.rules.ipv6),
            },
        }
    }
}

/// A server's address, taken apart.
#[derive(Debug)]
struct Address {
    base: Url,
    socket: Option<PathBuf>,
    /// For people: without credentials, path and parameters.
    shown: String,
}

/// What became of a report of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The server took it.
    Taken,
    /// The server knows no such thing: it is older than 1.6.3.
    Unknown,
}

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    address: Address,
    /// Marked as sensitive, so that it is not shown.
    key: Option<HeaderValue>,
    filters: Filters,
    rules: Rules,
    limits: Limits,
}

/// Bounds of an answer.
#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes: u64,
    whole_within: Duration,
    changes_within: Duration,
}

impl Client {
    /// A client; reads the files that the connection names, and opens no connection yet.
    ///
    /// # Errors
    /// [`ClientError`]: what in the connection cannot be.
    pub fn new(connection: Connection) -> Result<Self, ClientError> {
        let limits = Limits { bytes: LARGEST_ANSWER, whole_within: WHOLE_WITHIN, changes_within: CHANGES_WITHIN };
        Self::within(connection, limits)
    }

    fn within(connection: Connection, limits: Limits) -> Result<Self, ClientError> {
        let address = Address::new(&connection.api_url)?;
        if connection.api_key.is_none() && connection.cert_file.is_none() {
            return Err(ClientError::NoKey { server: address.shown });
        }
        let http = builder(&connection, &address)?.build().map_err(ClientError::Build)?;
        let key = connection.api_key.map(|key| {
            // A key is printable ASCII, which every header can hold.
            let mut value = HeaderValue::from_str(key.reveal()).unwrap_or_else(|_| HeaderValue::from_static(""));
            value.set_sensitive(true);
            value
        });
        Ok(Self { http, address, key, filters: connection.filters, rules: connection.rules, limits })
    }

    /// The server, for people.
    pub fn server(&self) -> &str {
        &self.address.shown
    }

    /// Whether the key goes over a network that others may read: without TLS, to an address that is neither this
    /// machine's nor private. A name other than `localhost` is not looked up, and counts as private.
    pub fn shows_its_key(&self) -> bool {
        let host = self.address.base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_public = match host.parse() {
            Ok(IpAddr::V4(v4)) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local()),
            Ok(IpAddr::V6(v6)) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
            Err(_) => false,
        };
        self.address.socket.is_none() && self.address.base.scheme() == "http" && is_public && self.key.is_some()
    }

    /// Asks for all decisions (`startup`), or for what changed since the last answer to this key.
    ///
    /// # Errors
    /// [`LapiError`]: then the answer, if there was one, is lost, and the next question must be for everything.
    pub async fn stream(&self, startup: bool) -> Result<Page, LapiError> {
        let within = if startup { self.limits.whole_within } else { self.limits.changes_within };
        let asking = async {
            let mut url = self.url("v1/decisions/stream");
            url.query_pairs_mut().extend_pairs(self.filters.parameters(startup));
            let response = self.send(self.http.request(Method::GET, url)).await?;
            match response.status() {
                StatusCode::OK => self.read(response, startup).await,
                status => Err(self.refusal(&response, status)),
            }
        };
        let late = |_| LapiError::Deadline { server: self.address.shown.clone(), seconds: within.as_secs() };
        tokio::time::timeout(within, asking).await.map_err(late)?
    }

    /// Tells the server how its decisions were used ([`crate::domain::crowdsec::usage::Usage::payload`]).
    ///
    /// # Errors
    /// [`LapiError`]: it did not take it.
    pub async fn push_metrics(&self, payload: &Value) -> Result<Pushed, LapiError> {
        let request =
            self.http.request(Method::POST, self.url("v1/usage-metrics")).timeout(CHANGES_WITHIN).json(payload);
        let response = self.send(request).await?;
        match response.status() {
            status if status.is_success() => Ok(Pushed::Taken),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(Pushed::Unknown),
            status => Err(self.refusal(&response, status)),
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.address.base.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        url
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, LapiError> {
        let request = request.header(ACCEPT, "application/json");
        let request = match &self.key {
            Some(key) => request.header("x-api-key", key.clone()),
            None => request,
        };
        request.send().await.map_err(|error| self.lost(error))
    }

    async fn read(&self, response: Response, startup: bool) -> Result<Page, LapiError> {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            let kind = kind.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(LapiError::NotJson { server: self.address.shown.clone(), kind });
        }
        stream::read(response, self.rules.clone(), startup, self.limits.bytes).await.map_err(|failure| match failure {
            stream::Failure::Lost(error) => self.lost(error),
            stream::Failure::TooLarge => {
                LapiError::TooLarge { server: self.address.shown.clone(), most: self.limits.bytes }
            }
            stream::Failure::Page(cause) => LapiError::Page { server: self.address.shown.clone(), cause },
            stream::Failure::Stopped => LapiError::Stopped,
        })
    }

    fn lost(&self, error: reqwest::Error) -> LapiError {
        let server = self.address.shown.clone();
        // The address has parameters, and is named already.
        let cause = error.without_url();
        if cause.is_connect() { LapiError::Connect { server, cause } } else { LapiError::Lost { server, cause } }
    }

    fn refusal(&self, response: &Response, status: StatusCode) -> LapiError {
        let server = self.address.shown.clone();
        match status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => LapiError::KeyRejected { server },
            status if status.is_redirection() => {
                let to = response.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
                LapiError::Redirected { server, to: to.chars().filter(|c| !c.is_control()).take(200).collect() }
            }
            status => LapiError::Status { server, status: status.as_u16() },
        }
    }
}

impl Address {
    fn new(text: &str) -> Result<Self, ClientError> {
        let wrong = |why: &'static str| ClientError::Url { text: shown(text), why };
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if path.starts_with('/') {
            let base = Url::parse("http://localhost/").ok().ok_or_else(|| wrong("it is not an address"))?;
            return Ok(Self { base, socket: Some(PathBuf::from(path)), shown: path.to_owned() });
        }
        let base = Url::parse(text).ok().ok_or_else(|| wrong("it is not an address; one is http://127.0.0.1:8080"))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(wrong("it must begin with http://, https:// or be the path of a socket"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong("it must hold no name and password; the key goes into api_key_file"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("it must end with the host, the port, or a path"));
        }
        let host = base.host_str().ok_or_else(|| wrong("it names no host"))?;
        let port = base.port().map(|port| format!(":{port}")).unwrap_or_default();
        let shown = format!("{}://{host}{port}", base.scheme());
        Ok(Self { base, socket: None, shown })
    }
}

/// An address as it may be shown: nothing before an `@`, where a password may stand.
fn shown(text: &str) -> String {
    let text = text.rsplit_once('@').map_or(text, |(_, behind)| behind);
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

fn builder(connection: &Connection, address: &Address) -> Result<ClientBuilder, ClientError> {
    super::tls::provide();
    let mut builder = reqwest::Client::builder()
        .user_agent(format!("{COMPONENT_TYPE}/v{}", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .read_timeout(SILENT_FOR)
        .no_proxy()
        .no_gzip()
        .no_brotli()
        .http1_only();
    if let Some(socket) = &address.socket {
        builder = builder.unix_socket(socket.as_path());
    }
    if address.base.scheme() == "http" {
        // No certificates are needed, so a machine without any will do.
        return Ok(builder.tls_certs_only([]));
    }
    if let Some(file) = &connection.ca_file {
        let authorities = Certificate::from_pem_bundle(&files::pem(file)?);
        let authorities = authorities.map_err(|cause| ClientError::Pem { file: file.clone(), cause })?;
        builder = builder.tls_certs_only(authorities);
    }
    match (&connection.cert_file, &connection.key_file) {
        (None, None) => {}
        (Some(cert), Some(key)) => {
            let mut pem = files::pem(cert)?;
            pem.push(b'\n');
            pem.extend(files::pem(key)?);
            let identity = Identity::from_pem(&pem).map_err(|cause| ClientError::Pem { file: cert.clone(), cause })?;
            builder = builder.identity(identity);
        }
        (Some(_), None) => return Err(ClientError::HalfACertificate { missing: "key_file" }),
        (None, Some(_)) => return Err(ClientError::HalfACertificate { missing: "cert_file" }),
    }
    Ok(builder.tls_danger_accept_invalid_certs(connection.insecure_skip_verify))
}
