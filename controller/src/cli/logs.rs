//! `weir logs`.
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;

use crate::domain::http::line::Format;
use crate::domain::listfile::{PrefixError, parse_prefix};

/// `weir logs`.
#[derive(Clone, Debug, Subcommand)]
pub enum Logs {
    /// Say what rules and analyzers would have made of log files: what would have been alerted, and done
    ///
    /// Nothing is enforced and no daemon is needed; files are read at their own times, several as one stream in the order
    /// of time, such as a rotated set (access.log*). Files packed with gzip are read as they are. Rules and analyzers are
    /// as the configuration says. Exits with 1 where a file could not be read to its end.
    Analyze(LogsAnalyze),
}

/// `weir logs analyze`.
#[derive(Clone, Debug, Args)]
pub struct LogsAnalyze {
    /// The files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How lines are written: auto, combined, vhost-combined, nginx-error, apache-error, nginx-json, caddy, traefik,
    /// traefik-json, haproxy or grok
    #[arg(long, value_name = "FORMAT", default_value_t)]
    pub format: Format,
    /// The pattern of format grok, as in '%{IPORHOST:c-ip} %{WORD:cs-method} %{NOTSPACE:cs-uri}'
    #[arg(long, value_name = "PATTERN")]
    pub pattern: Option<String>,
    /// The time zone of times that name none, as in Europe/Berlin [default: the machine's]
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// Rules of this folder too; can be given more than once
    #[arg(long, value_name = "DIR")]
    pub rules: Vec<PathBuf>,
    /// A proxy whose word on who the client is counts, and who is never denied; can be given more than once
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    pub trusted_proxy: Vec<IpNet>,
    /// Leave out one of the two; can be given more than once
    #[arg(long, value_name = "WHAT", value_enum)]
    pub without: Vec<Part>,
}

/// What judges events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Rules
    Rules,
    /// Analyzers
    Analyzers,
}

fn prefix(text: &str) -> Result<IpNet, PrefixError> {
    parse_prefix(text)
}
