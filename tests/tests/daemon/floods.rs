//! Limits beside that of packets, and what follows from breaking them.
use std::net::{Ipv4Addr, UdpSocket};

use serde_json::Value;
use weir::adapters::store::{AuditRecord, Store};
use weir::domain::report::{ExplainRate, OffenderRow};
use weir_common::verdict::Verdict;
use weir_tests::frames::{self, SERVER_V4, V4, proto as protocol};
use weir_tests::harness::{PATIENCE, Plan, Site, wait_for};

/// A TCP packet with these flags, from one port to another.
fn tcp(source: [u8; 4], (from, to): (u16, u16), flags: u8) -> Vec<u8> {
    V4::from(source).carrying(protocol::TCP, frames::tcp(from, to, flags, &[])).frame()
}

/// A UDP packet from one port to another.
fn udp(source: [u8; 4], (from, to): (u16, u16)) -> Vec<u8> {
    V4::from(source).carrying(protocol::UDP, frames::udp(from, to, &[])).frame()
}

const SYN: u8 = 2;
const ACK: u8 = 16;

fn offenders(site: &Site) -> Vec<OffenderRow> {
    site.api().get("/api/offenders")
}

/// The offender that a source is, once it is one.
fn offender(site: &Site, source: &str) -> OffenderRow {
    wait_for("an offender", PATIENCE, || offenders(site).into_iter().find(|row| row.source == source))
}

#[test]
fn a_limit_of_openings_holds_openings_and_nothing_else() {
    let site = Site::new("[limits.source]\nsyn_per_second = 10\nsyn_burst = 20\n");
    let openings: Vec<_> = (0..500).map(|port| tcp([192, 0, 2, 1], (20_000 + port, 443), SYN)).collect();
    site.send(&openings);
    let others: Vec<_> = (0..500).map(|port| tcp([192, 0, 2, 1], (20_000 + port, 443), ACK)).collect();
    site.send(&others);
    let status = wait_for("all packets", PATIENCE, || {
        let status = site.api().status();
        (status.packets.seen == 1_000).then_some(status)
    });
    let refused = status.verdicts["rate_source"].packets;
    // The burst and what a moment earns.
    assert!((400..=480).contains(&refused), "{refused} refused");
    let limit = &status.limits[0];
    assert_eq!(status.limits.len(), 1, "{:?}", status.limits);
    assert_eq!((limit.scope.as_str(), limit.dimension.as_str(), limit.packets), ("source", "syn", refused));
    let row = offender(&site, "192.0.2.1");
    assert_eq!((row.dimension.as_str(), row.per_second, row.refused), ("syn", Some(10), refused));
    let rate: ExplainRate = site.api().explain("192.0.2.1").rate.unwrap();
    assert_eq!(rate.over.len(), 1);
    site.weir(&["offenders"]).well();
}

#[test]
fn who_breaks_a_limit_again_is_denied_for_a_time_and_it_is_on_record() {
    let mut site = Site::new(
        "[limits.source]\npackets_per_second = 10\nburst = 20\n[limits.offenders]\ndeny_after = 1\ndeny_for = \"2s\"\n",
    );
    let flood = vec![udp([192, 0, 2, 1], (1_000, 2_000)); 300];
    site.send(&flood);
    let row = wait_for("a denial", PATIENCE, || {
        let row = offender(&site, "192.0.2.1");
        row.denied_until.is_some().then_some(row)
    });
    assert_eq!(row.offences, 1);
    let explain = wait_for("the denial in force", PATIENCE, || {
        let explain = site.api().explain("192.0.2.1");
        (explain.verdict == "offender").then_some(explain)
    });
    assert!(explain.entries[0].reason.contains("over its limit of packets for the first time"), "{explain:?}");
    site.send(&flood);
    wait_for("packets of the denied source", PATIENCE, || {
        let packets = site.api().status().verdicts.get("offender").map_or(0, |row| row.packets);
        (packets == 300).then_some(())
    });
    wait_for("the end of the denial", PATIENCE, || (site.api().explain("192.0.2.1").verdict == "pass").then_some(()));
    // Who comes back is denied for twice as long.
    wait_for("the second denial", PATIENCE, || {
        site.send(&flood[..100]);
        let row = offender(&site, "192.0.2.1");
        (row.offences >= 2 && row.denied_until.is_some()).then_some(())
    });
    let state = site.place.state();
    site.terminate();
    let (store, ..) = Store::open(&state).unwrap();
    let trail = store.audit_since(jiff::Timestamp::MIN, usize::MAX).unwrap();
    let offences: Vec<_> = trail.records.iter().filter(|record| record.action == "offence").collect();
    assert!(offences.len() >= 2, "{trail:?}");
    assert_eq!((offences[0].actor.as_str(), offences[0].target.as_str()), ("limits", "192.0.2.1/32"));
    assert_eq!(offences[0].detail["denied_for_s"], 2);
    assert_eq!(offences[1].detail["denied_for_s"], 4);
}

