//! Is a database what was written to it, all of it and nothing else?
use std::fs::OpenOptions;
use std::path::Path;

use rusqlite::{Connection, MAIN_DB};

use super::change::AuditRecord;
use super::problem::{StoreError, Why};
use super::rows::Row;
use super::scan::{damage_of, readable, scan};
use super::sealed::{State, damaged};
use super::{audit, files, schema};

/// A database that is what was written.
#[derive(Debug)]
pub(super) struct Sound {
    /// Open for reading and writing, as [`Manner`] says.
    pub(super) connection: Connection,
    /// Its state row.
    pub(super) state: State,
    /// Records of the audit trail that are not what was written: they alone don't make it unsound.
    pub(super) lost_audit: Vec<u64>,
}

/// A database that is not.
#[derive(Debug, Default)]
pub(super) struct Ruin {
    /// What is wrong.
    pub(super) cause: String,
    /// The rows that are still as they were written.
    pub(super) rows: Vec<Row>,
    /// How many there should be.
    pub(super) expected: Option<u64>,
    /// The audit records that are still as they were written.
    pub(super) audit: Vec<AuditRecord>,
}

/// What an examination found.
#[derive(Debug)]
pub(super) enum Finding {
    Sound(Sound),
    Ruined(Ruin),
}

/// How a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Every commit is waited for.
    Durable,
    /// The file counts only once it is whole, synced and renamed.
    Hasty,
}

enum Content {
    Known(State, Vec<u64>),
    Newer { schema: i64, written_by: String },
}

/// Opens the database and reads all of it. An older schema is brought up to date.
pub(super) fn examine(path: &Path, manner: Manner) -> Result<Finding, StoreError> {
    // SQLite would open a file it can't write to for reading, and say so much later.
    OpenOptions::new().read(true).write(true).open(path).map_err(files::failed("open", path))?;
    let mut connection = schema::connect(path)?;
    match damage_of(verify(&mut connection, manner)) {
        Ok(Ok(Content::Known(state, lost_audit))) => Ok(Finding::Sound(Sound { connection, state, lost_audit })),
        Ok(Ok(Content::Newer { schema, written_by })) => {
            Err(StoreError::Newer { path: path.to_owned(), found: schema, known: schema::KNOWN, written_by })
        }
        Ok(Err(cause)) => {
            drop(connection);
            Ok(Finding::Ruined(salvage(path, cause)?))
        }
        Err(error) => Err(read_failed(path, &connection, error)),
    }
}

/// Reads what can be read of a damaged database.
fn salvage(path: &Path, cause: String) -> Result<Ruin, StoreError> {
    let connection = schema::connect(path)?;
    match damage_of(schema::configure_for_salvage(&connection)) {
        Ok(Ok(())) => Ok(Ruin {
            cause,
            rows: readable(&connection),
            expected: State::read(&connection).ok().map(|state| state.rows),
            audit: audit::readable(&connection),
        }),
        Ok(Err(_)) => Ok(Ruin { cause, ..Ruin::default() }),
        Err(error) => Err(read_failed(path, &connection, error)),
    }
}

/// The error of not having been able to read the database at `path`.
pub(super) fn read_failed(path: &Path, connection: &Connection, error: rusqlite::Error) -> StoreError {
    StoreError::Read { path: path.to_owned(), why: Why::of(connection, &error), error }
}

fn verify(connection: &mut Connection, manner: Manner) -> rusqlite::Result<Content> {
    // Until it is known to be sound, its log stays as it is.
    schema::keep_log(connection, true)?;
    schema::configure(connection)?;
    connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))?;
    if connection.is_readonly(MAIN_DB)? {
        return Err(damaged("its header forbids writing"));
    }
    match manner {
        Manner::Durable => schema::make_durable(connection)?,
        Manner::Hasty => schema::make_hasty(connection)?,
    }
    let complaint: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if complaint != "ok" {
        return Err(damaged(complaint));
    }
    let (version, written_by) = schema::version(connection)?;
    if version > schema::KNOWN {
        return Ok(Content::Newer { schema: version, written_by });
    }
    if version < schema::KNOWN {
        schema::migrations().to_latest(connection).map_err(schema::of_migration)?;
    }
    if !schema::is_intact(connection)? {
        return Err(damaged("its tables are not weir's"));
    }
    let (state, lost_audit) = content(connection)?;
    schema::keep_log(connection, false)?;
    Ok(Content::Known(state, lost_audit))
}

/// Reads every row and compares with the state row.
pub(super) fn content(connection: &Connection) -> rusqlite::Result<(State, Vec<u64>)> {
    let state = State::read(connection)?;
    scan(connection, |_| {}).check(&state)?;
    Ok((state, audit::damaged(connection, &state)?))
}
