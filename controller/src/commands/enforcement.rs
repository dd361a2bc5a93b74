//! `weir enforcement`.
use std::fmt::Write as _;

use anyhow::Result;

use super::client;
use super::io::Io;
use crate::cli::{EnforcementArgs, EnforcementWord, Global};
use crate::domain::decision::Enforcement;
use crate::domain::report::SwitchReport;

pub(super) fn run(args: &EnforcementArgs, global: &Global, io: &mut Io) -> Result<()> {
    let client = client(global)?;
    let to = match args.to {
        EnforcementWord::Enforce => Enforcement::Enforce,
        EnforcementWord::Observe => Enforcement::Observe,
    };
    let report = if args.dry_run {
        let now = client.status()?.enforcement;
        SwitchReport { changed: now != to, state: word(now).to_owned() }
    } else {
        client.enforce(to)?
    };
    io.report(global.output, &report, |report, _, into| match (report.changed, args.dry_run) {
        (true, false) => writeln!(into, "enforcement: {} from now on", report.state),
        (true, true) => writeln!(into, "enforcement: would change from {} to {}", report.state, word(to)),
        (false, false) => writeln!(into, "enforcement: {}, as before", report.state),
        (false, true) => writeln!(into, "enforcement: would stay {}", report.state),
    })?;
    Ok(())
}

fn word(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Enforce => "enforce",
        Enforcement::Observe => "observe",
    }
}
