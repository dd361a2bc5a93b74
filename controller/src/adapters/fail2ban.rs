//! Bans in fail2ban's database: read only, also while fail2ban has it open.
//!
//! fail2ban writes the database with a rollback journal that it keeps in memory, so a reader needs no file beside it
//! and makes none. A reader holds a shared lock for as long as it takes to walk one table; fail2ban waits for it up to
//! five seconds, which is thousands of times longer.
//!
//! The database is taken as something that may be broken or hostile: one table of plain rows is read, nothing in it is
//! run, and sizes and counts are bounded.
mod error;
mod row;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

pub use self::error::Fail2banError;
use self::row::{Columns, Read, Row};

/// Largest database that is opened, in bytes. A ban with ten log lines kept takes about two kilobytes.
pub const LARGEST: u64 = 1 << 30;

/// Most rows that are looked at, live or not.
pub const MOST_ROWS: usize = 2_000_000;

/// Refused rows whose text is kept; all are counted.
pub const REFUSED_KEPT: usize = 20;

/// How long fail2ban may keep the database locked before reading is given up.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a ban lasts of which the database does not say, in seconds: those from before fail2ban 0.11. It is what
/// fail2ban itself takes where it does not know the jail.
pub const UNKNOWN_BAN_S: i64 = 600;

/// A ban in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who is banned.
    pub address: IpNet,
    /// The jail that bans.
    pub jail: String,
    /// When it ends; `None`: never by itself.
    pub until: Option<Timestamp>,
}

/// A row that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What stands where the address should be, safe to print, at most eighty characters.
    pub text: String,
    /// What is wrong with the row.
    pub why: String,
}

/// What the database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bans {
    /// Bans in force, by jail, then by address; each pair once.
    pub live: Vec<Ban>,
    /// Rows that are over, or that a later ban of the same address by the same jail replaces.
    pub ended: usize,
    /// Rows that are refused.
    pub refused: usize,
    /// The first [`REFUSED_KEPT`] of them.
    pub refusals: Vec<Refused>,
}

/// The bans in force at `now`, of one jail or of all.
///
/// Reads every schema from fail2ban 0.8 to 1.1. A ban without a known length ends [`UNKNOWN_BAN_S`] after it was made.
/// Blocks while fail2ban writes, at the most for [`PATIENCE`].
///
/// # Errors
/// [`Fail2banError`], which names the file: not there, not a database, not fail2ban's, broken, locked, too large. A row
/// that cannot be read is no error; it is counted.
pub fn bans(path: &Path, now: Timestamp, jail: Option<&str>) -> Result<Bans, Fail2banError> {
    examine(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| Fail2banError::sql(path, error))?;
    read(&mut connection, path, now, jail)
}

/// Looks at the file before SQLite does: its kind, its size, its header.
fn examine(path: &Path) -> Result<(), Fail2banError> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    const WRITE_AHEAD: u8 = 2;
    let unreadable = |source| Fail2banError::Unreadable { path: path.to_owned(), source };
    let meta = fs::metadata(path).map_err(unreadable)?;
    // Before it is opened: opening a pipe waits for whoever writes to it.
    if !meta.is_file() {
        return Err(Fail2banError::NotAFile { path: path.to_owned() });
    }
    if meta.len() > LARGEST {
        return Err(Fail2banError::TooLarge { path: path.to_owned(), bytes: meta.len() });
    }
    let mut header = Vec::new();
    File::open(path).and_then(|file| file.take(100).read_to_end(&mut header)).map_err(unreadable)?;
    if header.is_empty() {
        return Err(Fail2banError::Empty { path: path.to_owned() });
    }
    if !header.starts_with(MAGIC) {
        return Err(Fail2banError::NotADatabase { path: path.to_owned() });
    }
    // Reading it would take a file beside it, and making one is writing.
    if header.get(18..20).is_some_and(|versions| versions.contains(&WRITE_AHEAD)) {
        return Err(Fail2banError::WriteAhead { path: path.to_owned() });
    }
    Ok(())
}

