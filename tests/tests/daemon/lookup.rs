//! The address tables from outside: lists that are switched, prefixes of every length, capacities that grow.
use std::fmt::Write as _;
use std::os::fd::AsFd as _;

use weir::adapters::kernel::object::open_map;
use weir::adapters::kernel::sys;
use weir_common::abi::{Control, control_word};
use weir_tests::frames::{V4, V6};
use weir_tests::harness::{PATIENCE, Site, addresses, wait_for};

fn from(source: [u8; 4]) -> Vec<u8> {
    V4::from(source).frame()
}

/// The kernel's number of the map that holds the address tables in force.
pub(crate) fn tables_in_force(site: &Site) -> u32 {
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

/// Has a list grow from a handful to a quarter of a million while frames come without a pause.
fn grow_under(site: &Site, frame: Vec<u8>) {
    let traffic = site.traffic(vec![frame], 5_000);
    let mut largest = 0;
    for count in [4, 2_000, 60_000, 250_000] {
        let file = site.place.file("growing.txt", addresses([45, 0, 0, 0], count) + "192.0.2.7\n");
        site.weir(&["block", "import", &file, "--name", "growing"]).well();
        let bytes = site.api().status().capacity["table bytes"].used;
        assert!(bytes > largest, "{count} addresses take {bytes} bytes, fewer took {largest}");
        largest = bytes;
        // Between two flips as well.
        let sent = traffic.sent();
        wait_for("packets on these tables", PATIENCE, || (traffic.sent() > sent + 500).then_some(()));
    }
    assert!(traffic.stop() > 2_000);
}

#[test]
fn a_table_that_grows_under_traffic_never_lets_a_denied_source_pass_or_drops_an_unlisted_one() {
    let site = Site::new("");
    let import = |text: &str| site.api().import("growing", text).document::<serde_json::Value>();
    import("192.0.2.7\n");
    grow_under(&site, from([192, 0, 2, 7]));
    let denied = site.api().status();
    let count = denied.verdicts["denied"].packets;
    assert!(count > 2_000 && count == denied.packets.seen, "{count} denied of {}", denied.packets.seen);
    import("192.0.2.7\n");
    grow_under(&site, from([192, 0, 2, 9]));
    let passed = site.api().status();
    let (count, seen) = (passed.verdicts["pass"].packets, passed.packets.seen - denied.packets.seen);
    assert!(count > 2_000 && count == seen, "{count} passed of {seen}");
    assert_eq!(passed.packets.dropped, denied.packets.dropped);
}

/// Entries that end at different moments, a third of which another list names for good: the tables hold all of that.
#[test]
fn thousands_of_entries_that_end_cost_no_build() {
    const COUNT: u32 = 4_000;
    let site = Site::new("");
    let address = |number: u32| [45, 1, number.to_be_bytes()[2], number.to_be_bytes()[3]];
    let shown = |number: u32| std::net::Ipv4Addr::from(address(number));
    let (mut ending, mut lasting) = (String::from("create bans hash:ip family inet timeout 600\n"), String::new());
    for number in 0..COUNT {
        writeln!(ending, "add bans {} timeout {}", shown(number), 6 + number % 5).unwrap();
        if number % 3 == 0 {
            writeln!(lasting, "{}", shown(number)).unwrap();
        }
    }
    let (ending, lasting) = (site.place.file("ending.ipset", ending), site.place.file("lasting.txt", lasting));
    site.weir(&["block", "import", &lasting, "--name", "lasting"]).well();
    site.weir(&["block", "import", &ending, "--name", "ending"]).well();
    let frames = [from(address(0)), from(address(1)), from([192, 0, 2, 9])];
    site.send(&frames);
    site.saw(&[("denied", 2), ("pass", 1)]);
    let (tables, generation) = (tables_in_force(&site), site.api().status().generation);
    let left = || site.api().status().lists.iter().find(|list| list.name == "ending").map_or(0, |list| list.entries);
    assert!(left() > 0, "they end before anything is seen of them");
    wait_for("the ends", PATIENCE, || (left() == 0).then_some(()));
    site.send(&frames);
    site.saw(&[("denied", 1), ("pass", 2)]);
    let status = site.api().status();
    assert_eq!((status.capacity["overlay"].used, status.generation), (0, generation));
    assert_eq!(tables_in_force(&site), tables, "the address tables were built anew");
}
