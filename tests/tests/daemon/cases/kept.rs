//! What is kept of events and people: across kills, under other names, and not any more.
use std::path::Path;
use std::time::Duration;

use weir::domain::report::{EraseReport, EventList, ReputationRow};

use super::*;

fn events(site: &Site, query: &str) -> EventList {
    site.api().get(&format!("/api/events?{query}"))
}

/// Whether a file of the state folder holds a text: those of detection, or all.
fn holds(folder: &Path, names: &[&str], text: &str) -> bool {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| names.iter().any(|name| path.file_name().unwrap().to_str().unwrap().starts_with(name)))
        .any(|path| fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()))
}

#[test]
fn a_kill_loses_no_change_that_was_answered_and_of_events_the_last_second_at_the_most() {
    let mut site = site("");
    let id = made(&site, "Somebody rang", "low");
    let mut sent = 0;
    for round in 0..5 {
        for user in 0..20 {
            tell(&site, &[failed("203.0.113.9", &format!("user{round}-{user}"))]);
            sent += 1;
        }
        std::thread::sleep(Duration::from_secs(1));
        tell(&site, &[failed("203.0.113.9", &format!("late{round}"))]);
        let status = ["acknowledged", "investigating", "resolved", "investigating", "false-positive"][round];
        site.weir(&["alerts", "update", &id, "--status", status]).well();
        site.kill();
        site.start();
        let alert: Alert = site.api().get(&format!("/api/alerts/{id}"));
        assert_eq!(alert.triage.status.name(), status);
        let total = events(&site, "source=203.0.113.9&class=failed_sign_in").total;
        assert!(total >= sent && total <= sent + 1 + round as u64, "{total} of {sent}");
        assert_eq!(site.api().explain("203.0.113.9").verdict, "rule", "a decision in force is never lost");
        // What was known of the source is known again.
        wait_for("its score", PATIENCE, || {
            (site.api().get::<ReputationRow>("/api/reputation/203.0.113.9").score > 0).then_some(())
        });
        sent = total;
    }
}

#[test]
fn where_addresses_are_hashed_all_still_joins_and_decisions_are_in_force() {
    let mut site = site("[privacy]\nhash_addresses = true\n");
    tell(&site, &vec![failed("203.0.113.9", "bob"); 8]);
    wait_for("it is denied", PATIENCE, || (site.api().explain("203.0.113.9").verdict == "rule").then_some(()));
    let alert = wait_for_alerts(&site, "source=203.0.113.9&analyzer=brute_force", 1).remove(0);
    let name = alert.source.clone().unwrap();
    assert!(name.starts_with("anon-"), "{name}");
    let kept = wait_for("its events", PATIENCE, || {
        let audit: AuditReport = site.api().get("/api/audit");
        (audit.summary.failed_authentications == 8).then(|| events(&site, "source=203.0.113.9").total)
    });
    assert_eq!(events(&site, &format!("source={name}")).events[0].source.as_ref(), Some(&name));
    let audit: AuditReport = site.api().get("/api/audit");
    assert_eq!((audit.summary.failed_authentications, audit.summary.unique_ips), (8, 1));
    assert!(audit.top_threats[0].source == name && audit.top_threats[0].score > 0, "{:?}", audit.top_threats);
    assert!(!serde_json::to_string(&audit).unwrap().contains("203.0.113.9"));
    let state = site.place.state();
    // Another key: what was kept before is still found, what comes now is called otherwise.
    site.weir(&["privacy", "rotate"]).well();
    tell(&site, &[failed("203.0.113.9", "eve")]);
    wait_for("both names", PATIENCE, || (events(&site, "source=203.0.113.9").total == kept + 1).then_some(()));
    assert_eq!(events(&site, &format!("source={name}")).total, kept);
    // What was known is known, also after a restart.
    site.terminate();
    assert!(!holds(&state, &["events.db"], "203.0.113.9"), "an address stands in the database");
    site.start();
    assert_eq!(site.api().explain("203.0.113.9").verdict, "rule");
    wait_for("its score", PATIENCE, || {
        (site.api().get::<ReputationRow>("/api/reputation/203.0.113.9").score > 0).then_some(())
    });
    // A false positive is lifted though its alert does not know the address.
    let ids: Vec<String> = wait_for("its alerts", PATIENCE, || {
        let list: AlertList = site.api().get("/api/alerts?source=203.0.113.9");
        (list.total >= 1).then(|| list.alerts.iter().map(|alert| alert.id.to_string()).collect())
    });
    let mut args = vec!["alerts", "update", "--status", "false-positive"];
    args.extend(ids.iter().map(String::as_str));
    site.weir(&args).well();
    assert_eq!(site.api().explain("203.0.113.9").verdict, "pass");
    site.weir(&["privacy", "rotate", "--forget"]).well();
    assert_eq!(events(&site, "source=203.0.113.9").total, 0, "nobody can tell whose it was");
    assert_eq!(events(&site, &format!("source={name}")).total, kept);
}

