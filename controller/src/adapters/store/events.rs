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
//! on the disk: a power cut may cost the latest ones. What people change is waited for. What is damaged is left out and
//! counted, and a database that cannot be used at all is put aside, with what can still be read of it taken over.
//!
//! Addresses are written here by the name that [`Privacy`] says they have.
mod alerts;
mod cases;
mod documents;
mod erase;
mod query;
mod recorded;
mod schema;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use super::files;
use super::problem::{StoreError, Why, is_damage};
use super::sealed::{damaged, seal};
use crate::domain::http::alert::{Alert, AlertId};
use crate::domain::http::book;
use crate::domain::privacy::Names;
use crate::domain::report::{AlertFilter, AlertList, AlertStats};
use crate::domain::reputation::Saved;

pub use self::cases::{CaseError, Changed};
pub use self::erase::Erased;
pub use self::recorded::EventHead;

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

/// What of people is written down.
#[derive(Clone, Debug, Default)]
pub struct Privacy {
    /// What addresses are called.
    pub names: Names,
    /// Whether nothing of requests is kept: no lines, no paths, no clients.
    pub drop_requests: bool,
}

/// The same, to be changed while the database is open.
pub type SharedPrivacy = Arc<ArcSwap<Privacy>>;

/// The open database, to write to.
#[derive(Debug)]
pub struct EventStore {
    connection: Connection,
    path: PathBuf,
    privacy: SharedPrivacy,
}

/// The same, to read from: copies share one connection.
#[derive(Clone, Debug)]
pub struct EventReader {
    connection: Arc<Mutex<Connection>>,
    path: PathBuf,
    privacy: SharedPrivacy,
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
    /// What evidence there is of sources, as a whole each.
    pub reputation: Vec<Saved>,
    /// Sources that there is no evidence of any more, by name.
    pub forgotten: Vec<Arc<str>>,
}

impl Save {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Self { alerts, notes, denials, reputation, forgotten } = self;
        alerts.is_empty() && notes.is_empty() && denials.is_empty() && reputation.is_empty() && forgotten.is_empty()
    }
}

