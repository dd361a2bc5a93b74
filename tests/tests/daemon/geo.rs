//! Countries and networks, from files to packets.
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use weir::domain::report::GeoRow;
use weir_tests::frames::V4;
use weir_tests::harness::{PATIENCE, Plan, Site, data, wait_for};

use crate::lookup::tables_in_force;

/// Countries of public space, because documentation space belongs to none.
const COUNTRIES: &str = "45.1.0.0,45.1.255.255,DE\n45.2.0.0,45.2.255.255,FR\n45.3.0.0,45.3.255.255,US\n";
/// Networks in it.
const NETWORKS: &str = "45.1.1.0,45.1.1.255,64496,\"Example, Inc.\"\n45.3.1.0,45.3.1.255,64497,Other\n";

/// How long until a changed file is in force.
const FOLLOWS: Duration = Duration::from_millis(3_500);

fn from(source: &str) -> Vec<u8> {
    V4::from(source.parse::<Ipv4Addr>().unwrap().octets()).frame()
}

fn send(site: &Site, sources: &[&str]) {
    let frames: Vec<Vec<u8>> = sources.iter().map(|source| from(source)).collect();
    site.send(&frames);
}

/// Both databases, in a folder of their own.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::Builder::new().prefix("weir-geo-").tempdir().unwrap());
        files.put("country", COUNTRIES);
        files.put("asn", NETWORKS);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let new = self.path(".new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    /// `[geo]` with both files and these rules.
    fn settings(&self, rules: &str) -> String {
        settings(&self.path("country"), &self.path("asn"), rules)
    }
}

fn settings(country: &Path, asn: &Path, rules: &str) -> String {
    format!("[geo]\ncountry_file = \"{}\"\nasn_file = \"{}\"\n{rules}\n", country.display(), asn.display())
}

/// What is known of the database of countries.
fn countries(site: &Site) -> GeoRow {
    site.api().status().geo.into_iter().next().unwrap()
}

/// Waits until the database of countries is as wanted.
#[track_caller]
fn wait_for_countries(site: &Site, what: &str, wanted: impl Fn(&GeoRow) -> bool) -> GeoRow {
    wait_for(what, PATIENCE, || Some(countries(site)).filter(&wanted))
}

/// Waits until an address gets a verdict; since when it was waited for.
#[track_caller]
fn wait_for_verdict(site: &Site, address: &str, verdict: &str) -> Duration {
    let start = Instant::now();
    wait_for(&format!("{address}: {verdict}"), PATIENCE, || {
        (site.api().explain(address).verdict == verdict).then(|| start.elapsed())
    })
}

#[test]
fn countries_and_networks_are_denied_and_observed_and_named_wherever_sources_are() {
    let files = Files::new();
    let rules = files.settings("deny = [\"DE\", \"AS64497\"]\nobserve = [\"FR\"]");
    let site = Site::new(&format!("[limits.source]\npackets_per_second = 1000\n{rules}"));
    send(&site, &["45.1.0.1", "45.1.1.1", "45.2.0.1", "45.3.0.1", "45.3.1.1", "45.4.0.1"]);
    site.saw(&[("country", 2), ("asn", 1), ("pass", 3), ("would country", 1)]);
    let explained = site.api().explain("45.1.1.1");
    let place = (explained.country.as_deref(), explained.asn, explained.as_name.as_deref());
    assert_eq!(place, (Some("DE"), Some(64_496), Some("Example, Inc.")));
    assert_eq!(explained.entries[0].list, "country-DE");
    assert_eq!(site.api().explain("45.3.1.1").entries[0].list, "asn-64497");
    assert_eq!((site.api().explain("45.4.0.1").country, site.api().explain("45.4.0.1").asn), (None, None));
    let said = site.weir(&["explain", "45.1.1.1"]).well();
    assert!(["DE", "64496", "Example, Inc.", "country-DE"].iter().all(|words| said.contains(words)), "{said}");
    let rows: Vec<Value> = wait_for("the source is tracked", PATIENCE, || {
        let said = site.weir(&["-o", "json", "top", "--once"]).well();
        Some(serde_json::from_str::<Vec<Value>>(&said).unwrap()).filter(|rows| rows.len() == 6)
    });
    let row = |address: &str| rows.iter().find(|row| row["address"] == address).unwrap();
    assert_eq!((&row("45.1.1.1")["country"], &row("45.1.1.1")["asn"]), (&"DE".into(), &64_496.into()));
    assert!(row("45.4.0.1")["country"].is_null() && row("45.4.0.1")["asn"].is_null());
    let lists = site.api().status().lists;
    let list =
        |name: &str| lists.iter().find(|list| list.name == name).map(|list| (list.origin.as_str(), list.packets));
    assert_eq!(
        (list("country-DE"), list("country-FR"), list("asn-64497")),
        (Some(("country", 2)), Some(("country", 1)), Some(("asn", 1)))
    );
}

