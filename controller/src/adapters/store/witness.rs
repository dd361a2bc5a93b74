//! The number of the latest acknowledged change, in a file of its own.
//!
//! A database that lost its write-ahead log, or was put back from an older file, is whole: nothing in it says that
//! something is missing. This number does. It is written after each commit and not waited for: it may lag behind the
//! database after a power cut, but never runs ahead of it, so it raises no false alarm.
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;

use super::files;
use super::problem::StoreError;
use super::sealed::{State, seal};

/// What the file said when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Testimony {
    /// There is no file, or an empty one.
    Absent,
    /// It is not what was written.
    Damaged,
    /// The latest acknowledged change, and what all rows were then.
    Acknowledged { commits: u64, digest: u128 },
}

/// The open file.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    path: PathBuf,
    failing: bool,
}

impl Witness {
    /// What the file says.
    pub(super) fn read(path: &Path) -> Result<Testimony, StoreError> {
        match fs::read(path) {
            Ok(bytes) if bytes.is_empty() => Ok(Testimony::Absent),
            Ok(bytes) => Ok(parse(&bytes).unwrap_or(Testimony::Damaged)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Testimony::Absent),
            Err(error) => Err(files::failed("read", path)(error)),
        }
    }

    /// Opens the file for writing.
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        Ok(Self { file: files::open_private(&path)?, path, failing: false })
    }

    /// Notes that `state` is acknowledged. A failure is only logged: the change itself is saved, and a number that is
    /// too low raises no alarm.
    pub(super) fn note(&mut self, state: &State) {
        let outcome = self.file.write_all_at(line(state.commits, state.digest).as_bytes(), 0);
        if let Err(error) = &outcome
            && !self.failing
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot note the number of the latest saved change");
        }
        self.failing = outcome.is_err();
    }
}

/// Always of one length, so that writing it needs no more room than the file already has.
fn line(commits: u64, digest: u128) -> String {
    let body = format!("{commits:020} {digest:032x}");
    let seal = hex::encode(seal("witness", [ValueRef::Text(body.as_bytes())]));
    format!("{body} {seal}\n")
}

fn parse(bytes: &[u8]) -> Option<Testimony> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split_ascii_whitespace();
    let commits = words.next()?.parse().ok()?;
    let digest = u128::from_str_radix(words.next()?, 16).ok()?;
    (line(commits, digest) == text).then_some(Testimony::Acknowledged { commits, digest })
}
