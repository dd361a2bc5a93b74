//! Whole lists: in force within a second, at little memory, and by one flip.
use std::fs;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_tests::frames::V4;
use weir_tests::harness::{PATIENCE, Plan, Site, addresses, data, is_release, wait_for};

/// Entries of the real list.
const IPSUM: u64 = 120_430;

/// What an import may take from the command to the answer; unoptimised builds get five times as long.
fn at_once() -> Duration {
    Duration::from_secs(if is_release() { 1 } else { 5 })
}

const MEBIBYTE: u64 = 1024;

#[test]
fn a_list_of_120_000_is_in_force_within_a_second_and_64_mib_and_never_takes_96() {
    let name = "a_list_of_120_000_is_in_force_within_a_second_and_64_mib_and_never_takes_96";
    let Some(file) = data(name, "feeds/ipsum.txt") else { return };
    let site = Site::of(&Plan { alone: true, ..Plan::default() });
    // The first status answered has everything loaded that an idle daemon needs.
    site.api().status();
    let idle = site.daemon().kibibytes("VmRSS");
    let start = Instant::now();
    let said = site.weir(&["-o", "json", "block", "import", &file.display().to_string(), "--name", "ipsum"]);
    let answered = start.elapsed();
    let report: Value = serde_json::from_str(&said.well()).unwrap();
    assert_eq!((&report["accepted"], &report["format"]), (&IPSUM.into(), &"ipsum".into()), "{report}");
    let (now, most) = (site.daemon().kibibytes("VmRSS"), site.daemon().kibibytes("VmHWM"));
    println!(
        "import of {IPSUM} entries: {} ms from command to enforced, memory {} KiB above idle ({} KiB at the most, idle {idle} KiB)",
        answered.as_millis(),
        now.saturating_sub(idle),
        most.saturating_sub(idle)
    );
    // The first of the file's addresses and its last are in force, and the ledger knows only them.
    let text = fs::read_to_string(&file).unwrap();
    let addresses: Vec<[u8; 4]> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('\t').next()?.parse::<Ipv4Addr>().ok())
        .map(|address| address.octets())
        .collect();
    let listed: Vec<Vec<u8>> = addresses.iter().step_by(1_000).map(|source| V4::from(*source).frame()).collect();
    site.send(&listed);
    site.send(&[V4::from([192, 0, 2, 1]).frame()]);
    site.saw(&[("denied", listed.len() as u64), ("pass", 1)]);
    let status = site.api().status();
    let list = status.lists.iter().find(|list| list.name == "ipsum").unwrap();
    assert_eq!((list.entries, list.packets), (IPSUM, listed.len() as u64));
    assert!(answered < at_once(), "{answered:?}");
    assert!(now.saturating_sub(idle) < 64 * MEBIBYTE, "{} KiB above idle", now - idle);
    assert!(most.saturating_sub(idle) < 96 * MEBIBYTE, "{} KiB above idle at the most", most - idle);

    // The same list again changes nothing; an empty one takes all of it back.
    let said = site.weir(&["-o", "json", "block", "import", &file.display().to_string(), "--name", "ipsum"]).well();
    assert!(said.contains("\"changed\":false"), "{said}");
    let empty = site.place.file("empty.txt", "# nothing\n");
    site.weir(&["block", "import", &empty, "--name", "ipsum"]).well();
    site.send(&listed);
    site.saw(&[("pass", listed.len() as u64)]);
}

