//! Reading every row, sound or not.
use rusqlite::Connection;

use super::problem::is_damage;
use super::rows::{Columns, READERS, Reader, Row};
use super::sealed::{State, damaged, unseal};

/// What a reading of all tables came to.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Rows that are as they were written.
    rows: u64,
    /// The sum of their seals.
    digest: u128,
    /// Rows that are not.
    damaged: u64,
    /// Why a table could not be read to its end.
    cut_short: Option<rusqlite::Error>,
}

impl Scan {
    /// Whether exactly the rows that belong to `state` were read.
    pub(super) fn check(self, state: &State) -> rusqlite::Result<()> {
        if let Some(error) = self.cut_short {
            return Err(error);
        }
        if self.damaged > 0 {
            return Err(damaged(format!("{} of {} rows are not what was written", self.damaged, state.rows)));
        }
        if self.rows != state.rows {
            return Err(damaged(format!("it has {} rows and should have {}", self.rows, state.rows)));
        }
        if self.digest != state.digest {
            return Err(damaged("its rows are not those that were written last"));
        }
        Ok(())
    }
}

/// Gives every row that is as it was written to `sink`, lists first; where a table can't be read through, from both
/// ends up to the damage.
pub(super) fn scan(connection: &Connection, mut sink: impl FnMut(Row)) -> Scan {
    let mut scan = Scan::default();
    for reader in &READERS {
        let Err(error) = pass(connection, reader, false, &mut scan, &mut sink) else { continue };
        // The second error is the same damage met from its other side.
        let _same = pass(connection, reader, true, &mut scan, &mut sink);
        scan.cut_short.get_or_insert(error);
    }
    scan
}

fn pass(
    connection: &Connection,
    (table, read): &Reader,
    backwards: bool,
    scan: &mut Scan,
    sink: &mut impl FnMut(Row),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&table.select(backwards))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let Some((columns, seal)) = unseal(table.name, table.width(), row)? else {
            scan.damaged += 1;
            continue;
        };
        let Some(row) = read(&mut Columns::new(columns)) else {
            scan.damaged += 1;
            continue;
        };
        scan.rows += 1;
        scan.digest = scan.digest.wrapping_add(u128::from_le_bytes(seal));
        sink(row);
    }
    Ok(())
}

/// The rows that are as they were written; those of a table that was read from both ends may come twice.
pub(super) fn readable(connection: &Connection) -> Vec<Row> {
    let mut rows = Vec::new();
    scan(connection, |row| rows.push(row));
    rows
}

/// Parts damage, as the text that says what it is, from a disk or a program that is in the way.
pub(super) fn damage_of<T>(result: rusqlite::Result<T>) -> rusqlite::Result<Result<T, String>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) if is_damage(&error) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
