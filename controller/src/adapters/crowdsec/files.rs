//! The files a connection to a CrowdSec server needs: key, certificates, the bouncer's own configuration.
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::ClientError;
use crate::domain::crowdsec::bouncer_file::{self, ApiKey, BouncerFile};

/// Largest file of certificates.
const LARGEST_PEM: u64 = 1024 * 1024;

/// The key a file holds, on a line by itself.
///
/// # Errors
/// [`ClientError`] with the file, without its text.
pub fn key(file: &Path) -> Result<ApiKey, ClientError> {
    let text = text(file, 4_096)?;
    ApiKey::new(&text).map_err(|cause| ClientError::Key { file: file.to_owned(), cause })
}

/// A firewall bouncer's configuration, with what `<file>.local` beside it says otherwise.
///
/// # Errors
/// [`ClientError`] with the file that is wrong, without its text.
pub fn bouncer(file: &Path) -> Result<BouncerFile, ClientError> {
    let most = u64::try_from(bouncer_file::LARGEST).unwrap_or(u64::MAX);
    let shipped = text(file, most)?;
    let beside = beside(file);
    let local = match text(&beside, most) {
        Ok(text) => Some(text),
        Err(ClientError::Read { cause, .. }) if cause.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    bouncer_file::parse(&shipped, local.as_deref())
        .map_err(|cause| ClientError::BouncerFile { file: file.to_owned(), cause })
}

/// The file whose keys go before.
fn beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".local");
    PathBuf::from(name)
}

/// The bytes of a file of certificates or keys.
pub(super) fn pem(file: &Path) -> Result<Vec<u8>, ClientError> {
    bytes(file, LARGEST_PEM)
}

fn text(file: &Path, most: u64) -> Result<String, ClientError> {
    String::from_utf8(bytes(file, most)?).ok().ok_or_else(|| ClientError::NotText { file: file.to_owned() })
}

fn bytes(file: &Path, most: u64) -> Result<Vec<u8>, ClientError> {
    let read = |cause| ClientError::Read { file: file.to_owned(), cause };
    let mut bytes = Vec::new();
    File::open(file).map_err(read)?.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(read)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= most) {
        Ok(bytes)
    } else {
        Err(ClientError::TooLarge { file: file.to_owned(), most })
    }
}
