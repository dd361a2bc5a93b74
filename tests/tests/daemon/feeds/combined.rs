//! Several feeds, and what they may say.
use weir::domain::report::{Explain, FeedState};
use weir_tests::harness::{PATIENCE, Plan, wait_for};

use super::{Files, all_in_force, feed, from, idle, list, outcome, refresh, refreshed};

/// The lists that speak about an address, in order, with the one that decides marked.
fn speakers(explained: &Explain) -> Vec<String> {
    let name = |decides: bool, list: &str| if decides { format!("*{list}") } else { list.to_owned() };
    explained.entries.iter().map(|entry| name(entry.decides, &entry.list)).collect()
}

#[test]
fn who_is_on_two_feeds_stays_denied_until_both_let_go() {
    let mut site = idle(&Plan::default());
    let files = Files::new();
    for name in ["zulu", "alpha"] {
        files.put(name, list(1, 20) + "45.2.0.1\n");
    }
    site.place.configure(&(files.feed("zulu", "") + &files.feed("alpha", "")));
    site.start();
    all_in_force(&site);
    let frames = ["45.2.0.1"].map(from);
    let explained = || site.api().explain("45.2.0.1");
    site.send(&frames);
    site.saw(&[("feed", 1)]);
    // In the order of the configuration, not of names.
    assert_eq!((explained().verdict.as_str(), speakers(&explained())), ("feed", vec!["*zulu".into(), "alpha".into()]));
    files.put("zulu", list(1, 20));
    let report = refresh(&site, &["zulu"]);
    assert_eq!(report.feeds[0].change.map(|change| (change.added, change.removed)), Some((0, 1)));
    site.send(&frames);
    site.saw(&[("feed", 1)]);
    assert_eq!(speakers(&explained()), ["*alpha"]);
    files.put("alpha", list(1, 20));
    refresh(&site, &["alpha"]);
    site.send(&frames);
    site.saw(&[("pass", 1)]);
    assert_eq!((explained().verdict.as_str(), speakers(&explained()).len()), ("pass", 0));
    assert_eq!(speakers(&site.api().explain("45.1.0.1")), ["*zulu", "alpha"]);

    site.place.configure(&(files.feed("alpha", "") + &files.feed("zulu", "")));
    site.weir(&["config", "reload"]).well();
    wait_for("the other order", PATIENCE, || {
        (speakers(&site.api().explain("45.1.0.1")) == ["*alpha", "zulu"]).then_some(())
    });
    assert_eq!(super::feeds(&site).iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["alpha", "zulu"]);
}

#[test]
fn what_a_feed_allows_passes_over_feeds_and_not_over_the_operator() {
    let mut site = idle(&Plan::default());
    let files = Files::new();
    files.put("bad", list(1, 20));
    files.put("good", "45.1.0.1\n45.1.0.2\n");
    site.place.configure(&(files.feed("bad", "") + &files.feed("good", "action = \"allow\"")));
    site.start();
    all_in_force(&site);
    site.weir(&["block", "add", "45.1.0.2"]).well();
    site.send(&["45.1.0.1", "45.1.0.2", "45.1.0.3"].map(from));
    site.saw(&[("allowed", 1), ("denied", 1), ("feed", 1)]);
    assert_eq!(speakers(&site.api().explain("45.1.0.1")), ["*good", "bad"]);
    assert_eq!(speakers(&site.api().explain("45.1.0.2")), ["*block", "good", "bad"]);
}

