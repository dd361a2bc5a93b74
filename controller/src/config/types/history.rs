//! What is weighed and remembered: reputation, audit, privacy.
use crate::domain::geo::{Asn, CountryCode};
use crate::domain::http::recorded::Keep;
use crate::domain::reputation::{Limits, Policy};

/// `[reputation]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reputation {
    /// How much is remembered, and for how long.
    pub limits: Limits,
    /// What a score asks for.
    pub policy: Policy,
    /// What it says of a source where it is from.
    pub priors: Vec<PlacePrior>,
}

/// One `[[reputation.policy]]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacePrior {
    /// Whose sources.
    pub place: SourcePlace,
    /// Points, 1 to 100.
    pub points: u8,
}

/// Where a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourcePlace {
    /// In a country.
    Country(CountryCode),
    /// In an autonomous system.
    Asn(Asn),
}

/// `[audit]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Which events are kept.
    pub events: Keep,
    /// For how many seconds.
    pub retention_s: u64,
    /// How many at the most.
    pub most_events: usize,
}

/// `[privacy]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// Whether addresses are kept as keyed hashes.
    pub hash_addresses: bool,
    /// Whether nothing of requests is kept once they are judged.
    pub drop_requests: bool,
}
