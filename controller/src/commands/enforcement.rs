//! `weir enforcement`.
use std::fmt::Write as _;

use anyhow::Result;

use super::client;
use super::io::Io;
use crate::cli::{EnforcementArgs, EnforcementWord, Global};
use crate::domain::decision::Enforcement;

pub(super) fn run(args: EnforcementArgs, global: &Global, io: &mut Io) -> Result<()> {
    let client = client(global)?;
    let to = match args.to {
        EnforcementWord::Enforce => Enforcement::Enforce,
        EnforcementWord::Observe => Enforcement::Observe,
    };
    let report = client.enforce(to, args.dry_run)?;
    let word = match args.to {
        EnforcementWord::Enforce => "enforce",
        EnforcementWord::Observe => "observe",
    };
    io.report(global.output, &report, |report, _, into| match (report.changed, args.dry_run) {
        (true, false) => writeln!(into, "enforcement: {word} from now on"),
        (true, true) => writeln!(into, "enforcement: would be {word}"),
        (false, false) => writeln!(into, "enforcement: {word}, as before"),
        (false, true) => writeln!(into, "enforcement: would stay {word}"),
    })?;
    Ok(())
}
