//! The daemon's death and return, seen from the packets: nothing.
use weir::adapters::kernel::reader::Counters;
use weir_common::abi::Tally;
use weir_tests::frames::{V4, V6, udp, v6};
use weir_tests::harness::{PATIENCE, Plan, Site, addresses, wait_for};

use crate::{ALLOWED, DENIED, PASS};

/// Packets of each kind that the kernel must have judged in all, and while no daemon ran.
const IN_ALL: u64 = 200_000;
const WHILE_DEAD: u64 = 10_000;

/// Frames of each kind have a length of their own, so that packets and bytes of a verdict together tell how many of
/// each kind it was given to.
const LISTED_LEN: u64 = 80;
const OTHER_LEN: u64 = 100;

/// A frame of `len` bytes that the stack behind weir lets go of at once: it is addressed to another machine.
fn sized(mut frame: Vec<u8>, len: u64) -> Vec<u8> {
    frame[5] = 0xff;
    assert_eq!(frame.len() as u64, len);
    frame
}

fn v4(source: [u8; 4], len: u64) -> Vec<u8> {
    let payload = vec![0; usize::try_from(len).unwrap() - 14 - 20 - 8];
    sized(V4::from(source).carrying(17, udp(40_000, 443, &payload)).frame(), len)
}

fn v6_frame(source: [u8; 16], len: u64) -> Vec<u8> {
    let payload = vec![0; usize::try_from(len).unwrap() - 14 - 40 - 8];
    sized(V6::from(source).carrying(17, udp(40_000, 443, &payload)).frame(), len)
}

/// How many packets of each kind a verdict was given to: listed ones, and others.
#[track_caller]
fn kinds(tally: Tally) -> (u64, u64) {
    let over = tally.bytes - tally.packets * LISTED_LEN;
    let others = over / (OTHER_LEN - LISTED_LEN);
    assert_eq!(over % (OTHER_LEN - LISTED_LEN), 0, "{tally:?}");
    (tally.packets - others, others)
}

/// Asserts that every listed packet was denied, every other one passed, and nothing else was counted.
#[track_caller]
fn judged_rightly(counters: &Counters) -> (u64, u64) {
    let (denied, passed) = (counters.enforced[DENIED], counters.enforced[PASS]);
    let (listed, lost) = kinds(denied);
    let (leaked, others) = kinds(passed);
    assert_eq!((leaked, lost), (0, 0), "{leaked} of {listed} denied ones passed, {lost} of {others} others were lost");
    let all: u64 = counters.enforced.iter().map(|tally| tally.packets).sum();
    assert_eq!(all, listed + others, "{:?}", counters.enforced);
    (listed, others)
}

#[test]
fn a_killed_daemon_lets_nothing_through_and_loses_nothing_and_neither_does_its_return() {
    let mut site = Site::of(&Plan { alone: true, ..Plan::default() });
    // By single address, by prefix, by import, in both families; each some other way into the tables.
    let api = site.api();
    api.block(&["192.0.2.1", "198.51.100.0/24", "2001:db8:bad::/48"]);
    api.import("feed", "203.0.113.1\n203.0.113.64/28\n2001:db8:dead::1\n").document::<serde_json::Value>();
    // What is blocked after the import is in the overlay when the daemon dies.
    api.block(&["192.0.2.77", "192.0.2.128/26"]);
    let listed =
        [[192, 0, 2, 1], [198, 51, 100, 9], [203, 0, 113, 1], [203, 0, 113, 70], [192, 0, 2, 77], [192, 0, 2, 130]];
    let others =
        [[192, 0, 2, 2], [203, 0, 113, 2], [203, 0, 113, 81], [192, 0, 2, 78], [198, 18, 0, 1], [192, 0, 2, 1 << 6]];
    let listed_v6 = [v6(0x2001_0db8, 0x0bad_0000, 1), v6(0x2001_0db8, 0xdead_0000, 1)];
    let others_v6 = [v6(0x2001_0db8, 0x0bae_0000, 1), v6(0x2001_0db8, 0xdead_0000, 2)];
    let mut frames = Vec::new();
    for (listed, other) in listed.into_iter().zip(others) {
        frames.extend([v4(listed, LISTED_LEN), v4(other, OTHER_LEN)]);
    }
    for (listed, other) in listed_v6.into_iter().zip(others_v6) {
        frames.extend([v6_frame(listed, LISTED_LEN), v6_frame(other, OTHER_LEN)]);
    }
    let before = site.place.links();
    let lists = |site: &Site| -> Vec<(String, u64, u64)> {
        site.api().status().lists.into_iter().map(|list| (list.name, list.entries, list.packets)).collect()
    };
    let reader = site.place.reader();
    // While packets come, packets and bytes are not read at one moment: only packets are looked at.
    let least = || {
        let now = reader.counters();
        now.enforced[DENIED].packets.min(now.enforced[PASS].packets)
    };
    let advance = |packets: u64| {
        let from = least();
        wait_for("traffic", PATIENCE, || (least() >= from + packets).then_some(()));
    };
    let traffic = site.traffic(frames, 100_000);
    let mut dead = 0;
    for _ in 0..3 {
        advance(WHILE_DEAD);
        let counted = lists(&site);
        site.kill();
        let at_death = least();
        advance(WHILE_DEAD);
        dead += least() - at_death;
        site.start();
        assert!(site.daemon().said("adopted").is_some(), "{}", site.daemon().log());
        // What lists had counted by the daemon's death is not forgotten.
        for ((name, entries, before), (_, entries_now, now)) in counted.iter().zip(&lists(&site)) {
            assert_eq!(entries, entries_now, "{name}");
            assert!(now >= before, "list {name} went from {before} packets back to {now}");
        }
    }
    wait_for("enough traffic", 3 * PATIENCE, || (least() >= IN_ALL).then_some(()));
    let sent = traffic.stop();
    let (listed, others) = judged_rightly(&reader.counters());
    println!(
        "3 kills under traffic: {listed} denied and {others} other packets judged of {sent} sent, at least {dead} of each \
         while no daemon ran: 0 leaked, 0 lost"
    );
    let status = site.api().status();
    assert_eq!((status.packets.dropped, status.packets.passed), (listed, others));
    // The very same links, and the interface kept its program all the while.
    assert_eq!(site.place.links(), before);
}

