//! `cargo xtask soak`: what only shows after long.
pub mod cycles;
pub mod flips;
pub mod forged;
pub mod frames;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use crate::bench::machine::Machine;

/// What only shows after long: flips under packets, memory over many changes, many frames.
///
/// The defaults take a few minutes. Everything runs in namespaces and maps of its own.
#[derive(Clone, Debug, Parser)]
#[command(name = "weir-soak", max_term_width = 100)]
pub struct Args {
    /// Only this part; can be given more than once
    #[arg(long, value_name = "PART", value_enum)]
    pub only: Vec<Part>,
    /// Flips from one policy to another
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub flips: u64,
    /// Packets that are judged at least while policies flip
    #[arg(long, value_name = "N", default_value_t = 100_000_000)]
    pub packets: u64,
    /// Addresses that are added and removed
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub cycles: u64,
    /// Frames that kernel, host and reference must agree on
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub frames: usize,
    /// The frames' seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// A part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Flips under packets
    Flips,
    /// Denials, allow entries and live changes beside forged sources
    Forged,
    /// Adding and removing
    Cycles,
    /// Kernel, host and reference on many frames
    Frames,
}

/// Runs what was asked for.
///
/// # Errors
/// What did not hold.
pub fn run(args: &Args, out: &mut impl Write, stop: &AtomicBool) -> Result<()> {
    let wants = |part| args.only.is_empty() || args.only.contains(&part);
    writeln!(out, "{}", Machine::this())?;
    if wants(Part::Flips) {
        flips::run(args.flips, args.packets, out, stop)?;
    }
    if wants(Part::Forged) {
        forged::run(out, stop)?;
    }
    if wants(Part::Cycles) {
        cycles::run(args.cycles, out, stop)?;
    }
    if wants(Part::Frames) {
        frames::run(args.frames, args.seed, out, stop)?;
    }
    Ok(())
}

fn go_on(stop: &AtomicBool) -> Result<()> {
    ensure!(!stop.load(Ordering::Relaxed), "stopped before the end");
    Ok(())
}
