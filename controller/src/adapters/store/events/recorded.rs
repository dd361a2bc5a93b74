//! Security events as rows.
use jiff::Timestamp;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params_from_iter};

use super::super::sealed::{seal, unseal};
use super::alerts::source_name;
use super::erase::Rows;
use super::{DELETED_AT_ONCE, EventReader, EventStore, Privacy, read_failed};
use crate::adapters::store::StoreError;
use crate::domain::audit::{Class, Seen};
use crate::domain::erasure::Mentions;
use crate::domain::http::recorded::{Recorded, Source};

const EVENTS: &str = "events";
/// Columns before the seal, the row's number not among them.
const WIDTH: usize = 9;
const COLUMNS: &str = "at, kind, class, count, source, user, country, endpoint, particulars, seal";
/// The columns that may mention somebody else: user, endpoint, and the rest.
const TEXTS: [usize; 3] = [5, 7, 8];

/// What an index of events needs to know of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventHead {
    /// Its number.
    pub number: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What it counts as.
    pub class: Class,
    /// How many alike it stands for.
    pub count: u32,
    /// Who sent it, by the name that is kept.
    pub source: Option<String>,
    /// Who they say they are.
    pub user: Option<String>,
    /// Country, two letters.
    pub country: Option<String>,
    /// What was asked of.
    pub endpoint: Option<String>,
}

impl EventHead {
    /// The same, lent.
    pub fn seen(&self) -> Seen<'_> {
        Seen {
            number: self.number,
            at: self.at,
            class: self.class,
            source: self.source.as_deref(),
            user: self.user.as_deref(),
            country: self.country.as_deref(),
            endpoint: self.endpoint.as_deref(),
            count: self.count,
        }
    }
}

/// An event as it is kept: its head, its kind, and the rest as a document.
fn row(event: &Recorded, privacy: &Privacy) -> rusqlite::Result<(EventHead, [Value; WIDTH])> {
    let names = &privacy.names;
    let text = |text: &Option<String>| text.as_deref().map(|text| names.text(text).into_owned());
    let source = event.source.as_ref().map(|source| match source {
        Source::Address(address) => source_name(names, *address),
        Source::Name(name) => name.clone(),
    });
    let head = EventHead {
        number: 0,
        at: event.at,
        class: event.class,
        count: event.count,
        source,
        user: text(&event.user),
        country: event.country.clone(),
        endpoint: text(&event.endpoint),
    };
    let particulars = serde_json::to_string(&event.particulars)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let or_null = |text: &Option<String>| text.as_ref().map_or(Value::Null, |text| Value::Text(text.clone()));
    let columns = [
        Value::Integer(head.at.as_millisecond()),
        Value::Text(event.kind.name().to_owned()),
        Value::Text(head.class.name().to_owned()),
        Value::Integer(i64::from(head.count)),
        or_null(&head.source),
        or_null(&head.user),
        or_null(&head.country),
        or_null(&head.endpoint),
        // The names of its keys have no address in them.
        Value::Text(names.text(&particulars).into_owned()),
    ];
    Ok((head, columns))
}

