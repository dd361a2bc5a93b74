//! The big switches: bypass and detach with and without a daemon, signals, reloads.
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use weir::adapters::kernel::map::Mapped;
use weir::adapters::kernel::sys;
use weir::adapters::system::{interfaces, xdp};
use weir_common::abi::control_word;
use weir_tests::frames::{SERVER_V4, V4};
use weir_tests::harness::netns::Link;
use weir_tests::harness::{PATIENCE, Site, addresses, wait_for};

use crate::{DENIED, PASS, RATE_SOURCE};

fn from(last: u8) -> Vec<u8> {
    V4::from([192, 0, 2, last]).frame()
}

/// A site that denies 192.0.2.1.
fn site() -> Site {
    let site = Site::new("");
    site.api().block(&["192.0.2.1"]);
    site
}

fn is_attached(site: &Site) -> bool {
    let there = site.server.inside(|| {
        let index = interfaces::index_of("wv0").unwrap().unwrap();
        xdp::attached(index, |_| Ok(String::new())).unwrap()
    });
    !there.is_empty()
}

/// Asserts that nothing is filtered: a packet from who was denied arrives.
#[track_caller]
fn arrives(site: &Site) {
    let socket = site.server.inside(|| UdpSocket::bind((Ipv4Addr::from(SERVER_V4), 443)).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    site.send(&[from(1)]);
    let (_, sender) = socket.recv_from(&mut [0; 64]).expect("the packet arrives");
    assert_eq!(sender.ip().to_string(), "192.0.2.1");
}

#[test]
fn bypass_lets_everything_through_and_is_shown() {
    let site = site();
    let said = site.weir(&["bypass", "on"]);
    assert!(said.err.contains("NOTHING IS FILTERED"), "{said:?}");
    said.well();
    site.send(&[from(1), from(2), V4::from([192, 0, 2, 1]).version(9).frame()]);
    site.saw(&[("bypassed", 3)]);
    let status = site.api().status();
    assert!(status.bypass && !status.health.ok);
    assert_eq!(site.api().explain("192.0.2.1").verdict, "bypassed");
    let again = site.weir(&["-o", "json", "bypass", "on"]).well();
    assert!(again.contains("\"changed\":false"), "{again}");
    site.weir(&["bypass", "off"]).well();
    site.send(&[from(1), from(2)]);
    site.saw(&[("denied", 1), ("pass", 1)]);
    assert!(site.api().status().health.ok);
}

#[test]
fn bypass_works_without_the_daemon_and_outlives_its_return() {
    let mut site = site();
    site.kill();
    site.weir(&["bypass", "on"]).well();
    site.send(&[from(1), from(2)]);
    site.kernel_saw(&[("bypassed", 2)]);
    site.start();
    site.send(&[from(1)]);
    site.saw(&[("bypassed", 1)]);
    assert!(site.api().status().bypass);
    site.kill();
    site.weir(&["bypass", "off"]).well();
    site.send(&[from(1), from(2)]);
    site.kernel_saw(&[("denied", 1), ("pass", 1)]);
}

#[test]
fn detach_without_the_daemon_leaves_nothing_behind() {
    let mut site = site();
    site.kill();
    let tried = site.weir(&["detach", "--dry-run"]).well();
    assert!(tried.contains("would be detached"), "{tried}");
    site.send(&[from(1)]);
    site.kernel_saw(&[("denied", 1)]);
    let said = site.weir(&["detach"]).well();
    assert!(said.contains("detached from"), "{said}");
    assert_eq!(site.place.pins(), Vec::<std::path::PathBuf>::new());
    assert!(!is_attached(&site));
    arrives(&site);
    // There is nothing more to detach, and nothing to bypass.
    let again = site.weir(&["-o", "json", "detach"]).well();
    assert!(again.contains("\"changed\":false"), "{again}");
    site.weir(&["bypass", "on"]).badly(1, &["no weir is attached here"]);
    // The lists are the store's, and in force again with the next start.
    site.start();
    let reader = site.place.reader();
    site.send(&[from(1)]);
    wait_for("a drop", PATIENCE, || (reader.counters().enforced[DENIED].packets == 1).then_some(()));
}

/// The pin of a map or program.
fn pin(site: &Site, name: &str) -> std::path::PathBuf {
    site.place.pins().into_iter().find(|pin| pin.file_name().is_some_and(|file| file == name)).unwrap()
}

#[test]
fn what_a_detach_that_was_killed_has_left_is_taken_for_nothing() {
    let mut site = site();
    site.kill();
    std::fs::remove_file(pin(&site, "CONTROL")).unwrap();
    std::fs::remove_file(pin(&site, "OVERLAY_V4")).unwrap();
    site.start();
    let reader = site.place.reader();
    site.send(&[from(1)]);
    wait_for("a drop", PATIENCE, || (reader.counters().enforced[DENIED].packets == 1).then_some(()));
}

#[test]
fn a_start_that_came_to_no_end_leaves_no_key_that_anybody_knows() {
    let mut site = site();
    site.kill();
    let seed = |site: &Site| {
        let map = sys::open_pin(&pin(site, "CONTROL")).unwrap();
        (Mapped::<u64>::new(sys::fd(&map)).unwrap(), control_word::SEED as usize)
    };
    let (control, word) = seed(&site);
    assert_ne!(control.read(word), Some(0));
    // Killed behind the pins of the maps, before that of the program.
    control.publish(word, 0);
    std::fs::remove_file(pin(&site, "program")).unwrap();
    site.start();
    let (control, word) = seed(&site);
    assert_ne!(control.read(word), Some(0));
}

#[test]
fn detach_tells_a_live_daemon_not_to_attach_again() {
    let mut site = site();
    site.weir(&["detach"]).well();
    assert_eq!(site.place.pins(), Vec::<std::path::PathBuf>::new());
    assert!(!is_attached(&site));
    let status = wait_for("the daemon notices", PATIENCE, || {
        let status = site.api().status();
        let told = status.health.problems.iter().any(|problem| problem.contains("`weir detach` was given"));
        (told && status.interfaces[0].index.is_none()).then_some(status)
    });
    assert!(!status.health.ok);
    // Neither the same interface nor a new one of its name; a second is five of the daemon's looks.
    site.server.ip(&["link", "del", "wv0"]);
    site.links[0] = Link::new(&site.server, &site.client, "wv0");
    site.give_addresses();
    let made = Instant::now();
    wait_for("a second without weir", PATIENCE, || {
        assert!(!is_attached(&site), "attached again after {:?}", made.elapsed());
        (made.elapsed() > Duration::from_secs(1)).then_some(())
    });
    arrives(&site);
    assert_eq!(site.place.pins(), Vec::<std::path::PathBuf>::new());
    site.terminate();
    site.start();
    assert!(is_attached(&site));
    assert!(site.api().status().health.ok);
}

#[test]
fn sighup_reloads_what_is_right_and_keeps_what_was_where_it_is_wrong() {
    let site = site();
    site.place.configure("enforcement = \"observe\"\n[limits.source]\npackets_per_second = 1000");
    site.daemon().signal(libc::SIGHUP);
    site.daemon().says("reloaded");
    site.send(&[from(1)]);
    site.saw(&[("pass", 1), ("would denied", 1)]);
    // Its first half is right: none of it is taken.
    site.place.configure("enforcement = \"enforce\"\n[limits.source]\npackets_per_minute = 5");
    site.daemon().signal(libc::SIGHUP);
    let said = site.daemon().says("not reloaded");
    for words in ["weir.toml:6:1", "packets_per_minute", "packets_per_second"] {
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }
    site.send(&[from(1)]);
    site.saw(&[("pass", 1), ("would denied", 1)]);
    let generation = site.api().status().generation;
    site.weir(&["config", "reload"]).badly(1, &["weir.toml:6:1", "packets_per_minute"]);
    // A file it names and that is not there is as wrong.
    site.place.configure("enforcement = \"enforce\"\n[never_block]\nfiles = [\"/nonexistent/list\"]");
    site.weir(&["config", "reload"]).badly(1, &["/nonexistent/list"]);
    assert_eq!(site.api().status().generation, generation);
    site.place.configure("");
    site.weir(&["config", "reload"]).well();
    site.send(&[from(1)]);
    site.saw(&[("denied", 1)]);
}

#[test]
fn a_reload_turns_a_limit_on_and_off_again() {
    let site = Site::new("");
    site.send(&vec![from(2); 100]);
    site.saw(&[("pass", 100)]);
    site.place.configure("[limits.source]\npackets_per_second = 1\nburst = 10");
    site.weir(&["config", "reload"]).well();
    let reader = site.place.reader();
    let before = reader.counters();
    site.send(&vec![from(3); 100]);
    let since = wait_for("100 packets", PATIENCE, || {
        let now = reader.counters();
        let more = |slot: usize| now.enforced[slot].packets - before.enforced[slot].packets;
        (more(PASS) + more(RATE_SOURCE) == 100).then(|| more(PASS))
    });
    assert!((10..=12).contains(&since), "{since} passed");
    site.place.configure("");
    site.weir(&["config", "reload"]).well();
    let before = reader.counters();
    site.send(&vec![from(3); 100]);
    wait_for("100 packets pass", PATIENCE, || {
        (reader.counters().enforced[PASS].packets - before.enforced[PASS].packets == 100).then_some(())
    });
}

/// Addresses of IPv4 in a text that says how many are wanted and how many fit.
fn wanted(said: &str) -> u64 {
    let (before, _) = said.split_once(" wanted, ").expect("how many are wanted");
    before.rsplit(' ').next().unwrap().parse().expect("a number")
}

#[test]
fn ceilings_below_what_is_in_force_are_refused_and_what_is_live_counts() {
    let mut site = Site::new("");
    let ceiling = |addresses: u64| format!("state.max_addresses = {addresses}");
    site.api().import("feed", &addresses([198, 18, 0, 0], 50)).document::<serde_json::Value>();
    site.place.configure(&ceiling(10));
    for command in [&["config", "reload"][..], &["config", "apply", "--confirm", "60s"]] {
        let said = site.weir(command);
        said.badly(1, &["IPv4 addresses do not fit", "10 fit (feed: 50", "nothing was changed", "max_addresses"]);
    }
    let in_force = wanted(&site.weir(&["config", "reload"]).err);
    // One more is live, which the tables in force do not have yet.
    site.api().block(&["192.0.2.1"]);
    site.place.configure(&ceiling(in_force));
    site.weir(&["config", "reload"]).badly(1, &["1 IPv4 addresses do not fit", "nothing was changed"]);
    assert!(site.api().status().health.ok, "{:?}", site.api().status().health);
    site.place.configure(&ceiling(in_force + 1));
    site.weir(&["config", "reload"]).well();
    site.send(&[from(1), V4::from([198, 18, 0, 49]).frame(), from(9)]);
    site.saw(&[("denied", 2), ("pass", 1)]);
    site.terminate();
    site.start();
    site.send(&[from(1), V4::from([198, 18, 0, 49]).frame(), from(9)]);
    site.saw(&[("denied", 2), ("pass", 1)]);
}

#[test]
fn guards_that_cannot_be_put_in_force_are_told_until_they_can() {
    let site = Site::new("state.max_prefixes = 150");
    let never = |count: u8| {
        let prefixes: Vec<String> = (0..count).map(|at| format!("\"203.0.{at}.0/24\"")).collect();
        format!("state.max_prefixes = 150\nnever_block.addresses = [{}]", prefixes.join(", "))
    };
    let problem =
        || site.api().status().health.problems.into_iter().find(|problem| problem.starts_with("protection: "));
    site.place.configure(&never(200));
    site.weir(&["config", "reload"]).well();
    let told = wait_for("a problem", PATIENCE, problem);
    assert!(told.contains("IPv4 prefixes do not fit"), "{told}");
    // Nobody else has to wait for them, or is blamed.
    site.api().import("feed", "192.0.2.1\n").document::<serde_json::Value>();
    site.send(&[from(1)]);
    site.saw(&[("denied", 1)]);
    site.place.configure(&never(4));
    site.weir(&["config", "reload"]).well();
    wait_for("the problem's end", PATIENCE, || problem().is_none().then_some(()));
    wait_for("the new set", PATIENCE, || site.api().explain("203.0.3.1").never_block.map(drop));
    assert!(site.api().status().health.ok);
}
