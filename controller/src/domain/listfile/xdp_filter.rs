//! What `xdp-filter status` prints.
use super::collect::{Collector, RecordError};
use super::prefix::{self, Taken};
use super::text::{data, lines, words};

/// The line before the table of addresses.
pub(super) const ADDRESSES: &[u8] = b"Filtered IP addresses:";

/// The first line.
pub(super) const TITLE: &[u8] = b"CURRENT XDP-FILTER STATUS:";

/// The part of the output that a line belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Interfaces,
    Addresses,
    Other,
}

pub(super) fn read(bytes: &[u8], sink: &mut Collector<'_>) {
    let mut part = Part::Other;
    let mut found = false;
    for line in lines(bytes) {
        sink.begin();
        let text = match data(line) {
            Ok(text) => text,
            Err(error) => {
                sink.reject(line, error);
                continue;
            }
        };
        // Titles start at the line's start, rows do not.
        if !line.starts_with(b" ") && text.ends_with(b":") {
            part = match text {
                b"Loaded on interfaces:" => Part::Interfaces,
                ADDRESSES => Part::Addresses,
                _ => Part::Other,
            };
            found |= text == TITLE || part == Part::Addresses;
            sink.skip();
            continue;
        }
        match part {
            Part::Addresses => match address(text) {
                Ok(Some(taken)) => sink.take(taken, line),
                Ok(None) => sink.skip(),
                Err(error) => sink.reject(line, error),
            },
            Part::Interfaces => {
                if lets_only_listed_through(text) {
                    sink.unfit(
                        "xdp-filter lets only the listed through there (policy deny): these addresses are an allow \
                         list; write them one a line and import that",
                    );
                }
                sink.skip();
            }
            Part::Other => sink.skip(),
        }
    }
    if !found {
        sink.unfit("not the output of xdp-filter status");
    }
}

/// The features of an interface end with its policy.
fn lets_only_listed_through(row: &[u8]) -> bool {
    words(row).last().is_some_and(|features| features.split(|b| *b == b',').any(|feature| feature == b"deny"))
}

/// A row of address, mode and hits.
fn address(row: &[u8]) -> Result<Option<Taken>, RecordError> {
    let mut words = words(row);
    let Some(address) = words.next() else { return Ok(None) };
    if address == b"Mode" {
        return Ok(None);
    }
    let (Some(mode), Some(hits), None) = (words.next(), words.next(), words.next()) else {
        return Err(RecordError::Syntax("not an address, a mode and a hit counter"));
    };
    let taken = prefix::take(address)?;
    if super::text::number(hits).is_none() {
        return Err(RecordError::Syntax("the hit counter is not a whole number"));
    }
    if !mode.split(|b| *b == b',').any(|end| end == b"src") {
        return Err(RecordError::Kind("filtered as a destination; weir denies sources"));
    }
    Ok(Some(taken))
}
