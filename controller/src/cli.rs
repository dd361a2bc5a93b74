//! The command line: what may be said, and what was.
//!
//! Types only. What a command does lives under its name in `commands`.
mod alerts;
mod capture;
mod drill;
mod history;
mod import;
mod logs;
mod target;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::adapters::kernel::link::WantedMode;
use crate::config::InterfaceName;
use crate::daemon::load::DEFAULT_FILE;
use crate::domain::decision::Origin;
use crate::domain::duration::{self, DurationError};
use crate::domain::listfile::Format;
use crate::domain::listfile::export::ExportFormat;
use crate::domain::report::{TopBy, TopGroup};

pub use self::alerts::{
    Alerts, AlertsAnalyze, AlertsCreate, AlertsDelete, AlertsList, AlertsUpdate, CaseDelete, Datasets, DatasetsCreate,
    Hunts, HuntsCreate, ResponseWord, RuleChange, Rules, RulesCheck, RulesCreate, RulesList, RulesUpdate, Users,
};
pub use self::capture::CaptureArgs;
pub use self::drill::DrillArgs;
pub use self::history::{
    AuditArgs, Privacy, PrivacyErase, PrivacyRotate, Reputation, ReputationList, ReputationReset, ReputationShow,
};
pub use self::import::ImportFormat;
pub use self::logs::{Logs, LogsAnalyze, Part};
pub use self::target::{Named, Target};

/// Everything that was said.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "weir",
    version,
    about = "Stops abusive traffic at the network card; everything else flows on",
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Exit status: 0 done, 1 failed, 2 usage, 3 not found, 4 daemon unreachable, 5 refused by a safety rule."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command, wherever it stands on the line.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// How results are printed
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Output,
    /// The daemon's socket [default: the configuration's, /run/weir/weir.sock]
    #[arg(long, global = true, value_name = "PATH", env = "WEIR_SOCKET")]
    pub socket: Option<PathBuf>,
    /// The configuration [default: /etc/weir/weir.toml]
    #[arg(short, long, global = true, value_name = "FILE", env = "WEIR_CONFIG")]
    pub config: Option<PathBuf>,
    /// Whether `--config` stands on the line, rather than in the environment.
    #[arg(skip)]
    pub config_on_line: bool,
}

impl Global {
    /// The configuration to read.
    pub fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }

    /// Whether a configuration was named: then it must be there.
    pub fn is_config_named(&self) -> bool {
        self.config.is_some()
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs: one document, stable keys
    Json,
}

/// A command.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Filter packets: the daemon, in the foreground
    Run(RunArgs),
    /// What is in force, what passed and what was dropped
    Status,
    /// Who sends most
    Top(TopArgs),
    /// What this kernel, machine and network card can do, and how to fix what they can't
    Doctor(DoctorArgs),
    /// The deny list
    #[command(subcommand)]
    Block(Block),
    /// The allow list: who passes, whatever else is denied
    #[command(subcommand)]
    Allow(Allow),
    /// Feeds: lists of others that are followed
    #[command(subcommand)]
    Feeds(Feeds),
    /// Logs of web servers: what rules and analyzers make of them
    #[command(subcommand)]
    Logs(Logs),
    /// Who came near a limit, and what became of it
    Offenders(OffendersArgs),
    /// What rules and analyzers found in logs and events
    #[command(subcommand)]
    Alerts(Alerts),
    /// The rules that events are judged by
    #[command(subcommand)]
    Rules(Rules),
    /// Log files and spans of events under a name, to be analysed
    #[command(subcommand)]
    Datasets(Datasets),
    /// What is hunted: datasets and alerts that belong together
    #[command(subcommand)]
    Hunts(Hunts),
    /// What speaks for and against sources, and what it comes to
    #[command(subcommand)]
    Reputation(Reputation),
    /// What happened, and who changed what
    Audit(AuditArgs),
    /// What is kept of people
    #[command(subcommand)]
    Privacy(Privacy),
    /// The verdict a packet from an address gets now, and why
    Explain(ExplainArgs),
    /// Write sampled drops to a capture, with verdict and list in each packet's comment
    Capture(CaptureArgs),
    /// What would become of a capture's packets; nothing is attached, no counter of the daemon's moves
    ///
    /// Under the running policy; with --config, or where no weir runs, under that configuration with empty lists.
    Simulate(SimulateArgs),
    /// Floods with a name against your settings, in private network namespaces, and what becomes of honest traffic
    ///
    /// Needs root. Exits with 1 where an honest packet was refused, or where the shipped profile did not hold a flood.
    Drill(DrillArgs),
    /// Drop for real, or only count what would be dropped
    Enforcement(EnforcementArgs),
    /// Settings
    #[command(subcommand)]
    Config(Config),
    /// Let everything through at once, or filter again; works without the daemon
    Bypass(BypassArgs),
    /// Take weir off every interface and out of the kernel; works without the daemon
    Detach(DetachArgs),
    /// Print the shell's completions
    Completions(CompletionsArgs),
}

