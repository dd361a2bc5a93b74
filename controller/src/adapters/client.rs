//! The daemon's API, as the command line asks it: HTTP over the UNIX socket.
//!
//! One request at a time, waited for. Nothing is retried: a change whose answer is lost may have been made, and saying
//! so is better than making it twice.
mod alerts;
mod cases;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod live;
mod samples;

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::alerts::RuleText;
pub use self::error::ClientError;
pub use self::live::TopRequest;
pub use self::samples::SampleStream;
use crate::domain::decision::{Enforcement, Kind};
use crate::domain::listfile::Format;
use crate::domain::listfile::export::ExportFormat;
use crate::domain::report::{
    ChangeReport, ChangeRequest, ConfigReport, EntryRow, Explain, FeedRow, ImportReport, OffenderRow, Problem, REFUSED,
    RefreshReport, SettingRow, Status, SwitchReport, TopBy, TopRow,
};

/// How long the daemon may take to accept.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long an import may take: tables for millions of entries are built first.
const IMPORT: Duration = Duration::from_mins(2);
/// Largest answer that is read as a document.
const LARGEST: usize = 1 << 30;

/// A daemon's API.
#[derive(Debug)]
pub struct Client {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    socket: PathBuf,
}

/// A change of the daemon's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settings {
    /// Read the configuration again.
    Reload {
        /// Change nothing.
        dry_run: bool,
    },
    /// The same, undone after a while unless confirmed.
    Apply {
        /// How long, in seconds.
        confirm_s: u64,
        /// Change nothing.
        dry_run: bool,
    },
    /// Keep what was applied.
    Confirm,
    /// Go back.
    Rollback,
}

/// What becomes of an import.
#[derive(Clone, Copy, Debug)]
pub struct ImportOptions<'a> {
    /// The list.
    pub name: &'a str,
    /// How the file is written.
    pub format: Format,
    /// The column of a table that holds addresses.
    pub column: Option<&'a str>,
    /// Leave out entries of a lower score.
    pub least_score: u32,
    /// On whose word, where a tool's list is brought in line with the file.
    pub origin: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
    /// Take what can be read.
    pub skip_bad: bool,
    /// Change nothing.
    pub dry_run: bool,
}

