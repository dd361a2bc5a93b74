//! What is on a list is dropped, and what is off it passes: at once, and for as long as was said.
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use weir_tests::frames::{SERVER_V4, V4, V6, v6};
use weir_tests::harness::{PATIENCE, Site, addresses, wait_for};

use crate::{ALLOWED, DENIED, PASS};

const ONE: [u8; 4] = [192, 0, 2, 1];
const OTHER: [u8; 4] = [198, 51, 100, 1];

fn from(source: [u8; 4]) -> Vec<u8> {
    V4::from(source).frame()
}

#[test]
fn who_is_blocked_is_dropped_and_who_is_unblocked_passes() {
    let site = Site::new("");
    site.send(&[from(ONE), from(OTHER)]);
    site.saw(&[("pass", 2)]);
    site.weir(&["block", "add", "192.0.2.1", "--reason", "floods"]).well();
    site.send(&[from(ONE), from(OTHER)]);
    site.saw(&[("denied", 1), ("pass", 1)]);
    let listed = site.weir(&["-o", "json", "block", "list"]).well();
    assert!(listed.contains("\"192.0.2.1/32\"") && listed.contains("\"floods\""), "{listed}");
    site.weir(&["block", "remove", "192.0.2.1"]).well();
    site.send(&[from(ONE), from(OTHER)]);
    site.saw(&[("pass", 2)]);
    // What is not there is removed already.
    let again = site.weir(&["-o", "json", "block", "remove", "192.0.2.1"]).well();
    assert!(again.contains("\"changed\":false"), "{again}");
}

