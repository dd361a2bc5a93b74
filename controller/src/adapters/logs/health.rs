//! How inputs are: what `status` and the metrics tell.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

/// What an input does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InputState {
    /// Nothing is there yet; it is looked for.
    #[default]
    Waiting,
    /// Lines are read as they are written.
    Following,
    /// It cannot be read; it is tried again.
    Unreadable,
    /// Something that is no log stands in its place, and is not touched.
    Refused,
}

/// How one file or socket is. Counters are since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InputHealth {
    /// The input's name.
    pub input: Arc<str>,
    /// The path or the socket.
    pub origin: Arc<str>,
    /// What it does.
    pub state: InputState,
    /// Whether changes are found by looking every so often, and not told by the kernel.
    pub is_polled: bool,
    /// Bytes of the current file that were read.
    pub offset: u64,
    /// Bytes that are there and were not read yet, in the current file and those before it.
    pub lag_bytes: u64,
    /// Lines that were handed on.
    pub lines: u64,
    /// Bytes of these lines.
    pub bytes: u64,
    /// Lines that were longer than [`super::LONGEST_LINE`], and cut.
    pub cut: u64,
    /// Datagrams that were dropped.
    pub dropped: u64,
    /// Changes of file: rotations, truncations.
    pub rotations: u64,
    /// How often lines may have been lost; the last time is in `problem`, or was.
    pub losses: u64,
    /// When the last line was read.
    pub last_line_at: Option<Timestamp>,
    /// What is wrong, and the way out.
    pub problem: Option<String>,
    /// What was lost last, and how that is avoided.
    pub last_loss: Option<String>,
}

/// Where inputs write how they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Board(Arc<Mutex<BTreeMap<Place, InputHealth>>>);

/// The input's name, and the path or socket.
type Place = (Arc<str>, Arc<str>);

impl Board {
    /// All of them, by input and origin.
    pub(super) fn rows(&self) -> Vec<InputHealth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Changes one, which is made if it is not there.
    pub(super) fn update(&self, input: &Arc<str>, origin: &Arc<str>, change: impl FnOnce(&mut InputHealth)) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.entry((Arc::clone(input), Arc::clone(origin))).or_insert_with(|| InputHealth {
            input: Arc::clone(input),
            origin: Arc::clone(origin),
            ..InputHealth::default()
        });
        change(row);
    }

    /// Takes one away.
    pub(super) fn remove(&self, input: &Arc<str>, origin: &Arc<str>) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.remove(&(Arc::clone(input), Arc::clone(origin)));
    }
}
