//! What weir remembers: lists, entries, settings and the audit trail, in SQLite.
//!
//! There is one writer, and one process to a state folder. A batch of changes is saved as a whole and durable before
//! [`Store::apply`] returns, or not at all. Everything is checked when the store is opened: a database that is not
//! exactly what was written is put aside, the last good copy takes its place, and the daemon is told what is lost; it
//! never starts with less than it had without saying so.
//!
//! ```text
//! weir.db         the database, with weir.db-wal, its write-ahead log
//! weir.db.good    the last good copy, made by Store::save_good_copy
//! weir.db.broken  the database that was last found unusable, with weir.db.broken-wal
//! weir.db.last    number of the latest acknowledged change, to notice that some are missing
//! weir.lock       held by the daemon, with its process number in it
//! ```
//!
//! While the daemon runs, no other program can open the database; `sqlite3` can read the good copy.
mod audit;
mod change;
mod chunks;
mod events;
mod examine;
mod files;
mod good_copy;
mod load;
mod lock;
mod problem;
mod recover;
mod rows;
mod scan;
mod schema;
mod sealed;
#[cfg(test)]
mod tests;
mod witness;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use crate::domain::time::Now;

pub use change::{AuditRecord, AuditTrail, Change, ClassLists, ListHeader, ListTotals};
pub use events::{
    CaseError, Changed, Erased, EventHead, EventReader, EventStore, PastDenial, Privacy, Save, SharedPrivacy,
};
pub use load::Loaded;
pub use problem::{Difference, Problem, StoreError, Why};

use files::Files;
use lock::Lock;
use rows::SETTINGS;
use sealed::unseal;
use witness::Witness;
use write::Refusal;

/// The open store of one state folder.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    witness: Witness,
    /// The boot that expiries are counted in.
    boot_id: Option<Arc<str>>,
    /// The change the good copy was made at.
    copied_at: Option<u64>,
    commits: u64,
    files: Files,
    /// Let go of last.
    _lock: Lock,
}

