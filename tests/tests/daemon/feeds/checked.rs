//! `weir feeds check`: what would be taken, and whom it would hit.
use serde_json::Value;
use weir_tests::harness::place::Place;
use weir_tests::harness::{PATIENCE, Plan, command, wait_for};

use super::web::Web;
use super::{from, idle, list};

#[test]
fn a_check_needs_no_daemon_and_says_line_by_line_what_would_be_refused() {
    let place = Place::new("never_block.addresses = [\"46.0.0.53\"]\nprotected.addresses = [\"44.0.0.1\"]");
    let check = |words: &[&str]| {
        let config = place.config().display().to_string();
        let words: Vec<&str> = ["-c", &config, "-o", "json", "feeds", "check"].iter().chain(words).copied().collect();
        command::said(&mut command::weir(&words))
    };
    let text = list(1, 200) + "2a01:4f8::1\n45.2.0.0/24\nnonsense\n44.0.0.1\n46.0.0.53\n10.0.0.1\n";
    let file = place.file("list.txt", &text);
    let report: Value = serde_json::from_str(&check(&[&file]).well()).unwrap();
    let number = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{key}: {report}"));
    assert_eq!(report["format"], "plain");
    let counts = ["accepted", "rejected", "prefixes_v4", "prefixes_v6", "addresses_v4", "protected", "never_block"];
    assert_eq!(counts.map(number), [202, 4, 201, 1, 456, 1, 1], "{report}");
    assert!(report["refused"].is_null() && report["well_behaved"].is_null(), "{report}");
    let rejects: Vec<(u64, &str)> = report["rejects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reject| (reject["line"].as_u64().unwrap(), reject["text"].as_str().unwrap()))
        .collect();
    assert_eq!(rejects, [(203, "nonsense"), (204, "44.0.0.1"), (205, "46.0.0.53"), (206, "10.0.0.1")]);
    assert!(report["rejects"].as_array().unwrap().iter().all(|reject| !reject["why"].as_str().unwrap().is_empty()));

    // What would be refused as a whole is an exit status of 1, and the lines are counted all the same.
    let file = place.file("page.txt", "<html>\nnot today\n</html>\n");
    let said = check(&[&file]);
    assert!(said.code == Some(1) && said.err.contains("would be refused"), "{said:?}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert!(report["refused"].as_str().is_some_and(|why| !why.is_empty()), "{report}");
    let file = place.file("poison.txt", list(1, 20) + &"10.0.0.1\n".repeat(20));
    let report: Value = serde_json::from_str(&check(&[&file]).out).unwrap();
    assert_eq!((report["accepted"].as_u64(), report["rejected"].as_u64()), (Some(20), Some(20)), "{report}");
    assert!(report["refused"].as_str().unwrap().contains("poisoned"), "{report}");
    check(&["/nowhere/at/all"]).badly(1, &["/nowhere/at/all"]);
    check(&["http://127.0.0.1:1/list"]).badly(1, &["http"]);
}

#[test]
fn a_check_of_a_url_names_the_sources_that_behave_well_now() {
    let mut site = idle(&Plan::default());
    let web = Web::new(&site);
    web.put("/list", list(1, 20));
    site.place.configure("[limits.source]\npackets_per_second = 1000");
    site.start();
    site.send(&vec![from("45.1.0.7"); 20]);
    site.send(&vec![from("45.9.0.7"); 20]);
    site.saw(&[("pass", 40)]);
    let generation = site.api().status().generation;
    let url = format!("http://127.0.0.2:{}/list", web.port());
    let config = site.place.config().display().to_string();
    let words = ["-c", &config, "-o", "json", "feeds", "check", &url, "--allow-http", "--allow-private"];
    let report: Value = wait_for("the source is known", PATIENCE, || {
        let said = site.server.inside(|| command::said(&mut command::weir(&words)));
        let report: Value = serde_json::from_str(&said.well()).unwrap();
        (report["well_behaved"] == 1).then_some(report)
    });
    assert_eq!(report["well_behaved_first"], serde_json::json!(["45.1.0.7"]), "{report}");
    assert_eq!((&report["accepted"], site.api().status().generation), (&20.into(), generation));
    // An import says the same of its file.
    let file = site.place.file("list.txt", list(1, 20));
    let said = site.weir(&["-o", "json", "block", "import", &file, "--dry-run"]).well();
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&report["well_behaved"], &report["addresses_v4"]), (&1.into(), &20.into()), "{report}");
}
