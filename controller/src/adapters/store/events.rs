//! What was found: alerts, how far logs are read, and what detection remembers, in a database of its own.
//!
//! ```text
//! events.db         the database, with events.db-wal and events.db-shm
//! events.db.broken  the one that was last found unusable
//! ```
//!
//! The main store is read row by row at each start and copied as a whole, so that no decision is ever lost in silence;
//! that bears what people and feeds decide, and not what logs bring: a hundred thousand alerts that change with each
//! attack. Here each row is sealed by itself. A commit survives the death of the daemon, and is not waited for until it is
//! on the disk: a power cut may cost the latest ones. What is damaged is left out and counted, and a database that cannot
//! be used at all is put aside, with what can still be read of it taken over.
mod query;
mod schema;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::files;
use super::problem::{StoreError, Why, is_damage};
use super::sealed::{damaged, seal};
use crate::domain::http::alert::{Alert, AlertId, Status};
use crate::domain::http::book;
use crate::domain::report::{AlertFilter, AlertList, AlertStats};

const ALERTS: &str = "alerts";
const NOTES: &str = "notes";

/// The database's file.
const FILE: &str = "events.db";
/// The file of the one that was last found unusable.
const BROKEN: &str = "events.db.broken";
/// Rows that are deleted at once: nobody waits for longer.
const DELETED_AT_ONCE: u64 = 5_000;
/// Pages that are given back to the disk at once.
const FREED_AT_ONCE: u64 = 2_000;
/// Denials that are remembered.
const MOST_DENIALS: u32 = 65_536;
/// Largest note, in bytes.
const LARGEST_NOTE: usize = 64 << 20;

/// The open database, to write to.
#[derive(Debug)]
pub struct EventStore {
    connection: Connection,
    path: PathBuf,
}

/// The same, to read from: copies share one connection.
#[derive(Clone, Debug)]
pub struct EventReader {
    connection: Arc<Mutex<Connection>>,
    path: PathBuf,
}

/// What is written together.
#[derive(Clone, Debug, Default)]
pub struct Save {
    /// Alerts, new and changed.
    pub alerts: Vec<book::Change>,
    /// Notes by name, in place of those before: how far logs are read, and what detection remembers.
    pub notes: Vec<(String, String)>,
    /// Denials that were made.
    pub denials: Vec<PastDenial>,
}

impl Save {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.notes.is_empty() && self.denials.is_empty()
    }
}

/// A denial that was made: it counts against its source when the next one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastDenial {
    /// Who was denied.
    pub prefix: IpNet,
    /// When, to the millisecond.
    pub denied_at: Timestamp,
    /// For how many seconds.
    pub for_s: u64,
}

impl EventStore {
    /// Opens the database in `folder`, made if it is missing. What is wrong with it and has been dealt with comes beside
    /// it, and must be shown.
    ///
    /// # Errors
    /// [`StoreError`]: the folder can't be used, or the database is a later weir's.
    pub fn open(folder: &Path) -> Result<(Self, Option<String>), StoreError> {
        let path = folder.join(FILE);
        if !files::exists(&path)? {
            return Ok((Self::create(path)?, None));
        }
        files::make_private(&path)?;
        let mut connection = super::schema::connect(&path)?;
        match schema::prepare(&mut connection) {
            Ok(()) => Ok((Self { connection, path }, None)),
            Err(schema::Unfit::Newer { schema, written_by }) => {
                Err(StoreError::Newer { path, found: schema, known: schema::KNOWN, written_by })
            }
            Err(schema::Unfit::Sql(error)) if is_damage(&error) => {
                drop(connection);
                Self::start_over(folder, &error)
            }
            Err(schema::Unfit::Sql(error)) => Err(read_failed(&path, &connection, error)),
        }
    }

    fn create(path: PathBuf) -> Result<Self, StoreError> {
        files::create_private(&path)?;
        let mut connection = super::schema::connect(&path)?;
        match schema::create(&mut connection) {
            Ok(()) => Ok(Self { connection, path }),
            Err(error) => Err(super::write::write_failed(&path, &connection, error)),
        }
    }

