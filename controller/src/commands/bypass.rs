//! `weir bypass`: straight to the kernel's switch, whether a daemon runs or not.
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use weir_common::abi::control_word;

use super::instance;
use super::io::Io;
use crate::cli::{BypassArgs, Global, Switch};
use crate::domain::report::SwitchReport;

pub(super) fn run(args: BypassArgs, global: &Global, io: &mut Io) -> Result<()> {
    let Some(instance) = instance::find(global, io)? else {
        bail!("no weir is attached here, so nothing is filtered and there is nothing to bypass");
    };
    let control = instance.control().context("open the kernel's switches; only root may")?;
    let was = control.read(control_word::BYPASS as usize).unwrap_or(0) != 0;
    let to = args.to == Switch::On;
    if !args.dry_run {
        instance.set_bypass(to).context("switch")?;
    }
    let word = |on| if on { "on" } else { "off" };
    let now = if args.dry_run { was } else { to };
    let report = SwitchReport { changed: was != to, state: word(now).to_owned() };
    io.report(global.output, &report, |report, style, into| match (report.changed, args.dry_run) {
        (true, true) => writeln!(into, "bypass: would be turned {}", word(to)),
        (false, _) => writeln!(into, "bypass: {} already", word(to)),
        (true, false) if to => writeln!(into, "bypass: {}", style.red("on")),
        (true, false) => writeln!(into, "bypass: {}, packets are filtered again", style.green("off")),
    })?;
    if now {
        io.warn("NOTHING IS FILTERED: everything passes until `weir bypass off`");
    }
    Ok(())
}
