//! `weir alerts` and `weir rules`.
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::domain::http::alert::{AlertId, Status};
use crate::domain::http::severity::Severity;

use super::seconds;

/// `weir alerts`.
#[derive(Clone, Debug, Subcommand)]
pub enum Alerts {
    /// Print alerts, by score, then the newest first
    List(AlertsList),
    /// Print all about one alert
    Show(AlertsShow),
    /// Say how far you are with an alert; a false positive has what it caused lifted
    Update(AlertsUpdate),
    /// Make an alert of one's own
    Create(AlertsCreate),
    /// Take an alert away; what it caused stays
    Delete(AlertsDelete),
    /// Count alerts by severity, status, analyzer and technique
    Stats,
    /// Have rules and analyzers look at a dataset, or at all of a hunt's
    Analyze(AlertsAnalyze),
    /// Print the analyzers and their settings
    Analyzers,
    /// Users that are denied for a time
    #[command(subcommand)]
    Users(Users),
}

/// `weir alerts list`.
#[derive(Clone, Debug, Default, Args)]
pub struct AlertsList {
    /// Only of this status: new, acknowledged, investigating, resolved or false-positive
    #[arg(long, value_name = "STATUS")]
    pub status: Option<Status>,
    /// Only of this severity: low, medium, high or critical
    #[arg(long, value_name = "SEVERITY")]
    pub severity: Option<Severity>,
    /// Only of this severity or worse
    #[arg(long, value_name = "SEVERITY")]
    pub min_severity: Option<Severity>,
    /// Only of this analyzer, of `rules`, or of the rule with this id
    #[arg(long, value_name = "NAME")]
    pub analyzer: Option<String>,
    /// Only about this address
    #[arg(long, value_name = "ADDRESS")]
    pub source: Option<std::net::IpAddr>,
    /// Only about this user
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Only of this hunt
    #[arg(long, value_name = "ID")]
    pub hunt: Option<String>,
    /// Only of this dataset
    #[arg(long, value_name = "ID")]
    pub dataset: Option<String>,
    /// Only last seen within this time, as in 24h or 7d
    #[arg(long, value_name = "DUR", value_parser = seconds)]
    pub since: Option<u64>,
    /// How many at the most
    #[arg(short, long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: u32,
    /// How many to leave out before them
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub offset: u64,
}

/// `weir alerts show`.
#[derive(Clone, Copy, Debug, Args)]
pub struct AlertsShow {
    /// The alert
    #[arg(value_name = "ID")]
    pub id: AlertId,
}

