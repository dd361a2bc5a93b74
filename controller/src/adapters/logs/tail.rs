//! One path that is followed, through all the files that were ever at it.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::health::{Board, InputState};
use super::open::{self, OpenError, Opened};
use super::reader::{Part, Reader};
use super::{Batch, BatchCounters};
use crate::domain::http::follow::{self, Checkpoint, FileId, Look, Mark, Plan, Seen, Unknown, Why};

/// First and longest pause between attempts at what cannot be read.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// A path that is followed.
#[derive(Debug)]
pub(super) struct Tail {
    input: Arc<str>,
    origin: Arc<str>,
    path: PathBuf,
    files: Vec<Reader>,
    looked_at: Option<Timestamp>,
    /// What a first file is read from.
    unknown: Unknown,
    /// When names in its folder had last changed when they were looked at. `None`: they may have changed since.
    folder: Option<Timestamp>,
    /// Another path's file is here.
    passed_over: Option<FileId>,
    /// A checkpoint is to be handed on, be it without lines.
    is_moved: bool,
    state: InputState,
    problem: Option<String>,
    retry: Retry,
    counted: Counted,
}

/// What is counted since the start.
#[derive(Clone, Debug, Default)]
struct Counted {
    lines: u64,
    bytes: u64,
    cut: u64,
    rotations: u64,
    losses: u64,
    last_loss: Option<String>,
    last_line_at: Option<Timestamp>,
}

/// When something is tried again.
#[derive(Clone, Copy, Debug, Default)]
struct Retry {
    at: Option<Instant>,
    pause: Duration,
}

impl Retry {
    fn failed(&mut self) {
        self.pause = (self.pause * 2).clamp(RETRY.0, RETRY.1);
        self.at = Instant::now().checked_add(self.pause);
    }

    fn is_due(self) -> bool {
        self.at.is_none_or(|at| at <= Instant::now())
    }
}

/// What a read gave.
#[derive(Debug)]
pub(super) enum Read {
    /// Lines, or a checkpoint that is due.
    Batch(Batch),
    /// A part of a line that is too long; there is more.
    Skipped,
    /// There was nothing after all: what is there has to be looked at.
    Nothing,
}

/// What other paths of the same input have: a file is read as one path's only.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    /// Other paths, and how far their files were read.
    pub(super) marks: Vec<(PathBuf, Mark)>,
    /// All paths that are followed.
    pub(super) followed: BTreeSet<PathBuf>,
}

impl Claims {
    fn have(&self, seen: &Seen) -> bool {
        self.marks.iter().any(|(_, mark)| mark.is_of(seen))
    }

    /// Whether a path that is named as if it had been rotated away holds a copy of the file it would have been.
    fn have_copy(&self, path: &Path, seen: &Seen) -> bool {
        self.marks.iter().any(|(other, mark)| {
            let is_copy = mark.fingerprint.is_telling() && mark.fingerprint.begins(&seen.head);
            is_copy && other.parent() == path.parent() && is_rotated(other, path)
        })
    }
}

/// Whether the files of one look were still what they were at another.
fn is_grown(before: &[Seen], after: &[Seen]) -> bool {
    before.len() == after.len() && before.iter().zip(after).all(|(before, after)| open::is_grown(before, after))
}

fn is_rotated(base: &Path, path: &Path) -> bool {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    name(base).zip(name(path)).is_some_and(|(base, name)| follow::is_rotated_name(&base, &name))
}

impl Tail {
    /// A path, and what was stored of it.
    pub(super) fn new(input: &Arc<str>, path: &Path, unknown: Unknown, stored: Option<Checkpoint>) -> Self {
        let (marks, looked_at) = stored.map_or((Vec::new(), None), |stored| (stored.marks, Some(stored.looked_at)));
        Self {
            input: Arc::clone(input),
            origin: path.to_string_lossy().into(),
            path: path.to_path_buf(),
            files: marks.into_iter().map(Reader::unopened).collect(),
            looked_at,
            unknown,
            folder: None,
            passed_over: None,
            is_moved: false,
            state: InputState::Waiting,
            problem: None,
            retry: Retry::default(),
            counted: Counted::default(),
        }
    }

