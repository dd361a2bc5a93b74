//! Whether a file is another than the one that was read.
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::{GeoFiles, LARGEST_FILE, Purpose, open};

/// The files as last seen. Make one before loading, ask it every few seconds.
#[derive(Debug)]
pub struct Watched(Mutex<Vec<Seen>>);

/// One file as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    /// `None`: it is not there, or cannot be read.
    stamp: Option<Stamp>,
    hash: Option<[u8; 32]>,
}

/// What a look at the folder tells of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    inode: u64,
    device: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    /// The files as they are now.
    pub fn new(files: &GeoFiles) -> Self {
        Self(Mutex::new(named(files).map(|(path, purpose)| look(path, purpose, None)).collect()))
    }

    /// Whether the files hold something else than when last asked, or are others. Says so once for each change, whatever
    /// becomes of it: a file that is refused is not read again until it changes again. Reads a file only if its time,
    /// size or number differ.
    pub fn changed(&self, files: &GeoFiles) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now: Vec<Seen> = named(files)
            .map(|(path, purpose)| {
                let before = seen.iter().find(|before| before.path == path);
                look(path, purpose, before)
            })
            .collect();
        let is_same = now.len() == seen.len()
            && now.iter().zip(seen.iter()).all(|(now, before)| now.path == before.path && now.hash == before.hash);
        *seen = now;
        !is_same
    }
}

fn named(files: &GeoFiles) -> impl Iterator<Item = (PathBuf, Purpose)> {
    let country = files.country.clone().map(|path| (path, Purpose::Country));
    country.into_iter().chain(files.asn.clone().map(|path| (path, Purpose::Asn)))
}

fn look(path: PathBuf, purpose: Purpose, before: Option<&Seen>) -> Seen {
    let Ok((file, metadata)) = open(&path, purpose) else { return Seen { path, stamp: None, hash: None } };
    let stamp = Stamp {
        size: metadata.size(),
        inode: metadata.ino(),
        device: metadata.dev(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    if let Some(before) = before.filter(|before| before.stamp == Some(stamp)) {
        return before.clone();
    }
    Seen { path, stamp: Some(stamp), hash: hash(file).ok() }
}

/// A file too large to be read has the hash of its beginning: [`super::load`] refuses it anyway.
fn hash(file: std::fs::File) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut part = vec![0; 64 << 10];
    let mut file = file.take(LARGEST_FILE + 1);
    loop {
        let count = file.read(&mut part)?;
        if count == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(part.get(..count).unwrap_or_default());
    }
}
