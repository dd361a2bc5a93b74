//! `weir completions`.
use anyhow::Result;
use clap::CommandFactory as _;

use super::io::Io;
use crate::cli::{Cli, CompletionsArgs};

pub(super) fn run(args: CompletionsArgs, io: &mut Io) -> Result<()> {
    // The generator expects its writer to take everything.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "weir", &mut script);
    io.write(&script)?;
    Ok(())
}
