//! One open file, and how far it was read.
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::READ_BYTES;
use super::open::{self, Opened};
use super::split::{self, How};
use crate::domain::http::follow::{FileId, Fingerprint, HEAD_BYTES, Mark, Reading, Seen, Why};

/// What part of the usual time a file that was deleted is kept open.
const DELETED: u32 = 10;

/// A file, and how far it was read.
#[derive(Debug)]
pub(super) struct Reader {
    id: FileId,
    born: Option<Timestamp>,
    /// `None`: nothing more is expected of it, or it is yet to be opened.
    file: Option<File>,
    is_closed: bool,
    /// The first line that was not read begins here.
    offset: u64,
    /// The first of the bytes that were read.
    head: Vec<u8>,
    fingerprint: Fingerprint,
    is_mid_line: bool,
    /// As last seen.
    stamp: Stamp,
    /// No whole line that was not read ends before.
    tried: u64,
    /// Lines that begin before were there when the file was taken up.
    caught_up_at: u64,
    quiet_since: Instant,
    /// A half line at its end is a line: nothing more is expected.
    is_ending: bool,
}

/// What tells that a file may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    size: u64,
    links: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Ok(Self { size: metadata.len(), links: metadata.nlink(), modified })
    }
}

/// What was read at once.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: Vec<Range<u32>>,
    pub(super) cut: u64,
    pub(super) skipped: u64,
    pub(super) is_catch_up: bool,
    /// Whether anything was used, be it without a line.
    pub(super) is_progress: bool,
}

impl Reader {
    /// What a mark says, of a file that is yet to be found.
    pub(super) fn unopened(mark: Mark) -> Self {
        Self {
            id: mark.id,
            born: mark.born,
            file: None,
            is_closed: mark.is_closed,
            offset: mark.offset,
            head: Vec::new(),
            fingerprint: mark.fingerprint,
            is_mid_line: false,
            stamp: Stamp::default(),
            tried: 0,
            caught_up_at: 0,
            quiet_since: Instant::now(),
            is_ending: false,
        }
    }

    /// The reader that a plan wants, from the one there was and the file that was opened.
    pub(super) fn taken_up(reading: Reading, known: Option<Self>, opened: Option<Opened>) -> Option<Self> {
        let from = reading.from;
        match (reading.why, known, opened) {
            (Why::GoesOn, Some(known), _) if known.file.is_some() => Some(known),
            (Why::GoesOn, known, None) => known,
            (Why::StartedOver, Some(Self { id, born, file: Some(file), .. }), _) => {
                let seen = Seen { id, size: 0, head: Vec::new(), born };
                Self::new(Opened { file, seen }, from).ok()
            }
            (_, _, Some(opened)) => Self::new(opened, from).ok(),
            (_, _, None) => None,
        }
    }

    /// A file as it was seen: whatever it has become since, a look is to find that.
    fn new(opened: Opened, offset: u64) -> io::Result<Self> {
        let Opened { file, seen } = opened;
        let Seen { id, size, mut head, born } = seen;
        head.truncate(usize::try_from(offset).unwrap_or(HEAD_BYTES));
        let mut before = [b'\n'];
        if let Some(at) = offset.checked_sub(1) {
            open::read_at(&file, &mut before, at)?;
        }
        let mark = Mark { id, born, offset, fingerprint: Fingerprint::of(&head), is_closed: false };
        let is_mid_line = before != *b"\n";
        let stamp = Stamp { size, ..Stamp::default() };
        Ok(Self { file: Some(file), head, is_mid_line, stamp, caught_up_at: size, ..Self::unopened(mark) })
    }

    pub(super) fn id(&self) -> FileId {
        self.id
    }

    pub(super) fn mark(&self) -> Mark {
        let Self { id, born, offset, fingerprint, is_closed, .. } = *self;
        Mark { id, born, offset, fingerprint, is_closed }
    }

    /// The first of the bytes that were read.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that are there and were not read.
    pub(super) fn lag(&self) -> u64 {
        if self.is_open() { self.stamp.size.saturating_sub(self.offset) } else { 0 }
    }

