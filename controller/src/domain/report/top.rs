//! Who sends: the rows of `weir top`, and how far they can be trusted.
use serde::{Deserialize, Serialize};

/// One row of `weir top`: a source, or all tracked sources of a network or a country.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TopRow {
    /// An IPv4 address or an IPv6 /64; of networks a /24 or a /48; `null` for a country.
    pub address: Option<String>,
    /// Packets while it is tracked.
    pub packets: u64,
    /// Bytes while it is tracked.
    pub bytes: u64,
    /// Packets dropped while it is tracked.
    pub dropped: u64,
    /// Packets a second over the last measurement.
    pub packets_per_second: f64,
    /// Bytes a second over the last measurement.
    pub bytes_per_second: f64,
    /// Packets dropped a second over the last measurement.
    #[serde(default)]
    pub dropped_per_second: f64,
    /// Country, by the GeoIP database; `null`: not known, or more than one.
    pub country: Option<String>,
    /// Number of the autonomous system; `null`: not known, or more than one.
    pub asn: Option<u32>,
    /// Tracked sources in the row.
    #[serde(default)]
    pub sources: u64,
}

impl TopRow {
    /// The share of its packets that is dropped now, from 0 to 1; `None` while it sends nothing.
    pub fn dropped_share(&self) -> Option<f64> {
        let sends = self.packets_per_second > 0.0;
        sends.then(|| (self.dropped_per_second / self.packets_per_second).clamp(0.0, 1.0))
    }
}

/// What `top` is sorted by. Numbers come the largest first, words and addresses the smallest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TopBy {
    /// Packets a second.
    #[default]
    Packets,
    /// Bytes a second.
    Bytes,
    /// Packets dropped.
    Drops,
    /// Packets while tracked.
    #[value(skip)]
    AllPackets,
    /// Bytes while tracked.
    #[value(skip)]
    AllBytes,
    /// The share that is dropped now.
    #[value(skip)]
    DroppedShare,
    /// The address.
    #[value(skip)]
    Address,
    /// The country.
    #[value(skip)]
    Country,
    /// The autonomous system.
    #[value(skip)]
    Asn,
    /// How many tracked sources.
    #[value(skip)]
    Sources,
}

impl TopBy {
    /// Its word in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::Drops => "drops",
            Self::AllPackets => "all-packets",
            Self::AllBytes => "all-bytes",
            Self::DroppedShare => "dropped-share",
            Self::Address => "address",
            Self::Country => "country",
            Self::Asn => "asn",
            Self::Sources => "sources",
        }
    }
}

/// What a row of `top` is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum TopGroup {
    /// A source: an IPv4 address, an IPv6 /64
    #[default]
    Source,
    /// A network: a /24, a /48
    Network,
    /// A country, by the GeoIP databases
    Country,
}

impl TopGroup {
    /// Its word in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Network => "network",
            Self::Country => "country",
        }
    }
}

/// The rows of a measurement and what they were taken from (`GET /api/top/live`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TopReport {
    /// What a row is.
    pub group: TopGroup,
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Whether sources are counted at all (`[top] track`).
    pub counting: bool,
    /// Sources that are tracked, whatever was asked for.
    pub tracked: u64,
    /// Lines they take: one on each CPU that has packets of theirs.
    pub lines_used: u64,
    /// Lines there are, on all CPUs. Each source has three it may be in; where all are taken, the quietest is forgotten.
    pub lines: u64,
    /// Packets a second of all traffic while this was measured, tracked or not.
    pub packets_per_second: f64,
    /// Packets a second of the rows that match, also of those that are not among `rows`.
    pub matching_packets_per_second: f64,
    /// Rows that match what was asked for.
    pub matching: u64,
    /// The first of them.
    pub rows: Vec<TopRow>,
}