#[test]
fn who_is_on_the_old_list_and_the_new_never_slips_through_between_them() {
    let site = Site::of(&Plan { alone: true, ..Plan::default() });
    let both = [192, 0, 2, 7];
    // Space for benchmarks stands in for the many.
    let lists = [[198, 18, 0, 0], [198, 19, 0, 0]].map(|first| addresses(first, 40_000) + "192.0.2.7\n");
    let api = site.api();
    api.import("feed", &lists[0]).document::<Value>();
    let traffic = site.traffic(vec![V4::from(both).frame()], 20_000);
    let start = Instant::now();
    let mut flips = 0;
    while flips < 6 || start.elapsed() < Duration::from_secs(2) {
        flips += 1;
        api.import("feed", &lists[flips % 2]).document::<Value>();
        // A change beside it, which must not be lost in the flip.
        api.block(&["203.0.113.200"]);
        api.unblock(&["203.0.113.200"]);
    }
    let sent = traffic.stop();
    println!("{flips} imports under {sent} packets");
    // All that was sent was denied, and nothing else was counted: no packet saw neither list.
    let status = api.status();
    let denied = status.verdicts["denied"].packets;
    assert_eq!(denied, status.packets.seen, "{:?}", status.verdicts);
    assert!(denied > 10_000 && denied <= sent, "{denied} of {sent}");
    let feed = status.lists.iter().find(|list| list.name == "feed").unwrap();
    assert_eq!(feed.packets, denied, "the list's own counter lost packets in a flip");
}

/// Waits until a list is to have so many entries: its build is under way, or waits for one.
fn awaits_import(site: &Site, list: &str, entries: u64) {
    wait_for("the import", PATIENCE, || {
        let lists = site.api().status().lists;
        lists.iter().any(|row| row.name == list && row.entries == entries).then_some(())
    });
}

#[test]
fn an_import_that_does_not_fit_takes_nothing_back_that_was_answered_meanwhile() {
    const MOST: u32 = 50_000;
    let mut site = Site::new(&format!("state.max_addresses = {MOST}"));
    let api = site.api();
    api.import("feed", "192.0.2.7\n192.0.2.8\n").document::<Value>();
    api.block(&["192.0.2.9"]);
    let too_many = addresses([198, 18, 0, 0], MOST + 1) + "192.0.2.7\n";
    thread::scope(|scope| {
        let import = scope.spawn(|| site.api().import("feed", &too_many).problem(507));
        awaits_import(&site, "feed", u64::from(MOST) + 2);
        // Off the list that waits, and off the one that is in force.
        assert!(api.unblock(&["192.0.2.7", "192.0.2.9"]).changed);
        import.join().unwrap();
    });
    let is_as_answered = |site: &Site| {
        for (address, verdict) in [("192.0.2.7", "pass"), ("192.0.2.8", "denied"), ("192.0.2.9", "pass")] {
            assert_eq!(site.api().explain(address).verdict, verdict, "{address}");
        }
    };
    is_as_answered(&site);
    // The store holds what is in force, and not what was refused.
    site.kill();
    site.start();
    is_as_answered(&site);
}

#[test]
fn an_import_that_does_not_fit_fails_alone() {
    const MOST: u32 = 50_000;
    let site = Site::new(&format!("state.max_addresses = {MOST}"));
    let api = site.api();
    api.import("wide", "198.51.100.0/24\n").document::<Value>();
    let (fits, too_many) = (addresses([198, 18, 0, 0], MOST - 1_000), addresses([198, 19, 0, 0], MOST));
    thread::scope(|scope| {
        let first = scope.spawn(|| site.api().import("first", &fits).document::<Value>());
        awaits_import(&site, "first", u64::from(MOST) - 1_000);
        let second = scope.spawn(|| site.api().import("second", &too_many).problem(507));
        awaits_import(&site, "second", u64::from(MOST));
        // The tables hold the prefix, so this comes with a flip too: with that of the import, where the first is not over.
        assert!(api.unblock(&["198.51.100.0/24"]).changed);
        second.join().unwrap();
        first.join().unwrap();
    });
    assert_eq!(api.explain("198.51.100.1").verdict, "pass");
    assert_eq!(api.explain("198.18.0.1").verdict, "denied");
    let lists = api.status().lists;
    assert!(lists.iter().all(|row| row.name != "second" || row.entries == 0), "{lists:?}");
}
