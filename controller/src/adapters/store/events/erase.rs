//! Erasure: what is kept of a person is taken out of the database and out of its file.
use rusqlite::types::Value;
use rusqlite::{Connection, TransactionBehavior, params_from_iter};

use super::documents::{self, Table};
use super::{BROKEN, EventReader, EventStore, read_failed};
use crate::adapters::store::{StoreError, files};

/// How much was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Alerts about the person.
    pub alerts: u64,
    /// Alerts about others in which the person is named: that is blotted out.
    pub mentions: u64,
    /// Events.
    pub events: u64,
    /// Denials that are over.
    pub denials: u64,
    /// Sources of which there was evidence.
    pub reputation: u64,
}

impl EventStore {
    /// Erases what is kept under these names of an address, or of this user. Events go by their numbers.
    ///
    /// # Errors
    /// [`StoreError::Write`]: nothing is erased.
    pub fn erase(&mut self, names: &[String], user: Option<&str>, events: &[i64]) -> Result<Erased, StoreError> {
        let set = |connection: &Connection, on: bool| {
            connection.pragma_update(None, "secure_delete", if on { "ON" } else { "FAST" })
        };
        let outcome = (|| {
            set(&self.connection, true)?;
            let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let erased = erase(&tx, names, user, events)?;
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
    /// How many alerts are about these names, or this user.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn named(&self, names: &[String], user: Option<&str>) -> Result<u64, StoreError> {
        let connection = self.connection();
        let count = || -> rusqlite::Result<i64> {
            if let Some(user) = user {
                return connection.query_row("SELECT count(*) FROM alerts WHERE user = ?1", [user], |row| row.get(0));
            }
            let places = vec!["?"; names.len()].join(", ");
            let sql = format!("SELECT count(*) FROM alerts WHERE source IN ({places})");
            connection.query_row(&sql, params_from_iter(names), |row| row.get(0))
        };
        let count = count().map_err(|error| read_failed(&self.path, &connection, error))?;
        Ok(count.unsigned_abs())
    }
}

fn erase(connection: &Connection, names: &[String], user: Option<&str>, events: &[i64]) -> rusqlite::Result<Erased> {
    let mut erased = Erased::default();
    let places = vec!["?"; names.len()].join(", ");
    let called = || names.iter().map(|name| Value::Text(name.clone()));
    if !names.is_empty() {
        erased.alerts += changed(
            connection
                .execute(&format!("DELETE FROM alerts WHERE source IN ({places})"), params_from_iter(called()))?,
        );
        erased.denials += changed(
            connection
                .execute(&format!("DELETE FROM denials WHERE prefix IN ({places})"), params_from_iter(called()))?,
        );
        for name in names {
            erased.reputation += u64::from(documents::remove(connection, Table::Reputation, name)?);
        }
    }
    if let Some(user) = user {
        erased.alerts += changed(connection.execute("DELETE FROM alerts WHERE user = ?1", [user])?);
    }
    let mut statement = connection.prepare_cached("DELETE FROM events WHERE number = ?1")?;
    for number in events {
        erased.events += changed(statement.execute([number])?);
    }
    for text in names.iter().map(String::as_str).chain(user) {
        erased.mentions += mentions(connection, text)?;
    }
    Ok(erased)
}

/// Blots out a text in the alerts of others: evidence of one who asked for another's account, or through another's proxy.
fn mentions(connection: &Connection, text: &str) -> rusqlite::Result<u64> {
    // As it stands in a document.
    let text_in_json = serde_json::to_string(text).unwrap_or_default();
    let text_in_json = text_in_json.trim_matches('"');
    let like = format!("%{}%", text_in_json.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
    let mut statement =
        connection.prepare(&format!("SELECT {} FROM alerts WHERE alert LIKE ?1 ESCAPE '\\'", super::query::COLUMNS))?;
    let mut rows = statement.query([like])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(super::query::alert(row)?);
    }
    let mut count = 0;
    for mut alert in found {
        let before = alert.clone();
        alert.blot(text);
        if alert != before {
            super::alerts::write(connection, &alert, false)?;
            count += 1;
        }
    }
    Ok(count)
}

fn changed(rows: usize) -> u64 {
    rows as u64
}
