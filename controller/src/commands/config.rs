//! `weir config`.
use std::fmt::Write as _;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use super::io::Io;
use super::{client, failure, settings};
use crate::adapters::client::Settings;
use crate::cli::{Config, Global, Output};
use crate::render;

pub(super) fn run(verb: &Config, global: &Global, io: &mut Io) -> Result<()> {
    match verb {
        Config::Check => check(global, io),
        Config::Show => show(global, io),
        Config::Reload(args) => set(Settings::Reload, args.dry_run, global, io),
        Config::Apply(args) => set(Settings::Apply(args.confirm_s), args.dry_run, global, io),
        Config::Confirm(args) => set(Settings::Confirm, args.dry_run, global, io),
        Config::Rollback(args) => set(Settings::Rollback, args.dry_run, global, io),
    }
}

fn set(change: Settings, dry_run: bool, global: &Global, io: &mut Io) -> Result<()> {
    let report = client(global)?.set(change, dry_run)?;
    let now = Timestamp::now();
    io.report(global.output, &report, |report, style, into| render::changes::config(report, now, style, into))?;
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
}

fn check(global: &Global, io: &mut Io) -> Result<()> {
    match settings::load(global) {
        Ok(found) => {
            let file = found.file.map(|path| path.display().to_string());
            let check = Check { file, ok: true, problem: None };
            io.report(global.output, &check, |check, style, into| match &check.file {
                Some(file) => writeln!(into, "{file}: {}", style.green("ok")),
                None => writeln!(into, "{}: there is no such file; every setting has its default", global.config_path().display()),
            })?;
            Ok(())
        }
        Err(error) => {
            if global.output == Output::Json {
                let file = Some(global.config_path().display().to_string());
                let check = Check { file, ok: false, problem: Some(failure::text(&error)) };
                io.report(global.output, &check, |_, _, _| Ok(()))?;
            }
            Err(error)
        }
    }
}

/// The settings in force: the daemon's, where one answers; the file's, where it is named on the line or no daemon does.
fn show(global: &Global, io: &mut Io) -> Result<()> {
    let rows = match if global.config_on_line { None } else { daemons(global, io)? } {
        Some(rows) => rows,
        None => {
            let found = settings::load(global)?;
            match &found.file {
                Some(file) => io.note(format_args!("settings of {}", file.display())),
                None => io.note("the defaults: there is no configuration"),
            }
            settings::rows(&found)
        }
    };
    io.report(global.output, rows.as_slice(), |rows, style, into| render::entries::settings(rows, style, into))?;
    Ok(())
}

/// What the daemon says; `None` where none is there to be asked.
fn daemons(global: &Global, io: &mut Io) -> Result<Option<Vec<crate::domain::report::SettingRow>>> {
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