#[test]
fn evidence_is_renamed_as_soon_as_addresses_are_hashed() {
    let site = site("");
    tell(&site, &vec![failed("203.0.113.9", "bob"); 8]);
    let score = || site.api().get::<ReputationRow>("/api/reputation/203.0.113.9").score;
    let before = wait_for("its score", PATIENCE, || Some(score()).filter(|score| *score > 0));
    let sources = || {
        let list: Value = site.api().get("/api/reputation");
        let rows = list["sources"].as_array().unwrap().iter();
        rows.map(|row| row["source"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sources(), ["203.0.113.9"]);
    let settings = fs::read_to_string(site.place.config()).unwrap();
    fs::write(site.place.config(), format!("{settings}\n[privacy]\nhash_addresses = true\n")).unwrap();
    site.weir(&["config", "reload"]).well();
    wait_for("its other name", PATIENCE, || sources().iter().all(|source| source.starts_with("anon-")).then_some(()));
    assert_eq!((sources().len(), score()), (1, before), "it is known by its address as before");
    // A row of the ledger in the database says no address either.
    let database = rusqlite::Connection::open(site.place.state().join("events.db")).unwrap();
    let rows = || {
        let mut rows = database.prepare("SELECT id, document FROM reputation").unwrap();
        let rows = rows.query_map([], |row| Ok(format!("{} {}", row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
        rows.unwrap().collect::<Result<Vec<_>, _>>()
    };
    wait_for("its row", PATIENCE, || {
        let rows = rows().ok()?;
        (rows.len() == 1 && !rows[0].contains("203.0.113")).then_some(())
    });
}

#[test]
fn who_is_erased_is_nowhere_and_what_is_in_force_stays() {
    let mut site = site("");
    tell(&site, &vec![failed("203.0.113.9", "bob"); 8]);
    tell(&site, &vec![failed("203.0.113.99", "eve"); 8]);
    for address in ["203.0.113.9", "203.0.113.99"] {
        wait_for("it is denied", PATIENCE, || (site.api().explain(address).verdict == "rule").then_some(()));
        wait_for("its events", PATIENCE, || (events(&site, &format!("source={address}")).total >= 1).then_some(()));
    }
    let would: EraseReport = site.api().post("/api/privacy/erase", &json!({"address": "203.0.113.9", "dry_run": true}));
    assert!(would.changed && would.alerts >= 1 && would.events >= 1, "{would:?}");
    let said = site.weir(&["privacy", "erase", "203.0.113.9"]).well();
    assert!(said.starts_with("erased"), "{said}");
    assert_eq!(site.api().get::<AlertList>("/api/alerts?source=203.0.113.9").total, 0);
    assert_eq!(events(&site, "source=203.0.113.9").total, 0);
    // What its neighbour did is no news of it.
    let known: ReputationRow = site.api().get("/api/reputation/203.0.113.9");
    assert!(known.evidence.iter().all(|line| line.kind == "network"), "{known:?}");
    assert_eq!(site.api().explain("203.0.113.9").verdict, "rule", "it is in force until it ends");
    assert!(events(&site, "source=203.0.113.99").total >= 1);
    let audit: AuditReport = site.api().get("/api/audit");
    let text = serde_json::to_string(&audit).unwrap();
    assert!(!text.contains("203.0.113.9\"") && text.contains("privacy erase"), "{text}");
    // With the decision lifted, no file holds the address.
    site.weir(&["block", "remove", "203.0.113.9"]).well();
    site.weir(&["block", "remove", "203.0.113.99"]).well();
    for whose in [["privacy", "erase", "203.0.113.9"], ["privacy", "erase", "203.0.113.99"]] {
        site.weir(&whose).well();
    }
    let said = site.weir(&["privacy", "erase", "--user", "bob"]).well();
    assert!(said.contains("nothing is kept") || said.contains("erased"), "{said}");
    site.terminate();
    let state = site.place.state();
    assert!(!holds(&state, &["events.db", "weir.db"], "203.0.113.9"), "the address stands in a file");
    site.start();
    assert_eq!(site.api().get::<AlertList>("/api/alerts").total, 0);
}

#[test]
fn a_key_that_is_broken_is_named_and_the_daemon_does_not_write_addresses_instead() {
    let mut site = site("[privacy]\nhash_addresses = true\n");
    site.terminate();
    fs::write(site.place.state().join("privacy.keys"), "rubbish").unwrap();
    site.refused_start().badly(1, &["privacy.keys", "hash_addresses"]);
}
