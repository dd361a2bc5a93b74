//! How long it takes from asking for a block to the first packet that is dropped.
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use weir_tests::frames::V4;
use weir_tests::harness::api::change;
use weir_tests::harness::{PATIENCE, Plan, Site, is_release, wait_for};

use crate::DENIED;

/// Prints the distribution and returns the 99th percentile.
fn p99(what: &str, times: &mut [Duration]) -> Duration {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!("{what}, {} tries: p50 {:?}, p99 {:?}, worst {:?}", times.len(), at(50), at(99), at(100));
    at(99)
}

/// What is promised; unoptimised builds get ten times as long.
fn promised() -> Duration {
    Duration::from_millis(if is_release() { 5 } else { 50 })
}

/// The `at`th address of the space for benchmarks.
fn address(at: usize) -> [u8; 4] {
    let [_, _, high, low] = u32::try_from(at).unwrap().to_be_bytes();
    [198, 18, high, low]
}

/// For each of `tries` addresses: has it blocked by `block`, with packets from it coming all the while, and measures
/// until the first is dropped.
fn measure(site: &Site, tries: std::ops::Range<usize>, mut block: impl FnMut(&str)) -> Vec<Duration> {
    let reader = site.place.reader();
    let denied = || reader.counters().enforced[DENIED].packets;
    let sender = site.links[0].sender.another();
    thread::scope(|scope| {
        let (start, started) = channel::<([u8; 4], u64)>();
        let (first, dropped) = channel::<Instant>();
        let denied = &denied;
        scope.spawn(move || {
            for (source, before) in started {
                let frame = [V4::from(source).frame()];
                // A frame is judged before its sending returns, or soon after.
                let at = wait_for("the first drop", PATIENCE, || {
                    for _ in 0..16 {
                        sender.send(&frame);
                        if denied() > before {
                            return Some(Instant::now());
                        }
                        thread::yield_now();
                    }
                    None
                });
                first.send(at).unwrap();
            }
        });
        let times = tries.map(|at| {
            let source = address(at);
            // Nobody else is denied, so whatever is dropped now is this one.
            start.send((source, denied())).unwrap();
            let asked = Instant::now();
            block(&std::net::Ipv4Addr::from(source).to_string());
            let at = dropped.recv().unwrap();
            at.saturating_duration_since(asked)
        });
        times.collect()
    })
}

#[test]
fn a_block_drops_its_first_packet_within_5_ms_99_times_of_100() {
    let site = Site::of(&Plan { alone: true, ..Plan::default() });
    let mut connection = site.api().connect().unwrap();
    let mut times = measure(&site, 0..1_000, |address| {
        let body = serde_json::to_vec(&change(&[address])).unwrap();
        assert_eq!(connection.ask("POST", "/api/block", &body).unwrap().status, 200);
    });
    let asked = p99("block over the API to first drop", &mut times);
    let mut times = measure(&site, 1_000..1_200, |address| {
        site.weir(&["block", "add", address]).well();
    });
    let typed = p99("`weir block add` to first drop, the command's start included", &mut times);
    assert!(asked < promised(), "{asked:?}");
    // Starting a process takes what it takes; it is bounded so that nobody makes the command slow unnoticed.
    assert!(typed < 10 * promised(), "{typed:?}");
    assert_eq!(site.api().status().lists[0].entries + site.api().status().lists[1].entries, 1_200);
}
