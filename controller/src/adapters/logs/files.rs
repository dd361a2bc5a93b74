//! The files of one input: found, followed in turn, handed on as there is room.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch as signal};

use super::health::{Board, InputState};
use super::paths::{self, Pattern};
use super::tail::{Claims, Read, Tail};
use super::watch::{Hub, Wake};
use super::{Batch, FileInput, Noticing};
use crate::adapters::clock;
use crate::domain::http::follow::{Checkpoint, Unknown};

/// How often everything is looked at where the kernel tells of changes: it cannot tell of all, such as those of folders
/// that a glob is yet to find.
const WATCHED: Duration = Duration::from_secs(2);
/// The same where it does not tell.
const POLLED: Duration = Duration::from_millis(250);
/// How long reading goes on without a look at what has changed meanwhile.
const READING: Duration = Duration::from_millis(100);

/// The files of one input.
#[derive(Debug)]
pub(super) struct Files {
    input: FileInput,
    patterns: Vec<(String, Pattern)>,
    tails: BTreeMap<PathBuf, Tail>,
    stored: BTreeMap<Arc<str>, Checkpoint>,
    /// When the input was last looked at before this start.
    last_known: Option<Timestamp>,
    has_started: bool,
    hub: Arc<Hub>,
    wake: Arc<Wake>,
    health: Board,
    /// Why the kernel does not tell of changes.
    unwatched: Option<String>,
    is_polled: bool,
    looked_at: Instant,
    /// The last one read, so that all have their turn.
    turn: Option<PathBuf>,
}

/// Whether to look at everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Glance {
    /// No: reading goes on.
    None,
    /// At what is known to have changed.
    Told,
    /// At everything.
    All,
}

impl Files {
    pub(super) fn new(input: FileInput, stored: Vec<Checkpoint>, hub: Arc<Hub>, health: Board) -> Self {
        Self {
            patterns: Vec::new(),
            tails: BTreeMap::new(),
            last_known: stored.iter().map(|checkpoint| checkpoint.looked_at).max(),
            stored: stored.into_iter().map(|checkpoint| (Arc::clone(&checkpoint.path), checkpoint)).collect(),
            has_started: false,
            wake: hub.listen(),
            hub,
            health,
            unwatched: None,
            is_polled: input.noticing == Noticing::Polling,
            looked_at: Instant::now(),
            turn: None,
            input,
        }
    }

    /// One step: a look, and if there is room for it, a batch.
    fn step(&mut self, glance: Glance, has_room: bool) -> Read {
        if glance != Glance::None || self.looked_at.elapsed() >= READING {
            self.look(glance == Glance::All);
        }
        if has_room { self.read() } else { Read::Nothing }
    }

    fn look(&mut self, all: bool) {
        let now = clock::of_files();
        let dirty = self.wake.take();
        let all = all || dirty.all || !self.has_started;
        if all || dirty.names {
            self.find();
        }
        let changed: Vec<PathBuf> = if all || dirty.names {
            self.tails.keys().cloned().collect()
        } else {
            dirty.paths.iter().filter(|path| self.tails.contains_key(*path)).cloned().collect()
        };
        for path in changed {
            let Some(tail) = self.tails.get_mut(&path) else { continue };
            if tail.check(now, self.input.linger, !all) {
                let claims = self.claims(&path);
                if let Some(tail) = self.tails.get_mut(&path) {
                    tail.find(now, &claims);
                }
            }
            if let Some(tail) = self.tails.get(&path) {
                tail.publish(&self.health, self.is_polled, self.unwatched.as_deref());
            }
        }
        self.looked_at = Instant::now();
    }

    fn claims(&self, path: &Path) -> Claims {
        let others = self.tails.iter().filter(|(other, _)| *other != path);
        Claims {
            marks: others.flat_map(|(path, tail)| tail.marks().map(|mark| (path.clone(), mark))).collect(),
            followed: self.tails.keys().cloned().collect(),
        }
    }

    /// Finds the files there are, and watches their folders.
    fn find(&mut self) {
        if !self.has_started {
            self.patterns = self.input.paths.iter().map(|text| (text.clone(), Pattern::new(text))).collect();
        }
        let expanded = paths::expand(self.patterns.iter().map(|(_, pattern)| pattern), self.input.most_files);
        // Before anything is looked at, so that no change falls in between.
        self.wake.follow(expanded.files.iter().map(PathBuf::as_path), &expanded.folders);
        self.watch(&expanded.folders);
        for path in expanded.files.iter().filter(|path| !self.tails.contains_key(*path)).cloned().collect::<Vec<_>>() {
            let stored = path.to_str().and_then(|text| self.stored.remove(text));
            let is_new = self.has_started || stored.is_some() || self.is_younger(&path);
            let unknown = if is_new { Unknown::FromStart } else { Unknown::FromEnd };
            let tail = Tail::new(&self.input.name, &path, unknown, stored);
            self.tails.insert(path, tail);
        }
        let health = &self.health;
        self.tails.retain(|path, tail| {
            let is_kept = expanded.files.contains(path) || !tail.is_over();
            if !is_kept {
                health.remove(&self.input.name, tail.origin());
            }
            is_kept
        });
        self.tell_of_patterns(&expanded);
        self.has_started = true;
    }

