//! The tables, their versions, and how the database is opened.
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, params};
use rusqlite_migration::{M, Migrations};

use super::problem::{StoreError, Why};
use super::sealed::{State, damaged, seal, unseal};

/// The latest schema.
pub(super) const KNOWN: i64 = 3;

// Times are RFC 3339 in UTC, prefixes are text: an operator with `sqlite3` can read them.
const FIRST: &str = "
-- The same in every version of weir: how an older one knows that this is not for it.
CREATE TABLE format (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    schema INTEGER NOT NULL,
    written_by TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    commits INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    digest BLOB NOT NULL,
    audit_first INTEGER NOT NULL,
    audit_last INTEGER NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE TABLE lists (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    origin TEXT NOT NULL,
    enforcement TEXT NOT NULL,
    imported_at TEXT,
    imported_sequence INTEGER NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE TABLE totals (
    list INTEGER PRIMARY KEY REFERENCES lists (id),
    packets INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE TABLE entries (
    list INTEGER NOT NULL REFERENCES lists (id),
    prefix TEXT NOT NULL,
    reason TEXT NOT NULL,
    added_at TEXT NOT NULL,
    expires_at TEXT,
    expires_boot INTEGER,
    boot_id TEXT,
    enforcement TEXT NOT NULL,
    forced INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    seal BLOB NOT NULL,
    PRIMARY KEY (list, prefix)
) STRICT, WITHOUT ROWID;
CREATE TABLE imported (
    list INTEGER NOT NULL REFERENCES lists (id),
    family INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    seal BLOB NOT NULL,
    prefixes BLOB NOT NULL,
    PRIMARY KEY (list, family, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE class_lists (
    generation INTEGER PRIMARY KEY,
    classes TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT;
";

const THIRD: &str = "
CREATE TABLE rules (
    id TEXT PRIMARY KEY,
    rule TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    added_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    expires_boot INTEGER NOT NULL,
    boot_id TEXT,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// How each schema is made from the one before.
pub(super) fn migrations() -> Migrations<'static> {
    Migrations::new(vec![
        M::up_with_hook(FIRST, |tx: &rusqlite::Transaction<'_>| {
            State::EMPTY.write(tx)?;
            Ok(stamp(tx, 1, env!("CARGO_PKG_VERSION"))?)
        }),
        // Lists of feeds, countries, autonomous systems and CrowdSec: the words for them are new, the tables are not.
        M::up_with_hook("", |tx: &rusqlite::Transaction<'_>| Ok(stamp(tx, 2, env!("CARGO_PKG_VERSION"))?)),
        // Rules that people made, and users that are denied.
        M::up_with_hook(THIRD, |tx: &rusqlite::Transaction<'_>| Ok(stamp(tx, 3, env!("CARGO_PKG_VERSION"))?)),
    ])
}

/// Notes which schema the database has, and who made it.
pub(super) fn stamp(connection: &Connection, schema: i64, written_by: &str) -> rusqlite::Result<()> {
    let columns = [Value::Integer(schema), Value::Text(written_by.to_owned())];
    let seal = seal("format", columns.iter().map(ValueRef::from));
    let [schema, written_by] = columns;
    connection.execute(
        "INSERT OR REPLACE INTO format (id, schema, written_by, seal) VALUES (1, ?1, ?2, ?3)",
        params![schema, written_by, seal],
    )?;
    Ok(())
}

/// The schema of the database and who made it; an error if that is not what was written.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<(i64, String)> {
    let number: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let mut statement = connection.prepare("SELECT schema, written_by, seal FROM format")?;
    let mut rows = statement.query([])?;
    let row = rows.next()?.ok_or_else(|| damaged("the row about its format is missing"))?;
    if unseal("format", 2, row)?.is_none() || row.get::<_, i64>(0)? != number {
        return Err(damaged("the row about its format is not what was written"));
    }
    Ok((number, row.get(1)?))
}

/// Whether the tables are exactly those of the latest schema.
pub(super) fn is_intact(connection: &Connection) -> rusqlite::Result<bool> {
    let mut model = Connection::open_in_memory()?;
    migrations().to_latest(&mut model).map_err(of_migration)?;
    Ok(definitions(connection)? == definitions(&model)?)
}

fn definitions(connection: &Connection) -> rusqlite::Result<Vec<[Option<String>; 4]>> {
    let mut statement = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    rows.collect()
}

/// SQLite's part of a failed migration.
pub(super) fn of_migration(error: rusqlite_migration::Error) -> rusqlite::Error {
    match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => err,
        other => damaged(other.to_string()),
    }
}

/// Opens an existing file; nothing is read yet.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags);
    opened.map_err(|error| StoreError::Read { path: path.to_owned(), why: Why::Other, error })
}

/// Settings of every connection.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Alone with the file: the log's index is kept in memory, and no other program can come between.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)
}

/// For reading what can be read of a damaged file: a table whose definition is broken does not hide the others.
pub(super) fn configure_for_salvage(connection: &Connection) -> rusqlite::Result<()> {
    keep_log(connection, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")
}

/// A failed commit must not leave the one before in doubt, so every commit is waited for.
pub(super) fn make_durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES)?;
    Ok(())
}

/// For a file that counts only once it is whole, synced and renamed.
pub(super) fn make_hasty(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "MEMORY", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "OFF")
}

/// Keeps the log from being folded into a database that is only looked at.
pub(super) fn keep_log(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop)
}

/// Page cache, in KiB as SQLite wants it: negative.
const CACHE_KIB: i64 = -4096;
/// What is left of the write-ahead log after an import has made it long.
const LOG_KEPT_BYTES: i64 = 4 << 20;
