//! The configuration as the rest of weir sees it: every value is one that makes sense.
mod detection;
mod floods;
mod history;
mod sources;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Serialize;

use crate::domain::decision::{Enforcement, ListEnforcement};
use crate::domain::floods::Floods;
use crate::domain::offenders::Consequence;
use crate::domain::tables::Capacity;

pub use self::detection::{AlertSettings, Detection, Events, LogSource, RuleOverride, RuleSettings};
pub(super) use self::floods::{FragmentWord, PortAction, PortScope, Switch};
pub use self::history::{Audit, PlacePrior, Privacy, Reputation, SourcePlace};
pub(super) use self::sources::Protocol;
pub use self::sources::{Credential, Crowdsec, CrowdsecTls, Feed, FeedAction, Geo, Location};

/// All settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Interfaces to protect, each once; may be none, where the command line names them.
    pub interfaces: Vec<InterfaceName>,
    /// How the program is attached.
    pub mode: Mode,
    /// Whether anything is dropped at all.
    pub enforcement: Enforcement,
    /// What is kept, where, and how much of it.
    pub state: State,
    /// Where commands and scrapers come in.
    pub api: Api,
    /// What is held against floods.
    pub floods: Floods,
    /// What becomes of those that break limits again and again.
    pub offenders: Consequence,
    /// Header chains.
    pub headers: Headers,
    /// Dropped packets shown to user space, a second and CPU; `None`: none are.
    pub samples: Option<NonZeroU32>,
    /// Who is counted for `weir top`.
    pub top: Top,
    /// Whom no decision may deny.
    pub protected: Protected,
    /// Whom automatic decisions may not deny.
    pub never_block: NeverBlock,
    /// What becomes of lists by name; those of other names are enforced.
    pub lists: BTreeMap<String, ListEnforcement>,
    /// Limits that lists name, by their numbers.
    pub profiles: BTreeMap<String, u32>,
    /// Feeds, in the order they go before each other.
    pub feeds: Vec<Feed>,
    /// Countries and autonomous systems.
    pub geo: Geo,
    /// A CrowdSec server; `None`: none is asked.
    pub crowdsec: Option<Crowdsec>,
    /// What the web layer says, and what is made of it.
    pub detection: Detection,
    /// What evidence comes to.
    pub reputation: Reputation,
    /// What is kept of events.
    pub audit: Audit,
    /// What of people is kept.
    pub privacy: Privacy,
    /// What the daemon says.
    pub log: Log,
}

/// `[state]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Folder of the store; absolute.
    pub dir: PathBuf,
    /// The BPF filesystem that pins are kept in, absolute; `None`: the system's.
    pub bpffs: Option<PathBuf>,
    /// How many entries the tables hold, per family, and how much memory a generation takes; none is 0.
    pub capacity: Capacity,
    /// How many sources over their limit are followed at once; not 0.
    pub max_sources: u32,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// The UNIX socket; absolute, and short enough for one.
    pub socket: PathBuf,
    /// Name of the group that may use the socket; `None`: the daemon's own.
    pub group: Option<String>,
    /// Where `/metrics`, `/healthz` and `/readyz` are served over TCP, to read only; `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

/// `[headers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// What becomes of a packet with more headers than are read.
    pub over_budget: OverBudget,
}

/// `[top]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// Whether packets are counted for their source.
    pub track: bool,
}

/// `[protected]`. What weir finds out itself (own addresses, gateways, resolvers) comes on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protected {
    /// By address.
    pub addresses: Vec<IpNet>,
    /// Whether the remote ends of authenticated login sessions are protected too.
    pub login_sessions: bool,
}

/// `[never_block]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeverBlock {
    /// Whether the set that comes with weir is part of it.
    pub shipped: bool,
    /// Plain lists or MISP warninglists; absolute.
    pub files: Vec<PathBuf>,
    /// By address.
    pub addresses: Vec<IpNet>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least that is logged.
    pub level: LogLevel,
    /// How a line is written.
    pub format: LogFormat,
}

/// How the program is attached to an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver, else in the stack.
    #[default]
    Auto,
    /// In the driver or not at all.
    Native,
    /// In the stack.
    Generic,
}

/// What becomes of a packet with more headers than are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OverBudget {
    /// Dropped as `budget`.
    Drop,
    /// Let through.
    Pass,
}

/// The least that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What should be looked at.
    Warn,
    /// What changed.
    Info,
    /// How it came about.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One document a line.
    Json,
}

/// A closed set of words.
pub(super) trait Choice: Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The word.
    fn word(self) -> &'static str;
}

impl Choice for Mode {
    const ALL: &'static [Self] = &[Self::Auto, Self::Native, Self::Generic];

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Choice for Enforcement {
    const ALL: &'static [Self] = &[Self::Enforce, Self::Observe];

    fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

impl Choice for ListEnforcement {
    const ALL: &'static [Self] = &[Self::Enforce, Self::Observe, Self::Limit, Self::Off];

    fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
            Self::Limit => "limit",
            Self::Off => "off",
        }
    }
}

impl Choice for OverBudget {
    const ALL: &'static [Self] = &[Self::Drop, Self::Pass];

    fn word(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Pass => "pass",
        }
    }
}

impl Choice for LogLevel {
    const ALL: &'static [Self] = &[Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Choice for LogFormat {
    const ALL: &'static [Self] = &[Self::Text, Self::Json];

    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl Mode {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is not a mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mode {0:?} is not known; the modes are auto, native and generic")]
pub struct UnknownMode(pub String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        let mode = Self::ALL.iter().copied().find(|mode| mode.name() == text);
        mode.ok_or_else(|| UnknownMode(text.to_owned()))
    }
}

impl LogLevel {
    /// Its word, which is also a directive of `tracing`'s filters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A name the kernel accepts for an interface; whether there is one is another question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct InterfaceName(String);

/// A name that no interface can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no interface can have this name: 1 to 15 bytes, without white space, / and :")]
pub struct InterfaceNameError;

impl InterfaceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for InterfaceName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = InterfaceNameError;

    fn from_str(text: &str) -> Result<Self, InterfaceNameError> {
        // As the kernel's `dev_valid_name`, and no control characters, which only confuse a terminal.
        let fits = (1..=15).contains(&text.len()) && text != "." && text != "..";
        let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':');
        if fits && plain { Ok(Self(text.to_owned())) } else { Err(InterfaceNameError) }
    }
}
