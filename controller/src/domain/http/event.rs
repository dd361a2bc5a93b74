//! Events: one thing that happened, whichever log or application told of it.
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use utoipa::ToSchema;

use super::finding::NotAName;

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum EventKind {
    /// A request was answered: a line of an access log.
    #[default]
    HttpRequest,
    /// A server noted something: a line of an error log.
    ServerMessage,
    /// Somebody signed in.
    Login,
    /// Somebody failed to sign in.
    AuthFailed,
    /// Somebody was refused what they may not do.
    PermissionDenied,
    /// An application's own limit was broken.
    RateLimitExceeded,
    /// An application found something odd.
    AnomalyDetected,
    /// Anything else an application tells of.
    Other,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::HttpRequest,
        Self::ServerMessage,
        Self::Login,
        Self::AuthFailed,
        Self::PermissionDenied,
        Self::RateLimitExceeded,
        Self::AnomalyDetected,
        Self::Other,
    ];

    /// Its name, in the API, in rules and as a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HttpRequest => "http_request",
            Self::ServerMessage => "server_message",
            Self::Login => "login",
            Self::AuthFailed => "auth_failed",
            Self::PermissionDenied => "permission_denied",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::AnomalyDetected => "anomaly_detected",
            Self::Other => "other",
        }
    }
}

impl FromStr for EventKind {
    type Err = NotAName;

    /// The kind of this name.
    fn from_str(text: &str) -> Result<Self, NotAName> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| NotAName::new("event type", text, Self::ALL.map(Self::name)))
    }
}

/// Why an event may be the word of somebody else than the server or application it seems to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doubt {
    /// Every program of this machine may have sent it.
    Spoofable,
    /// A client may have written its line: the log does not escape line breaks. It is never held against anybody.
    Forgeable,
}

/// One thing that happened. What a log does not say is `None`.
///
/// Texts are unescaped the way their format escapes them, and are valid UTF-8: bytes that are not, and NUL, stand
/// percent-encoded (`%C0`, `%00`), so that decoding payloads sees them. Percent-encoding of the client's own is left as it
/// came. No text holds a line break.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When it happened.
    pub time: Timestamp,
    /// Whether its line says so: else it is when the line was read.
    pub has_own_time: bool,
    /// Why it may be somebody else's word, if it may.
    pub doubt: Option<Doubt>,
    /// What happened.
    pub kind: EventKind,
    /// Who sent it: the peer, or behind trusted proxies the client they name. `c-ip`.
    pub client: Option<IpAddr>,
    /// Who the server was connected to.
    pub peer: Option<IpAddr>,
    /// `X-Forwarded-For` as logged.
    pub forwarded_for: Option<String>,
    /// Method. `cs-method`.
    pub method: Option<String>,
    /// The request's target as it came: path and query, or a whole URL. Where the request line is no request line, all of
    /// it. `cs-uri`.
    pub uri: Option<String>,
    /// Protocol, such as `HTTP/1.1`. `cs-version`.
    pub version: Option<String>,
    /// `Host`. `cs-host`.
    pub host: Option<String>,
    /// `User-Agent`. `cs-user-agent`.
    pub user_agent: Option<String>,
    /// `Referer`. `cs-referer`.
    pub referer: Option<String>,
    /// `Cookie`. `cs-cookie`.
    pub cookie: Option<String>,
    /// Who they say they are. `cs-username`.
    pub user: Option<String>,
    /// Status of the answer. `sc-status`.
    pub status: Option<u16>,
    /// Bytes of the answer. `sc-bytes`.
    pub bytes_sent: Option<u64>,
    /// Bytes of the request. `cs-bytes`.
    pub bytes_received: Option<u64>,
    /// How long the answer took, in seconds. `time-taken`.
    pub duration_s: Option<f64>,
    /// What the server or the application says in words. `message`.
    pub message: Option<String>,
    /// The part of the server that says it (`auth_basic:error`). `component`.
    pub component: Option<String>,
    /// The session. `session`.
    pub session: Option<String>,
    /// The API key's identity, never the key itself. `api-key-id`.
    pub api_key_id: Option<String>,
    /// What was asked of, if that is not the path. `endpoint`.
    pub endpoint: Option<String>,
    /// Country of the client, two letters, if known. `c-country`.
    pub country: Option<String>,
    /// What else is known, by name.
    pub details: BTreeMap<String, String>,
    /// The line, or the event, as it came: evidence. Cut at [`EVIDENCE_BYTES`].
    pub raw: String,
    /// The file, socket or application it came from.
    pub origin: Option<std::sync::Arc<str>>,
}

/// Bytes of a line that are kept as evidence.
pub const EVIDENCE_BYTES: usize = 2_048;

