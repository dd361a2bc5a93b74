//! Why a database of fail2ban's cannot be read.
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::{LARGEST, MOST_ROWS, PATIENCE};

/// Why a database of fail2ban's cannot be read. Nothing of it is taken then.
#[derive(Debug, thiserror::Error)]
pub enum Fail2banError {
    /// The file cannot be opened or read.
    #[error("{}: fail2ban's database cannot be read; give the path that `fail2ban-client get dbfile` prints, and read it as root", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder, a device, a pipe.
    #[error("{}: not a regular file; give the path that `fail2ban-client get dbfile` prints", .path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Larger than any list of bans.
    #[error("{}: {bytes} bytes are too many for a list of bans; the most is {LARGEST}; lower dbpurgeage or dbmaxmatches in fail2ban.conf", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Nothing in it.
    #[error("{}: empty; fail2ban has not written it yet", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Some other file.
    #[error("{}: not an SQLite database; give the path that `fail2ban-client get dbfile` prints", .path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// In a mode that cannot be read without writing, and that fail2ban does not use.
    #[error("{}: in write-ahead mode, which fail2ban does not use and which cannot be read without writing; `sqlite3 FILE 'PRAGMA journal_mode=DELETE'` takes it out of it", .path.display())]
    WriteAhead {
        /// The file.
        path: PathBuf,
    },
    /// Some other database.
    #[error("{}: an SQLite database, and not fail2ban's: it lacks {lacks}", .path.display())]
    NotFail2bans {
        /// The file.
        path: PathBuf,
        /// What is not in it.
        lacks: &'static str,
    },
    /// Shorter than it says itself.
    #[error("{}: cut short: {bytes} bytes of {says}; copy it again, or restart fail2ban, which repairs it", .path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The size it should have.
        says: i64,
    },
    /// Broken inside, or cut short.
    #[error("{}: broken or cut short; copy it again, or restart fail2ban, which repairs it", .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: rusqlite::Error,
    },
    /// Somebody writes to it and does not stop.
    #[error("{}: locked by another process for more than {} s; try again, or read a copy", .path.display(), PATIENCE.as_secs())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// More rows than any list of bans.
    #[error("{}: more than {MOST_ROWS} rows of bans; lower dbpurgeage in fail2ban.conf", .path.display())]
    TooManyRows {
        /// The file.
        path: PathBuf,
    },
    /// Anything else SQLite says.
    #[error("{}: fail2ban's database cannot be read", .path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

impl Fail2banError {
    pub(super) fn sql(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Broken { path, source },
            _ => Self::Sql { path, source },
        }
    }
}
