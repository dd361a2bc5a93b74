//! What the kernel's verifier makes of the program.
use std::collections::HashMap;
use std::io::Write;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;
use weir::adapters::kernel::object::{Clock, Object, Sizes};

use super::spread::Spread;

/// How large the program is to the verifier, and how long it takes to load.
#[derive(Clone, Debug, Serialize)]
pub struct Verifier {
    /// Instructions the verifier followed, over all ways; the kernel's limit is a million. 0: the kernel does not tell.
    pub verified_instructions: u32,
    /// Bytes of the program after the verifier's rewriting.
    pub translated_bytes: u32,
    /// Loading the program, in milliseconds: the verifier and the compiler to native code.
    pub load_ms: Spread,
    /// Creating the maps, in milliseconds.
    pub maps_ms: Spread,
}

/// Loads the object so many times.
///
/// # Errors
/// What the kernel refused.
pub fn measure(rounds: usize) -> Result<Verifier> {
    super::rig::require_root()?;
    // As the daemon does: kernels before 5.11 lack the coarse clock.
    let is_coarse = Object::load(&Sizes::default(), Clock::Coarse, &HashMap::new())?.load_program().is_ok();
    let clock = if is_coarse { Clock::Coarse } else { Clock::Precise };
    let (mut load, mut maps) = (Vec::new(), Vec::new());
    let mut sizes = None;
    for _ in 0..rounds.max(1) {
        let start = Instant::now();
        let mut object = Object::load(&Sizes::default(), clock, &HashMap::new())?;
        maps.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let program = object.load_program()?;
        load.push(start.elapsed().as_secs_f64() * 1e3);
        let info = program.info().context("read what the kernel knows of the program")?;
        sizes = Some((info.verified_instruction_count().unwrap_or(0), info.size_translated().unwrap_or(0)));
    }
    let (verified_instructions, translated_bytes) = sizes.context("nothing was loaded")?;
    Ok(Verifier { verified_instructions, translated_bytes, load_ms: Spread::of(load), maps_ms: Spread::of(maps) })
}

/// The figures as text.
///
/// # Errors
/// The writer's.
pub fn print(verifier: &Verifier, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "verifier: {} instructions verified, {} bytes of program; loaded in {:.1} ms, after its maps in {:.1} ms",
        verifier.verified_instructions, verifier.translated_bytes, verifier.load_ms, verifier.maps_ms
    )?;
    Ok(())
}
