//! `weir reputation`, `weir audit`, `weir privacy`.
use std::net::IpAddr;

use clap::{Args, Subcommand};

/// `weir reputation`.
#[derive(Clone, Debug, Subcommand)]
pub enum Reputation {
    /// Print what speaks for and against an address, line by line to the sum
    Show(ReputationShow),
    /// Print the sources with evidence against them, the worst first
    List(ReputationList),
    /// Forget what there is against an address, and lift what was done for it
    Reset(ReputationReset),
}

/// `weir reputation show`.
#[derive(Clone, Copy, Debug, Args)]
pub struct ReputationShow {
    /// The address
    #[arg(value_name = "ADDRESS")]
    pub address: IpAddr,
}

/// `weir reputation list`.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ReputationList {
    /// How many at the most
    #[arg(short, long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: u32,
    /// How many to leave out before them
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub offset: u64,
}

/// `weir reputation reset`.
#[derive(Clone, Copy, Debug, Args)]
pub struct ReputationReset {
    /// The address; of IPv6, its /64 is meant
    #[arg(value_name = "ADDRESS")]
    pub address: IpAddr,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir audit`.
#[derive(Clone, Debug, Default, Args)]
pub struct AuditArgs {
    /// Since when: a time until now, as in 1h, 24h, 7d or 30d, or a moment
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub since: String,
}

/// `weir privacy`.
#[derive(Clone, Debug, Subcommand)]
pub enum Privacy {
    /// Have addresses hashed with another key from now on
    Rotate(PrivacyRotate),
    /// Erase what is kept of an address or a user; what is in force stays so until it ends
    Erase(PrivacyErase),
}

/// `weir privacy rotate`.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct PrivacyRotate {
    /// Forget the keys before, so that what is kept under them is nobody's any more
    #[arg(long)]
    pub forget: bool,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `weir privacy erase`.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "whose", required = true, args = ["address", "user"])]
pub struct PrivacyErase {
    /// The address; of IPv6, its /64 as well
    #[arg(value_name = "ADDRESS")]
    pub address: Option<IpAddr>,
    /// The user
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}
