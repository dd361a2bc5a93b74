//! Files of addresses that automatic decisions must not cross.
use ipnet::IpNet;
use jiff::Timestamp;
use serde::Deserialize;

use super::collect::printable;
use super::{Format, PrefixError, Reading, parse, parse_prefix};

/// Why a never-block file is refused. Unlike a deny list it is taken whole or not at all: a line lost here is somebody
/// cut off later.
#[derive(Debug, thiserror::Error)]
pub enum NeverBlockError {
    /// Begins like JSON and is none, or not a warninglist.
    #[error("not a MISP warninglist")]
    Json(#[from] serde_json::Error),
    /// A warninglist of something else than addresses.
    #[error("a MISP warninglist of type \"{found}\"; only those of type \"cidr\" hold addresses")]
    WrongType {
        /// Its type.
        found: String,
    },
    /// An entry of a warninglist is no prefix.
    #[error("entry {number} of {entries}, \"{text}\": {why}")]
    Entry {
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        entries: usize,
        /// How it begins.
        text: String,
        /// What is wrong with it.
        why: PrefixError,
    },
    /// A line of a plain list is no prefix.
    #[error("line {line}, \"{text}\": {why}; {rejected} of {lines} lines cannot be read")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// How it begins.
        text: String,
        /// What is wrong with it.
        why: String,
        /// How many lines there are like it.
        rejected: usize,
        /// Lines in all.
        lines: usize,
    },
}

/// What weir reads of a MISP warninglist; the rest is for people.
#[derive(Deserialize)]
struct Warninglist {
    list: Vec<String>,
    #[serde(rename = "type")]
    kind: String,
}

/// The prefixes of a never-block file: a plain list, or a MISP warninglist (`{"list":[…],"type":"cidr"}`).
///
/// # Errors
/// [`NeverBlockError`] at the first entry that is no prefix.
pub fn parse_never_block(bytes: &[u8]) -> Result<Vec<IpNet>, NeverBlockError> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if text.trim_ascii_start().starts_with(b"{") {
        return warninglist(text);
    }
    // A plain list has no times in it.
    let parsed = parse(bytes, &Reading::new(Format::Plain, Timestamp::UNIX_EPOCH));
    let (rejected, lines) = (parsed.rejected, parsed.lines);
    match parsed.rejects.into_iter().next() {
        None => Ok(parsed.entries),
        Some(first) => {
            Err(NeverBlockError::Line { line: first.line, text: first.text, why: first.why, rejected, lines })
        }
    }
}

fn warninglist(bytes: &[u8]) -> Result<Vec<IpNet>, NeverBlockError> {
    let Warninglist { list, kind } = serde_json::from_slice(bytes)?;
    if kind != "cidr" {
        return Err(NeverBlockError::WrongType { found: printable(kind.as_bytes()) });
    }
    let entries = list.len();
    let prefix = |(at, text): (usize, &String)| {
        let text = text.as_str();
        parse_prefix(text).map_err(|why| {
            let (number, text) = (at + 1, printable(text.as_bytes()));
            NeverBlockError::Entry { number, entries, text, why }
        })
    };
    list.iter().enumerate().map(prefix).collect()
}
