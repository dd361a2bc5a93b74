//! Adding and removing without end: memory stays, and nothing is left behind.
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::bench::lists;
use crate::bench::rig::{Family, require_root};
use crate::frames::V4;
use crate::harness::api::change;
use crate::harness::{Plan, Site, wait_for};

/// Askers beside each other: the daemon saves together what waits together.
const ASKERS: u64 = 8;

/// Readings of the daemon's memory.
const READINGS: u64 = 40;

/// Growth that is let pass, over as many cycles again: allocators keep some of what they are given back.
const GROWTH_KIB: f64 = 8.0 * 1024.0;

/// How long the overlay may take to become empty.
const PATIENCE: Duration = Duration::from_mins(1);

/// Adds and removes so many addresses.
///
/// # Errors
/// Where a change is refused, memory grows, or something is left behind.
pub fn run(cycles: u64, out: &mut impl Write, stop: &AtomicBool) -> Result<()> {
    require_root()?;
    let site = Site::of(&Plan { alone: true, ..Plan::default() });
    let (done, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let start = Instant::now();
    let mut memory = Vec::new();
    thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS)
            .map(|asker| {
                let (site, done, failed) = (&site, &done, &failed);
                scope.spawn(move || {
                    let asked = ask(site, asker, cycles, done, failed, stop);
                    failed.fetch_or(asked.is_err(), Ordering::Relaxed);
                    asked
                })
            })
            .collect();
        let mut next = 0;
        while done.load(Ordering::Relaxed) < cycles && !failed.load(Ordering::Relaxed) {
            let now = done.load(Ordering::Relaxed);
            if now >= next {
                memory.push((now, site.daemon().kibibytes("VmRSS")));
                next += (cycles / READINGS).max(1);
            }
            thread::sleep(Duration::from_millis(5));
        }
        for asker in askers {
            asker.join().map_err(|_said| anyhow!("an asker ended by a panic"))??;
        }
        anyhow::Ok(())
    })?;
    let took = start.elapsed().as_secs_f64();
    wait_for("an empty overlay", PATIENCE, || {
        let status = site.api().status();
        (status.capacity.get("overlay").is_some_and(|fill| fill.used == 0)).then_some(())
    });
    memory.push((cycles, site.daemon().kibibytes("VmRSS")));
    nobody_is_denied(&site, cycles)?;
    let slope = slope(&memory);
    let first = memory.first().map_or(0, |(_, kib)| *kib);
    let last = memory.last().map_or(0, |(_, kib)| *kib);
    writeln!(
        out,
        "cycles: {cycles} addresses added and removed in {took:.0} s; overlay empty, nobody denied; memory from {first} to \
         {last} KiB, {slope:+.2} KiB a thousand cycles over the later half",
    )?;
    let again = slope * float(cycles) / 1000.0;
    ensure!(
        again <= GROWTH_KIB,
        "memory grows: by {again:.0} KiB over {cycles} cycles; read as (cycles, KiB): {memory:?}"
    );
    Ok(())
}

fn ask(site: &Site, asker: u64, cycles: u64, done: &AtomicU64, failed: &AtomicBool, stop: &AtomicBool) -> Result<()> {
    let mut connection = site.api().connect()?;
    for number in (asker..cycles).step_by(usize::try_from(ASKERS)?) {
        super::go_on(stop)?;
        if failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Both families in turn.
        let family = if (number / ASKERS).is_multiple_of(2) { Family::V4 } else { Family::V6 };
        let address = lists::address(family, number).addr().to_string();
        let body = serde_json::to_vec(&change(&[&address]))?;
        for method in ["POST", "DELETE"] {
            let answer = connection.ask(method, "/api/block", &body)?;
            let text = answer.text();
            ensure!(answer.status == 200 && text.contains("\"changed\":true"), "{method} {address}: {text}");
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Sends a packet from some that were denied for a moment.
fn nobody_is_denied(site: &Site, cycles: u64) -> Result<()> {
    let before = site.api().status().packets;
    let frames: Vec<Vec<u8>> = (0..cycles.min(1_000))
        .map(|number| lists::address(Family::V4, number).addr())
        .filter_map(|address| match address {
            std::net::IpAddr::V4(address) => Some(V4::from(address.octets()).frame()),
            std::net::IpAddr::V6(_) => None,
        })
        .collect();
    site.send(&frames);
    let sent = frames.len() as u64;
    let after = wait_for("the last packet", PATIENCE, || {
        Some(site.api().status().packets).filter(|now| now.seen >= before.seen + sent)
    });
    ensure!(after.dropped == before.dropped, "{} of {sent} packets were dropped", after.dropped - before.dropped);
    Ok(())
}

/// KiB a thousand cycles over the later half of the readings, by least squares.
fn slope(memory: &[(u64, u64)]) -> f64 {
    let later: Vec<(f64, f64)> =
        memory.iter().skip(memory.len() / 2).map(|(cycles, kib)| (float(*cycles) / 1000.0, float(*kib))).collect();
    let count = float(later.len() as u64).max(1.0);
    let (x, y) = later.iter().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x / count, sum.1 + y / count));
    let (above, below) =
        later.iter().fold((0.0, 0.0), |sum, at| (sum.0 + (at.0 - x) * (at.1 - y), sum.1 + (at.0 - x).powi(2)));
    if below == 0.0 { 0.0 } else { above / below }
}

fn float(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_is_of_the_later_half() {
        let memory: Vec<(u64, u64)> =
            (0..40).map(|at| (at * 1000, if at < 20 { at * 100 } else { 2_000 + at * 3 })).collect();
        assert!((slope(&memory) - 3.0).abs() < 1e-9);
        assert!(slope(&[(0, 5)]).abs() < f64::EPSILON);
    }
}