    /// Puts the database aside and goes on with what can be read of it.
    fn start_over(folder: &Path, cause: &rusqlite::Error) -> Result<(Self, Option<String>), StoreError> {
        let (path, broken) = (folder.join(FILE), folder.join(BROKEN));
        for end in ["", "-wal", "-shm"] {
            let name = |path: &Path| {
                let mut name = path.to_owned().into_os_string();
                name.push(end);
                PathBuf::from(name)
            };
            let (from, to) = (name(&path), name(&broken));
            files::remove(&to)?;
            if files::exists(&from)? {
                std::fs::rename(&from, &to).map_err(files::failed("move aside", &from))?;
            }
        }
        let mut store = Self::create(path)?;
        let kept = store.take_over(&broken);
        let text = format!(
            "{} was unusable ({cause}) and is kept as {}: weir goes on with the {kept} alerts that could be read; denials \
             are not kept there, and none is lost",
            store.path.display(),
            broken.display()
        );
        Ok((store, Some(text)))
    }

    /// Copies what can be read of another database; how many alerts that was.
    fn take_over(&mut self, other: &Path) -> u64 {
        let Ok(connection) = super::schema::connect(other) else { return 0 };
        if super::schema::configure_for_salvage(&connection).is_err() {
            return 0;
        }
        let (alerts, notes) = (query::readable(&connection), query::readable_notes(&connection));
        let mut kept = 0;
        for alert in alerts {
            let change = book::Change { alert, is_new: true };
            kept += u64::from(self.save(&Save { alerts: vec![change], ..Save::default() }).is_ok());
        }
        let denials = query::denials_since(&connection, Timestamp::UNIX_EPOCH, MOST_DENIALS).unwrap_or_default();
        if let Err(error) = self.save(&Save { notes, denials, ..Save::default() }) {
            tracing::warn!(%error, "how far logs were read is not known any more");
        }
        kept
    }

    /// A connection to read by, beside this one.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn reader(&self) -> Result<EventReader, StoreError> {
        let path = self.path.clone();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
            schema::configure(&connection)?;
            Ok(connection)
        });
        let connection = opened.map_err(|error| StoreError::Read { path: path.clone(), why: Why::Other, error })?;
        Ok(EventReader { connection: Arc::new(Mutex::new(connection)), path })
    }

    /// Writes all of it, or nothing. What people changed about an alert that is written again stays.
    ///
    /// # Errors
    /// [`StoreError::Write`]: nothing of it is saved, and what was before is untouched.
    pub fn save(&mut self, save: &Save) -> Result<(), StoreError> {
        if save.is_empty() {
            return Ok(());
        }
        let outcome = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|tx| {
            for change in &save.alerts {
                put_alert(&tx, change)?;
            }
            for (name, text) in &save.notes {
                put_note(&tx, name, text)?;
            }
            let mut statement =
                tx.prepare_cached("INSERT INTO denials (prefix, denied_at, for_s) VALUES (?1, ?2, ?3)")?;
            for PastDenial { prefix, denied_at, for_s } in &save.denials {
                statement.execute(params![prefix.to_string(), denied_at.as_millisecond(), for_s.cast_signed()])?;
            }
            drop(statement);
            tx.commit()
        });
        outcome.map_err(|error| super::write::write_failed(&self.path, &self.connection, error))
    }

    /// Lets go of alerts last seen before `oldest`, and of the oldest where there are more than `most`; of so many at
    /// once, and how many that was.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn let_go(&mut self, most: u64, oldest: Timestamp) -> Result<u64, StoreError> {
        let outcome = (|| {
            let count: i64 = self.connection.query_row("SELECT count(*) FROM alerts", [], |row| row.get(0))?;
            let too_many = u64::try_from(count).unwrap_or(0).saturating_sub(most).min(DELETED_AT_ONCE);
            let mut gone = self.connection.execute(
                "DELETE FROM alerts WHERE number IN
                 (SELECT number FROM alerts WHERE last_seen < ?1 ORDER BY last_seen LIMIT ?2)",
                params![oldest.as_millisecond(), DELETED_AT_ONCE.cast_signed()],
            )?;
            let more = too_many.saturating_sub(gone as u64);
            if more > 0 {
                gone += self.connection.execute(
                    "DELETE FROM alerts WHERE number IN (SELECT number FROM alerts ORDER BY last_seen LIMIT ?1)",
                    params![more.cast_signed()],
                )?;
            }
            self.connection.execute(
                "DELETE FROM denials WHERE number <= (SELECT max(number) FROM denials) - ?1",
                params![MOST_DENIALS],
            )?;
            if gone > 0 {
                let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({FREED_AT_ONCE})"))?;
                let mut rows = statement.query([])?;
                while rows.next()?.is_some() {}
            }
            Ok(gone as u64)
        })();
        outcome.map_err(|error| super::write::write_failed(&self.path, &self.connection, error))
    }

    /// The note of this name; `None` where there is none, or it is not what was written.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn note(&self, name: &str) -> Result<Option<String>, StoreError> {
        query::note(&self.connection, name).map_err(|error| read_failed(&self.path, &self.connection, error))
    }

    /// Denials made at `since` or later, in the order they were made.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn denials_since(&self, since: Timestamp) -> Result<Vec<PastDenial>, StoreError> {
        let found = query::denials_since(&self.connection, since, MOST_DENIALS);
        found.map_err(|error| read_failed(&self.path, &self.connection, error))
    }

    /// Alerts that were last seen at `since` or later and are not closed, the latest `most` of them.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn open_since(&self, since: Timestamp, most: usize) -> Result<Vec<Alert>, StoreError> {
        let open = query::open_since(&self.connection, since, most);
        open.map_err(|error| read_failed(&self.path, &self.connection, error))
    }
}

