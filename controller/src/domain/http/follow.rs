//! Which bytes of which file come next, where logs are rotated, copied, truncated, deleted and made anew, also while
//! nobody looked.
//!
//! A followed path has a list of marks: the files that its lines were read from, the oldest first, and how far. A look at
//! the directory is held against the marks, and a plan says what is read, in which order and from where. Marks are all
//! that has to be kept for the plan to be right after a restart, too.
//!
//! A file is the same if its number is (device, inode), the time it was made, and its beginning: numbers are given anew,
//! beginnings of logs differ. So files that were truncated are told from those that grew, and copies from originals.
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

#[cfg(test)]
mod tests;

/// Bytes of a file's beginning that tell it from others.
pub const HEAD_BYTES: usize = 1_024;
/// Files of one path that are kept in mind: the current one, and those before it that may still grow.
pub const MOST_MARKS: usize = 16;
/// What the time of a file's birth may be behind the clock: the kernel stamps files by its tick.
pub const TICK: SignedDuration = SignedDuration::from_millis(20);
/// How long a file beside a log may be the beginning of a copy.
const COPYING: SignedDuration = SignedDuration::from_secs(10);

/// A file's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
}

/// The beginning of a file, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    bytes: u16,
    hash: [u64; 2],
}

impl Fingerprint {
    /// Of these bytes, of which at most [`HEAD_BYTES`] are looked at.
    pub fn of(head: &[u8]) -> Self {
        let head = head.get(..HEAD_BYTES).unwrap_or(head);
        let hash = Sha256::digest(head);
        let word = |at: usize| {
            let bytes = hash.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            u64::from_be_bytes(bytes.unwrap_or_default())
        };
        Self { bytes: u16::try_from(head.len()).unwrap_or(u16::MAX), hash: [word(0), word(8)] }
    }

    /// Whether a file begins so.
    pub fn begins(&self, head: &[u8]) -> bool {
        head.get(..usize::from(self.bytes)).is_some_and(|head| Self::of(head) == *self)
    }

    /// Whether it says anything: that of no bytes is the beginning of every file.
    pub fn is_telling(&self) -> bool {
        self.bytes > 0
    }
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The file.
    pub id: FileId,
    /// When it was made, where the file system knows.
    pub born: Option<Timestamp>,
    /// Bytes that were read: the start of the first line that was not.
    pub offset: u64,
    /// Of the bytes that were read.
    pub fingerprint: Fingerprint,
    /// Whether it was read to its end and nothing more is expected of it.
    pub is_closed: bool,
}

impl Mark {
    /// Whether what was seen is the file the mark is of, with all that was read of it.
    pub fn is_of(&self, seen: &Seen) -> bool {
        let is_as_old = self.born.is_none() || seen.born.is_none() || self.born == seen.born;
        self.id == seen.id && is_as_old && self.offset <= seen.size && self.fingerprint.begins(&seen.head)
    }

    /// Whether what was seen is a copy of the file the mark is of, with all that was read of it.
    fn is_copied_by(&self, seen: &Seen) -> bool {
        self.fingerprint.is_telling() && self.offset <= seen.size && self.fingerprint.begins(&seen.head)
    }
}

/// How far a path was read; what whoever acts on lines stores after it has acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The path that is followed.
    pub path: std::sync::Arc<str>,
    /// Its files, the oldest first.
    pub marks: Vec<Mark>,
    /// When the directory was last looked at before.
    pub looked_at: Timestamp,
}

/// A file as a look found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub id: FileId,
    /// Its size in bytes.
    pub size: u64,
    /// Its first [`HEAD_BYTES`] bytes, or all.
    pub head: Vec<u8>,
    /// When it was made, where the file system knows.
    pub born: Option<Timestamp>,
}

