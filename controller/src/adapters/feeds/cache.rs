//! The last good copy of each feed, so that a start without network has what was in force.
//!
//! A copy is two files: the body, compressed and named by its content, and a small JSON document that names it. The
//! document is renamed into place last, so a crash leaves the copy before or the copy after, never half of each. The
//! calls block; an async caller gives them a thread of their own.
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fetch::{Known, Validators, hash};

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Longest document, in bytes.
const LONGEST_DOCUMENT: u64 = 64 << 10;
/// Version of the document's form.
const VERSION: u32 = 1;

/// Why a copy cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Reading or writing failed.
    #[error("cannot {action} {}: {cause}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error.
        #[source]
        cause: io::Error,
    },
    /// The copy is not what was written.
    #[error("the kept copy of feed {feed} ({}) is damaged: {why}; it is not used and is replaced at the next fetch", .path.display())]
    Damaged {
        /// The feed.
        feed: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The copy is of another feed or another source.
    #[error("the kept copy {} is not of feed {feed} at its present source; it is not used", .path.display())]
    Foreign {
        /// The feed.
        feed: String,
        /// The file.
        path: PathBuf,
    },
    /// More than may be held.
    #[error("the kept copy of feed {feed} ({}) is larger than {limit} bytes; raise the feed's most_mib", .path.display())]
    TooLarge {
        /// The feed.
        feed: String,
        /// The file.
        path: PathBuf,
        /// The most, in bytes.
        limit: u64,
    },
}

impl CacheError {
    /// Its name in metrics; one of a few.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Io { .. } => "cache_io",
            Self::Damaged { .. } => "cache_damaged",
            Self::Foreign { .. } => "cache_foreign",
            Self::TooLarge { .. } => "cache_too_large",
        }
    }
}

/// What is known of a copy besides its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The feed's name.
    pub feed: String,
    /// [`super::fetch::Source::fingerprint`] of where it came from.
    pub source: [u8; 32],
    /// For the next request.
    pub validators: Validators,
    /// Of the body.
    pub sha256: [u8; 32],
    /// When the body was received.
    pub fetched_at: Timestamp,
    /// When the server last said that it is the present one.
    pub checked_at: Timestamp,
    /// Entries taken from it.
    pub entries: u64,
}

impl Meta {
    /// What makes the next request conditional.
    pub fn known(&self) -> Known {
        Known { validators: self.validators.clone(), sha256: self.sha256, in_full: false }
    }
}

/// A copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// What is known of it.
    pub meta: Meta,
    /// The feed's body, decompressed.
    pub body: Vec<u8>,
}

/// The document beside a body.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    feed: String,
    source: String,
    etag: Option<String>,
    last_modified: Option<String>,
    index: Option<String>,
    sha256: String,
    fetched_at: Timestamp,
    checked_at: Timestamp,
    entries: u64,
}

impl Document {
    fn of(meta: &Meta) -> Self {
        Self {
            version: VERSION,
            feed: meta.feed.clone(),
            source: hex::encode(meta.source),
            etag: meta.validators.etag.clone(),
            last_modified: meta.validators.last_modified.clone(),
            index: meta.validators.index.map(hex::encode),
            sha256: hex::encode(meta.sha256),
            fetched_at: meta.fetched_at,
            checked_at: meta.checked_at,
            entries: meta.entries,
        }
    }

    fn read(self) -> Result<Meta, String> {
        if self.version != VERSION {
            return Err(format!("it is of version {}, not {VERSION}", self.version));
        }
        let index = self.index.as_deref().map(|text| digest("index", text)).transpose()?;
        Ok(Meta {
            source: digest("source", &self.source)?,
            sha256: digest("sha256", &self.sha256)?,
            feed: self.feed,
            validators: Validators { etag: self.etag, last_modified: self.last_modified, index },
            fetched_at: self.fetched_at,
            checked_at: self.checked_at,
            entries: self.entries,
        })
    }
}

fn digest(field: &str, text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|error| format!("{field}: {error}"))?;
    Ok(bytes)
}