impl Client {
    /// A client of the daemon behind a socket. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ClientError::Setup`] where this process can have no client at all.
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ClientError::setup)?;
        super::tls::provide();
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            // Nothing is encrypted on the socket, so the system's certificates need not be read.
            .tls_certs_only([])
            .connect_timeout(CONNECT)
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ClientError::setup)?;
        Ok(Self { runtime, http, socket: socket.to_owned() })
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits for something that asks the daemon.
    pub fn wait_for<F: Future>(&self, what: F) -> F::Output {
        self.runtime.block_on(what)
    }

    /// What is in force.
    ///
    /// # Errors
    /// [`ClientError`], as for all requests.
    pub fn status(&self) -> Result<Status, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["status"], &[])))
    }

    /// Who sends most.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn top(&self, n: u32, by: TopBy) -> Result<Vec<TopRow>, ClientError> {
        self.top_rows(&TopRequest { n, by, ..TopRequest::default() }).await
    }

    /// Those that came near a limit, who was refused most in front.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn offenders(&self, n: u32) -> Result<Vec<OffenderRow>, ClientError> {
        self.document(self.request(Method::GET, &["offenders"], &[("n", &n.to_string())])).await
    }

    /// What becomes of an address's packets, and why.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn explain(&self, address: IpAddr) -> Result<Explain, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["explain", &address.to_string()], &[])))
    }

    /// The entries of the deny or the allow list.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn entries(&self, kind: Kind) -> Result<Vec<EntryRow>, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &[list(kind)], &[])))
    }

    /// Adds entries.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn add(&self, kind: Kind, change: &ChangeRequest) -> Result<ChangeReport, ClientError> {
        self.change(Method::POST, kind, change)
    }

    /// Removes entries.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn remove(&self, kind: Kind, change: &ChangeRequest) -> Result<ChangeReport, ClientError> {
        self.change(Method::DELETE, kind, change)
    }

    fn change<T: Serialize>(&self, method: Method, kind: Kind, change: &T) -> Result<ChangeReport, ClientError> {
        self.wait_for(self.document(self.request(method, &[list(kind)], &[]).json(change)))
    }

    /// Replaces a list's imported entries by a file's.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn import(&self, kind: Kind, options: &ImportOptions<'_>, file: Vec<u8>) -> Result<ImportReport, ClientError> {
        let least_score = options.least_score.to_string();
        let mut query = vec![
            ("name", options.name),
            ("format", options.format.name()),
            ("skip_bad", bool_word(options.skip_bad)),
            ("dry_run", bool_word(options.dry_run)),
        ];
        query.extend((options.least_score > 0).then_some(("least_score", least_score.as_str())));
        query.extend(options.column.map(|column| ("column", column)));
        query.extend(options.origin.map(|origin| ("origin", origin)));
        query.extend(Some(options.reason).filter(|reason| !reason.is_empty()).map(|reason| ("reason", reason)));
        let request = self.request(Method::POST, &[list(kind), "import"], &query).timeout(IMPORT).body(file);
        self.wait_for(self.document_within(request, IMPORT))
    }

    /// Hands all prefixes of the deny or the allow list to `take`, piece by piece, as lines of text.
    ///
    /// # Errors
    /// [`ClientError`], or what `take` fails with.
    pub fn export<E: From<ClientError>>(
        &self,
        kind: Kind,
        format: ExportFormat,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.wait_for(async {
            // Whoever reads the lines may take their time, so each piece has its own.
            let path = [list(kind), "export"];
            let query: &[_] = if format == ExportFormat::Plain { &[] } else { &[("format", format.name())] };
            let mut response = within(ANSWER, self.send(self.request_untimed(Method::GET, &path, query), ANSWER))
                .await
                .unwrap_or_else(|| Err(self.silent(ANSWER)))?;
            loop {
                let piece = within(ANSWER, response.chunk()).await.ok_or_else(|| self.silent(ANSWER))?;
                match piece.map_err(|error| ClientError::of_transport(&self.socket, ANSWER, &error))? {
                    Some(piece) => take(&piece)?,
                    None => return Ok(()),
                }
            }
        })
    }

    /// Every feed and how it does.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn feeds(&self) -> Result<Vec<FeedRow>, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["feeds"], &[])))
    }

    /// Has feeds asked now; none named: all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn refresh(&self, names: &[String], force: bool, dry_run: bool) -> Result<RefreshReport, ClientError> {
        let names = names.join(",");
        let mut query = vec![("force", bool_word(force)), ("dry_run", bool_word(dry_run))];
        if !names.is_empty() {
            query.push(("names", &names));
        }
        let request = self.request(Method::POST, &["feeds", "refresh"], &query).timeout(IMPORT);
        self.wait_for(self.document_within(request, IMPORT))
    }

    /// Every setting in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn settings(&self) -> Result<Vec<SettingRow>, ClientError> {
        self.wait_for(self.document(self.request(Method::GET, &["config"], &[])))
    }

    /// Changes the settings. There is no dry run of keeping or undoing what waits: the daemon would do it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn set(&self, change: Settings) -> Result<ConfigReport, ClientError> {
        let (verb, confirm_s, dry_run) = match change {
            Settings::Reload { dry_run } => ("reload", None, Some(dry_run)),
            Settings::Apply { confirm_s, dry_run } => ("apply", Some(confirm_s.to_string()), Some(dry_run)),
            Settings::Confirm => ("confirm", None, None),
            Settings::Rollback => ("rollback", None, None),
        };
        let mut query = Vec::new();
        query.extend(dry_run.map(|dry_run| ("dry_run", bool_word(dry_run))));
        query.extend(confirm_s.as_deref().map(|seconds| ("confirm_s", seconds)));
        self.wait_for(self.document(self.request(Method::POST, &["config", verb], &query)))
    }

    /// Carries drops out, or only counts them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn enforce(&self, to: Enforcement, dry_run: bool) -> Result<SwitchReport, ClientError> {
        let to = match to {
            Enforcement::Enforce => "enforce",
            Enforcement::Observe => "observe",
        };
        self.wait_for(self.document(self.request(
            Method::POST,
            &["enforcement"],
            &[("to", to), ("dry_run", bool_word(dry_run))],
        )))
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        self.request_untimed(method, path, query).timeout(ANSWER)
    }

    fn request_untimed(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        self.http.request(method, url(path, query))
    }

    async fn document<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        self.document_within(request, ANSWER).await
    }

    async fn document_within<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        time: Duration,
    ) -> Result<T, ClientError> {
        let response = self.send(request, time).await?;
        let body = self.body(response, time).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::NotWeir {
            socket: self.socket.clone(),
            what: format!("a document of another shape ({error})"),
        })
    }

    /// The answer, where it is one to the question: problems are errors.
    async fn send(&self, request: RequestBuilder, time: Duration) -> Result<Response, ClientError> {
        let lost = |error| ClientError::of_transport(&self.socket, time, &error);
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(response, time).await?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if problem.kind == REFUSED => Err(ClientError::Refused(Box::new(problem))),
            Ok(problem) if status == StatusCode::NOT_FOUND => Err(ClientError::NotFound(Box::new(problem))),
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => Err(ClientError::Unexplained { socket: self.socket.clone(), what: unexplained(status, &body) }),
        }
    }

    async fn body(&self, mut response: Response, time: Duration) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(piece) =
            response.chunk().await.map_err(|error| ClientError::of_transport(&self.socket, time, &error))?
        {
            if body.len() + piece.len() > LARGEST {
                let what = format!("more than {LARGEST} bytes");
                return Err(ClientError::NotWeir { socket: self.socket.clone(), what });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn silent(&self, time: Duration) -> ClientError {
        ClientError::Silent { socket: self.socket.clone(), seconds: time.as_secs() }
    }
}

async fn within<F: Future>(time: Duration, what: F) -> Option<F::Output> {
    tokio::time::timeout(time, what).await.ok()
}

/// The address of a resource: the host only fills its place, the socket is what is connected to.
fn url(path: &[&str], query: &[(&str, &str)]) -> Url {
    #[expect(clippy::expect_used, reason = "a constant that a test parses")]
    let mut url = Url::parse("http://weir/api").expect("a URL");
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(path);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// An answer of failure that is no problem document.
fn unexplained(status: StatusCode, body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).trim().chars().take(200).collect();
    match (status, text.is_empty()) {
        (StatusCode::PAYLOAD_TOO_LARGE, _) => "that it takes no request as large; import the list in parts".to_owned(),
        (_, true) => format!("status {status} and no reason; its log may tell"),
        (_, false) => format!("status {status}: {text}"),
    }
}

fn list(kind: Kind) -> &'static str {
    match kind {
        Kind::Allow => "allow",
        Kind::Deny => "block",
    }
}

fn bool_word(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// The system's error at the bottom of another, where there is one.
fn io_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests;
