//! Bans of the real fail2ban, carried out by the real daemon.
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use weir_tests::fail2ban::{Fail2ban, ORIGIN};
use weir_tests::frames::V4;
use weir_tests::harness::{PATIENCE, Plan, Site, binary, is_release, wait_for};

fn fail2ban(site: &Site, bantime: i64) -> Fail2ban {
    Fail2ban::start(binary::path(), &site.place.socket(), bantime)
}

/// How many entries stand on fail2ban's word.
fn entries(site: &Site) -> u64 {
    let status = site.api().status();
    status.lists.iter().find(|list| list.name == ORIGIN).map_or(0, |list| list.entries)
}

#[track_caller]
fn wait_for_entries(site: &Site, count: u64) {
    wait_for(&format!("{count} entries of {ORIGIN}"), PATIENCE, || (entries(site) == count).then_some(()));
}

#[test]
fn a_ban_drops_an_unban_lets_through_and_a_restart_keeps_both() {
    let site = Site::new("");
    let mut fail2ban = fail2ban(&site, -1);
    let frames = [V4::from([203, 0, 113, 7]).frame(), V4::from([203, 0, 113, 8]).frame()];
    fail2ban.ban("203.0.113.7");
    fail2ban.ban("203.0.113.8");
    fail2ban.ban("2001:db8::7");
    wait_for_entries(&site, 3);
    site.send(&frames);
    site.saw(&[("rule", 2)]);

    fail2ban.stop();
    assert_eq!(entries(&site), 0, "a stop lifts what fail2ban holds");
    fail2ban.run();
    wait_for_entries(&site, 3);
    // A restored ban, which the action itself never made.
    fail2ban.unban("203.0.113.7");
    wait_for_entries(&site, 2);
    site.send(&frames);
    site.saw(&[("pass", 1), ("rule", 1)]);
    fail2ban.flush();
    wait_for_entries(&site, 0);
}

#[test]
fn a_refused_ban_is_an_error_in_fail2bans_log_and_not_tried_for_ever() {
    let site = Site::new("never_block.addresses = [\"203.0.113.53\"]");
    let fail2ban = fail2ban(&site, 3_600);
    fail2ban.ban("203.0.113.53");
    fail2ban.logs("Error banning 203.0.113.53");
    assert_eq!(fail2ban.log().matches("returned 5").count(), 2, "{}", fail2ban.log());
    assert_eq!(entries(&site), 0);
    fail2ban.ban("203.0.113.54");
    wait_for_entries(&site, 1);
}

#[test]
fn ten_thousand_bans_are_restored_within_ten_seconds() {
    const BANS: u64 = 10_000;
    let site = Site::of(&Plan { alone: true, ..Plan::default() });
    let mut fail2ban = fail2ban(&site, 3_600);
    fail2ban.stop();
    let mut rows = "BEGIN; INSERT OR IGNORE INTO jails(name) VALUES('one');".to_owned();
    for at in 0..BANS {
        let (high, low) = (at >> 8, at & 255);
        write!(
            rows,
            "INSERT INTO bips(ip, jail, timeofban, bantime) VALUES('198.18.{high}.{low}', 'one', unixepoch(), 3600);"
        )
        .unwrap();
    }
    let database = rusqlite::Connection::open(fail2ban.database()).unwrap();
    database.execute_batch(&(rows + "COMMIT")).unwrap();
    drop(database);
    let start = Instant::now();
    fail2ban.run();
    wait_for_entries(&site, BANS);
    let in_force = start.elapsed();
    wait_for("fail2ban's own restore", PATIENCE, || {
        (fail2ban.log().matches("Restore Ban").count() >= 10_000).then_some(())
    });
    println!("{BANS} bans restored: in force after {in_force:?}, fail2ban done after {:?}", start.elapsed());
    let most = Duration::from_secs(if is_release() { 10 } else { 30 });
    assert!(start.elapsed() < most, "{:?}", start.elapsed());
}
