//! List files: bytes in, prefixes and refused lines out.
//!
//! A line is taken only if all of it is understood. What is refused is data, not an error: the caller decides whether
//! the rest may go in.
mod never_block;
mod prefix;

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::never_block::{NeverBlockError, parse_never_block};
use self::prefix::Taken;
pub use self::prefix::{PrefixError, parse_prefix};

/// Longest line that is looked at. The longest prefix has 49 characters; the rest is for comments.
pub const LONGEST_LINE: usize = 1024;

/// Refused lines whose text is kept; all are counted.
pub const REJECTS_KEPT: usize = 1_000;

/// Characters of a refused line that are shown.
pub const REJECT_TEXT: usize = 80;

/// Data lines that [`Format::Auto`] looks at.
const SAMPLED_LINES: usize = 32;

/// How a list file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Whichever of the others most of the first lines are.
    #[default]
    Auto,
    /// One address or prefix a line; `#` and `;` start a comment, at the line's start or after white space.
    Plain,
    /// Address, tab, number of lists that name it; `#` starts a comment line.
    Ipsum,
}

impl Format {
    /// Its name, as [`Format::from_str`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Plain => "plain",
            Self::Ipsum => "ipsum",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("format {0:?} is not known; the formats are auto, plain and ipsum")]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let known = [Self::Auto, Self::Plain, Self::Ipsum].into_iter().find(|format| format.name() == text);
        known.ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// A refused line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// Its number, from 1.
    pub line: usize,
    /// How it begins, safe to print: at most [`REJECT_TEXT`] characters, control characters escaped.
    pub text: String,
    /// Why it is refused.
    pub why: String,
}

/// What a list file holds. `entries.len() + rejected + skipped == lines`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// How it was read; never [`Format::Auto`].
    pub format: Format,
    /// What was taken, in the file's order, host bits cleared; doubles are kept.
    pub entries: Vec<IpNet>,
    /// The first [`REJECTS_KEPT`] refused lines.
    pub rejects: Vec<Reject>,
    /// How many lines were refused.
    pub rejected: usize,
    /// Blank lines and comments.
    pub skipped: usize,
    /// Lines in all.
    pub lines: usize,
    /// Entries whose host bits were set and have been cleared.
    pub normalised: usize,
}

/// Why a line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum LineError {
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    #[error("longer than {LONGEST_LINE} bytes")]
    TooLong,
    #[error("holds a carriage return; lines end with LF or CRLF")]
    CarriageReturn,
    #[error("more than an address or prefix on the line; a comment starts with # or ;")]
    Trailing,
    #[error("not an address, a tab and a count")]
    NotIpsum,
    #[error("the count after the tab is not a whole number")]
    NotACount,
    #[error("a prefix where the format has single addresses")]
    PrefixInIpsum,
}

/// Reads a list file. Never fails: what is not understood is among the rejects.
///
/// Takes memory for the entries and a bounded number of rejects, so the size of `bytes` is the caller's to bound.
pub fn parse(bytes: &[u8], format: Format) -> Parsed {
    parse_admitted(bytes, format, |_| Ok::<(), Infallible>(()))
}

/// As [`parse`], where `admit` may refuse an entry that is understood: its line is then a reject like any other, with
/// its number, its text and the refusal as the reason.
pub fn parse_admitted<E: fmt::Display>(
    bytes: &[u8],
    format: Format,
    mut admit: impl FnMut(IpNet) -> Result<(), E>,
) -> Parsed {
    let format = match format {
        Format::Auto => detect(bytes),
        Format::Plain | Format::Ipsum => format,
    };
    let read = reader(format);
    let mut parsed =
        Parsed { format, entries: Vec::new(), rejects: Vec::new(), rejected: 0, skipped: 0, lines: 0, normalised: 0 };
    for line in lines(bytes) {
        parsed.lines += 1;
        match data(line).and_then(read) {
            Ok(Some(taken)) => match admit(taken.prefix) {
                Ok(()) => {
                    parsed.entries.push(taken.prefix);
                    parsed.normalised += usize::from(taken.normalised);
                }
                Err(refusal) => parsed.reject(line, &refusal),
            },
            Ok(None) => parsed.skipped += 1,
            Err(error) => parsed.reject(line, &error),
        }
    }
    parsed
}

