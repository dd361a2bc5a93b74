//! `weir config`.
use std::fmt::Write as _;

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde::Serialize;

use super::io::Io;
use super::{client, failure, here, settings};
use crate::adapters::client::Settings;
use crate::cli::{Config, Global, Output};
use crate::daemon::load;
use crate::domain::cutoff::CutOff;
use crate::domain::report::{ConfigReport, SettingRow, Status};
use crate::render;

pub(super) fn run(verb: &Config, global: &Global, io: &mut Io) -> Result<()> {
    match verb {
        Config::Check => check(global, io),
        Config::Show => show(global, io),
        Config::Reload(args) => set(Settings::Reload { dry_run: args.dry_run }, global, io),
        Config::Apply(args) => set(Settings::Apply { confirm_s: args.confirm_s, dry_run: args.dry_run }, global, io),
        Config::Confirm(args) | Config::Rollback(args) if args.dry_run => look_at_pending(global, io),
        Config::Confirm(_) => set(Settings::Confirm, global, io),
        Config::Rollback(_) => set(Settings::Rollback, global, io),
    }
}

fn set(change: Settings, global: &Global, io: &mut Io) -> Result<()> {
    let report = client(global)?.set(change)?;
    print(&report, global, io)
}

/// What there is to confirm or to roll back; the daemon is asked for nothing else.
fn look_at_pending(global: &Global, io: &mut Io) -> Result<()> {
    let status = client(global)?.status()?;
    if status.pending.is_none() {
        bail!("no settings change waits for a confirmation");
    }
    let Status { generation, pending, .. } = status;
    let report = ConfigReport { changed: true, dry_run: true, generation, pending, notes: Vec::new() };
    print(&report, global, io)
}

fn print(report: &ConfigReport, global: &Global, io: &mut Io) -> Result<()> {
    let now = Timestamp::now();
    io.report(global.output, report, |report, style, into| render::changes::config(report, now, style, into))?;
    Ok(())
}

/// What `config check` found.
#[derive(Debug, Serialize)]
struct Check {
    /// The file; `null`: there is none, and every setting has its default.
    file: Option<String>,
    /// Whether the daemon would take it.
    ok: bool,
    /// What is wrong, with its place.
    problem: Option<String>,
    /// Limits that cost more than they hold, settings that do nothing, what it would cut off on this machine, and what it
    /// says of rules there are not.
    warnings: Vec<String>,
}

fn check(global: &Global, io: &mut Io) -> Result<()> {
    let found = settings::load(global).and_then(|found| {
        let mut warnings = found.loaded.warnings.clone();
        let CutOff { refused, warned } = here::cut_off(&found.loaded.config, global);
        if !refused.is_empty() {
            bail!("{} is not to be put in force here: {}", global.config_path().display(), refused.join("; "));
        }
        let (rules, overrides) = load::rule_problems(&found.loaded.config);
        if !rules.is_empty() {
            bail!("rules cannot be used: {}", rules.join("; "));
        }
        warnings.extend(warned.into_iter().chain(overrides));
        Ok((found, warnings))
    });
    match found {
        Ok((found, warnings)) => {
            let file = found.file.map(|path| path.display().to_string());
            let check = Check { file, ok: true, problem: None, warnings };
            io.report(global.output, &check, |check, style, into| {
                match &check.file {
                    Some(file) => writeln!(into, "{file}: {}", style.green("ok"))?,
                    None => writeln!(
                        into,
                        "{}: there is no such file; every setting has its default",
                        global.config_path().display()
                    )?,
                }
                check.warnings.iter().try_for_each(|warning| writeln!(into, "{}: {warning}", style.yellow("warning")))
            })?;
            Ok(())
        }
        Err(error) => {
            if global.output == Output::Json {
                let file = Some(global.config_path().display().to_string());
                let check = Check { file, ok: false, problem: Some(failure::text(&error)), warnings: Vec::new() };
                io.report(global.output, &check, |_, _, _| Ok(()))?;
            }
            Err(error)
        }
    }
}

/// The settings in force: the daemon's, where one answers; the file's, where it is named on the line or no daemon does.
fn show(global: &Global, io: &mut Io) -> Result<()> {
    let daemons = if global.config_on_line { None } else { daemons(global, io)? };
    let rows = if let Some(rows) = daemons {
        rows
    } else {
        let found = settings::load(global)?;
        match &found.file {
            Some(file) => io.note(format_args!("settings of {}", file.display())),
            None => io.note("the defaults: there is no configuration"),
        }
        settings::rows(&found)
    };
    io.report(global.output, rows.as_slice(), render::entries::settings)?;
    Ok(())
}

/// What the daemon says; `None` where none is there to be asked.
fn daemons(global: &Global, io: &mut Io) -> Result<Option<Vec<SettingRow>>> {
    let client = client(global)?;
    match client.settings() {
        Ok(rows) => {
            io.note(format_args!("settings of the daemon at {}", client.socket().display()));
            Ok(Some(rows))
        }
        Err(error) if error.is_unreachable() => {
            io.note(&error);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
