//! The commands, a file each: arguments, one call, a report.
mod alerts;
mod audit;
mod bypass;
mod capture;
mod cases;
mod completions;
mod config;
mod detach;
mod doctor;
pub mod drill;
mod enforcement;
mod explain;
pub mod failure;
mod feeds;
mod here;
mod instance;
pub mod io;
mod lists;
mod logs;
mod offenders;
mod privacy;
mod reputation;
mod rules;
pub mod run;
pub mod settings;
pub mod simulate;
mod status;
mod top;

use std::ffi::OsString;

use anyhow::Result;

use self::failure::is_closed_output;
use self::io::Io;
use crate::adapters::client::Client;
use crate::cli::{Cli, Command, Global};

pub use self::doctor::Finding;

/// Carries out a command line, the program's own name first, and says how it ended: the exit status.
pub fn main(line: impl IntoIterator<Item = OsString>, io: &mut Io) -> u8 {
    let cli = match Cli::read(line) {
        Ok(cli) => cli,
        Err(error) => {
            let status = u8::try_from(error.exit_code()).unwrap_or(failure::USAGE);
            return finish(io.clap(&error).map_err(Into::into), io, status);
        }
    };
    let result = dispatch(&cli, io).and_then(|()| Ok(io.flush()?));
    finish(result, io, 0)
}

fn finish(result: Result<()>, io: &mut Io, done: u8) -> u8 {
    match result {
        Ok(()) => done,
        Err(error) if is_closed_output(&error) => 0,
        Err(error) => {
            // What was written before the failure belongs to the reader, whatever becomes of it.
            drop(io.flush());
            if !failure::is_told(&error) {
                io.fail(&error);
            }
            failure::code(&error)
        }
    }
}

fn dispatch(cli: &Cli, io: &mut Io) -> Result<()> {
    let global = &cli.global;
    match &cli.command {
        Command::Run(args) => run::run(args, global),
        Command::Status => status::run(global, io),
        Command::Top(args) => top::run(args, global, io),
        Command::Doctor(args) => doctor::run(args, global, io),
        Command::Block(verb) => lists::block(verb, global, io),
        Command::Allow(verb) => lists::allow(verb, global, io),
        Command::Feeds(verb) => feeds::run(verb, global, io),
        Command::Logs(verb) => logs::run(verb, global, io),
        Command::Offenders(args) => offenders::run(*args, global, io),
        Command::Alerts(verb) => alerts::run(verb, global, io),
        Command::Rules(verb) => rules::run(verb, global, io),
        Command::Datasets(verb) => cases::datasets(verb, global, io),
        Command::Hunts(verb) => cases::hunts(verb, global, io),
        Command::Reputation(verb) => reputation::run(verb, global, io),
        Command::Audit(args) => audit::run(args, global, io),
        Command::Privacy(verb) => privacy::run(verb, global, io),
        Command::Explain(args) => explain::run(args, global, io),
        Command::Capture(args) => capture::run(args, global, io),
        Command::Simulate(args) => simulate::run(args, global, io),
        Command::Drill(args) => drill::run(args, global, io),
        Command::Enforcement(args) => enforcement::run(*args, global, io),
        Command::Config(verb) => config::run(verb, global, io),
        Command::Bypass(args) => bypass::run(*args, global, io),
        Command::Detach(args) => detach::run(*args, global, io),
        Command::Completions(args) => completions::run(*args, io),
    }
}

/// A client of the daemon that the command line means.
fn client(global: &Global) -> Result<Client> {
    Ok(Client::new(&settings::socket(global)?)?)
}

#[cfg(test)]
pub(crate) mod tests;
