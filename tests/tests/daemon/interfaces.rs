//! Where the program is: on every interface that was named, in the best mode there is, and back when they come back.
use std::time::{Duration, Instant};

use weir::adapters::system::{interfaces, xdp};
use weir_tests::frames::{Tag, V4, V6, ethertype, v6};
use weir_tests::harness::netns::Link;
use weir_tests::harness::{PATIENCE, Plan, Site, wait_for};

fn from(last: u8) -> Vec<u8> {
    V4::from([192, 0, 2, last]).frame()
}

/// The index of an interface in weir's namespace.
fn index(site: &Site, name: &str) -> Option<u32> {
    site.server.inside(|| interfaces::index_of(name).unwrap())
}

/// Whether any XDP program is on an interface in weir's namespace.
fn is_attached(site: &Site, name: &str) -> bool {
    let index = index(site, name).unwrap();
    let there = site.server.inside(|| xdp::attached(index, |_| Ok(String::new())).unwrap());
    !there.is_empty()
}

#[test]
fn an_interface_that_was_deleted_and_made_anew_is_protected_within_a_second() {
    let mut site = Site::of(&Plan { alone: true, ..Plan::default() });
    site.api().block(&["192.0.2.1"]);
    site.send(&[from(1)]);
    site.saw(&[("denied", 1)]);
    let old = index(&site, "wv0");
    site.server.ip(&["link", "del", "wv0"]);
    let status = wait_for("the loss is noticed", PATIENCE, || {
        let status = site.api().status();
        status.interfaces[0].index.is_none().then_some(status)
    });
    assert!(status.health.problems.iter().any(|problem| problem.contains("wv0: not attached")), "{:?}", status.health);
    assert_eq!(site.api().ask("GET", "/readyz", b"").status, 503);
    site.links[0] = Link::new(&site.server, &site.client, "wv0");
    let made = Instant::now();
    let new = index(&site, "wv0");
    assert_ne!(new, old);
    let status = wait_for("the interface is attached again", PATIENCE, || {
        let status = site.api().status();
        (status.interfaces[0].index == new).then_some(status)
    });
    let after = made.elapsed();
    println!("attached again {after:?} after the interface was made");
    assert!(after < Duration::from_secs(1), "{after:?}");
    assert_eq!(status.interfaces[0].mode.as_deref(), Some("native"));
    assert!(status.health.problems.iter().any(|problem| problem.contains("wv0 came back")), "{:?}", status.health);
    site.send(&[from(1), from(2)]);
    site.saw(&[("denied", 1), ("pass", 1)]);
    assert_eq!(
        site.place.links().iter().map(|(pinned, link)| (*pinned, link.interface)).collect::<Vec<_>>(),
        [(new.unwrap(), new.unwrap())]
    );
}

#[test]
fn a_renamed_interface_stays_protected() {
    let site = Site::new("");
    site.api().block(&["192.0.2.1"]);
    site.server.ip(&["link", "set", "wv0", "down"]);
    site.server.ip(&["link", "set", "wv0", "name", "renamed0"]);
    site.server.ip(&["link", "set", "renamed0", "up"]);
    site.send(&[from(1), from(2)]);
    site.saw(&[("denied", 1), ("pass", 1)]);
}

#[test]
fn one_daemon_protects_two_interfaces_with_one_policy() {
    let site = Site::of(&Plan { interfaces: 2, ..Plan::default() });
    site.api().block(&["192.0.2.1"]);
    site.links[0].sender.send(&[from(1), from(2)]);
    site.links[1].sender.send(&[from(1), from(1), from(3)]);
    site.saw(&[("denied", 3), ("pass", 2)]);
    let attached = site.api().status().interfaces;
    let named: Vec<(&str, Option<u32>)> = attached.iter().map(|row| (row.name.as_str(), row.index)).collect();
    assert_eq!(named, [("wv0", index(&site, "wv0")), ("wv1", index(&site, "wv1"))]);
    assert_eq!(site.place.links().len(), 2);
}

#[test]
fn an_interface_that_is_no_longer_named_is_let_go_at_the_next_start() {
    let mut site = Site::of(&Plan { interfaces: 2, ..Plan::default() });
    site.kill();
    let dropped = site.links.pop().unwrap();
    site.start();
    site.api().block(&["192.0.2.1"]);
    dropped.sender.send(&[from(1), from(1)]);
    site.send(&[from(1)]);
    site.saw(&[("denied", 1)]);
    assert!(is_attached(&site, "wv0") && !is_attached(&site, "wv1"));
}

#[test]
fn generic_mode_drops_the_same_packets() {
    let site = Site::of(&Plan { args: &["--mode", "generic"], ..Plan::default() });
    assert_eq!(site.api().status().interfaces[0].mode.as_deref(), Some("generic"));
    site.api().block(&["192.0.2.1", "2001:db8::1"]);
    let tags: [Tag; 4] = [(ethertype::DOT1Q, 7), (ethertype::DOT1AD, 8), (ethertype::DOT1Q, 9), (ethertype::DOT1Q, 10)];
    let tagged = |depth: usize| V4::from([192, 0, 2, 1]).tagged(&tags[..depth]).frame();
    let v6 = V6::from(v6(0x2001_0db8, 0, 1)).frame();
    site.send(&[tagged(0), tagged(1), tagged(2), tagged(3), tagged(4), v6, from(2)]);
    site.saw(&[("denied", 6), ("pass", 1)]);
}

#[test]
fn native_mode_is_refused_with_the_reason_where_the_driver_has_none() {
    let site = Site::idle(&Plan { args: &["-i", "lo", "--mode", "native"], ..Plan::default() });
    site.refused_start()
        .badly(1, &["native XDP cannot be attached to lo: its driver has no XDP support", "--mode auto or generic"]);
    // The other interface, on which it could be, is let go of again.
    assert!(!is_attached(&site, "wv0"));
    assert!(site.place.links().is_empty());
}

#[test]
fn auto_mode_falls_back_to_generic_and_says_why() {
    let site = Site::of(&Plan { args: &["-i", "lo"], ..Plan::default() });
    let modes: Vec<Option<String>> = site.api().status().interfaces.into_iter().map(|row| row.mode).collect();
    assert_eq!(modes, [Some("native".to_owned()), Some("generic".to_owned())]);
    let said = site.daemon().says("native mode cannot be had");
    assert!(said.contains("lo") && said.contains("its driver has no XDP support"), "{said}");
    let ready = site.daemon().says("weir is ready");
    assert!(ready.contains("wv0 (native), lo (generic)"), "{ready}");
}

#[test]
fn interfaces_and_mode_come_from_the_configuration_where_the_line_names_none() {
    let mut site = Site::idle(&Plan { interfaces: 1, ..Plan::default() });
    site.place.configure("interfaces = [\"wv0\"]\nmode = \"generic\"\nenforcement = \"observe\"");
    site.links.clear();
    site.start();
    let status = site.api().status();
    assert_eq!((status.interfaces[0].name.as_str(), status.interfaces[0].mode.as_deref()), ("wv0", Some("generic")));
    assert_eq!(serde_json::to_value(status.enforcement).unwrap(), "observe");
}
