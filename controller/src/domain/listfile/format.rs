//! How list files are written, by name.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a list file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Whichever of the others the file shows itself to be.
    #[default]
    Auto,
    /// One address or prefix a line; `#` and `;` start a comment, at the line's start or after white space. So are
    /// `FireHOL`'s sets, Spamhaus' text, blocklist.de, CINS, ET's, Tor's bulk list and CrowdSec's raw lists.
    Plain,
    /// Address, tab, number of lists that name it; `#` starts a comment line.
    Ipsum,
    /// Spamhaus DROP: a JSON object a line, the last one metadata.
    DropJson,
    /// Spamhaus ASN-DROP: the same with numbers of networks.
    AsnDrop,
    /// DShield's block list: first address, last address, prefix length and more, separated by tabs.
    Dshield,
    /// abuse.ch Feodo Tracker: a JSON array of objects with `ip_address`.
    FeodoJson,
    /// Separated columns, one of which holds addresses; `#` starts a comment line.
    Csv,
    /// Tor's exit addresses: records of four lines.
    TorExits,
    /// AbuseIPDB's blacklist: JSON with a score for each address.
    Abuseipdb,
    /// A MISP event: JSON with attributes.
    Misp,
    /// A STIX 2.1 bundle or a TAXII 2.1 envelope: JSON with indicators.
    Stix,
    /// What `ipset save` prints.
    Ipset,
    /// What `nft -j list set` and `nft -j list ruleset` print.
    NftJson,
    /// What `xdp-filter status` prints.
    XdpFilter,
}

impl Format {
    /// Each of them once.
    pub const ALL: [Self; 15] = [
        Self::Auto,
        Self::Plain,
        Self::Ipsum,
        Self::DropJson,
        Self::AsnDrop,
        Self::Dshield,
        Self::FeodoJson,
        Self::Csv,
        Self::TorExits,
        Self::Abuseipdb,
        Self::Misp,
        Self::Stix,
        Self::Ipset,
        Self::NftJson,
        Self::XdpFilter,
    ];

    /// Its name, as [`Format::from_str`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Plain => "plain",
            Self::Ipsum => "ipsum",
            Self::DropJson => "drop-json",
            Self::AsnDrop => "asn-drop",
            Self::Dshield => "dshield",
            Self::FeodoJson => "feodo-json",
            Self::Csv => "csv",
            Self::TorExits => "tor-exits",
            Self::Abuseipdb => "abuseipdb",
            Self::Misp => "misp",
            Self::Stix => "stix",
            Self::Ipset => "ipset",
            Self::NftJson => "nft-json",
            Self::XdpFilter => "xdp-filter",
        }
    }

    /// Whether it is one JSON document.
    pub(super) fn is_document(self) -> bool {
        match self {
            Self::FeodoJson | Self::Abuseipdb | Self::Misp | Self::Stix | Self::NftJson => true,
            Self::Auto
            | Self::Plain
            | Self::Ipsum
            | Self::DropJson
            | Self::AsnDrop
            | Self::Dshield
            | Self::Csv
            | Self::TorExits
            | Self::Ipset
            | Self::XdpFilter => false,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("format {0:?} is not known; the formats are {list}", list = Format::ALL.map(Format::name).join(", "))]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let known = Self::ALL.into_iter().find(|format| format.name() == text);
        known.ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}
