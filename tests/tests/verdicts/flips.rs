//! One policy after the other, and forged sources without end, under unceasing packets.
use std::sync::atomic::AtomicBool;

use weir_tests::soak::{self, Args, Part};

/// A hundred flips and ten million packets; `cargo xtask soak` goes on to hundreds of millions.
#[test]
fn no_packet_is_judged_by_half_of_a_generation() {
    soak(Part::Flips);
}

/// Ten million forged sources take nothing from what was decided before them.
#[test]
fn no_decision_is_lost_among_ten_million_forged_sources() {
    soak(Part::Forged);
}

fn soak(part: Part) {
    let args = Args { only: vec![part], flips: 100, packets: 10_000_000, cycles: 0, frames: 0, seed: 1 };
    let mut said = Vec::new();
    soak::run(&args, &mut said, &AtomicBool::new(false)).expect("no wrong verdict");
    println!("{}", String::from_utf8_lossy(&said));
}
