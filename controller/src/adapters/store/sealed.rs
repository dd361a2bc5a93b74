//! Rows that say themselves whether they are as they were written.
//!
//! Each row ends in a seal, 16 bytes of SHA-256 over its table's name and every column. The sum of all seals stands in
//! the `state` row, so that a row that vanished, or came back, is found as well as one that was changed.
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, ffi, params_from_iter};
use sha2::{Digest as _, Sha256};

/// The first half of a SHA-256: enough against rot; nobody who may write the file is kept from forging it.
pub(super) type Seal = [u8; 16];

/// A table of sealed rows. Its last column, `seal`, is not named here.
#[derive(Debug)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    /// The columns that tell a row from the others.
    pub(super) keys: &'static [&'static str],
    /// The columns beside them.
    pub(super) rest: &'static [&'static str],
}

impl Table {
    /// Number of columns before the seal.
    pub(super) fn width(&self) -> usize {
        self.keys.len() + self.rest.len()
    }

    fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().chain(self.rest).copied()
    }

    /// Reads all rows in the order of their keys, or in the opposite one.
    pub(super) fn select(&self, backwards: bool) -> String {
        let order = if backwards { " DESC" } else { "" };
        let keys: Vec<_> = self.keys.iter().map(|key| format!("{key}{order}")).collect();
        let columns: Vec<_> = self.columns().collect();
        format!("SELECT {}, seal FROM {} ORDER BY {}", columns.join(", "), self.name, keys.join(", "))
    }

    fn matching(&self, keys: usize) -> String {
        let terms: Vec<_> = self.keys.iter().take(keys).zip(1..).map(|(key, n)| format!("{key} = ?{n}")).collect();
        terms.join(" AND ")
    }

    fn find(&self) -> String {
        format!("SELECT seal FROM {} WHERE {}", self.name, self.matching(self.keys.len()))
    }

    fn delete(&self, keys: usize) -> String {
        format!("DELETE FROM {} WHERE {} RETURNING seal", self.name, self.matching(keys))
    }

    fn put(&self) -> String {
        let columns: Vec<_> = self.columns().chain(["seal"]).collect();
        let values: Vec<_> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        let updates: Vec<_> =
            self.rest.iter().chain(&["seal"]).map(|column| format!("{column} = excluded.{column}")).collect();
        format!(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}",
            self.name,
            columns.join(", "),
            values.join(", "),
            self.keys.join(", "),
            updates.join(", ")
        )
    }
}

/// The seal of a row of `table` with these columns.
pub(super) fn seal<'v>(table: &str, columns: impl IntoIterator<Item = ValueRef<'v>>) -> Seal {
    let mut hash = Sha256::new();
    // Every part says its length first, so that no two rows are the same bytes.
    let mut part = |kind: u8, bytes: &[u8]| {
        hash.update([kind]);
        hash.update(bytes.len().to_le_bytes());
        hash.update(bytes);
    };
    part(b't', table.as_bytes());
    for column in columns {
        match column {
            ValueRef::Null => part(b'0', &[]),
            ValueRef::Integer(number) => part(b'i', &number.to_le_bytes()),
            ValueRef::Real(number) => part(b'r', &number.to_bits().to_le_bytes()),
            ValueRef::Text(text) => part(b's', text),
            ValueRef::Blob(blob) => part(b'b', blob),
        }
    }
    let digest = hash.finalize();
    let mut seal = Seal::default();
    seal.copy_from_slice(&digest[..16]);
    seal
}

/// The first `width` columns of a row, if the seal that follows them is theirs.
pub(super) fn unseal<'r>(
    table: &str,
    width: usize,
    row: &'r Row<'_>,
) -> rusqlite::Result<Option<(Vec<ValueRef<'r>>, Seal)>> {
    let columns = (0..width).map(|n| row.get_ref(n)).collect::<rusqlite::Result<Vec<_>>>()?;
    let expected = seal(table, columns.iter().copied());
    let found = row.get_ref(width)?;
    Ok((found == ValueRef::Blob(&expected)).then_some((columns, expected)))
}

/// The error for content that is not what was written.
pub(super) fn damaged(what: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(what.into()))
}

/// The one row about all the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Changes committed since the store was made.
    pub(super) commits: u64,
    /// Sealed rows in all tables but the audit trail.
    pub(super) rows: u64,
    /// The sum of their seals.
    pub(super) digest: u128,
    /// Number of the audit trail's oldest record; one more than the latest where there is none.
    pub(super) audit_first: u64,
    /// Number of its latest record.
    pub(super) audit_last: u64,
}

