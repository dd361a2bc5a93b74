//! Tor's exit addresses: a relay's fingerprint, two times, and the addresses it was seen to leave from.
use jiff::civil::DateTime;

use super::collect::{Collector, RecordError};
use super::prefix::{self, Taken};
use super::text::{cut, data, lines, words};

pub(super) fn read(bytes: &[u8], sink: &mut Collector<'_>) {
    let mut last_refused = false;
    // Whether a relay is named and none of its addresses yet.
    let mut open = false;
    for line in lines(bytes) {
        sink.begin();
        let read = data(line).and_then(|line| {
            if line.starts_with(b"ExitNode ") {
                open = true;
            }
            exit(line)
        });
        last_refused = read.is_err();
        match read {
            Ok(Some(taken)) => {
                open = false;
                sink.take(taken, line);
            }
            Ok(None) => sink.skip(),
            Err(error) => sink.reject(line, error),
        }
    }
    cut(bytes, last_refused, sink);
    if open {
        sink.unfit("cut off: the last relay has no exit address");
    }
}

/// The address of a line `ExitAddress <address> <date> <time>`; `None` for the other lines of a record.
fn exit(line: &[u8]) -> Result<Option<Taken>, RecordError> {
    let mut words = words(line);
    match words.next() {
        None | Some([b'#', ..] | b"ExitNode" | b"Published" | b"LastStatus") => return Ok(None),
        Some(b"ExitAddress") => {}
        Some(_) => return Err(RecordError::Syntax("not a line of a record of an exit relay")),
    }
    let (Some(address), Some(date), Some(time), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(RecordError::Syntax("not an exit address with a date and a time"));
    };
    let moment = [date, b"T", time].concat();
    let is_moment = str::from_utf8(&moment).is_ok_and(|text| text.len() == 19 && text.parse::<DateTime>().is_ok());
    if !is_moment {
        return Err(RecordError::Syntax("not an exit address with a date and a time"));
    }
    if address.contains(&b'/') {
        return Err(RecordError::Syntax("a prefix where the format has single addresses"));
    }
    Ok(Some(prefix::take(address)?))
}