/// A look at a path: what is there, and what may have been there before.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// When, before anything was looked at.
    pub now: Timestamp,
    /// The file at the path.
    pub at_path: Option<&'a Seen>,
    /// The files that are open.
    pub held: &'a [Seen],
    /// The files beside it that are named as its predecessors would be, see [`is_rotated_name`].
    pub siblings: &'a [Seen],
}

impl Look<'_> {
    fn find(&self, id: FileId) -> Option<&Seen> {
        self.held.iter().chain(self.at_path).chain(self.siblings).find(|seen| seen.id == id)
    }
}

/// Why a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was read before, and is read on.
    GoesOn,
    /// It is a copy of one that was truncated before all of it was read.
    Copy,
    /// It came and was rotated away between two looks.
    Missed,
    /// It was truncated, and is read from its start.
    StartedOver,
    /// It is new at the path.
    New,
    /// It was there before anybody looked, and is read from its end.
    FromEnd,
}

/// What is read next of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The file.
    pub id: FileId,
    /// From where.
    pub from: u64,
    /// Why.
    pub why: Why,
}

/// What cannot be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The file was truncated, and what stood behind this offset is in no copy.
    Truncated {
        /// Bytes that had been read.
        offset: u64,
    },
    /// The file is gone, and what may have stood behind this offset with it.
    Gone {
        /// Bytes that had been read.
        offset: u64,
    },
    /// So many files were rotated away at once that this one is not read further.
    TooMany {
        /// Bytes that had been read.
        offset: u64,
    },
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated { offset } => write!(
                f,
                "was truncated and no copy of it was found: lines behind byte {offset}, if there were any, are lost; rotate \
                 by renaming (logrotate without `copytruncate`), or without `compress` at once (`delaycompress`)"
            ),
            Self::Gone { offset } => write!(
                f,
                "is gone while nobody looked: lines behind byte {offset}, if there were any, are lost; let logrotate use \
                 `delaycompress`"
            ),
            Self::TooMany { offset } => {
                write!(f, "was rotated more than {MOST_MARKS} times at once: lines behind byte {offset} are lost")
            }
        }
    }
}

/// What is read, in this order, and what is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    /// The files, the oldest first; the one at the path is last.
    pub readings: Vec<Reading>,
    /// What cannot be read.
    pub lost: Vec<Lost>,
    /// Whether a file may be the beginning of a copy that is being made: the next look is to be as if this one had not been.
    pub is_unsettled: bool,
}

/// What a file that is at a path that was not followed before is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Its start: it came after somebody began to look.
    FromStart,
    /// Its end: it was there before.
    FromEnd,
}

/// What to read after a look. `looked_at` is when the last look was.
///
/// Nothing is read twice, and nothing is left out that still is in a file under one of the names:
/// - A file that has all that was read of it is read on, under whichever name.
/// - In the place of one that was truncated comes its copy, if there is one, from where the original was read to; then
///   the file from its start.
/// - A file beside the path that was made since the last look, and is no copy, was missed and is read from its start.
/// - A new file at the path is read from its start, the first one of all as `unknown` says.
pub fn plan(marks: &[Mark], looked_at: Option<Timestamp>, unknown: Unknown, look: &Look<'_>) -> Plan {
    let mut plan = Plan::default();
    let found = Found { marks, look };
    let mut started_over = Vec::new();
    for mark in marks {
        if look.find(mark.id).is_some_and(|seen| found.is_still(mark, seen)) {
            plan.readings.push(Reading { id: mark.id, from: mark.offset, why: Why::GoesOn });
            continue;
        }
        let is_truncated = found.is_certain(mark.id);
        let is_elsewhere = look.siblings.iter().any(|seen| seen.id == mark.id);
        let copies = look.siblings.iter().filter(|seen| !found.is_known(seen) && mark.is_copied_by(seen));
        if let Some(copy) = copies.max_by_key(|seen| seen.size) {
            plan.readings.push(Reading { id: copy.id, from: mark.offset, why: Why::Copy });
        } else if is_truncated {
            plan.lost.push(Lost::Truncated { offset: mark.offset });
        } else if !mark.is_closed {
            plan.lost.push(Lost::Gone { offset: mark.offset });
        }
        // If it was rotated away after that, see what was missed. One that was rotated away before is some other file's
        // copy now: no server goes back to it.
        let is_at_path = look.at_path.is_some_and(|seen| seen.id == mark.id);
        if is_at_path || is_truncated && !is_elsewhere && found.was_current(mark.id) {
            started_over.push(Reading { id: mark.id, from: 0, why: Why::StartedOver });
        }
    }
    if let Some(looked_at) = looked_at {
        found.add_missed(looked_at, &mut plan);
    }
    plan.readings.extend(started_over);

    if let Some(at_path) = look.at_path {
        let known = plan.readings.iter().position(|reading| reading.id == at_path.id);
        let last = match known {
            Some(known) => plan.readings.remove(known),
            None if marks.is_empty() && unknown == Unknown::FromEnd => {
                Reading { id: at_path.id, from: at_path.size, why: Why::FromEnd }
            }
            None => Reading { id: at_path.id, from: 0, why: Why::New },
        };
        plan.readings.push(last);
    }
    forget_beyond(&mut plan, marks, look);
    plan
}

