//! The differential test with as many frames as one has time for.
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Result, anyhow};

use crate::differential;
use crate::fixtures::random::Rng;
use crate::kernel::trio::Trio;

/// Frames after which it is asked whether to go on.
const STEP: usize = 100_000;

/// Has kernel, host and reference judge so many frames.
///
/// # Errors
/// Where they disagree: with the frame, the policy and the seed.
pub fn run(frames: usize, seed: u64, out: &mut impl Write, stop: &AtomicBool) -> Result<()> {
    let (mut trio, mut rng) = (Trio::new(), Rng::new(seed));
    let mut verdicts = BTreeMap::<&str, usize>::new();
    let start = Instant::now();
    let mut judged = 0;
    while judged < frames {
        super::go_on(stop)?;
        let now = STEP.min(frames - judged);
        let outcomes = differential::run(&mut trio, &mut rng, now)
            .map_err(|disagreement| anyhow!("seed {seed}: {disagreement}"))?;
        for (outcome, count) in outcomes {
            *verdicts.entry(outcome.verdict.name()).or_default() += count;
        }
        judged += now;
    }
    let verdicts: Vec<String> = verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    writeln!(
        out,
        "frames: kernel, host and reference agree on {judged} frames (seed {seed}) in {:.0} s: {}",
        start.elapsed().as_secs_f64(),
        verdicts.join(", ")
    )?;
    Ok(())
}
