//! What a listed source must cost: one read of one line that the CPU does not have at hand, and how much of the wait for it
//! is made up for by the packets behind.
//!
//! A CPU goes on with the packets behind while a read is on its way, as far as the instructions in between fit into its
//! window: so what a read costs depends on how many instructions a packet takes, whatever they do.
use std::io::Write;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::rig::{Family, Numbers, Program, Rig};
use super::spread::Spread;

/// Steps of ten instructions beside the read.
const STEPS: [u64; 6] = [0, 10, 20, 30, 40, 50];

/// A program that reads one line, over the empty one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row {
    /// Instructions beside the read, and the about fifty it takes to get there.
    pub instructions: u64,
    /// Each packet another line, in nanoseconds.
    pub any_ns: Spread,
    /// Each packet the same line.
    pub same_ns: Spread,
}

/// Measures with the tables in force; `listed` are in their quotient table.
///
/// # Errors
/// The system call's.
pub fn measure(rig: &mut Rig, listed: Numbers, packets: u32, rounds: usize, stop: &AtomicBool) -> Result<Vec<Row>> {
    let one = Numbers { count: 1, ..listed };
    let mut nets = vec![[Vec::new(), Vec::new()]; STEPS.len()];
    for round in 0..=rounds {
        super::go_on(stop)?;
        for (steps, nets) in STEPS.iter().zip(&mut nets) {
            for (numbers, nets) in [listed, one].into_iter().zip(nets) {
                rig.restart_draws();
                let empty = rig.run(Family::V4, Program::Empty, numbers, packets)?;
                rig.read_one_line(*steps);
                rig.restart_draws();
                let with = rig.run(Family::V4, Program::OneLine, numbers, packets)?;
                // The first round warms up.
                if round > 0 {
                    let ns = |ns: u64| u32::try_from(ns).map(f64::from).context("a packet took seconds");
                    nets.push(ns(with.ns)? - ns(empty.ns)?);
                }
            }
        }
    }
    let rows = STEPS.iter().zip(nets).map(|(steps, [any, same])| Row {
        instructions: steps * 10,
        any_ns: Spread::of(any),
        same_ns: Spread::of(same),
    });
    Ok(rows.collect())
}

/// The figures as text.
///
/// # Errors
/// The writer's.
pub fn print(rows: &[Row], out: &mut impl Write) -> Result<()> {
    writeln!(out, "one read of a line of 1M v4 addresses, and instructions that wait for nothing:")?;
    writeln!(out, "{:>12}  {:>14}  {:>14}", "instructions", "any line", "the same")?;
    for row in rows {
        writeln!(out, "{:>12}  {:>14}  {:>14}", row.instructions, row.any_ns.to_string(), row.same_ns.to_string())?;
    }
    Ok(())
}