fn put(tx: &Transaction<'_>, event: &Recorded, privacy: &Privacy) -> rusqlite::Result<EventHead> {
    let (mut head, columns) = row(event, privacy)?;
    let seal = Value::Blob(seal(EVENTS, columns.iter().map(ValueRef::from)).to_vec());
    let mut statement = tx.prepare_cached(
        "INSERT INTO events (at, kind, class, count, source, user, country, endpoint, particulars, seal)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    head.number = statement.insert(params_from_iter(columns.iter().chain([&seal])))?;
    Ok(head)
}

/// The event of a row, if it is as it was written.
fn recorded(row: &Row<'_>) -> rusqlite::Result<Option<Recorded>> {
    let Some((columns, _)) = unseal(EVENTS, WIDTH, row)? else { return Ok(None) };
    let text = |at: usize| columns.get(at).and_then(|column| column.as_str().ok());
    let number = |at: usize| columns.get(at).and_then(|column| column.as_i64().ok());
    let read = || {
        Some(Recorded {
            at: Timestamp::from_millisecond(number(0)?).ok()?,
            kind: text(1)?.parse().ok()?,
            class: Class::named(text(2)?)?,
            count: u32::try_from(number(3)?).ok()?,
            source: text(4).map(|name| name.parse().map_or_else(|_| Source::Name(name.to_owned()), Source::Address)),
            user: text(5).map(str::to_owned),
            country: text(6).map(str::to_owned),
            endpoint: text(7).map(str::to_owned),
            particulars: serde_json::from_str(text(8)?).ok()?,
        })
    };
    Ok(read())
}

/// Blots out who is to be mentioned nowhere in what others did; in how many rows.
pub(super) fn blot(connection: &Connection, mentions: &Mentions) -> rusqlite::Result<u64> {
    let mut write = connection.prepare_cached(
        "UPDATE events SET at = ?1, kind = ?2, class = ?3, count = ?4, source = ?5, user = ?6, country = ?7,
         endpoint = ?8, particulars = ?9, seal = ?10 WHERE number = ?11",
    )?;
    let rows = Rows { table: EVENTS, columns: COLUMNS, texts: &TEXTS };
    rows.blot(connection, mentions, recorded, |event, number| {
        if !event.blot(mentions) {
            return Ok(false);
        }
        // By the names that stand there: how what was kept before is called stays.
        let (_, columns) = row(event, &Privacy::default())?;
        let seal = Value::Blob(seal(EVENTS, columns.iter().map(ValueRef::from)).to_vec());
        write.execute(params_from_iter(columns.iter().chain([&seal, &Value::Integer(number)])))?;
        Ok(true)
    })
}

impl EventStore {
    /// Writes events, all of them or none; how each is found again.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn record(&mut self, events: &[Recorded]) -> Result<Vec<EventHead>, StoreError> {
        let privacy = self.privacy.load_full();
        let outcome = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|tx| {
            let heads = events.iter().map(|event| put(&tx, event, &privacy)).collect::<rusqlite::Result<Vec<_>>>()?;
            tx.commit()?;
            Ok(heads)
        });
        outcome.map_err(|error| super::super::write::write_failed(&self.path, &self.connection, error))
    }

    /// Lets go of all events up to this number, of so many at once; up to which number they are gone.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn let_events_go(&mut self, through: i64) -> Result<i64, StoreError> {
        let outcome = (|| {
            let first: Option<i64> =
                self.connection.query_row("SELECT min(number) FROM events", [], |row| row.get(0))?;
            let Some(first) = first.filter(|first| *first <= through) else { return Ok(through) };
            let last = through.min(first.saturating_add(DELETED_AT_ONCE.cast_signed() - 1));
            self.connection.prepare_cached("DELETE FROM events WHERE number <= ?1")?.execute([last])?;
            self.free_pages()?;
            Ok(last)
        })();
        outcome.map_err(|error| super::super::write::write_failed(&self.path, &self.connection, error))
    }

    /// Hands over what is known of every event, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn event_heads(&self, mut each: impl FnMut(&EventHead)) -> Result<(), StoreError> {
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare(
                "SELECT number, at, class, count, source, user, country, endpoint FROM events ORDER BY number",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let class: String = row.get(2)?;
                // One that is not what was written is left out, here as elsewhere.
                let (Some(class), Ok(at)) = (Class::named(&class), Timestamp::from_millisecond(row.get(1)?)) else {
                    continue;
                };
                each(&EventHead {
                    number: row.get(0)?,
                    at,
                    class,
                    count: row.get(3)?,
                    source: row.get(4)?,
                    user: row.get(5)?,
                    country: row.get(6)?,
                    endpoint: row.get(7)?,
                });
            }
            Ok(())
        };
        read().map_err(|error| read_failed(&self.path, &self.connection, error))
    }

    /// Takes over the events of another database, as far as they can be read; how many those are.
    pub(super) fn take_over_events(&mut self, other: &Connection) -> u64 {
        const TOGETHER: usize = 1_000;
        let mut kept = 0;
        let mut take = |events: &mut Vec<Recorded>| {
            kept += if self.record(events).is_ok() { events.len() as u64 } else { 0 };
            events.clear();
        };
        let mut waiting = Vec::new();
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = other.prepare(&format!("SELECT {COLUMNS} FROM events ORDER BY number"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                waiting.extend(recorded(row)?);
                if waiting.len() >= TOGETHER {
                    take(&mut waiting);
                }
            }
            Ok(())
        };
        // Where it breaks off, the rest is lost.
        let _rest = read();
        take(&mut waiting);
        kept
    }
}

impl EventReader {
    /// The events with these numbers, in their order; one that is gone or not what was written is left out.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn events(&self, numbers: &[i64]) -> Result<Vec<(i64, Recorded)>, StoreError> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<(i64, Recorded)>> {
            let mut statement =
                connection.prepare_cached(&format!("SELECT {COLUMNS} FROM events WHERE number = ?1"))?;
            let mut found = Vec::with_capacity(numbers.len());
            for number in numbers {
                let mut rows = statement.query([number])?;
                if let Some(row) = rows.next()? {
                    found.extend(recorded(row)?.map(|event| (*number, event)));
                }
            }
            Ok(found)
        };
        read().map_err(|error| read_failed(&self.path, &connection, error))
    }
}
