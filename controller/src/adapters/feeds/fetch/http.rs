//! One HTTP request and the redirects it leads to.
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER, TRANSFER_ENCODING,
};
use reqwest::{Client, Response, StatusCode, Url, Version};

use super::client::{HEADER_BYTES, innermost};
use super::decode::{self, Encoding, Failure};
use super::source::{host, literal};
use super::{Known, Ledger, Received, Request, Validators};
use crate::adapters::clock;
use crate::adapters::feeds::address;
use crate::adapters::feeds::error::FetchError;
use crate::adapters::feeds::resolve::{Rebound, Unresolved};

/// Longest `ETag` that is kept and sent back, in bytes.
const LONGEST_ETAG: usize = 1_024;
/// Longest Last-Modified, in bytes: a date has 29.
const LONGEST_DATE: usize = 64;

/// The requests of one fetch.
#[derive(Debug)]
pub(super) struct Http<'a> {
    pub(super) client: Client,
    pub(super) request: &'a Request,
    pub(super) secrets: HeaderMap,
    pub(super) redirects: usize,
    pub(super) connect_ms: u64,
    pub(super) ledger: &'a mut Ledger,
}

/// What a server answered.
enum Got {
    NotModified(Validators),
    Received(Received),
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether this URL may be asked: its scheme, its user, its host.
pub(super) fn check_url(url: &Url, request: &Request) -> Result<(), FetchError> {
    let host = host(url);
    match url.scheme() {
        "https" => {}
        "http" if request.allow_http => {}
        "http" => return Err(FetchError::PlainHttp { host }),
        scheme => return Err(FetchError::Scheme { host, scheme: scheme.to_owned() }),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::CredentialsInUrl { host });
    }
    if let Some(address) = literal(url) {
        return match address::forbidden(address, request.allow_private) {
            Some(why) => Err(FetchError::ForbiddenAddress { host, address, what: why.what, allowable: why.allowable }),
            None => Ok(()),
        };
    }
    match address::forbidden_name(&host, request.allow_private) {
        Some(why) => Err(FetchError::ForbiddenName { host, what: why.what }),
        None => Ok(()),
    }
}

