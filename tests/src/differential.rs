//! The differential test: kernel, host model and reference judge the same random frames under the same policies.
use std::collections::BTreeMap;

use crate::fixtures::random::{self, Rng, Sources};
use crate::fixtures::{self, Scenario};
use crate::kernel::trio::Trio;
use crate::reference::Outcome;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

/// Frames under one policy: of limits many, because only what comes again is held; of those by chance fewer, so that there
/// are more of them.
const FRAMES_OF_LIMITS: usize = 5_000;
const FRAMES_BY_CHANCE: usize = 1_500;

/// Runs random frames under random policies until `frames` have been judged, or a judge disagrees.
///
/// # Errors
/// What they disagree on: the frame, the verdicts, the policy.
///
/// # Panics
/// Where the kernel takes a policy or a frame not at all, or its ledger does not add up.
pub fn run(trio: &mut Trio, rng: &mut Rng, frames: usize) -> Result<BTreeMap<Outcome, usize>, String> {
    let fixtures = fixtures::all();
    let mut counts = BTreeMap::new();
    let mut judged = 0;
    let mut number = 0;
    while judged < frames {
        // Each scenario of the fixtures in its turn, limits alone, and two policies by chance after them.
        let (world, most) = match number % 4 {
            0 => (Scenario::ALL[number / 4 % Scenario::ALL.len()].world(), FRAMES_OF_LIMITS),
            1 => (random::limits(rng), FRAMES_OF_LIMITS),
            _ => (random::world(rng), FRAMES_BY_CHANCE),
        };
        number += 1;
        trio.install(&world);
        let sources = Sources::of(&world);
        // The longest goes beyond what is remembered of flows and fragments.
        let pace = rng.pick(&[10_000, MILLISECOND, MILLISECOND, 20 * MILLISECOND, 2 * SECOND]);
        for _ in 0..most.min(frames - judged) {
            let frame = if rng.chance(50) {
                random::structured(rng, &sources)
            } else {
                let (one, other) = (rng.below(fixtures.len()), rng.below(fixtures.len()));
                random::mutated(rng, &fixtures[one].frame, &fixtures[other].frame, &sources)
            };
            if rng.chance(5) {
                trio.pass(rng.number() % pace, u64::from(rng.below(25) == 0));
            }
            if rng.below(2_000) == 0 {
                let bypass = rng.chance(8);
                trio.change(|world| world.bypass = bypass);
            }
            let outcome = trio
                .run(&frame)
                .map_err(|disagreement| format!("{disagreement}\nafter {judged} frames, under {:#?}", trio.world()))?;
            *counts.entry(outcome).or_default() += 1;
            judged += 1;
        }
        let differences = trio.differences();
        if !differences.is_empty() {
            return Err(format!("{}\nafter {judged} frames, under {:#?}", differences.join("\n"), trio.world()));
        }
    }
    Ok(counts)
}
