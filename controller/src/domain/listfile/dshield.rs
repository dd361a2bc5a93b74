//! DShield's block list: lines of first address, last address, prefix length and more, separated by tabs.
use super::collect::{Collector, RecordError};
use super::prefix::Taken;
use super::text::{cut, data, lines, number};
use super::{Item, range};

pub(super) fn read(bytes: &[u8], sink: &mut Collector<'_>) {
    let mut last_refused = false;
    for line in lines(bytes) {
        sink.begin();
        last_refused = false;
        match data(line).and_then(networks) {
            Ok(Some(taken)) => {
                for Taken { prefix, normalised } in taken {
                    sink.item(&Item { prefix, normalised, score: None, for_s: None }, line);
                }
            }
            Ok(None) => sink.skip(),
            Err(error) => {
                last_refused = true;
                sink.reject(line, error);
            }
        }
    }
    cut(bytes, last_refused, sink);
}

/// The networks of a line; `None` for blank ones, comments and the names of the columns.
///
/// The prefix length says again what the two addresses say. Where they disagree, nobody knows what is meant.
pub(super) fn networks(line: &[u8]) -> Result<Option<Vec<Taken>>, RecordError> {
    if matches!(line, [] | [b'#', ..]) || line.starts_with(b"Start\t") {
        return Ok(None);
    }
    let mut columns = line.split(|b| *b == b'\t').map(<[u8]>::trim_ascii);
    let (Some(first), Some(last), length) = (columns.next(), columns.next(), columns.next()) else {
        return Err(RecordError::Syntax("not a first and a last address with a tab between them"));
    };
    let covering: Vec<Taken> = range::cover(first, last)?.map(|prefix| Taken { prefix, normalised: false }).collect();
    if let Some(length) = length {
        let length = number(length).ok_or(RecordError::Syntax("the prefix length is not a whole number"))?;
        let agrees = matches!(covering.as_slice(), [one] if u64::from(one.prefix.prefix_len()) == length);
        if !agrees {
            return Err(RecordError::Syntax("first address, last address and prefix length disagree"));
        }
    }
    Ok(Some(covering))
}
