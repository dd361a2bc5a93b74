//! `weir simulate`: a capture's packets through a private instance of the real program, at the capture's own times.
//!
//! Nothing is attached. The running daemon's policy is shared and only read; counters, buckets and clocks are private.
mod capture;
mod machine;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::capture::{Capture, Next, Passed};
use self::machine::Machine;
use super::instance;
use super::io::Io;
use super::settings;
use crate::adapters::kernel::object;
use crate::cli::{Global, SimulateArgs};
use crate::daemon::load;
use crate::domain::report::VerdictRow;
use crate::render;
use crate::render::numbers::counted;
use crate::views;

/// What would become of a capture's packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Simulation {
    /// Packets that were judged.
    pub packets: u64,
    /// Let through.
    pub passed: u64,
    /// Dropped.
    pub dropped: u64,
    /// Let through that would have been dropped, were everything enforced.
    pub would_drop: u64,
    /// Packets of the capture that XDP would never have seen as they are, and that were not judged.
    pub skipped: u64,
    /// Counters by verdict.
    pub verdicts: BTreeMap<String, VerdictRow>,
    /// UDP packets from ports of `[amplification]`, which pass where a socket waits for them: one that is open on this
    /// machine now. 0 where the policy does not ask.
    pub answers: u64,
    /// What is not as it was when the capture was made, a sentence each.
    pub notes: Vec<String>,
}

pub(super) fn run(args: &SimulateArgs, global: &Global, io: &mut Io) -> Result<()> {
    let name = args.file.display();
    let file: Box<dyn Read> = if args.file == Path::new("-") {
        Box::new(std::mem::replace(&mut io.input, Box::new(std::io::empty())))
    } else {
        Box::new(File::open(&args.file).with_context(|| format!("open {name}"))?)
    };
    let mut capture = Capture::open(file).with_context(|| format!("read {name}"))?;
    let mut machine = machine(global, io)?;
    let mut passed_over = BTreeMap::<Passed, u64>::new();
    let mut cut = 0u64;
    loop {
        match capture.next().with_context(|| format!("read {name}"))? {
            Next::Packet(packet) => {
                if machine.judge(packet.at_ns, packet.frame)? {
                    cut += u64::from(packet.is_cut);
                } else {
                    *passed_over.entry(Passed::TooLong).or_default() += 1;
                }
            }
            Next::Passed(why) => *passed_over.entry(why).or_default() += 1,
            Next::Broken(why) => {
                io.warn(format_args!("{name} breaks off ({why}); what came before was judged"));
                break;
            }
            Next::End => break,
        }
    }
    for (why, count) in &passed_over {
        io.note(format_args!("{} skipped: {why}", counted(*count, "packet", "packets")));
    }
    if cut > 0 {
        let packets = counted(cut, "packet is", "packets are");
        io.note(format_args!("{packets} cut short in the capture; what is missing was taken for zeros"));
    }
    if let Some(note) = capture.note() {
        io.note(note);
    }
    if machine.policies() > 1 {
        let times = counted(machine.policies() - 1, "time", "times");
        io.note(format_args!("the policy changed {times} meanwhile; each packet was judged by the one in force"));
    }
    let simulation = summary(&machine, passed_over.values().sum())?;
    io.report(global.output, &simulation, render::simulation::simulation)?;
    Ok(())
}

/// The running daemon's policy, where there is one and no configuration stands on the line; else the configuration's.
fn machine(global: &Global, io: &mut Io) -> Result<Machine> {
    if !global.config_on_line
        && let Some(instance) = instance::find(global, io)?
    {
        let machine = Machine::of_instance(&instance)?;
        io.note(format_args!("judged by the policy in force, generation {}", machine.generation()));
        if machine.is_bypassed() {
            io.warn("the bypass is on, so nothing is filtered now; judged as if it were off");
        }
        return Ok(machine);
    }
    let found = settings::load(global)?;
    let file = found.file.as_ref().map_or_else(|| "the defaults".to_owned(), |file| file.display().to_string());
    let cpus = object::possible_cpus().context("count the CPUs")?;
    let settings = load::settings(&found.text, &found.loaded, &file, false, cpus)?;
    let machine = Machine::of_settings(&settings, found.loaded.config.state.max_sources)?;
    io.note(format_args!("judged by the settings of {file} with empty lists"));
    Ok(machine)
}

fn summary(machine: &Machine, skipped: u64) -> Result<Simulation> {
    let counters = machine.counters();
    let (packets, _) = views::totals(&counters);
    anyhow::ensure!(
        packets.seen == machine.judged(),
        "the program counted {} of {} packets, so its counters cannot be relied upon; please report this",
        packets.seen,
        machine.judged()
    );
    let answers = machine.answers();
    let notes = if answers == 0 { Vec::new() } else { vec![about_answers(answers)] };
    Ok(Simulation {
        packets: packets.seen,
        passed: packets.passed,
        dropped: packets.dropped,
        would_drop: packets.would_drop,
        skipped,
        verdicts: views::verdicts(&counters),
        answers,
        notes,
    })
}

/// What to think of verdicts on so many answers.
fn about_answers(count: u64) -> String {
    format!(
        "{} from ports of [amplification], and judged by the sockets that are open on this machine now: answers that \
         somebody waited for when the capture was made come out as port; set amplification.enforcement = \"off\" to see the rest \
         without it",
        counted(count, "packet was", "packets were")
    )
}

#[cfg(test)]
mod tests;
