//! Several files as one stream of events, in the order of time.
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::lines::Lines;
use crate::causes::chain;
use crate::domain::http::event::Event;
use crate::domain::http::line::{Choice, Context, Line, Reader, ReaderError};
use crate::domain::report::LogInput;

/// Lines in which the first time of a file is looked for.
const LOOKED_AT: usize = 1_000;

/// A file before it is opened.
struct Waiting {
    at: usize,
    first: Timestamp,
}

/// One file.
struct Input<'a> {
    path: PathBuf,
    reader: Reader,
    context: Context,
    lines: Option<Lines<'a>>,
    /// The latest time in it so far: a line whose clock was behind does not hold the others up.
    latest: Timestamp,
    /// Its next event.
    head: Option<Box<Event>>,
    row: LogInput,
}

/// Events of all files. A file is opened when the others have come to its first time, so that of a set that was rotated
/// only one or two are open at once.
pub(crate) struct Merged<'a> {
    inputs: Vec<Input<'a>>,
    /// The last is the next to be opened.
    waiting: Vec<Waiting>,
    open: BinaryHeap<Reverse<(Timestamp, usize)>>,
    line: Vec<u8>,
}

impl<'a> Merged<'a> {
    /// The events of these files, `-` being standard input. A line that does not say its year or zone is taken to have been
    /// written before the file was last changed, or `now`, and in `zone`.
    ///
    /// # Errors
    /// Lines cannot be read as chosen.
    pub(crate) fn new(
        files: &[PathBuf],
        choice: &Choice,
        zone: &TimeZone,
        now: Timestamp,
        mut stdin: impl FnMut() -> Box<dyn Read + 'a>,
    ) -> Result<Self, ReaderError> {
        let mut merged = Self::none();
        for (at, path) in files.iter().enumerate() {
            let is_stdin = path == Path::new("-");
            let context = Context { received: if is_stdin { now } else { changed(path, now) }, zone: zone.clone() };
            let mut input = Input::new(path, choice, context)?;
            // What is no file can be read only once, so nobody looks into it beforehand.
            let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file());
            let mut first = Timestamp::MIN;
            if is_stdin {
                input.opened(Lines::of(stdin()));
            } else if is_file && files.len() > 1 {
                first = first_time(path, Reader::new(choice)?, &input.context).unwrap_or(Timestamp::MIN);
            }
            merged.inputs.push(input);
            merged.waiting.push(Waiting { at, first });
        }
        merged.waiting.sort_by_key(|waiting| Reverse((waiting.first, waiting.at)));
        Ok(merged)
    }

    /// The events of one file that is open already, until `end`.
    ///
    /// # Errors
    /// Lines cannot be read as chosen.
    pub(crate) fn of_file(
        path: &Path,
        file: File,
        choice: &Choice,
        zone: &TimeZone,
        now: Timestamp,
        end: Instant,
    ) -> Result<Self, ReaderError> {
        let context = Context { received: changed(path, now), zone: zone.clone() };
        let mut input = Input::new(path, choice, context)?;
        input.opened(Lines::of(file).map(|lines| lines.until(end)));
        let mut merged = Self::none();
        merged.inputs.push(input);
        merged.waiting.push(Waiting { at: 0, first: Timestamp::MIN });
        Ok(merged)
    }

    fn none() -> Self {
        Self { inputs: Vec::new(), waiting: Vec::new(), open: BinaryHeap::new(), line: Vec::new() }
    }

    /// The next event, and the number of its file.
    pub(crate) fn next(&mut self) -> Option<Box<Event>> {
        loop {
            let next = self.open.peek().map(|Reverse((time, _))| *time);
            let is_due = |waiting: &Waiting| next.is_none_or(|next| waiting.first <= next);
            let Some(waiting) = self.waiting.pop_if(|waiting| is_due(waiting)) else { break };
            if let Some(input) = self.inputs.get_mut(waiting.at)
                && let Some(time) = input.advance(&mut self.line)
            {
                self.open.push(Reverse((time, waiting.at)));
            }
        }
        let mut first = self.open.peek_mut()?;
        let input = self.inputs.get_mut(first.0.1)?;
        let event = input.head.take();
        match input.advance(&mut self.line) {
            // In place: where one file is open, nothing moves.
            Some(time) => first.0.0 = time,
            None => {
                std::collections::binary_heap::PeekMut::pop(first);
            }
        }
        event
    }

    /// What was read, file by file.
    pub(crate) fn rows(self) -> Vec<LogInput> {
        let row = |mut input: Input<'_>| {
            let formats: Vec<_> = input.reader.formats().iter().map(|format| format.name()).collect();
            input.row.format = if formats.is_empty() { "unknown".to_owned() } else { formats.join(", ") };
            input.row
        };
        self.inputs.into_iter().map(row).collect()
    }
}

impl<'a> Input<'a> {
    fn new(path: &Path, choice: &Choice, context: Context) -> Result<Self, ReaderError> {
        Ok(Self {
            path: path.to_owned(),
            reader: Reader::new(choice)?,
            context,
            lines: None,
            latest: Timestamp::MIN,
            head: None,
            row: LogInput { file: path.display().to_string(), ..LogInput::default() },
        })
    }

    fn opened(&mut self, lines: std::io::Result<Lines<'a>>) {
        match lines {
            Ok(lines) => self.lines = Some(lines),
            Err(error) => self.row.problem = Some(chain(&error)),
        }
    }

    /// Reads on to the next event: the time it stands at.
    fn advance(&mut self, line: &mut Vec<u8>) -> Option<Timestamp> {
        if self.lines.is_none() && self.row.lines == 0 && self.row.problem.is_none() {
            let lines = Lines::open(&self.path);
            self.opened(lines);
        }
        let lines = self.lines.as_mut()?;
        loop {
            match lines.next(line) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.row.problem = Some(format!("read on: {}", chain(&error)));
                    break;
                }
            }
            self.row.lines += 1;
            match self.reader.read(line, &self.context) {
                Line::Event(event) => {
                    self.row.parsed += 1;
                    self.latest = self.latest.max(event.time);
                    self.head = Some(event);
                    return Some(self.latest);
                }
                Line::Unparsed(why) => {
                    let reason = why.name();
                    if !self.row.unparsed.contains_key(reason) {
                        self.row.unparsed.insert(reason.to_owned(), crate::domain::report::Unparsed::default());
                    }
                    if let Some(unparsed) = self.row.unparsed.get_mut(reason) {
                        unparsed.note(self.row.lines);
                    }
                }
                Line::Nothing => {}
            }
        }
        self.lines = None;
        None
    }
}

/// When a file was last changed.
fn changed(path: &Path, now: Timestamp) -> Timestamp {
    let changed = path.metadata().and_then(|metadata| metadata.modified());
    changed.ok().and_then(|changed| Timestamp::try_from(changed).ok()).unwrap_or(now)
}

/// The time of a file's first event.
fn first_time(path: &Path, mut reader: Reader, context: &Context) -> Option<Timestamp> {
    let mut lines = Lines::open(path).ok()?;
    let mut line = Vec::new();
    for _ in 0..LOOKED_AT {
        if !lines.next(&mut line).ok()? {
            break;
        }
        if let Line::Event(event) = reader.read(&line, context) {
            return Some(event.time);
        }
    }
    None
}

#[cfg(test)]
mod tests;
