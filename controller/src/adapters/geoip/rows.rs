//! CSV files: `first,last,country` or `first,last,asn,name`.
use std::net::IpAddr;
use std::sync::Arc;

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::{Contents, Deadline, GeoProblem, MOST_RANGES, Purpose, Value, shown};
use crate::domain::geo::Range;

/// Longest field that is looked at: a quote that is never closed swallows the rest of the file.
const LONGEST_FIELD: usize = 512;

/// Lines between two looks at the clock.
const STRIDE: usize = 4096;

pub(super) fn read<V: Value>(bytes: &[u8], deadline: Deadline) -> Result<Contents<V>, GeoProblem> {
    // All lines have as many columns as the first: one that is cut short is seen.
    let mut reader = ReaderBuilder::new().has_headers(false).trim(Trim::All).from_reader(bytes);
    let mut contents =
        Contents { ranges: Vec::new(), names: Vec::new(), database: None, built_at: None, has_other: false };
    let mut line = StringRecord::new();
    loop {
        let number = reader.position().line();
        match reader.read_record(&mut line) {
            Ok(true) => {}
            Ok(false) => return Ok(contents),
            Err(error) => return Err(broken(&error, number)),
        }
        if contents.ranges.len() >= MOST_RANGES {
            return Err(GeoProblem::TooManyRanges);
        }
        if contents.ranges.len().is_multiple_of(STRIDE) {
            deadline.check()?;
        }
        row(&line, &mut contents).map_err(|why| {
            let line = line.position().map_or(number, csv::Position::line);
            GeoProblem::Line { line, why }
        })?;
    }
}

fn row<V: Value>(line: &StringRecord, contents: &mut Contents<V>) -> Result<(), String> {
    let (least, most) = V::COLUMNS;
    let columns = line.len();
    if !(least..=most).contains(&columns) {
        return Err(format!("has {columns} columns; {}", shape(V::PURPOSE)));
    }
    let column = |place: usize| line.get(place).unwrap_or_default();
    if line.iter().any(|field| field.len() > LONGEST_FIELD) {
        return Err(format!("a field has more than {LONGEST_FIELD} bytes; a quote may not be closed"));
    }
    let range = Range::new(address(column(0))?, address(column(1))?).map_err(|error| error.to_string())?;
    let value = V::of_text(column(2))
        .map_err(|()| format!("{:?} is no {}; {}", shown(column(2)), V::WHAT, shape(V::PURPOSE)))?;
    contents.ranges.push((range, value));
    let name = shown(column(3));
    // A system has a name for each of its ranges, and mostly the same one.
    if let Some(asn) = value.and_then(V::asn)
        && !name.is_empty()
        && contents.names.last().is_none_or(|(same, _)| *same != asn)
    {
        contents.names.push((asn, Arc::from(name)));
    }
    Ok(())
}

fn address(text: &str) -> Result<IpAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{:?} is a number; take the edition of the file that has addresses", shown(text)));
    }
    Err(format!("{:?} is no address; lines start with a range's first and last address", shown(text)))
}

fn shape(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Country => "lines of first address, last address and country code are wanted in `country_file`",
        Purpose::Asn => "lines of first address, last address, AS number and name are wanted in `asn_file`",
    }
}

fn broken(error: &csv::Error, line: u64) -> GeoProblem {
    let line = error.position().map_or(line, csv::Position::line);
    let why = match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} columns where the lines before have {expected_len}; the file may be cut short")
        }
        ErrorKind::Utf8 { .. } => "is not UTF-8; save the file as UTF-8".to_owned(),
        _ => error.to_string(),
    };
    GeoProblem::Line { line, why }
}
