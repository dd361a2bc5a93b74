//! What is kept as a document each: datasets, hunts, and what evidence there is of sources.
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

use super::super::sealed::{seal, unseal};
use super::{EventReader, EventStore, StoreError, read_failed};
use crate::domain::http::dataset::{Dataset, Hunt};
use crate::domain::reputation::Saved;

/// A table of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Datasets,
    Hunts,
    Reputation,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Datasets => "datasets",
            Self::Hunts => "hunts",
            Self::Reputation => "reputation",
        }
    }
}

pub(super) fn put<T: Serialize>(connection: &Connection, table: Table, id: &str, document: &T) -> rusqlite::Result<()> {
    let document =
        serde_json::to_string(document).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let seal = seal(table.name(), [ValueRef::Text(id.as_bytes()), ValueRef::Text(document.as_bytes())]);
    let mut statement = connection.prepare_cached(&format!(
        "INSERT INTO {} (id, document, seal) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET document = excluded.document, seal = excluded.seal",
        table.name()
    ))?;
    statement.execute(params![id, document, seal])?;
    Ok(())
}

/// Whether there was one.
pub(super) fn remove(connection: &Connection, table: Table, id: &str) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(&format!("DELETE FROM {} WHERE id = ?1", table.name()))?;
    Ok(statement.execute([id])? > 0)
}

pub(super) fn count(connection: &Connection, table: Table) -> rusqlite::Result<usize> {
    let count: i64 = connection.query_row(&format!("SELECT count(*) FROM {}", table.name()), [], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The document of this id, if it is what was written.
pub(super) fn get<T: DeserializeOwned>(connection: &Connection, table: Table, id: &str) -> rusqlite::Result<Option<T>> {
    let sql = format!("SELECT id, document, seal FROM {} WHERE id = ?1", table.name());
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([id], |row| document(table, row)).optional()?;
    Ok(found.flatten())
}

/// Those that are what was written, by id. Where the table breaks off, the rest is missing.
pub(super) fn all<T: DeserializeOwned>(connection: &Connection, table: Table) -> rusqlite::Result<Vec<T>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT id, document, seal FROM {} ORDER BY id", table.name()))?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(document(table, row)?);
    }
    Ok(found)
}

/// Changes documents, where `change` says that it has; how many those are.
pub(super) fn blot<T: Serialize + DeserializeOwned>(
    connection: &Connection,
    table: Table,
    id: impl Fn(&T) -> &str,
    mut change: impl FnMut(&mut T) -> bool,
) -> rusqlite::Result<u64> {
    let mut count = 0;
    for mut document in all::<T>(connection, table)? {
        if change(&mut document) {
            put(connection, table, id(&document), &document)?;
            count += 1;
        }
    }
    Ok(count)
}

fn document<T: DeserializeOwned>(table: Table, row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<T>> {
    let Some((columns, _)) = unseal(table.name(), 2, row)? else { return Ok(None) };
    let text = columns.last().and_then(|column| column.as_str().ok());
    Ok(text.and_then(|text| serde_json::from_str(text).ok()))
}

pub(super) fn put_reputation(tx: &Transaction<'_>, saved: &[Saved], forgotten: &[Arc<str>]) -> rusqlite::Result<()> {
    for key in forgotten {
        remove(tx, Table::Reputation, key)?;
    }
    saved.iter().try_for_each(|row| put(tx, Table::Reputation, &row.key, row))
}

/// What evidence a damaged database still tells of.
pub(super) fn readable(connection: &Connection) -> Vec<Saved> {
    all(connection, Table::Reputation).unwrap_or_default()
}

impl EventStore {
    /// What evidence there is of sources.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn reputation(&self) -> Result<Vec<Saved>, StoreError> {
        all(&self.connection, Table::Reputation).map_err(|error| read_failed(&self.path, &self.connection, error))
    }
}

impl EventReader {
    /// Every dataset, in the order they were made.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn datasets(&self) -> Result<Vec<Dataset>, StoreError> {
        self.documents(Table::Datasets)
    }

    /// Every hunt, in the order they were made.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn hunts(&self) -> Result<Vec<Hunt>, StoreError> {
        self.documents(Table::Hunts)
    }

    fn documents<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<T>, StoreError> {
        let connection = self.connection();
        all(&connection, table).map_err(|error| read_failed(&self.path, &connection, error))
    }
}
