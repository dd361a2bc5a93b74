//! Where a feed is.
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;

use crate::adapters::feeds::error::FetchError;

/// How the parts of a feed are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// One body.
    #[default]
    Plain,
    /// Pages of a TAXII 2.1 collection; the URL is the collection's `objects/`.
    Taxii,
    /// A MISP feed; the URL is the folder of its `manifest.json`.
    Misp,
}

/// Where a feed is.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// At a URL.
    Http(Url),
    /// A TAXII 2.1 collection. Its body is one envelope `{"objects":[…]}` of all its pages.
    Taxii(Url),
    /// A MISP feed. Its body is a JSON array of its events.
    Misp(Url),
    /// A regular file.
    File(PathBuf),
}

impl fmt::Debug for Source {
    /// The host or path only: a URL may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Http(_) => "Http",
            Self::Taxii(_) => "Taxii",
            Self::Misp(_) => "Misp",
            Self::File(_) => "File",
        };
        f.debug_tuple(kind).field(&self.host()).finish()
    }
}

impl Source {
    /// A `https:`, `http:` or `file:` URL, or an absolute path.
    ///
    /// # Errors
    /// [`FetchError::BadSource`] and [`FetchError::Scheme`]. What the feed's settings allow is not looked at here.
    pub fn parse(text: &str, protocol: Protocol) -> Result<Self, FetchError> {
        let shown: String = text.split(['?', '#', '@']).next().unwrap_or_default().chars().take(200).collect();
        let bad = |why: &str| FetchError::BadSource { source_text: shown.clone(), why: why.to_owned() };
        if text.starts_with('/') {
            return match protocol {
                Protocol::Plain => Ok(Self::File(PathBuf::from(text))),
                Protocol::Taxii | Protocol::Misp => Err(bad("this kind of feed is at a URL")),
            };
        }
        let mut url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        url.set_fragment(None);
        match (url.scheme(), protocol) {
            ("http" | "https", _) if url.host_str().is_none_or(str::is_empty) => Err(bad("it has no host")),
            ("http" | "https", Protocol::Plain) => Ok(Self::Http(url)),
            ("http" | "https", Protocol::Taxii) => Ok(Self::Taxii(url)),
            ("http" | "https", Protocol::Misp) => Ok(Self::Misp(url)),
            ("file", Protocol::Plain) => {
                url.to_file_path().map(Self::File).map_err(|()| bad("a file: URL names a path of this machine"))
            }
            (scheme, _) => Err(FetchError::Scheme { host: shown.clone(), scheme: scheme.to_owned() }),
        }
    }

    /// The URL, if it is not a file.
    pub fn url(&self) -> Option<&Url> {
        match self {
            Self::Http(url) | Self::Taxii(url) | Self::Misp(url) => Some(url),
            Self::File(_) => None,
        }
    }

    /// Who is asked: the host's name, or the file's path. Safe to show.
    pub fn host(&self) -> String {
        match self {
            Self::Http(url) | Self::Taxii(url) | Self::Misp(url) => host(url),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Tells sources apart without showing them: SHA-256 of the URL or path.
    pub fn fingerprint(&self) -> [u8; 32] {
        match self {
            Self::Http(url) => super::hash(url.as_str().as_bytes()),
            Self::Taxii(url) => super::hash(format!("taxii {url}").as_bytes()),
            Self::Misp(url) => super::hash(format!("misp {url}").as_bytes()),
            Self::File(path) => super::hash(path.as_os_str().as_encoded_bytes()),
        }
    }
}

/// The URL's host, an IPv6 address without its brackets.
pub(super) fn host(url: &Url) -> String {
    bare(url).to_owned()
}

/// The address, where the host is one. The URL parser has read decimal, octal and hex forms as the address they mean.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    bare(url).parse().ok()
}

fn bare(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}
