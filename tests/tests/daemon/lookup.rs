//! The address tables from outside: lists that are switched, prefixes of every length, capacities that grow.
use std::os::fd::AsFd as _;

use weir::adapters::kernel::object::open_map;
use weir::adapters::kernel::sys;
use weir_common::abi::{Control, control_word};
use weir_tests::frames::{V4, V6};
use weir_tests::harness::Site;

fn from(source: [u8; 4]) -> Vec<u8> {
    V4::from(source).frame()
}

/// The kernel's number of the map that holds the address tables in force.
fn tables_in_force(site: &Site) -> u32 {
    let folder = site.place.instance().maps();
    let control = site.place.instance().control().unwrap();
    let slot = Control::from_word(control.read(control_word::CONTROL as usize).unwrap()).slot();
    let mut id = [0; 4];
    let outer = open_map(&folder, "TABLES").unwrap();
    assert!(sys::map_lookup(outer.as_fd(), &slot.to_ne_bytes(), &mut id).unwrap());
    u32::from_ne_bytes(id)
}

#[test]
fn a_list_is_switched_without_new_tables_and_what_lies_underneath_shows_through() {
    let site = Site::new("");
    let wide = site.place.file("wide.txt", "192.0.2.0/24\n2001:db8:7::/48\n");
    let narrow = site.place.file("narrow.txt", "192.0.2.7\n203.0.112.0/25\n");
    site.weir(&["block", "import", &wide, "--name", "wide"]).well();
    site.weir(&["block", "import", &narrow, "--name", "narrow"]).well();
    let frames = [from([192, 0, 2, 7]), from([192, 0, 2, 8]), from([203, 0, 112, 9])];
    site.send(&frames);
    site.saw(&[("denied", 3)]);
    let (tables, generation) = (tables_in_force(&site), site.api().status().generation);
    let switch = |wide: &str, narrow: &str| {
        site.place.configure(&format!(
            "[[lists]]\nname = \"wide\"\nenforcement = \"{wide}\"\n[[lists]]\nname = \"narrow\"\nenforcement = \"{narrow}\""
        ));
        site.weir(&["config", "reload"]).well();
        site.send(&frames);
    };
    switch("enforce", "off");
    site.saw(&[("denied", 2), ("pass", 1)]);
    switch("off", "enforce");
    site.saw(&[("denied", 2), ("pass", 1)]);
    switch("observe", "off");
    site.saw(&[("pass", 3), ("would denied", 2)]);
    switch("off", "off");
    site.saw(&[("pass", 3)]);
    switch("enforce", "enforce");
    site.saw(&[("denied", 3)]);
    let status = site.api().status();
    assert!(status.generation >= generation + 5, "{}", status.generation);
    assert_eq!(tables_in_force(&site), tables, "the address tables were built anew");
    // What is off is still there, and says so.
    switch("off", "enforce");
    site.saw(&[("denied", 2), ("pass", 1)]);
    let explained = site.weir(&["-o", "json", "explain", "192.0.2.8"]).well();
    assert!(explained.contains("\"off\"") && explained.contains("\"pass\""), "{explained}");
    // A change of a list makes new tables, and keeps what is off off.
    site.weir(&["block", "import", &wide, "--name", "third"]).well();
    assert_ne!(tables_in_force(&site), tables);
    site.send(&frames);
    site.saw(&[("denied", 3)]);
}

#[test]
fn prefixes_of_every_length_deny_up_to_their_last_address() {
    let site = Site::new("");
    // Each length at a place of its own; what is not covered lies right before and right behind.
    let mut lines: Vec<String> = Vec::new();
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for len in 12..=32u32 {
        let first = (40 + len) << 24 | 1 << 23;
        let last = first | u32::MAX.checked_shr(len).unwrap_or(0);
        lines.push(format!("{}/{len}", std::net::Ipv4Addr::from(first)));
        inside.extend([first, last].map(|address| from(address.to_be_bytes())));
        outside.extend([first - 1, last + 1].map(|address| from(address.to_be_bytes())));
    }
    for len in 20..=128u32 {
        let first = u128::from(0x2600 + len) << 112 | if len < 64 { 0 } else { 1 << 80 };
        let first = first & !(u128::MAX.checked_shr(len).unwrap_or(0));
        let last = first | u128::MAX.checked_shr(len).unwrap_or(0);
        lines.push(format!("{}/{len}", std::net::Ipv6Addr::from(first)));
        inside.extend([first, last].map(|address| V6::from(address.to_be_bytes()).frame()));
        outside.push(V6::from((last + 1).to_be_bytes()).frame());
    }
    let file = site.place.file("lengths.txt", lines.join("\n"));
    site.weir(&["block", "import", &file, "--name", "lengths"]).well();
    for frames in inside.chunks(40) {
        site.send(frames);
        site.saw(&[("denied", u64::try_from(frames.len()).unwrap())]);
    }
    for frames in outside.chunks(40) {
        site.send(frames);
        site.saw(&[("pass", u64::try_from(frames.len()).unwrap())]);
    }
}
