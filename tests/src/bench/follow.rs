//! `cargo xtask bench follow`: how soon what others decide is enforced, and what it costs.
//!
//! fail2ban, CrowdSec and its own firewall bouncer are the real programs, in namespaces and folders of their own. What
//! is not on this machine is left out, and said.
mod crowdsec;
mod fail2ban;
mod feed;
mod world;

use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::Args;
use super::import::milliseconds;
use super::spread::{Spread, permille};

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// In what.
    pub unit: &'static str,
    /// How often.
    pub tries: usize,
    /// The middle one.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// The highest.
    pub max: f64,
}

/// All of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Follow {
    /// Figures.
    pub rows: Vec<Row>,
    /// What was left out, and why.
    pub skipped: Vec<String>,
}

impl Follow {
    fn row(&mut self, what: impl Into<String>, unit: &'static str, mut values: Vec<f64>) {
        values.sort_by(f64::total_cmp);
        let Spread { median, min, max } = Spread::of(values.iter().copied());
        let p99 = permille(&values, 990);
        self.rows.push(Row { what: what.into(), unit, tries: values.len(), median, min, p99, max });
    }

    fn skip(&mut self, why: impl Into<String>) {
        self.skipped.push(why.into());
    }
}

/// Milliseconds from one moment to another; 0 where the other came first.
fn between(from: Instant, to: Instant) -> f64 {
    milliseconds(to.saturating_duration_since(from))
}

/// Measures.
///
/// # Errors
/// Where something is not enforced, and where a packet got another verdict than it must.
pub fn measure(rounds: usize, args: &Args, progress: &mut impl Write, stop: &AtomicBool) -> Result<Follow> {
    super::rig::require_root()?;
    let mut follow = Follow::default();
    fail2ban::measure(&mut follow, progress, stop)?;
    crowdsec::measure(&mut follow, progress, stop)?;
    feed::measure(&mut follow, progress, stop)?;
    world::measure(&mut follow, rounds, args.packets, progress, stop)?;
    Ok(follow)
}

/// The figures as text.
///
/// # Errors
/// The writer's.
pub fn print(follow: &Follow, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{:<86} {:>5}  {:>9} {:>9} {:>9} {:>9}", "follow", "tries", "median", "min", "p99", "max")?;
    for Row { what, unit, tries, median, min, p99, max } in &follow.rows {
        writeln!(out, "  {what:<84} {tries:>5}  {median:>9.1} {min:>9.1} {p99:>9.1} {max:>9.1} {unit}")?;
    }
    for why in &follow.skipped {
        writeln!(out, "  LEFT OUT: {why}")?;
    }
    Ok(())
}
