//! `cargo xtask bench`: what weir costs, on this machine, now.
pub mod add;
pub mod alike;
pub mod cost;
pub mod floods;
pub mod floor;

pub mod follow;
pub mod history;
pub mod import;
pub mod lists;
pub mod live;
pub mod logs;
pub mod machine;
pub mod memory;
pub mod rig;
#[path = "../../xdp-ebpf/src/sequence.rs"]
pub mod sequence;
pub mod spread;
pub mod tables;
pub mod verifier;
pub mod veth;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use serde::Serialize;

use machine::Machine;

/// Measures what weir costs.
///
/// Everything runs in namespaces and maps of its own; nothing of the machine is touched. A packet that gets another
/// verdict than it must ends the measurement with exit status 1.
#[derive(Clone, Debug, Parser)]
#[command(name = "weir-bench", max_term_width = 100)]
pub struct Args {
    /// Only these parts
    #[arg(value_name = "PART", value_enum)]
    pub parts: Vec<Part>,
    /// Only this part; can be given more than once
    #[arg(long, value_name = "PART", value_enum)]
    pub only: Vec<Part>,
    /// The largest tables too: a million prefixes, ten million addresses
    #[arg(long)]
    pub full: bool,
    /// Of `tables`: only lists with this in their name; can be given more than once
    #[arg(long, value_name = "TEXT")]
    pub lists: Vec<String>,
    /// Of `tables`: the list verdict alone, without what can be done beside it; of `floods`: the cost alone
    #[arg(long)]
    pub alone: bool,
    /// How results are printed
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Output,
    /// Rounds, of which the median counts
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub rounds: u32,
    /// Packets a round and program of `cost`
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    pub packets: u32,
    /// Addresses that `add` tries, each way; attackers of `live`, of whom there are 150 at the most
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub tries: u32,
    /// MiB of the log that `logs` reads
    #[arg(long, value_name = "MIB", default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(1..=16_384))]
    pub size: u64,
}

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The verifier's figures
    Verifier,
    /// Nanoseconds a packet
    Cost,
    /// The address tables: nanoseconds, memory
    Tables,
    /// A flood over a veth pair, end to end, beside the empty program and nftables
    Veth,
    /// From one added address to its first dropped packet
    Add,
    /// From an imported list to its first dropped packet, and memory
    Import,
    /// Limits under forged sources: nanoseconds, the loud one among millions, the honest beside
    Floods,
    /// What fail2ban, CrowdSec, feeds and countries decide: how soon it is enforced, and what it costs
    Follow,
    /// Log lines through rules and analyzers: lines a second, memory
    Logs,
    /// From a line in a real nginx's log to the first dropped packet, among 10,000 lines a second
    Live,
    /// A million kept events, a hundred thousand alerts: how soon questions are answered, and how fast more are taken in
    History,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs: one document
    Json,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Rounds of each figure.
    pub rounds: u32,
    /// The verifier's figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verifier: Option<verifier::Verifier>,
    /// Packets a round of `cost`.
    pub packets: u32,
    /// Nanoseconds a packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Vec<cost::Row>>,
    /// The address tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<tables::Tables>,
    /// End to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub veth: Option<Vec<veth::Row>>,
    /// One address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<add::Add>,
    /// Whole lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<Vec<import::Import>>,
    /// Limits under forged sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floods: Option<floods::Measured>,
    /// What others decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow: Option<follow::Follow>,
    /// Log lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<logs::Logs>,
    /// A line in a log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<live::Live>,
    /// What is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<history::History>,
}

impl Report {
    /// With nothing measured yet.
    fn new(args: &Args) -> Self {
        Self {
            machine: Machine::this(),
            rounds: args.rounds,
            verifier: None,
            packets: args.packets,
            cost: None,
            tables: None,
            veth: None,
            add: None,
            import: None,
            floods: None,
            follow: None,
            logs: None,
            live: None,
            history: None,
        }
    }
}

/// Measures, and prints: results to `out`, what is being done to `progress`.
///
/// # Errors
/// What could not be measured, and a packet that got a wrong verdict.
pub fn run(args: &Args, out: &mut impl Write, progress: &mut impl Write, stop: &AtomicBool) -> Result<()> {
    let chosen: Vec<Part> = args.parts.iter().chain(&args.only).copied().collect();
    let wants = |part| chosen.is_empty() || chosen.contains(&part);
    let rounds = usize::try_from(args.rounds)?;
    let text = args.output == Output::Text;
    let mut report = Report::new(args);
    if text {
        writeln!(out, "{}", report.machine)?;
    }
    if wants(Part::Verifier) {
        let measured = verifier::measure(rounds)?;
        if text {
            verifier::print(&measured, out)?;
        }
        report.verifier = Some(measured);
    }
    if wants(Part::Cost) {
        let measured = cost::measure(rounds, args.packets, progress, stop)?;
        if text {
            cost::print(&measured, rounds, args.packets, out)?;
        }
        report.cost = Some(measured);
    }
    if wants(Part::Tables) {
        let measured = tables::measure(rounds, args, progress, stop)?;
        if text {
            tables::print(&measured, rounds, args.packets, out)?;
        }
        report.tables = Some(measured);
    }
    if wants(Part::Veth) {
        let measured = veth::measure(rounds, progress, stop)?;
        if text {
            veth::print(&measured, rounds, out)?;
        }
        report.veth = Some(measured);
    }
    if wants(Part::Add) {
        let measured = add::measure(args.tries, progress, stop)?;
        if text {
            add::print(&measured, out)?;
        }
        report.add = Some(measured);
    }
    if wants(Part::Import) {
        report.import = Some(imports(rounds, text, out, progress, stop)?);
    }
    if wants(Part::Floods) {
        let measured = floods::measure(rounds, args, progress, stop)?;
        if text {
            floods::print(&measured, rounds, args.packets, out)?;
        }
        report.floods = Some(measured);
    }
    if wants(Part::Follow) {
        let measured = follow::measure(rounds, args, progress, stop)?;
        if text {
            follow::print(&measured, out)?;
        }
        report.follow = Some(measured);
    }
    if wants(Part::Logs) {
        let measured = logs::measure(args.size, progress, stop)?;
        if text {
            logs::print(&measured, out)?;
        }
        report.logs = Some(measured);
    }
    if wants(Part::Live) {
        let measured = live::measure(args.tries, progress, stop)?;
        if text {
            live::print(&measured, out)?;
        }
        report.live = Some(measured);
    }
    if wants(Part::History) {
        let measured = history::measure(rounds, progress, stop)?;
        if text {
            history::print(&measured, out)?;
        }
        report.history = Some(measured);
    }
    if !text {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    }
    Ok(())
}

fn imports(
    rounds: usize,
    text: bool,
    out: &mut impl Write,
    progress: &mut impl Write,
    stop: &AtomicBool,
) -> Result<Vec<import::Import>> {
    let mut measured = Vec::new();
    for list in import::List::all()? {
        let one = import::measure(list, rounds, progress, stop)?;
        if text {
            import::print(&one, out)?;
        }
        measured.push(one);
    }
    Ok(measured)
}

fn go_on(stop: &AtomicBool) -> Result<()> {
    ensure!(!stop.load(Ordering::Relaxed), "stopped before the end");
    Ok(())
}