#[test]
fn what_passes_arrives_and_what_is_dropped_does_not() {
    let site = Site::new("");
    let address = Ipv4Addr::from(SERVER_V4);
    let socket = site.server.inside(|| UdpSocket::bind((address, 443)).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let receive = || {
        let mut buffer = [0; 64];
        let (len, sender) = socket.recv_from(&mut buffer).unwrap();
        (sender.ip().to_string(), buffer[..len].to_vec())
    };
    site.send(&[from(ONE)]);
    assert_eq!(receive(), ("192.0.2.1".to_owned(), b"weir".to_vec()));
    site.api().block(&["192.0.2.1"]);
    site.send(&[from(ONE), from(ONE), from(OTHER)]);
    // The first that arrives is the one that was sent last.
    assert_eq!(receive().0, "198.51.100.1");
    site.saw(&[("denied", 2), ("pass", 2)]);
}

#[test]
fn who_is_allowed_passes_whatever_else_is_denied() {
    let site = Site::new("");
    site.weir(&["block", "add", "192.0.2.0/24"]).well();
    site.send(&[from(ONE), from([192, 0, 2, 200]), from([192, 0, 3, 1])]);
    site.saw(&[("denied", 2), ("pass", 1)]);
    site.weir(&["allow", "add", "192.0.2.1"]).well();
    site.send(&[from(ONE), from([192, 0, 2, 200])]);
    site.saw(&[("denied", 1), ("allowed", 1)]);
    // A wide allow beats a narrow deny.
    site.weir(&["block", "add", "198.51.100.1"]).well();
    site.weir(&["allow", "add", "198.51.100.0/24"]).well();
    site.send(&[from(OTHER)]);
    site.saw(&[("allowed", 1)]);
    let explained = site.api().explain("198.51.100.1");
    assert_eq!(explained.verdict, "allowed");
    let chain: Vec<(&str, bool)> =
        explained.entries.iter().map(|entry| (entry.prefix.as_str(), entry.decides)).collect();
    assert_eq!(chain, [("198.51.100.0/24", true), ("198.51.100.1/32", false)]);
    site.weir(&["allow", "remove", "198.51.100.0/24", "192.0.2.1"]).well();
    site.send(&[from(OTHER), from(ONE)]);
    site.saw(&[("denied", 2)]);
}

#[test]
fn ipv6_addresses_and_prefixes_are_denied_alike() {
    let site = Site::new("");
    let from = |last| V6::from(v6(0x2001_0db8, 0x0001_0000, last)).frame();
    let elsewhere = V6::from(v6(0x2001_0db8, 0x0002_0000, 1)).frame();
    site.weir(&["block", "add", "2001:db8:1::7"]).well();
    site.send(&[from(7), from(8), elsewhere.clone()]);
    site.saw(&[("denied", 1), ("pass", 2)]);
    site.weir(&["block", "add", "2001:db8:1::/48"]).well();
    site.send(&[from(7), from(8), elsewhere.clone()]);
    site.saw(&[("denied", 2), ("pass", 1)]);
    // The wider entry is still there.
    let removed = site.weir(&["block", "remove", "2001:db8:1::7"]).well();
    assert!(removed.contains("2001:db8:1::/48"), "{removed}");
    site.send(&[from(7), from(8), elsewhere]);
    site.saw(&[("denied", 2), ("pass", 1)]);
    site.weir(&["allow", "add", "2001:db8:1::8/128"]).well();
    site.send(&[from(7), from(8)]);
    site.saw(&[("denied", 1), ("allowed", 1)]);
}

/// Sends a frame at a time until one passes, and says how long after `start`. Those before must be dropped.
fn passes_again(site: &Site, frame: &[u8], start: Instant) -> Duration {
    let reader = site.place.reader();
    let passed = || reader.counters().enforced[PASS].packets;
    let before = passed();
    wait_for("the entry ends", PATIENCE, || {
        site.send(&[frame]);
        (passed() > before).then(|| start.elapsed())
    })
}

#[track_caller]
fn ended_in_time(after: Duration) {
    // The kernel counts whole seconds, and the one that has begun does not count: never early, less than a second late.
    assert!(after >= Duration::from_secs(2) && after < Duration::from_millis(3_300), "ended after {after:?}");
}

#[test]
fn a_block_for_two_seconds_ends_by_itself() {
    let site = Site::new("");
    let start = Instant::now();
    site.weir(&["block", "add", "192.0.2.1", "--for", "2s"]).well();
    ended_in_time(passes_again(&site, &from(ONE), start));
    wait_for("the entry leaves the list", PATIENCE, || {
        (site.weir(&["-o", "json", "block", "list"]).well().trim() == "[]").then_some(())
    });
    let list = site.api().status().lists.into_iter().find(|list| list.name == "block").unwrap();
    assert!(list.entries == 0 && list.packets > 0, "{list:?}");
}

#[test]
fn a_block_ends_in_time_while_the_daemon_is_stopped() {
    let site = Site::new("");
    let start = Instant::now();
    site.weir(&["block", "add", "192.0.2.1", "--for", "2s"]).well();
    // A wide entry beneath must show through when the narrow one ends.
    site.weir(&["block", "add", "198.51.100.0/24"]).well();
    site.weir(&["allow", "add", "198.51.100.1", "--for", "2s"]).well();
    site.daemon().signal(libc::SIGSTOP);
    site.send(&[from(ONE), from(OTHER)]);
    site.kernel_saw(&[("denied", 1), ("allowed", 1)]);
    ended_in_time(passes_again(&site, &from(ONE), start));
    wait_for("the allow ends", PATIENCE, || (start.elapsed() > Duration::from_millis(3_600)).then_some(()));
    let reader = site.place.reader();
    let before = reader.counters();
    site.send(&[from(OTHER), from(ONE)]);
    wait_for("both frames are counted", PATIENCE, || {
        let now = reader.counters();
        let more = |slot: usize| now.enforced[slot].packets - before.enforced[slot].packets;
        ((more(DENIED), more(PASS), more(ALLOWED)) == (1, 1, 0)).then_some(())
    });
    site.daemon().signal(libc::SIGCONT);
}

#[test]
fn an_observed_block_is_counted_and_passes() {
    let site = Site::new("");
    site.weir(&["block", "add", "192.0.2.1", "--observe"]).well();
    site.send(&[from(ONE), from(OTHER)]);
    site.saw(&[("pass", 2), ("would denied", 1)]);
    // An enforced entry beneath still drops, and the packet counts once.
    site.weir(&["block", "add", "192.0.2.0/24"]).well();
    site.send(&[from(ONE), from([192, 0, 2, 2])]);
    site.saw(&[("denied", 2)]);
    let status = site.api().status();
    assert_eq!((status.packets.seen, status.packets.passed, status.packets.dropped), (4, 2, 2));
    assert_eq!(status.packets.would_drop, 1);
}

#[test]
fn enforcement_can_be_switched_for_everything() {
    let site = Site::new("");
    site.weir(&["block", "add", "192.0.2.1"]).well();
    site.weir(&["enforcement", "observe"]).well();
    let lie = V4::from(OTHER).version(5).frame();
    site.send(&[from(ONE), from(OTHER), lie.clone()]);
    site.saw(&[("pass", 3), ("would denied", 1), ("would malformed", 1)]);
    let status = site.api().status();
    assert_eq!(serde_json::to_value(status.enforcement).unwrap(), "observe");
    site.weir(&["enforcement", "enforce"]).well();
    site.send(&[from(ONE), from(OTHER), lie]);
    site.saw(&[("denied", 1), ("pass", 1), ("malformed", 1)]);
}

#[test]
fn a_list_is_observed_by_its_name_in_the_configuration() {
    let site = Site::new("[[lists]]\nname = \"trial\"\nenforcement = \"observe\"");
    site.api().import("trial", "192.0.2.1\n").document::<serde_json::Value>();
    site.api().import("sharp", "198.51.100.1\n").document::<serde_json::Value>();
    site.send(&[from(ONE), from(OTHER)]);
    site.saw(&[("pass", 1), ("would denied", 1), ("denied", 1)]);
    let lists = site.api().status().lists;
    let packets = |name: &str| lists.iter().find(|list| list.name == name).map(|list| list.packets);
    assert_eq!((packets("trial"), packets("sharp")), (Some(1), Some(1)));
}

#[test]
fn what_is_tried_dry_changes_nothing() {
    let site = Site::new("");
    let file = site.place.file("list.txt", "198.51.100.1\n");
    for tried in [&["block", "add", "192.0.2.1", "--dry-run"][..], &["block", "import", &file, "--dry-run"]] {
        site.weir(tried).well();
    }
    site.weir(&["enforcement", "observe", "--dry-run"]).well();
    site.send(&[from(ONE), from(OTHER), V4::from(ONE).version(5).frame()]);
    site.saw(&[("pass", 2), ("malformed", 1)]);
    assert_eq!(site.api().status().generation, 1);
}

#[test]
fn one_address_of_an_imported_list_can_be_unblocked_and_blocked_again() {
    let mut site = Site::new("");
    site.api().import("feed", &addresses([192, 0, 2, 0], 256)).document::<serde_json::Value>();
    let frames = [from(ONE), from([192, 0, 2, 2])];
    site.send(&frames);
    site.saw(&[("denied", 2)]);
    site.weir(&["block", "remove", "192.0.2.1"]).well();
    for restart in [false, true] {
        if restart {
            site.kill();
            site.start();
        }
        site.send(&frames);
        site.saw(&[("pass", 1), ("denied", 1)]);
    }
    assert_eq!(site.weir(&["block", "export"]).well().lines().count(), 255);
    site.weir(&["block", "add", "192.0.2.1"]).well();
    site.send(&frames);
    site.saw(&[("denied", 2)]);
    // A prefix that the tables hold goes by rebuild, and what lay beneath it shows through.
    site.weir(&["block", "add", "192.0.2.0/24"]).well();
    site.kill();
    site.start();
    let generation = site.api().status().generation;
    site.weir(&["block", "remove", "192.0.2.0/24", "192.0.2.1"]).well();
    site.send(&frames);
    site.saw(&[("pass", 1), ("denied", 1)]);
    assert!(site.api().status().generation > generation);
}

#[test]
fn changes_of_many_clients_at_once_all_stand() {
    let mut site = Site::new("");
    let address = |client: u8, at: u8| [198, 18, client, at];
    std::thread::scope(|scope| {
        for client in 0..4 {
            let api = site.api();
            scope.spawn(move || {
                for at in 0..50 {
                    let address = Ipv4Addr::from(address(client, at)).to_string();
                    api.block(&[&address]);
                    if at % 5 == 0 {
                        api.unblock(&[&address]);
                    }
                    if at % 20 == 7 {
                        api.import(&format!("list{client}"), &format!("198.19.{client}.{at}\n"))
                            .document::<serde_json::Value>();
                    }
                }
            });
        }
    });
    let frames: Vec<Vec<u8>> = (0..4).flat_map(|client| (0..50).map(move |at| from(address(client, at)))).collect();
    let imported: Vec<Vec<u8>> = (0..4).flat_map(|client| [7, 27, 47].map(|at| from([198, 19, client, at]))).collect();
    for restart in [false, true] {
        if restart {
            site.kill();
            site.start();
        }
        site.send(&frames);
        site.saw(&[("denied", 160), ("pass", 40)]);
        // Of each list the last import is what is left.
        site.send(&imported);
        site.saw(&[("denied", 4), ("pass", 8)]);
    }
}
