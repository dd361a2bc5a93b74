//! Lists of one address a line.
use super::collect::{Collector, RecordError};
use super::prefix::{self, Taken};
use super::{Item, LONGEST_LINE};

/// Lines, their ends and the file's byte order mark cut off.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bytes = unmarked(bytes);
    // The last line feed ends a line, it starts none.
    let ended = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let none = bytes.is_empty();
    ended.split(|b| *b == b'\n').filter(move |_| !none).map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The bytes without a byte order mark before them.
pub(super) fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The line without the white space around it, if it is one that may be looked at.
pub(super) fn data(line: &[u8]) -> Result<&[u8], RecordError> {
    let start = line.get(..LONGEST_LINE).unwrap_or(line);
    // Before comments are skipped: in a file whose lines end with CR alone, a first comment would swallow all the rest.
    if start.contains(&b'\r') {
        return Err(RecordError::CarriageReturn);
    }
    if line.len() > LONGEST_LINE {
        return Err(RecordError::TooLong);
    }
    Ok(trim(line))
}

/// The line without the blanks around it.
pub(super) fn trim(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    line
}

/// Its words.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// A whole number without a sign; the largest where it does not fit.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// One address or prefix a line.
pub(super) fn plain(bytes: &[u8], sink: &mut Collector<'_>) {
    for line in lines(bytes) {
        sink.begin();
        match data(line).and_then(plain_line) {
            Ok(Some(taken)) => sink.take(taken, line),
            Ok(None) => {
                if let Some(records) = counted(line) {
                    sink.declare(records);
                }
                sink.skip();
            }
            Err(error) => sink.reject(line, error),
        }
    }
}

/// Reads one trimmed line; `None` for blank ones and comments.
pub(super) fn plain_line(line: &[u8]) -> Result<Option<Taken>, RecordError> {
    if matches!(line, [] | [b'#' | b';', ..]) {
        return Ok(None);
    }
    let end = line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
    let (field, rest) = line.split_at(end);
    let taken = prefix::take(field)?;
    if !matches!(trim(rest), [] | [b'#' | b';', ..]) {
        return Err(RecordError::Syntax("more than an address or prefix on the line; a comment starts with # or ;"));
    }
    Ok(Some(taken))
}

/// The number of entries in a comment of `FireHOL`'s headers: `# Entries : 1600 subnets, 9000 unique IPs`, or without the
/// subnets where all are single addresses.
fn counted(comment: &[u8]) -> Option<u64> {
    let text = trim(comment.strip_prefix(b"#")?).strip_prefix(b"Entries")?;
    let mut words = words(trim(text).strip_prefix(b":")?);
    let records = number(words.next()?)?;
    matches!(words.next(), None | Some(b"subnets," | b"subnets" | b"unique" | b"IPs")).then_some(records)
}

/// An address and a count a line.
pub(super) fn ipsum(bytes: &[u8], sink: &mut Collector<'_>) {
    let mut last_refused = false;
    for line in lines(bytes) {
        sink.begin();
        let read = data(line).and_then(ipsum_line);
        last_refused = read.is_err();
        match read {
            Ok(Some((taken, score))) => {
                let Taken { prefix, normalised } = taken;
                sink.item(&Item { prefix, normalised, score: Some(score), for_s: None }, line);
            }
            Ok(None) => sink.skip(),
            Err(error) => sink.reject(line, error),
        }
    }
    cut(bytes, last_refused, sink);
}

/// Reads one trimmed line; `None` for blank ones and comments. A count that does not fit is the largest.
pub(super) fn ipsum_line(line: &[u8]) -> Result<Option<(Taken, u32)>, RecordError> {
    const NOT_IPSUM: RecordError = RecordError::Syntax("not an address, a tab and a count");
    if matches!(line, [] | [b'#', ..]) {
        return Ok(None);
    }
    let tab = line.iter().position(|b| *b == b'\t').ok_or(NOT_IPSUM)?;
    let (field, count) = line.split_at(tab);
    let taken = prefix::take(field)?;
    if field.contains(&b'/') {
        return Err(RecordError::Syntax("a prefix where the format has single addresses"));
    }
    let count = count.get(1..).and_then(number);
    let count = count.ok_or(RecordError::Syntax("the count after the tab is not a whole number"))?;
    Ok(Some((taken, u32::try_from(count).unwrap_or(u32::MAX))))
}

/// Says that a file is cut off, if its last line has no end and is refused. For formats that programs write: they end
/// every line.
pub(super) fn cut(bytes: &[u8], last_refused: bool, sink: &mut Collector<'_>) {
    let several = bytes.contains(&b'\n');
    if last_refused && several && !bytes.ends_with(b"\n") {
        sink.unfit("cut off: the last line has no end and cannot be read");
    }
}
