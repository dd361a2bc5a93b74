//! The last good copy, and what ends it.
use std::fs;
use std::path::PathBuf;

use weir::domain::report::FeedState;
use weir_tests::harness::{PATIENCE, Plan, Site, wait_for};

use super::web::Web;
use super::{Files, all_in_force, feed, from, idle, list, refresh, refreshed, wait_for_feed};

/// The kept bodies.
fn copies(site: &Site) -> Vec<PathBuf> {
    let files = fs::read_dir(site.place.state().join("feeds")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn a_start_without_the_server_enforces_the_last_good_copy_from_the_first_packet() {
    let mut site = idle(&Plan::default());
    let web = Web::new(&site);
    web.put("/list", list(1, 500));
    site.place.configure(&web.feed("kept", 2, "/list", "interval = \"10s\""));
    site.start();
    let before = all_in_force(&site).remove(0);
    // Nothing of the policy stays in the kernel.
    site.terminate();
    site.weir(&["detach"]).well();
    drop(web);
    site.start();
    site.send(&[from("45.1.0.1"), from("45.1.1.244"), from("45.1.1.245")]);
    site.kernel_saw(&[("feed", 2), ("pass", 1)]);
    let row = wait_for_feed(&site, "kept", "it is asked, and nobody answers", |row| row.state == FeedState::Failing);
    assert_eq!((row.entries, row.last_success), (500, before.last_success));
    let problem = row.problem.unwrap();
    assert!(problem.contains("127.0.0.2"), "{problem}");
    site.send(&[from("45.1.0.1")]);
    site.saw(&[("feed", 1)]);
}

#[test]
fn a_copy_with_a_flipped_byte_is_told_and_not_used() {
    let mut site = idle(&Plan::default());
    let web = Web::new(&site);
    web.put("/list", list(1, 500));
    site.place.configure(&web.feed("kept", 2, "/list", ""));
    site.start();
    all_in_force(&site);
    site.terminate();
    site.weir(&["detach"]).well();
    drop(web);
    let body = copies(&site).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(&body).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&body, bytes).unwrap();
    site.start();
    site.send(&[from("45.1.0.1")]);
    site.saw(&[("pass", 1)]);
    assert_eq!(feed(&site, "kept").entries, 0);
    let health = site.api().status().health;
    assert!(
        health.problems.iter().any(|problem| problem.contains("kept") && problem.contains("damaged")),
        "{health:?}"
    );
}

#[test]
fn a_feed_that_is_configured_no_more_goes_and_its_copy_too() {
    let mut site = idle(&Plan::default());
    let files = Files::new();
    files.put("one", list(1, 20));
    files.put("two", list(2, 20));
    let both = files.feed("one", "") + &files.feed("two", "");
    site.place.configure(&both);
    site.start();
    all_in_force(&site);
    let frames = ["45.1.0.1", "45.2.0.1"].map(from);
    site.send(&frames);
    site.saw(&[("feed", 2)]);
    wait_for("both copies are kept", PATIENCE, || (copies(&site).len() == 4).then_some(()));
    site.place.configure(&files.feed("two", ""));
    site.weir(&["config", "reload"]).well();
    wait_for("the list goes", PATIENCE, || (site.api().explain("45.1.0.1").verdict == "pass").then_some(()));
    assert!(site.api().status().lists.iter().all(|list| list.name != "one"));
    site.send(&frames);
    site.saw(&[("feed", 1), ("pass", 1)]);
    wait_for("its copy goes", PATIENCE, || (copies(&site).len() == 2).then_some(()));
    // While no daemon looks, it goes too: at the next start.
    site.kill();
    site.place.configure("");
    site.start();
    site.send(&frames);
    site.saw(&[("pass", 2)]);
    wait_for("no copy is left", PATIENCE, || copies(&site).is_empty().then_some(()));
}

#[test]
fn a_feed_that_is_silent_for_longer_than_it_may_ends_and_comes_back() {
    let mut site = idle(&Plan::default());
    let files = Files::new();
    files.put("short", list(1, 20));
    site.place.configure(&files.feed("short", "interval = \"10s\"\nexpire = \"10s\""));
    site.start();
    all_in_force(&site);
    site.send(&[from("45.1.0.1")]);
    site.saw(&[("feed", 1)]);
    fs::rename(files.path("short"), files.path("away")).unwrap();
    let row = wait_for_feed(&site, "short", "its entries end", |row| row.state == FeedState::Expired);
    assert!(row.entries == 0 && row.problem.as_deref().is_some_and(|problem| problem.contains("`expire`")), "{row:?}");
    site.send(&[from("45.1.0.1")]);
    site.saw(&[("pass", 1)]);
    // A restart does not bring them back.
    site.kill();
    site.start();
    site.send(&[from("45.1.0.1")]);
    wait_for("the copy is older than it may be", PATIENCE, || {
        (feed(&site, "short").state == FeedState::Expired).then_some(())
    });
    fs::rename(files.path("away"), files.path("short")).unwrap();
    assert!(refresh(&site, &["short"]).changed);
    let reader = site.place.reader();
    let dropped = || reader.counters().enforced[weir_common::verdict::Verdict::Feed as usize].packets;
    let before = dropped();
    site.send(&[from("45.1.0.1")]);
    wait_for("what came back drops", PATIENCE, || (dropped() == before + 1).then_some(()));
    assert_eq!(feed(&site, "short").state, FeedState::Ok);
}

#[test]
fn settings_on_trial_hold_feeds_back_until_they_are_confirmed() {
    let mut site = idle(&Plan::default());
    let files = Files::new();
    files.put("old", list(1, 20));
    files.put("new", list(2, 20));
    site.place.configure(&files.feed("old", ""));
    site.start();
    all_in_force(&site);
    site.place.configure(&(files.feed("old", "") + &files.feed("new", "")));
    site.weir(&["config", "apply", "--confirm", "60s"]).well();
    files.put("old", list(1, 21));
    let frames = ["45.1.0.21", "45.2.0.1"].map(from);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| refreshed(&site, &["old"]));
        // Long enough that both would be in force by now, were they not held back.
        std::thread::sleep(std::time::Duration::from_secs(2));
        site.send(&frames);
        site.saw(&[("pass", 2)]);
        let rows = super::feeds(&site);
        assert!(rows.len() == 1 && rows[0].entries == 20, "{rows:?}");
        site.weir(&["config", "confirm"]).well();
        asking.join().unwrap().well();
    });
    wait_for_feed(&site, "new", "it is followed", |row| row.state == FeedState::Ok);
    site.send(&frames);
    site.saw(&[("feed", 2)]);
}
