//! Settings on trial: undone unless confirmed, by the daemon or without it.
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_tests::frames::V4;
use weir_tests::harness::{PATIENCE, Site, addresses, wait_for};

use crate::{DENIED, PASS};

/// The settings on trial: with them what is denied is only counted.
const TRIAL: &str = "enforcement = \"observe\"";

fn from(last: u8) -> Vec<u8> {
    V4::from([192, 0, 2, last]).frame()
}

/// A site that denies 192.0.2.1, and has the trial's settings in its file.
fn site() -> Site {
    let site = Site::new("");
    site.api().block(&["192.0.2.1"]);
    site.send(&[from(1), from(9)]);
    site.saw(&[("denied", 1), ("pass", 1)]);
    site.place.configure(TRIAL);
    site
}

#[track_caller]
fn apply(site: &Site, time: &str) -> Instant {
    let start = Instant::now();
    let said = site.weir(&["-o", "json", "config", "apply", "--confirm", time]).well();
    assert!(said.contains("\"changed\":true") && said.contains(r#"enforcement: \"enforce\" -> \"observe\""#), "{said}");
    start
}

#[track_caller]
fn on_trial(site: &Site) {
    site.send(&[from(1), from(9)]);
    site.saw(&[("pass", 2), ("would denied", 1)]);
}

#[track_caller]
fn as_before(site: &Site) {
    site.send(&[from(1), from(9)]);
    site.saw(&[("denied", 1), ("pass", 1)]);
}

/// Sends denied frames until one is dropped again; when that was.
fn undone(site: &Site, start: Instant) -> Duration {
    let reader = site.place.reader();
    let denied = || reader.counters().enforced[DENIED].packets;
    let before = denied();
    wait_for("the settings are undone", PATIENCE, || {
        site.send(&[from(1)]);
        (denied() > before).then(|| start.elapsed())
    })
}

#[track_caller]
fn at_the_deadline(after: Duration) {
    // Whole seconds of the kernel's clock: never early, and less than a second late.
    assert!(after >= Duration::from_secs(2) && after < Duration::from_millis(3_300), "undone after {after:?}");
}

#[track_caller]
fn says_given_up(site: &Site) {
    let status = site.api().status();
    assert_eq!(serde_json::to_value(status.enforcement).unwrap(), "enforce");
    assert!(status.pending.is_none());
    let problems = status.health.problems;
    assert!(problems.iter().any(|problem| problem.contains("not confirmed in time")), "{problems:?}");
}

#[test]
fn what_is_not_confirmed_is_undone_at_the_deadline() {
    let mut site = site();
    let start = apply(&site, "2s");
    assert!(site.api().status().pending.is_some());
    on_trial(&site);
    at_the_deadline(undone(&site, start));
    wait_for("the daemon agrees", PATIENCE, || site.api().status().pending.is_none().then_some(()));
    says_given_up(&site);
    site.weir(&["config", "confirm"]).badly(1, &["no settings change waits for a confirmation"]);
    // The file still holds them: they are not put in force by a restart either.
    site.kill();
    site.start();
    says_given_up(&site);
    let reader = site.place.reader();
    let before = reader.counters().enforced[DENIED].packets;
    site.send(&[from(1)]);
    wait_for("a drop", PATIENCE, || (reader.counters().enforced[DENIED].packets > before).then_some(()));
}

#[test]
fn the_kernel_undoes_it_by_itself_when_the_daemon_is_killed() {
    let mut site = site();
    let start = apply(&site, "2s");
    site.kill();
    site.send(&[from(1)]);
    site.kernel_saw(&[("pass", 1), ("would denied", 1)]);
    at_the_deadline(undone(&site, start));
    site.start();
    says_given_up(&site);
    // What was given up can still be put in force, for good.
    site.weir(&["config", "reload"]).well();
    let problems = site.api().status().health.problems;
    assert!(!problems.iter().any(|problem| problem.contains("confirmed")), "{problems:?}");
    for restart in [false, true] {
        if restart {
            site.kill();
            site.start();
        }
        let status = site.api().status();
        assert_eq!(serde_json::to_value(status.enforcement).unwrap(), "observe", "restart: {restart}");
        assert!(status.health.ok, "{:?}", status.health);
    }
}

#[test]
fn what_is_confirmed_stays() {
    let mut site = site();
    let start = apply(&site, "2s");
    site.weir(&["config", "confirm"]).well();
    assert!(site.api().status().pending.is_none());
    on_trial(&site);
    wait_for("the deadline passes", PATIENCE, || (start.elapsed() > Duration::from_millis(3_200)).then_some(()));
    on_trial(&site);
    site.kill();
    site.start();
    on_trial(&site);
    assert!(site.api().status().health.ok);
}

#[test]
fn a_trial_goes_on_over_a_restart_and_can_be_confirmed_there() {
    let mut site = site();
    apply(&site, "60s");
    site.kill();
    site.start();
    let pending = site.api().status().pending.unwrap();
    assert!((1..=60).contains(&pending.seconds_left), "{pending:?}");
    on_trial(&site);
    site.weir(&["config", "confirm"]).well();
    on_trial(&site);
    assert!(site.api().status().pending.is_none());
}

#[test]
fn a_trial_that_went_on_over_a_restart_is_still_undone() {
    let mut site = site();
    let start = apply(&site, "3s");
    site.kill();
    site.start();
    assert!(site.api().status().pending.is_some());
    let after = undone(&site, start);
    assert!(after > Duration::from_secs(2) && after < Duration::from_millis(4_200), "{after:?}");
    wait_for("the daemon agrees", PATIENCE, || site.api().status().pending.is_none().then_some(()));
    says_given_up(&site);
}

#[test]
fn rollback_goes_back_at_once_and_keeps_what_was_blocked_and_unblocked_meanwhile() {
    let mut site = site();
    site.api().block(&["192.0.2.2"]);
    apply(&site, "60s");
    site.api().block(&["192.0.2.3"]);
    site.api().unblock(&["192.0.2.1"]);
    site.send(&[from(1), from(2), from(3)]);
    site.saw(&[("pass", 3), ("would denied", 2)]);
    // What needs tables of its own waits, and says for what.
    let refused = site.api().import("feed", "198.51.100.1\n").problem(409);
    assert!(refused.detail.contains("waits for its confirmation"), "{}", refused.detail);
    site.weir(&["config", "rollback"]).well();
    for restart in [false, true] {
        if restart {
            site.kill();
            site.start();
        }
        site.send(&[from(1), from(2), from(3)]);
        site.saw(&[("pass", 1), ("denied", 2)]);
    }
    site.weir(&["config", "rollback"]).badly(1, &["no settings change waits for a confirmation"]);
}

#[test]
fn blocks_made_on_trial_survive_the_deadline_without_a_daemon() {
    let mut site = site();
    let start = apply(&site, "2s");
    site.api().block(&["192.0.2.3"]);
    site.api().unblock(&["192.0.2.1"]);
    site.kill();
    let reader = site.place.reader();
    let denied = || reader.counters().enforced[DENIED].packets;
    let before = denied();
    wait_for("the deadline", PATIENCE, || {
        site.send(&[from(3)]);
        (denied() > before).then_some(())
    });
    at_the_deadline(start.elapsed());
    let at = reader.counters();
    site.send(&[from(1), from(3), from(3)]);
    wait_for("three packets", PATIENCE, || {
        let now = reader.counters();
        let more = |slot: usize| now.enforced[slot].packets - at.enforced[slot].packets;
        ((more(PASS), more(DENIED)) == (1, 2)).then_some(())
    });
    site.start();
    let listed = site.weir(&["block", "export"]).well();
    assert_eq!(listed, "192.0.2.3\n");
}

#[test]
fn applying_what_is_in_force_changes_nothing_and_waits_for_nobody() {
    let site = Site::new("");
    let said = site.weir(&["-o", "json", "config", "apply", "--confirm", "60s"]).well();
    assert!(said.contains("\"changed\":false") && said.contains("\"pending\":null"), "{said}");
    assert_eq!(site.api().status().generation, 1);
}

#[test]
fn a_trial_of_broken_settings_does_not_begin() {
    let site = site();
    site.place.configure("enforcement = \"obsserve\"");
    let said = site.weir(&["config", "apply", "--confirm", "60s"]);
    said.badly(1, &["weir.toml:4:15", "obsserve", "did you mean \"observe\"?"]);
    assert!(site.api().status().pending.is_none());
    as_before(&site);
}

/// Waits until the daemon would refuse to deny an address.
#[track_caller]
fn wait_until_protected(site: &Site, address: &str) {
    wait_for("the address is protected", PATIENCE, || site.api().explain(address).protected.map(drop));
}

/// A list that denies all of 198.51.100.0/24, in the tables: nothing is live that would be folded into others.
fn wide() -> Site {
    let site = Site::new("");
    site.api().import("wide", "198.51.100.0/24\n").document::<Value>();
    site
}

#[track_caller]
fn wide_sees(site: &Site, expected: &[(&str, u64)]) {
    site.send(&[7, 8, 9].map(|last| V4::from([198, 51, 100, last]).frame()));
    site.saw(expected);
}

/// Waits for the policy that follows a trial's end.
#[track_caller]
fn wait_for_generation(site: &Site, generation: u64) {
    wait_for("the next policy", PATIENCE, || (site.api().status().generation >= generation).then_some(()));
}

#[test]
fn who_came_to_be_protected_during_a_trial_is_spared_once_it_is_confirmed() {
    let site = wide();
    wide_sees(&site, &[("denied", 3)]);
    site.place.configure("[protected]\naddresses = [\"198.51.100.7\"]");
    site.weir(&["config", "apply", "--confirm", "60s"]).well();
    let generation = site.api().status().generation;
    // One by the settings on trial, one that the machine gains meanwhile.
    site.server.ip(&["address", "add", "198.51.100.8/32", "dev", &site.links[0].name]);
    wait_until_protected(&site, "198.51.100.7");
    wait_until_protected(&site, "198.51.100.8");
    assert_eq!(site.api().status().generation, generation, "nothing flips during a trial");
    site.weir(&["config", "confirm"]).well();
    wait_for_generation(&site, generation + 1);
    wide_sees(&site, &[("pass", 2), ("denied", 1)]);
    assert!(site.api().status().health.ok);
}

#[test]
fn an_address_that_the_machine_gains_during_a_trial_is_spared_once_it_is_rolled_back() {
    let site = wide();
    site.place.configure(TRIAL);
    site.weir(&["config", "apply", "--confirm", "60s"]).well();
    wide_sees(&site, &[("pass", 3), ("would denied", 3)]);
    let generation = site.api().status().generation;
    site.server.ip(&["address", "add", "198.51.100.8/32", "dev", &site.links[0].name]);
    wait_until_protected(&site, "198.51.100.8");
    site.weir(&["config", "rollback"]).well();
    // Back to the tables of before, and then to what they have to be now.
    wait_for_generation(&site, generation + 2);
    wide_sees(&site, &[("pass", 1), ("denied", 2)]);
}

/// What would flip after the trial's own flip would take the deadline from the kernel.
#[test]
fn what_comes_while_a_trial_is_on_its_way_into_force_waits_and_the_deadline_stays() {
    let mut site = site();
    let lists = [[198, 18, 0, 0], [198, 19, 0, 0]].map(|first| addresses(first, 60_000));
    let api = site.api();
    let knows = |name: &str| {
        let has = || api.status().lists.iter().any(|list| list.name == name);
        wait_for("the list is known", PATIENCE, || has().then_some(()));
    };
    let start = thread::scope(|scope| {
        // One list is being built, a second one waits, and so do the settings.
        let first = scope.spawn(|| api.import("one", &lists[0]));
        knows("one");
        let second = scope.spawn(|| api.import("two", &lists[1]));
        knows("two");
        let start = Instant::now();
        let trial = scope.spawn(|| api.ask("POST", "/api/config/apply?confirm_s=3", b"").document::<Value>());
        wait_for("the settings are on their way", PATIENCE, || {
            (serde_json::to_value(api.status().enforcement).unwrap() == "observe").then_some(())
        });
        first.join().unwrap().document::<Value>();
        for refused in [api.import("three", "203.0.113.1\n"), api.ask("POST", "/api/config/apply?confirm_s=3", b"")] {
            let refused = refused.problem(409);
            assert!(refused.detail.contains("waits for its confirmation"), "{}", refused.detail);
        }
        second.join().unwrap().document::<Value>();
        let said = trial.join().unwrap();
        assert!(!said["pending"].is_null(), "{said}");
        start
    });
    // What was there before the settings is no part of what is on trial.
    site.send(&[from(1), V4::from([198, 18, 0, 1]).frame(), V4::from([198, 19, 0, 1]).frame()]);
    site.saw(&[("pass", 3), ("would denied", 3)]);
    site.kill();
    undone(&site, start);
    let reader = site.place.reader();
    let before = reader.counters().enforced[DENIED].packets;
    site.send(&[V4::from([198, 18, 0, 1]).frame(), V4::from([198, 19, 0, 1]).frame()]);
    wait_for("both lists deny", PATIENCE, || (reader.counters().enforced[DENIED].packets == before + 2).then_some(()));
}
