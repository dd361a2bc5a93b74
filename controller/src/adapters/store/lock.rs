//! One daemon to a state folder.
use std::fs::{File, TryLockError};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::files::{self, Files};
use super::problem::StoreError;

/// Held as long as the store is open. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(files: &Files) -> Result<Self, StoreError> {
        let path = files.lock();
        let file = files::open_private(&path)?;
        let mut attempts = ATTEMPTS;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // A daemon that is just ending, or a child it has just started, may have it for a moment longer.
                Err(TryLockError::WouldBlock) if attempts > 0 => attempts -= 1,
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Held { path: files.folder().to_owned(), pid: holder(&file) });
                }
                Err(TryLockError::Error(error)) => return Err(files::failed("lock", &path)(error)),
            }
            thread::sleep(PAUSE);
        }
        // Always the same length: on a full disk the number is written over the one before.
        let pid = format!("{:<10}\n", std::process::id());
        if let Err(error) = file.write_all_at(pid.as_bytes(), 0) {
            tracing::warn!(path = %path.display(), %error, "cannot note the process number in the lock file");
        }
        Ok(Self { _file: file })
    }
}

/// The process named in the lock file, if there is such a process.
fn holder(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(64).read_to_string(&mut text).ok()?;
    let pid = text.trim().parse().ok()?;
    Path::new("/proc").join(format!("{pid}")).exists().then_some(pid)
}

const ATTEMPTS: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);