    pub(super) fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    /// How far its files were read.
    pub(super) fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.files.iter().map(Reader::mark)
    }

    /// Whether no file is open, none is there, and none was missed.
    pub(super) fn is_over(&self) -> bool {
        self.state == InputState::Waiting && !self.is_moved && self.files.iter().all(Reader::is_closed)
    }

    /// Whether there is something to hand on.
    pub(super) fn has_work(&self) -> bool {
        self.is_moved || self.files.iter().any(Reader::has_work)
    }

    /// Looks whether the files are the ones that are open, and how far they have grown. If there are others, says so:
    /// [`Tail::find`] takes them up. `is_told`: something is known to have changed, so what failed is tried at once.
    pub(super) fn check(&mut self, now: Timestamp, linger: Duration, is_told: bool) -> bool {
        let at_path = open::look(&self.path);
        let mut is_same = self.folder.is_some() && self.folder == open::renamed_at(&self.path);
        for reader in &mut self.files {
            is_same &= reader.look();
        }
        let current = at_path.as_ref().ok().copied();
        for reader in self.files.iter_mut().filter(|reader| Some(reader.id()) != current) {
            self.is_moved |= reader.let_go(linger);
        }
        let last = self.files.last().filter(|reader| reader.is_open()).map(Reader::id);
        match at_path {
            Ok(id) if is_same && last == Some(id) => {
                self.looked_at = Some(now);
                self.be(InputState::Following, None);
                false
            }
            Ok(id) if is_same && self.passed_over == Some(id) => false,
            Ok(_) => is_told || self.retry.is_due(),
            Err(_) if !is_same => true,
            Err(error) => {
                self.fail(&error);
                self.looked_at.get_or_insert(now);
                false
            }
        }
    }

    /// Finds out which files there are, and takes them up.
    pub(super) fn find(&mut self, now: Timestamp, claims: &Claims) {
        self.passed_over = None;
        let renamed_at = open::renamed_at(&self.path);
        let at_path = match open::open(&self.path) {
            Ok(opened) if self.is_others(&opened.seen, claims) => {
                self.passed_over = Some(opened.seen.id);
                self.be(InputState::Waiting, None);
                None
            }
            Ok(opened) => {
                self.retry = Retry::default();
                self.be(InputState::Following, None);
                Some(opened)
            }
            Err(error) => {
                self.fail(&error);
                // What was stored is kept for when it can be read.
                if matches!(error, OpenError::Unreadable(_)) && !self.files.iter().any(Reader::is_open) {
                    return;
                }
                None
            }
        };
        let held = || self.files.iter().filter_map(Reader::seen).collect::<Vec<Seen>>();
        let before = held();
        let siblings = match self.looked_at {
            Some(_) => open::siblings(&self.path, &claims.followed),
            None => Some(Vec::new()),
        };
        // A copy is told from what is read by being no longer than that, and complete once that is truncated: so what is
        // read must have stood all the while. Otherwise somebody is rotating, and it is looked at again when that is over.
        let held = held();
        let has_stood = is_grown(&before, &held) && at_path.as_ref().is_none_or(|opened| opened.has_stood(&self.path));
        self.folder = None;
        let Some(mut siblings) = siblings.filter(|_| has_stood) else { return };
        siblings.retain(|opened| !claims.have(&opened.seen));
        let seen: Vec<Seen> = siblings.iter().map(|opened| opened.seen.clone()).collect();
        let now_at_path = at_path.as_ref().and_then(|opened| open::see(&opened.file).ok());
        let look = Look { now, at_path: now_at_path.as_ref(), held: &held, siblings: &seen };
        let marks: Vec<Mark> = self.marks().collect();
        let plan = follow::plan(&marks, self.looked_at, self.unknown, &look);
        if at_path.is_some() {
            self.unknown = Unknown::FromStart;
        }
        let is_settled = !plan.is_unsettled;
        self.carry_out(plan, &marks, at_path.into_iter().chain(siblings).collect());
        // What changes within the same tick does not show.
        self.folder = renamed_at.filter(|at| is_settled && now.duration_since(*at).abs() > follow::TICK);
        if is_settled || self.looked_at.is_none() {
            self.looked_at = Some(now);
        }
    }

    /// Whether a file belongs to another path: by its number if it was rotated to this one, by its beginning if it is the
    /// copy of another.
    fn is_others(&self, seen: &Seen, claims: &Claims) -> bool {
        claims.have(seen) || self.marks().all(|mark| mark.id != seen.id) && claims.have_copy(&self.path, seen)
    }

    fn carry_out(&mut self, plan: Plan, marks: &[Mark], mut opened: Vec<Opened>) {
        let mut before = std::mem::take(&mut self.files);
        for reading in plan.readings {
            let known = before.iter().position(|reader| reader.id() == reading.id).map(|at| before.swap_remove(at));
            let found = opened.iter().position(|opened| opened.seen.id == reading.id).map(|at| opened.swap_remove(at));
            self.counted.rotations += u64::from(!matches!(reading.why, Why::GoesOn | Why::FromEnd));
            self.files.extend(Reader::taken_up(reading, known, found));
        }
        for lost in &plan.lost {
            tracing::warn!(input = %self.input, path = %self.origin, "a log {lost}");
        }
        self.counted.losses += plan.lost.len() as u64;
        if let Some(lost) = plan.lost.last() {
            self.counted.last_loss = Some(lost.to_string());
        }
        self.is_moved |= self.looked_at.is_none() || !self.marks().eq(marks.iter().copied());
    }

    /// Reads lines of the oldest file that has some.
    pub(super) fn read(&mut self, received: Timestamp) -> Read {
        let part = match self.files.iter_mut().find(|reader| reader.has_work()).map(Reader::read) {
            Some(Ok(part)) => part,
            Some(Err(error)) => {
                self.fail(&OpenError::Unreadable(error));
                return Read::Nothing;
            }
            None => Part::default(),
        };
        self.is_moved |= part.is_progress;
        if part.lines.is_empty() && part.is_progress && self.files.iter().any(Reader::has_work) {
            return Read::Skipped;
        }
        if part.lines.is_empty() && !self.is_moved {
            return Read::Nothing;
        }
        self.is_moved = false;
        if !part.lines.is_empty() {
            self.counted.last_line_at = Some(received);
        }
        self.counted.lines += part.lines.len() as u64;
        self.counted.bytes += part.lines.iter().map(|line| line.len() as u64).sum::<u64>();
        self.counted.cut += part.cut;
        Read::Batch(Batch {
            input: Arc::clone(&self.input),
            origin: Arc::clone(&self.origin),
            head: self.files.last().map(|reader| reader.head().into()).unwrap_or_default(),
            bytes: part.bytes,
            lines: part.lines,
            received,
            is_catch_up: part.is_catch_up,
            checkpoint: Some(Checkpoint {
                path: Arc::clone(&self.origin),
                marks: self.marks().collect(),
                looked_at: self.looked_at.unwrap_or(received),
            }),
            counters: BatchCounters { cut: part.cut, skipped_bytes: part.skipped, dropped: 0 },
        })
    }

    fn fail(&mut self, error: &OpenError) {
        let state = match error {
            OpenError::Absent => {
                // Whatever comes was not there before.
                self.unknown = Unknown::FromStart;
                InputState::Waiting
            }
            OpenError::NotAFile(_) => InputState::Refused,
            OpenError::Unreadable(_) => {
                self.retry.failed();
                InputState::Unreadable
            }
        };
        self.be(state, Some(error.to_string()));
    }

    fn be(&mut self, state: InputState, problem: Option<String>) {
        let is_bad = matches!(state, InputState::Refused | InputState::Unreadable);
        if is_bad && (self.state != state || self.problem != problem) {
            let problem = problem.as_deref().unwrap_or_default();
            tracing::warn!(input = %self.input, path = %self.origin, "a log {problem}");
        }
        self.state = state;
        self.problem = problem;
    }

    /// Tells how it is. `polled`: why the kernel does not tell of changes.
    pub(super) fn publish(&self, board: &Board, is_polled: bool, polled: Option<&str>) {
        board.update(&self.input, &self.origin, |row| {
            row.state = self.state;
            row.is_polled = is_polled;
            row.offset = self.files.last().map_or(0, Reader::offset);
            row.lag_bytes = self.files.iter().map(Reader::lag).sum();
            row.lines = self.counted.lines;
            row.bytes = self.counted.bytes;
            row.cut = self.counted.cut;
            row.rotations = self.counted.rotations;
            row.losses = self.counted.losses;
            row.last_line_at = self.counted.last_line_at;
            if row.problem.as_deref() != self.problem.as_deref().or(polled) {
                row.problem = self.problem.clone().or_else(|| polled.map(str::to_owned));
            }
            if row.last_loss != self.counted.last_loss {
                row.last_loss.clone_from(&self.counted.last_loss);
            }
        });
    }
}
