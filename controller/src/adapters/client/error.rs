//! How a request to the daemon fails.
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::io_cause;
use crate::domain::report::Problem;

/// A request that was not answered as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody accepts at the socket.
    #[error("no daemon answers at {}: {why}; {way_out}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why, in words.
        why: String,
        /// What can be done.
        way_out: &'static str,
    },
    /// The daemon accepted and said nothing.
    #[error(
        "the daemon at {} did not answer within {seconds} s; a change may have been made all the same: `weir status` \
         tells once it answers again, its log says why it does not",
        socket.display()
    )]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// The connection broke before the answer was whole.
    #[error(
        "the daemon at {} broke the connection off ({why}); a change may have been made all the same: its log says what \
         happened",
        socket.display()
    )]
    Lost {
        /// The socket.
        socket: PathBuf,
        /// Why, in words.
        why: String,
    },
    /// A stream ended that only the daemon's own end ends.
    #[error("the daemon at {} broke the stream off ({why}); its log says more, `weir status` whether it runs", socket.display())]
    Ended {
        /// The socket.
        socket: PathBuf,
        /// Why, in words.
        why: String,
    },
    /// A safety rule refused.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// What was asked about does not exist.
    #[error("{}", .0.detail)]
    NotFound(Box<Problem>),
    /// The daemon could not do it.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The answer is none of this version's API.
    #[error("{} answered with {what}; if a weir of another version runs there, restart it", socket.display())]
    NotWeir {
        /// The socket.
        socket: PathBuf,
        /// What came.
        what: String,
    },
    /// The daemon could not do it, and said so in words that are no problem document.
    #[error("{} answered with {what}", socket.display())]
    Unexplained {
        /// The socket.
        socket: PathBuf,
        /// What came.
        what: String,
    },
    /// This process cannot have a client.
    #[error("prepare to ask the daemon")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ClientError {
    pub(super) fn setup(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Setup(Box::new(error))
    }

    /// The daemon's own words, where it said any.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) | Self::NotFound(problem) | Self::Problem(problem) => Some(problem),
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Lost { .. }
            | Self::Ended { .. }
            | Self::NotWeir { .. }
            | Self::Unexplained { .. }
            | Self::Setup(_) => None,
        }
    }

    /// Whether no daemon accepts at the socket: then nothing was asked.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// What a failed exchange of bytes means.
    pub(super) fn of_transport(socket: &Path, time: Duration, error: &reqwest::Error) -> Self {
        let socket = socket.to_owned();
        let cause = io_cause(error);
        if error.is_connect() {
            let (why, way_out) = unreachable(cause);
            return Self::Unreachable { socket, why, way_out };
        }
        if error.is_timeout() {
            return Self::Silent { socket, seconds: time.as_secs() };
        }
        let why = cause.map_or_else(|| error.to_string(), ToString::to_string);
        Self::Lost { socket, why }
    }
}

/// Why nobody accepts, and what can be done.
fn unreachable(cause: Option<&io::Error>) -> (String, &'static str) {
    const START: &str = "start it with `weir run -i IFACE`, or name its socket with --socket";
    let Some(cause) = cause else {
        return ("it does not accept within 2 s".to_owned(), "its log says why");
    };
    match cause.kind() {
        io::ErrorKind::NotFound => ("no such file".to_owned(), START),
        io::ErrorKind::NotADirectory => ("no such folder".to_owned(), START),
        io::ErrorKind::ConnectionRefused => ("nobody listens there any more".to_owned(), START),
        io::ErrorKind::PermissionDenied => {
            ("permission denied".to_owned(), "use it as root or as a member of the socket's group (`[api] group`)")
        }
        io::ErrorKind::InvalidInput => {
            ("no socket can have this path".to_owned(), "name the daemon's socket with --socket")
        }
        io::ErrorKind::WouldBlock => ("more connections wait than it accepts".to_owned(), "try again"),
        io::ErrorKind::TimedOut => ("it does not accept within 2 s".to_owned(), "its log says why"),
        _ => (cause.to_string(), START),
    }
}