#[test]
fn an_address_lifted_from_within_what_stays_denied_is_denied_through_reads_of_the_list_and_restarts() {
    let mut site = Site::of(&Plan { alone: true, ..Plan::default() });
    let reader = site.place.reader();
    let denied = || reader.counters().enforced[DENIED].packets;
    let advance = || {
        let from = denied();
        wait_for("traffic", PATIENCE, || (denied() >= from + WHILE_DEAD).then_some(()));
    };
    let api = site.api();
    api.block(&["198.51.100.7"]);
    // The build of the import takes the address into the tables as well.
    api.import("wide", "198.51.100.0/24\n").document::<serde_json::Value>();
    let traffic = site.traffic(vec![v4([198, 51, 100, 7], LISTED_LEN)], 100_000);
    for round in 0..4 {
        assert!(api.unblock(&["198.51.100.7"]).changed);
        // What lies beneath is in tables that are about to go, under a number newer than theirs.
        api.import("wide", &format!("198.51.100.0/24\n203.0.113.{round}\n")).document::<serde_json::Value>();
        api.block(&["198.51.100.7"]);
        api.import("wide", "198.51.100.0/24\n").document::<serde_json::Value>();
        assert!(api.unblock(&["198.51.100.7"]).changed);
        advance();
        site.kill();
        site.start();
        advance();
        api.block(&["198.51.100.7"]);
        api.import("wide", &format!("198.51.100.0/24\n203.0.113.{round}\n")).document::<serde_json::Value>();
    }
    traffic.stop();
    let leaked = reader.counters().enforced[PASS].packets;
    assert_eq!(leaked, 0, "of {} packets", denied());
}

#[test]
fn a_restart_brings_back_every_list_entry_and_switch() {
    let mut site = Site::new("");
    let api = site.api();
    api.block(&["192.0.2.1"]);
    site.weir(&["block", "add", "192.0.2.2", "--for", "1h", "--reason", "an hour"]).well();
    site.weir(&["block", "add", "192.0.2.3", "--observe"]).well();
    site.weir(&["block", "add", "192.0.2.4", "--origin", "fail2ban"]).well();
    api.allow(&["192.0.2.0/30"]);
    api.import("feed", "198.51.100.0/24\n").document::<serde_json::Value>();
    site.weir(&["enforcement", "observe"]).well();
    let lists = |site: &Site| {
        (site.weir(&["-o", "json", "block", "list"]).well(), site.weir(&["-o", "json", "allow", "list"]).well())
    };
    let before = lists(&site);
    site.kill();
    site.start();
    assert_eq!(lists(&site).1, before.1);
    // Packets of an entry are counted exactly in the overlay only; after the restart it is in the tables.
    let without_packets = |text: &str| {
        let mut rows: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        for row in &mut rows {
            row["packets"] = serde_json::Value::Null;
        }
        rows
    };
    assert_eq!(without_packets(&lists(&site).0), without_packets(&before.0));
    assert_eq!(serde_json::to_value(site.api().status().enforcement).unwrap(), "observe");
    let from = |last| V4::from([192, 0, 2, last]).frame();
    site.send(&[from(1), from(2), from(3), from(4), V4::from([198, 51, 100, 1]).frame()]);
    site.saw(&[("allowed", 3), ("pass", 2), ("would denied", 1), ("would rule", 1)]);
    site.weir(&["enforcement", "enforce"]).well();
    site.send(&[from(4), V4::from([198, 51, 100, 1]).frame()]);
    site.saw(&[("rule", 1), ("denied", 1)]);
}

