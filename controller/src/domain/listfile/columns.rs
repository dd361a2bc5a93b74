//! Separated columns, one of which holds addresses.
use std::io;

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::collect::{Collector, RecordError, printable};
use super::{prefix, text};

/// Longest record, in bytes: texts in quotes go over lines, and one whose quote is never closed would take the rest of
/// the file.
const LONGEST_RECORD: usize = 64 * 1024;

/// Records that are looked at to find the column.
const SAMPLED: usize = 32;

/// Columns that are looked at.
const MOST_COLUMNS: usize = 64;

/// What separates columns, the commonest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Which column is to be read, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    delimiter: u8,
    column: usize,
    /// Whether the first record names the columns.
    header: bool,
    /// Columns that hold addresses.
    pub(super) candidates: usize,
}

pub(super) fn read(bytes: &[u8], sink: &mut Collector<'_>) {
    // A comment would go on to the end of such a file.
    if !bytes.contains(&b'\n') && bytes.contains(&b'\r') {
        sink.unfit("lines end with a carriage return alone; they must end with LF or CRLF");
    }
    let layout = match sink.reading.column.as_deref() {
        Some(name) => named(bytes, name),
        None => found(bytes),
    };
    let Some(layout) = layout else {
        let why = match sink.reading.column.as_deref() {
            Some(name) => format!("no column is named {:?}", printable(name.as_bytes())),
            None => "no column holds addresses".to_owned(),
        };
        // Comments alone are an empty list.
        if sink.reading.column.is_some() || first(bytes, b',').is_some() {
            sink.unfit(why);
        }
        return count_lines(bytes, sink);
    };
    let mut reader = reader(bytes, layout.delimiter);
    let mut record = ByteRecord::new();
    let mut last = 0;
    let mut is_header = layout.header;
    loop {
        let start = position(&reader);
        match next(&mut reader, &mut record) {
            Ok(true) => last = start,
            Ok(false) => break,
            Err(_) => {
                sink.unfit("a record of more than 64 KiB, as of a quote that is never closed");
                break;
            }
        }
        sink.begin_at(line(&reader, bytes));
        if std::mem::take(&mut is_header) {
            sink.skip();
            continue;
        }
        let Some(field) = record.get(layout.column).map(<[u8]>::trim_ascii) else {
            sink.reject(record.as_slice(), RecordError::Syntax("the column with the address is missing"));
            continue;
        };
        match prefix::take(field) {
            Ok(taken) => sink.take(taken, field),
            Err(error) => sink.reject(field, error.into()),
        }
    }
    // Quotes come in pairs, those within a text too.
    let is_open = bytes_from(bytes, last).iter().fold(false, |open, b| open != (*b == b'"'));
    if is_open {
        sink.unfit("cut off: the last record ends inside a quoted text");
    }
}

/// Counts every line of a file whose column is not found as refused: none of it is read.
fn count_lines(bytes: &[u8], sink: &mut Collector<'_>) {
    for line in text::lines(bytes) {
        sink.begin();
        match text::trim(line) {
            [] | [b'#', ..] => sink.skip(),
            _ => sink.reject(line, RecordError::Syntax("the column with the address is not known")),
        }
    }
}

/// The layout of a file whose addresses stand in the column of this name.
///
/// The names are the first record, or the last comment before it.
fn named(bytes: &[u8], name: &str) -> Option<Layout> {
    let is_name = |field: &[u8]| field.trim_ascii().eq_ignore_ascii_case(name.trim().as_bytes());
    let comment = text::lines(bytes).take_while(|line| matches!(text::trim(line), [] | [b'#', ..])).last();
    let comment = comment.map(text::trim).and_then(|line| line.strip_prefix(b"#"));
    DELIMITERS.into_iter().find_map(|delimiter| {
        let at = |record: &ByteRecord| record.iter().position(is_name);
        if let Some(column) = first(bytes, delimiter).as_ref().and_then(at) {
            return Some(Layout { delimiter, column, header: true, candidates: 1 });
        }
        let names = first(text::trim(comment?), delimiter)?;
        // A comment of one word is no row of names.
        let column = at(&names).filter(|_| names.len() > 1)?;
        Some(Layout { delimiter, column, header: false, candidates: 1 })
    })
}

/// The layout of a file by the first column that holds addresses in most of its first records.
pub(super) fn found(bytes: &[u8]) -> Option<Layout> {
    DELIMITERS.into_iter().find_map(|delimiter| {
        let mut reader = reader(bytes, delimiter);
        let mut record = ByteRecord::new();
        let mut addresses = [0usize; MOST_COLUMNS];
        let (mut records, mut header, mut several) = (0usize, false, false);
        while records < SAMPLED && matches!(next(&mut reader, &mut record), Ok(true)) {
            several |= record.len() > 1;
            let is_address = |field: &[u8]| prefix::take(field.trim_ascii()).is_ok();
            if records == 0 && !header && !record.iter().any(is_address) && names_columns(&record) {
                header = true;
                continue;
            }
            records += 1;
            for (count, field) in addresses.iter_mut().zip(&record) {
                *count += usize::from(is_address(field));
            }
        }
        let holds = |count: &usize| *count * 2 > records;
        let column = addresses.iter().position(holds).filter(|_| several)?;
        let candidates = addresses.iter().filter(|count| holds(count)).count();
        Some(Layout { delimiter, column, header, candidates })
    })
}

/// Whether a first record without any address is one of names: words, not broken addresses.
fn names_columns(record: &ByteRecord) -> bool {
    record.iter().all(|field| field.first().is_none_or(|b| !b.is_ascii_digit()))
}

/// The first record.
fn first(bytes: &[u8], delimiter: u8) -> Option<ByteRecord> {
    let mut record = ByteRecord::new();
    matches!(next(&mut reader(bytes, delimiter), &mut record), Ok(true)).then_some(record)
}

/// Bytes that end with an error once a record has taken too many.
struct Bounded<'b> {
    rest: &'b [u8],
    left: usize,
}

impl io::Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.rest.is_empty() {
            return Err(io::Error::other("record too long"));
        }
        let most = buffer.len().min(self.left);
        let read = io::Read::read(&mut self.rest, buffer.get_mut(..most).unwrap_or_default())?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

fn reader(bytes: &[u8], delimiter: u8) -> Reader<Bounded<'_>> {
    let bounded = Bounded { rest: text::unmarked(bytes), left: LONGEST_RECORD };
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).comment(Some(b'#')).delimiter(delimiter);
    builder.from_reader(bounded)
}

/// Reads one record; `false` at the end.
fn next(reader: &mut Reader<Bounded<'_>>, record: &mut ByteRecord) -> Result<bool, csv::Error> {
    reader.get_mut().left = LONGEST_RECORD;
    reader.read_byte_record(record)
}

/// Where the reader stands, in bytes behind the mark.
fn position(reader: &Reader<Bounded<'_>>) -> usize {
    usize::try_from(reader.position().byte()).unwrap_or(usize::MAX)
}

/// The line on which the record ends that was just read.
fn line(reader: &Reader<Bounded<'_>>, bytes: &[u8]) -> u64 {
    let at = position(reader);
    let ended = at.checked_sub(1).and_then(|last| text::unmarked(bytes).get(last)) == Some(&b'\n');
    reader.position().line().saturating_sub(u64::from(ended))
}

fn bytes_from(bytes: &[u8], start: usize) -> &[u8] {
    text::unmarked(bytes).get(start..).unwrap_or_default()
}