fn read(connection: &mut Connection, path: &Path, now: Timestamp, jail: Option<&str>) -> Result<Bans, Fail2banError> {
    let sql = |error| Fail2banError::sql(path, error);
    connection.busy_timeout(PATIENCE).map_err(sql)?;
    // Nothing that stands in the file is to be run, and a file cut short while mapped would end the process.
    connection.execute_batch("PRAGMA query_only = 1; PRAGMA trusted_schema = 0; PRAGMA mmap_size = 0").map_err(sql)?;
    let transaction = connection.transaction().map_err(sql)?;
    let columns = columns(&transaction, path)?;
    whole(&transaction, path)?;
    let mut statement = transaction.prepare(columns.query()).map_err(sql)?;
    let mut rows = statement.query([]).map_err(sql)?;
    let mut sorting = Sorting { bans: Bans::default(), latest: BTreeMap::new() };
    let mut looked_at = 0_usize;
    while let Some(row) = rows.next().map_err(sql)? {
        looked_at = looked_at.saturating_add(1);
        if looked_at > MOST_ROWS {
            return Err(Fail2banError::TooManyRows { path: path.to_owned() });
        }
        let value = |column| row.get_ref(column).unwrap_or(ValueRef::Null);
        match Row::read([value(0), value(1), value(2), value(3)], jail) {
            Read::Elsewhere => {}
            Read::Refused(refused) => sorting.refuse(refused),
            Read::Row(row) => sorting.take(row),
        }
    }
    Ok(sorting.finish(now))
}

/// The table that bans are read from, and whether it says how long they last.
fn columns(connection: &Connection, path: &Path) -> Result<Columns, Fail2banError> {
    let sql = |error| Fail2banError::sql(path, error);
    // A view, or a table of a module, would be a program of whoever made the file.
    let is_table = |name: &str| {
        let query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 AND rootpage > 0";
        connection.query_row(query, [name], |_| Ok(())).optional().map(|found| found.is_some())
    };
    let has = |table: &str, column: &str| {
        let query = "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2";
        connection.query_row(query, [table, column], |_| Ok(())).optional().map(|found| found.is_some())
    };
    let table = if is_table("bips").map_err(sql)? { "bips" } else { "bans" };
    if !is_table(table).map_err(sql)? || !is_table("fail2banDb").map_err(sql)? {
        return Err(Fail2banError::NotFail2bans { path: path.to_owned(), lacks: "table bans" });
    }
    for column in ["ip", "jail", "timeofban"] {
        if !has(table, column).map_err(sql)? {
            return Err(Fail2banError::NotFail2bans { path: path.to_owned(), lacks: column });
        }
    }
    Ok(match (table, has(table, "bantime").map_err(sql)?) {
        ("bips", true) => Columns::Current,
        ("bips", false) => return Err(Fail2banError::NotFail2bans { path: path.to_owned(), lacks: "bantime" }),
        (_, true) => Columns::History,
        (_, false) => Columns::HistoryWithoutLength,
    })
}

/// Refuses a file whose last page is cut, which SQLite fills up with zeros. Within a transaction, so that nobody is just
/// making it longer.
fn whole(connection: &Connection, path: &Path) -> Result<(), Fail2banError> {
    let number = |pragma: &str| {
        let number = connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
        number.map_err(|error| Fail2banError::sql(path, error))
    };
    let says = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
    let meta = fs::metadata(path).map_err(|source| Fail2banError::Unreadable { path: path.to_owned(), source })?;
    if i64::try_from(meta.len()).is_ok_and(|bytes| bytes < says) {
        return Err(Fail2banError::CutShort { path: path.to_owned(), bytes: meta.len(), says });
    }
    Ok(())
}

/// Rows on their way to what is in force.
struct Sorting {
    bans: Bans,
    latest: BTreeMap<(String, IpNet), Row>,
}

impl Sorting {
    fn refuse(&mut self, refused: Refused) {
        self.bans.refused = self.bans.refused.saturating_add(1);
        if self.bans.refusals.len() < REFUSED_KEPT {
            self.bans.refusals.push(refused);
        }
    }

    /// The latest ban of an address by a jail is the one that holds; of two at the same time, the longer.
    fn take(&mut self, row: Row) {
        let key = (row.jail.clone(), row.address);
        match self.latest.get_mut(&key) {
            None => {
                self.latest.insert(key, row);
            }
            Some(before) => {
                self.bans.ended = self.bans.ended.saturating_add(1);
                if before.order() < row.order() {
                    *before = row;
                }
            }
        }
    }

    fn finish(mut self, now: Timestamp) -> Bans {
        for ((jail, address), row) in self.latest {
            match row.end {
                Some(end) if end <= now => self.bans.ended = self.bans.ended.saturating_add(1),
                until => self.bans.live.push(Ban { address, jail, until }),
            }
        }
        self.bans
    }
}
