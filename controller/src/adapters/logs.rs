//! Log lines from the world: files that are followed through every way of rotating them, and syslog datagrams.
//!
//! Lines come in batches over one bounded channel. When whoever takes them is slow, files wait (the lag is told), and
//! datagrams are dropped and counted. What is bounded, and by how much, is in the constants here and in `docs/logs.md`.
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch as signal};
use tokio::task::JoinHandle;

use crate::domain::http::follow::{self, Checkpoint};

mod files;
mod health;
mod open;
mod paths;
mod reader;
mod split;
mod syslog;
mod tail;
#[cfg(test)]
mod tests;
mod watch;

pub use health::{InputHealth, InputState};

/// Longest line that is handed on; of a longer one, its beginning is.
pub const LONGEST_LINE: usize = 64 << 10;
/// Lines of a batch.
pub const BATCH_LINES: usize = 16_384;
/// Bytes of a file that are read at once: no batch has more.
const READ_BYTES: usize = 1 << 20;
/// Batches that wait for whoever takes them.
const BATCHES: usize = 16;
/// Files of one input, if the settings do not say.
pub const MOST_FILES: usize = 256;
/// How long a file that was rotated away is kept open after its last line, if the settings do not say. Servers go on
/// writing to it until they are told to open the new one, and some until their last connection ends. One that was deleted
/// is let go after a tenth of it: it takes up disk space for as long as it is open.
pub const LINGER: Duration = Duration::from_mins(10);
/// A line that was in its file before it was taken up is of the past if it is older, if the settings do not say.
pub const HISTORY: SignedDuration = SignedDuration::from_mins(5);

/// Log files that are read in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInput {
    /// What batches and health call it; of its own among all inputs.
    pub name: Arc<str>,
    /// Absolute paths and globs (`*`, `?`, `[…]`; not `**`). A path may be a symbolic link to a file, and is then resolved
    /// once, at start; links that a glob finds are not followed.
    pub paths: Vec<String>,
    /// Files that are followed at most; what globs find beyond is not read, and told.
    pub most_files: usize,
    /// How long a rotated file is kept open after its last line: see [`LINGER`].
    pub linger: Duration,
    /// How changes are noticed.
    pub noticing: Noticing,
}

/// How changes of files are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Noticing {
    /// The kernel tells (inotify); where it cannot, as [`Noticing::Polling`], and health says so.
    #[default]
    Watching,
    /// By looking four times a second: for file systems that are written to by other machines.
    Polling,
}

impl FileInput {
    /// An input with everything else as usual.
    pub fn new(name: impl Into<Arc<str>>, paths: Vec<String>) -> Self {
        Self { name: name.into(), paths, most_files: MOST_FILES, linger: LINGER, noticing: Noticing::default() }
    }
}

/// A socket that syslog datagrams are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogInput {
    /// What batches and health call it; of its own among all inputs.
    pub name: Arc<str>,
    /// Where.
    pub address: SyslogAddress,
}

/// Where datagrams are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A UNIX socket, mode 0660.
    Unix {
        /// Its path; its folder is made if there is none.
        path: PathBuf,
        /// The group that may write to it, by name.
        group: Option<String>,
    },
    /// UDP. Only a loopback address: anybody could forge lines on another.
    Udp(SocketAddr),
}

impl std::fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Udp(address) => write!(f, "udp:{address}"),
        }
    }
}

/// Everything that is listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Files.
    pub files: Vec<FileInput>,
    /// Sockets.
    pub syslog: Vec<SyslogInput>,
}

/// What is counted of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounters {
    /// Lines that were longer than [`LONGEST_LINE`], and cut.
    pub cut: u64,
    /// Bytes of such lines that were skipped.
    pub skipped_bytes: u64,
    /// Datagrams that were dropped since the batch before.
    pub dropped: u64,
}

