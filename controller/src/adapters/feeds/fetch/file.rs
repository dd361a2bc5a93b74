//! A feed in a file.
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::{Ledger, Received, Validators};
use crate::adapters::feeds::error::FetchError;

const WRITABLE_BY_OTHERS: u32 = 0o002;

/// The file's bytes, at most `limit`.
pub(super) async fn read(path: &Path, limit: u64, ledger: &mut Ledger) -> Result<Received, FetchError> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_now(&owned, limit)).await;
    let (body, exposed) = read.map_err(|error| failed(path, io::Error::other(error)))??;
    if exposed {
        ledger.note(format!("everyone on this machine may write to {}, and so say who is denied", path.display()));
    }
    Ok(Received { body, validators: Validators::default() })
}

fn failed(path: &Path, cause: io::Error) -> FetchError {
    FetchError::File { path: path.display().to_string(), cause }
}

fn read_now(path: &Path, limit: u64) -> Result<(Vec<u8>, bool), FetchError> {
    let failed = |cause| failed(path, cause);
    // Not blocking: opening a FIFO would wait for its writer. Opening a device may do things, so it is looked at first;
    // the file that is open is looked at again.
    not_a_file(path, &std::fs::metadata(path).map_err(failed)?)?;
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    not_a_file(path, &before)?;
    let too_many = || FetchError::TooManyBytes { host: path.display().to_string(), limit };
    if before.len() > limit {
        return Err(too_many());
    }
    // All of it at once: a buffer that grows is there twice whenever it moves.
    let mut body = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0).saturating_add(1));
    let read = File::by_ref(&mut file).take(limit.saturating_add(1)).read_to_end(&mut body).map_err(failed)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > limit {
        return Err(too_many());
    }
    let after = file.metadata().map_err(failed)?;
    let state = |m: &std::fs::Metadata| (m.len(), m.mtime(), m.mtime_nsec());
    if state(&before) != state(&after) {
        return Err(FetchError::Changing { path: path.display().to_string() });
    }
    Ok((body, before.mode() & WRITABLE_BY_OTHERS != 0))
}

fn not_a_file(path: &Path, metadata: &std::fs::Metadata) -> Result<(), FetchError> {
    let kind = metadata.file_type();
    let kind = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "no file",
    };
    Err(FetchError::NotAFile { path: path.display().to_string(), kind })
}
