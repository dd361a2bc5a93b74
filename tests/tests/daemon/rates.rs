//! The limit for each source: rate times time plus burst passes, whoever sends and from however many CPUs.
use std::thread;
use std::time::{Duration, Instant};

use weir_tests::frames::V4;
use weir_tests::harness::sender::stay_on;
use weir_tests::harness::{PATIENCE, Plan, Site, is_release, wait_for};

use crate::{PASS, RATE_SOURCE};

/// Sends five times the limit from `sources` addresses through `interfaces` interfaces, each from a CPU of its own, and
/// asserts that what passes is within 2 % of what may.
fn check(sources: u8, interfaces: usize, per_second: u64) {
    let config = format!("[limits.source]\npackets_per_second = {per_second}\nburst = {per_second}\n");
    let site = Site::of(&Plan { config: &config, interfaces, alone: true, ..Plan::default() });
    let seconds = if is_release() { 10 } else { 4 };
    let offered = 5 * per_second * u64::from(sources);
    let each = offered / interfaces as u64;
    let frames: Vec<Vec<u8>> = (1..=sources).map(|last| V4::from([192, 0, 2, last]).frame()).collect();
    let reader = site.place.reader();
    let before = reader.counters();
    let start = Instant::now();
    thread::scope(|scope| {
        for (cpu, link) in site.links.iter().enumerate() {
            let (sender, frames) = (link.sender.another(), &frames);
            scope.spawn(move || {
                stay_on(cpu);
                sender.paced(frames, each, each * seconds)
            });
        }
    });
    let took = start.elapsed();
    let now = reader.counters();
    let count = |slot: usize| now.enforced[slot].packets - before.enforced[slot].packets;
    let (passed, refused) = (count(PASS), count(RATE_SOURCE));
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
    let earned = (took.as_secs_f64() * per_second as f64) as u64;
    let may = u64::from(sources) * (earned + per_second);
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let off = (passed as f64 - may as f64) / may as f64 * 100.0;
    println!(
        "limit {per_second}/s from {sources} sources on {interfaces} CPUs: offered {}, passed {passed} of {may} in {took:?}: {off:+.2} %",
        passed + refused
    );
    // The sender kept its pace, so the limit was really put to the test.
    assert!(took < Duration::from_secs(seconds) * 11 / 10, "the sender took {took:?}");
    assert!(passed + refused > may * 3 / 2, "only {} were offered", passed + refused);
    assert!(off.abs() < 2.0, "{off:+.2} %");
    assert_eq!(now.offenders_full, 0);
    let all = |counters: &weir::adapters::kernel::reader::Counters| {
        counters.enforced.iter().map(|tally| tally.packets).sum::<u64>()
    };
    assert_eq!(all(&now) - all(&before), passed + refused, "something else was counted");
}

#[test]
fn one_source_on_one_cpu_gets_its_rate_and_burst() {
    check(1, 1, 1_000);
}

#[test]
fn one_source_spread_over_two_cpus_gets_its_rate_once() {
    check(1, 2, 1_000);
}

#[test]
fn a_hundred_sources_on_one_cpu_get_their_rates() {
    check(100, 1, 100);
}

#[test]
fn a_hundred_sources_spread_over_two_cpus_get_their_rates_once() {
    check(100, 2, 100);
}

#[test]
fn a_limit_that_is_only_observed_drops_nobody() {
    let site = Site::new("[limits.source]\npackets_per_second = 10\nburst = 10\nenforcement = \"observe\"\n");
    let frame = V4::from([192, 0, 2, 1]).frame();
    site.send(&vec![frame; 60]);
    let status = wait_for("60 packets", PATIENCE, || {
        let status = site.api().status();
        (status.packets.seen == 60).then_some(status)
    });
    assert_eq!(status.packets.dropped, 0);
    let over = status.verdicts["rate_source"].observed_packets;
    // The burst and what a moment earns are within it.
    assert!((45..=50).contains(&over), "{over}");
}

#[test]
fn without_a_limit_nobody_is_limited() {
    let site = Site::new("");
    site.send(&vec![V4::from([192, 0, 2, 1]).frame(); 5_000]);
    site.saw(&[("pass", 5_000)]);
}

#[test]
fn who_is_allowed_has_no_limit() {
    let site = Site::new("[limits.source]\npackets_per_second = 10\n");
    site.api().allow(&["192.0.2.1"]);
    site.send(&vec![V4::from([192, 0, 2, 1]).frame(); 1_000]);
    site.saw(&[("allowed", 1_000)]);
}