#[test]
fn sigterm_ends_the_daemon_and_not_the_protection() {
    let mut site = Site::new("");
    site.api().block(&["192.0.2.1"]);
    site.terminate();
    assert!(!site.place.socket().exists(), "the socket is left behind");
    let frames = [V4::from([192, 0, 2, 1]).frame(), V4::from([192, 0, 2, 2]).frame()];
    site.send(&frames);
    site.kernel_saw(&[("denied", 1), ("pass", 1)]);
    let said = site.weir(&["status"]);
    said.badly(4, &["weir.sock"]);
    site.start();
    site.send(&frames);
    site.saw(&[("denied", 1), ("pass", 1)]);
    assert_eq!(site.api().status().packets.seen, 4);
}

#[test]
fn an_entry_ends_in_time_though_no_daemon_lives() {
    let mut site = Site::new("");
    site.weir(&["block", "add", "192.0.2.1", "--for", "1s"]).well();
    site.weir(&["block", "add", "192.0.2.2", "--for", "1h"]).well();
    site.kill();
    let reader = site.place.reader();
    wait_for("the entry ends", PATIENCE, || {
        site.send(&[V4::from([192, 0, 2, 1]).frame()]);
        (reader.counters().enforced[PASS].packets > 0).then_some(())
    });
    site.start();
    let listed = site.weir(&["-o", "json", "block", "list"]).well();
    assert!(!listed.contains("192.0.2.1/32") && listed.contains("192.0.2.2/32"), "{listed}");
}

#[test]
fn what_lies_beneath_an_ended_entry_shows_through_in_the_tables_too() {
    let mut site = Site::new("");
    let frame = V4::from([192, 0, 2, 1]).frame();
    site.api().block(&["192.0.2.0/24"]);
    site.weir(&["allow", "add", "192.0.2.1", "--for", "3s"]).well();
    // The overlay is empty after a restart: all of it is in the tables.
    site.kill();
    site.start();
    assert_eq!(site.api().status().capacity["overlay"].used, 0);
    let reader = site.place.reader();
    let count = |slot: usize| reader.counters().enforced[slot].packets;
    site.send(&[&frame]);
    wait_for("a packet", PATIENCE, || (count(ALLOWED) == 1).then_some(()));
    site.daemon().signal(libc::SIGSTOP);
    wait_for("the allow ends", PATIENCE, || {
        site.send(&[&frame]);
        (count(DENIED) > 0).then_some(())
    });
    site.daemon().signal(libc::SIGCONT);
    assert_eq!(count(PASS), 0);
}

#[test]
fn an_import_that_a_kill_interrupts_is_there_as_a_whole_or_not_at_all() {
    let mut site = Site::of(&Plan { alone: true, ..Plan::default() });
    // One address is on the list whatever becomes of the imports.
    let both = [192, 0, 2, 7];
    let list = |entries: u32| addresses([198, 18, 0, 0], entries) + "192.0.2.7\n";
    let (small, large) = (list(1_000), list(60_000));
    let entries = |site: &Site| site.api().status().lists.iter().find(|list| list.name == "feed").unwrap().entries;
    site.api().import("feed", &small).document::<serde_json::Value>();
    let traffic = site.traffic(vec![V4::from(both).frame()], 10_000);
    let mut found = std::collections::BTreeMap::new();
    for milliseconds in [20, 60, 120, 200, 300, 450] {
        let api = site.api();
        let text = if entries(&site) == 1_001 { &large } else { &small };
        std::thread::scope(|scope| {
            // Whether it is answered is chance, as is the moment of the kill: neither is waited for.
            scope.spawn(|| {
                drop(api.connect().and_then(|mut c| c.ask("POST", "/api/block/import?name=feed", text.as_bytes())));
            });
            std::thread::sleep(std::time::Duration::from_millis(milliseconds));
            site.kill();
        });
        site.start();
        *found.entry(entries(&site)).or_insert(0) += 1;
    }
    let sent = traffic.stop();
    println!("6 imports interrupted, under {sent} packets: the list then had {found:?} entries");
    assert!(found.keys().all(|entries| [1_001, 60_001].contains(entries)), "{found:?}");
    let counters = site.place.reader().counters();
    let all: u64 = counters.enforced.iter().map(|tally| tally.packets).sum();
    assert_eq!(counters.enforced[DENIED].packets, all);
    assert!(site.api().status().health.ok, "{:?}", site.api().status().health);
}