impl Store {
    /// Opens the store in `folder`, made if it is missing, and checks every row. What was wrong and has been dealt with
    /// is said in the problems; they must be shown.
    ///
    /// # Errors
    /// [`StoreError`]: the folder can't be used or is another daemon's, or the database is a later weir's.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Problem>), StoreError> {
        let files = Files::prepare(folder)?;
        let lock = Lock::take(&files)?;
        let (mut sound, mut problems) = recover::open(&files)?;
        if !sound.lost_audit.is_empty() {
            let rows = u64::try_from(sound.lost_audit.len()).unwrap_or(u64::MAX);
            problems.push(Problem::AuditDamaged { db: files.db(), rows });
            let marked = audit::mark(&mut sound.connection, &sound.state, &sound.lost_audit, Timestamp::now());
            if let Err(error) = marked {
                tracing::warn!(%error, "cannot mark the lost records of the audit trail");
            }
        }
        let mut witness = Witness::open(files.witness())?;
        if problems.is_empty() {
            witness.note(&sound.state);
        }
        // Otherwise the number stands until `load`: killed before it could tell of the problems, weir tells next time.
        files.sync_folder()?;
        let commits = sound.state.commits;
        let (connection, boot_id, copied_at) = (sound.connection, None, None);
        Ok((Self { connection, witness, boot_id, copied_at, commits, files, _lock: lock }, problems))
    }

    /// The database file.
    pub fn path(&self) -> PathBuf {
        self.files.db()
    }

    /// All that is saved, as of `now` in the boot called `boot_id`. Expiries saved later are taken to be counted in that
    /// boot. To be called after the problems that `open` found are shown: it ends their being found again.
    ///
    /// # Errors
    /// [`StoreError::Read`]: the disk is in the way. Damage is a problem within the answer.
    pub fn load(&mut self, now: Now, boot_id: &str) -> Result<Loaded, StoreError> {
        self.boot_id = Some(Arc::from(boot_id));
        let loaded = load::load(&self.connection, now, boot_id);
        let (mut loaded, state) = loaded.map_err(|error| self.read_failed(error))?;
        match state {
            Ok(state) => self.witness.note(&state),
            Err(cause) => loaded.problems.push(Problem::Unreadable { db: self.files.db(), cause }),
        }
        Ok(loaded)
    }

    /// Saves the whole batch, durably, before it returns; or nothing of it.
    ///
    /// # Errors
    /// [`StoreError::Write`]: the disk is full, read-only or failing; what was saved before is untouched, and the next
    /// attempt works once the cause is gone. [`StoreError::NoSuchList`]: something was to be put on a list that is not
    /// saved.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut outcome = write::commit(&mut self.connection, changes, self.boot_id.as_ref());
        if let Err(Refusal::Sql(error)) = &outcome
            && error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            && self.fold_log().is_ok()
        {
            // What the log takes up can be used again once it is folded.
            outcome = write::commit(&mut self.connection, changes, self.boot_id.as_ref());
        }
        match outcome {
            Ok(None) => Ok(()),
            Ok(Some(state)) => {
                self.commits = state.commits;
                self.witness.note(&state);
                Ok(())
            }
            Err(Refusal::NoSuchList(list)) => Err(StoreError::NoSuchList { path: self.files.db(), list }),
            Err(Refusal::Sql(error)) => Err(write::write_failed(&self.files.db(), &self.connection, error)),
        }
    }

    /// Moves what is in the write-ahead log to the database and empties the log.
    fn fold_log(&self) -> rusqlite::Result<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// The setting called `key`.
    ///
    /// # Errors
    /// [`StoreError::Read`]: it can't be read, or is not what was written.
    pub fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let read = || -> rusqlite::Result<Option<String>> {
            let mut statement =
                self.connection.prepare_cached("SELECT name, value, seal FROM settings WHERE name = ?1")?;
            let found = statement.query_row([key], |row| {
                let is_whole = unseal(SETTINGS.name, SETTINGS.width(), row)?.is_some();
                if is_whole { row.get(1) } else { Err(sealed::damaged("the setting is not what was written")) }
            });
            found.optional()
        };
        read().map_err(|error| self.read_failed(error))
    }

    /// Saves one setting: [`apply`](Self::apply) with nothing else in the batch.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn set_setting(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.apply(&[Change::SetSetting { key: key.to_owned(), value: value.to_owned() }])
    }

    /// Adds one record to the audit trail: [`apply`](Self::apply) with nothing else in the batch.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn append_audit(&mut self, record: AuditRecord) -> Result<(), StoreError> {
        self.apply(&[Change::Audit(record)])
    }

    /// The latest `limit` audit records made at `since` or later by the wall clock, in the order they were made.
    ///
    /// # Errors
    /// [`StoreError::Read`]: the trail can't be read.
    pub fn audit_since(&self, since: Timestamp, limit: usize) -> Result<AuditTrail, StoreError> {
        audit::since(&self.connection, since, limit).map_err(|error| self.read_failed(error))
    }

    /// Makes the database as it is now the last good copy, after reading the copy back. Does nothing if nothing was
    /// saved since the last time. A failure leaves the copy before in place.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::File`]: the copy could not be written. [`StoreError::Damaged`]: the database
    /// itself is no longer what was written.
    pub fn save_good_copy(&mut self) -> Result<(), StoreError> {
        if self.copied_at == Some(self.commits) {
            return Ok(());
        }
        let state = good_copy::save(&self.connection, &self.files)?;
        self.copied_at = Some(state.commits);
        Ok(())
    }

    /// Has nothing that was overwritten or deleted be found in the files any more: free pages are given back, the log is
    /// emptied, the good copy is made anew, and what is left of databases found unusable is removed.
    ///
    /// # Errors
    /// [`StoreError`]: something may still be found.
    pub fn forget_the_past(&mut self) -> Result<(), StoreError> {
        let rewritten = self.connection.execute_batch("VACUUM").and_then(|()| self.fold_log());
        rewritten.map_err(|error| write::write_failed(&self.files.db(), &self.connection, error))?;
        self.copied_at = None;
        self.save_good_copy()?;
        for path in [self.files.broken(), self.files.broken_log()] {
            files::remove(&path)?;
        }
        Ok(())
    }

    fn read_failed(&self, error: rusqlite::Error) -> StoreError {
        examine::read_failed(&self.files.db(), &self.connection, error)
    }
}