#[test]
fn no_limit_denies_whom_nothing_may_deny_and_it_is_seen_that_it_would_have() {
    let mut site = Site::new(
        "[limits.source]\npackets_per_second = 10\nburst = 20\n[limits.offenders]\ndeny_after = 1\n\
         [protected]\naddresses = [\"192.0.2.1\"]\n",
    );
    site.send(&vec![udp([192, 0, 2, 1], (1_000, 2_000)); 300]);
    let row = wait_for("the offence", PATIENCE, || {
        let row = offender(&site, "192.0.2.1");
        (row.offences == 1).then_some(row)
    });
    assert_eq!((row.never_denied.as_deref(), row.denied_until), (Some("protected: set in [protected]"), None));
    let said = site.weir(&["offenders"]).well();
    assert!(said.contains("never, protected: set in [protected]"), "{said}");
    wait_for("the refusal", PATIENCE, || site.daemon().said("limits were broken"));
    assert_eq!(site.api().explain("192.0.2.1").verdict, "pass");
    // Among the events that are kept, and in the audit trail.
    let event = wait_for("the event", PATIENCE, || {
        let events: Value = site.api().get("/api/events?source=192.0.2.1");
        events.to_string().contains("192.0.2.1").then_some(events)
    });
    let words = "limited and never denied, as it is protected: set in [protected]";
    assert!(event.to_string().contains(words), "{event}");
    let offences = offences(&mut site);
    assert_eq!(offences[0].target, "192.0.2.1/32");
    assert_eq!(offences[0].detail["never_denied"], "protected: set in [protected]");
    assert_eq!(offences[0].detail["denied_for_s"], Value::Null);
}

/// Ends the daemon, and reads the offences in its audit trail.
fn offences(site: &mut Site) -> Vec<AuditRecord> {
    let state = site.place.state();
    site.terminate();
    let (store, ..) = Store::open(&state).unwrap();
    let trail = store.audit_since(jiff::Timestamp::MIN, usize::MAX).unwrap();
    trail.records.into_iter().filter(|record| record.action == "offence").collect()
}

#[test]
fn which_limit_was_broken_is_told_with_its_name_and_rate() {
    let mut site = Site::new(
        "[limits.source]\npackets_per_second = 1000\nsyn_per_second = 500\n\
         [limits.tight]\npackets_per_second = 10\nburst = 20\n\
         [[lists]]\nname = \"block\"\nenforcement = \"limit\"\n\
         [[limits.ports]]\nname = \"game\"\nprotocol = \"udp\"\nports = [\"27015\"]\nper = \"source\"\n\
         packets_per_second = 30\nburst = 30\n",
    );
    site.api().block(&["198.51.100.9"]);
    wait_for("its limit", PATIENCE, || site.api().explain("198.51.100.9").reason.contains("tight").then_some(()));
    site.send(&vec![udp([198, 51, 100, 9], (1_000, 2_000)); 300]);
    site.send(&vec![udp([192, 0, 2, 1], (1_000, 27_015)); 300]);
    let row = offender(&site, "198.51.100.9");
    assert_eq!((row.limit.as_deref(), row.per_second), (Some("tight"), Some(10)));
    let of = |address: &str| -> ExplainRate { site.api().explain(address).rate.unwrap() };
    let rates = |rate: &ExplainRate| -> Vec<(String, u64, u64)> {
        rate.limits.iter().map(|one| (one.dimension.clone(), one.per_second, one.burst)).collect()
    };
    let tight = of("198.51.100.9");
    assert_eq!((tight.limit, tight.profile.as_deref()), (Some(10), Some("tight")));
    assert_eq!(rates(&tight), [("packets".to_owned(), 10, 20)]);
    let plain = of("192.0.2.1");
    assert_eq!((plain.limit, plain.profile.as_deref()), (Some(1_000), None));
    assert_eq!(rates(&plain), [("packets".to_owned(), 1_000, 1_000), ("syn".to_owned(), 500, 500)]);
    wait_for("both offences", PATIENCE, || {
        let rows = offenders(&site);
        (rows.iter().filter(|row| row.offences > 0).count() >= 2).then_some(())
    });
    let offences = offences(&mut site);
    let told = |target: &str| {
        let found = offences.iter().find(|record| record.target == target).expect(target);
        (found.detail["scope"].clone(), found.detail["limit"].clone(), found.detail["per_second"].clone())
    };
    assert_eq!(told("198.51.100.9/32"), ("source".into(), "tight".into(), 10.into()));
    assert_eq!(told("192.0.2.1/32"), ("port".into(), "game".into(), 30.into()));
}

