//! The last good copy of the database.
use std::fs;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::files::{self, Files};
use super::problem::StoreError;
use super::scan::damage_of;
use super::sealed::State;
use super::write::write_failed;
use super::{examine, schema};

/// Copies the open database, reads the copy back, and only then puts it in place of the one before.
pub(super) fn save(connection: &Connection, files: &Files) -> Result<State, StoreError> {
    let next = files.next_good();
    let saved = copy(connection, files);
    if saved.is_err() {
        // The space it takes may be what the next attempt needs.
        files::remove(&next)?;
    }
    saved
}

fn copy(connection: &Connection, files: &Files) -> Result<State, StoreError> {
    let (next, good) = (files.next_good(), files.good());
    files::remove(&next)?;
    files::create_private(&next)?;
    let mut target = schema::connect(&next)?;
    let state = match damage_of(transfer(connection, &mut target)) {
        Ok(Ok(state)) => state,
        Ok(Err(cause)) => return Err(StoreError::Damaged { path: files.db(), cause }),
        Err(error) => return Err(write_failed(&next, &target, error)),
    };
    drop(target);
    files::sync_file(&next)?;
    fs::rename(&next, &good).map_err(files::failed("put in place", &good))?;
    files.sync_folder()?;
    Ok(state)
}

fn transfer(connection: &Connection, target: &mut Connection) -> rusqlite::Result<State> {
    schema::configure(target)?;
    target.pragma_update(None, "synchronous", "OFF")?;
    let outcome = Backup::new(connection, target)?.step(ALL_PAGES)?;
    if outcome != StepResult::Done {
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None));
    }
    // The copy has no log, so it must not say that it uses one.
    schema::make_hasty(target)?;
    let complaint: String = target.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if complaint != "ok" {
        return Err(super::sealed::damaged(complaint));
    }
    let (state, _) = examine::content(target)?;
    Ok(state)
}

const ALL_PAGES: i32 = -1;