    pub(super) fn has_work(&self) -> bool {
        let end = self.stamp.size;
        self.is_open() && end > self.offset && (end > self.tried || self.is_ending)
    }

    /// How the open file is now.
    pub(super) fn seen(&self) -> Option<Seen> {
        open::see(self.file.as_ref()?).ok()
    }

    /// Looks how far the file has grown, and whether it still is the one that was read.
    pub(super) fn look(&mut self) -> bool {
        let Some(file) = &self.file else { return self.is_closed };
        let Ok(stamp) = Stamp::of(file) else {
            self.file = None;
            return false;
        };
        if stamp.size != self.stamp.size {
            self.quiet_since = Instant::now();
        }
        let is_same = stamp == self.stamp || !self.may_be_emptied(stamp) && self.is_intact(file, stamp, self.offset);
        self.stamp = stamp;
        if !is_same {
            self.tried = 0;
            self.caught_up_at = self.caught_up_at.min(stamp.size);
        }
        is_same
    }

    /// Whether what was never read of may have been in the file: there is nothing to tell its beginning by. Once it has
    /// grown, that it shrank tells.
    fn may_be_emptied(&self, stamp: Stamp) -> bool {
        self.offset == 0 && (self.stamp.size == 0 || stamp.size < self.stamp.size)
    }

    fn is_intact(&self, file: &File, stamp: Stamp, end: u64) -> bool {
        stamp.size >= end && open::head(file, self.head.len()).is_ok_and(|head| head == self.head)
    }

    /// Lets go of a file that was rotated away, once it has been quiet for long enough. Says whether it did.
    pub(super) fn let_go(&mut self, linger: Duration) -> bool {
        let linger = if self.stamp.links == 0 { linger / DELETED } else { linger };
        if !self.is_open() || self.has_work() || self.quiet_since.elapsed() < linger {
            return false;
        }
        if self.offset < self.stamp.size {
            self.is_ending = true;
            return false;
        }
        self.file = None;
        self.is_closed = true;
        true
    }

    /// Reads some lines. None, where it turns out to be another file by now: look again.
    ///
    /// # Errors
    /// The system call's; the file is closed then.
    pub(super) fn read(&mut self) -> io::Result<Part> {
        let read = self.try_read();
        if read.is_err() {
            self.file = None;
        }
        read
    }

    fn try_read(&mut self) -> io::Result<Part> {
        let Some(file) = &self.file else { return Ok(Part::default()) };
        let left = self.stamp.size.saturating_sub(self.offset);
        let mut bytes = vec![0; usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES))];
        let len = open::read_at(file, &mut bytes, self.offset)?;
        bytes.truncate(len);
        let end = self.offset.saturating_add(len as u64);
        // What was read belongs to the file that was looked at only if it is that still.
        if !self.is_intact(file, Stamp::of(file)?, end) {
            self.tried = self.stamp.size;
            return Ok(Part::default());
        }
        let is_catch_up = self.offset < self.caught_up_at;
        let border = self.caught_up_at.saturating_sub(self.offset);
        let until = if is_catch_up { usize::try_from(border).unwrap_or(usize::MAX) } else { usize::MAX };
        let is_last = self.is_ending && end >= self.stamp.size;
        let split = split::split(&bytes, How { is_mid_line: self.is_mid_line, until, is_last });
        self.advance(bytes.get(..split.used).unwrap_or_default());
        self.is_mid_line = split.is_mid_line;
        self.tried = if split.is_all { end } else { 0 };
        let is_progress = split.used > 0;
        Ok(Part { bytes, lines: split.lines, cut: split.cut, skipped: split.skipped, is_catch_up, is_progress })
    }

    fn advance(&mut self, used: &[u8]) {
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        if missing > 0 && !used.is_empty() {
            self.head.extend(used.iter().take(missing));
            self.fingerprint = Fingerprint::of(&self.head);
        }
        self.offset = self.offset.saturating_add(used.len() as u64);
    }
}