#[test]
fn a_list_that_is_to_limit_limits_where_no_limit_is_set() {
    let site = Site::new("[[lists]]\nname = \"block\"\nenforcement = \"limit\"\n");
    site.api().block(&["198.51.100.9"]);
    wait_for("its limit", PATIENCE, || site.api().explain("198.51.100.9").reason.contains("tight").then_some(()));
    site.send(&vec![udp([198, 51, 100, 9], (1_000, 2_000)); 2_000]);
    site.send(&vec![udp([192, 0, 2, 1], (1_000, 2_000)); 2_000]);
    let refused = wait_for("all packets", PATIENCE, || {
        let status = site.api().status();
        (status.packets.seen == 4_000).then(|| status.verdicts["rate_source"].packets)
    });
    // Of two thousand the burst passes, and what a moment earns; everybody else has no limit.
    assert!((1_350..=1_500).contains(&refused), "{refused}");
}

#[test]
fn limits_hold_while_the_daemon_stands_still() {
    let site = Site::new("[limits.source]\npackets_per_second = 10\nburst = 20\n");
    let reader = site.place.reader();
    let verdict = |verdict: Verdict| reader.counters().enforced[verdict.slot() as usize].packets;
    site.daemon().signal(libc::SIGSTOP);
    wait_for("the daemon to stand still", PATIENCE, || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", site.daemon().pid())).unwrap();
        status.contains("State:\tT").then_some(())
    });
    site.send(&vec![udp([192, 0, 2, 1], (1_000, 2_000)); 500]);
    let passed = wait_for("all packets", PATIENCE, || {
        let (passed, refused) = (verdict(Verdict::Pass), verdict(Verdict::RateSource));
        (passed + refused == 500).then_some(passed)
    });
    assert!((20..=60).contains(&passed), "{passed} passed");
    site.daemon().signal(libc::SIGCONT);
    assert_eq!(site.api().status().verdicts["rate_source"].packets, 500 - passed);
    wait_for("the offence", PATIENCE, || (offender(&site, "192.0.2.1").offences == 1).then_some(()));
}

#[test]
fn limits_that_cost_others_and_settings_that_do_nothing_are_told() {
    let mut site = Site::idle(&Plan {
        config: "[limits.network]\npackets_per_second = 1000\n[amplification]\nuses = [\"ntp\"]\n",
        ..Plan::default()
    });
    let words =
        ["one sender alone can use up limits.network.packets_per_second = 1000", "amplification.uses does nothing"];
    let check = site.weir(&["config", "check"]).well();
    assert!(words.iter().all(|word| check.contains(word)), "{check}");
    site.start();
    for word in words {
        assert!(site.daemon().said(word).is_some(), "{}", site.daemon().log());
    }
    let reload = site.weir(&["config", "reload", "--dry-run"]).well();
    assert!(words.iter().all(|word| reload.contains(word)), "{reload}");
}

