//! Changes as rows.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::change::{Change, ListHeader};
use super::examine::Ruin;
use super::files::{self, Files};
use super::problem::{StoreError, Why};
use super::rows::{
    CLASS_LISTS, ENTRIES, EntryRow, IMPORTED, LISTS, RULES, Row, SETTINGS, TOTALS, USERS, UserRow, number, text,
    unsigned,
};
use super::sealed::{Ledger, State};
use super::{audit, chunks, schema};
use crate::domain::decision::ListId;
use crate::domain::desired::Desired;

/// Why a batch was not committed.
#[derive(Debug)]
pub(super) enum Refusal {
    NoSuchList(ListId),
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Commits all of `changes` or none; `None` if they change nothing.
pub(super) fn commit(
    connection: &mut Connection,
    changes: &[Change],
    boot_id: Option<&Arc<str>>,
) -> Result<Option<State>, Refusal> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut ledger = Ledger::open(&tx)?;
    for change in changes {
        perform(&mut ledger, change, boot_id)?;
    }
    let state = ledger.close()?;
    tx.commit()?;
    Ok(state)
}

fn perform(ledger: &mut Ledger<'_>, change: &Change, boot_id: Option<&Arc<str>>) -> Result<(), Refusal> {
    match change {
        Change::PutList(header) => put(ledger, &Row::List(header.clone()))?,
        Change::RemoveList(list) => {
            for table in [&ENTRIES, &IMPORTED, &TOTALS, &LISTS] {
                ledger.remove(table, &[number(*list)])?;
            }
        }
        Change::PutEntry { list, prefix, info } => {
            require(ledger, *list)?;
            let boot_id = boot_id.map(Arc::clone);
            put(ledger, &Row::Entry(EntryRow { list: *list, prefix: *prefix, info: info.clone(), boot_id }))?;
        }
        Change::RemoveEntry { list, prefix } => {
            ledger.remove(&ENTRIES, &[number(*list), text(&prefix.to_string())])?;
        }
        Change::PutImported { list, prefixes } => {
            require(ledger, *list)?;
            let mut gone = chunk_keys(ledger, *list)?;
            for chunk in chunks::cut(*list, prefixes) {
                gone.remove(&(chunk.family, chunk.bucket));
                // Writes nothing where the piece is saved as it is.
                put(ledger, &Row::Chunk(chunk))?;
            }
            for (family, bucket) in gone {
                ledger.remove(&IMPORTED, &[number(*list), i64::from(family).into(), i64::from(bucket).into()])?;
            }
        }
        Change::SetTotals { list, totals } => {
            if is_saved(ledger, *list)? {
                put(ledger, &Row::Totals(*list, *totals))?;
            }
        }
        Change::SetSetting { key, value } => put(ledger, &Row::Setting(key.clone(), value.clone()))?,
        Change::RemoveSetting { key } => ledger.remove(&SETTINGS, &[text(key)])?,
        Change::PutClassLists { generation, classes } => put(ledger, &Row::Classes(*generation, classes.clone()))?,
        Change::RemoveClassLists { generation } => ledger.remove(&CLASS_LISTS, &[unsigned(*generation)])?,
        Change::PutRule { id, rule } => put(ledger, &Row::Rule(id.clone(), rule.clone()))?,
        Change::RemoveRule { id } => ledger.remove(&RULES, &[text(id)])?,
        Change::PutUser(user) => {
            put(ledger, &Row::User(UserRow { user: user.clone(), boot_id: boot_id.map(Arc::clone) }))?;
        }
        Change::RemoveUser { user } => ledger.remove(&USERS, &[text(user)])?,
        Change::Audit(record) => audit::append(ledger, record)?,
        Change::TrimAudit { oldest } => audit::trim(ledger, *oldest)?,
        Change::EraseAudit { mentions } => audit::erase(ledger, mentions)?,
    }
    Ok(())
}

fn put(ledger: &mut Ledger<'_>, row: &Row) -> rusqlite::Result<()> {
    ledger.put(row.table(), &row.columns()?)
}

fn chunk_keys(ledger: &Ledger<'_>, list: ListId) -> rusqlite::Result<BTreeSet<(u8, u16)>> {
    let sql = "SELECT family, bucket FROM imported WHERE list = ?1";
    let mut statement = ledger.connection.prepare_cached(sql)?;
    statement.query_map(params![list.0], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn require(ledger: &Ledger<'_>, list: ListId) -> Result<(), Refusal> {
    if is_saved(ledger, list)? { Ok(()) } else { Err(Refusal::NoSuchList(list)) }
}

fn is_saved(ledger: &Ledger<'_>, list: ListId) -> rusqlite::Result<bool> {
    let mut statement = ledger.connection.prepare_cached("SELECT 1 FROM lists WHERE id = ?1")?;
    Ok(statement.query_row(params![list.0], |_| Ok(())).optional()?.is_some())
}

/// Makes a database at [`Files::next`] with the two lists every instance has and what could be read of another one;
/// says how many of those rows it holds. Rows of a list that is itself lost have no meaning and are left out.
pub(super) fn build(files: &Files, from: &Ruin) -> Result<u64, StoreError> {
    let path = files.next();
    files::remove(&path)?;
    files::create_private(&path)?;
    let mut connection = schema::connect(&path)?;
    fill(&mut connection, from).map_err(|error| write_failed(&path, &connection, error))
}

fn fill(connection: &mut Connection, from: &Ruin) -> rusqlite::Result<u64> {
    schema::configure(connection)?;
    schema::make_hasty(connection)?;
    schema::migrations().to_latest(connection).map_err(schema::of_migration)?;
    let tx = connection.transaction()?;
    let mut ledger = Ledger::open(&tx)?;
    let (lists, others): (Vec<_>, Vec<_>) = from.rows.iter().partition(|row| matches!(row, Row::List(_)));
    for list in lists {
        put(&mut ledger, list)?;
    }
    let mut made_up = 0;
    for list in Desired::new().lists() {
        if !is_saved(&ledger, list.id)? {
            put(&mut ledger, &Row::List(ListHeader::of(list)))?;
            made_up += 1;
        }
    }
    for row in others {
        let has_its_list = match row.owner() {
            Some(list) => is_saved(&ledger, list)?,
            None => true,
        };
        if has_its_list {
            put(&mut ledger, row)?;
        }
    }
    for record in &from.audit {
        audit::append(&mut ledger, record)?;
    }
    let kept = ledger.state.rows.saturating_sub(made_up);
    ledger.close()?;
    tx.commit()?;
    Ok(kept)
}

/// The error of not having been able to write to the database at `path`.
pub(super) fn write_failed(path: &Path, connection: &Connection, error: rusqlite::Error) -> StoreError {
    StoreError::Write { path: path.to_owned(), why: Why::of(connection, &error), error }
}
