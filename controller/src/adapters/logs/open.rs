//! Opening what may be a log: only ever a regular file, never through a link, never waiting.
use std::collections::BTreeSet;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirEntryExt as _, FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::domain::http::follow::{self, FileId, HEAD_BYTES, Seen};

/// Names of a directory that are looked at for files that were rotated away.
const MOST_NAMES: usize = 65_536;
/// Files beside a log that are looked into, the youngest first.
const MOST_SIBLINGS: usize = 64;
/// How often it is waited for that names stay as they are.
const RENAMING: usize = 8;

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) seen: Seen,
}

/// Why there is no log at a path.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// Nothing is there.
    #[error("no such file yet; it is read once it is there")]
    Absent,
    /// Something else is.
    #[error("{0} stands in its place, and is not followed; put a regular file there")]
    NotAFile(&'static str),
    /// It cannot be read.
    #[error("cannot be read: {}", said(.0))]
    Unreadable(#[source] io::Error),
}

/// An error in words, and the way out where there is one.
pub(super) fn said(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "permission denied; let weir's user or group read it, and enter its folders: for many logs that is group adm"
                .to_owned()
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "too many open files; raise `LimitNOFILE=` of weir's service, or follow fewer files".to_owned()
        }
        Some(libc::ESTALE) => "the network file system has forgotten it; it is opened anew".to_owned(),
        Some(libc::EIO) => "the disk reports an error; the kernel's log says more".to_owned(),
        _ => error.to_string(),
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => Self::Absent,
            Some(libc::ELOOP) => Self::NotAFile("a symbolic link"),
            Some(libc::ENXIO) => Self::NotAFile("a socket or a device"),
            _ => Self::Unreadable(error),
        }
    }
}

/// What is at a path, without opening it.
pub(super) fn look(path: &Path) -> Result<FileId, OpenError> {
    let metadata = fs::symlink_metadata(path)?;
    refuse_other_than_files(metadata.file_type())?;
    Ok(id_of(&metadata))
}

/// When names in the folder of a path last changed.
pub(super) fn renamed_at(path: &Path) -> Option<Timestamp> {
    Timestamp::try_from(fs::metadata(path.parent()?).ok()?.modified().ok()?).ok()
}

/// Opens the file at a path. Its last name must be no link: whoever may write to the folder could have it point anywhere.
pub(super) fn open(path: &Path) -> Result<Opened, OpenError> {
    // Opening can do something to what is no file (a device) or tell somebody (a pipe's writer): look first. What comes
    // between the look and the opening is neither waited for nor read.
    look(path)?;
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    refuse_other_than_files(file.metadata()?.file_type())?;
    Ok(Opened { seen: see(&file)?, file })
}

/// How an open file is now.
pub(super) fn see(file: &File) -> io::Result<Seen> {
    let metadata = file.metadata()?;
    Ok(Seen { id: id_of(&metadata), size: metadata.len(), head: head(file, HEAD_BYTES)?, born: born_of(&metadata) })
}

/// Whether a file still has what it had, and perhaps more.
pub(super) fn is_grown(before: &Seen, after: &Seen) -> bool {
    before.id == after.id && before.size <= after.size && after.head.starts_with(&before.head)
}

impl Opened {
    /// Whether it is still the file at the path, with all that it had.
    pub(super) fn has_stood(&self, path: &Path) -> bool {
        see(&self.file).is_ok_and(|now| is_grown(&self.seen, &now)) && look(path).is_ok_and(|id| id == self.seen.id)
    }
}

/// When a file was made, where the file system knows.
fn born_of(metadata: &Metadata) -> Option<Timestamp> {
    Timestamp::try_from(metadata.created().ok()?).ok()
}

fn refuse_other_than_files(kind: FileType) -> Result<(), OpenError> {
    match kind {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_symlink() => Err(OpenError::NotAFile("a symbolic link")),
        kind if kind.is_dir() => Err(OpenError::NotAFile("a directory")),
        kind if kind.is_fifo() => Err(OpenError::NotAFile("a pipe")),
        kind if kind.is_socket() => Err(OpenError::NotAFile("a socket")),
        _ => Err(OpenError::NotAFile("a device")),
    }
}

pub(super) fn id_of(metadata: &Metadata) -> FileId {
    FileId { device: metadata.dev(), inode: metadata.ino() }
}

/// The first bytes of a file, at most so many.
pub(super) fn head(file: &File, bytes: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; bytes];
    let len = read_at(file, &mut head, 0)?;
    head.truncate(len);
    Ok(head)
}

/// Reads from a place until the buffer is full or the file ends.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The files beside a log that have the name of one that was rotated away, and are not followed themselves. `None`: names
/// changed all the while, so some may be missing.
pub(super) fn siblings(path: &Path, followed: &BTreeSet<PathBuf>) -> Option<Vec<Opened>> {
    let mut names = rotated_names(path, followed);
    for _ in 0..RENAMING {
        let opened: Vec<Opened> = names.iter().take(MOST_SIBLINGS).filter_map(|(.., path)| open(path).ok()).collect();
        // Whoever rotates renames one after the other: what moved meanwhile was opened twice, or not at all.
        let after = rotated_names(path, followed);
        if after == names {
            return Some(opened);
        }
        names = after;
    }
    None
}

/// When a file was made, its number and where it is: the youngest first.
type Named = (std::cmp::Reverse<Option<std::time::SystemTime>>, u64, PathBuf);

fn rotated_names(path: &Path, followed: &BTreeSet<PathBuf>) -> Vec<Named> {
    let (Some(folder), Some(base)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<Named> = entries
        .take(MOST_NAMES)
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| follow::is_rotated_name(base, name)))
        .map(|entry| {
            let made = entry.metadata().and_then(|metadata| metadata.created()).ok();
            (std::cmp::Reverse(made), entry.ino(), entry.path())
        })
        .filter(|(.., path)| !followed.contains(path))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_the_way_out() {
        for (number, expected) in [
            (libc::EACCES, "cannot be read: permission denied; let weir's user or group read it"),
            (libc::EMFILE, "cannot be read: too many open files; raise `LimitNOFILE=`"),
            (libc::EIO, "cannot be read: the disk reports an error"),
            (libc::ENAMETOOLONG, "cannot be read: File name too long"),
            (libc::ENOENT, "no such file yet"),
            (libc::ELOOP, "a symbolic link stands in its place, and is not followed"),
        ] {
            let said = OpenError::from(io::Error::from_raw_os_error(number)).to_string();
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