    /// Whether a file that nothing was stored of was made since the input was last looked at.
    fn is_younger(&self, path: &Path) -> bool {
        let born = || Timestamp::try_from(std::fs::symlink_metadata(path).ok()?.created().ok()?).ok();
        self.last_known.is_some_and(|last| born().is_some_and(|born| born >= last))
    }

    fn watch(&mut self, folders: &BTreeSet<PathBuf>) {
        if self.input.noticing == Noticing::Polling {
            return;
        }
        let problems: Vec<String> = folders.iter().filter_map(|folder| self.hub.watch(folder).err()).collect();
        self.is_polled = !problems.is_empty();
        let problem = problems.into_iter().next();
        if problem != self.unwatched
            && let Some(problem) = &problem
        {
            tracing::warn!(input = %self.input.name, "changes of logs are not told of: {problem}");
        }
        self.unwatched = problem;
    }

    /// Tells of patterns that match nothing, more than they may, or cannot be read.
    fn tell_of_patterns(&self, expanded: &paths::Expanded) {
        for (text, pattern) in &self.patterns {
            let (state, problem) = match pattern {
                Pattern::Path(_) => continue,
                Pattern::Refused(why) => (InputState::Refused, Some(why.clone())),
                Pattern::Glob(_) if expanded.beyond > 0 => {
                    let (most, beyond) = (self.input.most_files, expanded.beyond);
                    let said = format!(
                        "{beyond} files more than the {most} that are followed at most match; raise the number, or name \
                         fewer"
                    );
                    (InputState::Following, Some(said))
                }
                Pattern::Glob(glob) if expanded.unmatched.contains(glob) => {
                    (InputState::Waiting, Some("no file matches yet; new ones are found".to_owned()))
                }
                Pattern::Glob(_) => (InputState::Following, None),
            };
            let origin = Arc::from(text.as_str());
            if problem.is_none() {
                self.health.remove(&self.input.name, &origin);
                continue;
            }
            self.health.update(&self.input.name, &origin, |row| (row.state, row.problem) = (state, problem));
        }
    }

    fn has_work(&self) -> bool {
        self.tails.values().any(Tail::has_work)
    }

    /// Reads of the next file that has something.
    fn read(&mut self) -> Read {
        let next = |(path, tail): (&PathBuf, &Tail)| tail.has_work().then(|| path.clone());
        let behind = self
            .turn
            .as_ref()
            .and_then(|turn| self.tails.range::<PathBuf, _>((Bound::Excluded(turn), Bound::Unbounded)).find_map(next));
        let Some(path) = behind.or_else(|| self.tails.iter().find_map(next)) else { return Read::Nothing };
        let Some(tail) = self.tails.get_mut(&path) else { return Read::Nothing };
        let read = tail.read(Timestamp::now());
        tail.publish(&self.health, self.is_polled, self.unwatched.as_deref());
        self.turn = Some(path);
        read
    }
}

/// Follows the files of an input until nobody takes batches any more, or `stopped` says so.
///
/// Files are only read while there is room for what is read; they are looked at all the while, so that what is rotated away
/// meanwhile is held and read later.
///
/// `begin` is let go of once all was looked at and every file had its turn, so that where it is read from is handed on.
pub(super) async fn follow(
    mut files: Files,
    begin: mpsc::Sender<()>,
    batches: mpsc::Sender<Batch>,
    mut stopped: signal::Receiver<bool>,
) {
    let (mut begin, mut turns) = (Some(begin), None);
    let wake = Arc::clone(&files.wake);
    let mut glance = Glance::All;
    let mut fruitless = 0;
    loop {
        let room = match batches.try_reserve() {
            Ok(room) => Some(room),
            Err(TrySendError::Full(())) => None,
            Err(TrySendError::Closed(())) => return,
        };
        let has_room = room.is_some();
        let step = tokio::task::spawn_blocking(move || {
            let read = files.step(glance, has_room);
            (files, read)
        });
        let read;
        (files, read) = match step.await {
            Ok(done) => done,
            Err(error) => return tracing::error!(%error, "a reader of logs failed"),
        };
        fruitless = if matches!(read, Read::Nothing) { fruitless + 1 } else { 0 };
        if let (Some(room), Read::Batch(batch)) = (room, read) {
            room.send(batch);
        }
        let has_work = files.has_work();
        let turns: &mut usize = turns.get_or_insert(files.tails.len());
        *turns = turns.saturating_sub(usize::from(has_room));
        if *turns == 0 || !has_work {
            drop(begin.take());
        }
        // Told to, or let go of.
        if stopped.has_changed().unwrap_or(true) {
            return;
        }
        // Twice in a row: work that turns out to be none does not keep anybody busy.
        if has_work && has_room && fruitless < 2 {
            glance = if fruitless == 0 { Glance::None } else { Glance::Told };
            continue;
        }
        let pause = if files.is_polled { POLLED } else { WATCHED };
        let wanted = async {
            if has_work && !has_room {
                // Whether there is room, or never will be, shows next time round.
                drop(batches.reserve().await);
            } else {
                std::future::pending::<()>().await;
            }
        };
        glance = tokio::select! {
            _ = stopped.changed() => return,
            () = wake.changed() => Glance::Told,
            () = wanted => Glance::None,
            () = tokio::time::sleep(pause) => Glance::All,
        };
    }
}
