//! The audit trail: numbered without gaps, each record sealed, the latest 100,000 kept.
use jiff::Timestamp;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, TransactionBehavior, params, params_from_iter};

use super::change::{AuditRecord, AuditTrail};
use super::rows::{Columns, text, unsigned};
use super::sealed::{Ledger, State, seal, unseal};
use crate::domain::erasure::Mentions;

const TABLE: &str = "audit";
const WIDTH: usize = 6;
const KEPT: u64 = 100_000;
const SELECT: &str = "SELECT id, at, actor, action, target, detail, seal FROM audit";

/// Adds a record, and lets go of the oldest once there are too many.
pub(super) fn append(ledger: &mut Ledger<'_>, record: &AuditRecord) -> rusqlite::Result<()> {
    let id = ledger.state.audit_last.wrapping_add(1);
    write(ledger.connection, id, record)?;
    ledger.state.audit_last = id;
    let first = ledger.state.audit_first.max((id + 1).saturating_sub(KEPT));
    if first != ledger.state.audit_first {
        let mut statement = ledger.connection.prepare_cached("DELETE FROM audit WHERE id < ?1")?;
        statement.execute(params![first.cast_signed()])?;
        ledger.state.audit_first = first;
    }
    ledger.dirty = true;
    Ok(())
}

/// Records that are let go of at once: nobody waits for longer.
const TRIMMED_AT_ONCE: u64 = 5_000;

/// Lets go of the oldest records, up to the first made at `oldest` or later.
pub(super) fn trim(ledger: &mut Ledger<'_>, oldest: Timestamp) -> rusqlite::Result<()> {
    let mut first = ledger.state.audit_first;
    let mut statement = ledger.connection.prepare_cached(&format!("{SELECT} ORDER BY id LIMIT ?1"))?;
    let mut rows = statement.query(params![TRIMMED_AT_ONCE.cast_signed()])?;
    while let Some(row) = rows.next()? {
        // One that is not what was written is told of at the next start, and stays until then.
        match read(row)? {
            Some(record) if record.at < oldest => first = row.get::<_, i64>(0)?.cast_unsigned() + 1,
            _ => break,
        }
    }
    if first == ledger.state.audit_first {
        return Ok(());
    }
    ledger.connection.prepare_cached("DELETE FROM audit WHERE id < ?1")?.execute(params![first.cast_signed()])?;
    ledger.state.audit_first = first;
    ledger.dirty = true;
    Ok(())
}

/// Blots out who is to be mentioned nowhere in all records; their numbers stay.
pub(super) fn erase(ledger: &mut Ledger<'_>, mentions: &Mentions) -> rusqlite::Result<()> {
    let mut changed = Vec::new();
    let mut statement = ledger.connection.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // Most mention nobody, which their bytes tell without any more.
        let mut texts = (0..WIDTH).filter_map(|at| row.get_ref(at).ok()?.as_str().ok());
        if !texts.any(|text| mentions.may_be_in(text)) {
            continue;
        }
        if let Some(mut record) = read(row)?
            && record.blot(mentions)
        {
            changed.push((row.get::<_, i64>(0)?.cast_unsigned(), record));
        }
    }
    for (id, record) in &changed {
        write(ledger.connection, *id, record)?;
        ledger.dirty = true;
    }
    Ok(())
}

fn write(connection: &Connection, id: u64, record: &AuditRecord) -> rusqlite::Result<()> {
    let columns: [Value; WIDTH] = [
        unsigned(id),
        text(&record.at.to_string()),
        text(&record.actor),
        text(&record.action),
        text(&record.target),
        text(&record.detail.to_string()),
    ];
    let seal = Value::Blob(seal(TABLE, columns.iter().map(ValueRef::from)).to_vec());
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO audit (id, at, actor, action, target, detail, seal) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params_from_iter(columns.iter().chain([&seal])))?;
    Ok(())
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<AuditRecord>> {
    let Some((mut columns, _)) = unseal(TABLE, WIDTH, row)? else { return Ok(None) };
    columns.remove(0);
    Ok(record(&mut Columns::new(columns)))
}

fn record(columns: &mut Columns<'_>) -> Option<AuditRecord> {
    Some(AuditRecord {
        at: columns.moment()?,
        actor: columns.text()?.to_owned(),
        action: columns.text()?.to_owned(),
        target: columns.text()?.to_owned(),
        detail: serde_json::from_str(columns.text()?).ok()?,
    })
}

/// The latest `limit` records made at `since` or later by the wall clock, oldest first.
pub(super) fn since(connection: &Connection, since: Timestamp, limit: usize) -> rusqlite::Result<AuditTrail> {
    let mut trail = AuditTrail::default();
    let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY id DESC"))?;
    let mut rows = statement.query([])?;
    while trail.records.len() < limit
        && let Some(row) = rows.next()?
    {
        match read(row)? {
            // The wall clock may have been set back, so an older time does not end the search.
            Some(record) if record.at < since => {}
            Some(record) => trail.records.push(record),
            None => trail.damaged += 1,
        }
    }
    trail.records.reverse();
    Ok(trail)
}

/// The numbers of records that are missing, altered, or should not be there.
pub(super) fn damaged(connection: &Connection, state: &State) -> rusqlite::Result<Vec<u64>> {
    let mut bad = Vec::new();
    let mut expected = state.audit_first;
    let mut statement = connection.prepare(&format!("{SELECT} ORDER BY id"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = row.get::<_, i64>(0)?.cast_unsigned();
        if id < expected || id > state.audit_last {
            bad.push(id);
            continue;
        }
        bad.extend(expected..id);
        if read(row)?.is_none() {
            bad.push(id);
        }
        expected = id.wrapping_add(1);
    }
    if expected <= state.audit_last {
        bad.extend(expected..=state.audit_last);
    }
    Ok(bad)
}

/// Puts a record that says so in the place of each lost one.
pub(super) fn mark(connection: &mut Connection, state: &State, lost: &[u64], at: Timestamp) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for id in lost {
        if (state.audit_first..=state.audit_last).contains(id) {
            let action = "audit.lost".to_owned();
            let detail = serde_json::json!({ "record": id });
            write(&tx, *id, &AuditRecord { at, actor: "weir".to_owned(), action, target: String::new(), detail })?;
        } else {
            tx.execute("DELETE FROM audit WHERE id = ?1", params![id.cast_signed()])?;
        }
    }
    tx.commit()
}

/// The records that are as they were written, as far as they can be reached.
pub(super) fn readable(connection: &Connection) -> Vec<AuditRecord> {
    let mut records = Vec::new();
    let mut collect = || -> rusqlite::Result<()> {
        let mut statement = connection.prepare(&format!("{SELECT} ORDER BY id"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            records.extend(read(row)?);
        }
        Ok(())
    };
    // Where it breaks off, the rest is lost.
    let _rest = collect();
    records
}