/// `weir run`.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Interfaces to protect [default: the configuration's]
    #[arg(short = 'i', long = "interface", value_name = "IFACE", num_args = 1..)]
    pub interfaces: Vec<InterfaceName>,
    /// The network namespace the interfaces are in, by its name
    #[arg(long, value_name = "NAME")]
    pub netns: Option<String>,
    /// How XDP is attached [default: the configuration's, auto]
    #[arg(long, value_enum)]
    pub mode: Option<WantedMode>,
    /// Count what would be dropped, and drop nothing
    #[arg(long)]
    pub observe: bool,
}

/// `weir top`.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// Most rows [default: 20; on the live screen 500]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub n: Option<u32>,
    /// What is sorted by
    #[arg(long, value_enum, default_value_t)]
    pub by: TopBy,
    /// What a row is
    #[arg(long, value_enum, default_value_t, value_name = "GROUP")]
    pub group: TopGroup,
    /// Only these sources: a prefix, an address, a part of one, a country, or an AS number as in AS64496
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub filter: String,
    /// Print a table once instead of the live screen, as where standard output is no terminal
    #[arg(long)]
    pub once: bool,
}

/// `weir doctor`.
#[derive(Clone, Debug, Default, Args)]
pub struct DoctorArgs {
    /// Interfaces to look at [default: the configuration's]
    #[arg(short = 'i', long = "interface", value_name = "IFACE", num_args = 1..)]
    pub interfaces: Vec<InterfaceName>,
}

/// `weir block`.
#[derive(Clone, Debug, Subcommand)]
pub enum Block {
    /// Deny addresses and prefixes
    Add(BlockAdd),
    /// Take addresses and prefixes off the list
    Remove(Remove),
    /// Print the list
    List,
    /// Replace a list by a file's
    Import(Import),
    /// Print all prefixes, as a list or as another firewall reads them
    Export(Export),
}

/// `weir allow`.
#[derive(Clone, Debug, Subcommand)]
pub enum Allow {
    /// Allow addresses and prefixes
    Add(Add),
    /// Take addresses and prefixes off the list
    Remove(Remove),
    /// Print the list
    List,
    /// Replace a list by a file's
    Import(Import),
    /// Print all prefixes, as a list or as another firewall reads them
    Export(Export),
}

/// `weir block export`, `weir allow export`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Export {
    /// How it is written: plain (a prefix a line), json, nft (for nft -f) or ipset (for ipset restore)
    #[arg(long, value_name = "FORMAT", default_value_t = ExportFormat::Plain)]
    pub format: ExportFormat,
}

/// `weir offenders`.
#[derive(Clone, Copy, Debug, Args)]
pub struct OffendersArgs {
    /// How many at the most
    #[arg(short, value_name = "N", default_value_t = 20)]
    pub n: u32,
}

/// `weir feeds`.
#[derive(Clone, Debug, Subcommand)]
pub enum Feeds {
    /// Print every feed and how it does
    List,
    /// Ask feeds now instead of when they are due
    Refresh(FeedsRefresh),
    /// Say what would be taken of a file or URL, and whom it would hit; exits with 1 where it would be refused
    Check(FeedsCheck),
    /// Print the well-known feeds that a configuration can name by `preset`
    Presets,
}