/// The copies.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The copies in `feeds` of the state folder, which is made if it is missing.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub fn open(state: &Path) -> Result<Self, CacheError> {
        let folder = state.join("feeds");
        match DirBuilder::new().mode(FOLDER_MODE).create(&folder) {
            Ok(()) => sync_folder(state)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => return Err(failed("create the folder", &folder)(error)),
        }
        Ok(Self { folder })
    }

    /// Keeps this copy in place of the one before.
    ///
    /// # Errors
    /// [`CacheError::Io`]; the copy before is still there then.
    pub fn save(&self, meta: &Meta, body: &[u8]) -> Result<(), CacheError> {
        let stem = stem(&meta.feed);
        let name = body_name(&stem, &meta.sha256);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = packed.write_all(body).and_then(|()| packed.finish());
        let packed = packed.map_err(failed("compress", &self.folder.join(&name)))?;
        self.write(&name, &packed)?;
        self.touch(meta)?;
        self.remove_where(|found| is_body_of(found, &stem) && found != name)?;
        Ok(())
    }

    /// Writes what is known anew, for a body that is kept already: the server said that nothing changed.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub fn touch(&self, meta: &Meta) -> Result<(), CacheError> {
        let name = format!("{}.json", stem(&meta.feed));
        let document = serde_json::to_vec_pretty(&Document::of(meta));
        let document = document.map_err(|error| failed("write", &self.folder.join(&name))(io::Error::other(error)))?;
        self.write(&name, &document)
    }

    /// The copy of a feed; none where there is none. `source` is where the feed is now, `most_bytes` how large its body
    /// may be.
    ///
    /// # Errors
    /// Any [`CacheError`]: nothing of the copy is to be used then, its validators neither.
    pub fn load(&self, feed: &str, source: [u8; 32], most_bytes: u64) -> Result<Option<Copy>, CacheError> {
        let stem = stem(feed);
        let path = self.folder.join(format!("{stem}.json"));
        let too_large =
            |path: &Path| CacheError::TooLarge { feed: feed.to_owned(), path: path.to_owned(), limit: most_bytes };
        let damaged =
            |path: &Path, why: String| CacheError::Damaged { feed: feed.to_owned(), path: path.to_owned(), why };
        let Some(file) = open(&path)? else { return Ok(None) };
        let mut text = Vec::new();
        let read = file.take(LONGEST_DOCUMENT + 1).read_to_end(&mut text).map_err(failed("read", &path))?;
        if u64::try_from(read).unwrap_or(u64::MAX) > LONGEST_DOCUMENT {
            return Err(damaged(&path, format!("it is longer than {LONGEST_DOCUMENT} bytes")));
        }
        let document: Document = serde_json::from_slice(&text).map_err(|error| damaged(&path, error.to_string()))?;
        let meta = document.read().map_err(|why| damaged(&path, why))?;
        if meta.feed != feed || meta.source != source {
            return Err(CacheError::Foreign { feed: feed.to_owned(), path });
        }
        let path = self.folder.join(body_name(&stem, &meta.sha256));
        let Some(file) = open(&path)? else { return Err(damaged(&path, "it is missing".to_owned())) };
        let mut body = Vec::new();
        // Both bounded: what is read, and what it becomes.
        let packed_most = most_bytes.saturating_add(most_bytes / 1_000).saturating_add(1_024);
        let mut unpacked = GzDecoder::new(file.take(packed_most)).take(most_bytes.saturating_add(1));
        let read = unpacked.read_to_end(&mut body).map_err(|error| damaged(&path, error.to_string()))?;
        if u64::try_from(read).unwrap_or(u64::MAX) > most_bytes {
            return Err(too_large(&path));
        }
        if hash(&body) != meta.sha256 {
            return Err(damaged(&path, "its content is not what the document beside it says".to_owned()));
        }
        Ok(Some(Copy { meta, body }))
    }

    /// Removes the copies of feeds that are not among `feeds`, and what a killed daemon left half made. How many files.
    ///
    /// # Errors
    /// [`CacheError::Io`].
    pub fn retain(&self, feeds: &[&str]) -> Result<usize, CacheError> {
        let stems: BTreeSet<String> = feeds.iter().map(|feed| stem(feed)).collect();
        // A document's body is the one it names; another feed's stem never begins with this one's and a dot.
        self.remove_where(|found| {
            !found.split_once('.').is_some_and(|(stem, rest)| stems.contains(stem) && rest != "new")
        })
    }

    fn remove_where(&self, unwanted: impl Fn(&str) -> bool) -> Result<usize, CacheError> {
        let listed = fs::read_dir(&self.folder).map_err(failed("list", &self.folder))?;
        let mut removed = 0usize;
        for entry in listed {
            let entry = entry.map_err(failed("list", &self.folder))?;
            let name = entry.file_name();
            // Only names of our own making: what else lies there is somebody's.
            let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
            if unwanted(name) {
                match fs::remove_file(entry.path()) {
                    Ok(()) => removed = removed.saturating_add(1),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(failed("remove", &entry.path())(error)),
                }
            }
        }
        if removed > 0 {
            sync_folder(&self.folder)?;
        }
        Ok(removed)
    }

    /// Written aside, flushed, renamed, and the folder flushed.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        let path = self.folder.join(name);
        let aside = self.folder.join(format!("{}.new", name.split('.').next().unwrap_or_default()));
        let written = (|| {
            remove(&aside)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&aside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&aside, &path)
        })();
        if let Err(error) = written {
            // The space it takes may be what the next attempt needs.
            remove(&aside).map_err(failed("remove", &aside))?;
            return Err(failed("write", &path)(error));
        }
        sync_folder(&self.folder)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_owned();
    move |cause| CacheError::Io { action, path, cause }
}

fn sync_folder(folder: &Path) -> Result<(), CacheError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("flush", folder))
}

/// The regular file; none where there is none.
fn open(path: &Path) -> Result<Option<File>, CacheError> {
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => {
            let regular = file.metadata().map_err(failed("look at", path))?.is_file();
            if regular { Ok(Some(file)) } else { Err(failed("read", path)(io::Error::other("not a regular file"))) }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// A file name of a feed's name: what is readable of it, and enough of its hash to be its own.
fn stem(feed: &str) -> String {
    const READABLE: usize = 40;
    let readable = feed.chars().take(READABLE);
    let readable: String = readable.map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    format!("{readable}-{}", hex::encode(hash(feed.as_bytes()).get(..8).unwrap_or_default()))
}

fn body_name(stem: &str, sha256: &[u8; 32]) -> String {
    format!("{stem}.{}.gz", hex::encode(sha256.get(..16).unwrap_or_default()))
}

fn is_body_of(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.')) && has_extension(name, "gz")
}

fn is_ours(name: &str) -> bool {
    ["gz", "json", "new"].iter().any(|extension| has_extension(name, extension))
        && name.split('.').next().and_then(|stem| stem.rsplit_once('-')).is_some_and(|(_, hash)| hash.len() == 16)
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension() == Some(OsStr::new(extension))
}
