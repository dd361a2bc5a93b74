//! One row of the database: all of it understood, or refused.
use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::types::ValueRef;

use crate::domain::listfile::parse_prefix;

use super::{Refused, UNKNOWN_BAN_S};

/// Longest name of a jail.
const LONGEST_JAIL: usize = 255;

/// How long a ban lasts, as fail2ban writes "for ever".
const FOR_EVER: i64 = -1;

/// What fail2ban writes where an older version had not kept it.
const UNKNOWN: i64 = -2;

/// What the database keeps of bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// The latest ban of each address by each jail (schema 4: fail2ban 0.11 and later).
    Current,
    /// Every ban (schema 3).
    History,
    /// Every ban, without how long it lasts (schemas 1 and 2: up to fail2ban 0.10).
    HistoryWithoutLength,
}

impl Columns {
    /// Yields `ip, jail, timeofban, bantime`.
    pub(super) fn query(self) -> &'static str {
        match self {
            Self::Current => "SELECT ip, jail, timeofban, bantime FROM main.bips",
            Self::History => "SELECT ip, jail, timeofban, bantime FROM main.bans",
            Self::HistoryWithoutLength => "SELECT ip, jail, timeofban, -2 FROM main.bans",
        }
    }
}

/// A row that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) address: IpNet,
    pub(super) jail: String,
    made: i64,
    /// `None`: never.
    pub(super) end: Option<Timestamp>,
}

/// What becomes of a row.
pub(super) enum Read {
    Row(Row),
    /// Of a jail that was not asked for.
    Elsewhere,
    Refused(Refused),
}

impl Row {
    /// Reads `ip, jail, timeofban, bantime`.
    pub(super) fn read([address, jail, made, length]: [ValueRef<'_>; 4], wanted: Option<&str>) -> Read {
        let refused = |why: &str| Read::Refused(Refused { text: printable(address), why: why.to_owned() });
        let Some(jail) = text(jail).filter(|name| (1..=LONGEST_JAIL).contains(&name.len())) else {
            return refused("the jail's name is missing or too long");
        };
        if wanted.is_some_and(|wanted| wanted != jail) {
            return Read::Elsewhere;
        }
        let prefix = match text(address).map(parse_prefix) {
            Some(Ok(prefix)) => prefix,
            Some(Err(why)) => return refused(&why.to_string()),
            None => return refused("the address is not text"),
        };
        let (Some(made), Some(length)) = (seconds(made), seconds(length)) else {
            return refused("the time or the length of the ban is not a number");
        };
        let length = match length {
            FOR_EVER => None,
            UNKNOWN => Some(UNKNOWN_BAN_S),
            0.. => Some(length),
            _ => return refused("the length of the ban is negative, and not -1 (for ever)"),
        };
        let end = length.map(|length| made.checked_add(length).and_then(|end| Timestamp::from_second(end).ok()));
        if end == Some(None) {
            return refused("the ban ends at a time that no clock shows");
        }
        Read::Row(Self { address: prefix, jail: jail.to_owned(), made, end: end.flatten() })
    }

    /// The larger one holds: the later, then the longer, for ever being the longest.
    pub(super) fn order(&self) -> (i64, Timestamp) {
        (self.made, self.end.unwrap_or(Timestamp::MAX))
    }
}

fn text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(bytes) => str::from_utf8(bytes).ok(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => None,
    }
}

/// Whole seconds; older versions kept fractions.
fn seconds(value: ValueRef<'_>) -> Option<i64> {
    // Beyond this a float does not tell one second from the next.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        ValueRef::Integer(seconds) => Some(seconds),
        #[expect(clippy::cast_possible_truncation, reason = "within the range where floats are exact")]
        ValueRef::Real(seconds) if seconds.abs() < EXACT => Some(seconds.floor() as i64),
        ValueRef::Real(_) | ValueRef::Null | ValueRef::Text(_) | ValueRef::Blob(_) => None,
    }
}

/// How a value begins, safe to print.
fn printable(value: ValueRef<'_>) -> String {
    const SHOWN: usize = 80;
    let bytes = match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Integer(number) => return number.to_string(),
        ValueRef::Real(number) => return number.to_string(),
        ValueRef::Null => return "null".to_owned(),
    };
    let start = bytes.get(..SHOWN).unwrap_or(bytes);
    String::from_utf8_lossy(start).chars().flat_map(char::escape_default).take(SHOWN).collect()
}