/// `weir feeds refresh`.
#[derive(Clone, Debug, Args)]
pub struct FeedsRefresh {
    /// Feeds [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Take the answer although it shrank or grew too much or too much of it is refused; lines are still refused one by
    /// one
    #[arg(long)]
    pub force: bool,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir feeds check`.
#[derive(Clone, Debug, Args)]
pub struct FeedsCheck {
    /// A file, a URL, the name of a feed of the configuration, or of a preset; - is standard input
    #[arg(value_name = "FILE|URL|NAME")]
    pub source: String,
    /// How it is written [default: as the feed says, else recognised]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// The column of a table that holds addresses
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Leave out entries of a lower score
    #[arg(long, value_name = "N")]
    pub least_score: Option<u32>,
    /// Take an http:// URL too, which anybody on the way can change
    #[arg(long)]
    pub allow_http: bool,
    /// Take a URL on a private address too
    #[arg(long)]
    pub allow_private: bool,
}

/// `weir allow add`.
#[derive(Clone, Debug, Args)]
pub struct Add {
    /// Addresses and prefixes; - reads them from standard input, one a line
    #[arg(required = true, value_name = "PREFIX")]
    pub prefixes: Vec<Target>,
    /// How long, as in 90s, 15m, 12h or 7d [default: for ever]
    #[arg(long = "for", value_name = "DUR", value_parser = seconds)]
    pub for_s: Option<u64>,
    /// Why, for those who ask later
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    /// On whose word: `operator`, or the name of the tool that asks
    #[arg(long, value_name = "O")]
    pub origin: Option<Origin>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir block add`.
#[derive(Clone, Debug, Args)]
pub struct BlockAdd {
    /// What both lists take.
    #[command(flatten)]
    pub add: Add,
    /// Count what would be dropped, and drop nothing
    #[arg(long)]
    pub observe: bool,
    /// Deny what is protected too, where it is named itself
    #[arg(long)]
    pub force: bool,
}

/// `weir block remove`, `weir allow remove`.
#[derive(Clone, Debug, Args)]
pub struct Remove {
    /// Addresses and prefixes; - reads them from standard input, one a line
    #[arg(required = true, value_name = "PREFIX")]
    pub prefixes: Vec<Target>,
    /// Only what stands there on this origin's word [default: anybody's]
    #[arg(long, value_name = "O")]
    pub origin: Option<Origin>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir block import`, `weir allow import`.
#[derive(Clone, Debug, Args)]
pub struct Import {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How it is written; auto recognises all but the database of fail2ban
    #[arg(long, value_name = "FORMAT", default_value_t)]
    pub format: ImportFormat,
    /// The column of a table that holds addresses
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Leave out entries of a lower score
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub least_score: u32,
    /// The list it becomes [default: the file's name; of standard input, block or allow]
    #[arg(long, value_name = "LIST")]
    pub name: Option<String>,
    /// On whose word: the list of a tool that names itself is brought in line with the file, ends included
    #[arg(long, value_name = "O", conflicts_with = "name")]
    pub origin: Option<Origin>,
    /// Why, for those who ask later; with --origin
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    /// Only this jail's bans of a fail2ban database [default: all]
    #[arg(long, value_name = "NAME")]
    pub jail: Option<String>,
    /// Take what can be read where some lines can't
    #[arg(long)]
    pub skip_bad: bool,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir explain`.
#[derive(Clone, Copy, Debug, Args)]
pub struct ExplainArgs {
    /// The address
    pub address: IpAddr,
}

/// `weir simulate`.
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// The capture, pcap or pcapng; - is standard input
    #[arg(value_name = "FILE.pcap")]
    pub file: PathBuf,
}

/// `weir enforcement`.
#[derive(Clone, Copy, Debug, Args)]
pub struct EnforcementArgs {
    /// What drops are from now on
    pub to: EnforcementWord,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What becomes of drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EnforcementWord {
    /// They are carried out
    Enforce,
    /// They are only counted
    Observe,
}

/// `weir config`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Config {
    /// Read the configuration and say what is wrong with it; needs no daemon
    Check,
    /// Print every setting in force and where it came from
    ///
    /// The daemon's, where one runs; the file's, where none does or --config names one.
    Show,
    /// Put the configuration's settings in force: all of them, or none
    Reload(DryRun),
    /// As reload, and undone after a while unless confirmed
    Apply(ApplyArgs),
    /// Keep what was applied
    Confirm(DryRun),
    /// Go back to the settings before
    Rollback(DryRun),
}

/// `weir config apply`.
#[derive(Clone, Copy, Debug, Args)]
pub struct ApplyArgs {
    /// How long to wait for `weir config confirm`, as in 60s
    #[arg(long = "confirm", value_name = "DUR", value_parser = seconds)]
    pub confirm_s: u64,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A command whose only option is to change nothing.
#[derive(Clone, Copy, Debug, Args)]
pub struct DryRun {
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir bypass`.
#[derive(Clone, Copy, Debug, Args)]
pub struct BypassArgs {
    /// On: nothing is filtered
    pub to: Switch,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A switch's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On
    On,
    /// Off
    Off,
}

/// `weir detach`.
#[derive(Clone, Copy, Debug, Args)]
pub struct DetachArgs {
    /// Say what would go, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

fn seconds(text: &str) -> Result<u64, DurationError> {
    duration::parse(text)
}

impl Cli {
    /// Reads a command line, the program's own name first.
    ///
    /// # Errors
    /// Clap's, with the text for the person: also for `--help` and `--version`, which are no errors.
    pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(line)?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        cli.global.config_on_line = matches.value_source("config") == Some(ValueSource::CommandLine);
        Ok(cli)
    }
}

#[cfg(test)]
mod tests;
