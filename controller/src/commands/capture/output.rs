//! Where blocks go: whole or not at all.
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::commands::failure::UsageError;
use crate::commands::io::{Io, OutError};

/// A file or standard output. What was written is there for other readers at once.
#[derive(Debug)]
pub(super) enum Output {
    File {
        file: File,
        path: PathBuf,
        /// Bytes of whole blocks.
        whole: u64,
    },
    Standard,
}

impl Output {
    /// Opens it. A file that is there is replaced, as tcpdump does; a new one is for its owner alone.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if is_standard(path) {
            return Ok(Self::Standard);
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(path).with_context(|| format!("open {} to write", path.display()))?;
        Ok(Self::File { file, path: path.to_owned(), whole: 0 })
    }

    /// Writes one or more whole blocks. Where that fails half-way, a file is cut to the blocks before.
    pub(super) fn write(&mut self, blocks: &[u8], io: &mut Io) -> Result<()> {
        match self {
            Self::Standard => {
                io.write(blocks)?;
                io.flush()?;
            }
            Self::File { file, path, whole } => match file.write_all(blocks) {
                Ok(()) => *whole += blocks.len() as u64,
                // Whoever read a named pipe has stopped.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(OutError::Closed.into()),
                Err(error) => {
                    let cut = file.set_len(*whole);
                    let error = Err(error).with_context(|| format!("write {}", path.display()));
                    return match cut {
                        Ok(()) => error,
                        Err(_) => error.context("the last packet may be incomplete"),
                    };
                }
            },
        }
        Ok(())
    }

    /// Whether nobody reads it any more.
    pub(super) fn is_closed(&self, io: &Io) -> bool {
        matches!(self, Self::Standard) && io.is_out_closed()
    }
}

/// Whether a path stands for standard output.
pub(super) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Whether a capture can go where it is told to, beside a report in this form.
///
/// # Errors
/// [`UsageError`].
pub(super) fn check(path: &Path, is_json: bool, io: &Io) -> Result<(), UsageError> {
    let refused = |why: &str| Err(UsageError(why.to_owned()));
    match is_standard(path) {
        true if is_json => refused(
            "-w - writes the capture to standard output, where -o json writes the summary; write the capture to a file",
        ),
        true if io.is_out_terminal() => refused(
            "standard output is a terminal, which cannot show a capture; pipe it, as in \
             `weir capture -w - | tshark -r -`, or name a file",
        ),
        _ => Ok(()),
    }
}