/// `weir alerts update`.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "change", required = true, multiple = true, args = ["status", "case", "assignee", "hunt", "note", "tags"])]
pub struct AlertsUpdate {
    /// The alerts: all of them are changed, or none
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<AlertId>,
    /// How far you are: acknowledged, investigating, resolved or false-positive
    #[arg(long, value_name = "STATUS")]
    pub status: Option<Status>,
    /// The case it belongs to; empty: none
    #[arg(long, value_name = "NAME")]
    pub case: Option<String>,
    /// Who works on it; empty: nobody
    #[arg(long, value_name = "NAME")]
    pub assignee: Option<String>,
    /// The hunt it belongs to; empty: none
    #[arg(long, value_name = "ID")]
    pub hunt: Option<String>,
    /// Why, or what is to be remembered
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Its labels, in place of those it has
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    pub tags: Option<Vec<String>>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir alerts create`.
#[derive(Clone, Debug, Default, Args)]
pub struct AlertsCreate {
    /// What it is about, in a few words
    #[arg(value_name = "TITLE")]
    pub title: String,
    /// In more words
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub description: String,
    /// How bad it is: low, medium, high or critical
    #[arg(long, value_name = "SEVERITY", default_value = "medium")]
    pub severity: Severity,
    /// Whose doing it is
    #[arg(long, value_name = "ADDRESS")]
    pub source: Option<std::net::IpAddr>,
    /// Whose doing it is, or whose account it is about
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The case it belongs to
    #[arg(long, value_name = "NAME")]
    pub case: Option<String>,
    /// The hunt it belongs to
    #[arg(long, value_name = "ID")]
    pub hunt: Option<String>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir alerts delete`.
#[derive(Clone, Copy, Debug, Args)]
pub struct AlertsDelete {
    /// The alert
    #[arg(value_name = "ID")]
    pub id: AlertId,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir alerts analyze`.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "what", required = true, args = ["dataset", "hunt"])]
pub struct AlertsAnalyze {
    /// The dataset
    #[arg(long, value_name = "ID")]
    pub dataset: Option<String>,
    /// The hunt, with all of its datasets
    #[arg(long, value_name = "ID")]
    pub hunt: Option<String>,
    /// Only these analyzers, `rules` among them [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub analyzers: Vec<String>,
    /// Only say what would be found, and make no alerts
    #[arg(long)]
    pub no_alerts: bool,
}

/// `weir datasets`.
#[derive(Clone, Debug, Subcommand)]
pub enum Datasets {
    /// Print the datasets
    List,
    /// Name a log file, or a span of the events that are kept
    Create(DatasetsCreate),
    /// Take a dataset away; its alerts stay
    Delete(CaseDelete),
}

/// `weir datasets create`.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "content", required = true, args = ["file", "since", "from"])]
pub struct DatasetsCreate {
    /// What it is called
    #[arg(value_name = "NAME")]
    pub name: String,
    /// In more words
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub description: String,
    /// A log file of the daemon's machine
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How its lines are written [default: recognised]
    #[arg(long, value_name = "FORMAT", requires = "file")]
    pub format: Option<String>,
    /// The time zone of times that name none
    #[arg(long, value_name = "ZONE", requires = "file")]
    pub zone: Option<String>,
    /// Events of this time until now, as in 24h
    #[arg(long, value_name = "DUR", value_parser = seconds)]
    pub since: Option<u64>,
    /// Events from this moment on, as in 2026-11-28T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub from: Option<jiff::Timestamp>,
    /// Events up to this moment [default: now]
    #[arg(long, value_name = "TIME", requires = "from")]
    pub to: Option<jiff::Timestamp>,
    /// The hunt it belongs to
    #[arg(long, value_name = "ID")]
    pub hunt: Option<String>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir datasets delete`, `weir hunts delete`.
#[derive(Clone, Debug, Default, Args)]
pub struct CaseDelete {
    /// Which
    #[arg(value_name = "ID")]
    pub id: String,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir hunts`.
#[derive(Clone, Debug, Subcommand)]
pub enum Hunts {
    /// Print the hunts
    List,
    /// Name something that is hunted; datasets and alerts are put to it
    Create(HuntsCreate),
    /// Take a hunt away; its datasets and alerts stay
    Delete(CaseDelete),
}

/// `weir hunts create`.
#[derive(Clone, Debug, Default, Args)]
pub struct HuntsCreate {
    /// What it is called
    #[arg(value_name = "NAME")]
    pub name: String,
    /// In more words
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub description: String,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir alerts users`.
#[derive(Clone, Debug, Subcommand)]
pub enum Users {
    /// Print them
    List,
    /// Let one in again
    Lift(UsersLift),
}

/// `weir alerts users lift`.
#[derive(Clone, Debug, Args)]
pub struct UsersLift {
    /// The user
    #[arg(value_name = "NAME")]
    pub user: String,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir rules`.
#[derive(Clone, Debug, Subcommand)]
pub enum Rules {
    /// Print the rules
    List(RulesList),
    /// Print all about one rule, its text included
    Show(RuleId),
    /// Say what is wrong with files of rules, and how long each rule takes at worst; exits with 1 where one cannot be used
    Check(RulesCheck),
    /// Make a rule of a file: Sigma (YAML), or a form or the settings of an analyzer (JSON)
    Create(RulesCreate),
    /// Replace a rule of one's own by a file's, or change what any rule does
    Update(RulesUpdate),
    /// Remove a rule of one's own; of another, what was changed about it
    Delete(RuleChange),
    /// Run a rule again
    Enable(RuleChange),
    /// Run a rule no longer
    Disable(RuleChange),
}

/// `weir rules list`.
#[derive(Clone, Copy, Debug, Args)]
pub struct RulesList {
    /// Only those that are run, or that are not
    #[arg(long, value_name = "true|false")]
    pub enabled: Option<bool>,
}

/// A rule.
#[derive(Clone, Debug, Args)]
pub struct RuleId {
    /// Its id
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `weir rules check`.
#[derive(Clone, Debug, Args)]
pub struct RulesCheck {
    /// Files, and folders with *.yml and *.yaml in them
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `weir rules create`.
#[derive(Clone, Debug, Args)]
pub struct RulesCreate {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir rules update`.
#[derive(Clone, Debug, Args)]
pub struct RulesUpdate {
    /// Its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// The file that replaces a rule of one's own; - is standard input
    #[arg(value_name = "FILE", conflicts_with_all = ["severity", "threshold", "within_s", "response", "for_s"])]
    pub file: Option<PathBuf>,
    /// How bad what it finds is
    #[arg(long, value_name = "SEVERITY")]
    pub severity: Option<Severity>,
    /// How many make a finding
    #[arg(long, value_name = "N")]
    pub threshold: Option<u64>,
    /// Within how long, as in 10m
    #[arg(long = "within", value_name = "DUR", value_parser = seconds)]
    pub within_s: Option<u64>,
    /// What follows
    #[arg(long, value_enum, value_name = "RESPONSE")]
    pub response: Option<ResponseWord>,
    /// For how long, as in 1h
    #[arg(long = "for", value_name = "DUR", value_parser = seconds, requires = "response")]
    pub for_s: Option<u64>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A change of a rule.
#[derive(Clone, Debug, Args)]
pub struct RuleChange {
    /// Its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What follows from what a rule finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResponseWord {
    /// An alert, and nothing else
    Observe,
    /// The source has the tighter limit for a time
    Limit,
    /// The source is denied for a time
    Deny,
    /// The user is denied for a time
    #[value(name = "deny_user")]
    DenyUser,
    /// Somebody is told
    Notify,
}

impl ResponseWord {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Limit => "limit",
            Self::Deny => "deny",
            Self::DenyUser => "deny_user",
            Self::Notify => "notify",
        }
    }
}
