//! `weir capture`.
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use weir_common::verdict::{Action, Verdict};

use crate::domain::capture::DropVerdict;

/// `weir capture`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Only dropped and observed packets are sampled, a bounded number a second on each CPU (`[samples] per_second`), and of each only its beginning is kept. Ctrl-C ends the capture and says how much there was."
)]
pub struct CaptureArgs {
    /// The file, pcapng; one that is there is replaced; - is standard output
    #[arg(short, long = "write", value_name = "FILE.pcapng")]
    pub write: PathBuf,
    /// End after so many packets [default: go on until Ctrl-C]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub n: Option<u64>,
    /// Only packets with this verdict; may be repeated [default: all that drop]
    #[arg(long = "verdict", value_name = "V", value_parser = verdicts(), hide_possible_values = true)]
    pub verdicts: Vec<DropVerdict>,
    /// Only packets that this list decided; may be repeated [default: all]
    #[arg(long = "list", value_name = "NAME")]
    pub lists: Vec<String>,
}

/// Verdicts by their names. Those that pass are known too, so that they are refused with the reason.
fn verdicts() -> impl TypedValueParser<Value = DropVerdict> {
    let names = Verdict::ALL.map(|verdict| PossibleValue::new(verdict.name()).hide(verdict.action() == Action::Pass));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<DropVerdict>())
}