impl EventReader {
    /// A page of the alerts that fit, by score, then the newest in front; and how many fit in all.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn list(&self, filter: &AlertFilter, limit: usize, offset: u64) -> Result<AlertList, StoreError> {
        let connection = self.connection();
        query::list(&connection, filter, limit, offset).map_err(|error| read_failed(&self.path, &connection, error))
    }

    /// An alert.
    ///
    /// # Errors
    /// [`StoreError::Read`]: also where it is not what was written.
    pub fn get(&self, id: AlertId) -> Result<Option<Alert>, StoreError> {
        let connection = self.connection();
        query::get(&connection, id).map_err(|error| read_failed(&self.path, &connection, error))
    }

    /// What there is, counted.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn stats(&self) -> Result<AlertStats, StoreError> {
        let connection = self.connection();
        query::stats(&connection).map_err(|error| read_failed(&self.path, &connection, error))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // Nothing is half done by one who only reads.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_failed(path: &Path, connection: &Connection, error: rusqlite::Error) -> StoreError {
    super::examine::read_failed(path, connection, error)
}

/// The columns of an alert's row, before its seal.
fn columns(alert: &Alert, status: Status) -> rusqlite::Result<[Value; 10]> {
    let mut document =
        serde_json::to_value(alert).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    if let Some(place) = document.get_mut("status") {
        *place = status.name().into();
    }
    let text = |text: &Option<String>| text.as_ref().map_or(Value::Null, |text| Value::Text(text.clone()));
    Ok([
        Value::Text(alert.id.to_string()),
        Value::Text(status.name().to_owned()),
        Value::Integer(alert.severity as i64),
        Value::Integer(i64::from(alert.score)),
        Value::Text(alert.analyzer.clone()),
        text(&alert.rule),
        text(&alert.source),
        text(&alert.user),
        Value::Integer(alert.last_seen.as_millisecond()),
        Value::Text(document.to_string()),
    ])
}

fn put_alert(tx: &Transaction<'_>, change: &book::Change) -> rusqlite::Result<()> {
    let alert = &change.alert;
    let mut status = alert.status;
    if !change.is_new {
        let mut statement = tx.prepare_cached("SELECT status FROM alerts WHERE id = ?1")?;
        let saved: Option<String> = statement.query_row([alert.id.to_string()], |row| row.get(0)).optional()?;
        status = saved.and_then(|saved| saved.parse().ok()).unwrap_or(status);
    }
    let columns = columns(alert, status)?;
    let seal = Value::Blob(seal(ALERTS, columns.iter().map(ValueRef::from)).to_vec());
    let mut statement = tx.prepare_cached(
        "INSERT INTO alerts (id, status, severity, score, analyzer, rule, source, user, last_seen, alert, seal)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, severity = excluded.severity, score = excluded.score,
         last_seen = excluded.last_seen, alert = excluded.alert, seal = excluded.seal
         RETURNING number",
    )?;
    let values = columns.iter().chain([&seal]);
    let number: i64 = statement.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?;
    if change.is_new {
        let mut statement = tx.prepare_cached("INSERT OR IGNORE INTO techniques (technique, alert) VALUES (?1, ?2)")?;
        for technique in &alert.techniques {
            statement.execute(params![technique, number])?;
        }
    }
    Ok(())
}

fn put_note(tx: &Transaction<'_>, name: &str, text: &str) -> rusqlite::Result<()> {
    if text.len() > LARGEST_NOTE {
        return Err(damaged(format!("the note {name} has {} bytes", text.len())));
    }
    let seal = seal(NOTES, [ValueRef::Text(name.as_bytes()), ValueRef::Text(text.as_bytes())]);
    let mut statement = tx.prepare_cached(
        "INSERT INTO notes (name, text, seal) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET text = excluded.text, seal = excluded.seal",
    )?;
    statement.execute(params![name, text, seal])?;
    Ok(())
}