#[test]
fn only_who_may_passes_and_who_is_unknown_as_the_settings_say() {
    let files = Files::new();
    let site = Site::new(&files.settings("allow_only = [\"DE\"]"));
    let all = ["45.1.0.1", "45.2.0.1", "45.3.0.1", "45.4.0.1", "192.0.2.1", "10.0.0.1"];
    send(&site, &all);
    site.saw(&[("pass", 4), ("country", 2)]);
    // Space that belongs to no country is spared.
    site.place.configure(&files.settings("allow_only = [\"DE\"]\nunknown = \"deny\""));
    site.weir(&["config", "reload"]).well();
    wait_for_verdict(&site, "45.4.0.1", "country");
    send(&site, &all);
    site.saw(&[("pass", 3), ("country", 3)]);
    assert_eq!(site.api().explain("45.4.0.1").entries[0].list, "country-unknown");
    site.place.configure(&files.settings(""));
    site.weir(&["config", "reload"]).well();
    wait_for_verdict(&site, "45.4.0.1", "pass");
    send(&site, &all);
    site.saw(&[("pass", 6)]);
    assert_eq!(site.api().explain("45.1.0.1").country.as_deref(), Some("DE"));
}

#[test]
fn a_changed_file_is_in_force_in_seconds_and_a_broken_one_changes_nothing() {
    let files = Files::new();
    let mut site = Site::new(&files.settings("deny = [\"DE\"]"));
    let all = ["45.1.0.1", "45.2.0.1", "45.3.0.1"];
    send(&site, &all);
    site.saw(&[("country", 1), ("pass", 2)]);
    let before = countries(&site);
    files.put("country", COUNTRIES.replace("FR", "DE"));
    let after = wait_for_verdict(&site, "45.2.0.1", "country");
    println!("a changed database of countries: {} ms from the file to the verdict", after.as_millis());
    assert!(after < FOLLOWS, "{after:?}");
    send(&site, &all);
    site.saw(&[("country", 2), ("pass", 1)]);
    let row = countries(&site);
    assert!(row.problem.is_none() && row.loaded_at > before.loaded_at, "{row:?}");

    let generation = site.api().status().generation;
    let broken: [(&str, Vec<u8>); 4] = [
        ("cut", COUNTRIES.as_bytes()[..70].to_vec()),
        ("a page", b"<!DOCTYPE html>\n<p>Log in</p>\n".to_vec()),
        ("a tenth", b"45.1.0.0,45.1.0.255,DE\n".to_vec()),
        ("nothing", Vec::new()),
    ];
    let mut last = None;
    for (what, bytes) in broken {
        files.put("country", bytes);
        let row = wait_for_countries(&site, what, |row| row.problem.is_some() && row.problem != last);
        let problem = row.problem.clone().unwrap();
        println!("{what}: {problem}");
        last = row.problem;
        let status = wait_for("status tells of the refused file", PATIENCE, || {
            let status = site.api().status();
            status.health.problems.iter().any(|problem| problem.starts_with("geo: ")).then_some(status)
        });
        assert_eq!(status.generation, generation, "{what}");
        send(&site, &all);
        site.saw(&[("country", 2), ("pass", 1)]);
    }
    // Nor does a start with it, and with nothing left in the kernel.
    site.terminate();
    site.weir(&["detach"]).well();
    site.start();
    send(&site, &all);
    // The counters are new, too.
    wait_for("the same verdicts", PATIENCE, || {
        let packets = site.api().status().packets;
        (packets.dropped == 2 && packets.passed == 1).then_some(())
    });
    let status = site.api().status();
    assert!(status.geo[0].problem.is_some(), "{:?}", status.geo);
    assert!(status.health.problems.iter().any(|problem| problem.starts_with("geo: ")), "{:?}", status.health);
    assert_eq!(site.api().explain("45.2.0.1").country.as_deref(), Some("DE"));
    files.put("country", COUNTRIES);
    wait_for_verdict(&site, "45.2.0.1", "pass");
    wait_for("all is well", PATIENCE, || site.api().status().health.ok.then_some(()));
    assert!(countries(&site).problem.is_none());
}

