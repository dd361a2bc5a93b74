//! The tables, their versions, and how the database is opened.
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params};
use rusqlite_migration::{M, Migrations};

use super::super::sealed::{damaged, seal, unseal};

/// The latest schema.
pub(super) const KNOWN: i64 = 2;

// Alerts are listed by score, then the newest in front, and nearly every question names one of these columns: one index
// in that order answers all of them without a look at the rows themselves, which are a hundred times as long.
const FIRST: &str = "
CREATE TABLE format (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    schema INTEGER NOT NULL,
    written_by TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE TABLE alerts (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    severity INTEGER NOT NULL,
    score INTEGER NOT NULL,
    analyzer TEXT NOT NULL,
    rule TEXT,
    source TEXT,
    user TEXT,
    last_seen INTEGER NOT NULL,
    alert TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE INDEX alerts_in_order ON alerts (score DESC, last_seen DESC, severity, status, analyzer, rule, source, user);
CREATE INDEX alerts_by_source ON alerts (source, score DESC, last_seen DESC) WHERE source IS NOT NULL;
CREATE INDEX alerts_by_user ON alerts (user, score DESC, last_seen DESC) WHERE user IS NOT NULL;
CREATE INDEX alerts_by_time ON alerts (last_seen);
CREATE TABLE techniques (
    technique TEXT NOT NULL,
    alert INTEGER NOT NULL REFERENCES alerts (number) ON DELETE CASCADE,
    PRIMARY KEY (technique, alert)
) STRICT, WITHOUT ROWID;
CREATE INDEX techniques_by_alert ON techniques (alert);
CREATE TABLE denials (
    number INTEGER PRIMARY KEY,
    prefix TEXT NOT NULL,
    denied_at INTEGER NOT NULL,
    for_s INTEGER NOT NULL
) STRICT;
CREATE INDEX denials_by_time ON denials (denied_at);
CREATE TABLE notes (
    name TEXT PRIMARY KEY,
    text TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

// What hunt and dataset an alert belongs to, whom it has denied or limited, and when it last changed, stands in its document too: here it is looked for.
// What is found in the past is not past its time at once, so alerts go by when they were last touched. Of events nothing is looked
// for here: an index in memory knows their numbers, and each index of a table would cost as much as the row itself.
const SECOND: &str = "
ALTER TABLE alerts ADD COLUMN hunt TEXT;
ALTER TABLE alerts ADD COLUMN dataset TEXT;
ALTER TABLE alerts ADD COLUMN touched INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN target TEXT;
UPDATE alerts SET touched = last_seen;
UPDATE alerts SET target = json_extract(alert, '$.action_target')
 WHERE json_valid(alert) AND json_extract(alert, '$.action') IN ('deny', 'limit');
CREATE INDEX alerts_by_touch ON alerts (touched);
CREATE INDEX alerts_by_target ON alerts (target) WHERE target IS NOT NULL;
CREATE INDEX alerts_by_kind ON alerts (analyzer, severity, status, score DESC, last_seen DESC);
CREATE INDEX alerts_by_hunt ON alerts (hunt, score DESC, last_seen DESC) WHERE hunt IS NOT NULL;
CREATE INDEX alerts_by_dataset ON alerts (dataset, score DESC, last_seen DESC) WHERE dataset IS NOT NULL;
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    class TEXT NOT NULL,
    count INTEGER NOT NULL,
    source TEXT,
    user TEXT,
    country TEXT,
    endpoint TEXT,
    particulars TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE TABLE datasets (
    id TEXT PRIMARY KEY,
    document TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE hunts (
    id TEXT PRIMARY KEY,
    document TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE reputation (
    id TEXT PRIMARY KEY,
    document TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Why a database is not used as it is.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It is a later weir's.
    Newer { schema: i64, written_by: String },
    /// SQLite says no.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

fn migrations() -> Migrations<'static> {
    Migrations::new(vec![
        M::up_with_hook(FIRST, |tx: &rusqlite::Transaction<'_>| Ok(stamp(tx, 1)?)),
        M::up_with_hook(SECOND, |tx: &rusqlite::Transaction<'_>| Ok(stamp(tx, 2)?)),
    ])
}

fn stamp(connection: &Connection, schema: i64) -> rusqlite::Result<()> {
    let columns = [Value::Integer(schema), Value::Text(env!("CARGO_PKG_VERSION").to_owned())];
    let seal = seal("events", columns.iter().map(ValueRef::from));
    let [schema, written_by] = columns;
    connection.execute(
        "INSERT OR REPLACE INTO format (id, schema, written_by, seal) VALUES (1, ?1, ?2, ?3)",
        params![schema, written_by, seal],
    )?;
    Ok(())
}

/// Makes the tables of a new database.
pub(super) fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    // Before the first table: what is deleted is given back to the disk.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    make_lasting(connection)?;
    migrations().to_latest(connection).map_err(super::super::schema::of_migration)
}

/// Opens one that exists, and brings it up to date.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Unfit> {
    make_lasting(connection)?;
    let complaint: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if complaint != "ok" {
        return Err(damaged(complaint).into());
    }
    let (schema, written_by) = version(connection)?;
    if schema > KNOWN {
        return Err(Unfit::Newer { schema, written_by });
    }
    migrations().to_latest(connection).map_err(super::super::schema::of_migration)?;
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<(i64, String)> {
    let number: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let mut statement = connection.prepare("SELECT schema, written_by, seal FROM format")?;
    let mut rows = statement.query([])?;
    let row = rows.next()?.ok_or_else(|| damaged("the row about its format is missing"))?;
    if unseal("events", 2, row)?.is_none() || row.get::<_, i64>(0)? != number {
        return Err(damaged("the row about its format is not what was written"));
    }
    Ok((number, row.get(1)?))
}

/// Settings of every connection.
pub(super) fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // What is erased is not to be found in the file either.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)
}

/// A commit survives the daemon's death, and is not waited for until it is on the disk.
fn make_lasting(connection: &Connection) -> rusqlite::Result<()> {
    configure(connection)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES)?;
    Ok(())
}

/// Page cache, in KiB as SQLite wants it: negative.
const CACHE_KIB: i64 = -16_384;
/// What is left of the write-ahead log after a long transaction.
const LOG_KEPT_BYTES: i64 = 16 << 20;
