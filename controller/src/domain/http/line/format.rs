//! How logs are written, by name.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::http::finding::NotAName;

/// How a log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Whichever of the others the lines show themselves to be; but [`Format::Grok`].
    #[default]
    Auto,
    /// The access log of nginx and Apache, `combined` or `common`, with or without further fields.
    #[serde(alias = "common")]
    Combined,
    /// The same behind the name of the virtual host.
    VhostCombined,
    /// nginx's error log.
    NginxError,
    /// Apache's error log, of 2.2 and of 2.4.
    ApacheError,
    /// nginx's access log as JSON (`escape=json`).
    NginxJson,
    /// Caddy's access log, JSON.
    Caddy,
    /// Traefik's access log in its common format.
    Traefik,
    /// Traefik's access log as JSON.
    TraefikJson,
    /// HAProxy's `httplog` and `httpslog`.
    Haproxy,
    /// What the operator's own pattern says.
    Grok,
}

impl Format {
    /// Each of them once.
    pub const ALL: [Self; 11] = [
        Self::Auto,
        Self::Combined,
        Self::VhostCombined,
        Self::NginxError,
        Self::ApacheError,
        Self::NginxJson,
        Self::Caddy,
        Self::Traefik,
        Self::TraefikJson,
        Self::Haproxy,
        Self::Grok,
    ];

    /// Its name, as [`Format::from_str`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Combined => "combined",
            Self::VhostCombined => "vhost-combined",
            Self::NginxError => "nginx-error",
            Self::ApacheError => "apache-error",
            Self::NginxJson => "nginx-json",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::TraefikJson => "traefik-json",
            Self::Haproxy => "haproxy",
            Self::Grok => "grok",
        }
    }

    /// Whether a client's line breaks stand in such a log as they came, so that it can write lines of its own.
    pub const fn is_raw(self) -> bool {
        matches!(self, Self::NginxError | Self::Traefik)
    }

    /// Its bit in a set of formats.
    pub(super) const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = NotAName;

    /// The format of this name; `common` is `combined`, which reads both.
    fn from_str(text: &str) -> Result<Self, NotAName> {
        if text == "common" {
            return Ok(Self::Combined);
        }
        let known = Self::ALL.into_iter().find(|format| format.name() == text);
        known.ok_or_else(|| NotAName::new("log format", text, Self::ALL.map(Self::name)))
    }
}