/// Lines of one file or socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The name of the input, as the settings have it.
    pub input: Arc<str>,
    /// The path that is followed, or the socket.
    pub origin: Arc<str>,
    head: Box<[u8]>,
    bytes: Vec<u8>,
    lines: Vec<Range<u32>>,
    /// When it was read.
    pub received: Timestamp,
    /// Whether the lines were in the file before it was taken up: see [`Batch::is_history`].
    pub is_catch_up: bool,
    /// To be stored once the lines have been acted on; replaces the one of the same input and path. A batch without lines
    /// only brings this. `None`: a socket's.
    pub checkpoint: Option<Checkpoint>,
    /// What happened to lines.
    pub counters: BatchCounters,
}

impl Batch {
    /// The lines, without their ends; none is empty, none longer than [`LONGEST_LINE`], none has a line feed in it. They
    /// may have any other byte.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.lines.iter().map(|line| self.bytes.get(line.start as usize..line.end as usize).unwrap_or_default())
    }

    /// How the file begins that is read: at most [`follow::HEAD_BYTES`] bytes of those that were read before and now. Of a
    /// socket nothing.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether it only brings a checkpoint or counters.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether one of its lines, whose own time is this, is of the past and must not make anybody be denied: see
    /// [`follow::is_history`]. The usual limit is [`HISTORY`].
    pub fn is_history(&self, own_time: Option<Timestamp>, limit: SignedDuration) -> bool {
        follow::is_history(self.is_catch_up, own_time, self.received, limit)
    }
}

/// A stored checkpoint, and the input it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The input's name.
    pub input: Arc<str>,
    /// What was stored.
    pub checkpoint: Checkpoint,
}

/// The inputs at work. They end when this is dropped; [`Inputs::stop`] waits until they have.
#[derive(Debug)]
pub struct Inputs {
    health: health::Board,
    /// Closed once everything was looked at or listened to for the first time.
    begun: mpsc::Receiver<()>,
    stop: signal::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Follows files from where `stored` says and listens to sockets, until the handle is dropped. Must be called on a tokio
/// runtime with time and I/O.
///
/// What cannot be read or bound is told by [`Inputs::health`] and tried again; the others go on.
pub fn start(settings: Settings, mut stored: Vec<Stored>) -> (Inputs, mpsc::Receiver<Batch>) {
    let (batches, taken) = mpsc::channel(BATCHES);
    let (stop, stopped) = signal::channel(false);
    let (starting, begun) = mpsc::channel(1);
    let health = health::Board::default();
    let hub = Arc::new(watch::Hub::new(settings.files.iter().any(|input| input.noticing == Noticing::Watching)));
    let mut tasks = Vec::new();
    for input in settings.files {
        let (own, others): (Vec<Stored>, _) = stored.into_iter().partition(|stored| stored.input == input.name);
        stored = others;
        let checkpoints = own.into_iter().map(|stored| stored.checkpoint).collect();
        let files = files::Files::new(input, checkpoints, Arc::clone(&hub), health.clone());
        tasks.push(tokio::spawn(files::follow(files, starting.clone(), batches.clone(), stopped.clone())));
    }
    for input in settings.syslog {
        tasks.push(tokio::spawn(syslog::listen(
            input,
            starting.clone(),
            batches.clone(),
            stopped.clone(),
            health.clone(),
        )));
    }
    (Inputs { health, begun, stop, tasks }, taken)
}

impl Inputs {
    /// Waits until every file was looked at and every socket made, or known not to be possible: what is written after this
    /// is read. Batches have to be taken meanwhile; where files are read from is among them.
    pub async fn begun(&mut self) {
        while self.begun.recv().await.is_some() {}
    }

    /// How every file and socket is, by input and path.
    pub fn health(&self) -> Vec<InputHealth> {
        self.health.rows()
    }

    /// Ends them, and returns once files are closed and sockets gone, so that others can be started in their place.
    /// Batches that wait can still be taken.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a reader of logs ended badly");
            }
        }
    }
}
