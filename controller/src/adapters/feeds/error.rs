//! Why a feed could not be fetched.
use std::io;
use std::net::IpAddr;

/// Why a feed could not be fetched. What is in force stays in force.
///
/// Messages name the host and never the path, the query or a header: those may hold a key.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not a URL or path that a feed can be at.
    #[error("{source_text:?} is no source of a feed: {why}; write an https:// URL or an absolute path")]
    BadSource {
        /// What stands there, its query cut off.
        source_text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A user name or password in a URL, where every log and listing shows it.
    #[error("{host}: the URL holds a user name or password; put it into a file and name that file as the credential")]
    CredentialsInUrl {
        /// The host.
        host: String,
    },
    /// Neither http nor https.
    #[error("{host}: {scheme}: is not fetched; the schemes are https, http and file")]
    Scheme {
        /// The host or what asked for it.
        host: String,
        /// The scheme.
        scheme: String,
    },
    /// Plain http without the operator's word.
    #[error("{host}: plain http lets anyone on the way rewrite the feed; use https, or set allow_http = true for it")]
    PlainHttp {
        /// The host.
        host: String,
    },
    /// From https to http.
    #[error("{host} redirects from https to plain http ({to}), which is never followed; name the final URL instead")]
    Downgrade {
        /// The host.
        host: String,
        /// Where to.
        to: String,
    },
    /// An address that feeds are not fetched from.
    #[error("{host} is at {address}, {what}{}", way_out(*.allowable))]
    ForbiddenAddress {
        /// The host.
        host: String,
        /// The address.
        address: IpAddr,
        /// What the address is.
        what: &'static str,
        /// Whether `allow_private` would allow it.
        allowable: bool,
    },
    /// A name that feeds are not fetched from.
    #[error("{host} is {what}; set allow_private = true for this feed if it is yours")]
    ForbiddenName {
        /// The host.
        host: String,
        /// What the name is.
        what: &'static str,
    },
    /// The host's name has no address.
    #[error("{host} cannot be resolved: {cause}; check the name and the resolver")]
    Resolve {
        /// The host.
        host: String,
        /// The resolver's error.
        cause: String,
    },
    /// No connection.
    #[error("{host} cannot be reached: {cause}")]
    Connect {
        /// The host.
        host: String,
        /// The error.
        cause: String,
    },
    /// No connection in time.
    #[error("{host} took longer than {limit_ms} ms to connect")]
    ConnectDeadline {
        /// The host.
        host: String,
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// Not done in time.
    #[error("{host} was not done in {limit_ms} ms; raise the feed's deadline if it is only slow")]
    Deadline {
        /// The host.
        host: String,
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// The server could not show who it is.
    #[error("{host}: TLS: {why}; it is not asked in plain instead")]
    Tls {
        /// The host.
        host: String,
        /// What is wrong, in the words of the TLS library.
        why: String,
    },
    /// Not HTTP, or headers beyond the limit.
    #[error("{host} does not speak HTTP as it should: {why}")]
    Protocol {
        /// The host.
        host: String,
        /// What is wrong.
        why: String,
    },
    /// More header bytes than any feed needs.
    #[error("{host} sent {bytes} bytes of headers; the most is {limit}")]
    Headers {
        /// The host.
        host: String,
        /// How many.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// The answer ended before its end.
    #[error("{host}: the answer was cut off after {received} bytes: {why}")]
    Cut {
        /// The host.
        host: String,
        /// Bytes of the body received.
        received: u64,
        /// What is wrong.
        why: String,
    },
    /// More bytes than may be received.
    #[error("{host} sent more than {limit} bytes; raise the feed's most_mib if it is that large")]
    TooManyBytes {
        /// The host or file.
        host: String,
        /// The most, in bytes.
        limit: u64,
    },
    /// Decompresses to more than may be held.
    #[error("{host} decompresses to more than {limit} bytes; raise the feed's most_mib if it is that large")]
    Bomb {
        /// The host.
        host: String,
        /// The most, in bytes.
        limit: u64,
    },
    /// A content encoding that was not asked for, or several.
    #[error("{host} answers in content encoding {encoding:?}; gzip, br or none is asked for, one at most")]
    Encoding {
        /// The host.
        host: String,
        /// The header.
        encoding: String,
    },
    /// A compressed body that is damaged.
    #[error("{host}: the {encoding} body is damaged: {why}")]
    Damaged {
        /// The host.
        host: String,
        /// Its encoding.
        encoding: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Redirects without end.
    #[error("{host} redirects more than {limit} times; name the final URL instead")]
    Redirects {
        /// The host asked first.
        host: String,
        /// The most.
        limit: usize,
    },
    /// A redirect to nowhere.
    #[error("{host} redirects with status {status} to nothing that is a URL")]
    BadRedirect {
        /// The host.
        host: String,
        /// The status.
        status: u16,
    },
    /// "Not modified" though there is nothing it could be compared with.
    #[error("{host} says that nothing changed though nothing was asked to compare with; its cache is broken")]
    UnaskedNotModified {
        /// The host.
        host: String,
    },
    /// The server wants other credentials.
    #[error("{host} answers {status}: {credential}")]
    Unauthorised {
        /// The host.
        host: String,
        /// 401 or 403.
        status: u16,
        /// The credential that was sent, by name, and what to do.
        credential: String,
    },
    /// There is no such feed.
    #[error("{host} answers {status}: the feed is not there; it may have moved")]
    NotFound {
        /// The host.
        host: String,
        /// 404 or 410.
        status: u16,
    },
    /// Asked too often, or the server is down for a while.
    #[error("{host} answers {status}: ask later{}", .retry_after_s.map(|s| format!(" (in {s} s)")).unwrap_or_default())]
    Throttled {
        /// The host.
        host: String,
        /// 429 or 503.
        status: u16,
        /// What it says in Retry-After, in seconds from now, as it is: for the schedule to clamp.
        retry_after_s: Option<u64>,
    },
    /// Any other status that is no feed.
    #[error("{host} answers {status}, which is no feed")]
    Status {
        /// The host.
        host: String,
        /// The status.
        status: u16,
    },
    /// An HTML page: an error page, a login or a captive portal.
    #[error("{host} answers with an HTML page, not a list; open the URL in a browser to see why")]
    Html {
        /// The host.
        host: String,
    },
    /// An answer of TAXII or MISP that is not what it must be.
    #[error("{host}: {what}")]
    Shape {
        /// The host.
        host: String,
        /// What is wrong.
        what: String,
    },
    /// More requests than one refresh may make.
    #[error("{host}: more than {limit} requests for one refresh, the most weir makes")]
    TooManyRequests {
        /// The host.
        host: String,
        /// The most.
        limit: usize,
    },
    /// The host was asked a moment ago.
    #[error("{host} was asked a moment ago; it may be asked again in {wait_ms} ms")]
    TooSoon {
        /// The host.
        host: String,
        /// How long to wait, in milliseconds.
        wait_ms: u64,
    },
    /// A header of the configuration that cannot be sent.
    #[error("header {name:?} of feed {feed} cannot be sent: {why}")]
    BadHeader {
        /// The feed.
        feed: String,
        /// The header's name.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// A credential that cannot be used.
    #[error("the credential file {path} of feed {feed} cannot be used: {why}")]
    Credential {
        /// The feed.
        feed: String,
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// A file that is no file.
    #[error("{path} is {kind}; a feed is read from a regular file only")]
    NotAFile {
        /// The path.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A file changed while it was read.
    #[error("{path} changed while it was read; write a new file and rename it into place")]
    Changing {
        /// The path.
        path: String,
    },
    /// A file that cannot be read.
    #[error("{path} cannot be read: {cause}")]
    File {
        /// The path.
        path: String,
        /// The error.
        #[source]
        cause: io::Error,
    },
    /// There can be no HTTP client on this machine.
    #[error("no HTTP client: {why}; https needs the system's CA certificates (package ca-certificates)")]
    Client {
        /// What is wrong.
        why: String,
    },
}

fn way_out(allowable: bool) -> &'static str {
    if allowable {
        "; set allow_private = true for this feed if it is yours"
    } else {
        "; feeds are never fetched there"
    }
}

impl FetchError {
    /// Its name in metrics; one of a few.
    pub fn label(&self) -> &'static str {
        match self {
            Self::BadSource { .. } => "bad_source",
            Self::CredentialsInUrl { .. } => "credentials_in_url",
            Self::Scheme { .. } => "scheme",
            Self::PlainHttp { .. } => "plain_http",
            Self::Downgrade { .. } => "downgrade",
            Self::ForbiddenAddress { .. } => "forbidden_address",
            Self::ForbiddenName { .. } => "forbidden_name",
            Self::Resolve { .. } => "resolve",
            Self::Connect { .. } => "connect",
            Self::ConnectDeadline { .. } => "connect_deadline",
            Self::Deadline { .. } => "deadline",
            Self::Tls { .. } => "tls",
            Self::Protocol { .. } => "protocol",
            Self::Headers { .. } => "headers",
            Self::Cut { .. } => "cut",
            Self::TooManyBytes { .. } => "too_many_bytes",
            Self::Bomb { .. } => "bomb",
            Self::Encoding { .. } => "encoding",
            Self::Damaged { .. } => "damaged",
            Self::Redirects { .. } => "redirects",
            Self::BadRedirect { .. } => "bad_redirect",
            Self::UnaskedNotModified { .. } => "unasked_not_modified",
            Self::Unauthorised { .. } => "unauthorised",
            Self::NotFound { .. } => "not_found",
            Self::Throttled { .. } => "throttled",
            Self::Status { status, .. } => match status {
                500..=599 => "server_error",
                400..=499 => "client_error",
                _ => "unexpected_status",
            },
            Self::Html { .. } => "html",
            Self::Shape { .. } => "shape",
            Self::TooManyRequests { .. } => "too_many_requests",
            Self::TooSoon { .. } => "too_soon",
            Self::BadHeader { .. } => "bad_header",
            Self::Credential { .. } => "credential",
            Self::NotAFile { .. } => "not_a_file",
            Self::Changing { .. } => "changing",
            Self::File { .. } => "file",
            Self::Client { .. } => "client",
        }
    }

    /// What the server asked for in Retry-After, in seconds, unclamped.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Throttled { retry_after_s, .. } => *retry_after_s,
            _ => None,
        }
    }
}
