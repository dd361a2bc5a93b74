//! The files of a state folder.
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::problem::{StoreError, Why};

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const WRITABLE_BY_OTHERS: u32 = 0o002;

/// A state folder and the names in it.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// The folder, made if it is missing, and only if nobody else may write to it.
    pub(super) fn prepare(folder: &Path) -> Result<Self, StoreError> {
        if !exists(folder)? {
            let created = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
            let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
            let synced = created.and_then(|()| sync(parent.unwrap_or(Path::new("."))));
            synced.map_err(failed("create the state folder", folder))?;
        }
        let metadata = fs::metadata(folder).map_err(failed("look at the state folder", folder))?;
        let mode = metadata.mode() & 0o7777;
        if mode & WRITABLE_BY_OTHERS != 0 {
            return Err(StoreError::Exposed { path: folder.to_owned(), mode });
        }
        Ok(Self { folder: folder.to_owned() })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn named(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The database.
    pub(super) fn db(&self) -> PathBuf {
        self.named("weir.db")
    }

    /// Its write-ahead log.
    pub(super) fn db_log(&self) -> PathBuf {
        self.named("weir.db-wal")
    }

    /// The last good copy of it.
    pub(super) fn good(&self) -> PathBuf {
        self.named("weir.db.good")
    }

    /// A good copy being made.
    pub(super) fn next_good(&self) -> PathBuf {
        self.named("weir.db.good.new")
    }

    /// The database that was last found unusable.
    pub(super) fn broken(&self) -> PathBuf {
        self.named("weir.db.broken")
    }

    /// Its write-ahead log.
    pub(super) fn broken_log(&self) -> PathBuf {
        self.named("weir.db.broken-wal")
    }

    /// A database being made.
    pub(super) fn next(&self) -> PathBuf {
        self.named("weir.db.new")
    }

    /// The number of the latest acknowledged change.
    pub(super) fn witness(&self) -> PathBuf {
        self.named("weir.db.last")
    }

    /// Held by the daemon that works on the folder.
    pub(super) fn lock(&self) -> PathBuf {
        self.named("weir.lock")
    }

    /// Removes what a killed daemon left half made.
    pub(super) fn clear_leftovers(&self) -> Result<(), StoreError> {
        for path in [self.next(), self.next_good()] {
            for end in ["", "-journal", "-wal", "-shm"] {
                let mut name = path.clone().into_os_string();
                name.push(end);
                remove(Path::new(&name))?;
            }
        }
        // Never made by weir, which keeps the log's index in memory.
        remove(&self.named("weir.db-shm"))
    }

    /// Puts the database made at [`next`](Self::next) in place, in one step: at every moment there is either the old one
    /// or the new one. The old one, if any, is kept as [`broken`](Self::broken).
    pub(super) fn install(&self) -> Result<(), StoreError> {
        sync_file(&self.next())?;
        let (db, broken) = (self.db(), self.broken());
        // The log goes first: SQLite would apply it to whatever lies beside it.
        if size(&self.db_log())?.is_some_and(|bytes| bytes > 0) {
            fs::rename(self.db_log(), self.broken_log()).map_err(failed("move aside", &self.db_log()))?;
        } else {
            remove(&self.db_log())?;
            remove(&self.broken_log())?;
        }
        if exists(&db)? {
            remove(&broken)?;
            fs::hard_link(&db, &broken)
                // Not every file system has hard links.
                .or_else(|_| fs::rename(&db, &broken))
                .map_err(failed("move aside", &db))?;
        }
        fs::rename(self.next(), &db).map_err(failed("put in place", &db))?;
        self.sync_folder()
    }

    /// Makes a change of names durable.
    pub(super) fn sync_folder(&self) -> Result<(), StoreError> {
        sync(&self.folder).map_err(failed("write out the state folder", &self.folder))
    }
}

/// Makes the content of a file durable.
pub(super) fn sync_file(path: &Path) -> Result<(), StoreError> {
    sync(path).map_err(failed("write out", path))
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|file| file.sync_all())
}

/// Makes an empty file that only its owner may read.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path);
    made.map(drop).map_err(failed("create", path))
}

/// Opens a small file for reading and writing, made if it is missing.
pub(super) fn open_private(path: &Path) -> Result<File, StoreError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path);
    opened.map_err(failed("open", path))
}

/// Takes every right from everybody but the owner.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    let metadata = fs::metadata(path).map_err(failed("look at", path))?;
    if metadata.mode() & 0o7777 == FILE_MODE {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(FILE_MODE)).map_err(failed("make private", path))
}

/// Copies a file to a new name.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::copy(from, to).map_err(failed("copy", from))?;
    make_private(to)?;
    sync_file(to)
}

/// Size of a file; `None` if there is none.
pub(super) fn size(path: &Path) -> Result<Option<u64>, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// Whether there is such a file.
pub(super) fn exists(path: &Path) -> Result<bool, StoreError> {
    Ok(size(path)?.is_some())
}

/// When a file was last written to.
pub(super) fn written_at(path: &Path) -> Result<Timestamp, StoreError> {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).map_err(failed("look at", path))?;
    Ok(Timestamp::try_from(modified).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Removes a file, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The error of having attempted `action` on `path`.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::File { action, path, why: Why::of_io(&error), error }
}
