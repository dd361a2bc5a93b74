//! What goes wrong on the way to a CrowdSec server.
use std::io;
use std::path::PathBuf;

use crate::domain::crowdsec::PageError;
use crate::domain::crowdsec::bouncer_file::{ApiKeyError, BouncerFileError};
use crate::domain::crowdsec::poll::Trouble;

/// Why no client can be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's address.
    #[error("CrowdSec's api_url {text:?}: {why}")]
    Url {
        /// What stands there, without credentials.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Neither key nor certificate.
    #[error("no key for the CrowdSec server {server}: `cscli bouncers add weir` gives one for api_key_file")]
    NoKey {
        /// The server.
        server: String,
    },
    /// A file could not be read.
    #[error("cannot read {}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file larger than any of its sort.
    #[error("{} is too large: more than {most} bytes", .file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The most it may have.
        most: u64,
    },
    /// A file of text that is none.
    #[error("{} is not UTF-8 text", .file.display())]
    NotText {
        /// The file.
        file: PathBuf,
    },
    /// The key's file.
    #[error("the key in {} {cause}", .file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        cause: ApiKeyError,
    },
    /// The bouncer's file.
    #[error("{}: {cause}", .file.display())]
    BouncerFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        cause: BouncerFileError,
    },
    /// A certificate or its key.
    #[error("{} holds no certificate, or none with its key, in PEM form", .file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What the library says.
        #[source]
        cause: reqwest::Error,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error("CrowdSec's {missing} is missing: a certificate and its key come together")]
    HalfACertificate {
        /// The setting.
        missing: &'static str,
    },
    /// The library refuses.
    #[error("no HTTP client for the CrowdSec server can be made")]
    Build(#[source] reqwest::Error),
}

/// Why there is no answer of a server that could be used.
#[derive(Debug, thiserror::Error)]
pub enum LapiError {
    /// No connection.
    #[error("the CrowdSec server {server} cannot be reached: is it running, and is api_url right?")]
    Connect {
        /// The server.
        server: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// The connection ended before the answer did.
    #[error("the answer of the CrowdSec server {server} was lost on the way")]
    Lost {
        /// The server.
        server: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// It took too long.
    #[error("the CrowdSec server {server} did not finish its answer within {seconds} s")]
    Deadline {
        /// The server.
        server: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The server does not know the key.
    #[error(
        "the CrowdSec server {server} refuses this key or certificate: on the server, `cscli bouncers list` shows \
         whom it knows, and `cscli bouncers add weir` gives a new key"
    )]
    KeyRejected {
        /// The server.
        server: String,
    },
    /// Somebody answers who sends us elsewhere.
    #[error(
        "{server} sends weir on to {to}, where the key is not taken: put the CrowdSec server's own address into api_url"
    )]
    Redirected {
        /// The server.
        server: String,
        /// Where to.
        to: String,
    },
    /// The server says that it failed, or knows no such path.
    #[error("the CrowdSec server {server} answered with status {status}: its log says why")]
    Status {
        /// The server.
        server: String,
        /// The status.
        status: u16,
    },
    /// Something else than JSON.
    #[error("{server} answered with {kind:?} and not with JSON: is that the address of a CrowdSec server?")]
    NotJson {
        /// The server.
        server: String,
        /// What the answer calls itself.
        kind: String,
    },
    /// An answer larger than any.
    #[error(
        "the answer of the CrowdSec server {server} has more than {most} bytes: narrow it by scopes, origins or scenarios"
    )]
    TooLarge {
        /// The server.
        server: String,
        /// The most it may have.
        most: u64,
    },
    /// An answer that is not understood.
    #[error("the CrowdSec server {server}: {cause}")]
    Page {
        /// The server.
        server: String,
        /// What is wrong with it.
        cause: PageError,
    },
    /// weir is about to end.
    #[error("reading the CrowdSec server's answer was stopped")]
    Stopped,
}

impl LapiError {
    /// What it means for the next question.
    pub fn trouble(&self) -> Trouble {
        if matches!(self, Self::KeyRejected { .. }) { Trouble::KeyRejected } else { Trouble::Away }
    }

    /// Its name, as a metric's label.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Lost { .. } => "lost",
            Self::Deadline { .. } => "deadline",
            Self::KeyRejected { .. } => "key_rejected",
            Self::Redirected { .. } => "redirected",
            Self::Status { .. } => "status",
            Self::NotJson { .. } => "not_json",
            Self::TooLarge { .. } => "too_large",
            Self::Page { .. } => "page",
            Self::Stopped => "stopped",
        }
    }
}
