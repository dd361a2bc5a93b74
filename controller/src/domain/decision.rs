//! Decisions: a prefix, who said so, why, and until when.
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_common::verdict::Verdict;

use super::time::Expiry;

/// Whether a decision lets through or drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DecisionKind)]
pub enum Kind {
    /// Lets through.
    Allow,
    /// Drops.
    Deny,
}

/// Whether a decision is carried out or only counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// Carried out.
    #[default]
    Enforce,
    /// Counted as "would drop".
    Observe,
}

/// What becomes of a list as a whole: carried out, only counted, or neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListEnforcement {
    /// Its entries are carried out, but for those that are only observed themselves.
    #[default]
    Enforce,
    /// All of its entries are only counted.
    Observe,
    /// Its entries are neither denied nor allowed: each source has the tighter limit in place of everybody's.
    Limit,
    /// As if it had no entries; what other lists say shows through.
    Off,
}

/// On whose word a decision stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A person, by command line or API.
    Operator,
    /// An automated response: a detection rule, or a tool that names itself (`--origin fail2ban`).
    Automation(Arc<str>),
    /// weir itself: there is too much evidence against the source.
    Reputation,
    /// weir itself: the source broke a limit too often.
    Offender,
    /// A CrowdSec server.
    Crowdsec,
    /// A feed, by its place among the configured ones: the first goes before the second.
    Feed(u16),
    /// The autonomous system an address belongs to.
    Asn,
    /// The country an address belongs to.
    Country,
}

/// Most feeds there may be: their ranks lie between those of the fleet and of autonomous systems.
pub const MOST_FEEDS: u16 = 1_024;

const FIRST_FEED: u16 = 8;
const LAST_FEED: u16 = FIRST_FEED + MOST_FEEDS - 1;

/// A name that is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// weir gives this origin itself.
    #[error("origin {0:?} is given by weir itself; use `operator`, or a name of your tool's own such as `fail2ban`")]
    Reserved(String),
    /// Not a name.
    #[error("origin {0:?} is not a name: 1 to 32 of a-z, 0-9, - and _")]
    NotAName(String),
}

impl Origin {
    /// Place in the order of origins: lower is stronger. Allow beats deny of the same origin.
    pub fn rank(&self, kind: Kind) -> u16 {
        match (self, kind) {
            (Self::Operator, Kind::Allow) => 0,
            (Self::Operator, Kind::Deny) => weir_common::judge::RANK_OPERATOR_DENY,
            // Whoever allows but the operator does it as a feed does: below the operator's deny, above all other denials.
            (_, Kind::Allow) => 2,
            (Self::Automation(_), Kind::Deny) => 3,
            (Self::Reputation, Kind::Deny) => 4,
            // 7: fleet.
            (Self::Offender, Kind::Deny) => 5,
            (Self::Crowdsec, Kind::Deny) => 6,
            (Self::Feed(place), Kind::Deny) => FIRST_FEED + (*place).min(LAST_FEED - FIRST_FEED),
            (Self::Asn, Kind::Deny) => LAST_FEED + 1,
            (Self::Country, Kind::Deny) => LAST_FEED + 2,
        }
    }

    /// The verdict its denials are counted under.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Operator => Verdict::Denied,
            Self::Automation(_) => Verdict::Rule,
            Self::Reputation => Verdict::Reputation,
            Self::Offender => Verdict::Offender,
            Self::Crowdsec => Verdict::Crowdsec,
            Self::Feed(_) => Verdict::Feed,
            Self::Asn => Verdict::Asn,
            Self::Country => Verdict::Country,
        }
    }

    /// Its name: the same for all feeds.
    pub fn name(&self) -> &str {
        match self {
            Self::Operator => "operator",
            Self::Automation(name) => name,
            Self::Reputation => "reputation",
            Self::Offender => "offender",
            Self::Crowdsec => "crowdsec",
            Self::Feed(_) => "feed",
            Self::Asn => "asn",
            Self::Country => "country",
        }
    }

    /// The origin of this name, weir's own included: as the store keeps it. A feed's place is the first; the
    /// configuration says which it is.
    ///
    /// # Errors
    /// [`OriginError`].
    pub fn stored(name: &str) -> Result<Self, OriginError> {
        match name {
            "reputation" => Ok(Self::Reputation),
            "offender" => Ok(Self::Offender),
            "crowdsec" => Ok(Self::Crowdsec),
            "feed" => Ok(Self::Feed(0)),
            "asn" => Ok(Self::Asn),
            "country" => Ok(Self::Country),
            name => name.parse(),
        }
    }

    /// Whether a person stands behind it: only then may never-block be crossed.
    pub fn is_operator(&self) -> bool {
        matches!(self, Self::Operator)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        const RESERVED: [&str; 8] =
            ["feed", "reputation", "offender", "crowdsec", "fleet", "asn", "country", "protected"];
        if text == "operator" {
            return Ok(Self::Operator);
        }
        if RESERVED.contains(&text) {
            return Err(OriginError::Reserved(text.to_owned()));
        }
        let is_name = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if !is_name {
            return Err(OriginError::NotAName(text.to_owned()));
        }
        Ok(Self::Automation(Arc::from(text)))
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// Number of a list; 0 is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListId(pub u16);

/// What stands beside a single entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryInfo {
    /// Why, in the words of whoever decided; may be empty.
    pub reason: Arc<str>,
    /// When it was added.
    pub added_at: Timestamp,
    /// When it ends; `None`: never by itself.
    pub expiry: Option<Expiry>,
    /// Carried out or counted.
    pub enforcement: Enforcement,
    /// Whether the operator overrode protection by naming the address with `--force`.
    pub forced: bool,
    /// Sequence number of the change that made it.
    pub sequence: u64,
}

/// A decision in force, with all that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What it covers.
    pub prefix: IpNet,
    /// Lets through or drops.
    pub kind: Kind,
    /// On whose word.
    pub origin: Origin,
    /// The list it is on.
    pub list: ListId,
    /// What becomes of its list as a whole.
    pub of_list: ListEnforcement,
    /// The rest.
    pub info: EntryInfo,
}

impl Decision {
    /// What becomes of it, its list considered.
    pub fn standing(&self) -> ListEnforcement {
        match (self.of_list, self.info.enforcement) {
            (whole @ (ListEnforcement::Off | ListEnforcement::Limit), _) => whole,
            (_, Enforcement::Observe) => ListEnforcement::Observe,
            (_, Enforcement::Enforce) => ListEnforcement::Enforce,
        }
    }

    /// Whether it neither denies nor allows: its list as a whole does not.
    pub fn is_off(&self) -> bool {
        matches!(self.of_list, ListEnforcement::Off | ListEnforcement::Limit)
    }

    /// Place in the order: origin first, then the longer prefix. The smallest decides.
    pub fn order(&self) -> (u16, u8) {
        (self.origin.rank(self.kind), u8::MAX - self.prefix.prefix_len())
    }
}