#[test]
fn protected_never_block_and_allowed_addresses_pass_in_a_denied_country() {
    let files = Files::new();
    let settings = files.settings("deny = [\"DE\"]\n[never_block]\naddresses = [\"45.1.0.53\"]");
    let site = Site::idle(&Plan { config: &settings, ..Plan::default() });
    let link = site.links[0].name.clone();
    site.server.ip(&["address", "add", "45.1.9.2/24", "dev", &link]);
    site.server.ip(&["route", "add", "default", "via", "45.1.9.1"]);
    let mut site = site;
    site.start();
    site.weir(&["allow", "add", "45.1.0.7"]).well();
    send(&site, &["45.1.9.1", "45.1.0.53", "45.1.0.7", "45.1.0.8"]);
    site.saw(&[("pass", 2), ("allowed", 1), ("country", 1)]);
    assert_eq!(site.api().explain("45.1.9.1").protected.as_deref(), Some("default gateway"));
    assert!(site.api().explain("45.1.0.53").never_block.is_some());
    // The operator may cross what a country may not.
    site.weir(&["block", "add", "45.1.0.53"]).well();
    send(&site, &["45.1.0.53"]);
    site.saw(&[("denied", 1)]);
    assert_eq!(site.api().explain("45.1.0.53").verdict, "denied");
}

#[test]
fn a_country_is_switched_by_its_name_and_no_table_is_built() {
    let files = Files::new();
    let site = Site::new(&files.settings("deny = [\"DE\", \"FR\"]"));
    let all = ["45.1.0.1", "45.2.0.1"];
    send(&site, &all);
    site.saw(&[("country", 2)]);
    let before = tables_in_force(&site);
    let switch = |to: &str| {
        files.settings("deny = [\"DE\", \"FR\"]") + "[[lists]]\nname = \"country-DE\"\nenforcement = \"" + to + "\""
    };
    site.place.configure(&switch("observe"));
    let said = site.weir(&["config", "reload"]).well();
    send(&site, &all);
    site.saw(&[("country", 1), ("pass", 1), ("would country", 1)]);
    assert!(said.contains("country-DE"), "{said}");
    site.place.configure(&switch("off"));
    site.weir(&["config", "reload"]).well();
    send(&site, &all);
    site.saw(&[("country", 1), ("pass", 1)]);
    site.place.configure(&switch("enforce"));
    site.weir(&["config", "reload"]).well();
    send(&site, &all);
    site.saw(&[("country", 2)]);
    assert_eq!(tables_in_force(&site), before, "the address tables were built anew");
}

#[test]
fn databases_of_maxmind_are_enforced_and_broken_ones_change_nothing() {
    let test = "databases_of_maxmind_are_enforced_and_broken_ones_change_nothing";
    let (Some(good), Some(bad)) = (data(test, "geo/mmdb-test"), data(test, "geo/mmdb-bad")) else { return };
    let files = Files::new();
    files.put("country", fs::read(good.join("GeoLite2-Country-Test.mmdb")).unwrap());
    files.put("asn", fs::read(good.join("GeoLite2-ASN-Test.mmdb")).unwrap());
    let site = Site::new(&files.settings("deny = [\"GB\", \"AS1221\"]"));
    let all = ["2.125.160.216", "81.2.69.160", "1.128.0.1", "216.160.83.56"];
    send(&site, &all);
    site.saw(&[("country", 2), ("asn", 1), ("pass", 1)]);
    let explained = site.api().explain("1.128.0.1");
    assert_eq!((explained.asn, explained.as_name.as_deref()), (Some(1_221), Some("Telstra Pty Ltd")));
    assert_eq!(site.api().explain("216.160.83.56").country.as_deref(), Some("US"));
    assert!(site.api().status().geo.iter().all(|row| row.built_at.is_some() && row.ranges > 0));
    let generation = site.api().status().generation;
    let memory = site.daemon().kibibytes("VmHWM");
    let broken = [
        bad.join("cyclic-data-structure.mmdb"),
        bad.join("libmaxminddb-corrupt-search-tree.mmdb"),
        bad.join("libmaxminddb-deep-nesting.mmdb"),
        bad.join("libmaxminddb-oversized-map.mmdb"),
        good.join("GeoIP2-City-Test-Invalid-Node-Count.mmdb"),
    ];
    let mut last = None;
    for file in broken {
        files.put("country", fs::read(&file).unwrap());
        let row = wait_for_countries(&site, &format!("{} is refused", file.display()), |row| {
            row.problem.is_some() && row.problem != last
        });
        last = row.problem;
        println!("{}: {}", file.file_name().unwrap().display(), last.as_deref().unwrap_or_default());
        send(&site, &all);
        site.saw(&[("country", 2), ("asn", 1), ("pass", 1)]);
    }
    assert_eq!(site.api().status().generation, generation);
    let more = site.daemon().kibibytes("VmHWM").saturating_sub(memory);
    assert!(more < 64 << 10, "{more} KiB");
}
