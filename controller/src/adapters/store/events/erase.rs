//! Erasure: what is kept of a person is taken out of the database and out of its file.
use rusqlite::{Connection, Row, TransactionBehavior, params_from_iter};

use super::documents::{self, Table};
use super::{ALERTS, BROKEN, EventReader, EventStore, alerts, query, read_failed, recorded};
use crate::adapters::store::{StoreError, files};
use crate::domain::erasure::Mentions;
use crate::domain::http::dataset::{Dataset, Hunt};

/// Rows that are read together.
const TOGETHER: usize = 1_000;

/// How much was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Alerts about the person.
    pub alerts: u64,
    /// Alerts about others, their events, datasets and hunts in which the person is named: that is blotted out.
    pub mentions: u64,
    /// Events.
    pub events: u64,
    /// Denials that are over.
    pub denials: u64,
    /// Sources of which there was evidence.
    pub reputation: u64,
}

impl EventStore {
    /// Erases what is kept of somebody, and where they are mentioned. Their events go by their numbers.
    ///
    /// # Errors
    /// [`StoreError::Write`]: nothing is erased.
    pub fn erase(&mut self, who: &Mentions, events: &[i64]) -> Result<Erased, StoreError> {
        let set = |connection: &Connection, on: bool| {
            connection.pragma_update(None, "secure_delete", if on { "ON" } else { "FAST" })
        };
        let outcome = (|| {
            set(&self.connection, true)?;
            let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let erased = erase(&tx, who, events)?;
            tx.commit()?;
            // Free pages, and the log, may hold what was deleted before.
            let mut statement = self.connection.prepare("PRAGMA incremental_vacuum")?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            drop(rows);
            drop(statement);
            let busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            if busy == 0 {
                return Ok(erased);
            }
            let what = "it is erased, and the log could not be emptied, as somebody reads: erase once more".to_owned();
            Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), Some(what)))
        })();
        let _quicker = set(&self.connection, false);
        // What an unusable one held is nowhere to be found either.
        for end in ["", "-wal", "-shm"] {
            files::remove(&self.path.with_file_name(format!("{BROKEN}{end}")))?;
        }
        outcome.map_err(|error| super::super::write::write_failed(&self.path, &self.connection, error))
    }
}

impl EventReader {
    /// How many alerts are about somebody.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn named(&self, who: &Mentions) -> Result<u64, StoreError> {
        let connection = self.connection();
        let places = |called: &[String]| vec!["?"; called.len()].join(", ");
        let (names, users) = (places(who.names()), places(who.users()));
        let sql = format!("SELECT count(*) FROM alerts WHERE source IN ({names}) OR user IN ({users})");
        let called = params_from_iter(who.names().iter().chain(who.users()));
        let count = || -> rusqlite::Result<i64> { connection.query_row(&sql, called, |row| row.get(0)) };
        let count = count().map_err(|error| read_failed(&self.path, &connection, error))?;
        Ok(count.unsigned_abs())
    }
}

fn erase(connection: &Connection, who: &Mentions, events: &[i64]) -> rusqlite::Result<Erased> {
    let mut erased = Erased::default();
    erased.alerts += delete(connection, "alerts", "source", who.names())?;
    erased.alerts += delete(connection, "alerts", "user", who.users())?;
    erased.denials += delete(connection, "denials", "prefix", who.names())?;
    for name in who.names() {
        erased.reputation += u64::from(documents::remove(connection, Table::Reputation, name)?);
    }
    let mut statement = connection.prepare_cached("DELETE FROM events WHERE number = ?1")?;
    for number in events {
        erased.events += changed(statement.execute([number])?);
    }
    erased.mentions += of_alerts(connection, who)?;
    erased.mentions += recorded::blot(connection, who)?;
    erased.mentions +=
        documents::blot(connection, Table::Datasets, |dataset: &Dataset| &dataset.id, |dataset| dataset.blot(who))?;
    erased.mentions += documents::blot(connection, Table::Hunts, |hunt: &Hunt| &hunt.id, |hunt| hunt.blot(who))?;
    Ok(erased)
}

/// Deletes the rows in which one of these stands in a column.
fn delete(connection: &Connection, table: &str, column: &str, called: &[String]) -> rusqlite::Result<u64> {
    if called.is_empty() {
        return Ok(0);
    }
    let places = vec!["?"; called.len()].join(", ");
    let sql = format!("DELETE FROM {table} WHERE {column} IN ({places})");
    connection.execute(&sql, params_from_iter(called)).map(changed)
}

/// Blots out mentions in the alerts of others: evidence of one who asked for another's account, or through another's proxy.
fn of_alerts(connection: &Connection, mentions: &Mentions) -> rusqlite::Result<u64> {
    let rows = Rows { table: ALERTS, columns: query::COLUMNS, texts: &[query::DOCUMENT] };
    rows.blot(connection, mentions, query::alert, |alert, _| {
        let is_changed = alert.blot(mentions);
        if is_changed {
            alerts::write(connection, alert, false)?;
        }
        Ok(is_changed)
    })
}

/// The rows of a table that are numbered, and which of their columns are texts that may mention somebody.
pub(super) struct Rows<'a> {
    pub(super) table: &'a str,
    pub(super) columns: &'a str,
    pub(super) texts: &'a [usize],
}

impl Rows<'_> {
    /// Has mentions blotted out: `read` what may hold one, and `blot` it, with its number, which says whether it held one. In
    /// how many rows that was. A row that cannot be read goes: nobody can be shown what it says, and it is in the file.
    pub(super) fn blot<T>(
        &self,
        connection: &Connection,
        mentions: &Mentions,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<Option<T>>,
        mut blot: impl FnMut(&mut T, i64) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<u64> {
        let Self { table, columns, texts } = self;
        let mut select = connection.prepare(&format!(
            "SELECT {columns}, number FROM {table} WHERE number > ?1 ORDER BY number LIMIT {TOGETHER}"
        ))?;
        let mut delete = connection.prepare(&format!("DELETE FROM {table} WHERE number = ?1"))?;
        let (mut through, mut count) = (i64::MIN, 0);
        loop {
            // Not changed while they are read, and not all in memory.
            let (mut found, before) = (Vec::new(), through);
            let mut rows = select.query([through])?;
            while let Some(row) = rows.next()? {
                through = row.get("number")?;
                // Most rows mention nobody, which their bytes tell without any more.
                let mut said = texts.iter().filter_map(|at| row.get_ref(*at).ok()?.as_str().ok());
                if said.any(|text| mentions.may_be_in(text)) {
                    found.push((through, read(row)?));
                }
            }
            drop(rows);
            if through == before {
                return Ok(count);
            }
            for (number, found) in found {
                let is_changed = match found {
                    Some(mut found) => blot(&mut found, number)?,
                    None => delete.execute([number])? > 0,
                };
                count += u64::from(is_changed);
            }
        }
    }
}

fn changed(rows: usize) -> u64 {
    rows as u64
}