/// What a look found, beside what is known.
#[derive(Clone, Copy)]
struct Found<'a> {
    marks: &'a [Mark],
    look: &'a Look<'a>,
}

impl Found<'_> {
    /// Whether a number is surely that of the file it was: of one that is open it is, and one at the path is taken up in
    /// any case. Otherwise it may have been given anew.
    fn is_certain(&self, id: FileId) -> bool {
        self.look.held.iter().chain(self.look.at_path).any(|seen| seen.id == id)
    }

    /// Whether it was the file at the path at the last look.
    fn was_current(&self, id: FileId) -> bool {
        self.marks.last().is_some_and(|mark| mark.id == id)
    }

    /// Whether a mark's file is this one, and all that was read of it still stands. Of what nothing was read, a copy of
    /// another that was given its number could be taken for it.
    fn is_still(&self, mark: &Mark, seen: &Seen) -> bool {
        let is_told = mark.fingerprint.is_telling() || self.is_certain(mark.id) || !self.is_copy(seen);
        mark.is_of(seen) && is_told
    }

    /// Whether it is the file of a mark, or is at the path.
    fn is_known(&self, seen: &Seen) -> bool {
        let mut own = self.marks.iter().filter(|mark| mark.id == seen.id);
        let is_at_path = self.look.at_path.is_some_and(|at_path| at_path.id == seen.id);
        own.any(|mark| is_at_path || self.is_still(mark, seen))
    }

    /// Whether it is a copy of a file that is read, be it only the beginning of one: by what was read of that and, as long
    /// as it is there, by what is in it.
    fn is_copy(&self, seen: &Seen) -> bool {
        let is_told = |mark: &Mark| mark.fingerprint.is_telling() && mark.fingerprint.begins(&seen.head);
        let mut originals = self.look.held.iter().chain(self.look.at_path).filter(|original| original.id != seen.id);
        self.marks.iter().any(|mark| mark.id != seen.id && is_told(mark))
            || originals.any(|original| original.size >= seen.size && is_same_beginning(&original.head, &seen.head))
    }

    /// Adds files that came and went between two looks, the oldest first.
    fn add_missed(&self, looked_at: Timestamp, plan: &mut Plan) {
        let since = looked_at.checked_sub(TICK).unwrap_or(looked_at);
        // The one that was at the path, and is not what it was, was truncated and then rotated away, or made anew.
        let is_held = |seen: &Seen| self.look.held.iter().any(|held| held.id == seen.id);
        let is_news =
            |seen: &Seen| self.was_current(seen.id) || seen.born.is_some_and(|born| born >= since) && !is_held(seen);
        let is_taken = |seen: &Seen| {
            plan.readings.iter().any(|reading| reading.id == seen.id)
                || self.look.at_path.is_some_and(|at_path| at_path.id == seen.id)
        };
        let news = self.look.siblings.iter().filter(|seen| is_news(seen) && !is_taken(seen) && !self.is_known(seen));
        let young = self.look.now.checked_sub(COPYING).unwrap_or(looked_at);
        let is_young = |seen: &Seen| seen.born.is_some_and(|born| born >= young);
        // An empty file is nothing's copy, or not yet.
        let (copies, mut missed): (Vec<&Seen>, Vec<&Seen>) =
            news.partition(|seen| self.is_copy(seen) || seen.size == 0 && is_young(seen));
        missed.sort_by_key(|seen| (seen.born, seen.id));
        plan.is_unsettled = copies.into_iter().any(is_young);
        plan.readings.extend(missed.into_iter().map(|seen| Reading { id: seen.id, from: 0, why: Why::Missed }));
    }
}