/// A denial that was made: it counts against its source when the next one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastDenial {
    /// Who was denied, by the name that is kept.
    pub who: String,
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
    pub fn open(folder: &Path, privacy: SharedPrivacy) -> Result<(Self, Option<String>), StoreError> {
        let path = folder.join(FILE);
        if !files::exists(&path)? {
            return Ok((Self::create(path, privacy)?, None));
        }
        files::make_private(&path)?;
        let mut connection = super::schema::connect(&path)?;
        match schema::prepare(&mut connection) {
            Ok(()) => Ok((Self { connection, path, privacy }, None)),
            Err(schema::Unfit::Newer { schema, written_by }) => {
                Err(StoreError::Newer { path, found: schema, known: schema::KNOWN, written_by })
            }
            Err(schema::Unfit::Sql(error)) if is_damage(&error) => {
                drop(connection);
                Self::start_over(folder, privacy, &error)
            }
            Err(schema::Unfit::Sql(error)) => Err(read_failed(&path, &connection, error)),
        }
    }

    /// Whether there is a database in `folder`.
    pub fn is_in(folder: &Path) -> bool {
        // One that cannot be looked at is there: opening it says why.
        files::exists(&folder.join(FILE)).unwrap_or(true)
    }

    fn create(path: PathBuf, privacy: SharedPrivacy) -> Result<Self, StoreError> {
        files::create_private(&path)?;
        let mut connection = super::schema::connect(&path)?;
        match schema::create(&mut connection) {
            Ok(()) => Ok(Self { connection, path, privacy }),
            Err(error) => Err(super::write::write_failed(&path, &connection, error)),
        }
    }

    /// Puts the database aside and goes on with what can be read of it.
    fn start_over(
        folder: &Path,
        privacy: SharedPrivacy,
        cause: &rusqlite::Error,
    ) -> Result<(Self, Option<String>), StoreError> {
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
        let mut store = Self::create(path, privacy)?;
        let kept = store.take_over(&broken);
        let text = format!(
            "{} was unusable ({cause}) and is kept as {}: weir goes on with the {kept} alerts and events that could be read; \
             denials are not kept there, and none is lost",
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
        let reputation = documents::readable(&connection);
        if let Err(error) = self.save(&Save { notes, denials, reputation, ..Save::default() }) {
            tracing::warn!(%error, "how far logs were read is not known any more");
        }
        kept + self.take_over_cases(&connection) + self.take_over_events(&connection)
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
        Ok(EventReader { connection: Arc::new(Mutex::new(connection)), path, privacy: Arc::clone(&self.privacy) })
    }

    /// Writes all of it, or nothing. What people changed about an alert that is written again stays.
    ///
    /// # Errors
    /// [`StoreError::Write`]: nothing of it is saved, and what was before is untouched.
    pub fn save(&mut self, save: &Save) -> Result<(), StoreError> {
        if save.is_empty() {
            return Ok(());
        }
        let privacy = self.privacy.load();
        let outcome = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|tx| {
            for change in &save.alerts {
                alerts::put(&tx, change, &privacy)?;
            }
            for (name, text) in &save.notes {
                put_note(&tx, name, text)?;
            }
            let mut statement =
                tx.prepare_cached("INSERT INTO denials (prefix, denied_at, for_s) VALUES (?1, ?2, ?3)")?;
            for PastDenial { who, denied_at, for_s } in &save.denials {
                statement.execute(params![who, denied_at.as_millisecond(), for_s.cast_signed()])?;
            }
            drop(statement);
            documents::put_reputation(&tx, &save.reputation, &save.forgotten)?;
            tx.commit()
        });
        outcome.map_err(|error| super::write::write_failed(&self.path, &self.connection, error))
    }

    /// Lets go of alerts neither seen nor changed since `oldest`, and of the oldest where there are more than `most`; of so many at
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
                 (SELECT number FROM alerts WHERE touched < ?1 ORDER BY touched LIMIT ?2)",
                params![oldest.as_millisecond(), DELETED_AT_ONCE.cast_signed()],
            )?;
            let more = too_many.saturating_sub(gone as u64);
            if more > 0 {
                gone += self.connection.execute(
                    "DELETE FROM alerts WHERE number IN (SELECT number FROM alerts ORDER BY touched LIMIT ?1)",
                    params![more.cast_signed()],
                )?;
            }
            self.connection.execute(
                "DELETE FROM denials WHERE number <= (SELECT max(number) FROM denials) - ?1",
                params![MOST_DENIALS],
            )?;
            if gone > 0 {
                self.free_pages()?;
            }
            Ok(gone as u64)
        })();
        outcome.map_err(|error| super::write::write_failed(&self.path, &self.connection, error))
    }

    /// Gives pages that nothing is in back to the disk.
    fn free_pages(&self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(&format!("PRAGMA incremental_vacuum({FREED_AT_ONCE})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
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

    /// Alerts for which a source by one of these names is to be denied or limited `now`, not those that were nothing.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn asking(&self, called: &[String], now: Timestamp) -> Result<Vec<Alert>, StoreError> {
        let asking = query::asking(&self.connection, called, now);
        asking.map_err(|error| read_failed(&self.path, &self.connection, error))
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
        let names = &self.privacy.load().names;
        query::list(&connection, filter, names, limit, offset)
            .map_err(|error| read_failed(&self.path, &connection, error))
    }

    /// The worst alerts of an analyzer that were seen at `since` or later.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn worst_of(&self, analyzer: &str, since: Timestamp, most: usize) -> Result<Vec<Alert>, StoreError> {
        let connection = self.connection();
        let found = query::worst_of(&connection, analyzer, since, most);
        found.map_err(|error| read_failed(&self.path, &connection, error))
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