impl Parsed {
    /// Counts the current line as refused and, while there are few, keeps what it was.
    fn reject(&mut self, line: &[u8], why: &impl fmt::Display) {
        self.rejected += 1;
        if self.rejects.len() < REJECTS_KEPT {
            self.rejects.push(Reject { line: self.lines, text: printable(line), why: why.to_string() });
        }
    }
}

/// A line, its end and the file's byte order mark cut off.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // The last line feed ends a line, it starts none.
    let ended = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let none = bytes.is_empty();
    ended.split(|b| *b == b'\n').filter(move |_| !none).map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The line without the white space around it, if it is one that may be looked at.
fn data(line: &[u8]) -> Result<&[u8], LineError> {
    let start = line.get(..LONGEST_LINE).unwrap_or(line);
    // Before comments are skipped: in a file whose lines end with CR alone, a first comment would swallow all the rest.
    if start.contains(&b'\r') {
        return Err(LineError::CarriageReturn);
    }
    if line.len() > LONGEST_LINE {
        return Err(LineError::TooLong);
    }
    Ok(trim(line))
}

fn trim(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    line
}

/// Reads one trimmed line; `None` for blank ones and comments.
type Reader = fn(&[u8]) -> Result<Option<Taken>, LineError>;

fn reader(format: Format) -> Reader {
    match format {
        Format::Auto | Format::Plain => plain,
        Format::Ipsum => ipsum,
    }
}

fn plain(line: &[u8]) -> Result<Option<Taken>, LineError> {
    if matches!(line, [] | [b'#' | b';', ..]) {
        return Ok(None);
    }
    let end = line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
    let (field, rest) = line.split_at(end);
    let taken = prefix::take(field)?;
    if !matches!(trim(rest), [] | [b'#' | b';', ..]) {
        return Err(LineError::Trailing);
    }
    Ok(Some(taken))
}

fn ipsum(line: &[u8]) -> Result<Option<Taken>, LineError> {
    if matches!(line, [] | [b'#', ..]) {
        return Ok(None);
    }
    let tab = line.iter().position(|b| *b == b'\t').ok_or(LineError::NotIpsum)?;
    let (field, count) = line.split_at(tab);
    let taken = prefix::take(field)?;
    if field.contains(&b'/') {
        return Err(LineError::PrefixInIpsum);
    }
    match count {
        [_, count @ ..] if !count.is_empty() && count.iter().all(u8::is_ascii_digit) => Ok(Some(taken)),
        _ => Err(LineError::NotACount),
    }
}

/// The format that takes more of the first data lines; plain, where both take as many.
fn detect(bytes: &[u8]) -> Format {
    let (mut as_plain, mut as_ipsum) = (0, 0);
    let candidates = lines(bytes).filter(|line| !matches!(trim(line), [] | [b'#' | b';', ..]));
    for line in candidates.take(SAMPLED_LINES) {
        as_plain += usize::from(matches!(data(line).and_then(plain), Ok(Some(_))));
        as_ipsum += usize::from(matches!(data(line).and_then(ipsum), Ok(Some(_))));
    }
    if as_ipsum > as_plain { Format::Ipsum } else { Format::Plain }
}

/// How a line begins, safe to print on a terminal and to write into a log.
fn printable(line: &[u8]) -> String {
    // No character takes more than four bytes; one may be cut at the end, which is shown as what it then is.
    let start = line.get(..REJECT_TEXT * 4).unwrap_or(line);
    let text = String::from_utf8_lossy(start);
    let mut shown = String::new();
    for c in text.chars().take(REJECT_TEXT) {
        // Direction marks and the like are no control characters and yet rearrange a terminal's line.
        if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests;