fn is_same_beginning(one: &[u8], other: &[u8]) -> bool {
    let shared = one.len().min(other.len());
    shared > 0 && one.get(..shared) == other.get(..shared)
}

/// Forgets files beyond [`MOST_MARKS`]: those that nothing more is expected of, those that were read to their end, the oldest.
fn forget_beyond(plan: &mut Plan, marks: &[Mark], look: &Look<'_>) {
    let is_closed = |reading: &Reading| {
        reading.why == Why::GoesOn && marks.iter().any(|mark| mark.id == reading.id && mark.is_closed)
    };
    let is_read = |reading: &Reading| look.find(reading.id).is_none_or(|seen| seen.size <= reading.from);
    while plan.readings.len() > MOST_MARKS {
        let current = plan.readings.len() - 1;
        let before = plan.readings.get(..current).unwrap_or_default();
        match before.iter().position(is_closed).or_else(|| before.iter().position(is_read)) {
            Some(done) => drop(plan.readings.remove(done)),
            None => plan.lost.push(Lost::TooMany { offset: plan.readings.remove(0).from }),
        }
    }
}

/// Whether a file of this name was once called `base`, by the habits of those who rotate: `access.log.1`,
/// `access.log-20261128`, `access.log.old`, `access.1.log`, `access-20261128.log`; not if it is compressed.
pub fn is_rotated_name(base: &str, name: &str) -> bool {
    let has_extension = || {
        let (stem, extension) = base.rsplit_once('.')?;
        let middle = name.strip_prefix(stem)?.strip_suffix(extension)?.strip_suffix('.')?;
        Some(is_generation(middle))
    };
    is_appended_name(base, name) || has_extension().unwrap_or(false)
}

/// Whether a file of this name was once called `base`, with something put behind the whole name.
pub fn is_appended_name(base: &str, name: &str) -> bool {
    name.strip_prefix(base).is_some_and(|rest| rest == ".old" || is_generation(rest))
}

/// `.1`, `-20261128`, `-2026-11-28T00:00`.
fn is_generation(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| matches!(first, b'.' | b'-' | b'_'))
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && bytes.all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'T'))
}

/// Whether a file's name says that it is compressed.
pub fn is_compressed_name(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["gz", "bz2", "xz", "zst", "lz4", "lzma", "z", "Z", "zip", "br"].contains(&extension)
}

/// Whether a line is of the past, and is no reason to deny anybody any more.
///
/// A line is, if it was already in its file when the file was taken up (at start, or when it was found after a rotation)
/// and its own time is more than `limit` before it was read, or is not known. Lines written while the file was followed
/// never are, whatever time they say: a clock or time zone that is wrong must not make the daemon blind.
pub fn is_history(is_catch_up: bool, own_time: Option<Timestamp>, read_at: Timestamp, limit: SignedDuration) -> bool {
    is_catch_up && own_time.is_none_or(|time| read_at.duration_since(time) > limit)
}