impl Http<'_> {
    /// What is at the URL; none where the server says, to what it was asked, that it is the known.
    pub(super) async fn conditional(
        &mut self,
        url: &Url,
        accept: Option<&'static str>,
        known: Option<&Known>,
    ) -> Result<Option<Received>, FetchError> {
        let sent = known.filter(|known| !known.in_full).map(|known| &known.validators);
        let conditions = sent.map(|validators| self.conditions(validators)).unwrap_or_default();
        match self.get(url, accept, &conditions).await? {
            Got::Received(received) => Ok(Some(received)),
            Got::NotModified(said) if !conditions.is_empty() && sent.is_some_and(|sent| agree(sent, &said)) => Ok(None),
            // A cache on the way, or a server that answers so to everything: asked once more, past the caches.
            Got::NotModified(_) => {
                let fresh = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("no-cache"))]);
                match self.get(url, accept, &fresh).await? {
                    Got::Received(received) => Ok(Some(received)),
                    Got::NotModified(_) => Err(FetchError::UnaskedNotModified { host: host(url) }),
                }
            }
        }
    }

    /// What is at the URL, asked without conditions.
    pub(super) async fn body(&mut self, url: &Url, accept: Option<&'static str>) -> Result<Received, FetchError> {
        let got = self.conditional(url, accept, None).await?;
        got.ok_or_else(|| FetchError::UnaskedNotModified { host: host(url) })
    }

    fn conditions(&mut self, validators: &Validators) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let each = [(IF_NONE_MATCH, &validators.etag), (IF_MODIFIED_SINCE, &validators.last_modified)];
        for (name, value) in each {
            let Some(value) = value else { continue };
            match HeaderValue::from_str(value) {
                Ok(value) => {
                    headers.insert(name, value);
                }
                Err(_) => self.ledger.note(format!("the kept value for {name} is damaged and was not sent")),
            }
        }
        headers
    }

    async fn get(&mut self, url: &Url, accept: Option<&'static str>, more: &HeaderMap) -> Result<Got, FetchError> {
        let origin = url.origin();
        let mut at = url.clone();
        for _ in 0..=self.redirects {
            check_url(&at, self.request)?;
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
            headers.insert(ACCEPT, HeaderValue::from_static(accept.unwrap_or("*/*")));
            headers.extend(more.clone());
            if at.origin() == origin {
                headers.extend(self.secrets.clone());
            }
            self.ledger.requests = self.ledger.requests.saturating_add(1);
            let sent = self.client.get(at.clone()).headers(headers).send().await;
            let response = sent.map_err(|error| self.failed(&error, &at, None))?;
            let bytes = header_bytes(response.headers());
            if bytes > HEADER_BYTES {
                return Err(FetchError::Headers { host: host(&at), bytes, limit: HEADER_BYTES });
            }
            match response.status().as_u16() {
                200 => return self.receive(response, &at).await.map(Got::Received),
                304 => return Ok(Got::NotModified(self.validators(response.headers()))),
                status @ (301 | 302 | 303 | 307 | 308) => at = target(&at, &response, status)?,
                _ => return Err(self.refused(&response, &at, at.origin() == origin)),
            }
        }
        Err(FetchError::Redirects { host: host(url), limit: self.redirects })
    }

    async fn receive(&mut self, mut response: Response, at: &Url) -> Result<Received, FetchError> {
        let host = host(at);
        let codings: Vec<String> = header_values(response.headers(), &CONTENT_ENCODING);
        let codings = codings.join(",");
        let Some(encoding) = Encoding::parse(&codings) else {
            let encoding = codings.chars().take(80).collect();
            return Err(FetchError::Encoding { host, encoding });
        };
        let framed = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| response.headers().contains_key(name));
        if !framed && response.version() <= Version::HTTP_11 {
            self.ledger.note(format!("{host} does not say how long its answer is: one that is cut off looks complete"));
        }
        let validators = self.validators(response.headers());
        let bounds = self.request.bounds;
        let too_many = || FetchError::TooManyBytes { host: host.clone(), limit: bounds.wire_bytes };
        let left = bounds.wire_bytes.saturating_sub(self.ledger.wire_bytes);
        if response.content_length().is_some_and(|length| length > left) {
            return Err(too_many());
        }
        let mut wire = Vec::new();
        let mut taken = 0u64;
        while let Some(piece) = response.chunk().await.map_err(|error| self.failed(&error, at, Some(taken)))? {
            taken = taken.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if taken > left {
                return Err(too_many());
            }
            wire.extend_from_slice(&piece);
        }
        self.ledger.wire_bytes = self.ledger.wire_bytes.saturating_add(taken);
        let body = self.decompress(&host, encoding, wire).await?;
        if is_html(&body) {
            return Err(FetchError::Html { host });
        }
        Ok(Received { body, validators })
    }

    async fn decompress(&mut self, host: &str, encoding: Encoding, wire: Vec<u8>) -> Result<Vec<u8>, FetchError> {
        let bounds = self.request.bounds;
        let end = self.ledger.end;
        let left = bounds.body_bytes.saturating_sub(self.ledger.body_bytes);
        let host = host.to_owned();
        let decoded = match encoding {
            Encoding::Identity => decode::decode(encoding, wire, left, end),
            // Off the threads that serve everyone else.
            Encoding::Gzip | Encoding::Brotli => {
                let task = tokio::task::spawn_blocking(move || decode::decode(encoding, wire, left, end)).await;
                task.unwrap_or_else(|error| Err(Failure::Damaged(error.to_string())))
            }
        };
        let body = decoded.map_err(|failure| match (failure, encoding) {
            (Failure::TooLarge, Encoding::Identity) => FetchError::TooManyBytes { host, limit: bounds.body_bytes },
            (Failure::TooLarge, _) => FetchError::Bomb { host, limit: bounds.body_bytes },
            (Failure::Late, _) => FetchError::Deadline { host, limit_ms: milliseconds(bounds.deadline) },
            (Failure::Damaged(why), _) => FetchError::Damaged { host, encoding: encoding.name(), why },
        })?;
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        self.ledger.body_bytes = self.ledger.body_bytes.saturating_add(length);
        Ok(body)
    }

    fn validators(&mut self, headers: &HeaderMap) -> Validators {
        let mut kept = |name: HeaderName, longest| {
            let value = headers.get(&name)?;
            match value.to_str() {
                Ok(text) if text.len() <= longest => Some(text.to_owned()).filter(|text| !text.is_empty()),
                _ => {
                    let length = value.len();
                    self.ledger.note(format!("the {name} header ({length} bytes) is not one that can be sent back"));
                    None
                }
            }
        };
        Validators { etag: kept(ETAG, LONGEST_ETAG), last_modified: kept(LAST_MODIFIED, LONGEST_DATE), index: None }
    }

    fn refused(&self, response: &Response, at: &Url, own: bool) -> FetchError {
        let (host, status) = (host(at), response.status());
        let code = status.as_u16();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                FetchError::Unauthorised { host, status: code, credential: self.sent_credential(own) }
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => FetchError::NotFound { host, status: code },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let retry_after_s = response.headers().get(RETRY_AFTER).and_then(retry_after);
                FetchError::Throttled { host, status: code, retry_after_s }
            }
            _ => FetchError::Status { host, status: code },
        }
    }

    fn sent_credential(&self, own: bool) -> String {
        match (&self.request.credential, own) {
            (Some(credential), true) => {
                format!("it does not take the credential of {}; renew it", credential.file().display())
            }
            (Some(_), false) => "the credential was not sent, for it is another host than the feed's".to_owned(),
            (None, _) => format!("no credential is configured for feed {}", self.request.feed),
        }
    }

    /// What went wrong below HTTP, by the errors inside. `received` is given once the headers were there.
    fn failed(&self, error: &reqwest::Error, at: &Url, received: Option<u64>) -> FetchError {
        let host = host(at);
        if let Some(rebound) = inside::<Rebound>(error) {
            let Rebound { address, why, .. } = rebound;
            return FetchError::ForbiddenAddress { host, address: *address, what: why.what, allowable: why.allowable };
        }
        if let Some(unresolved) = inside::<Unresolved>(error) {
            return FetchError::Resolve { host, cause: unresolved.cause.clone() };
        }
        if let Some(tls) = inside::<rustls::Error>(error) {
            return FetchError::Tls { host, why: tls.to_string() };
        }
        let why = innermost(error);
        match received {
            Some(received) => FetchError::Cut { host, received, why },
            None if error.is_connect() && error.is_timeout() => {
                FetchError::ConnectDeadline { host, limit_ms: self.connect_ms }
            }
            None if error.is_connect() => FetchError::Connect { host, cause: why },
            None if inside::<io::Error>(error).is_some() => FetchError::Cut { host, received: 0, why },
            None => FetchError::Protocol { host, why },
        }
    }
}

