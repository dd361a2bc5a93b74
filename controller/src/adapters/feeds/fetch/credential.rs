//! What a feed's own server is sent and nobody else: its credential and its headers.
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::{Ledger, Request};
use crate::adapters::feeds::error::FetchError;

/// Longest credential, in bytes.
const LONGEST: u64 = 8 << 10;
const READABLE_BY_OTHERS: u32 = 0o004;

/// Headers that would change what is asked or how it is framed.
const RESERVED: [&str; 16] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "upgrade",
    "trailer",
    "keep-alive",
    "proxy-authorization",
    "accept-encoding",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
];

/// A credential in a file, read anew at each fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization: Bearer …`.
    Bearer(PathBuf),
    /// `Authorization: Basic …` with this user; the file holds the password.
    Basic {
        /// The user.
        user: String,
        /// The password's file.
        file: PathBuf,
    },
    /// A header of this name; the file holds its value.
    Header {
        /// The header.
        name: String,
        /// The value's file.
        file: PathBuf,
    },
}

impl Credential {
    /// Its file.
    pub fn file(&self) -> &Path {
        match self {
            Self::Bearer(file) | Self::Basic { file, .. } | Self::Header { file, .. } => file,
        }
    }
}

/// The configured headers, as they are sent.
pub(super) fn own_headers(request: &Request) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let bad = |why| FetchError::BadHeader { feed: request.feed.clone(), name: name.clone(), why };
        let parsed = header_name(name).map_err(bad)?;
        let mut value = HeaderValue::from_str(value).ok().ok_or_else(|| bad("its value holds what no header may"))?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}

fn header_name(name: &str) -> Result<HeaderName, &'static str> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).ok().ok_or("that is no header's name")?;
    if RESERVED.contains(&parsed.as_str()) {
        return Err("weir sets it itself");
    }
    Ok(parsed)
}

/// The configured headers and the credential.
pub(super) async fn secrets(request: &Request, ledger: &mut Ledger) -> Result<HeaderMap, FetchError> {
    let mut headers = own_headers(request)?;
    let Some(credential) = &request.credential else { return Ok(headers) };
    let path = credential.file().to_owned();
    let failed = |why: String| FetchError::Credential {
        feed: request.feed.clone(),
        path: credential.file().display().to_string(),
        why,
    };
    let read = tokio::task::spawn_blocking(move || read(&path)).await.map_err(|error| failed(error.to_string()))?;
    let (secret, exposed) = read.map_err(failed)?;
    if exposed {
        let path = credential.file().display();
        ledger.note(format!("the credential file {path} can be read by everyone on this machine; chmod 600 it"));
    }
    let (name, value) = match credential {
        Credential::Bearer(_) => (AUTHORIZATION, format!("Bearer {secret}")),
        Credential::Basic { user, .. } => {
            (AUTHORIZATION, format!("Basic {}", base64(format!("{user}:{secret}").as_bytes())))
        }
        Credential::Header { name, .. } => {
            let parsed = header_name(name).map_err(|why| FetchError::BadHeader {
                feed: request.feed.clone(),
                name: name.clone(),
                why,
            })?;
            (parsed, secret)
        }
    };
    // The error of a header value may hold the value.
    let value = HeaderValue::from_str(&value).ok();
    let mut value =
        value.ok_or_else(|| failed("it holds what no header may; one line of text is wanted".to_owned()))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}

/// The credential, and whether everyone may read its file.
fn read(path: &Path) -> Result<(String, bool), String> {
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path);
    let file = opened.map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut text = String::new();
    let read = file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if u64::try_from(read).unwrap_or(u64::MAX) > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok((text.to_owned(), metadata.mode() & READABLE_BY_OTHERS != 0))
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let index = usize::try_from(word >> (18 - 6 * digit) & 63).unwrap_or(0);
            let letter = ALPHABET.get(index).copied().unwrap_or(b'=');
            text.push(if usize::try_from(digit).unwrap_or(0) > three.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(super::base64(bytes.as_bytes()), text);
        }
    }
}