#[test]
fn an_observed_feed_is_counted_and_drops_nothing() {
    let mut site = idle(&Plan::default());
    let files = Files::new();
    files.put("trial", list(1, 20));
    site.place.configure(&files.feed("trial", "action = \"observe\""));
    site.start();
    all_in_force(&site);
    let frames = ["45.1.0.1", "45.2.0.1"].map(from);
    site.send(&frames);
    site.saw(&[("pass", 2), ("would feed", 1)]);
    let explained = site.api().explain("45.1.0.1");
    assert_eq!((explained.verdict.as_str(), speakers(&explained)), ("pass", vec!["trial".to_owned()]));
    let row = |name: &str| site.api().status().lists.into_iter().find(|list| list.name == name).unwrap();
    assert_eq!((row("trial").packets, row("trial").origin.as_str()), (1, "feed"));
    // From trial to earnest is a change of settings, and nothing is asked for anew.
    site.place.configure(&files.feed("trial", ""));
    site.weir(&["config", "reload"]).well();
    wait_for("it is enforced", PATIENCE, || (site.api().explain("45.1.0.1").verdict == "feed").then_some(()));
    site.send(&frames);
    site.saw(&[("feed", 1), ("pass", 1)]);
}

#[test]
fn feeds_of_evidence_make_a_score_and_drop_nothing() {
    let mut site = idle(&Plan::default());
    let files = Files::new();
    files.put("one", list(1, 20));
    files.put("two", list(1, 10) + &list(2, 10));
    let reputation = |name: &str, weight: u8| files.feed(name, &format!("action = \"reputation\"\nweight = {weight}"));
    site.place.configure(&(reputation("one", 50) + &reputation("two", 40)));
    site.start();
    all_in_force(&site);
    site.send(&["45.1.0.1", "45.1.0.11", "45.2.0.1", "45.3.0.1"].map(from));
    site.saw(&[("pass", 4)]);
    let score = |address: &str| site.api().explain(address).reputation.map(|row| (row.score, row.evidence.len()));
    let scores = ["45.1.0.1", "45.1.0.11", "45.2.0.1", "45.3.0.1"].map(score);
    assert_eq!(scores, [Some((90, 2)), Some((50, 1)), Some((40, 1)), None]);
    let said = site.weir(&["explain", "45.1.0.1"]).well();
    assert!(said.contains("90") && said.contains("one") && said.contains("two"), "{said}");
}

#[test]
fn force_takes_a_list_that_shrank_and_a_dry_run_changes_nothing() {
    let mut site = idle(&Plan::default());
    let files = Files::new();
    files.put("list", list(1, 200));
    site.place.configure(&files.feed("list", ""));
    site.start();
    all_in_force(&site);
    let (stays, goes) = ("45.1.0.1", "45.1.0.199");
    let generation = || site.api().status().generation;
    let before = generation();

    files.put("list", list(1, 300));
    let said = refresh(&site, &["list", "--dry-run"]);
    assert!(said.changed && generation() == before, "{said:?}");
    assert_eq!((said.feeds[0].entries, said.feeds[0].outcomes.len()), (200, 1), "{said:?}");
    site.send(&["45.1.1.44", goes].map(from));
    site.saw(&[("pass", 1), ("feed", 1)]);

    files.put("list", list(1, 20));
    let said = refreshed(&site, &["list", "--dry-run"]);
    assert!(said.code == Some(1) && said.out.contains("shrank from 200 to 20 entries"), "{said:?}");
    refreshed(&site, &["list"]).badly(1, &["list", "what was in force before still is"]);
    let row = feed(&site, "list");
    assert_eq!((row.state, row.entries, outcome(&row, "shrank")), (FeedState::Refused, 200, 1), "{row:?}");
    site.send(&[stays, goes].map(from));
    site.saw(&[("feed", 2)]);
    let said = refresh(&site, &["list", "--force"]);
    assert_eq!((said.changed, said.feeds[0].entries, said.feeds[0].state), (true, 20, FeedState::Ok));
    site.send(&[stays, goes].map(from));
    site.saw(&[("feed", 1), ("pass", 1)]);
    assert!(generation() > before && site.api().status().health.ok, "{:?}", site.api().status().health);
    // A feed that does not exist.
    refreshed(&site, &["lost"]).badly(3, &["there is no feed \"lost\"", "weir feeds list"]);
}