impl Event {
    /// An event of which nothing is known but when and what.
    pub fn new(time: Timestamp, kind: EventKind) -> Self {
        Self {
            time,
            has_own_time: true,
            doubt: None,
            kind,
            client: None,
            peer: None,
            forwarded_for: None,
            method: None,
            uri: None,
            version: None,
            host: None,
            user_agent: None,
            referer: None,
            cookie: None,
            user: None,
            status: None,
            bytes_sent: None,
            bytes_received: None,
            duration_s: None,
            message: None,
            component: None,
            session: None,
            api_key_id: None,
            endpoint: None,
            country: None,
            details: BTreeMap::new(),
            raw: String::new(),
            origin: None,
        }
    }

    /// The path of the request's target, without query and fragment. `cs-uri-stem`.
    pub fn path(&self) -> Option<&str> {
        self.uri.as_deref().map(|uri| split_target(uri).0)
    }

    /// The query of the request's target, without its question mark. `cs-uri-query`.
    pub fn query(&self) -> Option<&str> {
        self.uri.as_deref().and_then(|uri| split_target(uri).1)
    }

    /// What was asked of: the endpoint an application names, else the path.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref().or_else(|| self.path())
    }

    /// Whether a client may have written its line.
    pub fn is_forgeable(&self) -> bool {
        self.doubt == Some(Doubt::Forgeable)
    }

    /// The value of a field by the name that rules know it by: those of Sigma's web taxonomy, weir's own, `details`'.
    ///
    /// Decoded views of payloads are not here: see the rules.
    pub fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        let number = |number: Option<u64>| number.map(|number| Cow::Owned(number.to_string()));
        match name {
            "c-ip" | "c_ip" | "src_ip" | "source.ip" => self.client.map(|ip| Cow::Owned(ip.to_string())),
            "cs-method" | "http-method" => self.method.as_deref().map(Cow::Borrowed),
            "cs-uri" | "c-uri" | "cs-uri-full" => self.uri.as_deref().map(Cow::Borrowed),
            "cs-uri-stem" | "c-uri-stem" => self.path().map(Cow::Borrowed),
            "cs-uri-query" | "c-uri-query" => self.query().map(Cow::Borrowed),
            "cs-version" => self.version.as_deref().map(Cow::Borrowed),
            "cs-host" | "c-uri-host" => self.host.as_deref().map(Cow::Borrowed),
            "cs-user-agent" | "c-useragent" | "cs-useragent" => self.user_agent.as_deref().map(Cow::Borrowed),
            "cs-referer" | "cs-referrer" | "c-referer" => self.referer.as_deref().map(Cow::Borrowed),
            "cs-cookie" => self.cookie.as_deref().map(Cow::Borrowed),
            "cs-username" | "user" => self.user.as_deref().map(Cow::Borrowed),
            "sc-status" => number(self.status.map(u64::from)),
            "sc-bytes" => number(self.bytes_sent),
            "cs-bytes" => number(self.bytes_received),
            "time-taken" => self.duration_s.map(|seconds| Cow::Owned(seconds.to_string())),
            "message" => self.message.as_deref().map(Cow::Borrowed),
            "component" => self.component.as_deref().map(Cow::Borrowed),
            "session" => self.session.as_deref().map(Cow::Borrowed),
            "api-key-id" => self.api_key_id.as_deref().map(Cow::Borrowed),
            "endpoint" => self.endpoint().map(Cow::Borrowed),
            "c-country" => self.country.as_deref().map(Cow::Borrowed),
            "event-type" => Some(Cow::Borrowed(self.kind.name())),
            "x-forwarded-for" => self.forwarded_for.as_deref().map(Cow::Borrowed),
            other => self.details.get(other).map(|value| Cow::Borrowed(value.as_str())),
        }
    }

    /// Keeps a line as evidence: its first bytes, whatever they are.
    pub fn keep_raw(&mut self, line: &[u8]) {
        let kept = line.get(..EVIDENCE_BYTES).unwrap_or(line);
        // Nearly every line is text, and that is known faster than it is mended.
        self.raw = match str::from_utf8(kept) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(kept).into_owned(),
        };
    }
}

/// Path and query of a request's target; of a whole URL, those behind its host.
pub fn split_target(uri: &str) -> (&str, Option<&str>) {
    let uri = uri.split_once('#').map_or(uri, |(before, _)| before);
    let (path, query) = match uri.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (uri, None),
    };
    let path = match path.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) && !scheme.is_empty() => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => path,
    };
    (path, query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_split_into_path_and_query() {
        for (uri, expected) in [
            ("/a/b?c=d", ("/a/b", Some("c=d"))),
            ("/a?b?c", ("/a", Some("b?c"))),
            ("/a#b?c", ("/a", None)),
            ("http://h/a?b", ("/a", Some("b"))),
            ("http://h", ("/", None)),
            ("/go?to=http://h/a", ("/go", Some("to=http://h/a"))),
            ("*", ("*", None)),
            ("", ("", None)),
        ] {
            assert_eq!(split_target(uri), expected, "{uri}");
        }
    }

    #[test]
    fn every_kind_has_a_name_of_its_own_that_leads_back() {
        for kind in EventKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        let error = "auth_faild".parse::<EventKind>().unwrap_err().to_string();
        assert!(error.contains("auth_failed"), "{error}");
    }
}
