//! What a read of memory costs on this machine at this hour: the floor of every look-up that leaves the CPU's own cache.
use std::hint::black_box;
use std::time::Instant;

use serde::Serialize;

use super::spread::Spread;

/// Nanoseconds of a read that the next one has to wait for, each of another cache line, in no order.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Over one MiB: inside of a CPU's own cache.
    pub near_ns: Spread,
    /// Over eight MiB, about what tables of a million addresses take: outside of it.
    pub far_ns: Spread,
}

const READS: usize = 1_000_000;
/// Words of a cache line.
const WORDS: usize = 8;

/// Measures.
pub fn measure(rounds: usize) -> Memory {
    let spread = |mib: usize| {
        let memory = circle(mib << 20);
        Spread::of((0..rounds).map(|_| chase(&memory)))
    };
    Memory { near_ns: spread(1), far_ns: spread(8) }
}

/// Lines of so many bytes in all, the first word of each saying which comes next: one circle through all of them.
fn circle(bytes: usize) -> Vec<usize> {
    let lines = bytes / (WORDS * size_of::<usize>());
    let mut order: Vec<usize> = (0..lines).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for last in (1..lines).rev() {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let pick = usize::try_from(state >> 33).unwrap_or(0) % (last + 1);
        order.swap(last, pick);
    }
    let mut memory = vec![0; lines * WORDS];
    for (place, line) in order.iter().enumerate() {
        memory[line * WORDS] = order[(place + 1) % lines];
    }
    memory
}

fn chase(memory: &[usize]) -> f64 {
    let start = Instant::now();
    let mut line = 0;
    for _ in 0..READS {
        line = memory[line * WORDS];
    }
    black_box(line);
    start.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(READS).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circle_visits_every_line_before_it_comes_back() {
        let memory = circle(1 << 14);
        let (mut line, mut seen) = (0, 0);
        loop {
            line = memory[line * WORDS];
            seen += 1;
            if line == 0 {
                break;
            }
        }
        assert_eq!(seen, (1 << 14) / 64);
    }
}
