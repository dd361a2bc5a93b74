//! `weir drill`: floods with a name, in private namespaces, against the operator's own settings.
//!
//! The command starts itself anew as the first process of a process namespace (`contain`), which gets a mount namespace
//! and network namespaces besides. Everything a drill makes lives in those and goes with them, in whatever way the
//! command ends: a scratch folder in memory, a BPF filesystem, interfaces, the drill's own daemon.
mod contain;
mod daemon;
mod flood;
mod honest;
mod place;
mod play;
mod stage;
mod stop;
mod under;
mod watch;

use anyhow::{Result, bail};
use serde::Serialize;

use self::stop::Stop;
use self::under::Taken;
use super::io::Io;
use crate::cli::{DrillArgs, Global, Output};
use crate::domain::drill::report::{Drill, DrillReport};
use crate::domain::drill::scenario::Scenario;
use crate::render;

/// The settings that come with weir for drills.
const PROFILE: &str = include_str!("../../drill/profile.toml");

/// A drill there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offered {
    /// Its name.
    pub name: Scenario,
    /// What it floods with.
    pub about: String,
}

pub(super) fn run(args: &DrillArgs, global: &Global, io: &mut Io) -> Result<()> {
    if args.list {
        let offered = Scenario::ALL.map(|name| Offered { name, about: name.about().to_owned() });
        return Ok(io.report(global.output, offered.as_slice(), render::drill::offered)?);
    }
    if args.show_profile {
        return Ok(io.write(PROFILE.as_bytes())?);
    }
    if !args.contained {
        return contain::start(args, global);
    }
    let stop = Stop::heed()?;
    contain::enter()?;
    drills(args, global, io, &stop)
}

/// Runs the drills, and says of each what it came to as soon as it is over.
fn drills(args: &DrillArgs, global: &Global, io: &mut Io, stop: &Stop) -> Result<()> {
    let taken = Taken::read(args.profile, global)?;
    let names = if args.names.is_empty() { Scenario::ALL.to_vec() } else { args.names.clone() };
    let mut under = None;
    let mut drills: Vec<Drill> = Vec::with_capacity(names.len());
    for name in names {
        let bar = io.progress(&format!("drill {}", name.name()));
        let played = play::play(name, args, &taken, stop);
        bar.finish_and_clear();
        let (drill, settings) = played?;
        let drill = drill.judged(taken.is_profile());
        if global.output == Output::Text {
            if under.is_none() {
                io.report(global.output, &settings, render::drill::under)?;
            }
            io.report(global.output, &drill, render::drill::drill)?;
            io.flush()?;
        }
        under = Some(settings);
        drills.push(drill);
    }
    let Some(under) = under else { bail!("no drill was named") };
    let report = DrillReport::of(under, drills);
    if global.output == Output::Json {
        io.report(global.output, &report, |_, _, _| Ok(()))?;
    }
    let failed: Vec<&str> = report.drills.iter().filter(|drill| !drill.ok).map(|drill| drill.name.name()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    bail!("not as it should be: {}; the report says why", failed.join(", "))
}