const STATE: &str = "state";

impl State {
    /// The state of a store in which nothing has happened.
    pub(super) const EMPTY: Self = Self { commits: 0, rows: 0, digest: 0, audit_first: 1, audit_last: 0 };

    /// Reads it; a missing or altered row is an error.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement =
            connection.prepare_cached("SELECT commits, rows, digest, audit_first, audit_last, seal FROM state")?;
        let mut rows = statement.query([])?;
        let row = rows.next()?.ok_or_else(|| damaged("the row about its state is missing"))?;
        if unseal(STATE, 5, row)?.is_none() {
            return Err(damaged("the row about its state is not what was written"));
        }
        Ok(Self {
            commits: row.get::<_, i64>(0)?.cast_unsigned(),
            rows: row.get::<_, i64>(1)?.cast_unsigned(),
            digest: u128::from_le_bytes(row.get(2)?),
            audit_first: row.get::<_, i64>(3)?.cast_unsigned(),
            audit_last: row.get::<_, i64>(4)?.cast_unsigned(),
        })
    }

    /// Writes it in place of the one before.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let columns = [
            Value::Integer(self.commits.cast_signed()),
            Value::Integer(self.rows.cast_signed()),
            Value::Blob(self.digest.to_le_bytes().to_vec()),
            Value::Integer(self.audit_first.cast_signed()),
            Value::Integer(self.audit_last.cast_signed()),
        ];
        let seal = seal(STATE, columns.iter().map(ValueRef::from));
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO state (id, commits, rows, digest, audit_first, audit_last, seal)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        statement.execute(params_from_iter(columns.into_iter().chain([Value::Blob(seal.to_vec())])))?;
        Ok(())
    }
}

/// Writes sealed rows within a transaction, and keeps the sum.
#[derive(Debug)]
pub(super) struct Ledger<'c> {
    /// The transaction.
    pub(super) connection: &'c Connection,
    /// The state once it is [closed](Self::close).
    pub(super) state: State,
    /// Whether anything has been written.
    pub(super) dirty: bool,
}

impl<'c> Ledger<'c> {
    /// Begins with the state as it is.
    pub(super) fn open(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self { connection, state: State::read(connection)?, dirty: false })
    }

    /// Saves a row, keys first, in place of the one with its keys. Writes nothing if it is there already.
    pub(super) fn put(&mut self, table: &Table, columns: &[Value]) -> rusqlite::Result<()> {
        let new = seal(table.name, columns.iter().map(ValueRef::from));
        let keys = columns.iter().take(table.keys.len());
        let old: Option<Seal> = self
            .connection
            .prepare_cached(&table.find())?
            .query_row(params_from_iter(keys), |row| row.get(0))
            .optional()?;
        if old == Some(new) {
            return Ok(());
        }
        let seal = Value::Blob(new.to_vec());
        self.connection.prepare_cached(&table.put())?.execute(params_from_iter(columns.iter().chain([&seal])))?;
        match old {
            Some(old) => self.subtract(old),
            None => self.state.rows = self.state.rows.wrapping_add(1),
        }
        self.state.digest = self.state.digest.wrapping_add(u128::from_le_bytes(new));
        self.dirty = true;
        Ok(())
    }

    /// Removes every row that begins with these keys.
    pub(super) fn remove(&mut self, table: &Table, keys: &[Value]) -> rusqlite::Result<()> {
        let seals: Vec<Seal> = self
            .connection
            .prepare_cached(&table.delete(keys.len()))?
            .query_map(params_from_iter(keys), |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for seal in seals {
            self.subtract(seal);
            self.state.rows = self.state.rows.wrapping_sub(1);
            self.dirty = true;
        }
        Ok(())
    }

    fn subtract(&mut self, seal: Seal) {
        self.state.digest = self.state.digest.wrapping_sub(u128::from_le_bytes(seal));
    }

    /// Writes the new state, to be committed with the rest; `None` if nothing has changed.
    pub(super) fn close(mut self) -> rusqlite::Result<Option<State>> {
        if !self.dirty {
            return Ok(None);
        }
        self.state.commits = self.state.commits.wrapping_add(1);
        self.state.write(self.connection)?;
        Ok(Some(self.state))
    }
}
