//! What is followed: feeds, geography, CrowdSec.
use std::path::PathBuf;

use crate::domain::decision::{Kind, ListEnforcement};
use crate::domain::feed::judge;
use crate::domain::geo::{Rules, Unknown};
use crate::domain::guard::Widest;
use crate::domain::listfile::Format;

use super::Choice;

/// One `[[feeds]]` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// Its name, which is also its list's.
    pub name: String,
    /// Where it is.
    pub location: Location,
    /// How it is written.
    pub format: Format,
    /// The column of a table that holds addresses; `None`: the first that does.
    pub column: Option<String>,
    /// Entries of a lower score are left out.
    pub least_score: u32,
    /// Seconds from one request to the next.
    pub interval_s: u64,
    /// Least seconds between two requests, whatever went wrong.
    pub least_pause_s: u64,
    /// What becomes of what it names.
    pub action: FeedAction,
    /// How much being named says of a source, in percent, where the action is reputation.
    pub weight: u8,
    /// Seconds after the last success at which its entries end; `None`: they stay.
    pub expire_s: Option<u64>,
    /// Headers of the request.
    pub headers: Vec<(String, String)>,
    /// What proves who asks.
    pub credential: Option<Credential>,
    /// Whether a request may go unencrypted.
    pub allow_http: bool,
    /// Whether a request may go to private addresses.
    pub allow_private: bool,
    /// Most bytes of a reply, unpacked.
    pub most_bytes: u64,
    /// Most seconds that a request may take in all.
    pub deadline_s: u64,
    /// How wide a prefix may be.
    pub widest: Widest,
    /// What it must keep to as a whole.
    pub limits: judge::Limits,
}

impl Feed {
    /// A feed at a place, as it is where nothing more is set.
    pub fn checked(location: Location) -> Self {
        Self {
            name: "check".to_owned(),
            location,
            format: Format::Auto,
            column: None,
            least_score: 0,
            interval_s: 3_600,
            least_pause_s: 10,
            action: FeedAction::Deny,
            weight: 50,
            expire_s: None,
            headers: Vec::new(),
            credential: None,
            allow_http: false,
            allow_private: false,
            most_bytes: 64 << 20,
            deadline_s: 120,
            widest: Widest::default(),
            limits: judge::Limits { most_entries: 1_000_000, ..judge::Limits::default() },
        }
    }
}

/// Where a feed is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// One document.
    Http(String),
    /// A TAXII 2.1 collection's objects.
    Taxii(String),
    /// A MISP feed's manifest.
    Misp(String),
    /// A file; absolute.
    File(PathBuf),
}

/// What proves who asks; secrets are in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password's file.
        password_file: PathBuf,
    },
    /// A bearer token.
    Bearer {
        /// The token's file.
        token_file: PathBuf,
    },
    /// A header of the publisher's own.
    Header {
        /// The header.
        name: String,
        /// Its value's file.
        file: PathBuf,
    },
}

/// What becomes of what a feed names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedAction {
    /// Dropped.
    Deny,
    /// Counted.
    Observe,
    /// Neither; it is evidence against a source.
    Reputation,
    /// Neither; each source has the tighter limit.
    Limit,
    /// Let through.
    Allow,
}

impl FeedAction {
    /// The kind of its list.
    pub fn kind(self) -> Kind {
        if self == Self::Allow { Kind::Allow } else { Kind::Deny }
    }

    /// What becomes of its list.
    pub fn enforcement(self) -> ListEnforcement {
        match self {
            Self::Deny | Self::Allow => ListEnforcement::Enforce,
            Self::Observe => ListEnforcement::Observe,
            Self::Reputation => ListEnforcement::Off,
            Self::Limit => ListEnforcement::Limit,
        }
    }

    /// Its word.
    pub fn name(self) -> &'static str {
        self.word()
    }
}

impl Choice for FeedAction {
    const ALL: &'static [Self] = &[Self::Deny, Self::Observe, Self::Reputation, Self::Limit, Self::Allow];

    fn word(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Observe => "observe",
            Self::Reputation => "reputation",
            Self::Limit => "limit",
            Self::Allow => "allow",
        }
    }
}

impl Choice for Unknown {
    const ALL: &'static [Self] = &[Self::Pass, Self::Deny];

    fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Deny => "deny",
        }
    }
}

/// How a feed is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Protocol {
    /// One request.
    Http,
    /// TAXII 2.1.
    Taxii,
    /// A MISP feed.
    Misp,
}

impl Choice for Protocol {
    const ALL: &'static [Self] = &[Self::Http, Self::Taxii, Self::Misp];

    fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Taxii => "taxii",
            Self::Misp => "misp",
        }
    }
}

/// `[geo]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Geo {
    /// Countries by address; absolute.
    pub country_file: Option<PathBuf>,
    /// Autonomous systems by address; absolute.
    pub asn_file: Option<PathBuf>,
    /// Who is denied; `None`: nobody.
    pub rules: Option<Rules>,
}

/// `[crowdsec]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowdsec {
    /// The firewall bouncer's own configuration, which goes before the rest; absolute.
    pub file: Option<PathBuf>,
    /// Where the server is.
    pub api_url: String,
    /// The key's file; absolute.
    pub api_key_file: Option<PathBuf>,
    /// The client's certificate, its key, and who signs the server's; absolute.
    pub tls: CrowdsecTls,
    /// Seconds from one question to the next.
    pub interval_s: u64,
    /// Kinds of decisions asked for: `ip`, `range`.
    pub scopes: Vec<String>,
    /// Origins asked for; none: all.
    pub origins: Vec<String>,
    /// Only scenarios whose names hold one of these.
    pub scenarios_containing: Vec<String>,
    /// No scenarios whose names hold one of these.
    pub scenarios_not_containing: Vec<String>,
    /// Types of decisions that deny.
    pub deny_types: Vec<String>,
    /// Types of decisions that are observed.
    pub observe_types: Vec<String>,
    /// Seconds from one report of usage to the next.
    pub metrics_interval_s: u64,
}

/// How the two ends of the way to a CrowdSec server know each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrowdsecTls {
    /// Our certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// Who signs the server's certificate.
    pub ca_file: Option<PathBuf>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
}