#[test]
fn one_bad_host_does_not_cost_its_network_and_a_network_full_of_them_does() {
    let site = Site::new(
        "[limits.source]\npackets_per_second = 20\nburst = 40\n\
         [limits.network]\npackets_per_second = 200\nburst = 400\n",
    );
    site.send(&vec![udp([198, 51, 100, 1], (1, 2)); 2_000]);
    let neighbours: Vec<_> = (2..=100).map(|host| udp([198, 51, 100, host], (1, 2))).collect();
    site.send(&neighbours);
    let verdicts = wait_for("all packets", PATIENCE, || {
        let status = site.api().status();
        (status.packets.seen == 2_099).then_some(status.verdicts)
    });
    assert_eq!(verdicts.get("rate_network").map_or(0, |row| row.packets), 0, "{verdicts:?}");
    assert!(verdicts["pass"].packets >= 99 + 40, "{verdicts:?}");
    // Two hundred hosts, each within its own limit.
    let full: Vec<_> = (0..30).flat_map(|_| (1..=200).map(|host| udp([203, 0, 112, host], (1, 2)))).collect();
    site.send(&full);
    let held = wait_for("the network's limit", PATIENCE, || {
        let status = site.api().status();
        (status.packets.seen == 2_099 + 6_000).then(|| status.verdicts["rate_network"].packets)
    });
    assert!((5_000..=5_600).contains(&held), "{held}");
    let row =
        wait_for("the network", PATIENCE, || offenders(&site).into_iter().find(|row| row.source == "203.0.112.0/24"));
    assert_eq!((row.scope.as_str(), row.per_second), ("network", Some(200)));
}

#[test]
fn ports_that_are_denied_are_and_ssh_must_be_let_in_by_name() {
    let site = Site::new(
        "[[ports]]\nprotocol = \"tcp\"\nports = [\"22\", \"443\"]\naction = \"allow\"\n\
         [[ports]]\nports = [\"1-1023\"]\n[[limits.ports]]\nname = \"game\"\nprotocol = \"udp\"\nports = [\"27015\"]\n\
         packets_per_second = 100\nburst = 100\n",
    );
    site.send(&[tcp([192, 0, 2, 1], (30_000, 22), SYN), tcp([192, 0, 2, 1], (30_000, 443), SYN)]);
    site.saw(&[("pass", 2)]);
    site.send(&[tcp([192, 0, 2, 1], (30_000, 23), SYN), udp([192, 0, 2, 1], (30_000, 443))]);
    site.saw(&[("port", 2)]);
    let players: Vec<_> = (0..1_000u16)
        .map(|player| {
            let [high, low] = player.to_be_bytes();
            udp([198, 18, high, low.max(1)], (30_000, 27_015))
        })
        .collect();
    site.send(&players);
    let status = wait_for("all packets", PATIENCE, || {
        let status = site.api().status();
        (status.packets.seen == 1_004).then_some(status)
    });
    let over = status.limits.iter().find(|row| row.scope == "port").map_or(0, |row| row.packets);
    assert!((850..=900).contains(&over), "{over}");
    assert_eq!(status.verdicts["rate_global"].packets, over);
    site.place.configure("[[ports]]\nports = [\"1-1023\"]\n");
    let words = site.weir(&["config", "reload"]).badly(1, &["cuts off SSH"]);
    assert!(words.contains("ports[0].ports"), "{words}");
}

#[test]
fn answers_pass_to_who_asked_for_them_and_to_nobody_else() {
    let site = Site::new("[amplification]\nenforcement = \"enforce\"\n");
    // Unconnected, on a port as askers get them.
    let asker = site.server.inside(|| UdpSocket::bind((Ipv4Addr::from(SERVER_V4), 0)).unwrap());
    let port = asker.local_addr().unwrap().port();
    let answer = |to: u16| udp([192, 0, 2, 53], (53, to));
    site.send(&[answer(port)]);
    site.saw(&[("pass", 1)]);
    let closed = if port == u16::MAX { port - 1 } else { port + 1 };
    site.send(&[answer(closed), udp([192, 0, 2, 123], (123, closed)), udp([192, 0, 2, 9], (11_211, closed))]);
    site.saw(&[("port", 3)]);
    // What comes from no such port is nobody's answer.
    site.send(&[udp([192, 0, 2, 53], (5_353, closed))]);
    site.saw(&[("pass", 1)]);
    drop(asker);
}
