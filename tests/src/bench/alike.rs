//! The same prefixes in one list and in many: side by side, because what is compared is less than what a machine changes by
//! itself.
use std::io::Write;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::rig::{Extras, Family, Numbers, Program, Rig};
use super::spread::Spread;
use super::tables::{Listed, MILLION, cidr, deny, disjoint, parts};
use crate::bench::lists::address;

/// Two policies that say the same, packet by packet in turn.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What is listed.
    pub lists: &'static str,
    /// Who sends.
    pub sources: &'static str,
    /// In one list, nanoseconds a packet, generator included.
    pub one_ns: Spread,
    /// How many times that it takes in many lists, round by round.
    pub times: Spread,
}

/// Measures.
///
/// # Errors
/// The system call's.
pub fn measure(rounds: usize, packets: u32, stop: &AtomicBool) -> Result<Vec<Row>> {
    let addresses: Listed = (0..MILLION).map(|number| address(Family::V4, number)).collect();
    let networks = disjoint(&cidr(Family::V4, 0, 100_000));
    let cases = [
        ("1M v4 addresses, in 100 lists", parts(100, &addresses), addresses),
        ("100k v4 CIDR, as 250 countries", parts(250, &networks), networks),
    ];
    let mut rows = Vec::new();
    for (lists, many, one) in cases {
        let (mut one_rig, mut many_rig) = (Rig::load()?, Rig::load()?);
        let count = u64::try_from(one.len())?;
        one_rig.fill(&deny(&[one])?)?;
        many_rig.fill(&deny(&many)?)?;
        for rig in [&one_rig, &many_rig] {
            rig.extras(Extras { track: false, samples: false });
        }
        let unlisted = Numbers { first: 1 << 30, count: 1 << 30 };
        for (sources, numbers) in [
            ("unlisted", unlisted),
            ("listed", Numbers { first: 0, count }),
            ("one listed", Numbers { first: 0, count: 1 }),
        ] {
            let (mut ones, mut times) = (Vec::new(), Vec::new());
            for round in 0..=rounds {
                super::go_on(stop)?;
                let ns = |rig: &mut Rig| -> Result<f64> {
                    rig.restart_draws();
                    let ns = rig.run(Family::V4, Program::Weir, numbers, packets)?.ns;
                    u32::try_from(ns).map(f64::from).context("a packet took seconds")
                };
                let (one, many) = (ns(&mut one_rig)?, ns(&mut many_rig)?);
                // The first round warms up.
                if round > 0 {
                    ones.push(one);
                    times.push(many / one);
                }
            }
            rows.push(Row { lists, sources, one_ns: Spread::of(ones), times: Spread::of(times) });
        }
    }
    Ok(rows)
}

/// Prints it for people.
///
/// # Errors
/// The writer's.
pub fn print(rows: &[Row], out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<36}  {:<12}  {:<16}  times as many lists",
        "the same in one list and in many", "sources", "in one"
    )?;
    for Row { lists, sources, one_ns, times } in rows {
        writeln!(out, "{lists:<36}  {sources:<12}  {:<16}  {times:.2}", one_ns.to_string())?;
    }
    Ok(())
}
