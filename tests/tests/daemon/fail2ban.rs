//! Bans of the real fail2ban, carried out by the real daemon.
use std::time::{Duration, Instant, SystemTime};

use weir_common::verdict::Verdict;
use weir_tests::fail2ban::{Fail2ban, ORIGIN};
use weir_tests::frames::V4;
use weir_tests::harness::watch::Watch;
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
fn a_ban_drops_its_first_packet_within_100_ms_of_fail2bans_decision() {
    const TRIES: u8 = 10;
    let site = Site::of(&Plan { alone: true, ..Plan::default() });
    let fail2ban = fail2ban(&site, 3_600);
    let (mut typed, mut logged, mut decided) = (Vec::new(), Vec::new(), Vec::new());
    for last in 0..TRIES + 3 {
        let ip = format!("203.0.113.{last}");
        let watch = Watch::start(&site, [203, 0, 113, last], Verdict::Rule);
        let start = Instant::now();
        if last < TRIES {
            fail2ban.ban(&ip);
        } else {
            fail2ban.refused(&ip);
        }
        let dropped = watch.seen();
        if last < TRIES { &mut typed } else { &mut logged }.push(dropped.saturating_duration_since(start));
        let ago = SystemTime::now().duration_since(fail2ban.decided(&ip)).unwrap_or_default();
        decided.push(ago.saturating_sub(dropped.elapsed()));
    }
    for times in [&mut typed, &mut logged, &mut decided] {
        times.sort();
    }
    println!("first drop after `fail2ban-client set JAIL banip` was started: {typed:?}");
    println!("after the line in the watched log, which fail2ban looks at once a second: {logged:?}");
    println!("after fail2ban's own decision, by its log: {decided:?}");
    let most = Duration::from_millis(if is_release() { 100 } else { 400 });
    assert!(decided[decided.len() / 2] < most, "{decided:?}");
    assert!(*decided.last().unwrap() < 3 * most, "{decided:?}");
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
    let explained = site.api().explain("203.0.113.7");
    assert_eq!((explained.verdict.as_str(), explained.entries[0].expires_at), ("rule", None), "-1 is for ever");
    assert!(explained.entries[0].reason.contains("jail one"), "{explained:?}");
    // Again what is banned: nothing is added, and it still ends by one unban.
    fail2ban.ban("203.0.113.7");
    site.weir(&["block", "add", "--origin", ORIGIN, "--", "203.0.113.7"]).well();
    assert_eq!(entries(&site), 3);

    fail2ban.stop();
    assert_eq!(entries(&site), 0, "a stop lifts what fail2ban holds");
    fail2ban.run();
    wait_for_entries(&site, 3);
    // A restored ban, which the action itself never made.
    fail2ban.unban("203.0.113.7");
    let lifted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_for_entries(&site, 2)));
    assert!(lifted.is_ok(), "fail2ban said:\n{}", fail2ban.log());
    site.send(&frames);
    site.saw(&[("pass", 1), ("rule", 1)]);
    fail2ban.flush();
    wait_for_entries(&site, 0);
}

#[test]
fn what_two_jails_ban_stays_banned_while_one_of_them_does() {
    const OTHER: &str = "fail2ban-two";
    let site = Site::new("");
    let fail2ban = fail2ban(&site, 3_600);
    fail2ban.add_jail("two");
    let verdict = || site.api().explain("203.0.113.7").verdict;
    fail2ban.ban("203.0.113.7");
    fail2ban.tell(&["set", "two", "banip", "203.0.113.7"]);
    wait_for("both jails' bans", PATIENCE, || {
        let chain = site.api().explain("203.0.113.7").entries;
        [ORIGIN, OTHER].iter().all(|list| chain.iter().any(|entry| entry.list == *list)).then_some(())
    });
    fail2ban.unban("203.0.113.7");
    wait_for_entries(&site, 0);
    assert_eq!(verdict(), "rule", "the other jail still bans it");
    fail2ban.tell(&["set", "two", "unbanip", "203.0.113.7"]);
    wait_for("the last ban's end", PATIENCE, || (verdict() == "pass").then_some(()));
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
fn a_hostile_value_bans_nobody_and_runs_nothing() {
    let site = Site::new("");
    let fail2ban = fail2ban(&site, 3_600);
    let witness = site.place.folder().join("witness");
    let touch = format!("touch {}", witness.display());
    let hostile = [
        format!("203.0.113.1; {touch}"),
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("\"; {touch}; \""),
        format!("'; {touch}; '"),
        format!("203.0.113.1\n{touch}"),
        "--force".to_owned(),
        "0.0.0.0/0".to_owned(),
        "-".to_owned(),
    ];
    for value in &hostile {
        // fail2ban may refuse it itself: then the action is not even run.
        fail2ban.try_ban(value);
    }
    fail2ban.ban("203.0.113.54");
    wait_for("the honest ban behind them", PATIENCE, || {
        (site.api().explain("203.0.113.54").verdict == "rule").then_some(())
    });
    assert!(!witness.exists(), "a value was run:\n{}", fail2ban.log());
    assert_eq!(entries(&site), 1, "{}", fail2ban.log());
}

#[test]
fn ten_thousand_bans_are_restored_within_ten_seconds() {
    const BANS: u32 = 10_000;
    let site = Site::of(&Plan { alone: true, ..Plan::default() });
    let mut fail2ban = fail2ban(&site, 3_600);
    fail2ban.remember(BANS);
    let start = Instant::now();
    fail2ban.run();
    wait_for_entries(&site, BANS.into());
    let in_force = start.elapsed();
    wait_for("fail2ban's own restore", PATIENCE, || {
        (fail2ban.log().matches("Restore Ban").count() >= 10_000).then_some(())
    });
    let done = start.elapsed();
    println!("{BANS} bans restored: in force after {in_force:?}, fail2ban done after {done:?}");
    // Each of them, in the kernel.
    let frames = (0..BANS).map(|at| {
        let [_, _, high, low] = at.to_be_bytes();
        V4::from([198, 18, high, low]).frame()
    });
    site.send(&frames.collect::<Vec<_>>());
    site.send(&[V4::from([203, 0, 113, 1]).frame()]);
    site.saw(&[("rule", BANS.into()), ("pass", 1)]);
    let most = Duration::from_secs(if is_release() { 10 } else { 30 });
    assert!(done < most, "{done:?}");
}
