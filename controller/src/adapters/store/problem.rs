//! What can be wrong with the store: errors, which stop what was asked, and problems, with which it goes on, loudly.
use std::fmt;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, ffi};

use crate::domain::decision::ListId;

/// What the store could not do. Nothing that was stored before is changed by it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state folder or a file in it.
    #[error("cannot {action} {path}: {why}", path = path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed, and the way out.
        why: Why,
        /// The system's answer.
        #[source]
        error: io::Error,
    },
    /// Others could put files into the state folder.
    #[error("every user may write to the state folder {path} (mode {mode:04o}); `chmod o-w` it, or set [state] dir to a \
             folder of weir's own", path = path.display())]
    Exposed {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another daemon works on the same state.
    #[error("the state folder {path} is in use by another weir ({holder}); stop that one, or give this one a folder of \
             its own with [state] dir", path = path.display(), holder = Holder(*pid))]
    Held {
        /// The folder.
        path: PathBuf,
        /// The process that has it, where it could be told.
        pid: Option<u32>,
    },
    /// The database is of a later weir.
    #[error("{path} was written by weir {written_by} (schema {found}); this is weir {own}, which knows schemas up to \
             {known}; start the later weir, or move the file away to begin with an empty store", path = path.display(),
             own = env!("CARGO_PKG_VERSION"))]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The latest schema this weir knows.
        known: i64,
        /// The version of weir that made the schema.
        written_by: String,
    },
    /// The database could not be opened or read.
    #[error("cannot read the store {path}: {why}", path = path.display())]
    Read {
        /// The database.
        path: PathBuf,
        /// Why it failed, and the way out.
        why: Why,
        /// SQLite's answer.
        #[source]
        error: rusqlite::Error,
    },
    /// A change was not saved.
    #[error("the change is not saved: cannot write to {path}: {why}; what was saved before is untouched",
            path = path.display())]
    Write {
        /// The database.
        path: PathBuf,
        /// Why it failed, and the way out.
        why: Why,
        /// SQLite's answer.
        #[source]
        error: rusqlite::Error,
    },
    /// Something was to be put on a list that is not in the store.
    #[error("the change is not saved: list {list} is not in the store {path}; save the list itself first",
            path = path.display(), list = list.0)]
    NoSuchList {
        /// The database.
        path: PathBuf,
        /// The list.
        list: ListId,
    },
    /// The database turned out damaged while in use.
    #[error("{path} is damaged: {cause}; the last good copy is left as it was; check the disk and restart weir, which \
             then goes back to that copy", path = path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("its process could not be told"),
        }
    }
}

/// Why a file could not be read or written. Its text says the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The file system is full.
    NoSpace,
    /// A quota or a limit on file sizes.
    Quota,
    /// The file system is mounted read-only.
    ReadOnly,
    /// Permissions.
    Denied,
    /// Another program holds the database.
    Locked,
    /// The content is not what was written.
    Damaged,
    /// The disk reports an error.
    Disk,
    /// Anything else: the source says what.
    Other,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "no space is left on its file system; free some",
            Self::Quota => "a disk quota or file size limit is reached; raise it, or free space",
            Self::ReadOnly => "its file system is read-only; mount it writable",
            Self::Denied => "permission is denied; run weir as the user who owns the state folder",
            Self::Locked => "another program has it open; close that program",
            Self::Damaged => "it is damaged; restart weir, which then goes back to the last good copy",
            Self::Disk => "the disk reports an error; check the disk and the kernel's log",
            Self::Other => "unexpected answer from the system",
        })
    }
}

impl Why {
    pub(super) fn of_io(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSPC) => Self::NoSpace,
            Some(libc::EDQUOT | libc::EFBIG) => Self::Quota,
            Some(libc::EROFS) => Self::ReadOnly,
            Some(libc::EACCES | libc::EPERM) => Self::Denied,
            Some(libc::EIO) => Self::Disk,
            _ => Self::Other,
        }
    }

    /// Why `connection` failed with `error`, its latest.
    pub(super) fn of(connection: &Connection, error: &rusqlite::Error) -> Self {
        if is_damage(error) {
            return Self::Damaged;
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoSpace,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::PermissionDenied) => Self::Denied,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => match Self::of_io(&system_error(connection)) {
                Self::Other => Self::Disk,
                why => why,
            },
            _ => Self::Other,
        }
    }
}

/// The system's own error behind SQLite's "disk I/O error".
fn system_error(connection: &Connection) -> io::Error {
    // SAFETY: the handle is only used while `connection` is borrowed.
    let handle = unsafe { connection.handle() };
    // SAFETY: the handle is that of an open connection, of which the call reads one field.
    io::Error::from_raw_os_error(unsafe { ffi::sqlite3_system_errno(handle) })
}

/// Whether `error` says that the content is bad, rather than that the disk or another process is in the way.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        // Wrong types, missing columns, bad text: not what weir wrote.
        return true;
    };
    match failure.code {
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::ConstraintViolation
        | ErrorCode::SchemaChanged
        | ErrorCode::TooBig
        | ErrorCode::TypeMismatch => true,
        // The disk can't give the content back.
        ErrorCode::SystemIoFailure => matches!(
            failure.extended_code,
            ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS
        ),
        // A statement that fits weir's schema does not fit this one.
        ErrorCode::Unknown => failure.extended_code & 0xff == ffi::SQLITE_ERROR,
        _ => false,
    }
}

