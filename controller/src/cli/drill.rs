//! `weir drill`.
use clap::Args;

use crate::domain::drill::scenario::Scenario;

/// What `weir drill` takes.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct DrillArgs {
    /// Drills [default: all of them, one after the other]
    #[arg(value_name = "NAME", value_enum, hide_possible_values = true)]
    pub names: Vec<Scenario>,
    /// Print the drills there are
    #[arg(long, conflicts_with_all = ["names", "profile"])]
    pub list: bool,
    /// Print the profile that comes with weir
    #[arg(long, conflicts_with_all = ["names", "list", "profile"])]
    pub show_profile: bool,
    /// Drill with the profile that comes with weir, in place of your settings
    #[arg(long)]
    pub profile: bool,
    /// How long each flood lasts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=60))]
    pub seconds: u64,
    /// Packets a second each flood sends
    #[arg(long, value_name = "PPS", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    pub rate: u64,
    /// Said by weir to itself: this process is the first of a process namespace of its own.
    #[arg(long, hide = true)]
    pub contained: bool,
}
