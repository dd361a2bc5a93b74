//! Who came near a limit.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A source or network whose packets are counted exactly, because it came near a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffenderRow {
    /// The address, or the prefix.
    pub source: String,
    /// Whose limit: `source`, `network` or `port`.
    pub scope: String,
    /// The limit's name: of a port's, of `[limits.tight]` (`tight`) or of a profile; `null`: it is everybody's.
    pub limit: Option<String>,
    /// The dimension that refused most, or else the first that is limited.
    pub dimension: String,
    /// What that dimension allows a second; `null`: it is limited no more.
    pub per_second: Option<u64>,
    /// Packets offered to its buckets.
    pub offered: u64,
    /// Of these, let through.
    pub allowed: u64,
    /// Of these, refused: dropped, unless the limit is only observed.
    pub refused: u64,
    /// When it came near.
    pub since: Timestamp,
    /// When it last sent.
    pub last: Timestamp,
    /// Offences on record.
    pub offences: u32,
    /// Until when it is denied for them; `null`: it is not.
    pub denied_until: Option<Timestamp>,
    /// Why it is limited and never denied, as in `protected: address of eth0`; `null`: it may be.
    #[serde(default)]
    pub never_denied: Option<String>,
}

/// What a sort of limits refused in one dimension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitedRow {
    /// Whose limits: `source`, `network`, `global` or `port`.
    pub scope: String,
    /// The dimension.
    pub dimension: String,
    /// Packets dropped.
    pub packets: u64,
    /// Bytes dropped.
    pub bytes: u64,
    /// Packets over a limit that is only observed.
    pub observed_packets: u64,
}