/// What was wrong with the store, and what was done about it. The daemon goes on, and must not keep it to itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The database was unusable; the last good copy took its place.
    #[error("the store {db} was unusable ({cause}); weir goes on with the good copy of {copied_at}, {good}, which holds \
             {entries} entries. {difference}. {kept}Block, allow or import again what is missing", db = db.display(),
            good = good.display(), kept = Kept(broken.as_ref()))]
    FellBack {
        /// The database.
        db: PathBuf,
        /// What was wrong with it.
        cause: String,
        /// The copy that took its place.
        good: PathBuf,
        /// When it was made.
        copied_at: Timestamp,
        /// Entries in it, imported ones included.
        entries: u64,
        /// How it differs from what could still be read of the database.
        difference: Difference,
        /// Where the unusable file is now, if there was one.
        broken: Option<PathBuf>,
    },
    /// The database was damaged and there was no good copy: what still verifies was kept.
    #[error("the store {db} was damaged ({cause}) and there is no good copy: weir goes on with {entries} entries in \
             {kept} rows that are still as they were written; rows lost: {lost}. {left}Block, allow or import again \
             what is missing", db = db.display(), left = Kept(broken.as_ref()),
            lost = lost.map_or_else(|| "unknown".to_owned(), |rows| rows.to_string()))]
    Salvaged {
        /// The database.
        db: PathBuf,
        /// What was wrong with it.
        cause: String,
        /// Entries kept, imported ones included.
        entries: u64,
        /// Rows kept.
        kept: u64,
        /// Rows lost, where it can be told.
        lost: Option<u64>,
        /// Where the damaged file is now.
        broken: Option<PathBuf>,
    },
    /// The database was unusable and nothing could be saved of it.
    #[error("the store {db} was unusable ({cause}), there is no good copy and nothing in it could be read: weir starts \
             with an EMPTY store, so no earlier block or allow is in it. {kept}Restore {db} from a backup, or block, allow \
             and import again", db = db.display(), kept = Kept(broken.as_ref()))]
    StartedEmpty {
        /// The database.
        db: PathBuf,
        /// What was wrong with it.
        cause: String,
        /// Where the unusable file is now, if there was one.
        broken: Option<PathBuf>,
    },
    /// The copy was damaged too.
    #[error("the good copy {good} is damaged too ({cause})", good = good.display())]
    CopyDamaged {
        /// The copy.
        good: PathBuf,
        /// What was wrong with it.
        cause: String,
    },
    /// The database is whole, but older than what was acknowledged.
    #[error("the store {db} is whole but lacks changes that weir had reported as saved: it is at change {at}, and change \
             {acknowledged} had been saved. Either its write-ahead log was lost or damaged, or an older file was put in \
             its place; compare `weir status` and the audit trail with what should be in force", db = db.display())]
    Behind {
        /// The database.
        db: PathBuf,
        /// Number of its latest change.
        at: u64,
        /// Number of the latest change that was acknowledged.
        acknowledged: u64,
    },
    /// The record of the latest acknowledged change can't be read.
    #[error("{path} is damaged and was written anew: this once, weir could not check that the store holds every change \
             it had reported as saved", path = path.display())]
    WitnessDamaged {
        /// The record.
        path: PathBuf,
    },
    /// Lines of the audit trail are lost.
    #[error("{rows} records of the audit trail in {db} are damaged and were marked as lost; lists, entries and settings \
             are as they were written", db = db.display())]
    AuditDamaged {
        /// The database.
        db: PathBuf,
        /// How many.
        rows: u64,
    },
    /// Rows went bad since the database was opened.
    #[error("the store {db} has been damaged since it was opened ({cause}): what was loaded is incomplete; restart weir, \
             which then goes back to the last good copy", db = db.display())]
    Unreadable {
        /// The database.
        db: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The wall clock shows a time before entries were made.
    #[error(
        "the clock shows a time before {entries} entries with an expiry were made: they are kept for their full \
             length again, counted from now; set the clock"
    )]
    ClockBehind {
        /// How many.
        entries: u64,
    },
}

struct Kept<'a>(Option<&'a PathBuf>);

impl fmt::Display for Kept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |broken| {
            write!(f, "The unusable file is kept as {}: `sqlite3` may still read it. ", broken.display())
        })
    }
}

/// How a good copy differs from what could still be read of the database it replaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Entries in the database that the copy does not have: lost until they are made again.
    pub missing: u64,
    /// The first few of them.
    pub examples: Vec<String>,
    /// Entries of the copy that were not found in the database: removed since, or unreadable there.
    pub restored: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.missing == 0 && self.restored == 0 {
            return f.write_str("No entry that could still be read differs from it");
        }
        write!(f, "{} entries that could still be read are not in it", self.missing)?;
        if !self.examples.is_empty() {
            write!(f, " ({}", self.examples.join(", "))?;
            let more = self.missing.saturating_sub(u64::try_from(self.examples.len()).unwrap_or(u64::MAX));
            if more > 0 {
                write!(f, " and {more} more")?;
            }
            f.write_str(")")?;
        }
        write!(f, ", and {} of its entries had been removed since or could not be read", self.restored)
    }
}