/// Whether a "not modified" speaks of the version it was asked about (weak comparison, RFC 9110 section 8.8.3.2).
fn agree(sent: &Validators, said: &Validators) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    match (&sent.etag, &said.etag) {
        (Some(sent), Some(said)) => opaque(sent) == opaque(said),
        _ => true,
    }
}

fn target(at: &Url, response: &Response, status: u16) -> Result<Url, FetchError> {
    let bad = || FetchError::BadRedirect { host: host(at), status };
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(bad)?;
    let mut next = at.join(location).ok().ok_or_else(bad)?;
    next.set_fragment(None);
    match (at.scheme(), next.scheme()) {
        ("https", "http") => Err(FetchError::Downgrade { host: host(at), to: host(&next) }),
        (_, "http" | "https") => Ok(next),
        (_, scheme) => Err(FetchError::Scheme { host: host(at), scheme: scheme.to_owned() }),
    }
}

/// Seconds from now of a Retry-After header (RFC 9110 section 10.2.3); none for what is neither a number nor a date.
fn retry_after(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u64::MAX));
    }
    let then = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let seconds = then.as_second().saturating_sub(clock::now().wall.as_second());
    Some(u64::try_from(seconds).unwrap_or(0))
}

fn header_bytes(headers: &HeaderMap) -> usize {
    const FRAMING: usize = 4;
    headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len()).saturating_add(FRAMING)).sum()
}

fn header_values(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// An HTML page. Some servers call every text that, so the content is looked at and not its type.
fn is_html(body: &[u8]) -> bool {
    const STARTS: [&[u8]; 4] = [b"<!doctype html", b"<html", b"<head", b"<body"];
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    STARTS.iter().any(|start| body.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start)))
}

/// The first error of this type in the chain. An I/O error keeps its cause beside the chain.
fn inside<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    const DEEPEST: usize = 16;
    let mut at: Option<&'a (dyn StdError + 'static)> = Some(error);
    for _ in 0..DEEPEST {
        let error = at?;
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        at = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
